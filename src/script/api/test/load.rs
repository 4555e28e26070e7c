//! Reading `test.load(file, config, opts)`.

use std::rc::Rc;

use mlua::{MultiValue, Value};

use super::super::{
    super::{
        Limits, Permissions,
        host::Host,
        plain::{Key, Plain, Rows},
        signatures,
        testing::Load,
    },
    Fault,
    options::{Options, shown},
};

/// Reads the call.
pub(super) fn read(host: &Rc<Host>, args: &MultiValue) -> Result<Load, Fault> {
    let argument = |at: usize| args.get(at).cloned().unwrap_or(Value::Nil);
    let file = match argument(0) {
        Value::String(file) => file.to_string_lossy(),
        other => {
            let found = shown(&other);
            return Err(Fault::misuse(format!("{CALL}: first argument: {found} is not a file")));
        }
    };
    let config = match argument(1) {
        Value::Nil => toml::Table::new(),
        given @ Value::Table(_) => {
            let wrong = |why| Fault::misuse(format!("{CALL}: config: {why}"));
            match Plain::from_lua(&given).and_then(|plain| toml_of(&plain)).map_err(wrong)? {
                toml::Value::Table(table) => table,
                _ => return Err(wrong("a table with names is expected".into())),
            }
        }
        other => {
            let found = shown(&other);
            return Err(Fault::misuse(format!(
                "{CALL}: second argument: {found} is not a table, the script's config"
            )));
        }
    };
    let options = Options::new(CALL, &argument(2), &signatures::TEST_LOAD)?;
    Ok(Load {
        file,
        name: options.text("name")?,
        config,
        allow: permissions(host, &options)?,
        is_open: options.value("allow")?.is_nil(),
        limits: limits(&options)?,
    })
}

/// What the script may reach: of files those of the case, unless the call says something else.
fn permissions(host: &Rc<Host>, options: &Options) -> Result<Permissions, Fault> {
    let mut allow = Permissions { fs: vec![host.resolve("")], ..Permissions::default() };
    let Some(given) = options.inner("allow", &signatures::TEST_ALLOW)? else {
        return Ok(allow);
    };
    let fs = given.texts("fs")?;
    if !fs.is_empty() {
        allow.fs = fs.iter().map(|path| host.resolve(path)).collect();
    }
    allow.exec = given.texts("exec")?;
    allow.http = given.texts("http")?;
    allow.imap = given.texts("imap")?;
    allow.kv = given.texts("kv")?;
    Ok(allow)
}

fn limits(options: &Options) -> Result<Limits, Fault> {
    let mut limits = Limits::default();
    let Some(given) = options.inner("limits", &signatures::TEST_LIMITS)? else { return Ok(limits) };
    if let Some(cpu) = given.duration("cpu")? {
        limits.cpu = cpu;
    }
    for (name, limit) in [
        ("memory", &mut limits.memory),
        ("source", &mut limits.source),
        ("documents", &mut limits.documents),
        ("kv", &mut limits.kv),
    ] {
        if let Some(size) = given.size(name)? {
            *limit = size;
        }
    }
    for (name, limit) in [
        ("timers", &mut limits.timers),
        ("watches", &mut limits.watches),
        ("publications", &mut limits.publications),
        ("tasks", &mut limits.tasks),
    ] {
        match given.number(name)? {
            None => {}
            Some(number) if number.fract() == 0.0 && (1.0..1e15).contains(&number) => {
                *limit = number as usize;
            }
            Some(number) => {
                return Err(given.refuse(name, format_args!("{number} is not a whole number")));
            }
        }
    }
    Ok(limits)
}

/// Makes of a Lua table what would stand in `config = { … }` of a configuration.
fn toml_of(plain: &Plain) -> Result<toml::Value, String> {
    Ok(match plain {
        Plain::Null => return Err("json.null has no counterpart in a configuration".into()),
        Plain::Boolean(flag) => toml::Value::Boolean(*flag),
        Plain::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE => {
            toml::Value::Integer(*number as i64)
        }
        Plain::Number(number) => toml::Value::Float(*number),
        Plain::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => toml::Value::String(text.into()),
            Err(_) => return Err("a text is not UTF-8".into()),
        },
        Plain::Table(rows) => table_of(rows)?,
    })
}

fn table_of(rows: &Rows) -> Result<toml::Value, String> {
    if !rows.list.is_empty() || rows.is_array {
        if let Some(name) = rows.named.keys().next() {
            return Err(format!("a list has no names, and this one has {}", shown_key(name)));
        }
        return rows.list.iter().map(toml_of).collect::<Result<_, _>>().map(toml::Value::Array);
    }
    let mut table = toml::Table::new();
    for (name, value) in &rows.named {
        let Key::Text(text) = name else {
            return Err(format!("{} is not the name of a key", shown_key(name)));
        };
        let text = String::from_utf8_lossy(text).into_owned();
        let value = toml_of(value).map_err(|why| format!("{text}: {why}"))?;
        table.insert(text, value);
    }
    Ok(toml::Value::Table(table))
}

fn shown_key(key: &Key) -> String {
    match key {
        Key::Number(number) => number.to_string(),
        Key::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
    }
}

pub(super) const CALL: &str = "test.load";
/// Up to here every whole number is one.
const WHOLE: f64 = 9_007_199_254_740_992.0;
