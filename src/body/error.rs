//! What can be wrong with a document an author describes, and in which field.

use std::fmt;

use crate::{command, sip::message::UriError};

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
    /// A character that XML has no way to write.
    #[error("{field}: XML cannot hold the character U+{:04X} (after {near:?})", u32::from(*.character))]
    Character {
        /// Where.
        field: Field,
        /// Which.
        character: char,
        /// The text before it.
        near: String,
    },
    /// An identifier that XML does not allow.
    #[error(
        "{field}: {value:?} is not an XML id (a letter or _ first, then letters, digits, -, . and _)"
    )]
    Id {
        /// Where.
        field: Field,
        /// What was given.
        value: String,
    },
    /// An identifier that is used twice.
    #[error("{field}: {value:?} is the value of {first} already; an id is used once in a document")]
    Duplicate {
        /// Where.
        field: Field,
        /// What was given.
        value: String,
        /// Where it was used first.
        first: Field,
    },
    /// A basic status other than the two there are (3863 §4.1.4).
    #[error("{field}: {value:?} is not \"open\" or \"closed\"{}", did_you_mean(*.suggestion))]
    Basic {
        /// Where.
        field: Field,
        /// What was given.
        value: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// An activity or a mood that RPID does not know.
    #[error(
        "{field}: {value:?} is not {one}{}; known are {}, unknown",
        did_you_mean(*.suggestion),
        .known.join(", ")
    )]
    Word {
        /// Where.
        field: Field,
        /// What was given.
        value: String,
        /// `an activity` or `a mood`.
        one: &'static str,
        /// What was probably meant.
        suggestion: Option<&'static str>,
        /// What there is.
        known: &'static [&'static str],
    },
    /// A word that only makes sense alone.
    #[error("{field}: {word:?} cannot stand beside other words")]
    NotAlone {
        /// Where.
        field: Field,
        /// The word.
        word: &'static str,
    },
    /// A priority out of range (3863 §4.1.5).
    #[error("{field}: {value} is not a priority (from 0 to 1)")]
    Priority {
        /// Where.
        field: Field,
        /// What was given.
        value: f64,
    },
    /// A priority of nothing.
    #[error("{field}: a priority belongs to a contact, and there is none")]
    PriorityAlone {
        /// Where.
        field: Field,
    },
    /// A text or number that is no point in time.
    #[error(
        "{field}: {value} is not a time such as \"2025-01-01T00:00:00Z\" or a number of seconds since 1970"
    )]
    Timestamp {
        /// Where.
        field: Field,
        /// What was given.
        value: String,
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

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean {word:?}?)")).unwrap_or_default()
}

/// Returns the word that was probably meant. All of them are in lower case.
pub(super) fn closest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    command::closest(&shown(given).to_lowercase(), known.iter().copied())
}

/// Returns the end of a text, to show where in a long one the next character stands.
pub(super) fn near(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(20);
    text.chars().skip(skipped).collect()
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
