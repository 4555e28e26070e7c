//! SEC rows about chance, credentials and what scripts supply (SEC-01, 05, 07, 08).

use std::collections::BTreeSet;

use puad::{
    command::{EntityTag, EventType, ExtraHeaders, FailureKind, HeaderError},
    sip::{Config, message::Uri},
};

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

#[test]
fn sec_08_header_values_with_line_breaks_are_refused() {
    for value in ["a\r\nRoute: x", "a\nb", "a\rb", "a\0b", "\u{7f}", "a\u{b}b"] {
        let refused = ExtraHeaders::new(vec![("X-A".into(), value.into())]);
        assert_eq!(refused, Err(HeaderError::Value("X-A".into())), "{value:?}");
    }
    for name in ["", "X A", "X:A", "X\r\nB", "X\0", "X\u{e4}"] {
        let refused = ExtraHeaders::new(vec![(name.into(), "a".into())]);
        assert_eq!(refused, Err(HeaderError::Name(name.into())), "{name:?}");
    }
    assert!(ExtraHeaders::from_lines("X-A: a\0b").is_err());
    assert!(ExtraHeaders::from_lines("X-A: a\rRoute: x").is_err());
}

#[test]
fn sec_08_headers_of_the_core_cannot_be_set() {
    let names = "Via v From f To t Contact m Call-ID i CSeq Max-Forwards Route Record-Route Event o \
        Expires SIP-If-Match Content-Length l Content-Type c Content-Encoding e \
        Content-Disposition Content-Language Content-Anything Authorization Proxy-Authorization";
    for name in names.split_whitespace() {
        for name in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
            let refused = ExtraHeaders::new(vec![(name.clone(), "a".into())]);
            assert_eq!(refused, Err(HeaderError::Reserved(name.clone())));
            assert!(ExtraHeaders::from_lines(&format!("{name} : a\n")).is_err(), "{name}");
        }
    }
}

#[test]
fn sec_08_an_event_cannot_carry_a_line_break() {
    for event in [
        "presence\r\nRoute: <sip:x>",
        "dialog;\r\nx=1",
        "dialog;x\r\n;y",
        "dialog;x=\r\n1",
        "dialog;x=1\r\n;y",
        "dialog;x=\"a\r\nb\"",
        "dialog;x=\"a\"b\"c\"",
        "dialog\0",
    ] {
        assert!(EventType::parse(event).is_err(), "{event:?}");
    }
}

#[test]
fn sec_08_a_uri_cannot_leave_its_brackets() {
    for uri in [
        "sip:a@x>\r\nRoute: <sip:y",
        "sip:a@x>;tag=1",
        "sip:a@x\r\n",
        "sip:a\0@x",
        "sip:a@x;p=\"",
        "sip:a b@x",
        "tel:1>",
        "pres:a@x\n",
    ] {
        assert!(Uri::parse(uri).is_err(), "{uri:?}");
    }
}

#[test]
fn sec_08_an_entity_tag_cannot_carry_anything_but_a_token() {
    for tag in ["", "a b", "a\r\nRoute: x", "\"a\"", "a,b", "a\0"] {
        assert!(EntityTag::parse(tag).is_err(), "{tag:?}");
    }
}

#[test]
fn sec_08_a_content_type_must_be_a_media_type() {
    let mut world = World::granting(600);
    for content_type in ["a/b\r\nRoute: <sip:x>", "a/b;\r\nx=1", "", "text", "a/", "a b/c", "a/b\0"]
    {
        let ticket = world.publish(publish("sip:a@192.0.2.1", "presence", content_type, "x"));
        let failure = world.outcome(ticket).expect_err(content_type);
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.message.starts_with("content_type: "), "{failure}");
    }
    assert!(world.sent.is_empty() && world.infos().is_empty());
    for content_type in ["a/b", "application/pidf+xml;charset=\"UTF-8\"", "text/plain ; x=1"] {
        let ticket = world.publish(publish("sip:a@192.0.2.1", "presence", content_type, "x"));
        world.outcome(ticket).expect(content_type);
    }
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
