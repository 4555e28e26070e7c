//! What bindings get of the host: settings, the core, activities and the way back into the VM.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mlua::{Function, Lua, Table, Value, WeakLua};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Problem, api,
    budget::Budget,
    clock::Clock,
    commons::Commons,
    continued,
    generation::{Carried, Ground, Modules},
    hold::{self, Kills},
    keeper::ToKeeper,
    life::{Life, Phase, Reason},
    mask::Mask,
    orphans::Orphans,
    permissions::Permissions,
    plain::Plain,
    schedule::{Schedule, TimerId},
    status::{TimerInfo, Vitals},
    testing::Fakes,
    watch::{Hub, Inbox, WatchId},
};
use crate::{
    command::{Command, Failure, FailureKind, Key, Owner},
    driver,
};

/// Limits of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU per resume.
    pub cpu: Duration,
    /// Heap in bytes.
    pub memory: usize,
    /// Source in bytes.
    pub source: usize,
    /// Timers at a time.
    pub timers: usize,
    /// Watches at a time.
    pub watches: usize,
    /// Publications at a time.
    pub publications: usize,
    /// Documents that are kept or on their way, in bytes.
    pub documents: usize,
    /// Tasks at a time.
    pub tasks: usize,
    /// What `kv` keeps, in bytes.
    pub kv: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            memory: 32 * 1024 * 1024,
            source: 256 * 1024,
            timers: 1000,
            watches: 256,
            publications: 10_000,
            documents: 64 * 1024 * 1024,
            tasks: 10_000,
            kv: 1024 * 1024,
        }
    }
}

/// One script's side of the host. Lives on the script's thread.
pub(super) struct Host {
    pub(super) name: Arc<str>,
    /// Counts the versions of the script.
    pub(super) generation: u64,
    pub(super) owner: Owner,
    pub(super) core: driver::Handle,
    pub(super) config: toml::Table,
    /// Paths in the configuration are relative to this folder.
    pub(super) config_dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) allow: Permissions,
    pub(super) module_dirs: Vec<PathBuf>,
    pub(super) hub: Hub,
    pub(super) commons: Arc<Commons>,
    pub(super) clock: Clock,
    /// What must not be said of this script.
    pub(super) mask: Mask,
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) life: Life,
    pub(super) orphan_patience: Duration,
    /// Nothing outside is to be changed: a check.
    pub(super) is_rehearsal: bool,
    /// What stands in for the outside: a test.
    pub(super) fakes: Option<Arc<Fakes>>,
    /// Calls that a check has not made, by the activity that asked for them.
    not_done: RefCell<BTreeMap<u64, &'static str>>,
    modules: Modules,
    keeper: mpsc::UnboundedSender<ToKeeper>,
    pub(super) orphans: RefCell<Orphans>,
    kills: RefCell<Kills>,
    is_held: Cell<bool>,
    /// What watches have to tell that came while the script was on hold.
    missed: RefCell<BTreeMap<WatchId, Inbox>>,
    /// Handlers that go on after a hold.
    resting: RefCell<Vec<Resting>>,
    pub(super) schedule: RefCell<Schedule>,
    /// Wakes the timer loop when an earlier firing was entered.
    pub(super) schedule_changed: Notify,
    pub(super) timers: RefCell<api::timer::Timers>,
    /// Where named timers of the version before stood, while those of this one take up from there.
    pub(super) phases: RefCell<BTreeMap<String, api::timer::Phase>>,
    pub(super) watches: RefCell<BTreeMap<WatchId, Rc<OnChange>>>,
    /// What this script has published.
    pub(super) publications: RefCell<BTreeMap<Key, Rc<api::pua::Entry>>>,
    /// Bytes of documents that are kept or on their way.
    pub(super) documents: Cell<usize>,
    /// Calls to the core that are not answered yet.
    pub(super) calls: Cell<usize>,
    /// Tasks under way.
    tasks: Cell<usize>,
    /// Whether the script was told what `on_stop = "keep"` means without a state store.
    warned_keep: Cell<bool>,
    vitals: Arc<Mutex<Vitals>>,
    inside: OnceCell<Inside>,
    budget: OnceCell<Rc<Budget>>,
}

/// What is done about a change of a watched path.
pub(super) type OnChange = dyn Fn(&Lua, Inbox);

