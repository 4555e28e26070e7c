//! Owners of publications: what a reloaded script declares again, and what nobody declares any more.

use puad::command::{
    Change, Command, FailureKind, Key, OnOrphan, Owner, PublicationState, Publish, Reply,
};

use crate::support::{
    secs,
    world::{World, presence},
};

#[test]
fn what_is_declared_again_unchanged_sends_nothing_and_keeps_tag_and_timers() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let before = world.infos().remove(0);
    let ticket = world.publish(again(presence("<1/>")));
    let published = world.outcome(ticket).expect("adopted");
    assert_eq!((published.sent, published.state), (false, PublicationState::Published));
    assert_eq!(published.entity_tag.expect("held").as_str(), "t1");
    let after = world.infos().remove(0);
    assert_eq!(
        (after.next_refresh, after.expires_at, after.requests),
        (before.next_refresh, before.expires_at, 1)
    );
}

#[test]
fn what_is_declared_again_without_a_document_keeps_the_one_there_is() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let ticket = world.publish(again(Publish { document: None, ..presence("") }));
    assert!(!world.outcome(ticket).expect("adopted").sent);
    assert_eq!(world.requests().len(), 1, "not even a refresh");
}

#[test]
fn what_is_declared_again_with_another_state_is_one_modify() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let ticket = world.publish(again(presence("<2/>")));
    assert!(world.outcome(ticket).expect("granted").sent);
    let requests = world.requests();
    assert_eq!((requests.len(), requests[1].need("SIP-If-Match")), (2, "t1"));
}

#[test]
fn what_is_declared_again_while_the_same_is_on_its_way_joins_it() {
    let mut world = World::silent();
    world.command(Command::Publish(Box::new(presence("<1/>"))));
    world.command(Command::Publish(Box::new(again(presence("<1/>")))));
    world.run_for(secs(0.4));
    assert_eq!(world.distinct_requests().len(), 1);
}

#[test]
fn what_failed_for_good_starts_over_when_it_is_declared_again() {
    let mut codes = [403, 200].into_iter();
    let mut world = World::with_peer(move |request| match codes.next() {
        Some(403) => request.answer(403).bytes(),
        _ => request.granted("t1", 600),
    });
    let ticket = world.publish(presence("<1/>"));
    world.outcome(ticket).expect_err("refused");
    let ticket = world.publish(again(presence("<1/>")));
    assert!(world.outcome(ticket).expect("granted").sent);
}

#[test]
fn an_orphan_is_removed_unless_it_shall_be_kept() {
    let mut world = World::granting(600);
    let kept = Publish { id: "kept".into(), on_orphan: OnOrphan::Keep, ..presence("<1/>") };
    let other = Publish { id: "other".into(), ..presence("<3/>") };
    for publish in [presence("<2/>"), kept.clone(), other.clone()] {
        world.publish(publish);
    }
    let owner = presence("").owner;
    let keys = vec![presence("").key(), kept.key(), Key::from_text("unknown")];
    let (removed, left) = abandon(&mut world, owner, Some(keys));
    assert_eq!((removed, left), (vec![presence("").key()], vec![kept.key()]));
    world.run_for(secs(1));
    let requests = world.requests();
    assert_eq!((requests.len(), requests[3].need("Expires")), (4, "0"));
    assert!(world.changes().contains(&Change::Removed));
    let owners: Vec<_> = world.infos().into_iter().map(|info| (info.key, info.owner)).collect();
    assert_eq!(owners, [(kept.key(), Owner::Nobody), (other.key(), other.owner)]);
}

#[test]
fn a_kept_orphan_stays_alive_and_goes_to_whoever_declares_it_next() {
    let mut world = World::granting(600);
    let kept = Publish { on_orphan: OnOrphan::Keep, ..presence("<1/>") };
    world.publish(kept.clone());
    abandon(&mut world, kept.owner.clone(), None);
    world.run_for(secs(1200));
    assert!(world.requests().len() > 2, "it is refreshed without an owner");
    let heir = Publish { owner: Owner::Script("heir".into()), ..presence("<2/>") };
    let ticket = world.publish(heir.clone());
    world.outcome(ticket).expect("it is nobody's");
    assert!(world.requests().last().expect("sent").get("SIP-If-Match").is_some(), "a Modify");
    assert_eq!(world.infos()[0].owner, heir.owner);
    let ticket = world.publish(kept);
    assert_eq!(world.outcome(ticket).expect_err("taken").kind, FailureKind::Conflict);
}

#[test]
fn an_orphan_that_never_came_up_ends_without_a_request() {
    let mut world = World::with_peer(|request| request.answer(403).bytes());
    world.publish(presence("<1/>"));
    let (removed, _) = abandon(&mut world, presence("").owner, None);
    assert_eq!(removed.len(), 1);
    assert_eq!((world.requests().len(), world.infos().len()), (1, 0));
}

#[test]
fn an_orphan_in_flight_is_removed_when_its_answer_has_come() {
    let mut world = World::granting(600);
    world.command(Command::Publish(Box::new(presence("<1/>"))));
    world.command(Command::Abandon { owner: presence("").owner, keys: None });
    world.run_for(secs(1));
    let requests = world.requests();
    assert_eq!((requests.len(), requests[1].need("Expires")), (2, "0"));
    assert!(world.infos().is_empty());
}

fn again(publish: Publish) -> Publish {
    Publish { adopts: true, ..publish }
}

fn abandon(world: &mut World, owner: Owner, keys: Option<Vec<Key>>) -> (Vec<Key>, Vec<Key>) {
    let ticket = world.command(Command::Abandon { owner, keys });
    world.run_for(secs(0.0));
    match &world.replies.get(&ticket).expect("answered at once").1 {
        Reply::Abandoned { removed, kept } => (removed.clone(), kept.clone()),
        other => panic!("{other:?}"),
    }
}
