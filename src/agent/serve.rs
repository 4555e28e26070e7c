//! An agent on sockets: UDP and TCP of one port, on a thread of its own.
//!
//! The sockets are those of [`net`](crate::net); what the bytes mean is left to [`Agent`].

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Agent, Path, Settings};
use crate::{
    net::{Bound, Datagram, Listen, ListenError, Net, NetEvent},
    sip::{
        io::FlowId,
        message::{
            Index,
            frame::{Decoder, Piece},
        },
    },
};

/// A running agent. Dropping it closes the sockets and ends the thread before it returns.
///
/// # Examples
///
/// ```
/// use puad::agent::{Server, Settings};
///
/// let server = Server::start("127.0.0.1:0".parse().unwrap(), Settings::default())?;
/// println!("listening on {}, UDP and TCP", server.local_addr());
/// assert!(server.agent().publications().is_empty());
/// # Ok::<(), puad::agent::StartError>(())
/// ```
#[derive(Debug)]
pub struct Server {
    agent: Arc<Mutex<Agent>>,
    local: SocketAddr,
    /// Its drop is the sign to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is a wildcard. Via and Contact need one that peers can write to.
    #[error("{0} is no address peers can write to; bind the agent to one, such as 127.0.0.1:0")]
    Wildcard(SocketAddr),
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system refuses what every process needs.
    #[error("the operating system refuses {0}")]
    System(&'static str, #[source] std::io::Error),
}

impl Server {
    /// Binds UDP and TCP of one port (0: one free for both) and starts to serve.
    ///
    /// # Errors
    /// When that cannot be done; nothing is left behind then.
    pub fn start(bind: SocketAddr, settings: Settings) -> Result<Self, StartError> {
        if bind.ip().is_unspecified() {
            return Err(StartError::Wildcard(bind));
        }
        let listen = Listen { transport: rsip::Transport::Udp, address: bind };
        let bound = Bound::bind(&[listen])?;
        let local = bound.listening.first().map_or(bind, |(_, local)| *local);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| StartError::System("random numbers", std::io::Error::other(error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::System("an event loop", error))?;
        let most_connections = settings.limits.connections;
        let agent = Arc::new(Mutex::new(Agent::new(settings, local, seed, Instant::now())));
        let (stop, stopped) = oneshot::channel();
        let shared = agent.clone();
        let thread = std::thread::Builder::new()
            .name("agent".into())
            .spawn(move || {
                let tasks = tokio::task::LocalSet::new();
                let served = tasks.block_on(&runtime, async move {
                    let net = Net::start(bound)?;
                    Loop::new(net, shared, most_connections).run(stopped).await;
                    Ok::<(), std::io::Error>(())
                });
                if let Err(error) = served {
                    tracing::error!(%error, "the agent cannot use its sockets");
                }
            })
            .map_err(|error| StartError::System("a thread", error))?;
        Ok(Self { agent, local, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address of both sockets.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Locks the agent, to look at it or to change its mood. It serves nobody meanwhile.
    pub fn agent(&self) -> MutexGuard<'_, Agent> {
        lock(&self.agent)
    }

    /// Returns the agent for those who look at it from elsewhere.
    pub fn shared(&self) -> Arc<Mutex<Agent>> {
        self.agent.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the agent has panicked");
        }
    }
}

/// The task that owns the sockets.
struct Loop {
    net: Net,
    agent: Arc<Mutex<Agent>>,
    connections: BTreeMap<FlowId, Connection>,
    most_connections: usize,
    index: Index,
}

/// One accepted TCP connection.
struct Connection {
    path: Path,
    decoder: Decoder,
}

impl Loop {
    fn new(net: Net, agent: Arc<Mutex<Agent>>, most_connections: usize) -> Self {
        Self { net, agent, connections: BTreeMap::new(), most_connections, index: Index::default() }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let deadline = lock(&self.agent).poll_timeout();
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                () = sleep_until(deadline) => lock(&self.agent).handle_timeout(Instant::now()),
                event = poll_fn(|cx| self.net.poll_ready(cx)) => self.receive(event),
            }
            self.transmit();
        }
    }

    /// Takes what the network has, up to a batch, so that timers have their turn.
    fn receive(&mut self, event: Option<NetEvent>) {
        if let Some(event) = event {
            self.take(event);
        }
        let agent = self.agent.clone();
        let mut agent = lock(&agent);
        for _ in 0..BATCH {
            match self.net.receive() {
                Some(Datagram::Bytes { flow, source, bytes }) => {
                    let path = Path { flow, transport: rsip::Transport::Udp, remote: source };
                    agent.handle_message(Instant::now(), path, bytes);
                }
                Some(Datagram::Failed { .. }) => {}
                None => return,
            }
        }
    }

    fn take(&mut self, event: NetEvent) {
        match event {
            NetEvent::Accepted { flow, remote, .. } => {
                if self.connections.len() >= self.most_connections {
                    return self.net.close(flow);
                }
                let path = Path { flow, transport: rsip::Transport::Tcp, remote };
                self.connections.insert(flow, Connection { path, decoder: Decoder::default() });
            }
            NetEvent::Data { flow, bytes, .. } => self.cut(flow, &bytes),
            NetEvent::Failed { flow, .. } => {
                self.connections.remove(&flow);
                self.net.close(flow);
            }
            // The agent opens no connections and asks no resolver.
            NetEvent::Opened { .. } | NetEvent::Answer { .. } => {}
        }
    }

    /// Cuts a stream into messages and hands them over.
    fn cut(&mut self, flow: FlowId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&flow) else { return };
        let path = connection.path;
        connection.decoder.push(bytes);
        let mut agent = lock(&self.agent);
        loop {
            match connection.decoder.next(&mut self.index, &agent.frame) {
                Piece::Message(message) => agent.handle_message(Instant::now(), path, &message),
                // Behind the answers to what came before it.
                Piece::Ping => agent.send(path, Bytes::from_static(b"\r\n")),
                Piece::Incomplete => return,
                Piece::Fatal(head, error) => {
                    agent.handle_broken(Instant::now(), path, &head, error);
                    drop(agent);
                    // The answer first; the close lets it go out.
                    self.transmit();
                    self.connections.remove(&flow);
                    return self.net.close(flow);
                }
            }
        }
    }

    /// Sends what the agent wants sent. A connection that is gone has lost its message.
    fn transmit(&mut self) {
        let mut agent = lock(&self.agent);
        while let Some(transmit) = agent.poll_transmit() {
            let path = transmit.path;
            if path.transport == rsip::Transport::Udp || self.connections.contains_key(&path.flow) {
                self.net.send(path.flow, path.remote, transmit.message);
            }
        }
        drop(agent);
        while let Some(event) = self.net.take_immediate() {
            self.take(event);
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A panic of somebody who looked on leaves the agent as it was.
fn lock(agent: &Mutex<Agent>) -> MutexGuard<'_, Agent> {
    agent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Datagrams taken in one turn.
const BATCH: usize = 64;
