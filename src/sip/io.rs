//! The words of the boundary between the core and whoever drives it.
//!
//! A driver feeds [`Input`] and drains [`Output`] until `Output::Timeout`. All
//! meaning is on the core's side; the driver moves bytes, asks resolvers and
//! sleeps.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::message::mask::Masked;
use crate::command::{Command, PublicationEvent, Reply};

/// Pairs a command with its reply; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One way of reaching one peer: a connected UDP socket, a TCP connection, or a listening UDP socket.
///
/// The core numbers the flows it asks for; a driver numbers those that appear by themselves
/// (listeners, accepted connections) from [`FlowId::FIRST_FOREIGN`] upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

impl FlowId {
    /// The lowest number a driver gives to flows the core did not ask for.
    pub const FIRST_FOREIGN: u64 = 1 << 63;
}

/// Pairs a DNS question with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// Milliseconds since the UNIX epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

/// The next place a request goes: transport, address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// How the bytes travel.
    pub transport: rsip::Transport,
    /// Where to.
    pub remote: SocketAddr,
}

impl Hop {
    /// Returns whether the transport itself delivers or fails (3261 §17: no Timer E, K and J zero).
    pub fn is_reliable(&self) -> bool {
        is_reliable(self.transport)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            super::message::transport_text(self.transport).to_ascii_lowercase(),
            self.remote
        )
    }
}

/// Returns whether a transport is reliable in the sense of RFC 3261 §17.
pub fn is_reliable(transport: rsip::Transport) -> bool {
    !matches!(transport, rsip::Transport::Udp)
}

/// What happens to the core.
pub enum Input<'a> {
    /// A user asks for something.
    Command(Ticket, Command),
    /// Bytes arrived: a whole datagram, or a piece of a stream cut anywhere.
    Received { flow: FlowId, source: SocketAddr, message: &'a [u8] },
    /// A flow the core asked for is open; `local` is concrete, never a wildcard.
    FlowOpened { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    /// A flow that appeared by itself: a listening UDP socket (`remote` is `None`) or an accepted connection.
    FlowAccepted {
        flow: FlowId,
        transport: rsip::Transport,
        local: SocketAddr,
        remote: Option<SocketAddr>,
    },
    /// A flow could not be opened, or broke.
    FlowFailed { flow: FlowId, error: FlowError },
    /// A resolver has answered.
    Answer { query: QueryId, records: Result<Vec<Record>, DnsError> },
    /// The deadline of the last `Output::Timeout` has passed.
    Timeout,
}

/// What the core wants done, in order.
pub enum Output {
    /// Open a flow to this hop; answer with `FlowOpened` or `FlowFailed`.
    Open { flow: FlowId, hop: Hop },
    /// Close a flow; no answer is expected.
    Close { flow: FlowId },
    /// Send these bytes. `to` matters on listening UDP sockets only; elsewhere it is the flow's remote.
    Transmit { flow: FlowId, to: SocketAddr, message: Bytes },
    /// Ask a resolver.
    Query { id: QueryId, question: Question },
    /// The answer to a command.
    Reply { ticket: Ticket, outcome: Reply },
    /// Something changed that somebody may want to hear of.
    Event(Event),
    /// Nothing more to do before this deadline.
    Timeout(Option<Deadline>),
}

// Messages hold credentials, so these two do not show them as they are.

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(ticket, command) => {
                f.debug_tuple("Command").field(ticket).field(command).finish()
            }
            Self::Received { flow, source, message } => f
                .debug_struct("Received")
                .field("flow", flow)
                .field("source", source)
                .field("message", &Masked(message))
                .finish(),
            Self::FlowOpened { flow, local, remote } => f
                .debug_struct("FlowOpened")
                .field("flow", flow)
                .field("local", local)
                .field("remote", remote)
                .finish(),
            Self::FlowAccepted { flow, transport, local, remote } => f
                .debug_struct("FlowAccepted")
                .field("flow", flow)
                .field("transport", transport)
                .field("local", local)
                .field("remote", remote)
                .finish(),
            Self::FlowFailed { flow, error } => {
                f.debug_struct("FlowFailed").field("flow", flow).field("error", error).finish()
            }
            Self::Answer { query, records } => {
                f.debug_struct("Answer").field("query", query).field("records", records).finish()
            }
            Self::Timeout => f.write_str("Timeout"),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { flow, hop } => {
                f.debug_struct("Open").field("flow", flow).field("hop", hop).finish()
            }
            Self::Close { flow } => f.debug_struct("Close").field("flow", flow).finish(),
            Self::Transmit { flow, to, message } => f
                .debug_struct("Transmit")
                .field("flow", flow)
                .field("to", to)
                .field("message", &Masked(message))
                .finish(),
            Self::Query { id, question } => {
                f.debug_struct("Query").field("id", id).field("question", question).finish()
            }
            Self::Reply { ticket, outcome } => {
                f.debug_struct("Reply").field("ticket", ticket).field("outcome", outcome).finish()
            }
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Timeout(deadline) => f.debug_tuple("Timeout").field(deadline).finish(),
        }
    }
}

/// What a user or an operator may want to hear of.
#[derive(Debug, Clone)]
pub enum Event {
    /// A publication changed.
    Publication(Box<PublicationEvent>),
}

/// A question to a resolver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// The addresses of a host name (A and AAAA).
    Addresses(String),
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The address.
    pub address: IpAddr,
    /// How long it may be used again.
    pub ttl: Duration,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist or has no address.
    #[error("no such host")]
    NotFound,
    /// The resolver did not answer or failed.
    #[error("the resolver did not answer")]
    Unavailable,
}

/// Why a flow could not be opened, or broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// The peer refused: a TCP reset, or ICMP port unreachable.
    #[error("connection refused")]
    Refused,
    /// ICMP host, net or protocol unreachable.
    #[error("host unreachable")]
    Unreachable,
    /// An established connection ended.
    #[error("connection closed by the peer")]
    Closed,
    /// Nothing answered while connecting.
    #[error("connecting timed out")]
    TimedOut,
    /// This transport is not built in.
    #[error("transport not supported")]
    Unsupported,
    /// As many are open as this core may have; the flow was not asked for.
    #[error("puad has {0} connections open, its limit")]
    Limit(usize),
    /// Anything else, such as no free port.
    #[error("network error")]
    Other,
}

/// An instant and the timer it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Why.
    pub timer: Timer,
}

/// The timers of the core, by the letters of the RFCs where they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Retransmission of a non-INVITE request (3261 §17.1.2.2).
    E,
    /// Time-out of a client transaction.
    F,
    /// Absorbs repeated final responses.
    K,
    /// Keeps the final response of a server transaction.
    J,
    /// The 100 to a request that takes long (4320 §4.1).
    Trying,
    /// Longest wait for a connection.
    Connect,
    /// A refresh is due.
    Refresh,
    /// The state at the server has run out.
    Expiry,
    /// The wanted lifetime is over.
    Lifetime,
    /// The next attempt after a failure.
    Retry,
    /// The interval between two PUBLISHes of one publication.
    Interval,
    /// A caller's patience.
    Caller,
    /// An unused connection, or a message that stays half received.
    Idle,
    /// The limit of an orderly stop.
    Stop,
}
