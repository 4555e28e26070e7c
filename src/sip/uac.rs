//! The façade: input in, output out. Owns every table of the core and routes between them.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{
    config::Config,
    flows::FlowState,
    io::{FlowError, FlowId, Input, Output, Ticket, UnixMillis},
    message::{
        Index, Message, ParseError, StartLine,
        frame::{self, Datagram, Piece},
    },
    publication::Publications,
    request::{Final, Requests},
    stats::{Observed, Stats},
    timers::Whom,
    uas::Servers,
    wire::{Ended, Wire},
};
use crate::command::{Command, Reply};

/// A SIP user-agent core. A plain value: there may be several in one process.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use puad::sip::{io::{Output, UnixMillis}, Config, Uac};
///
/// let mut uac = Uac::new(Config::default(), [1; 32], Instant::now(), UnixMillis(0));
/// // Nothing to do yet: the core sleeps until something happens.
/// assert!(matches!(uac.poll_output(), Output::Timeout(None)));
/// ```
#[derive(Debug)]
pub struct Uac {
    wire: Wire,
    requests: Requests,
    publications: Publications,
    servers: Servers,
    index: Index,
}

impl Uac {
    /// Starts a core. `seed` should come from the operating system; `now` and `wall` are the same moment.
    pub fn new(config: Config, seed: [u8; 32], now: Instant, wall: UnixMillis) -> Self {
        let mut wire = Wire::new(config, seed);
        let publications = Publications::new(now, wall, &wire);
        let servers = Servers::new(wire.ids.key());
        Self { wire, requests: Requests::default(), publications, servers, index: Index::default() }
    }

