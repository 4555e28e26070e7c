//! One-shots (`puad publish`): one PUBLISH, its answer, nothing kept up.

use std::time::Duration;

use puad::command::{EntityTag, Owner, PublicationState, Publish};

use crate::support::{
    secs,
    world::{World, presence},
};

#[test]
fn a_one_shot_sends_one_publish_and_leaves_it_to_run_out() {
    let mut world = World::granting(600);
    let ticket = world.publish(one_shot());
    let published = world.outcome(ticket).expect("granted");
    assert_eq!(published.entity_tag.expect("a tag").as_str(), "t1");
    assert_eq!(published.expires, Some(secs(600)));
    world.run_for(secs(4000));
    assert_eq!(world.requests().len(), 1, "no refresh and no removal");
}

#[test]
fn pub_03_a_one_shot_with_a_tag_and_no_body_is_one_refresh() {
    let mut world = World::granting(600);
    let ticket = world.publish(Publish { document: None, ..tagged("theirs") });
    assert_eq!(world.outcome(ticket).expect("granted").entity_tag.expect("a tag").as_str(), "t1");
    world.run_for(secs(4000));
    let [refresh] = &world.requests()[..] else { panic!("one request") };
    assert_eq!(refresh.get("SIP-If-Match"), Some("theirs"));
    assert_eq!(refresh.get("Content-Type"), None);
    assert_eq!(refresh.text(), "");
    assert_eq!(refresh.need("Expires"), "3600");
}

#[test]
fn pub_05_a_one_shot_removes_what_a_tag_from_elsewhere_names() {
    let mut world = World::with_peer(|request| request.answer(200).bytes());
    let ticket = world.publish(removal("theirs"));
    let published = world.outcome(ticket).expect("removed");
    assert_eq!(published.state, PublicationState::Removed);
    assert!(published.sent);
    assert_eq!(published.status, Some(200));
    assert_eq!(published.entity_tag, None);
    let [remove] = &world.requests()[..] else { panic!("one request") };
    assert_eq!(remove.get("SIP-If-Match"), Some("theirs"));
    assert_eq!(remove.need("Expires"), "0");
    assert_eq!(remove.text(), "");
    assert!(world.infos().is_empty(), "nothing is kept");
}

#[test]
fn pub_13_a_412_to_a_removal_ends_it_and_is_told() {
    let mut world = World::with_peer(|request| request.answer(412).bytes());
    let ticket = world.publish(removal("theirs"));
    let published = world.outcome(ticket).expect("what should go is not there");
    assert_eq!((published.state, published.status), (PublicationState::Removed, Some(412)));
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_removal_that_the_server_fails_to_do_is_no_success() {
    let mut world = World::with_peer(|request| request.answer(500).bytes());
    let ticket = world.publish(removal("theirs"));
    let failure = world.outcome(ticket).expect_err("the state may still be there");
    assert_eq!(failure.status, Some(500));
    world.run_for(secs(4000));
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_script_removes_what_a_tag_from_elsewhere_names_and_keeps_at_it() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        request.answer(if count == 1 { 503 } else { 200 }).bytes()
    });
    let ticket =
        world.publish(Publish { owner: presence("").owner, maintain: true, ..removal("theirs") });
    assert!(world.outcome(ticket).expect_err("503").retrying);
    world.run_for(secs(60));
    let requests = world.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|r| r.get("SIP-If-Match") == Some("theirs")));
    assert!(world.infos().is_empty());
}

fn one_shot() -> Publish {
    Publish { owner: Owner::OneShot, maintain: false, ..presence("<open/>") }
}

fn tagged(tag: &str) -> Publish {
    Publish { entity_tag: Some(EntityTag::parse(tag).expect("a token")), ..one_shot() }
}

fn removal(tag: &str) -> Publish {
    Publish { document: None, expires: Duration::ZERO, ..tagged(tag) }
}
