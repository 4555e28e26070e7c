//! Digest as a real server checks it (3261 §22).

use std::{thread, time::Duration};

use puad::command::FailureKind;

use crate::{
    kamailio::{Kamailio, PASSWORD},
    puad::{ALICE, Puad, presence},
    watcher::Watcher,
};

#[test]
fn auth_02_an_md5_challenge_is_answered_to_the_satisfaction_of_kamailio() {
    is_accepted("MD5");
}

#[test]
fn auth_05_a_sha_256_challenge_is_answered_to_the_satisfaction_of_kamailio() {
    is_accepted("SHA-256");
}

/// Publishes twice: challenged the first time, with the nonce that is known already the second.
fn is_accepted(algorithm: &str) {
    let server = Kamailio::with_digest(algorithm, 300);
    let puad = Puad::with_password(&server.uri(), PASSWORD);
    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");
    puad.publish(presence("let in")).expect("accepted");
    watcher.sees_text("let in");
    puad.publish(presence("let in again")).expect("accepted");
    watcher.sees_text("let in again");
    // The server refuses a count that it has seen, and was not asked a third time.
    assert_eq!(server.publishes().len(), 3);
}

#[test]
fn auth_12_a_refused_password_is_not_offered_again() {
    let server = Kamailio::with_digest("MD5", 300);
    let puad = Puad::with_password(&server.uri(), "wrong");
    let failure = puad.publish(presence("not let in")).expect_err("refused");
    assert_eq!((failure.kind, failure.status), (FailureKind::Sip, Some(401)));
    assert!(!failure.retrying, "{failure:?}");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(server.publishes().len(), 2);
}

#[test]
fn a_nonce_that_has_grown_old_is_replaced() {
    let server = Kamailio::with_digest("MD5", 1);
    let puad = Puad::with_password(&server.uri(), PASSWORD);
    puad.publish(presence("early")).expect("accepted");
    thread::sleep(Duration::from_millis(2500));
    puad.publish(presence("late")).expect("accepted");
    assert_eq!(server.publishes().len(), 4);
    Watcher::subscribe(server.port(), ALICE, "presence").sees_text("late");
}

#[test]
fn without_an_account_a_challenge_is_final() {
    let server = Kamailio::with_digest("MD5", 300);
    let puad = Puad::towards(&server.uri());
    let failure = puad.publish(presence("nobody")).expect_err("refused");
    assert_eq!((failure.status, failure.retrying), (Some(401), false));
    assert!(failure.message.contains("example.com"), "{failure}");
    assert_eq!(server.publishes().len(), 1);
}
