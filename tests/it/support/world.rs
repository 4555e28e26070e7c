//! Clock, wire and peer: time jumps to whatever comes next.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use puad::{
    command::{
        Change, Command, Document, EventType, Failure, Key, Owner, PublicationEvent,
        PublicationInfo, Publish, Published, Reply,
    },
    sip::{
        Config, Uac,
        io::{DnsError, Event, FlowError, FlowId, Hop, Input, Output, Record, Ticket, UnixMillis},
        message::Uri,
    },
};

use super::Sip;

/// Where the peer listens, and where puad is bound.
pub const PEER: &str = "192.0.2.1:5060";
pub const LOCAL: &str = "192.0.2.10:5070";
pub const ALICE: &str = "sip:alice@192.0.2.1";

/// Time of arrival and request in, answers and their delays in seconds out.
pub type Peer = dyn FnMut(f64, &Sip) -> Vec<(f64, Vec<u8>)>;

/// One core and everything around it.
pub struct World {
    pub uac: Uac,
    pub start: Instant,
    pub now: Instant,
    /// Everything that left, in order.
    pub sent: Vec<Sent>,
    pub replies: BTreeMap<Ticket, (f64, Reply)>,
    pub events: Vec<(f64, PublicationEvent)>,
    /// Hops whose opening was asked for, and flows closed by puad.
    pub opened: Vec<Hop>,
    pub closed: Vec<FlowId>,
    pub queries: Vec<String>,
    /// What resolvers say; other names do not exist.
    pub dns: BTreeMap<String, Result<Vec<IpAddr>, DnsError>>,
    /// How opening a flow ends; `None`: never.
    pub opening: Box<dyn FnMut(Hop) -> Option<Result<(), FlowError>>>,
    /// What the peer does with a request: answers and their delays in seconds.
    pub peer: Box<Peer>,
    pub flows: BTreeMap<FlowId, Hop>,
    transit: BTreeMap<(Instant, u64), Arriving>,
    order: u64,
    next_ticket: u64,
    deadline: Option<Instant>,
}

/// Something that left.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Seconds since the start.
    pub at: f64,
    pub flow: FlowId,
    pub to: SocketAddr,
    /// The transport of the flow.
    pub transport: rsip::Transport,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn sip(&self) -> Sip {
        Sip::parse(&self.bytes)
    }
}

enum Arriving {
    Bytes { flow: FlowId, source: SocketAddr, bytes: Vec<u8> },
    Opened { flow: FlowId, hop: Hop },
    Failed { flow: FlowId, error: FlowError },
    Answer { query: puad::sip::io::QueryId, name: String },
}

pub const UDP_LISTENER: FlowId = FlowId(FlowId::FIRST_FOREIGN);
pub const TCP_LISTENER: FlowId = FlowId(FlowId::FIRST_FOREIGN + 1);

impl World {
    /// A core with this configuration, bound to `LOCAL`, and a peer that never answers.
    pub fn with_config(config: Config) -> Self {
        Self::seeded(config, [42; 32])
    }

    pub fn seeded(config: Config, seed: [u8; 32]) -> Self {
        let start = Instant::now();
        let uac = Uac::new(config, seed, start, UnixMillis(1_700_000_000_000));
        let mut world = Self {
            uac,
            start,
            now: start,
            sent: Vec::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            queries: Vec::new(),
            dns: BTreeMap::new(),
            opening: Box::new(|_| Some(Ok(()))),
            peer: Box::new(|_, _| Vec::new()),
            flows: BTreeMap::new(),
            transit: BTreeMap::new(),
            order: 0,
            next_ticket: 0,
            deadline: None,
        };
        let local = LOCAL.parse().expect("an address");
        for (flow, transport) in
            [(UDP_LISTENER, rsip::Transport::Udp), (TCP_LISTENER, rsip::Transport::Tcp)]
        {
            world.input(Input::FlowAccepted { flow, transport, local, remote: None });
        }
        world
    }

    /// A core with default settings and a peer that never answers.
    pub fn silent() -> Self {
        Self::with_config(Config::default())
    }

    /// A core with default settings and a peer that answers each request by one response at once.
    pub fn with_peer(mut answer: impl FnMut(&Sip) -> Vec<u8> + 'static) -> Self {
        let mut world = Self::silent();
        world.peer = Box::new(move |_, request| vec![(0.0, answer(request))]);
        world
    }

