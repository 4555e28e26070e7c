//! `config`: the script's own table of the configuration, checked and with defaults, and its
//! secrets.

use std::{io::ErrorKind, rc::Rc};

use mlua::{Lua, MultiValue, Table, Value};

use super::{
    super::host::Host,
    Fault, bind, failed_with,
    options::{shown, unknown},
};
use crate::{
    command::parse_duration,
    secret::{FORMS, Source, Unreadable},
    sip::message::Uri,
};

/// Builds the table: what the configuration says, `schema` and `secret`.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = to_lua_table(lua, &host.config)?;
    let owner = host.clone();
    table.set("schema", bind(lua, host, move |lua, args| schema(lua, &owner, &args))?)?;
    let owner = host.clone();
    table.set("secret", bind(lua, host, move |lua, args| secret(lua, &owner, &args))?)?;
    Ok(table)
}

/// Returns a secret of the script's configuration, read anew at each call: its file may change.
fn secret(lua: &Lua, host: &Host, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "config.secret";
    let name = match args.front() {
        Some(Value::String(name)) => name.to_string_lossy(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("{call}: {found} is not the name of a key")));
        }
    };
    let read = match host.config.get(&name) {
        Some(given) => read_secret(host, given)
            .map_err(|why| Fault::misuse(format!("{call}: {name}: {why}")))?,
        None => {
            let known: Vec<&str> = host.config.keys().map(String::as_str).collect();
            let message = if known.is_empty() {
                format!(
                    "{call}: there is no key {name}: give config = {{ {name} = {{ file = … }} }} in this script's [[script]] section"
                )
            } else {
                unknown(call, "key", &name, &known)
            };
            return Err(Fault::misuse(message));
        }
    };
    match read {
        Ok(secret) => Ok((Value::String(lua.create_string(secret)?), Value::Nil)),
        Err(error) => {
            let code = match error.kind {
                ErrorKind::NotFound => "not_found",
                ErrorKind::PermissionDenied => "permission",
                _ => "io",
            };
            Ok(failed_with(lua, host, call, code, format!("{call}: {name}: {error}"))?)
        }
    }
}

/// Reads what a key says of a secret, which is not shown from then on.
///
/// # Errors
/// When it is none; the value stays out of the message: a password without quotes is one all the
/// same.
fn read_secret(host: &Host, given: &toml::Value) -> Result<Result<String, Unreadable>, String> {
    let no_secret = || format!("this is no secret; {FORMS}");
    let read = match given {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Table(table) => {
            let mut entries = table.iter();
            let (Some((key, toml::Value::String(value))), None) = (entries.next(), entries.next())
            else {
                return Err(no_secret());
            };
            let source = Source::parse(key, value).map_err(|why| why.to_string())?;
            source.read(&host.config_dir, &|name| std::env::var(name).ok())
        }
        _ => return Err(no_secret()),
    };
    if let Ok(secret) = &read {
        host.mask.hide(secret);
    }
    Ok(read)
}

/// Checks the script's configuration against what it says it takes.
fn schema(lua: &Lua, host: &Host, args: &MultiValue) -> Result<Table, Fault> {
    let Some(Value::Table(spec)) = args.front() else {
        return Err(Fault::misuse(
            "config.schema: a table is expected, such as { uri = \"sip_uri\", interval = { \"duration\", \"10s\" } }",
        ));
    };
    let mut fields = Vec::new();
    for pair in spec.pairs::<String, Value>() {
        let (name, rule) = pair.map_err(|_| Fault::misuse("config.schema: fields have names"))?;
        fields.push((name.clone(), Field::read(&name, &rule)?));
    }
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    let known: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    for name in host.config.keys() {
        if !known.contains(&name.as_str()) {
            return Err(Fault::misuse(unknown("config", "key", name, &known)));
        }
    }
    let checked = lua.create_table()?;
    for (name, field) in &fields {
        let value = match (host.config.get(name), &field.default) {
            (Some(given), _) => field.kind.check_given(lua, host, given),
            (None, Some(default)) => field.kind.check(lua, host, default),
            (None, None) if field.optional => Ok(Value::Nil),
            (None, None) => {
                return Err(Fault::misuse(format!(
                    "config: {name} is required ({}): give config = {{ {name} = … }} in this script's [[script]] section, or --set {}.{name}=…",
                    field.kind.wanted(),
                    host.name,
                )));
            }
        };
        let value = value.map_err(|why| Fault::misuse(format!("config: {name}: {why}")))?;
        checked.raw_set(name.as_str(), value)?;
    }
    Ok(checked)
}

struct Field {
    kind: Kind,
    default: Option<Value>,
    optional: bool,
}

impl Field {
    /// Reads `"duration"`, `"duration?"` (may be missing) or `{ "duration", "10s" }` (with a default).
    fn read(name: &str, rule: &Value) -> Result<Self, Fault> {
        let (kind, default) = match rule {
            Value::String(kind) => (kind.to_string_lossy(), None),
            Value::Table(rule) => {
                let Value::String(kind) = rule.raw_get(1)? else {
                    return Err(Fault::misuse(format!(
                        "config.schema: {name}: a type comes first, as in {{ \"duration\", \"10s\" }}"
                    )));
                };
                let default: Value = rule.raw_get(2)?;
                (kind.to_string_lossy(), (!default.is_nil()).then_some(default))
            }
            other => {
                return Err(Fault::misuse(format!(
                    "config.schema: {name}: {} is not a type; types are {}",
                    shown(other),
                    Kind::NAMES.join(" ")
                )));
            }
        };
        let optional = kind.ends_with('?');
        let kind = kind.trim_end_matches('?');
        match Kind::ALL.iter().zip(Kind::NAMES).find(|(_, known)| ***known == *kind) {
            Some((kind, _)) => Ok(Self { kind: *kind, default, optional }),
            None => Err(Fault::misuse(unknown("config.schema", "type", kind, Kind::NAMES))),
        }
    }
}

