//! The ways of reaching peers: which are open, being opened, or idle (3261 §18).
//!
//! Keeps no requests: who waits for a flow is known to [`request`](super::request).

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use super::{
    io::{FlowId, Hop, is_reliable},
    message::frame::Decoder,
};

/// All flows of a core.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: BTreeMap<FlowId, Flow>,
    by_hop: HashMap<Hop, FlowId>,
    accepted_per_peer: BTreeMap<IpAddr, usize>,
    connections: usize,
    next: u64,
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) transport: rsip::Transport,
    /// `None` for a listening UDP socket.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) state: FlowState,
    /// Cuts the stream; `None` for datagrams.
    pub(crate) decoder: Option<Decoder>,
    /// Since when a message is half received.
    pub(crate) halfway_since: Option<Instant>,
    pub(crate) last_used: Instant,
    /// When it was opened, or bytes last came.
    pub(crate) last_heard: Instant,
    /// Live publications that came by this flow.
    pub(crate) users: usize,
    /// Earliest entry of this flow in the timer heap.
    pub(crate) scheduled: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum FlowState {
    Opening {
        until: Instant,
    },
    /// `sent_by` is what Via shows.
    Open {
        local: SocketAddr,
        sent_by: Arc<str>,
    },
}

impl Flows {
    /// Returns the flow to a hop, open or being opened.
    pub(crate) fn to_hop(&self, hop: Hop) -> Option<FlowId> {
        self.by_hop.get(&hop).copied()
    }

    /// Enters a flow that the driver is asked to open.
    pub(crate) fn opening(&mut self, now: Instant, hop: Hop, until: Instant) -> FlowId {
        let id = FlowId(self.next);
        self.next += 1;
        self.insert(now, id, hop.transport, Some(hop.remote), FlowState::Opening { until });
        id
    }

    /// Enters a flow that appeared by itself.
    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        id: FlowId,
        transport: rsip::Transport,
        remote: Option<SocketAddr>,
        state: FlowState,
    ) {
        if let Some(remote) = remote {
            *self.accepted_per_peer.entry(remote.ip()).or_default() += 1;
        }
        self.insert(now, id, transport, remote, state);
    }

    fn insert(
        &mut self,
        now: Instant,
        id: FlowId,
        transport: rsip::Transport,
        remote: Option<SocketAddr>,
        state: FlowState,
    ) {
        let reliable = is_reliable(transport);
        if let Some(remote) = remote {
            self.by_hop.insert(Hop { transport, remote }, id);
            self.connections += 1;
        }
        self.flows.insert(
            id,
            Flow {
                transport,
                remote,
                state,
                decoder: (reliable && remote.is_some()).then(Decoder::default),
                halfway_since: None,
                last_used: now,
                last_heard: now,
                users: 0,
                scheduled: None,
            },
        );
    }

    /// Returns whether nothing is open but listening sockets.
    pub(crate) fn is_idle(&self) -> bool {
        self.by_hop.is_empty() && self.flows.values().all(|flow| flow.remote.is_none())
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// Forgets a flow.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        if let Some(remote) = flow.remote {
            let hop = Hop { transport: flow.transport, remote };
            // A newer flow may have taken the hop.
            if self.by_hop.get(&hop) == Some(&id) {
                self.by_hop.remove(&hop);
            }
            self.connections -= 1;
            if id.0 >= FlowId::FIRST_FOREIGN
                && let Some(count) = self.accepted_per_peer.get_mut(&remote.ip())
            {
                *count -= 1;
                if *count == 0 {
                    self.accepted_per_peer.remove(&remote.ip());
                }
            }
        }
        Some(flow)
    }

    /// Returns how many connections and connected UDP sockets are open, and how many were accepted
    /// from one address.
    pub(crate) fn connections(&self, peer: IpAddr) -> (usize, usize) {
        (self.connections, self.accepted_per_peer.get(&peer).copied().unwrap_or(0))
    }

    /// Returns the listening socket of a transport that fits a peer's family, with what Via shows for it.
    pub(crate) fn listener(
        &self,
        transport: rsip::Transport,
        peer: IpAddr,
    ) -> Option<(FlowId, SocketAddr)> {
        self.flows.iter().find_map(|(id, flow)| match flow.state {
            FlowState::Open { local, .. }
                if flow.transport == transport
                    && flow.remote.is_none()
                    && (local.is_ipv4() == peer.is_ipv4()
                        || local.ip().is_unspecified() && local.is_ipv6()) =>
            {
                Some((*id, local))
            }
            FlowState::Open { .. } | FlowState::Opening { .. } => None,
        })
    }

    /// Returns the address and port that an open UDP flow has towards peers of this family: what a
    /// listening socket on all interfaces cannot say of itself.
    pub(crate) fn local_towards(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.flows.values().find_map(|flow| match flow.state {
            FlowState::Open { local, .. }
                if !is_reliable(flow.transport)
                    && local.is_ipv4() == peer.is_ipv4()
                    && !local.ip().is_unspecified()
                    && local.ip().is_loopback() == peer.is_loopback() =>
            {
                Some(local)
            }
            FlowState::Open { .. } | FlowState::Opening { .. } => None,
        })
    }

    /// Returns whether this address family can be used at all.
    pub(crate) fn reaches(&self, peer: IpAddr) -> bool {
        self.listener(rsip::Transport::Udp, peer).is_some()
            || self.listener(rsip::Transport::Tcp, peer).is_some()
    }
}
