//! SEC-11: no input crashes the core, and none makes it say what it should not.
//!
//! Torture messages are cut at each octet and mutated by a seeded generator, and
//! meet a core that has publications under way, as datagrams and as streams.

use std::time::Duration;

use puad::sip::{
    Config,
    auth::Algorithm,
    config::{Account, Secret},
    io::{FlowError, Input},
    message::{Index, Name},
};

use crate::support::{
    Sip,
    bare::Core,
    chance::{Chance, corpus, cut, mutate, mutated},
    secs, torture,
    world::{UDP_LISTENER, World, publish},
};

#[test]
fn sec_11_every_torture_message_cut_at_each_octet_is_answered_or_dropped() {
    for case in torture::all() {
        let mut core = Core::listening();
        for end in 0..=case.bytes.len() {
            let sent = core.feed(UDP_LISTENER, &case.bytes[..end]);
            check_answers(&case.name, &sent);
            assert!(sent.len() <= 1, "{} answers to {}", sent.len(), case.name);
        }
    }
}

#[test]
fn sec_11_every_torture_message_on_a_stream_may_end_at_each_octet() {
    for case in torture::all() {
        let mut core = Core::listening();
        let flow = core.accept(1);
        for octet in &case.bytes {
            check_answers(&case.name, &core.feed(flow, &[*octet]));
        }
        core.input(Input::FlowFailed { flow, error: FlowError::Closed });
        // The connection is forgotten: what still trickles in meets nobody.
        assert!(core.feed(flow, &case.bytes).is_empty());
    }
}

#[test]
fn sec_11_ten_megabytes_of_mutated_datagrams() {
    let mut chance = Chance(11);
    let corpus = corpus();
    let mut world = busy(rsip::Transport::Udp, Chance(12));
    let mut fed = 0;
    while fed < TEN_MEGABYTES {
        let bytes = mutated(&mut chance, &corpus);
        fed += bytes.len();
        let source = format!("198.51.100.{}:5062", chance.below(200));
        world.arrive(0.0, UDP_LISTENER, &source, &bytes);
        go_on(&mut world, &mut chance, "udp");
    }
    check_still_alive(world);
}

#[test]
fn sec_11_ten_megabytes_of_mutated_streams() {
    let mut chance = Chance(13);
    let corpus = corpus();
    let mut world = busy(rsip::Transport::Tcp, Chance(14));
    let (mut fed, mut number) = (0, 0);
    while fed < TEN_MEGABYTES {
        number += 1;
        let source = format!("198.51.100.{}:{}", number % 200, 1024 + number);
        let flow = world.connect(number, &source);
        for _ in 0..1 + chance.below(8) {
            let bytes = mutated(&mut chance, &corpus);
            fed += bytes.len();
            for piece in cut(&mut chance, &bytes) {
                world.arrive(0.0, flow, &source, piece);
            }
            go_on(&mut world, &mut chance, "tcp");
            if world.closed.contains(&flow) {
                break;
            }
        }
        if !world.closed.contains(&flow) {
            world.fail(0.0, flow, FlowError::Closed);
        }
        world.closed.clear();
    }
    check_still_alive(world);
}

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// A core with publications whose every request is answered by something mutated.
fn busy(transport: rsip::Transport, mut chance: Chance) -> World {
    let account = Account {
        name: None,
        domain: "192.0.2.1".into(),
        username: "alice".into(),
        password: Secret::new("secret"),
        realms: vec!["example.com".into()],
        outbound_proxy: Vec::new(),
        minimum_algorithm: Algorithm::Md5,
    };
    let config = Config { accounts: vec![account.into()], ..Config::default() };
    let mut world = World::with_config(config);
    world.peer = Box::new(move |_, request| {
        let mut answer = some_answer(&mut chance, request);
        if chance.below(2) == 0 {
            mutate(&mut chance, &mut answer, &[]);
        }
        if transport == rsip::Transport::Tcp {
            cut(&mut chance, &answer).into_iter().map(|piece| (0.0, piece.to_vec())).collect()
        } else {
            vec![(0.0, answer)]
        }
    });
    world
}

