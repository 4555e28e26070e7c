//! One case and everything around it, on one thread and in one time.
//!
//! The script under test is kept by the same [`keeper`](super::super::keeper) as in the daemon, and
//! the core is the real one; the server, the folder and the time are made for the case.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    path::{Path, PathBuf},
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};

use mlua::{Function, Lua, Value};
use tokio::{
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local, yield_now},
};

use super::{
    Asked, Failed, Fakes, Outside, TestFile,
    log::Log,
    server::{Request, Server},
};
use crate::{
    driver::staged,
    script::{
        Limits, Permissions, Problem, ScriptSpec, Taken, api,
        clock::Clock,
        commons::Commons,
        generation::{Ground, Modules},
        host::{Host, Parts},
        keeper::{Keeper, ToKeeper},
        life::Origin,
        plain::Plain,
        status::{Book, Vitals},
        threads::Threads,
        vm,
        watch::{Hub, Told},
    },
    sip::{self, io::UnixMillis},
};

/// What a file is played for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// To learn which cases there are.
    Names,
    /// To run the case with this number.
    Case(usize),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) result: Result<(), Problem>,
    /// The cases of the file.
    pub(super) names: Vec<String>,
    pub(super) log: String,
}

/// What a case has around it.
pub(in crate::script) struct World {
    pub(in crate::script) server: Rc<Server>,
    pub(in crate::script) fakes: Arc<Fakes>,
    /// The folder of the test file.
    beside: PathBuf,
    ground: Ground,
    told: Told,
    book: Book,
    cases: RefCell<Vec<(String, Function)>>,
    scripts: RefCell<Vec<Loaded>>,
    failed: RefCell<mpsc::UnboundedReceiver<Failed>>,
    asked: Cell<Option<mpsc::UnboundedReceiver<Asked>>>,
    /// What answers for the world.
    fake_worlds: RefCell<BTreeMap<Outside, Function>>,
    /// Whether a case runs; before, the file only says which there are.
    is_in_case: Cell<bool>,
}

/// A script that is tested.
struct Loaded {
    spec: ScriptSpec,
    keeper: mpsc::UnboundedSender<ToKeeper>,
}

/// Plays a file from its start, with everything new.
pub(super) fn play(file: &TestFile, wanted: Wanted) -> Played {
    let log = Log::default();
    let (result, names) = log.keep(|| match play_in_time(file, wanted) {
        Ok((result, names)) => (result, names),
        Err(error) => {
            let message = format!("the operating system refuses what a case needs: {error}");
            (Err(Problem::new(message)), Vec::new())
        }
    });
    Played { result, names, log: log.text() }
}

fn play_in_time(
    file: &TestFile,
    wanted: Wanted,
) -> std::io::Result<(Result<(), Problem>, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    // Watches look at folders without links.
    let real = folder.path().canonicalize()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Nothing waits for time to pass: it leaps when there is nothing to do.
        .start_paused(true)
        .build()?;
    let local = LocalSet::new();
    let began = Instant::now();
    let played = local.run_until(async {
        let world = World::new(file, &real);
        let result = world.play(file, wanted).await;
        (result, world.cases.borrow().iter().map(|(name, _)| name.clone()).collect())
    });
    let played = runtime.block_on(async {
        let mut played = pin!(played);
        poll_fn(|context| match played.as_mut().poll(context) {
            Poll::Pending if began.elapsed() > LONGEST => {
                let message = format!(
                    "ended: the case has kept this machine busy for {} s",
                    LONGEST.as_secs()
                );
                Poll::Ready((Err(Problem::new(message)), Vec::new()))
            }
            polled => polled,
        })
        .await
    });
    drop(local);
    // Whatever still waits for a disk keeps nobody waiting.
    runtime.shutdown_background();
    Ok(played)
}

