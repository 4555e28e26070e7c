//! `pua`: publishing. Calls are read in [`call`]; what a script then holds is in [`handle`].

mod call;
mod handle;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use mlua::{AnyUserData, Lua, MultiValue, Table, Value};
use tokio::{sync::oneshot, task::spawn_local};

use super::{
    super::{
        host::Host,
        life::{Origin, Phase},
        serial::{Full, Letter, Serial},
    },
    Fault, bind, bind_async, error_table, failed,
};
use crate::command::{
    Change, Command, EntityTag, Failure, FailureKind, Key, OnStop, PublicationEvent,
    PublicationInfo, PublicationState, Publish, Published, Reply,
};
use call::Call;
use handle::{Handle, info_table, infos, methods};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = methods(lua, host)?;
    let (publisher, handles) = (host.clone(), methods.clone());
    table.set(
        "publish",
        bind_async(lua, host, move |lua, args| {
            let (host, methods) = (publisher.clone(), handles.clone());
            let call = Call::read("pua.publish", &args);
            async move { call?.publish(&lua, &host, &methods).await }
        })?,
    )?;
    let sender = host.clone();
    table.set(
        "send_publish",
        bind(lua, host, move |lua, args| {
            Call::read("pua.send_publish", &args)?.send(lua, &sender, &methods)
        })?,
    )?;
    let lister = host.clone();
    table.set(
        "publications",
        bind_async(lua, host, move |lua, _: MultiValue| {
            let host = lister.clone();
            async move {
                let list = lua.create_table()?;
                for info in infos(&host, None).await {
                    list.raw_push(info_table(&lua, &info)?)?;
                }
                Ok(list)
            }
        })?,
    )?;
    Ok(table)
}

/// Tells a publication's owner of a change.
pub(in crate::script) fn on_event(host: &Rc<Host>, lua: &Lua, event: PublicationEvent) {
    let entry = host.publications.borrow().get(&event.key).cloned();
    let Some(entry) = entry else { return };
    entry.live.borrow_mut().take(&event);
    entry.is_known.set(true);
    if event.change == Change::Removed {
        entry.is_known.set(false);
        entry.forget(host, &event.key);
    }
    let handler = entry.on_state.borrow().clone();
    if let Some(handler) = handler {
        handler.push(host, lua, event);
    }
}

/// What a script's side keeps of one publication.
#[derive(Default)]
pub(in crate::script) struct Entry {
    live: RefCell<Live>,
    on_state: RefCell<Option<Rc<Serial<PublicationEvent>>>>,
    /// What kind of activity of this version has declared it last, if one has.
    origin: Cell<Option<Origin>>,
    /// An earlier version has published it.
    is_inherited: Cell<bool>,
    /// Calls the core has not answered yet.
    calls: Cell<usize>,
    /// Whether the core has the publication, as far as it has said.
    is_known: Cell<bool>,
    /// Bytes of its document that count towards the script's limit.
    kept: Cell<usize>,
}

/// Takes in what the older version has published.
pub(in crate::script) fn inherit(host: &Host, publications: &[PublicationInfo]) {
    let (mut own, now) = (host.publications.borrow_mut(), host.clock.unix());
    for info in publications {
        let entry = Entry::default();
        *entry.live.borrow_mut() = Live {
            status: info.status,
            reason: info.reason.clone(),
            entity_tag: info.entity_tag.clone(),
            expires: info.expires_at.map(|at| Duration::from_secs_f64((at - now).max(0.0))),
            sent: false,
        };
        entry.is_known.set(true);
        entry.is_inherited.set(true);
        own.insert(info.key.clone(), Rc::new(entry));
    }
}

/// Returns what this version has published, and what it has left of earlier ones, with the kind of
/// activity that declared each.
pub(in crate::script) fn origins(host: &Host) -> BTreeMap<Key, Origin> {
    let mut origins = host.orphans.borrow().left().clone();
    for (key, entry) in host.publications.borrow().iter() {
        if let Some(origin) = entry.origin.get().filter(|_| entry.may_be_up()) {
            origins.insert(key.clone(), origin);
        }
    }
    origins
}

