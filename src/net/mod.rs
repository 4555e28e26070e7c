//! Sockets: bytes and flows, no meaning of SIP.
//!
//! Opens what the core asks for, accepts what comes, and hands bytes over as
//! they arrive; framing and all else is the business of [`sip`](crate::sip).

mod dns;
mod stream;
mod udp;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
};

use bytes::Bytes;
use rsip::Transport;
use tokio::sync::mpsc;

use crate::sip::io::{DnsError, FlowError, FlowId, Hop, QueryId, Question, Record};
use stream::Streams;
pub use udp::Datagram;
use udp::Udp;

/// One entry of `[sip] listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// UDP (which opens TCP on the same port too) or TCP alone.
    pub transport: Transport,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
}

impl Listen {
    /// Returns all interfaces of both families this machine has, any port.
    pub fn everywhere() -> Vec<Self> {
        let any = |ip: IpAddr| Self { transport: Transport::Udp, address: (ip, 0).into() };
        let mut all = vec![any(Ipv4Addr::UNSPECIFIED.into())];
        // Kernels without IPv6 are not rare, in containers above all.
        if std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
            all.push(any(Ipv6Addr::UNSPECIFIED.into()));
        }
        all
    }

    /// Reads `udp:127.0.0.1:5060` or `tcp:[::1]:0`.
    ///
    /// # Errors
    /// With a text that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "write udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as \"udp:127.0.0.1:5060\"";
        let (transport, address) =
            text.split_once(':').ok_or_else(|| format!("{text:?} is no listen entry; {form}"))?;
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" | "ws" | "wss" => {
                return Err(format!(
                    "{text:?}: {transport} is not available in this version; {form}"
                ));
            }
            _ => return Err(format!("{text:?}: {transport:?} is no transport; {form}")),
        };
        let address = address.parse().map_err(|_| {
            format!("{text:?}: {address:?} is no numeric address with a port; {form}")
        })?;
        Ok(Self { transport, address })
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = crate::sip::message::transport_text(self.transport).to_ascii_lowercase();
        write!(f, "{transport}:{}", self.address)
    }
}

/// Why a listen entry cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listen {listen}: {}", explain(.source, .listen))]
pub struct ListenError {
    listen: Listen,
    source: std::io::Error,
}

fn explain(error: &std::io::Error, listen: &Listen) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "the port is taken by another process; stop it, or choose another port (0 takes a free one): see `ss -lnp | grep :{}`",
            listen.address.port()
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; see `ip address`".into()
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the right to bind them".into()
        }
        _ => error.to_string(),
    }
}

/// Something that came from the network.
#[derive(Debug)]
pub enum NetEvent {
    /// A flow the core asked for is open.
    Opened { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    /// A connection was accepted.
    Accepted { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    /// Bytes of a stream.
    Data { flow: FlowId, source: SocketAddr, bytes: Bytes },
    /// A flow is gone.
    Failed { flow: FlowId, error: FlowError },
    /// A resolver has answered.
    Answer { query: QueryId, records: Result<Vec<Record>, DnsError> },
}

/// Listening sockets, bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
    /// What was bound, with the ports that were found.
    pub listening: Vec<(Transport, SocketAddr)>,
}

impl Bound {
    /// Binds every entry; a UDP entry gets a TCP listener on the same port (3261 §18.2.1).
    ///
    /// # Errors
    /// When one cannot be bound; nothing stays open then.
    pub fn bind(entries: &[Listen]) -> Result<Self, ListenError> {
        let mut bound = Self { udp: Vec::new(), tcp: Vec::new(), listening: Vec::new() };
        for listen in entries {
            bound
                .bind_one(listen)
                .map_err(|source| ListenError { listen: listen.clone(), source })?;
        }
        Ok(bound)
    }