impl World {
    fn new(file: &TestFile, folder: &Path) -> Rc<Self> {
        let clock = Clock::beginning_at(BEGINS.parse().expect("a time"));
        let wall = UnixMillis(u64::try_from(clock.wall().as_millisecond()).unwrap_or_default());
        let server = Server::new(clock.clone());
        let proxy = sip::message::Uri::parse(PROXY).expect("a URI");
        let config = sip::Config { outbound_proxy: vec![proxy], ..sip::Config::default() };
        let (failures, failed) = mpsc::unbounded_channel();
        let (questions, asked) = mpsc::unbounded_channel();
        let fakes = Arc::new(Fakes::new(folder.into(), questions, failures));
        let (hub, told) = Hub::told();
        spawn_local(told.clone().run());
        let ground = Ground {
            core: staged::start(config, SEED, wall, server.peer()),
            hub,
            commons: Arc::new(Commons::default()),
            clock,
            threads: Threads::here(),
            orphan_patience: Duration::from_secs(60),
            stopping: tokio::sync::watch::channel(false).1,
            is_rehearsal: false,
            fakes: Some(fakes.clone()),
        };
        Rc::new(Self {
            server,
            fakes,
            beside: file.path.parent().unwrap_or(Path::new(".")).into(),
            ground,
            told,
            book: Book::default(),
            cases: RefCell::default(),
            scripts: RefCell::default(),
            failed: RefCell::new(failed),
            asked: Cell::new(Some(asked)),
            fake_worlds: RefCell::default(),
            is_in_case: Cell::new(false),
        })
    }

    async fn play(self: &Rc<Self>, file: &TestFile, wanted: Wanted) -> Result<(), Problem> {
        let unusable = |error: mlua::Error| Problem::new(vm::plain(&error));
        let (mail, _inbox) = mpsc::unbounded_channel();
        let (keeper, _told) = mpsc::unbounded_channel();
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let host = Host::new(Parts {
            name: stem.into(),
            generation: 1,
            ground: self.ground.clone(),
            config: toml::Table::new(),
            config_dir: self.fakes.folder.clone(),
            limits: Limits { source: MOST_SOURCE, ..Limits::default() },
            allow: Permissions::default(),
            module_dirs: vec![self.beside.clone(), self.beside.join("lib")],
            modules: Modules::default(),
            mail,
            vitals: Arc::new(Mutex::new(Vitals::default())),
            keeper,
            is_first: true,
        });
        let vm =
            vm::build_with(&host, |lua| api::test::install(lua, &host, self)).map_err(unusable)?;
        host.set_budget(vm.budget.clone());
        let shown = vm::shown_name(&file.path);
        let chunk = vm::compile(&vm.lua, &shown, &file.source, host.limits.source);
        host.run(Origin::Top, chunk.map_err(unusable)?, ()).await?;
        if let Wanted::Case(number) = wanted {
            let case = self.cases.borrow().get(number).map(|(_, case)| case.clone());
            let Some(case) = case else {
                return Err(Problem::new("the file has other cases than when it was read first"));
            };
            self.is_in_case.set(true);
            spawn_local(self.clone().answer(host.clone(), vm.lua.clone()));
            let result = host.run(Origin::Event, case, ()).await.map(|_| ());
            self.settle().await;
            self.end().await;
            // What the case itself says comes first: the rest mostly follows from it.
            result?;
            self.complain()?;
        }
        Ok(())
    }

    /// Answers what scripts ask of the world, as the case has said.
    async fn answer(self: Rc<Self>, host: Rc<Host>, lua: Lua) {
        let Some(mut asked) = self.asked.take() else { return };
        while let Some(Asked { world, question, answer }) = asked.recv().await {
            let fake = self.fake_worlds.borrow().get(&world).cloned();
            let (host, lua) = (host.clone(), lua.clone());
            spawn_local(async move {
                // A script that has ended does not mind.
                let _ = answer.send(answer_one(&host, &lua, world, fake, &question).await);
            });
        }
    }

    /// Says what answers for a part of the world from now on.
    pub(in crate::script) fn set_fake(&self, world: Outside, fake: Function) {
        self.fake_worlds.borrow_mut().insert(world, fake);
    }

    /// Ends the scripts, their handlers of `script.on_stop` included.
    async fn end(&self) {
        for script in self.scripts.take() {
            let (done, stopped) = oneshot::channel();
            let _ = script.keeper.send(ToKeeper::Stop(done));
            let _ = stopped.await;
        }
    }

