//! The server of one case: grants what is published, unless the case has said how to answer.
//!
//! It keeps entity-tags and lets them run out as a real one does (3903 §6), so that what a script
//! meets is what it would meet outside.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::super::clock::Clock;
use crate::{
    driver::staged::Peer,
    sip::message::{
        Index, Message, Name, StartLine, is_token,
        print::{Writer, reason_phrase},
        value::seconds,
    },
};

/// The server, as the case sees it.
pub(in crate::script) struct Server {
    clock: Clock,
    state: RefCell<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    /// How the next requests are answered.
    answers: VecDeque<Answer>,
    /// Requests the case has not looked at yet.
    requests: VecDeque<Request>,
    /// Entity-tags, and when they run out.
    held: BTreeMap<String, Instant>,
    granted: u64,
}

/// How one request is to be answered.
#[derive(Debug, Clone)]
pub(in crate::script) struct Answer {
    pub(in crate::script) code: u16,
    pub(in crate::script) headers: Vec<(String, String)>,
}

/// A PUBLISH that came, and what became of it.
#[derive(Debug, Clone)]
pub(in crate::script) struct Request {
    pub(in crate::script) presentity_uri: String,
    pub(in crate::script) event: Option<String>,
    pub(in crate::script) operation: Operation,
    pub(in crate::script) expires: Option<u32>,
    /// SIP-If-Match.
    pub(in crate::script) entity_tag: Option<String>,
    pub(in crate::script) content_type: Option<String>,
    pub(in crate::script) headers: Vec<(String, String)>,
    pub(in crate::script) body: Vec<u8>,
    /// Since the case began.
    pub(in crate::script) at: Duration,
    /// The code it was answered with.
    pub(in crate::script) status: u16,
    /// The entity-tag it was given.
    pub(in crate::script) granted_tag: Option<String>,
}

/// What a PUBLISH does to the state (3903 §4.1, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) enum Operation {
    Initial,
    Refresh,
    Modify,
    Remove,
}

impl Operation {
    pub(in crate::script) const ALL: [(&str, Self); 4] = [
        ("initial", Self::Initial),
        ("refresh", Self::Refresh),
        ("modify", Self::Modify),
        ("remove", Self::Remove),
    ];

    pub(in crate::script) fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Refresh => "refresh",
            Self::Modify => "modify",
            Self::Remove => "remove",
        }
    }
}

impl Server {
    pub(super) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, state: RefCell::default(), arrived: Notify::new() })
    }

    /// Returns the far end of the driver's flows.
    pub(super) fn peer(self: &Rc<Self>) -> Peer {
        let (server, mut index) = (self.clone(), Index::default());
        Box::new(move |bytes| {
            let Ok(message) = index.read(bytes, MOST_HEADERS) else { return Vec::new() };
            match message.start {
                StartLine::Request { method, uri } => {
                    vec![server.serve(method, uri, &message)]
                }
                // Nobody has asked for answers, and the core prints no bad lines.
                StartLine::Response { .. }
                | StartLine::BadRequest(_)
                | StartLine::BadResponse(_) => Vec::new(),
            }
        })
    }

    /// Says how the next request is to be answered that nothing has been said about yet.
    pub(in crate::script) fn answer(&self, answer: Answer) {
        self.state.borrow_mut().answers.push_back(answer);
    }

    /// Takes the next request, and waits for it for a while.
    pub(super) async fn next(&self, within: Duration) -> Option<Request> {
        let taken = async {
            loop {
                if let Some(request) = self.take() {
                    return request;
                }
                self.arrived.notified().await;
            }
        };
        tokio::time::timeout(within, taken).await.ok()
    }

    /// Takes the next request that is there.
    pub(in crate::script) fn take(&self) -> Option<Request> {
        self.state.borrow_mut().requests.pop_front()
    }

    fn serve(&self, method: &str, uri: &str, message: &Message<'_>) -> Bytes {
        if method != "PUBLISH" {
            return reply(message, &Answer { code: 501, headers: Vec::new() });
        }
        let mut state = self.state.borrow_mut();
        let now = self.clock.now();
        let mut request = read(uri, message);
        request.at = self.clock.elapsed();
        let answer = match state.answers.pop_front() {
            Some(answer) => answer,
            None if state.knows(&request, now) => Answer { code: 200, headers: Vec::new() },
            None => Answer { code: 412, headers: Vec::new() },
        };
        let answer = state.apply(&mut request, answer, now);
        request.status = answer.code;
        state.requests.push_back(request);
        self.arrived.notify_one();
        reply(message, &answer)
    }
}

