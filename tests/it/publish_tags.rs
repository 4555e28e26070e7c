//! PUB rows about entity-tags and lifetimes that are lost, short or refused.

use std::{cell::RefCell, rc::Rc};

use puad::command::{Change, FailureKind, Lifetime, PublicationState, Publish};

use crate::support::{
    Sip, secs,
    world::{ALICE, World, presence, publish},
};

#[test]
fn pub_10_a_silent_server_leaves_time_for_another_try_before_expiry() {
    let mut world = World::silent();
    let mut branches = Vec::new();
    world.peer = Box::new(move |_, request| {
        if branches.last() != Some(&request.branch()) {
            branches.push(request.branch());
        }
        // Silent to the second request and its repeats.
        let is_lost = branches.len() == 2;
        (!is_lost).then(|| (0.0, request.granted("t", 600))).into_iter().collect()
    });
    world.publish(presence("<1/>"));
    world.run_for(secs(600));
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].need("SIP-If-Match"), "t", "the tag was still alive");
    assert_eq!(world.changes(), [Change::Published, Change::Retrying, Change::Recovered]);
}

#[test]
fn pub_10_after_a_refresh_that_outlived_its_tag_an_initial_follows() {
    let mut world = World::silent();
    let mut first = None;
    world.peer = Box::new(move |_, request| {
        let branch = request.branch();
        let refresh = request.get("SIP-If-Match").is_some();
        if refresh && first.get_or_insert(branch.clone()) == &branch {
            return Vec::new();
        }
        vec![(0.0, request.granted("t", 5))]
    });
    world.publish(presence("<1/>"));
    world.run_for(secs(38));
    let requests = world.distinct_requests();
    assert_eq!(requests[1].need("SIP-If-Match"), "t");
    assert_eq!((requests[2].get("SIP-If-Match"), requests[2].text()), (None, "<1/>"));
}

#[test]
fn grants_of_five_seconds_keep_the_state_up() {
    let mut world = World::granting(5);
    world.publish(presence("<1/>"));
    world.run_for(secs(3600));
    let sent = world.sent_at();
    for pair in sent.windows(2) {
        assert!((2.5..=4.0).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    assert!(world.requests()[1..].iter().all(|request| request.get("SIP-If-Match").is_some()));
}

#[test]
fn an_answer_that_grants_nothing_is_a_failure_to_be_retried() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        request.granted("t", if count == 1 { 0 } else { 600 })
    });
    let ticket = world.publish(presence("<1/>"));
    let failure = world.outcome(ticket).expect_err("nothing is up");
    assert_eq!((failure.status, failure.retrying), (Some(200), true));
    assert_eq!(world.infos()[0].state, PublicationState::Retrying);
    world.run_for(secs(2));
    assert_eq!(world.requests()[1].get("SIP-If-Match"), None);
    assert_eq!(world.changes(), [Change::Retrying, Change::Published]);
}

#[test]
fn pub_14_a_423_is_retried_with_min_expires() {
    let mut world = World::with_peer(at_least(1800));
    let ticket = world.publish(Publish { expires: secs(60), ..presence("<1/>") });
    assert_eq!(world.outcome(ticket).expect("granted").expires, Some(secs(1800)));
    let requests = world.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].need("Expires"), requests[1].need("Expires")), ("60", "1800"));
    assert_eq!(requests[1].cseq(), requests[0].cseq() + 1);
    assert_eq!(requests[1].need("Call-ID"), requests[0].need("Call-ID"));
}

#[test]
fn pub_14_what_a_423_taught_is_remembered_by_the_publication() {
    let mut world = World::with_peer(at_least(1800));
    world.publish(Publish { expires: secs(60), ..presence("<1/>") });
    world.run_for(secs(3600));
    world.publish(Publish { expires: secs(60), ..presence("<2/>") });
    let asked: Vec<String> =
        world.requests().iter().map(|request| request.need("Expires").to_owned()).collect();
    assert!(asked.len() >= 5, "{asked:?}");
    assert_eq!(asked[0], "60");
    assert!(asked[1..].iter().all(|expires| expires == "1800"), "{asked:?}");
    world.remove(presence("").key());
    assert_eq!(world.requests().last().expect("some").need("Expires"), "0");
}

