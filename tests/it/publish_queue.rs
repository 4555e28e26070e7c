//! PUB rows and API promises about calls that meet others: lanes, merging, intervals, owners.

use puad::{
    command::{
        Cause, Change, Command, ExtraHeaders, Failure, FailureKind, Owner, PublicationState,
        Publish,
    },
    sip::{Config, config::Limits},
};

use crate::support::{
    secs,
    world::{ALICE, World, document, presence, publish},
};

#[test]
fn pub_11_one_publish_to_a_request_uri_at_a_time_whatever_package_and_owner() {
    let mut world = slow(0.7);
    world.publish(presence("<1/>"));
    let mut other = publish("SIP:alice@192.0.2.1", "dialog", "a/b", "<2/>");
    other.owner = Owner::Script("another".into());
    world.publish(other);
    let mut elsewhere = publish("sip:bob@192.0.2.1", "presence", "a/b", "<3/>");
    elsewhere.id = "elsewhere".into();
    world.publish(elsewhere);
    world.run_for(secs(3));
    let sent: Vec<(f64, String)> =
        world.sent.iter().map(|sent| (sent.at, sent.sip().text().to_owned())).collect();
    let sent: Vec<_> = sent.iter().map(|(at, body)| (*at, body.as_str())).collect();
    // Each is repeated once after 0.5 s; bob's is not held up.
    assert_eq!(
        sent,
        [(0.0, "<1/>"), (0.0, "<3/>"), (0.5, "<1/>"), (0.5, "<3/>"), (0.7, "<2/>"), (1.2, "<2/>")]
    );
}

#[test]
fn pub_11_a_lane_is_free_again_after_a_time_out() {
    let mut world = World::silent();
    world.publish(presence("<1/>"));
    world.publish(publish(ALICE, "dialog", "a/b", "<2/>"));
    world.run_for(secs(32));
    let requests = world.distinct_requests();
    assert_eq!(requests.last().expect("some").text(), "<2/>");
    assert_eq!(world.sent.last().expect("some").at, 32.0);
}

#[test]
fn pub_12_updates_during_a_transaction_become_one_modify_with_the_last() {
    let mut world = slow(0.4);
    let first = world.publish(presence("<0/>"));
    let tickets: Vec<_> = (1..=5).map(|n| world.publish(presence(&format!("<{n}/>")))).collect();
    world.run_for(secs(0.4));
    assert_eq!(world.replies[&first].0, 0.4);
    assert!(tickets.iter().all(|ticket| world.is_waiting(*ticket)));
    world.run_for(secs(10));
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].text(), requests[1].need("SIP-If-Match")), ("<5/>", "t1"));
    // Those replaced end together with the one that replaced them, with its outcome.
    for ticket in tickets {
        assert_eq!(world.replies[&ticket].0, 0.8);
        let published = world.outcome(ticket).expect("granted");
        assert_eq!((published.sent, published.entity_tag.unwrap().as_str()), (true, "t2"));
    }
}

#[test]
fn a_call_replaced_in_the_queue_fails_together_with_the_one_that_replaced_it() {
    let mut count = 0;
    let mut world = World::silent();
    world.peer = Box::new(move |_, request| {
        count += 1;
        let answer = match count {
            1 => request.granted("t1", 600),
            _ => request.answer(403).bytes(),
        };
        vec![(0.4, answer)]
    });
    let first = world.publish(presence("<1/>"));
    let tickets = [world.publish(presence("<2/>")), world.publish(presence("<3/>"))];
    world.run_for(secs(5));
    world.outcome(first).expect("granted");
    let [two, three] = tickets.map(|ticket| world.outcome(ticket).expect_err("refused"));
    assert_eq!(two, three);
    assert_eq!(two.status, Some(403));
    assert_eq!(world.distinct_requests().len(), 2);
}

#[test]
fn a_call_replaced_by_a_removal_ends_with_it() {
    let mut world = slow(0.4);
    let first = world.publish(presence("<1/>"));
    let second = world.publish(presence("<2/>"));
    let key = world.infos()[0].key.clone();
    let removal = world.remove(key);
    world.run_for(secs(5));
    world.outcome(first).expect("granted");
    for ticket in [second, removal] {
        assert_eq!(world.outcome(ticket).expect("gone").state, PublicationState::Removed);
    }
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].need("Expires"), requests[1].need("SIP-If-Match")), ("0", "t1"));
}