    fn bind_one(&mut self, listen: &Listen) -> std::io::Result<()> {
        if listen.transport != Transport::Udp {
            let tcp = stream::bind(listen.address)?;
            self.listening.push((Transport::Tcp, tcp.local_addr()?));
            self.tcp.push(tcp);
            return Ok(());
        }
        // With port 0 the system chooses for UDP, and the same port may be taken for TCP.
        let mut attempts = if listen.address.port() == 0 { 32 } else { 1 };
        loop {
            attempts -= 1;
            let udp = udp::bind(listen.address)?;
            let address = udp.local_addr()?;
            match stream::bind(address) {
                Ok(tcp) => {
                    self.listening.push((Transport::Udp, address));
                    self.listening.push((Transport::Tcp, address));
                    self.udp.push(udp);
                    self.tcp.push(tcp);
                    return Ok(());
                }
                Err(error) if attempts == 0 || error.kind() != std::io::ErrorKind::AddrInUse => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }
}

/// All flows of one driver.
#[derive(Debug)]
pub struct Net {
    udp: Udp,
    streams: Streams,
    dns: dns::Resolver,
    events: mpsc::Receiver<NetEvent>,
    sender: mpsc::Sender<NetEvent>,
    /// Flows that could not even be begun; reported with the next poll.
    failed: Vec<(FlowId, FlowError)>,
    opened: Vec<(FlowId, SocketAddr, SocketAddr)>,
    /// Connections that have ended and may still have an answer to take.
    ended: Vec<FlowId>,
    listeners: BTreeMap<FlowId, (Transport, SocketAddr)>,
}

impl Net {
    /// Serves bound sockets. Must be called inside the driver's runtime.
    ///
    /// # Errors
    /// When the runtime cannot take a socket over.
    pub fn start(bound: Bound) -> std::io::Result<Self> {
        // Room for what arrives between two turns of the driver; a full channel makes peers wait.
        let (sender, events) = mpsc::channel(256);
        let mut listeners = BTreeMap::new();
        let mut next = FlowId::FIRST_FOREIGN;
        let mut number = || {
            next += 1;
            FlowId(next - 1)
        };
        let mut udp = Udp::default();
        for socket in bound.udp {
            let flow = number();
            listeners.insert(flow, (Transport::Udp, socket.local_addr()?));
            udp.listen(flow, socket)?;
        }
        let mut sockets = Vec::new();
        for socket in bound.tcp {
            listeners.insert(number(), (Transport::Tcp, socket.local_addr()?));
            sockets.push(socket);
        }
        let streams = Streams::start(sockets, next, sender.clone())?;
        Ok(Self {
            udp,
            streams,
            dns: dns::Resolver::default(),
            events,
            sender,
            failed: Vec::new(),
            opened: Vec::new(),
            ended: Vec::new(),
            listeners,
        })
    }

    /// Returns the listening sockets, which the core is told of at its start.
    pub fn listeners(&self) -> impl Iterator<Item = (FlowId, Transport, SocketAddr)> {
        self.listeners.iter().map(|(flow, (transport, local))| (*flow, *transport, *local))
    }

    /// Opens a flow; the outcome comes as an event.
    pub fn open(&mut self, flow: FlowId, hop: Hop) {
        match hop.transport {
            Transport::Udp => match self.udp.open(flow, hop.remote) {
                Ok(local) => self.opened.push((flow, local, hop.remote)),
                Err(error) => self.failed.push((flow, flow_error(&error))),
            },
            Transport::Tcp => self.streams.open(flow, hop.remote),
            Transport::Tls
            | Transport::TlsSctp
            | Transport::Sctp
            | Transport::Ws
            | Transport::Wss => {
                self.failed.push((flow, FlowError::Unsupported));
            }
        }
    }

    /// Closes a flow.
    pub fn close(&mut self, flow: FlowId) {
        self.udp.close(flow);
        self.streams.close(flow);
    }

    /// Sends. What a full socket does not take is lost, as on any network; a stream that does not
    /// take it is closed.
    pub fn send(&mut self, flow: FlowId, to: SocketAddr, message: Bytes) {
        if let Some(sent) = self.udp.send(flow, to, &message) {
            if let Err(error) = sent {
                self.failed.push((flow, flow_error(&error)));
            }
        } else if !self.streams.send(flow, message) {
            self.failed.push((flow, FlowError::Other));
        }
    }

    /// Asks a resolver; the answer comes as an event.
    pub fn query(&mut self, id: QueryId, question: Question) {
        self.dns.ask(id, question, self.sender.clone());
    }

    /// Returns what is known without waiting: flows that opened or failed at once. To be called when
    /// everything the core had to send is sent.
    pub fn take_immediate(&mut self) -> Option<NetEvent> {
        for flow in self.ended.drain(..) {
            self.streams.close(flow);
        }
        if let Some((flow, local, remote)) = self.opened.pop() {
            return Some(NetEvent::Opened { flow, local, remote });
        }
        let (flow, error) = self.failed.pop()?;
        self.close(flow);
        Some(NetEvent::Failed { flow, error })
    }

    /// Becomes ready when [`take_event`](Self::take_event) or [`receive`](Self::receive) has something.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        if let Poll::Ready(event) = self.events.poll_recv(cx) {
            return Poll::Ready(event.map(|event| self.note(event)));
        }
        self.udp.poll_ready(cx).map(|()| None)
    }

    /// Returns the next stream or resolver event that is there already.
    pub fn take_event(&mut self) -> Option<NetEvent> {
        let event = self.events.try_recv().ok()?;
        Some(self.note(event))
    }

    fn note(&mut self, event: NetEvent) -> NetEvent {
        if let NetEvent::Failed { flow, .. } = event {
            self.ended.push(flow);
        }
        event
    }

    /// Returns the next datagram that is there already.
    pub fn receive(&mut self) -> Option<Datagram<'_>> {
        self.udp.receive()
    }
}

/// Translates an error of a socket call.
pub(crate) fn flow_error(error: &std::io::Error) -> FlowError {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset => {
            FlowError::Refused
        }
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            FlowError::Unreachable
        }
        std::io::ErrorKind::TimedOut => FlowError::TimedOut,
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe => FlowError::Closed,
        _ => FlowError::Other,
    }
}
