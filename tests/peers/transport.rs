//! UDP and TCP to a real server (3261 §18).

use puad::command::Change;

use crate::{
    kamailio::Kamailio,
    puad::{ALICE, Puad, lasting, presence},
    watcher::Watcher,
};

#[test]
fn tcp_carries_every_request_of_a_publication() {
    let server = Kamailio::start();
    let proxy = format!("sip:127.0.0.1:{};transport=tcp;lr", server.port());
    let mut puad = Puad::towards(&proxy);
    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");
    puad.publish(lasting(5, presence("by stream"))).expect("accepted");
    watcher.sees_text("by stream");
    puad.waits_for(Change::Refreshed);
    puad.publish(presence("by the same stream")).expect("accepted");
    watcher.sees_text("by the same stream");
    puad.remove(&presence("")).expect("accepted");
    watcher.sees("a closed tuple", |notify| notify.text().contains("closed"));
    let transports: Vec<_> = server.publishes().into_iter().map(|met| met.transport).collect();
    assert_eq!(transports, ["tcp"; 4]);
}

#[test]
fn tp_02_a_request_of_more_than_1300_bytes_goes_over_tcp() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    // One publication grows byte by byte until it no longer fits a datagram.
    puad.publish(presence("")).expect("accepted");
    let room = 1300 - server.publishes()[0].length;
    for length in room.saturating_sub(80)..room + 20 {
        puad.publish(presence(&"x".repeat(length))).expect("accepted");
    }
    let met = server.publishes();
    let by = |transport: &'static str| met.iter().filter(move |met| met.transport == transport);
    let last = by("udp").max_by_key(|met| met.length).expect("short ones");
    let first = by("tcp").min_by_key(|met| met.length).expect("long ones");
    assert_eq!(last.length, 1300);
    assert_eq!(first.body_length, last.body_length + 1);
}

#[test]
fn a_large_document_arrives_whole() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    let note = "all work and no play ".repeat(400);
    puad.publish(presence(&note)).expect("accepted");
    let [large] = &server.publishes()[..] else { panic!("one request") };
    assert_eq!(large.transport, "tcp");
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text(note.trim_end());
    // A refresh is small and goes by UDP again.
    puad.refresh(&presence("")).expect("accepted");
    assert_eq!(server.publishes()[1].transport, "udp");
}
