//! TP rows: flows, sizes, where answers go (RFC 3261 §18; RFC 3581; RFC 5626).

use puad::{
    command::{Change, Command, ExtraHeaders, Owner, Publish},
    sip::io::{FlowError, FlowId},
};
use rsip::Transport;

use crate::support::{
    Ask, Sip, secs,
    world::{LOCAL, PEER, UDP_LISTENER, World, presence, publish},
};

/// A presentity reached over TCP.
fn over_tcp(user: &str) -> Publish {
    let presentity = format!("sip:{user}@192.0.2.1;transport=tcp");
    publish(&presentity, "presence", "application/pidf+xml", "<open/>")
}

/// A presentity at a name with two addresses.
fn at_two_servers(world: &mut World, transport: &str) -> Publish {
    let addresses = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().expect("an address"));
    world.dns.insert("two.example".into(), Ok(addresses.to_vec()));
    publish(&format!("sip:a@two.example;transport={transport}"), "presence", "text/plain", "x")
}

/// A publish whose UDP form has this many bytes in all.
fn sized(size: usize, presentity: &str) -> Publish {
    let mut probe = World::silent();
    probe.publish(publish(presentity, "presence", "text/plain", &"x".repeat(900)));
    let probed = probe.sent[0].bytes.len();
    publish(presentity, "presence", "text/plain", &"x".repeat(900 + size - probed))
}

#[test]
fn tp_02_a_request_above_1300_bytes_goes_over_tcp() {
    let mut world = World::granting(3600);
    world.publish(sized(1300, "sip:alice@192.0.2.1"));
    assert_eq!((world.sent[0].transport, world.sent[0].bytes.len()), (Transport::Udp, 1300));
    assert!(world.requests()[0].need("Via").starts_with("SIP/2.0/UDP "));

    let mut world = World::granting(3600);
    let ticket = world.publish(sized(1301, "sip:alice@192.0.2.1"));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.sent.len(), 1);
    assert_eq!(
        (world.sent[0].transport, world.sent[0].to.to_string()),
        (Transport::Tcp, PEER.into())
    );
    assert!(world.requests()[0].need("Via").starts_with("SIP/2.0/TCP "));
}

#[test]
fn tp_02_the_size_that_counts_is_that_of_the_whole_message() {
    // A header of the user tips it over.
    let mut publish = sized(1290, "sip:alice@192.0.2.1");
    publish.extra_headers = ExtraHeaders::new(vec![("X-A".into(), "1234".into())]).expect("valid");
    let mut world = World::granting(3600);
    world.publish(publish);
    assert_eq!(world.sent[0].transport, Transport::Tcp);
}

#[test]
fn tp_03_tcp_chosen_for_size_and_refused_falls_back_to_udp_once() {
    for error in [FlowError::Refused, FlowError::Unsupported] {
        let mut world = World::granting(3600);
        world.opening =
            Box::new(move |hop| Some(if hop.is_reliable() { Err(error) } else { Ok(()) }));
        let ticket = world.publish(sized(1301, "sip:alice@192.0.2.1"));
        assert!(world.outcome(ticket).is_ok(), "{error}");
        assert_eq!(world.sent.len(), 1);
        assert_eq!((world.sent[0].transport, world.sent[0].bytes.len()), (Transport::Udp, 1301));
        assert_eq!(world.opened.iter().filter(|hop| hop.is_reliable()).count(), 1);
    }
}

#[test]
fn tp_03_a_connect_time_out_does_not_lead_to_udp() {
    let mut world = World::granting(3600);
    world.opening = Box::new(|hop| (!hop.is_reliable()).then_some(Ok(())));
    let ticket = world.publish(sized(1301, "sip:alice@192.0.2.1"));
    world.run_for(secs(5));
    assert_eq!(world.outcome(ticket).expect_err("no way").kind.as_str(), "timeout");
    assert!(world.sent.is_empty());
}

#[test]
fn tp_03_tcp_asked_for_by_the_uri_never_becomes_udp() {
    let mut world = World::granting(3600);
    world.opening =
        Box::new(|hop| Some(if hop.is_reliable() { Err(FlowError::Refused) } else { Ok(()) }));
    let ticket = world.publish(sized(1301, "sip:alice@192.0.2.1;transport=tcp"));
    let failure = world.outcome(ticket).expect_err("refused");
    assert_eq!((failure.kind.as_str(), failure.retrying), ("refused", true));
    assert!(world.sent.is_empty());
}

