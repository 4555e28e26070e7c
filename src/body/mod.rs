//! Documents that scripts publish, built from plain values; pure.
//!
//! A builder takes the shape an author writes ([`Pidf`], [`DialogInfo`], …), checks all of it and
//! gives back a [`Body`]. The same shapes are what [`parse`] gives for a document that came in, so
//! they hold text as it was written; whether it can be sent is decided when the body is built.
//! Sending it is left to [`sip`](crate::sip), turning Lua tables into these shapes and back to
//! [`script`](crate::script).

mod bounds;
mod charset;
mod conference;
mod data_model;
mod dialog_info;
mod error;
mod mwi;
mod parse;
mod participants;
mod pidf;
mod read;
mod reginfo;
mod rpid;
mod timestamp;
mod watcherinfo;
mod xml;

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use bounds::{Excess, check_bounds};
pub use conference::{AvailableMedia, Conference, ConferenceState, Description, Host, Link};
pub use data_model::{Device, Person};
pub use dialog_info::{Address, Dialog, DialogInfo, Participant, Replaces, SessionDescription};
pub use error::{BodyError, Field, Place};
pub use mwi::{Count, Mwi};
pub use parse::{ParseError, Parsed, Position, parse};
pub use participants::{CallInfo, Endpoint, Media, Step, User};
pub use pidf::{Pidf, Tuple};
pub use reginfo::{Contact, Reginfo, Registration, TemporaryGruu};
pub use rpid::UserInput;
pub use timestamp::Timestamp;
pub use watcherinfo::{Watcher, WatcherList, Watcherinfo};
pub use xml::is_forbidden;

/// The types of the documents that are built and read here.
pub mod content_type {
    /// Presence (RFC 3863).
    pub const PIDF: &str = "application/pidf+xml";
    /// Message waiting (RFC 3842).
    pub const MESSAGE_SUMMARY: &str = "application/simple-message-summary";
    /// Dialogs (RFC 4235).
    pub const DIALOG_INFO: &str = "application/dialog-info+xml";
    /// Registrations (RFC 3680).
    pub const REGINFO: &str = "application/reginfo+xml";
    /// Conferences (RFC 4575).
    pub const CONFERENCE_INFO: &str = "application/conference-info+xml";
    /// Watchers (RFC 3858).
    pub const WATCHERINFO: &str = "application/watcherinfo+xml";
}

/// A document, ready to be published.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type value.
    pub content_type: Arc<str>,
    /// The octets, sent as they are.
    pub text: Bytes,
    /// Where the digit of the document's version stands, when it is to grow with every PUBLISH.
    /// The text shows version 0.
    pub version: Option<usize>,
}

impl Body {
    fn new(content_type: &'static str, text: Bytes) -> Self {
        Self { content_type: content_type.into(), text, version: None }
    }

    fn versioned(content_type: &'static str, text: Bytes, version: Option<usize>) -> Self {
        Self { version, ..Self::new(content_type, text) }
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
