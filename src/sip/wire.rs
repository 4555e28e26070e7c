//! The layer between requests and flows: client transactions, connections, and what goes out.
//!
//! Knows branches, Vias and sockets-to-be; nothing of publications, challenges or redirects.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    config::Config,
    flows::{FlowState, Flows},
    ids::{Branch, Ids},
    io::{Deadline, FlowError, FlowId, Hop, Output, Timer, is_reliable},
    message::{Message, Name, StartLine, value::Via},
    stats::Stats,
    timers::{Timers, Whom},
    transaction::{ClientTransaction, Timing, client::Action},
};

/// Numbers a request's journey.
pub(crate) type RequestId = usize;

/// Transactions, flows and outputs.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) config: Config,
    pub(crate) timing: Timing,
    pub(crate) ids: Ids,
    pub(crate) flows: Flows,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    clients: HashMap<Branch, Client>,
    completed: Completed,
}

#[derive(Debug)]
struct Client {
    machine: ClientTransaction,
    /// `None` once the journey has gone on without this transaction.
    request: Option<RequestId>,
    flow: FlowId,
    hop: Hop,
    sent_by: Arc<str>,
    method: &'static str,
    /// The flow had carried something before.
    reused: bool,
    scheduled: Option<Instant>,
}

/// Transactions that have their answer and absorb its repeats until Timer K. All that is left of
/// each is its branch: at a thousand refreshes a second there are five thousand of them.
#[derive(Debug, Default)]
struct Completed {
    branches: HashSet<Branch>,
    /// By Timer K, which is the same span for all.
    order: VecDeque<(Instant, Branch)>,
}

impl Completed {
    fn add(&mut self, now: Instant, timer_k: Instant, branch: Branch) {
        self.forget(now);
        self.branches.insert(branch);
        self.order.push_back((timer_k, branch));
    }

    fn contains(&mut self, now: Instant, branch: Branch) -> bool {
        self.forget(now);
        self.branches.contains(&branch)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, branch)) = self.order.pop_front_if(|(timer_k, _)| *timer_k <= now) {
            self.branches.remove(&branch);
        }
    }
}

/// A flow to a hop.
#[derive(Debug)]
pub(crate) enum Reach {
    /// It is open; `reused` when something went over it before.
    Ready { flow: FlowId, sent_by: Arc<str>, reused: bool },
    /// It is being opened.
    Opening(FlowId),
    /// It cannot be opened now.
    Refused(FlowError),
}

/// What a transaction tells its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Timer F.
    TimedOut { provisional: bool },
    /// The way broke.
    Broken(FlowError),
}

impl Wire {
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Self {
        let timing = Timing { t1: config.t1, t2: config.t2, t4: config.t4 };
        Self {
            config,
            timing,
            ids: Ids::new(seed),
            flows: Flows::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            clients: HashMap::new(),
            completed: Completed::default(),
        }
    }

