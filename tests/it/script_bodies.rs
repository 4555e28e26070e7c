//! `body` as a script sees it: builders, `body.parse`, and the round trip between them.

use puad::command::Document;

use crate::support::lua::Stage;

/// What every script here begins with: tables of all kinds of documents.
const TABLES: &str = r#"
    local function say(text)
        pua.publish { presentity_uri = "sip:r@example.com", event = "presence", body = text }
    end
    local tables = {
        pidf = {
            entity = "sip:a@example.com", note = "all",
            tuples = { { id = "t1", basic = "open", contact = "sip:a@192.0.2.1", priority = 0.5,
                note = "<b>\r\n& \"q\"", timestamp = 1735689600, class = "auth", user_input = "active",
                device_id = "urn:x:1" } },
            persons = { { id = "p1", activities = { "busy", "travel" }, mood = "happy" },
                { id = "p2", note = "own", user_input = { state = "idle", idle_threshold = "10m",
                    last_input = "2025-01-01T00:00:00Z" } } },
            devices = { { id = "d1", device_id = "urn:x:1", note = "desk" } },
        },
        mwi = {
            account = "sip:vm@example.com", voice = { new = 2, old = 8, urgent_new = 0, urgent_old = 2 },
            text = { old = 1 }, other = { ["video-message"] = { new = 1 } },
            headers = { { Subject = "lunch?", ["Message-ID"] = "17@vm" }, { To = "a" } },
        },
        dialog_info = {
            entity = "sip:a@example.com", state = "partial",
            dialogs = { { id = "1", call_id = "c@h", local_tag = "l", remote_tag = "r",
                direction = "recipient", state = "terminated", reason = "rejected", code = 486,
                duration = 12, replaces = { call_id = "x", local_tag = "y", remote_tag = "z" },
                referred_by = { identity = "sip:b@x" }, route_set = { "<sip:p;lr>" },
                ["local"] = { identity = "sip:a@example.com", display = "A <a>", target = "sip:a@pc" },
                remote = { identity = "sip:b@x", target = "sip:b@pc", cseq = 3,
                    params = { ["+sip.rendering"] = "no" },
                    session_description = { type = "application/sdp", text = "v=0\r\n" } } } },
        },
        reginfo = {
            registrations = { { aor = "sip:a@example.com", id = "r1", state = "active", contacts = {
                { id = "c1", uri = "sip:a@pc", state = "active", event = "shortened", expires = "1m", q = 0.25,
                  params = { ["+sip.instance"] = "\"<urn>\"" }, pub_gruu = "sip:a@example.com;gr=1",
                  temp_gruu = { uri = "sip:t@example.com;gr", first_cseq = 5 } },
                { id = "c2", uri = "sip:a@old", state = "terminated", event = "probation", retry_after = 30 },
            } } },
        },
        conference = {
            entity = "sip:conf@example.com", description = { subject = "goals", keywords = { "a", "b" },
                conf_uris = { { uri = "tel:1", purpose = "participation" } },
                available_media = { { label = "1", type = "audio", status = "sendrecv" } } },
            host = { web_page = "http://example.com" },
            conference_state = { user_count = 2, active = true, locked = false },
            users = { { entity = "sip:a@x", display = "A", roles = { "chair" }, endpoints = { { entity = "e1",
                status = "connected", joining_method = "dialed-in", joining_info = { when = 0, by = "sip:b@x" },
                media = { { id = "1", type = "audio" } },
                call_info = { call_id = "c", from_tag = "f", to_tag = "t" } } } } },
            sidebars_by_ref = { { uri = "sip:side@x" } },
            sidebars_by_val = { { entity = "sip:side2@x", description = "a word" } },
        },
        watcherinfo = {
            lists = { { resource = "sip:a@example.com", package = "presence", watchers = {
                { id = "w1", uri = "sip:b@x", status = "active", event = "approved", display = "B",
                  expiration = "1h", duration = 5 } } } },
        },
    }
    local kinds = { "pidf", "mwi", "dialog_info", "reginfo", "conference", "watcherinfo" }
