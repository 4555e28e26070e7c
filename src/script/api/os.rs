//! `os.time`, `os.date` and `os.clock` for a script on virtual time.
//!
//! They are Luau's own: only where they would ask the machine what time it is,
//! they are told. A script on the machine's time keeps them as they are.

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::super::host::Host;

/// Makes the three follow the host's clock, if that is a virtual one.
pub(super) fn follow(lua: &Lua, host: &Rc<Host>) -> mlua::Result<()> {
    if !host.clock.is_virtual() {
        return Ok(());
    }
    let os: Table = lua.globals().get("os")?;
    let (time, date): (Function, Function) = (os.get("time")?, os.get("date")?);
    let owner = host.clone();
    os.set(
        "time",
        lua.create_function(move |_, args: MultiValue| match args.front() {
            None | Some(Value::Nil) => Ok(Value::Number(owner.clock.unix().floor())),
            Some(_) => time.call(args),
        })?,
    )?;
    let owner = host.clone();
    os.set(
        "date",
        lua.create_function(move |lua, (format, at): (Value, Value)| {
            let format = match format {
                // What Luau takes when none is given.
                Value::Nil => Value::String(lua.create_string("%c")?),
                given => given,
            };
            let at = match at {
                Value::Nil => Value::Number(owner.clock.unix().floor()),
                given => given,
            };
            date.call::<Value>((format, at))
        })?,
    )?;
    let owner = host.clone();
    os.set("clock", lua.create_function(move |_, ()| Ok(owner.clock.elapsed().as_secs_f64()))?)
}
