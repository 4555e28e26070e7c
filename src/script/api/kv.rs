//! `kv`: what a script keeps beyond a reload, alone or with others.
//!
//! The data lies in [`kv`](super::super::kv), outside of every VM; here values
//! are copied in and out.

use std::{ffi::c_void, rc::Rc, sync::Arc, time::Duration};

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{
    super::{
        host::Host,
        kv::{Life, Refused, Shared, Space},
        plain::Plain,
        signatures,
        vm::read_only,
    },
    Fault, answer, bind, failed_with, held,
    options::{Options, shown},
    refuse_unknown,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let own = host.commons.kv.open(Space::Own(host.name.clone()));
    let table = functions(lua, host, "kv", &own)?;
    let owner = host.clone();
    let own = table.to_pointer();
    let call = bind(lua, host, move |lua, args: MultiValue| match args.front() {
        Some(Value::Table(table)) if table.to_pointer() == own => {
            let call = "kv.shared";
            Err(Fault::misuse(format!("{call}: call it with a dot, as in {call}(…)")))
        }
        Some(_) | None => shared(lua, &owner, &args),
    })?;
    table.set("shared", call)?;
    Ok(table)
}

/// `kv.shared(ns)`: the same functions for a store that several scripts may open.
fn shared(lua: &Lua, host: &Rc<Host>, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "kv.shared";
    let name = key_of(call, args)?;
    if !host.allow.kv.contains(&name) {
        let message = format!(
            "{call}: this script may not open {name:?}; name it in allow.kv of this script's [[script]] section"
        );
        return Ok(failed_with(lua, host, call, "permission", message)?);
    }
    let store = host.commons.kv.open(Space::Shared(name.as_str().into()));
    let library = format!("kv.shared({name:?})");
    let table = held::checked(functions(lua, host, &library, &store)?, &signatures::KV)?;
    refuse_unknown(lua, host, &library, &table)?;
    Ok((Value::Table(read_only(table)), Value::Nil))
}

/// Everything that can be done with one store.
fn functions(lua: &Lua, host: &Rc<Host>, library: &str, store: &Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let access = Rc::new(Access {
        library: library.into(),
        table: table.to_pointer(),
        host: host.clone(),
        store: store.clone(),
    });
    for (name, function) in [
        ("get", Access::get as Does),
        ("set", Access::set),
        ("delete", Access::delete),
        ("incr", Access::incr),
        ("keys", Access::keys),
    ] {
        let access = access.clone();
        let call = bind(lua, host, move |lua, args| {
            access.with_a_dot(name, &args)?;
            function(&access, lua, &args)
        })?;
        table.set(name, call)?;
    }
    // These two report misuse to the loop in Lua, which raises it on its own caller's line.
    let of = |function: Does| {
        let access = access.clone();
        lua.create_function(move |lua, args| answer(lua, function(&access, lua, &args)))
    };
    let update: Function = lua
        .load(include_str!("kv.luau"))
        .set_name("=puad")
        .call((of(Access::read)?, of(Access::swap)?))?;
    table.set("update", update)?;
    Ok(table)
}

type Does = fn(&Access, &Lua, &MultiValue) -> Result<MultiValue, Fault>;

/// One script's way to one store.
struct Access {
    /// What calls are named after in messages.
    library: Arc<str>,
    /// Where their table lies.
    table: *const c_void,
    host: Rc<Host>,
    store: Shared,
}

impl Access {
    fn get(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let key = key_of(&self.call("get"), args)?;
        let value = match self.store.lock().get(&key, self.host.clock.now()).0 {
            Some(value) => value.to_lua(lua)?,
            None => Value::Nil,
        };
        Ok(MultiValue::from_iter([value]))
    }

    fn set(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let call = self.call("set");
        let key = key_of(&call, args)?;
        let span = span("kv.set", args, 2)?;
        // As in a table, nil is no value.
        let Some(value) = self.value(&call, args.get(1))? else {
            self.store.lock().delete(&key, self.host.clock.now());
            return Ok(MultiValue::from_iter([Value::Boolean(true)]));
        };
        let most = self.host.limits.kv;
        let stored =
            self.store.lock().set(&key, value, Life::New(span), most, self.host.clock.now());
        self.said(lua, &call, &key, stored.map(|()| Value::Boolean(true)))
    }

    fn delete(&self, _: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let key = key_of(&self.call("delete"), args)?;
        let was_there = self.store.lock().delete(&key, self.host.clock.now());
        Ok(MultiValue::from_iter([Value::Boolean(was_there)]))
    }

    fn incr(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let call = self.call("incr");
        let key = key_of(&call, args)?;
        let by = match args.get(1) {
            None | Some(Value::Nil) => 1.0,
            Some(Value::Integer(number)) => *number as f64,
            Some(Value::Number(number)) if number.is_finite() => *number,
            Some(other) => {
                return Err(Fault::misuse(format!("{call}: by: {} is not a number", shown(other))));
            }
        };
        let span = span("kv.incr", args, 2)?;
        let summed =
            self.store.lock().incr(&key, by, span, self.host.limits.kv, self.host.clock.now());
        self.said(lua, &call, &key, summed.map(Value::Number))
    }