/// Returns what earlier versions have published and this one has not declared. What kind of activity
/// did may be known to the earlier one; until then, one that may do so again.
pub(in crate::script) fn undeclared(host: &Host) -> BTreeMap<Key, Origin> {
    let publications = host.publications.borrow();
    let left = publications.iter().filter(|(_, entry)| !entry.is_declared() && entry.may_be_up());
    left.map(|(key, _)| (key.clone(), Origin::Event)).collect()
}

impl Entry {
    /// Returns whether the core has the publication, or may have it in a moment.
    fn may_be_up(&self) -> bool {
        self.is_known.get() || self.calls.get() > 0
    }

    /// Returns whether this version has declared the publication.
    pub(in crate::script) fn is_declared(&self) -> bool {
        self.origin.get().is_some()
    }

    /// Notes that it has.
    fn declare(&self, host: &Host, key: &Key) {
        self.origin.set(Some(host.life.origin()));
        host.orphans.borrow_mut().declared(key);
    }

    /// Takes the entry out of the script's table when nothing stands behind it any more: an end
    /// may be told while the next publish of the key is already under way.
    fn forget(&self, host: &Host, key: &Key) {
        if self.calls.get() == 0 && !self.is_known.get() {
            host.documents.set(host.documents.get().saturating_sub(self.kept.take()));
            host.publications.borrow_mut().remove(key);
        }
    }

    /// Counts a call that is about to begin.
    ///
    /// # Errors
    /// When the script has too much under way already.
    fn begin(self: &Rc<Self>, host: &Rc<Host>, key: &Key, sent: Sent) -> Result<Pending, Failure> {
        let limit = |message: String| Err(Failure::new(FailureKind::Limit, message));
        if host.calls.get() >= host.limits.publications {
            let most = host.limits.publications;
            return limit(format!("{most} calls are not answered yet (limits.publications)"));
        }
        let length = sent.document.unwrap_or(0);
        if length > LONGEST_DOCUMENT {
            return limit(format!(
                "a document of {length} bytes is longer than the {LONGEST_DOCUMENT} a PUBLISH may carry"
            ));
        }
        if host.documents.get() + length > host.limits.documents {
            return limit(format!(
                "the documents of this script would take more than {} bytes (limits.documents)",
                host.limits.documents
            ));
        }
        host.calls.set(host.calls.get() + 1);
        self.calls.set(self.calls.get() + 1);
        // Until the answer both the old document and the new one may be held somewhere.
        host.documents.set(host.documents.get() + length);
        let (host, entry, key) = (host.clone(), self.clone(), key.clone());
        Ok(Pending { host, entry, key, sent, is_answered: false })
    }

    /// Takes the core's word on a call.
    fn note(&self, sent: Sent, reply: &Reply) {
        match reply {
            Reply::Publication(Ok(published)) => {
                self.is_known.set(published.state != PublicationState::Removed);
                self.live.borrow_mut().note(published);
            }
            Reply::Publication(Err(failure)) => match failure.kind {
                // The call was not taken; what was there before is there still.
                FailureKind::Usage
                | FailureKind::Conflict
                | FailureKind::Limit
                | FailureKind::NotFound
                | FailureKind::Closed => {}
                FailureKind::Sip
                | FailureKind::Timeout
                | FailureKind::Dns
                | FailureKind::Refused
                | FailureKind::Tls
                | FailureKind::Io => {
                    // What a removal could not take away nobody keeps up any more.
                    self.is_known.set(!sent.is_removal || failure.retrying);
                    if let Some(status) = failure.status {
                        let mut live = self.live.borrow_mut();
                        live.status = Some(status);
                        live.reason.clone_from(&failure.reason);
                    }
                }
            },
            Reply::Publications(_)
            | Reply::Abandoned { .. }
            | Reply::Accounts { .. }
            | Reply::Stopped { .. } => {}
        }
    }
}

/// A call the core has not answered yet. Whoever waits for the answer may be cancelled; the call
/// counts no longer then, and the core has most likely taken it.
struct Pending {
    host: Rc<Host>,
    entry: Rc<Entry>,
    key: Key,
    sent: Sent,
    is_answered: bool,
}

