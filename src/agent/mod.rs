//! A small presence agent: an event state compositor (3903 §6) and a notifier (6665 §4.2).
//!
//! It is the server that `puad demo`, tests and script tests talk to, and no part of the SIP core,
//! of which it shares reading, printing and the client transaction. [`Agent`] is pure: bytes and
//! the time in, bytes and a deadline out. [`Server`] puts one on UDP and TCP.
//!
//! It serves every resource, lets everybody watch who may ask at all, and opens no connections:
//! a NOTIFY goes back the way its SUBSCRIBE came. Several publications of one resource are not
//! composed; watchers get the newest.

mod compositor;
mod dialog;
mod digest;
mod notifier;
mod publish;
mod request;
mod serve;
mod settings;
mod subscribe;

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use bytes::Bytes;

use crate::sip::{
    self,
    ids::Ids,
    io::FlowId,
    message::{Index, Message, Name, ParseError, StartLine, frame, value},
};
use compositor::{Compositor, Operation};
pub use compositor::{Publication, Topic};
use digest::Nonces;
use notifier::Subscriptions;
use request::{Answer, Answers, Request};
pub use serve::{Server, StartError};
pub use settings::{Counters, Digest, Expires, Limits, Mood, Settings};

/// The way a message came or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The socket: a listening one for UDP, a connection for TCP. Chosen by the caller.
    pub flow: FlowId,
    /// Whether messages may be lost on it.
    pub transport: rsip::Transport,
    /// The other end.
    pub remote: SocketAddr,
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// One whole message.
    pub message: Bytes,
}

/// Compositor and notifier without sockets or a clock.
///
/// After every call that takes `now`, drain [`poll_transmit`](Self::poll_transmit), and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use puad::{agent::{Agent, Path, Settings}, sip::io::FlowId};
///
/// let local = "192.0.2.1:5060".parse().unwrap();
/// let mut agent = Agent::new(Settings::default(), local, [7; 32], Instant::now());
/// let path = Path {
///     flow: FlowId(1),
///     transport: rsip::Transport::Udp,
///     remote: "192.0.2.10:5070".parse().unwrap(),
/// };
/// let options = "OPTIONS sip:192.0.2.1 SIP/2.0\r\n\
///     Via: SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bK1\r\n\
///     From: <sip:a@192.0.2.10>;tag=1\r\nTo: <sip:192.0.2.1>\r\n\
///     Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
/// agent.handle_message(Instant::now(), path, options.as_bytes());
/// let answer = agent.poll_transmit().unwrap();
/// assert!(answer.message.starts_with(b"SIP/2.0 200 OK\r\n"));
/// ```
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    /// `limits` in the words of the frame reader.
    frame: sip::Limits,
    local: SocketAddr,
    ids: Ids,
    index: Index,
    compositor: Compositor,
    subscriptions: Subscriptions,
    answers: Answers,
    nonces: Nonces,
    mood: Mood,
    counters: Counters,
    outputs: VecDeque<Transmit>,
}

/// What follows an answer once it is on its way.
#[derive(Debug, Default)]
enum After {
    #[default]
    Nothing,
    /// The document of a topic is another one: its watchers hear of it.
    Changed(Topic),
    /// A subscription was made or refreshed: its watcher gets the document (6665 §4.2.1.2).
    Subscribed(u64),
}

/// An answer and what follows it, or a refusal.
type Served = Result<(Answer, After), Answer>;

impl Agent {
    /// Makes an agent that writes `local` into Via and Contact. The same seed gives the same bytes.
    pub fn new(settings: Settings, local: SocketAddr, seed: [u8; 32], now: Instant) -> Self {
        let mut ids = Ids::new(seed);
        let limits = &settings.limits;
        let frame = sip::Limits {
            head: limits.head,
            headers: limits.headers,
            body: limits.body,
            ..sip::Limits::default()
        };
        Self {
            frame,
            local,
            index: Index::default(),
            compositor: Compositor::default(),
            subscriptions: Subscriptions::default(),
            answers: Answers::new(limits.answers),
            nonces: Nonces::new(ids.key(), now),
            mood: Mood::Normal,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            ids,
            settings,
        }
    }

    /// Takes one whole message: a datagram, or a message cut from a stream.
    pub fn handle_message(&mut self, now: Instant, path: Path, bytes: &[u8]) {
        self.receive(now, path, bytes, None);
    }

    /// Takes the head of a stream message after which no other can be found.
    pub(crate) fn handle_broken(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        error: ParseError,
    ) {
        self.receive(now, path, bytes, Some(error));
    }

