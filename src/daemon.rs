//! The daemon: core and scripts started, signals heeded, everything stopped in order.
//!
//! Which scripts and settings there are is decided by [`config`](crate::config). What operators ask
//! is answered in [`desk`], what monitoring reads in [`figures`].

mod desk;
mod figures;
mod reload;

use std::{
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use crate::{
    command::{Command, Reply},
    config::Config,
    control::{
        Answer, Ask, Refusal, RefusalKind,
        server::{Limits, Server},
        socket::{self, BindError, Socket},
    },
    driver::{self, Running, Settings},
    net::Listen,
    observe::{http, recent::Recent},
    script::{Force, Scripts, Taken},
};
use desk::{Desk, Wish, timer_rows};
use figures::Figures;
pub use reload::Load;
use reload::{Reloader, words};

/// How a daemon that had started came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to stop and did so in order.
    Stopped,
    /// A second signal did not let it stop in order.
    AtOnce(Stop),
    /// None of the scripts it was given by hand runs.
    NoScript,
    /// The core has ended by itself.
    CoreGone,
}

/// A signal that ends the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Why a daemon cannot start; nothing has been sent then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket for SIP, or what every process needs.
    #[error(transparent)]
    Core(#[from] driver::StartError),
    /// The control socket that the configuration asks for.
    #[error(transparent)]
    Control(#[from] BindError),
    /// The address of the metrics page.
    #[error("[metrics] listen: cannot listen on {0}")]
    Metrics(std::net::SocketAddr, #[source] std::io::Error),
}

impl StartError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| driver::StartError::System(what, error).into()
    }
}

/// Runs until a signal comes, or somebody asks for the end. `by_hand`: the scripts were named on the
/// command line, so there is nothing left to do when all of them fail. `recent`: the log, for those
/// who ask to see it. `load` reads the configuration again.
///
/// # Errors
/// When a socket or something else of the system cannot be had; nothing has been sent then.
pub fn run(config: Config, by_hand: bool, recent: Recent, load: Load) -> Result<End, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::system("an event loop"))?;
    let end = runtime.block_on(serve(config, by_hand, recent, load));
    // A thread that does not end must not keep the process.
    runtime.shutdown_background();
    end
}

