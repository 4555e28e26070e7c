//! `script`: a script about itself: its name and version, what it carries over a reload, and what it
//! does when a version begins to count or ends.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use mlua::{Function, Lua, Table, Value};
use tokio::task::spawn_local;

use super::{
    super::{
        host::Host,
        life::{Origin, Reason},
        plain::{Key, Plain},
    },
    Fault, bind,
    options::shown,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("name", &*host.name)?;
    table.raw_set("generation", host.generation)?;
    let state = lua.create_table()?;
    lua.set_named_registry_value(STATE, &state)?;
    table.raw_set("state", state)?;
    let owner = host.clone();
    table.set(
        "on_ready",
        bind(lua, host, move |_, args| {
            let handler = function("script.on_ready", args.front())?;
            enter("script.on_ready", &owner.life.on_ready, handler)
        })?,
    )?;
    let owner = host.clone();
    table.set(
        "on_stop",
        bind(lua, host, move |_, args| {
            let handler = function("script.on_stop", args.front())?;
            enter("script.on_stop", &owner.life.on_stop, handler)
        })?,
    )?;
    Ok(table)
}

/// Adds a handler; more than a few are a mistake, such as a loop or a timer that adds them.
fn enter(call: &str, handlers: &RefCell<Vec<Function>>, handler: Function) -> Result<(), Fault> {
    if handlers.borrow().len() >= MOST_HANDLERS {
        return Err(Fault::misuse(format!("{call}: there are {MOST_HANDLERS} handlers already")));
    }
    handlers.borrow_mut().push(handler);
    Ok(())
}

fn function(call: &str, value: Option<&Value>) -> Result<Function, Fault> {
    match value {
        Some(Value::Function(function)) => Ok(function.clone()),
        other => Err(Fault::misuse(format!(
            "{call}: {} is not a function",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

/// Runs the handlers of `script.on_ready`.
pub(in crate::script) fn ready(host: &Rc<Host>) {
    let handlers = host.life.on_ready.take();
    if handlers.is_empty() {
        return;
    }
    let host = host.clone();
    spawn_local(async move {
        for handler in handlers {
            if let Err(problem) = host.run(Origin::Top, handler, ()).await {
                host.report("script.on_ready", &problem);
            }
        }
    });
}

/// Runs the handlers of `script.on_stop`, the latest first: what was set up last is taken down first.
pub(in crate::script) async fn stop(host: &Rc<Host>, lua: &Lua, reason: Reason) {
    for handler in host.life.on_stop.take().into_iter().rev() {
        let Ok(told) = lua.create_table_from([("reason", reason.as_str())]) else { return };
        if let Err(problem) = host.run(Origin::Event, handler, told).await {
            host.report("script.on_stop", &problem);
        }
    }
}

/// Copies `script.state`; what cannot be carried over is said, and nothing is then.
pub(in crate::script) fn state(host: &Host, lua: &Lua) -> Option<Plain> {
    let state = lua.named_registry_value::<Table>(STATE).ok()?;
    match Plain::from_lua(&Value::Table(state)) {
        Ok(state) => Some(state),
        Err(why) => {
            let script = &*host.name;
            tracing::warn!(script, "script.state is not carried over: {why}");
            None
        }
    }
}

/// Fills `script.state` with what the older version has in it while this one is staged.
pub(in crate::script) fn inherit(host: &Host, lua: &Lua, state: Option<Plain>) {
    let fields = fields(state.as_ref());
    if let Ok(state) = lua.named_registry_value::<Table>(STATE) {
        for (name, value) in &fields {
            set(host, lua, &state, name, Some(value));
        }
    }
    *host.life.inherited_state.borrow_mut() = fields;
}

/// Takes what the older version has changed in `script.state` since, unless this one has changed the
/// same field.
pub(in crate::script) fn take_over(host: &Host, lua: &Lua, last: Option<Plain>) {
    let before = host.life.inherited_state.take();
    // It could not be copied: what was copied before stays.
    let Some(last) = last else { return };
    let last = fields(Some(&last));
    let Ok(state) = lua.named_registry_value::<Table>(STATE) else { return };
    let mine = Plain::from_lua(&Value::Table(state.clone())).ok();
    let mine = fields(mine.as_ref());
    for name in before.keys().chain(last.keys()) {
        let is_changed = before.get(name) != last.get(name);
        if is_changed && mine.get(name) == before.get(name) {
            set(host, lua, &state, name, last.get(name));
        }
    }
}

/// The fields of a state, those of its list among them.
fn fields(state: Option<&Plain>) -> BTreeMap<Key, Plain> {
    let Some(Plain::Table(rows)) = state else { return BTreeMap::new() };
    let list = rows.list.iter().enumerate();
    let list = list.map(|(at, value)| (Key::Number((at + 1) as f64), value.clone()));
    list.chain(rows.named.iter().map(|(key, value)| (key.clone(), value.clone()))).collect()
}

fn set(host: &Host, lua: &Lua, state: &Table, name: &Key, value: Option<&Plain>) {
    let value = value.map_or(Ok(Value::Nil), |value| value.to_lua(lua));
    let done = value.and_then(|value| match name {
        Key::Number(number) => state.raw_set(*number, value),
        Key::Text(text) => state.raw_set(lua.create_string(text)?, value),
    });
    if let Err(error) = done {
        let script = &*host.name;
        tracing::warn!(script, "script.state is not carried over whole: {error}");
    }
}

/// Handlers of one kind that a script may have.
const MOST_HANDLERS: usize = 1000;
const STATE: &str = "puad script.state";
