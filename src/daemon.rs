//! The daemon: core and scripts started, signals heeded, everything stopped in order.
//!
//! Which scripts and settings there are is decided by [`config`](crate::config).

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use crate::{
    command::{Command, Reply},
    config::Config,
    driver::{self, Running, Settings, StartError},
    net::Listen,
    script::Scripts,
};

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

/// Runs until a signal comes. `by_hand`: the scripts were named on the command line, so there is
/// nothing left to do when all of them fail.
///
/// # Errors
/// When a socket or something else of the system cannot be had; nothing has been sent then.
pub fn run(config: Config, by_hand: bool) -> Result<End, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("an event loop", error))?;
    let end = runtime.block_on(serve(config, by_hand));
    // A thread that does not end must not keep the process.
    runtime.shutdown_background();
    end
}

async fn serve(config: Config, by_hand: bool) -> Result<End, StartError> {
    let mut signals = Signals::heed().map_err(|error| StartError::System("signals", error))?;
    tracing::info!("puad {}", env!("CARGO_PKG_VERSION"));
    match &config.file {
        Some(file) => tracing::info!("configuration is {}", file.display()),
        None => tracing::info!("no configuration file; defaults are used"),
    }
    let running = driver::start(Settings { sip: config.sip, listen: config.listen })?;
    let listening: Vec<_> = running
        .listening
        .iter()
        .map(|&(transport, address)| Listen { transport, address }.to_string())
        .collect();
    tracing::info!("listening on {}", listening.join(", "));
    if config.scripts.is_empty() {
        let dir = config.scripts_dir.unwrap_or_default();
        tracing::warn!(
            "there is no script in {}; puad keeps running, but publishes nothing: put *.lua files there and start it again",
            dir.display()
        );
    }
    for script in &config.scripts {
        tracing::info!(script = &*script.name, file = %script.path.display(), "starting");
    }
    let mut scripts = Scripts::start(config.scripts, &running.handle);
    let end = tokio::select! {
        () = all_failed(&mut scripts, by_hand) => Some(End::NoScript),
        () = running.handle.closed() => Some(End::CoreGone),
        _ = signals.next() => None,
    };
    match end {
        Some(End::NoScript) => tracing::error!("no script runs; stopping"),
        Some(_) => tracing::error!("the SIP core has ended; stopping"),
        None => tracing::info!(
            "stopping within {} s; a second signal stops at once",
            STOP_LIMIT.as_secs()
        ),
    }
    let stopping_since = Instant::now();
    Ok(tokio::select! {
        () = stop(scripts, running) => end.unwrap_or(End::Stopped),
        again = signals.next_after(stopping_since + SAME_SIGNAL) => {
            tracing::warn!("stopped at once; what is published runs out at the server");
            End::AtOnce(again)
        }
    })
}

/// Says how scripts have started; returns when none of those named by hand runs.
async fn all_failed(scripts: &mut Scripts, by_hand: bool) {
    let count = scripts.status().len();
    // Each failure is logged as it comes; a top level may wait as long as it likes.
    let failed = scripts.loaded(Duration::from_secs(24 * 3600)).await.len();
    if count > 0 && failed == count {
        if by_hand {
            return;
        }
        tracing::warn!(
            "every script has failed; puad keeps running, but publishes nothing: mend them and start it again"
        );
    } else if failed > 0 {
        tracing::warn!("{failed} of {count} scripts do not run");
    }
    std::future::pending().await
}

/// Scripts first, so that nothing new is published; then the core, which removes what is to go.
async fn stop(scripts: Scripts, running: Running) {
    let deadline = Instant::now() + STOP_LIMIT;
    scripts.stop(STOP_LIMIT / 2).await;
    // The core's own limit ends a little earlier, so that its answer is heard.
    let limit = (deadline - Duration::from_millis(100)).saturating_duration_since(Instant::now());
    let stopped = running.handle.call(Command::Stop { limit, remove_all: false });
    match tokio::time::timeout_at(deadline, stopped).await {
        Ok(Ok(Reply::Stopped { unanswered })) if unanswered > 0 => {
            tracing::warn!(
                "removals without an answer: {unanswered}; that state runs out at the server"
            );
        }
        Ok(Ok(_)) => {}
        // The core has ended already.
        Ok(Err(driver::Closed)) => {}
        Err(_) => tracing::warn!("the SIP core does not answer; it is left behind"),
    }
    let joined = tokio::task::spawn_blocking(move || running.join());
    if tokio::time::timeout_at(deadline, joined).await.is_err() {
        tracing::warn!("the SIP core does not end; it is left behind");
    }
    tracing::info!("stopped");
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
            tokio::select! {
                _ = self.interrupt.recv() => return Stop::Interrupt,
                _ = self.terminate.recv() => return Stop::Terminate,
                _ = self.hangup.recv() => tracing::warn!(
                    "SIGHUP: reloading is not available in this version; stop and start puad instead"
                ),
            }
        }
    }
}

/// Signals this close together are one wish: `timeout` and terminals send to a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);
/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);
