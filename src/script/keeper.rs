//! One script over its versions: started, watched, replaced by a newer one, stopped.
//!
//! A newer version runs its top level beside the one that counts and takes over only when that went
//! well, so a mistake costs nothing but a line in the log. Which scripts there are is decided by
//! [`set`](super::set); what a version does is in [`thread`](super::thread).

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Problem, ScriptSpec, ScriptState,
    generation::{Generation, Ground, Heritage, Loaded, Modules, hash_of, have_changed},
    host::Mail,
    life::Reason,
    pattern::Pattern,
    status::{Book, Standing},
    threads::Place,
    watch::{Request, WatchId},
};
use crate::command::{Command, Owner, Reply};

/// What a keeper is told.
#[derive(Debug)]
pub(super) enum ToKeeper {
    /// This is how the script is wanted. `force`: in a new version even when nothing has changed.
    Take { spec: Box<ScriptSpec>, force: bool, done: oneshot::Sender<Taken> },
    /// Its file cannot be read as a script.
    Unreadable(Problem, oneshot::Sender<Taken>),
    /// It is wanted no more.
    Unwanted(oneshot::Sender<Taken>),
    /// One of its files has changed.
    Changed,
    /// It has looked for modules that nobody watches yet.
    NewModules,
    /// A letter for the version that counts.
    Pass(Mail),
    /// puad stops.
    Stop(oneshot::Sender<()>),
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It runs as wanted already.
    Unchanged,
    /// This version has been started; its top level goes on by itself.
    Started(u64),
    /// This version has taken over.
    Reloaded(u64),
    /// The newest version cannot run.
    Failed(Problem),
    /// It is being stopped, since nobody wants it any more.
    Stopping,
}

/// One script.
pub(super) struct Keeper {
    ground: Ground,
    book: Book,
    standing: Arc<Mutex<Standing>>,
    spec: ScriptSpec,
    current: Option<Generation>,
    /// What gives its versions a thread of their own.
    place: Option<Arc<Place>>,
    /// What the current version was made of.
    running: [u8; 32],
    /// The newest version that could not run, if that is newer than the current one.
    failed: Option<Failed>,
    /// The file could not be read when it was looked at last.
    is_unread: bool,
    /// The first version's top level has not ended.
    loading: Option<Loaded>,
    /// Who waits for that.
    waiting: Option<oneshot::Sender<Result<(), Problem>>>,
    generation: u64,
    sender: mpsc::UnboundedSender<ToKeeper>,
    inbox: mpsc::UnboundedReceiver<ToKeeper>,
    /// The script has a file that can go away; those built in have none.
    has_file: bool,
    is_wanted: bool,
    /// When a script whose file is missing, or that nobody wants, is stopped.
    gone_at: Option<Instant>,
    /// When a file that was found empty is looked at again.
    look_at: Option<Instant>,
    watch: Option<WatchId>,
    /// Sorted.
    watched: Vec<PathBuf>,
}

