//! The one task that owns the core: it moves bytes and commands in, outputs out, and sleeps.
//!
//! Callers hold a [`Handle`]; sockets are the business of [`net`](crate::net),
//! meaning that of [`sip`]. A network that is made up is in [`staged`].

pub mod staged;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use tokio::sync::{mpsc, oneshot};

use crate::{
    command::{Change, Command, Owner, PublicationEvent, Reply},
    net::{Bound, Datagram, Listen, ListenError, Net, NetEvent},
    sip::{
        self, Uac,
        io::{Event, FlowId, Hop, Input, Output, QueryId, Question, Ticket, UnixMillis},
        stats::Observed,
    },
};

/// What callers hold: a way to send commands to the core. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Envelope>);

/// The receiving end of a [`Handle`]: the driver's, or a recorder's in `puad check`.
pub type Inbox = mpsc::UnboundedReceiver<Envelope>;

/// One message to whoever owns the core.
#[derive(Debug)]
pub enum Envelope {
    /// A command and where its reply goes. A dropped receiver is fine: the command is carried out all the same.
    Call(Command, oneshot::Sender<Reply>),
    /// From now on, events of this owner's publications go here.
    Listen(Owner, mpsc::UnboundedSender<PublicationEvent>),
    /// Counters, and what there is, go here.
    Observe(oneshot::Sender<Observed>),
}

/// The driver has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("puad is stopping")]
pub struct Closed;

/// Makes a connected pair.
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), receiver)
}

impl Handle {
    /// Sends a command; the reply comes through the receiver.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn send(&self, command: Command) -> Result<oneshot::Receiver<Reply>, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Envelope::Call(command, sender)).map_err(|_| Closed)?;
        Ok(receiver)
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// When the driver has ended, before or while waiting.
    pub async fn call(&self, command: Command) -> Result<Reply, Closed> {
        self.send(command)?.await.map_err(|_| Closed)
    }

    /// Sends the events of an owner's publications to `events` from now on.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn listen(
        &self,
        owner: Owner,
        events: mpsc::UnboundedSender<PublicationEvent>,
    ) -> Result<(), Closed> {
        self.0.send(Envelope::Listen(owner, events)).map_err(|_| Closed)
    }

    /// Returns the core's counters, and how many publications there are.
    ///
    /// # Errors
    /// When the driver has ended, before or while waiting.
    pub async fn observe(&self) -> Result<Observed, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Envelope::Observe(sender)).map_err(|_| Closed)?;
        receiver.await.map_err(|_| Closed)
    }

    /// Waits until the driver has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Returns a handle that does not keep the driver at work.
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle(self.0.downgrade())
    }
}

/// A [`Handle`] for onlookers: the driver ends without asking them.
#[derive(Debug, Clone)]
pub struct WeakHandle(mpsc::WeakUnboundedSender<Envelope>);

impl WeakHandle {
    /// Returns a handle for one call.
    ///
    /// # Errors
    /// When the driver has ended, or is about to.
    pub fn upgrade(&self) -> Result<Handle, Closed> {
        self.0.upgrade().map(Handle).ok_or(Closed)
    }
}

/// What a driver is started with.
#[derive(Debug)]
pub struct Settings {
    /// The core's own settings.
    pub sip: sip::Config,
    /// Sockets to open; must not be empty.
    pub listen: Vec<Listen>,
}

/// A driver at work on a thread of its own.
#[derive(Debug)]
pub struct Running {
    /// How to talk to it; it ends when the last handle is dropped.
    pub handle: Handle,
    /// What it listens on, with the ports that were found.
    pub listening: Vec<(rsip::Transport, SocketAddr)>,
    thread: std::thread::JoinHandle<()>,
}

/// Why a driver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system refuses what every process needs.
    #[error("the operating system refuses {0}")]
    System(&'static str, #[source] std::io::Error),
}

/// Binds the sockets and starts a driver.
///
/// # Errors
/// When a socket cannot be opened; nothing is left behind then.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let bound = Bound::bind(&settings.listen)?;
    let listening = bound.listening.clone();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| StartError::System("random numbers", std::io::Error::other(error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("an event loop", error))?;
    let (handle, inbox) = channel();
    let thread = std::thread::Builder::new()
        .name("sip".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            let served = local.block_on(&runtime, async move {
                let net = Net::start(bound)?;
                Driver::new(settings.sip, seed, wall(), net).run(inbox).await;
                Ok::<(), std::io::Error>(())
            });
            if let Err(error) = served {
                tracing::error!(%error, "the network cannot be used");
            }
        })
        .map_err(|error| StartError::System("a thread", error))?;
    Ok(Running { handle, listening, thread })
}

impl Running {
    /// Waits for the end of the driver; every other handle must be dropped for it to come.
    pub fn join(self) {
        drop(self.handle);
        if self.thread.join().is_err() {
            tracing::error!("the driver has panicked");
        }
    }
}