#[test]
fn pub_12_an_interval_lets_the_latest_state_win() {
    let mut world = World::granting(3600);
    for second in 0..35 {
        let mut publish = presence(&format!("<{second}/>"));
        publish.min_interval = secs(10);
        let ticket = world.publish(publish);
        let published = world.outcome(ticket).expect("at once");
        assert_eq!(world.replies[&ticket].0, f64::from(second), "no call waits");
        assert_eq!(published.sent, second == 0, "{second}");
        world.run_for(secs(1));
    }
    let sent: Vec<_> = world.sent.iter().map(|s| (s.at, s.sip().text().to_owned())).collect();
    let expected = [(0.0, "<0/>"), (10.0, "<9/>"), (20.0, "<19/>"), (30.0, "<29/>")];
    assert_eq!(sent, expected.map(|(at, body)| (at, body.to_owned())));
}

#[test]
fn min_interval_sends_the_last_state_when_it_is_over() {
    let mut world = World::granting(3600);
    for body in ["<1/>", "<2/>", "<3/>", "<3/>"] {
        world.publish(Publish { min_interval: secs(10), ..presence(body) });
        world.run_for(secs(1));
    }
    world.run_for(secs(10));
    let requests = world.requests();
    assert_eq!(world.sent_at(), [0.0, 10.0]);
    assert_eq!((requests[1].text(), requests[1].need("SIP-If-Match")), ("<3/>", "t1"));
}

#[test]
fn min_interval_returns_at_once_while_the_first_is_still_under_way() {
    let mut world = slow(0.4);
    let first = world.publish(Publish { min_interval: secs(10), ..presence("<1/>") });
    let second = world.publish(Publish { min_interval: secs(10), ..presence("<2/>") });
    assert!(world.is_waiting(first));
    assert!(!world.outcome(second).expect("held back").sent);
    world.run_for(secs(20));
    assert_eq!(world.distinct_requests()[1].text(), "<2/>");
    assert_eq!(world.sent.iter().filter(|s| s.at < 10.0).count(), 1);
}

#[test]
fn min_interval_does_not_let_the_state_run_out() {
    let mut world = World::granting(60);
    world.publish(Publish { min_interval: secs(600), ..presence("<1/>") });
    for body in ["<2/>", "<3/>"] {
        world.run_for(secs(10));
        let ticket = world.publish(Publish { min_interval: secs(600), ..presence(body) });
        assert!(!world.outcome(ticket).expect("held back").sent);
    }
    world.run_for(secs(40));
    let request = &world.requests()[1];
    assert!((30.0..=48.0).contains(&world.sent_at()[1]), "when the refresh is due");
    assert_eq!((request.text(), request.need("SIP-If-Match")), ("<3/>", "t1"));
}

#[test]
fn min_interval_does_not_hold_a_removal() {
    let mut world = World::granting(3600);
    world.publish(Publish { min_interval: secs(600), ..presence("<1/>") });
    let key = world.infos()[0].key.clone();
    let ticket = world.remove(key);
    assert!(world.outcome(ticket).expect("removed").sent);
}

#[test]
fn skip_unchanged_sends_nothing_for_the_same_body_and_headers() {
    let mut world = World::granting(600);
    let first = Publish { skip_unchanged: true, ..presence("<1/>") };
    world.publish(first.clone());
    let ticket = world.publish(first.clone());
    let skipped = world.outcome(ticket).expect("up");
    assert!(!skipped.sent);
    assert_eq!(skipped.entity_tag.expect("live").as_str(), "t1");
    assert_eq!(world.requests().len(), 1);

    let headers = ExtraHeaders::from_lines("X-A: 1").unwrap();
    world.publish(Publish { extra_headers: headers, ..first.clone() });
    assert_eq!(world.requests().len(), 2, "other headers");
    world.publish(Publish { skip_unchanged: true, ..presence("<2/>") });
    assert_eq!(world.requests().len(), 3, "another body");
    world.run_for(secs(480));
    assert_eq!(world.requests().len(), 4, "refreshes go on");
}

