//! `json`: texts to tables and back.
//!
//! serde_json reads and writes; between it and Lua stands [`Plain`], which
//! bounds depth and size. A list that must stay one when it is empty carries
//! the mark of `json.array`, as every list that was read does.

use std::{cell::Cell, fmt, rc::Rc};

use mlua::{LightUserData, Lua, MultiValue, Table, Value};
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap as _, SerializeSeq as _},
};

use super::{
    super::{
        host::Host,
        plain::{
            DEEPEST, Key, MOST_BYTES, NAME, Plain, Rows, SCALAR, TABLE, Unfit, is_marked_array,
            mark_array,
        },
        signatures,
    },
    Fault, bind, failed_at, failed_with,
    options::{Options, shown},
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let owner = host.clone();
    table.set("encode", bind(lua, host, move |lua, args| encode(lua, &owner, &args))?)?;
    let owner = host.clone();
    table.set("decode", bind(lua, host, move |lua, args| decode(lua, &owner, &args))?)?;
    table.set("array", bind(lua, host, |lua, args| array(lua, &args))?)?;
    table.set("null", Value::NULL)?;
    let meta = lua.create_table()?;
    meta.set("__tostring", lua.create_function(|_, _: Value| Ok("null"))?)?;
    meta.set("__metatable", false)?;
    lua.set_type_metatable::<LightUserData>(Some(meta));
    Ok(table)
}

/// `json.array(t)`: marks a table as a list, so that it is one even when it is empty.
fn array(lua: &Lua, args: &MultiValue) -> Result<Table, Fault> {
    let table = match args.front() {
        None | Some(Value::Nil) => lua.create_table()?,
        Some(Value::Table(table)) => table.clone(),
        Some(other) => {
            return Err(Fault::misuse(format!("json.array: {} is not a table", shown(other))));
        }
    };
    if is_marked_array(&table) {
        return Ok(table);
    }
    if table.is_readonly() {
        return Err(Fault::misuse("json.array: the table is read-only; mark a copy of it"));
    }
    if table.metatable().is_some() {
        return Err(Fault::misuse("json.array: the table has a metatable of its own"));
    }
    mark_array(lua, &table)?;
    Ok(table)
}

fn encode(lua: &Lua, host: &Host, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "json.encode";
    let options =
        Options::new(call, args.get(1).unwrap_or(&Value::Nil), &signatures::JSON_OPTIONS)?;
    let pretty = options.flag("pretty")?.unwrap_or(false);
    let text = write(args.front().unwrap_or(&Value::Nil), pretty)
        .map_err(|why| Fault::misuse(format!("{call}: value: {why}")))?;
    if text.len() > MOST_BYTES {
        return Ok(failed_with(lua, host, call, "limit", too_long(call, text.len()))?);
    }
    Ok((Value::String(lua.create_string(text)?), Value::Nil))
}

/// Returns a value as JSON text, or why it has none.
pub(super) fn write(value: &Value, pretty: bool) -> Result<Vec<u8>, String> {
    let value = match value {
        Value::Nil => Plain::Null,
        value => Plain::from_lua(value)?,
    };
    check(&value).map_err(|unfit| unfit.to_string())?;
    let written = if pretty {
        serde_json::to_vec_pretty(&Json(&value))
    } else {
        serde_json::to_vec(&Json(&value))
    };
    written.map_err(|error| error.to_string())
}

/// Refuses what JSON has no way to say.
fn check(value: &Plain) -> Result<(), Unfit> {
    match value {
        Plain::Null | Plain::Boolean(_) => Ok(()),
        Plain::Number(number) if number.is_finite() => Ok(()),
        Plain::Number(number) => Err(Unfit::new(format!("JSON has no number {number}"))),
        Plain::Text(text) => check_text(text, "the text"),
        Plain::Table(rows) => check_rows(rows),
    }
}

fn check_rows(rows: &Rows) -> Result<(), Unfit> {
    for (at, value) in rows.list.iter().enumerate() {
        check(value).map_err(|unfit| unfit.under(Key::Number((at + 1) as f64)))?;
    }
    for (key, value) in &rows.named {
        match key {
            Key::Number(number) if is_place(*number) => {
                let hole = rows.list.len() + 1;
                return Err(Unfit::new(format!(
                    "a list has a hole at [{hole}] and goes on at [{number}]; put json.null into holes, or use texts as names"
                )));
            }
            Key::Number(number) => {
                return Err(Unfit::new(format!(
                    "[{number}] is no place in a list; JSON has texts for names"
                )));
            }
            Key::Text(text) => {
                if is_list(rows) {
                    let name = String::from_utf8_lossy(text).into_owned();
                    return Err(Unfit::new(format!(
                        "a list has a field {name:?} as well; JSON has lists and objects, nothing between"
                    )));
                }
                check_text(text, "a name")?;
                check(value).map_err(|unfit| unfit.under(key.clone()))?;
            }
        }
    }
    Ok(())
}

fn check_text(text: &[u8], what: &str) -> Result<(), Unfit> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = error.valid_up_to() + 1;
            Err(Unfit::new(format!("{what} is not UTF-8 (byte {at}), which JSON must be")))
        }
    }
}

fn is_place(number: f64) -> bool {
    number >= 1.0 && number.fract() == 0.0
}

fn is_list(rows: &Rows) -> bool {
    rows.is_array || !rows.list.is_empty()
}

