//! Rows whose subject is a real socket: the driver on loopback, every wait bounded.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use puad::{
    command::{Command, Failure, Publish, Published, Reply},
    driver::{self, Running, Settings},
    net::Listen,
    sip::Config,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Ask, Sip, world::publish};

/// Long enough for a slow machine, and far below Timer F.
const PATIENCE: Duration = Duration::from_secs(10);

/// A driver on a free port.
fn start() -> (Running, SocketAddr) {
    let listen = vec![Listen::parse("udp:127.0.0.1:0").expect("valid")];
    let running = driver::start(Settings { sip: Config::default(), listen }).expect("started");
    let address = running.listening[0].1;
    (running, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream
}

fn over_tcp(id: &str) -> Ask {
    Ask::options(id).vias(&[&format!("SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{id}")])
}

/// Reads to the end of the first message without a body.
fn read_answer(stream: &mut TcpStream) -> Sip {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        bytes.push(byte[0]);
    }
    Sip::parse(&bytes)
}

fn call(running: &Running, publish: Publish) -> Result<Published, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let command = Command::Publish(Box::new(publish));
    let reply = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, running.handle.call(command)).await })
        .expect("in time")
        .expect("a driver");
    match reply {
        Reply::Publication(result) => result,
        other => panic!("not the reply to a publish: {other:?}"),
    }
}

#[test]
fn tp_01_the_port_of_udp_takes_tcp_too() {
    let (running, address) = start();
    let ports: Vec<_> = running.listening.iter().map(|(t, address)| (*t, *address)).collect();
    assert_eq!(ports, [(rsip::Transport::Udp, address), (rsip::Transport::Tcp, address)]);

    let mut stream = connect(address);
    stream.write_all(&over_tcp("t").bytes()).expect("sent");
    assert_eq!(read_answer(&mut stream).code(), 200);

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket.send_to(&Ask::options("u").bytes(), address).expect("sent");
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
    assert_eq!((Sip::parse(&buffer[..length]).code(), from), (200, address));
    running.join();
}

#[test]
fn tx_11_a_closed_udp_port_is_noticed_at_once() {
    let (running, _) = start();
    let closed = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let before = Instant::now();
    let presentity = format!("sip:alice@{closed}");
    let failure = call(&running, publish(&presentity, "presence", "text/plain", "x"))
        .expect_err("nobody is there");
    assert!(before.elapsed() < PATIENCE);
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("refused", None, true));
    running.join();
}

#[test]
fn tx_19_a_closed_tcp_port_is_noticed_at_once() {
    let (running, _) = start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("bound");
    drop(listener);
    let presentity = format!("sip:alice@{closed};transport=tcp");
    let failure = call(&running, publish(&presentity, "presence", "text/plain", "x"))
        .expect_err("nobody is there");
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("refused", None, true));
    running.join();
}

#[test]
fn tp_08_who_closes_one_direction_still_gets_its_answer() {
    let (running, address) = start();
    for number in 0..20 {
        let mut stream = connect(address);
        stream.write_all(&over_tcp(&number.to_string()).bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(read_answer(&mut stream).code(), 200);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(rest, b"");
    }
    running.join();
}

#[test]
fn sec_10_a_peer_that_never_reads_is_let_go_and_others_are_served() {
    let (running, address) = start();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    // As little room as the system allows.
    socket.set_recv_buffer_size(1024).expect("set");
    socket.connect(&address.into()).expect("connected");
    socket.set_write_timeout(Some(PATIENCE)).expect("set");
    let mut deaf = TcpStream::from(socket);
    let pings = b"\r\n\r\n".repeat(16_384);
    let before = Instant::now();
    // Each ping wants a pong, and nobody takes them.
    while deaf.write_all(&pings).is_ok() {
        assert!(before.elapsed() < 3 * PATIENCE, "still written to");
    }
    let mut stream = connect(address);
    stream.write_all(&over_tcp("t").bytes()).expect("sent");
    assert_eq!(read_answer(&mut stream).code(), 200);
    running.join();
}