/// What goes on after a hold.
type Resting = Box<dyn FnOnce(&Rc<Host>, &Lua)>;

/// Functions of the prelude.
struct Inside {
    lua: WeakLua,
    guard: Function,
    shim: Function,
    shim_waiting: Function,
    /// Luau's own functions in place of those that the prelude has replaced.
    native: Table,
    error_meta: Table,
}

/// What arrives at a script's thread from outside.
#[derive(Debug)]
pub(super) enum Mail {
    /// There is something in the inbox of a watch.
    Watch(WatchId, Inbox),
    /// Fire every timer once, and drop this when their handlers have ended.
    Rehearse(mpsc::UnboundedSender<()>),
    /// Tell which timers there are.
    Timers(mpsc::UnboundedSender<(Arc<str>, Vec<TimerInfo>)>),
    /// Go on after a hold; say whether there was one.
    Resume(oneshot::Sender<bool>),
    /// Tell `script.state` as it is.
    State(oneshot::Sender<Option<Plain>>),
    /// Be the version that counts, and say so.
    TakeOver(Box<Carried>, oneshot::Sender<()>),
    /// End in order, and hand on what is to be.
    Retire(Reason, oneshot::Sender<Box<Carried>>),
    /// End at once.
    Stop,
}

/// Everything a host is made of.
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) generation: u64,
    pub(super) ground: Ground,
    pub(super) config: toml::Table,
    pub(super) config_dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) allow: Permissions,
    pub(super) module_dirs: Vec<PathBuf>,
    pub(super) modules: Modules,
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) vitals: Arc<Mutex<Vitals>>,
    pub(super) keeper: mpsc::UnboundedSender<ToKeeper>,
    /// There is no older version beside this one.
    pub(super) is_first: bool,
}

impl Host {
    pub(super) fn new(parts: Parts) -> Rc<Self> {
        let Ground { core, hub, commons, clock, orphan_patience, is_rehearsal, fakes, .. } =
            parts.ground;
        Rc::new(Self {
            owner: Owner::Script(parts.name.clone()),
            name: parts.name,
            generation: parts.generation,
            core,
            config: parts.config,
            config_dir: parts.config_dir,
            limits: parts.limits,
            allow: parts.allow,
            module_dirs: parts.module_dirs,
            hub,
            commons,
            clock,
            mask: Mask::default(),
            mail: parts.mail,
            life: if parts.is_first { Life::default() } else { Life::staged() },
            orphan_patience,
            is_rehearsal,
            fakes,
            not_done: RefCell::default(),
            modules: parts.modules,
            keeper: parts.keeper,
            orphans: RefCell::default(),
            kills: RefCell::default(),
            is_held: Cell::new(false),
            missed: RefCell::default(),
            resting: RefCell::default(),
            schedule: RefCell::default(),
            schedule_changed: Notify::new(),
            timers: RefCell::default(),
            phases: RefCell::default(),
            watches: RefCell::default(),
            publications: RefCell::default(),
            documents: Cell::new(0),
            calls: Cell::new(0),
            tasks: Cell::new(0),
            warned_keep: Cell::new(false),
            vitals: parts.vitals,
            inside: OnceCell::new(),
            budget: OnceCell::new(),
        })
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Takes the prelude's functions.
    pub(super) fn bind(&self, lua: &Lua, shared: &Table) -> mlua::Result<()> {
        let inside = Inside {
            lua: lua.weak(),
            guard: shared.get("guard")?,
            shim: shared.get("shim")?,
            shim_waiting: shared.get("shim_waiting")?,
            native: shared.get("native")?,
            error_meta: shared.get("error_meta")?,
        };
        let _ = self.inside.set(inside);
        Ok(())
    }

    /// Takes the VM's budget.
    pub(super) fn set_budget(&self, budget: Rc<Budget>) {
        let _ = self.budget.set(budget);
    }

    /// Returns the VM's budget.
    pub(super) fn budget(&self) -> &Rc<Budget> {
        self.budget.get().expect("set while the VM was built")
    }

    /// Lets go of what the script has published.
    pub(super) fn abandon(&self) {
        if !self.publications.borrow().is_empty() {
            // Nobody waits for the answer, and a core that has ended has removed everything itself.
            let _ = self.core.send(Command::Abandon { owner: self.owner.clone(), keys: None });
        }
    }

    /// Returns whether this version may look for a module there: it has not looked for too many, or
    /// has looked there before.
    pub(super) fn may_look_for(&self, path: &Path) -> bool {
        let Ok(modules) = self.modules.lock() else { return true };
        modules.len() < MOST_MODULES || modules.contains_key(path)
    }

    /// Notes what a module was when it was looked for: a hash, or nothing where there is no file.
    pub(super) fn note_module(&self, path: PathBuf, hash: Option<[u8; 32]>) {
        let Ok(mut modules) = self.modules.lock() else { return };
        if modules.insert(path, hash).is_none() {
            // A keeper that has ended watches nothing.
            let _ = self.keeper.send(ToKeeper::NewModules);
        }
    }

    /// Lets the handler of a watch have what is in its inbox.
    pub(super) fn deliver(self: &Rc<Self>, lua: &Lua, id: WatchId, inbox: Inbox) {
        if self.life.phase() == Phase::Staging {
            return self.when_live(lua, move |host, lua| host.deliver(lua, id, inbox));
        }
        if self.is_held() {
            self.missed.borrow_mut().insert(id, inbox);
            return;
        }
        let watch = self.watches.borrow().get(&id).cloned();
        if let Some(watch) = watch {
            watch(lua, inbox);
        }
    }

    /// Notes that a timer's handler has ended, or that the timer is gone.
    pub(super) fn timer_ran(&self, id: TimerId) {
        self.orphans.borrow_mut().ran(id);
        if self.orphans.borrow().next().is_some() {
            self.schedule_changed.notify_one();
        }
    }

    /// Returns whether the script is on hold.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.get()
    }

