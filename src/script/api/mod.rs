//! The Lua tables scripts see, a file each.
//!
//! A binding is thin: it converts, asks the host or the core, and converts
//! back. A mistake in the call itself is raised on the caller's line; a failure
//! of the world comes back as `nil, err`.

mod body;
mod config;
mod exec;
mod fs;
mod held;
mod http;
mod imap;
mod json;
mod kv;
mod log;
mod mail;
mod metrics;
mod options;
mod os;
mod outside;
pub(super) mod pua;
pub(super) mod script;
mod sys;
mod task;
pub(super) mod test;
pub(super) mod timer;
mod xml;

use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::{host::Host, signatures, vm::read_only};
use crate::command::{Failure, FailureKind};

/// Puts every library into the globals of a VM.
pub(super) fn install(lua: &Lua, host: &Rc<Host>) -> mlua::Result<()> {
    let globals = lua.globals();
    held::install(lua, &host.shim_function())?;
    let libraries = [
        ("body", body::table(lua, host)?),
        ("pua", pua::table(lua, host)?),
        ("timer", timer::table(lua, host)?),
        ("task", task::table(lua, host)?),
        ("fs", fs::table(lua, host)?),
        ("mail", mail::table(lua, host)?),
        ("http", http::table(lua, host)?),
        ("exec", exec::table(lua, host)?),
        ("log", log::table(lua, host)?),
        ("config", config::table(lua, host)?),
        ("sys", sys::table(lua, host)?),
        ("script", script::table(lua, host)?),
        ("json", json::table(lua, host)?),
        ("xml", xml::table(lua, host)?),
        ("kv", kv::table(lua, host)?),
        ("metrics", metrics::table(lua, host)?),
    ];
    debug_assert!(
        signatures::LIBRARIES
            .iter()
            .all(|library| libraries.iter().any(|(name, _)| *name == library.name)),
        "the table of signatures has a library that is not built"
    );
    for (name, table) in libraries {
        let library = signatures::LIBRARIES.iter().find(|library| library.name == name);
        let library = library.expect("every library is in the table of signatures");
        held::check_library(library, &table)?;
        test::stand_in(lua, host, name, &table)?;
        if !library.is_open {
            refuse_unknown(lua, host, name, &table)?;
        }
        globals.set(name, read_only(table))?;
    }
    os::follow(lua, host)?;
    globals.set("sleep", task::sleep(lua, host)?)?;
    globals.set("print", log::print(lua, host)?)
}

/// Lets a name that a library does not have raise on the line that used it: Luau itself only says
/// that a nil value was called.
fn refuse_unknown(lua: &Lua, host: &Host, library: &str, table: &Table) -> mlua::Result<()> {
    let known: Vec<String> =
        table.pairs::<String, Value>().map(|pair| Ok(pair?.0)).collect::<mlua::Result<_>>()?;
    let library = library.to_owned();
    let meta = lua.create_table()?;
    meta.set(
        "__index",
        bind(lua, host, move |_, args| {
            let name = options::shown(args.get(1).unwrap_or(&Value::Nil)).replace('"', "");
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Err::<(), _>(Fault::Misuse(options::unknown(&library, "name", &name, &known)))
        })?,
    )?;
    meta.set("__metatable", false)?;
    table.set_metatable(Some(meta))
}

/// Why a binding does not return what was asked for.
#[derive(Debug)]
pub(super) enum Fault {
    /// The call itself is wrong; raised on the caller's line.
    Misuse(String),
    /// The VM cannot go on, as when memory is out.
    Lua(mlua::Error),
    /// The script itself raised this somewhere else; it is passed on with the way to there.
    Raised { value: Value, trace: String },
}

