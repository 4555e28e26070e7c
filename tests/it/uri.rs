//! URI rows: SIP URIs read, compared, written and put into requests (RFC 3261 §19.1).

use std::net::{IpAddr, Ipv6Addr};

use puad::sip::{
    Config,
    message::{Uri, UriRef, uri::unescape},
};

use crate::support::{
    secs,
    world::{World, publish},
};

#[test]
fn uri_01_every_part_of_the_grammar_is_read() {
    let uri = parse("sip:a;d=t?x@[2001:db8::1]:5070;lr;x=1?Subject=a%20b");
    let uri = uri.as_ref();
    assert_eq!(uri.user(), Some("a;d=t?x"));
    assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5070)));
    assert_eq!(uri.host_ip(), Some(IpAddr::V6("2001:db8::1".parse::<Ipv6Addr>().expect("one"))));
    assert_eq!(uri.params().collect::<Vec<_>>(), [("lr", None), ("x", Some("1"))]);
    assert_eq!(uri.headers().collect::<Vec<_>>(), [("Subject", "a%20b")]);
    let secret = parse("SIPS:al&=+$,;?/:p&=+$,w@Example.COM");
    let secret = secret.as_ref();
    assert_eq!((secret.user(), secret.password()), (Some("al&=+$,;?/"), Some("p&=+$,w")));
    assert!(secret.is_sips());
    assert_eq!((secret.host(), secret.port()), ("Example.COM", None));
    assert_eq!(parse("sip:192.0.2.1").as_ref().host_ip(), Some("192.0.2.1".parse().expect("one")));
}

#[test]
fn uri_01_what_the_grammar_does_not_allow_is_refused() {
    for bad in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "a@h",
        ":a@h",
        "1sip:a@h",
        "sip:a@h:",
        "sip:a@h:x",
        "sip:a@h:65536",
        "sip:a@h:-1",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@::1",
        "sip:a@[1.2.3.4]",
        "sip:a b@h",
        "sip:a@h ",
        "sip:a@h\r\nX: y",
        "sip:a\0@h",
        "<sip:a@h>",
        "sip:a\"@h",
        "sip:%@h",
        "sip:%4@h",
        "sip:%zz@h",
        "sip:a@h%41",
        "sip:a@h;",
        "sip:a@h;=1",
        "sip:a@h;x=",
        "sip:a@h;x=@",
        "sip:a@h?",
        "sip:a@h?=x",
        "sip:a#b@h",
        "sip:ö@h",
        "sip:a:b:c@h",
        "tel:",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad:?}");
    }
    let hint = Uri::parse("sip:ö@h").expect_err("not ASCII").to_string();
    assert!(hint.contains("%C3%B6"), "{hint}");
}

#[test]
fn uri_02_escapes_are_undone_once_and_only_where_they_may_be() {
    assert_eq!(unescape("%2541"), "%41");
    let (one, two) = (parse("sip:%00@h"), parse("sip:%00%00@h"));
    let text = |uri: &Uri| unescape(uri.as_ref().user().expect("a user")).into_owned();
    assert_eq!((text(&one).as_str(), text(&two).as_str()), ("\0", "\0\0"));
    assert!(!one.as_ref().equals(two.as_ref()));
    assert_ne!(one.canonical(), two.canonical());
    let built = |user: &str| {
        Uri::build(&rsip::Scheme::Sip, Some(user), "h", None).expect("a URI").as_str().to_owned()
    };
    assert_eq!(built("j@s0n"), "sip:j%40s0n@h");
    assert_eq!(built("50% \"é\":\r\n"), "sip:50%25%20%22%C3%A9%22%3A%0D%0A@h");
    assert_eq!(unescape(parse(&built("50% \"é\":")).as_ref().user().expect("one")), "50% \"é\":");
}

#[test]
fn uri_03_equal_uris() {
    for (a, b) in [
        ("sip:%61@X;Transport=TCP", "sip:a@x;transport=tcp"),
        ("sip:a@x", "sip:a@x;foo=1"),
        ("sip:a@x;foo=1", "sip:a@x;bar=2"),
        ("sip:a@x;b=1;c=2", "sip:a@x;C=2;B=1"),
        ("sip:a@x;b=%7E", "sip:a@x;B=~"),
        ("sip:%ff@x", "sip:%FF@x"),
        ("sip:a%3bb@x", "sip:a%3Bb@x"),
        ("sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0:0::1]"),
        ("sip:x?b=2&a=1", "sip:X?A=1&b=2"),
        ("sip:x?subject=a%20b", "sip:x?Subject=a%20b"),
        ("SIP:a@x", "sip:a@x"),
        ("tel:1", "TEL:1"),
    ] {
        assert!(equal(a, b) && equal(b, a), "{a} and {b}");
    }
}

