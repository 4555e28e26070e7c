//! SIP URIs (3261 §19.1, §25.1): read, compared, keyed and written.
//!
//! A [`Uri`] is its text and the places where its parts begin, so that what a
//! user wrote goes out unchanged and a clone costs a counter. Finding a server
//! for one is left to [`locate`](super::super::locate).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use rsip::Scheme;

/// An owned URI.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    text: Arc<str>,
    parts: Parts,
}

/// A URI inside a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UriRef<'a> {
    text: &'a str,
    parts: Parts,
}

/// Where the parts of a URI lie in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    kind: Kind,
    /// Length of the scheme without its colon.
    scheme: u16,
    /// End of the user part; `None` without `@`.
    user: Option<u16>,
    /// End of the password.
    password: Option<u16>,
    host: (u16, u16),
    port: Option<u16>,
    /// Start of `;params`, start of `?headers`; both the text's length when absent.
    params: u16,
    headers: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sip,
    Sips,
    /// A scheme whose inside means nothing here: `tel:`, `pres:`, `urn:`.
    Opaque,
}

/// Why a text is not a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// There is no `scheme:` in front.
    #[error("{0:?} has no scheme; write sip:user@host")]
    NoScheme(String),
    /// Too long to be meant.
    #[error("a URI of {0} bytes is too long (65,000 at the most)")]
    TooLong(usize),
    /// The user part holds a character that must be escaped.
    #[error("{uri:?}: the user part may not hold {character:?}; escape it as {}", escaped(*.character))]
    User { uri: String, character: char },
    /// The host is missing or malformed.
    #[error("{0:?} has no valid host after the scheme and user")]
    Host(String),
    /// The port is not a number up to 65535.
    #[error("{0:?}: the port is not a number from 0 to 65535")]
    Port(String),
    /// A parameter or header part is malformed.
    #[error("{0:?}: the part after the host is malformed near {1:?}")]
    Tail(String, String),
    /// A character that no URI holds, such as a blank or a line break.
    #[error("{0:?} holds a character that no URI may hold")]
    Character(String),
}

impl Uri {
    /// Reads a URI.
    ///
    /// # Errors
    /// When the text does not follow the grammar of its scheme.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let parts = Parts::parse(text)?;
        Ok(Self { text: text.into(), parts })
    }

    /// Builds a URI from parts, escaping what the user part does not allow (3261 §19.1.2).
    ///
    /// # Errors
    /// When the host is malformed.
    pub fn build(
        scheme: &Scheme,
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
    ) -> Result<Self, UriError> {
        let mut text = match scheme {
            Scheme::Sip => "sip:".to_owned(),
            Scheme::Sips => "sips:".to_owned(),
            Scheme::Other(other) => format!("{other}:"),
        };
        if let Some(user) = user {
            escape_into(&mut text, user, is_user_byte);
            text.push('@');
        }
        text.push_str(host);
        if let Some(port) = port {
            let _ = write!(text, ":{port}");
        }
        Self::parse(&text)
    }

    /// Returns the borrowed form, which has all the accessors.
    pub fn as_ref(&self) -> UriRef<'_> {
        UriRef { text: &self.text, parts: self.parts }
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the text as it was written, shared.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// See [`UriRef::canonical`].
    pub fn canonical(&self) -> String {
        self.as_ref().canonical()
    }

    /// Returns whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        self.as_ref().is_sip()
    }

    /// Returns whether the scheme is `sips`.
    pub fn is_sips(&self) -> bool {
        self.as_ref().is_sips()
    }

    /// Returns the host as written, IPv6 with its brackets; empty for other schemes.
    pub fn host(&self) -> &str {
        let (start, end) = self.parts.host;
        &self.text[start as usize..end as usize]
    }

    /// Returns the port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// Returns the value of a parameter (`Some("")` without one).
    pub fn param(&self, name: &str) -> Option<&str> {
        self.as_ref().param(name)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_ref().masked())
    }
}

