//! Dialogs, registrations, conferences and watchers: what is written, what is refused, what is read.

use puad::body::{
    Address, BodyError, CallInfo, Conference, ConferenceState, Contact, Description, Dialog,
    DialogInfo, Endpoint, Link, Media, Parsed, Participant, Reginfo, Registration, Replaces,
    SessionDescription, Step, TemporaryGruu, Timestamp, User, Watcher, WatcherList, Watcherinfo,
    parse,
};

#[test]
fn pkg_26_a_dialog_document_comes_out_in_the_order_of_the_schema() {
    let call = Dialog {
        id: "as7d900as8".into(),
        call_id: Some("a84b4c76e66710@host".into()),
        local_tag: Some("1928301774".into()),
        remote_tag: Some("456887766".into()),
        direction: Some("initiator".into()),
        state: Some("confirmed".into()),
        code: Some(200),
        duration: Some(274),
        replaces: Some(Replaces {
            call_id: "old@host".into(),
            local_tag: "l".into(),
            remote_tag: "r".into(),
        }),
        referred_by: Some(Address { identity: "sip:boss@example.com".into(), display: None }),
        route_set: vec!["<sip:p1.example.com;lr>".into()],
        local: Some(Participant {
            identity: Some("sip:alice@example.com".into()),
            display: Some("Alice \"A\" <&>".into()),
            target: Some("sip:alice@pc33.example.com".into()),
            params: [("+sip.rendering".to_owned(), "no".to_owned())].into(),
            session_description: Some(SessionDescription {
                r#type: "application/sdp".into(),
                text: "v=0\r\n".into(),
            }),
            cseq: Some(7),
        }),
        remote: Some(Participant { target: Some("sip:bob@x".into()), ..Participant::default() }),
        ..Dialog::default()
    };
    let text = built(&dialogs(vec![call]).build());
    let expected = [
        r#"<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" entity="sip:alice@example.com""#,
        r#" state="full" version="0">"#,
        r#"<dialog id="as7d900as8" call-id="a84b4c76e66710@host" local-tag="1928301774""#,
        r#" remote-tag="456887766" direction="initiator"><state code="200">confirmed</state>"#,
        r#"<duration>274</duration><replaces call-id="old@host" local-tag="l" remote-tag="r"/>"#,
        r#"<referred-by>sip:boss@example.com</referred-by>"#,
        r#"<route-set><hop>&lt;sip:p1.example.com;lr&gt;</hop></route-set>"#,
        r#"<local><identity display="Alice &quot;A&quot; &lt;&amp;&gt;">sip:alice@example.com</identity>"#,
        r#"<target uri="sip:alice@pc33.example.com"><param pname="+sip.rendering" pval="no"/></target>"#,
        "<session-description type=\"application/sdp\">v=0&#13;\n</session-description>",
        r#"<cseq>7</cseq></local>"#,
        r#"<remote><target uri="sip:bob@x"/></remote></dialog></dialog-info>"#,
    ];
    assert_eq!(text, expected.concat());
}

#[test]
fn pkg_26_a_dialog_document_without_dialogs_says_that_there_are_none() {
    let body = dialogs(vec![]).build().expect("valid");
    assert_eq!(
        body.text,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" entity=\"sip:alice@example.com\" \
         state=\"full\" version=\"0\"></dialog-info>"
    );
    assert!(read_dialogs(std::str::from_utf8(&body.text).expect("UTF-8")).dialogs.is_empty());
}

