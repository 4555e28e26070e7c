//! One VM: libraries, sandbox, memory limit, `require`.
//!
//! What the libraries do is in [`api`](super::api).

use std::{path::Path, rc::Rc};

use mlua::{Function, Lua, LuaOptions, LuaString, StdLib, Table};

use super::{activity, api, budget::Budget, host::Host, modules};

/// A VM that is ready to run its script.
pub(super) struct Vm {
    pub(super) lua: Lua,
    pub(super) budget: Rc<Budget>,
}

/// Builds a VM with everything a script may use, and closes it to change.
pub(super) fn build(host: &Rc<Host>) -> mlua::Result<Vm> {
    build_with(host, |_| Ok(()))
}

/// Builds a VM as [`build`] does, after `change` has had its way with the globals.
pub(super) fn build_with(
    host: &Rc<Host>,
    change: impl FnOnce(&Lua) -> mlua::Result<()>,
) -> mlua::Result<Vm> {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
    let limits = &host.limits;
    let budget = Budget::install(&lua, limits.cpu, limits.memory);
    let shared = lua.create_table()?;
    shared.set("pending", Lua::poll_pending())?;
    let finder = host.clone();
    shared.set(
        "find_module",
        lua.create_function(move |lua, name: LuaString| {
            modules::find(lua, &finder, &name.to_string_lossy())
        })?,
    )?;
    shared.set("find", lua.create_function(find_plain)?)?;
    activity::share(&lua, host, &shared)?;
    lua.load(include_str!("prelude.luau"))
        .set_name("=puad")
        .set_compiler(mlua::chunk::Compiler::new().set_debug_level(0))
        .call::<()>(&shared)?;
    let globals = lua.globals();
    globals.set("require", shared.get::<Function>("require")?)?;
    // Code from text, foreign environments and the file system are not for scripts.
    for name in ["loadstring", "getfenv", "setfenv", "newproxy", "dofile", "loadfile", "load"] {
        globals.raw_remove(name)?;
    }
    host.bind(&lua, &shared)?;
    api::install(&lua, host)?;
    change(&lua)?;
    // From here on libraries and globals are read-only; a script's own globals live in a table of its own.
    lua.sandbox(true)?;
    lua.set_memory_limit(limits.memory)?;
    Ok(Vm { lua, budget })
}

/// Compiles a source under the name its errors show.
pub(super) fn compile(lua: &Lua, name: &str, source: &str, limit: usize) -> mlua::Result<Function> {
    if source.len() > limit {
        return Err(mlua::Error::runtime(format!(
            "{name}: {} bytes of source are more than the {limit} a script may have (limits.source)",
            source.len()
        )));
    }
    // A line that makes the file executable means nothing to Luau; its line end stays, for the numbers.
    let start =
        if source.starts_with("#!") { source.find('\n').unwrap_or(source.len()) } else { 0 };
    lua.load(&source[start..])
        .set_name(format!("={name}"))
        .set_mode(mlua::chunk::ChunkMode::Text)
        .into_function()
}

/// `string.find` for plain texts: positions count from 1, negative ones from the end.
fn find_plain(
    _: &Lua,
    (text, wanted, init): (LuaString, LuaString, Option<i64>),
) -> mlua::Result<(Option<usize>, Option<usize>)> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let from = match init.unwrap_or(1) {
        0 => 0,
        at @ 1.. => usize::try_from(at - 1).unwrap_or(usize::MAX),
        back => text.len().saturating_sub(usize::try_from(-back).unwrap_or(usize::MAX)),
    };
    let found = text.get(from..).and_then(|rest| memchr::memmem::find(rest, &wanted));
    Ok((found.map(|at| from + at + 1), found.map(|at| from + at + wanted.len())))
}

/// Returns the last two parts of a path: enough to know a file by, short enough for a line.
pub(super) fn shown_name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/").trim_start_matches('/').to_owned()
}

/// Returns an error's text without the prefixes and tracebacks that mlua adds.
pub(super) fn plain(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => plain(cause),
        mlua::Error::SyntaxError { message, .. } | mlua::Error::RuntimeError(message) => {
            message.split("\nstack traceback:").next().unwrap_or(message).trim().to_owned()
        }
        mlua::Error::MemoryError(_) => "not enough memory (limits.memory)".into(),
        other => other
            .to_string()
            .split("\nstack traceback:")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}

/// Closes a library table to change.
pub(super) fn read_only(table: Table) -> Table {
    table.set_readonly(true);
    table
}
