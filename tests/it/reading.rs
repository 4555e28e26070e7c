//! Presence and message waiting as they come in, and what no reader may fall for.

use std::time::{Duration, Instant};

use puad::body::{Count, Mwi, ParseError, Parsed, Pidf, Timestamp, parse};

const PIDF: &str = "application/pidf+xml";
const MWI: &str = "application/simple-message-summary";

#[test]
fn pkg_03_a_summary_is_read_in_any_case_and_with_blanks_anywhere() {
    let text = "messages-waiting : YES\r\n\
                MESSAGE-ACCOUNT:sip:vm@example.com;user=phone\r\n\
                Voice-Message: 2 / 8 (0/2)\r\n\
                fax-message:0/1\r\n\
                Pager-Message : 1/2 ( 3 / 4 ) \r\n\
                Video-Message: 5/6\r\n";
    let count = |new, old, urgent: Option<(u32, u32)>| Count {
        new,
        old,
        urgent_new: urgent.map(|(new, _)| new),
        urgent_old: urgent.map(|(_, old)| old),
    };
    let expected = Mwi {
        waiting: Some(true),
        account: Some("sip:vm@example.com;user=phone".into()),
        voice: Some(count(2, 8, Some((0, 2)))),
        fax: Some(count(0, 1, None)),
        pager: Some(count(1, 2, Some((3, 4)))),
        other: [("Video-Message".to_owned(), count(5, 6, None))].into(),
        ..Mwi::default()
    };
    assert_eq!(mwi(text), expected);
    // So do bare line feeds, folded lines and an account in brackets.
    let text =
        "Messages-Waiting: no\nMessage-Account:\n <sip:vm@example.com>\nVoice-Message:\n\t0/8";
    let expected = Mwi {
        waiting: Some(false),
        account: Some("sip:vm@example.com".into()),
        voice: Some(count(0, 8, None)),
        ..Mwi::default()
    };
    assert_eq!(mwi(text), expected);
}

#[test]
fn pkg_03_what_is_broken_in_a_summary_does_not_take_the_rest_along() {
    let text = "Messages-Waiting: yes\r\n\
                Voice-Message: many\r\n\
                no colon here\r\n\
                Fax-Message: -1/2\r\n\
                Text-Message: 1/2 (x/y)\r\n";
    let read = mwi(text);
    assert_eq!((read.voice, read.fax), (None, None));
    assert_eq!(read.text, Some(Count { new: 1, old: 2, ..Count::default() }));
}

#[test]
fn pkg_03_the_status_line_comes_first() {
    for (text, line, found) in [
        ("", 1, ""),
        ("Voice-Message: 1/0\r\nMessages-Waiting: yes\r\n", 1, "Voice-Message: 1/0"),
        ("\r\nMessages-Waiting: maybe\r\n", 2, "Messages-Waiting: maybe"),
    ] {
        let error = parse(MWI, text.as_bytes()).expect_err("no summary");
        assert_eq!(error, ParseError::NoStatusLine { line, found: found.into() });
    }
    let error = parse(MWI, b"lamp").expect_err("no summary").to_string();
    assert_eq!(error, "line 1, column 1: \"lamp\" is not Messages-Waiting: yes or no");
}

#[test]
fn pkg_04_counts_beyond_32_bits_are_clamped() {
    let text = "Messages-Waiting: yes\r\n\
                Fax-Message: 99999999999/1 (4294967296/4294967295)\r\n\
                Text-Message: 99999999999999999999999999999999999999/0\r\n";
    let read = mwi(text);
    let most = u32::MAX;
    let urgent = (Some(most), Some(most));
    let fax = Count { new: most, old: 1, urgent_new: urgent.0, urgent_old: urgent.1 };
    assert_eq!(read.fax, Some(fax));
    assert_eq!(read.text, Some(Count { new: most, old: 0, ..Count::default() }));
    let written = read.build().expect("valid").text;
    let written = String::from_utf8(written.to_vec()).expect("UTF-8");
    assert!(written.contains("Fax-Message: 4294967295/1 (4294967295/4294967295)\r\n"), "{written}");
}

#[test]
fn pkg_05_message_headers_come_in_groups() {
    let text = "Messages-Waiting: yes\r\n\
                Voice-Message: 4/8 (1/2)\r\n\
                \r\n\
                To: <alice@atlanta.example.com>\r\n\
                Subject: carpool\r\n  tomorrow?\r\n\
                Message-ID: 13784434989@vmail.example.com\r\n\
                \r\n\
                \r\n\
                Subject : HELP! at home ill\r\n\
                Message-ID: 13684434990@vmail.example.com\r\n";
    let headers = mwi(text).headers;
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(headers.len(), 2);
    assert_eq!(headers[0][1], row("Subject", "carpool tomorrow?"));
    assert_eq!(headers[0][2], row("Message-ID", "13784434989@vmail.example.com"));
    assert_eq!(headers[1][0], row("Subject", "HELP! at home ill"));
    assert!(mwi("Messages-Waiting: no\r\n").headers.is_empty());
    assert!(mwi("Messages-Waiting: no\r\n\r\n").headers.is_empty());
}

