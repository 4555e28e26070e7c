//! UAS rows: what puad answers to strangers (RFC 3261 §8.2, §11).

use puad::sip::Config;

use crate::support::{
    Ask, secs,
    world::{PEER, World},
};

const ALLOW: &str = "NOTIFY, OPTIONS, CANCEL, ACK";

/// The code of the only answer to a request sent to a new core.
fn code(ask: &Ask) -> u16 {
    code_of(&ask.bytes())
}

fn code_of(bytes: &[u8]) -> u16 {
    let answers = World::silent().ask(PEER, bytes);
    assert_eq!(answers.len(), 1, "one answer");
    answers[0].code()
}

#[test]
fn uas_01_the_first_check_that_fails_decides() {
    // Everything is wrong; one fault after the other is mended, from the last check to the first.
    let to_tag = "<sip:puad@192.0.2.10>;tag=nobody";
    let dialog = Ask::options("q").to(to_tag).with("Require", "foo").body("text/html", "<b>");
    let scheme = dialog.clone().uri("tel:1");
    let method = |ask: &Ask| ask.text().replace("OPTIONS", "NEWMETHOD");
    let version = |text: &str| text.replacen(" SIP/2.0\r\n", " SIP/3.0\r\n", 1);
    assert_eq!(code(&Ask::options("q").with("Require", "foo").body("text/html", "<b>")), 420);
    assert_eq!(code(&dialog), 481);
    assert_eq!(code(&scheme), 416);
    assert_eq!(code_of(method(&scheme).as_bytes()), 501);
    assert_eq!(code_of(version(&method(&scheme)).as_bytes()), 505);
    let syntax = method(&scheme).replace("CSeq: 1 ", "CSeq: x ");
    assert_eq!(code_of(syntax.as_bytes()), 400);

    let notify = Ask::new("NOTIFY", "n").with("Event", "presence").with("Require", "foo");
    assert_eq!(code(&notify.body("text/html", "<b>")), 481);
}

#[test]
fn uas_01_repeats_and_merged_copies_come_before_the_method() {
    let mut world = World::silent();
    let ask = Ask::new("MESSAGE", "q");
    let first = world.ask(PEER, &ask.bytes());
    assert_eq!(first[0].code(), 405);
    assert_eq!(world.ask(PEER, &ask.bytes()), first);
    let copy = ask.vias(&["SIP/2.0/UDP 192.0.2.3;rport;branch=z9hG4bKother"]);
    assert_eq!(world.ask(PEER, &copy.bytes())[0].code(), 482);
}

#[test]
fn uas_02_an_answer_copies_what_tells_it_apart() {
    let vias = [
        "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKq, SIP/2.0/TCP p2.example;branch=z9hG4bK2",
        "SIP/2.0/TLS p3.example:5061;branch=z9hG4bK3;x=\"a,b\"",
    ];
    let from = "\"Peer, P.\" <sip:peer@192.0.2.1;x=y>;tag=p1;z";
    let ask = Ask::options("q").vias(&vias).from(from).cseq("4294967295 OPTIONS");
    let mut world = World::silent();
    let first = world.ask(PEER, &ask.bytes());
    assert_eq!(
        first[0].all("Via"),
        [&format!("{}, SIP/2.0/TCP p2.example;branch=z9hG4bK2", stamped()), vias[1]]
    );
    assert_eq!(first[0].need("From"), from);
    assert_eq!(first[0].need("Call-ID"), "q@192.0.2.1");
    assert_eq!(first[0].need("CSeq"), "4294967295 OPTIONS");
    let tag = first[0].param("To", "tag").expect("a tag");
    assert!(tag.len() >= 16, "{tag}");
    assert_eq!(first[0].need("To"), format!("<sip:puad@192.0.2.10>;tag={tag}"));
    // Every answer to it bears the same tag, and others another one.
    world.run_for(secs(20));
    assert_eq!(world.ask(PEER, &ask.bytes()), first);
    let other = world.ask(PEER, &Ask::options("r").bytes());
    assert_ne!(other[0].param("To", "tag").expect("a tag"), tag);
    // A tag that is there already stays.
    let tagged = Ask::new("MESSAGE", "s").to("<sip:puad@192.0.2.10>;tag=mine");
    assert_eq!(world.ask(PEER, &tagged.bytes())[0].need("To"), "<sip:puad@192.0.2.10>;tag=mine");
}

/// The top Via of [`uas_02_an_answer_copies_what_tells_it_apart`] with its blanks filled in.
fn stamped() -> &'static str {
    "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKq;rport=5060;received=192.0.2.1"
}

