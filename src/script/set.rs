//! The set of all scripts: which there are, and what everybody asks of them.
//!
//! Each has a [`keeper`](super::keeper) of its own, so that one that is slow to load holds up no
//! other. Which scripts are wanted is decided by [`config`](crate::config).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Problem, ScriptSpec, Status, TimerInfo,
    clock::Clock,
    commons::Commons,
    generation::Ground,
    host::Mail,
    keeper::{Keeper, SETTLE, Taken, ToKeeper},
    pattern::Pattern,
    processes::Processes,
    status::{Book, Standing},
    threads::Threads,
    watch::{Hub, Request},
};
use crate::{driver, observe::metrics::Registry};

/// How scripts are run.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Scripts that have a thread of their own; the others share a few.
    pub own_threads: usize,
    /// How long a reloaded script has for declaring its publications again, at the least.
    pub orphan_patience: Duration,
    /// A check: what writes or reaches outside is refused, and files are not watched for reloads.
    pub is_rehearsal: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { own_threads: 256, orphan_patience: Duration::from_secs(60), is_rehearsal: false }
    }
}

/// All running scripts.
#[derive(Debug)]
pub struct Scripts {
    orders: mpsc::UnboundedSender<Order>,
    stopping: watch::Sender<bool>,
    book: Book,
    loading: Vec<(Arc<str>, Loading)>,
    hub: Hub,
    metrics: Registry,
    processes: Arc<Processes>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Loading = oneshot::Receiver<Result<(), Problem>>;

/// The scripts as an onlooker sees them; cheap to clone, and it keeps nothing at work.
#[derive(Debug, Clone)]
pub struct View(Book);

impl View {
    /// Returns name and status of every script, in order of their names.
    pub fn status(&self) -> Vec<(Arc<str>, Status)> {
        let Ok(book) = self.0.lock() else { return Vec::new() };
        let status = |standing: &Mutex<Standing>| {
            standing.lock().map(|standing| standing.status()).unwrap_or_default()
        };
        book.iter().map(|(name, standing)| (name.clone(), status(standing))).collect()
    }
}

/// How long a list waits for scripts that are busy.
const BUSY: Duration = Duration::from_secs(2);

/// What the set is told.
enum Order {
    Update(Update, oneshot::Sender<Vec<(Arc<str>, Taken)>>),
    Pass(Arc<str>, Mail),
    PassToAll(Box<dyn FnMut() -> Mail + Send>),
    Stop(oneshot::Sender<()>),
}

/// Which scripts are wanted from now on.
#[derive(Debug, Default)]
pub struct Update {
    /// Those that are wanted.
    pub specs: Vec<ScriptSpec>,
    /// Wanted too, but their files cannot be read as scripts.
    pub unreadable: Vec<(Arc<str>, Problem)>,
    /// Begin a new version even where nothing has changed: of the script of this name, or of all.
    pub force: Force,
}

/// Which scripts begin a new version although nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Force {
    /// None.
    #[default]
    Nothing,
    /// The one of this name.
    One(Arc<str>),
    /// All.
    All,
}

impl Scripts {
    /// Starts every script on a thread of its own. A script that cannot be started is shown as
    /// failed; the others run.
    pub fn start(specs: Vec<ScriptSpec>, core: &driver::Handle) -> Self {
        Self::start_as(How::default(), specs, core)
    }

