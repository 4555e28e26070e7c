//! API promises about single options: etag, account, outbound_proxy, a missing body, one-shots.

use std::sync::Arc;

use puad::{
    command::{
        Change, Command, EntityTag, EventType, ExtraHeaders, FailureKind, Key, Owner,
        PublicationState, Publish, Reply,
    },
    sip::{
        Config,
        auth::Algorithm,
        config::{Account, Secret},
        io::FlowError,
        message::Uri,
    },
};

use crate::support::{
    secs,
    world::{ALICE, World, presence, publish},
};

#[test]
fn a_given_etag_starts_with_a_modify() {
    let mut world = World::granting(600);
    let ticket = world.publish(with_tag("given", presence("<1/>")));
    assert_eq!(world.outcome(ticket).expect("granted").entity_tag.unwrap().as_str(), "t1");
    let request = &world.requests()[0];
    assert_eq!((request.need("SIP-If-Match"), request.text()), ("given", "<1/>"));
    assert_eq!(world.changes(), [Change::Published]);
}

#[test]
fn a_given_etag_is_used_only_while_no_live_one_is_held() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    world.publish(with_tag("given", presence("<2/>")));
    assert_eq!(world.requests()[1].need("SIP-If-Match"), "t1");
}

#[test]
fn a_412_to_a_given_etag_falls_back_to_an_initial() {
    for code in [412, 500] {
        let mut world = World::with_peer(move |request| match request.get("SIP-If-Match") {
            Some("given") => request.answer(code).bytes(),
            _ => request.granted("t", 600),
        });
        let ticket = world.publish(with_tag("given", presence("<1/>")));
        world.outcome(ticket).expect("granted in the end");
        let request = &world.requests()[1];
        assert_eq!((request.get("SIP-If-Match"), request.text()), (None, "<1/>"));
        assert_eq!(world.changes(), [Change::Published], "it was never up before");
    }
}

#[test]
fn a_given_etag_without_a_body_is_one_refresh_which_a_412_ends() {
    let bodiless = || with_tag("given", Publish { document: None, ..presence("") });
    let mut world = World::granting(600);
    let ticket = world.publish(bodiless());
    world.outcome(ticket).expect("refreshed");
    let request = &world.requests()[0];
    assert_eq!((request.need("SIP-If-Match"), request.text()), ("given", ""));
    assert_eq!(request.get("Content-Type"), None);

    let mut world = World::with_peer(|request| request.answer(412).bytes());
    let ticket = world.publish(bodiless());
    let failure = world.outcome(ticket).expect_err("unknown tag");
    assert_eq!((failure.status, failure.retrying), (Some(412), false));
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.infos()[0].state, PublicationState::Failed);
    // Nothing is left to refresh, and no success is made up.
    let ticket = world.refresh(presence("").key());
    assert_eq!(world.outcome(ticket).expect_err("nothing there").kind, FailureKind::NotFound);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_given_etag_survives_a_back_off() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        if count == 1 { request.answer(500).bytes() } else { request.granted("t", 600) }
    });
    world.publish(presence("<1/>"));
    world.publish(with_tag("given", presence("<2/>")));
    world.run_for(secs(2));
    let request = &world.requests()[1];
    assert_eq!((request.need("SIP-If-Match"), request.text()), ("given", "<2/>"));
}

#[test]
fn a_given_etag_with_expires_zero_removes_what_it_names() {
    for code in [200, 412] {
        let mut world = World::with_peer(move |request| request.answer(code).bytes());
        let removal = Publish { expires: secs(0), document: None, ..presence("") };
        let ticket = world.publish(with_tag("given", removal));
        world.outcome(ticket).expect("gone");
        let request = &world.requests()[0];
        assert_eq!((request.need("SIP-If-Match"), request.need("Expires")), ("given", "0"));
        world.run_for(secs(3600));
        assert_eq!(world.requests().len(), 1);
        assert!(world.infos().is_empty());
    }
}

#[test]
fn a_500_to_the_removal_of_a_given_etag_is_no_success() {
    let mut count = 0;
    let mut world = World::with_peer(move |request| {
        count += 1;
        request.answer(if count == 1 { 500 } else { 200 }).bytes()
    });
    let removal = Publish { expires: secs(0), document: None, ..presence("") };
    let ticket = world.publish(with_tag("given", removal));
    let failure = world.outcome(ticket).expect_err("it may still be there");
    assert_eq!((failure.status, failure.retrying), (Some(500), true));
    world.run_for(secs(10));
    assert_eq!(world.requests()[1].need("Expires"), "0");
    assert!(world.infos().is_empty());
}

