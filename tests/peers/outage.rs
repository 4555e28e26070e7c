//! A presence server that loses its memory, or is away for a while.

use puad::command::{Change, PublicationState};

use crate::{
    kamailio::Kamailio,
    puad::{ALICE, Puad, lasting, presence},
    watcher::Watcher,
};

#[test]
fn pub_13_state_lost_in_a_crash_of_the_server_comes_back_by_itself() {
    comes_back("udp");
}

#[test]
fn state_published_over_tcp_comes_back_after_a_crash_of_the_server() {
    comes_back("tcp");
}

/// The server dies under a live publication and is back before the next refresh.
fn comes_back(transport: &str) {
    let mut server = Kamailio::in_memory();
    let mut puad = Puad::towards(&format!("{};transport={transport}", server.uri()));
    puad.publish(lasting(5, presence("never mind"))).expect("accepted");
    server.kill();
    server.start_again();
    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");
    assert!(!watcher.shown()[0].text().contains("never mind"), "nothing was lost");

    let recovered = puad.waits_for(Change::Recovered);
    watcher.sees_text("never mind");
    assert_eq!(puad.info().entity_tag, recovered.entity_tag);
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("never mind");
    let [_, refresh, initial] = &server.publishes()[..] else { panic!("three requests") };
    assert!(refresh.entity_tag.is_some() && refresh.body_length == 0, "{refresh:?}");
    assert!(initial.entity_tag.is_none() && initial.body_length > 0, "{initial:?}");
    assert_eq!(initial.transport, transport);
}

#[test]
fn state_comes_back_when_the_server_was_away_for_longer_than_its_lifetime() {
    let mut server = Kamailio::in_memory();
    let mut puad = Puad::towards(&server.uri());
    puad.publish(lasting(5, presence("patient"))).expect("accepted");
    server.kill();
    let retrying = puad.waits_for(Change::Retrying);
    assert!(retrying.failure.is_some_and(|failure| failure.retrying));
    assert_eq!(puad.info().state, PublicationState::Retrying);
    server.start_again();
    puad.waits_for(Change::Recovered);
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("patient");
}

#[test]
fn state_wanted_while_the_server_is_away_is_published_when_it_is_there() {
    let mut server = Kamailio::in_memory();
    let mut puad = Puad::towards(&server.uri());
    server.kill();
    let failure = puad.publish(presence("hello?")).expect_err("nobody is there");
    assert!(failure.retrying, "{failure:?}");
    server.start_again();
    puad.waits_for(Change::Published);
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("hello?");
}

#[test]
fn pub_13_a_forced_412_to_a_modify_leads_to_an_initial_with_the_new_document() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    puad.publish(presence("before")).expect("accepted");
    server.forget_tags(true);
    let after = puad.publish(presence("after")).expect("accepted");
    assert_eq!((after.status, after.state), (Some(200), PublicationState::Published));
    server.forget_tags(false);

    let [_, modify, initial] = &server.publishes()[..] else { panic!("three requests") };
    assert!(modify.entity_tag.is_some(), "{modify:?}");
    assert_eq!((&initial.entity_tag, initial.body_length), (&None, modify.body_length));
    // The tag of the Initial is good for what follows.
    puad.refresh(&presence("")).expect("accepted");
    assert_eq!(server.publishes().len(), 4);
}

#[test]
fn a_removal_that_gets_412_is_done() {
    let server = Kamailio::start();
    let puad = Puad::towards(&server.uri());
    puad.publish(presence("away soon")).expect("accepted");
    server.forget_tags(true);
    let removed = puad.remove(&presence("")).expect("what is not there is gone");
    assert_eq!(removed.state, PublicationState::Removed);
    assert_eq!(server.publishes().len(), 2);
}

#[test]
fn a_server_that_has_kept_its_state_through_a_crash_is_not_published_to_anew() {
    let mut server = Kamailio::start();
    let mut puad = Puad::towards(&server.uri());
    puad.publish(lasting(5, presence("on disk"))).expect("accepted");
    server.kill();
    server.start_again();
    puad.waits_for(Change::Refreshed);
    let [_, refresh] = &server.publishes()[..] else { panic!("two requests") };
    assert!(refresh.entity_tag.is_some() && refresh.body_length == 0, "{refresh:?}");
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("on disk");
}
