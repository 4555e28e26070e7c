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
        field: Place,
        /// What belongs there.
        expected: &'static str,
    },
    /// A text that is no URI, or none that the document may hold.
    #[error("{field}: {reason}")]
    Uri {
        /// Where.
        field: Place,
        /// What is wrong with it.
        reason: UriError,
    },
    /// A character that XML has no way to write.
    #[error("{field}: XML cannot hold the character U+{:04X} (after {near:?})", u32::from(*.character))]
    Character {
        /// Where.
        field: Place,
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
        field: Place,
        /// What was given.
        value: String,
    },
    /// An identifier that is used twice.
    #[error("{field}: {value:?} is the value of {first} already; an id is used once in a document")]
    Duplicate {
        /// Where.
        field: Place,
        /// What was given.
        value: String,
        /// Where it was used first.
        first: Place,
    },
    /// A word other than the few there are.
    #[error("{field}: {value:?} is not {}{}", one_of(.known), did_you_mean(*.suggestion))]
    Choice {
        /// Where.
        field: Place,
        /// What was given.
        value: String,
        /// What there is.
        known: &'static [&'static str],
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// Something that does not go with its neighbours.
    #[error("{field}: {why}")]
    Misplaced {
        /// Where.
        field: Place,
        /// Why it cannot stand there.
        why: &'static str,
    },
    /// A number out of its range.
    #[error("{field}: {value} is not {expected}")]
    Range {
        /// Where.
        field: Place,
        /// What was given.
        value: u64,
        /// What would be right.
        expected: &'static str,
    },
    /// A text that a place cannot hold, such as a keyword with blanks.
    #[error("{field}: {value:?} is not {expected}")]
    Text {
        /// Where.
        field: Place,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// An activity or a mood that RPID does not know.
    #[error(
        "{field}: {value:?} is not {one}{}; known are {}, unknown",
        did_you_mean(*.suggestion),
        .known.join(", ")
    )]
    Word {
        /// Where.
        field: Place,
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
        field: Place,
        /// The word.
        word: &'static str,
    },
    /// A priority out of range (3863 §4.1.5).
    #[error("{field}: {value} is not a priority (from 0 to 1)")]
    Priority {
        /// Where.
        field: Place,
        /// What was given.
        value: f64,
    },
    /// A priority of nothing.
    #[error("{field}: a priority belongs to a contact, and there is none")]
    PriorityAlone {
        /// Where.
        field: Place,
    },
    /// A text or number that is no point in time.
    #[error(
        "{field}: {value} is not a time such as \"2025-01-01T00:00:00Z\" or a number of seconds since 1970"
    )]
    Timestamp {
        /// Where.
        field: Place,
        /// What was given.
        value: String,
    },
    /// A number of messages that is negative, broken or too large (3842 §3.5).
    #[error("{field}: {value} is not a number of messages (a whole number from 0 to 4294967295)")]
    Count {
        /// Where.
        field: Place,
        /// What was given.
        value: f64,
    },
    /// A message without headers.
    #[error("{field}: give at least one header of the message")]
    NoHeaders {
        /// Which message.
        field: Place,
    },
    /// A header name that is not a token.
    #[error("{field}: {name:?} is not a header name")]
    HeaderName {
        /// Which message.
        field: Place,
        /// What was given.
        name: String,
    },
    /// A header value that would begin a line of its own.
    #[error("{field}: the value of {name} holds a line break, a NUL or another control character")]
    HeaderValue {
        /// Which message.
        field: Place,
        /// The header.
        name: String,
    },
}

impl BodyError {
    pub(super) fn header_name(field: Field<'_>, name: &str) -> Self {
        Self::HeaderName { field: field.into(), name: shown(name) }
    }

    pub(super) fn missing(field: Field<'_>, expected: &'static str) -> Self {
        Self::Missing { field: field.into(), expected }
    }

    pub(super) fn misplaced(field: Field<'_>, why: &'static str) -> Self {
        Self::Misplaced { field: field.into(), why }
    }
}

/// A field of the shape an author writes; shown as `entity`, `voice.new` or
/// `users[2].endpoints[1].status`. Costs nothing until it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    within: Option<&'a Self>,
    outer: &'static str,
    number: Option<usize>,
    name: &'static str,
}

impl<'a> Field<'a> {
    /// A field of the document itself.
    pub const fn top(name: &'static str) -> Self {
        Self { within: None, outer: "", number: None, name }
    }

    /// A field of a table inside the document.
    pub const fn of(outer: &'static str, name: &'static str) -> Self {
        Self { within: None, outer, number: None, name }
    }

    /// A field of a list's entry. Entries are counted from 0 here and shown from 1, as Lua does.
    pub const fn nth(list: &'static str, index: usize, name: &'static str) -> Self {
        Self { within: None, outer: list, number: Some(index + 1), name }
    }

    /// A list's entry as a whole.
    pub const fn entry(list: &'static str, index: usize) -> Self {
        Self::nth(list, index, "")
    }

    /// The same field, inside another.
    pub const fn within(self, outer: &'a Self) -> Self {
        Self { within: Some(outer), ..self }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(within) = self.within {
            write!(f, "{within}.")?;
        }
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

/// A [`Field`] as an error keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Box<str>);

impl From<Field<'_>> for Place {
    fn from(field: Field<'_>) -> Self {
        Self(field.to_string().into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that a word is one of the few there are.
pub(super) fn choose<'a>(
    field: Field<'_>,
    value: &'a str,
    known: &'static [&'static str],
) -> Result<&'a str, BodyError> {
    if known.contains(&value) {
        return Ok(value);
    }
    let (suggestion, value) = (closest(value, known), shown(value));
    Err(BodyError::Choice { field: field.into(), value, known, suggestion })
}

fn one_of(known: &[&str]) -> String {
    let quoted: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some(_) | None => quoted.concat(),
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
        let user = Field::entry("users", 1);
        let endpoint = Field::entry("endpoints", 0).within(&user);
        assert_eq!(
            Field::top("status").within(&endpoint).to_string(),
            "users[2].endpoints[1].status"
        );
    }
}
