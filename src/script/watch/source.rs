//! The daemon's one kernel watcher, and who hears of which folder.
//!
//! Folders are given here without links, and one at a time: the kernel knows a
//! folder under one name only, and what is below it is the business of
//! [`look`](super::look).

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::{lane::Message, settle::Hint};

/// Numbers a thread that hears of folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u64);

/// What the kernel said of one folder entry, or of a watched folder itself.
#[derive(Debug)]
pub(super) struct Happening {
    pub(super) path: PathBuf,
    pub(super) hint: Hint,
    pub(super) from: Option<PathBuf>,
}

/// The kernel's watcher, made when the first folder is watched.
#[derive(Default)]
pub(super) struct Source {
    /// Held while folders are added and removed; taken before `routes`, never after.
    watcher: Mutex<Option<RecommendedWatcher>>,
    /// Held for moments only: the kernel's events wait for it.
    routes: Mutex<Routes>,
    /// The kernel is not asked: whoever changes something tells of it.
    is_told: bool,
}

#[derive(Default)]
struct Routes {
    folders: BTreeMap<PathBuf, Route>,
    lanes: BTreeMap<LaneId, Inlet>,
    /// The first half of a rename, whose second half carries the same number.
    leaving: Option<(usize, PathBuf)>,
}

#[derive(Default)]
struct Route {
    lanes: BTreeSet<LaneId>,
    /// What the kernel watches under this name: device and inode of the folder. None when that has
    /// gone, or something else may have got the name.
    watched: Option<(u64, u64)>,
}

/// The way into a lane: a bounded number of events, then one word that some were lost.
#[derive(Clone)]
pub(super) struct Inlet {
    sender: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    has_lost: Arc<AtomicBool>,
}

impl Inlet {
    pub(super) fn new(sender: mpsc::Sender<Message>) -> Self {
        Self { sender, waiting: Arc::default(), has_lost: Arc::default() }
    }

    fn push(&self, happening: Arc<Happening>) {
        if self.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            return self.lose();
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A lane that has ended hears nothing any more.
        let _ = self.sender.send(Message::Happened(happening));
    }

    fn lose(&self) {
        if !self.has_lost.swap(true, Ordering::Relaxed) {
            let _ = self.sender.send(Message::Lost);
        }
    }

    /// Notes that one event has been taken out.
    pub(super) fn took(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that the word of the loss has been taken out; the next loss is told again.
    pub(super) fn took_loss(&self) {
        self.has_lost.store(false, Ordering::Relaxed);
    }
}

impl Source {
    /// Makes one that does not ask the kernel.
    pub(super) fn told() -> Self {
        Self { is_told: true, ..Self::default() }
    }

    /// Lets a lane hear of the folders it will name.
    pub(super) fn join(&self, lane: LaneId, inlet: Inlet) {
        self.routes().lanes.insert(lane, inlet);
    }

    /// Takes a lane out, with everything it heard of.
    pub(super) fn leave(&self, lane: LaneId) {
        let folders: Vec<PathBuf> = {
            let mut routes = self.routes();
            routes.lanes.remove(&lane);
            let heard = routes.folders.iter().filter(|(_, route)| route.lanes.contains(&lane));
            heard.map(|(folder, _)| folder.clone()).collect()
        };
        for folder in folders {
            self.release(lane, &folder);
        }
    }

    /// Lets a lane hear of a folder, and returns whether it did not before: what happened until
    /// now must be looked up then.
    ///
    /// # Errors
    /// When the kernel watches it not.
    pub(super) fn ensure(
        self: &Arc<Self>,
        lane: LaneId,
        folder: &Path,
    ) -> Result<bool, notify::Error> {
        // Asked before any lock is taken: a mount that hangs stops only this lane.
        let found = std::fs::metadata(folder).map_err(notify::Error::io)?;
        let found = Some((found.dev(), found.ino()));
        let mut watcher = self.watcher();
        let (is_new, before) = {
            let mut routes = self.routes();
            let is_known = routes.folders.contains_key(folder);
            let route = routes.folders.entry(folder.to_owned()).or_default();
            // Noted before it is so: a word of the folder's end that comes meanwhile counts.
            let before = std::mem::replace(&mut route.watched, found);
            (route.lanes.insert(lane), is_known.then_some(before))
        };
        if before == Some(found) {
            return Ok(is_new);
        }
        if self.is_told {
            return Ok(true);
        }
        let added = self.made(&mut watcher).and_then(|watcher| {
            if before.is_some() {
                // The kernel may still watch what had this name before.
                let _ = watcher.unwatch(folder);
            }
            watcher.watch(folder, RecursiveMode::NonRecursive)
        });
        if added.is_err()
            && let Some(route) = self.routes().folders.get_mut(folder)
        {
            route.watched = None;
        }
        added.map(|()| true)
    }