impl Fault {
    pub(super) fn misuse(message: impl Into<String>) -> Self {
        Self::Misuse(message.into())
    }
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// Makes a function that returns at once.
fn bind<R: IntoLuaMulti>(
    lua: &Lua,
    host: &Host,
    function: impl Fn(&Lua, MultiValue) -> Result<R, Fault> + 'static,
) -> mlua::Result<Function> {
    host.shim(lua.create_function(move |lua, args| answer(lua, function(lua, args)))?)
}

/// Makes a function that may wait; only the calling coroutine does.
fn bind_async<R: IntoLuaMulti, F: Future<Output = Result<R, Fault>> + 'static>(
    lua: &Lua,
    host: &Host,
    function: impl Fn(Lua, MultiValue) -> F + 'static,
) -> mlua::Result<Function> {
    let ending = host.life.ending.clone();
    let error_meta = host.error_meta();
    let function = move |lua: Lua, args| {
        let call = function(lua.clone(), args);
        let (ending, error_meta) = (ending.clone(), error_meta.clone());
        async move {
            let mut ended = std::pin::pin!(ending.notified());
            // What begins after the end has begun is not meant: `script.on_stop` may still wait.
            ended.as_mut().enable();
            tokio::select! {
                biased;
                result = call => answer(&lua, result),
                () = ended => {
                    let table = lua.create_table()?;
                    table.raw_set("code", "cancelled")?;
                    table.raw_set("message", "this version of the script ends")?;
                    table.set_metatable(Some(error_meta))?;
                    (Value::Nil, Value::Nil, Value::Table(table)).into_lua_multi(&lua)
                }
            }
        }
    };
    host.make_waiting(lua, |lua| lua.create_async_function(function))
}

/// Puts what the shim looks at in front: nothing, or the message to raise.
fn answer<R: IntoLuaMulti>(lua: &Lua, result: Result<R, Fault>) -> mlua::Result<MultiValue> {
    match result {
        Ok(values) => {
            let mut values = values.into_lua_multi(lua)?;
            values.push_front(Value::Nil);
            Ok(values)
        }
        Err(Fault::Misuse(message)) => message.into_lua_multi(lua),
        Err(Fault::Raised { value, trace }) => (false, value, trace).into_lua_multi(lua),
        Err(Fault::Lua(error)) => Err(error),
    }
}

/// `nil, err` for a failure of the world.
fn failed(lua: &Lua, host: &Host, op: &str, failure: &Failure) -> mlua::Result<(Value, Value)> {
    Ok((Value::Nil, Value::Table(error_table(lua, host, op, failure)?)))
}

/// `nil, err` for something only the host knows of.
fn failed_with(
    lua: &Lua,
    host: &Host,
    op: &str,
    code: &str,
    message: impl Into<String>,
) -> mlua::Result<(Value, Value)> {
    let table = lua.create_table()?;
    table.raw_set("code", code)?;
    table.raw_set("message", message.into())?;
    table.raw_set("op", op)?;
    host.finish_error(&table);
    Ok((Value::Nil, Value::Table(table)))
}

/// `nil, err` for a text that cannot be read, with line and column from 1.
fn failed_at(
    lua: &Lua,
    host: &Host,
    op: &str,
    (line, column): (usize, usize),
    why: &str,
) -> mlua::Result<(Value, Value)> {
    let message = format!("{op}: line {line}, column {column}: {why}");
    let failed = failed_with(lua, host, op, "parse", message)?;
    if let (_, Value::Table(error)) = &failed {
        error.raw_set("line", line)?;
        error.raw_set("column", column)?;
    }
    Ok(failed)
}

/// Turns an error of the file system into `nil, err`.
fn failed_io(
    lua: &Lua,
    host: &Host,
    op: &str,
    path: &std::path::Path,
    error: &std::io::Error,
) -> mlua::Result<(Value, Value)> {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "not_found",
        std::io::ErrorKind::PermissionDenied => "permission",
        _ => "io",
    };
    failed_with(lua, host, op, code, format!("{}: {error}", path.display()))
}

/// The table a script branches on.
fn error_table(lua: &Lua, host: &Host, op: &str, failure: &Failure) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("code", failure.kind.as_str())?;
    table.raw_set("message", failure.message.as_str())?;
    table.raw_set("op", op)?;
    table.raw_set("status", failure.status)?;
    table.raw_set("reason", failure.reason.as_deref())?;
    table.raw_set("retry_after", failure.retry_after.map(|wait| wait.as_secs_f64()))?;
    if failure.kind != FailureKind::Conflict && failure.kind != FailureKind::Limit {
        table.raw_set("retrying", failure.retrying)?;
    }
    table.raw_set("cause", failure.cause.map(|cause| cause.as_str()))?;
    host.finish_error(&table);
    Ok(table)
}
