//! When a changed path is quiet: pure.
//!
//! Every event restarts the quiet time of its path; a path that never becomes
//! quiet is reported after ten times as long, and two seconds at least, all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Paths that have changed and are not quiet yet.
#[derive(Debug, Default)]
pub(super) struct Settling {
    paths: BTreeMap<PathBuf, Pending>,
    /// The same paths in the order in which they become quiet.
    order: BTreeSet<(Instant, PathBuf)>,
}

/// What is known of a path that is not quiet yet.
#[derive(Debug)]
struct Pending {
    hint: Hint,
    from: Option<PathBuf>,
    first: Instant,
    quiet_at: Instant,
}

/// What an event says of a path. What has come of it is seen when the path is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something about it may be different.
    Touched,
    /// It has come into being.
    Created,
    /// Its content has been written.
    Written,
    /// It has been given this name.
    Renamed,
    /// It is gone.
    Removed,
}

/// A path that has become quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) path: PathBuf,
    pub(super) hint: Hint,
    pub(super) from: Option<PathBuf>,
}

impl Settling {
    /// Notes an event.
    pub(super) fn note(
        &mut self,
        now: Instant,
        settle: Duration,
        path: PathBuf,
        hint: Hint,
        from: Option<PathBuf>,
    ) {
        let pending = match self.paths.remove(&path) {
            Some(pending) => {
                self.order.remove(&(pending.quiet_at, path.clone()));
                Pending {
                    // A touch says less than what is known already.
                    hint: if hint == Hint::Touched { pending.hint } else { hint },
                    from: from.or(pending.from),
                    first: pending.first,
                    quiet_at: (now + settle).min(pending.first + longest(settle)),
                }
            }
            None => Pending { hint, from, first: now, quiet_at: now + settle },
        };
        self.order.insert((pending.quiet_at, path.clone()));
        self.paths.insert(path, pending);
    }

    /// Returns how many paths are not quiet yet.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Returns whether a path is not quiet yet.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.paths.contains_key(path)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.paths.clear();
        self.order.clear();
    }

    /// Returns when the next path becomes quiet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(quiet_at, _)| *quiet_at)
    }

    /// Takes the paths that are quiet, in the order in which they became so.
    pub(super) fn take_quiet(&mut self, now: Instant) -> Vec<Settled> {
        let mut quiet = Vec::new();
        while self.order.first().is_some_and(|(quiet_at, _)| *quiet_at <= now) {
            let Some((_, path)) = self.order.pop_first() else { break };
            let Some(pending) = self.paths.remove(&path) else { continue };
            quiet.push(Settled { path, hint: pending.hint, from: pending.from });
        }
        quiet
    }
}

/// How long a path that does not rest is waited for.
pub(super) fn longest(settle: Duration) -> Duration {
    settle.saturating_mul(10).max(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(200);

    #[test]
    fn a_path_is_reported_once_it_is_quiet() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::default();
        settling.note(ms(0), SETTLE, "/a".into(), Hint::Created, None);
        settling.note(ms(10), SETTLE, "/b".into(), Hint::Renamed, Some("/c".into()));
        settling.note(ms(150), SETTLE, "/a".into(), Hint::Touched, None);
        assert_eq!(settling.next(), Some(ms(210)));
        assert_eq!(settling.take_quiet(ms(200)), []);
        let b = Settled { path: "/b".into(), hint: Hint::Renamed, from: Some("/c".into()) };
        let a = Settled { path: "/a".into(), hint: Hint::Created, from: None };
        assert_eq!(settling.take_quiet(ms(350)), [b, a]);
        assert_eq!((settling.next(), settling.len()), (None, 0));
    }

    #[test]
    fn a_path_that_never_rests_is_reported_after_two_seconds() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::default();
        for at in (0..3000).step_by(100) {
            settling.note(ms(at), SETTLE, "/a".into(), Hint::Written, None);
            let quiet = settling.take_quiet(ms(at));
            assert_eq!(!quiet.is_empty(), at == 2000, "at {at}");
        }
    }
}
