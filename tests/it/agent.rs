//! The presence agent: its pure part in virtual time, then on real sockets.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use puad::{
    agent::{Agent, Digest, Expires, Limits, Mood, Path, Publication, Settings},
    sip::io::FlowId,
};

use crate::support::{Sip, secs};

mod sockets;

const ALICE: &str = "sip:alice@example.com";
const PIDF: &str = "application/pidf+xml";
const PIDF_ROW: &str = "Content-Type: application/pidf+xml";
const PRESENCE: &str = "Event: presence";

#[test]
fn the_four_operations_of_a_publication() {
    let mut hall = Hall::new();
    let initial = hall.publish(&[PRESENCE, "Expires: 600", PIDF_ROW], "<open/>");
    assert_eq!((initial.code(), initial.need("Expires")), (200, "600"));
    let first = initial.need("SIP-ETag").to_owned();
    assert_eq!(shown(&hall.agent.publications()), [(ALICE, "presence", &*first, "<open/>")]);

    hall.run_for(secs(500));
    let refresh = hall.publish(&[PRESENCE, "Expires: 600", &if_match(&first)], "");
    let second = refresh.need("SIP-ETag").to_owned();
    assert_ne!(first, second);
    assert_eq!(shown(&hall.agent.publications()), [(ALICE, "presence", &*second, "<open/>")]);
    assert_eq!(hall.agent.publications()[0].expires_at, hall.now + secs(600));
    assert_eq!(&*hall.agent.publications()[0].content_type, PIDF);

    hall.run_for(secs(500));
    let modify = hall.publish(&[PRESENCE, &if_match(&second), PIDF_ROW], "<closed/>");
    assert_eq!(modify.need("Expires"), "3600");
    let third = modify.need("SIP-ETag").to_owned();
    assert!(third != first && third != second);
    assert_eq!(shown(&hall.agent.publications()), [(ALICE, "presence", &*third, "<closed/>")]);

    let remove = hall.publish(&[PRESENCE, "Expires: 0", &if_match(&third)], "");
    assert_eq!((remove.code(), remove.need("Expires")), (200, "0"));
    assert!(![first, second, third.clone()].contains(&remove.need("SIP-ETag").to_owned()));
    assert!(hall.agent.publications().is_empty());
    let late = hall.publish(&[PRESENCE, "Expires: 0", &if_match(&third)], "");
    assert_eq!(late.code(), 412);

    let counters = hall.agent.counters();
    assert_eq!((counters.initial, counters.refresh, counters.modify), (1, 1, 1));
    assert_eq!((counters.remove, counters.refused, counters.repeats), (2, 1, 0));
}

#[test]
fn a_tag_counts_for_its_own_resource_and_package_until_it_is_replaced_or_runs_out() {
    let mut hall = Hall::new();
    let old = hall.initial("<a/>");
    let tag =
        hall.publish(&[PRESENCE, "Expires: 60", &if_match(&old)], "").need("SIP-ETag").to_owned();
    let row = if_match(&tag);
    assert_eq!(hall.publish(&[PRESENCE, &if_match(&old)], "").code(), 412);
    assert_eq!(hall.publish(&[PRESENCE, "SIP-If-Match: unheard-of"], "").code(), 412);
    assert_eq!(hall.publish(&["Event: dialog", &row], "").code(), 412);
    assert_eq!(hall.request("PUBLISH", "sip:bob@example.com", &[PRESENCE, &row], "").code(), 412);
    // The same resource, by another way of writing it.
    let written = "sip:alice@EXAMPLE.com:5060;transport=tcp";
    let again = hall.request("PUBLISH", written, &[PRESENCE, "Expires: 60", &row], "");
    assert_eq!(again.code(), 200);
    hall.run_for(secs(59.999));
    assert_eq!(hall.agent.publications().len(), 1);
    hall.run_for(secs(0.001));
    assert!(hall.agent.publications().is_empty());
    assert_eq!(hall.publish(&[PRESENCE, &if_match(again.need("SIP-ETag"))], "").code(), 412);
}

