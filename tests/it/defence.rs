//! SEC rows: what strangers can make puad do, keep and send (RFC 3261 §26; RFC 4475).

use std::net::{IpAddr, SocketAddr};

use puad::{
    command::PublicationState,
    sip::{
        Config,
        config::Limits,
        io::{FlowId, Input},
    },
};

use crate::support::{
    Ask, secs,
    world::{PEER, UDP_LISTENER, World, presence, publish},
};

/// How much a core keeps, measured by what it can show of itself.
fn kept(world: &World) -> usize {
    format!("{:?}", world.uac).len()
}

/// The nth of many addresses.
fn source(n: u32) -> String {
    format!("{}:5060", std::net::Ipv4Addr::from(0x0a00_0000 + n))
}

/// Sends a datagram and returns how many bytes leave for it, in how many messages.
fn bytes_out(world: &mut World, source: &str, ask: &[u8]) -> (usize, usize) {
    let source = source.parse().expect("an address");
    let before = world.sent.len();
    world.input(Input::Received { flow: UDP_LISTENER, source, message: ask });
    let sent = world.sent.split_off(before);
    (sent.iter().map(|sent| sent.bytes.len()).sum(), sent.len())
}

#[test]
fn sec_03_a_hundred_thousand_requests_leave_memory_flat_and_amplify_nothing() {
    let mut world = World::silent();
    let mut answered = 0;
    let mut kept_early = 0;
    for n in 0..100_000_u32 {
        // A thousand a second from five hundred sources.
        if n % 1000 == 0 {
            world.run_for(secs(1));
        }
        let id = format!("{:x}", n.wrapping_mul(2_654_435_761));
        let ask = match n % 2 {
            0 => Ask::options(&id),
            _ => Ask::new("NOTIFY", &id).with("Event", "presence").body("text/plain", "x"),
        };
        let ask = ask.bytes();
        let (bytes, count) = bytes_out(&mut world, &source(n % 500), &ask);
        assert!(count <= 1);
        assert!(bytes as f64 <= ask.len() as f64 * 1.2 + 300.0, "{bytes} for {}", ask.len());
        answered += count;
        if n == 20_000 {
            kept_early = kept(&world);
        }
    }
    assert_eq!(answered, 100_000, "within the rate everybody is answered");
    let kept_late = kept(&world);
    assert!(kept_late < kept_early + kept_early / 10, "{kept_early} grew to {kept_late}");
    // Nothing follows, and when it is quiet all of it is forgotten.
    world.run_for(secs(60));
    assert!(world.sent.is_empty());
    assert!(kept(&world) < kept_early / 5, "{} of {kept_early} stayed", kept(&world));
}

#[test]
fn sec_03_answers_to_one_source_are_capped() {
    let rate = u64::from(Limits::default().answers_per_second);
    let mut world = World::silent();
    let repeated = Ask::options("same").bytes();
    let malformed = Ask::options("bad").text().replace("CSeq: 1", "CSeq: x").into_bytes();
    // Fresh requests, repeats of one, and nonsense: a victim whose address is forged gets no more of one than of another.
    let kinds: [&dyn Fn(usize) -> Vec<u8>; 4] = [
        &|n| Ask::options(&n.to_string()).bytes(),
        &|_| repeated.clone(),
        &|_| malformed.clone(),
        &|n| Ask::new("INVITE", &n.to_string()).bytes(),
    ];
    for kind in kinds {
        world.run_for(secs(60));
        let mut answered = 0;
        for n in 0..10_000 {
            // Ten seconds in all.
            if n % 1000 == 0 {
                world.run_for(secs(1));
            }
            answered += bytes_out(&mut world, PEER, &kind(n)).1 as u64;
        }
        assert!((rate * 9..=rate * 11).contains(&answered), "{answered}");
        // Others are served all the same.
        assert_eq!(bytes_out(&mut world, "198.51.100.1:5060", &kind(0)).1, 1);
    }
    assert_eq!(world.uac.stats().over_rate, 4 * (10_000 - rate * 10));
}

#[test]
fn sec_03_forged_sources_without_number_leave_memory_flat() {
    let mut world = World::silent();
    let mut kept_early = 0;
    for n in 0..100_000 {
        if n % 10_000 == 0 {
            world.run_for(secs(1));
        }
        bytes_out(&mut world, &source(n), &Ask::options(&n.to_string()).bytes());
        if n == 20_000 {
            kept_early = kept(&world);
        }
    }
    let kept_late = kept(&world);
    assert!(kept_late < kept_early + kept_early / 10, "{kept_early} grew to {kept_late}");
    // The next second knows nothing of it.
    world.run_for(secs(2));
    assert_eq!(world.ask(PEER, &Ask::options("late").bytes())[0].code(), 200);
}

