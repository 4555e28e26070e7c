//! Message waiting: `application/simple-message-summary` (RFC 3842).
//!
//! Lines of text, each ended by CRLF: the status, the account, one line of counts per class of
//! message, then a group of headers for each message worth naming. Whether the account has a
//! mailbox, and how full it is, is the script's business.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Serialize, Serializer};

use super::{Body, BodyError, Field, content_type, error::shown, parse::ParseError};
use crate::sip::message::{UriError, UriRef, is_token};

/// What a lamp and the display under it show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mwi {
    /// Whether messages are waiting. `None`: they are if any class counts a new one.
    pub waiting: Option<bool>,
    /// The URI to call for the messages, without angle brackets.
    pub account: Option<String>,
    /// Voice messages.
    pub voice: Option<Count>,
    /// Fax messages.
    pub fax: Option<Count>,
    /// Pager messages.
    pub pager: Option<Count>,
    /// Multimedia messages.
    pub multimedia: Option<Count>,
    /// Text messages.
    pub text: Option<Count>,
    /// Messages of other classes, by the name of the class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, Count>,
    /// Headers of single messages: names and values, a group for each message.
    #[serde(serialize_with = "as_tables")]
    pub headers: Vec<Vec<(String, String)>>,
}

/// How many messages of one class there are. A count can be no larger than 4294967295 (3842 §3.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Not listened to.
    pub new: u32,
    /// Listened to.
    pub old: u32,
    /// The urgent among the new. Urgent counts are written if either is given.
    pub urgent_new: Option<u32>,
    /// The urgent among the old.
    pub urgent_old: Option<u32>,
}

impl Mwi {
    /// Writes the document.
    ///
    /// # Errors
    /// When the account is no URI, or a header would break the lines.
    pub fn build(&self) -> Result<Body, BodyError> {
        let mut text = String::with_capacity(128);
        let waiting = if self.is_waiting() { "yes" } else { "no" };
        push(&mut text, format_args!("{STATUS}: {waiting}"));
        if let Some(account) = &self.account {
            check_account(account)?;
            push(&mut text, format_args!("{ACCOUNT}: {account}"));
        }
        for name in self.other.keys() {
            let is_known =
                [STATUS, ACCOUNT].iter().chain(&CLASSES).any(|k| name.eq_ignore_ascii_case(k));
            if is_known || !is_token(name.as_bytes()) {
                return Err(BodyError::Text {
                    field: Field::top("other").into(),
                    value: shown(name),
                    expected: "the name of another class of messages, such as \"video-message\"",
                });
            }
        }
        for (class, count) in self.classes() {
            push_count(&mut text, class, count);
        }
        for (index, message) in self.headers.iter().enumerate() {
            push_message(&mut text, Field::entry("headers", index), message)?;
        }
        Ok(Body::new(content_type::MESSAGE_SUMMARY, text.into()))
    }

    /// Returns what the status line says.
    pub fn is_waiting(&self) -> bool {
        self.waiting.unwrap_or_else(|| {
            self.classes().any(|(_, count)| count.new > 0 || count.urgent_new.unwrap_or(0) > 0)
        })
    }

    /// Yields the classes that are counted, by their names.
    fn classes(&self) -> impl Iterator<Item = (&str, Count)> {
        CLASSES
            .into_iter()
            .zip([self.voice, self.fax, self.pager, self.multimedia, self.text])
            .filter_map(|(class, count)| Some((class, count?)))
            .chain(self.other.iter().map(|(class, count)| (class.as_str(), *count)))
    }

    /// Reads a summary: the status line, then what else can be read of it.
    pub(super) fn read(text: &str) -> Result<Self, ParseError> {
        let mut lines = Lines::of(text);
        let (line, first) = lines.by_ref().find(|(_, line)| !line.is_empty()).unwrap_or_default();
        let waiting = named(&first).filter(|(name, _)| name.eq_ignore_ascii_case(STATUS));
        let waiting = match waiting.map(|(_, value)| value.to_ascii_lowercase()).as_deref() {
            Some("yes") => true,
            Some("no") => false,
            Some(_) | None => {
                return Err(ParseError::NoStatusLine { line: line.max(1), found: shown(&first) });
            }
        };
        let mut mwi = Self { waiting: Some(waiting), ..Self::default() };
        for (_, line) in lines.by_ref().take_while(|(_, line)| !line.is_empty()) {
            let Some((name, value)) = named(&line) else { continue };
            if name.eq_ignore_ascii_case(ACCOUNT) {
                let inner = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
                let account = inner.unwrap_or(value);
                mwi.account = (!account.is_empty()).then(|| account.to_owned());
            } else if let Some(count) = Count::of_line(value) {
                mwi.put(name, count);
            }
        }
        let mut message = Vec::new();
        for (_, line) in lines {
            if let Some((name, value)) = named(&line) {
                message.push((name.to_owned(), value.to_owned()));
            } else if line.is_empty() && !message.is_empty() {
                mwi.headers.push(std::mem::take(&mut message));
            }
        }
        mwi.headers.extend((!message.is_empty()).then_some(message));
        Ok(mwi)
    }