#[test]
fn pkg_10_elements_are_found_by_namespace_whatever_the_prefix() {
    let plain = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:a@example.com">
        <tuple id="t1"><status><basic> open </basic></status>
          <contact priority="0.8">
            sip:a@192.0.2.1
          </contact><note>Hi</note></tuple></presence>"#;
    let prefixed = r#"<impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf" entity="pres:a@example.com">
        <impp:tuple id="t1"><impp:status><impp:basic>open</impp:basic></impp:status>
        <impp:contact priority="0.8">sip:a@192.0.2.1</impp:contact>
        <impp:note>Hi</impp:note></impp:tuple></impp:presence>"#;
    let (plain, prefixed) = (pidf(plain), pidf(prefixed));
    assert_eq!(plain, prefixed);
    assert_eq!(plain.entity, "pres:a@example.com");
    let tuple = &plain.tuples[0];
    assert_eq!((tuple.id.as_str(), tuple.basic.as_deref()), ("t1", Some("open")));
    assert_eq!(tuple.contact.as_deref(), Some("sip:a@192.0.2.1"));
    assert_eq!((tuple.priority, tuple.note.as_deref()), (Some(0.8), Some("Hi")));
}

#[test]
fn pkg_10_unknown_elements_are_passed_over_with_all_that_is_in_them() {
    let read = presence(
        r#"<x:group xmlns:x="urn:x"><tuple id="hidden"><status><basic>open</basic></status></tuple></x:group>
           <tuple id="t1"><x:basic xmlns:x="urn:x">closed</x:basic>
             <status><x:im xmlns:x="urn:x" pidf:mustUnderstand="true">busy</x:im><basic>open</basic></status>
           </tuple>
           <tuple xmlns="urn:other" id="foreign"/>"#,
    );
    let ids: Vec<_> = read.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
    assert_eq!(ids, ["t1"]);
    assert_eq!(read.tuples[0].basic.as_deref(), Some("open"));
}

#[test]
fn pkg_10_an_extension_that_asks_for_more_than_is_known_is_not_interpreted() {
    let persons = |mark: &str| {
        presence(&format!(
            r#"<dm:person id="p1"><rpid:activities><rpid:busy/></rpid:activities>
               <x:secret xmlns:x="urn:x" {mark}/></dm:person>"#
        ))
        .persons
        .len()
    };
    assert_eq!(persons(""), 1);
    assert_eq!(persons("pidf:mustUnderstand=\"false\""), 1);
    assert_eq!(persons("pidf:mustUnderstand=\"true\""), 0);
    assert_eq!(persons("pidf:mustUnderstand=\"1\""), 0);
    let read = presence(
        r#"<dm:person id="p1"><rpid:activities><rpid:busy/><x:y xmlns:x="urn:x" pidf:mustUnderstand="1"/>
           </rpid:activities><rpid:mood><rpid:sad/></rpid:mood></dm:person>"#,
    );
    assert!(read.persons[0].activities.is_empty(), "not half of what the person does");
    assert_eq!(read.persons[0].mood, ["sad"]);
}

#[test]
fn pkg_11_a_priority_that_is_wrong_counts_as_the_lowest() {
    let priority = |attribute: &str| {
        let tuple = format!(
            r#"<tuple id="a"><status><basic>open</basic></status><contact {attribute}>sip:a@x</contact></tuple>"#
        );
        presence(&tuple).tuples[0].priority
    };
    assert_eq!(priority("priority='0.25'"), Some(0.25));
    assert_eq!(priority("priority=' 1 '"), Some(1.0));
    assert_eq!(priority(""), None, "which is the lowest too");
    for wrong in ["2", "-1", "high", "", "NaN", "inf"] {
        assert_eq!(priority(&format!("priority='{wrong}'")), Some(0.0), "{wrong}");
    }
}

