//! Watching files: one kernel watcher for the daemon, always on folders.
//!
//! A watch on a file goes deaf with the first editor that saves by renaming, so
//! the folders on the way to it are watched ([`trail`]), and those below
//! ([`look`]). An event says only that a path is worth a look; what is told is
//! what has changed when the path is quiet ([`settle`]) against what was told
//! before. Every minute all of it is compared, whatever the kernel said.
//!
//! Watches of one script share a thread ([`lane`]), and each that polls has its
//! own: a mount that hangs stops the script that watches it, and nobody else.

mod folders;
mod inbox;
mod known;
mod lane;
mod look;
mod settle;
mod source;
mod told;
mod trail;
mod watched;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::sync::oneshot;

pub use inbox::Inbox;
use lane::{Lane, Message};
use source::{LaneId, Source};
pub(super) use told::Told;

pub use super::pattern::Pattern;

/// The way to the threads that watch. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// Numbers a watch, over all scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(u64);

/// What is watched, and who hears of it.
pub struct Request {
    /// Who asks: a script's name. Its watches have a thread and a limit of their own.
    pub group: Arc<str>,
    /// What is meant, contents of folders included.
    pub patterns: Vec<Pattern>,
    /// How long a path must be quiet; zero reports at once.
    pub settle: Duration,
    /// Compares by looking instead of being told, this often: for network mounts.
    pub poll: Option<Duration>,
    /// Reports what is there at the start as if it had just come.
    pub initial: bool,
    /// Refuses a path that is not there, instead of waiting for it.
    pub must_exist: bool,
    /// Gets the changes that became quiet together; returns false when nobody listens any more.
    pub deliver: Box<dyn Fn(WatchId, Vec<Change>) -> bool + Send>,
}

/// What happened to a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened, all in all.
    pub kind: Kind,
    /// The path, as the script knows it.
    pub path: PathBuf,
    /// Where a renamed file came from.
    pub from: Option<PathBuf>,
}

/// Kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// Why a watch does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `must_exist`, and it does not.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// There is too much below it.
    #[error("the watches of one script hold {most} paths; with {} they would be more", .path.display())]
    TooMany {
        /// Where the watch begins.
        path: PathBuf,
        /// How many one script may watch.
        most: usize,
    },
    /// The thread that would watch cannot be started.
    #[error("no thread to watch files with: {0}")]
    NoThread(String),
}

/// What the threads have in common.
struct Shared {
    source: Arc<Source>,
    lanes: Mutex<Lanes>,
    next: AtomicU64,
    /// Serves all watches instead of threads.
    told: Option<Told>,
}

#[derive(Default)]
struct Lanes {
    running: BTreeMap<LaneKey, mpsc::Sender<Message>>,
    of: BTreeMap<WatchId, LaneKey>,
    /// Paths that the watches of one group hold.
    held: BTreeMap<Arc<str>, Arc<AtomicUsize>>,
    is_stopped: bool,
}

/// Whose watches share a thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum LaneKey {
    /// Those of one script.
    Group(Arc<str>),
    /// One that polls: it is on a network mount, or has long to look.
    Polled(WatchId),
}

impl Hub {
    /// Makes a hub; threads come with the first watches.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Makes a hub without kernel and threads, and what it is told by.
    pub(super) fn told() -> (Self, Told) {
        let told = Told::default();
        (Self::with(Some(told.clone())), told)
    }

    fn with(told: Option<Told>) -> Self {
        let (source, lanes, next) = (Arc::default(), Mutex::default(), AtomicU64::new(1));
        Self { shared: Arc::new(Shared { source, lanes, next, told }) }
    }

    /// Begins a watch. The answer comes when it stands: what happens from then on is told. When
    /// nobody waits for the answer any more, the watch tells of a rescan first.
    pub fn add(&self, request: Request) -> (WatchId, oneshot::Receiver<Result<(), Refused>>) {
        let id = WatchId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        let key = match request.poll {
            Some(_) => LaneKey::Polled(id),
            None => LaneKey::Group(request.group.clone()),
        };
        let (reply, answer) = oneshot::channel();
        let mut lanes = self.shared.lanes();
        if lanes.is_stopped {
            let _ = reply.send(Err(Refused::NoThread("puad ends".into())));
            return (id, answer);
        }
        let held = lanes.held.entry(request.group.clone()).or_default().clone();
        if let Some(told) = &self.shared.told {
            let _ = reply.send(told.add(id, request, held));
            return (id, answer);
        }
        let lane = match lanes.running.get(&key) {
            Some(lane) => lane.clone(),
            None => {
                let number = LaneId(self.shared.next.fetch_add(1, Ordering::Relaxed));
                match Lane::start(number, key.clone(), self.shared.clone()) {
                    Ok(lane) => lanes.running.entry(key.clone()).or_insert(lane).clone(),
                    Err(error) => {
                        let _ = reply.send(Err(Refused::NoThread(error.to_string())));
                        return (id, answer);
                    }
                }
            }
        };
        lanes.of.insert(id, key);
        // Sent under the lock: a lane that ends looks for late letters under it.
        let _ = lane.send(Message::Add(id, Box::new(request), held, reply));
        (id, answer)
    }

    /// Ends a watch.
    pub fn remove(&self, id: WatchId) {
        if let Some(told) = &self.shared.told {
            return told.remove(id);
        }
        let mut lanes = self.shared.lanes();
        let Some(key) = lanes.of.remove(&id) else { return };
        if let Some(lane) = lanes.running.get(&key) {
            let _ = lane.send(Message::Remove(id));
        }
    }

    /// Ends everything.
    pub fn stop(&self) {
        let mut lanes = self.shared.lanes();
        lanes.is_stopped = true;
        for lane in lanes.running.values() {
            let _ = lane.send(Message::Stop);
        }
        drop(lanes);
        self.shared.source.close();
    }

    /// Takes an event as the kernel's watcher gives it.
    pub fn handle_event(&self, event: notify::Result<notify::Event>) {
        self.shared.source.handle_event(event);
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("watches", &self.shared.lanes().of.len()).finish()
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What editors and orchestrators leave while they save: nobody wants to hear of it.
fn is_dropping(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b"~")
        || name.ends_with(b".swp")
        || name.ends_with(b".swx")
        || name.starts_with(b".#")
        || name.starts_with(b"..")
        || name == b"4913"
}

/// Kubernetes swaps this link for a whole folder: everything beside it may be new.
const SWAPPED: &str = "..data";
