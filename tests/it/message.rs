//! MSG rows: the syntax of messages (RFC 3261 §7, §20, §25.1).
//!
//! No subscription is open, so a NOTIFY that reads well gets 481 here, and one
//! that does not gets 400. Where messages end is left to [`framing`](super::framing).

use puad::sip::{
    Config,
    auth::Algorithm,
    config::{Account, Secret},
    io::{FlowId, Input},
    message::{Name, value},
};

use crate::support::{
    Sip,
    raw::{SOURCE, ask, head, notify, notify_of, read},
    secs,
    world::{UDP_LISTENER, World, presence},
};

#[test]
fn msg_01_a_folded_header_reads_like_an_unfolded_one() {
    let folded = "Via: SIP/2.0/UDP\r\n 198.51.100.7:5062\r\n\t;branch=z9hG4bKfold\r\n\
        From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: c\r\n\
        CSeq:\r\n 7\r\n   NOTIFY\r\n\
        Event: presence\r\n ;\r\n id=5\r\n\
        Subscription-State:\r\n active\r\n ;expires=60\r\n";
    read(&notify_of(folded, ""), |message| {
        assert_eq!(message.get(Name::Event), Some("presence ; id=5"));
        let cseq = message.cseq().expect("a CSeq");
        assert_eq!((cseq.number, cseq.method), (7, "NOTIFY"));
        assert_eq!(message.get(Name::SubscriptionState), Some("active ;expires=60"));
        let via = message.top_via().expect("a Via");
        assert_eq!(
            (via.host, via.port, via.branch()),
            ("198.51.100.7", Some(5062), Some("z9hG4bKfold"))
        );
    });
    assert_eq!(ask(&notify_of(folded, "")), [481]);
}

#[test]
fn msg_02_names_match_without_case_and_may_have_blanks_before_the_colon() {
    read(&notify("eVeNt \t:presence\r\n", ""), |message| {
        assert_eq!(message.get(Name::Event), Some("presence"));
    });
    // A line break is no blank: the line before the colon is no header.
    assert_eq!(ask(&notify("Event\r\n : presence\r\n", "")), [400]);
}

#[test]
fn msg_02_every_line_sent_is_a_name_a_colon_and_one_space() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.ask(SOURCE, &notify("", ""));
    assert_eq!(world.sent.len(), 2);
    for sent in &world.sent {
        let head = Sip::parse(&sent.bytes);
        for (name, text) in &head.headers {
            assert!(name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'), "{name}");
            assert!(!text.starts_with(' '), "{name}: {text}");
        }
    }
}

#[test]
fn msg_03_compact_names_are_the_long_ones() {
    let compact = "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKone\r\n\
        v: SIP/2.0/UDP two.example;branch=z9hG4bKtwo\r\n\
        f: <sip:a@x>;tag=1\r\nt: <sip:b@y>;tag=2\r\ni: c\r\nCSeq: 1 NOTIFY\r\n\
        m: <sip:a@x>\r\no: presence\r\nu: presence\r\nk: eventlist\r\ns: hi\r\ne: identity\r\n\
        c: text/plain\r\n";
    let message = notify_of(compact, "body");
    read(&message, |message| {
        let names = [
            (Name::Via, "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKone"),
            (Name::From, "<sip:a@x>;tag=1"),
            (Name::To, "<sip:b@y>;tag=2"),
            (Name::CallId, "c"),
            (Name::Contact, "<sip:a@x>"),
            (Name::Event, "presence"),
            (Name::AllowEvents, "presence"),
            (Name::Supported, "eventlist"),
            (Name::Subject, "hi"),
            (Name::ContentEncoding, "identity"),
            (Name::ContentType, "text/plain"),
        ];
        for (name, text) in names {
            assert_eq!(message.get(name), Some(text), "{}", name.text());
        }
    });
    let message = String::from_utf8(message).expect("text").replace("Content-Length", "l");
    let [answer] = &World::silent().ask(SOURCE, message.as_bytes())[..] else { panic!("one") };
    assert_eq!(answer.code(), 481);
    let branches: Vec<_> =
        answer.all("Via").iter().map(|via| via.split("branch=").nth(1).expect("one")).collect();
    assert_eq!(branches, ["z9hG4bKone", "z9hG4bKtwo"]);
    assert!(answer.all("Via")[0].starts_with("SIP/2.0/UDP 198.51.100.7:5062"));
}

