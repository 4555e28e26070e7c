//! MSG rows: where messages end, how large they are, and the numbers in them (RFC 3261 §18.3, §20).
//!
//! No subscription is open, so a NOTIFY that reads well gets 481 here, and one
//! that does not gets 400.

use puad::sip::{Config, config::Limits, message::value};

use crate::support::{
    Sip,
    raw::{SOURCE, ask, codes, head, notify, notify_of, numbered, read, stream},
    secs,
    world::{World, presence, publish},
};

#[test]
fn msg_12_a_datagram_may_be_longer_than_its_message_and_never_shorter() {
    let whole = notify("Content-Type: text/plain\r\n", "0123456789");
    let longer = String::from_utf8(whole.clone()).expect("text") + "tail";
    read(longer.as_bytes(), |message| assert_eq!(message.body, b"0123456789"));
    assert_eq!(ask(longer.as_bytes()), [481]);
    assert_eq!(ask(&whole[..whole.len() - 1]), [400]);
    let absent = String::from_utf8(whole).expect("text").replace("Content-Length: 10\r\n", "");
    read(absent.as_bytes(), |message| assert_eq!(message.body, b"0123456789"));
    assert_eq!(ask(absent.as_bytes()), [481]);
    // A response that is cut off is no answer: the request is repeated.
    let mut world = World::with_peer(|request| {
        let mut answer = request.answer(200).header("SIP-ETag", "t1").bytes();
        let at = answer.windows(18).position(|w| w == b"Content-Length: 0\r").expect("there") + 16;
        answer[at] = b'1';
        answer
    });
    let ticket = world.publish(presence("<open/>"));
    world.run_for(secs(1));
    assert!(world.is_waiting(ticket));
    assert_eq!(world.sent_at(), [0.0, 0.5]);
    assert_eq!(world.uac.stats().malformed, 2);
}

#[test]
fn msg_13_a_stream_is_cut_by_lengths_alone() {
    let body = "first\r\n\r\nsecond\r\n\r\nOPTIONS sip:x SIP/2.0\r\n\r\n";
    let mut stream = b"\r\n".to_vec();
    for number in 1..=3 {
        stream.extend(numbered(number, body));
        stream.extend(b"\r\n\r\n");
    }
    let whole: Vec<&[u8]> = vec![&stream];
    for pieces in [whole, stream.chunks(1).collect(), stream.chunks(7).collect()] {
        let mut world = World::silent();
        let flow = world.connect(1, SOURCE);
        for piece in pieces {
            world.arrive(0.0, flow, SOURCE, piece);
        }
        world.run_for(secs(0.1));
        let pongs = world.sent.iter().filter(|sent| sent.bytes == b"\r\n").count();
        let cseqs: Vec<_> = world.responses().iter().map(|r| (r.code(), r.cseq())).collect();
        assert_eq!(cseqs, [(481, 1), (481, 2), (481, 3)]);
        assert_eq!(pongs, 3);
        // Nothing is left of the stream, so that the connection is not half way through a message.
        world.run_for(secs(40));
        assert!(world.closed.is_empty());
    }
}