#[test]
fn uas_03_options_is_answered_with_what_puad_takes() {
    let mut world = World::silent();
    let answers = world.ask(PEER, &Ask::options("q").bytes());
    let [answer] = &answers[..] else { panic!("one answer") };
    assert_eq!(answer.start, "SIP/2.0 200 OK");
    assert_eq!(answer.need("Allow"), ALLOW);
    for accepted in ["application/pidf+xml", "application/simple-message-summary"] {
        assert!(answer.need("Accept").contains(accepted));
    }
    assert_eq!(answer.need("Accept-Encoding"), "identity");
    assert_eq!(answer.need("Accept-Language"), "en");
    assert_eq!(answer.need("Supported"), "");
    assert_eq!((answer.need("Content-Length"), answer.get("Content-Type")), ("0", None));
    // No notifier and no compositor is announced.
    assert_eq!(answer.get("Allow-Events"), None);
}

#[test]
fn uas_05_known_methods_that_are_not_served_get_405() {
    for method in [
        "INVITE",
        "REGISTER",
        "BYE",
        "MESSAGE",
        "SUBSCRIBE",
        "PUBLISH",
        "REFER",
        "INFO",
        "UPDATE",
        "PRACK",
    ] {
        for to in ["<sip:puad@192.0.2.10>", "<sip:puad@192.0.2.10>;tag=x"] {
            let mut world = World::silent();
            let answers = world.ask(PEER, &Ask::new(method, "q").to(to).bytes());
            assert_eq!((answers.len(), answers[0].code()), (1, 405), "{method}");
            assert_eq!(answers[0].need("Allow"), ALLOW, "{method}");
        }
    }
}

#[test]
fn uas_06_an_unknown_method_gets_501_whatever_cseq_says() {
    for cseq in ["1 NEWMETHOD", "1 INVITE"] {
        let mut world = World::silent();
        let answers = world.ask(PEER, &Ask::new("NEWMETHOD", "q").cseq(cseq).bytes());
        assert_eq!((answers.len(), answers[0].code()), (1, 501));
        assert_eq!(answers[0].need("Allow"), ALLOW);
    }
    // Methods compare with case.
    assert_eq!(code(&Ask::new("options", "q")), 501);
}

#[test]
fn uas_07_invite_is_refused_without_state() {
    let mut world = World::silent();
    let invite = Ask::new("INVITE", "q");
    let first = world.ask(PEER, &invite.bytes());
    assert_eq!((first.len(), first[0].code()), (1, 405));
    // Nothing follows by itself, neither a repeat of the answer nor anything else.
    world.run_for(secs(40));
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.ask(PEER, &invite.bytes()), first);
    let tag = first[0].need("To").to_owned();
    let ack = Ask::new("ACK", "q").to(&tag);
    assert!(world.ask(PEER, &ack.bytes()).is_empty());
    assert_eq!(world.uac.stats().repeats, 0, "nothing was kept to compare with");
}

#[test]
fn uas_08_cancel_is_answered_and_changes_nothing() {
    for method in ["NOTIFY", "OPTIONS"] {
        let mut world = World::silent();
        let ask = Ask::new(method, "q").with("Event", "presence");
        let first = world.ask(PEER, &ask.bytes());
        let cancel = Ask::new("CANCEL", "q").with("Require", "foo");
        assert_eq!(world.ask(PEER, &cancel.bytes())[0].code(), 200, "{method}");
        assert_eq!(world.ask(PEER, &ask.bytes()), first, "{method}");
        let stray = Ask::new("CANCEL", "other");
        assert_eq!(world.ask(PEER, &stray.bytes())[0].code(), 481, "{method}");
        world.run_for(secs(33));
        let late = cancel.vias(&["SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKq"]);
        assert_eq!(world.ask(PEER, &late.bytes())[0].code(), 481, "{method}");
    }
}