#[test]
fn a_lifetime_is_granted_within_bounds() {
    let expires = Expires { default: secs(300), min: secs(60), max: secs(900) };
    let mut hall = Hall::with(Settings { expires, ..Settings::default() });
    for (asked, granted) in [(None, "300"), (Some("60"), "60"), (Some("99999999999"), "900")] {
        let row = asked.map(|asked| format!("Expires: {asked}"));
        let rows: Vec<&str> = [PRESENCE, PIDF_ROW].into_iter().chain(row.as_deref()).collect();
        assert_eq!(hall.publish(&rows, "<a/>").need("Expires"), granted);
    }
    let brief = hall.publish(&[PRESENCE, "Expires: 59", PIDF_ROW], "<a/>");
    assert_eq!((brief.code(), brief.need("Min-Expires")), (423, "60"));
    assert_eq!(brief.get("SIP-ETag"), None);
    assert_eq!(hall.agent.publications().len(), 3);
    let malformed = hall.publish(&[PRESENCE, "Expires: soon", PIDF_ROW], "<a/>");
    assert_eq!(malformed.code(), 400);
}

#[test]
fn an_unknown_package_gets_489_unless_any_is_taken() {
    let mut hall = Hall::new();
    for rows in [&["Event: reg", PIDF_ROW][..], &[PIDF_ROW], &["Event: presence.winfo", PIDF_ROW]] {
        let refused = hall.publish(rows, "<a/>");
        assert_eq!(refused.code(), 489);
        assert_eq!(refused.need("Allow-Events"), "presence, message-summary, dialog");
    }
    let mut hall = Hall::with(Settings { any_event: true, ..Settings::default() });
    let taken = hall.publish(&["o: call-info; B=2 ;a=1"], "");
    assert_eq!(taken.code(), 200);
    assert_eq!(&*hall.agent.publications()[0].topic.event, "call-info;a=1;b=2");
    assert_eq!(hall.publish(&["Event: reg", "Content-Type: a/b"], "x").code(), 200);
    assert_eq!(hall.publish(&[PIDF_ROW], "<a/>").code(), 489);
}

#[test]
fn what_cannot_be_stored_is_refused_with_the_code_that_says_why() {
    let mut hall = Hall::new();
    let tag = hall.initial("<a/>");
    let row = if_match(&tag);
    let cases: [(&[&str], &str, u16); 7] = [
        (&[PRESENCE, PIDF_ROW], "", 400),
        (&[PRESENCE], "<a/>", 400),
        (&[PRESENCE, &row, &row], "", 400),
        (&[PRESENCE, "SIP-If-Match: a, b"], "", 400),
        (&[PRESENCE, PRESENCE, PIDF_ROW], "<a/>", 400),
        (&[PRESENCE, "Content-Type: text/plain"], "open", 415),
        (&[PRESENCE, PIDF_ROW, "Require: foo"], "<a/>", 420),
    ];
    for (rows, body, code) in cases {
        assert_eq!(hall.publish(rows, body).code(), code, "{rows:?}");
    }
    let text = hall.publish(&[PRESENCE, "Content-Type: text/plain"], "open");
    assert_eq!(text.need("Accept"), PIDF);
    let zipped = hall.publish(&[PRESENCE, PIDF_ROW, "Content-Encoding: gzip"], "<a/>");
    assert_eq!((zipped.code(), zipped.need("Accept-Encoding")), (415, "identity"));
    assert_eq!(hall.request("PUBLISH", "tel:+1555", &[PRESENCE, PIDF_ROW], "<a/>").code(), 416);
    let register = hall.request("REGISTER", ALICE, &[], "");
    assert_eq!((register.code(), register.need("Allow")), (405, "PUBLISH, SUBSCRIBE, OPTIONS"));
    let options = hall.request("OPTIONS", ALICE, &[], "");
    assert_eq!((options.code(), options.need("Allow")), (200, "PUBLISH, SUBSCRIBE, OPTIONS"));
    // None of it touched what was there.
    assert_eq!(shown(&hall.agent.publications()), [(ALICE, "presence", &*tag, "<a/>")]);
}

