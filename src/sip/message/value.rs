//! Header values, read over borrowed text (3261 §20, §25.1; 2617-style challenges, 7616).
//!
//! Every list is split in one pass, so that no value costs more than its length.

use std::borrow::Cow;

use super::{Name, ParseError, UriRef, is_token, uri};

/// Splits a list at commas outside quotes and angle brackets; empty elements are kept, so that a
/// stray comma is seen as the malformed element it is.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let mut angle = false;
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            match bytes[i] {
                b'\\' if quoted => i += 1,
                b'"' => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                b',' if !quoted && !angle => {
                    rest = Some(&text[i + 1..]);
                    return Some(trim(&text[..i]));
                }
                _ => {}
            }
            i += 1;
        }
        rest = None;
        Some(trim(text))
    })
}

/// Returns whether a text is `type/subtype`, with well-formed parameters if any (3261 §20.15), on
/// one line.
pub fn is_media_type(text: &str) -> bool {
    let (types, params) = text.split_at(text.find(';').unwrap_or(text.len()));
    let is_type = types.split_once('/').is_some_and(|(kind, subtype)| {
        is_token(trim(kind).as_bytes()) && is_token(trim(subtype).as_bytes())
    });
    is_type && !text.contains(char::is_control) && Params::parse(params).is_ok()
}

/// Parameters after a value: `;name=value;flag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Takes what follows the value, from the first semicolon on, and checks it.
    ///
    /// # Errors
    /// When a name is no token, a value is neither token-like nor quoted, or a name stands twice.
    pub fn parse(text: &'a str) -> Result<Self, ()> {
        let params = Self(trim(text));
        if !params.0.is_empty() && !params.0.starts_with(';') {
            return Err(());
        }
        for (seen, param) in params.raw().enumerate() {
            let (name, value) = param?;
            if !is_token(name.as_bytes()) || !value.is_none_or(is_param_value) {
                return Err(());
            }
            // Quadratic in the number of parameters of one value, so that number is bounded.
            if seen >= MOST_PARAMS
                || params.raw().take(seen).flatten().any(|(n, _)| n.eq_ignore_ascii_case(name))
            {
                return Err(());
            }
        }
        Ok(params)
    }

    /// Returns names and raw values in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.raw().flatten()
    }

    /// Returns the raw value of a parameter; `Some("")` when it has none.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or(""))
    }

    /// Returns the text as written.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    fn raw(self) -> impl Iterator<Item = Result<(&'a str, Option<&'a str>), ()>> {
        let mut rest = self.0.strip_prefix(';');
        std::iter::from_fn(move || {
            let text = rest?;
            let Ok(end) = end_of_param(text) else {
                rest = None;
                return Some(Err(()));
            };
            rest = text.get(end + 1..);
            let param = &text[..end];
            Some(Ok(match param.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (trim(param), None),
            }))
        })
    }
}

/// Parameters of one value; the largest ones seen have about ten.
const MOST_PARAMS: usize = 32;

/// One Via value (3261 §20.42).
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// The transport as written.
    pub transport: &'a str,
    /// The host of sent-by as written, IPv6 with its brackets.
    pub host: &'a str,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text).ok_or(ParseError::Malformed(Name::Via))
    }

    fn read(text: &'a str) -> Option<Self> {
        // sent-protocol: SIP / 2.0 / transport, blanks allowed around the slashes.
        let (protocol, rest) = text.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let rest = rest.trim_start_matches(BLANK);
        let (transport, rest) = rest.split_at(rest.find(BLANK)?);
        let rest = rest.trim_start_matches(BLANK);
        let host_len = if rest.starts_with('[') {
            rest.find(']')? + 1
        } else {
            rest.find(|c| c == ':' || c == ';' || BLANK.contains(&c)).unwrap_or(rest.len())
        };
        let (host, rest) = rest.split_at(host_len);
        let rest = rest.trim_start_matches(BLANK);
        let (port, rest) = match rest.strip_prefix(':') {
            Some(rest) => {
                let rest = rest.trim_start_matches(BLANK);
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                (Some(rest[..end].parse().ok()?), &rest[end..])
            }
            None => (None, rest),
        };
        if !is_token(transport.as_bytes()) || !uri::is_host(host) {
            return None;
        }
        Some(Self { transport, host, port, params: Params::parse(rest).ok()? })
    }

    /// Returns the branch, if there is one.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }
}

