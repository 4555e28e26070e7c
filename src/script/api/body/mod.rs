//! `body`: documents to publish, and those that came in.
//!
//! What a document looks like is the business of [`crate::body`]; here Lua tables become its types
//! and these become tables again. Reading the tables is in [`presence`] (PIDF and message waiting),
//! [`events`] (dialogs, registrations, watchers) and [`conference`].

mod conference;
mod events;
mod presence;

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use mlua::{
    Lua, LuaSerdeExt, LuaString, MetaMethod, MultiValue, Table, UserData, UserDataFields,
    UserDataMethods, Value, serde::SerializeOptions,
};

use super::{
    super::{host::Host, signatures},
    Fault, bind, failed_with,
    held::{self, Held},
    options::{Options, shown},
};
use crate::{
    body::{self, BodyError, Parsed, Timestamp},
    command::Document,
    sip::message::value::is_media_type,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("raw", bind(lua, host, |lua, args| raw(lua, &args))?)?;
    type Build = fn(&Value) -> Result<Result<body::Body, BodyError>, Fault>;
    let builders: [(&str, &str, Build); 6] = [
        ("pidf", "body.pidf", |value| Ok(presence::pidf(value)?.build())),
        ("mwi", "body.mwi", |value| Ok(presence::mwi(value)?.build())),
        ("dialog_info", "body.dialog_info", |value| Ok(events::dialog_info(value)?.build())),
        ("reginfo", "body.reginfo", |value| Ok(events::reginfo(value)?.build())),
        ("conference", "body.conference", |value| Ok(conference::conference(value)?.build())),
        ("watcherinfo", "body.watcherinfo", |value| Ok(events::watcherinfo(value)?.build())),
    ];
    for (name, call, build) in builders {
        let bound = bind(lua, host, move |lua, args| {
            built(lua, call, build(args.front().unwrap_or(&Value::Nil))?)
        })?;
        table.set(name, bound)?;
    }
    let owner = host.clone();
    table.set("parse", bind(lua, host, move |lua, args| parse(lua, &owner, &args))?)?;
    Ok(table)
}

/// A document and its type, as `pua.publish` takes it. The text lies in the script's heap, so that
/// it counts towards its limit.
pub(super) struct Body {
    content_type: Arc<str>,
    text: LuaString,
    /// See [`Document::version`].
    version: Option<usize>,
}

impl Body {
    /// Returns what is sent.
    pub(super) fn document(&self) -> Document {
        let body = Bytes::copy_from_slice(&self.text.as_bytes());
        let document = Document::new(self.content_type.clone(), body);
        Document { version: self.version, ..document }
    }
}

impl Held for Body {
    const SHAPE: &'static signatures::Handle = &signatures::BODY;

    fn field(&self, lua: &Lua, name: &str) -> mlua::Result<Value> {
        Ok(match name {
            "content_type" => Value::String(lua.create_string(&*self.content_type)?),
            "text" => Value::String(self.text.clone()),
            _ => Value::Nil,
        })
    }
}

impl UserData for Body {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        held::names::<Self, F>(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.text.clone()));
    }
}

fn raw(lua: &Lua, args: &MultiValue) -> Result<Value, Fault> {
    let content_type = match args.front() {
        Some(Value::String(text)) if is_media_type(&text.to_string_lossy()) => {
            text.to_string_lossy()
        }
        other => {
            return Err(Fault::misuse(format!(
                "body.raw: first argument: {} is not a media type, such as \"text/plain\"",
                shown(other.unwrap_or(&Value::Nil))
            )));
        }
    };
    match args.get(1) {
        Some(Value::String(text)) => made(lua, content_type.into(), text.clone(), None),
        other => Err(Fault::misuse(format!(
            "body.raw: second argument: {} is not a text",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

fn made(
    lua: &Lua,
    content_type: Arc<str>,
    text: LuaString,
    version: Option<usize>,
) -> Result<Value, Fault> {
    Ok(Value::UserData(lua.create_userdata(Body { content_type, text, version })?))
}

fn built(lua: &Lua, call: &str, body: Result<body::Body, BodyError>) -> Result<Value, Fault> {
    match body {
        Ok(body) => made(lua, body.content_type, lua.create_string(&body.text)?, body.version),
        Err(why) => Err(Fault::misuse(format!("{call}: {why}"))),
    }
}

fn parse(lua: &Lua, host: &Host, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let text = |at: usize, which: &str| match args.get(at) {
        Some(Value::String(text)) => Ok(text.as_bytes()),
        other => Err(Fault::misuse(format!(
            "body.parse: {which} argument: {} is not a text",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    };
    let (content_type, document) = (text(0, "first")?, text(1, "second")?);
    match body::parse(&String::from_utf8_lossy(&content_type), &document) {
        Ok(parsed) => Ok((read(lua, &parsed)?, Value::Nil)),
        Err(why) => {
            Ok(failed_with(lua, host, "body.parse", "parse", format!("body.parse: {why}"))?)
        }
    }
}

/// Turns a document into the table that would build it.
fn read(lua: &Lua, parsed: &Parsed) -> mlua::Result<Value> {
    let plain = SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    let value = lua.to_value_with(parsed, plain)?;
    if let (Parsed::Pidf(pidf), Value::Table(table)) = (parsed, &value)
        && let Some(note) = &pidf.note
    {
        // The note of the whole holds for persons without one (4479 §3.2). It is inherited, not
        // written into them, so that building the table again gives the same document.
        let meta = lua.create_table()?;
        meta.raw_set("__index", lua.create_table_from([("note", note.as_str())])?)?;
        for person in table.raw_get::<Table>("persons")?.sequence_values::<Table>() {
            person?.set_metatable(Some(meta.clone()))?;
        }
    }
    Ok(value)
}

fn each<T>(
    list: Vec<Options>,
    read: impl Fn(&Options) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    list.iter().map(read).collect()
}

fn timestamp(options: &Options, name: &str) -> Result<Option<Timestamp>, Fault> {
    match options.value(name)? {
        Value::String(_) => Ok(options.text(name)?.map(Timestamp::Text)),
        _ => Ok(options.number(name)?.map(Timestamp::Unix)),
    }
}

/// Reads a version, or another number of 32 bits.
fn number(options: &Options, name: &str) -> Result<Option<u32>, Fault> {
    let number = options.whole(name, u32::MAX.into())?;
    Ok(number.and_then(|number| number.try_into().ok()))
}

/// Reads a duration as whole seconds.
fn seconds(options: &Options, name: &str) -> Result<Option<u64>, Fault> {
    Ok(options.duration(name)?.map(|duration| duration.as_secs()))
}