/// What moves bytes for a driver, and tells it of what happens there.
trait Network {
    /// Returns what the core is told of at its start.
    fn listeners(&self) -> Vec<(FlowId, rsip::Transport, SocketAddr)>;
    fn open(&mut self, flow: FlowId, hop: Hop);
    fn close(&mut self, flow: FlowId);
    fn send(&mut self, flow: FlowId, to: SocketAddr, message: Bytes);
    fn query(&mut self, id: QueryId, question: Question);
    /// Returns what is known without waiting.
    fn take_immediate(&mut self) -> Option<NetEvent>;
    /// Becomes ready when one of the two below has something.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<NetEvent>>;
    fn take_event(&mut self) -> Option<NetEvent>;
    fn receive(&mut self) -> Option<Datagram<'_>>;
}

impl Network for Net {
    fn listeners(&self) -> Vec<(FlowId, rsip::Transport, SocketAddr)> {
        self.listeners().collect()
    }

    fn open(&mut self, flow: FlowId, hop: Hop) {
        self.open(flow, hop);
    }

    fn close(&mut self, flow: FlowId) {
        self.close(flow);
    }

    fn send(&mut self, flow: FlowId, to: SocketAddr, message: Bytes) {
        self.send(flow, to, message);
    }

    fn query(&mut self, id: QueryId, question: Question) {
        self.query(id, question);
    }

    fn take_immediate(&mut self) -> Option<NetEvent> {
        self.take_immediate()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        self.poll_ready(cx)
    }

    fn take_event(&mut self) -> Option<NetEvent> {
        self.take_event()
    }

    fn receive(&mut self) -> Option<Datagram<'_>> {
        self.receive()
    }
}

/// Owner of core and network.
struct Driver<N> {
    uac: Uac,
    net: N,
    /// Who waits for which ticket.
    waiting: HashMap<Ticket, oneshot::Sender<Reply>>,
    next_ticket: u64,
    listeners: BTreeMap<Owner, mpsc::UnboundedSender<PublicationEvent>>,
    deadline: Option<Instant>,
}

impl<N: Network> Driver<N> {
    fn new(config: sip::Config, seed: [u8; 32], wall: UnixMillis, net: N) -> Self {
        let uac = Uac::new(config, seed, now(), wall);
        let mut driver = Self {
            uac,
            net,
            waiting: HashMap::new(),
            next_ticket: 0,
            listeners: BTreeMap::new(),
            deadline: None,
        };
        for (flow, transport, local) in driver.net.listeners() {
            let input = Input::FlowAccepted { flow, transport, local, remote: None };
            driver.uac.handle_input(now(), input);
        }
        driver.drain();
        driver
    }

    /// Serves until the last handle is gone.
    async fn run(mut self, mut inbox: Inbox) {
        let mut commands = Vec::with_capacity(BATCH);
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        let mut armed: Option<Instant> = None;
        let mut last_fired = now();
        loop {
            // Setting a timer costs; most turns leave the deadline where it is or move it back.
            // Deadlines that follow each other closely are served together: waking up costs more
            // than a refresh, and none of them minds a few milliseconds.
            if let Some(deadline) = self.deadline.map(|at| at.max(last_fired + GRAIN))
                && armed.is_none_or(|armed| deadline < armed)
            {
                sleep.as_mut().reset(deadline.into());
                armed = Some(deadline);
            }
            tokio::select! {
                biased;
                () = &mut sleep, if armed.is_some() => {
                    armed = None;
                    last_fired = now();
                    self.uac.handle_input(now(), Input::Timeout);
                }
                event = poll_fn(|cx| self.net.poll_ready(cx)) => self.receive(event),
                count = inbox.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    for envelope in commands.drain(..) {
                        self.accept(envelope);
                    }
                }
            }
            self.drain();
            // The network comes first above, and there may be no end of it: commands have their turn
            // all the same.
            if !self.serve(&mut inbox) {
                return;
            }
        }
    }

    /// Takes the commands that are there, up to a batch; returns false when the last handle is gone.
    fn serve(&mut self, inbox: &mut Inbox) -> bool {
        let mut has_callers = true;
        for _ in 0..BATCH {
            match inbox.try_recv() {
                Ok(envelope) => self.accept(envelope),
                Err(error) => {
                    has_callers = error == mpsc::error::TryRecvError::Empty;
                    break;
                }
            }
        }
        self.drain();
        has_callers
    }

    fn accept(&mut self, envelope: Envelope) {
        match envelope {
            Envelope::Call(command, reply) => {
                self.next_ticket += 1;
                let ticket = Ticket(self.next_ticket);
                self.waiting.insert(ticket, reply);
                self.uac.handle_input(now(), Input::Command(ticket, command));
            }
            Envelope::Listen(owner, events) => {
                self.listeners.insert(owner, events);
            }
            // Whoever asked may have gone.
            Envelope::Observe(observer) => drop(observer.send(self.uac.observe())),
        }
    }

    /// Takes what the network has, up to a batch, so that commands and timers have their turn.
    fn receive(&mut self, event: Option<NetEvent>) {
        let now = now();
        let mut left = BATCH;
        let mut next = event;
        while let Some(event) = next {
            hand_over(&mut self.uac, now, event);
            left -= 1;
            next = if left > 0 { self.net.take_event() } else { None };
        }
        for _ in 0..BATCH {
            match self.net.receive() {
                Some(Datagram::Bytes { flow, source, bytes }) => {
                    self.uac.handle_input(now, Input::Received { flow, source, message: bytes });
                }
                Some(Datagram::Failed { flow, error }) => {
                    self.uac.handle_input(now, Input::FlowFailed { flow, error })
                }
                None => return,
            }
        }
    }

    /// Does what the core wants done.
    fn drain(&mut self) {
        loop {
            match self.uac.poll_output() {
                Output::Open { flow, hop } => self.net.open(flow, hop),
                Output::Close { flow } => self.net.close(flow),
                Output::Transmit { flow, to, message } => self.net.send(flow, to, message),
                Output::Query { id, question } => self.net.query(id, question),
                Output::Reply { ticket, outcome } => {
                    if let Some(caller) = self.waiting.remove(&ticket) {
                        // A caller that has gone does not mind.
                        let _ = caller.send(outcome);
                    }
                }
                Output::Event(Event::Publication(event)) => {
                    observe(&event);
                    if let Some(listener) = self.listeners.get(&event.owner) {
                        let _ = listener.send(*event);
                    }
                }
                Output::Timeout(deadline) => match self.net.take_immediate() {
                    Some(event) => hand_over(&mut self.uac, now(), event),
                    None => {
                        self.deadline = deadline.map(|deadline| deadline.at);
                        return;
                    }
                },
            }
        }
    }
}

