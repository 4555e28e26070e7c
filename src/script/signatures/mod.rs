//! What scripts can call, as data: the one table of signatures.
//!
//! The bindings in [`api`](super::api) take the names of their options from it,
//! and libraries and handles are held against it whenever a VM is built for a
//! test. Type stubs and the reference page are written from it: [`luau`],
//! [`luals`], [`reference`](mod@reference). The types stand in Luau's own words; [`types`] reads
//! them.

mod body;
mod common;
mod data;
mod files;
mod luals;
mod luau;
mod machine;
mod outside;
mod pua;
mod reference;
mod test;
mod time;
pub mod types;

pub use body::{
    AVAILABLE_MEDIA, BODY, CALL_INFO, CONFERENCE, CONFERENCE_HOST, CONFERENCE_MEDIA,
    CONFERENCE_STATE, CONFERENCE_USER, CONTACT, COUNT, DESCRIPTION, DEVICE, DIALOG, DIALOG_INFO,
    ENDPOINT, LINK, MWI, PARTICIPANT, PERSON, PIDF, REFERRED_BY, REGINFO, REGISTRATION, REPLACES,
    SESSION_DESCRIPTION, STEP, TEMPORARY_GRUU, TUPLE, USER_INPUT, WATCHER, WATCHER_LIST,
    WATCHERINFO,
};
pub use common::{ALIASES, ERROR, GLOBALS};
pub use data::{
    COUNTER, GAUGE, HISTOGRAM, HISTOGRAM_OPTIONS, JSON_OPTIONS, KV, METRIC_OPTIONS, TTL_OPTIONS,
    XML_NODE,
};
pub use files::{
    IMAP_OPTIONS, LINES_OPTIONS, MAILDIR_OPTIONS, READ_OPTIONS, WATCH, WATCH_OPTIONS, WRITE_OPTIONS,
};
pub use outside::{COMMAND, HTTP_OPTIONS, HTTP_REQUEST};
pub use pua::{PUBLICATION, PUBLISH_OPTIONS, PUBLISH_POSITIONS, UPDATE_OPTIONS};
pub use test::{TEST, TEST_ALLOW, TEST_EXPECTED, TEST_FIGURES, TEST_LIMITS, TEST_LOAD};
pub use time::{AFTER_OPTIONS, AT_OPTIONS, CRON_OPTIONS, EVERY_OPTIONS, TASK, TIMER};

/// All libraries of scripts, in the order in which one learns them.
pub const LIBRARIES: &[Library] = &[
    pua::PUA,
    body::LIBRARY,
    time::TIMER_LIBRARY,
    time::TASK_LIBRARY,
    files::FS,
    files::MAIL,
    outside::HTTP,
    outside::EXEC,
    machine::SYS,
    machine::CONFIG,
    machine::LOG,
    machine::SCRIPT,
    data::KV_LIBRARY,
    data::JSON,
    data::XML,
    data::METRICS,
];

/// The generated files: their names, and what makes them.
pub const FILES: &[(&str, Write)] =
    &[(STUBS_LUAU, luau::write), (STUBS_LUALS, luals::write), (PAGE, reference::write)];

/// Writes a file.
pub type Write = fn() -> String;

/// Type stubs for luau-lsp.
pub const STUBS_LUAU: &str = "puad.d.luau";
/// Type stubs for LuaLS (lua-language-server).
pub const STUBS_LUALS: &str = "puad.meta.lua";
/// The reference for people.
pub const PAGE: &str = "REFERENCE.md";

/// A global table of functions.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// What scripts call it.
    pub name: &'static str,
    /// What it is for, in a line.
    pub doc: &'static str,
    /// What one should know before using it.
    pub introduction: &'static str,
    /// A short script that uses it.
    pub example: &'static str,
    /// What is not a function.
    pub fields: &'static [Field],
    /// Whether it has further fields, named by the script's author.
    pub is_open: bool,
    /// The functions.
    pub functions: &'static [Function],
    /// Smaller libraries in it, called `NAME.INNER`.
    pub inner: &'static [Self],
    /// Tables its functions take and give.
    pub records: &'static [Record],
    /// What its functions give to hold.
    pub handles: &'static [Handle],
}

/// A function or a method.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name in the table it belongs to.
    pub name: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// What else it takes in place of these.
    pub otherwise: Option<&'static [Parameter]>,
    /// What it gives.
    pub results: Results,
    /// What it does.
    pub doc: &'static str,
    /// Whether it suspends the coroutine that calls it.
    pub waits: bool,
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name; `...` stands for any number of arguments.
    pub name: &'static str,
    /// Its type, in Luau's words.
    pub r#type: &'static str,
    /// Whether it may be left out.
    pub is_optional: bool,
}