    /// A peer that grants everything with tags t1, t2, …
    pub fn granting(expires: u32) -> Self {
        let mut count = 0;
        Self::with_peer(move |request| {
            count += 1;
            request.granted(&format!("t{count}"), expires)
        })
    }

    pub fn elapsed(&self) -> f64 {
        round(self.now.duration_since(self.start))
    }

    /// Gives the core an input and does what it asks for.
    pub fn input(&mut self, input: Input<'_>) {
        self.uac.handle_input(self.now, input);
        loop {
            match self.uac.poll_output() {
                Output::Timeout(deadline) => {
                    self.deadline = deadline.map(|d| d.at);
                    return;
                }
                Output::Transmit { flow, to, message } => self.transmit(flow, to, message.to_vec()),
                Output::Open { flow, hop } => {
                    self.opened.push(hop);
                    match (self.opening)(hop) {
                        Some(Ok(())) => self.later(0.0, Arriving::Opened { flow, hop }),
                        Some(Err(error)) => self.later(0.0, Arriving::Failed { flow, error }),
                        None => {}
                    }
                }
                Output::Close { flow } => {
                    self.flows.remove(&flow);
                    self.closed.push(flow);
                }
                Output::Query { id, question: puad::sip::io::Question::Addresses(name) } => {
                    self.queries.push(name.clone());
                    self.later(0.0, Arriving::Answer { query: id, name });
                }
                Output::Reply { ticket, outcome } => {
                    let at = self.elapsed();
                    assert!(
                        self.replies.insert(ticket, (at, outcome)).is_none(),
                        "one ticket, two replies"
                    );
                }
                Output::Event(Event::Publication(event)) => {
                    self.events.push((self.elapsed(), *event))
                }
            }
        }
    }

    fn transmit(&mut self, flow: FlowId, to: SocketAddr, bytes: Vec<u8>) {
        let transport = match self.flows.get(&flow) {
            Some(hop) => {
                assert_eq!(hop.remote, to, "a connected flow has one remote");
                hop.transport
            }
            None => rsip::Transport::Udp,
        };
        self.sent.push(Sent { at: self.elapsed(), flow, to, transport, bytes: bytes.clone() });
        if bytes.len() < 5 || bytes.starts_with(b"SIP/2.0") {
            return;
        }
        let request = Sip::parse(&bytes);
        let at = self.elapsed();
        for (delay, answer) in (self.peer)(at, &request) {
            self.later(delay, Arriving::Bytes { flow, source: to, bytes: answer });
        }
    }

    fn later(&mut self, delay: f64, what: Arriving) {
        self.order += 1;
        self.transit.insert((self.now + Duration::from_secs_f64(delay), self.order), what);
    }

    /// Lets bytes arrive on a flow after a delay.
    pub fn arrive(&mut self, delay: f64, flow: FlowId, source: &str, bytes: &[u8]) {
        let source = source.parse().expect("an address");
        self.later(delay, Arriving::Bytes { flow, source, bytes: bytes.to_vec() });
    }

    /// Lets a flow fail after a delay.
    pub fn fail(&mut self, delay: f64, flow: FlowId, error: FlowError) {
        self.later(delay, Arriving::Failed { flow, error });
    }

