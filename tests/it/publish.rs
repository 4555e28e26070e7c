//! PUB rows: publications as a compositor sees them (RFC 3903 §4).

use puad::command::{Change, EntityTag, FailureKind, PublicationState};

use crate::support::{
    secs,
    world::{ALICE, World, presence, publish},
};

#[test]
fn pub_01_each_publish_has_one_event_and_the_resource_as_request_uri() {
    let mut world = World::granting(600);
    world.publish(publish(ALICE, "dialog;sla;x=\"a b\"", "a/b", "1"));
    world.publish(publish(ALICE, "dialog;sla;x=\"a b\"", "a/b", "2"));
    world.run_for(secs(480));
    let key = world.infos()[0].key.clone();
    world.remove(key);
    let requests = world.requests();
    assert_eq!(requests.len(), 4, "an Initial, a Modify, a Refresh and a Remove");
    for request in requests {
        assert_eq!(request.start, format!("PUBLISH {ALICE} SIP/2.0"));
        assert_eq!(request.all("Event"), ["dialog;sla;x=\"a b\""]);
    }
}

#[test]
fn pub_02_an_initial_publish_has_a_body_and_no_tag() {
    let mut world = World::granting(3600);
    let ticket = world.publish(presence("<open/>"));
    let published = world.outcome(ticket).expect("granted");
    assert_eq!(published.entity_tag.expect("a tag").as_str(), "t1");
    let [initial] = &world.requests()[..] else { panic!("one request") };
    assert_eq!(initial.start, format!("PUBLISH {ALICE} SIP/2.0"));
    assert_eq!(initial.need("Event"), "presence");
    assert_eq!(initial.need("Expires"), "3600");
    assert_eq!(initial.need("Content-Type"), "application/pidf+xml");
    assert_eq!(initial.text(), "<open/>");
    assert_eq!(initial.get("SIP-If-Match"), None);
}

#[test]
fn pub_03_a_refresh_has_the_tag_and_no_body() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.run_for(secs(480));
    let refresh = &world.requests()[1];
    assert_eq!(refresh.need("SIP-If-Match"), "t1");
    assert_eq!(refresh.need("Content-Length"), "0");
    assert_eq!(refresh.get("Content-Type"), None);
    assert_eq!(refresh.need("Expires"), "3600");
    assert!(refresh.body.is_empty());
}

#[test]
fn pub_03_packages_with_one_document_per_resource_are_refreshed_with_the_body() {
    use puad::command::RefreshWith::{Body, Empty};
    for (event, asked, has_body) in [
        ("message-summary", None, true),
        ("as-feature-event", None, true),
        ("dialog", None, false),
        ("never-heard-of", None, false),
        ("message-summary", Some(Empty), false),
        ("presence", Some(Body), true),
    ] {
        let mut world = World::granting(600);
        let mut publish = publish(ALICE, event, "a/b", "the document");
        publish.refresh = asked;
        world.publish(publish);
        world.run_for(secs(480));
        let refresh = &world.requests()[1];
        assert_eq!(refresh.need("SIP-If-Match"), "t1");
        assert_eq!(refresh.text(), if has_body { "the document" } else { "" }, "{event}");
        assert_eq!(refresh.get("Content-Type").is_some(), has_body);
        assert_eq!(world.changes(), [Change::Published, Change::Refreshed], "{event}");
    }
}

#[test]
fn pub_04_a_modify_has_the_tag_and_the_whole_new_body() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.publish(presence("<closed/>"));
    let modify = &world.requests()[1];
    assert_eq!(modify.need("SIP-If-Match"), "t1");
    assert_eq!(modify.need("Content-Type"), "application/pidf+xml");
    assert_eq!(modify.text(), "<closed/>");
    assert_eq!(world.changes(), [Change::Published, Change::Published]);
}

#[test]
fn pub_04_the_same_body_given_again_is_a_modify_too() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.publish(presence("<open/>"));
    assert_eq!(world.requests()[1].text(), "<open/>");
    assert_eq!(world.requests()[1].need("SIP-If-Match"), "t1");
}

#[test]
fn pub_05_a_remove_has_the_tag_and_no_body_and_forgets_it() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    let key = world.infos()[0].key.clone();
    let ticket = world.remove(key);
    let removed = world.outcome(ticket).expect("removed");
    assert_eq!((removed.state, removed.sent), (PublicationState::Removed, true));
    assert_eq!((removed.status, removed.entity_tag, removed.expires), (Some(200), None, None));
    let remove = &world.requests()[1];
    assert_eq!(remove.need("SIP-If-Match"), "t1");
    assert_eq!(remove.need("Expires"), "0");
    assert_eq!(remove.get("Content-Type"), None);
    assert!(remove.body.is_empty());
    assert!(world.infos().is_empty());
    world.publish(presence("<again/>"));
    assert_eq!(world.requests()[2].get("SIP-If-Match"), None);
    assert_eq!(world.requests()[2].text(), "<again/>");
    assert_eq!(world.changes(), [Change::Published, Change::Removed, Change::Published]);
    world.run_for(secs(400));
    assert_eq!(world.requests()[3].need("SIP-If-Match"), "t3");
}