fn some_answer(chance: &mut Chance, request: &Sip) -> Vec<u8> {
    match chance.below(9) {
        0..=2 => request.granted("t1", 60 + chance.below(600) as u32),
        3 => request
            .answer(401)
            .header(
                "WWW-Authenticate",
                r#"Digest realm="example.com", nonce="abc", qop="auth,auth-int", algorithm=SHA-256"#,
            )
            .header(
                "WWW-Authenticate",
                r#"Digest realm="example.com", nonce="abc", stale=TRUE, opaque="a\"b""#,
            )
            .bytes(),
        4 => request
            .answer(407)
            .header("Proxy-Authenticate", r#"Digest realm="example.com", nonce="n""#)
            .bytes(),
        5 => request.answer(412).bytes(),
        6 => request.answer(423).header("Min-Expires", 7200).bytes(),
        7 => request
            .answer(302)
            .header("Contact", r#""A, B" <sip:x@192.0.2.2?Route=a>;q=0.5, <sip:y@192.0.2.3;lr>"#)
            .bytes(),
        _ => request.answer(503).header("Retry-After", r#"2 (busy "x");duration=60"#).bytes(),
    }
}

/// Lets time pass, and now and then publishes something.
fn go_on(world: &mut World, chance: &mut Chance, transport: &str) {
    world.run_for(Duration::from_millis(20));
    if chance.below(10) == 0 {
        let presentity = format!("sip:u{}@192.0.2.1;transport={transport}", chance.below(40));
        let body = format!("<v{}/>", chance.next());
        world.publish(publish(&presentity, "presence", "application/pidf+xml", &body));
    }
    let shown = std::mem::take(&mut world.sent);
    check_answers("a mutated input", &shown.into_iter().map(|s| s.bytes).collect::<Vec<_>>());
}

/// Whatever it went through, the core still publishes and answers.
fn check_still_alive(mut world: World) {
    let stats = world.uac.stats().clone();
    assert!(stats.malformed > 500 && stats.incoming > 500, "the inputs got in: {stats:?}");
    assert!(stats.requests > 500 && stats.answers > 200, "and so did the answers: {stats:?}");
    let mut count = 0;
    world.peer = Box::new(move |_, request| {
        count += 1;
        vec![(0.0, request.granted(&format!("g{count}"), 600))]
    });
    let uri = "sip:fresh@192.0.2.77";
    let ticket = world.publish(publish(uri, "presence", "application/pidf+xml", "<open/>"));
    world.run_for(secs(1));
    assert!(world.outcome(ticket).is_ok());
    let [answer] = &world.ask("203.0.113.9:5062", OPTIONS)[..] else { panic!("one answer") };
    assert_eq!(answer.code(), 200);
}

const OPTIONS: &[u8] = b"OPTIONS sip:puad@192.0.2.10 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 203.0.113.9:5062;branch=z9hG4bKalive\r\n\
    From: <sip:p@example.com>;tag=1\r\nTo: <sip:puad@192.0.2.10>\r\n\
    Call-ID: alive\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// Whatever puad says to a stranger is a sound message with the headers of an answer, and nothing
/// that the stranger slipped in.
fn check_answers(cause: &str, sent: &[Vec<u8>]) {
    let mut index = Index::default();
    for bytes in sent.iter().filter(|bytes| bytes.starts_with(b"SIP/2.0 ")) {
        let shown = || format!("{cause}: {}", String::from_utf8_lossy(bytes));
        let bare_cr = bytes.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
        let bare_lf = bytes.windows(2).any(|pair| pair[0] != b'\r' && pair[1] == b'\n');
        assert!(!bare_cr && !bare_lf, "{}", shown());
        let message = index.read(bytes, 4096).expect("a head");
        assert_eq!(message.fault, None, "{}", shown());
        assert!(message.body.is_empty(), "{}", shown());
        for field in message.fields() {
            let expected = matches!(
                field.name,
                Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::ContentLength
            );
            let own = matches!(
                field.name,
                Name::Allow
                    | Name::Accept
                    | Name::AcceptEncoding
                    | Name::AcceptLanguage
                    | Name::Supported
                    | Name::Unsupported
            );
            assert!(expected || own, "{}", shown());
        }
        for single in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::ContentLength] {
            assert!(message.all(single).count() <= 1, "{}", shown());
        }
    }
}
