//! SEC rows: what strangers can make puad do, keep and send (RFC 3261 §26; RFC 4475).

use crate::support::{
    Ask, secs,
    world::{PEER, World, publish},
};

#[test]
fn sec_10_a_message_that_stays_half_received_ends_its_connection() {
    let mut world = World::silent();
    let source = "192.0.2.1:40001";
    let flow = world.connect(1, source);
    // One byte a second: never idle, never whole.
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKq";
    for (at, byte) in Ask::options("q").vias(&[via]).bytes().iter().enumerate() {
        world.arrive(at as f64, flow, source, &[*byte]);
    }
    world.run_for(secs(31.9));
    assert_eq!(world.closed, []);
    world.run_for(secs(0.2));
    assert_eq!(world.closed, [flow]);
    assert_eq!(world.uac.stats().connections_limited, 1);
    // The rest reaches nobody.
    world.run_for(secs(1000));
    assert!(world.sent.is_empty());
}

#[test]
fn sec_10_a_connection_that_is_always_in_the_middle_of_the_next_message_stays() {
    let mut world = World::granting(3600);
    world.publish(publish("sip:a@192.0.2.1;transport=tcp", "presence", "text/plain", "x"));
    let flow = world.sent[0].flow;
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK";
    let mut stream = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        stream.extend(Ask::options(&id).vias(&[&format!("{via}{number}")]).bytes());
    }
    for (at, piece) in stream.chunks(stream.len() / 99).enumerate() {
        world.arrive(at as f64, flow, PEER, piece);
    }
    world.run_for(secs(120));
    assert_eq!(world.closed, []);
    assert_eq!(world.responses().len(), 100);
}