impl Keeper {
    /// Makes a keeper and the way to it; `loaded` is told what came of the first top level.
    pub(super) fn new(
        ground: Ground,
        book: Book,
        spec: ScriptSpec,
        loaded: Option<oneshot::Sender<Result<(), Problem>>>,
    ) -> (Self, mpsc::UnboundedSender<ToKeeper>) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let standing = Standing { file: spec.path.clone(), ..Standing::default() };
        let standing = Arc::new(Mutex::new(standing));
        if let Ok(mut book) = book.lock() {
            book.insert(spec.name.clone(), standing.clone());
        }
        let has_file = ground.follows_files() && spec.path.exists();
        let keeper = Self {
            ground,
            book,
            standing,
            spec,
            current: None,
            place: None,
            running: [0; 32],
            failed: None,
            is_unread: false,
            loading: None,
            waiting: loaded,
            generation: 0,
            sender: sender.clone(),
            inbox,
            has_file,
            is_wanted: true,
            gone_at: None,
            look_at: None,
            watch: None,
            watched: Vec::new(),
        };
        (keeper, sender)
    }

    /// Keeps the script until it is wanted no more.
    pub(super) async fn run(mut self) {
        self.begin();
        loop {
            let wake = [self.gone_at, self.look_at].into_iter().flatten().min();
            tokio::select! {
                told = self.inbox.recv() => match told {
                    None => break,
                    Some(ToKeeper::Stop(done)) => {
                        self.stop(Reason::Shutdown).await;
                        let _ = done.send(());
                        break;
                    }
                    Some(told) => self.hear(told).await,
                },
                loaded = ended(&mut self.loading) => self.has_loaded(loaded),
                () = at(wake) => {
                    if self.is_over().await {
                        if self.inbox.is_empty() {
                            break;
                        }
                        // It may be wanted again by now.
                        self.gone_at = Some(Instant::now());
                    }
                }
            }
        }
        if let Some(watch) = self.watch {
            self.ground.hub.remove(watch);
        }
        if let Ok(mut book) = self.book.lock() {
            book.remove(&self.spec.name);
        }
    }

    async fn hear(&mut self, told: ToKeeper) {
        match told {
            ToKeeper::Take { spec, force, done } => {
                (self.is_wanted, self.gone_at) = (true, None);
                let _ = done.send(self.take(*spec, force).await);
            }
            ToKeeper::Unreadable(problem, done) => {
                self.is_wanted = true;
                self.gone_at = match self.spec.path.exists() {
                    true => None,
                    false => self.gone_at.or(Some(Instant::now() + GONE)),
                };
                let _ = done.send(self.cannot_read(problem));
            }
            ToKeeper::Unwanted(done) => {
                self.is_wanted = false;
                self.gone_at.get_or_insert(Instant::now() + GONE);
                let _ = done.send(Taken::Stopping);
            }
            ToKeeper::Changed => self.look().await,
            ToKeeper::NewModules => self.tend_watch(),
            ToKeeper::Pass(mail) => {
                // A script that does not run drops the letter, and with it the way to answer.
                if let Some(current) = &self.current {
                    let _ = current.mail.send(mail);
                }
            }
            // Heard above.
            ToKeeper::Stop(_) => {}
        }
    }

    /// Looks at the script's file, and takes what is in it.
    async fn look(&mut self) {
        if !self.has_file {
            return;
        }
        match self.spec.read() {
            Ok(source) => {
                if self.is_wanted {
                    self.gone_at = None;
                }
                let spec = ScriptSpec { source, ..self.spec.clone() };
                self.take(spec, false).await;
            }
            Err(_) if !self.spec.path.exists() => {
                self.look_at = None;
                if self.gone_at.is_none() && self.current.is_some() {
                    let script = &*self.spec.name;
                    tracing::warn!(
                        script,
                        "{} is gone; the script is stopped in {} s unless it comes back",
                        self.spec.path.display(),
                        GONE.as_secs()
                    );
                }
                self.gone_at.get_or_insert(Instant::now() + GONE);
            }
            Err(problem) => {
                self.look_at = None;
                self.cannot_read(problem);
            }
        }
    }

    /// Does what is due; returns whether the script is to be forgotten.
    async fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.look_at.is_some_and(|at| at <= now) {
            self.look().await;
        }
        if self.gone_at.is_none_or(|at| at > now) {
            return false;
        }
        self.gone_at = None;
        if self.current.is_some() {
            tracing::info!(script = &*self.spec.name, "stopped: it is wanted no more");
        }
        self.stop(Reason::Disable).await;
        self.abandon().await;
        self.failed = None;
        self.stand(ScriptState::Failed, Some(Problem::new("its file is gone")));
        !self.is_wanted
    }

    /// Lets go of everything the script has published, as `on_orphan` says.
    async fn abandon(&self) {
        let owner = Owner::Script(self.spec.name.clone());
        let command = Command::Abandon { owner, keys: None };
        if let Ok(Ok(Reply::Abandoned { kept, .. })) =
            timeout(CORE, self.ground.core.call(command)).await
            && !kept.is_empty()
        {
            let script = &*self.spec.name;
            tracing::info!(script, "{} publications stay up without it (on_orphan)", kept.len());
        }
    }

    /// Has the script run as `spec` says.
    async fn take(&mut self, spec: ScriptSpec, force: bool) -> Taken {
        if !force && self.may_be_half(&spec.source) {
            return Taken::Unchanged;
        }
        self.look_at = None;
        let wanted = spec.hash();
        self.has_file |= self.ground.follows_files() && spec.path.exists();
        self.spec = spec;
        let was_unread = std::mem::take(&mut self.is_unread);
        if !force && self.runs(wanted) {
            let had_failed = self.failed.take().is_some();
            if was_unread || had_failed {
                let script = &*self.spec.name;
                tracing::info!(
                    script,
                    "its file is what version {} is made of again",
                    self.generation
                );
                let is_loading = self.loading.is_some();
                let state = if is_loading { ScriptState::Starting } else { ScriptState::Running };
                self.stand(state, None);
            }
            return Taken::Unchanged;
        }
        if !force && self.failed.as_ref().is_some_and(|failed| failed.is_still(wanted)) {
            return Taken::Unchanged;
        }
        match &self.current {
            None => self.begin(),
            Some(_) => self.stage().await,
        }
    }

    /// Returns whether an empty file may be one that somebody has begun to write anew; the rest is
    /// given time to come.
    fn may_be_half(&mut self, source: &str) -> bool {
        let is_empty = |source: &str| source.trim().is_empty();
        if !self.has_file || !is_empty(source) || is_empty(&self.spec.source) {
            return false;
        }
        let at = *self.look_at.get_or_insert(Instant::now() + HALF_WRITTEN);
        Instant::now() < at
    }

    /// Returns whether the current version is made of just this.
    fn runs(&self, wanted: [u8; 32]) -> bool {
        let is_current = |current: &Generation| !have_changed(&current.modules);
        self.running == wanted && self.current.as_ref().is_some_and(is_current)
    }

    /// Starts a version that has no older one beside it.
    fn begin(&mut self) -> Taken {
        self.generation += 1;
        self.running = self.spec.hash();
        self.failed = None;
        self.place = self.place.take().or_else(|| self.ground.threads.place());
        let place = self.place.clone();
        let (spec, keeper) = (self.spec.clone(), self.sender.clone());
        match Generation::start(&self.ground, spec, self.generation, None, place, keeper) {
            Ok((generation, loaded)) => {
                self.count(&generation);
                self.current = Some(generation);
                self.loading = Some(loaded);
                self.stand(ScriptState::Starting, None);
                self.tend_watch();
                Taken::Started(self.generation)
            }
            Err(problem) => {
                self.has_loaded(Err(problem.clone()));
                Taken::Failed(problem)
            }
        }
    }

    /// Takes what came of a first top level.
    fn has_loaded(&mut self, loaded: Result<(), Problem>) {
        self.loading = None;
        match &loaded {
            Ok(()) => {
                tracing::info!(script = &*self.spec.name, "running");
                // A newer version may have failed meanwhile, and that is what is to be seen.
                if self.failed.is_none() && !self.is_unread {
                    self.stand(ScriptState::Running, None);
                }
            }
            Err(problem) => {
                tracing::error!(script = &*self.spec.name, "not running: {problem}");
                self.stand(ScriptState::Failed, Some(problem.clone()));
            }
        }
        self.tend_watch();
        if loaded.is_err() {
            // Half a script is none; its thread has ended by itself.
            let modules = self.current.take().map(|current| current.modules).unwrap_or_default();
            let failed = Failed { spec: self.running, modules };
            self.failed.get_or_insert(failed);
            self.place = None;
        }
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(loaded);
        }
    }

    /// Runs a new version beside the current one, and lets it take over when its top level is well.
    async fn stage(&mut self) -> Taken {
        let Some(current) = self.current.take() else { return self.begin() };
        let wanted = self.spec.hash();
        let number = self.generation + 1;
        let heritage = self.heritage(&current).await;
        let (spec, keeper) = (self.spec.clone(), self.sender.clone());
        let place = self.place.clone();
        let started = Generation::start(&self.ground, spec, number, Some(heritage), place, keeper);
        let mut stopping = self.ground.stopping.clone();
        let staged = match started {
            Ok((staged, loaded)) => match tokio::select! {
                loaded = timeout(STAGING, loaded) => loaded,
                // Nothing takes over any more; the older version has its farewell to say.
                () = stops(&mut stopping) => {
                    let _ = staged.mail.send(Mail::Stop);
                    self.current = Some(current);
                    return Taken::Stopping;
                }
            } {
                Ok(Ok(Ok(()))) => Ok(staged),
                Ok(Ok(Err(problem))) => Err((staged, problem)),
                Ok(Err(_)) => Err((staged, Problem::new("the script's thread has ended"))),
                Err(_) => {
                    let message = format!(
                        "its top level has not ended within {} s; what waits for the world belongs into a task or a handler",
                        STAGING.as_secs()
                    );
                    Err((staged, Problem::new(message)))
                }
            },
            Err(problem) => {
                self.current = Some(current);
                return self.cannot(problem);
            }
        };
        match staged {
            Ok(staged) => {
                self.replace(current, staged, number).await;
                self.running = wanted;
                Taken::Reloaded(number)
            }
            Err((staged, problem)) => {
                // What it needs is watched all the same: it may be a module that is wrong.
                let _ = staged.mail.send(Mail::Stop);
                self.failed = Some(Failed { spec: wanted, modules: staged.modules });
                self.current = Some(current);
                self.cannot(problem)
            }
        }
    }

    async fn replace(&mut self, old: Generation, new: Generation, number: u64) {
        let carried = old.retire(Reason::Reload).await;
        // It was replaced before its top level had ended.
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(Ok(()));
        }
        self.loading = None;
        self.count(&new);
        new.take_over(carried).await;
        // A thread that still spins must not hold up the next reload.
        tokio::spawn(old.ended());
        self.generation = number;
        self.failed = None;
        self.current = Some(new);
        self.stand(ScriptState::Running, None);
        tracing::info!(script = &*self.spec.name, generation = number, "reloaded");
        self.tend_watch();
    }

    /// Collects what a new version starts with.
    async fn heritage(&self, current: &Generation) -> Heritage {
        let owner = Some(Owner::Script(self.spec.name.clone()));
        let list = self.ground.core.call(Command::Publications { owner, key: None });
        let publications = match timeout(CORE, list).await {
            Ok(Ok(Reply::Publications(list))) => list,
            Ok(_) | Err(_) => Vec::new(),
        };
        Heritage { publications, state: current.state().await }
    }

    /// Says that the newest version cannot run.
    fn cannot(&mut self, problem: Problem) -> Taken {
        let script = &*self.spec.name;
        let state = match &self.current {
            Some(_) => {
                let version = self.generation;
                tracing::error!(script, "not reloaded, version {version} goes on: {problem}");
                ScriptState::Stale
            }
            None => {
                tracing::error!(script, "not running: {problem}");
                ScriptState::Failed
            }
        };
        if let Ok(mut standing) = self.standing.lock() {
            standing.reload_failures += 1;
        }
        self.stand(state, Some(problem.clone()));
        self.tend_watch();
        Taken::Failed(problem)
    }

    /// As [`cannot`](Self::cannot), when there was nothing that could be tried.
    fn cannot_read(&mut self, problem: Problem) -> Taken {
        self.is_unread = true;
        self.cannot(problem)
    }

    async fn stop(&mut self, reason: Reason) {
        self.loading = None;
        if let Some(current) = self.current.take() {
            current.retire(reason).await;
            let _ = timeout(CORE, current.ended()).await;
        }
        self.place = None;
    }

    fn stand(&self, state: ScriptState, problem: Option<Problem>) {
        if let Ok(mut standing) = self.standing.lock() {
            standing.file.clone_from(&self.spec.path);
            standing.state = state;
            standing.generation = self.generation;
            standing.problem = problem;
        }
    }

    fn count(&self, generation: &Generation) {
        if let Ok(mut standing) = self.standing.lock() {
            standing.follow(generation.vitals.clone());
        }
    }

    /// Watches the files the script is made of: no more, no fewer.
    fn tend_watch(&mut self) {
        if !self.has_file {
            return;
        }
        let mut paths = vec![self.spec.path.clone()];
        let failed = self.failed.as_ref().map(|failed| &failed.modules);
        let current = self.current.as_ref().map(|current| &current.modules);
        for modules in current.into_iter().chain(failed) {
            if let Ok(modules) = modules.lock() {
                paths.extend(modules.keys().cloned());
            }
        }
        for path in &mut paths {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        paths.sort();
        paths.dedup();
        if paths == self.watched {
            return;
        }
        let keeper = self.sender.clone();
        let deliver = Box::new(move |_, _| keeper.send(ToKeeper::Changed).is_ok());
        let request = Request {
            group: "scripts' own files".into(),
            patterns: paths.iter().map(Pattern::of).collect(),
            settle: SETTLE,
            poll: None,
            initial: false,
            must_exist: false,
            deliver,
        };
        // Nobody waits until the watch stands: what happened before is told then, by a rescan.
        let (watch, _) = self.ground.hub.add(request);
        if let Some(before) = self.watch.replace(watch) {
            self.ground.hub.remove(before);
        }
        self.watched = paths;
    }
}

