//! Single values of the configuration: texts, durations, sizes, URIs.
//!
//! Each reader says what is wrong in words that fit behind the key's name.

use std::{net::Ipv6Addr, time::Duration};

use toml::de::DeValue;

use super::read::Value;
use crate::{
    command::{SizeError, duration_of, parse_duration, parse_size},
    sip::{check_next_hop, message::Uri},
};

/// Reads a text.
pub(super) fn text(value: &Value<'_>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(format!("{} is not a text; write it in quotes", shown(other))),
    }
}

/// Reads a text that is not empty.
pub(super) fn name(value: &Value<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.is_empty() { Err("the text is empty".into()) } else { Ok(text) }
}

/// Reads a duration above zero: seconds, or text with units.
pub(super) fn duration(value: &Value<'_>) -> Result<Duration, String> {
    let duration = match value.get_ref() {
        DeValue::String(text) => parse_duration(text),
        DeValue::Integer(number) => duration_of(integer(number)? as f64),
        DeValue::Float(number) => duration_of(number.as_str().parse().unwrap_or(f64::NAN)),
        other => {
            let found = shown(other);
            return Err(format!("{found} is not a duration (seconds, or text such as \"30s\")"));
        }
    };
    let duration = duration.map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be longer than 0".into()) } else { Ok(duration) }
}

/// Reads a number of things, at least one.
pub(super) fn count(value: &Value<'_>) -> Result<usize, String> {
    let refused = || format!("{} is not a number of at least 1", shown(value.get_ref()));
    let DeValue::Integer(number) = value.get_ref() else { return Err(refused()) };
    usize::try_from(integer(number)?).ok().filter(|count| *count > 0).ok_or_else(refused)
}

/// Reads a size in bytes: a number, or text such as `32MiB`.
pub(super) fn size(value: &Value<'_>) -> Result<usize, String> {
    let refused = || SizeError(shown(value.get_ref())).to_string();
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => integer(number)?.to_string(),
        _ => return Err(refused()),
    };
    parse_size(&text).map_err(|_| refused())
}

/// Reads which of some words a text is.
pub(super) fn choice<T: Copy>(value: &Value<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let text = text(value)?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(format!("{text:?} is not one of {}", words.join(", ")))
        }
    }
}

/// Reads a list, or a single item in place of it.
pub(super) fn list<T>(
    value: &Value<'_>,
    read: impl Fn(&Value<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(read).collect(),
        _ => Ok(vec![read(value)?]),
    }
}

/// Reads a URI that requests can be sent to.
pub(super) fn proxy(value: &Value<'_>) -> Result<Uri, String> {
    parse_proxy(&text(value)?)
}

/// Reads a URI that requests can be sent to, from its text.
///
/// # Errors
/// With one line that names the text.
pub fn parse_proxy(text: &str) -> Result<Uri, String> {
    let uri = Uri::parse(text).map_err(|error| error.to_string())?;
    if !uri.is_sip() {
        return Err(format!("{text:?} is not a SIP URI, such as \"sip:127.0.0.1:5060;lr\""));
    }
    check_next_hop(&uri)?;
    Ok(uri)
}

/// Reads a host name or an address without a port.
pub(super) fn host(value: &Value<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{text}]"));
    }
    match Uri::parse(&format!("sip:{text}")) {
        Ok(uri) if uri.as_ref().user().is_none() && uri.host() == text => Ok(text),
        Ok(_) | Err(_) => {
            Err(format!("{text:?} is not a host, such as \"203.0.113.7\" or \"sip.example.com\""))
        }
    }
}

/// Returns a value as a message shows it.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Result<i64, String> {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_err(|_| format!("{number} is too large"))
}