#[test]
fn sec_03_no_shape_of_a_request_makes_the_answer_much_larger() {
    let options: Vec<String> = (0..15_000).map(|n| format!("{n:x}")).collect();
    let compact = |rows: usize| {
        let vias = "v:SIP/2.0/UDP a;branch=z9hG4bK1\r\n".repeat(rows);
        format!(
            "OPTIONS sip:a SIP/2.0\r\n{vias}f:sip:a;tag=1\r\nt:sip:a\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n"
        )
    };
    for ask in [
        compact(1),
        compact(200),
        Ask::options("q").with("Require", &options.join(",")).text(),
        Ask::options("q").with("Require", &",a".repeat(20_000)).text(),
        Ask::options("q").uri("tel:1").text(),
        Ask::new("INVITE", "q").text(),
        Ask::new("X", "q").text(),
        Ask::options("q").to("<sip:a@b>;tag=x").text(),
        Ask::options("q").text().replace("Call-ID", "X"),
        Ask::options(&"b".repeat(50_000)).text(),
    ] {
        let (bytes, count) = bytes_out(&mut World::silent(), PEER, ask.as_bytes());
        assert_eq!(count, 1);
        let most = ask.len() as f64 * 1.2 + 300.0;
        assert!(bytes as f64 <= most, "{bytes} for {}: {:.300}", ask.len(), ask);
    }
}

#[test]
fn sec_03_requests_too_large_to_keep_are_answered_without_state() {
    let mut world = World::silent();
    let large = |id: usize| Ask::options(&format!("{id}{}", "b".repeat(25_000))).bytes();
    let empty = kept(&world);
    for n in 0..1000 {
        assert_eq!(bytes_out(&mut world, &source(n as u32 % 50), &large(n)).1, 1);
    }
    assert!(kept(&world) < empty + 1_000_000, "{} bytes kept", kept(&world));
    // Without being remembered, the same request gets the same answer.
    assert_eq!(world.ask(PEER, &large(1)), world.ask(PEER, &large(1)));
}

#[test]
fn sec_04_what_nobody_asked_for_makes_puad_send_no_request() {
    let mut world = World::silent();
    let tcp = world.connect(1, "192.0.2.1:40001");
    let stray = |code: &str, more: &str| {
        format!(
            "SIP/2.0 {code}\r\nVia: SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bK0123456789abcdef\r\n\
             From: <sip:alice@192.0.2.1>;tag=1\r\nTo: <sip:alice@192.0.2.1>;tag=2\r\nCall-ID: c\r\n\
             CSeq: 1 PUBLISH\r\n{more}Content-Length: 0\r\n\r\n"
        )
    };
    let contact = "Contact: <sip:victim@198.51.100.9>\r\n";
    let digest = "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\n";
    let strays = [
        stray("100 Trying", ""),
        stray("200 OK", "SIP-ETag: x\r\nExpires: 60\r\n"),
        stray("302 Moved", contact),
        stray("401 Unauthorized", digest),
        stray("412 Conditional Request Failed", ""),
        stray("423 Interval Too Brief", "Min-Expires: 9999\r\n"),
        stray("503 Service Unavailable", "Retry-After: 3600\r\n"),
        Ask::new("NOTIFY", "n1")
            .to("<sip:puad@192.0.2.10>;tag=x")
            .with("Event", "presence")
            .with("Subscription-State", "terminated;reason=deactivated")
            .with("Contact", "<sip:victim@198.51.100.9>")
            .with("Record-Route", "<sip:victim@198.51.100.9;lr>")
            .text(),
        Ask::new("REFER", "r1").with("Refer-To", "<sip:victim@198.51.100.9>").text(),
        Ask::options("o1").with("Route", "<sip:198.51.100.9;lr>").text(),
    ];
    for stray in &strays {
        world.arrive(0.0, UDP_LISTENER, PEER, stray.as_bytes());
        world.arrive(0.0, tcp, "192.0.2.1:40001", stray.as_bytes());
    }
    world.run_for(secs(7200));
    assert_eq!(world.requests(), []);
    assert!(world.opened.is_empty() && world.queries.is_empty());
    assert_eq!(world.uac.stats().stray_responses, 14);
    // Least of all does a forged 503 silence anybody.
    world.publish(presence("<a/>"));
    assert_eq!(world.requests().len(), 1);
}