impl fmt::Debug for UriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl<'a> UriRef<'a> {
    /// Reads a URI without copying it.
    ///
    /// # Errors
    /// As [`Uri::parse`].
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        Ok(Self { text, parts: Parts::parse(text)? })
    }

    /// Copies the text.
    pub fn to_owned(self) -> Uri {
        Uri { text: self.text.into(), parts: self.parts }
    }

    /// Returns the text as it was written.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Returns the scheme in rsip's words.
    pub fn scheme(self) -> Scheme {
        match self.parts.kind {
            Kind::Sip => Scheme::Sip,
            Kind::Sips => Scheme::Sips,
            Kind::Opaque => {
                Scheme::Other(self.text[..self.parts.scheme as usize].to_ascii_lowercase())
            }
        }
    }

    /// Returns whether the scheme is `sip` or `sips`.
    pub fn is_sip(self) -> bool {
        self.parts.kind != Kind::Opaque
    }

    /// Returns whether the scheme is `sips`.
    pub fn is_sips(self) -> bool {
        self.parts.kind == Kind::Sips
    }

    /// Returns the user part as written.
    pub fn user(self) -> Option<&'a str> {
        let start = self.parts.scheme as usize + 1;
        self.parts.user.map(|end| &self.text[start..end as usize])
    }

    /// Returns the password as written.
    pub fn password(self) -> Option<&'a str> {
        let start = self.parts.user? as usize + 1;
        self.parts.password.map(|end| &self.text[start..end as usize])
    }

    /// Returns the host as written, IPv6 with its brackets; empty for other schemes.
    pub fn host(self) -> &'a str {
        let (start, end) = self.parts.host;
        &self.text[start as usize..end as usize]
    }

    /// Returns the host's address when it is numeric.
    pub fn host_ip(self) -> Option<IpAddr> {
        numeric_host(self.host())
    }

    /// Returns the port, if one is written.
    pub fn port(self) -> Option<u16> {
        self.parts.port
    }

    /// Returns the parameters as written, in order.
    pub fn params(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.text[self.parts.params as usize..self.parts.headers as usize]
            .split(';')
            .skip(1)
            .map(split_pair)
    }

    /// Returns the value of a parameter (`Some("")` without one).
    pub fn param(self, name: &str) -> Option<&'a str> {
        self.params()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or(""))
    }

    /// Returns the headers part, in order.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.text
            .get(self.parts.headers as usize + 1..)
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// Returns whether there is a headers part.
    pub fn has_headers(self) -> bool {
        (self.parts.headers as usize) < self.text.len()
    }

    /// Returns the text for use as a Request-URI: without `method` and headers (3261 §19.1.1).
    pub fn request_uri(self) -> Cow<'a, str> {
        let text = &self.text[..self.parts.headers as usize];
        if !self.is_sip() || self.param("method").is_none() {
            return text.into();
        }
        self.without_params(|name| name.eq_ignore_ascii_case("method")).into()
    }

    /// Returns the text for From and To: without port, headers and the parameters that belong to
    /// a request's way (3261 §19.1.1, table 1).
    pub fn address_of_record(self) -> Cow<'a, str> {
        if !self.is_sip() {
            return self.text.into();
        }
        let way = ["transport", "maddr", "ttl", "lr", "method"];
        let strip = |name: &str| way.iter().any(|w| name.eq_ignore_ascii_case(w));
        if self.parts.port.is_none()
            && !self.has_headers()
            && !self.params().any(|(name, _)| strip(name))
        {
            return self.text.into();
        }
        let mut out = self.text[..self.parts.host.1 as usize].to_owned();
        push_params(&mut out, self.params().filter(|(name, _)| !strip(name)));
        out.into()
    }

    /// Returns the text that keys tables: scheme, host and parameters in lower case, escapes of
    /// unreserved characters undone, the others with capital digits, parameters sorted.
    pub fn canonical(self) -> String {
        if !self.is_sip() {
            let (scheme, rest) = self.text.split_at(self.parts.scheme as usize);
            return format!("{}{rest}", scheme.to_ascii_lowercase());
        }
        let mut out = String::with_capacity(self.text.len());
        out.push_str(if self.is_sips() { "sips:" } else { "sip:" });
        if let Some(user) = self.user() {
            normalise_into(&mut out, user, is_user_byte);
            if let Some(password) = self.password() {
                out.push(':');
                normalise_into(&mut out, password, is_password_byte);
            }
            out.push('@');
        }
        match self.host_ip() {
            Some(IpAddr::V6(ip)) => {
                let _ = write!(out, "[{ip}]");
            }
            Some(IpAddr::V4(_)) | None => out.push_str(&self.host().to_ascii_lowercase()),
        }
        if let Some(port) = self.port() {
            let _ = write!(out, ":{port}");
        }
        let mut params: Vec<_> =
            self.params().map(|(name, value)| (folded(name), value.map(folded))).collect();
        params.sort();
        push_params(&mut out, params.iter().map(|(name, value)| (&**name, value.as_deref())));
        for (i, (name, value)) in self.sorted_headers().iter().enumerate() {
            let _ = write!(out, "{}{name}={value}", if i == 0 { '?' } else { '&' });
        }
        out
    }

    /// Compares by the rules of 3261 §19.1.4. Not transitive: compares, never keys.
    pub fn equals(self, other: UriRef<'_>) -> bool {
        if self.parts.kind != other.parts.kind {
            return false;
        }
        if !self.is_sip() {
            return self.canonical() == other.canonical();
        }
        let same_host = match (self.host_ip(), other.host_ip()) {
            (Some(a), Some(b)) => a == b,
            _ => self.host().eq_ignore_ascii_case(other.host()),
        };
        let user = |uri: UriRef<'_>| uri.user().map(|user| normalised(user, is_user_byte));
        let password =
            |uri: UriRef<'_>| uri.password().map(|text| normalised(text, is_password_byte));
        if !same_host
            || self.port() != other.port()
            || user(self) != user(other)
            || password(self) != password(other)
        {
            return false;
        }
        // Maps, for whoever writes a thousand parameters into a URI.
        let params = |uri: UriRef<'_>| -> BTreeMap<String, String> {
            uri.params().map(|(name, value)| (folded(name), folded(value.unwrap_or("")))).collect()
        };
        let (ours, theirs) = (params(self), params(other));
        // These five count when either side has them; any other only when both have it.
        let decisive =
            |name: &str| matches!(name, "transport" | "user" | "ttl" | "method" | "maddr");
        ours.iter().all(|(name, value)| match theirs.get(name) {
            Some(theirs) => theirs == value,
            None => !decisive(name),
        }) && theirs.keys().all(|name| ours.contains_key(name) || !decisive(name))
            && self.sorted_headers() == other.sorted_headers()
    }

    fn sorted_headers(self) -> Vec<(String, String)> {
        let mut headers: Vec<_> = self
            .headers()
            .map(|(name, value)| (folded(name), normalised(value, is_header_byte)))
            .collect();
        headers.sort();
        headers
    }

    /// Returns the text with the password masked, for logs.
    pub fn masked(self) -> Cow<'a, str> {
        match (self.parts.user, self.parts.password) {
            (Some(user), Some(password)) => {
                format!("{}:***{}", &self.text[..user as usize], &self.text[password as usize..])
                    .into()
            }
            _ => self.text.into(),
        }
    }

    fn without_params(self, strip: impl Fn(&str) -> bool) -> String {
        let mut out = self.text[..self.parts.params as usize].to_owned();
        push_params(&mut out, self.params().filter(|(name, _)| !strip(name)));
        out
    }
}

