//! `puad check`: configuration and scripts, run against a core that only keeps account.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Ended, exit, print, sources::Sources, start_log};
use crate::{
    command::{Command, EntityTag, Key, Owner, PublicationState, Publish, Published, Reply},
    driver::{self, Envelope, Inbox},
    script::{How, Problem, ScriptState, Scripts, Status},
};

/// Options of `puad check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad check                        # puad.toml here, or /etc/puad/puad.toml, and all its scripts
  puad check cpu.lua --set cpu.uri=sip:web1@example.com

Each script is compiled and run to the end of its top level; what it publishes is granted and goes
nowhere, and each of its timers is fired once; handlers of watches are not run. Nothing outside is
reached or written; what ends for want of an answer is no mistake, and its line says so. Exit code 0, or 78 when something is wrong.")]
pub(super) struct Args {
    #[command(flatten)]
    sources: Sources,
}

/// Prints a line per script.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let config = args.sources.load()?;
    // Of the log only what scripts themselves have to say: the rest is in the lines printed here.
    let _log = start_log("off,puad::lua=warn")?;
    if let Some(file) = &config.file {
        print(&format!("ok {}: configuration", file.display()))?;
    }
    if config.scripts.is_empty() {
        print("there is no script to check")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Ended::new(exit::OTHER, error))?;
    let checked = runtime.block_on(async {
        let (core, mut inbox) = driver::channel();
        let mut record = Record::default();
        let how = How { is_rehearsal: true, ..How::default() };
        let mut scripts = Scripts::start_as(how, config.scripts, &core);
        let wrong = tokio::select! {
            wrong = async {
                let wrong = scripts.loaded(PATIENCE).await;
                // A slip inside a timer's handler would show itself hours later otherwise.
                scripts.rehearse(PATIENCE).await;
                wrong
            } => wrong,
            // Ends only with the last handle, and one is held here.
            () = record.keep(&mut inbox) => Vec::new(),
        };
        record.keep_waiting(&mut inbox);
        let checked: Vec<_> = scripts
            .status()
            .into_iter()
            .map(|(name, status)| verdict(&name, &status, &wrong, record.publications(&name)))
            .collect();
        scripts.stop(Duration::from_secs(2)).await;
        checked
    });
    runtime.shutdown_background();
    let mut code = exit::OK;
    for line in checked {
        match line {
            Ok(line) => print(&line)?,
            Err(line) => {
                code = exit::CONFIG;
                print(&line)?;
            }
        }
    }
    Ok(code)
}

/// Returns a script's line.
fn verdict(
    name: &Arc<str>,
    status: &Status,
    wrong: &[(Arc<str>, Problem)],
    publications: usize,
) -> Result<String, String> {
    let at_top = wrong.iter().find(|(wrong, _)| wrong == name).map(|(_, problem)| problem);
    let problem = at_top.or(status.last_error.as_ref());
    if let Some(problem) = problem.filter(|problem| problem.not_done.is_none()) {
        return Err(format!("failed {name}: {problem}"));
    }
    let not_done = problem.and_then(|problem| problem.not_done).or(status.not_done);
    let note = match (not_done, status.state) {
        (Some(call), _) => format!(" (not run to its end: {call} is not done in a check)"),
        (None, ScriptState::Running) => String::new(),
        (
            None,
            ScriptState::Starting | ScriptState::Stale | ScriptState::Hold | ScriptState::Failed,
        ) => format!(" (its top level still waits after {} s)", PATIENCE.as_secs()),
    };
    Ok(format!(
        "ok {name}: publishes {publications}, timers {}, watches {}{note}",
        status.timers, status.watches
    ))
}

/// A core that grants everything and sends nothing.
#[derive(Default)]
struct Record {
    publications: BTreeMap<Owner, BTreeSet<Key>>,
}

impl Record {
    async fn keep(&mut self, inbox: &mut Inbox) {
        while let Some(envelope) = inbox.recv().await {
            self.accept(envelope);
        }
    }

    /// Takes what has come in already.
    fn keep_waiting(&mut self, inbox: &mut Inbox) {
        while let Ok(envelope) = inbox.try_recv() {
            self.accept(envelope);
        }
    }

    fn accept(&mut self, envelope: Envelope) {
        // Nobody observes, and there are no events to listen to.
        let Envelope::Call(command, reply) = envelope else { return };
        let answer = match command {
            Command::Publish(publish) if publish.expires.is_zero() => {
                Reply::Publication(Ok(self.removed(&publish.owner, publish.key())))
            }
            Command::Publish(publish) => {
                let of_owner = self.publications.entry(publish.owner.clone()).or_default();
                of_owner.insert(publish.key());
                Reply::Publication(Ok(granted(publish.key(), Some(&publish))))
            }
            Command::Refresh { key, .. } => Reply::Publication(Ok(granted(key, None))),
            Command::Remove { owner, key, .. } => Reply::Publication(Ok(self.removed(&owner, key))),
            Command::Publications { .. } => Reply::Publications(Vec::new()),
            // What a script that ended early had published is counted all the same.
            Command::Abandon { .. } => Reply::Abandoned { removed: Vec::new(), kept: Vec::new() },
            Command::Accounts { .. } => Reply::Accounts { changed: 0 },
            Command::Stop { .. } => Reply::Stopped { unanswered: 0 },
        };
        // The script may have ended meanwhile.
        let _ = reply.send(answer);
    }

    fn removed(&mut self, owner: &Owner, key: Key) -> Published {
        let sent = self.publications.get_mut(owner).is_some_and(|keys| keys.remove(&key));
        let granted = granted(key, None);
        Published {
            state: PublicationState::Removed,
            sent,
            entity_tag: None,
            expires: None,
            ..granted
        }
    }

    fn publications(&self, name: &Arc<str>) -> usize {
        self.publications.get(&Owner::Script(name.clone())).map_or(0, BTreeSet::len)
    }
}

fn granted(key: Key, publish: Option<&Publish>) -> Published {
    Published {
        key,
        state: PublicationState::Published,
        sent: true,
        status: Some(200),
        reason: Some("OK".into()),
        entity_tag: EntityTag::parse("check").ok(),
        expires: Some(publish.map_or(Duration::from_secs(3600), |publish| publish.expires)),
    }
}

/// How long top levels are waited for, and then timers.
const PATIENCE: Duration = Duration::from_secs(5);
