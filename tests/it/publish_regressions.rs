//! Faults that the simulated networks found, each as a story of its own.

use std::time::Instant;

use puad::{
    command::Lifetime,
    sip::{
        Config,
        io::{Input, Output},
    },
};

use crate::support::{
    secs,
    world::{ALICE, PEER, World, document, presence, publish},
};

const BOB: &str = "sip:bob@192.0.2.1";

#[test]
fn an_update_that_must_wait_does_not_end_a_publication_that_queued_for_its_removal() {
    let mut world = World::silent();
    let mut count = 0;
    world.peer = Box::new(move |_, request| {
        count += 1;
        vec![(0.2, request.granted(&format!("t{count}"), 600))]
    });
    let mut lamp = publish(ALICE, "dialog", "text/plain", "one");
    lamp.min_interval = secs(30);
    world.publish(lamp.clone());
    world.run_for(secs(2));
    // The removal queues behind another PUBLISH to this Request-URI, and is taken back.
    world.publish(presence("<a/>"));
    world.remove(lamp.key());
    lamp.document = Some(document("text/plain", "two"));
    let update = world.publish(lamp.clone());
    world.run_for(secs(60));
    assert!(world.outcome(update).is_ok());
    assert_eq!(world.infos().len(), 2);
    assert_eq!(world.distinct_requests().last().expect("sent").text(), "two");
}

#[test]
fn a_publication_that_ends_in_the_queue_asks_for_no_more_time() {
    let mut config = Config::default();
    config.limits.in_flight_per_server = 1;
    let mut world = World::with_config(config);
    world.publish(presence("<a/>"));
    let mut brief = publish(BOB, "presence", "text/plain", "b");
    brief.lifetime = Lifetime::For(secs(5));
    world.publish(brief);
    world.run_for(secs(4.8));
    world.now += secs(0.3);
    world.input(Input::Timeout);
    assert!(deadline(&mut world) > world.now);
}

#[test]
fn a_lifetime_that_ends_while_the_answer_is_under_way_leaves_no_deadline_behind() {
    let mut world = World::silent();
    let mut brief = presence("<a/>");
    brief.lifetime = Lifetime::For(secs(2));
    world.publish(brief);
    world.run_for(secs(3));
    let (flow, source) = (world.sent[0].flow, PEER.parse().expect("an address"));
    let answer = world.sent[0].sip().granted("t1", 600);
    world.input(Input::Received { flow, source, message: &answer });
    assert!(deadline(&mut world) > world.now);
    assert!(world.infos().is_empty());
}

#[test]
fn pub_10_a_grant_counts_from_when_the_server_may_have_given_it() {
    // It answers the first copy, but only an answer to a later one comes through.
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(14.0, request.granted("t", 20))]);
    world.publish(presence("<a/>"));
    world.run_for(secs(20));
    let refresh = &world.distinct_requests()[1];
    assert_eq!(refresh.get("SIP-If-Match"), Some("t"));
}

#[test]
fn a_late_answer_does_not_make_the_last_grant_cover_the_rest_of_the_lifetime() {
    // Granted for 23 s at 0, which looks like 39 s from the answer at 16; wanted for 34 s.
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(16.0, request.granted("t", 23))]);
    let mut brief = presence("<a/>");
    brief.lifetime = Lifetime::For(secs(34));
    world.publish(brief);
    world.run_for(secs(23));
    assert_eq!(world.distinct_requests().len(), 2);
}

#[test]
fn a_connection_that_has_died_without_a_sign_is_replaced_after_one_transaction() {
    let mut world = World::silent();
    world.peer = Box::new(|at, request| match at {
        // What comes later goes into the void, until there is another connection.
        0.0 => vec![(0.0, request.granted("t", 600))],
        _ => Vec::new(),
    });
    let over_tcp = "sip:alice@192.0.2.1;transport=tcp";
    world.publish(publish(over_tcp, "presence", "text/plain", "a"));
    world.run_for(secs(600));
    let (first, second) = (world.sent[0].flow, world.sent[1].flow);
    assert_eq!(first, second, "the refresh takes the connection there is");
    assert_eq!(world.sent[2].at - world.sent[1].at, 32.5, "Timer F, and the shortest back-off");
    assert_ne!(world.sent[2].flow, first);
    assert_eq!(world.closed[0], first);
}

#[test]
fn pub_23_of_several_push_backs_the_longest_counts() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| {
        let (delay, seconds) = if request.uri() == BOB { (2.0, 10) } else { (1.0, 100) };
        vec![(delay, request.answer(503).header("Retry-After", seconds).bytes())]
    });
    world.publish(presence("<a/>"));
    world.publish(publish(BOB, "presence", "text/plain", "b"));
    world.run_for(secs(100.9));
    assert_eq!(world.distinct_requests().len(), 2);
    world.run_for(secs(1));
    assert!(world.distinct_requests().len() > 2);
}

#[test]
fn a_removal_after_a_refusal_takes_away_what_is_still_up() {
    let mut world = World::silent();
    let mut count = 0;
    world.peer = Box::new(move |_, request| {
        count += 1;
        let answer = match count {
            2 => request.answer(403).bytes(),
            _ => request.granted(&format!("t{count}"), 3600),
        };
        vec![(0.2, answer)]
    });
    for body in ["<1/>", "<2/>"] {
        world.publish(presence(body));
        world.run_for(secs(2));
    }
    // The call that starts over queues behind another one, and is taken back.
    world.publish(publish(ALICE, "dialog", "text/plain", "d"));
    world.publish(presence("<3/>"));
    world.remove(presence("").key());
    world.run_for(secs(5));
    let requests = world.distinct_requests();
    let last = requests.last().expect("sent");
    assert_eq!((last.get("SIP-If-Match"), last.need("Expires")), (Some("t1"), "0"));
}

/// The next deadline of a core that has nothing else to do.
fn deadline(world: &mut World) -> Instant {
    match world.uac.poll_output() {
        Output::Timeout(Some(deadline)) => deadline.at,
        other => panic!("not only a deadline: {other:?}"),
    }
}