/// A name-addr or addr-spec with header parameters: From, To, Contact, Route (3261 §20.10).
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included.
    pub display: &'a str,
    /// The URI as written.
    pub uri: UriRef<'a>,
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &'a str) -> Result<Self, ()> {
        let text = trim(text);
        let (display, rest) = if text.starts_with('"') {
            let end = end_of_quoted(text).ok_or(())?;
            (&text[..end], text[end..].trim_start_matches(BLANK))
        } else {
            match text.find('<') {
                Some(angle) => (trim(&text[..angle]), &text[angle..]),
                None => ("", text),
            }
        };
        if let Some(inner) = rest.strip_prefix('<') {
            // An unquoted display name is a row of tokens; a comma or a semicolon there is a fault.
            if !display.starts_with('"')
                && !display.split(BLANK).filter(|w| !w.is_empty()).all(|w| is_token(w.as_bytes()))
                && !display.bytes().any(|b| b >= 0x80)
            {
                return Err(());
            }
            let (uri, params) = inner.split_once('>').ok_or(())?;
            return Ok(Self {
                display,
                uri: UriRef::parse(uri).map_err(|_| ())?,
                params: Params::parse(params)?,
            });
        }
        if !display.is_empty() {
            return Err(());
        }
        // Without brackets, what follows the first semicolon belongs to the header.
        let end = rest.find(';').unwrap_or(rest.len());
        let uri = UriRef::parse(trim(&rest[..end])).map_err(|_| ())?;
        if uri.is_sip() && uri.has_headers() {
            return Err(());
        }
        Ok(Self { display, uri, params: Params::parse(&rest[end..])? })
    }

    /// Returns the tag, if there is one.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }
}

/// CSeq (3261 §20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Up to 2^32-1 is accepted.
    pub number: u32,
    /// The method as written.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the number is out of range or the method no token.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let malformed = ParseError::Malformed(Name::CSeq);
        let (number, method) = text.split_once(BLANK).ok_or(malformed)?;
        let method = trim(method);
        if !number.bytes().all(|b| b.is_ascii_digit()) || !is_token(method.as_bytes()) {
            return Err(malformed);
        }
        // Leading zeros are legal and would overflow a plain parse of many digits.
        let digits = number.trim_start_matches('0');
        let number = if digits.is_empty() && !number.is_empty() {
            0
        } else {
            digits.parse().map_err(|_| malformed)?
        };
        Ok(Self { number, method })
    }
}

/// One challenge or credential row: a scheme and comma-separated parameters (3261 §20.44, 7616 §3.3).
#[derive(Debug, Clone)]
pub struct Challenge<'a> {
    /// `Digest`, `Basic`, …
    pub scheme: &'a str,
    /// Names and raw values.
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Challenge<'a> {
    /// Reads one row. Rows are never split at commas into several challenges (3261 §7.3.1).
    ///
    /// # Errors
    /// When it is malformed, or holds a control character, escaped or not: values of a challenge go
    /// back in credentials.
    pub fn parse(text: &'a str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once(BLANK).ok_or(())?;
        if rest.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(());
        }
        if !is_token(scheme.as_bytes()) {
            return Err(());
        }
        let mut params = Vec::new();
        for param in split_list(rest) {
            // Lists may hold empty elements (3261 §25.1).
            if param.is_empty() {
                continue;
            }
            let Some((name, value)) = param.split_once('=') else {
                // token68 credentials of schemes nobody here speaks
                continue;
            };
            if params.len() == 64 {
                return Err(());
            }
            params.push((trim(name), trim(value)));
        }
        Ok(Self { scheme, params })
    }

    /// Returns a parameter's value without quotes and escapes.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| unquote(value))
    }
}

/// Returns the seconds of Expires or Min-Expires; `None` for what is no number or does not fit.
pub fn seconds(text: &str) -> Option<u32> {
    let digits = trim(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Returns the seconds of Retry-After, which may carry a comment and parameters (3261 §20.33).
pub fn retry_after(text: &str) -> Option<u32> {
    let text = trim(text);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let rest = trim(&text[end..]);
    if end == 0 || !(rest.is_empty() || rest.starts_with('(') || rest.starts_with(';')) {
        return None;
    }
    // A number that does not fit is a very long time.
    Some(text[..end].parse().unwrap_or(u32::MAX))
}

/// Removes quotes and backslashes of a quoted string; other text is returned as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.into();
    };
    if !inner.contains('\\') {
        return inner.into();
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out.into()
}

/// Writes a quoted string, escaping quote and backslash (3261 §25.1).
pub fn quote_into(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

const BLANK: [char; 2] = [' ', '\t'];

fn trim(text: &str) -> &str {
    text.trim_matches(BLANK)
}

/// Returns where a quoted string that starts the text ends.
pub(crate) fn end_of_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut i = 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'"' => return Some(i + 1),
            _ => {}
        }
        i += 1;
    }
    None
}

/// Returns where the first parameter ends: at a semicolon outside quotes, or at the end.
fn end_of_param(text: &str) -> Result<usize, ()> {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => i += end_of_quoted(&text[i..]).ok_or(())? - 1,
            b';' => return Ok(i),
            _ => {}
        }
        i += 1;
    }
    Ok(bytes.len())
}

/// A token, a host, or a quoted string (gen-value of 3261 §25.1); slightly wider, as tags with
/// colons and unbracketed IPv6 in `received` are about.
fn is_param_value(value: &str) -> bool {
    if value.starts_with('"') {
        return end_of_quoted(value) == Some(value.len());
    }
    !value.is_empty() && value.bytes().all(|b| b > b' ' && b != 0x7f && !b"\"<>,;=\\".contains(&b))
        || value.contains('=') && value.bytes().all(|b| b > b' ' && !b"\"<>,;\\".contains(&b))
}
