//! A Publication: what a script holds of state that lives in the core.

use std::rc::Rc;

use mlua::{
    AnyUserData, Lua, MetaMethod, MultiValue, Table, UserData, UserDataFields, UserDataMethods,
    Value,
};
use tokio::task::spawn_local;

use super::{
    super::{
        super::{
            host::Host,
            life::Phase,
            signatures::{self, PUBLICATION},
        },
        Fault, bind_async, failed,
        held::{self, Held, own},
    },
    Call, Entry, Sent, answer, closed,
};
use crate::command::{Command, EntityTag, Key, PublicationInfo, PublicationState, Publish, Reply};

/// One publication, as a script holds it.
pub(super) struct Handle {
    pub(super) key: Key,
    pub(super) entry: Rc<Entry>,
    /// The options of the last call, without its document.
    pub(super) template: Publish,
    pub(super) host: Rc<Host>,
    pub(super) methods: Table,
}

impl Held for Handle {
    const SHAPE: &'static signatures::Handle = &PUBLICATION;

    fn methods(&self) -> Option<&Table> {
        Some(&self.methods)
    }

    fn field(&self, lua: &Lua, name: &str) -> mlua::Result<Value> {
        let live = self.entry.live.borrow();
        let text = |text: Option<&str>| match text {
            Some(text) => lua.create_string(text).map(Value::String),
            None => Ok(Value::Nil),
        };
        match name {
            "status" => Ok(live.status.map_or(Value::Nil, |code| Value::Integer(code.into()))),
            "reason" => text(live.reason.as_deref()),
            "etag" => text(live.entity_tag.as_ref().map(EntityTag::as_str)),
            "expires" => {
                Ok(live.expires.map_or(Value::Nil, |expires| Value::Number(expires.as_secs_f64())))
            }
            "sent" => Ok(Value::Boolean(live.sent)),
            "key" => text(Some(self.key.as_str())),
            _ => Ok(Value::Nil),
        }
    }
}

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        held::names::<Self, F>(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("publication {}", this.key))
        });
    }
}

/// Methods of publications.
pub(super) fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    methods.set(
        "update",
        bind_async(lua, host, |lua, args: MultiValue| async move {
            let (handle, host) = own_handle("update", &args)?;
            let options = args.get(1).cloned().unwrap_or(Value::Nil);
            let call =
                Call::named("publication:update", &options, Some(&*handle.borrow::<Handle>()?))?;
            let op = call.op;
            if host.life.phase() == Phase::Staging {
                let methods = handle.borrow::<Handle>()?.methods.clone();
                return call.declare(&lua, &host, &methods);
            }
            match call.begin(&host) {
                Ok(begun) => {
                    handle.borrow_mut::<Handle>()?.template = begun.template.clone();
                    begun.finish(&lua, &host, op, handle).await
                }
                Err(failure) => Ok(failed(&lua, &host, op, &failure)?),
            }
        })?,
    )?;
    for (name, op) in [("refresh", "publication:refresh"), ("remove", "publication:remove")] {
        methods.set(
            name,
            bind_async(lua, host, move |lua, args: MultiValue| async move {
                let (handle, host) = own_handle(name, &args)?;
                let (key, entry, timeout) = {
                    let this = handle.borrow::<Handle>()?;
                    (this.key.clone(), this.entry.clone(), this.template.timeout)
                };
                let owner = host.owner.clone();
                let command = match name {
                    "refresh" => Command::Refresh { owner, key: key.clone(), timeout },
                    _ => Command::Remove { owner, key: key.clone(), timeout },
                };
                let sent = Sent { document: None, is_removal: name == "remove" };
                if host.life.phase() == Phase::Staging {
                    // Written down like everything else, in order.
                    host.when_live(&lua, move |host, _| {
                        if let (Ok(pending), Ok(reply)) =
                            (entry.begin(host, &key, sent), host.core.send(command))
                        {
                            spawn_local(async move {
                                pending.settle(&reply.await.unwrap_or_else(|_| closed()));
                            });
                        }
                    });
                    return Ok((Value::UserData(handle), Value::Nil));
                }
                let pending = match entry.begin(&host, &key, sent) {
                    Ok(pending) => pending,
                    Err(failure) => return Ok(failed(&lua, &host, op, &failure)?),
                };
                let reply = host.core.call(command).await.unwrap_or_else(|_| closed());
                pending.settle(&reply);
                answer(&lua, &host, op, handle, reply)
            })?,
        )?;
    }
    methods.set(
        "info",
        bind_async(lua, host, |lua, args: MultiValue| async move {
            let (handle, host) = own_handle("info", &args)?;
            let key = handle.borrow::<Handle>()?.key.clone();
            let info = infos(&host, Some(key.clone())).await.pop();
            match info {
                Some(info) => info_table(&lua, &info).map_err(Fault::from),
                None => {
                    let table = lua.create_table()?;
                    table.raw_set("key", key.as_str())?;
                    let state = match host.life.phase() {
                        Phase::Staging => PublicationState::Pending,
                        Phase::Live | Phase::Ending => PublicationState::Removed,
                    };
                    table.raw_set("state", state.as_str())?;
                    Ok(table)
                }
            }
        })?,
    )?;
    held::checked(methods, &PUBLICATION)
}

fn own_handle(call: &str, args: &MultiValue) -> Result<(AnyUserData, Rc<Host>), Fault> {
    let handle = own::<Handle>(call, "pub", args)?;
    let host = handle.borrow::<Handle>()?.host.clone();
    Ok((handle, host))
}

/// Returns what the core knows of this script's publications.
pub(super) async fn infos(host: &Host, key: Option<Key>) -> Vec<PublicationInfo> {
    let owner = Some(host.owner.clone());
    match host.core.call(Command::Publications { owner, key }).await {
        Ok(Reply::Publications(infos)) => infos,
        Ok(
            Reply::Publication(_)
            | Reply::Abandoned { .. }
            | Reply::Accounts { .. }
            | Reply::Stopped { .. },
        )
        | Err(_) => Vec::new(),
    }
}

pub(super) fn info_table(lua: &Lua, info: &PublicationInfo) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("key", info.key.as_str())?;
    table.raw_set("presentity_uri", &*info.presentity_uri)?;
    table.raw_set("event", &*info.event)?;
    table.raw_set("id", &*info.id)?;
    table.raw_set("owner", info.owner.to_string())?;
    table.raw_set("state", info.state.as_str())?;
    table.raw_set("etag", info.entity_tag.as_ref().map(EntityTag::as_str))?;
    table.raw_set("expires_at", info.expires_at)?;
    table.raw_set("next_refresh", info.next_refresh)?;
    table.raw_set("status", info.status)?;
    table.raw_set("reason", info.reason.as_deref())?;
    table.raw_set("requests", info.requests)?;
    table.raw_set("failures", info.failures)?;
    table.raw_set("last_error", info.last_error.as_deref())?;
    Ok(table)
}