    /// Fails when a handler of a script has failed and the case has not said that it would.
    fn complain(&self) -> Result<(), Problem> {
        let Ok(Failed { what, problem }) = self.failed.borrow_mut().try_recv() else {
            return Ok(());
        };
        let message = format!("{what}: {}", problem.message);
        Err(Problem { message, ..problem })
    }

    /// Enters a case; the text says why not.
    pub(in crate::script) fn add_case(&self, name: String, case: Function) -> Result<(), String> {
        if self.is_in_case.get() {
            return Err("a case cannot hold another one".into());
        }
        let mut cases = self.cases.borrow_mut();
        if cases.iter().any(|(other, _)| *other == name) {
            return Err(format!("there is a case {name:?} already"));
        }
        cases.push((name, case));
        Ok(())
    }

    /// Returns whether a case runs.
    pub(in crate::script) fn is_in_case(&self) -> bool {
        self.is_in_case.get()
    }

    /// Lets time pass, and everything happen that is due at its end.
    pub(in crate::script) async fn advance(&self, span: Duration) {
        tokio::time::sleep(span).await;
        self.settle().await;
    }

    /// Gives everybody turns in this very moment.
    async fn settle(&self) {
        for _ in 0..TURNS {
            yield_now().await;
        }
    }

    /// Starts a script as the daemon would; the text says what is wrong.
    pub(in crate::script) async fn load(&self, load: Load) -> Result<(), String> {
        let path = self.beside.join(&load.file);
        let name = match load.name {
            Some(name) => name,
            None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        if self.scripts.borrow().iter().any(|script| *script.spec.name == *name) {
            return Err(format!(
                "a script named {name:?} runs already; test.reload() begins a new version, the option name gives another name"
            ));
        }
        let source = super::read_source(&path).map_err(|(line, message)| {
            let line = line.map_or(String::new(), |line| format!(":{line}"));
            format!("{}{line}: {message}", path.display())
        })?;
        let spec = ScriptSpec {
            name: name.into(),
            path,
            source,
            config: load.config,
            config_dir: self.fakes.folder.clone(),
            lib_dirs: Vec::new(),
            allow: load.allow,
            limits: load.limits,
        };
        if load.is_open {
            self.fakes.open(spec.name.clone());
        }
        let (done, loaded) = oneshot::channel();
        let (keeper, way) =
            Keeper::new(self.ground.clone(), self.book.clone(), spec.clone(), Some(done));
        spawn_local(keeper.run());
        self.scripts.borrow_mut().push(Loaded { spec, keeper: way });
        match tokio::time::timeout(LOADING, loaded).await {
            Ok(Ok(Err(problem))) => Err(problem.to_string()),
            Ok(Err(_)) => Err("the script has ended".into()),
            // It may go on waiting, as it may in the daemon.
            Ok(Ok(Ok(()))) | Err(_) => {
                self.settle().await;
                Ok(())
            }
        }
    }

    /// Has a new version of the script that was loaded last take over; the text says why it cannot.
    pub(in crate::script) async fn reload(&self, source: Option<String>) -> Result<(), String> {
        let (spec, keeper) = match self.scripts.borrow().last() {
            Some(script) => (script.spec.clone(), script.keeper.clone()),
            None => return Err("no script is loaded; test.load(file, config) loads one".into()),
        };
        let source = match source {
            Some(source) => source,
            None => spec.read().map_err(|problem| problem.to_string())?,
        };
        let (done, taken) = oneshot::channel();
        let spec = Box::new(ScriptSpec { source, ..spec });
        let _ = keeper.send(ToKeeper::Take { spec, force: true, done });
        match taken.await {
            Ok(Taken::Failed(problem)) => Err(problem.to_string()),
            Ok(Taken::Unchanged | Taken::Started(_) | Taken::Reloaded(_) | Taken::Stopping) => {
                self.settle().await;
                Ok(())
            }
            Err(_) => Err("the script has ended".into()),
        }
    }

    /// Takes the next request, and waits for it for a while; what comes at the end of that counts.
    pub(in crate::script) async fn next_request(&self, within: Duration) -> Option<Request> {
        if let Some(request) = self.server.next(within).await {
            return Some(request);
        }
        self.settle().await;
        self.server.take()
    }

    /// Returns the next failure of a handler, and waits for it for a while.
    pub(in crate::script) async fn next_failure(&self, within: Duration) -> Option<Failed> {
        let next = poll_fn(|context| self.failed.borrow_mut().poll_recv(context));
        match tokio::time::timeout(within, next).await {
            Ok(failed) => failed,
            Err(_) => {
                self.settle().await;
                self.failed.borrow_mut().try_recv().ok()
            }
        }
    }

    /// Returns a path in the folder of the case; the text says why not.
    pub(in crate::script) fn path(&self, path: &str) -> Result<PathBuf, String> {
        let is_inside = Path::new(path).components().all(|part| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        });
        if path.is_empty() || !is_inside {
            return Err(format!("{path:?} is not a path inside the folder of the case"));
        }
        Ok(self.fakes.folder.join(path))
    }

