//! Reading what a call was given: one table of named options, checked against what is known.
//!
//! Which names there are is in the table of [`signatures`](super::super::signatures). Every refusal
//! names the call, the field, the value and what would be right.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use mlua::{Function, MultiValue, Table, Value};

use super::{super::signatures::Record, Fault};
use crate::command::{SizeError, duration_of, parse_duration, parse_size};

/// The options of one call.
pub(super) struct Options {
    call: &'static str,
    /// Where in the call's table this one stands: nothing, or `tuples[2].`.
    path: String,
    table: Option<Table>,
    /// Bytes the call's texts may still take: the host copies them out of the script's heap, where
    /// one text may stand in a thousand places.
    left: Rc<Cell<usize>>,
    known: &'static Record,
}

impl Options {
    /// Takes a call's table; nil stands for an empty one.
    pub(super) fn new(
        call: &'static str,
        value: &Value,
        known: &'static Record,
    ) -> Result<Self, Fault> {
        Self::at(call, String::new(), value, known, Rc::new(Cell::new(MOST_BYTES)))
    }

    /// Takes a table inside the call's table.
    fn at(
        call: &'static str,
        path: String,
        value: &Value,
        known: &'static Record,
        left: Rc<Cell<usize>>,
    ) -> Result<Self, Fault> {
        let place = if path.is_empty() { call.to_owned() } else { format!("{call}: {path}") };
        let table = match value {
            Value::Table(table) => Some(table.clone()),
            Value::Nil => None,
            other => {
                return Err(Fault::misuse(format!(
                    "{place}: a table with {} is expected, not {}",
                    known.names().join(", "),
                    shown(other)
                )));
            }
        };
        for pair in table.iter().flat_map(|table| table.pairs::<Value, Value>()) {
            let (key, _) = pair?;
            let name = match &key {
                Value::String(name) => name.to_string_lossy(),
                other => {
                    return Err(Fault::misuse(format!(
                        "{place}: options have names, such as {} = …; found one at {}",
                        known.fields.first().map_or("name", |first| first.name),
                        shown(other)
                    )));
                }
            };
            if !known.has(&name) {
                return Err(Fault::misuse(unknown(&place, "option", &name, &known.names())));
            }
        }
        let path = if path.is_empty() { path } else { format!("{path}.") };
        Ok(Self { call, path, table, known, left })
    }