    fn put(&mut self, class: &str, count: Count) {
        let known =
            [&mut self.voice, &mut self.fax, &mut self.pager, &mut self.multimedia, &mut self.text];
        let at = CLASSES.iter().position(|known| class.eq_ignore_ascii_case(known));
        match at.and_then(|at| known.into_iter().nth(at)) {
            Some(place) => *place = Some(count),
            None => {
                self.other.insert(class.to_owned(), count);
            }
        }
    }
}

/// The lines of a summary without their ends, folded ones made one again, with their numbers.
struct Lines<'a> {
    rest: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text.lines().enumerate().peekable() }
    }
}

impl Iterator for Lines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (at, line) = self.rest.next()?;
        let mut line = line.trim_matches(BLANKS).to_owned();
        while !line.is_empty()
            && let Some((_, more)) = self.rest.next_if(|(_, next)| {
                next.starts_with(BLANKS) && !next.trim_matches(BLANKS).is_empty()
            })
        {
            line.push(' ');
            line.push_str(more.trim_matches(BLANKS));
        }
        Some((at + 1, line))
    }
}

/// Returns the two sides of a line's colon.
fn named(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end_matches(BLANKS);
    is_token(name.as_bytes()).then(|| (name, value.trim_matches(BLANKS)))
}

/// Writes each message as one table, in which a repeated header is a list with commas.
fn as_tables<S: Serializer>(
    headers: &[Vec<(String, String)>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.iter().map(|message| {
        let mut table: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in message {
            match table.get_mut(name.as_str()) {
                Some(before) => {
                    before.push_str(", ");
                    before.push_str(value);
                }
                None => {
                    table.insert(name, value.clone());
                }
            }
        }
        table
    }))
}

impl Count {
    /// Takes one count as a script has it: a number that may be anything.
    ///
    /// # Errors
    /// When it is not whole, negative, or larger than a summary may say.
    pub fn read(field: Field<'_>, value: f64) -> Result<u32, BodyError> {
        if value.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&value) {
            return Err(BodyError::Count { field: field.into(), value });
        }
        Ok(value as u32)
    }

    /// Reads `new/old` and perhaps `(new/old)` of the urgent ones, with blanks anywhere.
    fn of_line(text: &str) -> Option<Self> {
        let (counts, urgent) = match text.split_once('(') {
            Some((counts, urgent)) => (counts, Some(urgent.trim_end_matches(BLANKS))),
            None => (text, None),
        };
        let pair = |text: &str| {
            let (new, old) = text.split_once('/')?;
            Some((clamped(new)?, clamped(old)?))
        };
        let (new, old) = pair(counts)?;
        // Broken urgent counts do not take the others along.
        let urgent = urgent.and_then(|urgent| pair(urgent.strip_suffix(')')?));
        let (urgent_new, urgent_old) = urgent.unzip();
        Some(Self { new, old, urgent_new, urgent_old })
    }
}

/// Reads a count; one above what a summary can say is the most it can say (3842 §3.5).
fn clamped(text: &str) -> Option<u32> {
    let text = text.trim_matches(BLANKS);
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = write!(text, "{line}\r\n");
}

fn push_count(text: &mut String, class: &str, count: Count) {
    let Count { new, old, urgent_new, urgent_old } = count;
    if urgent_new.or(urgent_old).is_none() {
        return push(text, format_args!("{class}: {new}/{old}"));
    }
    let (urgent_new, urgent_old) = (urgent_new.unwrap_or(0), urgent_old.unwrap_or(0));
    push(text, format_args!("{class}: {new}/{old} ({urgent_new}/{urgent_old})"));
}