#[test]
fn skip_unchanged_joins_the_same_state_under_way() {
    let mut world = slow(0.4);
    let same = Publish { skip_unchanged: true, ..presence("<1/>") };
    let tickets = [world.publish(same.clone()), world.publish(same)];
    world.run_for(secs(5));
    for ticket in tickets {
        world.outcome(ticket).expect("granted");
    }
    assert_eq!(world.distinct_requests().len(), 1);
}

#[test]
fn a_body_given_during_a_failure_is_not_lost_to_a_refresh() {
    for again in ["refresh", "nil body", "same body"] {
        let mut count = 0;
        let mut world = World::silent();
        world.peer = Box::new(move |_, request| {
            count += 1;
            let answer = match count {
                2 => request.answer(500).bytes(),
                n => request.granted(&format!("t{n}"), 600),
            };
            vec![(0.0, answer)]
        });
        world.publish(presence("<1/>"));
        world.publish(presence("<2/>"));
        let key = world.infos()[0].key.clone();
        match again {
            "refresh" => world.refresh(key),
            "nil body" => world.publish(Publish { document: None, ..presence("") }),
            _ => world.publish(presence("<2/>")),
        };
        world.run_for(secs(5));
        let requests = world.distinct_requests();
        assert_eq!(requests[2].text(), "<2/>", "{again}");
        assert_eq!(requests[2].need("SIP-If-Match"), "t1");
    }
}

#[test]
fn a_refresh_in_the_queue_takes_the_newest_body_along() {
    let mut world = slow(0.4);
    world.publish(presence("<1/>"));
    world.run_for(secs(1));
    world.publish(publish(ALICE, "dialog", "a/b", "<other/>"));
    world.publish(presence("<2/>"));
    let key = presence("").key();
    world.refresh(key);
    world.run_for(secs(5));
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].text(), "<2/>");
}

#[test]
fn a_key_of_another_owner_is_a_conflict_that_names_the_owner() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let key = presence("").key();
    let owner = Owner::Script("second".into());
    let tickets = [
        world.publish(Publish { owner: owner.clone(), ..presence("<2/>") }),
        world.publish(Publish { owner: owner.clone(), expires: secs(0), ..presence("") }),
        world.command(Command::Remove { owner: owner.clone(), key: key.clone(), timeout: None }),
        world.command(Command::Refresh { owner, key, timeout: None }),
    ];
    for ticket in tickets {
        let failure = world.outcome(ticket).expect_err("somebody else's");
        assert_eq!(failure.kind, FailureKind::Conflict);
        assert!(failure.message.contains("script test"), "{failure}");
    }
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_call_that_times_out_says_what_it_waited_for() {
    let mut world = World::silent();
    let patient = |publish: Publish| Publish { timeout: Some(secs(2)), ..publish };
    let first = world.publish(patient(presence("<1/>")));
    let queued = world.publish(patient(publish(ALICE, "dialog", "a/b", "<2/>")));
    let newer = world.publish(patient(presence("<3/>")));
    world.run_for(secs(1.9));
    assert!(world.is_waiting(first) && world.is_waiting(queued) && world.is_waiting(newer));
    world.run_for(secs(0.1));
    let expected = [(first, Cause::TimerF), (queued, Cause::Lane), (newer, Cause::Lane)];
    for (ticket, cause) in expected {
        let failure = world.outcome(ticket).expect_err("too slow");
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert_eq!((failure.status, failure.retrying), (None, true));
        assert_eq!(failure.cause, Some(cause), "{failure}");
    }
    // The requests go on without their callers.
    world.run_for(secs(35));
    assert!(world.distinct_requests().iter().any(|request| request.text() == "<2/>"));
}

#[test]
fn a_call_without_a_timeout_waits_three_seconds_longer_than_timer_f() {
    let mut world = World::silent();
    world.publish(publish(ALICE, "dialog", "a/b", "<1/>"));
    let ticket = world.publish(presence("<2/>"));
    world.run_for(secs(34.9));
    assert!(world.is_waiting(ticket));
    world.run_for(secs(0.1));
    let failure: Failure = world.outcome(ticket).expect_err("too slow");
    assert_eq!(failure.cause, Some(Cause::TimerF), "its turn came at 32 s");
}

