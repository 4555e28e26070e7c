//! The reference page, for people.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    ERROR, Field, Function, GLOBALS, Handle, Library, Manner, Parameter, REQUIRED, Record, Results,
    common::CODES, libraries, types::Type,
};

/// Returns the page.
pub(super) fn write() -> String {
    let mut out = String::from(BEGINNING);
    out.push_str("\n## Contents\n\n");
    for library in libraries() {
        let _ = writeln!(out, "- [`{0}`](#{0}): {1}", library.name, lower(library.doc));
    }
    out.push_str("- [`sleep`](#functions-of-no-library), [errors](#errors)\n");
    for library in libraries() {
        write_library(&mut out, library);
    }
    out.push_str("\n## Functions of no library\n");
    for one in GLOBALS {
        function(&mut out, one, "", &mut BTreeSet::new());
    }
    out.push_str(
        "\n`print` logs at info. `require \"name\"` loads a module from the script's folder, its \
         `lib/`, the `lib/` of the scripts folder, or one that comes with puad; modules may wait while they are loaded.\n",
    );
    errors(&mut out);
    out
}

const BEGINNING: &str = "# What scripts can call

<!-- Written by `puad stubs`; changes belong into src/script/signatures. -->

Every function that puad gives to scripts, with its options, results and errors. The [README](../README.md) shows how it all goes together.

