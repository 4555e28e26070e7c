//! RSP rows: what final responses ask for (RFC 3261 §8.1.3, §21).

use std::sync::Arc;

use puad::{
    command::{Change, ExtraHeaders, PublicationState},
    sip::{
        Config,
        auth::Algorithm,
        config::{Account, Secret},
        message::Uri,
    },
};

use crate::support::{
    Sip, secs,
    world::{ALICE, PEER, World, presence, publish},
};

/// Answers by these codes in turn, the last one for ever.
fn in_turn(mut answers: Vec<fn(&Sip) -> Vec<u8>>) -> impl FnMut(&Sip) -> Vec<u8> {
    move |request| if answers.len() > 1 { answers.remove(0)(request) } else { answers[0](request) }
}

fn ok(request: &Sip) -> Vec<u8> {
    request.granted("t1", 3600)
}

/// A world with credentials for `example.com` at the peer.
fn with_account(answer: impl FnMut(&Sip) -> Vec<u8> + 'static) -> World {
    let account = Account {
        name: None,
        domain: "192.0.2.1".into(),
        username: "alice".into(),
        password: Secret::new("secret"),
        realms: vec!["example.com".into()],
        outbound_proxy: Vec::new(),
        minimum_algorithm: Algorithm::Md5,
    };
    let mut world =
        World::with_config(Config { accounts: vec![Arc::new(account)], ..Config::default() });
    let mut answer = answer;
    world.peer = Box::new(move |_, request| vec![(0.0, answer(request))]);
    world
}

fn challenge(request: &Sip, code: u16, nonce: &str, more: &str) -> Vec<u8> {
    let header = if code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    let value = format!("Digest realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\"{more}");
    request.answer(code).header(header, value).bytes()
}

/// Where the requests went: the user part of each Request-URI.
fn users(world: &World) -> Vec<String> {
    let user = |request: &Sip| {
        let uri = request.uri().trim_start_matches("sip:");
        uri.split('@').next().expect("a user").to_owned()
    };
    world.distinct_requests().iter().map(user).collect()
}

/// A world at a name with two servers.
fn with_two_servers(peer: impl FnMut(f64, &Sip) -> Vec<(f64, Vec<u8>)> + 'static) -> World {
    let mut world = World::silent();
    let addresses = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().expect("an address"));
    world.dns.insert("two.example".into(), Ok(addresses.to_vec()));
    world.peer = Box::new(peer);
    world
}

#[test]
fn rsp_01_an_unknown_code_counts_as_the_first_of_its_class() {
    for (code, state, change) in [
        (299, PublicationState::Published, Change::Published),
        (499, PublicationState::Failed, Change::Failed),
        (599, PublicationState::Retrying, Change::Retrying),
        (699, PublicationState::Failed, Change::Failed),
    ] {
        let mut world = World::with_peer(move |request| {
            request.answer(code).header("SIP-ETag", "t1").header("Expires", 3600).bytes()
        });
        world.publish(presence("<a/>"));
        assert_eq!(world.infos()[0].state, state, "{code}");
        assert_eq!(world.changes(), [change], "{code}");
    }
    // A 1xx other than 100 is provisional like any other.
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(0.1, request.answer(199).bytes())]);
    let ticket = world.publish(presence("<a/>"));
    world.run_for(secs(6));
    assert_eq!(world.sent_at(), [0.0, 0.5, 4.5]);
    assert!(world.is_waiting(ticket));
}