    /// Does something when the hold ends that the script is on.
    pub(super) fn when_resumed(&self, goes_on: impl FnOnce(&Rc<Self>, &Lua) + 'static) {
        self.resting.borrow_mut().push(Box::new(goes_on));
    }

    /// Ends a hold; returns whether there was one. Timers keep their phase; a watch whose changes
    /// were not told is told to look at everything.
    pub(super) fn resume(self: &Rc<Self>, lua: &Lua) -> bool {
        if !self.is_held.replace(false) {
            return false;
        }
        self.kills.borrow_mut().clear();
        self.schedule_changed.notify_one();
        tracing::info!(script = &*self.name, "goes on");
        for (id, inbox) in self.missed.take() {
            inbox.collapse();
            self.deliver(lua, id, inbox);
        }
        for goes_on in self.resting.take() {
            goes_on(self, lua);
        }
        true
    }

    /// Lets go of every handler. Handlers of watches know the host that keeps them, so that
    /// otherwise neither would ever be freed, nor the way to the core that the host holds.
    pub(super) fn close(&self) {
        self.timers.borrow_mut().clear();
        self.resting.take();
        for id in std::mem::take(&mut *self.watches.borrow_mut()).into_keys() {
            self.hub.remove(id);
        }
        self.publications.borrow_mut().clear();
    }

    /// Returns what is kept of one of the script's publications, entering it if it is new.
    ///
    /// # Errors
    /// When the script has as many as it may have.
    pub(super) fn publication(&self, key: &Key) -> Result<Rc<api::pua::Entry>, Failure> {
        let mut publications = self.publications.borrow_mut();
        if let Some(entry) = publications.get(key) {
            return Ok(entry.clone());
        }
        let most = self.limits.publications;
        if publications.len() >= most {
            let message =
                format!("this script has {most} publications already (limits.publications)");
            return Err(Failure::new(FailureKind::Limit, message));
        }
        Ok(publications.entry(key.clone()).or_default().clone())
    }

    /// Says once what keeping state means when nothing remembers it.
    pub(super) fn warn_keep(&self) {
        if !self.warned_keep.replace(true) {
            let script = &*self.name;
            tracing::warn!(
                script,
                "on_stop = \"keep\" leaves the state to run out at the server; a restart before that publishes it a second time"
            );
        }
    }

    /// Takes one of the places for tasks; `None` when all are taken.
    pub(super) fn begin_task(self: &Rc<Self>) -> Option<TaskPlace> {
        if self.tasks.get() >= self.limits.tasks {
            return None;
        }
        self.tasks.set(self.tasks.get() + 1);
        Some(TaskPlace(self.clone()))
    }