- **A mistake in a call raises** on its own line, naming field, value and what would be right. **A failure of the world returns `nil, err`**; [errors](#errors) lists the codes.
- Functions that **wait** look blocking and suspend only the coroutine that calls them. They work everywhere: in handlers, at top level, under `pcall`.
- A **Duration** is a number of seconds or a text: `1.5`, `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"1h30m\"`, `\"1d\"`.
- `name?` may be left out. Types are Luau's.
";

fn write_library(out: &mut String, library: &Library) {
    let _ = writeln!(out, "\n## `{}`\n\n{} {}", library.name, library.doc, library.introduction);
    if !library.example.is_empty() {
        let _ = writeln!(out, "\n```lua\n{}\n```", library.example.trim());
    }
    if !library.fields.is_empty() {
        let _ = writeln!(out);
        table(out, library.fields, false);
    }
    let mut shown = BTreeSet::new();
    for one in library.functions {
        function(out, one, &format!("{}.", library.name), &mut shown);
    }
    for inner in library.inner {
        for one in inner.functions {
            function(out, one, &format!("{}.{}.", library.name, inner.name), &mut shown);
        }
    }
    for one in library.handles {
        handle(out, one, &mut shown, library);
    }
    for one in library.records {
        if shown.insert(one.name) {
            let _ = writeln!(out, "\n### {}\n\n{}\n", one.name, one.doc);
            record(out, one);
        }
    }
}

/// A function with the options it takes, unless those have been shown before.
fn function(out: &mut String, function: &Function, path: &str, shown: &mut BTreeSet<&'static str>) {
    let _ = writeln!(out, "\n### `{path}{}`\n\n```text", function.name);
    let _ =
        writeln!(out, "{path}{}{}", function.name, shape(function.parameters, function.results));
    if let Some(other) = function.otherwise {
        let _ = writeln!(out, "{path}{}{}", function.name, shape(other, function.results));
    }
    let _ = writeln!(out, "```\n\n{}", function.doc);
    remarks(out, function);
    for parameter in function.parameters {
        let Some(options) = super::record(parameter.r#type).filter(|found| found.is_options) else {
            continue;
        };
        if options.fields.is_empty() {
            continue;
        }
        if shown.insert(options.name) {
            let _ = writeln!(out, "\n{}\n", options.doc);
            record(out, options);
        } else {
            let _ = writeln!(out, "\nOptions: {}, as above.", options.name);
        }
    }
}

/// Whether it waits, and how it may fail.
fn remarks(out: &mut String, function: &Function) {
    let waits = if function.waits { "Waits." } else { "" };
    let errors = match function.results {
        Results::OrError(_, codes) => {
            let codes: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
            format!("Errors: {}.", codes.join(", "))
        }
        Results::Nothing | Results::Value(_) => String::new(),
    };
    let both: Vec<_> = [waits, &errors].into_iter().filter(|text| !text.is_empty()).collect();
    if !both.is_empty() {
        let _ = writeln!(out, "\n{}", both.join(" "));
    }
}

fn handle(
    out: &mut String,
    handle: &Handle,
    shown: &mut BTreeSet<&'static str>,
    library: &Library,
) {
    let _ = writeln!(out, "\n### {}\n\n{}", handle.name, handle.doc);
    if !handle.fields.is_empty() {
        let _ = writeln!(out);
        table(out, handle.fields, false);
    }
    if handle.methods.is_empty() {
        return;
    }
    let is_library = handle.manner == Manner::Functions;
    let mark = if is_library { "." } else { ":" };
    let _ = writeln!(out, "\n| method | | waits | errors |\n|---|---|---|---|");
    for method in handle.methods {
        let waits = if method.waits { "yes" } else { "" };
        let codes = match method.results {
            Results::OrError(_, codes) => {
                codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(" ")
            }
            Results::Nothing | Results::Value(_) => String::new(),
        };
        let shape = shape(method.parameters, method.results);
        let call = cell(&format!("{mark}{}{shape}", method.name));
        let _ = writeln!(out, "| `{call}` | {} | {waits} | {codes} |", cell(method.doc));
    }
    for parameter in handle.methods.iter().flat_map(|method| method.parameters) {
        let found = library.records.iter().find(|record| record.name == parameter.r#type);
        if let Some(options) = found.filter(|options| options.is_options)
            && shown.insert(options.name)
        {
            let _ = writeln!(out, "\n{}\n", options.doc);
            record(out, options);
        }
    }
}

fn record(out: &mut String, record: &Record) {
    table(out, record.fields, record.is_options);
    if let Some((key, value)) = record.entries {
        let _ = writeln!(out, "\nBeside these: `[{}]: {}`.", Type::of(key), Type::of(value));
    }
}

fn table(out: &mut String, fields: &[Field], has_defaults: bool) {
    if fields.is_empty() {
        return;
    }
    if has_defaults {
        let _ = writeln!(out, "| option | type | default | meaning |\n|---|---|---|---|");
    } else {
        let _ = writeln!(out, "| field | type | meaning |\n|---|---|---|");
    }
    for field in fields {
        let mark = if field.is_optional && !has_defaults { "?" } else { "" };
        let name = format!("`{}{mark}`", field.name);
        let r#type = cell(&Type::of(field.r#type).to_string());
        let doc = cell(field.doc);
        if has_defaults {
            let default = match field.default {
                _ if !field.is_optional => REQUIRED.to_owned(),
                "" => String::new(),
                text if is_code(text) => format!("`{text}`"),
                text => text.to_owned(),
            };
            let _ = writeln!(out, "| {name} | `{type}` | {default} | {doc} |");
        } else {
            let _ = writeln!(out, "| {name} | `{type}` | {doc} |");
        }
    }
}

fn errors(out: &mut String) {
    let _ = writeln!(
        out,
        "\n## Errors\n\nThe second result of a call that failed. {} `assert` raises it.\n\n| code | meaning |\n|---|---|",
        ERROR.doc
    );
    for (code, meaning) in CODES {
        let _ = writeln!(out, "| `{code}` | {} |", cell(meaning));
    }
    out.push('\n');
    let fields: Vec<_> = ERROR
        .fields
        .iter()
        // Its values are the table above.
        .map(
            |field| {
                if field.name == "code" { Field { r#type: "string", ..*field } } else { *field }
            },
        )
        .collect();
    table(out, &fields, false);
}

/// Arguments and results, as a signature shows them.
fn shape(parameters: &[Parameter], results: Results) -> String {
    let all: Vec<_> = parameters
        .iter()
        .map(|parameter| match parameter.name {
            "..." => "...".to_owned(),
            name => {
                let mark = if parameter.is_optional { "?" } else { "" };
                format!("{name}{mark}: {}", Type::of(parameter.r#type))
            }
        })
        .collect();
    let results = match results {
        Results::Nothing => String::new(),
        Results::Value(text) => format!(" → {}", Type::of(text)),
        Results::OrError(text, _) => match Type::of(text) {
            function @ Type::Function(..) => format!(" → ({function}) | nil, err"),
            other => format!(" → {other} | nil, err"),
        },
    };
    format!("({}){results}", all.join(", "))
}

/// Whether a default is what a script would write.
fn is_code(text: &str) -> bool {
    text.starts_with('"') && text.ends_with('"')
        || matches!(text, "true" | "false")
        || text.chars().all(|c| c.is_ascii_digit())
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A sentence as it goes on behind a colon; abbreviations stay as they are.
fn lower(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    match (letters.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().to_string() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}
