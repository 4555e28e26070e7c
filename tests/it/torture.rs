//! TORT rows: the torture messages of RFC 4475 and RFC 5118, and vendor-shaped traffic.
//!
//! Each input is read once by the reader alone and, for the RFCs' own, sent to
//! a core over the transport that its top Via names.

use puad::sip::{
    config::Limits,
    io::{FlowId, Hop, Input},
    message::{
        Index, Message, Name, ParseError, StartLine,
        frame::{self, Datagram},
        uri, value,
    },
};

use crate::support::{
    Sip, secs,
    torture::{self, Case, Verdict},
    world::{LOCAL, UDP_LISTENER, World},
};

#[test]
fn tort_every_message_gets_its_verdict_from_the_reader() {
    let cases = torture::all();
    assert!(cases.len() == 141 || cases.len() == 80, "{} inputs", cases.len());
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let read = read(&case.bytes, |_| ());
            let right = match case.verdict {
                Verdict::Accept => read.is_ok(),
                Verdict::Reject => read.is_err(),
                Verdict::Either => true,
            };
            (!right).then(|| format!("{}: {:?}, and got {read:?}", case.name, case.verdict))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tort_01_to_61_every_message_gets_its_reaction() {
    let mut wrong = Vec::new();
    for case in torture::rfc() {
        let name = case.name.split('/').nth(1).expect("a file");
        let (row, _, codes) = ROWS.iter().find(|row| row.1 == name).expect("a row");
        let (world, _) = play(&case);
        let answers = world.responses();
        let sent: Vec<_> = answers.iter().map(Sip::code).collect();
        let right = match codes {
            [] => sent.is_empty(),
            _ => sent.len() == 1 && codes.contains(&sent[0]),
        };
        if !right {
            wrong.push(format!("TORT-{row:02} {name}: {codes:?}, and got {sent:?}"));
        }
        assert!(world.requests().is_empty(), "{name} made puad ask something");
        for answer in &answers {
            check_copies(&case, answer);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What every response repeats, and the reason phrase of what is refused.
fn check_copies(case: &Case, answer: &Sip) {
    let asked = vias(&case.bytes);
    let answered: Vec<_> = answer.all("Via").into_iter().flat_map(value::split_list).collect();
    assert_eq!(answered.len(), asked.len(), "Vias of {}", case.name);
    // The topmost has `received` added, so that only its beginning is the same.
    for (at, (theirs, ours)) in asked.iter().zip(answered).enumerate() {
        let theirs = if at == 0 { theirs.split(';').next().expect("a part") } else { theirs };
        assert!(ours.starts_with(theirs.trim_end()), "{theirs} became {ours} in {}", case.name);
    }
    if let Some(to) = answer.all("To").first().filter(|to| value::NameAddr::parse(to).is_ok()) {
        assert!(to.to_ascii_lowercase().contains("tag"), "{to} has no tag");
    }
    if matches!(answer.code(), 405 | 501) {
        assert_eq!(answer.need("Allow"), "NOTIFY, OPTIONS, CANCEL, ACK");
    }
    assert_eq!(answer.need("Content-Length"), "0");
}

#[test]
fn tort_01_folds_blanks_and_old_branches_are_read_through() {
    let Some(case) = find("wsinv") else { return };
    read(&case.bytes, |message| {
        assert_eq!(message.get(Name::MaxForwards), Some("0068"));
        let cseq = message.cseq().expect("a CSeq");
        assert_eq!((cseq.number, cseq.method), (9, "INVITE"));
        assert_eq!(message.get(Name::Subject), Some(""));
        let vias: Vec<_> = message
            .list(Name::Via)
            .map(|via| {
                let via = value::Via::parse(via).expect("a Via");
                (via.transport, via.host, via.branch().expect("a branch"))
            })
            .collect();
        assert_eq!(
            vias,
            [
                ("UDP", "192.0.2.2", "390skdjuw"),
                ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
                ("UDP", "192.168.255.111", "z9hG4bK30239"),
            ]
        );
        let to = value::NameAddr::parse(message.get(Name::To).expect("a To")).expect("valid");
        assert_eq!(to.tag(), Some("1918181833n"));
        let contact = message.list(Name::Contact).next().expect("a Contact");
        let contact = value::NameAddr::parse(contact).expect("valid");
        assert_eq!(value::unquote(contact.display), "Quoted string \"\"");
        assert_eq!(contact.params.get("newparam"), Some("newvalue"));
        assert_eq!(contact.params.get("q"), Some("0.33"));
    })
    .expect("accepted");
}

#[test]
fn tort_03_04_escapes_are_undone_once_and_nul_cuts_nothing() {
    if let Some(case) = find("esc01") {
        read(&case.bytes, |message| {
            let StartLine::Request { uri, .. } = message.start else { panic!("a request") };
            let uri = uri::UriRef::parse(uri).expect("valid");
            assert_eq!(uri::unescape(uri.user().expect("a user")), "sips:user@example.com");
            assert_eq!((uri.host(), uri.is_sips()), ("example.net", false));
            let contact = message.list(Name::Contact).next().expect("a Contact");
            let contact = value::NameAddr::parse(contact).expect("valid");
            let (name, text) = contact.uri.params().nth(1).expect("two parameters");
            assert_eq!(uri::unescape(name), "name");
            assert_eq!(uri::unescape(text.expect("a value")), "value%41");
        })
        .expect("accepted");
    }
    if let Some(case) = find("escnull") {
        read(&case.bytes, |message| {
            let users: Vec<_> = message
                .list(Name::Contact)
                .map(|contact| {
                    let contact = value::NameAddr::parse(contact).expect("valid");
                    uri::unescape(contact.uri.user().expect("a user")).into_owned()
                })
                .collect();
            assert_eq!(users, ["\0", "\0\0"]);
        })
        .expect("accepted");
    }
}

#[test]
fn tort_05_06_09_names_and_users_are_what_is_written() {
    if let Some(case) = find("esc02") {
        read(&case.bytes, |message| {
            assert_eq!(message.list(Name::Contact).count(), 2);
            assert!(message.fields().any(|field| field.raw_name == b"C%6Fntact"));
        })
        .expect("accepted");
    }
    if let Some(case) = find("lwsdisp") {
        read(&case.bytes, |message| {
            let from = value::NameAddr::parse(message.get(Name::From).expect("a From"));
            assert_eq!(from.expect("valid").display, "caller");
        })
        .expect("accepted");
    }
    if let Some(case) = find("semiuri") {
        read(&case.bytes, |message| {
            let StartLine::Request { uri, .. } = message.start else { panic!("a request") };
            let uri = uri::UriRef::parse(uri).expect("valid");
            assert_eq!(uri::unescape(uri.user().expect("a user")), "user;par=u@example.net");
            assert_eq!(uri.params().count(), 0);
        })
        .expect("accepted");
    }
}

#[test]
fn tort_07_all_34_vias_come_back_in_order() {
    let Some(case) = find("longreq") else { return };
    let (world, _) = play(&case);
    let [answer] = &world.responses()[..] else { panic!("one answer") };
    let hosts: Vec<_> = answer
        .all("Via")
        .into_iter()
        .flat_map(value::split_list)
        .map(|via| value::Via::parse(via).expect("a Via").host.to_owned())
        .collect();
    let mut expected: Vec<_> = (1..=33).rev().map(|n| format!("sip{n}.example.com")).collect();
    expected.push("host.example.com".into());
    assert_eq!(hosts, expected);
}

#[test]
fn tort_15_16_42_broken_lengths_end_a_connection() {
    if let Some(case) = find("clerr") {
        let (mut world, flow) = play_over(rsip::Transport::Tcp, &case.bytes);
        world.run_for(secs(31.8));
        assert!(world.sent.is_empty() && world.closed.is_empty(), "the body may still come");
        world.run_for(secs(0.2));
        assert_eq!(world.closed, [flow]);
    }
    for name in ["ncl", "mcl01"] {
        let Some(case) = find(name) else { return };
        let (world, flow) = play_over(rsip::Transport::Tcp, &case.bytes);
        assert_eq!(world.responses().iter().map(Sip::code).collect::<Vec<_>>(), [400], "{name}");
        assert_eq!(world.closed, [flow], "{name}");
    }
}

#[test]
fn tort_38_unsupported_names_the_options_of_require_only() {
    let Some(case) = find("bext01") else { return };
    let (world, _) = play(&case);
    let [answer] = &world.responses()[..] else { panic!("one answer") };
    let unsupported: Vec<_> = answer.need("Unsupported").split(',').map(str::trim).collect();
    assert_eq!(unsupported, ["nothingSupportsThis", "nothingSupportsThisEither"]);
}

#[test]
fn tort_45_46_a_parameter_belongs_to_the_header_or_to_the_uri() {
    for (name, of_header, of_uri) in [("cparam01", true, false), ("cparam02", false, true)] {
        let Some(case) = find(name) else { return };
        read(&case.bytes, |message| {
            let contact = message.list(Name::Contact).next().expect("a Contact");
            let contact = value::NameAddr::parse(contact).expect("valid");
            assert_eq!(contact.params.get("unknownparam").is_some(), of_header, "{name}");
            assert_eq!(contact.uri.param("unknownparam").is_some(), of_uri, "{name}");
        })
        .expect("accepted");
    }
}

#[test]
fn tort_49_a_repeat_of_a_request_without_branch_gets_the_same_answer() {
    let Some(case) = find("inv2543") else { return };
    let (mut world, flow) = play(&case);
    world.arrive(1.0, flow, SOURCE, &case.bytes);
    world.run_for(secs(2));
    let [first, second] = &world.sent[..] else { panic!("two answers") };
    assert_eq!(first.bytes, second.bytes);
}

#[test]
fn tort_52_53_a_port_in_brackets_is_part_of_the_host() {
    for (name, host, port) in [
        ("port-ambiguous", "[2001:db8::10:5070]", None),
        ("port-unambiguous", "[2001:db8::10]", Some(5070)),
    ] {
        let Some(case) = find(name) else { return };
        read(&case.bytes, |message| {
            let StartLine::Request { uri, .. } = message.start else { panic!("a request") };
            let uri = uri::UriRef::parse(uri).expect("valid");
            assert_eq!((uri.host(), uri.port()), (host, port), "{name}");
        })
        .expect("accepted");
    }
}

#[test]
fn tort_11_56_58_59_a_body_is_the_octets_content_length_counts() {
    for (name, length) in
        [("mpart01", 553), ("ipv6-in-sdp", 241), ("mult-ip-in-sdp", 181), ("ipv4-mapped-ipv6", 236)]
    {
        let Some(case) = find(name) else { return };
        let head = case.bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        read(&case.bytes, |message| {
            let present = &case.bytes[head..];
            assert_eq!(message.body, &present[..length.min(present.len())], "{name}");
            assert_eq!(message.body.len(), length, "{name}");
        })
        .expect("accepted");
    }
}

/// Reads an input as a datagram; accepted is what has a sound frame and grammar.
fn read(bytes: &[u8], look: impl FnOnce(&Message<'_>)) -> Result<(), ParseError> {
    let mut index = Index::default();
    match frame::datagram(&mut index, bytes, &Limits::default()) {
        Datagram::Message(message) => {
            message.check_grammar()?;
            look(&message);
            Ok(())
        }
        Datagram::Faulty(_, error) | Datagram::Unreadable(error) => Err(error),
        Datagram::Noise => Err(ParseError::StartLine),
    }
}

fn vias(bytes: &[u8]) -> Vec<String> {
    let mut index = Index::default();
    let message = index.read(bytes, usize::MAX).expect("a head");
    message.list(Name::Via).map(str::to_owned).collect()
}

fn find(name: &str) -> Option<Case> {
    torture::rfc().into_iter().find(|case| case.name.split('/').nth(1) == Some(name))
}

/// Sends a message to a core over the transport that its top Via names.
fn play(case: &Case) -> (World, FlowId) {
    let via = vias(&case.bytes).swap_remove(0).replace([' ', '\t'], "").to_ascii_uppercase();
    let transport = match via.split('/').nth(2).expect("a transport") {
        rest if rest.starts_with("TCP") => rsip::Transport::Tcp,
        rest if rest.starts_with("TLS") => rsip::Transport::Tls,
        rest if rest.starts_with("UDP") => rsip::Transport::Udp,
        other => panic!("{other} in {}", case.name),
    };
    play_over(transport, &case.bytes)
}

fn play_over(transport: rsip::Transport, bytes: &[u8]) -> (World, FlowId) {
    let mut world = World::silent();
    let flow = match transport {
        rsip::Transport::Udp => UDP_LISTENER,
        _ => {
            let flow = FlowId(FlowId::FIRST_FOREIGN + 100);
            let remote = SOURCE.parse().expect("an address");
            let local = LOCAL.parse().expect("an address");
            world.flows.insert(flow, Hop { transport, remote });
            world.input(Input::FlowAccepted { flow, transport, local, remote: Some(remote) });
            flow
        }
    };
    world.arrive(0.0, flow, SOURCE, bytes);
    world.run_for(secs(0.1));
    (world, flow)
}

const SOURCE: &str = "198.51.100.7:5062";

/// Row, message, acceptable answers; none: it is dropped.
const ROWS: &[(u8, &str, &[u16])] = &[
    (1, "wsinv", &[405, 481]),
    (2, "intmeth", &[501]),
    (3, "esc01", &[405]),
    (4, "escnull", &[405]),
    (5, "esc02", &[501]),
    (6, "lwsdisp", &[200]),
    (7, "longreq", &[405]),
    (8, "dblreq", &[405]),
    (9, "semiuri", &[200]),
    (10, "transports", &[200]),
    (11, "mpart01", &[405]),
    (12, "unreason", &[]),
    (13, "noreason", &[]),
    (14, "badinv01", &[400]),
    (15, "clerr", &[400]),
    (16, "ncl", &[400]),
    (17, "scalar02", &[400]),
    (18, "scalarlg", &[]),
    (19, "quotbal", &[400]),
    (20, "ltgtruri", &[400]),
    (21, "lwsruri", &[400]),
    (22, "lwsstart", &[400, 405]),
    (23, "trws", &[400, 200]),
    (24, "escruri", &[400]),
    (25, "baddate", &[405, 400]),
    (26, "regbadct", &[400, 405]),
    (27, "badaspec", &[400]),
    (28, "baddn", &[400]),
    (29, "badvers", &[505]),
    (30, "mismatch01", &[400]),
    (31, "mismatch02", &[501, 400]),
    (32, "bigcode", &[]),
    (33, "badbranch", &[400]),
    (34, "insuf", &[400]),
    (35, "unkscm", &[416]),
    (36, "novelsc", &[416]),
    (37, "unksm2", &[405]),
    (38, "bext01", &[420]),
    (39, "invut", &[405]),
    (40, "regaut01", &[405]),
    (41, "multi01", &[400]),
    (42, "mcl01", &[400]),
    (43, "bcast", &[]),
    (44, "zeromf", &[200]),
    (45, "cparam01", &[405]),
    (46, "cparam02", &[405]),
    (47, "regescrt", &[405]),
    (48, "sdp01", &[405]),
    (49, "inv2543", &[405]),
    (50, "ipv6-good", &[405]),
    (51, "ipv6-bad", &[400]),
    (52, "port-ambiguous", &[405]),
    (53, "port-unambiguous", &[405]),
    (54, "via-received-param-with-delim", &[405, 481]),
    (55, "via-received-param-no-delim", &[200]),
    (56, "ipv6-in-sdp", &[405]),
    (57, "mult-ip-in-header", &[405, 481]),
    (58, "mult-ip-in-sdp", &[405]),
    (59, "ipv4-mapped-ipv6", &[405]),
    (60, "ipv6-bug-abnf-3-colons", &[200]),
    (61, "ipv6-correct-abnf-2-colons", &[200]),
];
