//! Documents that scripts publish, built from plain values; pure.
//!
//! A builder takes the shape an author writes ([`Pidf`], [`Mwi`]), checks all of it and gives
//! back a [`Body`]. The same shapes are what reading a document gives, so they hold text as it
//! was written; whether it can be sent is decided when the body is built. Sending it is left to
//! [`sip`](crate::sip), turning Lua tables into these shapes to [`script`](crate::script).

mod data_model;
mod error;
mod mwi;
mod pidf;
mod rpid;
mod timestamp;
mod xml;

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use data_model::{Device, Person};
pub use error::{BodyError, Field};
pub use mwi::{Count, Mwi};
pub use pidf::{Pidf, Tuple};
pub use timestamp::Timestamp;

/// The types of the documents that are built here.
pub mod content_type {
    /// Presence (RFC 3863).
    pub const PIDF: &str = "application/pidf+xml";
    /// Message waiting (RFC 3842).
    pub const MESSAGE_SUMMARY: &str = "application/simple-message-summary";
}

/// A document, ready to be published.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type value.
    pub content_type: Arc<str>,
    /// The octets, sent as they are.
    pub text: Bytes,
    /// Whether the document carries a number that grows with every PUBLISH. None of today's does.
    pub versioned: bool,
}

impl Body {
    fn new(content_type: &'static str, text: Bytes) -> Self {
        Self { content_type: content_type.into(), text, versioned: false }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold persons' states and stay out of logs.
        write!(f, "Body({}, {} bytes)", self.content_type, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_does_not_show_its_text_in_logs() {
        let body = Body::new(content_type::PIDF, "secret".into());
        assert_eq!(format!("{body:?}"), "Body(application/pidf+xml, 6 bytes)");
    }
}
