//! What a script knows of the paths it watches, and what news is against that.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Change, Kind,
    look::{Look, Stamp},
    settle::{Hint, Settled},
};

/// Paths a script knows of, as they were when it was told.
pub(super) struct Known {
    paths: BTreeMap<PathBuf, Stamp>,
    /// Paths that all watches of the group hold, and this one's part of it.
    held: Arc<AtomicUsize>,
    holds: usize,
}

impl Known {
    pub(super) fn new(held: Arc<AtomicUsize>) -> Self {
        Self { paths: BTreeMap::new(), held, holds: 0 }
    }

    /// Returns how many paths a look at everything may find.
    pub(super) fn room(&self) -> usize {
        MOST_PATHS.saturating_sub(self.held.load(Ordering::Relaxed).saturating_sub(self.holds))
    }

    /// Returns how many paths may be added.
    pub(super) fn room_for_more(&self) -> usize {
        MOST_PATHS.saturating_sub(self.held.load(Ordering::Relaxed))
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.paths.contains_key(path)
    }

    /// Takes over what a look has found as known.
    pub(super) fn adopt(&mut self, picture: BTreeMap<PathBuf, Stamp>) {
        self.paths = picture;
        self.count();
    }

    /// Keeps the group's count of paths right.
    pub(super) fn count(&mut self) {
        let holds = self.paths.len();
        self.held.fetch_add(holds, Ordering::Relaxed);
        self.held.fetch_sub(self.holds, Ordering::Relaxed);
        self.holds = holds;
    }

    /// Returns what a look has found that is new, or not as it was.
    pub(super) fn different(&self, look: &Look) -> BTreeMap<PathBuf, Option<Stamp>> {
        let is_news = |(path, stamp): &(&PathBuf, &Stamp)| self.paths.get(*path) != Some(*stamp);
        let news = look.picture.iter().filter(is_news);
        news.map(|(path, stamp)| (path.clone(), Some(*stamp))).collect()
    }

    /// Returns what a look has not found any more.
    pub(super) fn gone<'a>(&'a self, look: &'a Look) -> impl Iterator<Item = &'a PathBuf> {
        self.paths.keys().filter(|path| !look.picture.contains_key(*path))
    }

    /// Returns what is known below a folder.
    pub(super) fn below(&self, folder: &Path) -> Vec<PathBuf> {
        let from = self.paths.range(folder.to_owned()..).map(|(path, _)| path);
        let below = from.take_while(|path| path.starts_with(folder));
        below.filter(|path| *path != folder).cloned().collect()
    }

    /// Decides what a path is told as, if it is told, and knows that from then on. Who wants no
    /// quiet wants to know of what came and went, too.
    pub(super) fn judge(&mut self, settled: Settled, wants_all: bool) -> Option<Change> {
        let Settled { path, hint, from } = settled;
        let before = self.paths.get(&path).copied();
        let after = Stamp::of(&path);
        let kind = match (before, after) {
            (None, Some(_)) if hint == Hint::Renamed || from.is_some() => Kind::Rename,
            (None | Some(Stamp::Gone), Some(_)) => Kind::Create,
            // Clocks of file systems are coarse: what was written is told, even if it looks the same.
            (Some(before), Some(after)) if before == after && hint != Hint::Written => return None,
            (Some(_), Some(_)) if hint == Hint::Renamed => Kind::Rename,
            (Some(_), Some(_)) => Kind::Modify,
            (Some(_), None) => Kind::Remove,
            (None, None) if wants_all => match hint {
                Hint::Created => Kind::Create,
                Hint::Written => Kind::Modify,
                Hint::Renamed => Kind::Rename,
                Hint::Touched | Hint::Removed => return None,
            },
            (None, None) => return None,
        };
        match (after, kind) {
            (None, Kind::Remove) => self.paths.remove(&path),
            (after, _) => self.paths.insert(path.clone(), after.unwrap_or(Stamp::Gone)),
        };
        let from = from.filter(|_| kind == Kind::Rename);
        Some(Change { kind, path, from })
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.held.fetch_sub(self.holds, Ordering::Relaxed);
    }
}

/// Paths that the watches of one script hold.
pub(super) const MOST_PATHS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_path_is_judged_by_what_was_told_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut known = Known::new(Arc::default());
        let mut judge = |hint, from: Option<&str>, wants_all| {
            let settled = Settled { path: path.clone(), hint, from: from.map(PathBuf::from) };
            known.judge(settled, wants_all).map(|change| (change.kind, change.from))
        };
        assert_eq!(judge(Hint::Created, None, false), None, "it came and went");
        assert_eq!(judge(Hint::Created, None, true), Some((Kind::Create, None)));
        assert_eq!(judge(Hint::Removed, None, true), Some((Kind::Remove, None)));
        std::fs::write(&path, "1").expect("written");
        assert_eq!(judge(Hint::Touched, None, false), Some((Kind::Create, None)));
        assert_eq!(judge(Hint::Created, None, false), None, "this has been told");
        assert_eq!(judge(Hint::Written, None, false), Some((Kind::Modify, None)));
        std::fs::write(&path, "22").expect("written");
        let renamed = judge(Hint::Renamed, Some("/x"), false);
        assert_eq!(renamed, Some((Kind::Rename, Some("/x".into()))));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(judge(Hint::Created, None, false), Some((Kind::Remove, None)));
        assert_eq!(judge(Hint::Removed, None, true), None, "this has been told");
    }
}
