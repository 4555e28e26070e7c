//! Reading what a call was given: one table of named options, checked against what is known.
//!
//! Every refusal names the call, the field, the value and what would be right.

use std::time::Duration;

use mlua::{Function, Table, Value};

use super::Fault;
use crate::command::{duration_of, parse_duration};

/// The options of one call.
pub(super) struct Options {
    call: &'static str,
    table: Option<Table>,
}

impl Options {
    /// Takes a call's table; nil stands for an empty one where `optional`.
    pub(super) fn new(call: &'static str, value: &Value, known: &[&str]) -> Result<Self, Fault> {
        let table = match value {
            Value::Table(table) => Some(table.clone()),
            Value::Nil => None,
            other => {
                return Err(Fault::misuse(format!(
                    "{call}: a table of options is expected, not {}",
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
                        "{call}: options have names, such as {} = …; found one at {}",
                        known.first().unwrap_or(&"name"),
                        shown(other)
                    )));
                }
            };
            if !known.contains(&name.as_str()) {
                return Err(Fault::misuse(unknown(call, "option", &name, known)));
            }
        }
        Ok(Self { call, table })
    }

    /// Returns the raw value of an option.
    pub(super) fn value(&self, name: &str) -> Result<Value, Fault> {
        match &self.table {
            Some(table) => Ok(table.raw_get(name)?),
            None => Ok(Value::Nil),
        }
    }

    /// Builds a refusal of one field.
    pub(super) fn refuse(&self, name: &str, why: impl std::fmt::Display) -> Fault {
        Fault::misuse(format!("{}: {name}: {why}", self.call))
    }

    fn expected(&self, name: &str, value: &Value, what: &str) -> Fault {
        self.refuse(name, format_args!("{} is not {what}", shown(value)))
    }

    /// Returns a text option.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.value(name)? {
            Value::Nil => Ok(None),
            Value::String(text) => match text.to_str() {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(self.refuse(name, "the text is not UTF-8")),
            },
            other => Err(self.expected(name, &other, "a text")),
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
