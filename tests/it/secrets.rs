//! SEC rows about chance, credentials and what scripts supply (SEC-01, 05, 07, 08).

use std::collections::BTreeSet;

use puad::sip::{Config, message::Uri};

use crate::support::{
    Sip,
    digest::{alice, asks_once, authorizations, challenge, config, protected, protected_with},
    secs,
    world::{World, publish},
};

#[test]
fn sec_01_every_identifier_has_enough_random_bits_and_is_used_once() {
    let mut world = protected(asks_once("nonce=\"n\", qop=\"auth\""));
    let mut bits = Identifiers::default();
    for n in 0..500 {
        let uri = format!("sip:u{n}@example.com");
        world.publish(publish(&uri, "presence", "a/b", "x"));
    }
    for request in world.requests() {
        bits.take(&request);
    }
    for (what, values, digits) in [
        ("Call-ID", &bits.call_ids, 32),
        ("From tag", &bits.tags, 16),
        ("branch", &bits.branches, 16),
        ("cnonce", &bits.cnonces, 16),
    ] {
        assert!(values.len() >= 499, "{what}: {} values", values.len());
        for value in values {
            assert_eq!(value.len(), digits, "{what} {value}");
            assert!(value.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{what} {value}");
        }
        // Each bit is a fair coin: 500 throws stay within five standard deviations of the mean.
        for digit in 0..digits {
            for bit in 0..4 {
                let ones = values
                    .iter()
                    .filter(|v| u8::from_str_radix(&v[digit..=digit], 16).unwrap() >> bit & 1 == 1)
                    .count();
                let (n, ones) = (values.len() as f64, ones as f64);
                assert!((ones - n / 2.0).abs() < 5.0 * (n / 4.0).sqrt(), "{what}: {ones} of {n}");
            }
        }
    }
}

#[test]
fn sec_01_two_processes_have_no_identifier_in_common() {
    let run = |seed: u8| {
        let mut world = World::seeded(Config::default(), [seed; 32]);
        let mut seen = Identifiers::default();
        for n in 0..200 {
            world.publish(publish(&format!("sip:u{n}@192.0.2.1"), "presence", "a/b", "x"));
        }
        world.requests().iter().for_each(|request| seen.take(request));
        seen
    };
    let (a, b) = (run(1), run(2));
    assert!(a.call_ids.is_disjoint(&b.call_ids));
    assert!(a.tags.is_disjoint(&b.tags));
    assert!(a.branches.is_disjoint(&b.branches));
}

#[test]
fn sec_05_a_server_named_by_a_redirect_gets_no_credentials() {
    let mut world = protected(|request| match request.uri() {
        "sip:alice@evil.example" => {
            Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"e\", qop=\"auth\""))
        }
        _ => Some(request.answer(302).header("Contact", "<sip:alice@evil.example>").bytes()),
    });
    world.dns.insert("evil.example".into(), Ok(vec!["192.0.2.66".parse().unwrap()]));
    let ticket = world.publish(alice());
    world.run_for(secs(60));
    let failure = world.outcome(ticket).expect_err("not answered");
    assert!(failure.message.contains("evil.example"), "{failure}");
    assert!(authorizations(&world).is_empty());
    assert_eq!(world.uac.stats().challenges_refused, 1);
}

#[test]
fn sec_05_credentials_already_given_do_not_follow_a_redirect_to_a_stranger() {
    let mut world = protected(|request| match (request.uri(), request.get("Authorization")) {
        ("sip:alice@evil.example", _) => None,
        (_, None) => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n\", qop=\"auth\"")),
        (_, Some(_)) => {
            Some(request.answer(302).header("Contact", "<sip:alice@evil.example>").bytes())
        }
    });
    world.dns.insert("evil.example".into(), Ok(vec!["192.0.2.66".parse().unwrap()]));
    world.publish(alice());
    let requests = world.requests();
    assert_eq!(requests[2].uri(), "sip:alice@evil.example");
    assert_eq!(requests[2].get("Authorization"), None);
}

#[test]
fn sec_05_nor_do_they_go_to_a_stranger_behind_the_users_own_proxy() {
    let config = config(|account| {
        account.outbound_proxy = vec![Uri::parse("sip:192.0.2.1;lr").unwrap()];
    });
    let mut world = protected_with(config, |request| match request.uri() {
        "sip:alice@evil.example" => {
            Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"e\", qop=\"auth\""))
        }
        _ => Some(request.answer(302).header("Contact", "<sip:alice@evil.example>").bytes()),
    });
    let ticket = world.publish(alice());
    assert!(world.outcome(ticket).is_err());
    assert!(authorizations(&world).is_empty());
}

#[test]
fn sec_05_an_address_parameter_does_not_make_a_stranger_a_friend() {
    let mut world = protected(|request| match request.uri() {
        "sip:alice@example.com" => {
            let contact = "<sip:alice@example.com;maddr=192.0.2.66>";
            Some(request.answer(302).header("Contact", contact).bytes())
        }
        _ => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"e\", qop=\"auth\"")),
    });
    let ticket = world.publish(alice());
    assert_eq!(world.sent[1].to, "192.0.2.66:5060".parse().unwrap());
    assert!(world.outcome(ticket).is_err());
    assert!(authorizations(&world).is_empty());
}

#[test]
fn sec_05_each_proxy_gets_only_the_credentials_it_asked_for() {
    let config = config(|account| {
        account.outbound_proxy =
            ["sip:192.0.2.1;lr", "sip:192.0.2.2;lr"].map(|p| Uri::parse(p).unwrap()).into();
    });
    let mut world = protected_with(config, |request| {
        if request.need("Route").contains("192.0.2.2") {
            return None;
        }
        let row = "nonce=\"n\", qop=\"auth\"";
        Some(match request.get("Proxy-Authorization") {
            None => challenge(request, 407, "Proxy-Authenticate", row),
            Some(_) => request.answer(503).bytes(),
        })
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted by the second");
    let requests = world.requests();
    assert!(requests[1].get("Proxy-Authorization").is_some());
    assert_eq!(requests[2].get("Proxy-Authorization"), None);
}

#[test]
fn sec_05_anonymous_is_not_tried() {
    let mut world = protected(|request| {
        let row = "Digest realm=\"elsewhere\", nonce=\"n\"";
        Some(request.answer(401).header("WWW-Authenticate", row).bytes())
    });
    world.publish(alice());
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
    assert!(!world.requests()[0].need("From").contains("anonymous"));
}

/// Random parts of requests.
#[derive(Default)]
struct Identifiers {
    call_ids: BTreeSet<String>,
    tags: BTreeSet<String>,
    branches: BTreeSet<String>,
    cnonces: BTreeSet<String>,
}

impl Identifiers {
    fn take(&mut self, request: &Sip) {
        self.call_ids.insert(request.need("Call-ID").to_owned());
        self.tags.insert(request.param("From", "tag").expect("a tag"));
        let branch = request.branch();
        self.branches.insert(branch.strip_prefix("z9hG4bK").expect("the cookie").to_owned());
        if let Some(row) = request.get("Authorization") {
            self.cnonces.insert(crate::support::digest::param(row, "cnonce"));
        }
    }
}
