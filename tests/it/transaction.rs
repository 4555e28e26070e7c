//! TX rows: requests repeated, answers matched (RFC 3261 §17).

use std::time::{Duration, Instant};

use bytes::Bytes;
use puad::{
    command::{Change, PublicationState},
    sip::{
        Config,
        io::{FlowError, Timer},
        transaction::{ServerTransaction, Timing, server::Action},
    },
};

use crate::support::{
    Ask, secs,
    world::{LOCAL, PEER, World, presence, publish},
};

/// When a request leaves that nobody answers.
const TIMER_E: [f64; 11] = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5];

#[test]
fn tx_01_udp_request_is_sent_eleven_times_then_times_out() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    world.run_for(secs(32));
    assert_eq!(world.sent_at(), TIMER_E);
    let failure = world.outcome(ticket).expect_err("nobody answered");
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("timeout", None, true));
    assert_eq!(world.replies[&ticket].0, 32.0);
}

#[test]
fn tx_02_every_retransmission_is_the_same_bytes_to_the_same_place() {
    let mut world = World::silent();
    world.dns.insert("sip.example.com".into(), Ok(vec!["192.0.2.1".parse().unwrap()]));
    world.publish(publish("sip:a@sip.example.com", "presence", "text/plain", "x"));
    world.run_for(secs(1));
    world.dns.insert("sip.example.com".into(), Ok(vec!["192.0.2.2".parse().unwrap()]));
    world.run_for(secs(31));
    let first = world.sent[0].clone();
    assert_eq!(first.to.to_string(), PEER);
    for sent in &world.sent[..11] {
        assert_eq!((&sent.bytes, sent.to, sent.flow), (&first.bytes, first.to, first.flow));
        assert_eq!(sent.transport, rsip::Transport::Udp);
    }
}

#[test]
fn tx_03_timers_follow_t1() {
    let mut world =
        World::with_config(Config { t1: Duration::from_millis(100), ..Config::default() });
    let ticket = world.publish(presence("<a/>"));
    world.run_for(Duration::from_millis(6400));
    assert_eq!(world.sent_at(), [0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3]);
    assert_eq!(world.replies[&ticket].0, 6.4);
}

#[test]
fn tx_04_a_reliable_transport_gets_one_copy_and_timer_f() {
    let mut world = World::silent();
    let ticket = world.publish(publish(
        "sip:alice@192.0.2.1;transport=tcp",
        "presence",
        "application/pidf+xml",
        "<a/>",
    ));
    world.run_for(secs(32));
    assert_eq!(world.sent_at(), [0.0]);
    assert_eq!(world.sent[0].transport, rsip::Transport::Tcp);
    assert_eq!(world.replies[&ticket].0, 32.0);
    assert_eq!(world.outcome(ticket).expect_err("silence").kind.as_str(), "timeout");
}

#[test]
fn tx_05_a_provisional_answer_slows_retransmission_and_does_not_stop_it() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let request = world.requests().remove(0);
    world.arrive(0.7, world.sent[0].flow, PEER, &request.answer(100).bytes());
    world.run_for(secs(32));
    assert_eq!(world.sent_at(), [0.0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]);
    assert_eq!(world.replies[&ticket].0, 32.0);
}

#[test]
fn tx_06_the_first_final_answer_goes_up_once_and_repeats_are_absorbed() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let request = world.requests().remove(0);
    let flow = world.sent[0].flow;
    let granted = request.granted("t1", 3600);
    for at in [0.2, 0.9, 5.1, 5.3] {
        world.arrive(at, flow, PEER, &granted);
    }
    world.run_for(secs(5.15));
    assert_eq!(world.sent_at(), [0.0]);
    assert_eq!(world.changes(), [Change::Published]);
    assert_eq!(world.replies[&ticket].0, 0.2);
    assert_eq!(world.uac.stats().stray_responses, 0);
    // Timer K has ended at 5.2: nobody knows the transaction any more.
    world.run_for(secs(1));
    assert_eq!(world.uac.stats().stray_responses, 1);
    assert_eq!(world.changes(), [Change::Published]);
}

