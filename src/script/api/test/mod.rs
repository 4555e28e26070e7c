//! `test`: what a test file says to the case it runs in.
//!
//! The case itself, with its server, time and folder, is in [`testing`](super::super::testing). A
//! test that does not hold is raised on the line that says what was expected.

mod expect;
mod fake;
pub(super) mod faked;
mod load;

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};

pub(super) use fake::stand_in;

use super::{
    super::{
        host::Host,
        signatures::TEST,
        testing::{Answer, World},
        vm::read_only,
    },
    Fault, bind, bind_async, held, options,
    options::{duration, shown},
    refuse_unknown,
};

/// Puts `test` into the globals of a test file's VM, and takes out what belongs to scripts alone.
pub(in crate::script) fn install(
    lua: &Lua,
    host: &Rc<Host>,
    world: &Rc<World>,
) -> mlua::Result<()> {
    let globals = lua.globals();
    for name in OF_SCRIPTS {
        globals.raw_remove(*name)?;
    }
    let table = lua.create_table()?;
    let own = lua.create_table()?;
    lua.load(include_str!("test.luau")).set_name("=puad").call::<()>(&own)?;
    table.raw_set("eq", own.get::<Function>("eq")?)?;
    table.raw_set("folder", world.fakes.folder.to_string_lossy())?;
    let owner = world.clone();
    table.raw_set("case", bind(lua, host, move |_, args| case(&owner, &args))?)?;
    add_waiting(lua, host, world, &table)?;
    add_files(lua, host, world, &table)?;
    expect::add(lua, host, world, &table)?;
    for (name, inner) in
        [("sip", sip(lua, host, world)?), ("fake", fake::table(lua, host, world, &own)?)]
    {
        let listed = TEST.inner.iter().find(|inner| inner.name == name);
        held::check_library(listed.expect("in the table of signatures"), &inner)?;
        refuse_unknown(lua, host, &format!("test.{name}"), &inner)?;
        table.raw_set(name, read_only(inner))?;
    }
    held::check_library(&TEST, &table)?;
    refuse_unknown(lua, host, "test", &table)?;
    globals.set("test", read_only(table))
}

/// Says that a call makes sense only while a case runs.
fn in_case(world: &World, call: &str) -> Result<(), Fault> {
    if world.is_in_case() {
        return Ok(());
    }
    Err(Fault::misuse(format!(
        "{call}: belongs into a case, as in test.case(\"name\", function() … end)"
    )))
}

fn case(world: &World, args: &MultiValue) -> Result<(), Fault> {
    let call = "test.case";
    let name = match args.front() {
        Some(Value::String(name)) if !name.as_bytes().is_empty() => name.to_string_lossy(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!(
                "{call}: first argument: {found} is not the name of a case"
            )));
        }
    };
    let function = options::handler(call, args)?;
    world.add_case(name, function).map_err(|why| Fault::misuse(format!("{call}: {why}")))
}

fn add_waiting(lua: &Lua, host: &Rc<Host>, world: &Rc<World>, table: &Table) -> mlua::Result<()> {
    let owner = world.clone();
    let advance = bind_async(lua, host, move |_, args: MultiValue| {
        let world = owner.clone();
        let span = duration(args.front().unwrap_or(&Value::Nil));
        async move {
            let call = "test.advance";
            let span = span.map_err(|why| Fault::misuse(format!("{call}: {why}")))?;
            in_case(&world, call)?;
            world.advance(span).await;
            Ok(())
        }
    })?;
    table.raw_set("advance", advance)?;
    let (owner, reader) = (world.clone(), host.clone());
    let load = bind_async(lua, host, move |_, args: MultiValue| {
        let world = owner.clone();
        let load = in_case(&world, load::CALL).and_then(|()| load::read(&reader, &args));
        async move {
            world.load(load?).await.map_err(|why| Fault::misuse(format!("{}: {why}", load::CALL)))
        }
    })?;
    table.raw_set("load", load)?;
    let owner = world.clone();
    let reload = bind_async(lua, host, move |_, args: MultiValue| {
        let world = owner.clone();
        async move {
            let call = "test.reload";
            in_case(&world, call)?;
            let source = match args.front() {
                None | Some(Value::Nil) => None,
                Some(Value::String(source)) => Some(source.to_string_lossy()),
                Some(other) => {
                    let found = shown(other);
                    return Err(Fault::misuse(format!("{call}: {found} is not a source")));
                }
            };
            world.reload(source).await.map_err(|why| Fault::misuse(format!("{call}: {why}")))
        }
    })?;
    table.raw_set("reload", reload)
}

