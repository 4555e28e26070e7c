//! PUB rows and API promises about time: when refreshes fall, how state ends, how puad stops.

use puad::{
    command::{Change, Command, Lifetime, OnStop, PublicationState, Publish, RefreshWith, Reply},
    sip::{Config, io::Ticket},
};

use crate::support::{
    secs,
    world::{World, presence, publish},
};

#[test]
fn pub_10_a_refresh_falls_between_half_and_four_fifths_of_the_grant() {
    for (grant, earliest, latest) in
        [(3600, 1800.0, 2880.0), (600, 300.0, 480.0), (200, 100.0, 136.0), (60, 30.0, 48.0)]
    {
        let mut world = World::granting(grant);
        world.publish(presence("<1/>"));
        world.run_for(secs(20.0 * f64::from(grant)));
        for pair in world.sent_at().windows(2) {
            let gap = pair[1] - pair[0];
            assert!((earliest - 0.001..=latest + 0.001).contains(&gap), "{grant}: {gap}");
        }
    }
}

#[test]
fn pub_10_the_room_for_a_failed_transaction_grows_with_t1() {
    let config = Config { t1: secs(1), ..Config::default() };
    for seed in 0..20 {
        let mut world = World::seeded(config.clone(), [seed; 32]);
        world.peer = Box::new(|_, request| vec![(0.0, request.granted("t", 300))]);
        world.publish(presence("<1/>"));
        world.run_for(secs(300));
        assert!((150.0..=172.0).contains(&world.sent_at()[1]), "{:?}", world.sent_at());
    }
}

#[test]
fn pub_10_publications_made_together_are_not_refreshed_together() {
    let mut world = World::granting(60);
    for n in 0..1000 {
        world.publish(publish(&format!("sip:u{n}@192.0.2.1"), "presence", "a/b", "x"));
        world.run_for(secs(0.001));
    }
    world.run_for(secs(49));
    let refreshes: Vec<f64> = world.sent.iter().filter(|s| s.at > 2.0).map(|s| s.at).collect();
    assert!(refreshes.len() >= 1000);
    let mut seconds = [0_u32; 60];
    for at in &refreshes {
        seconds[*at as usize] += 1;
    }
    let busy = seconds.iter().filter(|count| **count > 0).count();
    let mean = refreshes.len() as f64 / busy as f64;
    let most = *seconds.iter().max().expect("some");
    assert!(f64::from(most) <= 3.0 * mean, "{most} in a second, {mean} on average");
    assert!(busy >= 17, "spread over the whole window");
}

#[test]
fn a_lifetime_ends_by_itself_and_each_publish_asks_for_what_is_left() {
    let mut world = World::with_peer(|request| {
        let asked = request.need("Expires").parse().expect("a number");
        request.granted("t", asked)
    });
    let lifetime = Lifetime::For(secs(100));
    world.publish(Publish { lifetime, expires: secs(60), ..presence("<1/>") });
    world.run_for(secs(99));
    assert_eq!(world.requests()[0].need("Expires"), "60");
    let requests = world.requests();
    let sent = world.sent_at();
    for (at, request) in sent.iter().zip(&requests) {
        let left = (100.0 - at).ceil().min(60.0);
        assert_eq!(request.need("Expires"), left.to_string(), "at {at}");
    }
    assert!(requests.len() >= 2);
    assert_eq!(world.infos()[0].state, PublicationState::Published);
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), requests.len(), "it is let run out, not removed");
    assert!(world.infos().is_empty());
    assert_eq!(world.changes().last(), Some(&Change::Removed));
    assert_eq!(world.events.last().expect("some").0, 100.0);
}

#[test]
fn a_lifetime_shorter_than_expires_is_all_that_is_asked_for() {
    let mut world = World::granting(3600);
    world.publish(Publish { lifetime: Lifetime::For(secs(30.5)), ..presence("<1/>") });
    world.run_for(secs(7200));
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.requests()[0].need("Expires"), "31");
    assert!(world.infos().is_empty());
}

#[test]
fn a_later_call_begins_a_new_lifetime() {
    let mut world = World::granting(3600);
    world.publish(Publish { lifetime: Lifetime::For(secs(30)), ..presence("<1/>") });
    world.run_for(secs(20));
    world.publish(presence("<2/>"));
    world.run_for(secs(3600));
    assert_eq!(world.infos()[0].state, PublicationState::Published);
    assert_eq!(world.requests()[1].need("Expires"), "3600");
}