#[test]
fn tx_06_on_a_reliable_transport_timer_k_is_zero() {
    let mut world = World::silent();
    world.publish(publish("sip:a@192.0.2.1;transport=tcp", "presence", "text/plain", "x"));
    let request = world.requests().remove(0);
    let flow = world.sent[0].flow;
    let granted = request.granted("t1", 3600);
    world.arrive(0.1, flow, PEER, &granted);
    world.arrive(0.2, flow, PEER, &granted);
    world.run_for(secs(1));
    assert_eq!(world.changes(), [Change::Published]);
    assert_eq!(world.uac.stats().stray_responses, 1);
}

#[test]
fn tx_07_an_answer_after_the_time_out_is_dropped() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let request = world.requests().remove(0);
    world.arrive(33.0, world.sent[0].flow, PEER, &request.granted("late", 3600));
    world.run_for(secs(34));
    assert_eq!(world.uac.stats().stray_responses, 1);
    assert_eq!(world.changes(), [Change::Retrying]);
    assert_eq!(world.outcome(ticket).expect_err("timed out").kind.as_str(), "timeout");
    let info = world.infos().remove(0);
    assert_eq!((info.state, info.entity_tag), (PublicationState::Retrying, None));
}

#[test]
fn tx_08_an_answer_of_another_method_is_dropped() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let request = world.requests().remove(0);
    let flow = world.sent[0].flow;
    let granted = String::from_utf8(request.granted("t1", 3600)).unwrap();
    let foreign = granted.replace("1 PUBLISH", "1 NOTIFY");
    assert_ne!(foreign, granted);
    world.arrive(0.1, flow, PEER, foreign.as_bytes());
    world.run_for(secs(1));
    assert!(world.is_waiting(ticket));
    assert_eq!(world.sent_at(), [0.0, 0.5]);
    assert_eq!(world.uac.stats().stray_responses, 1);
    world.arrive(0.0, flow, PEER, granted.as_bytes());
    world.run_for(secs(1));
    assert!(world.outcome(ticket).is_ok());
}

#[test]
fn tx_09_an_answer_with_a_foreign_sent_by_is_dropped() {
    for sent_by in ["192.0.2.99:5070", "192.0.2.10:5071", "192.0.2.10", "puad.example:5070"] {
        let mut world = World::silent();
        let ticket = world.publish(presence("<a/>"));
        let granted =
            String::from_utf8(world.requests().remove(0).granted("t1", 3600)).expect("text");
        let foreign = granted.replace(LOCAL, sent_by);
        assert_ne!(foreign, granted);
        world.arrive(0.1, world.sent[0].flow, PEER, foreign.as_bytes());
        world.run_for(secs(1));
        assert!(world.is_waiting(ticket), "{sent_by}");
        assert_eq!(world.uac.stats().stray_responses, 1, "{sent_by}");
    }
}

#[test]
fn tx_10_an_answer_with_two_vias_is_dropped() {
    for (before, after) in [
        // A second row, a second value in the row, and twice our own.
        ("From: ", "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx\r\nFrom: "),
        ("\r\nFrom: ", ", SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx\r\nFrom: "),
        ("From: ", "Via: SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bKx\r\nFrom: "),
    ] {
        let mut world = World::silent();
        let ticket = world.publish(presence("<a/>"));
        let granted =
            String::from_utf8(world.requests().remove(0).granted("t1", 3600)).expect("text");
        let doubled = granted.replacen(before, after, 1);
        assert_ne!(doubled, granted);
        world.arrive(0.1, world.sent[0].flow, PEER, doubled.as_bytes());
        world.run_for(secs(1));
        assert!(world.is_waiting(ticket), "{doubled}");
        assert_eq!(world.uac.stats().stray_responses, 1);
    }
}

#[test]
fn tx_11_a_transport_error_ends_the_transaction_at_once_and_says_so() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    world.fail(0.3, world.sent[0].flow, FlowError::Refused);
    world.run_for(secs(0.4));
    assert_eq!(world.replies[&ticket].0, 0.3);
    let failure = world.outcome(ticket).expect_err("refused");
    // No status: a server that was never heard has said neither 503 nor 408.
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("refused", None, true));
    assert_eq!(world.changes(), [Change::Retrying]);
}

