//! Requests checked, answers printed, and answers remembered for repeats (3261 §8.2, §17.2).

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::Path;
use crate::sip::{
    io::is_reliable,
    message::{
        Message, Name, ParseError, StartLine, UriRef, print::Writer, print::reason_phrase, value,
    },
    stamp_via,
};

/// A request whose common headers are there and can be read.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) method: &'a str,
    /// The Request-URI.
    pub(super) uri: UriRef<'a>,
    pub(super) path: Path,
}

impl<'a> Request<'a> {
    /// Checks what every request must have. `fault` is what framing found wrong.
    pub(super) fn read(
        message: &'a Message<'a>,
        path: Path,
        fault: Option<ParseError>,
    ) -> Result<Self, Answer> {
        fault.map_or_else(|| message.check_grammar(), Err)?;
        // A line may not hold what would end one when it is written again.
        if message.fields().any(|f| f.value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))) {
            return Err(ParseError::HeaderLine.into());
        }
        message.top_via()?;
        for field in message.fields() {
            let single = matches!(
                field.name,
                Name::CSeq | Name::CallId | Name::From | Name::To | Name::Event | Name::Expires
            );
            if single {
                message.single(field.name)?;
            }
        }
        for name in [Name::CallId, Name::From, Name::To] {
            message.single(name)?;
        }
        let StartLine::Request { method, uri } = message.start else {
            return Err(ParseError::StartLine.into());
        };
        if message.cseq()?.method != method {
            return Err(ParseError::CSeqMethod.into());
        }
        let uri = UriRef::parse(uri).map_err(|_| ParseError::RequestUri)?;
        if !uri.is_sip() && !matches!(uri.scheme(), rsip::Scheme::Other(s) if s == "pres") {
            return Err(Answer::of(416));
        }
        Ok(Self { message, method, uri, path })
    }

    /// Names the transaction: branch, sent-by, and for those without a proper branch what RFC 2543
    /// went by (3261 §17.2.3).
    pub(super) fn key(&self) -> String {
        let get = |name| self.message.get(name).unwrap_or_default();
        let via = self.message.top_via().ok();
        let (host, port, branch) = via
            .map_or(("", None, ""), |via| (via.host, via.port, via.branch().unwrap_or_default()));
        format!(
            "{branch} {host}:{} {} {} {}",
            port.unwrap_or(5060),
            get(Name::CSeq),
            get(Name::CallId),
            get(Name::From)
        )
    }

    /// Returns whether copies of this request may come by themselves.
    pub(super) fn is_repeatable(&self) -> bool {
        !is_reliable(self.path.transport)
    }

    /// Returns where the answer goes.
    pub(super) fn way_back(&self) -> Path {
        way_back(self.message, self.path)
    }

    /// Returns what Expires asks for.
    pub(super) fn expires(&self) -> Result<Option<Duration>, Answer> {
        let Some(text) = self.message.get(Name::Expires) else { return Ok(None) };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::Malformed(Name::Expires).into());
        }
        // A number that does not fit is a very long time.
        let seconds = value::seconds(text).unwrap_or(u32::MAX);
        Ok(Some(Duration::from_secs(seconds.into())))
    }
}

/// Returns where an answer goes: over the connection of the request; for UDP to the source address,
/// at the source port when asked for, else at that of sent-by (3261 §18.2.2; 3581 §4).
pub(super) fn way_back(message: &Message<'_>, path: Path) -> Path {
    match message.top_via() {
        Ok(via) if !is_reliable(path.transport) && via.params.get("rport").is_none() => {
            let remote = SocketAddr::new(path.remote.ip(), via.port.unwrap_or(5060));
            Path { remote, ..path }
        }
        Ok(_) | Err(_) => path,
    }
}

/// What is answered: a code, its phrase, and headers beside the copied ones.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    reason: Cow<'static, str>,
    headers: Vec<(Name, String)>,
    /// The To tag of a dialog; other answers get one of their own.
    tag: Option<String>,
}

impl Answer {
    pub(super) fn of(code: u16) -> Self {
        Self { code, reason: reason_phrase(code).into(), headers: Vec::new(), tag: None }
    }

    pub(super) fn because(code: u16, reason: &'static str) -> Self {
        Self { reason: reason.into(), ..Self::of(code) }
    }

    pub(super) fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn with_tag(mut self, tag: String) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Prints the response: all Vias in order, From, To, Call-ID and CSeq copied (3261 §8.2.6.2).
    pub(super) fn print(
        &self,
        message: &Message<'_>,
        source: SocketAddr,
        fresh_tag: impl fmt::Display,
    ) -> Bytes {
        let mut out = Writer::response(self.code, &self.reason);
        for (at, field) in message.all(Name::Via).enumerate() {
            match field.text().ok().filter(|_| at == 0).and_then(|row| stamp_via(row, source)) {
                Some(stamped) => out.copied(Name::Via, stamped.as_bytes()),
                None => out.copied(Name::Via, field.value),
            }
        }
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(field) = message.all(name).next() else { continue };
            let untagged = |text: &&str| {
                name == Name::To && value::NameAddr::parse(text).is_ok_and(|to| to.tag().is_none())
            };
            match (field.text().ok().filter(untagged), &self.tag) {
                (Some(to), Some(tag)) => out.formatted(name, format_args!("{to};tag={tag}")),
                (Some(to), None) => out.formatted(name, format_args!("{to};tag={fresh_tag}")),
                (None, _) => out.copied(name, field.value),
            }
        }
        for (name, value) in &self.headers {
            out.copied(*name, value.as_bytes());
        }
        out.copied(Name::Server, SERVER.as_bytes());
        out.finish(b"")
    }
}

impl From<ParseError> for Answer {
    fn from(error: ParseError) -> Self {
        let code = match error {
            ParseError::Version => 505,
            ParseError::BodyTooLarge | ParseError::HeadTooLarge | ParseError::TooManyHeaders => 513,
            _ => 400,
        };
        Self { reason: error.to_string().into(), ..Self::of(code) }
    }
}

/// Answers kept until no copy of their request can come any more.
#[derive(Debug)]
pub(super) struct Answers {
    most: usize,
    octets: usize,
    answers: BTreeMap<String, Bytes>,
    /// Keys in the order of their ends.
    ends: VecDeque<(Instant, String)>,
}

impl Answers {
    pub(super) fn new(most: usize) -> Self {
        Self { most, octets: 0, answers: BTreeMap::new(), ends: VecDeque::new() }
    }

    /// Returns the answer that was given to this request.
    pub(super) fn get(&mut self, now: Instant, key: &str) -> Option<Bytes> {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
        self.answers.get(key).cloned()
    }

    /// Keeps an answer until `end`, which never moves back from one call to the next.
    pub(super) fn remember(&mut self, end: Instant, key: String, answer: Bytes) {
        self.octets += answer.len();
        self.ends.push_back((end, key.clone()));
        self.answers.insert(key, answer);
        while self.answers.len() > self.most || self.octets > MOST_OCTETS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ends.pop_front()
            && let Some(answer) = self.answers.remove(&key)
        {
            self.octets -= answer.len();
        }
    }
}

const SERVER: &str = concat!("puad-agent/", env!("CARGO_PKG_VERSION"));
/// Octets of all remembered answers; they are short unless somebody sends very long Vias.
const MOST_OCTETS: usize = 16 * 1024 * 1024;