/// A version that could not run.
struct Failed {
    spec: [u8; 32],
    modules: Modules,
}

impl Failed {
    /// Returns whether trying again would be the same.
    fn is_still(&self, wanted: [u8; 32]) -> bool {
        self.spec == wanted && !have_changed(&self.modules)
    }
}

impl ScriptSpec {
    /// Returns what tells two ways of running a script apart.
    fn hash(&self) -> [u8; 32] {
        let Self { name, path, source, config, config_dir, lib_dirs, allow, limits } = self;
        let rest = format!(
            "{name}\0{}\0{config}\0{}\0{lib_dirs:?}\0{allow:?}\0{limits:?}\0{source}",
            path.display(),
            config_dir.display(),
        );
        hash_of(rest.as_bytes())
    }
}

/// What came of a top level; forever pending when none runs.
async fn ended(loading: &mut Option<Loaded>) -> Result<(), Problem> {
    match loading {
        Some(loaded) => {
            loaded.await.unwrap_or_else(|_| Err(Problem::new("the script's thread has ended")))
        }
        None => std::future::pending().await,
    }
}

/// Waits until puad stops; where nobody can say so, for ever.
async fn stops(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stops| *stops).await.is_err() {
        std::future::pending().await
    }
}

async fn at(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

/// How long a missing file may take to come back.
const GONE: Duration = Duration::from_secs(5);
/// How long an empty file may stay so before it is taken at its word.
const HALF_WRITTEN: Duration = Duration::from_secs(2);
/// How long a file must be quiet.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// How long the top level of a new version may take.
const STAGING: Duration = Duration::from_secs(5);
/// How long the core is waited for; it answers at once when it answers at all.
const CORE: Duration = Duration::from_secs(1);