#[test]
fn rsp_02_a_changed_retry_is_a_new_transaction_of_the_same_call() {
    let mut world = with_account(in_turn(vec![
        |request| challenge(request, 401, "n1", ""),
        |request| request.answer(420).header("Unsupported", "x").bytes(),
        |request| request.answer(423).header("Min-Expires", 7200).bytes(),
        |request| request.granted("t1", 7200),
    ]));
    let mut publish = presence("<a/>");
    publish.extra_headers = ExtraHeaders::new(vec![("Require".into(), "x".into())]).expect("valid");
    let ticket = world.publish(publish);
    assert!(world.outcome(ticket).is_ok());
    let requests = world.distinct_requests();
    let first = requests[0].cseq();
    let numbers: Vec<_> = requests.iter().map(Sip::cseq).collect();
    assert_eq!(numbers, [first, first + 1, first + 2, first + 3]);
    for request in &requests {
        for same in ["Call-ID", "From", "To"] {
            assert_eq!(request.need(same), requests[0].need(same));
        }
        assert_eq!(request.body, b"<a/>");
    }
    assert_eq!(requests[3].get("Require"), None);
    assert_eq!(requests[3].need("Expires"), "7200");
    assert!(requests[3].get("Authorization").is_some());
}

#[test]
fn rsp_02_retries_of_all_kinds_share_one_budget() {
    // Ever longer lifetimes.
    let mut least = 3600;
    let mut world = World::with_peer(move |request| {
        least += 60;
        request.answer(423).header("Min-Expires", least).bytes()
    });
    let ticket = world.publish(presence("<a/>"));
    world.run_for(secs(3600));
    assert!(world.requests().len() <= 6, "{}", world.requests().len());
    assert_eq!(world.outcome(ticket).expect_err("never enough").status, Some(423));
    assert_eq!(world.infos()[0].state, PublicationState::Failed);

    // Server and proxy take turns in finding every nonce stale.
    let mut count = 0;
    let mut world = with_account(move |request| {
        count += 1;
        let code = if count % 2 == 0 { 401 } else { 407 };
        challenge(request, code, &format!("n{count}"), ", stale=true")
    });
    let ticket = world.publish(presence("<a/>"));
    world.run_for(secs(3600));
    assert!(world.requests().len() <= 6, "{}", world.requests().len());
    assert!(world.outcome(ticket).is_err());
}

#[test]
fn rsp_03_a_redirect_changes_the_request_uri_and_nothing_else() {
    let mut world = World::with_peer(in_turn(vec![
        |request| {
            let low = "<sip:low@192.0.2.4>;q=0.1";
            let high = "\"B, b\" <sip:b@192.0.2.3:5080;method=INVITE?Subject=x>;q=0.7";
            request.answer(302).header("Contact", format!("{low}, {high}")).bytes()
        },
        ok,
    ]));
    let ticket = world.publish(presence("<a/>"));
    assert!(world.outcome(ticket).is_ok());
    let [first, second] = &world.distinct_requests()[..] else { panic!("two requests") };
    assert_eq!(second.start, "PUBLISH sip:b@192.0.2.3:5080 SIP/2.0");
    assert_eq!(world.sent[1].to.to_string(), "192.0.2.3:5080");
    for same in ["To", "From", "Call-ID", "Event", "Content-Type"] {
        assert_eq!(second.need(same), first.need(same));
    }
    assert_eq!(second.body, first.body);
    assert_eq!(second.cseq(), first.cseq() + 1);
    assert_ne!(second.branch(), first.branch());
}

#[test]
fn rsp_03_the_next_contact_is_tried_when_one_fails() {
    let mut world = World::with_peer(in_turn(vec![
        |request| {
            let contacts = "<sip:c@192.0.2.3>;q=0.5, <sip:b@192.0.2.3>, <sip:d@192.0.2.3>;q=0.2";
            request.answer(300).header("Contact", contacts).bytes()
        },
        |request| request.answer(404).bytes(),
        |request| request.answer(486).bytes(),
        ok,
    ]));
    let ticket = world.publish(presence("<a/>"));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(users(&world), ["alice", "b", "c", "d"]);
}