async fn serve(
    mut config: Config,
    by_hand: bool,
    recent: Recent,
    load: Load,
) -> Result<End, StartError> {
    let mut signals = Signals::heed().map_err(StartError::system("signals"))?;
    tracing::info!("puad {}", env!("CARGO_PKG_VERSION"));
    match &config.file {
        Some(file) => tracing::info!("configuration is {}", file.display()),
        None => tracing::info!("no configuration file; defaults are used"),
    }
    let socket = control_socket(config.control_socket.clone())?;
    let metrics = config.metrics_listen.map(metrics_socket).transpose()?;
    let running =
        driver::start(Settings { sip: config.sip.clone(), listen: config.listen.clone() })?;
    let listening: Vec<_> = running
        .listening
        .iter()
        .map(|&(transport, address)| Listen { transport, address }.to_string())
        .collect();
    tracing::info!("listening on {}", listening.join(", "));
    if config.scripts.is_empty() {
        let dir = config.scripts_dir.clone().unwrap_or_default();
        tracing::warn!(
            "there is no script in {}; puad publishes nothing until you put *.lua files there",
            dir.display()
        );
    }
    for script in &config.scripts {
        tracing::info!(script = &*script.name, file = %script.path.display(), "starting");
    }
    let specs = std::mem::take(&mut config.scripts);
    let mut scripts = Scripts::start(specs, &running.handle);
    let mut reloader = Reloader::new(load, config);
    let mut watched = reloader.watched();
    let mut changes = scripts.watch_files(watched.clone());
    let mut desk = Desk::new(running.handle.downgrade(), scripts.view());
    let is_stopping = Arc::new(AtomicBool::new(false));
    if let Some(metrics) = metrics {
        let figures = Figures {
            core: running.handle.downgrade(),
            scripts: scripts.view(),
            is_stopping: is_stopping.clone(),
            of_scripts: scripts_metrics(&scripts),
        };
        serve_metrics(metrics, figures);
    }
    // One sender stays here: without a control socket nobody asks, and that is no end of anything.
    let (asking, mut asks) = mpsc::channel(64);
    let control = socket
        .map(|socket| {
            tracing::info!("control socket is {}", socket.path().display());
            Server::start(socket, asking.clone(), recent, Limits::default())
        })
        .transpose()
        .map_err(StartError::system("the control socket"))?;
    let mut remove_all = false;
    // Each failure is logged as it comes; a top level may wait as long as it likes.
    let loading = scripts.loaded(Duration::from_secs(24 * 3600));
    let mut failed = pin!(all_failed(scripts.status().len(), loading, by_hand));
    let end = loop {
        // The configuration may name another folder now.
        if watched != reloader.watched() {
            watched = reloader.watched();
            changes = scripts.watch_files(watched.clone());
        }
        tokio::select! {
            () = &mut failed => break Some(End::NoScript),
            () = running.handle.closed() => break Some(End::CoreGone),
            signal = signals.next_any() => match signal {
                Told::Stop(_) => break None,
                Told::Reload => {
                    tracing::info!("reloading");
                    reload(&mut reloader, &scripts, &running.handle, Force::All);
                }
            },
            Some(()) = changes.recv() => {
                // A save comes as several changes; one look at everything serves them all.
                while changes.try_recv().is_ok() {}
                reload(&mut reloader, &scripts, &running.handle, Force::Nothing);
            }
            Some(ask) = asks.recv() => match desk.take(ask) {
                Some(Wish::Stop { remove }) => {
                    tracing::info!("a stop is asked for over the control socket");
                    remove_all = remove;
                    break None;
                }
                Some(Wish::Timers { reply }) => {
                    let timers = scripts.timers();
                    desk::answer(reply, async move { Ok(timer_rows(timers.await)) });
                }
                Some(Wish::Reload { name, reply }) => {
                    let force = name.clone().map_or(Force::All, Force::One);
                    match reloader.reload(&scripts, &running.handle, force) {
                        Ok(taken) => desk::answer(reply, async move {
                            reloaded(name.as_deref(), taken.await)
                        }),
                        Err(problems) => {
                            let refusal = Refusal::new(RefusalKind::Failed, problems.to_string());
                            desk::answer(reply, async { Err(refusal) });
                        }
                    }
                }
                Some(Wish::Resume { name, reply }) => {
                    let resumed = scripts.resume(&name);
                    desk::answer(reply, async move { Ok(json!(resumed.await)) });
                }
                None => {}
            },
        }
    };
    is_stopping.store(true, Ordering::Relaxed);
    match end {
        Some(End::NoScript) => tracing::error!("no script runs; stopping"),
        Some(_) => tracing::error!("the SIP core has ended; stopping"),
        None => tracing::info!(
            "stopping within {} s; a second signal stops at once",
            STOP_LIMIT.as_secs()
        ),
    }
    let stopping_since = Instant::now();
    let unanswered = tokio::select! {
        unanswered = stop(scripts, running, remove_all) => unanswered,
        again = signals.next_after(stopping_since + SAME_SIGNAL) => {
            tracing::warn!("stopped at once; what is published runs out at the server");
            return Ok(End::AtOnce(again));
        }
        () = keep_answering(&mut desk, &mut asks) => 0,
    };
    tracing::info!("stopped");
    desk.stopped(unanswered);
    if let Some(control) = control {
        control.close().await;
    }
    Ok(end.unwrap_or(End::Stopped))
}

/// Opens the control socket. The usual one may belong to another puad, or be out of reach: then this
/// one runs without; what the configuration asks for must be had.
fn control_socket(configured: Option<PathBuf>) -> Result<Option<Socket>, StartError> {
    if let Some(path) = configured {
        return Ok(Some(Socket::bind(&path)?));
    }
    let environment = |name: &str| std::env::var(name).ok();
    let Some(path) = socket::usual(&environment, rustix::process::geteuid().is_root()) else {
        tracing::info!(
            "no control socket: XDG_RUNTIME_DIR is not set; set [control] socket for `puad ls` and its like"
        );
        return Ok(None);
    };
    match Socket::bind(&path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => {
            let why = anyhow::Error::new(error);
            tracing::warn!("no control socket: {why:#}");
            Ok(None)
        }
    }
}

fn metrics_socket(address: std::net::SocketAddr) -> Result<http::Bound, StartError> {
    let refused = |error| StartError::Metrics(address, error);
    let bound = http::Bound::bind(address).map_err(refused)?;
    tracing::info!("metrics are at http://{}/metrics", bound.address().map_err(refused)?);
    Ok(bound)
}

fn serve_metrics<F: Fn() -> String + Send + Sync + 'static>(
    bound: http::Bound,
    figures: Figures<F>,
) {
    tokio::spawn(async move {
        let Err(error) = bound.serve(Arc::new(figures), http::Limits::default()).await;
        tracing::error!(%error, "the metrics page is not served any more");
    });
}