#[test]
fn pkg_26_what_a_dialog_may_not_say_is_refused_with_its_place() {
    let with = |change: fn(&mut Dialog)| {
        let mut changed = dialog("b", "early");
        change(&mut changed);
        refused(dialogs(vec![dialog("a", "early"), changed]).build())
    };
    for (change, expected) in [
        (
            (|d| d.id = "a".into()) as fn(&mut Dialog),
            "dialogs[2].id: \"a\" is the value of dialogs[1].id already; an id is used once in a document",
        ),
        (|d| d.id.clear(), "dialogs[2].id: missing; give an id that stays the same"),
        (|d| d.state = None, "dialogs[2].state: missing; give \"confirmed\" or another state"),
        (
            |d| d.state = Some("confirm".into()),
            "dialogs[2].state: \"confirm\" is not \"trying\", \"proceeding\", \"early\", \"confirmed\" or \"terminated\" (did you mean \"confirmed\"?)",
        ),
        (
            |d| d.reason = Some("rejected".into()),
            "dialogs[2].reason: only what is \"terminated\" has one",
        ),
        (|d| d.code = Some(99), "dialogs[2].code: 99 is not a status code (100 to 699)"),
        (|d| d.code = Some(700), "dialogs[2].code: 700 is not a status code (100 to 699)"),
        (
            |d| d.direction = Some("in".into()),
            "dialogs[2].direction: \"in\" is not \"initiator\" or \"recipient\"",
        ),
        (
            |d| d.local = Some(Participant { target: Some("x".into()), ..Participant::default() }),
            "dialogs[2].local.target: \"x\" has no scheme; write sip:user@host",
        ),
        (
            |d| {
                d.remote = Some(Participant { display: Some("x".into()), ..Participant::default() })
            },
            "dialogs[2].remote.display: a name belongs to an identity, and there is none",
        ),
        (
            |d| {
                let params = [("a".to_owned(), "b".to_owned())].into();
                d.remote = Some(Participant { params, ..Participant::default() });
            },
            "dialogs[2].remote.params: parameters belong to a target, and there is none",
        ),
        (
            |d| d.replaces = Some(Replaces { call_id: "x".into(), ..Replaces::default() }),
            "dialogs[2].replaces.local_tag: missing; give what the dialog had there",
        ),
        (
            |d| d.call_id = Some("a\0".into()),
            "dialogs[2].call_id: XML cannot hold the character U+0000 (after \"a\")",
        ),
    ] {
        assert_eq!(with(change), expected);
    }
    let ended = |reason: &str| {
        let reason = Some(reason.into());
        dialogs(vec![Dialog { reason, code: Some(486), ..dialog("a", "terminated") }]).build()
    };
    assert!(
        built(&ended("rejected")).contains(r#"<state event="rejected" code="486">terminated<"#)
    );
    assert!(
        refused(ended("hangup")).starts_with("dialogs[1].reason: \"hangup\" is not \"cancelled\"")
    );
    assert_eq!(refused(DialogInfo::default().build()), "entity: missing; give a URI");
    let state = Some("half".into());
    assert_eq!(
        refused(DialogInfo { state, ..dialogs(vec![]) }.build()),
        "state: \"half\" is not \"full\" or \"partial\""
    );
}

#[test]
fn pkg_26_dialogs_are_read_with_their_states_even_without_an_entity() {
    let read = read_dialogs(
        r#"<d:dialog-info xmlns:d="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial">
             <d:dialog id="a" call-id="c@h" local-tag="" direction="recipient">
               <x:sla xmlns:x="urn:x"><d:state>early</d:state></x:sla>
               <d:state event="rejected" code="486"> terminated </d:state>
               <d:remote><d:identity display="Bob">
                 sip:bob@example.com</d:identity><d:target uri="sip:bob@pc">
                 <d:param pname="+sip.rendering" pval="no"/><d:param pname="x"/></d:target></d:remote>
             </d:dialog>
             <d:dialog id="b"><d:remote><d:identity display-name="By schema">sip:c@x</d:identity></d:remote>
               <d:duration>soon</d:duration></d:dialog>
           </d:dialog-info>"#,
    );
    assert_eq!((read.entity.as_str(), read.version), ("", Some(3)));
    assert_eq!(read.state.as_deref(), Some("partial"));
    let [a, b] = &read.dialogs[..] else { panic!("{read:?}") };
    assert_eq!(
        (a.state.as_deref(), a.reason.as_deref(), a.code),
        (Some("terminated"), Some("rejected"), Some(486))
    );
    assert_eq!((a.call_id.as_deref(), a.local_tag.as_deref()), (Some("c@h"), Some("")));
    assert_eq!(a.remote_tag, None);
    let remote = a.remote.as_ref().expect("there");
    assert_eq!(remote.identity.as_deref(), Some("sip:bob@example.com"));
    assert_eq!(remote.display.as_deref(), Some("Bob"));
    assert_eq!(remote.params["+sip.rendering"], "no");
    assert_eq!((b.state.as_deref(), b.duration), (None, None));
    assert_eq!(b.remote.as_ref().expect("there").display.as_deref(), Some("By schema"));
}

#[test]
fn pkg_31_a_watcher_document_is_written_checked_and_read() {
    let watcher = |id: &str| Watcher {
        id: id.into(),
        uri: "sip:userA@example.net".into(),
        status: Some("active".into()),
        event: Some("approved".into()),
        ..Watcher::default()
    };
    let list = |package: &str, watchers| WatcherList {
        resource: "sip:professor@example.net".into(),
        package: package.into(),
        watchers,
    };
    let first = Watcher {
        display: Some("A & B".into()),
        expiration: Some(3600),
        duration: Some(509),
        ..watcher("8ajksjda7s")
    };
    let document = Watcherinfo {
        lists: vec![list("presence", vec![first]), list("dialog", vec![watcher("b")])],
        ..Watcherinfo::default()
    };
    let text = built(&document.build());
    let expected = [
        r#"<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" state="full" version="0">"#,
        r#"<watcher-list resource="sip:professor@example.net" package="presence">"#,
        r#"<watcher id="8ajksjda7s" status="active" event="approved" display-name="A &amp; B""#,
        r#" expiration="3600" duration-subscribed="509">sip:userA@example.net</watcher></watcher-list>"#,
        r#"<watcher-list resource="sip:professor@example.net" package="dialog">"#,
        r#"<watcher id="b" status="active" event="approved">sip:userA@example.net</watcher>"#,
        r#"</watcher-list></watcherinfo>"#,
    ];
    assert_eq!(text, expected.concat());
    let Ok(Parsed::Watcherinfo(read)) = parse("application/watcherinfo+xml", text.as_bytes())
    else {
        panic!("not read")
    };
    assert_eq!(read.lists, document.lists);

    let refused = |lists| refused(Watcherinfo { lists, ..Watcherinfo::default() }.build());
    let one = |change: fn(&mut Watcher)| {
        let mut changed = watcher("b");
        change(&mut changed);
        refused(vec![list("presence", vec![]), list("dialog", vec![watcher("a"), changed])])
    };
    assert_eq!(
        one(|w| w.id = "a".into()),
        "lists[2].watchers[2].id: \"a\" is the value of lists[2].watchers[1].id already; an id is used once in a document"
    );
    assert_eq!(
        one(|w| w.status = None),
        "lists[2].watchers[2].status: missing; give \"active\" or another status"
    );
    assert_eq!(
        one(|w| w.event = None),
        "lists[2].watchers[2].event: missing; give \"subscribe\" or another event"
    );
    assert!(one(|w| w.status = Some("activ".into())).ends_with("(did you mean \"active\"?)"));
    assert!(
        one(|w| w.event = Some("deactivate".into())).ends_with("(did you mean \"deactivated\"?)")
    );
    assert_eq!(one(|w| w.uri.clear()), "lists[2].watchers[2].uri: missing; give a URI");
    assert_eq!(
        refused(vec![list("presence", vec![]), list("presence", vec![])]),
        "lists[2]: another list is of the same resource and package already"
    );
    assert_eq!(
        refused(vec![list("a b", vec![])]),
        "lists[1].package: \"a b\" is not an event package, such as \"presence\""
    );
}

#[test]
fn pkg_32_a_registration_document_is_written_checked_and_read() {
    let phone = Contact {
        duration: Some(7322),
        expires: Some(0),
        q: Some(0.8),
        call_id: Some("x@y".into()),
        cseq: Some(9),
        display: Some("Phone".into()),
        params: [("+sip.x".to_owned(), "\"<v>\"".to_owned())].into(),
        ..contact("76", "active", "shortened")
    };
    let gone = Contact { retry_after: Some(30), ..contact("77", "terminated", "probation") };
    let document = registered(vec![phone, gone]);
    let text = built(&document.build());
    let expected = [
        r#"<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" state="full" version="0">"#,
        r#"<registration aor="sip:user@example.com" id="as9" state="active">"#,
        r#"<contact id="76" state="active" event="shortened" duration-registered="7322" expires="0""#,
        r#" q="0.8" callid="x@y" cseq="9"><uri>sip:user@pc887.example.com</uri>"#,
        r#"<display-name>Phone</display-name>"#,
        r#"<unknown-param name="+sip.x">&quot;&lt;v&gt;&quot;</unknown-param></contact>"#,
        r#"<contact id="77" state="terminated" event="probation" retry-after="30">"#,
        r#"<uri>sip:user@pc887.example.com</uri></contact></registration></reginfo>"#,
    ];
    assert_eq!(text, expected.concat());
    let read = read_registrations(&text);
    assert_eq!(read.registrations, document.registrations);
    assert_eq!(read.registrations[0].contacts[0].params["+sip.x"], "\"<v>\"");
}

#[test]
fn pkg_32_what_an_event_of_a_contact_calls_for_is_asked_for() {
    let one = |contact| refused(registered(vec![contact]).build());
    assert_eq!(
        one(contact("a", "active", "shortened")),
        "registrations[1].contacts[1].expires: missing; give the seconds that are left of a \"shortened\" contact"
    );
    assert_eq!(
        one(contact("a", "terminated", "probation")),
        "registrations[1].contacts[1].retry_after: missing; give the seconds that a contact on \"probation\" waits"
    );
    for (state, event) in [("active", "expired"), ("terminated", "refreshed")] {
        assert!(
            one(contact("a", state, event))
                .starts_with("registrations[1].contacts[1].event: it does not go with the state; "),
        );
    }
    assert!(one(contact("a", "activ", "created")).ends_with("(did you mean \"active\"?)"));
    assert!(one(contact("a", "active", "create")).ends_with("(did you mean \"created\"?)"));
    let q = Contact { q: Some(1.5), ..contact("a", "active", "created") };
    assert_eq!(one(q), "registrations[1].contacts[1].q: 1.5 is not a priority (from 0 to 1)");

    // Contacts are told apart in the whole document, whatever they are bound to.
    let mut twice = registered(vec![contact("a", "active", "created")]);
    twice.registrations.push(Registration { id: "b".into(), ..twice.registrations[0].clone() });
    assert_eq!(
        refused(twice.build()),
        "registrations[2].contacts[1].id: \"a\" is the value of registrations[1].contacts[1].id already; an id is used once in a document"
    );
    let mut twice = registered(vec![]);
    twice.registrations.push(twice.registrations[0].clone());
    assert!(refused(twice.build()).starts_with("registrations[2].id: \"as9\" is the value of"));
    let mut stateless = registered(vec![]);
    stateless.registrations[0].state = None;
    assert_eq!(
        refused(stateless.build()),
        "registrations[1].state: missing; give \"init\", \"active\" or \"terminated\""
    );
}

#[test]
fn pkg_33_gruus_are_written_and_read_in_their_namespace() {
    let temp = TemporaryGruu { uri: "sip:tgruu@example.com;gr".into(), first_cseq: Some(54301) };
    let with = Contact {
        pub_gruu: Some("sip:user@example.com;gr=urn:uuid:1".into()),
        temp_gruu: Some(temp),
        ..contact("76", "active", "created")
    };
    let document = registered(vec![with]);
    let text = built(&document.build());
    assert!(text.contains(r#" xmlns:gr="urn:ietf:params:xml:ns:gruuinfo""#), "{text}");
    assert!(text.contains(
        r#"<gr:pub-gruu uri="sip:user@example.com;gr=urn:uuid:1"/><gr:temp-gruu uri="sip:tgruu@example.com;gr" first-cseq="54301"/></contact>"#
    ), "{text}");
    assert_eq!(read_registrations(&text).registrations, document.registrations);
    // Under another namespace they are nobody's.
    let foreign = text.replace("ns:gruuinfo", "ns:other");
    assert_eq!(read_registrations(&foreign).registrations[0].contacts[0].pub_gruu, None);
}

#[test]
fn pkg_34_a_full_conference_document_has_a_description_and_users() {
    let text = built(&conference(vec![]).build());
    assert_eq!(
        text,
        "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:conf@example.com\" \
         state=\"full\" version=\"0\"><conference-description></conference-description><users></users></conference-info>"
    );
    let partial = Conference { state: Some("partial".into()), ..conference(vec![]) };
    assert!(
        built(&partial.build()).ends_with(" state=\"partial\" version=\"0\"></conference-info>")
    );
    let users = vec![User { entity: "sip:bob@x".into(), ..User::default() }];
    let partial = Conference { state: Some("partial".into()), ..conference(users) };
    assert!(
        built(&partial.build()).contains("<users state=\"partial\"><user entity=\"sip:bob@x\">")
    );
}

#[test]
fn pkg_34_a_conference_is_written_in_the_order_of_the_schema_and_read_again() {
    let link = |uri: &str| Link { uri: uri.into(), ..Link::default() };
    let endpoint = Endpoint {
        entity: "sip:4kfk4j392jsu@example.com;grid=433kj4j3u".into(),
        display: Some("desk".into()),
        state: Some("full".into()),
        referred: Some(Step {
            when: Some(Timestamp::Text("2005-03-04T20:00:00Z".into())),
            reason: Some("expert required".into()),
            by: Some("sip:mike@example.com".into()),
        }),
        status: Some("connected".into()),
        joining_method: Some("dialed-out".into()),
        joining_info: Some(Step { by: Some("sip:mike@x".into()), ..Step::default() }),
        disconnection_method: None,
        disconnection_info: None,
        media: vec![Media {
            id: "1".into(),
            state: Some("full".into()),
            display: Some("main audio".into()),
            r#type: Some("audio".into()),
            label: Some("34567".into()),
            src_id: Some("432424".into()),
            status: Some("sendrecv".into()),
        }],
        call_info: Some(CallInfo {
            display: None,
            call_id: "hsjh8980vhsb78".into(),
            from_tag: "vav738dvbs".into(),
            to_tag: "8954jgjg8432".into(),
        }),
    };
    let bob = User {
        entity: "sip:bob@example.com".into(),
        display: Some("Bob".into()),
        state: Some("full".into()),
        associated_aors: vec![link("mailto:bob@example.com")],
        roles: vec!["participant".into()],
        languages: vec!["en".into(), "de".into()],
        endpoints: vec![endpoint],
        ..User::default()
    };
    let sidebar = Conference {
        entity: "sip:conf;side=1@example.com".into(),
        state: Some("full".into()),
        description: Some(Description::default()),
        ..Conference::default()
    };
    let document = Conference {
        description: Some(Description {
            subject: Some("Agenda: This month's goals".into()),
            keywords: vec!["sales".into(), "q3".into()],
            conf_uris: vec![Link {
                purpose: Some("participation".into()),
                ..link("tel:+18005671234")
            }],
            maximum_user_count: Some(50),
            ..Description::default()
        }),
        conference_state: Some(ConferenceState {
            user_count: Some(33),
            active: Some(true),
            locked: Some(false),
        }),
        sidebars_by_ref: vec![link("sips:conf233@example.com;grid=45")],
        sidebars_by_val: vec![sidebar],
        state: Some("full".into()),
        ..conference(vec![bob])
    };
    let text = built(&document.build());
    let expected = [
        r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:conf@example.com" state="full" version="0">"#,
        r#"<conference-description><subject>Agenda: This month&apos;s goals</subject><keywords>sales q3</keywords>"#,
        r#"<conf-uris><entry><uri>tel:+18005671234</uri><purpose>participation</purpose></entry></conf-uris>"#,
        r#"<maximum-user-count>50</maximum-user-count></conference-description>"#,
        r#"<conference-state><user-count>33</user-count><active>true</active><locked>false</locked></conference-state>"#,
        r#"<users><user entity="sip:bob@example.com"><display-text>Bob</display-text>"#,
        r#"<associated-aors><entry><uri>mailto:bob@example.com</uri></entry></associated-aors>"#,
        r#"<roles><entry>participant</entry></roles><languages>en de</languages>"#,
        r#"<endpoint entity="sip:4kfk4j392jsu@example.com;grid=433kj4j3u"><display-text>desk</display-text>"#,
        r#"<referred><when>2005-03-04T20:00:00Z</when><reason>expert required</reason><by>sip:mike@example.com</by></referred>"#,
        r#"<status>connected</status><joining-method>dialed-out</joining-method>"#,
        r#"<joining-info><by>sip:mike@x</by></joining-info>"#,
        r#"<media id="1"><display-text>main audio</display-text><type>audio</type><label>34567</label>"#,
        r#"<src-id>432424</src-id><status>sendrecv</status></media>"#,
        r#"<call-info><sip><call-id>hsjh8980vhsb78</call-id><from-tag>vav738dvbs</from-tag><to-tag>8954jgjg8432</to-tag></sip></call-info>"#,
        r#"</endpoint></user></users>"#,
        r#"<sidebars-by-ref><entry><uri>sips:conf233@example.com;grid=45</uri></entry></sidebars-by-ref>"#,
        r#"<sidebars-by-val><entry entity="sip:conf;side=1@example.com"><conference-description></conference-description><users></users></entry></sidebars-by-val>"#,
        r#"</conference-info>"#,
    ];
    assert_eq!(text, expected.concat());
    assert_eq!(read_conference(&text), Conference { version: Some(0), ..document });
}

#[test]
fn pkg_34_a_missing_state_means_full() {
    let read = read_conference(
        r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c@x" version="4">
             <users><user entity="sip:a@x"><endpoint entity="e"><media id="1"/></endpoint></user></users>
           </conference-info>"#,
    );
    let user = &read.users[0];
    let endpoint = &user.endpoints[0];
    for state in [&read.state, &user.state, &endpoint.state, &endpoint.media[0].state] {
        assert_eq!(state.as_deref(), Some("full"));
    }
    let read = read_conference(
        r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c@x" state="partial">
             <users><user entity="sip:a@x" state="deleted"/></users></conference-info>"#,
    );
    assert_eq!(read.users_state.as_deref(), Some("full"), "not partial because the document is");
    assert_eq!(read.users[0].state.as_deref(), Some("deleted"));
    let gone = r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c@x" state="deleted"/>"#;
    assert_eq!(read_conference(gone).state.as_deref(), Some("deleted"));
}

#[test]
fn pkg_34_what_a_conference_may_not_say_is_refused_with_its_place() {
    let endpoint = |change: fn(&mut Endpoint)| {
        let mut endpoint = Endpoint { entity: "e".into(), ..Endpoint::default() };
        change(&mut endpoint);
        let endpoints = vec![Endpoint { entity: "first".into(), ..Endpoint::default() }, endpoint];
        let user = User { entity: "sip:a@x".into(), endpoints, ..User::default() };
        refused(conference(vec![user]).build())
    };
    for (change, expected) in [
        (
            (|e| e.entity = "first".into()) as fn(&mut Endpoint),
            "users[1].endpoints[2].entity: \"first\" is the value of users[1].endpoints[1].entity already; an id is used once in a document",
        ),
        (
            |e| e.status = Some("online".into()),
            "users[1].endpoints[2].status: \"online\" is not \"pending\", \"dialing-out\", \"dialing-in\", \"alerting\", \"on-hold\", \"connected\", \"muted-via-focus\", \"disconnecting\" or \"disconnected\"",
        ),
        (
            |e| {
                e.joining_info =
                    Some(Step { when: Some(Timestamp::Unix(f64::NAN)), ..Step::default() })
            },
            "users[1].endpoints[2].joining_info.when: NaN is not a time such as \"2025-01-01T00:00:00Z\" or a number of seconds since 1970",
        ),
        (
            |e| {
                e.media =
                    vec![Media { id: "1".into(), status: Some("on".into()), ..Media::default() }]
            },
            "users[1].endpoints[2].media[1].status: \"on\" is not \"sendrecv\", \"sendonly\", \"recvonly\" or \"inactive\"",
        ),
        (
            |e| e.call_info = Some(CallInfo { call_id: "a".into(), ..CallInfo::default() }),
            "users[1].endpoints[2].call_info.from_tag: missing; give what the dialog has there",
        ),
    ] {
        assert_eq!(endpoint(change), expected);
    }
    let user = User { entity: "sip:a@x".into(), ..User::default() };
    assert!(
        refused(conference(vec![user.clone(), user.clone()]).build())
            .starts_with("users[2].entity: \"sip:a@x\" is the value of users[1].entity already")
    );
    let languages = vec!["en de".into()];
    assert_eq!(
        refused(conference(vec![User { languages, ..user }]).build()),
        "users[1].languages: \"en de\" is not a word without blanks"
    );
    let sidebars_by_val = vec![Conference { users_state: Some("x".into()), ..conference(vec![]) }];
    assert_eq!(
        refused(Conference { sidebars_by_val, ..conference(vec![]) }.build()),
        "sidebars_by_val[1].users_state: \"x\" is not \"full\" or \"partial\""
    );
}

#[test]
fn a_version_is_counted_unless_the_author_gives_one() {
    let version = |body: &puad::body::Body| body.version.map(|at| body.text[at]);
    let bodies = |version| {
        [
            DialogInfo { version, ..dialogs(vec![]) }.build().expect("valid"),
            Reginfo { version, ..Reginfo::default() }.build().expect("valid"),
            Conference { version, ..conference(vec![]) }.build().expect("valid"),
            Watcherinfo { version, ..Watcherinfo::default() }.build().expect("valid"),
        ]
    };
    for body in bodies(None) {
        assert_eq!(version(&body), Some(b'0'), "{body:?}");
        let (at, text) = (body.version.expect("counted"), &body.text);
        assert!(text[..at].ends_with(b" version=\"") && text[at + 1..].starts_with(b"\">"));
    }
    for body in bodies(Some(4_294_967_295)) {
        assert_eq!(body.version, None, "{body:?}");
        let text = std::str::from_utf8(&body.text).expect("UTF-8");
        assert!(text.contains(" version=\"4294967295\">"), "{text}");
    }
}

fn dialogs(dialogs: Vec<Dialog>) -> DialogInfo {
    DialogInfo { entity: "sip:alice@example.com".into(), dialogs, ..DialogInfo::default() }
}

fn dialog(id: &str, state: &str) -> Dialog {
    Dialog { id: id.into(), state: Some(state.into()), ..Dialog::default() }
}

fn registered(contacts: Vec<Contact>) -> Reginfo {
    let registration = Registration {
        aor: "sip:user@example.com".into(),
        id: "as9".into(),
        state: Some("active".into()),
        contacts,
    };
    Reginfo { registrations: vec![registration], ..Reginfo::default() }
}

fn contact(id: &str, state: &str, event: &str) -> Contact {
    Contact {
        id: id.into(),
        uri: "sip:user@pc887.example.com".into(),
        state: Some(state.into()),
        event: Some(event.into()),
        ..Contact::default()
    }
}

fn conference(users: Vec<User>) -> Conference {
    Conference { entity: "sip:conf@example.com".into(), users, ..Conference::default() }
}

/// The text after the declaration.
fn built(body: &Result<puad::body::Body, BodyError>) -> String {
    let body = body.as_ref().expect("valid");
    let text = String::from_utf8(body.text.to_vec()).expect("UTF-8");
    text.split_once('\n').expect("a declaration").1.to_owned()
}

fn refused(body: Result<puad::body::Body, BodyError>) -> String {
    body.expect_err("refused").to_string()
}

fn read_dialogs(text: &str) -> DialogInfo {
    match parse("application/dialog-info+xml", text.as_bytes()) {
        Ok(Parsed::DialogInfo(read)) => read,
        other => panic!("{other:?}"),
    }
}

fn read_registrations(text: &str) -> Reginfo {
    match parse("application/reginfo+xml", text.as_bytes()) {
        Ok(Parsed::Reginfo(read)) => read,
        other => panic!("{other:?}"),
    }
}

fn read_conference(text: &str) -> Conference {
    match parse("application/conference-info+xml", text.as_bytes()) {
        Ok(Parsed::Conference(read)) => *read,
        other => panic!("{other:?}"),
    }
}
