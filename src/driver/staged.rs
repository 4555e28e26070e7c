//! A driver without sockets: every name resolves, every flow opens, and a function answers.
//!
//! Core and driver are the real ones. With a paused runtime they live in its time, so a day of
//! refreshes passes at once. What the far end says is decided by whoever starts it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rsip::Transport;
use tokio::task::spawn_local;

use super::{Driver, Handle, Network, channel};
use crate::{
    net::{Datagram, NetEvent},
    sip::{
        self,
        io::{FlowId, Hop, QueryId, Question, Record, UnixMillis},
    },
};

/// The far end of every flow: a message in, messages out.
pub type Peer = Box<dyn FnMut(&[u8]) -> Vec<Bytes>>;

/// Starts a driver on the current `LocalSet`; it ends when the last handle is dropped. The seed
/// decides tags, branches and the points of refreshes, so that a run can be repeated.
pub fn start(config: sip::Config, seed: [u8; 32], wall: UnixMillis, peer: Peer) -> Handle {
    let (handle, inbox) = channel();
    let net = Stage { peer, flows: BTreeMap::new(), arriving: VecDeque::new() };
    let driver = Driver::new(config, seed, wall, net);
    spawn_local(driver.run(inbox));
    handle
}

struct Stage {
    peer: Peer,
    /// Whom a flow leads to.
    flows: BTreeMap<FlowId, SocketAddr>,
    arriving: VecDeque<NetEvent>,
}

impl Network for Stage {
    fn listeners(&self) -> Vec<(FlowId, Transport, SocketAddr)> {
        let listener = |at: u64, transport| (FlowId(FlowId::FIRST_FOREIGN + at), transport, LOCAL);
        vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)]
    }

    fn open(&mut self, flow: FlowId, hop: Hop) {
        self.flows.insert(flow, hop.remote);
        self.arriving.push_back(NetEvent::Opened { flow, local: LOCAL, remote: hop.remote });
    }

    fn close(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
    }

    fn send(&mut self, flow: FlowId, to: SocketAddr, message: Bytes) {
        let source = self.flows.get(&flow).copied().unwrap_or(to);
        for bytes in (self.peer)(&message) {
            self.arriving.push_back(NetEvent::Data { flow, source, bytes });
        }
    }

    fn query(&mut self, query: QueryId, _: Question) {
        let records = Ok(vec![Record { address: SERVER, ttl: TTL }]);
        self.arriving.push_back(NetEvent::Answer { query, records });
    }

    fn take_immediate(&mut self) -> Option<NetEvent> {
        self.arriving.pop_front()
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        // Everything arrives at once, by the way above.
        Poll::Pending
    }

    fn take_event(&mut self) -> Option<NetEvent> {
        None
    }

    fn receive(&mut self) -> Option<Datagram<'_>> {
        None
    }
}

/// Addresses for documentation (5737): no packet will ever go there by mistake.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 5060);
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const TTL: Duration = Duration::from_secs(60);
