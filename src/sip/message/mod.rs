//! Bytes to messages and back (3261 §7, §25.1).
//!
//! [`frame`] finds where a message ends, [`index`] finds its header lines in one
//! pass without allocating, [`value`] reads header values, [`uri`] reads URIs,
//! [`mod@print`] writes, and [`convert`] turns an index into rsip's types. No rsip
//! parser ever sees network bytes. What a message means is left to the layers above.

pub mod convert;
pub mod frame;
pub mod index;
pub mod mask;
mod name;
pub mod print;
pub mod uri;
pub mod value;

pub use index::{Field, Index, Message, StartLine};
pub use name::Name;
pub use uri::{Uri, UriError, UriRef};

/// Returns whether a text is a token (3261 §25.1); the empty text is none.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b))
}

/// Returns a transport as Via spells it.
pub fn transport_text(transport: rsip::Transport) -> &'static str {
    match transport {
        rsip::Transport::Udp => "UDP",
        rsip::Transport::Tcp => "TCP",
        rsip::Transport::Tls => "TLS",
        rsip::Transport::Sctp => "SCTP",
        rsip::Transport::TlsSctp => "TLS-SCTP",
        rsip::Transport::Ws => "WS",
        rsip::Transport::Wss => "WSS",
    }
}

/// Returns the method of this exact name (methods compare with case, 3261 §7.1).
pub fn method(name: &str) -> Option<rsip::Method> {
    use rsip::Method::{
        Ack, Bye, Cancel, Info, Invite, Message, Notify, Options, PRack, Publish, Refer, Register,
        Subscribe, Update,
    };
    Some(match name {
        "ACK" => Ack,
        "BYE" => Bye,
        "CANCEL" => Cancel,
        "INFO" => Info,
        "INVITE" => Invite,
        "MESSAGE" => Message,
        "NOTIFY" => Notify,
        "OPTIONS" => Options,
        "PRACK" => PRack,
        "PUBLISH" => Publish,
        "REFER" => Refer,
        "REGISTER" => Register,
        "SUBSCRIBE" => Subscribe,
        "UPDATE" => Update,
        _ => return None,
    })
}

/// Why bytes are not a well-formed message. The text is fit for a reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The head does not end.
    #[error("Incomplete Head")]
    Truncated,
    /// The first line is neither a request line nor a status line.
    #[error("Malformed Start Line")]
    StartLine,
    /// The version is not 2.0.
    #[error("Version Not Supported")]
    Version,
    /// A line of the head is no header.
    #[error("Malformed Header Line")]
    HeaderLine,
    /// Too many header lines.
    #[error("Too Many Headers")]
    TooManyHeaders,
    /// The head is larger than allowed.
    #[error("Head Too Large")]
    HeadTooLarge,
    /// The body is, or is announced to be, larger than allowed.
    #[error("Body Too Large")]
    BodyTooLarge,
    /// Content-Length is malformed, contradictory, or larger than the datagram.
    #[error("Bad Content-Length")]
    ContentLength,
    /// A stream message without Content-Length.
    #[error("Missing Content-Length")]
    NoContentLength,
    /// A header that must be there is not.
    #[error("Missing {}", .0.text())]
    Missing(Name),
    /// A header that must be there once is there twice.
    #[error("Repeated {}", .0.text())]
    Repeated(Name),
    /// A header value is malformed.
    #[error("Malformed {}", .0.text())]
    Malformed(Name),
    /// The Request-URI is malformed or has parts that do not belong there.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// The method of CSeq is not that of the request.
    #[error("CSeq Method Mismatch")]
    CSeqMethod,
}