    /// Returns the next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.compositor.poll_timeout(), self.subscriptions.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets run out what has run out, and repeats what was not answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        for topic in self.compositor.expire(now) {
            self.tell_watchers(now, &topic);
        }
        self.subscriptions_timeout(now);
    }

    /// Changes how requests are treated from now on.
    pub fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
        if mood == Mood::Forget {
            self.compositor = Compositor::default();
            self.subscriptions = Subscriptions::default();
            self.answers = Answers::new(self.settings.limits.answers);
            self.mood = Mood::Normal;
        }
    }

    /// Returns the live publications, ordered by resource, event and age of the document.
    pub fn publications(&self) -> Vec<Publication> {
        self.compositor.publications()
    }

    /// Returns the number of subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn receive(&mut self, now: Instant, path: Path, bytes: &[u8], fault: Option<ParseError>) {
        // What ran out before this message came must not be seen by it.
        self.handle_timeout(now);
        let mut index = std::mem::take(&mut self.index);
        match frame::datagram(&mut index, bytes, &self.frame) {
            frame::Datagram::Message(message) => self.dispatch(now, path, &message, fault),
            frame::Datagram::Faulty(message, error) => {
                self.dispatch(now, path, &message, fault.or(Some(error)))
            }
            frame::Datagram::Noise => {}
            frame::Datagram::Unreadable(_) => self.counters.malformed += 1,
        }
        self.index = index;
    }

    fn dispatch(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        fault: Option<ParseError>,
    ) {
        match message.start {
            StartLine::Response { code, .. } => self.handle_notify_answer(now, message, code),
            StartLine::BadResponse(_) => self.counters.malformed += 1,
            // An ACK is never answered.
            StartLine::Request { method: "ACK", .. } => {}
            StartLine::Request { .. } | StartLine::BadRequest(_) => {
                self.handle_request(now, path, message, fault)
            }
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        fault: Option<ParseError>,
    ) {
        let request = match Request::read(message, path, fault) {
            Ok(request) => request,
            Err(refusal) => {
                self.counters.malformed += 1;
                return self.respond(path, message, &refusal);
            }
        };
        let key = request.key();
        if let Some(answer) = self.answers.get(now, &key) {
            self.counters.repeats += 1;
            return self.send(request.way_back(), answer);
        }
        self.count(&request);
        if self.mood == Mood::Silent {
            return;
        }
        let (answer, after) =
            self.serve(now, &request).unwrap_or_else(|refusal| (refusal, After::Nothing));
        match answer.code {
            401 => self.counters.challenged += 1,
            300.. => self.counters.refused += 1,
            _ => {}
        }
        let response = answer.print(message, path.remote, self.ids.token());
        if request.is_repeatable() {
            // 64·T1, as long as a copy may come (3261 §17.2.2).
            self.answers.remember(now + self.settings.timing.timer_f(), key, response.clone());
        }
        self.send(request.way_back(), response);
        match after {
            After::Nothing => {}
            After::Changed(topic) => self.tell_watchers(now, &topic),
            After::Subscribed(id) => self.notify(now, id),
        }
    }

    fn count(&mut self, request: &Request<'_>) {
        let counters = &mut self.counters;
        let count = match request.method {
            "PUBLISH" => match Operation::of(request) {
                Operation::Initial => &mut counters.initial,
                Operation::Refresh => &mut counters.refresh,
                Operation::Modify => &mut counters.modify,
                Operation::Remove => &mut counters.remove,
            },
            "SUBSCRIBE" => &mut counters.subscribe,
            "OPTIONS" => &mut counters.options,
            _ => &mut counters.other,
        };
        *count += 1;
    }

    fn serve(&mut self, now: Instant, request: &Request<'_>) -> Served {
        if !matches!(request.method, "PUBLISH" | "SUBSCRIBE" | "OPTIONS") {
            return Err(Answer::of(405).with(Name::Allow, ALLOW));
        }
        let required: Vec<_> =
            request.message.list(Name::Require).filter(|option| !option.is_empty()).collect();
        if !required.iter().all(|option| sip::message::is_token(option.as_bytes())) {
            return Err(ParseError::Malformed(Name::Require).into());
        }
        if !required.is_empty() {
            return Err(Answer::of(420).with(Name::Unsupported, required.join(", ")));
        }
        match request.method {
            "PUBLISH" => self.publish(now, request),
            "SUBSCRIBE" => self.subscribe(now, request),
            _ => Ok((self.capabilities(), After::Nothing)),
        }
    }

    /// The answer to OPTIONS (3261 §11.2).
    fn capabilities(&self) -> Answer {
        Answer::of(200)
            .with(Name::Allow, ALLOW)
            .with(Name::AllowEvents, settings::allow_events())
            .with(Name::Accept, settings::PACKAGES.map(|(_, document)| document).join(", "))
            .with(Name::Supported, "")
    }

    /// Reads Event: what is published or watched (3903 §6 step 2; 6665 §8.2.1).
    fn topic(&self, request: &Request<'_>) -> Result<(Topic, String), Answer> {
        let refusal = || Answer::of(489).with(Name::AllowEvents, settings::allow_events());
        let Some(event) = request.message.get(Name::Event) else { return Err(refusal()) };
        let (package, params) = event.split_at(event.find(';').unwrap_or(event.len()));
        let package = package.trim_end();
        let malformed = || Answer::from(ParseError::Malformed(Name::Event));
        if !sip::message::is_token(package.as_bytes()) {
            return Err(malformed());
        }
        if !self.settings.any_event && settings::document_type(package).is_none() {
            return Err(refusal());
        }
        let params = value::Params::parse(params).map_err(|()| malformed())?;
        Ok((Topic::new(request.uri, package, params), package.to_owned()))
    }

    fn respond(&mut self, path: Path, message: &Message<'_>, answer: &Answer) {
        // Without any Via nobody expects an answer.
        if message.all(Name::Via).next().is_some() {
            let response = answer.print(message, path.remote, self.ids.token());
            self.send(request::way_back(message, path), response);
        }
    }

    fn send(&mut self, path: Path, message: Bytes) {
        self.outputs.push_back(Transmit { path, message });
    }
}

/// What the agent takes.
const ALLOW: &str = "PUBLISH, SUBSCRIBE, OPTIONS";
