//! What is printed reads back the same, in the core's words and in rsip's.

use proptest::prelude::*;
use puad::sip::{
    config::Limits,
    message::{
        Index, Name, StartLine, Uri,
        convert::{Whole, uri_text, uri_to_rsip, whole},
        frame, print,
        uri::unescape,
        value,
    },
};
use rsip::headers as h;

proptest! {
    #[test]
    fn a_request_reads_back_as_it_was_printed(
        method in prop::sample::select(METHODS),
        uri in uri(),
        headers in prop::collection::vec(header(), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut request = rsip::Request {
            method: puad::sip::message::method(method).expect("known"),
            uri: rsip::Uri::from(&Uri::parse(&uri).expect("a URI")),
            version: rsip::Version::V2,
            headers: headers.into(),
            body,
        };
        let bytes = print::request(&request).expect("printable");
        request.headers.push(length(&request.body));
        prop_assert_eq!(read_whole(&bytes), Whole::Request(request));
    }

    #[test]
    fn a_response_reads_back_as_it_was_printed(
        code in 100..700_u16,
        reason in "[^\r\n\0]{0,30}",
        headers in prop::collection::vec(header(), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut response = rsip::Response {
            status_code: code.into(),
            version: rsip::Version::V2,
            headers: headers.into(),
            body,
        };
        let bytes = print::response(&response, &reason).expect("printable");
        response.headers.push(length(&response.body));
        prop_assert_eq!(read_whole(&bytes), Whole::Response(response, reason));
    }

    #[test]
    fn a_written_message_reads_back_line_by_line_also_from_a_stream(
        messages in prop::collection::vec(
            (uri(), prop::collection::vec((name(), text()), 0..10), "\\PC{0,40}"),
            1..4,
        ),
        cut in 1..50_usize,
    ) {
        let mut stream = Vec::new();
        for (uri, headers, body) in &messages {
            let mut writer = print::Writer::request("PUBLISH", uri);
            for (name, value) in headers {
                writer.named(name, value);
            }
            stream.extend_from_slice(&writer.finish(body.as_bytes()));
        }
        let (mut index, mut decoder) = (Index::default(), frame::Decoder::default());
        let mut pieces = Vec::new();
        for bytes in stream.chunks(cut) {
            decoder.push(bytes);
            while let frame::Piece::Message(piece) = decoder.next(&mut index, &Limits::default()) {
                pieces.push(piece);
            }
        }
        prop_assert_eq!(pieces.len(), messages.len());
        for (piece, (uri, headers, body)) in pieces.iter().zip(&messages) {
            let message = index.read(piece, 100).expect("a head");
            prop_assert_eq!(message.start, StartLine::Request { method: "PUBLISH", uri });
            prop_assert_eq!(message.body, body.as_bytes());
            let read: Vec<_> = message
                .fields()
                .filter(|field| field.name != Name::ContentLength)
                .map(|field| (
                    String::from_utf8(field.raw_name.to_vec()).expect("text"),
                    field.text().expect("text").to_owned(),
                ))
                .collect();
            prop_assert_eq!(&read, headers);
        }
    }

    #[test]
    fn a_quoted_string_and_an_escaped_user_come_back(text in "[^\r\n\0]{0,40}") {
        let mut quoted = Vec::new();
        value::quote_into(&mut quoted, &text);
        let quoted = String::from_utf8(quoted).expect("text");
        prop_assert_eq!(value::unquote(&quoted), text.as_str());
        let row = format!("{quoted} <sip:a@h>;tag=1, x");
        prop_assert_eq!(value::split_list(&row).count(), 2);
        let address = value::split_list(&row).next().map(value::NameAddr::parse);
        prop_assert_eq!(address.expect("an element").expect("valid").display, quoted.as_str());
        if !text.is_empty() {
            let uri = Uri::build(&rsip::Scheme::Sip, Some(&text), "h", Some(5070)).expect("valid");
            prop_assert_eq!(unescape(uri.as_ref().user().expect("a user")), text);
        }
    }

    #[test]
    fn a_uri_is_the_same_in_rsips_words_and_its_key_is_its_own_key(text in uri()) {
        let uri = Uri::parse(&text).expect("a URI");
        prop_assert_eq!(uri_text(&uri_to_rsip(uri.as_ref())), text);
        let canonical = Uri::parse(&uri.canonical()).expect("a key is a URI");
        prop_assert_eq!(canonical.canonical(), uri.canonical());
        prop_assert!(uri.as_ref().equals(uri.as_ref()));
        prop_assert!(uri.as_ref().equals(canonical.as_ref()));
    }

    #[test]
    fn sec_11_readers_of_values_take_any_text(text in "[ -~é\\x00-\\x1f]{0,60}") {
        let _ = value::split_list(&text).map(value::NameAddr::parse).count();
        let _ = value::Via::parse(&text);
        let _ = value::CSeq::parse(&text);
        let _ = value::Params::parse(&text).map(|params| params.iter().count());
        let _ = value::Challenge::parse(&text).map(|challenge| challenge.get("realm").is_some());
        let _ = (value::seconds(&text), value::retry_after(&text), value::unquote(&text));
        let _ = unescape(&text);
        for uri in [text.clone(), format!("sip:{text}"), format!("sip:a@h{text}")] {
            if let Ok(uri) = Uri::parse(&uri) {
                let _ = (uri.canonical(), format!("{uri:?}"), uri.as_ref().equals(uri.as_ref()));
                let _ = (uri.as_ref().request_uri(), uri.as_ref().address_of_record());
            }
        }
    }
}

#[test]
fn rsips_words_have_long_names_and_their_own_variants() {
    let bytes = b"NOTIFY sip:b@[2001:db8::1]:5070;lr;x=1 SIP/2.0\r\n\
        v: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@x>;tag=1\r\nT: <sip:b@y>\r\n\
        i: c\r\ncseq: 1 NOTIFY\r\nm: <sip:a@x>\r\no: presence\r\nU: presence\r\n\
        subscription-STATE: active;expires=5\r\ns: hi\r\nk: a\r\ne: identity\r\nc: text/plain\r\n\
        sip-etag: t\r\nX-Own: 1\r\nl: 2\r\n\r\nok";
    let Whole::Request(request) = read_whole(bytes) else { panic!("a request") };
    assert_eq!(request.method, rsip::Method::Notify);
    assert_eq!(request.uri.host_with_port.host, rsip::Host::Domain("[2001:db8::1]".into()));
    assert_eq!(request.uri.host_with_port.port, Some(5070.into()));
    assert_eq!(uri_text(&request.uri), "sip:b@[2001:db8::1]:5070;lr;x=1",);
    assert_eq!(request.body, b"ok");
    let expected: Vec<rsip::Header> = vec![
        h::Via::from("SIP/2.0/UDP h;branch=z9hG4bK1").into(),
        h::From::from("<sip:a@x>;tag=1").into(),
        h::To::from("<sip:b@y>").into(),
        h::CallId::from("c").into(),
        h::CSeq::from("1 NOTIFY").into(),
        h::Contact::from("<sip:a@x>").into(),
        h::Event::from("presence").into(),
        rsip::Header::Other("Allow-Events".into(), "presence".into()),
        rsip::Header::SubscriptionState(h::SubscriptionState::from("active;expires=5")),
        h::Subject::from("hi").into(),
        h::Supported::from("a").into(),
        h::ContentEncoding::from("identity").into(),
        h::ContentType::from("text/plain").into(),
        rsip::Header::Other("SIP-ETag".into(), "t".into()),
        rsip::Header::Other("X-Own".into(), "1".into()),
        h::ContentLength::from("2").into(),
    ];
    assert_eq!(request.headers.iter().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(Name::SubscriptionState.find(&request.headers), Some("active;expires=5"));
    assert_eq!(Name::AllowEvents.find(&request.headers), Some("presence"));
    assert_eq!(Name::Route.find(&request.headers), None);
}

#[test]
fn rsips_words_keep_what_rsip_has_no_place_for() {
    for text in ["sips:a:p@h?Subject=a%20b&x=y", "tel:+49;phone-context=x", "urn:service:sos"] {
        assert_eq!(uri_text(&uri_to_rsip(Uri::parse(text).expect("a URI").as_ref())), text);
    }
    let response = b"SIP/2.0 299 Fast gut\r\nCSeq: 1 PUBLISH\r\n\r\n";
    let Whole::Response(response, reason) = read_whole(response) else { panic!("a response") };
    assert_eq!((response.status_code.code(), reason.as_str()), (299, "Fast gut"));
}

#[test]
fn a_value_that_would_break_the_message_is_not_printed() {
    let request = |name: &str, value: &str| rsip::Request {
        method: rsip::Method::Publish,
        uri: uri_to_rsip(Uri::parse("sip:a@h").expect("a URI").as_ref()),
        version: rsip::Version::V2,
        headers: vec![rsip::Header::Other(name.into(), value.into())].into(),
        body: Vec::new(),
    };
    assert!(print::request(&request("X-A", "fine")).is_ok());
    for value in ["a\r\nB: c", "a\nb", "a\rb", "a\0"] {
        assert!(print::request(&request("X-A", value)).is_err(), "{value:?}");
    }
    for name in ["", "X A", "X:A", "X\r\nA", "é"] {
        assert!(print::request(&request(name, "v")).is_err(), "{name:?}");
    }
    let response = rsip::Response { status_code: 200.into(), ..rsip::Response::default() };
    assert!(print::response(&response, "OK\r\nX: y").is_err());
    // The length is the printer's own word.
    let bytes = print::request(&request("content-LENGTH", "99")).expect("printable");
    assert!(bytes.ends_with(b" SIP/2.0\r\nContent-Length: 0\r\n\r\n"));
}

fn read_whole(bytes: &[u8]) -> Whole {
    let mut index = Index::default();
    let frame::Datagram::Message(message) = frame::datagram(&mut index, bytes, &Limits::default())
    else {
        panic!("no message: {}", String::from_utf8_lossy(bytes));
    };
    whole(&message).expect("fits rsip's words")
}

fn length(body: &[u8]) -> rsip::Header {
    h::ContentLength::from(body.len().to_string()).into()
}

fn header() -> impl Strategy<Value = rsip::Header> {
    (0..14_u8, name(), text()).prop_map(|(which, name, text)| match which {
        0 => h::Via::from(text).into(),
        1 => h::From::from(text).into(),
        2 => h::To::from(text).into(),
        3 => h::CallId::from(text).into(),
        4 => h::CSeq::from(text).into(),
        5 => h::Contact::from(text).into(),
        6 => h::Event::from(text).into(),
        7 => h::Expires::from(text).into(),
        8 => rsip::Header::SubscriptionState(h::SubscriptionState::from(text)),
        9 => h::WwwAuthenticate::from(text).into(),
        10 => rsip::Header::Other("SIP-If-Match".into(), text),
        _ => rsip::Header::Other(name, text),
    })
}

fn name() -> impl Strategy<Value = String> {
    "X-[A-Za-z0-9.!%*_+`'~-]{0,12}"
}

/// A header value as it may stand in a line: anything but line ends and NUL, no blanks around it.
fn text() -> impl Strategy<Value = String> {
    "[^\r\n\0]{0,40}".prop_map(|text| text.trim_matches([' ', '\t']).to_owned())
}

fn uri() -> impl Strategy<Value = String> {
    let user = "([a-z0-9;?/&=+$,._~-]|%[0-9A-F]{2}){1,8}(:[a-z0-9]{1,4})?@";
    let host = "([a-zA-Z0-9-]{1,8}\\.example|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9a-f]\\])";
    // Each name once: a URI with one parameter twice is malformed.
    let param = |name: &str| format!("(;{name}(=[a-zA-Z0-9:&+$_-]{{1,5}}|%20)?)?");
    let params = ["c", "a", "b"].map(param).concat();
    let tail = proptest::string::string_regex(&format!(
        "(:[1-9][0-9]{{0,3}})?{params}(\\?[a-z]{{1,3}}=[a-z0-9]{{0,4}})?"
    ))
    .expect("a pattern");
    (prop::bool::ANY, prop::option::of(user), host, tail).prop_map(|(secure, user, host, tail)| {
        let scheme = if secure { "sips" } else { "sip" };
        format!("{scheme}:{}{host}{tail}", user.unwrap_or_default())
    })
}

const METHODS: &[&str] =
    &["PUBLISH", "NOTIFY", "SUBSCRIBE", "OPTIONS", "INVITE", "PRACK", "UPDATE"];
