//! The agent on real sockets: puad publishes to it, and a plain socket watches.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use puad::{
    agent::{Digest, Server, Settings},
    command::{Command, Reply},
    driver,
    net::Listen,
    sip::{Account, Config, Secret, auth::Algorithm},
};

use crate::support::{Sip, world};

#[test]
fn puad_publishes_over_udp_and_tcp_and_answers_the_challenge() {
    for transport in ["udp", "tcp"] {
        let digest = Some(Digest::new("presence", "alice", "wonderland"));
        let server = start(Settings { digest, ..Settings::default() });
        let running = driver::start(driver::Settings {
            sip: Config { accounts: vec![Arc::new(account())], ..Config::default() },
            listen: vec![Listen::parse("udp:127.0.0.1:0").expect("an entry")],
        })
        .expect("started");
        let uri = format!("sip:alice@{};transport={transport}", server.local_addr());
        for body in ["<open/>", "<closed/>"] {
            let publish = world::publish(&uri, "presence", "application/pidf+xml", body);
            let reply = block_on(running.handle.call(Command::Publish(Box::new(publish))));
            let Reply::Publication(Ok(published)) = reply.expect("still running") else {
                panic!("published over {transport}")
            };
            let [seen] = &server.agent().publications()[..] else { panic!("one publication") };
            assert_eq!(&*seen.topic.resource, "sip:alice@127.0.0.1");
            assert_eq!(&*seen.body, body.as_bytes());
            assert_eq!(&*seen.entity_tag, published.entity_tag.expect("a tag").as_str());
        }
        let counters = server.agent().counters();
        // The first one is challenged and sent again; the second one uses the nonce at hand.
        assert_eq!((counters.initial, counters.challenged, counters.modify), (2, 1, 1));
        assert_eq!(counters.refused, 0);
        running.join();
    }
}

#[test]
fn a_plain_socket_subscribes_and_is_notified() {
    let server = start(Settings::default());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.local_addr()).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let receive = || {
        let mut buffer = [0; 4096];
        let len = socket.recv(&mut buffer).expect("a message in time");
        Sip::parse(&buffer[..len])
    };
    let local = socket.local_addr().expect("bound");
    let head = |method: &str, cseq: u32| {
        format!(
            "{method} sip:box@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK{cseq}\r\nFrom: <sip:me@{local}>;tag=m\r\n\
             To: <sip:box@127.0.0.1>\r\nCall-ID: lamp\r\nCSeq: {cseq} {method}\r\n\
             Event: message-summary\r\n"
        )
    };
    let subscribe = head("SUBSCRIBE", 1) + &format!("Contact: <sip:me@{local}>\r\n\r\n");
    socket.send(subscribe.as_bytes()).expect("sent");
    let answer = receive();
    assert_eq!(answer.code(), 200);
    assert!(answer.need("Via").ends_with(&format!("rport={};received=127.0.0.1", local.port())));
    let first = receive();
    assert_eq!((first.method(), first.uri()), ("NOTIFY", &*format!("sip:me@{local}")));
    assert_eq!(first.text(), "");
    socket.send(&first.answer(200).bytes()).expect("sent");

    let body = "Messages-Waiting: yes\r\n";
    let publish = head("PUBLISH", 2)
        + &format!(
            "Content-Type: application/simple-message-summary\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    socket.send(publish.as_bytes()).expect("sent");
    assert!(receive().need("SIP-ETag").len() > 8);
    let second = receive();
    assert_eq!((second.need("CSeq"), second.text()), ("2 NOTIFY", body));
    assert!(second.need("Subscription-State").starts_with("active;expires="));
    socket.send(&second.answer(481).bytes()).expect("sent");
    drop(server);
    // The port is free again as soon as the server is dropped.
    assert!(UdpSocket::bind(socket.peer_addr().expect("connected")).is_ok());
}

#[test]
fn a_wildcard_is_refused_and_so_is_a_taken_port() {
    let wildcard = "0.0.0.0:0".parse().expect("an address");
    assert!(Server::start(wildcard, Settings::default()).is_err());
    let server = start(Settings::default());
    assert!(Server::start(server.local_addr(), Settings::default()).is_err());
}

#[test]
fn a_stream_is_cut_into_messages_and_a_broken_one_is_answered_and_closed() {
    use std::io::{Read as _, Write as _};
    let server = start(Settings::default());
    let mut stream = std::net::TcpStream::connect(server.local_addr()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let options = |branch: u32, end: &str| {
        format!(
            "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{branch}\r\n\
             From: <sip:me@127.0.0.1>;tag=m\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: c\r\n\
             CSeq: {branch} OPTIONS\r\n{end}\r\n"
        )
    };
    let whole = "Content-Length: 0\r\n";
    let bytes = options(1, whole) + &options(2, whole) + "\r\n\r\n" + &options(3, "");
    let (one, two) = bytes.split_at(150);
    stream.write_all(one.as_bytes()).expect("sent");
    stream.flush().expect("flushed");
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(two.as_bytes()).expect("sent");
    let mut answers = String::new();
    // Ends because the agent closes.
    stream.read_to_string(&mut answers).expect("answers, then the end");
    let codes: Vec<_> =
        answers.lines().filter(|line| line.starts_with("SIP/2.0 ")).map(|l| &l[8..11]).collect();
    assert_eq!(codes, ["200", "200", "400"]);
    assert!(answers.contains("\r\n\r\n\r\nSIP/2.0 400 Missing Content-Length\r\n"), "a pong");
}

fn start(settings: Settings) -> Server {
    Server::start("127.0.0.1:0".parse().expect("an address"), settings).expect("started")
}

fn account() -> Account {
    Account {
        name: None,
        domain: "127.0.0.1".into(),
        username: "alice".into(),
        password: Secret::new("wonderland"),
        realms: vec!["presence".into()],
        outbound_proxy: vec![],
        minimum_algorithm: Algorithm::Md5,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}