#[test]
fn a_repeat_gets_the_same_bytes_for_32_seconds() {
    let mut hall = Hall::new();
    let request = hall.write("PUBLISH", ALICE, &[PRESENCE, PIDF_ROW], "<a/>");
    let [first] = &hall.arrive(&request)[..] else { panic!("one answer") };
    hall.run_for(secs(31.9));
    assert_eq!(hall.arrive(&request), std::slice::from_ref(first));
    assert_eq!(hall.agent.publications().len(), 1);
    hall.run_for(secs(0.2));
    assert_ne!(hall.arrive(&request), std::slice::from_ref(first));
    let counters = hall.agent.counters();
    assert_eq!((counters.initial, counters.repeats), (2, 1));
}

#[test]
fn a_digest_lets_in_who_knows_the_password() {
    let mut hall = Hall::with(guarded());
    let rows = [PRESENCE, PIDF_ROW];
    let challenged = hall.publish(&rows, "<a/>");
    assert_eq!(challenged.code(), 401);
    let challenges = challenged.all("WWW-Authenticate");
    assert!(challenges[0].contains("algorithm=SHA-256") && challenges[1].contains("algorithm=MD5"));
    assert!(challenges.iter().all(|row| row.starts_with("Digest realm=\"example.com\"")));
    assert!(!challenges[0].contains("stale"));

    for (challenge, algorithm) in challenges.iter().zip(["SHA-256", "MD5"]) {
        let nonce = quoted(challenge, "nonce");
        for (password, code) in [("wonderland", 200), ("looking-glass", 401), ("", 401)] {
            let row = authorization(algorithm, password, &nonce, 1, ALICE);
            let answer = hall.publish(&[PRESENCE, PIDF_ROW, &row], "<a/>");
            assert_eq!(answer.code(), code, "{algorithm} {password:?}");
            assert!(answer.all("WWW-Authenticate").iter().all(|row| !row.contains("stale")));
        }
    }
    assert_eq!(hall.agent.publications().len(), 2);
    assert_eq!(hall.agent.counters().challenged, 5);
}

#[test]
fn credentials_serve_one_request_of_one_resource_for_a_while() {
    let mut hall = Hall::with(guarded());
    let challenged = hall.publish(&[PRESENCE, PIDF_ROW], "<a/>");
    let nonce = quoted(challenged.all("WWW-Authenticate")[0], "nonce");
    let publish = |hall: &mut Hall, count, uri| {
        let row = authorization("SHA-256", "wonderland", &nonce, count, uri);
        hall.publish(&[PRESENCE, PIDF_ROW, &row], "<a/>")
    };
    let is_stale = |answer: &Sip| {
        answer.code() == 401
            && answer.all("WWW-Authenticate").iter().all(|row| row.ends_with("stale=true"))
    };
    assert_eq!(publish(&mut hall, 2, ALICE).code(), 200);
    // Overtaken on the way, and not a replay.
    assert_eq!(publish(&mut hall, 1, ALICE).code(), 200);
    assert!(is_stale(&publish(&mut hall, 2, ALICE)));
    assert_eq!(publish(&mut hall, 3, "sip:bob@example.com").code(), 400);
    hall.run_for(secs(299));
    assert_eq!(publish(&mut hall, 3, ALICE).code(), 200);
    hall.run_for(secs(2));
    assert!(is_stale(&publish(&mut hall, 4, ALICE)));
    // A nonce of somebody else's making, with the right password.
    let row = authorization("SHA-256", "wonderland", "0.1.feed", 1, ALICE);
    assert!(is_stale(&hall.publish(&[PRESENCE, PIDF_ROW, &row], "<a/>")));
}