/// What a function gives.
#[derive(Debug, Clone, Copy)]
pub enum Results {
    /// Nothing.
    Nothing,
    /// A value of this type.
    Value(&'static str),
    /// A value of this type, or nil and an error with one of these codes.
    OrError(&'static str, &'static [&'static str]),
}

/// A table with named fields.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// The name of its type.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// What it holds beside them: types of key and value.
    pub entries: Option<(&'static str, &'static str)>,
    /// Whether scripts write it as the options of a call; what they only read has no defaults.
    pub is_options: bool,
}

/// A named value in a table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type, in Luau's words.
    pub r#type: &'static str,
    /// Whether it may be missing.
    pub is_optional: bool,
    /// What holds where it is missing, as a script would write it or in words.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// What a script holds of something that lives in puad.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// The name of its type.
    pub name: &'static str,
    /// What messages call it.
    pub called: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Its methods.
    pub methods: &'static [Function],
    /// How the methods are called.
    pub manner: Manner,
}

/// How methods are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// With a colon, on a value that belongs to puad.
    Class,
    /// With a colon, on a table.
    Table,
    /// With a dot: the table is a small library.
    Functions,
}

/// Another name for a type.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// What it stands for.
    pub r#type: &'static str,
    /// What it is.
    pub doc: &'static str,
}

impl Library {
    /// Returns the names of all that is in it.
    pub fn names(&self) -> Vec<&'static str> {
        let fields = self.fields.iter().map(|field| field.name);
        let inner = self.inner.iter().map(|inner| inner.name);
        fields.chain(inner).chain(self.functions.iter().map(|function| function.name)).collect()
    }
}

impl Handle {
    /// Returns the names of its fields and methods.
    pub fn names(&self) -> Vec<&'static str> {
        let fields = self.fields.iter().map(|field| field.name);
        fields.chain(self.methods.iter().map(|method| method.name)).collect()
    }

    /// Returns whether it has a method of this name.
    pub fn has_method(&self, name: &str) -> bool {
        self.methods.iter().any(|method| method.name == name)
    }

    /// Returns whether it has a field of this name.
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

impl Record {
    /// Returns the names of its fields.
    pub fn names(&self) -> Vec<&'static str> {
        self.fields.iter().map(|field| field.name).collect()
    }

    /// Returns whether it has a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

/// Returns all libraries, that of test files at the end.
pub fn libraries() -> impl Iterator<Item = &'static Library> {
    LIBRARIES.iter().chain([&TEST])
}

/// Returns the record of this name, wherever it is.
pub fn record(name: &str) -> Option<&'static Record> {
    let of_libraries = libraries().flat_map(|library| library.records);
    std::iter::once(&ERROR).chain(of_libraries).find(|record| record.name == name)
}

/// The default of what need not stand under this name but must be given.
const REQUIRED: &str = "required";

// The words in which the table is written.

/// A function, at first one that takes and gives nothing.
const fn function(name: &'static str, doc: &'static str) -> Function {
    Function {
        name,
        parameters: &[],
        otherwise: None,
        results: Results::Nothing,
        doc,
        waits: false,
    }
}

impl Function {
    const fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    const fn or_takes(self, parameters: &'static [Parameter]) -> Self {
        Self { otherwise: Some(parameters), ..self }
    }

    const fn gives(self, r#type: &'static str) -> Self {
        Self { results: Results::Value(r#type), ..self }
    }

    const fn may_fail(self, r#type: &'static str, codes: &'static [&'static str]) -> Self {
        Self { results: Results::OrError(r#type, codes), ..self }
    }

    const fn waits(self) -> Self {
        Self { waits: true, ..self }
    }
}

/// An argument that must be given.
const fn given(name: &'static str, r#type: &'static str) -> Parameter {
    Parameter { name, r#type, is_optional: false }
}

/// An argument that may be left out.
const fn perhaps(name: &'static str, r#type: &'static str) -> Parameter {
    Parameter { name, r#type, is_optional: true }
}

/// A field that is always there, or must be given.
const fn field(name: &'static str, r#type: &'static str, doc: &'static str) -> Field {
    Field { name, r#type, is_optional: false, default: "", doc }
}

/// A field that may be missing.
const fn maybe(name: &'static str, r#type: &'static str, doc: &'static str) -> Field {
    Field { name, r#type, is_optional: true, default: "", doc }
}

/// An option with a default.
const fn option(
    name: &'static str,
    r#type: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field { name, r#type, is_optional: true, default, doc }
}

/// A table that scripts give to a call.
const fn options(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Record {
    Record { name, doc, fields, entries: None, is_options: true }
}

/// A table that scripts are given, or put into another.
const fn record_of(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Record {
    Record { name, doc, fields, entries: None, is_options: false }
}

/// A library without anything in it.
const fn library(name: &'static str, doc: &'static str) -> Library {
    Library {
        name,
        doc,
        introduction: "",
        example: "",
        fields: &[],
        is_open: false,
        functions: &[],
        inner: &[],
        records: &[],
        handles: &[],
    }
}

/// Breaks a text into lines of this many characters at the most.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