/// Writes one message's headers behind the empty line that begins a group (3842 §5.2).
fn push_message(
    text: &mut String,
    field: Field<'_>,
    message: &[(String, String)],
) -> Result<(), BodyError> {
    if message.is_empty() {
        return Err(BodyError::NoHeaders { field: field.into() });
    }
    push(text, format_args!(""));
    for (name, value) in message {
        if !is_token(name.as_bytes()) {
            return Err(BodyError::header_name(field, name));
        }
        if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(BodyError::HeaderValue { field: field.into(), name: name.clone() });
        }
        push(text, format_args!("{name}: {}", value.trim_matches(BLANKS)));
    }
    Ok(())
}

/// Checks the account. SIP's grammar knows only ASCII in URIs of any scheme (3842 §5.2, 3261 §25.1).
fn check_account(account: &str) -> Result<(), BodyError> {
    let field = Field::top("account");
    if !account.is_ascii() {
        return Err(BodyError::Uri {
            field: field.into(),
            reason: UriError::Character(shown(account)),
        });
    }
    UriRef::parse(account).map_err(|reason| BodyError::Uri { field: field.into(), reason })?;
    Ok(())
}

const STATUS: &str = "Messages-Waiting";
const ACCOUNT: &str = "Message-Account";
/// The classes with fields of their own, by their names in RFC 3458.
const CLASSES: [&str; 5] =
    ["Voice-Message", "Fax-Message", "Pager-Message", "Multimedia-Message", "Text-Message"];
