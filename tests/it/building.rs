//! REQ rows: what every request puad sends looks like (RFC 3261 §8.1.1).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use puad::{
    command::Command,
    sip::{
        Config, Uac,
        auth::Algorithm,
        config::{Account, Secret},
        io::{FlowId, Input, Output, Ticket, UnixMillis},
        message::Uri,
    },
};

use crate::support::{
    Sip, secs,
    world::{ALICE, LOCAL, World, presence, publish},
};

#[test]
fn req_01_six_headers_are_there_and_those_for_proxies_come_first() {
    let mut call = presence("<open/>");
    call.outbound_proxy = vec![uri("sip:192.0.2.9;lr")];
    let mut world = World::granting(600);
    world.publish(call);
    world.run_for(secs(480));
    for request in world.requests() {
        for name in ["To", "From", "CSeq", "Call-ID", "Max-Forwards", "Via"] {
            request.need(name);
        }
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["Via", "Route", "Max-Forwards"]);
    }
}

#[test]
fn req_02_to_has_no_tag_and_is_the_presentity() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.run_for(secs(1200));
    assert!(world.requests().len() > 2);
    for request in world.requests() {
        assert_eq!(request.need("To"), format!("<{ALICE}>"));
    }
}

#[test]
fn req_03_04_ten_thousand_requests_differ_in_tags_and_call_ids() {
    let mut world = World::granting(3600);
    for number in 0..10_000 {
        world.publish(publish(&format!("sip:u{number}@192.0.2.1"), "presence", "text/plain", "x"));
        // One is in flight at a time, so that none waits for its turn.
        world.run_for(Duration::ZERO);
    }
    let (mut tags, mut call_ids) = (BTreeSet::new(), BTreeSet::new());
    for (number, request) in world.requests().iter().enumerate() {
        let tag = request.param("From", "tag").expect("a tag");
        assert!(tag.len() >= 16 && tag.bytes().all(|b| b.is_ascii_hexdigit()), "{tag}: 64 bits");
        assert!(request.need("From").starts_with(&format!("<sip:u{number}@192.0.2.1>;tag=")));
        assert!(!request.need("Call-ID").contains("192.0.2.10"), "no address in it");
        tags.insert(tag);
        call_ids.insert(request.need("Call-ID").to_owned());
    }
    assert_eq!((tags.len(), call_ids.len()), (10_000, 10_000));
}

#[test]
fn req_03_04_another_seed_gives_other_names() {
    let first = |seed: u8| {
        let mut world = World::seeded(Config::default(), [seed; 32]);
        world.publish(presence("<open/>"));
        world.sent[0].bytes.clone()
    };
    assert_eq!(first(1), first(1));
    let (one, two) = (Sip::parse(&first(1)), Sip::parse(&first(2)));
    for name in ["Call-ID", "From", "Via"] {
        assert_ne!(one.need(name), two.need(name));
    }
}

#[test]
fn req_04_05_07_a_retry_keeps_call_id_and_has_a_new_branch_and_the_next_cseq() {
    let account = Account {
        name: None,
        domain: "192.0.2.1".into(),
        username: "alice".into(),
        password: Secret::new("secret"),
        realms: vec!["r".into()],
        outbound_proxy: Vec::new(),
        minimum_algorithm: Algorithm::Md5,
    };
    let mut world =
        World::with_config(Config { accounts: vec![account.into()], ..Config::default() });
    let mut count = 0;
    world.peer = Box::new(move |_, request| {
        count += 1;
        let challenge = r#"Digest realm="r", nonce="n", qop="auth""#;
        let answer = match count {
            1 => request.answer(401).header("WWW-Authenticate", challenge).bytes(),
            2 => request.answer(407).header("Proxy-Authenticate", challenge).bytes(),
            3 => request.answer(423).header("Min-Expires", 7200).bytes(),
            _ => request.granted("t1", 7200),
        };
        vec![(0.0, answer)]
    });
    let ticket = world.publish(presence("<open/>"));
    assert!(world.outcome(ticket).is_ok());
    let requests = world.requests();
    assert_eq!(requests.len(), 4);
    let first = requests[0].cseq();
    let mut branches = BTreeSet::new();
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(request.need("Call-ID"), requests[0].need("Call-ID"));
        assert_eq!(request.need("From"), requests[0].need("From"));
        assert_eq!(request.need("CSeq"), format!("{} PUBLISH", first + number as u32));
        assert!(request.branch().starts_with("z9hG4bK"));
        branches.insert(request.branch());
    }
    assert_eq!(branches.len(), 4);
    assert!(first < 1 << 31);
    // The refresh is a new request, with a Call-ID of its own.
    world.run_for(secs(7200));
    assert_ne!(world.requests()[4].need("Call-ID"), requests[0].need("Call-ID"));
}

