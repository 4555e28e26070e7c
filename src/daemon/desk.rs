//! The desk: carries out what is asked over the control socket.
//!
//! It looks at scripts and core and changes neither; what changes something is told to the daemon's
//! main loop. How requests arrive is the business of [`control`](crate::control).

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    command::{Command, Owner, PublicationInfo, Reply, closest},
    control::{
        Answer, Ask, Refusal, RefusalKind, Request, What,
        rows::{self, ScriptRow, TimerRow},
    },
    driver::WeakHandle,
    script::{ScriptState, Status, TimerInfo, View},
};

/// Answers for one daemon.
#[derive(Debug)]
pub(super) struct Desk {
    core: WeakHandle,
    scripts: View,
    /// Those who wait for the end.
    stops: Vec<oneshot::Sender<Answer>>,
}

/// What the main loop has to do.
#[derive(Debug)]
pub(super) enum Wish {
    /// Stop in order.
    Stop {
        /// Remove what would be kept, too.
        remove: bool,
    },
    /// List timers, and answer.
    Timers {
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// Reload, and answer.
    Reload {
        /// One script, or all.
        name: Option<Arc<str>>,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// Let a script that is on hold go on, and answer.
    Resume {
        /// Which.
        name: Arc<str>,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
}

impl Desk {
    pub(super) fn new(core: WeakHandle, scripts: View) -> Self {
        Self { core, scripts, stops: Vec::new() }
    }

    /// Takes a request; what only the main loop can do comes back.
    pub(super) fn take(&mut self, Ask { request, reply }: Ask) -> Option<Wish> {
        let core = self.core.clone();
        match request {
            Request::Stop { remove } => {
                self.stops.push(reply);
                return Some(Wish::Stop { remove });
            }
            Request::List(What::Scripts) => {
                let status = self.scripts.status();
                answer(reply, async move { Ok(json!(script_rows(status, &owners(&core).await))) });
            }
            Request::List(What::Publications) => answer(reply, async move {
                let infos = publications(&core).await?;
                Ok(infos.iter().map(rows::publication).collect())
            }),
            // Nothing subscribes in this version.
            Request::List(What::Subscriptions) => answer(reply, async { Ok(json!([])) }),
            Request::List(What::Timers) => return Some(Wish::Timers { reply }),
            Request::Show { key } => {
                answer(reply, async move { rows::show(&publications(&core).await?, &key) });
            }
            Request::Reload { name } => match name.map(|name| self.known(&name)).transpose() {
                Ok(name) => return Some(Wish::Reload { name, reply }),
                Err(refusal) => answer(reply, async { Err(refusal) }),
            },
            Request::Resume { name } => match self.held(&name) {
                Ok(name) => return Some(Wish::Resume { name, reply }),
                Err(refusal) => answer(reply, async { Err(refusal) }),
            },
        }
        None
    }

    /// Returns a script that is on hold.
    fn held(&self, name: &str) -> Result<Arc<str>, Refusal> {
        let name = self.known(name)?;
        let scripts = self.scripts.status();
        let state =
            scripts.iter().find(|(other, _)| *other == name).map(|(_, status)| status.state);
        match state {
            Some(ScriptState::Hold) | None => Ok(name),
            Some(state) => {
                let message = format!("{name} is not on hold; it is {}", state.as_str());
                Err(Refusal::new(RefusalKind::Failed, message))
            }
        }
    }

    /// Returns a script that is there.
    fn known(&self, name: &str) -> Result<Arc<str>, Refusal> {
        let scripts = self.scripts.status();
        if let Some((found, _)) = scripts.iter().find(|(other, _)| **other == *name) {
            return Ok(found.clone());
        }
        let hint = match closest(name, scripts.iter().map(|(name, _)| &**name)) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "`puad ls` shows all".into(),
        };
        let message = format!("no script is named {name:?} ({hint})");
        Err(Refusal::new(RefusalKind::NotFound, message))
    }

    /// Tells those who asked for a stop that everything has ended; `unanswered`: how many removals
    /// nobody has answered.
    pub(super) fn stopped(&mut self, unanswered: usize) {
        for reply in self.stops.drain(..) {
            // It may have gone.
            let _ = reply.send(Ok(json!({ "unanswered": unanswered })));
        }
    }
}

/// Answers without holding up the main loop.
pub(super) fn answer(
    reply: oneshot::Sender<Answer>,
    found: impl Future<Output = Result<Value, Refusal>> + Send + 'static,
) {
    tokio::spawn(async move {
        // Whoever asked may have gone.
        let _ = reply.send(found.await);
    });
}

/// Returns what `puad ls timers` shows.
pub(super) fn timer_rows(timers: Vec<(Arc<str>, Vec<TimerInfo>)>) -> Value {
    let row = |script: &str, timer: TimerInfo| TimerRow {
        script: script.to_owned(),
        name: timer.name,
        kind: timer.kind.to_owned(),
        schedule: timer.schedule,
        next: timer.next,
        runs: timer.runs,
        missed: timer.missed,
        running: timer.running,
    };
    let rows: Vec<TimerRow> = timers
        .into_iter()
        .flat_map(|(script, timers)| timers.into_iter().map(move |timer| row(&script, timer)))
        .collect();
    json!(rows)
}

async fn publications(core: &WeakHandle) -> Result<Vec<PublicationInfo>, Refusal> {
    let closed = |_| Refusal::new(RefusalKind::Closed, "puad is stopping");
    let core = core.upgrade().map_err(closed)?;
    let list = Command::Publications { owner: None, key: None };
    let Reply::Publications(infos) = core.call(list).await.map_err(closed)? else {
        return Ok(Vec::new());
    };
    Ok(infos)
}

/// Counts publications by owner; there are none when the core has ended.
async fn owners(core: &WeakHandle) -> BTreeMap<Owner, u64> {
    match core.upgrade() {
        Ok(core) => core.observe().await.map(|observed| observed.owners).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    }
}

/// Returns what `puad ls scripts` shows.
fn script_rows(scripts: Vec<(Arc<str>, Status)>, owners: &BTreeMap<Owner, u64>) -> Vec<ScriptRow> {
    let row = |(name, status): (Arc<str>, Status)| ScriptRow {
        name: name.to_string(),
        file: status.file.display().to_string(),
        state: status.state.as_str().into(),
        generation: status.generation,
        error: status.last_error.map(|problem| problem.message),
        memory: status.memory as u64,
        publications: owners.get(&Owner::Script(name)).copied().unwrap_or_default(),
        // Nothing subscribes in this version.
        subscriptions: 0,
        timers: status.timers as u64,
    };
    scripts.into_iter().map(row).collect()
}