#[test]
fn a_call_whose_lifetime_ends_in_the_queue_is_no_success() {
    let mut world = World::silent();
    world.publish(presence("<1/>"));
    let lifetime = Lifetime::For(secs(5));
    let queued = Publish { lifetime, id: "other".into(), ..presence("<2/>") };
    let ticket = world.publish(queued);
    world.run_for(secs(60));
    let failure = world.outcome(ticket).expect_err("never sent");
    assert!(!failure.retrying, "{failure}");
    assert!(!world.requests().iter().any(|request| request.text() == "<2/>"));
}

#[test]
fn a_removal_with_its_lifetime_gone_is_driven_all_the_same() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(0.4, request.granted("t", 600))]);
    world.publish(presence("<1/>"));
    world.run_for(secs(1));
    // What keeps the lane busy when the removal is asked for.
    world.publish(Publish { id: "other".into(), ..presence("<2/>") });
    let removal = Publish {
        expires: secs(0),
        lifetime: Lifetime::For(secs(0)),
        document: None,
        ..presence("")
    };
    let ticket = world.publish(removal);
    world.run_for(secs(5));
    assert!(world.outcome(ticket).expect("removed").sent);
    assert_eq!(world.distinct_requests()[2].need("Expires"), "0");
}

#[test]
fn half_a_second_asks_for_a_second_and_removes_nothing() {
    let mut world = World::granting(600);
    world.publish(Publish { expires: secs(0.5), ..presence("<1/>") });
    assert_eq!(world.requests()[0].need("Expires"), "1");
}

#[test]
fn changes_are_told_in_order() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        match count {
            3 => request.answer(500).bytes(),
            5 => request.answer(412).bytes(),
            7 => request.answer(403).bytes(),
            n => request.granted(&format!("t{n}"), 600),
        }
    });
    world.publish(presence("<1/>")); // 1
    world.run_for(secs(480)); // 2 refreshes
    world.publish(presence("<2/>")); // 3 fails, 4 recovers
    world.run_for(secs(2));
    world.publish(presence("<3/>")); // 5 is answered 412, 6 recovers
    world.publish(presence("<4/>")); // 7 is refused
    world.publish(presence("<5/>")); // 8 starts over
    world.remove(presence("").key()); // 9
    assert_eq!(world.requests().len(), 9);
    use Change::{Failed, Published, Recovered, Refreshed, Removed, Retrying};
    assert_eq!(
        world.changes(),
        [Published, Refreshed, Retrying, Recovered, Recovered, Failed, Recovered, Removed]
    );
    let events: Vec<_> = world
        .events
        .iter()
        .map(|(_, e)| (e.status, e.entity_tag.as_ref().map(|t| t.as_str().to_owned())))
        .collect();
    assert_eq!(events[0], (Some(200), Some("t1".into())));
    assert_eq!(events[1], (Some(200), Some("t2".into())));
    assert_eq!(events[2].0, Some(500));
    assert_eq!(events[5].0, Some(403));
    assert_eq!(events[7], (Some(200), None));
    for (_, event) in &world.events {
        assert_eq!(event.failure.is_some(), matches!(event.change, Retrying | Failed));
        assert_eq!(
            event.expires.is_some(),
            matches!(event.change, Published | Refreshed | Recovered)
        );
    }
}

#[test]
fn a_refresh_asked_for_is_a_refresh_whatever_it_carries() {
    for refresh in [RefreshWith::Empty, RefreshWith::Body] {
        let mut world = World::granting(600);
        world.publish(Publish { refresh: Some(refresh), ..presence("<1/>") });
        let ticket = world.refresh(presence("").key());
        assert!(world.outcome(ticket).expect("refreshed").sent);
        assert_eq!(world.requests()[1].need("SIP-If-Match"), "t1");
        assert_eq!(world.changes(), [Change::Published, Change::Refreshed], "{refresh:?}");
    }
}

#[test]
fn pub_25_a_stop_removes_what_is_marked_for_removal() {
    let mut world = World::granting(600);
    for n in 0..3 {
        world.publish(Publish { id: n.to_string(), ..presence("x") });
    }
    world.publish(Publish { id: "kept".into(), on_stop: OnStop::Keep, ..presence("x") });
    let before = world.requests().len();
    let ticket = stop(&mut world, 5.0);
    let requests = world.requests();
    assert_eq!(requests.len(), before + 3);
    for (n, request) in requests[before..].iter().enumerate() {
        assert_eq!(request.need("Expires"), "0");
        assert_eq!(request.need("SIP-If-Match"), format!("t{}", n + 1));
    }
    assert_eq!(stopped(&world, ticket), (0.0, 0));
    let late = world.publish(presence("y"));
    assert_eq!(world.outcome(late).expect_err("too late").kind.as_str(), "closed");
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), requests.len(), "nothing is refreshed any more");
}

