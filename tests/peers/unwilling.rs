//! Servers that are slow, silent, busy, or want it otherwise.

use std::{thread, time::Duration};

use puad::{
    command::{Change, PublicationState, Publish},
    sip::{Config, message::Uri},
};

use crate::{
    process::wait_for,
    puad::{Puad, lasting, presence},
    sipp::Sipp,
};

#[test]
fn a_slow_server_gets_repeats_and_its_answer_is_taken() {
    let server = Sipp::start(include_str!("sipp/slow.xml"));
    let puad = Puad::towards(&server.uri());
    let published = puad.publish(presence("no hurry")).expect("accepted");
    assert_eq!((published.status, published.state), (Some(200), PublicationState::Published));
    let received = server.received();
    let first = &received[0];
    // Timer E at 0.5 and 1.5 s; at 3.5 s the answer is there.
    assert_eq!(received.len(), 3);
    for (repeat, after) in received[1..].iter().zip([0.5, 1.5]) {
        assert_eq!(repeat.request, first.request);
        let late = repeat.at - first.at - after;
        assert!((-0.1..1.0).contains(&late), "{after} s came {late} s late");
    }
}

#[test]
fn pub_18_after_silence_the_tag_is_used_and_a_412_leads_to_an_initial() {
    let server = Sipp::start(include_str!("sipp/silent.xml"));
    // Timer F after 3.2 s instead of 32.
    let config = Config { t1: Duration::from_millis(50), ..Config::default() };
    let mut puad = Puad::with(&server.uri(), config);
    puad.publish(presence("before")).expect("accepted");

    let failure = puad.publish(presence("meanwhile")).expect_err("nobody answers");
    assert_eq!((failure.kind.as_str(), failure.status), ("timeout", None));
    assert!(failure.retrying, "{failure:?}");
    puad.waits_for(Change::Recovered);
    assert_eq!(puad.info().state, PublicationState::Published);

    let [_, lost, retry, initial] = &server.requests()[..] else { panic!("four requests") };
    assert_eq!((lost.entity_tag(), retry.entity_tag()), (Some("tag1"), Some("tag1")));
    assert_eq!(initial.entity_tag(), None);
    assert!(initial.request.text().contains("meanwhile"));
}

#[test]
fn pub_23_after_a_503_the_latest_state_waits_for_the_time_the_server_asked_for() {
    let server = Sipp::start(include_str!("sipp/busy.xml"));
    let mut puad = Puad::towards(&server.uri());
    let failure = puad.publish(presence("first")).expect_err("busy");
    assert_eq!((failure.status, failure.retrying), (Some(503), true));
    for note in ["second", "third"] {
        puad.publish(presence(note)).expect_err("still busy");
    }
    let published = puad.waits_for(Change::Published);
    assert_eq!(published.status, Some(200));

    let [refused, granted] = &server.requests()[..] else { panic!("two requests") };
    let waited = granted.at - refused.at;
    assert!(waited >= 2.0, "only {waited} s");
    assert!(granted.request.text().contains("third"));
}

#[test]
fn rsp_14_a_503_with_retry_after_silences_all_requests_to_that_server() {
    let busy = Sipp::start(include_str!("sipp/busy.xml"));
    let other = Sipp::start(include_str!("sipp/forgetful.xml"));
    let puad = Puad::towards(&busy.uri());
    let proxies = [&busy, &other].map(|server| Uri::parse(&server.uri()).expect("a URI"));
    let towards_both = |note| Publish { outbound_proxy: proxies.to_vec(), ..presence(note) };
    puad.publish(towards_both("refused here, taken there")).expect("the other server");
    // Nothing has been said about this one, but to the same server.
    let bob = Publish {
        presentity: Uri::parse("sip:bob@example.com").expect("a URI"),
        ..towards_both("b")
    };
    puad.publish(bob.clone()).expect("the other server");
    assert_eq!((busy.requests().len(), other.requests().len()), (1, 2));

    // When the time is up it is asked again.
    thread::sleep(Duration::from_millis(2500));
    puad.publish(bob).expect("the first server");
    assert_eq!((busy.requests().len(), other.requests().len()), (2, 2));
}

#[test]
fn pub_14_a_423_raises_the_lifetime() {
    let server = Sipp::start(include_str!("sipp/brief.xml"));
    let puad = Puad::towards(&server.uri());
    let published = puad.publish(lasting(10, presence("longer"))).expect("accepted");
    assert_eq!(published.expires, Some(Duration::from_secs(60)));
    let [brief, longer] = &server.requests()[..] else { panic!("two requests") };
    assert_eq!((brief.need("Expires"), longer.need("Expires")), ("10", "60"));
    assert_eq!(brief.need("Call-ID"), longer.need("Call-ID"));
    assert_eq!(longer.request.cseq(), brief.request.cseq() + 1);
    assert_eq!(brief.request.body, longer.request.body);
}

#[test]
fn pub_13_a_server_that_forgets_every_tag_gets_the_document_again_and_again() {
    let server = Sipp::start(include_str!("sipp/forgetful.xml"));
    let mut puad = Puad::towards(&server.uri());
    puad.publish(lasting(5, presence("again"))).expect("accepted");
    puad.waits_for(Change::Recovered);
    puad.waits_for(Change::Recovered);
    let requests = wait_for("five requests", || Some(server.requests()).filter(|r| r.len() >= 5));
    for (at, request) in requests.iter().enumerate() {
        let is_initial = request.request.text().contains("again");
        assert_eq!((is_initial, request.entity_tag().is_none()), (at % 2 == 0, at % 2 == 0));
    }
}
