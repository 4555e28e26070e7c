//! PUB rows and API promises about refusals and outages: what is tried again, and when.

use puad::command::{Change, FailureKind, PublicationState};

use crate::support::{
    secs,
    world::{World, presence},
};

#[test]
fn pub_22_refusals_end_the_attempts_and_show_what_would_be_allowed() {
    for (code, header, list) in [
        (489, "Allow-Events", "dialog, reg"),
        (405, "Allow", "REGISTER, INVITE"),
        (501, "Allow", "REGISTER, INVITE"),
        (404, "Warning", "399 x \"no such user\""),
        (600, "Warning", "399 x \"busy\""),
        (604, "Warning", "399 x \"nowhere\""),
    ] {
        let mut world = World::with_peer(move |r| r.answer(code).header(header, list).bytes());
        let ticket = world.publish(presence("<1/>"));
        world.run_for(secs(86_400));
        assert_eq!(world.requests().len(), 1, "{code}");
        let failure = world.outcome(ticket).expect_err("refused");
        assert_eq!((failure.kind, failure.status), (FailureKind::Sip, Some(code)));
        assert_eq!((failure.retrying, failure.retry_after), (false, None));
        assert_eq!(world.changes(), [Change::Failed]);
        let told = world.events[0].1.failure.as_ref().expect("a failure");
        assert!(told.message.contains(list), "{told}");
        let info = &world.infos()[0];
        assert_eq!((info.state, info.status), (PublicationState::Failed, Some(code)));
        assert!(info.last_error.as_ref().expect("why").contains(list));
        assert_eq!((info.next_refresh, info.failures), (None, 1));
    }
}

#[test]
fn pub_23_after_a_503_the_latest_state_goes_out_when_its_time_is_up() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        match count {
            1 => request.answer(503).header("Retry-After", 30).bytes(),
            _ => request.granted("t", 600),
        }
    });
    let ticket = world.publish(presence("<1/>"));
    let failure = world.outcome(ticket).expect_err("pushed back");
    assert_eq!((failure.status, failure.retrying), (Some(503), true));
    assert_eq!(failure.retry_after, Some(secs(30)));
    world.run_for(secs(10));
    for (body, left) in [("<2/>", 20.0), ("<3/>", 15.0)] {
        let ticket = world.publish(presence(body));
        let failure = world.outcome(ticket).expect_err("at once");
        assert_eq!((failure.status, failure.retrying), (Some(503), true));
        assert_eq!(failure.retry_after, Some(secs(left)));
        world.run_for(secs(5));
    }
    world.run_for(secs(20));
    assert_eq!(world.sent_at(), [0.0, 30.0]);
    assert_eq!(world.requests()[1].text(), "<3/>");
}

#[test]
fn a_removal_during_a_back_off_brings_no_attempt_forward() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        match count {
            2 => request.answer(500).header("Retry-After", 30).bytes(),
            n => request.granted(&format!("t{n}"), 600),
        }
    });
    world.publish(presence("<1/>"));
    world.publish(presence("<2/>"));
    let ticket = world.remove(presence("").key());
    let failure = world.outcome(ticket).expect_err("later");
    assert_eq!((failure.status, failure.retrying), (Some(500), true));
    world.run_for(secs(60));
    assert_eq!(world.sent_at(), [0.0, 0.0, 30.0]);
    assert_eq!(world.requests()[2].need("Expires"), "0");
    assert_eq!(world.requests()[2].need("SIP-If-Match"), "t1");
    assert!(world.infos().is_empty());
    assert_eq!(world.changes(), [Change::Published, Change::Retrying, Change::Removed]);
}

#[test]
fn removing_what_never_came_up_ends_the_attempts() {
    let mut world = World::with_peer(|request| request.answer(500).bytes());
    world.publish(presence("<1/>"));
    let ticket = world.remove(presence("").key());
    assert!(!world.outcome(ticket).expect("nothing is there").sent);
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.changes(), [Change::Retrying, Change::Removed]);
}

#[test]
fn removing_an_initial_that_times_out_ends_both_calls() {
    let mut world = World::silent();
    let first = world.publish(presence("<1/>"));
    let removal = world.remove(presence("").key());
    world.run_for(secs(3600));
    let failure = world.outcome(first).expect_err("no answer");
    assert_eq!((failure.kind, failure.retrying), (FailureKind::Timeout, false));
    assert!(!world.outcome(removal).expect("nothing to remove").sent);
    assert_eq!(world.distinct_requests().len(), 1);
    assert_eq!(world.changes(), [Change::Removed]);
}