#[test]
fn pub_14_a_423_that_asks_for_nothing_new_is_final() {
    for min_expires in [None, Some("60"), Some("10"), Some("x")] {
        let mut world = World::with_peer(move |request| {
            let answer = request.answer(423);
            min_expires.iter().fold(answer, |a, least| a.header("Min-Expires", least)).bytes()
        });
        let ticket = world.publish(Publish { expires: secs(60), ..presence("<1/>") });
        world.run_for(secs(3600));
        let failure = world.outcome(ticket).expect_err("refused");
        assert_eq!((failure.status, failure.retrying), (Some(423), false));
        assert_eq!(world.requests().len(), 1, "{min_expires:?}");
    }
    let mut world = World::with_peer(|r| r.answer(423).header("Min-Expires", 1800).bytes());
    world.publish(Publish { expires: secs(60), ..presence("<1/>") });
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 2, "a second 423");
}

#[test]
fn pub_14_a_423_never_turns_a_removal_into_a_refresh() {
    let mut world = World::with_peer(|request| match request.need("Expires") {
        "0" => request.answer(423).header("Min-Expires", 60).bytes(),
        _ => request.granted("t", 600),
    });
    world.publish(presence("<1/>"));
    let ticket = world.remove(presence("").key());
    assert_eq!(world.outcome(ticket).expect_err("refused").status, Some(423));
    assert_eq!(world.requests().len(), 2);
}

#[test]
fn pub_18_after_a_time_out_the_tag_is_kept_and_a_412_decides() {
    // The compositor takes the Modify, but its answers are lost.
    let tag = Rc::new(RefCell::new("t1".to_owned()));
    let current = tag.clone();
    let mut world = World::silent();
    world.peer = Box::new(move |_, request| {
        let mut current = current.borrow_mut();
        let answer = match request.get("SIP-If-Match") {
            None => request.granted("t1", 3600),
            Some("t1") if request.text() == "<2/>" && *current == "t1" => {
                *current = "t2".into();
                return Vec::new();
            }
            Some(_) if request.text() == "<2/>" && *current == "t2" => return Vec::new(),
            Some(theirs) if theirs == *current => request.granted("t3", 3600),
            Some(_) => request.answer(412).bytes(),
        };
        vec![(0.0, answer)]
    });
    world.publish(presence("<1/>"));
    let ticket = world.publish(presence("<2/>"));
    world.run_for(secs(32));
    let failure = world.outcome(ticket).expect_err("no answer");
    assert_eq!((failure.kind, failure.status), (FailureKind::Timeout, None));
    world.publish(presence("<3/>"));
    world.run_for(secs(5));
    let requests = world.distinct_requests();
    assert_eq!(requests.len(), 4);
    assert_eq!((requests[2].need("SIP-If-Match"), requests[2].text()), ("t1", "<3/>"));
    assert_eq!((requests[3].get("SIP-If-Match"), requests[3].text()), (None, "<3/>"));
    assert_eq!(world.changes().last(), Some(&Change::Recovered));
}

#[test]
fn pub_19_a_tag_that_has_run_out_here_is_not_used() {
    let mut world = World::with_peer(|request| match request.get("SIP-If-Match") {
        Some(_) => request.answer(500).bytes(),
        None => request.granted("t", 60),
    });
    world.publish(presence("<1/>"));
    world.run_for(secs(59.9));
    assert!(world.requests()[1..].iter().all(|request| request.get("SIP-If-Match").is_some()));
    world.run_for(secs(120));
    let again: Vec<_> =
        world.requests()[1..].iter().filter(|r| r.get("SIP-If-Match").is_none()).cloned().collect();
    assert!(!again.is_empty());
    assert_eq!(again[0].text(), "<1/>");
}

#[test]
fn pub_21_without_a_tag_there_is_no_refresh_and_one_initial_after_expiry() {
    let mut world = World::with_peer(|request| request.answer(200).header("Expires", 600).bytes());
    let ticket = world.publish(presence("<1/>"));
    let published = world.outcome(ticket).expect("granted all the same");
    assert_eq!((published.state, published.entity_tag), (PublicationState::Published, None));
    let warning = world.events[0].1.failure.as_ref().expect("the script is told");
    assert!(warning.message.contains("no entity-tag"), "{warning}");
    assert_eq!(world.changes(), [Change::Published]);
    world.run_for(secs(1199));
    assert_eq!(world.sent_at(), [0.0, 600.0]);
    assert_eq!(world.requests()[1].get("SIP-If-Match"), None);
    assert_eq!(world.requests()[1].text(), "<1/>");
}

