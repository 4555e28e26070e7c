//! AUTH rows: challenges met on the wire (RFC 3261 §22, 7616, 8760).
//!
//! The vectors of AUTH-02 to AUTH-09 are computed beside the code, in `sip::auth`.

use crate::support::{
    digest::{
        ALICE, alice, asks_once, authorizations, challenge, config, md5_response, param, protected,
        protected_with, raw_param,
    },
    secs,
    world::publish,
};

#[test]
fn auth_01_401_and_407_are_answered_in_the_header_of_their_kind() {
    let mut world = protected(|request| match request.cseq() {
        1 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"s1\", qop=\"auth\"")),
        2 => Some(challenge(request, 407, "Proxy-Authenticate", "nonce=\"p1\", qop=\"auth\"")),
        _ => None,
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let [first, second, third] = &world.requests()[..] else { panic!("three requests") };
    assert_eq!(first.all("Authorization").len() + first.all("Proxy-Authorization").len(), 0);
    assert_eq!(param(second.need("Authorization"), "nonce"), "s1");
    assert_eq!(second.get("Proxy-Authorization"), None);
    assert_eq!(param(third.need("Authorization"), "nonce"), "s1");
    assert_eq!(param(third.need("Proxy-Authorization"), "nonce"), "p1");
    for (n, request) in [first, second, third].into_iter().enumerate() {
        assert_eq!(request.cseq(), first.cseq() + n as u32);
        assert_eq!(request.need("Call-ID"), first.need("Call-ID"));
        assert_eq!(request.need("From"), first.need("From"));
        assert_eq!(request.need("To"), format!("<{ALICE}>"), "no tag is learned");
        assert_eq!(request.text(), "<open/>");
    }
    assert_ne!(first.branch(), second.branch());
    assert_ne!(second.branch(), third.branch());
}

#[test]
fn auth_04_challenges_that_quote_everything_are_understood() {
    let row = "nonce=\"n\", qop=\"auth\", algorithm=\"SHA-256\", stale=\"false\"";
    let mut world = protected(asks_once(row));
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let requests = world.requests();
    let given = requests[1].need("Authorization");
    for (name, quoted) in [
        ("username", true),
        ("realm", true),
        ("nonce", true),
        ("uri", true),
        ("response", true),
        ("cnonce", true),
        ("algorithm", false),
        ("qop", false),
        ("nc", false),
    ] {
        assert_eq!(raw_param(given, name).starts_with('"'), quoted, "{name} in {given}");
    }
    assert_eq!(raw_param(given, "nc"), "00000001");
    let response = param(given, "response");
    assert_eq!(response.len(), 64);
    assert!(response.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
}

#[test]
fn auth_10_the_nonce_count_counts_every_request_from_one() {
    let mut world = protected(asks_once("nonce=\"n\", qop=\"auth\""));
    for round in 0..17 {
        let ticket = world.publish(publish(ALICE, "presence", "a/b", &format!("<{round}/>")));
        world.outcome(ticket).expect("granted");
    }
    let counts: Vec<String> = authorizations(&world).iter().map(|row| param(row, "nc")).collect();
    let expected: Vec<String> = (1..=17).map(|n| format!("{n:08x}")).collect();
    assert_eq!(counts, expected);
    assert_eq!(counts[16], "00000011");
    let mut cnonces: Vec<String> =
        authorizations(&world).iter().map(|row| param(row, "cnonce")).collect();
    assert!(cnonces.iter().all(|cnonce| cnonce.len() >= 16), "64 bits in hex");
    cnonces.sort();
    cnonces.dedup();
    assert_eq!(cnonces.len(), 17);
}

#[test]
fn auth_10_requests_in_parallel_never_share_a_count() {
    let mut world = protected(|request| {
        let is_new = request.get("Authorization").is_none();
        is_new.then(|| challenge(request, 401, "WWW-Authenticate", "nonce=\"n\", qop=\"auth\""))
    });
    let mut answer = std::mem::replace(&mut world.peer, Box::new(|_, _| Vec::new()));
    // Both are on their way before either is challenged.
    world.peer = Box::new(move |at, request| {
        answer(at, request).into_iter().map(|(_, bytes)| (0.1, bytes)).collect()
    });
    world.publish(publish(ALICE, "presence", "a/b", "1"));
    world.publish(publish("sip:bob@example.com", "presence", "a/b", "2"));
    world.run_for(secs(1));
    let mut counts: Vec<String> =
        authorizations(&world).iter().map(|row| param(row, "nc")).collect();
    counts.sort();
    assert_eq!(counts, ["00000001", "00000002"]);
}

#[test]
fn auth_10_a_request_too_large_for_udp_leaves_no_gap_in_the_count() {
    let mut world = protected(asks_once("nonce=\"n\", qop=\"auth\""));
    for round in 0..3 {
        let body = format!("{round}{}", "x".repeat(1400));
        let ticket = world.publish(publish(ALICE, "presence", "a/b", &body));
        world.outcome(ticket).expect("granted");
    }
    let counts: Vec<String> = authorizations(&world).iter().map(|row| param(row, "nc")).collect();
    assert_eq!(counts, ["00000001", "00000002", "00000003"]);
}

#[test]
fn auth_10_a_new_nonce_starts_the_count_again() {
    let mut seen = 0;
    let mut world = protected(move |request| {
        seen += 1;
        let old = request.get("Authorization").is_some_and(|row| row.contains("\"n1\""));
        match seen {
            1 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n1\", qop=\"auth\"")),
            3 if old => {
                let row = "nonce=\"n2\", qop=\"auth\", stale=true";
                Some(challenge(request, 401, "WWW-Authenticate", row))
            }
            _ => None,
        }
    });
    for body in ["1", "2"] {
        let ticket = world.publish(publish(ALICE, "presence", "a/b", body));
        world.outcome(ticket).expect("granted");
    }
    let given: Vec<_> =
        authorizations(&world).iter().map(|row| (param(row, "nonce"), param(row, "nc"))).collect();
    let expected = [("n1", "00000001"), ("n1", "00000002"), ("n2", "00000001")];
    assert_eq!(given, expected.map(|(nonce, nc)| (nonce.to_owned(), nc.to_owned())));
}

