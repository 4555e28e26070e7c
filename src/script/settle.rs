//! When a changed path is quiet: pure.
//!
//! Every event restarts the quiet time of its path; a path that never becomes
//! quiet is reported after two seconds all the same.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::watch::Kind;

/// Paths that have changed and are not quiet yet.
#[derive(Debug, Default)]
pub(super) struct Settling {
    paths: BTreeMap<PathBuf, Pending>,
}

#[derive(Debug)]
struct Pending {
    kind: Kind,
    from: Option<PathBuf>,
    first: Instant,
    quiet_at: Instant,
}

/// A path that has become quiet, and what happened to it in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) from: Option<PathBuf>,
}

impl Settling {
    /// Notes an event.
    pub(super) fn note(
        &mut self,
        now: Instant,
        settle: Duration,
        path: PathBuf,
        kind: Kind,
        from: Option<PathBuf>,
    ) {
        match self.paths.get_mut(&path) {
            Some(pending) => {
                pending.quiet_at = (now + settle).min(pending.first + LONGEST);
                pending.kind = combine(pending.kind, kind);
                pending.from = from.or(pending.from.take());
            }
            None => {
                self.paths.insert(path, Pending { kind, from, first: now, quiet_at: now + settle });
            }
        }
    }

    /// Returns when the next path becomes quiet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.paths.values().map(|pending| pending.quiet_at).min()
    }

    /// Takes the paths that are quiet, in order of their names.
    pub(super) fn take_quiet(&mut self, now: Instant) -> Vec<Settled> {
        let quiet: Vec<PathBuf> = self
            .paths
            .iter()
            .filter(|(_, pending)| pending.quiet_at <= now)
            .map(|(path, _)| path.clone())
            .collect();
        quiet
            .into_iter()
            .filter_map(|path| {
                self.paths.remove(&path).map(|p| Settled { path, kind: p.kind, from: p.from })
            })
            .collect()
    }
}

/// What two events on one path amount to: an editor that removes and creates has modified.
fn combine(earlier: Kind, later: Kind) -> Kind {
    match (earlier, later) {
        (_, Kind::Rescan) | (Kind::Rescan, _) => Kind::Rescan,
        (Kind::Create, Kind::Modify | Kind::Create | Kind::Rename) => Kind::Create,
        (Kind::Remove, Kind::Create | Kind::Rename | Kind::Modify) => Kind::Modify,
        (_, Kind::Remove) => Kind::Remove,
        (Kind::Modify | Kind::Rename, Kind::Create | Kind::Modify) => Kind::Modify,
        (Kind::Modify | Kind::Rename, Kind::Rename) => Kind::Rename,
    }
}

const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(200);

    #[test]
    fn a_path_is_reported_once_it_is_quiet() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::default();
        settling.note(ms(0), SETTLE, "/a".into(), Kind::Create, None);
        settling.note(ms(150), SETTLE, "/a".into(), Kind::Modify, None);
        assert_eq!(settling.next(), Some(ms(350)));
        assert_eq!(settling.take_quiet(ms(300)), []);
        assert_eq!(
            settling.take_quiet(ms(350)),
            [Settled { path: "/a".into(), kind: Kind::Create, from: None }]
        );
        assert_eq!(settling.next(), None);
    }

    #[test]
    fn a_path_that_never_rests_is_reported_after_two_seconds() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::default();
        for at in (0..3000).step_by(100) {
            settling.note(ms(at), SETTLE, "/a".into(), Kind::Modify, None);
            let quiet = settling.take_quiet(ms(at));
            assert_eq!(!quiet.is_empty(), at == 2000, "at {at}");
        }
    }

    #[test]
    fn an_editor_that_replaces_a_file_has_modified_it() {
        assert_eq!(combine(Kind::Remove, Kind::Create), Kind::Modify);
        assert_eq!(combine(Kind::Modify, Kind::Remove), Kind::Remove);
        assert_eq!(combine(Kind::Create, Kind::Modify), Kind::Create);
    }
}
