//! TP rows: flows, sizes, where answers go (RFC 3261 §18; RFC 3581; RFC 5626).

use puad::command::Publish;

use crate::support::{
    Ask, secs,
    world::{PEER, World, publish},
};

/// A presentity reached over TCP.
fn over_tcp(user: &str) -> Publish {
    let presentity = format!("sip:{user}@192.0.2.1;transport=tcp");
    publish(&presentity, "presence", "application/pidf+xml", "<open/>")
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