    /// As [`start`](Self::start), in a way that is not the usual one.
    pub fn start_as(how: How, specs: Vec<ScriptSpec>, core: &driver::Handle) -> Self {
        let hub = Hub::start();
        let commons = Arc::new(Commons::default());
        let metrics = commons.metrics.clone();
        let processes = commons.processes.clone();
        let (stopping, is_stopping) = watch::channel(false);
        let ground = Ground {
            core: core.clone(),
            hub: hub.clone(),
            commons,
            clock: Clock::default(),
            threads: Threads::new(how.own_threads),
            orphan_patience: how.orphan_patience,
            stopping: is_stopping,
            is_rehearsal: how.is_rehearsal,
            fakes: None,
        };
        let book = Book::default();
        let (orders, inbox) = mpsc::unbounded_channel();
        let mut set = Set { ground, book: book.clone(), keepers: BTreeMap::new() };
        let mut loading = Vec::new();
        let mut first = Vec::new();
        for spec in specs {
            let (told, loaded) = oneshot::channel();
            loading.push((spec.name.clone(), loaded));
            first.push(set.keeper(spec, Some(told)));
        }
        let spawned = std::thread::Builder::new().name("scripts".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(set.run(first, inbox)),
                Err(error) => tracing::error!(%error, "no event loop for scripts"),
            }
        });
        if let Err(error) = &spawned {
            tracing::error!(%error, "no thread for scripts: none runs");
        }
        Self { orders, stopping, book, loading, hub, metrics, processes, thread: spawned.ok() }
    }

    /// Waits until the top level of every script has ended, for `limit` at the most, and returns
    /// what went wrong by script name. A script that still waits by then is not counted as wrong.
    pub fn loaded(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Vec<(Arc<str>, Problem)>> + use<> {
        let loading = std::mem::take(&mut self.loading);
        async move {
            let deadline = Instant::now() + limit;
            let mut wrong = Vec::new();
            for (name, loaded) in loading {
                match tokio::time::timeout_at(deadline, loaded).await {
                    Ok(Ok(Err(problem))) => wrong.push((name, problem)),
                    // No word will come any more.
                    Ok(Err(_)) => {
                        wrong.push((name, Problem::new("the script's thread has ended")));
                    }
                    Ok(Ok(Ok(()))) | Err(_) => {}
                }
            }
            wrong
        }
    }

    /// Has exactly these scripts run from now on; returns what came of it by name. Scripts that
    /// are wanted no more are stopped a few seconds later, unless they are wanted again by then.
    pub fn update(&self, update: Update) -> impl Future<Output = Vec<(Arc<str>, Taken)>> + use<> {
        let (reply, taken) = oneshot::channel();
        let _ = self.orders.send(Order::Update(update, reply));
        async { taken.await.unwrap_or_default() }
    }

    /// Tells whenever one of these files or folders has changed and is quiet, and once when they
    /// are watched: what has been read by then may be old.
    pub fn watch_files(&self, paths: Vec<PathBuf>) -> mpsc::UnboundedReceiver<()> {
        let (changed, changes) = mpsc::unbounded_channel();
        self.hub.add(Request {
            group: "puad's own files".into(),
            patterns: paths.into_iter().map(|p| Pattern::of(p).with_contents(false)).collect(),
            settle: SETTLE,
            poll: None,
            initial: false,
            must_exist: false,
            deliver: Box::new(move |_, _| changed.send(()).is_ok()),
        });
        changes
    }

    /// Lets a script that is on hold go on; returns whether one of this name was.
    pub fn resume(&self, name: &str) -> impl Future<Output = bool> + use<> {
        let (reply, resumed) = oneshot::channel();
        let _ = self.orders.send(Order::Pass(name.into(), Mail::Resume(reply)));
        async { resumed.await.unwrap_or(false) }
    }

    /// Returns the timers of every script, by its name; a script that is busy for long is left out.
    pub fn timers(&self) -> impl Future<Output = Vec<(Arc<str>, Vec<TimerInfo>)>> + use<> {
        let (reply, mut told) = mpsc::unbounded_channel();
        let mail = Box::new(move || Mail::Timers(reply.clone()));
        let _ = self.orders.send(Order::PassToAll(mail));
        async move {
            let mut timers = Vec::new();
            // Every script drops its sender when it has answered.
            let all = async {
                while let Some(of_script) = told.recv().await {
                    timers.push(of_script);
                }
            };
            let _ = tokio::time::timeout(BUSY, all).await;
            timers.sort_by(|(a, _), (b, _)| a.cmp(b));
            timers
        }
    }

    /// Fires every timer once and waits until their handlers have ended, for `limit` at the most.
    pub async fn rehearse(&self, limit: Duration) {
        let (done, mut ended) = mpsc::unbounded_channel();
        let mail = Box::new(move || Mail::Rehearse(done.clone()));
        let _ = self.orders.send(Order::PassToAll(mail));
        // Every script drops its sender when its handlers have ended.
        let all = async { while ended.recv().await.is_some() {} };
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// Returns name and status of every script.
    pub fn status(&self) -> Vec<(Arc<str>, Status)> {
        self.view().status()
    }

    /// Returns what shows the scripts to others.
    pub fn view(&self) -> View {
        View(self.book.clone())
    }

    /// Returns the metrics that scripts have defined.
    pub fn metrics(&self) -> Registry {
        self.metrics.clone()
    }

    /// Ends every script and waits for its thread, for `limit` at the most.
    pub async fn stop(mut self, limit: Duration) {
        let (reply, stopped) = oneshot::channel();
        self.stopping.send_replace(true);
        let _ = self.orders.send(Order::Stop(reply));
        let thread = self.thread.take();
        let joined = async {
            // Where there was no thread there is no answer either.
            let _ = stopped.await;
            let processes = self.processes.clone();
            let join = move || {
                let ended = thread.is_none_or(|thread| thread.join().is_ok());
                // What scripts have run is ended with them, which nobody would do later.
                processes.wait_until_none();
                ended
            };
            if !tokio::task::spawn_blocking(join).await.unwrap_or(false) {
                tracing::error!("the thread of scripts has panicked");
            }
        };
        if tokio::time::timeout(limit, joined).await.is_err() {
            tracing::warn!("a script does not end; it is left behind");
        }
        self.hub.stop();
    }
}

/// The set's side of its thread.
struct Set {
    ground: Ground,
    book: Book,
    keepers: BTreeMap<Arc<str>, mpsc::UnboundedSender<ToKeeper>>,
}

impl Set {
    fn keeper(
        &mut self,
        spec: ScriptSpec,
        loaded: Option<oneshot::Sender<Result<(), Problem>>>,
    ) -> Keeper {
        let name = spec.name.clone();
        let (keeper, way) = Keeper::new(self.ground.clone(), self.book.clone(), spec, loaded);
        self.keepers.insert(name, way);
        keeper
    }

    async fn run(mut self, first: Vec<Keeper>, mut orders: mpsc::UnboundedReceiver<Order>) {
        for keeper in first {
            tokio::spawn(keeper.run());
        }
        while let Some(order) = orders.recv().await {
            match order {
                Order::Update(update, reply) => {
                    let waiting = self.update(update);
                    tokio::spawn(async move {
                        let mut taken = Vec::new();
                        for (name, done) in waiting {
                            let done = done.await;
                            taken.extend(done.map(|done| (name, done)));
                        }
                        let _ = reply.send(taken);
                    });
                }
                Order::Pass(name, mail) => {
                    if let Some(keeper) = self.keepers.get(&name) {
                        let _ = keeper.send(ToKeeper::Pass(mail));
                    }
                }
                Order::PassToAll(mut mail) => {
                    for keeper in self.keepers.values() {
                        let _ = keeper.send(ToKeeper::Pass(mail()));
                    }
                }
                Order::Stop(reply) => {
                    let stopping: Vec<_> = self
                        .keepers
                        .values()
                        .map(|keeper| {
                            let (done, stopped) = oneshot::channel();
                            let _ = keeper.send(ToKeeper::Stop(done));
                            stopped
                        })
                        .collect();
                    for stopped in stopping {
                        // One that has ended already says nothing.
                        let _ = stopped.await;
                    }
                    let _ = reply.send(());
                    return;
                }
            }
        }
    }

    /// Tells every keeper what is wanted of it.
    fn update(&mut self, update: Update) -> Vec<(Arc<str>, oneshot::Receiver<Taken>)> {
        self.keepers.retain(|_, keeper| !keeper.is_closed());
        let mut waiting = Vec::new();
        let mut wanted = BTreeSet::new();
        for spec in update.specs {
            let name = spec.name.clone();
            wanted.insert(name.clone());
            let (done, taken) = oneshot::channel();
            match self.keepers.get(&name) {
                Some(keeper) => {
                    let force = match &update.force {
                        Force::Nothing => false,
                        Force::One(one) => *one == name,
                        Force::All => true,
                    };
                    let _ = keeper.send(ToKeeper::Take { spec: Box::new(spec), force, done });
                }
                None => {
                    let keeper = self.keeper(spec, None);
                    tracing::info!(script = &*name, "starting");
                    tokio::spawn(keeper.run());
                    let _ = done.send(Taken::Started(1));
                }
            }
            waiting.push((name, taken));
        }
        for (name, problem) in update.unreadable {
            wanted.insert(name.clone());
            let (done, taken) = oneshot::channel();
            match self.keepers.get(&name) {
                Some(keeper) => {
                    let _ = keeper.send(ToKeeper::Unreadable(problem, done));
                }
                None => {
                    tracing::error!(script = &*name, "not running: {problem}");
                    let _ = done.send(Taken::Failed(problem));
                }
            }
            waiting.push((name, taken));
        }
        for (name, keeper) in &self.keepers {
            if !wanted.contains(name) {
                let (done, taken) = oneshot::channel();
                let _ = keeper.send(ToKeeper::Unwanted(done));
                waiting.push((name.clone(), taken));
            }
        }
        waiting
    }
}