/// Types of fields.
#[derive(Debug, Clone, Copy)]
enum Kind {
    String,
    Number,
    Boolean,
    Duration,
    Path,
    SipUri,
    List,
    Map,
    Secret,
}

impl Kind {
    const NAMES: &[&str] =
        &["string", "number", "boolean", "duration", "path", "sip_uri", "list", "map", "secret"];
    const ALL: &[Self] = &[
        Self::String,
        Self::Number,
        Self::Boolean,
        Self::Duration,
        Self::Path,
        Self::SipUri,
        Self::List,
        Self::Map,
        Self::Secret,
    ];

    fn wanted(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Duration => "a duration such as \"30s\"",
            Self::Path => "a path",
            Self::SipUri => "a SIP URI such as \"sip:alice@example.com\"",
            Self::List => "a list",
            Self::Map => "a table",
            Self::Secret => "a text, or { file = … }, { env = … } or { credential = … }",
        }
    }

    fn check_given(self, lua: &Lua, host: &Host, value: &toml::Value) -> Result<Value, String> {
        if let Self::Secret = self {
            let secret = read_secret(host, value)?.map_err(|error| error.to_string())?;
            let secret = lua.create_string(secret);
            return secret.map(Value::String).map_err(|error| error.to_string());
        }
        let value = to_lua(lua, value).map_err(|error| error.to_string())?;
        self.check(lua, host, &value)
    }

    fn check(self, lua: &Lua, host: &Host, value: &Value) -> Result<Value, String> {
        let refused = || Err(format!("{} is not {}", shown(value), self.wanted()));
        match (self, value) {
            (Self::String, Value::String(_))
            | (Self::Number, Value::Integer(_) | Value::Number(_))
            | (Self::Boolean, Value::Boolean(_)) => Ok(value.clone()),
            // `--set` knows only texts.
            (Self::Number, Value::String(text)) => match text.to_string_lossy().parse() {
                Ok(number) => Ok(Value::Number(number)),
                Err(_) => refused(),
            },
            (Self::Boolean, Value::String(text)) => match text.to_string_lossy().parse() {
                Ok(flag) => Ok(Value::Boolean(flag)),
                Err(_) => refused(),
            },
            (Self::Duration, Value::Integer(_) | Value::Number(_)) => {
                super::options::duration(value)
                    .map(|duration| Value::Number(duration.as_secs_f64()))
            }
            (Self::Duration, Value::String(text)) => parse_duration(&text.to_string_lossy())
                .map(|duration| Value::Number(duration.as_secs_f64()))
                .map_err(|why| why.to_string()),
            (Self::Path, Value::String(text)) => {
                // Relative to the configuration, whose own path may be relative to here.
                let path = host.config_dir.join(text.to_string_lossy());
                let path = std::path::absolute(path).map_err(|error| error.to_string())?;
                let path = lua.create_string(path.to_string_lossy().as_bytes());
                path.map(Value::String).map_err(|error| error.to_string())
            }
            (Self::SipUri, Value::String(text)) => {
                let uri = Uri::parse(&text.to_string_lossy()).map_err(|why| why.to_string())?;
                if uri.is_sip() { Ok(value.clone()) } else { refused() }
            }
            (Self::List, Value::Table(list)) if list.raw_len() > 0 || list.is_empty() => {
                Ok(value.clone())
            }
            (Self::Map, Value::Table(_)) => Ok(value.clone()),
            // A default; what the configuration gives is read before.
            (Self::Secret, Value::String(_)) => Ok(value.clone()),
            (Self::Secret, _) => Err(format!("this is no secret; {FORMS}")),
            _ => refused(),
        }
    }
}

fn to_lua_table(lua: &Lua, table: &toml::Table) -> mlua::Result<Table> {
    let out = lua.create_table()?;
    for (name, value) in table {
        out.raw_set(name.as_str(), to_lua(lua, value)?)?;
    }
    Ok(out)
}

fn to_lua(lua: &Lua, value: &toml::Value) -> mlua::Result<Value> {
    Ok(match value {
        toml::Value::String(text) => Value::String(lua.create_string(text)?),
        toml::Value::Integer(number) => Value::Integer(*number),
        toml::Value::Float(number) => Value::Number(*number),
        toml::Value::Boolean(flag) => Value::Boolean(*flag),
        toml::Value::Datetime(at) => Value::String(lua.create_string(at.to_string())?),
        toml::Value::Array(list) => {
            let out = lua.create_table()?;
            for item in list {
                out.raw_push(to_lua(lua, item)?)?;
            }
            Value::Table(super::read_only(out))
        }
        toml::Value::Table(table) => Value::Table(super::read_only(to_lua_table(lua, table)?)),
    })
}