#[test]
fn pub_25_a_silent_server_holds_a_stop_up_to_its_limit() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| match request.need("Expires") {
        "0" => Vec::new(),
        _ => vec![(0.0, request.granted("t", 600))],
    });
    for n in 0..3 {
        let uri = format!("sip:u{n}@192.0.2.1");
        world.publish(publish(&uri, "presence", "a/b", "x"));
    }
    let ticket = stop(&mut world, 5.0);
    assert_eq!(world.distinct_requests().len(), 6, "three Removes at once");
    world.run_for(secs(4.9));
    assert!(world.is_waiting(ticket));
    world.run_for(secs(0.1));
    assert_eq!(stopped(&world, ticket), (5.0, 3));
}

#[test]
fn a_stop_removes_also_what_is_retrying_and_what_is_under_way() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| {
        let answer = match request.text() {
            "<bad/>" => request.answer(500).header("Retry-After", 600).bytes(),
            _ => request.granted("t", 600),
        };
        vec![(0.3, answer)]
    });
    world.publish(publish("sip:bob@192.0.2.1", "presence", "a/b", "<1/>"));
    world.run_for(secs(1));
    world.publish(publish("sip:bob@192.0.2.1", "presence", "a/b", "<bad/>"));
    world.run_for(secs(1));
    let under_way = world.publish(presence("<2/>"));
    let ticket = stop(&mut world, 5.0);
    assert_eq!(world.outcome(under_way).expect_err("puad stops").kind.as_str(), "closed");
    world.run_for(secs(5));
    assert_eq!(stopped(&world, ticket).1, 0);
    let removes: Vec<String> = world
        .distinct_requests()
        .iter()
        .filter(|request| request.need("Expires") == "0")
        .map(|request| request.uri().to_owned())
        .collect();
    assert_eq!(removes, ["sip:bob@192.0.2.1", "sip:alice@192.0.2.1"]);
}

#[test]
fn a_kept_publication_under_way_at_the_stop_does_not_block_the_removal_behind_it() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(0.4, request.granted("t", 600))]);
    world.publish(Publish { id: "removed".into(), ..presence("<1/>") });
    world.run_for(secs(1));
    world.publish(Publish { on_stop: OnStop::Keep, ..presence("<2/>") });
    let ticket = stop(&mut world, 5.0);
    world.run_for(secs(5));
    assert_eq!(stopped(&world, ticket).1, 0);
    let last = world.distinct_requests().pop().expect("some");
    assert_eq!((last.need("Expires"), last.get("SIP-If-Match")), ("0", Some("t")));
}

#[test]
fn a_stop_that_removes_all_takes_what_would_be_kept_along() {
    for (remove_all, expected) in [(false, vec![]), (true, vec!["t"])] {
        let mut world = World::silent();
        world.peer = Box::new(|_, request| vec![(0.1, request.granted("t", 600))]);
        world.publish(Publish { on_stop: OnStop::Keep, ..presence("<1/>") });
        // A one-shot is never removed: nobody keeps it up.
        world.publish(Publish { id: "once".into(), maintain: false, ..presence("<2/>") });
        world.run_for(secs(1));
        let ticket = world.command(Command::Stop { limit: secs(5), remove_all });
        world.run_for(secs(5));
        assert_eq!(stopped(&world, ticket).1, 0);
        let requests = world.distinct_requests();
        let removals = requests.iter().filter(|request| request.need("Expires") == "0");
        let tags: Vec<_> = removals.filter_map(|request| request.get("SIP-If-Match")).collect();
        assert_eq!(tags, expected, "{remove_all}");
    }
}

fn stop(world: &mut World, limit: f64) -> Ticket {
    let ticket = world.command(Command::Stop { limit: secs(limit), remove_all: false });
    world.run_for(secs(0));
    ticket
}

/// When a stop was answered, and what it left unanswered.
fn stopped(world: &World, ticket: Ticket) -> (f64, usize) {
    let (at, reply) = world.replies.get(&ticket).expect("stopped");
    match reply {
        Reply::Stopped { unanswered } => (*at, *unanswered),
        other => panic!("{other:?}"),
    }
}