fn hand_over(uac: &mut Uac, now: Instant, event: NetEvent) {
    match event {
        NetEvent::Opened { flow, local, remote } => {
            uac.handle_input(now, Input::FlowOpened { flow, local, remote })
        }
        NetEvent::Accepted { flow, local, remote } => {
            let transport = rsip::Transport::Tcp;
            uac.handle_input(
                now,
                Input::FlowAccepted { flow, transport, local, remote: Some(remote) },
            );
        }
        NetEvent::Data { flow, source, bytes } => {
            uac.handle_input(now, Input::Received { flow, source, message: &bytes });
        }
        NetEvent::Failed { flow, error } => {
            uac.handle_input(now, Input::FlowFailed { flow, error })
        }
        NetEvent::Answer { query, records } => {
            uac.handle_input(now, Input::Answer { query, records })
        }
    }
}

/// Returns the time, which a paused runtime decides about.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn wall() -> UnixMillis {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(wall.as_millis() as u64)
}

/// Logs what a user would notice.
fn observe(event: &PublicationEvent) {
    let script = match &event.owner {
        Owner::Script(name) => Some(&**name),
        Owner::OneShot | Owner::Nobody => None,
    };
    let key = event.key.as_str();
    let state = event.change.as_str();
    match (event.change, &event.failure) {
        (_, Some(failure)) => tracing::warn!(script, key, state, "{failure}"),
        (Change::Recovered, None) => tracing::info!(script, key, state, "publication is up again"),
        (Change::Published, None) if event.is_first => {
            tracing::info!(script, key, "publication is up");
        }
        (Change::Published | Change::Refreshed, None) => {
            tracing::debug!(script, key, state, "publication")
        }
        (Change::Removed | Change::Retrying | Change::Failed, None) => {
            tracing::info!(script, key, state, "publication")
        }
    }
}

/// The least time between two wake-ups for deadlines.
const GRAIN: Duration = Duration::from_millis(5);
/// Commands, events and datagrams taken in one turn.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::{Document, EventType, Publish},
        sip::message::Uri,
    };

    #[test]
    fn a_command_need_not_wait_for_the_end_of_the_datagrams() {
        let listen = Listen::parse("udp:127.0.0.1:0").expect("valid");
        let bound = Bound::bind(&[listen]).expect("a port");
        let address = bound.listening[0].1;
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let source = peer.local_addr().expect("bound");
        for number in 0..2 * BATCH {
            let ask = format!(
                "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{number}\r\n\
                 From: <sip:a@b>;tag=1\r\nTo: <sip:h>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\n\
                 Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            peer.send_to(ask.as_bytes(), address).expect("sent");
        }
        let presentity = Uri::parse(&format!("sip:a@{source}")).expect("a URI");
        let event = EventType::parse("presence").expect("an event");
        let mut publish = Publish::new(Owner::OneShot, presentity, event);
        publish.document = Some(Document::new("a/b", "x"));
        let mut config = sip::Config::default();
        config.limits.answers_per_second = 1000;

        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let driver =
                Driver::new(config, [1; 32], wall(), Net::start(bound).expect("a runtime"));
            let (handle, inbox) = channel();
            let call = async {
                let reply = handle.send(Command::Publish(Box::new(publish)));
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop((reply, handle));
            };
            tokio::join!(driver.run(inbox), call);
        });

        peer.set_nonblocking(true).expect("set");
        let mut buffer = [0; 2048];
        let mut received = Vec::new();
        while let Ok(length) = peer.recv(&mut buffer) {
            received.push(buffer[..length].starts_with(b"PUBLISH"));
        }
        let at = received.iter().position(|is_publish| *is_publish).expect("sent");
        assert!(at <= BATCH, "{at} of {} came first", received.len());
    }
}