#[test]
fn pub_05_expires_zero_removes_and_its_body_is_not_sent() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    let mut publish = presence("<ignored/>");
    publish.expires = secs(0);
    publish.skip_unchanged = true;
    let ticket = world.publish(publish);
    assert!(world.outcome(ticket).expect("removed").sent);
    assert_eq!(world.requests()[1].need("Expires"), "0");
    assert!(world.requests()[1].body.is_empty());
    assert!(world.infos().is_empty());
}

#[test]
fn pub_06_an_initial_without_a_body_is_refused_before_anything_is_sent() {
    let mut world = World::granting(600);
    let mut publish = presence("");
    publish.document = None;
    let ticket = world.publish(publish);
    let failure = world.outcome(ticket).expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.message.starts_with("body: "), "{failure}");
    assert!(world.sent.is_empty() && world.infos().is_empty() && world.events.is_empty());
}

#[test]
fn pub_06_packages_with_their_state_in_headers_need_no_body() {
    let mut world = World::granting(600);
    let mut publish = publish(ALICE, "call-info", "a/b", "");
    publish.document = None;
    let ticket = world.publish(publish);
    world.outcome(ticket).expect("granted");
    let initial = &world.requests()[0];
    assert_eq!(initial.get("SIP-If-Match"), None);
    assert_eq!(initial.get("Content-Type"), None);
}

#[test]
fn pub_06_removing_what_is_not_there_sends_nothing_and_succeeds() {
    let mut world = World::granting(600);
    let mut publish = presence("");
    publish.expires = secs(0);
    let key = publish.key();
    let tickets = [world.publish(publish), world.remove(key)];
    for ticket in tickets {
        let removed = world.outcome(ticket).expect("nothing to do");
        assert_eq!((removed.state, removed.sent), (PublicationState::Removed, false));
        assert_eq!(removed.status, None);
    }
    assert!(world.sent.is_empty() && world.infos().is_empty() && world.events.is_empty());
}

#[test]
fn pub_07_the_tag_of_every_2xx_replaces_the_last_one() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    world.run_for(secs(480));
    world.publish(presence("<2/>"));
    let tags: Vec<_> =
        world.requests().iter().map(|r| r.get("SIP-If-Match").map(str::to_owned)).collect();
    assert_eq!(tags, [None, Some("t1".to_owned()), Some("t2".to_owned())]);
    assert_eq!(world.infos()[0].entity_tag.as_ref().expect("a tag").as_str(), "t3");
}

#[test]
fn pub_08_the_tag_goes_back_byte_by_byte() {
    for tag in ["Ab-%_!c", "0", "a.b`~'*+"] {
        let mut world = World::with_peer(move |request| request.granted(tag, 600));
        world.publish(presence("<1/>"));
        world.publish(presence("<2/>"));
        assert_eq!(world.requests()[1].all("SIP-If-Match"), [tag]);
    }
    assert!(EntityTag::parse("*").is_err());
}

#[test]
fn pub_08_a_tag_of_two_thousand_bytes_is_kept_and_one_of_three_thousand_is_not() {
    for (length, is_kept) in [(2000, true), (2048, true), (3000, false)] {
        let tag = "x".repeat(length);
        let answer = tag.clone();
        let mut world = World::with_peer(move |request| request.granted(&answer, 600));
        let ticket = world.publish(presence("<1/>"));
        assert_eq!(world.outcome(ticket).expect("granted").entity_tag.is_some(), is_kept);
        world.publish(presence("<2/>"));
        assert_eq!(world.requests()[1].get("SIP-If-Match"), is_kept.then_some(&*tag));
        let warning = &world.events[0].1.failure;
        assert_eq!(warning.is_none(), is_kept, "{warning:?}");
    }
}

#[test]
fn pub_09_the_lifetime_of_the_answer_counts_but_never_more_than_asked() {
    for (granted, counts) in
        [(Some("1800"), 1800.0), (Some("7200"), 3600.0), (None, 3600.0), (Some("soon"), 3600.0)]
    {
        let mut world = World::with_peer(move |request| {
            let answer = request.answer(200).header("SIP-ETag", "t");
            granted.into_iter().fold(answer, |answer, s| answer.header("Expires", s)).bytes()
        });
        let ticket = world.publish(presence("<1/>"));
        let published = world.outcome(ticket).expect("granted");
        assert_eq!(published.expires, Some(secs(counts)));
        world.run_for(secs(counts));
        let refresh = world.sent_at()[1];
        assert!((counts * 0.5..=counts * 0.8).contains(&refresh), "{granted:?}: {refresh}");
    }
}