#[test]
fn uas_09_an_ack_is_never_answered() {
    let mut world = World::silent();
    let ack = Ask::new("ACK", "q");
    let broken = ack.text().replace("CSeq: 1 ACK\r\n", "");
    let future = ack.text().replacen(" SIP/2.0\r\n", " SIP/7.0\r\n", 1);
    for bytes in [
        ack.bytes(),
        ack.clone().uri("tel:1").with("Require", "foo").bytes(),
        broken.into_bytes(),
        future.into_bytes(),
        ack.text().replace("Content-Length: 0", "Content-Length: 99").into_bytes(),
    ] {
        assert!(world.ask(PEER, &bytes).is_empty(), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn uas_10_required_options_that_are_unknown_are_named() {
    let mut world = World::silent();
    let ask = Ask::options("q").with("Require", "foo, bar").with("Require", "100rel");
    let answers = world.ask(PEER, &ask.with("Proxy-Require", "baz").bytes());
    assert_eq!(answers[0].code(), 420);
    let named: Vec<_> = answers[0].need("Unsupported").split(',').map(str::trim).collect();
    assert_eq!(named, ["foo", "bar", "100rel"]);
    // Proxy-Require is for proxies.
    assert_eq!(code(&Ask::options("q").with("Proxy-Require", "baz")), 200);
}

#[test]
fn uas_12_the_request_uri_must_be_one_that_is_served() {
    assert_eq!(code(&Ask::options("q").uri("tel:1")), 416);
    assert_eq!(code(&Ask::options("q").uri("urn:service:sos")), 416);
    // The To URI plays no part, and without a list every user is served.
    assert_eq!(code(&Ask::options("q").to("<tel:5>")), 200);
    assert_eq!(code(&Ask::options("q").uri("sip:anybody@elsewhere.example")), 200);
    assert_eq!(code(&Ask::options("q").uri("sips:anybody@elsewhere.example")), 200);

    let config = || Config {
        served_users: ["alice", "bob smith"].map(String::from).into(),
        ..Config::default()
    };
    for (uri, code) in [
        ("sip:alice@192.0.2.10:5070", 200),
        ("sip:alice:secret@192.0.2.10;transport=udp", 200),
        ("sip:%61lice@192.0.2.10", 200),
        ("sip:bob%20smith@192.0.2.10", 200),
        // No user at all: puad itself is asked, as by a proxy that wants to know whether it lives.
        ("sip:192.0.2.10:5070", 200),
        ("sip:carol@192.0.2.10:5070", 404),
        ("sip:Alice@192.0.2.10:5070", 404),
    ] {
        let answers = World::with_config(config()).ask(PEER, &Ask::options("q").uri(uri).bytes());
        assert_eq!(answers[0].code(), code, "{uri}");
    }
}

#[test]
fn uas_13_the_version_and_the_syntax_have_codes_of_their_own() {
    let good = Ask::options("q").text();
    let mut world = World::silent();
    for (text, start) in [
        (good.replacen(" SIP/2.0\r\n", " SIP/3.0\r\n", 1), "SIP/2.0 505 Version Not Supported"),
        (good.replace("Call-ID: q@192.0.2.1\r\n", ""), "SIP/2.0 400 Missing Call-ID"),
        (good.replace("CSeq: 1 OPTIONS\r\n", ""), "SIP/2.0 400 Missing CSeq"),
        (good.replace("To: <sip:puad@192.0.2.10>\r\n", ""), "SIP/2.0 400 Missing To"),
        (good.replace("CSeq: 1 ", "CSeq: 1,"), "SIP/2.0 400 Malformed CSeq"),
        (good.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), "SIP/2.0 400 CSeq Method Mismatch"),
        (good.replace("From:", "From: <sip:x@y>;tag=2\r\nFrom:"), "SIP/2.0 400 Repeated From"),
        (good.replace("Content-Length: 0", "Content-Length: 9"), "SIP/2.0 400 Bad Content-Length"),
        (good.replace("sip:puad@", "sip:pu ad@"), "SIP/2.0 400 Malformed Start Line"),
    ] {
        assert_ne!(text, good);
        let answers = world.ask(PEER, text.as_bytes());
        assert_eq!(answers.len(), 1, "{text}");
        assert_eq!(answers[0].start, start, "{text}");
    }
}

#[test]
fn uas_14_a_to_tag_without_a_dialog_gets_481() {
    let to = "<sip:puad@192.0.2.10>;tag=nobody";
    for method in ["NOTIFY", "OPTIONS"] {
        assert_eq!(code(&Ask::new(method, "q").to(to).with("Event", "presence")), 481, "{method}");
    }
    // The method is checked before.
    assert_eq!(code(&Ask::new("BYE", "q").to(to)), 405);
    assert_eq!(code(&Ask::new("NEWMETHOD", "q").to(to)), 501);
}

#[test]
fn a_nul_or_a_bare_cr_is_answered_and_not_written_into_a_header_of_puads_own() {
    // 3261 §25.1 allows a NUL as a quoted pair.
    let via = "SIP/2.0/UDP 192.0.2.1:5060;rport;x=\"\\\0\";branch=z9hG4bKq";
    let answers = World::silent().ask(PEER, &Ask::options("q").vias(&[via]).bytes());
    assert_eq!(answers[0].code(), 200);
    assert!(answers[0].need("Via").contains("x=\"\\\0\""));
    for option in ["foo\0", "foo\rX: y", "foo bar"] {
        let answers = World::silent().ask(PEER, &Ask::options("q").with("Require", option).bytes());
        assert_eq!((answers[0].code(), answers[0].get("Unsupported")), (400, None), "{option:?}");
    }
}