#[test]
fn auth_11_opaque_goes_back_unchanged_even_when_empty() {
    for opaque in ["", "a\\\"b", "0xFF=="] {
        let row = format!("nonce=\"n\", foo=bar, opaque=\"{opaque}\", domain=\"sip:x\"");
        let mut world = protected(asks_once(&row));
        let ticket = world.publish(alice());
        world.outcome(ticket).expect("granted");
        let rows = authorizations(&world);
        assert_eq!(raw_param(&rows[0], "opaque"), format!("\"{opaque}\""));
        assert!(!rows[0].contains("foo") && !rows[0].contains("domain"), "{}", rows[0]);
    }
}

#[test]
fn auth_12_rejected_credentials_are_not_given_again() {
    let mut count = 0;
    let mut world = protected(move |request| {
        count += 1;
        let row = format!("nonce=\"n{count}\", qop=\"auth\"");
        Some(challenge(request, 401, "WWW-Authenticate", &row))
    });
    let ticket = world.publish(alice());
    world.run_for(secs(600));
    assert_eq!(world.requests().len(), 2);
    let failure = world.outcome(ticket).expect_err("rejected");
    assert_eq!((failure.kind.as_str(), failure.status), ("sip", Some(401)));
    assert!(!failure.retrying);
    assert!(failure.message.contains("rejects"), "{failure}");
}

#[test]
fn auth_12_a_stale_nonce_is_answered_once_more() {
    for stale in ["TRUE", "\"true\"", "True"] {
        let row = format!("nonce=\"n2\", qop=\"auth\", stale={stale}");
        let mut world = protected(move |request| match request.cseq() {
            1 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n1\", qop=\"auth\"")),
            2 => Some(challenge(request, 401, "WWW-Authenticate", &row)),
            _ => None,
        });
        let ticket = world.publish(alice());
        world.outcome(ticket).expect("granted");
        let rows = authorizations(&world);
        assert_eq!(rows.len(), 2);
        assert_eq!(param(&rows[1], "nonce"), "n2", "{stale}");
    }
}

#[test]
fn auth_12_a_nonce_from_the_cache_may_have_grown_old() {
    let mut count = 0;
    let mut world = protected(move |request| {
        count += 1;
        match count {
            1 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n1\", qop=\"auth\"")),
            // Without stale: a server with one-time nonces.
            3 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n2\", qop=\"auth\"")),
            _ => None,
        }
    });
    for body in ["1", "2"] {
        let ticket = world.publish(publish(ALICE, "presence", "a/b", body));
        world.outcome(ticket).expect("granted");
    }
    assert_eq!(world.requests().len(), 4);
}