#[test]
fn a_watcher_gets_the_document_at_once_and_with_every_change() {
    let mut hall = Hall::new();
    let tag = hall.initial("<one/>");
    let subscribed = hall.subscribe(None, &["Event: presence;id=7", "Expires: 5000"]);
    let [answer, notify] = &subscribed[..] else {
        panic!("an answer and a NOTIFY: {subscribed:?}")
    };
    assert_eq!((answer.code(), answer.need("Expires")), (200, "5000"));
    assert_eq!(answer.need("Contact"), "<sip:192.0.2.1:5060>");
    assert_eq!(notify.start, "NOTIFY sip:bob@192.0.2.10:5070 SIP/2.0");
    assert_eq!(notify.need("Event"), "presence;id=7");
    assert_eq!(notify.need("Subscription-State"), "active;expires=5000");
    assert_eq!((notify.need("Content-Type"), notify.text()), (PIDF, "<one/>"));
    assert_eq!(notify.need("CSeq"), "1 NOTIFY");
    assert_eq!(notify.param("From", "tag"), answer.param("To", "tag"));
    assert_eq!(notify.param("To", "tag").as_deref(), Some("watcher"));
    hall.arrive(&notify.answer(200).bytes());

    let tag = hall.told(&[PRESENCE, &if_match(&tag), PIDF_ROW], "<two/>", Some("<two/>"));
    // A refresh changes nothing that a watcher sees.
    hall.run_for(secs(1000));
    hall.told(&[PRESENCE, "Expires: 60", &if_match(&tag)], "", None);
    // Another publication of the resource is newer; when it goes, the older one shows again.
    let other = hall.told(&[PRESENCE, "Expires: 9000", PIDF_ROW], "<other/>", Some("<other/>"));
    hall.told(&[PRESENCE, "Expires: 0", &if_match(&other)], "", Some("<two/>"));

    let sent = hall.run_for(secs(60));
    let [(at, ended)] = &sent[..] else { panic!("one NOTIFY: {sent:?}") };
    assert_eq!((*at, ended.text(), ended.get("Content-Type")), (1060.0, "", None));
    assert_eq!(ended.need("Subscription-State"), "active;expires=3940");
    hall.arrive(&ended.answer(200).bytes());

    let sent = hall.run_for(secs(4000));
    let [(at, last)] = &sent[..1] else { panic!("one NOTIFY: {sent:?}") };
    assert_eq!(*at, 5000.0);
    assert_eq!(last.need("Subscription-State"), "terminated;reason=timeout");
    hall.arrive(&last.answer(200).bytes());
    assert_eq!(hall.agent.subscriptions(), 0);
    assert_eq!(hall.agent.counters().notify, 6);
}