#[test]
fn rsp_04_a_circle_of_redirects_ends() {
    let mut world = World::with_peer(|request| {
        let next = if request.uri().contains("b@") { ALICE } else { "sip:b@192.0.2.1" };
        request.answer(302).header("Contact", format!("<{next}>")).bytes()
    });
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("nowhere");
    assert_eq!((failure.status, failure.retrying), (Some(302), false));
    world.run_for(secs(3600));
    assert_eq!(users(&world), ["alice", "b"]);
}

#[test]
fn rsp_04_at_most_five_redirects_are_followed() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        request.answer(302).header("Contact", format!("<sip:b{count}@192.0.2.1>")).bytes()
    });
    let ticket = world.publish(presence("<a/>"));
    assert_eq!(world.outcome(ticket).expect_err("no end").status, Some(302));
    assert_eq!(users(&world), ["alice", "b1", "b2", "b3", "b4", "b5"]);
}

#[test]
fn rsp_04_one_answer_cannot_send_puad_to_everybody() {
    let mut world = World::with_peer(|request| {
        if request.uri() != ALICE {
            return request.answer(404).bytes();
        }
        let contacts: Vec<_> = (1..200).map(|n| format!("<sip:u{n}@192.0.2.{n}>")).collect();
        request.answer(300).header("Contact", contacts.join(", ")).bytes()
    });
    world.publish(presence("<a/>"));
    world.run_for(secs(3600));
    assert_eq!(users(&world), ["alice", "u1", "u2", "u3", "u4", "u5"]);
}

#[test]
fn rsp_05_a_sips_request_never_leaves_in_clear() {
    // Not by itself, and not by a proxy that is reached in clear (RFC 3261 §8.1.2).
    for proxy in [None, Some("sip:192.0.2.1;lr"), Some("sip:192.0.2.1;transport=tcp;lr")] {
        let mut world = World::granting(3600);
        let mut publish = publish("sips:alice@192.0.2.1", "presence", "text/plain", "x");
        publish.outbound_proxy =
            proxy.map(|uri| Uri::parse(uri).expect("a URI")).into_iter().collect();
        let ticket = world.publish(publish);
        let failure = world.outcome(ticket).expect_err("no TLS");
        assert!(failure.message.contains("sips:alice@192.0.2.1"), "{failure}");
        world.run_for(secs(3600));
        assert!(world.sent.is_empty(), "{proxy:?}");
    }
    // Nor does a redirect to a sips URI lead there.
    let mut world = World::with_peer(|request| {
        request.answer(302).header("Contact", "<sips:b@192.0.2.3>").bytes()
    });
    let mut publish = presence("<a/>");
    publish.outbound_proxy = vec![Uri::parse("sip:192.0.2.1;lr").expect("a URI")];
    let ticket = world.publish(publish);
    assert!(world.outcome(ticket).is_err());
    assert_eq!(users(&world), ["alice"]);
}

#[test]
fn rsp_06_a_redirect_is_not_remembered() {
    let mut world = World::with_peer(|request| {
        if request.uri() == ALICE {
            request.answer(302).header("Contact", "<sip:b@192.0.2.1>").bytes()
        } else {
            ok(request)
        }
    });
    world.publish(presence("<a/>"));
    world.publish(presence("<b/>"));
    assert_eq!(users(&world), ["alice", "b", "alice", "b"]);
}

#[test]
fn rsp_08_a_413_with_retry_after_is_tried_again_then() {
    let mut world = World::with_peer(in_turn(vec![
        |request| request.answer(413).header("Retry-After", 3).bytes(),
        ok,
    ]));
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("too large for now");
    assert_eq!((failure.status, failure.retrying), (Some(413), true));
    world.run_for(secs(5));
    let sent_at = world.sent_at();
    assert!(sent_at.len() == 2 && (3.0..4.0).contains(&sent_at[1]), "{sent_at:?}");
    assert_eq!(world.changes(), [Change::Retrying, Change::Published]);
}

