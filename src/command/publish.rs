//! The wanted state of one publication, as a caller gives it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::ExtraHeaders;
use crate::sip::message::{
    Uri, is_token,
    mask::without_passwords,
    value::{end_of_quoted, is_media_type},
};

/// Proxies of one publication at the most: each is tried in turn, and the caller waits for all of them.
pub const MOST_PROXIES: usize = 16;

/// The wanted state of one publication and how it is to be kept up.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Who asks; a key belongs to the owner that first published it.
    pub owner: Owner,
    /// Whose state: Request-URI, To and From.
    pub presentity: Uri,
    /// The event package with its parameters.
    pub event: EventType,
    /// Series key; parallel publications of one resource and package differ in it.
    pub id: String,
    /// The state itself. `None` keeps the document that is already there.
    pub document: Option<Document>,
    /// What each PUBLISH asks for, in whole seconds; zero removes the publication.
    pub expires: Duration,
    /// How long the state is kept up after this call.
    pub lifetime: Lifetime,
    /// Starts from this entity-tag while no live one is held.
    pub entity_tag: Option<EntityTag>,
    /// Where requests go; empty: what the account or the configuration says.
    pub outbound_proxy: Vec<Uri>,
    /// Replaces the set that earlier calls gave.
    pub extra_headers: ExtraHeaders,
    /// Credentials by account name; `None` picks by the presentity's domain.
    pub account: Option<String>,
    /// What a refresh carries; `None` asks the package.
    pub refresh: Option<RefreshWith>,
    /// Sends nothing when document and headers are those already published.
    pub skip_unchanged: bool,
    /// At most one PUBLISH per interval; the latest state wins.
    pub min_interval: Duration,
    /// What an orderly stop does with the publication.
    pub on_stop: OnStop,
    /// What becomes of the publication when its owner goes away or does not declare it any more.
    pub on_orphan: OnOrphan,
    /// The owner declares what it may have declared before, as a reloaded script does: nothing is
    /// sent when document and headers are those already wanted, and no document means the kept one.
    pub adopts: bool,
    /// How long the caller waits; `None` is 64·T1 + 3 s.
    pub timeout: Option<Duration>,
    /// Whether puad keeps the state up. A one-shot (`puad publish`) does not.
    pub maintain: bool,
}

impl Publish {
    /// Returns a publish with every option at its default.
    pub fn new(owner: Owner, presentity: Uri, event: EventType) -> Self {
        Self {
            owner,
            presentity,
            event,
            id: "default".into(),
            document: None,
            expires: Duration::from_secs(3600),
            lifetime: Lifetime::Forever,
            entity_tag: None,
            outbound_proxy: Vec::new(),
            extra_headers: ExtraHeaders::default(),
            account: None,
            refresh: None,
            skip_unchanged: false,
            min_interval: Duration::ZERO,
            on_stop: OnStop::Remove,
            on_orphan: OnOrphan::Remove,
            adopts: false,
            timeout: None,
            maintain: true,
        }
    }

    /// Returns the key of the publication that this call is about.
    pub fn key(&self) -> Key {
        Key::new(&self.presentity, &self.event, &self.id)
    }
}

/// Who owns a publication.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A script, by name.
    Script(Arc<str>),
    /// The command line's `puad publish`.
    OneShot,
    /// Nobody any more: the owner has gone and left it up (`on_orphan = "keep"`). Whoever publishes
    /// its key next owns it.
    Nobody,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(name) => write!(f, "script {name}"),
            Self::OneShot => f.write_str("one-shot"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// The canonical text of (presentity, event, id), which names one publication.
///
/// RFC 3261's URI equality is not transitive and cannot key a table (3261 §19.1.4), so the key
/// is a text: scheme and host in lower case, escapes normalised, parameters sorted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Builds the key of a publication. Keys are shown in errors and lists, so a password is
    /// masked; it says nothing about whose state it is.
    pub fn new(presentity: &Uri, event: &EventType, id: &str) -> Self {
        let presentity = presentity.canonical();
        Self(format!("{} {} {id}", without_passwords(&presentity), event.canonical()).into())
    }

    /// Takes a key as `info().key` shows it.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A body and its type, sent byte for byte, but for a version that puad counts.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The Content-Type value; [`has_media_type`](Self::has_media_type) checks it.
    pub content_type: Arc<str>,
    /// The octets. A counted version is 0 in them, so that documents compare without it.
    pub body: Bytes,
    /// Where in the octets the digit of a counted version stands.
    pub version: Option<usize>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold persons' states and stay out of logs.
        write!(f, "Document({}, {} bytes)", self.content_type, self.body.len())
    }
}

impl Document {
    /// Takes a body that is sent as it is.
    pub fn new(content_type: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), body: body.into(), version: None }
    }

    /// Returns the document with this number in the place of its counted version.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let digit = self.version.filter(|at| self.body.get(*at) == Some(&b'0'));
        let Some(at) = digit.filter(|_| number > 0) else { return self.clone() };
        let number = number.to_string();
        let body = [&self.body[..at], number.as_bytes(), &self.body[at + 1..]].concat();
        Self { body: body.into(), ..self.clone() }
    }

    /// Returns whether the content type is a media type, perhaps with parameters.
    pub fn has_media_type(&self) -> bool {
        is_media_type(&self.content_type)
    }
}

/// How long a publication is kept up after the call that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is removed.
    Forever,
    /// For this long; then it is left to run out.
    For(Duration),
}

/// What an orderly stop of the daemon does with a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// Leaves it to run out at the server.
    Keep,
    /// Removes it.
    Remove,
}