"#;

#[test]
fn what_parse_gives_is_what_the_builder_takes() {
    let mut stage = run(r#"
        for _, kind in kinds do
            local made = body[kind](tables[kind])
            local again = body[kind](assert(body.parse(made.content_type, tostring(made))))
            local same = again.text == made.text and again.content_type == made.content_type
            say(if same then kind .. " " .. made.content_type else again.text .. "\n" .. made.text)
        end
        "#);
    for expected in [
        "pidf application/pidf+xml",
        "mwi application/simple-message-summary",
        "dialog_info application/dialog-info+xml",
        "reginfo application/reginfo+xml",
        "conference application/conference-info+xml",
        "watcherinfo application/watcherinfo+xml",
    ] {
        assert_eq!(stage.said(), expected);
    }
    stage.loaded().expect("ran to its end");
}

#[test]
fn every_field_that_is_written_comes_back_under_its_name() {
    // Texts, numbers and truths; times come back as text, durations as seconds.
    let mut stage = run(r#"
        local function missing(given, got, path, list)
            for key, value in given do
                local at = path .. "." .. tostring(key)
                local back = got[key]
                if type(value) == "table" and type(back) == "table" then
                    missing(value, back, at, list)
                elseif type(value) == "string" and type(back) == "table" then
                    -- The short form of a table or a list.
                    if back[1] ~= value and back.state ~= value and back.display ~= value then
                        table.insert(list, at)
                    end
                elseif back ~= value then
                    table.insert(list, at .. "=" .. tostring(back))
                end
            end
        end
        for _, kind in kinds do
            local made = body[kind](tables[kind])
            local list = {}
            missing(tables[kind], body.parse(made.content_type, made.text), kind, list)
            table.sort(list)
            say(table.concat(list, "\n") .. ".")
        end
        "#);
    assert_eq!(
        stage.said(),
        "pidf.persons.2.user_input.idle_threshold=600\npidf.tuples.1.timestamp=2025-01-01T00:00:00Z."
    );
    assert_eq!(stage.said(), ".");
    assert_eq!(stage.said(), ".");
    assert_eq!(stage.said(), "reginfo.registrations.1.contacts.1.expires=60.");
    assert_eq!(
        stage.said(),
        "conference.users.1.endpoints.1.joining_info.when=1970-01-01T00:00:00Z."
    );
    assert_eq!(stage.said(), "watcherinfo.lists.1.watchers.1.expiration=3600.");
    stage.loaded().expect("ran to its end");
}

#[test]
fn a_document_with_a_version_tells_the_core_where_it_stands() {
    let mut stage = run(r#"
        for _, kind in kinds do
            pua.publish { presentity_uri = "sip:r@example.com", event = "dialog", id = kind, body = body[kind](tables[kind]) }
        end
        tables.dialog_info.version = 0
        pua.publish { presentity_uri = "sip:r@example.com", event = "dialog", body = body.dialog_info(tables.dialog_info) }
        pua.publish { presentity_uri = "sip:r@example.com", event = "dialog", content_type = "a/b", body = body.dialog_info { entity = "sip:a@x" } }
        "#);
    let mut counted = |expected: bool| {
        let publish = stage.granted();
        let document = publish.document.expect("a body");
        let digit = document.version.map(|at| document.body[at]);
        assert_eq!(digit, expected.then_some(b'0'), "{} {document:?}", publish.id);
        document
    };
    for expected in [false, false, true, true, true, true] {
        counted(expected);
    }
    counted(false);
    let document: Document = counted(true);
    assert_eq!(&*document.content_type, "a/b", "the author's word on the type leaves the version");
    stage.loaded().expect("ran to its end");
}

#[test]
fn packages_know_the_types_of_their_documents() {
    let mut stage = Stage::run(
        r#"
        for _, event in { "dialog", "dialog;sla", "reg", "conference", "presence.winfo", "presence.winfo.winfo" } do
            pua.publish { presentity_uri = "sip:a@example.com", event = event, body = "x" }
        end
        "#,
    );
    for expected in
        ["dialog-info", "dialog-info", "reginfo", "conference-info", "watcherinfo", "watcherinfo"]
    {
        let document = stage.granted().document.expect("a body");
        assert_eq!(&*document.content_type, format!("application/{expected}+xml"));
    }
    stage.loaded().expect("ran to its end");
}

#[test]
fn what_cannot_be_read_is_nil_and_an_error_with_its_place() {
    let mut stage = run(r#"
        for _, case in {
            { "application/pidf+xml", "<presence>\n<tuple>" },
            { "text/plain", "x" },
            { "application/dialog-info+xml", "<!DOCTYPE a><a/>" },
            { "application/simple-message-summary", "Voice-Message: 1/0" },
            { "application/reginfo+xml;charset=koi8-r", "<a/>" },
        } do
            local doc, err = body.parse(case[1], case[2])
            say(("%s %s %s %s"):format(tostring(doc), err.code, err.op, tostring(err)))
        end
        "#);
    for expected in [
        "body.parse: line 2, column 8: the document ends too early",
        "body.parse: \"text/plain\" is no type of document that puad reads; it reads application/pidf+xml, \
         application/simple-message-summary, application/dialog-info+xml, application/reginfo+xml, \
         application/conference-info+xml, application/watcherinfo+xml",
        "body.parse: line 1, column 1: document type declarations (<!DOCTYPE) are not read",
        "body.parse: line 1, column 1: \"Voice-Message: 1/0\" is not Messages-Waiting: yes or no",
        "body.parse: the charset \"koi8-r\" is not known; utf-8, us-ascii, iso-8859-1 and utf-16 are",
    ] {
        assert_eq!(stage.said(), format!("nil parse body.parse {expected}"));
    }
    stage.loaded().expect("ran to its end");
}

#[test]
fn a_mistake_in_a_document_is_raised_with_its_place() {
    for (call, expected) in [
        (
            "body.dialog_info { entity = 'sip:a@x', dialogs = { { id = 'a', state = 'early', remte = {} } } }",
            "body.dialog_info: dialogs[1]: unknown option 'remte' (did you mean 'remote'?)",
        ),
        (
            "body.dialog_info { entity = 'sip:a@x', dialogs = { { id = 'a', state = 'early', remote = { identity = 'bob' } } } }",
            "body.dialog_info: dialogs[1].remote.identity: \"bob\" has no scheme; write sip:user@host",
        ),
        (
            "body.dialog_info { entity = 'sip:a@x', dialogs = { { id = 'a', state = 'terminated', code = 48.5 } } }",
            "body.dialog_info: dialogs[1].code: 48.5 is not a whole number from 0 to 65535",
        ),
        (
            "body.dialog_info { entity = 'sip:a@x', version = -1 }",
            "body.dialog_info: version: -1 is not a whole number from 0 to 4294967295",
        ),
        (
            "body.dialog_info { entity = 'sip:a@x', dialogs = { { id = 'a', state = 'early', remote = { target = 'sip:b@x', params = { x = 1 } } } } }",
            "body.dialog_info: dialogs[1].remote.params.x: 1 is not a text",
        ),
        (
            "body.reginfo { registrations = { { aor = 'sip:a@x', id = 'a', state = 'active', contacts = { { id = 'c', uri = 'sip:a@y', state = 'active' } } } } }",
            "body.reginfo: registrations[1].contacts[1].event: missing; give \"registered\" or another event",
        ),
        (
            "body.reginfo { registrations = { { aor = 'sip:a@x', id = 'a', contacts = { { uri = 'sip:a@y' } } } } }",
            "body.reginfo: registrations[1].contacts[1].id: is required",
        ),
        (
            "body.watcherinfo { lists = { { resource = 'sip:a@x' } } }",
            "body.watcherinfo: lists[1].package: is required",
        ),
        (
            "body.conference { entity = 'sip:a@x', users = { { entity = 'sip:b@x', endpoints = { { entity = 'e', status = 'conected' } } } } }",
            "body.conference: users[1].endpoints[1].status: \"conected\" is not \"pending\", \"dialing-out\", \"dialing-in\", \"alerting\", \"on-hold\", \"connected\", \"muted-via-focus\", \"disconnecting\" or \"disconnected\" (did you mean \"connected\"?)",
        ),
        (
            "local c = { entity = 'sip:a@x' } c.sidebars_by_val = { c } body.conference(c)",
            "sidebars are nested more than 8 deep",
        ),
        (
            "body.mwi { other = { ['video-message'] = { new = -1 } } }",
            "body.mwi: other.video-message.new: -1 is not a number of messages (a whole number from 0 to 4294967295)",
        ),
        (
            "body.mwi { other = { ['Voice-Message'] = { new = 1 } } }",
            "body.mwi: other: \"Voice-Message\" is not the name of another class of messages, such as \"video-message\"",
        ),
        ("body.parse(5, 'x')", "body.parse: first argument: 5 is not a text"),
        ("body.parse('a/b')", "body.parse: second argument: nil is not a text"),
        ("body.pasre('a/b')", "body: unknown name 'pasre' (did you mean 'parse'?)"),
    ] {
        let mut stage = Stage::run(call);
        let problem = stage.loaded().expect_err(call);
        let message = problem.to_string();
        assert!(message.contains(expected), "{call}: {message}");
        assert!(message.contains("test.lua:1"), "{call}: on the caller's line: {message}");
    }
}

#[test]
fn pkg_16_what_rpid_says_of_persons_is_refused_elsewhere() {
    for (call, expected) in [
        (
            "body.pidf { entity = 'sip:a@x', tuples = { { id = 'a', basic = 'open', mood = 'happy' } } }",
            "body.pidf: tuples[1]: unknown option 'mood'",
        ),
        (
            "body.pidf { entity = 'sip:a@x', devices = { { id = 'a', device_id = 'urn:x:1', activities = 'busy' } } }",
            "body.pidf: devices[1]: unknown option 'activities'",
        ),
        (
            "body.pidf { entity = 'sip:a@x', persons = { { id = 'a', device_id = 'urn:x:1' } } }",
            "body.pidf: persons[1]: unknown option 'device_id'",
        ),
    ] {
        let mut stage = Stage::run(call);
        let message = stage.loaded().expect_err(call).to_string();
        assert!(message.contains(expected), "{call}: {message}");
    }
}

#[test]
fn pkg_14_a_person_without_a_note_shows_that_of_the_whole() {
    let mut stage = run(r#"
        local made = body.pidf(tables.pidf)
        local doc = assert(body.parse(made.content_type, made.text))
        say(("%s %s %s"):format(doc.persons[1].note, doc.persons[2].note, tostring(rawget(doc.persons[1], "note"))))
        local bare = assert(body.parse(made.content_type, (made.text:gsub("<note>all</note>", ""))))
        say(("%s %s"):format(tostring(bare.persons[1].note), tostring(bare.note)))
        "#);
    assert_eq!(stage.said(), "all own nil");
    assert_eq!(stage.said(), "nil nil");
    stage.loaded().expect("ran to its end");
}

#[test]
fn lists_are_there_even_when_they_are_empty() {
    let mut stage = run(r#"
        local function parsed(kind, t) local made = body[kind](t) return body.parse(made.content_type, made.text) end
        local pidf = parsed("pidf", { entity = "sip:a@x" })
        local conference = parsed("conference", { entity = "sip:c@x" })
        say(#pidf.tuples .. #pidf.persons .. #pidf.devices
            .. #parsed("dialog_info", { entity = "sip:a@x" }).dialogs
            .. #parsed("reginfo", {}).registrations
            .. #parsed("watcherinfo", {}).lists
            .. #conference.users .. #parsed("mwi", {}).headers)
        say(("%s %s %d"):format(conference.state, tostring(conference.users_state), conference.version))
        "#);
    assert_eq!(stage.said(), "00000000");
    assert_eq!(stage.said(), "full nil 0");
    stage.loaded().expect("ran to its end");
}

fn run(script: &str) -> Stage {
    Stage::run(&format!("{TABLES}\n{script}"))
}
