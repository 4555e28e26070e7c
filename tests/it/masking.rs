//! SEC-07: nothing that ends in a log shows a password or a digest response.

use puad::{
    command::{Command, Failure, Key, Owner, Reply},
    sip::{
        io::{Input, Output},
        message::Uri,
    },
};

use crate::support::{
    digest::{authorizations, challenge, config, param, protected, protected_with},
    secs,
    world::{World, publish},
};

const ALICE: &str = "sip:alice:hunter2@example.com";

#[test]
fn sec_07_debug_output_holds_no_secret() {
    let mut world = protected_with(config(|_| ()), |request| {
        let is_new = request.get("Authorization").is_none();
        is_new.then(|| challenge(request, 401, "WWW-Authenticate", "nonce=\"n\", qop=\"auth\""))
    });
    let mut publish = publish(ALICE, "presence", "a/b", "secret-body");
    publish.outbound_proxy = vec![Uri::parse("sip:edge:hunter2@192.0.2.1;lr").unwrap()];
    let mut shown = vec![format!("{publish:?}"), format!("{:?}", config(|_| ()))];
    shown.push(format!("{:?}", Command::Publish(Box::new(publish.clone()))));
    world.publish(publish);
    world.run_for(secs(600));
    shown.push(format!("{:?}", world.uac));
    shown.push(format!("{:?} {:?}", world.events, world.replies));
    shown.push(format!("{:?}", world.infos()));
    for sent in &world.sent {
        let (flow, to, message) = (sent.flow, sent.to, sent.bytes.clone().into());
        shown.push(format!("{:?}", Input::Received { flow, source: to, message: &sent.bytes }));
        shown.push(format!("{:?}", Output::Transmit { flow, to, message }));
    }
    let responses: Vec<String> =
        authorizations(&world).iter().map(|row| param(row, "response")).collect();
    assert!(responses.len() > 1);
    for text in &shown {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("wonderland"), "{text}");
        assert!(!text.contains("secret-body"), "{text}");
        for response in &responses {
            assert!(!text.contains(response), "{text}");
        }
    }
    let trace = shown.last().expect("some");
    assert!(trace.contains("response=\\\"***\\\""), "{trace}");
    assert!(trace.contains("sip:alice:***@example.com"), "{trace}");
    // On the wire everything stands as it must.
    assert!(world.requests()[0].uri().contains(":hunter2@"));
}

#[test]
fn sec_07_a_request_under_way_is_shown_masked() {
    let mut world = protected(|_| None);
    world.peer = Box::new(|_, request| match request.get("Authorization") {
        None => {
            let row = "nonce=\"n\", qop=\"auth\"";
            vec![(0.0, challenge(request, 401, "WWW-Authenticate", row))]
        }
        Some(_) => Vec::new(),
    });
    world.publish(publish(ALICE, "presence", "a/b", "secret-body"));
    let response = param(&authorizations(&world)[0], "response");
    let shown = format!("{:?}", world.uac);
    assert!(shown.contains("response=\\\"***\\\""), "the request is kept for its repeats");
    for secret in [&*response, "hunter2", "secret-body", "wonderland"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn sec_07_failures_hold_no_secret() {
    let mut world = protected(|request| {
        Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n\", qop=\"auth\""))
    });
    let ticket = world.publish(publish(ALICE, "presence", "a/b", "x"));
    let mut failures = vec![world.outcome(ticket).expect_err("rejected")];
    for (presentity, proxy) in [
        ("sip:alice:hunter2@example.com;transport=tls", None),
        ("sip:alice:hunter2@example.com;transport=foo", None),
        ("sips:alice:hunter2@example.com", None),
        ("sip:alice:hunter2@224.0.0.1", None),
        (ALICE, Some("sip:edge:hunter2@example.com;transport=ws")),
        ("sip:alice:hunter2@nowhere.example", None),
    ] {
        let mut publish = publish(presentity, "presence", "a/b", "x");
        publish.outbound_proxy = proxy.iter().map(|p| Uri::parse(p).unwrap()).collect();
        let ticket = world.publish(publish);
        failures.push(world.outcome(ticket).expect_err(presentity));
    }
    let mut publish = publish(ALICE, "presence", "a/b", "x");
    let key = publish.key();
    publish.owner = Owner::Script("other".into());
    let ticket = world.publish(publish);
    failures.push(world.outcome(ticket).expect_err("somebody else's"));
    failures.push(refresh(&mut world, Key::from_text(&key.as_str().replace("alice", "bob"))));
    for failure in failures {
        let text = format!("{failure} {failure:?}");
        assert!(!text.contains("hunter2") && !text.contains("wonderland"), "{text}");
        assert!(text.contains("***") || text.contains("224.0.0.1"), "{text}");
    }
}

#[test]
fn sec_07_refused_uris_are_named_without_their_password() {
    for bad in [
        "sip:alice:hunter2@exa mple.com",
        "sip:alice:hunter2@",
        "sip:alice:hunter2@example.com:port",
        "sip:alice:hun\"ter2@example.com",
        "sip:alice:hunter2@example.com;=",
        "sip:alice:hun@ter2@example.com",
    ] {
        let error = Uri::parse(bad).expect_err(bad);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hun") && !text.contains("ter2"), "{text}");
    }
    let uri = Uri::parse(ALICE).expect("valid");
    assert_eq!(format!("{uri:?}"), "sip:alice:***@example.com");
}

#[test]
fn sec_07_a_key_is_found_again_by_the_text_that_is_shown() {
    let mut world = World::granting(600);
    world.publish(publish("sip:alice:hunter2@192.0.2.1", "presence", "a/b", "x"));
    let key = world.infos()[0].key.clone();
    assert_eq!(key.as_str(), "sip:alice:***@192.0.2.1 presence default");
    let owner = Owner::Script("test".into());
    let ticket = world.command(Command::Refresh { owner, key, timeout: None });
    world.run_for(secs(0));
    world.outcome(ticket).expect("refreshed");
    assert_eq!(world.requests()[1].uri(), "sip:alice:hunter2@192.0.2.1");
}

fn refresh(world: &mut World, key: Key) -> Failure {
    let owner = Owner::Script("test".into());
    let ticket = world.command(Command::Refresh { owner, key, timeout: None });
    match world.replies.remove(&ticket).expect("answered at once").1 {
        Reply::Publication(outcome) => outcome.expect_err("not there"),
        other => panic!("{other:?}"),
    }
}