impl Pending {
    /// Takes the core's word.
    fn settle(mut self, reply: &Reply) {
        self.is_answered = true;
        self.entry.note(self.sent, reply);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Self { host, entry, key, sent, is_answered } = self;
        if !*is_answered {
            entry.is_known.set(true);
        }
        host.calls.set(host.calls.get() - 1);
        entry.calls.set(entry.calls.get() - 1);
        if let Some(length) = sent.document {
            let replaced = entry.kept.replace(length);
            host.documents.set(host.documents.get().saturating_sub(replaced));
        }
        entry.forget(host, key);
    }
}

/// What the script's side must know of a call when its answer comes.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Bytes of the document it carried, if any.
    document: Option<usize>,
    is_removal: bool,
}

/// The fields of a Publication: the last word of the server.
#[derive(Debug, Default)]
struct Live {
    status: Option<u16>,
    reason: Option<Arc<str>>,
    entity_tag: Option<EntityTag>,
    expires: Option<Duration>,
    sent: bool,
}

impl Live {
    fn take(&mut self, event: &PublicationEvent) {
        self.status = event.status;
        self.reason.clone_from(&event.reason);
        self.entity_tag.clone_from(&event.entity_tag);
        self.expires = event.expires;
    }

    fn note(&mut self, published: &Published) {
        self.status = published.status;
        self.reason.clone_from(&published.reason);
        self.entity_tag.clone_from(&published.entity_tag);
        self.expires = published.expires;
        self.sent = published.sent;
    }
}

impl Letter for PublicationEvent {
    fn table(&self, lua: &Lua, host: &Host) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        table.raw_set("state", self.change.as_str())?;
        table.raw_set("status", self.status)?;
        table.raw_set("reason", self.reason.as_deref())?;
        table.raw_set("etag", self.entity_tag.as_ref().map(EntityTag::as_str))?;
        table.raw_set("expires", self.expires.map(|expires| expires.as_secs()))?;
        if let Some(failure) = &self.failure {
            table.raw_set("error", error_table(lua, host, "pua.publish", failure)?)?;
        }
        Ok(table)
    }
}

impl Call {
    /// Publishes and waits for the server's word.
    async fn publish(
        self,
        lua: &Lua,
        host: &Rc<Host>,
        methods: &Table,
    ) -> Result<(Value, Value), Fault> {
        if host.life.phase() == Phase::Staging {
            return self.declare(lua, host, methods);
        }
        let op = self.op;
        let begun = match self.begin(host) {
            Ok(begun) => begun,
            Err(failure) => return Ok(failed(lua, host, op, &failure)?),
        };
        let handle = lua.create_userdata(begun.handle(host, methods))?;
        begun.finish(lua, host, op, handle).await
    }

    /// Publishes without waiting.
    fn send(self, lua: &Lua, host: &Rc<Host>, methods: &Table) -> Result<(Value, Value), Fault> {
        if host.life.phase() == Phase::Staging {
            return self.declare(lua, host, methods);
        }
        let op = self.op;
        let begun = match self.begin(host) {
            Ok(begun) => begun,
            Err(failure) => return Ok(failed(lua, host, op, &failure)?),
        };
        let handle = lua.create_userdata(begun.handle(host, methods))?;
        begun.let_run(host, op);
        Ok((Value::UserData(handle), Value::Nil))
    }

    /// Writes the call down for the take-over. What is up already is adopted then: a PUBLISH goes
    /// out only if the state differs.
    fn declare(
        mut self,
        lua: &Lua,
        host: &Rc<Host>,
        methods: &Table,
    ) -> Result<(Value, Value), Fault> {
        self.publish.owner = host.owner.clone();
        let key = self.publish.key();
        let entry = match host.publication(&key) {
            Ok(entry) => entry,
            Err(failure) => return Ok(failed(lua, host, self.op, &failure)?),
        };
        entry.declare(host, &key);
        let handle = Handle {
            key,
            entry,
            template: self.template(),
            host: host.clone(),
            methods: methods.clone(),
        };
        host.when_live(lua, move |host, _| {
            let op = self.op;
            match self.begin(host) {
                Ok(begun) => begun.let_run(host, op),
                Err(failure) => {
                    let script = &*host.name;
                    tracing::warn!(script, "{op}: {failure}");
                }
            }
        });
        Ok((Value::UserData(lua.create_userdata(handle)?), Value::Nil))
    }