#[test]
fn a_document_survives_a_restart_of_the_server() {
    let mut world = World::silent();
    world.peer = Box::new(|at, request| {
        let is_known =
            request.get("SIP-If-Match").is_some_and(|tag| (tag == "new") == (at > 300.0));
        let tag = if at > 300.0 { "new" } else { "old" };
        let answer = match request.get("SIP-If-Match") {
            Some(_) if !is_known => request.answer(412).bytes(),
            _ => request.granted(tag, 600),
        };
        vec![(0.0, answer)]
    });
    world.publish(publish(ALICE, "message-summary", "a/b", "Messages-Waiting: yes"));
    world.run_for(secs(600));
    let requests = world.requests();
    let initial = requests.iter().rfind(|r| r.get("SIP-If-Match").is_none()).expect("a second");
    assert_eq!(requests.iter().filter(|r| r.get("SIP-If-Match").is_none()).count(), 2);
    assert_eq!(initial.text(), "Messages-Waiting: yes");
}

fn at_least(least: u32) -> impl FnMut(&Sip) -> Vec<u8> {
    move |request| {
        let asked: u32 = request.need("Expires").parse().expect("a number");
        if asked != 0 && asked < least {
            return request.answer(423).header("Min-Expires", least).bytes();
        }
        request.granted("t", asked)
    }
}

#[test]
fn pub_21_state_without_a_tag_cannot_be_removed_and_the_caller_hears_so() {
    let untagged =
        || World::with_peer(|request| request.answer(200).header("Expires", 600).bytes());
    let message = "the server gave no entity-tag, so the state cannot be removed; it runs out in";
    // By remove(), and by a publish that asks for zero seconds.
    for by_publish in [false, true] {
        let mut world = untagged();
        world.publish(presence("<1/>"));
        world.run_for(secs(100));
        let removal = match by_publish {
            true => world.publish(Publish { expires: secs(0), ..presence("<1/>") }),
            false => world.remove(presence("").key()),
        };
        let failure = world.outcome(removal).expect_err("it stays up");
        assert_eq!((failure.kind.as_str(), failure.status), ("sip", Some(200)));
        assert!(!failure.retrying && failure.message.contains(message), "{failure}");
        assert!(failure.message.ends_with("in 500 s"), "{failure}");
        assert_eq!(world.changes(), [Change::Published, Change::Failed]);
        world.run_for(secs(3600));
        assert_eq!(world.requests().len(), 1, "nobody drives it any more");
        assert!(world.infos().is_empty());
    }
    // Likewise when the answer comes after the wish.
    let mut world = World::silent();
    world.peer =
        Box::new(|_, request| vec![(0.4, request.answer(200).header("Expires", 600).bytes())]);
    let call = world.publish(presence("<1/>"));
    let removal = world.remove(presence("").key());
    world.run_for(secs(3600));
    assert!(world.outcome(call).is_ok());
    let failure = world.outcome(removal).expect_err("it stays up");
    assert!(failure.message.contains(message), "{failure}");
    assert_eq!(world.changes(), [Change::Published, Change::Failed]);
    // When it has run out there is nothing to remove.
    let mut world = untagged();
    let mut brief = presence("<1/>");
    brief.lifetime = Lifetime::For(secs(600));
    world.publish(brief);
    world.run_for(secs(600));
    let removal = world.remove(presence("").key());
    assert!(world.outcome(removal).is_ok());
}

#[test]
fn a_removal_after_a_lost_initial_says_what_may_be_left() {
    let mut world = World::silent();
    world.publish(Publish { expires: secs(600), ..presence("<1/>") });
    world.run_for(secs(32));
    assert_eq!(world.changes(), [Change::Retrying]);
    let removal = world.remove(presence("").key());
    assert!(world.outcome(removal).is_ok());
    let (_, event) = world.events.last().expect("told");
    assert_eq!(event.change, Change::Removed);
    let warning = event.failure.as_ref().expect("a warning");
    assert!(warning.message.contains("cannot be removed; it runs out in 568 s"), "{warning}");
}
