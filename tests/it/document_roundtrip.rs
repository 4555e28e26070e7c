//! What a builder wrote, a reader gives back: building it again is the same document.

use proptest::{collection::vec, option, prelude::*, sample::select};
use puad::body::{
    Address, Body, BodyError, CallInfo, Conference, ConferenceState, Contact, Count, Description,
    Device, Dialog, DialogInfo, Endpoint, Host, Link, Media, Mwi, Participant, Person, Pidf,
    Reginfo, Registration, Replaces, SessionDescription, Step, TemporaryGruu, Timestamp, Tuple,
    User, UserInput, Watcher, WatcherList, Watcherinfo, parse,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn presence_is_read_as_it_was_written(
        tuples in vec(tuple(), 0..3),
        persons in vec(person(), 0..3),
        devices in vec(device(), 0..3),
        (entity, note) in (uri(), option::of(text())),
    ) {
        let pidf = Pidf { entity, tuples, persons, devices, note };
        same(pidf.build())?;
    }

    #[test]
    fn message_waiting_is_read_as_it_was_written(
        waiting in option::of(any::<bool>()),
        account in option::of(uri()),
        counts in vec(option::of(count()), 5),
        other in proptest::collection::btree_map("[a-z-]{1,8}", count(), 0..3),
        headers in vec(vec(("[A-Za-z-]{1,6}", "[ -~ä\t]{0,12}"), 1..4), 0..3),
    ) {
        let mwi = Mwi {
            waiting,
            account,
            voice: counts[0],
            fax: counts[1],
            pager: counts[2],
            multimedia: counts[3],
            text: counts[4],
            other,
            headers,
        };
        same(mwi.build())?;
    }

    #[test]
    fn dialogs_are_read_as_they_were_written(
        (entity, version, state) in (uri(), option::of(any::<u32>()), option::of(select(PARTS))),
        dialogs in vec(dialog(), 0..4),
    ) {
        let state = state.map(str::to_owned);
        same(DialogInfo { entity, version, state, dialogs }.build())?;
    }

    #[test]
    fn registrations_are_read_as_they_were_written(
        version in option::of(any::<u32>()),
        registrations in vec(
            (uri(), text(), select(&["init", "active", "terminated"][..]), vec(contact(), 0..3)),
            0..3,
        ),
    ) {
        let registrations = registrations
            .into_iter()
            .map(|(aor, id, state, contacts)| {
                Registration { aor, id, state: Some(state.into()), contacts }
            })
            .collect();
        same(Reginfo { version, state: None, registrations }.build())?;
    }

    #[test]
    fn watchers_are_read_as_they_were_written(
        version in option::of(any::<u32>()),
        lists in vec((uri(), "[a-z]{1,3}", vec(watcher(), 0..3)), 0..3),
    ) {
        let lists = lists
            .into_iter()
            .map(|(resource, package, watchers)| WatcherList { resource, package, watchers })
            .collect();
        same(Watcherinfo { version, state: Some("partial".into()), lists }.build())?;
    }

    #[test]
    fn conferences_are_read_as_they_were_written(
        whole in conference(),
        sidebars_by_val in vec(conference(), 0..2),
    ) {
        same(Conference { sidebars_by_val, ..whole }.build())?;
    }
}

/// Reads a document that could be built, and builds it again.
fn same(built: Result<Body, BodyError>) -> Result<(), TestCaseError> {
    // What is refused is looked at elsewhere.
    let Ok(body) = built else { return Ok(()) };
    let parsed = parse(&body.content_type, &body.text)
        .map_err(|error| TestCaseError::fail(format!("{error}: {:?}", body.text)))?;
    let again =
        parsed.build().map_err(|error| TestCaseError::fail(format!("{error}: {:?}", body.text)))?;
    prop_assert_eq!(again.content_type, body.content_type);
    prop_assert_eq!(again.text, body.text);
    Ok(())
}