#[test]
fn a_publish_during_a_removal_follows_it_with_an_initial() {
    let mut world = slow(0.4);
    world.publish(presence("<1/>"));
    world.run_for(secs(1));
    let key = presence("").key();
    let removal = world.remove(key);
    let again = world.publish(presence("<2/>"));
    world.run_for(secs(5));
    assert_eq!(world.outcome(removal).expect("removed").status, Some(200));
    let published = world.outcome(again).expect("granted");
    assert_eq!(published.state, PublicationState::Published);
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].need("Expires"), "0");
    assert_eq!((requests[2].get("SIP-If-Match"), requests[2].text()), (None, "<2/>"));
    assert_eq!(world.changes(), [Change::Published, Change::Removed, Change::Published]);
}

#[test]
fn a_publish_during_a_removal_survives_its_refusal() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| {
        let answer = match request.need("Expires") {
            "0" => request.answer(403).bytes(),
            _ => request.granted("t", 600),
        };
        vec![(0.4, answer)]
    });
    world.publish(presence("<1/>"));
    world.run_for(secs(1));
    let removal = world.remove(presence("").key());
    let again = world.publish(presence("<2/>"));
    world.run_for(secs(5));
    assert_eq!(world.outcome(removal).expect_err("refused").status, Some(403));
    world.outcome(again).expect("granted");
    let requests = world.distinct_requests();
    assert_eq!((requests[2].get("SIP-If-Match"), requests[2].text()), (Some("t"), "<2/>"));
}

/// A peer that grants everything after a delay.
fn slow(delay: f64) -> World {
    let mut world = World::silent();
    let mut branches = Vec::new();
    world.peer = Box::new(move |_, request| {
        if branches.contains(&request.branch()) {
            return Vec::new();
        }
        branches.push(request.branch());
        vec![(delay, request.granted(&format!("t{}", branches.len()), 600))]
    });
    world
}

#[test]
fn pub_11_what_the_wire_shows_as_one_request_uri_shares_one_turn() {
    let mut world = World::silent();
    let uris = [ALICE, "sip:alice@192.0.2.1?subject=x", "sip:alice@192.0.2.1;method=NOTIFY"];
    for uri in uris {
        world.publish(publish(uri, "presence", "text/plain", "x"));
    }
    world.run_for(secs(1));
    assert_eq!(world.distinct_requests().len(), 1);
    assert_eq!(world.infos().len(), 3);
    // Each has its turn.
    world.run_for(secs(100));
    let requests = world.distinct_requests();
    assert!(requests.len() >= 3);
    assert!(requests.iter().all(|request| request.uri() == ALICE));
}

#[test]
fn an_update_while_a_refresh_queues_for_its_turn_neither_ends_nor_delays_it() {
    // Behind another of its Request-URI, and behind another of its server.
    for (neighbour, window) in [(ALICE, 128), ("sip:bob@192.0.2.1", 1)] {
        let limits = Limits { in_flight_per_server: window, ..Limits::default() };
        let mut world = World::with_config(Config { limits, ..Config::default() });
        let mut count = 0;
        world.peer = Box::new(move |_, request| {
            count += 1;
            let delay = if request.need("Event") == "presence" { 8.0 } else { 0.0 };
            vec![(delay, request.granted(&format!("t{count}"), 20))]
        });
        let mut lamp = publish(ALICE, "dialog", "text/plain", "one");
        lamp.min_interval = secs(30);
        world.publish(lamp.clone());
        world.run_for(secs(9.9));
        world.publish(publish(neighbour, "presence", "text/plain", "x"));
        // The refresh falls due at 10 to 16 s, and queues.
        world.run_for(secs(6.6));
        lamp.document = Some(document("text/plain", "two"));
        let update = world.publish(lamp);
        world.run_for(secs(2));
        assert!(world.outcome(update).is_ok(), "{neighbour}");
        let requests = world.distinct_requests();
        let second = requests.iter().filter(|r| r.need("Event") == "dialog").nth(1);
        let second = second.expect("sent in time");
        assert_eq!((second.get("SIP-If-Match"), second.text()), (Some("t1"), "two"));
        assert_eq!(world.infos().len(), 2);
    }
}