#[test]
fn uri_03_different_uris() {
    for (a, b) in [
        ("sip:a@x", "sip:a@x:5060"),
        ("sip:a@x", "sip:a@x;transport=udp"),
        ("sip:a@x", "sip:A@x"),
        ("sip:a@x", "sips:a@x"),
        ("sip:a@x", "sip:a@x?s=1"),
        ("sip:a@x", "sip:a:p@x"),
        ("sip:a:p@x", "sip:a:P@x"),
        ("sip:a@x", "sip:x"),
        ("sip:a@x", "sip:a@x;user=phone"),
        ("sip:a@x", "sip:a@x;ttl=1"),
        ("sip:a@x", "sip:a@x;method=PUBLISH"),
        ("sip:a@x", "sip:a@x;maddr=192.0.2.1"),
        ("sip:a@x;foo=1", "sip:a@x;foo=2"),
        ("sip:a@x?s=1", "sip:a@x?s=2"),
        ("sip:a@x?s=1", "sip:a@x?s=1&s=1"),
        // A semicolon in a user means one thing written plainly and another escaped.
        ("sip:a;b@x", "sip:a%3Bb@x"),
        ("sip:a@x", "sip:a@192.0.2.1"),
        ("tel:1", "tel:2"),
    ] {
        assert!(!equal(a, b) && !equal(b, a), "{a} and {b}");
    }
    // Not transitive, which is why it keys no table.
    assert!(equal("sip:a@x;foo=1", "sip:a@x") && equal("sip:a@x", "sip:a@x;foo=2"));
}

#[test]
fn uri_04_parts_that_do_not_belong_in_a_place_are_left_out() {
    let mut world = World::silent();
    let presentity = "sip:a@192.0.2.1:5070;transport=tcp;lr;method=INVITE;ttl=1;x=1?h=v";
    world.publish(publish(presentity, "presence", "text/plain", "x"));
    let [request] = &world.requests()[..] else { panic!("one request") };
    assert_eq!(request.need("To"), "<sip:a@192.0.2.1;x=1>");
    assert!(request.need("From").starts_with("<sip:a@192.0.2.1;x=1>;tag="));
    assert_eq!(request.uri(), "sip:a@192.0.2.1:5070;transport=tcp;lr;ttl=1;x=1");
    assert_eq!(world.sent[0].to.to_string(), "192.0.2.1:5070");
    assert_eq!(world.sent[0].transport, rsip::Transport::Tcp);
}

#[test]
fn uri_05_headers_inside_a_redirect_set_nothing() {
    let mut world = World::with_peer(|request| match request.uri() {
        "sip:b@192.0.2.2" => request.granted("t1", 600),
        _ => request
            .answer(302)
            .header(
                "Contact",
                "<sip:b@192.0.2.2?Route=%3Csip:203.0.113.1%3E&From=%3Csip:e%40h%3E&Subject=s>",
            )
            .bytes(),
    });
    let ticket = world.publish(publish("sip:a@192.0.2.1", "presence", "text/plain", "x"));
    world.run_for(secs(1));
    assert!(world.outcome(ticket).is_ok());
    let [_, redirected] = &world.requests()[..] else { panic!("two requests") };
    assert_eq!(redirected.uri(), "sip:b@192.0.2.2");
    assert_eq!(redirected.get("Route"), None);
    assert!(redirected.need("From").starts_with("<sip:a@192.0.2.1>;tag="));
    assert_eq!(world.sent[1].to.to_string(), "192.0.2.2:5060");
}

#[test]
fn uri_06_other_schemes_need_a_next_hop() {
    for presentity in ["pres:a@x.example", "tel:+4930123"] {
        let mut world = World::granting(600);
        let ticket = world.publish(publish(presentity, "presence", "text/plain", "x"));
        let failure = world.outcome(ticket).expect_err("nowhere to go");
        assert!(failure.message.contains("outbound_proxy"), "{failure}");
        assert!(world.sent.is_empty() && world.queries.is_empty());

        let mut publish = publish(presentity, "presence", "text/plain", "x");
        publish.outbound_proxy = vec![parse("sip:192.0.2.9;lr")];
        let ticket = world.publish(publish);
        assert!(world.outcome(ticket).is_ok());
        let [request] = &world.requests()[..] else { panic!("one request") };
        assert_eq!(request.uri(), presentity);
        assert_eq!(request.need("To"), format!("<{presentity}>"));
        assert_eq!(request.need("Route"), "<sip:192.0.2.9;lr>");
        assert_eq!(world.sent[0].to.to_string(), "192.0.2.9:5060");
    }
    let mut world = World::with_config(Config {
        outbound_proxy: vec![parse("sip:192.0.2.9;lr")],
        ..Config::default()
    });
    world.publish(publish("pres:a@x.example", "presence", "text/plain", "x"));
    assert_eq!(world.requests()[0].uri(), "pres:a@x.example");
}

fn parse(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (UriRef::parse(a).expect(a), UriRef::parse(b).expect(b));
    let (equals, same_key) = (a.equals(b), a.canonical() == b.canonical());
    // A key may tell apart what compares equal, never the other way round.
    assert!(equals || !same_key, "{a} and {b} share a key");
    equals
}
