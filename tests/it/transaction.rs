//! TX rows: requests repeated, answers matched (RFC 3261 §17).

use crate::support::{
    secs,
    world::{World, presence},
};

#[test]
fn tx_01_udp_request_is_sent_eleven_times_then_times_out() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    world.run_for(secs(32));
    assert_eq!(world.sent_at(), [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]);
    let failure = world.outcome(ticket).expect_err("nobody answered");
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("timeout", None, true));
    assert_eq!(world.replies[&ticket].0, 32.0);
}