#[test]
fn tx_19_each_kind_of_unreachable_ends_the_transaction() {
    for (error, kind) in [
        (FlowError::Refused, "refused"),
        (FlowError::Unreachable, "io"),
        (FlowError::Unsupported, "io"),
        (FlowError::Other, "io"),
    ] {
        let mut world = World::silent();
        let ticket = world.publish(presence("<a/>"));
        world.fail(0.1, world.sent[0].flow, error);
        world.run_for(secs(0.2));
        assert_eq!(world.replies[&ticket].0, 0.1, "{error}");
        assert_eq!(world.outcome(ticket).expect_err("broken").kind.as_str(), kind, "{error}");
    }
}

#[test]
fn tx_12_branch_sent_by_and_method_tell_a_repeat_from_a_new_request() {
    let mut world = World::silent();
    let first = Ask::options("b1");
    let answers = world.ask(PEER, &first.bytes());
    assert_eq!(answers[0].code(), 200);
    // The same again, also with the branch in other letters: a repeat.
    assert_eq!(world.ask(PEER, &first.bytes()), answers);
    let louder = first.text().replace("z9hG4bKb1", "Z9HG4BKB1");
    assert_eq!(world.ask(PEER, louder.as_bytes()), answers);
    assert_eq!(world.uac.stats().repeats, 2);
    // Another host, another port, another method: requests of their own.
    for other in ["192.0.2.9:5060", "192.0.2.1:5062"] {
        let via = format!("SIP/2.0/UDP {other};rport;branch=z9hG4bKb1");
        let ask = first.clone().vias(&[&via]).call_id(other);
        let answers = world.ask(PEER, &ask.bytes());
        assert_eq!((answers[0].code(), answers[0].need("Call-ID")), (200, other));
    }
    let message = Ask::new("MESSAGE", "b1").call_id("m");
    assert_eq!(world.ask(PEER, &message.bytes())[0].code(), 405);
    assert_eq!(world.uac.stats().repeats, 2);
}

#[test]
fn tx_13_a_repeat_gets_the_same_bytes_for_timer_j() {
    let mut world = World::silent();
    for ask in [Ask::options("b1"), Ask::new("NOTIFY", "b2").with("Event", "presence")] {
        let start = world.elapsed();
        let before = world.sent.len();
        for at in [0.0, 0.5, 1.5, 20.0] {
            world.run_for(secs(start + at - world.elapsed()));
            world.ask(PEER, &ask.bytes());
        }
        let answers = &world.sent[before..];
        assert_eq!(answers.len(), 4);
        assert!(
            answers.iter().all(|sent| sent.bytes == answers[0].bytes && sent.to == answers[0].to)
        );
    }
    assert_eq!(world.uac.stats().repeats, 6);
}

