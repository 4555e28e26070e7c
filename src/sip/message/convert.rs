//! From an index to rsip's types, for whoever wants whole messages in their words.
//!
//! rsip's structs are filled field by field; its parsers are not used. An IPv6
//! host is kept with its brackets as a `Domain`, which rsip prints right.

use rsip::common::uri::{auth::Auth, host_with_port::HostWithPort};

use super::{Message, Name, ParseError, StartLine, Uri, uri::UriRef};

/// A message in rsip's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// A request.
    Request(rsip::Request),
    /// A response with its reason phrase, which rsip itself does not keep.
    Response(rsip::Response, String),
}

/// Copies a message into rsip's types.
///
/// # Errors
/// When the start line is malformed, the method is unknown to rsip (answer those before), or a
/// header value is not UTF-8.
pub fn whole(message: &Message<'_>) -> Result<Whole, ParseError> {
    let mut headers = Vec::new();
    for field in message.fields() {
        let raw = std::str::from_utf8(field.raw_name).map_err(|_| ParseError::HeaderLine)?;
        headers.push(field.name.to_rsip(raw, field.text()?.to_owned()));
    }
    let headers = headers.into();
    let body = message.body.to_vec();
    let version = rsip::Version::V2;
    match message.start {
        StartLine::Request { method, uri } => {
            let method = super::method(method).ok_or(ParseError::StartLine)?;
            let uri = UriRef::parse(uri).map_err(|_| ParseError::RequestUri)?;
            Ok(Whole::Request(rsip::Request {
                method,
                uri: uri_to_rsip(uri),
                version,
                headers,
                body,
            }))
        }
        StartLine::Response { code, reason } => {
            let status_code = rsip::StatusCode::from(code);
            Ok(Whole::Response(
                rsip::Response { status_code, version, headers, body },
                reason.to_owned(),
            ))
        }
        StartLine::BadRequest(error) | StartLine::BadResponse(error) => Err(error),
    }
}

/// Fills an rsip URI. What rsip has no place for (URI headers, the inside of other schemes) is
/// kept in its host as text, so that [`uri_text`] gives back the same URI.
pub fn uri_to_rsip(uri: UriRef<'_>) -> rsip::Uri {
    let text =
        |text: &str| HostWithPort { host: rsip::Host::Domain(text.to_owned().into()), port: None };
    if !uri.is_sip() || uri.has_headers() {
        let rest = uri.as_str().split_once(':').map_or("", |(_, rest)| rest);
        return rsip::Uri {
            scheme: Some(uri.scheme()),
            host_with_port: text(rest),
            ..Default::default()
        };
    }
    let params = uri
        .params()
        .map(|(name, value)| rsip::Param::Other(name.into(), value.map(Into::into)))
        .collect();
    rsip::Uri {
        scheme: Some(uri.scheme()),
        auth: uri
            .user()
            .map(|user| Auth { user: user.into(), password: uri.password().map(Into::into) }),
        host_with_port: HostWithPort {
            host: rsip::Host::Domain(uri.host().to_owned().into()),
            port: uri.port().map(Into::into),
        },
        params,
        headers: Vec::new(),
    }
}

/// Writes an rsip URI.
pub fn uri_text(uri: &rsip::Uri) -> String {
    let mut out = match &uri.scheme {
        Some(rsip::Scheme::Sip) | None => "sip:".to_owned(),
        Some(rsip::Scheme::Sips) => "sips:".to_owned(),
        Some(rsip::Scheme::Other(other)) => format!("{other}:"),
    };
    if let Some(auth) = &uri.auth {
        out.push_str(&auth.user);
        if let Some(password) = &auth.password {
            out.push(':');
            out.push_str(password);
        }
        out.push('@');
    }
    match &uri.host_with_port.host {
        rsip::Host::Domain(domain) => out.push_str(&domain.to_string()),
        rsip::Host::IpAddr(std::net::IpAddr::V6(ip)) => out.push_str(&format!("[{ip}]")),
        rsip::Host::IpAddr(std::net::IpAddr::V4(ip)) => out.push_str(&ip.to_string()),
    }
    if let Some(port) = &uri.host_with_port.port {
        out.push_str(&format!(":{port}"));
    }
    for param in &uri.params {
        match param {
            rsip::Param::Other(name, value) => {
                out.push(';');
                out.push_str(&name.to_string());
                if let Some(value) = value {
                    out.push('=');
                    out.push_str(&value.to_string());
                }
            }
            known => out.push_str(&known.to_string()),
        }
    }
    out
}

impl From<&Uri> for rsip::Uri {
    fn from(uri: &Uri) -> Self {
        uri_to_rsip(uri.as_ref())
    }
}

impl Name {
    /// Returns the value of an rsip header of this name.
    pub fn find(self, headers: &rsip::Headers) -> Option<&str> {
        headers
            .iter()
            .map(Self::of_rsip)
            .find(|(name, _)| Self::of(name.as_bytes()) == self)
            .map(|(_, value)| value)
    }
}