#[test]
fn pub_13_a_412_to_a_refresh_leads_to_an_initial_with_the_whole_document() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        if count == 2 {
            request.answer(412).bytes()
        } else {
            request.granted(&format!("t{count}"), 600)
        }
    });
    world.publish(presence("<open/>"));
    world.run_for(secs(480));
    let requests = world.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].get("SIP-If-Match"), Some("t1"));
    assert_eq!(requests[1].get("Content-Type"), None);
    assert_eq!(requests[2].get("SIP-If-Match"), None);
    assert_eq!(requests[2].text(), "<open/>");
    assert_eq!(world.changes(), [Change::Published, Change::Recovered]);
}

#[test]
fn pub_13_a_412_to_a_modify_leads_to_an_initial_and_the_call_succeeds() {
    let mut world = World::with_peer(|request| match request.get("SIP-If-Match") {
        Some(_) => request.answer(412).bytes(),
        None => request.granted("t", 600),
    });
    world.publish(presence("<1/>"));
    let ticket = world.publish(presence("<2/>"));
    let published = world.outcome(ticket).expect("granted in the end");
    assert_eq!((published.status, published.sent), (Some(200), true));
    let requests = world.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!((requests[2].get("SIP-If-Match"), requests[2].text()), (None, "<2/>"));
}

#[test]
fn pub_13_a_412_to_a_remove_is_the_end() {
    let mut world = World::with_peer(|request| match request.need("Expires") {
        "0" => request.answer(412).bytes(),
        _ => request.granted("t", 600),
    });
    world.publish(presence("<1/>"));
    let key = world.infos()[0].key.clone();
    let ticket = world.remove(key);
    world.outcome(ticket).expect("gone is gone");
    world.run_for(secs(7200));
    assert_eq!(world.requests().len(), 2);
    assert_eq!(world.changes(), [Change::Published, Change::Removed]);
}

#[test]
fn pub_15_no_operation_continues_a_dialog() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    world.publish(presence("<2/>"));
    world.run_for(secs(480));
    let requests = world.requests();
    assert_eq!(requests.len(), 3);
    let mut calls: Vec<_> = requests.iter().map(|r| r.need("Call-ID")).collect();
    let mut tags: Vec<_> = requests.iter().map(|r| r.param("From", "tag").unwrap()).collect();
    calls.sort();
    calls.dedup();
    tags.sort();
    tags.dedup();
    assert_eq!((calls.len(), tags.len()), (3, 3));
    assert!(requests.iter().all(|r| r.param("To", "tag").is_none()));
}

#[test]
fn pub_16_nothing_is_learned_from_the_answers_dialog_headers() {
    let mut world = World::with_peer(|request| {
        request
            .answer(200)
            .header("SIP-ETag", "t")
            .header("Expires", 600)
            .header("Record-Route", "<sip:192.0.2.77;lr>")
            .header("Contact", "<sip:other@192.0.2.78>")
            .bytes()
    });
    let mut publish = presence("<1/>");
    publish.outbound_proxy = vec![puad::sip::message::Uri::parse("sip:192.0.2.1;lr").unwrap()];
    world.publish(publish);
    world.run_for(secs(480));
    assert_eq!(world.requests().len(), 2);
    for (sent, request) in world.sent.iter().zip(world.requests()) {
        assert_eq!(sent.to, "192.0.2.1:5060".parse().unwrap());
        assert_eq!(request.uri(), ALICE);
        assert_eq!(request.all("Route"), ["<sip:192.0.2.1;lr>"]);
        assert_eq!(request.need("To"), format!("<{ALICE}>"));
    }
}

#[test]
fn pub_17_publications_of_one_resource_are_independent() {
    let mut world = World::with_peer(|request| {
        let tag = match (request.text(), request.get("SIP-If-Match")) {
            ("<a/>", _) | (_, Some("a")) => "a",
            _ => "b",
        };
        request.granted(tag, 600)
    });
    for (id, body) in [("a", "<a/>"), ("b", "<b/>")] {
        let mut publish = presence(body);
        publish.id = id.into();
        world.publish(publish);
    }
    let infos = world.infos();
    assert_eq!(infos.iter().map(|info| &*info.id).collect::<Vec<_>>(), ["a", "b"]);
    assert_ne!(infos[0].next_refresh, infos[1].next_refresh);
    let ticket = world.remove(infos[0].key.clone());
    world.outcome(ticket).expect("removed");
    assert_eq!(world.requests()[2].need("SIP-If-Match"), "a");
    world.run_for(secs(480));
    assert_eq!(world.requests().len(), 4);
    assert_eq!(world.requests()[3].need("SIP-If-Match"), "b");
    assert_eq!(world.infos()[0].state, PublicationState::Published);
}
