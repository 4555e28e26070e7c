//! A lane that is told what has changed: for scripts that are tested.
//!
//! No kernel and no thread: whoever writes a file says so, and what is quiet when is decided in the
//! time of the runtime. What is told to whom is judged as for the kernel's events.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Instant,
};

use tokio::{
    sync::Notify,
    time::{Instant as Tokio, sleep_until},
};

use super::{
    Refused, Request, WatchId,
    folders::Folders,
    settle::Hint,
    source::{Happening, LaneId, Source},
    watched::Watched,
};

/// All watches of a hub. Clones share them.
#[derive(Clone, Default)]
pub(in crate::script) struct Told(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lane: Mutex<Lane>,
    changed: Notify,
}

struct Lane {
    folders: Folders,
    watches: BTreeMap<WatchId, Watched>,
}

impl Default for Lane {
    fn default() -> Self {
        let folders = Folders::new(Arc::new(Source::told()), LaneId(0));
        Self { folders, watches: BTreeMap::new() }
    }
}

impl Told {
    pub(super) fn add(
        &self,
        id: WatchId,
        request: Request,
        held: Arc<AtomicUsize>,
    ) -> Result<(), Refused> {
        let Lane { folders, watches } = &mut *self.lane();
        watches.insert(id, Watched::begin(now(), id, request, held, folders)?);
        self.0.changed.notify_one();
        Ok(())
    }

    pub(super) fn remove(&self, id: WatchId) {
        self.lane().end(id);
    }

    /// Takes note that a file or folder was made.
    pub(in crate::script) fn made(&self, path: &Path) {
        self.happened(path, Hint::Created);
    }

    /// Takes note that a file was written anew.
    pub(in crate::script) fn written(&self, path: &Path) {
        self.happened(path, Hint::Written);
    }

    /// Takes note that a file or folder was removed.
    pub(in crate::script) fn removed(&self, path: &Path) {
        self.happened(path, Hint::Removed);
    }

    fn happened(&self, path: &Path, hint: Hint) {
        let Lane { folders, watches } = &mut *self.lane();
        let happening = Happening { path: path.to_owned(), hint, from: None };
        for id in folders.concerned(path) {
            if let Some(watched) = watches.get_mut(&id) {
                watched.on_happening(now(), &happening, folders);
            }
        }
        self.0.changed.notify_one();
    }

    /// Tells of what has become quiet, for as long as there is somebody to tell.
    pub(in crate::script) async fn run(self) {
        loop {
            let next = self.lane().watches.values().map(Watched::next_wake).min();
            let due = async {
                match next {
                    Some(at) => sleep_until(Tokio::from_std(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.lane().turn(now()),
                () = self.0.changed.notified() => {}
            }
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.0.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn turn(&mut self, now: Instant) {
        let due = self.watches.iter().filter(|(_, watched)| watched.next_wake() <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            let watched = self.watches.get_mut(&id);
            if watched.is_some_and(|watched| !watched.turn(now, &mut self.folders)) {
                self.end(id);
            }
        }
    }

    fn end(&mut self, id: WatchId) {
        if let Some(watched) = self.watches.remove(&id) {
            watched.end(&mut self.folders);
        }
    }
}

fn now() -> Instant {
    Tokio::now().into_std()
}