/// A world that listens on both families and whose peer, at this address, redirects everything.
fn redirecting(peer: &str, contact: &str) -> World {
    let contact = contact.to_owned();
    let mut world = World::silent();
    let local = "[2001:db8::10]:5070".parse().expect("an address");
    let flow = FlowId(FlowId::FIRST_FOREIGN + 50);
    let transport = rsip::Transport::Udp;
    world.input(Input::FlowAccepted { flow, transport, local, remote: None });
    for (name, address) in [("loop.example", "127.0.0.1"), ("cast.example", "224.0.1.75")] {
        world.dns.insert(name.into(), Ok(vec![address.parse().expect("an address")]));
    }
    world.peer = Box::new(move |_, request| {
        vec![(0.0, request.answer(302).header("Contact", &contact).bytes())]
    });
    world.publish(publish(&format!("sip:alice@{peer}"), "presence", "text/plain", "x"));
    world.run_for(secs(60));
    world
}

#[test]
fn sec_06_a_redirect_leads_to_no_forbidden_address() {
    for contact in [
        "<sip:a@255.255.255.255>",
        "<sip:a@224.0.1.75>",
        "<sip:a@0.0.0.0>",
        "<sip:a@[::]>",
        "<sip:a@[ff02::1]>",
        "<sip:a@[::ffff:224.0.1.75]>",
        "<sip:a@192.0.2.3;maddr=224.0.1.75>",
        "<sip:a@192.0.2.3;maddr=255.255.255.255>",
        "<sip:a@cast.example>",
        // Loopback, as named by a peer that is not there itself.
        "<sip:a@127.0.0.1>",
        "<sip:a@127.8.9.10:22;transport=tcp>",
        "<sip:a@[::1]>",
        "<sip:a@[::ffff:127.0.0.1]>",
        "<sip:a@192.0.2.3;maddr=127.0.0.1>",
        "<sip:a@loop.example>",
    ] {
        let mut world = redirecting("192.0.2.1", contact);
        let to: Vec<_> = world.sent.iter().map(|sent| sent.to.to_string()).collect();
        assert_eq!(to, [PEER], "{contact}");
        assert_eq!(world.opened.len(), 1, "{contact}");
        assert_eq!(world.infos()[0].state, PublicationState::Failed, "{contact}");
    }
    // A peer on this very machine may name another port of it.
    let world = redirecting("127.0.0.1", "<sip:b@127.0.0.1:5080>");
    assert_eq!(world.sent[1].to.to_string(), "127.0.0.1:5080");
    let world = redirecting("192.0.2.1", "<sip:b@192.0.2.3>");
    assert_eq!(world.sent[1].to.to_string(), "192.0.2.3:5060");
}

#[test]
fn sec_06_an_answer_goes_to_the_source_whatever_via_says() {
    let source: SocketAddr = "198.51.100.7:40000".parse().expect("an address");
    for via in [
        "SIP/2.0/UDP 224.0.1.75;branch=z9hG4bKq",
        "SIP/2.0/UDP 255.255.255.255:5060;branch=z9hG4bKq",
        "SIP/2.0/UDP 0.0.0.0;branch=z9hG4bKq",
        "SIP/2.0/UDP host.example;maddr=224.0.1.75;ttl=16;branch=z9hG4bKq",
        "SIP/2.0/UDP host.example;maddr=127.0.0.1;branch=z9hG4bKq",
        "SIP/2.0/UDP host.example;received=224.0.1.75;branch=z9hG4bKq",
        "SIP/2.0/UDP host.example;rport=9;received=127.0.0.1;branch=z9hG4bKq",
    ] {
        let mut world = World::silent();
        let ask = Ask::options("q")
            .vias(&[via, "SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2"])
            .with("Contact", "<sip:a@255.255.255.255>")
            .with("Record-Route", "<sip:224.0.1.75;lr>");
        world.ask(&source.to_string(), &ask.bytes());
        let to: Vec<IpAddr> = world.sent.iter().map(|sent| sent.to.ip()).collect();
        assert_eq!(to, [source.ip()], "{via}");
    }
}