    /// Moves the clock, firing everything on the way.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.transit.keys().next().map(|(at, _)| *at);
            let next = [arrival, self.deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, what) = self.transit.pop_first().expect("just seen");
                self.happen(what);
            } else {
                self.input(Input::Timeout);
            }
        }
        self.now = end;
    }

    fn happen(&mut self, what: Arriving) {
        match what {
            Arriving::Bytes { flow, source, bytes } => {
                self.input(Input::Received { flow, source, message: &bytes })
            }
            Arriving::Opened { flow, hop } => {
                self.flows.insert(flow, hop);
                let local: SocketAddr = LOCAL.parse().expect("an address");
                let port = if hop.is_reliable() { 40_000 + flow.0 as u16 } else { local.port() };
                let local = SocketAddr::new(local.ip(), port);
                self.input(Input::FlowOpened { flow, local, remote: hop.remote });
            }
            Arriving::Failed { flow, error } => {
                self.flows.remove(&flow);
                self.input(Input::FlowFailed { flow, error });
            }
            Arriving::Answer { query, name } => {
                let known = self.dns.get(&name).cloned().unwrap_or(Err(DnsError::NotFound));
                let ttl = Duration::from_secs(60);
                let records = known
                    .map(|ips| ips.into_iter().map(|address| Record { address, ttl }).collect());
                self.input(Input::Answer { query, records });
            }
        }
    }

    pub fn command(&mut self, command: Command) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.input(Input::Command(ticket, command));
        ticket
    }

    /// Publishes and lets everything that takes no time happen.
    pub fn publish(&mut self, publish: Publish) -> Ticket {
        let ticket = self.command(Command::Publish(Box::new(publish)));
        self.run_for(Duration::ZERO);
        ticket
    }

    /// Removes a publication of [`presence`]'s owner, and lets everything that takes no time happen.
    pub fn remove(&mut self, key: Key) -> Ticket {
        let owner = Owner::Script("test".into());
        let ticket = self.command(Command::Remove { owner, key, timeout: None });
        self.run_for(Duration::ZERO);
        ticket
    }

    /// Refreshes likewise.
    pub fn refresh(&mut self, key: Key) -> Ticket {
        let owner = Owner::Script("test".into());
        let ticket = self.command(Command::Refresh { owner, key, timeout: None });
        self.run_for(Duration::ZERO);
        ticket
    }

    /// The outcome of a publish that has ended.
    pub fn outcome(&self, ticket: Ticket) -> Result<Published, Failure> {
        match &self.replies.get(&ticket).expect("the call has ended").1 {
            Reply::Publication(result) => result.clone(),
            other => panic!("not the reply to a publish: {other:?}"),
        }
    }

    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        !self.replies.contains_key(&ticket)
    }

    pub fn infos(&mut self) -> Vec<PublicationInfo> {
        let ticket = self.command(Command::Publications { owner: None, key: None });
        match self.replies.remove(&ticket).expect("answered at once").1 {
            Reply::Publications(infos) => infos,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// Requests that left, repeats included.
    pub fn requests(&self) -> Vec<Sip> {
        self.sent
            .iter()
            .filter(|s| !s.bytes.starts_with(b"SIP/2.0") && s.bytes.len() > 4)
            .map(Sent::sip)
            .collect()
    }

    /// Responses that left.
    pub fn responses(&self) -> Vec<Sip> {
        self.sent.iter().filter(|s| s.bytes.starts_with(b"SIP/2.0")).map(Sent::sip).collect()
    }

    /// Requests without their repeats.
    pub fn distinct_requests(&self) -> Vec<Sip> {
        let mut seen = BTreeSet::new();
        self.requests().into_iter().filter(|request| seen.insert(request.branch())).collect()
    }

    /// When each request left.
    pub fn sent_at(&self) -> Vec<f64> {
        self.sent.iter().map(|s| s.at).collect()
    }

    pub fn changes(&self) -> Vec<Change> {
        self.events.iter().map(|(_, event)| event.change).collect()
    }

    /// Sends a request to puad's listening UDP socket and returns what it answers at once.
    pub fn ask(&mut self, source: &str, request: &[u8]) -> Vec<Sip> {
        let before = self.sent.len();
        self.arrive(0.0, UDP_LISTENER, source, request);
        self.run_for(Duration::ZERO);
        self.sent[before..].iter().map(Sent::sip).collect()
    }

    /// A TCP connection from outside.
    pub fn connect(&mut self, number: u64, source: &str) -> FlowId {
        let flow = FlowId(FlowId::FIRST_FOREIGN + 100 + number);
        let remote = source.parse().expect("an address");
        self.flows.insert(flow, Hop { transport: rsip::Transport::Tcp, remote });
        let local = LOCAL.parse().expect("an address");
        self.input(Input::FlowAccepted {
            flow,
            transport: rsip::Transport::Tcp,
            local,
            remote: Some(remote),
        });
        flow
    }
}

/// A publish of presence for `ALICE` with this body.
pub fn presence(body: &str) -> Publish {
    publish(ALICE, "presence", "application/pidf+xml", body)
}

pub fn publish(presentity: &str, event: &str, content_type: &str, body: &str) -> Publish {
    let presentity = Uri::parse(presentity).expect("a URI");
    let event = EventType::parse(event).expect("an event");
    let mut publish = Publish::new(Owner::Script("test".into()), presentity, event);
    publish.document = Some(document(content_type, body));
    publish
}

pub fn document(content_type: &str, body: &str) -> Document {
    Document::new(content_type, body.as_bytes().to_vec())
}

pub fn secs(seconds: impl Into<f64>) -> Duration {
    Duration::from_secs_f64(seconds.into())
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