/// What becomes of a publication that its owner does not declare any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOrphan {
    /// It is removed from the server.
    Remove,
    /// It is kept up, without an owner.
    Keep,
}

/// What a refresh carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshWith {
    /// Nothing: RFC 3903's Refresh.
    Empty,
    /// The kept document: a Modify. For servers that pass an empty refresh on to watchers.
    Body,
}

/// The opaque token a compositor gives to one publication (RFC 3903 §8.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityTag(Arc<str>);

impl EntityTag {
    /// Takes a token as it is.
    ///
    /// # Errors
    /// When the text is empty, longer than 2,048 bytes, or not a token; and for `*`, which some
    /// servers read as any tag.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        if text.is_empty()
            || text.len() > Self::LONGEST
            || !is_token(text.as_bytes())
            || text == "*"
        {
            return Err(TagError(text.chars().take(40).collect()));
        }
        Ok(Self(text.into()))
    }

    /// Returns the token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Nothing sane is longer; a tag is kept per publication and sent in every refresh.
    pub const LONGEST: usize = 2048;
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A text that is no entity-tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an entity-tag (a token of 1 to 2048 characters)")]
pub struct TagError(String);

/// An event package with its parameters: the value of an Event header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    text: Arc<str>,
    package_len: usize,
}

impl EventType {
    /// Reads `presence` or `dialog;sla` or `dialog;call-id="a@b"`.
    ///
    /// # Errors
    /// When the package or a parameter name is not a token, or a value is neither a token nor quoted.
    pub fn parse(text: &str) -> Result<Self, EventError> {
        // A line break between parameters would begin another header.
        if text.chars().any(char::is_control) {
            return Err(EventError(text.chars().take(60).collect()));
        }
        let text = text.trim_matches(' ');
        let package_len =
            text.find(';').map_or(text.len(), |semicolon| text[..semicolon].trim_end().len());
        let refused = || EventError(text.chars().take(60).collect());
        if !is_token(&text.as_bytes()[..package_len]) {
            return Err(refused());
        }
        let event = Self { text: text.into(), package_len };
        for parameter in event.parameters() {
            let (name, value) = parameter.ok_or_else(refused)?;
            let quoted =
                |value: &str| value.starts_with('"') && end_of_quoted(value) == Some(value.len());
            if !is_token(name.as_bytes())
                || value.is_some_and(|value| !is_token(value.as_bytes()) && !quoted(value))
            {
                return Err(refused());
            }
        }
        Ok(event)
    }

    /// Returns the value as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the package without parameters.
    pub fn package(&self) -> &str {
        &self.text[..self.package_len]
    }

    /// Returns the text that keys tables: parameter names in lower case and sorted.
    pub fn canonical(&self) -> String {
        let mut parameters: Vec<_> = self
            .parameters()
            .flatten()
            .map(|(name, value)| match value {
                Some(value) => format!(";{}={value}", name.to_ascii_lowercase()),
                None => format!(";{}", name.to_ascii_lowercase()),
            })
            .collect();
        parameters.sort();
        format!("{}{}", self.package(), parameters.concat())
    }

    /// Yields name and value of each parameter; `None` where one is malformed.
    fn parameters(&self) -> impl Iterator<Item = Option<(&str, Option<&str>)>> {
        let mut rest = self.text[self.package_len..].trim_start().strip_prefix(';');
        std::iter::from_fn(move || {
            let text = rest?;
            let mut quoted = false;
            let mut escaped = false;
            let end = text.find(|c: char| {
                let was_escaped = std::mem::take(&mut escaped);
                match c {
                    '"' if !was_escaped => quoted = !quoted,
                    '\\' if quoted && !was_escaped => escaped = true,
                    ';' if !quoted => return true,
                    _ => {}
                }
                false
            });
            rest = end.map(|end| &text[end + 1..]);
            let parameter = text[..end.unwrap_or(text.len())].trim_matches(' ');
            if quoted {
                return Some(None);
            }
            Some(Some(match parameter.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
                None => (parameter, None),
            }))
        })
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an event package (a token such as \"presence\", with parameters such as \"dialog;sla\")"
)]
pub struct EventError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_is_a_token_with_parameters() {
        for good in
            ["presence", "dialog;sla", "dialog ; call-id=\"a;b@c\"; to-tag=x", "presence.winfo"]
        {
            assert!(EventType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "dialog;", "dialog;x=\"", "dialog;x=a b", "a\r\nb", "dialog;=x"] {
            assert!(EventType::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_takes_the_place_of_the_digit_and_nothing_else() {
        let body = "<a version=\"0\"/>";
        let counted = Document { version: body.find('0'), ..Document::new("a/b", body) };
        assert_eq!(counted.numbered(0), counted);
        assert_eq!(counted.numbered(12).body, "<a version=\"12\"/>");
        assert_eq!(counted.body, body, "the kept document stays as it is");
        let plain = Document::new("a/b", body);
        assert_eq!(plain.numbered(12).body, body);
        for at in [0, 3, 1000] {
            let astray = Document { version: Some(at), ..plain.clone() };
            assert_eq!(astray.numbered(12).body, body, "{at} is no digit's place");
        }
    }

    #[test]
    fn event_parameters_are_keyed_in_one_order() {
        let a = EventType::parse("dialog;B=1;a=2").expect("valid");
        let b = EventType::parse("dialog; a=2 ; b=1").expect("valid");
        assert_eq!(a.canonical(), b.canonical());
        assert_eq!(a.package(), "dialog");
    }
}
