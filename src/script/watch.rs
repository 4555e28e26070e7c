//! One file watcher for the daemon, on parent folders.
//!
//! A watch on a file goes deaf with the first editor that saves by renaming, so
//! folders are watched and events are sorted by name. A path whose folder is
//! not there yet is waited for at the nearest one that is. When a path is
//! quiet is decided by [`settle`](super::settle).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};

use super::settle::{Settled, Settling};

/// The way to the watcher's thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: mpsc::Sender<Message>,
    next: Arc<Mutex<u64>>,
}

/// Numbers a watch, over all scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(u64);

/// What is watched, and who hears of it.
pub struct Request {
    /// Absolute paths; the last part may hold `*` and `?`.
    pub paths: Vec<PathBuf>,
    /// Everything below the paths, too.
    pub recursive: bool,
    /// How long a path must be quiet; zero reports at once.
    pub settle: Duration,
    /// Compares by looking instead of being told, this often: for network mounts.
    pub poll: Option<Duration>,
    /// Gets the changes; returns false when nobody listens any more.
    pub deliver: Box<dyn Fn(WatchId, Change) -> bool + Send>,
}

/// What happened to a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened, all in all.
    pub kind: Kind,
    /// The path; for several, the first.
    pub path: PathBuf,
    /// Where a renamed file came from.
    pub from: Option<PathBuf>,
    /// All paths that became quiet together; shared by their changes.
    pub paths: Arc<[PathBuf]>,
}

/// Kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is there and was not.
    Create,
    /// Its content has changed.
    Modify,
    /// It is gone.
    Remove,
    /// It came by renaming.
    Rename,
    /// Events were lost: anything may have happened.
    Rescan,
}

impl Kind {
    /// Returns the text scripts compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Rescan => "rescan",
        }
    }
}

enum Message {
    Add(WatchId, Request),
    Remove(WatchId),
    Event(notify::Result<notify::Event>),
    Stop,
}

impl Hub {
    /// Starts the thread; it sleeps until something is watched.
    pub fn start() -> Self {
        let (sender, receiver) = mpsc::channel();
        let events = sender.clone();
        let spawned = std::thread::Builder::new().name("watch".into()).spawn(move || {
            let mut keeper = Keeper {
                watcher: None,
                events,
                watches: BTreeMap::new(),
                folders: BTreeMap::new(),
            };
            keeper.run(&receiver);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the file watcher: no file will be watched");
        }
        Self { sender, next: Arc::default() }
    }

    /// Begins a watch.
    pub fn add(&self, request: Request) -> WatchId {
        let id = match self.next.lock() {
            Ok(mut next) => {
                *next += 1;
                WatchId(*next)
            }
            Err(_) => WatchId(0),
        };
        let _ = self.sender.send(Message::Add(id, request));
        id
    }

    /// Ends a watch.
    pub fn remove(&self, id: WatchId) {
        let _ = self.sender.send(Message::Remove(id));
    }

    /// Ends the thread.
    pub fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

/// The thread's state.
struct Keeper {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Sender<Message>,
    watches: BTreeMap<WatchId, Watch>,
    /// Folders that are watched, and whether with all below.
    folders: BTreeMap<PathBuf, bool>,
}

struct Watch {
    request: Request,
    settling: Settling,
    next_poll: Option<Instant>,
    /// What was there when last looked, for polling and rescans.
    seen: BTreeMap<PathBuf, Stamp>,
}

/// Enough of a file's metadata to tell that it has changed.
type Stamp = (u64, Option<std::time::SystemTime>);

impl Keeper {
    fn run(&mut self, receiver: &mpsc::Receiver<Message>) {
        loop {
            let now = Instant::now();
            let message = match self.next_wake(now) {
                Some(at) => match receiver.recv_timeout(at.saturating_duration_since(now)) {
                    Ok(message) => Some(message),
                    Err(mpsc::RecvTimeoutError::Timeout) => None,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                },
                None => match receiver.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return,
                },
            };
            let now = Instant::now();
            match message {
                Some(Message::Add(id, request)) => self.add(now, id, request),
                Some(Message::Remove(id)) => {
                    self.watches.remove(&id);
                    self.tend_folders();
                }
                Some(Message::Event(Ok(event))) => self.sort(now, &event),
                Some(Message::Event(Err(error))) => {
                    tracing::debug!(%error, "file watcher");
                    self.rescan(now);
                }
                Some(Message::Stop) => return,
                None => {}
            }
            self.poll(now);
            self.deliver(now);
        }
    }

    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let settle = self.watches.values().filter_map(|watch| watch.settling.next()).min();
        let poll = self.watches.values().filter_map(|watch| watch.next_poll).min();
        // The net below everything: mounts and exotic file systems lose events without a word.
        let slow = (!self.watches.is_empty()).then(|| now + SLOW_CHECK);
        [settle, poll, slow].into_iter().flatten().min()
    }