/// A value that [`check`] has seen, as serde writes it.
struct Json<'a>(&'a Plain);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Plain::Null => serializer.serialize_unit(),
            Plain::Boolean(flag) => serializer.serialize_bool(*flag),
            // Beyond 2^53 not every whole number is one of Lua's, so the digits would promise too much.
            Plain::Number(number) if number.fract() == 0.0 && number.abs() <= LARGEST_WHOLE => {
                serializer.serialize_i64(*number as i64)
            }
            Plain::Number(number) => serializer.serialize_f64(*number),
            Plain::Text(text) => serializer.serialize_str(utf8(text)?),
            Plain::Table(rows) if is_list(rows) => {
                let mut list = serializer.serialize_seq(Some(rows.list.len()))?;
                for value in &rows.list {
                    list.serialize_element(&Json(value))?;
                }
                list.end()
            }
            Plain::Table(rows) => {
                let mut object = serializer.serialize_map(Some(rows.named.len()))?;
                for (key, value) in &rows.named {
                    match key {
                        Key::Text(name) => object.serialize_entry(utf8(name)?, &Json(value))?,
                        Key::Number(number) => object.serialize_entry(number, &Json(value))?,
                    }
                }
                object.end()
            }
        }
    }
}

fn utf8<E: serde::ser::Error>(text: &[u8]) -> Result<&str, E> {
    std::str::from_utf8(text).map_err(E::custom)
}

fn decode(lua: &Lua, host: &Host, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "json.decode";
    let text = match args.front() {
        Some(Value::String(text)) => text.as_bytes(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("{call}: {found} is not a text")));
        }
    };
    Ok(value_of(lua, host, call, &text)?)
}

/// Returns the value of a JSON text, or `nil, err`.
pub(super) fn value_of(
    lua: &Lua,
    host: &Host,
    call: &str,
    text: &[u8],
) -> mlua::Result<(Value, Value)> {
    if text.len() > MOST_BYTES {
        return failed_with(lua, host, call, "limit", too_long(call, text.len()));
    }
    let left = Cell::new(MOST_BYTES);
    match read(text, &left) {
        Ok(value) => Ok((value.to_lua(lua)?, Value::Nil)),
        Err(_) if left.get() == 0 => {
            let message = format!(
                "{call}: the data is larger than the {} MiB that one text may hold",
                MOST_BYTES / (1024 * 1024)
            );
            failed_with(lua, host, call, "limit", message)
        }
        Err(error) => {
            let why = error.to_string();
            // serde_json says the place behind; here it stands in front, as everywhere.
            let behind = format!(" at line {} column {}", error.line(), error.column());
            let why = why.strip_suffix(&behind).unwrap_or(&why);
            let place = place_of(text, error.line(), error.column());
            failed_at(lua, host, call, place, why)
        }
    }
}

/// Line and column, both from 1 and the column in characters. serde_json counts the bytes it has
/// read of a line, so that an error at a line's end is one at column 0 of the next.
fn place_of(text: &[u8], line: usize, read: usize) -> (usize, usize) {
    let nth = |line: usize| text.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
    let characters = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().count();
    match (line, read) {
        (0 | 1, 0) => (1, 1),
        (line, 0) => (line - 1, characters(nth(line - 1)) + 1),
        (line, read) => (line, characters(nth(line).get(..read).unwrap_or_default()).max(1)),
    }
}

fn read(text: &[u8], left: &Cell<usize>) -> serde_json::Result<Plain> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reading { depth: 0, left }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads one value inside so many others.
#[derive(Clone, Copy)]
struct Reading<'a> {
    depth: usize,
    /// Bytes that may still come; 0 once there were too many.
    left: &'a Cell<usize>,
}

impl Reading<'_> {
    fn take<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().saturating_sub(bytes);
        self.left.set(left);
        if left == 0 { Err(E::custom("too large")) } else { Ok(()) }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        self.take(TABLE)?;
        if self.depth >= DEEPEST {
            return Err(E::custom(format_args!("nested deeper than {DEEPEST} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn number<E: serde::de::Error>(self, number: f64) -> Result<Plain, E> {
        self.take(SCALAR).map(|()| Plain::Number(number))
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Plain;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Plain, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Plain, E> {
        self.take(SCALAR).map(|()| Plain::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Plain, E> {
        self.take(SCALAR).map(|()| Plain::Boolean(flag))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Plain, E> {
        self.number(number as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Plain, E> {
        self.number(number as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Plain, E> {
        self.number(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Plain, E> {
        self.take(SCALAR + text.len()).map(|()| Plain::Text(text.as_bytes().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let inside = self.deeper()?;
        let mut rows = Rows { is_array: true, ..Rows::default() };
        while let Some(value) = items.next_element_seed(inside)? {
            rows.list.push(value);
        }
        Ok(Plain::Table(Box::new(rows)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Plain, A::Error> {
        let inside = self.deeper()?;
        let mut rows = Rows::default();
        while let Some(name) = fields.next_key::<String>()? {
            inside.take::<A::Error>(NAME + name.len())?;
            let value = fields.next_value_seed(inside)?;
            rows.named.insert(Key::Text(name.into_bytes().into()), value);
        }
        Ok(Plain::Table(Box::new(rows)))
    }
}

fn too_long(call: &str, length: usize) -> String {
    format!("{call}: a text of {length} bytes is longer than the {MOST_BYTES} that are allowed")
}

/// Up to here every whole number is one of Lua's.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;