impl fmt::Display for UriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Parts {
    fn parse(text: &str) -> Result<Self, UriError> {
        let shown = || super::mask::without_password(text).chars().take(80).collect::<String>();
        if text.len() > 65_000 {
            return Err(UriError::TooLong(text.len()));
        }
        let scheme = text.find(':').ok_or_else(|| UriError::NoScheme(shown()))?;
        let name = &text.as_bytes()[..scheme];
        if !name.first().is_some_and(u8::is_ascii_alphabetic)
            || !name.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
        {
            return Err(UriError::NoScheme(shown()));
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b)) {
            return Err(UriError::Character(shown()));
        }
        let kind = match name {
            _ if name.eq_ignore_ascii_case(b"sip") => Kind::Sip,
            _ if name.eq_ignore_ascii_case(b"sips") => Kind::Sips,
            _ => Kind::Opaque,
        };
        let len = text.len() as u16;
        if kind == Kind::Opaque {
            if scheme + 1 == text.len() {
                return Err(UriError::Host(shown()));
            }
            return Ok(Self {
                kind,
                scheme: scheme as u16,
                user: None,
                password: None,
                host: (len, len),
                port: None,
                params: len,
                headers: len,
            });
        }
        let start = scheme + 1;
        let (mut user, mut password, mut host) = (None, None, start);
        if let Some(at) = text[start..].rfind('@').map(|at| start + at) {
            let info = &text[start..at];
            let end = info.find(':').map_or(at, |colon| start + colon);
            check(&text[start..end], is_user_byte)
                .map_err(|character| UriError::User { uri: shown(), character })?;
            if start == end {
                return Err(UriError::Host(shown()));
            }
            user = Some(end as u16);
            if end < at {
                check(&text[end + 1..at], is_password_byte)
                    .map_err(|character| UriError::User { uri: shown(), character })?;
                password = Some(at as u16);
            }
            host = at + 1;
        }
        let rest = &text[host..];
        let host_len = if rest.starts_with('[') {
            rest.find(']').ok_or_else(|| UriError::Host(shown()))? + 1
        } else {
            rest.find([':', ';', '?']).unwrap_or(rest.len())
        };
        let host_end = host + host_len;
        if !is_host(&text[host..host_end]) {
            return Err(UriError::Host(shown()));
        }
        let mut at = host_end;
        let mut port = None;
        if text[at..].starts_with(':') {
            let end = text[at..].find([';', '?']).map_or(text.len(), |end| at + end);
            let digits = &text[at + 1..end];
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(UriError::Port(shown()));
            }
            port = Some(digits.parse().map_err(|_| UriError::Port(shown()))?);
            at = end;
        }
        let params = at;
        let headers = text[at..].find('?').map_or(text.len(), |question| at + question);
        let tail = |part: &str| UriError::Tail(shown(), part.chars().take(40).collect());
        if params < headers && !text[params..].starts_with(';') {
            return Err(tail(&text[params..headers]));
        }
        for param in text[params..headers].split(';').skip(1) {
            let (name, value) = split_pair(param);
            if name.is_empty()
                || check(name, is_param_byte).is_err()
                || value.is_some_and(|v| v.is_empty() || check(v, is_param_byte).is_err())
            {
                return Err(tail(param));
            }
        }
        if headers < text.len() {
            for pair in text[headers + 1..].split('&') {
                let (name, value) = split_pair(pair);
                if name.is_empty()
                    || check(name, is_header_byte).is_err()
                    || check(value.unwrap_or(""), is_header_byte).is_err()
                {
                    return Err(tail(pair));
                }
            }
        }
        Ok(Self {
            kind,
            scheme: scheme as u16,
            user,
            password,
            host: (host as u16, host_end as u16),
            port,
            params: params as u16,
            headers: headers as u16,
        })
    }
}