#[test]
fn pkg_12_a_charset_in_content_type_beats_the_declaration() {
    let text = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\
                <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@x\"><note>ä</note></presence>";
    let note = |content_type: &str, octets: &[u8]| match parse(content_type, octets) {
        Ok(Parsed::Pidf(pidf)) => pidf.note.expect("a note"),
        other => panic!("{other:?}"),
    };
    for content_type in [
        "application/pidf+xml;charset=UTF-8",
        "application/pidf+xml ; q=1 ; Charset=\"utf-8\"",
        "APPLICATION/PIDF+XML; charset=utf8",
    ] {
        assert_eq!(note(content_type, text.as_bytes()), "ä", "{content_type}");
    }
    assert_eq!(note(PIDF, text.as_bytes()), "Ã¤", "by its own declaration");
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    assert_eq!(note(PIDF, &latin), "ä");
}

#[test]
fn pkg_14_persons_and_devices_are_read_and_a_root_note_is_inherited() {
    let read = presence(
        r#"<note>all of us</note>
           <dm:person id="p1"/><dm:person id="p2"><dm:note>only me</dm:note>
             <dm:timestamp>2025-01-01T00:00:00Z</dm:timestamp></dm:person>
           <dm:device id="d1"><rpid:user-input>idle</rpid:user-input><dm:deviceID> urn:x:1 </dm:deviceID></dm:device>
           <dm:device id="d2"><dm:deviceID>urn:x:2</dm:deviceID><dm:note>desk</dm:note></dm:device>"#,
    );
    let notes: Vec<_> = read.persons.iter().map(|person| read.note_of(person)).collect();
    assert_eq!(notes, [Some("all of us"), Some("only me")]);
    assert_eq!(read.persons[0].note, None, "inherited, not written into it");
    let timestamp = Timestamp::Text("2025-01-01T00:00:00Z".into());
    assert_eq!(read.persons[1].timestamp, Some(timestamp));
    assert_eq!(
        (read.devices[0].id.as_str(), read.devices[0].device_id.as_str()),
        ("d1", "urn:x:1")
    );
    assert_eq!(read.devices[1].note.as_deref(), Some("desk"));
}

#[test]
fn pkg_15_what_does_not_validate_is_read_as_far_as_it_parses() {
    let read = presence(
        r#"<dm:device id="d1"><dm:note>first</dm:note><dm:deviceID>urn:x:1</dm:deviceID></dm:device>
           <tuple><note>no id</note><status><basic>open</basic></status></tuple>
           <tuple id="t2"><contact>sip:a@x</contact></tuple>
           <tuple id="t2"><status><basic>maybe</basic></status><timestamp>noon</timestamp></tuple>"#,
    );
    assert_eq!(read.devices[0].device_id, "urn:x:1");
    let ids: Vec<_> = read.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
    assert_eq!(ids, ["", "t2", "t2"]);
    assert_eq!(read.tuples[0].basic.as_deref(), Some("open"));
    assert_eq!(read.tuples[1].basic, None);
    assert_eq!(read.tuples[2].timestamp, Some(Timestamp::Text("noon".into())));
    // Whether it may be sent on is another question.
    assert!(read.build().is_err());
}

#[test]
fn a_type_that_is_not_known_is_named_with_those_that_are() {
    for bad in ["text/plain", "application/pidf", "", "application/pidf+xml+x;charset=utf-8"] {
        let error = parse(bad, b"<a/>").expect_err("unknown").to_string();
        let media_type = bad.split(';').next().expect("one");
        let start = format!("{media_type:?} is no type of document that puad reads; it reads ");
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains("application/pidf+xml, application/simple-message-summary, "));
    }
}

