//! TCP: listeners, connections, and a pair of tasks for each.
//!
//! Chunks go to the core as they arrive; it does the framing.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::{AbortHandle, spawn_local},
    time::timeout,
};

use super::{NetEvent, flow_error};
use crate::sip::io::{FlowError, FlowId};

/// All connections of one driver.
#[derive(Debug)]
pub(super) struct Streams {
    connections: BTreeMap<FlowId, Connection>,
    accepted: mpsc::UnboundedReceiver<(FlowId, Connection)>,
    events: mpsc::Sender<NetEvent>,
}

/// Dropping it ends the tasks.
#[derive(Debug)]
struct Connection {
    outgoing: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Binds a listening socket.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Lets a restart take the port while old connections linger; two listeners are refused all the same.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(128)?;
    Ok(socket.into())
}

impl Streams {
    /// Serves listeners; accepted connections are numbered from `first` on.
    pub(super) fn start(
        listeners: Vec<std::net::TcpListener>,
        first: u64,
        events: mpsc::Sender<NetEvent>,
    ) -> io::Result<Self> {
        let (sender, accepted) = mpsc::unbounded_channel();
        let next = Arc::new(AtomicU64::new(first));
        for listener in listeners {
            let listener = TcpListener::from_std(listener)?;
            spawn_local(accept(listener, next.clone(), sender.clone(), events.clone()));
        }
        Ok(Self { connections: BTreeMap::new(), accepted, events })
    }

    /// Connects; the outcome comes as an event. How long it may take is the core's business.
    pub(super) fn open(&mut self, flow: FlowId, remote: SocketAddr) {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let events = self.events.clone();
        let task = spawn_local(async move {
            match TcpStream::connect(remote)
                .await
                .and_then(|stream| Ok((stream.local_addr()?, stream)))
            {
                Ok((local, stream)) => {
                    let _ = events.send(NetEvent::Opened { flow, local, remote }).await;
                    serve(flow, stream, remote, queue, events).await;
                }
                Err(error) => {
                    let error = flow_error(&error);
                    let _ = events.send(NetEvent::Failed { flow, error }).await;
                }
            }
        })
        .abort_handle();
        self.connections.insert(flow, Connection { outgoing, task });
    }

    pub(super) fn close(&mut self, flow: FlowId) {
        self.adopt();
        if let Some(connection) = self.connections.remove(&flow) {
            // What is queued still goes out: an answer may be followed by a close.
            let (closed, _) = mpsc::channel(1);
            let mut connection = connection;
            connection.outgoing = closed;
            spawn_local(async move {
                tokio::time::sleep(LINGER).await;
                drop(connection);
            });
        }
    }

    /// Queues bytes; false when there is no such connection or its queue is full.
    pub(super) fn send(&mut self, flow: FlowId, message: Bytes) -> bool {
        self.adopt();
        match self.connections.get(&flow) {
            Some(connection) => connection.outgoing.try_send(message).is_ok(),
            None => false,
        }
    }

    fn adopt(&mut self) {
        while let Ok((flow, connection)) = self.accepted.try_recv() {
            self.connections.insert(flow, connection);
        }
    }
}

async fn accept(
    listener: TcpListener,
    next: Arc<AtomicU64>,
    accepted: mpsc::UnboundedSender<(FlowId, Connection)>,
    events: mpsc::Sender<NetEvent>,
) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of descriptors, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(local) = stream.local_addr() else { continue };
        let flow = FlowId(next.fetch_add(1, Ordering::Relaxed));
        let (outgoing, queue) = mpsc::channel(QUEUE);
        // The core hears of the flow before of its first bytes.
        if events.send(NetEvent::Accepted { flow, local, remote }).await.is_err() {
            return;
        }
        let task = spawn_local(serve(flow, stream, remote, queue, events.clone())).abort_handle();
        if accepted.send((flow, Connection { outgoing, task })).is_err() {
            return;
        }
    }
}

/// Moves bytes both ways until one of them ends, and what is then still queued.
async fn serve(
    flow: FlowId,
    stream: TcpStream,
    remote: SocketAddr,
    queue: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<NetEvent>,
) {
    // Requests are small and awaited.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let write = write(writer, queue);
    tokio::pin!(write);
    let (error, is_read_to_its_end) = tokio::select! {
        error = read(flow, reader, remote, &events) => (error, error == FlowError::Closed),
        error = &mut write => (error, false),
    };
    let _ = events.send(NetEvent::Failed { flow, error }).await;
    if is_read_to_its_end {
        // The peer has sent its last and may still listen: what it asked before is answered.
        write.await;
    }
}

async fn read(
    flow: FlowId,
    mut reader: OwnedReadHalf,
    source: SocketAddr,
    events: &mpsc::Sender<NetEvent>,
) -> FlowError {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return FlowError::Closed,
            Ok(_) => {
                let bytes = buffer.split().freeze();
                if events.send(NetEvent::Data { flow, source, bytes }).await.is_err() {
                    return FlowError::Closed;
                }
            }
            Err(error) => return flow_error(&error),
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) -> FlowError {
    while let Some(message) = queue.recv().await {
        // One message at a time, so that they never interleave; a peer that does not read is let go.
        match timeout(STALL, writer.write_all(&message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return flow_error(&error),
            Err(_) => return FlowError::TimedOut,
        }
    }
    // Closed from our side: let the peer see the end of what was sent.
    let _ = writer.shutdown().await;
    FlowError::Closed
}

/// Messages waiting for one connection.
const QUEUE: usize = 256;
const CHUNK: usize = 16 * 1024;
const STALL: Duration = Duration::from_secs(30);
/// How long a closed connection may go on writing what was queued.
const LINGER: Duration = Duration::from_secs(2);
