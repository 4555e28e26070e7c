//! From a body that came in to the shape that would build it.
//!
//! The content type says which kind of document it is. A document that breaks the rules of its kind
//! is still read as far as it goes; only what cannot be read at all is an error.

use std::fmt;

use serde::Serialize;

use super::{
    Body, BodyError, Conference, DialogInfo, Mwi, Pidf, Reginfo, Watcherinfo, charset::decode,
    conference, content_type, dialog_info, pidf, read::with_root, reginfo, watcherinfo,
};

/// A document of one of the kinds puad knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parsed {
    /// Presence.
    Pidf(Pidf),
    /// Message waiting.
    Mwi(Mwi),
    /// Dialogs.
    DialogInfo(DialogInfo),
    /// Registrations.
    Reginfo(Reginfo),
    /// A conference.
    Conference(Box<Conference>),
    /// Watchers.
    Watcherinfo(Watcherinfo),
}

impl Parsed {
    /// Writes the document again.
    ///
    /// # Errors
    /// When what was read breaks the rules of its kind.
    pub fn build(&self) -> Result<Body, BodyError> {
        match self {
            Self::Pidf(document) => document.build(),
            Self::Mwi(document) => document.build(),
            Self::DialogInfo(document) => document.build(),
            Self::Reginfo(document) => document.build(),
            Self::Conference(document) => document.build(),
            Self::Watcherinfo(document) => document.build(),
        }
    }
}

/// Reads a document. `content_type` is the header's value, parameters and all.
///
/// # Errors
/// When puad knows no such type, or the octets are no document of it.
pub fn parse(content_type: &str, octets: &[u8]) -> Result<Parsed, ParseError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let kind = KINDS
        .iter()
        .find(|(known, _)| media_type.eq_ignore_ascii_case(known))
        .map(|(_, kind)| *kind)
        .ok_or_else(|| ParseError::Type(media_type.chars().take(80).collect()))?;
    if octets.len() > LARGEST {
        return Err(ParseError::TooLarge { size: octets.len() });
    }
    let charset = charset(content_type);
    let text = match (kind, charset) {
        // A lamp does not stay dark over a subject line in an old charset.
        (Kind::Mwi, None) => String::from_utf8_lossy(octets),
        (_, charset) => decode(octets, charset)?,
    };
    Ok(match kind {
        Kind::Mwi => Parsed::Mwi(Mwi::read(&text)?),
        Kind::Pidf => Parsed::Pidf(with_root(&text, pidf::NAMESPACE, "presence", Pidf::read)?),
        Kind::DialogInfo => Parsed::DialogInfo(with_root(
            &text,
            dialog_info::NAMESPACE,
            "dialog-info",
            DialogInfo::read,
        )?),
        Kind::Reginfo => {
            Parsed::Reginfo(with_root(&text, reginfo::NAMESPACE, "reginfo", Reginfo::read)?)
        }
        Kind::Conference => Parsed::Conference(Box::new(with_root(
            &text,
            conference::NAMESPACE,
            "conference-info",
            Conference::read,
        )?)),
        Kind::Watcherinfo => Parsed::Watcherinfo(with_root(
            &text,
            watcherinfo::NAMESPACE,
            "watcherinfo",
            Watcherinfo::read,
        )?),
    })
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pidf,
    Mwi,
    DialogInfo,
    Reginfo,
    Conference,
    Watcherinfo,
}

const KINDS: [(&str, Kind); 6] = [
    (content_type::PIDF, Kind::Pidf),
    (content_type::MESSAGE_SUMMARY, Kind::Mwi),
    (content_type::DIALOG_INFO, Kind::DialogInfo),
    (content_type::REGINFO, Kind::Reginfo),
    (content_type::CONFERENCE_INFO, Kind::Conference),
    (content_type::WATCHERINFO, Kind::Watcherinfo),
];

/// Returns the charset parameter of a Content-Type value.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A type that puad has no reader for.
    #[error("{0:?} is no type of document that puad reads; it reads {known}", known = known_types())]
    Type(String),
    /// Larger than any document ought to be.
    #[error("a document of {size} bytes is too large ({LARGEST} at the most)")]
    TooLarge {
        /// How large it is.
        size: usize,
    },
    /// A charset that puad cannot read.
    #[error("the charset {0:?} is not known; utf-8, us-ascii, iso-8859-1 and utf-16 are")]
    Charset(String),
    /// Octets that are not in their charset.
    #[error("octet {} is not {charset}; a charset in Content-Type would say what it is", .at + 1)]
    Octets {
        /// The charset.
        charset: &'static str,
        /// The first octet that is wrong, counted from 0.
        at: usize,
    },
    /// Not XML, or XML with more in it than a document has.
    #[error("{at}: {what}")]
    Xml {
        /// Where.
        at: Position,
        /// What is wrong.
        what: String,
    },
    /// Another document than its type says.
    #[error(
        "{at}: the root is <{found}> in the namespace {namespace:?}, not <{expected}> in {of:?}"
    )]
    Root {
        /// Where.
        at: Position,
        /// The root there is.
        found: String,
        /// Its namespace.
        namespace: String,
        /// The root there should be.
        expected: &'static str,
        /// Its namespace.
        of: &'static str,
    },
    /// No message summary (3842 §5.2).
    #[error("line {line}, column 1: {found:?} is not Messages-Waiting: yes or no")]
    NoStatusLine {
        /// Where the status line should be.
        line: usize,
        /// What is there.
        found: String,
    },
}

/// A place in a document, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// Returns the place of an octet.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = &text.as_bytes()[..at.min(text.len())];
        let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        Self {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: String::from_utf8_lossy(&before[start..]).chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

fn known_types() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

/// Room for a list of thousands of dialogs, and little enough to read at once.
const LARGEST: usize = 1024 * 1024;