#[test]
fn an_error_names_line_and_column() {
    for (text, expected) in [
        ("<presence>\n  <tuple>\n</presence>", "line 3, column 1: "),
        ("\r\n\r\n<a>\n&nbsp;</a>", "line 4, column 1: "),
        ("  <a b=c/>", "line 1, column "),
        ("<a>\n<b", "line 2, column 3: the document ends too early"),
        ("<a>\n  <b>", "line 2, column 6: the document ends too early"),
        ("<p:a/>", "line 1, column 2: an unknown namespace prefix 'p'"),
        ("<a b='1' b='2'/>", "line 1, column 10: attribute 'b' is already defined"),
        (
            "\n<!-- x -->\n <presence entity='a'/>",
            "line 3, column 2: the root is <presence> in the namespace \"\", not <presence> in \"urn:ietf:params:xml:ns:pidf\"",
        ),
    ] {
        let error = parse(PIDF, text.as_bytes()).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    assert!(parse(PIDF, b"").is_err());
    assert!(parse(PIDF, b"not xml").is_err());
}

#[test]
fn a_leading_empty_line_or_a_byte_order_mark_does_no_harm() {
    let document = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@x\"/>";
    for lead in ["", "\r\n", " \n\t", "\u{feff}", "\u{feff}\r\n"] {
        assert_eq!(pidf(&format!("{lead}{document}")).entity, "sip:a@x", "{lead:?}");
    }
}

#[test]
fn documents_made_to_exhaust_a_reader_are_refused_at_once() {
    let root = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@x'>";
    let entity = |n: usize| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10));
    let entities: String = (1..10).map(entity).collect();
    let laughs = format!(
        "<?xml version='1.0'?><!DOCTYPE p [<!ENTITY l0 'lol'>{entities}]>{root}<note>&l9;</note></presence>"
    );
    let attributes: String = (0..60_000).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..130).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    let below = format!("<a{namespaces}><b{}>", namespaces.replace(":n", ":m"));
    let redeclared = format!("{root}{below}{}", "<c xmlns:z='urn:z'/>".repeat(30_000));
    for (what, text, expected) in [
        ("a billion laughs", laughs, "document type declarations"),
        ("nesting", "<a>".repeat(300_000), "nested deeper than 64"),
        (
            "nesting, closed",
            ["<a>".repeat(65), "</a>".repeat(65)].concat(),
            "nested deeper than 64",
        ),
        ("attributes", format!("<a{attributes}/>"), "more than 256 attributes"),
        ("namespaces", redeclared, "more than 256 namespaces"),
        ("elements", format!("{root}{}", "<a/>".repeat(250_000)), "nodes limit"),
        ("elements, closed", format!("{root}{}</presence>", "<a/>".repeat(250_000)), "nodes limit"),
        ("octets", " ".repeat(1024 * 1024 + 1), "a document of 1048577 bytes is too large"),
        (
            "an external entity",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>".into(),
            "document type declarations",
        ),
        ("an open comment", format!("{root}<!--{}", "-".repeat(500_000)), "line 1, column "),
        ("a long name", format!("<{0}></{0}b>", "a".repeat(400_000)), "line 1, column "),
        ("a long root", format!("<{}/>", "a".repeat(400_000)), "the root is <aaa"),
        ("a long prefix", format!("<{}:b/>", "a".repeat(400_000)), "an unknown namespace prefix"),
        ("open brackets", "<".repeat(1_000_000), "line 1, column "),
        ("references", format!("{root}<note>{}</note>", "&amp;".repeat(200_000)), "ends too early"),
    ] {
        let start = Instant::now();
        let error = parse(PIDF, text.as_bytes()).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(error.len() < 300, "{what}: an error of {} bytes", error.len());
        // Quadratic work would take minutes; this bound only has to tell the two apart.
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
    }
    // In a thread with as little stack as a script's.
    let deep = ["<a>".repeat(64), "</a>".repeat(64)].concat();
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    let read = thread.spawn(move || parse(PIDF, deep.as_bytes())).expect("started").join();
    assert!(matches!(read.expect("no overflow"), Err(ParseError::Root { .. })));
}

#[test]
fn sec_12_links_inside_documents_are_text() {
    let read = presence(
        r#"<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>
           <tuple id="a"><status><basic>open</basic></status><contact>http://example.com/&amp;</contact></tuple>"#,
    );
    assert_eq!(read.tuples[0].contact.as_deref(), Some("http://example.com/&"));
    assert_eq!(read.note, None);
}

proptest::proptest! {
    #[test]
    fn no_octets_make_a_reader_panic(
        octets in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        text in r#"(<|</|/>|>|<!\[CDATA\[|\]\]>|<!--|-->|<\?|\?>|&#x?[0-9]{1,9};|&[a-z]{1,3};|[a-c:= '"]|xmlns|presence|tuple|\n){0,40}"#,
    ) {
        for content_type in TYPES {
            let _ = parse(content_type, &octets);
            let _ = parse(content_type, text.as_bytes());
            let root = format!("<presence xmlns='urn:ietf:params:xml:ns:pidf'>{text}</presence>");
            let _ = parse(content_type, root.as_bytes());
        }
    }
}

const TYPES: [&str; 5] = [
    PIDF,
    MWI,
    "application/pidf+xml;charset=utf-16",
    "application/pidf+xml;charset=iso-8859-1",
    "application/dialog-info+xml",
];

fn mwi(text: &str) -> Mwi {
    match parse(MWI, text.as_bytes()) {
        Ok(Parsed::Mwi(mwi)) => mwi,
        other => panic!("{other:?}"),
    }
}

fn pidf(text: &str) -> Pidf {
    match parse(PIDF, text.as_bytes()) {
        Ok(Parsed::Pidf(pidf)) => pidf,
        other => panic!("{other:?}"),
    }
}

/// Reads a presence document with these contents.
fn presence(contents: &str) -> Pidf {
    pidf(&format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:pidf="urn:ietf:params:xml:ns:pidf"
          xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
          entity="pres:a@example.com">{contents}</presence>"#
    ))
}