    fn keys(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let call = self.call("keys");
        let prefix = match args.front() {
            None | Some(Value::Nil) => String::new(),
            Some(Value::String(text)) => text.to_string_lossy(),
            Some(other) => {
                return Err(Fault::misuse(format!(
                    "{call}: prefix: {} is not a text",
                    shown(other)
                )));
            }
        };
        let keys = self.store.lock().keys(&prefix, self.host.clock.now());
        let list = lua.create_sequence_from(keys.iter().map(|key| &**key))?;
        Ok(MultiValue::from_iter([Value::Table(list)]))
    }

    /// The first half of an update: value and version.
    fn read(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        self.with_a_dot("update", args)?;
        let call = self.call("update");
        let key = key_of(&call, args)?;
        if !matches!(args.get(1), Some(Value::Function(_))) {
            let found = shown(args.get(1).unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!(
                "{call}: second argument: {found} is not a function"
            )));
        }
        let mut store = self.store.lock();
        let (value, version) = store.get(&key, self.host.clock.now());
        let value = value.map_or(Ok(Value::Nil), |value| value.to_lua(lua))?;
        // Versions are far from where a number would lose its last digit.
        Ok(MultiValue::from_iter([value, Value::Number(version as f64)]))
    }

    /// The second half: whether it is done, and what the update returns then.
    fn swap(&self, lua: &Lua, args: &MultiValue) -> Result<MultiValue, Fault> {
        let call = self.call("update");
        let key = key_of(&call, args)?;
        let value = self.value(&call, args.get(1))?;
        let version = match args.get(2) {
            Some(Value::Integer(version)) => u64::try_from(*version).unwrap_or_default(),
            Some(Value::Number(version)) => *version as u64,
            _ => 0,
        };
        let is_last = matches!(args.get(3), Some(Value::Boolean(true)));
        let swapped = self.store.lock().swap(
            &key,
            version,
            value,
            self.host.limits.kv,
            self.host.clock.now(),
        );
        if swapped == Err(Refused::Changed) && !is_last {
            return Ok(MultiValue::from_iter([Value::Boolean(false)]));
        }
        let kept = args.get(1).cloned().unwrap_or(Value::Nil);
        let mut said = self.said(lua, &call, &key, swapped.map(|()| kept))?;
        said.push_front(Value::Boolean(true));
        Ok(said)
    }

    /// Refuses `kv:get(…)`, which brings the table itself as the first argument.
    fn with_a_dot(&self, function: &str, args: &MultiValue) -> Result<(), Fault> {
        match args.front() {
            Some(Value::Table(table)) if table.to_pointer() == self.table => {
                let call = self.call(function);
                Err(Fault::misuse(format!("{call}: call it with a dot, as in {call}(…)")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn call(&self, function: &str) -> String {
        format!("{}.{function}", self.library)
    }

    fn value(&self, call: &str, value: Option<&Value>) -> Result<Option<Plain>, Fault> {
        match value {
            None | Some(Value::Nil) => Ok(None),
            Some(value) => Plain::from_lua(value)
                .map(Some)
                .map_err(|why| Fault::misuse(format!("{call}: value: {why}"))),
        }
    }

    fn said(
        &self,
        lua: &Lua,
        call: &str,
        key: &str,
        result: Result<Value, Refused>,
    ) -> Result<MultiValue, Fault> {
        let refused = match result {
            Ok(value) => return Ok(MultiValue::from_iter([value])),
            Err(refused) => refused,
        };
        let code = match refused {
            Refused::Full { .. } => "limit",
            Refused::NotANumber(_) | Refused::Changed => "conflict",
        };
        let message = format!("{call}: {key}: {refused}");
        let (nothing, error) = failed_with(lua, &self.host, call, code, message)?;
        Ok(MultiValue::from_iter([nothing, error]))
    }
}

/// The name that comes first.
fn key_of(call: &str, args: &MultiValue) -> Result<String, Fault> {
    let key = match args.front() {
        Some(Value::String(key)) => key.to_str().map(|key| key.to_owned()).ok(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!(
                "{call}: first argument: {found} is not a name; names are texts"
            )));
        }
    };
    match key {
        Some(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(key),
        Some(_) | None => Err(Fault::misuse(format!(
            "{call}: first argument: a name is 1 to {LONGEST_KEY} bytes of UTF-8"
        ))),
    }
}

/// How long a row shall stay.
fn span(call: &'static str, args: &MultiValue, at: usize) -> Result<Option<Duration>, Fault> {
    let options =
        Options::new(call, args.get(at).unwrap_or(&Value::Nil), &signatures::TTL_OPTIONS)?;
    let span = options.duration("ttl")?;
    if span.is_some_and(|span| span.is_zero()) {
        return Err(options.refuse("ttl", "must be longer than 0"));
    }
    Ok(span)
}

/// Bytes of a name.
const LONGEST_KEY: usize = 256;
