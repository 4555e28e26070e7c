//! What a case answers for the world, as the libraries that reach outside take it.

use super::super::{
    super::{
        host::Host,
        plain::{Key, Plain, Rows},
        testing::Outside,
    },
    outside::Trouble,
};

/// The answer of a case.
pub(in super::super) struct Faked(Rows);

/// Returns whether a script may ask for what its operator has not named: where a test says nothing
/// of permissions, what it answers itself does no harm.
pub(in super::super) fn is_open(host: &Host) -> bool {
    host.fakes.as_ref().is_some_and(|fakes| fakes.is_open(&host.name))
}

/// Has the case answer; `None` where no test runs.
pub(in super::super) async fn ask(
    host: &Host,
    outside: Outside,
    question: impl FnOnce() -> Rows,
) -> Option<Result<Faked, Trouble>> {
    let fakes = host.fakes.as_ref()?;
    let question = Plain::Table(Box::new(question()));
    Some(match fakes.ask(&host.name, outside, question).await {
        Ok(Plain::Table(rows)) => Faked(*rows).or_trouble(),
        Ok(_) => Err(Trouble::new("io", "the case has no answer")),
        Err(why) => Err(Trouble::new("refused", why)),
    })
}

/// Builds a question from named values; those that are not there are left out.
pub(in super::super) fn question<const N: usize>(
    list: Vec<Plain>,
    named: [(&str, Option<Plain>); N],
) -> Rows {
    let named = named.into_iter();
    let named = named.filter_map(|(name, value)| Some((key(name), value?))).collect();
    Rows { list, named, ..Rows::default() }
}

/// Builds a text of a question.
pub(in super::super) fn text(bytes: &[u8]) -> Plain {
    Plain::Text(bytes.into())
}

/// Builds a table of texts.
pub(in super::super) fn texts<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Plain {
    let named = pairs.map(|(name, value)| (key(name), text(value))).collect();
    Plain::Table(Box::new(Rows { named, ..Rows::default() }))
}

impl Faked {
    fn or_trouble(self) -> Result<Self, Trouble> {
        let Some(Plain::Table(failure)) = self.0.named.get(&key("failure")) else {
            return Ok(self);
        };
        let failure = Self((**failure).clone());
        let (said, message) = (failure.bytes("code"), failure.bytes("message"));
        // Of any other word nobody could say what it stands for.
        let code = CODES.iter().find(|code| code.as_bytes() == said).unwrap_or(&"io");
        Err(Trouble::new(code, String::from_utf8_lossy(&message)))
    }

    /// Returns a text, which is empty where there is none.
    pub(in super::super) fn bytes(&self, name: &str) -> Vec<u8> {
        match self.0.named.get(&key(name)) {
            Some(Plain::Text(text)) => text.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns a whole number between 0 and 999.
    pub(in super::super) fn number(&self, name: &str) -> Option<u16> {
        match self.0.named.get(&key(name)) {
            Some(Plain::Number(number)) if number.fract() == 0.0 && (0.0..1e3).contains(number) => {
                Some(*number as u16)
            }
            _ => None,
        }
    }

    /// Returns the texts of a table by their names.
    pub(in super::super) fn texts(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let Some(Plain::Table(rows)) = self.0.named.get(&key(name)) else { return Vec::new() };
        let texts = rows.named.iter().filter_map(|(name, value)| match (name, value) {
            (Key::Text(name), Plain::Text(value)) => {
                Some((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
            }
            _ => None,
        });
        texts.collect()
    }
}

fn key(name: &str) -> Key {
    Key::Text(name.as_bytes().into())
}

/// What a failure of the world is called.
const CODES: &[&str] = &[
    "timeout",
    "dns",
    "refused",
    "tls",
    "io",
    "not_found",
    "permission",
    "limit",
    "http",
    "exit",
    "cancelled",
    "closed",
];