    fn add(&mut self, now: Instant, id: WatchId, request: Request) {
        let next_poll = request.poll.map(|every| now + every);
        let mut watch =
            Watch { request, settling: Settling::default(), next_poll, seen: BTreeMap::new() };
        watch.seen = watch.look();
        self.watches.insert(id, watch);
        self.tend_folders();
    }

    /// Watches exactly the folders that are needed now: those of the watched paths, or the nearest
    /// ones that exist.
    fn tend_folders(&mut self) {
        let mut needed: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for watch in self.watches.values().filter(|watch| watch.request.poll.is_none()) {
            for path in &watch.request.paths {
                let recursive = watch.request.recursive && path.is_dir();
                let folder = if path.is_dir() { path.clone() } else { nearest_folder(path) };
                *needed.entry(folder).or_default() |= recursive;
                // A folder that is replaced is seen from above only.
                if path.is_dir() {
                    needed.entry(nearest_folder(path)).or_default();
                }
            }
        }
        if needed == self.folders {
            return;
        }
        let events = self.events.clone();
        if self.watcher.is_none() {
            match notify::recommended_watcher(move |event| {
                let _ = events.send(Message::Event(event));
            }) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    tracing::error!(%error, "files cannot be watched; give the watch a poll interval");
                    return;
                }
            }
        }
        let Some(watcher) = &mut self.watcher else { return };
        for (folder, recursive) in &self.folders {
            if needed.get(folder) != Some(recursive) {
                let _ = watcher.unwatch(folder);
            }
        }
        let mut watched = BTreeMap::new();
        for (folder, recursive) in needed {
            if self.folders.get(&folder) == Some(&recursive) && folder.is_dir() {
                watched.insert(folder, recursive);
                continue;
            }
            let mode =
                if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            match watcher.watch(&folder, mode) {
                Ok(()) => {
                    watched.insert(folder, recursive);
                }
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "cannot be watched")
                }
            }
        }
        self.folders = watched;
    }

    /// Gives an event to the watches it concerns.
    fn sort(&mut self, now: Instant, event: &notify::Event) {
        if event.need_rescan() {
            return self.rescan(now);
        }
        let (kind, from) = match event.kind {
            EventKind::Create(_) => (Kind::Create, None),
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                (Kind::Rename, event.paths.first().cloned())
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => (Kind::Rename, None),
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
                (Kind::Remove, None)
            }
            EventKind::Modify(_) => (Kind::Modify, None),
            EventKind::Access(_) => return,
            EventKind::Any | EventKind::Other => (Kind::Modify, None),
        };
        // The other half of a pair has been seen by itself.
        let path = if from.is_some() { event.paths.get(1) } else { event.paths.first() };
        let Some(path) = path else { return };
        // Kubernetes swaps one link for a whole folder: everything in it may be new.
        let is_swap = path.file_name().is_some_and(|name| name == "..data");
        let mut is_structural = false;
        for watch in self.watches.values_mut() {
            if is_swap
                && watch
                    .request
                    .paths
                    .iter()
                    .any(|p| Some(nearest_folder(p).as_path()) == path.parent())
            {
                watch.compare(now);
                continue;
            }
            if watch.concerns(path) && !is_dropping(path) {
                watch.settling.note(now, watch.request.settle, path.clone(), kind, from.clone());
            }
            // A folder on the way to a watched path came or went.
            is_structural |= watch.request.paths.iter().any(|watched| watched.starts_with(path));
        }
        if is_structural && kind != Kind::Modify {
            self.folders.remove(path);
            self.tend_folders();
            for watch in self
                .watches
                .values_mut()
                .filter(|w| w.request.paths.iter().any(|p| p.starts_with(path)))
            {
                watch.compare(now);
            }
        }
    }

    /// Events were lost: compares what is there with what was.
    fn rescan(&mut self, now: Instant) {
        for watch in self.watches.values_mut() {
            for path in watch.request.paths.clone() {
                watch.settling.note(now, watch.request.settle, path, Kind::Rescan, None);
            }
        }
        self.tend_folders();
    }

    fn poll(&mut self, now: Instant) {
        for watch in self.watches.values_mut() {
            if watch.next_poll.is_some_and(|at| at <= now) {
                watch.compare(now);
                // One thread looks for everybody: a large tree must leave it time for the others.
                let ended = Instant::now();
                let rest = ended.duration_since(now) * 10;
                watch.next_poll = watch.request.poll.map(|every| now + every.max(rest));
            }
        }
    }

    fn deliver(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (id, watch) in &mut self.watches {
            let quiet = watch.settling.take_quiet(now);
            if quiet.is_empty() {
                continue;
            }
            for settled in &quiet {
                watch.seen.remove(&settled.path);
                note_stamp(&mut watch.seen, &settled.path);
            }
            let paths: Arc<[PathBuf]> = quiet.iter().map(|settled| settled.path.clone()).collect();
            for Settled { path, kind, from } in quiet {
                let change = Change { kind, path, from, paths: paths.clone() };
                if !(watch.request.deliver)(*id, change) {
                    gone.push(*id);
                    break;
                }
            }
        }
        if !gone.is_empty() {
            for id in gone {
                self.watches.remove(&id);
            }
            self.tend_folders();
        }
    }
}