#[test]
fn req_06_max_forwards_is_70() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.run_for(secs(480));
    assert!(world.requests().iter().all(|request| request.need("Max-Forwards") == "70"));
}

#[test]
fn req_07_repeats_have_one_branch_and_the_next_hop_another() {
    let mut world = World::silent();
    let addresses = ["192.0.2.5", "192.0.2.6"].map(|ip| ip.parse().expect("an address"));
    world.dns.insert("two.example".into(), Ok(addresses.into()));
    world.publish(publish("sip:a@two.example", "presence", "text/plain", "x"));
    world.run_for(secs(63.9));
    let branches = |host: &str| -> Vec<_> {
        let to_host = world.sent.iter().filter(|sent| sent.to.ip().to_string() == host);
        to_host.map(|sent| sent.sip().branch()).collect()
    };
    let (first, second) = (branches("192.0.2.5"), branches("192.0.2.6"));
    assert_eq!((first.len(), second.len()), (11, 11));
    assert!(first.iter().all(|branch| *branch == first[0]));
    assert!(second.iter().all(|branch| *branch == second[0]));
    assert_ne!(first[0], second[0]);
}

#[test]
fn req_08_via_shows_where_puad_really_receives() {
    for (transport, token) in [("udp", "UDP"), ("tcp", "TCP")] {
        let mut world = World::silent();
        let presentity = format!("{ALICE};transport={transport}");
        world.publish(publish(&presentity, "presence", "text/plain", "x"));
        let via = world.requests()[0].need("Via").to_owned();
        assert!(via.starts_with(&format!("SIP/2.0/{token} {LOCAL};")), "{via}");
    }
    // Bound to everything, the address of the way to the server is shown.
    for (bound, local, shown) in [
        ("0.0.0.0:5070", "192.0.2.10:5070", "192.0.2.10:5070"),
        ("0.0.0.0:5060", "192.0.2.10:5060", "192.0.2.10"),
        ("[::]:5070", "192.0.2.10:5070", "192.0.2.10:5070"),
    ] {
        for transport in [rsip::Transport::Udp, rsip::Transport::Tcp] {
            let via = via_of(transport, bound, local, ALICE);
            let mut parts = via.split([' ', ';']);
            assert_eq!(parts.nth(1), Some(shown), "{via}");
        }
    }
    let sixth = "sip:a@[2001:db8::1]";
    let via = via_of(rsip::Transport::Udp, "[::]:5070", "[2001:db8::10]:5070", sixth);
    assert!(via.starts_with("SIP/2.0/UDP [2001:db8::10]:5070;"), "{via}");
}

#[test]
fn req_09_udp_asks_for_rport_and_tcp_has_no_need_to() {
    let mut world = World::silent();
    world.publish(presence("<open/>"));
    let via = world.requests()[0].need("Via").to_owned();
    assert!(via.split(';').any(|param| param == "rport"), "{via}");
}

#[test]
fn req_10_14_a_publish_has_no_contact_and_demands_nothing() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    world.run_for(secs(480));
    for request in world.requests() {
        for name in ["Contact", "Require", "Proxy-Require"] {
            assert_eq!(request.get(name), None);
        }
        // Whatever it claims to support would have to be built in, and nothing is yet.
        assert_eq!(request.get("Supported"), None);
    }
}