impl State {
    /// Returns whether the entity-tag a request names, if it does, is one that has been given.
    fn knows(&self, request: &Request, now: Instant) -> bool {
        request
            .entity_tag
            .as_ref()
            .is_none_or(|tag| self.held.get(tag).is_some_and(|until| *until > now))
    }

    /// Does what an answer says, and completes it with what a server has to say in it.
    fn apply(&mut self, request: &mut Request, mut answer: Answer, now: Instant) -> Answer {
        let old = request.entity_tag.as_ref();
        if answer.code == 412 {
            old.map(|tag| self.held.remove(tag));
        }
        if !(200..300).contains(&answer.code) {
            return answer;
        }
        let said = |name: &str| {
            let mut headers = answer.headers.iter();
            headers
                .find(|(said, _)| said.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let (tag, expires) = (said("SIP-ETag"), said("Expires"));
        old.map(|tag| self.held.remove(tag));
        let granted = match &expires {
            Some(expires) => seconds(expires).unwrap_or(USUAL_EXPIRES),
            None => request.expires.unwrap_or(USUAL_EXPIRES),
        };
        if expires.is_none() {
            answer.headers.push(("Expires".into(), granted.to_string()));
        }
        let tag = tag.unwrap_or_else(|| {
            self.granted += 1;
            let tag = format!("tag-{}", self.granted);
            answer.headers.push(("SIP-ETag".into(), tag.clone()));
            tag
        });
        if granted > 0 {
            self.held.insert(tag.clone(), now + Duration::from_secs(granted.into()));
        }
        request.granted_tag = Some(tag);
        answer
    }
}

fn read(uri: &str, message: &Message<'_>) -> Request {
    let text = |name| message.get(name).map(str::to_owned);
    let expires = message.get(Name::Expires).and_then(seconds);
    let entity_tag = text(Name::SipIfMatch);
    let operation = match (&entity_tag, expires, message.body.is_empty()) {
        (None, _, _) => Operation::Initial,
        (Some(_), Some(0), _) => Operation::Remove,
        (Some(_), _, true) => Operation::Refresh,
        (Some(_), _, false) => Operation::Modify,
    };
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Request {
        presentity_uri: uri.into(),
        event: text(Name::Event),
        operation,
        expires,
        entity_tag,
        content_type: text(Name::ContentType),
        headers: message
            .fields()
            .map(|field| (shown(field.raw_name), shown(field.value)))
            .collect(),
        body: message.body.to_vec(),
        at: Duration::ZERO,
        status: 0,
        granted_tag: None,
    }
}

/// Writes a response (3261 §8.2.6).
fn reply(message: &Message<'_>, answer: &Answer) -> Bytes {
    let mut out = Writer::response(answer.code, reason_phrase(answer.code));
    for field in message.fields() {
        if matches!(field.name, Name::Via | Name::From | Name::CallId | Name::CSeq) {
            out.copied(field.name, field.value);
        } else if field.name == Name::To {
            let mut to = field.value.to_vec();
            if !field.value.windows(5).any(|part| part == b";tag=") {
                to.extend_from_slice(b";tag=server");
            }
            out.copied(Name::To, &to);
        }
    }
    for (name, value) in &answer.headers {
        out.named(name, value);
    }
    out.finish(b"")
}

impl Answer {
    /// Makes one; the text says what is wrong with a header.
    pub(in crate::script) fn new(
        code: u16,
        headers: Vec<(String, String)>,
    ) -> Result<Self, String> {
        for (name, value) in &headers {
            if !is_token(name.as_bytes()) {
                return Err(format!("{name:?} is not the name of a header"));
            }
            if value.contains(['\r', '\n', '\0']) {
                return Err(format!("the value of {name} holds a line break or a NUL"));
            }
        }
        Ok(Self { code, headers })
    }
}

/// What is granted when nobody asks for something (as Kamailio's `presence` does).
const USUAL_EXPIRES: u32 = 3600;
const MOST_HEADERS: usize = 1024;