    /// Returns a path a script wrote as an absolute one: relative ones start at the script's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let folder = match &self.fakes {
            Some(fakes) => fakes.folder.clone(),
            None => self.module_dirs.first().cloned().unwrap_or_default(),
        };
        std::path::absolute(folder.join(path)).unwrap_or_else(|_| folder.join(path))
    }

    fn inside(&self) -> &Inside {
        self.inside.get().expect("bound while the VM was built")
    }

    /// Wraps a host function so that the message it returns first is raised on the caller's line.
    pub(super) fn shim(&self, function: Function) -> mlua::Result<Function> {
        self.inside().shim.call(function)
    }

    /// Makes a function that waits; where nothing can wait, it says so. mlua takes what it yields by
    /// from the globals, which belong to the script.
    pub(super) fn make_waiting(
        &self,
        lua: &Lua,
        make: impl FnOnce(&Lua) -> mlua::Result<Function>,
    ) -> mlua::Result<Function> {
        let globals = lua.globals();
        let before = globals.raw_get::<Value>("coroutine")?;
        globals.raw_set("coroutine", &self.inside().native)?;
        let made = make(lua);
        globals.raw_set("coroutine", before)?;
        self.inside().shim_waiting.call(made?)
    }

    /// Returns what [`shim`](Self::shim) wraps with.
    pub(super) fn shim_function(&self) -> Function {
        self.inside().shim.clone()
    }

    /// Returns the metatable that shows an error table as one line.
    pub(super) fn error_meta(&self) -> Table {
        self.inside().error_meta.clone()
    }

    /// Gives an error table the metatable that shows it as one line.
    pub(super) fn finish_error(&self, table: &Table) {
        let _ = table.set_metatable(Some(self.inside().error_meta.clone()));
    }

    /// Returns the VM, unless it is gone.
    pub(super) fn lua(&self) -> Option<Lua> {
        self.inside().lua.try_upgrade()
    }

    /// Returns the prelude's function that runs others and keeps what an error was.
    pub(super) fn guard(&self) -> &Function {
        &self.inside().guard
    }

    /// Notes that a check has not made a call that the activity asked for.
    pub(super) fn note_not_done(&self, call: &'static str) {
        self.not_done.borrow_mut().insert(self.life.activity(), call);
    }

    /// Returns the last call that a check has not made for an activity, which has ended.
    pub(super) fn take_not_done(&self, activity: u64) -> Option<&'static str> {
        self.not_done.borrow_mut().remove(&activity)
    }

    /// Logs and counts what went wrong in a handler.
    pub(super) fn report(&self, what: &str, problem: &Problem) {
        // What it would have done with an answer is not known; a mistake it is not.
        if let (Some(call), Ok(mut vitals)) = (problem.not_done, self.vitals.lock()) {
            vitals.not_done = Some(call);
            return;
        }
        // Counted first: whoever has seen it in the log may look.
        let is_held_now = problem.killed
            && self.kills.borrow_mut().note(self.now())
            && !self.is_held.replace(true);
        if let Ok(mut vitals) = self.vitals.lock() {
            vitals.errors += 1;
            vitals.kills += u64::from(problem.killed);
            vitals.is_held = self.is_held();
            vitals.last_error = Some(problem.clone());
        }
        let script = &*self.name;
        if let Some(fakes) = &self.fakes {
            fakes.note(script, what, problem);
        }
        // The script stands in front, too: behind a traceback nobody would find it.
        tracing::error!(
            script,
            "script {script}: {what}: {}{}",
            continued(&problem.message),
            problem.trace_lines()
        );
        if is_held_now {
            tracing::error!(
                script,
                "on hold: a limit ended {} of its activities within {} minutes; its publications stay up, its handlers rest until the script changes or `puad resume {script}`",
                hold::MOST,
                hold::WITHIN.as_secs() / 60
            );
        }
    }
}

/// Files of modules that one version may look for: each is watched, there or not.
pub(super) const MOST_MODULES: usize = 1000;

/// A place among the tasks of a script; dropping it makes room.
pub(super) struct TaskPlace(Rc<Host>);

impl Drop for TaskPlace {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}