    /// Takes what happened. Never fails: bad bytes are counted.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Command(ticket, command) => self.handle_command(now, ticket, command),
            Input::Received { flow, source, message } => {
                self.handle_received(now, flow, source, message)
            }
            Input::FlowOpened { flow, local, remote: _ } => {
                self.wire.opened(now, flow, local);
                let outcomes = self.requests.handle_opened(now, &mut self.wire, flow);
                self.conclude(outcomes);
            }
            Input::FlowAccepted { flow, transport, local, remote } => {
                self.handle_accepted(now, flow, transport, local, remote)
            }
            Input::FlowFailed { flow, error } => self.break_flow(now, flow, error, false),
            Input::Answer { query, records } => {
                if self.requests.locator.answer(now, query, records) {
                    let outcomes = self.requests.handle_answer(now, &mut self.wire, query);
                    self.conclude(outcomes);
                }
            }
            Input::Timeout => {}
        }
        loop {
            self.handle_due(now);
            self.publications.run(now, &mut self.wire, &mut self.requests);
            // What was decided just now may be due already: a lifetime that ended while the answer
            // was under way, a connection that has long been idle and lost its last user.
            if !self.wire.timers.is_due(now) {
                return;
            }
        }
    }

    /// Returns what is to be done next; call until `Output::Timeout`.
    pub fn poll_output(&mut self) -> Output {
        self.wire.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.wire.timers.next()))
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.wire.stats
    }

    /// Returns the counters, and how many publications there are.
    pub fn observe(&self) -> Observed {
        let mut observed = Observed { stats: self.wire.stats.clone(), ..Observed::default() };
        self.publications.count(&mut observed);
        observed
    }

    /// Returns whether nothing is kept but listening sockets, counters and what was learnt of
    /// servers (addresses, nonces, push-back): no publication, no request, no transaction, no
    /// connection and no timer.
    pub fn is_idle(&self) -> bool {
        self.publications.is_idle()
            && self.requests.is_idle()
            && self.wire.is_idle()
            && self.servers.is_idle()
    }

    fn handle_command(&mut self, now: Instant, ticket: Ticket, command: Command) {
        let (publications, wire) = (&mut self.publications, &mut self.wire);
        match command {
            Command::Publish(publish) => publications.publish(now, wire, ticket, *publish),
            Command::Refresh { owner, key, timeout } => {
                publications.refresh(now, wire, ticket, &owner, &key, timeout)
            }
            Command::Remove { owner, key, timeout } => {
                publications.remove(now, wire, ticket, &owner, &key, timeout)
            }
            Command::Abandon { owner, keys } => {
                publications.abandon(now, wire, ticket, &owner, keys);
            }
            Command::Accounts { accounts, outbound_proxy } => {
                publications.use_accounts(now, wire, ticket, accounts, outbound_proxy);
            }
            Command::Publications { owner, key } => {
                let list = publications.list(owner.as_ref(), key.as_ref());
                let outcome = Reply::Publications(list);
                wire.outputs.push_back(Output::Reply { ticket, outcome });
            }
            Command::Stop { limit, remove_all } => {
                publications.stop(now, wire, ticket, limit, remove_all)
            }
        }
    }

    /// Fires every deadline that has passed.
    fn handle_due(&mut self, now: Instant) {
        while let Some((at, whom)) = self.wire.timers.pop_due(now) {
            match whom {
                Whom::Client(branch) => {
                    if let Some((request, ended, flow)) = self.wire.client_timeout(now, at, branch)
                    {
                        if matches!(ended, Ended::TimedOut { .. }) && self.wire.is_silent(now, flow)
                        {
                            self.break_flow(now, flow, FlowError::TimedOut, true);
                        }
                        let publication = self.requests.publication(request);
                        let outcome =
                            self.requests.handle_ended(now, &mut self.wire, request, ended);
                        self.conclude(publication.zip(outcome));
                    }
                }
                Whom::Server(id) => self.servers.timeout(now, &mut self.wire, at, id),
                Whom::Flow(id) => self.handle_flow_timeout(now, at, id),
                Whom::Publication(id) => self.publications.timeout(now, &mut self.wire, at, id),
                Whom::Stop => self.publications.stop_timeout(now, &mut self.wire),
            }
        }
    }

    fn conclude(&mut self, outcomes: impl IntoIterator<Item = (usize, Final)>) {
        for (publication, outcome) in outcomes {
            self.publications.handle_final(publication, outcome);
        }
    }

    fn handle_received(&mut self, now: Instant, flow: FlowId, source: SocketAddr, bytes: &[u8]) {
        let mut index = std::mem::take(&mut self.index);
        match self.wire.flows.get_mut(flow).map(|flow| flow.decoder.take()) {
            Some(Some(mut decoder)) => {
                decoder.push(bytes);
                self.wire.heard(now, flow);
                let mut is_open = true;
                let mut has_ended_one = false;
                while is_open {
                    match decoder.next(&mut index, &self.wire.config.limits) {
                        Piece::Message(message) => {
                            has_ended_one = true;
                            if let Datagram::Message(message) | Datagram::Faulty(message, _) =
                                frame::datagram(&mut index, &message, &self.wire.config.limits)
                            {
                                self.handle_message(now, flow, source, &message, None);
                            }
                        }
                        Piece::Ping => self.pong(flow, source),
                        Piece::Fatal(head, error) => {
                            // What follows cannot be found any more: say so to whoever asked, then close.
                            if let Datagram::Message(message) | Datagram::Faulty(message, _) =
                                frame::datagram(&mut index, &head, &self.wire.config.limits)
                            {
                                self.handle_message(now, flow, source, &message, Some(error));
                            }
                            self.wire.stats.malformed += 1;
                            self.break_flow(now, flow, FlowError::Other, true);
                            is_open = false;
                        }
                        Piece::Incomplete => break,
                    }
                }
                let is_halfway = decoder.is_halfway();
                if let Some(entry) = self.wire.flows.get_mut(flow) {
                    entry.decoder = Some(decoder);
                    // What follows a message that has ended has only begun.
                    let since = entry.halfway_since.filter(|_| !has_ended_one);
                    entry.halfway_since = is_halfway.then(|| since.unwrap_or(now));
                }
                self.wire.schedule_flow(flow);
            }
            Some(None) => match frame::datagram(&mut index, bytes, &self.wire.config.limits) {
                Datagram::Message(message) => {
                    self.handle_message(now, flow, source, &message, None)
                }
                Datagram::Faulty(message, error) => {
                    self.handle_message(now, flow, source, &message, Some(error))
                }
                Datagram::Noise => self.wire.stats.noise += 1,
                Datagram::Unreadable(_) => self.wire.stats.malformed += 1,
            },
            // A flow that was closed a moment ago.
            None => {}
        }
        self.index = index;
    }

    fn handle_message(
        &mut self,
        now: Instant,
        flow: FlowId,
        source: SocketAddr,
        message: &Message<'_>,
        fault: Option<ParseError>,
    ) {
        match message.start {
            StartLine::Request { .. } | StartLine::BadRequest(_) => {
                self.servers.handle_request(now, &mut self.wire, flow, source, message, fault);
            }
            StartLine::Response { .. } if fault.is_none() => {
                if let Some((request, code)) = self.wire.match_response(now, message) {
                    let publication = self.requests.publication(request);
                    let outcome =
                        self.requests.handle_response(now, &mut self.wire, request, code, message);
                    self.conclude(publication.zip(outcome));
                }
            }
            StartLine::Response { .. } | StartLine::BadResponse(_) => {
                self.wire.stats.malformed += 1
            }
        }
    }

    /// A keep-alive between messages is answered with one CRLF (5626 §5.4).
    fn pong(&mut self, flow: FlowId, to: SocketAddr) {
        self.wire.stats.noise += 1;
        self.wire.outputs.push_back(Output::Transmit {
            flow,
            to,
            message: Bytes::from_static(b"\r\n"),
        });
    }

    fn handle_accepted(
        &mut self,
        now: Instant,
        flow: FlowId,
        transport: rsip::Transport,
        local: SocketAddr,
        remote: Option<SocketAddr>,
    ) {
        if let Some(remote) = remote {
            let (all, of_peer) = self.wire.flows.connections(remote.ip());
            let limits = &self.wire.config.limits;
            // Strangers never take the last quarter, which is for connections puad itself needs.
            let most = limits.connections - limits.connections / 4;
            if all >= most || of_peer >= limits.connections_per_peer {
                self.wire.stats.connections_limited += 1;
                self.wire.outputs.push_back(Output::Close { flow });
                return;
            }
        }
        let sent_by = self.wire.sent_by(transport, local);
        self.wire.flows.accepted(now, flow, transport, remote, FlowState::Open { local, sent_by });
        self.wire.schedule_flow(flow);
    }

    /// Takes a flow away and lets its requests go on without it.
    fn break_flow(&mut self, now: Instant, flow: FlowId, error: FlowError, close: bool) {
        if self.wire.flows.get(flow).is_none() {
            return;
        }
        let broken = self.wire.lose_flow(now, flow, error);
        if close {
            self.wire.outputs.push_back(Output::Close { flow });
        }
        let outcomes = self.requests.handle_not_opened(now, &mut self.wire, flow, error);
        self.conclude(outcomes);
        for request in broken {
            let publication = self.requests.publication(request);
            let outcome =
                self.requests.handle_ended(now, &mut self.wire, request, Ended::Broken(error));
            self.conclude(publication.zip(outcome));
        }
    }

    fn handle_flow_timeout(&mut self, now: Instant, at: Instant, id: FlowId) {
        if let Some(flow) = self.wire.flows.get_mut(id)
            && flow.scheduled == Some(at)
        {
            flow.scheduled = None;
        }
        match self.wire.flow_deadline(id) {
            Some(deadline) if deadline.at <= now => {
                self.wire.stats.connections_limited +=
                    u64::from(self.wire.flows.get(id).is_some_and(|f| f.halfway_since.is_some()));
                self.break_flow(now, id, FlowError::TimedOut, true);
            }
            Some(_) | None => self.wire.schedule_flow(id),
        }
    }
}
