//! Reading TOML by section and key: a mistake is noted with its line, and reading goes on.
//!
//! What the keys mean is known to those who call; how single values are
//! written is in [`value`](super::value).

use std::{cell::RefCell, path::Path};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::problem::{Problem, Problems};
use crate::command::closest;

/// A value and where it stands.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// One file being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// Returns the file's outermost table. Where the text is no TOML only that is noted: what could
    /// be said about the rest would be guesses.
    pub(super) fn root(&self) -> Option<Section<'_, 'a>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.note(at, error.message().replace('\n', ", "));
        }
        // One slip leads to several errors on its line; the first is the telling one.
        self.problems.borrow_mut().dedup_by_key(|problem| problem.line);
        let rest = root.into_inner();
        let root = Section { reader: self, place: String::new(), at: 0, rest, known: Vec::new() };
        errors.is_empty().then_some(root)
    }

    /// Notes a mistake at a place of the text.
    pub(super) fn note(&self, at: usize, message: impl Into<String>) {
        let line = self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n');
        let line = Some(line.count() + 1);
        self.problems.borrow_mut().push(Problem {
            file: self.file.into(),
            line,
            message: message.into(),
        });
    }

    /// Notes a mistake that lies in another file.
    pub(super) fn note_other(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Returns the mistakes in the order of their lines; those of other files come last.
    pub(super) fn finish(self) -> Result<(), Problems> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

/// One table of the file. Every key that is asked for counts as known; [`finish`](Self::finish)
/// notes the others.
#[derive(Debug)]
pub(super) struct Section<'r, 'a> {
    pub(super) reader: &'r Reader<'a>,
    /// What messages begin with; empty for the outermost table.
    place: String,
    pub(super) at: usize,
    rest: DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'r, 'a> Section<'r, 'a> {
    /// Returns whether a key is there and has not been read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.rest.contains_key(key)
    }

    /// Takes a value out.
    fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        self.rest.remove(key)
    }

    /// Takes a value out and reads it; what is wrong with it is noted.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        read(&value).map_err(|why| self.refuse(&value, key, why)).ok()
    }

    /// As [`read`](Self::read), and notes when the key is missing.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.note(self.at, format!("{key} is missing; write {key} = {example}"));
        }
        self.read(key, read)
    }

    /// Takes out a table that a script or another reader looks into.
    pub(super) fn table(&mut self, key: &'static str) -> Option<toml::Table> {
        let value = self.take(key)?;
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let found = super::value::shown(value.get_ref());
            self.refuse(&value, key, format!("{found} is not a table, such as {{ a = 1 }}"));
            return None;
        }
        let at = value.span().start;
        toml::Table::deserialize(ValueDeserializer::from(value))
            .map_err(|error| self.note(at, format!("{key}: {}", error.message())))
            .ok()
    }

    /// Takes out `[key]`.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        let value = self.take(key)?;
        let place = if self.place.is_empty() { format!("[{key}]") } else { key.into() };
        self.as_section(key, place, value)
    }

    /// Takes out every `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Array(list) => list
                .into_iter()
                .filter_map(|value| self.as_section(key, format!("[[{key}]]"), value))
                .collect(),
            DeValue::Table(_) => {
                self.note(at, format!("[{key}]: there may be several; write [[{key}]]"));
                Vec::new()
            }
            _ => {
                self.note(at, format!("{key}: a section is expected; write [[{key}]]"));
                Vec::new()
            }
        }
    }

    fn as_section(&self, key: &str, place: String, value: Value<'a>) -> Option<Self> {
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Table(rest) => {
                let place =
                    if self.place.is_empty() { place } else { format!("{}: {place}", self.place) };
                Some(Section { reader: self.reader, place, at, rest, known: Vec::new() })
            }
            other => {
                let found = super::value::shown(&other);
                self.note(at, format!("{key}: {found} is not a table"));
                None
            }
        }
    }

    /// Notes keys that are spoken of in the documentation and come in a later version.
    pub(super) fn later(&mut self, keys: &[&'static str]) {
        for key in keys {
            if let Some((name, _)) = self.rest.remove_entry(*key) {
                let shown = if self.place.is_empty() { format!("[{key}]") } else { (*key).into() };
                self.note(name.span().start, format!("{shown} is not available in this version"));
            }
        }
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        for (name, value) in &self.rest {
            let is_section = self.place.is_empty()
                && matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
            let what = if is_section { "section" } else { "key" };
            let key = name.get_ref();
            let message = match closest(key, self.known.iter().copied()) {
                Some(meant) => format!("unknown {what} '{key}' (did you mean '{meant}'?)"),
                None => {
                    format!("unknown {what} '{key}' (there are: {})", self.known.join(", "))
                }
            };
            self.note(name.span().start, message);
        }
    }

    /// Notes what is wrong with a value.
    fn refuse(&self, value: &Value<'_>, key: &str, why: String) {
        self.note(value.span().start, format!("{key}: {why}"));
    }

    /// Notes a mistake of this section.
    pub(super) fn note(&self, at: usize, message: String) {
        let message =
            if self.place.is_empty() { message } else { format!("{}: {message}", self.place) };
        self.reader.note(at, message);
    }
}
