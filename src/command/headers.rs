//! Headers a user adds to requests, checked before anything is sent.

use std::{fmt, sync::Arc};

use crate::sip::message::{Name, is_token};

/// Headers a user adds, in the order given. Cheap to clone: kept once per publication.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExtraHeaders(Option<Arc<Vec<(String, String)>>>);

impl ExtraHeaders {
    /// Checks one list of names and values.
    ///
    /// # Errors
    /// When a name is no token or belongs to the core, or a value holds CR, LF or NUL.
    pub fn new(rows: Vec<(String, String)>) -> Result<Self, HeaderError> {
        for (name, value) in &rows {
            check(name, value)?;
        }
        let length = rows.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if length > LONGEST {
            return Err(HeaderError::TooLong(length));
        }
        Ok(Self((!rows.is_empty()).then(|| Arc::new(rows))))
    }

    /// Reads lines of text that end in CRLF or LF; empty lines are ignored.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when a line is folded or has no colon.
    pub fn from_lines(text: &str) -> Result<Self, HeaderError> {
        let mut rows = Vec::new();
        for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
            if line.is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                return Err(HeaderError::Folded(line.into()));
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| HeaderError::NoColon(line.into()))?;
            rows.push((name.trim_end().to_owned(), value.trim().to_owned()));
        }
        Self::new(rows)
    }

    /// Returns the rows in order.
    pub fn rows(&self) -> &[(String, String)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for ExtraHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may hold tokens or cookies; names are enough for a log.
        f.debug_list().entries(self.rows().iter().map(|(name, _)| name)).finish()
    }
}

/// Why a header cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is not a token.
    #[error("{0:?} is not a header name")]
    Name(String),
    /// They would not fit into a message.
    #[error("{0} bytes are more than the {LONGEST} that headers may have")]
    TooLong(usize),
    /// The core sets this header itself.
    #[error("{0} is set by puad itself and cannot be given")]
    Reserved(String),
    /// The value would break the message.
    #[error("the value of {0} holds a line break, a NUL or another control character")]
    Value(String),
    /// A line of text starts with white space.
    #[error("folded line {0:?}: write each header on one line")]
    Folded(String),
    /// A line of text has no colon.
    #[error("line {0:?} has no colon after the header name")]
    NoColon(String),
}

fn check(name: &str, value: &str) -> Result<(), HeaderError> {
    if !is_token(name.as_bytes()) {
        return Err(HeaderError::Name(name.into()));
    }
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(HeaderError::Value(name.into()));
    }
    let reserved = match Name::of(name.as_bytes()) {
        Name::Via
        | Name::From
        | Name::To
        | Name::Contact
        | Name::CallId
        | Name::CSeq
        | Name::MaxForwards
        | Name::Route
        | Name::RecordRoute
        | Name::Event
        | Name::Expires
        | Name::SipIfMatch
        | Name::Authorization
        | Name::ProxyAuthorization => true,
        // Content-Length, Content-Type and every other Content- header describe the document.
        _ => {
            name.len() >= 8 && name.as_bytes()[..8].eq_ignore_ascii_case(b"content-")
                || matches!(name, "c" | "l" | "e" | "C" | "L" | "E")
        }
    };
    if reserved {
        return Err(HeaderError::Reserved(name.into()));
    }
    Ok(())
}

/// Bytes of all of them, as they stand in a message.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_crlf_or_lf_and_folds_are_refused() {
        let headers = ExtraHeaders::from_lines("X-A: 1\r\n\r\nSubject : hi\n").expect("valid");
        assert_eq!(
            headers.rows(),
            [("X-A".into(), "1".into()), ("Subject".to_owned(), "hi".to_owned())]
        );
        assert_eq!(ExtraHeaders::from_lines("X-A: 1\r\n b"), Err(HeaderError::Folded(" b".into())));
        assert_eq!(ExtraHeaders::from_lines("X-A 1"), Err(HeaderError::NoColon("X-A 1".into())));
    }
}