#[test]
fn a_subscription_is_refreshed_in_its_dialog_and_ended_by_zero() {
    let mut hall = Hall::new();
    hall.initial("<one/>");
    let subscribed = hall.subscribe(None, &[PRESENCE, "Expires: 60"]);
    let tag = subscribed[0].param("To", "tag").expect("a tag");
    hall.arrive(&subscribed[1].answer(200).bytes());
    hall.run_for(secs(50));
    let refreshed = hall.subscribe(Some(&tag), &[PRESENCE, "Expires: 60"]);
    assert_eq!(refreshed[0].param("To", "tag").as_deref(), Some(&*tag));
    assert_eq!(refreshed[1].need("Subscription-State"), "active;expires=60");
    assert_eq!((refreshed[1].need("CSeq"), refreshed[1].text()), ("2 NOTIFY", "<one/>"));
    hall.arrive(&refreshed[1].answer(200).bytes());
    hall.run_for(secs(50));
    assert_eq!(hall.agent.subscriptions(), 1);

    assert_eq!(hall.subscribe(Some("stranger"), &[PRESENCE])[0].code(), 481);
    assert_eq!(hall.subscribe(Some(&tag), &["Event: dialog"])[0].code(), 481);
    let before = hall.cseq;
    hall.cseq = 0;
    assert_eq!(hall.subscribe(Some(&tag), &[PRESENCE])[0].code(), 500);
    hall.cseq = before;

    let ended = hall.subscribe(Some(&tag), &[PRESENCE, "Expires: 0"]);
    assert_eq!((ended[0].code(), ended[0].need("Expires")), (200, "0"));
    assert_eq!(ended[1].need("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(ended[1].text(), "<one/>");
    // From here on the dialog is no more, although its last NOTIFY is still unanswered.
    assert_eq!(hall.subscribe(Some(&tag), &[PRESENCE])[0].code(), 481);
    hall.arrive(&ended[1].answer(200).bytes());
    assert_eq!(hall.agent.subscriptions(), 0);
    let fetched = hall.subscribe(None, &[PRESENCE, "Expires: 0"]);
    assert_eq!((fetched[0].code(), fetched[1].text()), (200, "<one/>"));
}

#[test]
fn a_subscription_needs_a_contact_a_tag_and_a_type_that_is_accepted() {
    let mut hall = Hall::new();
    let cases: [(&[&str], u16); 5] = [
        (&[PRESENCE, "Accept: application/pidf+xml;q=0.5, text/plain"], 200),
        (&[PRESENCE, "Accept: application/*"], 200),
        (&[PRESENCE, "Accept: text/plain"], 406),
        (&["Event: reg"], 489),
        (&[PRESENCE, "Contact: <sip:b@192.0.2.11>"], 400),
    ];
    for (rows, code) in cases {
        assert_eq!(hall.subscribe(None, rows)[0].code(), code, "{rows:?}");
    }
    assert_eq!(hall.request("SUBSCRIBE", ALICE, &[PRESENCE], "").code(), 400);
    assert_eq!(hall.agent.subscriptions(), 2);
}

#[test]
fn a_notify_is_repeated_over_udp_until_it_is_answered_or_32_seconds_have_passed() {
    let mut hall = Hall::new();
    let subscribed = hall.subscribe(None, &[PRESENCE]);
    let repeats = hall.run_for(secs(2));
    assert_eq!(times(&repeats), [0.5, 1.5]);
    assert!(repeats.iter().all(|(_, repeat)| *repeat == subscribed[1]));
    hall.arrive(&subscribed[1].answer(200).bytes());
    assert!(hall.run_for(secs(100)).is_empty());

    let (_, sent) = hall.publish_and_see("<two/>");
    assert_eq!(sent.len(), 1);
    // What changes while it is unanswered waits, so that one NOTIFY is under way at a time.
    assert_eq!(hall.publish_and_see("<three/>").1.len(), 0);
    let next = hall.arrive(&sent[0].answer(200).bytes());
    assert_eq!(Sip::parse(&next[0]).text(), "<three/>");
    let repeats = hall.run_for(secs(40));
    let late: Vec<f64> = times(&repeats).iter().map(|at| at - 102.0).collect();
    assert_eq!(late, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]);
    assert_eq!(hall.agent.subscriptions(), 0);
}

#[test]
fn a_notify_is_not_repeated_over_tcp_and_takes_the_connection_of_its_subscribe() {
    let mut hall = Hall::new();
    hall.path.transport = rsip::Transport::Tcp;
    let routes = ["<sip:192.0.2.8;lr>, <sip:192.0.2.7;lr>", "<sip:192.0.2.6;lr>"];
    let rows = routes.map(|route| format!("Record-Route: {route}"));
    let subscribed = hall.subscribe(None, &[PRESENCE, &rows[0], &rows[1]]);
    assert_eq!(subscribed[0].all("Record-Route"), routes);
    assert_eq!(subscribed[1].all("Route"), routes);
    assert_eq!(subscribed[1].need("Contact"), "<sip:192.0.2.1:5060;transport=tcp>");
    assert!(subscribed[1].need("Via").starts_with("SIP/2.0/TCP 192.0.2.1:5060;branch="));
    assert!(hall.run_for(secs(31.9)).is_empty());
    assert_eq!(hall.agent.subscriptions(), 1);
    assert!(hall.run_for(secs(0.1)).is_empty());
    assert_eq!(hall.agent.subscriptions(), 0);
}

#[test]
fn an_answer_of_481_ends_a_subscription_and_a_500_does_not() {
    let mut hall = Hall::new();
    let subscribed = hall.subscribe(None, &[PRESENCE]);
    hall.arrive(&subscribed[1].answer(500).bytes());
    assert_eq!(hall.agent.subscriptions(), 1);
    let (_, sent) = hall.publish_and_see("<one/>");
    hall.arrive(&sent[0].answer(481).bytes());
    assert_eq!(hall.agent.subscriptions(), 0);
    assert!(hall.publish_and_see("<two/>").1.is_empty());
}

#[test]
fn a_mood_plays_a_server_in_trouble() {
    let mut hall = Hall::new();
    let tag = hall.initial("<a/>");
    hall.agent.set_mood(Mood::Status { code: 503, retry_after: Some(secs(30)) });
    let refused = hall.publish(&[PRESENCE, &if_match(&tag)], "");
    assert_eq!((refused.code(), refused.need("Retry-After")), (503, "30"));

    hall.agent.set_mood(Mood::Silent);
    let request = hall.write("PUBLISH", ALICE, &[PRESENCE, &if_match(&tag)], "");
    assert!(hall.arrive(&request).is_empty());
    hall.agent.set_mood(Mood::Normal);
    assert_eq!(hall.arrive(&request).len(), 1);

    hall.agent.set_mood(Mood::NoTag);
    let tagless = hall.publish(&[PRESENCE, PIDF_ROW], "<b/>");
    assert_eq!((tagless.code(), tagless.get("SIP-ETag")), (200, None));
    assert_eq!(hall.agent.publications().len(), 2);

    hall.subscribe(None, &[PRESENCE]);
    let tag = hall.agent.publications()[0].entity_tag.clone();
    hall.agent.set_mood(Mood::Forget);
    assert!(hall.agent.publications().is_empty());
    assert_eq!(hall.publish(&[PRESENCE, &if_match(&tag)], "").code(), 412);
    let (initial, told) = hall.publish_and_see("<c/>");
    assert!(initial.get("SIP-ETag").is_some() && told.is_empty());
}

#[test]
fn what_the_network_can_make_it_keep_is_bounded() {
    let limits = Limits { publications: 2, documents: 10, subscriptions: 1, ..Limits::default() };
    let mut hall = Hall::with(Settings { limits, ..Settings::default() });
    let tag = hall.initial("12345");
    let large = hall.publish(&[PRESENCE, PIDF_ROW], "123456");
    assert_eq!((large.code(), large.need("Retry-After")), (503, "60"));
    assert_eq!(hall.publish(&[PRESENCE, PIDF_ROW, &if_match(&tag)], "1234567890").code(), 200);
    assert_eq!(hall.publish(&[PRESENCE, PIDF_ROW], "1").code(), 503);
    let tag = hall.agent.publications()[0].entity_tag.clone();
    assert_eq!(hall.publish(&[PRESENCE, "Expires: 0", &if_match(&tag)], "").code(), 200);
    hall.initial("1");
    hall.initial("2");
    assert_eq!(hall.publish(&[PRESENCE, PIDF_ROW], "3").code(), 503);
    assert_eq!(hall.subscribe(None, &[PRESENCE])[0].code(), 200);
    assert_eq!(hall.subscribe(None, &[PRESENCE])[0].code(), 503);
}

#[test]
fn malformed_requests_are_answered_when_they_can_be() {
    let mut hall = Hall::new();
    let good = String::from_utf8(hall.write("PUBLISH", ALICE, &[PRESENCE, PIDF_ROW], "<a/>"))
        .expect("text");
    for (from, to, code) in [
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", 505),
        ("CSeq: 1 PUBLISH", "CSeq: 1 NOTIFY", 400),
        ("Content-Length: 4", "Content-Length: 40", 400),
        ("Event: presence", "Event: pre\0sence", 400),
        ("Event: presence", "Event: presence;a=\"\0\"", 400),
        ("branch=", "x=\"\0\";branch=", 400),
    ] {
        let [answer] = &hall.arrive(good.replace(from, to).as_bytes())[..] else {
            panic!("one answer to {to:?}")
        };
        assert_eq!(Sip::parse(answer).code(), code, "{to:?}");
    }
    assert_eq!(hall.agent.counters().malformed, 6);
    assert!(hall.arrive(b"SIP/2.0 200 OK\r\n\r\n").is_empty());
    assert!(hall.arrive(good.replace("PUBLISH", "ACK").as_bytes()).is_empty());
    assert!(hall.arrive(b"\r\n\r\n").is_empty());
    assert!(hall.agent.publications().is_empty());
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        method in 0..2usize,
        edits in proptest::collection::vec((0..600usize, 0..4usize, any::<u8>()), 1..8),
    ) {
        let mut hall = Hall::new();
        let method = ["PUBLISH", "SUBSCRIBE"][method];
        let rows = [PRESENCE, PIDF_ROW, "Contact: <sip:b@192.0.2.9>", "Expires: 60"];
        let mut bytes = hall.write(method, ALICE, &rows, "<a/>");
        for (at, kind, byte) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => bytes[at] = [b'\r', 0, b'"', b';'][byte as usize % 4],
            }
        }
        hall.agent.handle_message(hall.now, hall.path, &bytes);
        // An edit of Via moves where the answer goes, never to another host.
        let source = hall.path.remote.ip();
        for _ in 0..40 {
            while let Some(sent) = hall.agent.poll_transmit() {
                prop_assert_eq!(sent.path.remote.ip(), source);
            }
            let Some(at) = hall.agent.poll_timeout() else { break };
            prop_assert!(at >= hall.now);
            hall.now = at;
            hall.agent.handle_timeout(at);
        }
    }
}