const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built(mwi: &Mwi) -> String {
        let body = mwi.build().unwrap();
        assert_eq!(&*body.content_type, "application/simple-message-summary");
        String::from_utf8(body.text.to_vec()).unwrap()
    }

    fn count(new: u32, old: u32) -> Option<Count> {
        Some(Count { new, old, ..Count::default() })
    }

    #[test]
    fn pkg_06_the_smallest_summary_is_its_status_line() {
        let text = built(&Mwi { waiting: Some(false), ..Mwi::default() });
        assert_eq!(text, "Messages-Waiting: no\r\n");
        assert_eq!(text.len(), 20 + 2);
    }

    #[test]
    fn pkg_06_status_account_and_a_line_per_class_in_this_order() {
        let text = built(&Mwi {
            account: Some("sip:vm@example.com;user=phone".into()),
            text: count(0, 4),
            multimedia: count(0, 3),
            pager: count(0, 2),
            fax: count(0, 1),
            voice: Some(Count { new: 2, old: 8, urgent_new: Some(0), urgent_old: Some(2) }),
            ..Mwi::default()
        });
        assert_eq!(
            text,
            "Messages-Waiting: yes\r\n\
             Message-Account: sip:vm@example.com;user=phone\r\n\
             Voice-Message: 2/8 (0/2)\r\n\
             Fax-Message: 0/1\r\n\
             Pager-Message: 0/2\r\n\
             Multimedia-Message: 0/3\r\n\
             Text-Message: 0/4\r\n"
        );
    }

    #[test]
    fn waiting_follows_from_new_messages_unless_it_is_said() {
        let waiting = |mwi: Mwi| built(&mwi).lines().next().unwrap().to_owned();
        let yes = "Messages-Waiting: yes";
        let no = "Messages-Waiting: no";
        assert_eq!(waiting(Mwi::default()), no);
        assert_eq!(waiting(Mwi { voice: count(0, 9), ..Mwi::default() }), no);
        assert_eq!(waiting(Mwi { voice: count(0, 9), text: count(1, 0), ..Mwi::default() }), yes);
        let urgent = Count { urgent_new: Some(1), ..Count::default() };
        assert_eq!(waiting(Mwi { fax: Some(urgent), ..Mwi::default() }), yes);
        // The author knows better: some lamps are meant to stay on for old messages.
        let said = Mwi { waiting: Some(true), voice: count(0, 9), ..Mwi::default() };
        assert_eq!(waiting(said), yes);
        let said = Mwi { waiting: Some(false), voice: count(3, 0), ..Mwi::default() };
        assert_eq!(waiting(said), no);
    }

    #[test]
    fn one_urgent_count_makes_the_other_zero() {
        let voice = Some(Count { new: 1, old: 1, urgent_new: None, urgent_old: Some(1) });
        let text = built(&Mwi { voice, ..Mwi::default() });
        assert!(text.ends_with("\r\nVoice-Message: 1/1 (0/1)\r\n"), "{text}");
    }

    #[test]
    fn pkg_04_a_count_above_4294967295_is_never_written() {
        let field = Field::of("voice", "new");
        assert_eq!(Count::read(field, 4_294_967_295.0), Ok(u32::MAX));
        assert_eq!(Count::read(field, 0.0), Ok(0));
        assert_eq!(
            Count::read(field, 4_294_967_296.0).unwrap_err().to_string(),
            "voice.new: 4294967296 is not a number of messages (a whole number from 0 to 4294967295)"
        );
        for bad in [-1.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Count::read(field, bad).is_err(), "{bad}");
        }
        let text = built(&Mwi { voice: count(u32::MAX, 0), ..Mwi::default() });
        assert!(text.ends_with("Voice-Message: 4294967295/0\r\n"), "{text}");
    }

    #[test]
    fn pkg_05_messages_follow_in_groups_behind_empty_lines() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = built(&Mwi {
            voice: count(2, 0),
            headers: vec![
                vec![header("Subject", "lunch?"), header("Message-ID", "17@vm.example.com")],
                vec![header("Subject", "käse: morgen")],
            ],
            ..Mwi::default()
        });
        assert_eq!(
            text,
            "Messages-Waiting: yes\r\n\
             Voice-Message: 2/0\r\n\
             \r\n\
             Subject: lunch?\r\n\
             Message-ID: 17@vm.example.com\r\n\
             \r\n\
             Subject: käse: morgen\r\n"
        );
    }

    #[test]
    fn a_header_that_would_break_the_lines_is_refused() {
        let refused = |name: &str, value: &str| {
            let ok = vec![("Subject".to_owned(), "x".to_owned())];
            let headers = vec![ok, vec![(name.to_owned(), value.to_owned())]];
            Mwi { headers, ..Mwi::default() }.build().unwrap_err().to_string()
        };
        for value in ["a\r\nVoice-Message: 9/9", "a\nb", "a\rb", "a\0b", "a\u{7f}b"] {
            assert_eq!(
                refused("Subject", value),
                "headers[2]: the value of Subject holds a line break, a NUL or another control character"
            );
        }
        assert_eq!(refused("Sub ject", "x"), r#"headers[2]: "Sub ject" is not a header name"#);
        assert_eq!(refused("", "x"), r#"headers[2]: "" is not a header name"#);
        let headers = vec![vec![]];
        assert_eq!(
            Mwi { headers, ..Mwi::default() }.build().unwrap_err().to_string(),
            "headers[1]: give at least one header of the message"
        );
    }

    #[test]
    fn the_account_is_one_uri_without_blanks_or_brackets() {
        let build = |account: &str| Mwi { account: Some(account.into()), ..Mwi::default() }.build();
        for good in ["sip:a@example.com", "sips:a@example.com:5071", "tel:+4930123"] {
            assert!(build(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "alice",
            "sip:a b@example.com",
            "<sip:a@example.com>",
            "tel:1 2",
            "sip:a@example.com\r\nVoice-Message: 9/9",
            "tel:1\n2",
            "http://exämple.com",
        ] {
            let error = build(bad).unwrap_err().to_string();
            assert!(error.starts_with("account: "), "{bad:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_adds_a_line(
            account in "(?s)((sip|tel|x):)?[a-z@;]{0,8}.{0,2}[a-z]{0,8}",
            name in "[a-zA-Z-]{1,8}|(?s).{0,8}",
            value in "(?s)[a-z \r\n]{0,8}|\\PC*",
        ) {
            let headers = vec![vec![(name.clone(), value)]];
            let mwi = Mwi { voice: count(1, 0), headers, ..Mwi::default() };
            if let Ok(body) = mwi.build() {
                let text = String::from_utf8(body.text.to_vec()).unwrap();
                let lines: Vec<_> = text.split("\r\n").collect();
                prop_assert_eq!(lines.len(), 5, "{:?}", &text);
                let start = format!("{name}: ");
                prop_assert!(lines[3].starts_with(&start), "{:?}", &text);
                prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
            }
            let mwi = Mwi { account: Some(account.clone()), ..Mwi::default() };
            if let Ok(body) = mwi.build() {
                let expected = format!("Messages-Waiting: no\r\nMessage-Account: {account}\r\n");
                prop_assert_eq!(&*body.text, expected.as_bytes());
            }
        }
    }
}