#[test]
fn tx_14_timer_j_is_32_s_on_udp_and_zero_on_tcp() {
    let mut world = World::silent();
    let ask = Ask::options("b1");
    let first = world.ask(PEER, &ask.bytes());
    world.run_for(secs(31.9));
    assert_eq!(world.ask(PEER, &ask.bytes()), first);
    assert_eq!(world.uac.stats().repeats, 1);
    world.run_for(secs(0.2));
    assert_eq!(world.ask(PEER, &ask.bytes())[0].code(), 200);
    assert_eq!(world.uac.stats().repeats, 1, "the transaction ended at 32 s");

    let flow = world.connect(1, "192.0.2.1:40000");
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKt";
    let ask = Ask::options("t").vias(&[via]);
    for _ in 0..2 {
        world.arrive(0.0, flow, "192.0.2.1:40000", &ask.bytes());
    }
    world.run_for(secs(0));
    let answers = &world.responses()[3..];
    assert_eq!(answers.iter().map(|answer| answer.code()).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(world.uac.stats().repeats, 1);
}

#[test]
fn tx_16_a_branch_without_the_cookie_is_matched_the_old_way() {
    let mut world = World::silent();
    let old = Ask::options("x").vias(&["SIP/2.0/UDP 192.0.2.1:5060;branch=1"]);
    let first = world.ask(PEER, &old.bytes());
    assert_eq!(world.ask(PEER, &old.bytes()), first);
    assert_eq!(world.uac.stats().repeats, 1);
    // `branch=1` says nothing: each of these makes it another request.
    for other in [
        old.clone().cseq("2 OPTIONS"),
        old.clone().call_id("other"),
        old.clone().from("<sip:peer@192.0.2.1>;tag=p2"),
        old.clone().uri("sip:other@192.0.2.10:5070").call_id("o2"),
        old.clone().vias(&["SIP/2.0/UDP 192.0.2.1:5062;branch=1"]).call_id("o3"),
    ] {
        assert_eq!(world.ask(PEER, &other.bytes())[0].code(), 200, "{other:?}");
    }
    assert_eq!(world.uac.stats().repeats, 1);
}

#[test]
fn tx_20_a_second_copy_by_another_way_is_a_merged_request() {
    let mut world = World::silent();
    let first = Ask::options("b1");
    assert_eq!(world.ask(PEER, &first.bytes())[0].code(), 200);
    let copy = first.clone().vias(&["SIP/2.0/UDP 192.0.2.3;rport;branch=z9hG4bKb2"]);
    assert_eq!(world.ask("192.0.2.3:5060", &copy.bytes())[0].code(), 482);
    // With the first transaction gone there is nothing to merge with.
    world.run_for(secs(33));
    let late = first.vias(&["SIP/2.0/UDP 192.0.2.4;rport;branch=z9hG4bKb3"]);
    assert_eq!(world.ask("192.0.2.4:5060", &late.bytes())[0].code(), 200);
}

/// Runs a server transaction that is answered after `seconds`; returns what leaves, and when.
fn held_open(seconds: f64, reliable: bool) -> Vec<(f64, &'static str)> {
    let timing = Timing::default();
    let start = Instant::now();
    let mut machine = ServerTransaction::new(start, reliable, &timing);
    let end = start + secs(seconds);
    let mut left = Vec::new();
    while let Some(deadline) = machine.poll_timeout().filter(|deadline| deadline.at < end) {
        let at = (deadline.at - start).as_secs_f64();
        match machine.handle_timeout(deadline.at) {
            Some(Action::SendTrying) => {
                assert_eq!(deadline.timer, Timer::Trying);
                left.push((at, "100"));
                machine.trying_sent(Bytes::from_static(b"100"));
            }
            Some(Action::Send(bytes)) => panic!("nothing else by itself: {bytes:?}"),
            None => {}
        }
    }
    if let Some(Action::Send(bytes)) = machine.respond(end, Bytes::from_static(b"200"), &timing) {
        assert_eq!(&bytes[..], b"200");
        left.push((seconds, "200"));
    }
    left
}

#[test]
fn tx_15_a_second_final_answer_is_discarded() {
    let timing = Timing::default();
    let now = Instant::now();
    for reliable in [false, true] {
        let mut machine = ServerTransaction::new(now, reliable, &timing);
        let ok = Bytes::from_static(b"200");
        assert_eq!(machine.respond(now, ok.clone(), &timing), Some(Action::Send(ok.clone())));
        assert_eq!(machine.respond(now, Bytes::from_static(b"500"), &timing), None);
        // A repeat still gets the first one.
        let repeated = (!reliable).then_some(Action::Send(ok));
        assert_eq!(machine.handle_repeat(), repeated);
    }
}

#[test]
fn tx_17_no_100_before_3_5_s_and_one_then() {
    for reliable in [false, true] {
        assert_eq!(held_open(6.0, reliable), [(3.5, "100"), (6.0, "200")]);
        assert_eq!(held_open(3.4, reliable), [(3.4, "200")]);
    }
    // Repeats are swallowed before the 100 and get it afterwards.
    let (timing, now) = (Timing::default(), Instant::now());
    let mut machine = ServerTransaction::new(now, false, &timing);
    assert_eq!(machine.handle_repeat(), None);
    machine.handle_timeout(now + secs(3.5));
    machine.trying_sent(Bytes::from_static(b"100"));
    assert_eq!(machine.handle_repeat(), Some(Action::Send(Bytes::from_static(b"100"))));
}

#[test]
fn tx_18_after_32_s_there_is_no_answer_and_never_a_408() {
    for reliable in [false, true] {
        assert_eq!(held_open(40.0, reliable), [(3.5, "100")]);
        assert_eq!(held_open(31.9, reliable), [(3.5, "100"), (31.9, "200")]);
    }
}