#[test]
fn most_of_what_is_made_here_can_be_built() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut count = |what: &str, one: &dyn Fn(&mut TestRunner) -> bool| {
        let built = (0..100).filter(|_| one(&mut runner)).count();
        assert!(built >= 30, "only {built} of 100 documents of {what} were built");
    };
    count("dialogs", &|runner| {
        let dialogs = vec![dialog().new_tree(runner).expect("a value").current()];
        DialogInfo { entity: "sip:a@x".into(), dialogs, ..DialogInfo::default() }.build().is_ok()
    });
    count("presence", &|runner| {
        let tuples = vec![tuple().new_tree(runner).expect("a value").current()];
        let persons = vec![person().new_tree(runner).expect("a value").current()];
        Pidf { entity: "sip:a@x".into(), tuples, persons, ..Pidf::default() }.build().is_ok()
    });
    count("registrations", &|runner| {
        let contacts = vec![contact().new_tree(runner).expect("a value").current()];
        let registration = Registration {
            aor: "sip:a@x".into(),
            id: "r".into(),
            state: Some("active".into()),
            contacts,
        };
        Reginfo { registrations: vec![registration], ..Reginfo::default() }.build().is_ok()
    });
    count("conferences", &|runner| {
        conference().new_tree(runner).expect("a value").current().build().is_ok()
    });
}

/// A text of which some need escaping, some cannot be written, and most are harmless.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z0-9]{1,6}",
        3 => "(?s)[<>&'\"\\]a\r\n\t \u{a0}\u{85}]{0,8}",
        1 => "(?s).{0,4}",
    ]
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "sips?:[a-z0-9&;=]{1,4}@[a-z]{1,4}(;[a-z]=[a-z&]{1,2})?",
        1 => "(tel|urn|pres):[ -~]{0,6}",
        1 => "tel:\\PC{0,4}",
    ]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (-1e9..4e9_f64).prop_map(Timestamp::Unix),
        Just(Timestamp::Text("2025-01-01t00:30:00.250+01:00".into())),
    ]
}

fn user_input() -> impl Strategy<Value = UserInput> {
    (select(&["active", "idle"][..]), option::of(any::<u64>()), option::of(timestamp())).prop_map(
        |(state, idle_threshold, last_input)| UserInput {
            state: state.into(),
            idle_threshold,
            last_input,
        },
    )
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let ids = ("[a-z]{1,3}", select(&["open", "closed"][..]), option::of(text()));
    let what = (option::of(user_input()), option::of(uri()), option::of(uri()));
    let rest = (option::of(0.0..=1.0), option::of(text()), option::of(timestamp()));
    (ids, what, rest).prop_map(
        |((id, basic, class), (user_input, device_id, contact), (priority, note, timestamp))| {
            Tuple {
                id,
                basic: Some(basic.into()),
                class,
                user_input,
                device_id,
                priority: priority.filter(|_| contact.is_some()),
                contact,
                note,
                timestamp,
            }
        },
    )
}

fn person() -> impl Strategy<Value = Person> {
    let words = (
        vec(select(&["away", "busy", "on-the-phone"][..]), 0..3),
        vec(select(&["calm", "in_awe"][..]), 0..3),
    );
    let rest = (option::of(user_input()), option::of(text()), option::of(timestamp()));
    ("[a-z]{1,3}", option::of(text()), words, rest).prop_map(
        |(id, class, (activities, mood), (user_input, note, timestamp))| Person {
            id,
            class,
            activities: activities.into_iter().map(str::to_owned).collect(),
            mood: mood.into_iter().map(str::to_owned).collect(),
            user_input,
            note,
            timestamp,
        },
    )
}

fn device() -> impl Strategy<Value = Device> {
    let rest = (option::of(user_input()), option::of(text()), option::of(timestamp()));
    ("[a-z]{1,3}", option::of(text()), uri(), rest).prop_map(
        |(id, class, device_id, (user_input, note, timestamp))| Device {
            id,
            class,
            user_input,
            device_id,
            note,
            timestamp,
        },
    )
}

fn count() -> impl Strategy<Value = Count> {
    (any::<u32>(), any::<u32>(), option::of(any::<u32>()), option::of(any::<u32>()))
        .prop_map(|(new, old, urgent_new, urgent_old)| Count { new, old, urgent_new, urgent_old })
}

