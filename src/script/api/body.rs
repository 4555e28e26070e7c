//! `body`: documents to publish.
//!
//! What a document looks like is the business of [`crate::body`]; here Lua tables become its types.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use mlua::{Lua, LuaString, MetaMethod, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{
    super::host::Host,
    Fault, bind,
    options::{Options, shown},
};
use crate::{
    body::{self, BodyError, Count, Device, Field, Mwi, Person, Pidf, Timestamp, Tuple},
    command::Document,
    sip::message::value::is_media_type,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("raw", bind(lua, host, |lua, args| raw(lua, &args))?)?;
    table.set(
        "pidf",
        bind(lua, host, |lua, args| {
            built(lua, "body.pidf", pidf(args.front().unwrap_or(&Value::Nil))?.build())
        })?,
    )?;
    table.set(
        "mwi",
        bind(lua, host, |lua, args| {
            built(lua, "body.mwi", mwi(args.front().unwrap_or(&Value::Nil))?.build())
        })?,
    )?;
    Ok(table)
}

/// A document and its type, as `pua.publish` takes it. The text lies in the script's heap, so that
/// it counts towards its limit.
pub(super) struct Body {
    content_type: Arc<str>,
    text: LuaString,
}

impl Body {
    /// Returns what is sent.
    pub(super) fn document(&self) -> Document {
        let body = Bytes::copy_from_slice(&self.text.as_bytes());
        Document::new(self.content_type.clone(), body)
    }
}

impl UserData for Body {
    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::Index, |lua, this, name: String| {
            Ok(match name.as_str() {
                "content_type" => Value::String(lua.create_string(&*this.content_type)?),
                "text" => Value::String(this.text.clone()),
                _ => Value::Nil,
            })
        });
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
        Some(Value::String(text)) => made(lua, content_type.into(), text.clone()),
        other => Err(Fault::misuse(format!(
            "body.raw: second argument: {} is not a text",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

fn made(lua: &Lua, content_type: Arc<str>, text: LuaString) -> Result<Value, Fault> {
    Ok(Value::UserData(lua.create_userdata(Body { content_type, text })?))
}

fn built(lua: &Lua, call: &str, body: Result<body::Body, BodyError>) -> Result<Value, Fault> {
    match body {
        Ok(body) => made(lua, body.content_type, lua.create_string(&body.text)?),
        Err(why) => Err(Fault::misuse(format!("{call}: {why}"))),
    }
}

fn pidf(value: &Value) -> Result<Pidf, Fault> {
    let known = &["entity", "tuples", "persons", "devices", "note"];
    let options = Options::new("body.pidf", value, known)?;
    let tuple = &["id", "basic", "contact", "priority", "note", "timestamp"];
    let person = &["id", "activities", "mood", "note", "timestamp"];
    let device = &["id", "device_id", "note", "timestamp"];
    Ok(Pidf {
        entity: options.need_text("entity")?,
        tuples: each(options.list("tuples", tuple)?, |tuple| {
            Ok(Tuple {
                id: tuple.need_text("id")?,
                basic: tuple.text("basic")?,
                contact: tuple.text("contact")?,
                priority: tuple.number("priority")?,
                note: tuple.text("note")?,
                timestamp: timestamp(tuple)?,
            })
        })?,
        persons: each(options.list("persons", person)?, |person| {
            Ok(Person {
                id: person.need_text("id")?,
                activities: person.texts("activities")?,
                mood: person.texts("mood")?,
                note: person.text("note")?,
                timestamp: timestamp(person)?,
            })
        })?,
        devices: each(options.list("devices", device)?, |device| {
            Ok(Device {
                id: device.need_text("id")?,
                device_id: device.need_text("device_id")?,
                note: device.text("note")?,
                timestamp: timestamp(device)?,
            })
        })?,
        note: options.text("note")?,
    })
}

fn each<T>(
    list: Vec<Options>,
    read: impl Fn(&Options) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    list.iter().map(read).collect()
}

fn timestamp(options: &Options) -> Result<Option<Timestamp>, Fault> {
    match options.value("timestamp")? {
        Value::String(_) => Ok(options.text("timestamp")?.map(Timestamp::Text)),
        _ => Ok(options.number("timestamp")?.map(Timestamp::Unix)),
    }
}

fn mwi(value: &Value) -> Result<Mwi, Fault> {
    let known = &["waiting", "account", "voice", "fax", "pager", "multimedia", "text", "headers"];
    let options = Options::new("body.mwi", value, known)?;
    Ok(Mwi {
        waiting: options.flag("waiting")?,
        account: options.text("account")?,
        voice: count(&options, "voice")?,
        fax: count(&options, "fax")?,
        pager: count(&options, "pager")?,
        multimedia: count(&options, "multimedia")?,
        text: count(&options, "text")?,
        headers: headers(&options)?,
    })
}

fn count(options: &Options, class: &'static str) -> Result<Option<Count>, Fault> {
    let known = &["new", "old", "urgent_new", "urgent_old"];
    let Some(counts) = options.inner(class, known)? else { return Ok(None) };
    let read = |name: &'static str| {
        let Some(number) = counts.number(name)? else { return Ok(None) };
        Count::read(Field::of(class, name), number)
            .map(Some)
            .map_err(|why| Fault::misuse(format!("body.mwi: {why}")))
    };
    Ok(Some(Count {
        new: read("new")?.unwrap_or(0),
        old: read("old")?.unwrap_or(0),
        urgent_new: read("urgent_new")?,
        urgent_old: read("urgent_old")?,
    }))
}

/// Reads headers of single messages: a table of names and values for each message.
fn headers(options: &Options) -> Result<Vec<Vec<(String, String)>>, Fault> {
    let list = match options.value("headers")? {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(list) => list,
        other => {
            return Err(options.refuse("headers", format_args!("{} is not a list", shown(&other))));
        }
    };
    let mut messages = Vec::new();
    for message in list.sequence_values::<Table>() {
        let message =
            message.map_err(|_| options.refuse("headers", "a list of tables is expected"))?;
        let mut rows = message
            .pairs::<String, String>()
            .collect::<mlua::Result<Vec<_>>>()
            .map_err(|_| options.refuse("headers", "names and values are texts"))?;
        // A table has no order of its own.
        rows.sort();
        messages.push(rows);
    }
    Ok(messages)
}
