//! UDP: listening sockets, and a connected one per peer.
//!
//! A connected socket shares the listener's port, so that a server sees one
//! source (3581), and hears of ICMP errors, which an unconnected one does not.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use crate::sip::io::{FlowError, FlowId};

/// All UDP sockets of one driver. Few, so they are polled one after the other.
#[derive(Debug, Default)]
pub(super) struct Udp {
    sockets: Vec<Entry>,
    /// The socket that is read next, so that a busy one does not starve the others.
    turn: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    flow: FlowId,
    socket: UdpSocket,
    local: SocketAddr,
    /// `None` for a listener.
    remote: Option<SocketAddr>,
}

/// Something a UDP socket had.
#[derive(Debug)]
pub enum Datagram<'a> {
    /// Bytes from a peer.
    Bytes { flow: FlowId, source: SocketAddr, bytes: &'a [u8] },
    /// An ICMP error; the flow is gone.
    Failed { flow: FlowId, error: FlowError },
}

/// Binds a listening socket.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // One family a socket: an IPv4 peer seen through IPv6 would show as a mapped address in Via.
        socket.set_only_v6(true)?;
    }
    // As much as the system allows: a burst of answers must not be lost.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.bind(&SockAddr::from(address))?;
    // Only now, for the connected sockets to come: before the bind it would let a second puad take
    // the same port without an error.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Udp {
    /// Takes over a bound listener.
    pub(super) fn listen(&mut self, flow: FlowId, socket: std::net::UdpSocket) -> io::Result<()> {
        self.buffer.resize(65_536, 0);
        let local = socket.local_addr()?;
        self.sockets.push(Entry {
            flow,
            socket: UdpSocket::from_std(socket)?,
            local,
            remote: None,
        });
        Ok(())
    }

    /// Opens a connected socket on a listener's port; returns its concrete local address.
    pub(super) fn open(&mut self, flow: FlowId, remote: SocketAddr) -> io::Result<SocketAddr> {
        let fits = |entry: &&Entry| {
            entry.remote.is_none()
                && entry.local.is_ipv4() == remote.is_ipv4()
                && (!entry.local.ip().is_loopback() || remote.ip().is_loopback())
        };
        let listener = self.sockets.iter().find(fits).ok_or(io::ErrorKind::NetworkUnreachable)?;
        let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(listener.local))?;
        socket.connect(&SockAddr::from(remote))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        self.sockets.push(Entry { flow, socket, local, remote: Some(remote) });
        Ok(local)
    }

    pub(super) fn close(&mut self, flow: FlowId) {
        self.sockets.retain(|entry| entry.flow != flow || entry.remote.is_none());
    }

    /// Sends on a UDP flow; `None` when there is none of this number.
    pub(super) fn send(
        &mut self,
        flow: FlowId,
        to: SocketAddr,
        message: &[u8],
    ) -> Option<io::Result<()>> {
        let entry = self.sockets.iter().find(|entry| entry.flow == flow)?;
        // Straight to the system: tokio believes a new socket writable only after its next turn, and
        // would lose the first datagram to every peer.
        let socket = SockRef::from(&entry.socket);
        let sent = match entry.remote {
            Some(_) => socket.send(message),
            None => socket.send_to(message, &SockAddr::from(to)),
        };
        Some(match sent {
            Ok(_) => Ok(()),
            Err(error) if entry.remote.is_none() || is_loss(&error) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Becomes ready when one of the sockets has something.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for entry in &self.sockets {
            if entry.socket.poll_recv_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Returns the next datagram that is there already.
    pub(super) fn receive(&mut self) -> Option<Datagram<'_>> {
        for _ in 0..self.sockets.len() {
            self.turn %= self.sockets.len();
            let entry = &self.sockets[self.turn];
            let received = match entry.remote {
                Some(remote) => entry.socket.try_recv(&mut self.buffer).map(|len| (len, remote)),
                None => entry.socket.try_recv_from(&mut self.buffer),
            };
            let flow = entry.flow;
            match (received, entry.remote) {
                (Ok((len, source)), _) => {
                    return Some(Datagram::Bytes { flow, source, bytes: &self.buffer[..len] });
                }
                (Err(error), Some(_)) if error.kind() != io::ErrorKind::WouldBlock => {
                    self.sockets.remove(self.turn);
                    return Some(Datagram::Failed { flow, error: super::flow_error(&error) });
                }
                (Err(_), _) => self.turn += 1,
            }
        }
        None
    }
}

/// Returns whether an error concerns one datagram and not its peer: a full buffer or a firewall
/// loses it like any router, and one that is too large takes no other down with it.
fn is_loss(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::MSGSIZE | Errno::NOBUFS | Errno::NOMEM | Errno::PERM)
        )
}

const BUFFER: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_datagram_leaves_a_socket_that_is_not_a_turn_old() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let remote = peer.local_addr().expect("it is bound");
        let mut udp = Udp::default();
        let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        udp.listen(FlowId(1), listener).expect("a runtime");
        udp.open(FlowId(2), remote).expect("a socket");
        // What no datagram holds is lost alone: the socket goes on.
        let sent = udp.send(FlowId(2), remote, &[0; 70_000]);
        assert!(sent.expect("a flow").is_ok());
        for flow in [FlowId(1), FlowId(2)] {
            udp.send(flow, remote, b"now").expect("a flow").expect("room");
            // Loopback delivers within the call that sends.
            peer.set_nonblocking(true).expect("a socket");
            assert_eq!(peer.recv(&mut [0; 8]).ok(), Some(3), "{flow:?}");
        }
    }
}