#[test]
fn tp_04_an_open_connection_is_used_again() {
    let mut world = World::granting(3600);
    for user in ["a", "b"] {
        let ticket = world.publish(over_tcp(user));
        assert!(world.outcome(ticket).is_ok());
    }
    assert_eq!(world.opened.len(), 1);
    assert_eq!(world.sent[0].flow, world.sent[1].flow);
    // Another port is another peer, and another transport another flow.
    world.publish(publish("sip:c@192.0.2.1:5080;transport=tcp", "presence", "text/plain", "x"));
    world.publish(publish("sip:d@192.0.2.1", "presence", "text/plain", "x"));
    assert_eq!(world.opened.len(), 3);
}

#[test]
fn tp_04_requests_made_together_wait_for_one_connection() {
    let mut world = World::granting(3600);
    let tickets =
        ["a", "b", "c"].map(|user| world.command(Command::Publish(Box::new(over_tcp(user)))));
    world.run_for(secs(0));
    for ticket in tickets {
        assert!(world.outcome(ticket).is_ok());
    }
    assert_eq!((world.opened.len(), world.sent.len()), (1, 3));
}

#[test]
fn tp_05_a_connection_stays_open_while_a_publication_uses_it() {
    let mut world = World::granting(3600);
    let publish = over_tcp("a");
    let key = publish.key();
    world.publish(publish);
    world.run_for(secs(4 * 3600));
    assert!(world.sent.len() > 4, "it was refreshed");
    assert_eq!((world.opened.len(), world.closed.len()), (1, 0));
    // Without a user it stays for 64*T1 at least, and not for ever.
    let owner = Owner::Script("test".into());
    world.command(Command::Remove { owner, key, timeout: None });
    world.run_for(secs(32));
    assert_eq!(world.closed, []);
    world.run_for(secs(600));
    assert_eq!(world.closed, [world.sent[0].flow]);
}

#[test]
fn tp_06_requests_are_taken_on_connections_of_either_side() {
    let mut world = World::granting(3600);
    world.publish(over_tcp("a"));
    let ours = world.sent[0].flow;
    let theirs = world.connect(1, "192.0.2.1:40001");
    for (flow, source) in [(ours, PEER), (theirs, "192.0.2.1:40001")] {
        let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKq";
        world.arrive(0.0, flow, source, &Ask::options("q").vias(&[via]).bytes());
        world.run_for(secs(0));
        let answer = world.sent.last().expect("an answer");
        assert_eq!((answer.flow, answer.sip().code()), (flow, 200));
    }
}

#[test]
fn tp_07_an_answer_may_come_over_a_connection_that_the_peer_opens() {
    let mut world = World::silent();
    let ticket = world.publish(over_tcp("a"));
    let request = world.requests().remove(0);
    // The way back that Via names is the port that accepts, not the one of this connection.
    assert!(request.need("Via").starts_with(&format!("SIP/2.0/TCP {LOCAL}")));
    world.fail(0.1, world.sent[0].flow, FlowError::Closed);
    world.run_for(secs(0.2));
    let flow = world.connect(1, "192.0.2.1:40001");
    world.arrive(0.3, flow, "192.0.2.1:40001", &request.granted("t1", 3600));
    world.run_for(secs(10));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.replies[&ticket].0, 0.5);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn tp_07_an_answer_may_come_from_another_udp_address() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let granted = world.requests()[0].granted("t1", 3600);
    world.arrive(0.1, UDP_LISTENER, "198.51.100.7:9999", &granted);
    world.run_for(secs(1));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.sent_at(), [0.0]);
}

#[test]
fn tp_08_an_answer_goes_back_over_the_connection_whatever_via_says() {
    let mut world = World::silent();
    let flow = world.connect(1, "192.0.2.1:40001");
    let via = "SIP/2.0/TCP 203.0.113.5:5099;branch=z9hG4bKq";
    world.arrive(0.0, flow, "192.0.2.1:40001", &Ask::options("q").vias(&[via]).bytes());
    world.run_for(secs(0));
    assert_eq!(world.sent[0].flow, flow);
    assert_eq!(
        world.sent[0].sip().need("Via"),
        "SIP/2.0/TCP 203.0.113.5:5099;branch=z9hG4bKq;received=192.0.2.1"
    );
    assert!(world.opened.is_empty());
}

#[test]
fn tp_09_rport_is_filled_in_and_answered_to() {
    let mut world = World::silent();
    // As the row has it: also when sent-by is the very source address.
    let via = "SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bKq;x=1";
    let answers = world.ask("127.0.0.1:40000", &Ask::new("NOTIFY", "q").vias(&[via]).bytes());
    assert_eq!(
        (world.sent[0].to.to_string(), world.sent[0].flow),
        ("127.0.0.1:40000".into(), UDP_LISTENER)
    );
    let via = answers[0].need("Via");
    assert!(via.starts_with("SIP/2.0/UDP 127.0.0.1:5070;"), "{via}");
    let mut params: Vec<_> = via.split(';').skip(1).collect();
    params.sort_unstable();
    assert_eq!(params, ["branch=z9hG4bKq", "received=127.0.0.1", "rport=40000", "x=1"]);
}

