//! Accounts that change while publications are up, as by a reload of the configuration.

use std::sync::Arc;

use puad::{
    command::{Command, PublicationState, Publish, Reply},
    sip::{
        config::{Account, Secret},
        message::Uri,
    },
};

use crate::support::{
    Sip,
    digest::{alice, challenge, config, md5_response, param, protected_with},
    secs,
    world::{World, presence},
};

#[test]
fn a_mended_password_brings_up_what_was_refused() {
    let wrong = config(|account| account.password = Secret::new("looking-glass"));
    let mut world = protected_with(wrong, checks_password);
    let ticket = world.publish(alice());
    world.outcome(ticket).expect_err("the password is wrong");
    assert_eq!(world.infos()[0].state, PublicationState::Failed);
    let before = world.requests().len();
    // The same accounts once more change nothing.
    let same = config(|account| account.password = Secret::new("looking-glass")).accounts;
    assert_eq!(use_accounts(&mut world, same, vec![]), 0);
    assert_eq!(world.requests().len(), before);
    assert_eq!(use_accounts(&mut world, config(|_| ()).accounts, vec![]), 1);
    world.run_for(secs(1));
    assert_eq!(world.infos()[0].state, PublicationState::Published);
}

#[test]
fn a_new_password_is_used_from_the_next_refresh_on() {
    let mut world = protected_with(config(|_| ()), checks_password);
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let sent = world.requests().len();
    let other = config(|account| account.username = "alice2".into()).accounts;
    assert_eq!(use_accounts(&mut world, other, vec![]), 1);
    assert_eq!(world.requests().len(), sent, "what is up stays up, and nothing is sent for it");
    world.run_for(secs(600));
    let refresh = world.requests()[sent..]
        .iter()
        .find_map(|request| request.get("Authorization").map(|row| param(row, "username")));
    assert_eq!(refresh.as_deref(), Some("alice2"));
}

#[test]
fn a_new_way_is_taken_by_those_whose_call_did_not_name_one() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let own = Uri::parse("sip:192.0.2.77").expect("a URI");
    world.publish(Publish { id: "own".into(), outbound_proxy: vec![own], ..presence("<2/>") });
    let sent = world.sent.len();
    let proxy = Uri::parse("sip:192.0.2.99;lr").expect("a URI");
    assert_eq!(use_accounts(&mut world, vec![], vec![proxy]), 1);
    world.run_for(secs(500));
    let later: Vec<String> =
        world.sent[sent..].iter().map(|sent| sent.to.ip().to_string()).collect();
    assert!(later.contains(&"192.0.2.99".into()) && later.contains(&"192.0.2.77".into()));
    assert!(later.iter().all(|to| to.starts_with("192.0.2.")), "{later:?}");
}

/// Grants whoever knows alice's password.
fn checks_password(request: &Sip) -> Option<Vec<u8>> {
    let row = "nonce=\"n\", qop=\"auth\"";
    match request.get("Authorization") {
        Some(given) => {
            let right = md5_response(given, "example.com", request.uri());
            let is_known = param(given, "username") != "alice" || param(given, "response") == right;
            (!is_known).then(|| request.answer(403).bytes())
        }
        None => Some(challenge(request, 401, "WWW-Authenticate", row)),
    }
}

fn use_accounts(world: &mut World, accounts: Vec<Arc<Account>>, outbound_proxy: Vec<Uri>) -> usize {
    let ticket = world.command(Command::Accounts { accounts, outbound_proxy });
    world.run_for(secs(0));
    match &world.replies.get(&ticket).expect("answered at once").1 {
        Reply::Accounts { changed } => *changed,
        other => panic!("{other:?}"),
    }
}