    fn made<'a>(
        self: &Arc<Self>,
        watcher: &'a mut Option<RecommendedWatcher>,
    ) -> Result<&'a mut RecommendedWatcher, notify::Error> {
        if watcher.is_none() {
            let source: Weak<Self> = Arc::downgrade(self);
            *watcher = Some(notify::recommended_watcher(move |event| {
                if let Some(source) = source.upgrade() {
                    source.handle_event(event);
                }
            })?);
        }
        Ok(watcher.as_mut().expect("made above"))
    }

    /// Ends a lane's interest in a folder.
    pub(super) fn release(&self, lane: LaneId, folder: &Path) {
        let mut watcher = self.watcher();
        let is_last = {
            let mut routes = self.routes();
            let Some(route) = routes.folders.get_mut(folder) else { return };
            route.lanes.remove(&lane);
            let is_last = route.lanes.is_empty();
            if is_last {
                routes.folders.remove(folder);
            }
            is_last
        };
        if let Some(watcher) = watcher.as_mut().filter(|_| is_last) {
            // A folder that is gone is not watched any more anyway.
            let _ = watcher.unwatch(folder);
        }
    }

    /// Gives the kernel's watcher back.
    pub(super) fn close(&self) {
        let watcher = self.watcher().take();
        drop(watcher);
    }

    /// Takes what the kernel's watcher says, and passes it to whom it concerns.
    pub(super) fn handle_event(&self, event: notify::Result<notify::Event>) {
        let mut routes = self.routes();
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            Ok(_) => return routes.lose(),
            Err(error) => {
                tracing::debug!(%error, "file watcher");
                return routes.lose();
            }
        };
        let Some(happening) = routes.read(event) else { return };
        let happening = Arc::new(happening);
        let entry_of = happening.path.parent().and_then(|folder| routes.folders.get(folder));
        let itself = routes.folders.get(&happening.path);
        let mut hearing = BTreeSet::new();
        for route in [entry_of, itself].into_iter().flatten() {
            hearing.extend(route.lanes.iter());
        }
        for lane in hearing {
            if let Some(inlet) = routes.lanes.get(lane) {
                inlet.push(happening.clone());
            }
        }
    }

    fn watcher(&self) -> MutexGuard<'_, Option<RecommendedWatcher>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes {
    /// Tells everybody that events were lost.
    fn lose(&self) {
        for inlet in self.lanes.values() {
            inlet.lose();
        }
    }

    fn read(&mut self, event: notify::Event) -> Option<Happening> {
        let tracker = event.tracker();
        let path = event.paths.into_iter().next()?;
        let mut from = None;
        let hint = match event.kind {
            EventKind::Create(_) => Hint::Created,
            EventKind::Remove(_) => Hint::Removed,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.leaving = tracker.map(|tracker| (tracker, path.clone()));
                Hint::Removed
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                let left = self.leaving.take();
                from = left.filter(|(left, _)| Some(*left) == tracker).map(|(_, path)| path);
                Hint::Renamed
            }
            // Both halves have been seen by themselves.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
            EventKind::Modify(ModifyKind::Metadata(_))
            // Who writes through a mapping is heard of only when he closes the file.
            | EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Touched,
            EventKind::Modify(_) => Hint::Written,
            EventKind::Access(_) => return None,
            EventKind::Any | EventKind::Other => Hint::Touched,
        };
        if matches!(hint, Hint::Removed | Hint::Created | Hint::Renamed) {
            // What had this name has gone, with all below; the kernel may watch it still.
            let below = self.folders.range_mut::<PathBuf, _>(&path..);
            for (_, route) in below.take_while(|(folder, _)| folder.starts_with(&path)) {
                route.watched = None;
            }
        }
        Some(Happening { path, hint, from })
    }
}

/// Events that wait for a lane; more than these are one loss.
const MOST_WAITING: usize = 65_536;