#[test]
fn msg_04_rows_and_comma_lists_are_one_list() {
    let rows = "Record-Route: <sip:a;lr>\r\nRecord-Route: \"x,y\" <sip:b;lr>, <sip:c,d@h;lr>\r\n";
    read(&notify(rows, ""), |message| {
        let hosts: Vec<_> = message
            .list(Name::RecordRoute)
            .map(|route| value::NameAddr::parse(route).expect("valid").uri.as_str())
            .collect();
        assert_eq!(hosts, ["sip:a;lr", "sip:b;lr", "sip:c,d@h;lr"]);
    });
}

#[test]
fn msg_05_a_row_is_one_challenge_and_one_credential() {
    let mut world = with_account(&["one, two=\"x\"", "three"]);
    world.peer = Box::new(|_, request| {
        let challenge = |realm: &str, nonce: &str| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", opaque=\"o,p\", qop=\"auth,auth-int\", \
                 algorithm=MD5, domain=\"sip:a sip:b\", stale=FALSE"
            )
        };
        let answer = request
            .answer(401)
            .header("WWW-Authenticate", challenge(r#"one, two=\"x\""#, "n1"))
            .header("WWW-Authenticate", challenge("three", "n2"));
        let is_authorized = !request.all("Authorization").is_empty();
        vec![(0.0, if is_authorized { request.granted("t", 600) } else { answer.bytes() })]
    });
    let ticket = world.publish(presence("<open/>"));
    assert!(world.outcome(ticket).is_ok());
    let requests = world.requests();
    let [one, three] = requests[1].all("Authorization")[..] else { panic!("two credentials") };
    assert!(one.contains(r#"realm="one, two=\"x\"""#) && one.contains(r#"nonce="n1""#), "{one}");
    assert!(three.contains(r#"realm="three""#) && three.contains(r#"nonce="n2""#), "{three}");
    assert!(one.contains(r#"opaque="o,p""#));
}

#[test]
fn msg_06_methods_have_case_and_parameters_have_none() {
    let lower = String::from_utf8(notify("", "")).expect("text").replace("NOTIFY", "notify");
    assert_eq!(ask(lower.as_bytes()), [501]);
    // Read as a tag, it names a dialog that is not there; unread, the OPTIONS would get 200.
    let options = |to: &str| {
        format!(
            "OPTIONS sip:b@y SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5062;BRANCH=z9hG4bKo\r\n\
             From: <sip:a@x>;Tag=1\r\nTo: {to}\r\nCall-ID: C\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    assert_eq!(ask(options("<sip:b@y>;TAG=2").as_bytes()), [481]);
    assert_eq!(ask(options("<sip:b@y>").as_bytes()), [200]);
    // A Call-ID that differs in case is another request, not a merged copy of the first (482).
    let mut world = World::silent();
    assert_eq!(world.ask(SOURCE, options("<sip:b@y>").as_bytes())[0].code(), 200);
    let other = options("<sip:b@y>").replace("Call-ID: C", "Call-ID: c").replace("bKo", "bKp");
    assert_eq!(world.ask(SOURCE, other.as_bytes())[0].code(), 200);
    let merged = options("<sip:b@y>").replace("bKo", "bKq");
    assert_eq!(world.ask(SOURCE, merged.as_bytes())[0].code(), 482);
}

#[test]
fn msg_07_start_lines_have_single_spaces_and_no_folds() {
    let text = String::from_utf8(notify("Subject: a\r\n b\r\n", "")).expect("text");
    assert_eq!(ask(text.as_bytes()), [481]);
    for (from, to) in [
        ("NOTIFY sip:", "NOTIFY  sip:"),
        (" SIP/2.0\r\nVia", "  SIP/2.0\r\nVia"),
        (" SIP/2.0\r\nVia", " SIP/2.0 \r\nVia"),
        (" SIP/2.0\r\nVia", "\r\n SIP/2.0\r\nVia"),
        (" SIP/2.0\r\nVia", " SIP/2.0\r\n \r\nVia"),
        ("NOTIFY sip:", " NOTIFY sip:"),
        ("NOTIFY sip:", " \r\nNOTIFY sip:"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text);
        assert_eq!(ask(broken.as_bytes()), [400], "{broken}");
    }
    assert_eq!(ask(text.replacen("SIP/2.0", "sip/2.0", 1).as_bytes()), [481]);
}

#[test]
fn msg_07_a_status_line_may_lack_its_phrase_and_its_capitals() {
    for start in ["SIP/2.0 200 ", "sip/2.0 200 OK", "SIP/2.0 200 Genau das"] {
        let mut world = World::with_peer(move |request| {
            let answer = String::from_utf8(request.granted("t1", 600)).expect("text");
            let (_, rest) = answer.split_once("\r\n").expect("lines");
            format!("{start}\r\n{rest}").into_bytes()
        });
        let ticket = world.publish(presence("<open/>"));
        let published = world.outcome(ticket).expect(start);
        assert_eq!(published.reason.as_deref(), start.splitn(3, ' ').nth(2));
        assert!(world.requests()[0].start.ends_with(" SIP/2.0"));
    }
}

#[test]
fn msg_08_quoted_strings_are_escaped_and_come_back_unchanged() {
    let mut written = Vec::new();
    value::quote_into(&mut written, "a\"b\\c");
    assert_eq!(written, br#""a\"b\\c""#);
    let text = String::from_utf8(written).expect("text") + " <sip:a@x>;tag=1";
    let address = value::NameAddr::parse(&text).expect("valid");
    assert_eq!(value::unquote(address.display), "a\"b\\c");
    assert_eq!(address.tag(), Some("1"));
    let utf8 = value::NameAddr::parse(r#""Zoë \ü, <sip:not@this>" <sip:a@x>"#).expect("valid");
    assert_eq!(value::unquote(utf8.display), "Zoë ü, <sip:not@this>");
    assert_eq!(utf8.uri.as_str(), "sip:a@x");
    assert!(value::NameAddr::parse(r#""open <sip:a@x>"#).is_err());
}

#[test]
fn msg_09_brackets_decide_whose_parameters_they_are() {
    let bare = value::NameAddr::parse("sip:a@x;tag=1").expect("valid");
    assert_eq!((bare.uri.as_str(), bare.tag()), ("sip:a@x", Some("1")));
    let both = value::NameAddr::parse("<sip:a@x;transport=tcp>;expires=9").expect("valid");
    assert_eq!(both.uri.param("transport"), Some("tcp"));
    assert_eq!(both.params.iter().collect::<Vec<_>>(), [("expires", Some("9"))]);
    let mut world = World::silent();
    world.publish(presence("<open/>"));
    for name in ["From", "To"] {
        assert!(world.requests()[0].need(name).starts_with("<sip:"));
    }
}

#[test]
fn msg_10_a_parameter_stands_once() {
    let twice = |value: &str| notify_of(&head("1 NOTIFY").replace("<sip:a@x>;tag=1", value), "");
    assert_eq!(ask(&twice("<sip:a@x>;tag=1;tag=2")), [400]);
    assert_eq!(ask(&twice("<sip:a@x>;tag=1;TAG=1")), [400]);
    assert_eq!(ask(&twice("<sip:a@x>;tag=1;gat=2")), [481]);
    // In a header that nobody needs it harms nobody.
    assert_eq!(ask(&notify("Contact: <sip:a@x>;q=1;q=0.5\r\n", "")), [481]);
}

#[test]
fn msg_11_what_nobody_needs_may_be_malformed() {
    let headers = "X-Foo: ;;,,\r\nDate: garbage\r\nWarning: \"\r\nX-Caf\u{e9}: no\r\n";
    assert_eq!(ask(&notify(&headers.replace("X-Caf\u{e9}: no\r\n", ""), "")), [481]);
    // The name itself must be one.
    assert_eq!(ask(&notify(headers, "")), [400]);
    let mut latin1 = notify("Subject: caf#\r\n", "");
    let at = latin1.iter().position(|b| *b == b'#').expect("there");
    latin1[at] = 0xe9;
    assert_eq!(ask(&latin1), [481]);
    let unknown =
        head("1 NOTIFY").replace("sip:a@x>", "sip:a@x;foo=bar>;x-y").replace("bKn", "bKn;z");
    assert_eq!(ask(&notify_of(&unknown, "")), [481]);
    read(&notify("X-Foo: ;;,,\r\nDate: garbage\r\n", ""), |message| {
        let raw: Vec<_> = message.fields().map(|field| (field.raw_name, field.value)).collect();
        assert!(raw.contains(&(b"X-Foo", b";;,,")) && raw.contains(&(b"Date", b"garbage")));
    });
}

#[test]
fn msg_22_ipv6_is_written_canonically_and_read_in_both_forms() {
    let mut world = World::silent();
    let flow = FlowId(FlowId::FIRST_FOREIGN + 9);
    let local = "[2001:db8::10]:5070".parse().expect("an address");
    let transport = rsip::Transport::Udp;
    world.input(Input::FlowAccepted { flow, transport, local, remote: None });
    let via = |via: &str| {
        let head = head("1 NOTIFY").replace("198.51.100.7:5062", via);
        notify_of(&head, "")
    };
    world.arrive(0.0, flow, "[2001:DB8:0:0::1]:5060", &via("host.example"));
    world.run_for(secs(0));
    let answer = world.responses().pop().expect("an answer");
    assert_eq!(answer.param("Via", "received").as_deref(), Some("2001:db8::1"));
    for received in ["[::1]", "::1"] {
        let text = format!("SIP/2.0/UDP [2001:db8::9];received={received};branch=z9hG4bKx");
        let via = value::Via::parse(&text).expect("valid");
        assert_eq!(via.host, "[2001:db8::9]");
        assert_eq!(via.params.get("received"), Some(received));
    }
    assert!(value::Via::parse("SIP/2.0/UDP 2001:db8::9;branch=z9hG4bKx").is_err());
}

#[test]
fn msg_23_headers_that_do_not_belong_are_ignored() {
    let mut world = World::with_peer(|request| {
        let answer = String::from_utf8(request.granted("t1", 600)).expect("text");
        answer
            .replace(
                "Content-Length",
                "Event: other\r\nSubscription-State: terminated\r\nContent-Length",
            )
            .into_bytes()
    });
    let ticket = world.publish(presence("<open/>"));
    assert!(world.outcome(ticket).is_ok());
    let answers = world.ask(SOURCE, &notify("Event: presence\r\n", ""));
    assert_eq!(answers[0].get("Event"), None);
}

#[test]
fn a_call_id_is_one_word() {
    let call_id = |id: &str| {
        ask(&notify_of(&head("1 NOTIFY").replace("Call-ID: c", &format!("Call-ID: {id}")), ""))
    };
    assert_eq!(call_id(r#"word%ZK-!.*_+'@word`~)(><:\/"][?}{"#), [481]);
    for bad in ["", "a b", "a\tb", "a\0b"] {
        assert_eq!(call_id(bad), [400], "{bad:?}");
    }
}

#[test]
fn a_bare_cr_in_a_copied_header_begins_no_other() {
    let head = head("1 NOTIFY").replace("<sip:a@x>", "\"a\rVia: SIP/2.0/UDP evil\" <sip:a@x>");
    let mut world = World::silent();
    world.arrive(0.0, UDP_LISTENER, SOURCE, &notify_of(&head, ""));
    world.run_for(secs(0));
    let [answer] = &world.sent[..] else { panic!("one answer") };
    assert_eq!(answer.sip().code(), 400);
    let lines = answer.bytes.split(|b| *b == b'\r').count();
    assert_eq!(lines, answer.bytes.windows(2).filter(|w| w == b"\r\n").count() + 1);
}

#[test]
fn a_nul_is_read_where_it_may_stand_and_never_comes_back_in_a_new_place() {
    // Two of them in Vias that are copied, one in an option that would be named as unsupported.
    let vias = head("1 NOTIFY").replace("bKn", "bKn, SIP/2.0/UDP h;branch=\"\0\"");
    assert_eq!(ask(&notify_of(&vias, "")), [481]);
    let options = String::from_utf8(notify("Require: a\0b\r\n", "")).expect("text");
    let options = options.replace("NOTIFY", "OPTIONS").replace("<sip:b@y>;tag=2", "<sip:b@y>");
    assert_eq!(ask(options.as_bytes()), [400]);
}

#[test]
fn a_challenge_with_a_control_character_is_not_answered() {
    for nonce in ["a\0b", "a\\\u{7}b"] {
        let mut world = with_account(&["r"]);
        world.peer = Box::new(move |_, request| {
            let challenge = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
            vec![(0.0, request.answer(401).header("WWW-Authenticate", challenge).bytes())]
        });
        let ticket = world.publish(presence("<open/>"));
        assert_eq!(world.outcome(ticket).expect_err("refused").status, Some(401));
        assert_eq!(world.requests().len(), 1);
    }
}

/// A core with an account for the peer's domain.
fn with_account(realms: &[&str]) -> World {
    let account = Account {
        name: None,
        domain: "192.0.2.1".into(),
        username: "alice".into(),
        password: Secret::new("secret"),
        realms: realms.iter().map(|realm| (*realm).to_owned()).collect(),
        outbound_proxy: Vec::new(),
        minimum_algorithm: Algorithm::Md5,
    };
    World::with_config(Config { accounts: vec![account.into()], ..Config::default() })
}