#[test]
fn after_a_final_failure_the_next_call_starts_over_with_an_initial() {
    for nil_body in [false, true] {
        let mut count = 0;
        let mut world = World::with_peer(move |request| {
            count += 1;
            match count {
                2 => request.answer(403).bytes(),
                n => request.granted(&format!("t{n}"), 600),
            }
        });
        world.publish(presence("<1/>"));
        let ticket = world.publish(presence("<2/>"));
        assert!(!world.outcome(ticket).expect_err("refused").retrying);
        assert_eq!(world.infos()[0].state, PublicationState::Failed);
        world.run_for(secs(300));
        assert_eq!(world.requests().len(), 2, "attempts have stopped");
        let mut next = presence("<3/>");
        if nil_body {
            next.document = None;
        }
        let ticket = world.publish(next);
        world.outcome(ticket).expect("granted");
        let request = &world.requests()[2];
        assert_eq!(request.get("SIP-If-Match"), None);
        assert_eq!(request.text(), if nil_body { "<2/>" } else { "<3/>" });
        assert_eq!(world.changes(), [Change::Published, Change::Failed, Change::Recovered]);
        assert_eq!(world.infos()[0].last_error, None);
    }
}

#[test]
fn a_failed_publication_is_still_removed_by_its_tag() {
    let mut world = World::with_peer(|request| match request.text() {
        "<2/>" => request.answer(403).bytes(),
        _ => request.granted("t", 600),
    });
    world.publish(presence("<1/>"));
    world.publish(presence("<2/>"));
    let ticket = world.remove(presence("").key());
    assert!(world.outcome(ticket).expect("removed").sent);
    assert_eq!(world.requests()[2].need("SIP-If-Match"), "t");
    assert_eq!(world.changes(), [Change::Published, Change::Failed, Change::Removed]);
}

#[test]
fn a_newer_state_has_its_chance_after_a_final_failure_of_an_older_one() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| {
        let answer = match request.text() {
            "<bad/>" => request.answer(400).bytes(),
            _ => request.granted("t", 600),
        };
        vec![(0.3, answer)]
    });
    let bad = world.publish(presence("<bad/>"));
    let good = world.publish(presence("<good/>"));
    world.run_for(secs(5));
    assert_eq!(world.outcome(bad).expect_err("refused").status, Some(400));
    world.outcome(good).expect("granted");
    assert_eq!(world.changes(), [Change::Failed, Change::Published]);
}

#[test]
fn back_off_grows_and_the_state_recovers() {
    let mut world = World::silent();
    world.peer = Box::new(|at, request| {
        let up = !(1.0..4000.0).contains(&at);
        let answer = if up { request.granted("t", 60) } else { request.answer(500).bytes() };
        vec![(0.0, answer)]
    });
    world.publish(presence("<1/>"));
    world.run_for(secs(5000));
    let during: Vec<f64> =
        world.sent_at().into_iter().filter(|at| (1.0..4000.0).contains(at)).collect();
    let gaps: Vec<f64> = during.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (0.5..=300.0).contains(gap)), "{gaps:?}");
    assert!(gaps[..3].iter().all(|gap| *gap <= 4.0), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap > 60.0), "{gaps:?}");
    assert!(during.len() < 60, "{} attempts", during.len());
    let changes = world.changes();
    assert_eq!(changes[0], Change::Published);
    let recovered = changes.iter().position(|c| *c == Change::Recovered).expect("up again");
    assert!(changes[1..recovered].iter().all(|change| *change == Change::Retrying));
    assert!(changes[recovered + 1..].iter().all(|change| *change == Change::Refreshed));
    let info = &world.infos()[0];
    assert_eq!((info.state, info.last_error.clone()), (PublicationState::Published, None));
}

#[test]
fn a_retry_after_of_a_century_is_a_day() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        match count {
            1 => request.answer(503).header("Retry-After", 4_294_967_295_u32).bytes(),
            _ => request.granted("t", 3600),
        }
    });
    world.publish(presence("<a/>"));
    world.run_for(secs(86_399));
    assert_eq!(world.requests().len(), 1);
    world.run_for(secs(61));
    assert_eq!(world.requests().len(), 2);
}
