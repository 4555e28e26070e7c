//! `puad demo`: the main job on an embedded agent, with nothing to set up.
//!
//! Inside one process and on loopback: a small presence agent, the two scripts
//! that puad ships, a mailbox that is filled and emptied, and a view of what is
//! published. The view is in [`view`], the mailbox in [`mailbox`].

mod mailbox;
mod view;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    agent::{self, Server},
    command::{Command, PublicationInfo, Reply},
    driver::{self, Handle},
    net::Listen,
    script::{Limits, Permissions, ScriptSpec, Scripts},
    sip::{self, message::Uri},
};
use mailbox::Mailbox;
use view::View;

/// Runs the demonstration for `limit`, or until Ctrl-C.
///
/// # Errors
/// When the system refuses a socket, a thread or a temporary folder, or standard output breaks.
pub fn run(limit: Option<Duration>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop")?;
    runtime.block_on(show(limit))
}

async fn show(limit: Option<Duration>) -> Result<()> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let agent = Server::start(loopback, agent::Settings::default()).context("the agent")?;
    let folder = tempfile::Builder::new()
        .prefix("puad-demo-")
        .tempdir()
        .context("a temporary folder for the mailbox")?;
    let mut mailbox = Mailbox::create(&folder.path().join("Maildir")).context("the mailbox")?;
    let proxy = format!("sip:{};lr", agent.local_addr());
    let running = driver::start(driver::Settings {
        sip: sip::Config { outbound_proxy: vec![Uri::parse(&proxy)?], ..sip::Config::default() },
        listen: vec![Listen { transport: rsip::Transport::Udp, address: loopback }],
    })?;
    let scripts = Scripts::start(scripts(folder.path()), &running.handle);
    let mut view = View::start(agent.local_addr(), mailbox.path())?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ends_at = limit.map(|limit| Instant::now() + limit);
    let mut mail_at = Instant::now() + MAIL;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if Instant::now() >= mail_at {
                    mailbox.step().context("the mailbox")?;
                    mail_at += MAIL;
                }
                let counters = agent.agent().counters();
                view.draw(&list(&running.handle).await, &counters)?;
            }
            () = end(ends_at) => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    scripts.stop(STOP).await;
    // What was published is removed, as with any orderly stop.
    let _ = running.handle.call(Command::Stop { limit: STOP, remove_all: false }).await;
    let left = agent.agent().publications().len();
    view.finish(&agent.agent().counters(), left)?;
    running.join();
    Ok(())
}

async fn end(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn list(core: &Handle) -> Vec<PublicationInfo> {
    match core.call(Command::Publications { owner: None, key: None }).await {
        Ok(Reply::Publications(infos)) => infos,
        Ok(
            Reply::Publication(_)
            | Reply::Abandoned { .. }
            | Reply::Accounts { .. }
            | Reply::Stopped { .. },
        )
        | Err(driver::Closed) => Vec::new(),
    }
}

/// The shipped scripts, with settings that let something happen every few seconds.
fn scripts(folder: &Path) -> Vec<ScriptSpec> {
    let cpu = toml::toml! {
        uri = "sip:cpu@demo.example"
        interval = "2s"
        expires = "20s"
    };
    let mwi = toml::toml! {
        uri = "sip:mailbox@demo.example"
        box = "Maildir"
        expires = "8s"
    };
    let spec = |name: &str, source: &str, config| ScriptSpec {
        name: name.into(),
        path: folder.join(format!("{name}.lua")),
        source: source.into(),
        config,
        config_dir: folder.into(),
        lib_dirs: Vec::new(),
        allow: Permissions::default(),
        limits: Limits::default(),
    };
    vec![
        spec("cpu", include_str!("../../scripts/cpu.lua"), cpu),
        spec("mwi", include_str!("../../scripts/mwi.lua"), mwi),
    ]
}

/// How often the view looks.
const TICK: Duration = Duration::from_millis(500);
/// How often a mail comes or is read.
const MAIL: Duration = Duration::from_secs(3);
/// How long the end may take.
const STOP: Duration = Duration::from_secs(5);