    /// Counts bytes that are copied out of the script's heap for this call.
    pub(super) fn weigh(&self, name: &str, bytes: usize) -> Result<(), Fault> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.refuse(
                name,
                format_args!("the call holds more than the {} MiB it may", MOST_BYTES >> 20),
            )),
        }
    }

    /// Returns a table option, to be read by the same rules.
    pub(super) fn inner(&self, name: &str, known: &'static Record) -> Result<Option<Self>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            value => {
                let path = format!("{}{name}", self.path);
                Self::at(self.call, path, &value, known, self.left.clone()).map(Some)
            }
        }
    }

    /// Returns a list of tables, each to be read by the same rules.
    pub(super) fn list(&self, name: &str, known: &'static Record) -> Result<Vec<Self>, Fault> {
        let list = match self.value(name)? {
            Value::Nil => return Ok(Vec::new()),
            Value::Table(list) => list,
            other => return Err(self.expected(name, &other, "a list")),
        };
        if list.raw_len() == 0 && !list.is_empty() {
            return Err(self.refuse(name, "a list is expected, as in { { … }, { … } }"));
        }
        list.sequence_values::<Value>()
            .enumerate()
            .map(|(at, value)| {
                self.weigh(name, ENTRY)?;
                let path = format!("{}{name}[{}]", self.path, at + 1);
                Self::at(self.call, path, &value?, known, self.left.clone())
            })
            .collect()
    }

    /// Returns a list of texts; a single text stands for a list of one.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Fault> {
        let list = match self.value(name)? {
            Value::Nil => return Ok(Vec::new()),
            Value::String(_) => return Ok(self.text(name)?.into_iter().collect()),
            Value::Table(list) => list,
            other => return Err(self.expected(name, &other, "a text or a list of texts")),
        };
        list.sequence_values::<Value>()
            .map(|value| match value? {
                Value::String(text) => {
                    self.weigh(name, ENTRY + text.as_bytes().len())?;
                    Ok(text.to_string_lossy())
                }
                other => Err(self.expected(name, &other, "a text")),
            })
            .collect()
    }

    /// Returns a number option.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::Integer(number) => Ok(Some(number as f64)),
            Value::Number(number) => Ok(Some(number)),
            other => Err(self.expected(name, &other, "a number")),
        }
    }

    /// Returns a whole number from 0 up.
    pub(super) fn whole(&self, name: &str, most: u64) -> Result<Option<u64>, Fault> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        if number.fract() != 0.0 || !(0.0..=most as f64).contains(&number) {
            let why = format_args!("{number} is not a whole number from 0 to {most}");
            return Err(self.refuse(name, why));
        }
        Ok(Some(number as u64))
    }

    /// Returns tables by names that the caller chose, each to be read by the same rules.
    pub(super) fn named(
        &self,
        name: &str,
        known: &'static Record,
    ) -> Result<Vec<(String, Self)>, Fault> {
        let entries = self.entries(name)?;
        entries
            .into_iter()
            .map(|(key, value)| {
                let path = format!("{}{name}.{key}", self.path);
                Ok((key, Self::at(self.call, path, &value, known, self.left.clone())?))
            })
            .collect()
    }

    /// Returns texts by names that the caller chose.
    pub(super) fn named_texts(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let entries = self.entries(name)?;
        entries
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => {
                    self.weigh(name, text.as_bytes().len())?;
                    Ok((key, text.to_string_lossy()))
                }
                other => Err(self.expected(&format!("{name}.{key}"), &other, "a text")),
            })
            .collect()
    }

    fn entries(&self, name: &str) -> Result<BTreeMap<String, Value>, Fault> {
        let table = match self.value(name)? {
            Value::Nil => return Ok(BTreeMap::new()),
            Value::Table(table) => table,
            other => return Err(self.expected(name, &other, "a table with names")),
        };
        table
            .pairs::<Value, Value>()
            .map(|pair| match pair? {
                (Value::String(key), value) => {
                    self.weigh(name, ENTRY + key.as_bytes().len())?;
                    Ok((key.to_string_lossy(), value))
                }
                (other, _) => Err(self.expected(name, &other, "a name")),
            })
            .collect()
    }

    /// Returns the raw value of an option.
    pub(super) fn value(&self, name: &str) -> Result<Value, Fault> {
        debug_assert!(
            self.known.has(name),
            "{}: {name} is not in the table of signatures ({})",
            self.call,
            self.known.name
        );
        match &self.table {
            Some(table) => Ok(table.raw_get(name)?),
            None => Ok(Value::Nil),
        }
    }

    /// Builds a refusal of one field.
    pub(super) fn refuse(&self, name: &str, why: impl std::fmt::Display) -> Fault {
        Fault::misuse(format!("{}: {}{name}: {why}", self.call, self.path))
    }

    fn expected(&self, name: &str, value: &Value, what: &str) -> Fault {
        self.refuse(name, format_args!("{} is not {what}", shown(value)))
    }

    /// Returns a text option.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::String(text) => {
                self.weigh(name, text.as_bytes().len())?;
                match text.to_str() {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(_) => Err(self.refuse(name, "the text is not UTF-8")),
                }
            }
            other => Err(self.expected(name, &other, "a text")),
        }
    }

    /// Returns a text option that names something, and is no longer than a name.
    pub(super) fn name(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.text(name)? {
            Some(text) if text.len() > LONGEST_NAME => Err(self.refuse(
                name,
                format_args!("a name of {} bytes is longer than {LONGEST_NAME}", text.len()),
            )),
            text => Ok(text),
        }
    }

    /// Returns a text option that must be there.
    pub(super) fn need_text(&self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or_else(|| self.refuse(name, "is required"))
    }

    /// Returns a duration option.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            value => duration(&value).map(Some).map_err(|why| self.refuse(name, why)),
        }
    }

    /// Returns a size in bytes: a number, or text such as `"32MiB"`.
    pub(super) fn size(&self, name: &str) -> Result<Option<usize>, Fault> {
        let value = self.value(name)?;
        let text = match &value {
            Value::Nil => return Ok(None),
            Value::String(text) => text.to_string_lossy(),
            Value::Integer(_) | Value::Number(_) => value.to_string()?,
            _ => return Err(self.refuse(name, SizeError(shown(&value)))),
        };
        let size = parse_size(&text);
        size.map(Some).map_err(|_| self.refuse(name, SizeError(shown(&value))))
    }

    /// Returns a yes-or-no option.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::Boolean(flag) => Ok(Some(flag)),
            other => Err(self.expected(name, &other, "true or false")),
        }
    }

    /// Returns a function option.
    pub(super) fn function(&self, name: &str) -> Result<Option<Function>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::Function(function) => Ok(Some(function)),
            other => Err(self.expected(name, &other, "a function")),
        }
    }

    /// Returns which of some words an option is.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                Err(self.refuse(name, format_args!("{text:?} is not {}", words.join(" or "))))
            }
        }
    }
}

/// Returns the function that a call was given as its second argument.
pub(super) fn handler(call: &str, args: &MultiValue) -> Result<Function, Fault> {
    match args.get(1) {
        Some(Value::Function(function)) => Ok(function.clone()),
        other => Err(Fault::misuse(format!(
            "{call}: second argument: {} is not a function",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

/// Reads a duration: seconds, or text with units.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Integer(seconds) => duration_of(*seconds as f64).map_err(|error| error.to_string()),
        Value::Number(seconds) => duration_of(*seconds).map_err(|error| error.to_string()),
        Value::String(text) => {
            parse_duration(&text.to_string_lossy()).map_err(|error| error.to_string())
        }
        other => {
            Err(format!("{} is not a duration (seconds, or text such as \"30s\")", shown(other)))
        }
    }
}

/// Returns a value as a message shows it, and long ones cut.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::String(text) => {
            let text = text.to_string_lossy();
            let cut: String = text.chars().take(60).collect();
            if cut.len() < text.len() { format!("{:?}…", cut) } else { format!("{text:?}") }
        }
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {
            value.to_string().unwrap_or_default()
        }
        other => format!("a {}", other.type_name()),
    }
}

/// Says that a name is not known, what was probably meant, and what there is.
pub(super) fn unknown(call: &str, what: &str, name: &str, known: &[&str]) -> String {
    match crate::command::closest(name, known.iter().copied()) {
        Some(meant) => format!("{call}: unknown {what} '{name}' (did you mean '{meant}'?)"),
        None => format!("{call}: unknown {what} '{name}' (there are: {})", known.join(", ")),
    }
}

/// Bytes that the texts of one call may take.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What an entry of a list takes beside its texts.
pub(super) const ENTRY: usize = 256;
/// Bytes of a name.
const LONGEST_NAME: usize = 256;