#[test]
fn a_nil_body_on_a_live_key_keeps_the_document_and_refreshes() {
    let mut world = World::granting(600);
    world.publish(presence("<1/>"));
    let ticket = world.publish(Publish { document: None, ..presence("") });
    assert!(world.outcome(ticket).expect("refreshed").sent);
    let request = &world.requests()[1];
    assert_eq!((request.need("SIP-If-Match"), request.text()), ("t1", ""));
    assert_eq!(world.changes(), [Change::Published, Change::Refreshed]);
    let kept = world.infos()[0].document.clone().expect("kept");
    assert_eq!(kept.body, "<1/>");
}

#[test]
fn extra_headers_replace_the_previous_set() {
    let mut world = World::granting(600);
    for lines in ["X-A: 1\r\nX-B: 2", "X-B: 3", ""] {
        let extra_headers = ExtraHeaders::from_lines(lines).unwrap();
        world.publish(Publish { extra_headers, ..presence("<1/>") });
    }
    let rows: Vec<_> = world
        .requests()
        .iter()
        .map(|r| (r.get("X-A").map(str::to_owned), r.get("X-B").map(str::to_owned)))
        .collect();
    let expected = [(Some("1"), Some("2")), (None, Some("3")), (None, None)];
    assert_eq!(rows, expected.map(|(a, b)| (a.map(str::to_owned), b.map(str::to_owned))));
}

#[test]
fn an_account_is_found_by_the_presentitys_domain_or_by_name() {
    let config = Config {
        accounts: vec![
            account(None, "192.0.2.1", "by-domain"),
            account(Some("night"), "192.0.2.1", "by-name"),
        ],
        ..Config::default()
    };
    for (name, user) in
        [(None, "by-domain"), (Some("night"), "by-name"), (Some("192.0.2.1"), "by-domain")]
    {
        let mut world = World::with_config(config.clone());
        world.peer = Box::new(|_, request| {
            let answer = match request.get("Authorization") {
                None => request
                    .answer(401)
                    .header("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\"")
                    .bytes(),
                Some(_) => request.granted("t", 600),
            };
            vec![(0.0, answer)]
        });
        world.publish(Publish { account: name.map(str::to_owned), ..presence("<1/>") });
        let given = world.requests()[1].need("Authorization").to_owned();
        assert!(given.contains(&format!("username=\"{user}\"")), "{name:?}: {given}");
    }
    let mut world = World::with_config(config);
    let ticket = world.publish(Publish { account: Some("day".into()), ..presence("<1/>") });
    let failure = world.outcome(ticket).expect_err("no such account");
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.message.contains("\"day\"") && failure.message.contains("night"), "{failure}");
    assert!(world.sent.is_empty());
}

#[test]
fn the_nearest_outbound_proxy_leads() {
    let mut named = account(None, "192.0.2.1", "alice");
    Arc::make_mut(&mut named).outbound_proxy = uris(&["sip:192.0.2.2"]);
    let everywhere = Config { outbound_proxy: uris(&["sip:192.0.2.3;lr"]), ..Config::default() };
    let with_account = Config { accounts: vec![named], ..everywhere.clone() };
    for (config, own, to, route) in [
        (Config::default(), vec![], "192.0.2.1:5060", None),
        (everywhere, vec![], "192.0.2.3:5060", Some("<sip:192.0.2.3;lr>")),
        (with_account.clone(), vec![], "192.0.2.2:5060", None),
        (
            with_account,
            uris(&["sip:192.0.2.4:5080;lr"]),
            "192.0.2.4:5080",
            Some("<sip:192.0.2.4:5080;lr>"),
        ),
    ] {
        let mut world = World::with_config(config);
        world.publish(Publish { outbound_proxy: own, ..presence("<1/>") });
        assert_eq!(world.sent[0].to, to.parse().unwrap());
        assert_eq!(world.requests()[0].get("Route"), route);
        assert_eq!(world.requests()[0].uri(), ALICE);
    }
}

#[test]
fn a_proxy_named_once_is_kept_for_every_later_request() {
    let mut world = World::granting(600);
    let outbound_proxy = uris(&["sip:192.0.2.4;lr"]);
    world.publish(Publish { outbound_proxy, ..presence("<1/>") });
    world.publish(presence("<2/>"));
    world.run_for(secs(480));
    world.remove(presence("").key());
    assert_eq!(world.requests().len(), 4);
    for request in world.requests() {
        assert_eq!(request.get("Route"), Some("<sip:192.0.2.4;lr>"));
    }
}