/// While everything stops, questions are answered all the same.
async fn keep_answering(desk: &mut Desk, asks: &mut mpsc::Receiver<Ask>) {
    while let Some(ask) = asks.recv().await {
        // A stop is under way already; whoever asks for another waits for this one. Scripts are
        // ending, so that one that is on hold need not be resumed.
        let _ = desk.take(ask);
    }
}

/// Reloads, and says what is wrong with the configuration; the scripts' keepers say the rest.
fn reload(reloader: &mut Reloader, scripts: &Scripts, core: &driver::Handle, force: Force) {
    match reloader.reload(scripts, core, force) {
        // Each script has been told; nobody waits for what comes of it.
        Ok(taken) => drop(taken),
        Err(problems) => {
            tracing::error!("the configuration is not taken, the last good one stays:\n{problems}");
        }
    }
}

/// Answers `puad reload`: a line for each script that was meant or has changed.
fn reloaded(name: Option<&str>, taken: Vec<(Arc<str>, Taken)>) -> Answer {
    let is_meant = |of: &Arc<str>, taken: &Taken| match name {
        Some(name) => **of == *name,
        None => *taken != Taken::Unchanged,
    };
    let lines: Vec<String> = taken
        .iter()
        .filter(|(of, taken)| is_meant(of, taken))
        .map(|(of, taken)| words(of, taken))
        .collect();
    let has_failed =
        |(of, taken): &(Arc<str>, Taken)| is_meant(of, taken) && matches!(taken, Taken::Failed(_));
    match taken.iter().any(has_failed) {
        true => Err(Refusal::new(RefusalKind::Failed, lines.join("\n"))),
        false => Ok(json!(lines)),
    }
}

/// What scripts count by themselves, for the metrics page.
fn scripts_metrics(scripts: &Scripts) -> impl Fn() -> String + Send + Sync + 'static {
    let metrics = scripts.metrics();
    move || metrics.encode()
}

/// Says how scripts have started; returns when none of those named by hand runs.
async fn all_failed<T>(count: usize, loading: impl Future<Output = Vec<T>>, by_hand: bool) {
    let failed = loading.await.len();
    if count > 0 && failed == count {
        if by_hand {
            return;
        }
        tracing::warn!("every script has failed; puad publishes nothing until they are mended");
    } else if failed > 0 {
        tracing::warn!("{failed} of {count} scripts do not run");
    }
    std::future::pending().await
}

/// Scripts first, so that nothing new is published; then the core, which removes what is to go.
/// Returns how many removals nobody has answered.
async fn stop(scripts: Scripts, running: Running, remove_all: bool) -> usize {
    let deadline = Instant::now() + STOP_LIMIT;
    scripts.stop(STOP_LIMIT / 2).await;
    // The core's own limit ends a little earlier, so that its answer is heard.
    let limit = (deadline - Duration::from_millis(100)).saturating_duration_since(Instant::now());
    let stopped = running.handle.call(Command::Stop { limit, remove_all });
    let unanswered = match tokio::time::timeout_at(deadline, stopped).await {
        Ok(Ok(reply)) => {
            if let Reply::Stopped { unanswered } = reply {
                unanswered
            } else {
                0
            }
        }
        // The core has ended already.
        Ok(Err(driver::Closed)) => 0,
        Err(_) => {
            tracing::warn!("the SIP core does not answer; it is left behind");
            0
        }
    };
    if unanswered > 0 {
        tracing::warn!(
            "removals without an answer: {unanswered}; that state runs out at the server"
        );
    }
    let joined = tokio::task::spawn_blocking(move || running.join());
    if tokio::time::timeout_at(deadline, joined).await.is_err() {
        tracing::warn!("the SIP core does not end; it is left behind");
    }
    unanswered
}

/// What a signal asks for.
enum Told {
    Stop(Stop),
    /// SIGHUP: configuration and scripts are reloaded.
    Reload,
}

/// Signals that are heeded from now on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn heed() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns the next signal that asks for an end and does not come before `from`.
    async fn next_after(&mut self, from: Instant) -> Stop {
        loop {
            let stop = self.next().await;
            if Instant::now() >= from {
                return stop;
            }
        }
    }

    /// Returns the next signal that asks for an end.
    async fn next(&mut self) -> Stop {
        loop {
            if let Told::Stop(stop) = self.next_any().await {
                return stop;
            }
        }
    }

    /// Returns the next signal.
    async fn next_any(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop(Stop::Interrupt),
            _ = self.terminate.recv() => Told::Stop(Stop::Terminate),
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// Signals this close together are one wish: `timeout` and terminals send to a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);
/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);
