//! Messages to bytes: one buffer, Content-Length computed here.
//!
//! [`Writer`] is what the core's hot path uses; [`request`] and [`response`]
//! print rsip's types through it. A value with a line break never gets past.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use super::{Name, convert::uri_text};

/// Writes one message.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts a request.
    pub fn request(method: &str, uri: &str) -> Self {
        let mut out = Vec::with_capacity(768);
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(uri.as_bytes());
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self(out)
    }

    /// Starts a response.
    pub fn response(code: u16, reason: &str) -> Self {
        let mut writer = Self(Vec::with_capacity(512));
        let _ = write!(writer, "SIP/2.0 {code} {reason}\r\n");
        writer
    }

    /// Writes a header line. The value must be one line; callers check what comes from users.
    pub fn header(&mut self, name: Name, value: &str) {
        self.named(name.text(), value);
    }

    /// Writes a header line by a name of any kind.
    pub fn named(&mut self, name: &str, value: &str) {
        debug_assert!(
            !value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)),
            "line break in {name}"
        );
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// Writes a header line from raw octets of another message's value. A CR among them becomes a
    /// space: whoever takes one for a line end shall not find a header behind it.
    pub fn copied(&mut self, name: Name, value: &[u8]) {
        self.0.extend_from_slice(name.text().as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend(value.iter().map(|&octet| if octet == b'\r' { b' ' } else { octet }));
        self.0.extend_from_slice(b"\r\n");
    }

    /// Writes a header line from format arguments.
    pub fn formatted(&mut self, name: Name, value: fmt::Arguments<'_>) {
        self.0.extend_from_slice(name.text().as_bytes());
        self.0.extend_from_slice(b": ");
        // Writing to a Vec cannot fail.
        let _ = self.write_fmt(value);
        self.0.extend_from_slice(b"\r\n");
    }

    /// Ends the message with Content-Length and the body.
    pub fn finish(mut self, body: &[u8]) -> Bytes {
        let _ = write!(self, "Content-Length: {}\r\n\r\n", body.len());
        self.0.extend_from_slice(body);
        self.0.into()
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Why a message cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// A name is no token.
    #[error("{0:?} is not a header name")]
    Name(String),
    /// A value would break the message.
    #[error("the value of {0} holds a line break or a NUL")]
    Value(String),
}

/// Prints an rsip request. Content-Length is computed; one among the headers is left out.
///
/// # Errors
/// When a name or value would break the message.
pub fn request(message: &rsip::Request) -> Result<Bytes, PrintError> {
    let uri = uri_text(&message.uri);
    one_line("Request-URI", &uri)?;
    let mut writer = Writer::request(&message.method.to_string(), &uri);
    headers(&mut writer, &message.headers)?;
    Ok(writer.finish(&message.body))
}

/// Prints an rsip response with this reason phrase, which rsip itself does not keep.
///
/// # Errors
/// When a name or value would break the message.
pub fn response(message: &rsip::Response, reason: &str) -> Result<Bytes, PrintError> {
    one_line("the reason phrase", reason)?;
    let mut writer = Writer::response(message.status_code.code(), reason);
    headers(&mut writer, &message.headers)?;
    Ok(writer.finish(&message.body))
}

fn headers(writer: &mut Writer, headers: &rsip::Headers) -> Result<(), PrintError> {
    for header in headers.iter() {
        let (name, value) = Name::of_rsip(header);
        if !super::is_token(name.as_bytes()) {
            return Err(PrintError::Name(name.into()));
        }
        one_line(name, value)?;
        if Name::of(name.as_bytes()) != Name::ContentLength {
            writer.named(name, value);
        }
    }
    Ok(())
}

fn one_line(name: &str, value: &str) -> Result<(), PrintError> {
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(PrintError::Value(name.into()));
    }
    Ok(())
}

/// Returns the usual reason phrase of a code.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        412 => "Conditional Request Failed",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        423 => "Interval Too Brief",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        489 => "Bad Event",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        _ => "Unknown",
    }
}