#[test]
fn tp_09_a_request_on_a_connected_socket_is_answered_from_it() {
    let mut world = World::granting(3600);
    world.publish(presence("<a/>"));
    let flow = world.sent[0].flow;
    world.arrive(0.0, flow, PEER, &Ask::options("q").bytes());
    world.run_for(secs(0));
    let answer = world.sent.last().expect("an answer");
    assert_eq!((answer.flow, answer.to.to_string()), (flow, PEER.into()));
}

#[test]
fn tp_10_without_rport_the_answer_goes_to_the_port_of_sent_by() {
    for (sent_by, to, received) in [
        ("host.example:5070", "198.51.100.7:5070", true),
        ("host.example", "198.51.100.7:5060", true),
        ("203.0.113.5:5070", "198.51.100.7:5070", true),
        ("198.51.100.7:5070", "198.51.100.7:5070", false),
    ] {
        let mut world = World::silent();
        let via = format!("SIP/2.0/UDP {sent_by};branch=z9hG4bKq");
        let answers = world.ask("198.51.100.7:40000", &Ask::options("q").vias(&[&via]).bytes());
        assert_eq!(world.sent[0].to.to_string(), to, "{sent_by}");
        let expected = if received { format!("{via};received=198.51.100.7") } else { via };
        assert_eq!(answers[0].need("Via"), expected);
    }
}

#[test]
fn tp_10_what_the_peer_claims_as_received_is_replaced() {
    let mut world = World::silent();
    let via = "SIP/2.0/UDP host.example;branch=z9hG4bKq;received=203.0.113.9";
    let answers = world.ask("198.51.100.7:40000", &Ask::options("q").vias(&[via]).bytes());
    assert_eq!(
        answers[0].need("Via"),
        "SIP/2.0/UDP host.example;branch=z9hG4bKq;received=198.51.100.7"
    );
}

#[test]
fn tp_14_a_ping_between_messages_is_answered_and_single_crlfs_are_swallowed() {
    let mut world = World::silent();
    let source = "192.0.2.1:40001";
    let flow = world.connect(1, source);
    world.arrive(0.0, flow, source, b"\r\n\r\n");
    world.run_for(secs(0));
    assert_eq!(world.sent[0].bytes, b"\r\n");
    // A ping in pieces, and one right before a request.
    world.arrive(0.1, flow, source, b"\r\n\r");
    world.arrive(0.2, flow, source, b"\n");
    world.run_for(secs(1));
    assert_eq!((world.sent.len(), &world.sent[1].bytes[..]), (2, &b"\r\n"[..]));
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKq";
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend(Ask::options("q").vias(&[via]).bytes());
    bytes.extend(b"\r\n");
    world.arrive(0.0, flow, source, &bytes);
    world.run_for(secs(0));
    assert_eq!(world.sent.len(), 4);
    assert_eq!(world.sent[2].bytes, b"\r\n");
    assert_eq!(world.sent[3].sip().code(), 200);
}

#[test]
fn tp_14_a_single_crlf_is_no_half_received_message() {
    let mut world = World::granting(3600);
    world.publish(over_tcp("a"));
    let flow = world.sent[0].flow;
    world.arrive(0.0, flow, PEER, b"\r\n");
    world.run_for(secs(600));
    assert_eq!(world.closed, []);
    assert_eq!(world.uac.stats().connections_limited, 0);
}

#[test]
fn tp_15_udp_has_no_keep_alive_and_noise_gets_no_answer() {
    let mut world = World::granting(3600);
    world.publish(presence("<a/>"));
    world.run_for(secs(3600));
    assert!(world.sent.iter().all(|sent| sent.bytes.starts_with(b"PUBLISH ")));
    let before = world.sent.len();
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 12]);
    for noise in [&b"\0\0\0\0"[..], b"\r\n\r\n", b"\r\n", b"", &stun] {
        world.arrive(0.0, UDP_LISTENER, PEER, noise);
    }
    world.run_for(secs(0));
    assert_eq!(world.sent.len(), before);
    assert_eq!((world.uac.stats().noise, world.uac.stats().incoming), (5, 0));
}