/// A clock, an agent, and somebody who talks to it.
struct Hall {
    agent: Agent,
    start: Instant,
    now: Instant,
    path: Path,
    cseq: u32,
}

impl Hall {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let now = Instant::now();
        let local = "192.0.2.1:5060".parse().expect("an address");
        let path = Path {
            flow: FlowId(1),
            transport: rsip::Transport::Udp,
            remote: "192.0.2.10:5070".parse().expect("an address"),
        };
        Self { agent: Agent::new(settings, local, [3; 32], now), start: now, now, path, cseq: 0 }
    }

    /// Writes the next request; each has its own branch and CSeq, all share Call-ID and From.
    fn write(&mut self, method: &str, uri: &str, rows: &[&str], body: &str) -> Vec<u8> {
        self.cseq += 1;
        let cseq = self.cseq;
        let to = if rows.iter().any(|row| row.starts_with("To:")) {
            String::new()
        } else {
            format!("To: <{ALICE}>\r\n")
        };
        let rows: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bKb{cseq}\r\n\
             From: <sip:bob@example.com>;tag=watcher\r\n{to}Call-ID: one\r\n\
             CSeq: {cseq} {method}\r\n{rows}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Lets a message arrive and returns what is sent at once.
    fn arrive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.agent.handle_message(self.now, self.path, bytes);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.agent.poll_transmit() {
            assert_eq!(transmit.path, self.path);
            sent.push(transmit.message.to_vec());
        }
        sent
    }

    fn request(&mut self, method: &str, uri: &str, rows: &[&str], body: &str) -> Sip {
        let request = self.write(method, uri, rows, body);
        Sip::parse(&self.arrive(&request)[0])
    }

    fn publish(&mut self, rows: &[&str], body: &str) -> Sip {
        self.request("PUBLISH", ALICE, rows, body)
    }

    /// Publishes presence for an hour and returns the tag.
    fn initial(&mut self, body: &str) -> String {
        self.publish(&[PRESENCE, PIDF_ROW], body).need("SIP-ETag").to_owned()
    }

    /// Publishes presence for an hour; returns the answer and the NOTIFY requests after it.
    fn publish_and_see(&mut self, body: &str) -> (Sip, Vec<Sip>) {
        let request = self.write("PUBLISH", ALICE, &[PRESENCE, PIDF_ROW], body);
        let mut sent = self.arrive(&request).into_iter().map(|bytes| Sip::parse(&bytes));
        (sent.next().expect("an answer"), sent.collect())
    }

    /// Publishes; checks what the one watcher is told, answers for it, and returns the tag.
    fn told(&mut self, rows: &[&str], body: &str, expected: Option<&str>) -> String {
        let request = self.write("PUBLISH", ALICE, rows, body);
        let sent: Vec<_> = self.arrive(&request).iter().map(|bytes| Sip::parse(bytes)).collect();
        assert_eq!(sent.get(1).map(Sip::text), expected);
        if let Some(notify) = sent.get(1) {
            self.arrive(&notify.answer(200).bytes());
        }
        sent[0].need("SIP-ETag").to_owned()
    }

    /// Subscribes outside a dialog, or inside the one with this tag.
    fn subscribe(&mut self, tag: Option<&str>, rows: &[&str]) -> Vec<Sip> {
        let to = tag.map(|tag| format!("To: <{ALICE}>;tag={tag}"));
        let rows: Vec<&str> = rows.iter().copied().chain(to.as_deref()).chain([CONTACT]).collect();
        let request = self.write("SUBSCRIBE", ALICE, &rows, "");
        self.arrive(&request).iter().map(|bytes| Sip::parse(bytes)).collect()
    }

    /// Moves the clock and returns what is sent on the way, with its time.
    fn run_for(&mut self, duration: Duration) -> Vec<(f64, Sip)> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past is never served");
            self.now = at;
            self.agent.handle_timeout(at);
            let seconds = (at - self.start).as_millis() as f64 / 1000.0;
            sent.extend(self.drain().iter().map(|bytes| (seconds, Sip::parse(bytes))));
            assert_ne!(self.agent.poll_timeout(), Some(at), "a deadline that stays");
        }
        self.now = end;
        sent
    }
}

