//! What can be wrong with a document an author describes, and in which field.

use std::fmt;

use crate::sip::message::UriError;

/// Why a document cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// A field that the document cannot do without.
    #[error("{field}: missing; give {expected}")]
    Missing {
        /// Where.
        field: Field,
        /// What belongs there.
        expected: &'static str,
    },
    /// A text that is no URI, or none that the document may hold.
    #[error("{field}: {reason}")]
    Uri {
        /// Where.
        field: Field,
        /// What is wrong with it.
        reason: UriError,
    },
    /// A number of messages that is negative, broken or too large (3842 §3.5).
    #[error("{field}: {value} is not a number of messages (a whole number from 0 to 4294967295)")]
    Count {
        /// Where.
        field: Field,
        /// What was given.
        value: f64,
    },
    /// A message without headers.
    #[error("{field}: give at least one header of the message")]
    NoHeaders {
        /// Which message.
        field: Field,
    },
    /// A header name that is not a token.
    #[error("{field}: {name:?} is not a header name")]
    HeaderName {
        /// Which message.
        field: Field,
        /// What was given.
        name: String,
    },
    /// A header value that would begin a line of its own.
    #[error("{field}: the value of {name} holds a line break, a NUL or another control character")]
    HeaderValue {
        /// Which message.
        field: Field,
        /// The header.
        name: String,
    },
}

impl BodyError {
    pub(super) fn header_name(field: Field, name: &str) -> Self {
        Self::HeaderName { field, name: shown(name) }
    }
}

/// A place in the shape an author writes; shown as `entity`, `voice.new` or `tuples[2].basic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    outer: &'static str,
    number: Option<usize>,
    name: &'static str,
}

impl Field {
    /// A field of the document itself.
    pub const fn top(name: &'static str) -> Self {
        Self { outer: "", number: None, name }
    }

    /// A field of a table inside the document.
    pub const fn of(outer: &'static str, name: &'static str) -> Self {
        Self { outer, number: None, name }
    }

    /// A field of a list's entry. Entries are counted from 0 here and shown from 1, as Lua does.
    pub const fn nth(list: &'static str, index: usize, name: &'static str) -> Self {
        Self { outer: list, number: Some(index + 1), name }
    }

    /// A list's entry as a whole.
    pub const fn entry(list: &'static str, index: usize) -> Self {
        Self::nth(list, index, "")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outer)?;
        if let Some(number) = self.number {
            write!(f, "[{number}]")?;
        }
        if !self.outer.is_empty() && !self.name.is_empty() {
            f.write_str(".")?;
        }
        f.write_str(self.name)
    }
}

/// Cuts what an error repeats to a length that fits a log line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_shown_as_a_script_would_write_it() {
        assert_eq!(Field::top("entity").to_string(), "entity");
        assert_eq!(Field::of("voice", "new").to_string(), "voice.new");
        assert_eq!(Field::nth("tuples", 1, "basic").to_string(), "tuples[2].basic");
        assert_eq!(Field::entry("headers", 0).to_string(), "headers[1]");
    }
}
