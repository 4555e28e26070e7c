//! Type stubs for luau-lsp: Luau's own syntax for definitions.

use std::fmt::Write as _;

use super::{
    ALIASES, ERROR, Field, Function, GLOBALS, Handle, Library, Manner, Parameter, REQUIRED, Record,
    Results, types::Type,
};

/// Returns the file.
pub(super) fn write() -> String {
    let mut out = String::from(
        "-- What puad gives to scripts, for editors: point luau-lsp's `types.definitionFiles` at this file.\n\
         -- Written by `puad stubs`; changes belong into puad's table of signatures.\n\n",
    );
    for alias in ALIASES {
        note(&mut out, "", alias.doc);
        let _ = writeln!(out, "export type {} = {}", alias.name, Type::of(alias.r#type));
    }
    record(&mut out, &ERROR);
    for library in super::libraries() {
        write_library(&mut out, library);
    }
    for function in GLOBALS {
        out.push('\n');
        note(&mut out, "", function.doc);
        let (parameters, results) = (arguments(function.parameters), results(function.results));
        let _ = writeln!(out, "declare function {}({parameters}): {results}", function.name);
    }
    out
}

fn write_library(out: &mut String, library: &Library) {
    library.records.iter().for_each(|one| record(out, one));
    library.handles.iter().for_each(|one| handle(out, one));
    out.push('\n');
    note(out, "", library.doc);
    let _ = writeln!(out, "declare {}: {{", library.name);
    library.fields.iter().for_each(|one| field(out, one));
    library.functions.iter().for_each(|one| entry(out, one, None));
    for inner in library.inner {
        note(out, "\t", inner.doc);
        let _ = writeln!(out, "\t{}: {{", inner.name);
        let mut entries = String::new();
        inner.functions.iter().for_each(|one| entry(&mut entries, one, None));
        for line in entries.lines() {
            let _ = writeln!(out, "\t{line}");
        }
        out.push_str("\t},\n");
    }
    if library.is_open {
        out.push_str("\t[string]: any,\n");
    }
    out.push_str("}\n");
}

fn record(out: &mut String, record: &Record) {
    out.push('\n');
    note(out, "", record.doc);
    let _ = writeln!(out, "export type {} = {{", record.name);
    record.fields.iter().for_each(|one| field(out, one));
    if let Some((key, value)) = record.entries {
        let _ = writeln!(out, "\t[{}]: {},", Type::of(key), Type::of(value));
    }
    out.push_str("}\n");
}

fn handle(out: &mut String, handle: &Handle) {
    out.push('\n');
    note(out, "", handle.doc);
    match handle.manner {
        Manner::Class => {
            let _ = writeln!(out, "declare class {}", handle.name);
            for field in handle.fields {
                note(out, "\t", field.doc);
                let _ =
                    writeln!(out, "\t{}: {}", field.name, type_of(field.r#type, field.is_optional));
            }
            for method in handle.methods {
                note(out, "\t", method.doc);
                let parameters = match arguments(method.parameters) {
                    none if none.is_empty() => "self".to_owned(),
                    some => format!("self, {some}"),
                };
                let results = results(method.results);
                let _ = writeln!(out, "\tfunction {}({parameters}): {results}", method.name);
            }
            out.push_str("end\n");
        }
        Manner::Table | Manner::Functions => {
            let of = (handle.manner == Manner::Table).then_some(handle.name);
            let _ = writeln!(out, "export type {} = {{", handle.name);
            handle.fields.iter().for_each(|one| field(out, one));
            handle.methods.iter().for_each(|one| entry(out, one, of));
            out.push_str("}\n");
        }
    }
}

fn field(out: &mut String, field: &Field) {
    let default = match field.default {
        "" | REQUIRED => String::new(),
        default => format!(" Default: {default}."),
    };
    note(out, "\t", &format!("{}{default}", field.doc));
    let r#type = type_of(field.r#type, field.is_optional);
    let _ = match field.name {
        // A word of the language.
        "local" => writeln!(out, "\t[\"local\"]: {type},"),
        name => writeln!(out, "\t{name}: {type},"),
    };
}

/// A function as a field of a table; `of` is what it is called on with a colon.
fn entry(out: &mut String, function: &Function, of: Option<&str>) {
    note(out, "\t", function.doc);
    let results = results(function.results);
    let shape = |parameters: &[Parameter]| {
        let own = of.map(|of| format!("self: {of}"));
        let rest = Some(arguments(parameters)).filter(|rest| !rest.is_empty());
        let all: Vec<_> = own.into_iter().chain(rest).collect();
        format!("({}) -> {results}", all.join(", "))
    };
    let first = shape(function.parameters);
    let _ = match function.otherwise {
        Some(other) => writeln!(out, "\t{}: (({first}) & ({})),", function.name, shape(other)),
        None => writeln!(out, "\t{}: {first},", function.name),
    };
}

fn arguments(parameters: &[Parameter]) -> String {
    let all = parameters.iter().map(|parameter| match parameter.name {
        "..." => format!("...{}", Type::of(parameter.r#type)),
        name => format!("{name}: {}", type_of(parameter.r#type, parameter.is_optional)),
    });
    all.collect::<Vec<_>>().join(", ")
}

fn results(results: Results) -> String {
    match results {
        Results::Nothing => "()".into(),
        Results::Value(text) => Type::of(text).to_string(),
        Results::OrError(text, _) => format!("({}, Error?)", Type::of(text).optional()),
    }
}

fn type_of(text: &str, is_optional: bool) -> Type {
    let found = Type::of(text);
    if is_optional { found.optional() } else { found }
}

/// A comment that editors show, in lines of a length that can be read.
fn note(out: &mut String, indent: &str, text: &str) {
    for line in super::lines(text, 95) {
        let _ = writeln!(out, "{indent}--- {line}");
    }
}
