//! `log` and `print`: lines in the daemon's log, tagged with script and line.

use std::{fmt::Write as _, rc::Rc};

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{
    super::{
        activity::{cut, fields},
        continued,
        host::Host,
    },
    Fault, bind,
    options::shown,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, level) in [
        ("debug", tracing::Level::DEBUG),
        ("info", tracing::Level::INFO),
        ("warn", tracing::Level::WARN),
        ("error", tracing::Level::ERROR),
    ] {
        let script = host.clone();
        table.set(
            name,
            bind(lua, host, move |lua, args: MultiValue| {
                let message = text(args.front().unwrap_or(&Value::Nil));
                let fields = match args.get(1) {
                    None | Some(Value::Nil) => String::new(),
                    Some(Value::Table(fields)) => fields_of(fields)?,
                    Some(other) => {
                        return Err(Fault::misuse(format!(
                            "log.{name}: fields: a table is expected, such as {{ code = 1 }}, not {}",
                            shown(other)
                        )));
                    }
                };
                say(lua, &script, level, &format!("{message}{fields}"));
                Ok(())
            })?,
        )?;
    }
    Ok(table)
}

/// `print(…)`: an info line, values separated by a tab.
pub(super) fn print(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Function> {
    let script = host.clone();
    bind(lua, host, move |lua, args: MultiValue| {
        let mut line = String::new();
        for (at, value) in args.iter().enumerate().take_while(|(at, _)| *at < MOST) {
            line.push_str(if at == 0 { "" } else { "\t" });
            line.push_str(&text(value));
            if line.len() > LONGEST_TEXT {
                break;
            }
        }
        say(lua, &script, tracing::Level::INFO, &line);
        Ok(())
    })
}

fn say(lua: &Lua, host: &Host, level: tracing::Level, message: &str) {
    let script = &*host.name;
    let message = &host.mask.apply(message.to_owned());
    let message = match message.char_indices().nth(LONGEST) {
        Some((end, _)) => &format!("{}… ({} bytes)", &message[..end], message.len()),
        None => message,
    };
    let message = continued(message);
    let line = calling_line(lua).unwrap_or_default();
    match level {
        tracing::Level::ERROR => tracing::error!(target: "puad::lua", script, line, "{message}"),
        tracing::Level::WARN => tracing::warn!(target: "puad::lua", script, line, "{message}"),
        tracing::Level::INFO => tracing::info!(target: "puad::lua", script, line, "{message}"),
        _ => tracing::debug!(target: "puad::lua", script, line, "{message}"),
    }
}

/// The line of the script that called: above this function and its shim.
fn calling_line(lua: &Lua) -> Option<usize> {
    (1..6).find_map(|level| {
        let (line, own) = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let own = source.short_src.is_none_or(|name| name == "puad" || name == "[C]");
            (debug.current_line(), own)
        })?;
        line.filter(|_| !own)
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::String(text) => cut(text, LONGEST_TEXT),
        other => other.to_string().unwrap_or_else(|_| format!("a {}", other.type_name())),
    }
}

/// Shows fields as ` name=value`, sorted by name; texts with blanks are quoted.
fn fields_of(given: &Table) -> mlua::Result<String> {
    let mut rows = Vec::new();
    for pair in given.pairs::<Value, Value>().take(MOST) {
        let (name, value) = pair?;
        let shown = match (&value, text(&value)) {
            (Value::Table(table), shown) if shown.starts_with("table: ") => fields(table),
            (_, shown) => shown,
        };
        let quoted = shown.is_empty() || shown.contains([' ', '"', '\n']);
        rows.push((text(&name), if quoted { format!("{shown:?}") } else { shown }));
    }
    rows.sort();
    Ok(rows.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = write!(out, " {name}={value}");
        out
    }))
}

/// Fields and values of one line.
const MOST: usize = 64;
/// Bytes of one value.
const LONGEST_TEXT: usize = 8 * 1024;
/// Characters of one line that go into the log.
const LONGEST: usize = 2000;