#[test]
fn tp_16_a_reset_connection_sends_the_request_to_the_next_server_at_once() {
    let mut world = World::silent();
    let publish = at_two_servers(&mut world, "tcp");
    let ticket = world.publish(publish);
    let first = world.requests().remove(0);
    assert_eq!(world.sent[0].to.to_string(), PEER);
    world.fail(0.1, world.sent[0].flow, FlowError::Refused);
    world.peer = Box::new(|_, request| vec![(0.0, request.granted("t1", 3600))]);
    world.run_for(secs(1));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.sent_at(), [0.0, 0.1]);
    assert_eq!(world.sent[1].to.to_string(), "192.0.2.2:5060");
    let second = world.requests().remove(1);
    assert_ne!(second.branch(), first.branch());
    for same in ["Call-ID", "From", "CSeq"] {
        assert_eq!(second.need(same), first.need(same));
    }
}

#[test]
fn tp_16_a_closed_connection_and_no_answer_by_another_way_is_the_same() {
    let mut world = World::silent();
    let publish = at_two_servers(&mut world, "tcp");
    let ticket = world.publish(publish);
    world.fail(0.1, world.sent[0].flow, FlowError::Closed);
    world.peer = Box::new(|_, request| vec![(0.0, request.granted("t1", 3600))]);
    world.run_for(secs(5));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.sent[1].to.to_string(), "192.0.2.2:5060");
    assert!(world.sent[1].at <= 3.0, "well before Timer F: {}", world.sent[1].at);
}

#[test]
fn tp_16_a_half_received_message_goes_with_its_connection() {
    let mut world = World::silent();
    let ticket = world.publish(over_tcp("a"));
    let granted = world.requests()[0].granted("t1", 3600);
    let (head, tail) = granted.split_at(60);
    world.arrive(0.1, world.sent[0].flow, PEER, head);
    world.fail(0.2, world.sent[0].flow, FlowError::Closed);
    world.run_for(secs(0.3));
    let flow = world.connect(1, "192.0.2.1:40001");
    world.arrive(0.0, flow, "192.0.2.1:40001", tail);
    world.run_for(secs(1));
    assert!(world.is_waiting(ticket));
}

#[test]
fn tp_16_a_connection_used_before_that_closes_is_opened_anew_once() {
    let mut world = World::granting(3600);
    world.publish(over_tcp("a"));
    world.run_for(secs(10));
    world.peer = Box::new(|_, _| Vec::new());
    let ticket = world.publish(over_tcp("b"));
    let request = world.requests().remove(1);
    // Most likely closed before it read this: the same server, over a new connection.
    world.fail(0.1, world.sent[1].flow, FlowError::Closed);
    world.run_for(secs(1));
    assert_eq!(world.opened.len(), 2);
    assert_eq!(world.opened[0], world.opened[1]);
    assert_eq!(world.sent_at(), [0.0, 10.0, 10.1]);
    let again = world.requests().remove(2);
    assert_ne!(again.branch(), request.branch());
    assert_eq!(
        (again.need("CSeq"), again.need("Call-ID")),
        (request.need("CSeq"), request.need("Call-ID"))
    );
    // The new one closes too: that is the server's answer, and puad tries later.
    world.fail(0.0, world.sent[2].flow, FlowError::Closed);
    world.run_for(secs(3));
    assert_eq!(world.outcome(ticket).expect_err("lost").kind.as_str(), "io");
    assert_eq!(world.changes(), [Change::Published, Change::Retrying]);
}

#[test]
fn tp_17_a_black_hole_is_left_after_five_seconds() {
    let mut world = World::granting(3600);
    world.opening = Box::new(|hop| (hop.remote.ip().to_string() != "192.0.2.1").then_some(Ok(())));
    let publish = at_two_servers(&mut world, "tcp");
    let ticket = world.publish(publish);
    world.run_for(secs(31));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.sent_at(), [5.0]);
    assert_eq!(world.sent[0].to.to_string(), "192.0.2.2:5060");
    // The connection that never came about is given up.
    assert_eq!(world.closed, [FlowId(0)]);
}

#[test]
fn a_silent_server_is_given_up_after_timer_f_and_the_next_is_tried() {
    let mut world = World::silent();
    let publish = at_two_servers(&mut world, "udp");
    world.publish(publish);
    world.run_for(secs(33));
    let to: Vec<_> = world.sent.iter().map(|sent| (sent.at, sent.to.ip().to_string())).collect();
    assert_eq!(to[11], (32.0, "192.0.2.2".to_owned()));
    assert_eq!(branches(&world.requests()).len(), 2);
}

fn branches(requests: &[Sip]) -> std::collections::BTreeSet<String> {
    requests.iter().map(Sip::branch).collect()
}