#[test]
fn msg_14_a_stream_without_a_usable_length_ends() {
    let good = String::from_utf8(notify("", "")).expect("text");
    for length in
        ["", "Content-Length: -1\r\n", "Content-Length: x\r\n", "Content-Length: 0\r\nl: 1\r\n"]
    {
        let (world, flow) = stream(good.replace("Content-Length: 0\r\n", length).as_bytes());
        assert_eq!(codes(&world), [400], "{length}");
        assert_eq!(world.closed, [flow], "{length}");
    }
    let (world, _) = stream(good.replace("Length: 0", "Length: 0\r\nl: 0").as_bytes());
    assert_eq!((codes(&world), world.closed.len()), (vec![481], 0), "two rows that agree");
    let (world, flow) = stream(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\r\n");
    assert_eq!((codes(&world), world.closed), (vec![], vec![flow]), "a response is not answered");
}

#[test]
fn msg_15_every_message_says_its_length_and_the_type_of_its_body() {
    let mut world = World::granting(600);
    let body = "Größe: ½ €";
    assert_eq!((body.chars().count(), body.len()), (10, 15));
    world.publish(publish("sip:a@192.0.2.1", "presence", "text/plain;charset=utf-8", body));
    world.run_for(secs(480));
    let [initial, refresh, ..] = &world.requests()[..] else { panic!("a refresh") };
    assert_eq!(initial.need("Content-Length"), "15");
    assert_eq!(initial.need("Content-Type"), "text/plain;charset=utf-8");
    assert_eq!(initial.text(), body);
    assert_eq!((refresh.need("Content-Length"), refresh.get("Content-Type")), ("0", None));
    let answer = &world.ask(SOURCE, &notify("", ""))[0];
    assert_eq!((answer.need("Content-Length"), answer.get("Content-Type")), ("0", None));
    assert!(world.sent.iter().all(|sent| sent.sip().get("Transfer-Encoding").is_none()));
}

#[test]
fn msg_16_a_datagram_of_60_kb_is_read_whole() {
    let body = "x".repeat(60_000);
    let message = notify("Content-Type: text/plain\r\n", &body);
    read(&message, |message| assert_eq!(message.body, body.as_bytes()));
    assert_eq!(ask(&message), [481]);
}

#[test]
fn msg_17_sizes_are_bounded() {
    let huge = String::from_utf8(notify("", "")).expect("text");
    let (world, flow) =
        stream(huge.replace("Content-Length: 0", "Content-Length: 100000000").as_bytes());
    assert_eq!((codes(&world), world.closed), (vec![513], vec![flow]), "before the body has come");
    let limits = Limits { body: 100, headers: 20, head: 2000, ..Limits::default() };
    for (headers, body, code) in [
        ("X: y\r\n".repeat(14), "b".repeat(100), 481),
        (String::new(), "b".repeat(101), 513),
        ("X: y\r\n".repeat(15), String::new(), 513),
        (format!("X: {}\r\n", "y".repeat(2000)), String::new(), 513),
    ] {
        let mut world = World::with_config(Config { limits: limits.clone(), ..Config::default() });
        let answers = world.ask(SOURCE, &notify(&headers, &body));
        assert_eq!(answers.iter().map(Sip::code).collect::<Vec<_>>(), [code]);
    }
}

#[test]
fn msg_18_numbers_do_not_wrap_and_have_no_sign() {
    let cseq = |cseq: &str| ask(&notify_of(&head(cseq), ""));
    assert_eq!(cseq("4294967295 NOTIFY"), [481]);
    assert_eq!(cseq("0000000000000000001 NOTIFY"), [481]);
    for bad in ["4294967296 NOTIFY", "99999999999999999999999 NOTIFY", "+1 NOTIFY", "-1 NOTIFY"] {
        assert_eq!(cseq(bad), [400], "{bad}");
    }
    for fine in ["300", "99999999999999", "-1", "0070"] {
        assert_eq!(ask(&notify(&format!("Max-Forwards: {fine}\r\n"), "")), [481], "{fine}");
    }
    let padded = String::from_utf8(notify("", "1")).expect("text");
    let padded = padded.replace("Content-Length: 1", "Content-Length: 0000000000001");
    assert_eq!(ask(padded.as_bytes()), [481]);
    assert_eq!(value::retry_after("120 (busy \"x\");duration=60"), Some(120));
    assert_eq!(value::retry_after("18000;duration=3600"), Some(18000));
    for bad in ["-1", "+1", "soon", "", "5x"] {
        assert_eq!(value::retry_after(bad), None, "{bad:?}");
        assert_eq!(value::seconds(bad), None, "{bad:?}");
    }
    // What does not fit says nothing, and what was asked for holds.
    for expires in ["99999999999", "-5", "4294967296"] {
        let mut world = World::with_peer(move |request| {
            request.answer(200).header("SIP-ETag", "t").header("Expires", expires).bytes()
        });
        let ticket = world.publish(presence("<open/>"));
        let granted = world.outcome(ticket).expect("granted").expires;
        assert_eq!(granted, Some(secs(3600)), "{expires}");
    }
}

#[test]
fn msg_19_an_encoding_that_is_not_understood_is_refused() {
    let options = |encoding: &str| {
        let text = String::from_utf8(notify(&format!("e: {encoding}\r\n"), "body")).expect("text");
        let text = text.replace("NOTIFY", "OPTIONS").replace("<sip:b@y>;tag=2", "<sip:b@y>");
        World::silent().ask(SOURCE, text.as_bytes()).remove(0)
    };
    let refused = options("br");
    assert_eq!((refused.code(), refused.need("Accept-Encoding")), (415, "identity"));
    assert_eq!(options("identity, gzip").code(), 415);
    assert_eq!(options("Identity").code(), 200);
}