const CONTACT: &str = "Contact: \"Bob\" <sip:bob@192.0.2.10:5070>;x=y";

fn if_match(tag: &str) -> String {
    format!("SIP-If-Match: {tag}")
}

fn shown(publications: &[Publication]) -> Vec<(&str, &str, &str, &str)> {
    publications
        .iter()
        .map(|p| {
            let body = std::str::from_utf8(&p.body).expect("text");
            (&*p.topic.resource, &*p.topic.event, &*p.entity_tag, body)
        })
        .collect()
}

fn times(sent: &[(f64, Sip)]) -> Vec<f64> {
    sent.iter().map(|(at, _)| *at).collect()
}

fn guarded() -> Settings {
    let digest = Some(Digest::new("example.com", "alice", "wonderland"));
    Settings { digest, ..Settings::default() }
}

fn quoted(row: &str, name: &str) -> String {
    let rest = row.split_once(&format!("{name}=\"")).expect("the parameter").1;
    rest.split('"').next().expect("a value").to_owned()
}

/// Credentials for a PUBLISH, by hand (7616 §3.4.1).
fn authorization(algorithm: &str, password: &str, nonce: &str, count: u32, uri: &str) -> String {
    use sha2::Digest as _;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |text: String| match algorithm {
        "MD5" => hex(&md5::Md5::digest(text)),
        _ => hex(&sha2::Sha256::digest(text)),
    };
    let a1 = hash(format!("alice:example.com:{password}"));
    let a2 = hash(format!("PUBLISH:{uri}"));
    let response = hash(format!("{a1}:{nonce}:{count:08x}:0a4f:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}, qop=auth, \
         nc={count:08x}, cnonce=\"0a4f\""
    )
}