fn participant() -> impl Strategy<Value = Participant> {
    let address = (option::of(uri()), option::of(text()));
    let target = (option::of(uri()), proptest::collection::btree_map("[+a-z.]{1,6}", text(), 0..3));
    let rest = (option::of((text(), text())), option::of(any::<u32>()));
    (address, target, rest).prop_map(
        |((identity, display), (target, params), (description, cseq))| Participant {
            display: display.filter(|_| identity.is_some()),
            identity,
            params: if target.is_some() { params } else { Default::default() },
            target,
            session_description: description
                .map(|(r#type, text)| SessionDescription { r#type, text }),
            cseq,
        },
    )
}

fn dialog() -> impl Strategy<Value = Dialog> {
    let ids = (text(), option::of(text()), option::of(text()), option::of(text()));
    let state = (
        option::of(select(&["initiator", "recipient"][..])),
        select(&["trying", "proceeding", "early", "confirmed", "terminated"][..]),
        option::of(select(&["rejected", "local-bye", "timeout"][..])),
        option::of(100..700_u16),
        option::of(any::<u64>()),
    );
    let others = (
        option::of(("[a-z]{1,4}", "[a-z]{1,4}", "[a-z&]{1,4}")),
        option::of((uri(), option::of(text()))),
        vec(text(), 0..3),
    );
    let sides = (option::of(participant()), option::of(participant()));
    (ids, state, others, sides).prop_map(|(ids, state, others, (local, remote))| {
        let (id, call_id, local_tag, remote_tag) = ids;
        let (direction, state, reason, code, duration) = state;
        let (replaces, referred_by, route_set) = others;
        Dialog {
            id,
            call_id,
            local_tag,
            remote_tag,
            direction: direction.map(str::to_owned),
            state: Some(state.into()),
            reason: reason.filter(|_| state == "terminated").map(str::to_owned),
            code,
            duration,
            replaces: replaces.map(|(call_id, local_tag, remote_tag)| Replaces {
                call_id,
                local_tag,
                remote_tag,
            }),
            referred_by: referred_by.map(|(identity, display)| Address { identity, display }),
            route_set,
            local,
            remote,
        }
    })
}

fn contact() -> impl Strategy<Value = Contact> {
    let state = select(
        &[
            ("active", "registered"),
            ("active", "created"),
            ("active", "shortened"),
            ("terminated", "expired"),
            ("terminated", "probation"),
        ][..],
    );
    let seconds = (any::<u64>(), any::<u64>(), option::of(any::<u64>()));
    let sent = (option::of(0.0..=1.0), option::of(text()), option::of(any::<u64>()));
    let shown = (
        option::of(text()),
        proptest::collection::btree_map("[a-z.+]{1,5}", text(), 0..3),
        option::of(uri()),
        option::of((uri(), any::<u64>())),
    );
    (text(), uri(), state, seconds, sent, shown).prop_map(
        |(id, uri, (state, event), (expires, retry_after, duration), sent, shown)| {
            let (q, call_id, cseq) = sent;
            let (display, params, pub_gruu, temp_gruu) = shown;
            Contact {
                id,
                uri,
                state: Some(state.into()),
                event: Some(event.into()),
                expires: (event != "expired").then_some(expires),
                retry_after: (event == "probation").then_some(retry_after),
                duration,
                q,
                call_id,
                cseq,
                display,
                params,
                pub_gruu,
                temp_gruu: temp_gruu
                    .map(|(uri, cseq)| TemporaryGruu { uri, first_cseq: Some(cseq) }),
            }
        },
    )
}

fn watcher() -> impl Strategy<Value = Watcher> {
    let state = (
        select(&["pending", "active", "waiting", "terminated"][..]),
        select(&["subscribe", "approved", "giveup", "noresource"][..]),
    );
    let rest = (option::of(text()), option::of(any::<u64>()), option::of(any::<u64>()));
    (text(), uri(), state, rest).prop_map(
        |(id, uri, (status, event), (display, expiration, duration))| Watcher {
            id,
            uri,
            status: Some(status.into()),
            event: Some(event.into()),
            display,
            expiration,
            duration,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (uri(), option::of(text()), option::of(text())).prop_map(|(uri, display, purpose)| Link {
        uri,
        display,
        purpose,
    })
}

fn step() -> impl Strategy<Value = Step> {
    (option::of(timestamp()), option::of(text()), option::of(uri()))
        .prop_map(|(when, reason, by)| Step { when, reason, by })
}

fn state() -> impl Strategy<Value = Option<String>> {
    option::of(select(STATES).prop_map(str::to_owned))
}

fn media() -> impl Strategy<Value = Media> {
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (text(), state(), texts, option::of(select(&["sendrecv", "inactive"][..]))).prop_map(
        |(id, state, (display, r#type, label, src_id), status)| Media {
            id,
            state,
            display,
            r#type,
            label,
            src_id,
            status: status.map(str::to_owned),
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let steps = (option::of(step()), option::of(step()), option::of(step()));
    let words = (
        option::of(select(&["connected", "on-hold"][..])),
        option::of(select(&["dialed-in", "focus-owner"][..])),
        option::of(select(&["departed", "busy"][..])),
    );
    let call = option::of((option::of(text()), "[a-z]{1,3}", "[a-z]{1,3}", "[a-z]{1,3}"));
    let rest = (vec(media(), 0..2), call);
    (text(), option::of(text()), state(), steps, words, rest).prop_map(
        |(entity, display, state, steps, words, (media, call))| {
            let (referred, joining_info, disconnection_info) = steps;
            let (status, joining_method, disconnection_method) = words;
            Endpoint {
                entity,
                display,
                state,
                referred,
                status: status.map(str::to_owned),
                joining_method: joining_method.map(str::to_owned),
                joining_info,
                disconnection_method: disconnection_method.map(str::to_owned),
                disconnection_info,
                media,
                call_info: call.map(|(display, call_id, from_tag, to_tag)| CallInfo {
                    display,
                    call_id,
                    from_tag,
                    to_tag,
                }),
            }
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    let lists = (vec(link(), 0..2), vec(text(), 0..2), vec("[a-z]{2}", 0..2));
    (uri(), option::of(text()), state(), lists, option::of(uri()), vec(endpoint(), 0..2)).prop_map(
        |(entity, display, state, lists, cascaded_focus, endpoints)| {
            let (associated_aors, roles, languages) = lists;
            User {
                entity,
                display,
                state,
                associated_aors,
                roles,
                languages,
                cascaded_focus,
                endpoints,
            }
        },
    )
}

fn description() -> impl Strategy<Value = Description> {
    let texts = (option::of(text()), option::of(text()), option::of(text()));
    let lists = (vec("[a-z<&]{1,4}", 0..3), vec(link(), 0..2), vec(link(), 0..2));
    let media = vec((text(), text(), option::of(text())), 0..2);
    (texts, lists, option::of(any::<u32>()), media).prop_map(|(texts, lists, most, media)| {
        let (display, subject, free_text) = texts;
        let (keywords, conf_uris, service_uris) = lists;
        Description {
            display,
            subject,
            free_text,
            keywords,
            conf_uris,
            service_uris,
            maximum_user_count: most,
            available_media: media
                .into_iter()
                .map(|(label, r#type, display)| puad::body::AvailableMedia {
                    label,
                    r#type: Some(r#type),
                    display,
                    status: Some("sendrecv".into()),
                })
                .collect(),
        }
    })
}

fn conference() -> impl Strategy<Value = Conference> {
    let host = option::of((option::of(text()), option::of(uri()), vec(link(), 0..2)))
        .prop_map(|host| host.map(|(display, web_page, uris)| Host { display, web_page, uris }));
    let how = option::of((option::of(any::<u32>()), option::of(any::<bool>())));
    let how = how.prop_map(|how| {
        how.map(|(user_count, active)| ConferenceState { user_count, active, locked: active })
    });
    let users = (vec(user(), 0..2), option::of(select(PARTS)), vec(link(), 0..2));
    let head = (uri(), option::of(any::<u32>()), state());
    (head, option::of(description()), host, how, users).prop_map(
        |((entity, version, state), description, host, conference_state, users)| {
            let (users, users_state, sidebars_by_ref) = users;
            Conference {
                entity,
                version,
                state,
                description,
                host,
                conference_state,
                users,
                users_state: users_state.map(str::to_owned),
                sidebars_by_ref,
                sidebars_by_val: Vec::new(),
            }
        },
    )
}

const PARTS: &[&str] = &["full", "partial"];
const STATES: &[&str] = &["full", "partial", "deleted"];