#[test]
fn rsp_09_a_415_ends_in_failure_that_names_what_the_server_takes() {
    let mut world = World::with_peer(|request| {
        request.answer(415).header("Accept", "application/pidf+xml").bytes()
    });
    let diff = publish(ALICE, "presence", "application/pidf-diff+xml", "<d/>");
    let ticket = world.publish(diff);
    let failure = world.outcome(ticket).expect_err("refused");
    assert_eq!((failure.status, failure.retrying), (Some(415), false));
    assert!(failure.message.contains("application/pidf+xml"), "{failure}");
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
    // A script that offers the other type starts over.
    world.peer = Box::new(|_, request| vec![(0.0, ok(request))]);
    let ticket = world.publish(presence("<a/>"));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.requests()[1].need("Content-Type"), "application/pidf+xml");
}

#[test]
fn rsp_10_a_420_is_tried_once_without_the_options_it_names() {
    let requiring = |options: &str| {
        let mut publish = presence("<a/>");
        let rows = vec![("Require".into(), options.into())];
        publish.extra_headers = ExtraHeaders::new(rows).expect("valid");
        publish
    };
    let mut world = World::with_peer(in_turn(vec![
        |request| request.answer(420).header("Unsupported", "X").bytes(),
        ok,
    ]));
    let ticket = world.publish(requiring("x, y"));
    assert!(world.outcome(ticket).is_ok());
    assert_eq!(world.requests()[1].need("Require"), "y");

    // A second 420 ends it, and so does one that names nothing that was sent.
    for (unsupported, most) in [("x", 2), ("z", 1)] {
        let mut world = World::with_peer(move |request| {
            let option = if request.get("Require") == Some("y") { "y" } else { unsupported };
            request.answer(420).header("Unsupported", option).bytes()
        });
        let ticket = world.publish(requiring("x, y"));
        let failure = world.outcome(ticket).expect_err("refused");
        assert_eq!((failure.status, failure.retrying), (Some(420), false));
        world.run_for(secs(3600));
        assert_eq!(world.requests().len(), most);
    }
}