/// Returns the address a host text stands for, with or without brackets.
pub fn numeric_host(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Returns whether a text is a host: a name, an IPv4 address or a bracketed IPv6 reference.
///
/// Inside brackets only the characters are checked: a known slip in an old grammar writes three
/// colons before an embedded IPv4 address and is tolerated (5118 §4.10).
pub(crate) fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| {
            inner.contains(':')
                && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
        }),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    }
}

/// Undoes %HH once (3261 §19.1.2); octets that are no UTF-8 stay escaped.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match (bytes[i], hex(bytes, i + 1)) {
            (b'%', Some(octet)) => {
                out.push(octet);
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    match String::from_utf8(out) {
        Ok(text) => text.into(),
        Err(_) => text.into(),
    }
}

fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |b: &u8| (*b as char).to_digit(16).map(|d| d as u8);
    Some(digit(bytes.get(at)?)? << 4 | digit(bytes.get(at + 1)?)?)
}

fn split_pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    }
}

fn push_params<'a>(out: &mut String, params: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
    for (name, value) in params {
        out.push(';');
        out.push_str(name);
        if let Some(value) = value {
            out.push('=');
            out.push_str(value);
        }
    }
}

/// Checks that each octet is allowed or a proper escape; returns the first that is not.
fn check(text: &str, allowed: fn(u8) -> bool) -> Result<(), char> {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            if hex(bytes, i + 1).is_none() {
                return Err('%');
            }
            i += 3;
        } else if allowed(bytes[i]) {
            i += 1;
        } else {
            return Err(text[i..].chars().next().unwrap_or('?'));
        }
    }
    Ok(())
}

/// Returns a parameter or header name, or a parameter value, in the one form that all its spellings
/// share.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    normalise_into(&mut folded, text, is_param_byte);
    folded.make_ascii_lowercase();
    folded
}

fn normalised(text: &str, allowed: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    normalise_into(&mut out, text, allowed);
    out
}

/// Writes escapes of unreserved characters plain and the others with capital digits.
fn normalise_into(out: &mut String, text: &str, allowed: fn(u8) -> bool) {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match (bytes[i], hex(bytes, i + 1)) {
            (b'%', Some(octet)) => {
                if is_unreserved(octet) {
                    out.push(octet as char);
                } else {
                    let _ = write!(out, "%{octet:02X}");
                }
                i += 3;
            }
            (byte, _) if allowed(byte) => {
                out.push(byte as char);
                i += 1;
            }
            (byte, _) => {
                let _ = write!(out, "%{byte:02X}");
                i += 1;
            }
        }
    }
}

fn escaped(character: char) -> String {
    let mut out = String::new();
    escape_into(&mut out, character.encode_utf8(&mut [0; 4]), |_| false);
    out
}

fn escape_into(out: &mut String, text: &str, allowed: fn(u8) -> bool) {
    for byte in text.bytes() {
        if allowed(byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b)
}

fn is_user_byte(b: u8) -> bool {
    is_unreserved(b) || b"&=+$,;?/".contains(&b)
}

fn is_password_byte(b: u8) -> bool {
    is_unreserved(b) || b"&=+$,".contains(&b)
}

fn is_param_byte(b: u8) -> bool {
    is_unreserved(b) || b"[]/:&+$".contains(&b)
}

fn is_header_byte(b: u8) -> bool {
    is_unreserved(b) || b"[]/?:+$".contains(&b)
}