    /// Returns whether there is no transaction, no connection and no timer.
    pub(crate) fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.timers.next().is_none() && self.flows.is_idle()
    }

    /// Returns a flow to a hop, opening one if there is none.
    pub(crate) fn reach(&mut self, now: Instant, hop: Hop) -> Reach {
        if let Some(id) = self.flows.to_hop(hop)
            && let Some(flow) = self.flows.get(id)
        {
            return match &flow.state {
                FlowState::Open { sent_by, .. } => Reach::Ready {
                    flow: id,
                    sent_by: sent_by.clone(),
                    reused: hop.is_reliable() && flow.last_used < now,
                },
                FlowState::Opening { .. } => Reach::Opening(id),
            };
        }
        let (all, _) = self.flows.connections(hop.remote.ip());
        let most = self.config.limits.connections;
        // A socket of its own only tells of ICMP errors sooner: the last quarter is for those who
        // need one.
        if !hop.is_reliable()
            && all >= most - most / 4
            && let Some((flow, local)) = self.flows.listener(hop.transport, hop.remote.ip())
        {
            let local = self.flows.local_towards(hop.remote.ip()).unwrap_or(local);
            let sent_by = self.sent_by(hop.transport, local);
            return Reach::Ready { flow, sent_by, reused: false };
        }
        if all >= most {
            self.stats.connections_limited += 1;
            return Reach::Refused(FlowError::Limit(all));
        }
        let id = self.flows.opening(now, hop, now + self.config.connect_timeout);
        self.outputs.push_back(Output::Open { flow: id, hop });
        self.schedule_flow(id);
        Reach::Opening(id)
    }

    /// Notes that a flow is open; what Via shows for it is settled here (3261 §18.1.1).
    pub(crate) fn opened(&mut self, now: Instant, id: FlowId, local: SocketAddr) {
        let Some(transport) = self.flows.get(id).map(|flow| flow.transport) else { return };
        let sent_by = self.sent_by(transport, local);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.state = FlowState::Open { local, sent_by };
            flow.last_used = now;
            flow.last_heard = now;
        }
        self.schedule_flow(id);
    }

    /// Returns a host and port at which this core really receives for a transport: the listening
    /// port also for connections, whose own port accepts nobody.
    pub(crate) fn sent_by(&self, transport: rsip::Transport, local: SocketAddr) -> Arc<str> {
        let port = match transport {
            rsip::Transport::Udp => local.port(),
            _ => self
                .flows
                .listener(transport, local.ip())
                .or_else(|| self.flows.listener(rsip::Transport::Udp, local.ip()))
                .map_or(local.port(), |(_, listener)| listener.port()),
        };
        let host = match (&self.config.advertise, local) {
            (Some(host), _) => host.clone(),
            (None, SocketAddr::V4(local)) => local.ip().to_string(),
            (None, SocketAddr::V6(local)) => format!("[{}]", local.ip()),
        };
        if port == 5060 { host.into() } else { format!("{host}:{port}").into() }
    }

    /// Starts a transaction over an open flow.
    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename them")]
    pub(crate) fn start(
        &mut self,
        now: Instant,
        request: RequestId,
        branch: Branch,
        method: &'static str,
        flow: FlowId,
        hop: Hop,
        sent_by: Arc<str>,
        reused: bool,
        message: Bytes,
    ) {
        let machine = ClientTransaction::new(now, message.clone(), hop.is_reliable(), &self.timing);
        let mut client = Client {
            machine,
            request: Some(request),
            flow,
            hop,
            sent_by,
            method,
            reused,
            scheduled: None,
        };
        self.timers.schedule(
            Whom::Client(branch),
            client.machine.poll_timeout(),
            &mut client.scheduled,
        );
        self.clients.insert(branch, client);
        self.stats.requests += 1;
        self.touch(now, flow);
        self.outputs.push_back(Output::Transmit { flow, to: hop.remote, message });
    }

    /// Finds the request a response answers. Provisional responses, repeats and strangers end here;
    /// only what belongs to a transaction is worth reading whole.
    pub(crate) fn match_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
    ) -> Option<(RequestId, u16)> {
        let StartLine::Response { code, .. } = message.start else { return None };
        let Some((branch, via)) = own_via(message) else {
            self.stats.stray_responses += 1;
            return None;
        };
        if self.completed.contains(now, branch) {
            return None;
        }
        let timing = self.timing;
        let client =
            self.clients.get_mut(&branch).filter(|client| is_sent_by(&client.sent_by, &via));
        let Some(client) = client else {
            self.stats.stray_responses += 1;
            return None;
        };
        if message.check_grammar().is_err() {
            self.stats.malformed += 1;
            return None;
        }
        if !message.cseq().is_ok_and(|cseq| cseq.method == client.method) {
            self.stats.stray_responses += 1;
            return None;
        }
        let action = client.machine.handle_response(now, code, client.hop.is_reliable(), &timing);
        let deadline = client.machine.poll_timeout();
        let flow = client.flow;
        let mut request = None;
        if action == Some(Action::Final) {
            self.stats.answers += 1;
            request = self.clients.remove(&branch).and_then(|client| client.request);
            if let Some(Deadline { at: timer_k, .. }) = deadline {
                self.completed.add(now, timer_k, branch);
            }
        } else {
            self.timers.schedule(Whom::Client(branch), deadline, &mut client.scheduled);
        }
        self.touch(now, flow);
        request.map(|request| (request, code))
    }

    /// Looks at a transaction whose time has come; returns how it ended and on which flow.
    pub(crate) fn client_timeout(
        &mut self,
        now: Instant,
        at: Instant,
        branch: Branch,
    ) -> Option<(RequestId, Ended, FlowId)> {
        let timing = self.timing;
        let client = self.clients.get_mut(&branch)?;
        if client.scheduled == Some(at) {
            client.scheduled = None;
        }
        let action = client.machine.handle_timeout(now, &timing);
        self.timers.schedule(
            Whom::Client(branch),
            client.machine.poll_timeout(),
            &mut client.scheduled,
        );
        let (flow, to, request) = (client.flow, client.hop.remote, client.request);
        let ended = match action {
            None | Some(Action::Final) => return None,
            Some(Action::Retransmit(message)) => {
                self.stats.retransmissions += 1;
                self.outputs.push_back(Output::Transmit { flow, to, message });
                return None;
            }
            Some(Action::TimedOut { provisional }) => Some(Ended::TimedOut { provisional }),
            Some(Action::Lost) => Some(Ended::Broken(FlowError::Closed)),
            Some(Action::Forget) => None,
        };
        self.clients.remove(&branch);
        Some((request?, ended?, flow))
    }

    /// Takes a flow away. Returns the requests whose transactions broke with it, in order of their
    /// branches; after an orderly close, those go on waiting a little (see [`ClientTransaction::handle_closed`]).
    pub(crate) fn lose_flow(
        &mut self,
        now: Instant,
        id: FlowId,
        error: FlowError,
    ) -> Vec<RequestId> {
        self.flows.remove(id);
        let mut hit: Vec<Branch> = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "sorted before use")]
        for (branch, client) in self.clients.iter() {
            if client.flow == id && client.machine.is_waiting() {
                hit.push(*branch);
            }
        }
        hit.sort_unstable();
        let timing = self.timing;
        let mut broken = Vec::new();
        for branch in hit {
            // A connection that had carried others before was most likely closed without reading this
            // request; a fresh one was closed after it, and the answer may come on another (3261 §18.1.2).
            let Some(client) = self.clients.get_mut(&branch) else { continue };
            if error == FlowError::Closed && !client.reused {
                client.machine.handle_closed(now, &timing);
                self.timers.schedule(
                    Whom::Client(branch),
                    client.machine.poll_timeout(),
                    &mut client.scheduled,
                );
            } else {
                broken.extend(self.clients.remove(&branch).and_then(|client| client.request));
            }
        }
        broken
    }

    /// Notes that bytes came by a flow.
    pub(crate) fn heard(&mut self, now: Instant, id: FlowId) {
        self.touch(now, id);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.last_heard = now;
        }
    }

    /// Returns whether a connection has been silent for a whole transaction, so that it may have
    /// died without a sign; the operating system notices that only after a quarter of an hour.
    pub(crate) fn is_silent(&self, now: Instant, id: FlowId) -> bool {
        self.flows.get(id).is_some_and(|flow| {
            is_reliable(flow.transport) && flow.last_heard + self.timing.timer_f() <= now
        })
    }

    /// Notes that something went over a flow.
    pub(crate) fn touch(&mut self, now: Instant, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.last_used = now;
        }
    }

    /// Returns when a flow must be looked at.
    pub(crate) fn flow_deadline(&self, id: FlowId) -> Option<Deadline> {
        let flow = self.flows.get(id)?;
        // Listening sockets stay.
        flow.remote?;
        match flow.state {
            FlowState::Opening { until } => Some(Deadline { at: until, timer: Timer::Connect }),
            FlowState::Open { .. } => {
                let halfway =
                    flow.halfway_since.map(|since| since + self.config.limits.read_deadline);
                let idle = (flow.users == 0).then(|| flow.last_used + self.idle_limit());
                let at = [halfway, idle].into_iter().flatten().min()?;
                Some(Deadline { at, timer: Timer::Idle })
            }
        }
    }

    /// Enters a flow's deadline into the heap.
    pub(crate) fn schedule_flow(&mut self, id: FlowId) {
        let deadline = self.flow_deadline(id);
        if let Some(flow) = self.flows.get_mut(id) {
            self.timers.schedule(Whom::Flow(id), deadline, &mut flow.scheduled);
        }
    }

    /// How long an unused connection is kept: well above the 64·T1 of 3261 §18.
    pub(crate) fn idle_limit(&self) -> Duration {
        self.timing.timer_f() * 2
    }
}

/// Returns the Via of a response if it is the only one, with the branch if it may be ours
/// (3261 §8.1.3.3, §18.1.2).
fn own_via<'a>(message: &Message<'a>) -> Option<(Branch, Via<'a>)> {
    let mut vias = message.list(Name::Via);
    let via = Via::parse(vias.next()?).ok()?;
    if vias.next().is_some() {
        return None;
    }
    Some((Branch::parse(via.branch()?)?, via))
}

/// Returns whether a Via names this sent-by, port defaulting to 5060.
fn is_sent_by(sent_by: &str, via: &Via<'_>) -> bool {
    let (host, port) = match sent_by.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(5060)),
        _ => (sent_by, 5060),
    };
    via.host.eq_ignore_ascii_case(host) && via.port.unwrap_or(5060) == port
}