    /// Kept for `:update`: the options of the last call, without its document.
    fn template(&self) -> Publish {
        Publish { document: None, entity_tag: None, adopts: false, ..(*self.publish).clone() }
    }

    /// Gives the command to the core.
    fn begin(mut self, host: &Rc<Host>) -> Result<Begun, Failure> {
        self.publish.owner = host.owner.clone();
        if self.publish.on_stop == OnStop::Keep {
            host.warn_keep();
        }
        let key = self.publish.key();
        let sent = Sent {
            document: self.publish.document.as_ref().map(|document| document.body.len()),
            is_removal: self.publish.expires.is_zero(),
        };
        let entry = host.publication(&key)?;
        let pending = match entry.begin(host, &key, sent) {
            Ok(pending) => pending,
            Err(failure) => {
                entry.forget(host, &key);
                return Err(failure);
            }
        };
        // The first word of a new version on what an older one has published.
        self.publish.adopts |= entry.is_inherited.replace(false);
        entry.declare(host, &key);
        let template = self.template();
        if let Some(function) = self.on_state {
            let what = format!("on_state of {key}");
            let handler = Serial::new(Origin::Event, function, what, QUEUE, Full::DropOldest);
            *entry.on_state.borrow_mut() = Some(Rc::new(handler));
        }
        let reply = host.core.send(Command::Publish(self.publish));
        let reply =
            reply.map_err(|closed| Failure::new(FailureKind::Closed, closed.to_string()))?;
        Ok(Begun { key, entry, template, pending, reply })
    }
}

/// A command on its way.
struct Begun {
    key: Key,
    entry: Rc<Entry>,
    template: Publish,
    pending: Pending,
    reply: oneshot::Receiver<Reply>,
}

impl Begun {
    fn handle(&self, host: &Rc<Host>, methods: &Table) -> Handle {
        Handle {
            key: self.key.clone(),
            entry: self.entry.clone(),
            template: self.template.clone(),
            host: host.clone(),
            methods: methods.clone(),
        }
    }

    /// Lets the call go on by itself; a failure is logged.
    fn let_run(self, host: &Rc<Host>, op: &'static str) {
        let host = host.clone();
        spawn_local(async move {
            let Self { reply, pending, .. } = self;
            let reply = reply.await.unwrap_or_else(|_| closed());
            if let Reply::Publication(Err(failure)) = &reply {
                let script = &*host.name;
                tracing::warn!(script, "{op}: {failure}");
            }
            pending.settle(&reply);
        });
    }

    async fn finish(
        self,
        lua: &Lua,
        host: &Rc<Host>,
        op: &str,
        handle: AnyUserData,
    ) -> Result<(Value, Value), Fault> {
        let Self { reply, pending, .. } = self;
        let reply = reply.await.unwrap_or_else(|_| closed());
        pending.settle(&reply);
        answer(lua, host, op, handle, reply)
    }
}

/// Turns the core's word into what the script gets.
fn answer(
    lua: &Lua,
    host: &Rc<Host>,
    op: &str,
    handle: AnyUserData,
    reply: Reply,
) -> Result<(Value, Value), Fault> {
    match reply {
        Reply::Publication(Ok(_)) => Ok((Value::UserData(handle), Value::Nil)),
        Reply::Publication(Err(failure)) if failure.kind == FailureKind::Usage => {
            Err(Fault::misuse(format!("{op}: {}", failure.message)))
        }
        Reply::Publication(Err(failure)) => Ok(failed(lua, host, op, &failure)?),
        Reply::Publications(_)
        | Reply::Abandoned { .. }
        | Reply::Accounts { .. }
        | Reply::Stopped { .. } => {
            Err(Fault::Lua(mlua::Error::runtime("the core answered another question")))
        }
    }
}

/// What is said when the core has ended.
fn closed() -> Reply {
    Reply::Publication(Err(Failure::new(FailureKind::Closed, "puad is stopping")))
}

/// As long as any body that puad takes itself; what is longer is no state.
const LONGEST_DOCUMENT: usize = 1024 * 1024;
/// Changes that wait for a slow `on_state`.
const QUEUE: usize = 64;
