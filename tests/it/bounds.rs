//! What one call, one answer or one name can make puad do is bounded.

use std::net::{IpAddr, Ipv4Addr};

use puad::sip::{
    Config,
    config::Limits,
    io::FlowError,
    message::{Uri, value::Params},
};

use crate::support::{
    secs,
    world::{LOCAL, PEER, UDP_LISTENER, World, presence, publish},
};

/// The nth of many addresses.
fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + n)
}

#[test]
fn a_call_names_sixteen_proxies_at_the_most() {
    let mut world = World::silent();
    let mut call = presence("<a/>");
    let proxy = |n| Uri::parse(&format!("sip:{};lr", address(n))).expect("a URI");
    call.outbound_proxy = (0..2000).map(proxy).collect();
    let ticket = world.publish(call.clone());
    let failure = world.outcome(ticket).expect_err("too many");
    assert_eq!(failure.kind.as_str(), "usage");
    assert_eq!(failure.message, "outbound_proxy: there are 2000 proxies; name 16 at the most");
    assert!(world.infos().is_empty() && world.sent.is_empty());

    call.outbound_proxy.truncate(16);
    let ticket = world.publish(call);
    assert!(world.is_waiting(ticket));
}

#[test]
fn sixteen_hops_of_one_name_are_tried() {
    let mut world = World::silent();
    let many = (0..20_000).map(|n| IpAddr::V4(address(n))).collect();
    world.dns.insert("many.example".into(), Ok(many));
    world.opening = Box::new(|_| Some(Err(FlowError::Unreachable)));
    let ticket = world.publish(publish("sip:a@many.example", "presence", "text/plain", "x"));
    assert_eq!(world.outcome(ticket).expect_err("nobody is there").kind.as_str(), "io");
    assert_eq!(world.opened.len(), 16);
}

#[test]
fn hops_that_asked_for_silence_are_passed_over_however_many_they_are() {
    let mut world = World::silent();
    world.peer =
        Box::new(|_, request| vec![(0.0, request.answer(503).header("Retry-After", 3600).bytes())]);
    let name = |n: u32| format!("p{n}.example");
    for n in 0..16 {
        let hops = (0..16).map(|hop| IpAddr::V4(address(16 * n + hop))).collect();
        world.dns.insert(name(n), Ok(hops));
    }
    let mut call = presence("<a/>");
    let proxy = |n| Uri::parse(&format!("sip:{};lr", name(n))).expect("a URI");
    call.outbound_proxy = (0..16).map(proxy).collect();
    world.publish(call.clone());
    world.run_for(secs(1));
    assert_eq!(world.sent.len(), 256, "each hop says so once");
    // Another publication asks none of them again.
    call.id = "other".into();
    let ticket = world.publish(call);
    assert!(world.outcome(ticket).expect_err("all are silent").retrying);
    assert_eq!(world.sent.len(), 256);
}

#[test]
fn tp_03_what_no_datagram_holds_fails_for_good_when_tcp_is_refused() {
    let mut world = World::granting(3600);
    world.opening =
        Box::new(|hop| Some(if hop.is_reliable() { Err(FlowError::Refused) } else { Ok(()) }));
    let ticket = world.publish(presence(&"x".repeat(70_000)));
    let failure = world.outcome(ticket).expect_err("there is no way");
    assert_eq!((failure.kind.as_str(), failure.retrying), ("limit", false));
    assert!(failure.message.contains("the request has 70"), "{failure}");
    world.run_for(secs(3600));
    assert!(world.sent.is_empty());
    assert_eq!(world.opened.len(), 2, "it is not tried again");
    // A smaller state has its chance.
    let ticket = world.publish(presence(&"x".repeat(60_000)));
    assert!(world.outcome(ticket).is_ok());
}

#[test]
fn sec_11_the_response_of_a_stranger_is_read_no_further_than_its_via() {
    let mut world = World::silent();
    let ticket = world.publish(presence("<a/>"));
    let granted = String::from_utf8(world.requests()[0].granted("t1", 3600)).expect("text");
    let broken = granted.replace("From: ", "From: \"");
    let foreign = broken.replace(LOCAL, "192.0.2.99:5070");
    world.arrive(0.0, UDP_LISTENER, PEER, foreign.as_bytes());
    world.run_for(secs(0.1));
    assert_eq!((world.uac.stats().stray_responses, world.uac.stats().malformed), (1, 0));
    // What answers a request of ours is read whole, and dropped when it is broken.
    world.arrive(0.0, UDP_LISTENER, PEER, broken.as_bytes());
    world.run_for(secs(0.1));
    assert_eq!((world.uac.stats().stray_responses, world.uac.stats().malformed), (1, 1));
    assert!(world.is_waiting(ticket));
}

#[test]
fn sec_11_a_value_has_thirty_two_parameters_at_the_most() {
    let params = |count: usize| (0..count).map(|n| format!(";p{n}=v")).collect::<String>();
    assert!(Params::parse(&params(32)).is_ok());
    assert!(Params::parse(&params(33)).is_err());
}

