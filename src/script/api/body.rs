//! `body`: documents to publish.
//!
//! What a document looks like is the business of [`crate::body`]; here Lua tables become its types.

use std::rc::Rc;

use bytes::Bytes;
use mlua::{Lua, MetaMethod, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{super::host::Host, Fault, bind, options::shown};
use crate::{command::Document, sip::message::value::is_media_type};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("raw", bind(lua, host, |lua, args| raw(lua, &args))?)?;
    Ok(table)
}

/// A document and its type, as `pua.publish` takes it.
pub(super) struct Body(Document);

impl Body {
    /// Returns what is sent.
    pub(super) fn document(&self) -> Document {
        self.0.clone()
    }
}

impl UserData for Body {
    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::Index, |lua, this, name: String| {
            Ok(match name.as_str() {
                "content_type" => Value::String(lua.create_string(&*this.0.content_type)?),
                "text" => Value::String(lua.create_string(&this.0.body)?),
                _ => Value::Nil,
            })
        });
        add.add_meta_method(MetaMethod::ToString, |lua, this, ()| lua.create_string(&this.0.body));
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
        Some(Value::String(bytes)) => {
            let body = Bytes::copy_from_slice(&bytes.as_bytes());
            made(lua, Document { content_type: content_type.into(), body })
        }
        other => Err(Fault::misuse(format!(
            "body.raw: second argument: {} is not a text",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

fn made(lua: &Lua, document: Document) -> Result<Value, Fault> {
    Ok(Value::UserData(lua.create_userdata(Body(document))?))
}