    /// Writes a file, or makes a folder where the path ends in a slash; watches hear of it.
    pub(in crate::script) fn write(&self, path: &str, text: &[u8]) -> Result<(), String> {
        let file = self.path(path)?;
        let tell = |error: std::io::Error| format!("{path}: {error}");
        let is_folder = path.ends_with('/');
        let above = if is_folder { Some(&*file) } else { file.parent() };
        let new: Vec<_> = above
            .into_iter()
            .flat_map(Path::ancestors)
            .take_while(|folder| !folder.exists())
            .collect();
        for folder in new.into_iter().rev() {
            std::fs::create_dir(folder).map_err(tell)?;
            self.told.made(folder);
        }
        if is_folder {
            return Ok(());
        }
        let was_there = file.exists();
        std::fs::write(&file, text).map_err(tell)?;
        if was_there {
            self.told.written(&file)
        } else {
            self.told.made(&file)
        }
        Ok(())
    }

    /// Removes a file, or a folder with all in it; watches hear of it.
    pub(in crate::script) fn remove(&self, path: &str) -> Result<(), String> {
        let file = self.path(path)?;
        let removed = if file.is_dir() {
            std::fs::remove_dir_all(&file)
        } else {
            std::fs::remove_file(&file)
        };
        removed.map_err(|error| format!("{path}: {error}"))?;
        self.told.removed(&file);
        Ok(())
    }
}

/// Asks the function that answers for a part of the world; it returns an answer, or why there is
/// none.
async fn answer_one(
    host: &Rc<Host>,
    lua: &Lua,
    world: Outside,
    fake: Option<Function>,
    question: &Plain,
) -> Result<Plain, String> {
    let name = world.as_str();
    let Some(fake) = fake else {
        return Err(format!("nothing answers; test.fake.{name} says what does"));
    };
    let question = question.to_lua(lua).map_err(|error| vm::plain(&error))?;
    let answered = host.run(Origin::Event, fake, question).await;
    let mut values = answered.map_err(|problem| format!("test.fake.{name}: {problem}"))?;
    match (values.pop_front(), values.pop_front()) {
        (Some(Value::Nil) | None, Some(Value::String(why))) => Err(why.to_string_lossy()),
        (answer, _) => Plain::from_lua(&answer.unwrap_or(Value::Nil))
            .map_err(|why| format!("test.fake.{name}: {why}")),
    }
}

/// What a script is loaded with.
pub(in crate::script) struct Load {
    /// Relative to the test file.
    pub(in crate::script) file: String,
    pub(in crate::script) name: Option<String>,
    pub(in crate::script) config: toml::Table,
    pub(in crate::script) allow: Permissions,
    /// Nothing was said about permissions: whatever the case answers may be asked.
    pub(in crate::script) is_open: bool,
    pub(in crate::script) limits: Limits,
}

/// When every case begins: a Thursday.
const BEGINS: &str = "2026-01-01T00:00:00Z";
const SEED: [u8; 32] = [7; 32];
/// Where every request goes.
const PROXY: &str = "sip:server.test;lr";
/// How long a top level is waited for.
const LOADING: Duration = Duration::from_secs(5);
/// What a case may take of the machine's time.
const LONGEST: Duration = Duration::from_secs(60);
/// Turns in which everything that is due comes to rest.
const TURNS: usize = 32;
/// Tests may be longer than scripts.
const MOST_SOURCE: usize = 4 * 1024 * 1024;
