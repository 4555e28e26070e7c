//! Handles: what scripts hold of things that live in the host.
//!
//! Which names a handle has is in the table of [`signatures`]; another name is
//! refused on the line that used it, as in a library.

use mlua::{
    AnyUserData, Function, Lua, MetaMethod, MultiValue, Table, UserData, UserDataFields, Value,
};

use super::{
    super::signatures::{self, Library},
    Fault, answer,
    options::{shown, unknown},
};

/// A handle.
pub(super) trait Held: UserData + 'static {
    /// Its names.
    const SHAPE: &'static signatures::Handle;

    /// Returns its methods, from the VM that it lives in.
    fn methods(&self) -> Option<&Table> {
        None
    }

    /// Returns one of its fields.
    fn field(&self, _: &Lua, _: &str) -> mlua::Result<Value> {
        Ok(Value::Nil)
    }
}

/// Gives a kind of handle its names.
pub(super) fn names<T: Held, F: UserDataFields<T>>(fields: &mut F) {
    fields.add_meta_field_with(MetaMethod::Index, |lua| {
        let look =
            lua.create_function(|lua, args: MultiValue| answer(lua, look::<T>(lua, &args)))?;
        lua.named_registry_value::<Function>(SHIM)?.call::<Function>(look)
    });
}

fn look<T: Held>(lua: &Lua, args: &MultiValue) -> Result<Value, Fault> {
    let Some(Value::UserData(handle)) = args.front() else { return Ok(Value::Nil) };
    let name = args.get(1).unwrap_or(&Value::Nil);
    if let Value::String(text) = name {
        let text = text.to_string_lossy();
        if T::SHAPE.has_method(&text) {
            let handle = handle.borrow::<T>()?;
            return Ok(handle.methods().map_or(Ok(Value::Nil), |methods| methods.raw_get(text))?);
        }
        if T::SHAPE.has_field(&text) {
            return Ok(handle.borrow::<T>()?.field(lua, &text)?);
        }
    }
    let name = shown(name).replace('"', "");
    Err(Fault::Misuse(unknown(T::SHAPE.called, "name", &name, &T::SHAPE.names())))
}

/// Returns the handle that a method was called on.
pub(super) fn own<T: 'static>(
    method: &str,
    sample: &str,
    args: &MultiValue,
) -> Result<AnyUserData, Fault> {
    match args.front() {
        Some(Value::UserData(handle)) if handle.is::<T>() => Ok(handle.clone()),
        _ => {
            Err(Fault::misuse(format!("{method}: call it with a colon, as in {sample}:{method}()")))
        }
    }
}

/// Notes what puts a message onto its caller's line, for handles made later.
pub(super) fn install(lua: &Lua, shim: &Function) -> mlua::Result<()> {
    lua.set_named_registry_value(SHIM, shim)
}

/// Holds the methods of a kind of handle against the table of signatures, and returns them.
pub(super) fn checked(methods: Table, shape: &signatures::Handle) -> mlua::Result<Table> {
    if cfg!(debug_assertions) {
        let listed = shape.methods.iter().map(|method| method.name);
        compare(shape.name, &methods, listed.collect())?;
    }
    Ok(methods)
}

/// Holds a library against the table of signatures.
pub(super) fn check_library(library: &Library, table: &Table) -> mlua::Result<()> {
    // What a configuration holds is for its author to say.
    if cfg!(debug_assertions) && !library.is_open {
        compare(library.name, table, library.names())?;
    }
    Ok(())
}

fn compare(of: &str, table: &Table, mut listed: Vec<&str>) -> mlua::Result<()> {
    let mut found = Vec::new();
    for pair in table.pairs::<String, Value>() {
        found.push(pair?.0);
    }
    found.sort_unstable();
    listed.sort_unstable();
    assert_eq!(
        found, listed,
        "{of}: what there is (left) is not what the table of signatures says"
    );
    Ok(())
}

const SHIM: &str = "puad.shim";