impl Watch {
    /// Returns whether an event on this path is what was asked for.
    fn concerns(&self, path: &Path) -> bool {
        self.request.paths.iter().any(|watched| {
            path == watched
                || matches_pattern(watched, path)
                || path.parent() == Some(watched)
                || self.request.recursive && path.starts_with(watched)
        })
    }

    /// Looks at everything watched.
    fn look(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut seen = BTreeMap::new();
        let mut folders = BTreeSet::new();
        for path in &self.request.paths {
            if has_pattern(path) {
                folders.insert(nearest_folder(path));
            } else if path.is_dir() {
                folders.insert(path.clone());
            } else {
                note_stamp(&mut seen, path);
            }
        }
        while let Some(folder) = folders.pop_first() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if self.concerns(&path) && !is_dropping(&path) {
                    note_stamp(&mut seen, &path);
                }
                if self.request.recursive && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.insert(path);
                }
            }
        }
        seen
    }

    /// Notes what differs from the last look.
    fn compare(&mut self, now: Instant) {
        let seen = self.look();
        let settle = self.request.settle;
        for (path, stamp) in &seen {
            match self.seen.get(path) {
                None => self.settling.note(now, settle, path.clone(), Kind::Create, None),
                Some(earlier) if earlier != stamp => {
                    self.settling.note(now, settle, path.clone(), Kind::Modify, None)
                }
                Some(_) => {}
            }
        }
        for path in self.seen.keys().filter(|path| !seen.contains_key(*path)) {
            self.settling.note(now, settle, path.clone(), Kind::Remove, None);
        }
        self.seen = seen;
    }
}

fn note_stamp(seen: &mut BTreeMap<PathBuf, Stamp>, path: &Path) {
    if let Ok(metadata) = std::fs::metadata(path) {
        seen.insert(path.to_owned(), (metadata.len(), metadata.modified().ok()));
    }
}

/// Returns the nearest folder above a path that exists.
fn nearest_folder(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// What editors leave while they save.
fn is_dropping(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".swx")
        || name.starts_with(".#")
        || name == "4913"
}

/// Returns whether the last part of a path is a pattern.
pub fn has_pattern(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(['*', '?']))
}

fn matches_pattern(pattern: &Path, path: &Path) -> bool {
    has_pattern(pattern)
        && pattern.parent() == path.parent()
        && match (pattern.file_name(), path.file_name()) {
            (Some(pattern), Some(name)) => {
                matches(pattern.to_string_lossy().as_bytes(), name.to_string_lossy().as_bytes())
            }
            _ => false,
        }
}

/// Matches `*` and `?` in linear space and without backtracking over more than one star.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(byte) if *byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, n) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How long the thread sleeps at the most while something is watched.
const SLOW_CHECK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.eml", "a.eml", true),
            ("*.eml", "a.txt", false),
            ("a?c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("*", "", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
