//! Which folders the watches of one lane hear of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    WatchId,
    look::Ensure,
    source::{LaneId, Source},
};

/// The folders of one lane, without links.
pub(super) struct Folders {
    source: Arc<Source>,
    lane: LaneId,
    of: BTreeMap<PathBuf, BTreeSet<WatchId>>,
}

impl Folders {
    pub(super) fn new(source: Arc<Source>, lane: LaneId) -> Self {
        Self { source, lane, of: BTreeMap::new() }
    }

    /// Returns the watches that an event on a path concerns: those of its folder, and those of the
    /// folder that it is.
    pub(super) fn concerned(&self, path: &Path) -> BTreeSet<WatchId> {
        let entry_of = path.parent().and_then(|folder| self.of.get(folder));
        let itself = self.of.get(path);
        [entry_of, itself].into_iter().flatten().flatten().copied().collect()
    }

    /// Ends a watch's interest in a folder.
    pub(super) fn release(&mut self, watch: WatchId, folder: &Path) {
        let Some(watches) = self.of.get_mut(folder) else { return };
        watches.remove(&watch);
        if watches.is_empty() {
            self.of.remove(folder);
            self.source.release(self.lane, folder);
        }
    }

    /// Begins to ask for the folders of one watch.
    pub(super) fn asking(&mut self, watch: WatchId) -> Asking<'_> {
        Asking { folders: self, watch, asked: BTreeSet::new(), problem: None }
    }
}

/// The folders that one look of one watch has asked for.
pub(super) struct Asking<'a> {
    folders: &'a mut Folders,
    watch: WatchId,
    pub(super) asked: BTreeSet<PathBuf>,
    /// Why the kernel does not tell of one of them.
    pub(super) problem: Option<notify::Error>,
}

impl Ensure for Asking<'_> {
    fn ensure(&mut self, folder: &Path) -> bool {
        match self.folders.source.ensure(self.folders.lane, folder) {
            Ok(is_new) => {
                self.folders.of.entry(folder.to_owned()).or_default().insert(self.watch);
                self.asked.insert(folder.to_owned());
                is_new
            }
            Err(error) => {
                // Not known to the lane: a folder that has just gone has no events either.
                if !self.folders.of.contains_key(folder) {
                    self.folders.source.release(self.folders.lane, folder);
                }
                if !is_missing(&error) {
                    self.problem = Some(error);
                }
                false
            }
        }
    }
}

/// For a watch that polls: no folder tells anything.
pub(super) struct Silent;

impl Ensure for Silent {
    fn ensure(&mut self, _: &Path) -> bool {
        false
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}