/// `write`, `read`, `remove`: files in the folder of the case.
fn add_files(lua: &Lua, host: &Rc<Host>, world: &Rc<World>, table: &Table) -> mlua::Result<()> {
    let owner = world.clone();
    let write = bind(lua, host, move |_, args| {
        let call = "test.write";
        let path = path(&owner, call, &args)?;
        let text = match args.get(1) {
            None | Some(Value::Nil) if path.ends_with('/') => Vec::new(),
            Some(Value::String(text)) => text.as_bytes().to_vec(),
            other => {
                let found = shown(other.unwrap_or(&Value::Nil));
                return Err(Fault::misuse(format!(
                    "{call}: second argument: {found} is not a text"
                )));
            }
        };
        owner.write(&path, &text).map_err(|why| Fault::misuse(format!("{call}: {why}")))
    })?;
    table.raw_set("write", write)?;
    let owner = world.clone();
    let read = bind(lua, host, move |lua, args| {
        let call = "test.read";
        let file = owner.path(&path(&owner, call, &args)?);
        let file = file.map_err(|why| Fault::misuse(format!("{call}: {why}")))?;
        match std::fs::read(&file) {
            Ok(text) => Ok(Value::String(lua.create_string(text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Nil),
            Err(error) => Err(Fault::misuse(format!("{call}: {}: {error}", file.display()))),
        }
    })?;
    table.raw_set("read", read)?;
    let owner = world.clone();
    let remove = bind(lua, host, move |_, args| {
        let call = "test.remove";
        let path = path(&owner, call, &args)?;
        owner.remove(&path).map_err(|why| Fault::misuse(format!("{call}: {why}")))
    })?;
    table.raw_set("remove", remove)
}

fn path(world: &World, call: &str, args: &MultiValue) -> Result<String, Fault> {
    in_case(world, call)?;
    match args.front() {
        Some(Value::String(path)) => Ok(path.to_string_lossy()),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            Err(Fault::misuse(format!("{call}: first argument: {found} is not a path")))
        }
    }
}

/// `test.sip`: what the server says.
fn sip(lua: &Lua, host: &Rc<Host>, world: &Rc<World>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let owner = world.clone();
    let reply = bind(lua, host, move |_, args| {
        let call = "test.sip.reply";
        in_case(&owner, call)?;
        let code = match args.front() {
            Some(Value::Integer(code)) => u16::try_from(*code).ok(),
            Some(Value::Number(code)) if code.fract() == 0.0 => Some(*code as u16),
            _ => None,
        };
        let Some(code) = code.filter(|code| (200..700).contains(code)) else {
            let found = shown(args.front().unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!(
                "{call}: first argument: {found} is not the code of a final answer (200 to 699)"
            )));
        };
        let mut headers = Vec::new();
        match args.get(1) {
            None | Some(Value::Nil) => {}
            Some(Value::Table(given)) => {
                for pair in given.pairs::<Value, Value>() {
                    let (name, value) = pair?;
                    match (&name, &value) {
                        (Value::String(name), Value::String(value)) => {
                            headers.push((name.to_string_lossy(), value.to_string_lossy()));
                        }
                        (Value::String(name), Value::Integer(_) | Value::Number(_)) => {
                            headers.push((name.to_string_lossy(), value.to_string()?));
                        }
                        _ => {
                            let (name, value) = (shown(&name), shown(&value));
                            return Err(Fault::misuse(format!(
                                "{call}: headers: [{name}]: {value} is not the value of a header"
                            )));
                        }
                    }
                }
            }
            Some(other) => {
                let found = shown(other);
                return Err(Fault::misuse(format!(
                    "{call}: second argument: {found} is not a table of headers"
                )));
            }
        }
        headers.sort();
        let answer = Answer::new(code, headers);
        owner
            .server
            .answer(answer.map_err(|why| Fault::misuse(format!("{call}: headers: {why}")))?);
        Ok(())
    })?;
    table.raw_set("reply", reply)?;
    Ok(table)
}

/// Tables that act for a script, or tell of one; a test acts by `test`.
const OF_SCRIPTS: &[&str] =
    &["config", "exec", "fs", "http", "kv", "mail", "metrics", "pua", "script", "sys", "timer"];