#[test]
fn rsp_11_a_421_for_what_is_not_built_in_ends_in_failure() {
    let mut world =
        World::with_peer(|request| request.answer(421).header("Require", "sec-agree").bytes());
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("refused");
    assert!(failure.message.contains("sec-agree"), "{failure}");
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn rsp_12_after_a_406_nothing_more_is_sent() {
    let mut world = World::with_peer(|request| request.answer(406).bytes());
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("refused");
    assert_eq!((failure.status, failure.retrying), (Some(406), false));
    assert_eq!(world.changes(), [Change::Failed]);
    world.run_for(secs(7200));
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn rsp_13_retry_after_sets_the_earliest_next_attempt() {
    for code in [404, 413, 480, 486, 500, 503, 600, 603] {
        let mut first = true;
        let mut world = World::with_peer(move |request| {
            if std::mem::take(&mut first) {
                request.answer(code).header("Retry-After", "10 (soon);duration=60").bytes()
            } else {
                ok(request)
            }
        });
        let ticket = world.publish(presence("<a/>"));
        let failure = world.outcome(ticket).expect_err("refused for now");
        assert!(failure.retrying, "{code}");
        assert!(failure.retry_after.expect("a time") >= secs(10), "{code}");
        world.run_for(secs(12));
        let sent_at = world.sent_at();
        assert!(sent_at.len() == 2 && (10.0..12.0).contains(&sent_at[1]), "{code}: {sent_at:?}");
    }
    // Zero adds nothing to the usual wait.
    let mut world = World::with_peer(in_turn(vec![
        |request| request.answer(480).header("Retry-After", 0).bytes(),
        ok,
    ]));
    world.publish(presence("<a/>"));
    world.run_for(secs(1));
    assert_eq!(world.changes(), [Change::Retrying, Change::Published]);
}

#[test]
fn rsp_13_a_call_during_the_wait_brings_nothing_forward() {
    let mut world = World::with_peer(in_turn(vec![
        |request| request.answer(480).header("Retry-After", 10).bytes(),
        ok,
    ]));
    world.publish(presence("<a/>"));
    world.run_for(secs(4));
    let ticket = world.publish(presence("<b/>"));
    assert!(world.outcome(ticket).expect_err("not yet").retrying);
    world.run_for(secs(8));
    let sent_at = world.sent_at();
    assert!(sent_at.len() == 2 && sent_at[1] >= 10.0, "{sent_at:?}");
    assert_eq!(world.requests()[1].text(), "<b/>");
}

#[test]
fn rsp_14_a_503_with_retry_after_keeps_every_request_from_that_server() {
    let mut busy = true;
    let mut world = with_two_servers(move |at, request| {
        vec![(
            0.0,
            if at < 60.0 && std::mem::take(&mut busy) {
                request.answer(503).header("Retry-After", 60).bytes()
            } else {
                request.granted("t1", 3600)
            },
        )]
    });
    let at =
        |user: &str| publish(&format!("sip:{user}@two.example"), "presence", "text/plain", "x");
    let ticket = world.publish(at("a"));
    assert!(world.outcome(ticket).is_ok(), "the other server took it");
    world.run_for(secs(30));
    world.publish(at("b"));
    world.run_for(secs(29));
    world.publish(at("c"));
    world.run_for(secs(2));
    world.publish(at("d"));
    let to: Vec<_> = world.sent.iter().map(|sent| (sent.at, sent.to.ip().to_string())).collect();
    let to: Vec<_> = to.iter().map(|(at, ip)| (*at, ip.as_str())).collect();
    assert_eq!(
        to,
        [
            (0.0, "192.0.2.1"),
            (0.0, "192.0.2.2"),
            (30.0, "192.0.2.2"),
            (59.0, "192.0.2.2"),
            (61.0, "192.0.2.1")
        ]
    );
}

#[test]
fn rsp_14_without_another_server_everybody_waits() {
    let mut world = World::with_peer(in_turn(vec![
        |request| request.answer(503).header("Retry-After", 60).bytes(),
        ok,
    ]));
    world.publish(presence("<a/>"));
    world.run_for(secs(10));
    // Another presentity, same server: nothing leaves, and the call says when it will.
    let ticket = world.publish(publish("sip:bob@192.0.2.1", "presence", "text/plain", "x"));
    let failure = world.outcome(ticket).expect_err("blocked");
    assert!(failure.retrying && failure.retry_after.expect("a time") >= secs(50), "{failure:?}");
    assert_eq!(failure.status, None, "nobody has answered this request");
    world.run_for(secs(49.9));
    assert_eq!(world.sent_at(), [0.0]);
    world.run_for(secs(10));
    assert_eq!(world.sent.len(), 3);
    assert!(world.infos().iter().all(|info| info.state == PublicationState::Published));
}

#[test]
fn rsp_14_the_block_holds_for_a_transport_that_only_the_size_chose() {
    let mut world = World::with_peer(|request| {
        if request.need("Via").contains("TCP") {
            request.answer(503).header("Retry-After", 60).bytes()
        } else {
            ok(request)
        }
    });
    let large = |user: &str| {
        publish(&format!("sip:{user}@192.0.2.1"), "presence", "text/plain", &"x".repeat(2000))
    };
    world.publish(large("a"));
    world.run_for(secs(10));
    let ticket = world.publish(large("b"));
    assert!(world.outcome(ticket).expect_err("blocked").retrying);
    assert_eq!(world.sent_at(), [0.0]);
    // UDP to the same port is another way and was not refused.
    let ticket = world.publish(publish("sip:c@192.0.2.1", "presence", "text/plain", "x"));
    assert!(world.outcome(ticket).is_ok());
}

#[test]
fn rsp_14_a_503_without_retry_after_counts_as_500() {
    let mut world = with_two_servers(|_, request| vec![(0.0, request.answer(503).bytes())]);
    let ticket = world.publish(publish("sip:a@two.example", "presence", "text/plain", "x"));
    let failure = world.outcome(ticket).expect_err("both refuse");
    assert_eq!((failure.status, failure.retrying), (Some(503), true));
    // Nobody asked for silence: the next attempt goes to both again.
    world.run_for(secs(1));
    let to: Vec<_> = world.sent.iter().take(4).map(|sent| sent.to.ip().to_string()).collect();
    assert_eq!(to, ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"]);
}

#[test]
fn rsp_15_a_500_is_tried_again_with_growing_gaps() {
    for code in [500, 504, 502, 580] {
        let mut world = World::with_peer(move |request| request.answer(code).bytes());
        world.publish(presence("<a/>"));
        world.run_for(secs(6 * 3600));
        let sent_at = world.sent_at();
        let gaps: Vec<f64> = sent_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (0.5..=300.0).contains(gap)), "{code}: {gaps:?}");
        let mean = |gaps: &[f64]| gaps.iter().sum::<f64>() / gaps.len() as f64;
        let (early, middle, late) = (mean(&gaps[..3]), mean(&gaps[3..8]), mean(&gaps[10..]));
        assert!(early < 4.0 && early < middle && middle < late, "{code}: {gaps:?}");
        assert!(late > 60.0, "{code}: {gaps:?}");
    }
}

#[test]
fn rsp_15_where_the_method_does_not_work_nothing_more_is_sent() {
    for code in [405, 501] {
        let mut world = World::with_peer(move |request| {
            request.answer(code).header("Allow", "OPTIONS").bytes()
        });
        let ticket = world.publish(presence("<a/>"));
        let failure = world.outcome(ticket).expect_err("refused");
        assert_eq!((failure.status, failure.retrying), (Some(code), false));
        world.run_for(secs(7200));
        assert_eq!(world.requests().len(), 1);
    }
}

#[test]
fn rsp_16_a_6xx_ends_the_search() {
    let mut world = World::with_peer(in_turn(vec![
        |request| {
            let contacts = "<sip:b@192.0.2.3>, <sip:c@192.0.2.3>";
            request.answer(302).header("Contact", contacts).bytes()
        },
        |request| request.answer(603).bytes(),
        ok,
    ]));
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("declined");
    assert_eq!((failure.status, failure.retrying), (Some(603), false));
    world.run_for(secs(3600));
    assert_eq!(users(&world), ["alice", "b"]);

    let mut world = with_two_servers(|_, request| vec![(0.0, request.answer(600).bytes())]);
    world.publish(publish("sip:a@two.example", "presence", "text/plain", "x"));
    world.run_for(secs(3600));
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn rsp_17_a_definite_refusal_is_not_repeated() {
    for code in [400, 402, 403, 404, 410, 414, 416, 484, 485, 488, 489, 604, 606] {
        let mut world = World::with_peer(move |request| request.answer(code).bytes());
        let ticket = world.publish(presence("<a/>"));
        let failure = world.outcome(ticket).expect_err("refused");
        assert_eq!((failure.status, failure.retrying), (Some(code), false), "{code}");
        world.run_for(secs(7200));
        assert_eq!(world.requests().len(), 1, "{code}");
        // A change by the script is another matter.
        world.publish(presence("<b/>"));
        assert_eq!(world.requests().len(), 2, "{code}");
    }
}

#[test]
fn rsp_17_a_received_408_is_tried_again_but_not_at_once() {
    let mut world = World::with_peer(in_turn(vec![|request| request.answer(408).bytes(), ok]));
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("timed out there");
    assert_eq!((failure.status, failure.retrying), (Some(408), true));
    world.run_for(secs(2));
    let sent_at = world.sent_at();
    assert!(sent_at.len() == 2 && sent_at[1] >= 0.5, "{sent_at:?}");
    assert_eq!(world.sent[1].to.to_string(), PEER);
}
