//! The Lua host: a VM and a thread per script, and the set of all scripts.
//!
//! Scripts cannot see or stop one another. What they can call is in [`api`];
//! which of them there are is decided by [`config`](crate::config).

mod api;
mod budget;
mod commons;
mod host;
mod permissions;
mod schedule;
mod serial;
mod settle;
mod thread;
mod vm;
pub mod watch;

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub use host::Limits;
use host::Mail;
pub use permissions::Permissions;

use commons::Commons;

use crate::driver;

/// A script that shall run.
#[derive(Debug, Clone)]
pub struct ScriptSpec {
    /// Its name in logs and as an owner of publications.
    pub name: Arc<str>,
    /// The file; its folder is where `require` looks first.
    pub path: PathBuf,
    /// The source; read by whoever made the spec.
    pub source: String,
    /// Its own table of the configuration.
    pub config: toml::Table,
    /// Paths in that table are relative to this folder.
    pub config_dir: PathBuf,
    /// Where `require` looks after the script's own folder.
    pub lib_dirs: Vec<PathBuf>,
    /// What it may reach outside.
    pub allow: Permissions,
    /// Limits.
    pub limits: Limits,
}

/// Where a script stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Loaded and running, or not.
    pub state: ScriptState,
    /// Errors in handlers so far.
    pub errors: u64,
    /// The last of them, or why it does not run.
    pub last_error: Option<Problem>,
    /// Heap in bytes, as of the last handler.
    pub memory: usize,
    /// Timers that are set, as of then.
    pub timers: usize,
    /// Watches that are open, as of then.
    pub watches: usize,
}

/// Whether a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScriptState {
    /// Its top level has not ended yet.
    #[default]
    Starting,
    /// Its top level has ended well; handlers run.
    Running,
    /// It could not be compiled, or its top level failed.
    Failed,
}

/// What went wrong in a script, where, and on which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The message, which begins with file and line where they are known.
    pub message: String,
    /// The calls that led there, a line each.
    pub trace: String,
    /// Whether it was stopped for using too much CPU.
    pub killed: bool,
}

impl Problem {
    /// Returns the traceback as indented lines after a line break, or nothing.
    pub fn trace_lines(&self) -> String {
        self.trace.lines().fold(String::new(), |mut out, line| {
            let _ = write!(out, "\n    at {line}");
            out
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.message, self.trace_lines())
    }
}

/// All running scripts.
#[derive(Debug)]
pub struct Scripts {
    scripts: Vec<Script>,
    hub: watch::Hub,
}

#[derive(Debug)]
struct Script {
    name: Arc<str>,
    mail: mpsc::UnboundedSender<Mail>,
    status: Arc<Mutex<Status>>,
    loaded: Option<oneshot::Receiver<Result<(), Problem>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scripts {
    /// Starts every script on a thread of its own. A script that cannot be started is shown as
    /// failed; the others run.
    pub fn start(specs: Vec<ScriptSpec>, core: &driver::Handle) -> Self {
        let hub = watch::Hub::start();
        let commons = Arc::new(Commons::default());
        let start = |spec| Script::start(spec, core.clone(), hub.clone(), commons.clone());
        let scripts = specs.into_iter().map(start).collect();
        Self { scripts, hub }
    }

    /// Waits until the top level of every script has ended, for `limit` at the most, and returns
    /// what went wrong by script name. A script that still waits by then is not counted as wrong.
    pub async fn loaded(&mut self, limit: Duration) -> Vec<(Arc<str>, Problem)> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut wrong = Vec::new();
        for script in &mut self.scripts {
            let Some(loaded) = script.loaded.take() else { continue };
            let problem = match tokio::time::timeout_at(deadline, loaded).await {
                Ok(Ok(Err(problem))) => problem,
                // No word will come any more: the thread was never there, or broke down.
                Ok(Err(_)) => Problem {
                    message: "the script's thread has ended".into(),
                    trace: String::new(),
                    killed: false,
                },
                Ok(Ok(Ok(()))) | Err(_) => continue,
            };
            wrong.push((script.name.clone(), problem));
        }
        wrong
    }

    /// Fires every timer once and waits until their handlers have ended, for `limit` at the most.
    pub async fn rehearse(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        let mut rehearsing = Vec::new();
        for script in &self.scripts {
            let (done, ended) = oneshot::channel();
            // A script that does not run has nothing to rehearse.
            let _ = script.mail.send(Mail::Rehearse(done));
            rehearsing.push(ended);
        }
        for ended in rehearsing {
            let _ = tokio::time::timeout_at(deadline, ended).await;
        }
    }

    /// Returns name and status of every script.
    pub fn status(&self) -> Vec<(Arc<str>, Status)> {
        let status =
            |script: &Script| script.status.lock().map(|status| status.clone()).unwrap_or_default();
        self.scripts.iter().map(|script| (script.name.clone(), status(script))).collect()
    }

    /// Ends every script and waits for its thread, for `limit` at the most.
    pub async fn stop(mut self, limit: Duration) {
        for script in &self.scripts {
            // A thread that has ended already needs no telling.
            let _ = script.mail.send(Mail::Stop);
        }
        self.hub.stop();
        let threads: Vec<_> =
            self.scripts.iter_mut().filter_map(|script| script.thread.take()).collect();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a script's thread has panicked");
                }
            }
        });
        if tokio::time::timeout(limit, joined).await.is_err() {
            tracing::warn!("a script does not end; it is left behind");
        }
    }
}

impl Script {
    fn start(
        spec: ScriptSpec,
        core: driver::Handle,
        hub: watch::Hub,
        commons: Arc<Commons>,
    ) -> Self {
        let name = spec.name.clone();
        let status = Arc::new(Mutex::new(Status::default()));
        let (mail, inbox) = mpsc::unbounded_channel();
        let (told, loaded) = oneshot::channel();
        let setup = thread::Setup {
            spec,
            core,
            hub,
            commons,
            mail: mail.clone(),
            inbox,
            status: status.clone(),
            loaded: told,
        };
        let thread = std::thread::Builder::new()
            .name(format!("lua {name}"))
            // Recursion through host functions needs four times less.
            .stack_size(2 * 1024 * 1024)
            .spawn(move || thread::run(setup));
        if let Err(error) = &thread {
            tracing::error!(script = &*name, %error, "no thread for this script");
        }
        Self { name, mail, status, loaded: Some(loaded), thread: thread.ok() }
    }
}