#[test]
fn sec_10_udp_peers_without_end_take_no_sockets_without_end() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let mut world = World::with_config(Config { limits, ..Config::default() });
    world.peer = Box::new(|_, request| vec![(0.0, request.granted("t", 3600))]);
    for n in 0..20 {
        let ticket =
            world.publish(publish(&format!("sip:a@{}", address(n)), "presence", "text/plain", "x"));
        assert!(world.outcome(ticket).is_ok(), "{n}");
    }
    assert_eq!(world.opened.len(), 6);
    let (own, shared) = world.sent.split_at(6);
    assert!(own.iter().all(|sent| sent.flow != UDP_LISTENER));
    assert!(shared.iter().all(|sent| sent.flow == UDP_LISTENER));
    assert_eq!(shared[13].to.ip(), IpAddr::V4(address(19)));
    assert!(shared[13].sip().need("Via").starts_with(&format!("SIP/2.0/UDP {LOCAL};")));
    // TCP has the rest, and is told when there is none left.
    let over_tcp = |n| publish(&format!("sip:a@{};transport=tcp", address(n)), "a", "b/c", "x");
    for n in 0..2 {
        let ticket = world.publish(over_tcp(n));
        assert!(world.outcome(ticket).is_ok());
    }
    let ticket = world.publish(over_tcp(2));
    let failure = world.outcome(ticket).expect_err("the limit");
    assert_eq!((failure.kind.as_str(), failure.retrying), ("limit", true));
    assert!(failure.message.contains("puad has 8 connections open, its limit"), "{failure}");
}

#[test]
fn rsp_14_a_request_that_a_silent_server_never_saw_has_no_status() {
    let mut world =
        World::with_peer(|request| request.answer(503).header("Retry-After", 100).bytes());
    world.publish(presence("<a/>"));
    world.run_for(secs(40));
    let other = publish("sip:bob@192.0.2.1", "presence", "text/plain", "b");
    let ticket = world.publish(other);
    let failure = world.outcome(ticket).expect_err("nothing is sent");
    assert_eq!((failure.kind.as_str(), failure.status, failure.retrying), ("io", None, true));
    assert!(failure.retry_after.is_some_and(|left| left >= secs(60)), "{failure:?}");
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn sec_06_a_name_with_forbidden_addresses_alone_is_reported_as_such() {
    let mut world = World::silent();
    let cast = "224.0.1.75".parse().expect("an address");
    world.dns.insert("cast.example".into(), Ok(vec![cast]));
    let ticket = world.publish(publish("sip:a@cast.example", "presence", "text/plain", "x"));
    let failure = world.outcome(ticket).expect_err("forbidden");
    assert!(failure.message.contains("nothing is ever sent to 224.0.1.75"), "{failure}");
}

#[test]
fn pub_22_a_min_expires_of_years_is_not_obeyed() {
    for (least, is_obeyed) in [(86_400, true), (86_401, false), (u32::MAX, false)] {
        let mut world = World::silent();
        world.peer = Box::new(move |_, request| {
            let asked: u32 = request.need("Expires").parse().expect("a number");
            vec![(
                0.0,
                match asked < least {
                    true => request.answer(423).header("Min-Expires", least).bytes(),
                    false => request.granted("t", asked),
                },
            )]
        });
        let ticket = world.publish(presence("<a/>"));
        match world.outcome(ticket) {
            Ok(published) => {
                assert!(is_obeyed, "{least}");
                assert_eq!(published.expires, Some(secs(least)));
            }
            Err(failure) => {
                assert!(!is_obeyed, "{least}");
                assert_eq!((failure.status, failure.retrying), (Some(423), false));
                assert!(failure.message.contains(&least.to_string()), "{failure}");
                world.run_for(secs(86_400));
                assert_eq!(world.sent.len(), 1, "{least}");
            }
        }
    }
}

#[test]
fn sec_12_the_words_of_a_server_are_cut_to_a_line() {
    let mut world = World::silent();
    world.peer = Box::new(|_, request| {
        let warning = format!("399 h \"{}\"", "w".repeat(5000));
        let answer = request.answer(403).header("Warning", warning).bytes();
        let text = String::from_utf8(answer).expect("text");
        let reason = format!("Reason \u{1b}]0;title\u{7} \u{9b}2J {}", "é".repeat(5000));
        vec![(0.0, text.replacen("Reason 403", &reason, 1).into_bytes())]
    });
    let ticket = world.publish(presence("<a/>"));
    let failure = world.outcome(ticket).expect_err("refused");
    let reason = failure.reason.as_deref().expect("a reason");
    assert!(reason.starts_with("Reason \u{fffd}]0;title"), "{reason}");
    assert!(reason.ends_with("é…") && reason.chars().count() == 201, "{reason}");
    assert!(failure.message.chars().count() < 600, "{failure}");
    assert!(!failure.message.contains(char::is_control), "{failure:?}");
    let info = world.infos().remove(0);
    assert_eq!(info.reason.as_deref(), Some(reason));
    assert!(!info.last_error.expect("kept").contains(char::is_control));
}