#[test]
fn sec_10_idle_connections_are_bounded_and_others_are_served() {
    let mut world = World::granting(3600);
    let limits = Limits::default();
    let mut last = FlowId(0);
    // Half of them from one address.
    for n in 0..10_000_u32 {
        let from = if n % 2 == 0 { source(1) } else { source(n) };
        last = world.connect(n.into(), &from.replace(":5060", &format!(":{}", 1024 + n)));
    }
    let open = 10_000 - world.closed.len();
    assert!(open <= limits.connections, "{open}");
    assert_eq!(world.closed.last(), Some(&last));
    assert_eq!(world.uac.stats().connections_limited, world.closed.len() as u64);
    // Neither datagrams nor puad's own connections suffer from it.
    assert_eq!(world.ask(PEER, &Ask::options("q").bytes())[0].code(), 200);
    let tcp = publish("sip:a@192.0.2.1;transport=tcp", "presence", "text/plain", "x");
    let ticket = world.publish(tcp);
    assert!(world.outcome(ticket).is_ok());
    // Idle ones go by themselves and make room.
    world.run_for(secs(70));
    assert_eq!(world.closed.len(), 10_000);
    let flow = world.connect(20_000, "10.0.0.1:999");
    let via = "SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx";
    world.arrive(0.0, flow, "10.0.0.1:999", &Ask::options("x").vias(&[via]).bytes());
    world.run_for(secs(0));
    assert_eq!(world.responses().last().expect("an answer").code(), 200);
}

#[test]
fn sec_10_one_peer_has_its_share_of_connections() {
    let limits = Limits { connections_per_peer: 3, ..Limits::default() };
    let mut world = World::with_config(Config { limits, ..Config::default() });
    let flows: Vec<_> =
        (0..5).map(|n| world.connect(n, &format!("192.0.2.1:{}", 40_000 + n))).collect();
    assert_eq!(world.closed, flows[3..]);
    let other = world.connect(9, "192.0.2.2:40000");
    assert!(!world.closed.contains(&other));
    // One that ends makes room for another.
    world.fail(0.0, flows[0], puad::sip::io::FlowError::Closed);
    world.run_for(secs(0));
    let next = world.connect(10, "192.0.2.1:50000");
    assert!(!world.closed.contains(&next));
}

#[test]
fn sec_10_server_transactions_are_bounded() {
    let limits = Limits { server_transactions: 10, ..Limits::default() };
    let mut world = World::with_config(Config { limits, ..Config::default() });
    for n in 0..30 {
        let answers = world.ask(&source(n), &Ask::options(&n.to_string()).bytes());
        assert_eq!(answers[0].code(), 200);
    }
    // The first ten are remembered, the others answered anew, the same way.
    for n in 0..30 {
        world.ask(&source(n), &Ask::options(&n.to_string()).bytes());
    }
    assert_eq!(world.uac.stats().repeats, 10);
    let (first, second) = world.sent.split_at(30);
    assert!(first.iter().zip(second).all(|(a, b)| a.bytes == b.bytes));
}

#[test]
fn sec_10_a_message_that_stays_half_received_ends_its_connection() {
    let mut world = World::silent();
    let source = "192.0.2.1:40001";
    let flow = world.connect(1, source);
    // One byte a second: never idle, never whole.
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKq";
    for (at, byte) in Ask::options("q").vias(&[via]).bytes().iter().enumerate() {
        world.arrive(at as f64, flow, source, &[*byte]);
    }
    world.run_for(secs(31.9));
    assert_eq!(world.closed, []);
    world.run_for(secs(0.2));
    assert_eq!(world.closed, [flow]);
    assert_eq!(world.uac.stats().connections_limited, 1);
    // The rest reaches nobody.
    world.run_for(secs(1000));
    assert!(world.sent.is_empty());
}

#[test]
fn sec_10_a_connection_that_is_always_in_the_middle_of_the_next_message_stays() {
    let mut world = World::granting(3600);
    world.publish(publish("sip:a@192.0.2.1;transport=tcp", "presence", "text/plain", "x"));
    let flow = world.sent[0].flow;
    let via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK";
    let mut stream = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        stream.extend(Ask::options(&id).vias(&[&format!("{via}{number}")]).bytes());
    }
    for (at, piece) in stream.chunks(stream.len() / 99).enumerate() {
        world.arrive(at as f64, flow, PEER, piece);
    }
    world.run_for(secs(120));
    assert_eq!(world.closed, []);
    assert_eq!(world.responses().len(), 100);
}