#[test]
fn several_proxies_are_tried_in_order() {
    let proxies = uris(&["sip:192.0.2.2;transport=tcp;lr", "sip:192.0.2.3;lr", "sip:192.0.2.4;lr"]);
    let mut world = World::silent();
    world.opening =
        Box::new(|hop| Some(if hop.is_reliable() { Err(FlowError::Refused) } else { Ok(()) }));
    world.peer = Box::new(|_, request| {
        let answer = match request.need("Route") {
            "<sip:192.0.2.3;lr>" => request.answer(503).bytes(),
            _ => request.granted("t", 600),
        };
        vec![(0.0, answer)]
    });
    let ticket = world.publish(Publish { outbound_proxy: proxies, ..presence("<1/>") });
    world.outcome(ticket).expect("granted by the third");
    let routes: Vec<_> =
        world.requests().iter().map(|request| request.need("Route").to_owned()).collect();
    assert_eq!(routes, ["<sip:192.0.2.3;lr>", "<sip:192.0.2.4;lr>"]);
}

#[test]
fn a_one_shot_is_sent_once_and_left_to_run_out() {
    let mut world = World::granting(600);
    let one_shot = Publish { owner: Owner::OneShot, maintain: false, ..presence("<1/>") };
    let ticket = world.publish(one_shot.clone());
    assert_eq!(world.outcome(ticket).expect("granted").status, Some(200));
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
    assert!(world.infos().is_empty());

    let mut world = World::with_peer(|request| request.answer(500).bytes());
    let ticket = world.publish(one_shot);
    assert!(!world.outcome(ticket).expect_err("refused").retrying);
    world.run_for(secs(3600));
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn info_shows_the_series_key_whatever_the_event_holds() {
    let mut world = World::granting(600);
    let mut publish = publish(ALICE, "presence", "a/b", "x");
    publish.event = EventType::parse("dialog;x=\"a b\"").unwrap();
    publish.id = "call one".into();
    world.publish(publish);
    let info = &world.infos()[0];
    assert_eq!((&*info.id, &*info.event), ("call one", "dialog;x=\"a b\""));
    assert_eq!(&*info.presentity_uri, ALICE);
    let (start, expires_at) = (1_700_000_000.0, info.expires_at.expect("up"));
    assert_eq!(expires_at, start + 600.0);
    let refresh = info.next_refresh.expect("due") - start;
    assert!((300.0..=480.0).contains(&refresh), "{refresh}");
    assert_eq!((info.status, info.requests, info.failures), (Some(200), 1, 0));
}

fn with_tag(tag: &str, publish: Publish) -> Publish {
    Publish { entity_tag: Some(EntityTag::parse(tag).expect("a tag")), ..publish }
}

fn uris(texts: &[&str]) -> Vec<Uri> {
    texts.iter().map(|text| Uri::parse(text).expect("a URI")).collect()
}

fn account(name: Option<&str>, domain: &str, username: &str) -> Arc<Account> {
    Arc::new(Account {
        name: name.map(str::to_owned),
        domain: domain.into(),
        username: username.into(),
        password: Secret::new("x"),
        realms: vec!["r".into()],
        outbound_proxy: vec![],
        minimum_algorithm: Algorithm::Md5,
    })
}

#[test]
fn one_publication_is_shown_by_its_key_and_to_its_owner() {
    let mut world = World::granting(600);
    let mut other = presence("<2/>");
    other.id = "other".into();
    world.publish(presence("<1/>"));
    world.publish(other.clone());
    let mut list = |owner: Option<Owner>, key: Option<Key>| {
        let ticket = world.command(Command::Publications { owner, key });
        match &world.replies[&ticket].1 {
            Reply::Publications(infos) => {
                infos.iter().map(|info| info.id.to_string()).collect::<Vec<_>>()
            }
            reply => panic!("not a list: {reply:?}"),
        }
    };
    let test = Owner::Script("test".into());
    assert_eq!(list(None, None).len(), 2);
    assert_eq!(list(None, Some(other.key())), ["other"]);
    assert_eq!(list(Some(test.clone()), Some(other.key())), ["other"]);
    assert!(list(Some(Owner::OneShot), Some(other.key())).is_empty());
    other.id = "none".into();
    assert!(list(Some(test), Some(other.key())).is_empty());
}
