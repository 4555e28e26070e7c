//! `fs`: what happens to files, and what is in them.

mod files;
mod watch;

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use mlua::{Lua, LuaString, Table, Value};

use super::{
    super::{
        host::Host,
        pattern::{Pattern, Tally},
    },
    Fault,
    options::shown,
};

pub(super) use watch::{SETTLE, Wanted, begin, handle, methods, poll};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    watch::install(lua, host, &table)?;
    files::install(lua, host, &table)?;
    Ok(table)
}

/// Returns the folder where a script's relative paths begin.
fn folder(host: &Host) -> PathBuf {
    host.resolve("")
}

/// Reads a path: any bytes but NUL.
fn path(host: &Host, call: &str, value: &Value) -> Result<PathBuf, Fault> {
    let Value::String(text) = value else {
        return Err(Fault::misuse(format!(
            "{call}: first argument: {} is not a path",
            shown(value)
        )));
    };
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        let why = if bytes.is_empty() { "the path is empty" } else { "a path holds no NUL" };
        return Err(Fault::misuse(format!("{call}: first argument: {why}")));
    }
    let path = folder(host).join(OsStr::from_bytes(&bytes));
    Ok(std::path::absolute(&path).unwrap_or(path))
}

/// Reads a path that may hold wildcards; `tally` counts those of the whole call.
fn patterns(
    host: &Host,
    call: &str,
    text: &LuaString,
    tally: &mut Tally,
) -> Result<Vec<Pattern>, Fault> {
    let length = text.as_bytes().len();
    if length > LONGEST_PATH {
        let why = format!("{length} bytes are more than the {LONGEST_PATH} of a path");
        return Err(Fault::misuse(format!("{call}: {why}")));
    }
    let bytes = text.as_bytes();
    let written = OsStr::from_bytes(&bytes);
    let parsed = tally.add(written).and_then(|()| Pattern::parse(&folder(host), written));
    let text = Value::String(text.clone());
    parsed.map_err(|why| Fault::misuse(format!("{call}: {}: {why}", shown(&text))))
}

/// Returns a path as a script holds it: its bytes, whatever they are.
fn bytes(lua: &Lua, path: &Path) -> mlua::Result<LuaString> {
    lua.create_string(path.as_os_str().as_bytes())
}

/// Bytes of a path, as the system has it.
const LONGEST_PATH: usize = 4096;