#[test]
fn auth_13_a_server_that_always_says_stale_gets_two_more_rounds() {
    let mut count = 0;
    let mut world = protected(move |request| {
        count += 1;
        let row = format!("nonce=\"n{count}\", qop=\"auth\", stale=true");
        Some(challenge(request, 401, "WWW-Authenticate", &row))
    });
    let ticket = world.publish(alice());
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 4, "unauthenticated, first answer, two stale rounds");
    assert!(!world.outcome(ticket).expect_err("given up").retrying);
}

#[test]
fn auth_13_challenges_of_all_kinds_share_one_budget() {
    let mut count = 0;
    let mut world = protected_with(
        config(|account| account.realms = (1..=20).map(|n| format!("r{n}")).collect()),
        move |request| {
            count += 1;
            let row = format!("Digest realm=\"r{count}\", nonce=\"n\", qop=\"auth\"");
            Some(request.answer(401).header("WWW-Authenticate", row).bytes())
        },
    );
    let ticket = world.publish(alice());
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 6, "the first and five retries");
    assert!(world.outcome(ticket).is_err());
}

#[test]
fn auth_16_credentials_for_one_proxy_stay_when_the_next_one_asks() {
    let config = config(|account| account.realms = vec!["a".into(), "b".into()]);
    let mut world = protected_with(config, |request| {
        let realm = match request.all("Proxy-Authorization").len() {
            0 => "a",
            1 => "b",
            _ => return None,
        };
        let row = format!("Digest realm=\"{realm}\", nonce=\"n{realm}\", qop=\"auth\"");
        Some(request.answer(407).header("Proxy-Authenticate", row).bytes())
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let requests = world.requests();
    let realms: Vec<String> =
        requests[2].all("Proxy-Authorization").iter().map(|row| param(row, "realm")).collect();
    assert_eq!(realms, ["a", "b"]);
    assert_eq!(requests[2].need("Call-ID"), requests[0].need("Call-ID"));
}

#[test]
fn auth_17_a_refresh_brings_its_credentials_unasked() {
    let mut world = protected(asks_once("nonce=\"n\", qop=\"auth\""));
    world.publish(alice());
    world.run_for(secs(3600));
    let requests = world.requests();
    assert!(requests.len() > 3, "{} requests", requests.len());
    assert_eq!(requests[0].get("Authorization"), None);
    for (n, refresh) in requests[1..].iter().enumerate() {
        assert_eq!(raw_param(refresh.need("Authorization"), "nc"), format!("{:08x}", n + 1));
    }
}

#[test]
fn auth_18_uri_is_the_request_uri_of_that_very_request() {
    let mut world = protected(|request| match request.cseq() {
        1 => Some(request.answer(302).header("Contact", "<sip:Al%69ce@example.com;x=Y>").bytes()),
        2 => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n\", qop=\"auth\"")),
        _ => None,
    });
    let ticket = world.publish(alice());
    world.outcome(ticket).expect("granted");
    let requests = world.requests();
    assert_eq!(requests[2].uri(), "sip:Al%69ce@example.com;x=Y");
    let given = requests[2].need("Authorization");
    assert_eq!(param(given, "uri"), requests[2].uri());
    assert_eq!(param(given, "response"), md5_response(given, "example.com", requests[2].uri()));
}

#[test]
fn auth_21_nextnonce_takes_the_place_of_the_nonce() {
    let mut world = protected(|request| match request.get("Authorization") {
        None => Some(challenge(request, 401, "WWW-Authenticate", "nonce=\"n1\", qop=\"auth\"")),
        Some(row) if row.contains("\"n1\"") => Some(
            request
                .answer(200)
                .header("SIP-ETag", "t")
                .header("Expires", 600)
                .header("Authentication-Info", "nextnonce=\"n2\", qop=auth")
                .bytes(),
        ),
        Some(_) => None,
    });
    for body in ["1", "2", "3"] {
        let ticket = world.publish(publish(ALICE, "presence", "a/b", body));
        world.outcome(ticket).expect("granted");
    }
    let given: Vec<_> =
        authorizations(&world).iter().map(|row| (param(row, "nonce"), param(row, "nc"))).collect();
    let expected = [("n1", "00000001"), ("n2", "00000001"), ("n2", "00000002")];
    assert_eq!(given, expected.map(|(nonce, nc)| (nonce.to_owned(), nc.to_owned())));
}
