//! Type stubs for LuaLS (lua-language-server): annotations in comments.

use std::fmt::Write as _;

use super::{
    ALIASES, ERROR, Field, Function, GLOBALS, Handle, Library, Manner, Parameter, REQUIRED, Record,
    Results,
    types::{Argument, Type},
};

/// Returns the file.
pub(super) fn write() -> String {
    let mut out = String::from(
        "---@meta\n\
         -- What puad gives to scripts, for editors with LuaLS (lua-language-server).\n\
         -- Written by `puad stubs`; changes belong into puad's table of signatures.\n",
    );
    for alias in ALIASES {
        out.push('\n');
        note(&mut out, alias.doc);
        let _ = writeln!(out, "---@alias {} {}", alias.name, words(&Type::of(alias.r#type)));
    }
    record(&mut out, &ERROR);
    for library in super::libraries() {
        write_library(&mut out, library);
    }
    for one in GLOBALS {
        function(&mut out, one, "");
    }
    out
}

fn write_library(out: &mut String, library: &Library) {
    library.records.iter().for_each(|one| record(out, one));
    library.handles.iter().for_each(|one| handle(out, one));
    out.push('\n');
    note(out, library.doc);
    let _ = writeln!(out, "---@class {}lib", library.name);
    library.fields.iter().for_each(|one| field(out, one));
    if library.is_open {
        out.push_str("---@field [string] any\n");
    }
    let _ = writeln!(out, "{} = {{}}", library.name);
    for one in library.functions {
        function(out, one, &format!("{}.", library.name));
    }
    for inner in library.inner {
        let path = format!("{}.{}", library.name, inner.name);
        out.push('\n');
        note(out, inner.doc);
        let _ = writeln!(out, "{path} = {{}}");
        for one in inner.functions {
            function(out, one, &format!("{path}."));
        }
    }
}

fn record(out: &mut String, record: &Record) {
    out.push('\n');
    note(out, record.doc);
    // Of options an unknown name is a mistake.
    let exact = if record.is_options { "(exact) " } else { "" };
    let _ = writeln!(out, "---@class {exact}{}", record.name);
    record.fields.iter().for_each(|one| field(out, one));
    if let Some((key, value)) = record.entries {
        let (key, value) = (words(&Type::of(key)), words(&Type::of(value)));
        let _ = writeln!(out, "---@field [{key}] {value}");
    }
}

fn handle(out: &mut String, handle: &Handle) {
    out.push('\n');
    note(out, handle.doc);
    let _ = writeln!(out, "---@class {}", handle.name);
    handle.fields.iter().for_each(|one| field(out, one));
    if handle.methods.is_empty() {
        return;
    }
    let _ = writeln!(out, "local {} = {{}}", handle.name);
    let mark = match handle.manner {
        Manner::Class | Manner::Table => ':',
        Manner::Functions => '.',
    };
    for one in handle.methods {
        function(out, one, &format!("{}{mark}", handle.name));
    }
}

fn field(out: &mut String, field: &Field) {
    let mark = if field.is_optional { "?" } else { "" };
    let default = match field.default {
        "" | REQUIRED => String::new(),
        default => format!(" Default: {default}."),
    };
    let r#type = words(&Type::of(field.r#type));
    let _ = writeln!(out, "---@field {}{mark} {type} {}{default}", field.name, field.doc);
}

/// A function or method; `path` is what stands in front of its name.
fn function(out: &mut String, function: &Function, path: &str) {
    out.push('\n');
    note(out, function.doc);
    for parameter in function.parameters {
        let mark = if parameter.is_optional { "?" } else { "" };
        let r#type = words(&Type::of(parameter.r#type));
        let _ = writeln!(out, "---@param {}{mark} {type}", parameter.name);
    }
    match function.results {
        Results::Nothing => {}
        Results::Value(text) => {
            let _ = writeln!(out, "---@return {}", words(&Type::of(text)));
        }
        Results::OrError(text, codes) => {
            let _ = writeln!(out, "---@return {}", words(&Type::of(text).optional()));
            let _ = writeln!(out, "---@return Error? err code {}", codes.join(", "));
        }
    }
    if let Some(other) = function.otherwise {
        let all: Vec<_> = other.iter().map(argument).collect();
        let results = match function.results {
            Results::Nothing => String::new(),
            Results::Value(text) => format!(": {}", words(&Type::of(text))),
            Results::OrError(text, _) => format!(": {}, Error?", words(&Type::of(text).optional())),
        };
        let _ = writeln!(out, "---@overload fun({}){results}", all.join(", "));
    }
    let names: Vec<_> = function.parameters.iter().map(|parameter| parameter.name).collect();
    let _ = writeln!(out, "function {path}{}({}) end", function.name, names.join(", "));
}

fn argument(parameter: &Parameter) -> String {
    let mark = if parameter.is_optional { "?" } else { "" };
    format!("{}{mark}: {}", parameter.name, words(&Type::of(parameter.r#type)))
}

/// A type in LuaLS' words.
fn words(of: &Type) -> String {
    match of {
        Type::Name(name) => name.clone(),
        Type::Text(text) => format!("{text:?}"),
        Type::Optional(inner) => format!("{}?", tight(inner)),
        Type::Union(all) => all.iter().map(tight).collect::<Vec<_>>().join("|"),
        Type::List(inner) => format!("{}[]", tight(inner)),
        Type::Map(key, value) => format!("table<{}, {}>", words(key), words(value)),
        Type::Table(fields) => {
            let fields = fields.iter().map(|(name, field)| match field {
                Type::Optional(inner) => format!("{name}?: {}", words(inner)),
                field => format!("{name}: {}", words(field)),
            });
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::Function(arguments, results) => {
            let arguments: Vec<_> = arguments.iter().enumerate().map(named).collect();
            let results: Vec<_> = results.iter().map(words).collect();
            let results = match &results[..] {
                [] => String::new(),
                some => format!(": {}", some.join(", ")),
            };
            format!("fun({}){results}", arguments.join(", "))
        }
        Type::Many(inner) => format!("...{}", words(inner)),
    }
}

fn named((at, argument): (usize, &Argument)) -> String {
    match (&argument.name, &argument.r#type) {
        (_, Type::Many(inner)) => format!("...: {}", words(inner)),
        (Some(name), of) => format!("{name}: {}", words(of)),
        (None, of) => format!("a{}: {}", at + 1, words(of)),
    }
}

/// The same, so that what follows belongs to the whole of it.
fn tight(of: &Type) -> String {
    match of {
        Type::Union(_) | Type::Function(..) => format!("({})", words(of)),
        Type::Name(_)
        | Type::Text(_)
        | Type::Optional(_)
        | Type::List(_)
        | Type::Map(..)
        | Type::Table(_)
        | Type::Many(_) => words(of),
    }
}

fn note(out: &mut String, text: &str) {
    for line in super::lines(text, 97) {
        let _ = writeln!(out, "---{line}");
    }
}
