//! AUTH rows: which of several challenges are answered, and which never (RFC 8760 §2.4).

use puad::sip::auth::Algorithm;

use crate::support::{
    digest::{
        ALICE, alice, asks_once, asks_once_rows, authorizations, config, md5_response, param,
        protected, protected_with,
    },
    secs,
};

#[test]
fn auth_14_the_topmost_usable_challenge_of_a_realm_is_answered() {
    let digest = |algorithm: &str| {
        format!("Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm={algorithm}")
    };
    for (offered, taken) in [
        (vec![digest("SHA-512-256"), digest("SHA-256"), digest("MD5")], "SHA-512-256"),
        (vec![digest("MD5"), digest("SHA-256")], "MD5"),
        (vec![digest("FOO"), digest("MD5")], "MD5"),
        (vec!["Foo realm=\"example.com\"".to_owned(), digest("SHA-256")], "SHA-256"),
    ] {
        let mut world = protected(asks_once_rows(offered));
        let ticket = world.publish(alice());
        world.outcome(ticket).expect("granted");
        let rows = authorizations(&world);
        assert_eq!(rows.len(), 1, "one credential per realm");
        assert_eq!(param(&rows[0], "algorithm"), taken);
    }
}

#[test]
fn auth_14_nothing_below_the_minimum_algorithm_is_answered() {
    let digest = |algorithm: &str| {
        format!("Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"{algorithm}")
    };
    let strict = || config(|account| account.minimum_algorithm = Algorithm::Sha256);
    for weak in ["", ", algorithm=MD5", ", algorithm=MD5-sess"] {
        let mut world = protected_with(strict(), asks_once_rows(vec![digest(weak)]));
        let ticket = world.publish(alice());
        assert_eq!(world.requests().len(), 1);
        let failure = world.outcome(ticket).expect_err("too weak");
        assert!(failure.message.contains("SHA-256"), "{failure}");
        assert_eq!(world.uac.stats().challenges_refused, 1);
    }
    let rows = vec![digest(", algorithm=MD5"), digest(", algorithm=SHA-256")];
    let mut world = protected_with(strict(), asks_once_rows(rows));
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    assert_eq!(param(&authorizations(&world)[0], "algorithm"), "SHA-256");
}

#[test]
fn auth_15_challenges_of_several_realms_are_answered_together() {
    let config = config(|account| account.realms = vec!["a".into(), "b".into()]);
    let mut world = protected_with(config, |request| {
        request.get("Authorization").is_none().then(|| {
            request
                .answer(401)
                .header("WWW-Authenticate", "Digest realm=\"a\", nonce=\"na\", qop=\"auth\"")
                .header("WWW-Authenticate", "Digest realm=\"unknown\", nonce=\"nu\"")
                .header("Proxy-Authenticate", "Digest realm=\"b\", nonce=\"nb\", qop=\"auth\"")
                .bytes()
        })
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let requests = world.requests();
    assert_eq!(param(requests[1].need("Authorization"), "realm"), "a");
    assert_eq!(param(requests[1].need("Proxy-Authorization"), "realm"), "b");
    assert_eq!(param(requests[1].need("Proxy-Authorization"), "nonce"), "nb");
}

#[test]
fn auth_15_without_a_usable_credential_the_request_fails_and_names_the_realm() {
    let mut world = protected(|request| {
        let row = "Digest realm=\"foreign\", nonce=\"n\", qop=\"auth\"";
        Some(request.answer(401).header("WWW-Authenticate", row).bytes())
    });
    let ticket = world.publish(alice());
    world.run_for(secs(600));
    assert_eq!(world.requests().len(), 1);
    let failure = world.outcome(ticket).expect_err("no credentials");
    assert_eq!((failure.status, failure.retrying), (Some(401), false));
    assert!(failure.message.contains("\"foreign\""), "{failure}");
}

#[test]
fn auth_19_hashes_take_the_values_without_quoting() {
    let config = config(|account| account.realms = vec!["a\"b\\c".into()]);
    let mut world = protected_with(config, |request| {
        let row = "Digest realm=\"a\\\"b\\\\c\", nonce=\"n\", qop=\"auth\"";
        let is_new = request.get("Authorization").is_none();
        is_new.then(|| request.answer(401).header("WWW-Authenticate", row).bytes())
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let requests = world.requests();
    let given = requests[1].need("Authorization");
    assert!(given.contains("realm=\"a\\\"b\\\\c\""), "{given}");
    assert_eq!(param(given, "response"), md5_response(given, "a\"b\\c", ALICE));
}

#[test]
fn auth_19_a_realm_is_compared_with_case_and_whole() {
    for configured in ["Example.com", "example.co", "example.com."] {
        let config = config(|account| account.realms = vec![configured.into()]);
        let mut world = protected_with(config, asks_once("nonce=\"n\", qop=\"auth\""));
        let ticket = world.publish(alice());
        assert!(world.outcome(ticket).is_err(), "{configured}");
        assert!(authorizations(&world).is_empty(), "{configured}");
    }
}

#[test]
fn auth_20_basic_is_never_answered() {
    let basic = "Basic realm=\"example.com\"".to_owned();
    let mut world = protected(asks_once_rows(vec![basic.clone()]));
    let ticket = world.publish(alice());
    world.run_for(secs(60));
    assert!(world.outcome(ticket).is_err());
    assert_eq!(world.requests().len(), 1);

    let digest = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"".to_owned();
    let mut world = protected(asks_once_rows(vec![basic, digest]));
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    assert!(authorizations(&world)[0].starts_with("Digest "));
}