#[test]
fn req_12_a_proxy_is_a_route_and_the_request_uri_stays() {
    let mut world = World::granting(600);
    world.dns.insert("p.example".into(), Ok(vec!["192.0.2.77".parse().expect("an address")]));
    let mut call = presence("<open/>");
    call.outbound_proxy = vec![uri("sip:p.example;lr")];
    let ticket = world.publish(call);
    assert!(world.outcome(ticket).is_ok());
    let request = &world.requests()[0];
    assert_eq!(request.all("Route"), ["<sip:p.example;lr>"]);
    assert_eq!(request.uri(), ALICE);
    assert_eq!(world.sent[0].to.to_string(), "192.0.2.77:5060");
    assert_eq!(world.queries, ["p.example"]);
}

#[test]
fn req_15_allow_names_what_puad_serves_and_nothing_announces_more() {
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    let options = "OPTIONS sip:puad@192.0.2.10 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKo\r\nFrom: <sip:a@x>;tag=1\r\n\
        To: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let [answer] = &world.ask("198.51.100.7:5062", options.as_bytes())[..] else { panic!("one") };
    assert_eq!(answer.need("Allow"), "NOTIFY, OPTIONS, CANCEL, ACK");
    assert!(world.sent.iter().all(|sent| sent.sip().get("Allow-Events").is_none()));
}

#[test]
fn req_16_user_agent_is_what_is_configured_or_absent() {
    let shown = |user_agent: Option<&str>| {
        let user_agent = user_agent.map(str::to_owned);
        let mut world = World::with_config(Config { user_agent, ..Config::default() });
        world.publish(presence("<open/>"));
        world.requests()[0].get("User-Agent").map(str::to_owned)
    };
    assert_eq!(shown(Some("lamp/1")).as_deref(), Some("lamp/1"));
    assert_eq!(shown(None), None);
}

#[test]
fn req_17_who_gives_up_only_stops_listening() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| vec![(0.2, request.answer(100).bytes())]);
    let mut call = presence("<open/>");
    call.timeout = Some(secs(1));
    let ticket = world.publish(call);
    world.run_for(secs(40));
    let failure = world.outcome(ticket).expect_err("no final answer");
    assert_eq!((failure.kind.as_str(), failure.status), ("timeout", None));
    assert_eq!(world.replies[&ticket].0, 1.0);
    assert!(world.requests().iter().all(|request| request.method() == "PUBLISH"));
}

/// The Via of a core that listens on one address and whose ways out begin at another.
fn via_of(transport: rsip::Transport, bound: &str, local: &str, presentity: &str) -> String {
    let now = Instant::now();
    let mut uac = Uac::new(Config::default(), [3; 32], now, UnixMillis(0));
    let (bound, local) = (bound.parse().expect("an address"), local.parse().expect("another"));
    for (number, transport) in [rsip::Transport::Udp, rsip::Transport::Tcp].into_iter().enumerate()
    {
        let flow = FlowId(FlowId::FIRST_FOREIGN + number as u64);
        uac.handle_input(now, Input::FlowAccepted { flow, transport, local: bound, remote: None });
    }
    let way = if transport == rsip::Transport::Tcp { ";transport=tcp" } else { "" };
    let call = publish(&format!("{presentity}{way}"), "presence", "text/plain", "x");
    uac.handle_input(now, Input::Command(Ticket(1), Command::Publish(Box::new(call))));
    loop {
        match uac.poll_output() {
            Output::Open { flow, hop } => {
                // A connection starts at a port of its own, at which nobody listens.
                let mut from: std::net::SocketAddr = local;
                if hop.is_reliable() {
                    from.set_port(40_000);
                }
                let remote = hop.remote;
                uac.handle_input(now, Input::FlowOpened { flow, local: from, remote });
            }
            Output::Transmit { message, .. } => {
                return Sip::parse(&message).need("Via").to_owned();
            }
            other => panic!("{other:?}"),
        }
    }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).expect("a URI")
}
