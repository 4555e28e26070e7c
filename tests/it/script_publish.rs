//! `pua` and `body` as a script sees them: calls, handles, errors.

use std::time::Duration;

use puad::command::{
    Cause, Change, Command, ExtraHeaders, Failure, FailureKind, Lifetime, OnOrphan, OnStop,
    PublicationState, RefreshWith, Reply,
};

use crate::support::lua::{Stage, grant};

#[test]
fn a_publish_carries_what_the_table_says_and_returns_a_handle() {
    let mut stage = Stage::run(
        r#"
        local pub = assert(pua.publish {
            presentity_uri = "sip:alice@example.com", event = "presence", id = "cpu",
            body = body.raw("text/plain", "hi"), expires = "10m", lifetime = 3600,
            outbound_proxy = { "sip:a.example;lr", "sip:b.example" },
            extra_headers = { ["X-B"] = { "1", 2 }, ["X-A"] = "0" },
            account = "work", refresh = "body", skip_unchanged = true, min_interval = 2,
            on_stop = "keep", on_orphan = "keep", timeout = "5s", etag = "old",
        })
        pua.publish { presentity_uri = "sip:r@example.com", event = "presence",
            body = ("%d %s %s %d %s"):format(pub.status, pub.reason, pub.etag, pub.expires, tostring(pub.sent)) }
        "#,
    );
    let publish = stage.granted();
    assert_eq!(publish.key().as_str(), "sip:alice@example.com presence cpu");
    let document = publish.document.expect("a body");
    assert_eq!((&*document.content_type, &*document.body), ("text/plain", &b"hi"[..]));
    assert_eq!(publish.expires, Duration::from_secs(600));
    assert_eq!(publish.lifetime, Lifetime::For(Duration::from_secs(3600)));
    assert_eq!(publish.outbound_proxy.len(), 2);
    let rows = [("X-A", "0"), ("X-B", "1"), ("X-B", "2")];
    let rows = rows.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(publish.extra_headers, ExtraHeaders::new(rows).expect("valid"));
    assert_eq!(publish.account.as_deref(), Some("work"));
    assert_eq!(publish.refresh, Some(RefreshWith::Body));
    assert!(publish.skip_unchanged);
    assert_eq!(publish.min_interval, Duration::from_secs(2));
    assert_eq!((publish.on_stop, publish.on_orphan), (OnStop::Keep, OnOrphan::Keep));
    assert_eq!(publish.timeout, Some(Duration::from_secs(5)));
    assert_eq!(publish.entity_tag.expect("given").as_str(), "old");
    let report = stage.granted();
    let document = report.document.expect("a body");
    assert_eq!(&*document.content_type, "application/pidf+xml", "the package's own type");
    assert_eq!(&*document.body, b"200 OK tag-1 600 true");
    stage.loaded().expect("ran to its end");
}

#[test]
fn a_failure_of_the_world_is_nil_and_a_table_that_shows_as_one_line() {
    let mut stage = Stage::run(
        r#"
        local opts = { presentity_uri = "sip:a@example.com", event = "presence", body = "x" }
        local pub, err = pua.publish(opts)
        opts.body = ("%s|%s|%d|%s|%s|%.1f|%s"):format(tostring(pub), err.code, err.status, err.reason,
            tostring(err.retrying), err.retry_after, tostring(err))
        pua.publish(opts)
        local _, err = pua.publish(opts)
        opts.body = ("%s %s %s"):format(err.code, tostring(err.status), err.cause)
        pua.publish(opts)
        "#,
    );
    stage.refused(Failure {
        status: Some(503),
        reason: Some("Busy".into()),
        retrying: true,
        retry_after: Some(Duration::from_millis(2500)),
        ..Failure::new(FailureKind::Sip, "503 Busy")
    });
    assert_eq!(stage.said(), "nil|sip|503|Busy|true|2.5|503 Busy");
    stage.refused(Failure {
        retrying: true,
        cause: Some(Cause::Lane),
        ..Failure::new(FailureKind::Timeout, "late")
    });
    assert_eq!(stage.said(), "timeout nil lane");
}

#[test]
fn misuse_is_raised_on_the_callers_line_with_a_suggestion() {
    let base = "presentity_uri = 'sip:a@example.com', event = 'presence'";
    for (call, expected) in [
        (
            format!("pua.publish {{ {base}, expire = 5 }}"),
            "pua.publish: unknown option 'expire' (did you mean 'expires'?)",
        ),
        (
            format!("pua.publish {{ {base}, expires = 'soon', body = '' }}"),
            "pua.publish: expires: \"soon\" is not a duration (seconds, or text such as \"500ms\", \"30s\", \"5m\", \"1h30m\", \"1d\")",
        ),
        ("pua.publish { event = 'presence' }".into(), "pua.publish: presentity_uri: is required"),
        (
            "pua.publish { presentity_uri = 'alice', event = 'presence' }".into(),
            "pua.publish: presentity_uri: \"alice\" has no scheme; write sip:user@host",
        ),
        (
            "pua.publish { presentity_uri = 'sip:a@b', event = 'a b' }".into(),
            "pua.publish: event: \"a b\" is not an event package (a token such as \"presence\", with parameters such as \"dialog;sla\")",
        ),
        (
            format!("pua.publish {{ {base}, body = 5 }}"),
            "pua.publish: body: 5 is neither a text nor made by body.pidf, body.raw or their like",
        ),
        (
            format!("pua.publish {{ {base}, body = 'x', expires = 0 }}"),
            "pua.publish: expires: 0 removes the publication and goes with no body",
        ),
        (
            format!("pua.publish {{ {base}, refresh = 'ful' }}"),
            "pua.publish: refresh: \"ful\" is not \"empty\" or \"body\"",
        ),
        (
            format!("pua.publish {{ {base}, extra_headers = {{ ['X'] = 'a\\r\\nRoute: x' }} }}"),
            "pua.publish: extra_headers: the value of X holds a line break, a NUL or another control character",
        ),
        (
            format!("pua.publish {{ {base}, extra_headers = {{ CSeq = '1 PUBLISH' }} }}"),
            "pua.publish: extra_headers: CSeq is set by puad itself and cannot be given",
        ),
        (
            format!("pua.publish {{ {base}, content_type = 'nonsense', body = 'x' }}"),
            "pua.publish: content_type: \"nonsense\" is not a media type, such as \"application/pidf+xml\"",
        ),
        (
            "pua.publish { presentity_uri = 'sip:a@b', event = 'x-mine', body = 'x' }".into(),
            "pua.publish: content_type: is required: no type is known for documents of \"x-mine\"",
        ),
        (
            "pua.publish(5)".into(),
            "pua.publish: one table of options is expected, such as pua.publish{ presentity_uri = \"sip:a@example.com\", event = \"presence\", body = … }, not 5",
        ),
        (
            "timer.every('50ms', print)".into(),
            "timer.every: interval: \"50ms\" is shorter than the 100ms a timer may have",
        ),
        ("timer.every('1s')".into(), "timer.every: second argument: nil is not a function"),
        (
            "timer.every('1s', print, { jiter = 1 })".into(),
            "timer.every: unknown option 'jiter' (did you mean 'jitter'?)",
        ),
        (
            "fs.watch(5, print)".into(),
            "fs.watch: first argument: 5 is neither a path nor a list of paths",
        ),
        (
            "fs.watch('/proc/stat', print)".into(),
            "fs.watch: changes below /proc/stat cannot be watched; use timer.every, or poll = \"1s\"",
        ),
        (
            "sleep('x')".into(),
            "sleep: \"x\" is not a duration (seconds, or text such as \"500ms\", \"30s\", \"5m\", \"1h30m\", \"1d\")",
        ),
    ] {
        let mut stage = Stage::run(&format!("\n\n{call}"));
        let problem = stage.loaded().expect_err(&call);
        assert!(
            problem.message.ends_with(&format!("test.lua:3: {expected}")),
            "{call}:\n{}",
            problem.message
        );
    }
}

#[test]
fn kamailios_order_of_arguments_works() {
    let mut stage = Stage::run(
        r#"
        pua.publish("sip:a@example.com", 600, "message-summary", "text/plain", "box", ".", "sip:p.example;lr", "X-A: 1\r\n", "body")
        pua.publish("sip:a@example.com", -1, "presence", ".", ".", ".", ".", ".", "<p/>")
        pua.publish("sip:a@example.com", 0, "presence", ".", ".", ".", ".", ".", "ignored")
        "#,
    );
    let first = stage.granted();
    assert_eq!(first.key().as_str(), "sip:a@example.com message-summary box");
    assert_eq!(first.lifetime, Lifetime::For(Duration::from_secs(600)));
    assert_eq!(first.extra_headers.rows(), [("X-A".to_owned(), "1".to_owned())]);
    assert_eq!(&*first.document.expect("a body").content_type, "text/plain");
    let forever = stage.granted();
    assert_eq!(forever.lifetime, Lifetime::Forever);
    assert_eq!(forever.expires, Duration::from_secs(3600));
    assert_eq!(&*forever.document.expect("a body").content_type, "application/pidf+xml");
    let removal = stage.granted();
    assert!(removal.expires.is_zero() && removal.document.is_none());
}

#[test]
fn a_handle_updates_refreshes_and_removes_its_publication() {
    let mut stage = Stage::run(
        r#"
        local pub = pua.publish { presentity_uri = "sip:a@example.com", event = "presence", id = "x", expires = 60, body = "1" }
        assert(pub:update { body = "2" } == pub)
        assert(pub:refresh())
        assert(pub:remove())
        "#,
    );
    stage.granted();
    let update = stage.granted();
    assert_eq!(update.key().as_str(), "sip:a@example.com presence x");
    assert_eq!(update.expires, Duration::from_secs(60), "options stay as they were given");
    assert_eq!(&*update.document.clone().expect("a body").body, b"2");
    let (command, reply) = stage.command();
    assert!(matches!(command, Command::Refresh { .. }), "{command:?}");
    let _ = reply.send(Reply::Publication(Ok(grant(&update))));
    let (command, reply) = stage.command();
    assert!(matches!(command, Command::Remove { .. }), "{command:?}");
    let mut removed = grant(&update);
    removed.state = PublicationState::Removed;
    let _ = reply.send(Reply::Publication(Ok(removed)));
    stage.loaded().expect("ran to its end");
}

#[test]
fn bodies_are_built_from_tables() {
    let mut stage = Stage::run(
        r#"
        local pidf = body.pidf { entity = "sip:a@example.com", tuples = { { id = "cpu", basic = "open", note = "50 % & more" } } }
        assert(pidf.content_type == "application/pidf+xml" and pidf.text:find("50 %% &amp; more"))
        pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = pidf }
        pua.publish { presentity_uri = "sip:a@example.com", event = "message-summary",
            body = body.mwi { account = "sip:a@example.com", voice = { new = 2, old = 1 } } }
        "#,
    );
    let presence = stage.granted().document.expect("a body");
    assert_eq!(&*presence.content_type, "application/pidf+xml");
    assert_eq!(
        stage.said(),
        "Messages-Waiting: yes\r\nMessage-Account: sip:a@example.com\r\nVoice-Message: 2/1\r\n"
    );
}

#[test]
fn a_wrong_body_names_the_place() {
    for (call, expected) in [
        (
            "body.pidf { entity = 'sip:a@b', tuples = { { id = 'a', basic = 'open' }, { id = 'b', basic = 'opne' } } }",
            "body.pidf: tuples[2].basic: \"opne\" is not \"open\" or \"closed\" (did you mean \"open\"?)",
        ),
        (
            "body.pidf { entity = 'sip:a@b', tuples = { { id = 'a', basci = 'open' } } }",
            "body.pidf: tuples[1]: unknown option 'basci' (did you mean 'basic'?)",
        ),
        (
            "body.pidf { entity = 'sip:a@b', tuples = { { basic = 'open' } } }",
            "body.pidf: tuples[1].id: is required",
        ),
        (
            "body.mwi { voice = { new = 1.5 } }",
            "body.mwi: voice.new: 1.5 is not a number of messages (a whole number from 0 to 4294967295)",
        ),
        ("body.mwi { vioce = {} }", "body.mwi: unknown option 'vioce' (did you mean 'voice'?)"),
        (
            "body.raw('text', 'x')",
            "body.raw: first argument: \"text\" is not a media type, such as \"text/plain\"",
        ),
    ] {
        let mut stage = Stage::run(call);
        let problem = stage.loaded().expect_err(call);
        assert!(
            problem.message.ends_with(&format!("test.lua:1: {expected}")),
            "{call}:\n{}",
            problem.message
        );
    }
}

#[test]
fn a_stopped_script_lets_go_of_the_core() {
    let mut stage = Stage::run(
        r#"
        fs.watch("state.txt", print)
        mail.watch_maildir("box", print)
        timer.every("1h", print)
        pua.send_publish { presentity_uri = "sip:a@example.com", event = "presence", body = "x", on_state = print }
        "#,
    );
    stage.loaded().expect("ran to its end");
    stage.granted();
    assert!(stage.lets_go(), "a handle to the core is left");
}

#[test]
fn on_state_hears_of_every_change_with_an_error_that_shows_as_one_line() {
    let mut stage = Stage::run(
        r#"
        pua.publish { presentity_uri = "sip:a@example.com", event = "presence", id = "x", body = "1",
            on_state = function(s)
                pua.send_publish { presentity_uri = "sip:r@example.com", event = "presence",
                    body = `{s.state} {tostring(s.status)} {tostring(s.error)} {s.error and s.error.op}` }
            end }
        "#,
    );
    let publish = stage.granted();
    stage.loaded().expect("ran to its end");
    let failure = Failure { retrying: true, ..Failure::new(FailureKind::Timeout, "no answer") };
    stage.tell(&publish, Change::Retrying, Some(failure));
    assert_eq!(stage.said(), "retrying nil no answer pua.publish");
    stage.tell(&publish, Change::Recovered, None);
    assert_eq!(stage.said(), "recovered nil nil nil");
}

#[test]
fn on_state_goes_on_when_a_publish_follows_a_removal_under_way() {
    let mut stage = Stage::run(
        r#"
        local opts = { presentity_uri = "sip:a@example.com", event = "presence", id = "x", body = "1" }
        local pub = pua.publish(opts)
        task.spawn(function() pub:remove() end)
        sleep(0.01)
        opts.on_state = function(s)
            pua.send_publish { presentity_uri = "sip:r@example.com", event = "presence", body = s.state }
        end
        pua.publish(opts)
        "#,
    );
    let publish = stage.granted();
    let (_, removal) = stage.command();
    let (_, again) = stage.publish();
    let mut removed = grant(&publish);
    removed.state = PublicationState::Removed;
    stage.tell(&publish, Change::Removed, None);
    let _ = removal.send(Reply::Publication(Ok(removed)));
    assert_eq!(stage.said(), "removed");
    let _ = again.send(Reply::Publication(Ok(grant(&publish))));
    stage.tell(&publish, Change::Published, None);
    assert_eq!(stage.said(), "published");
}

#[test]
fn a_call_that_was_not_taken_uses_up_no_limit() {
    let mut stage = Stage::set(
        r#"
        local function publish(user) return pua.publish { presentity_uri = `sip:{user}@example.com`, event = "presence", body = "x" } end
        for user = 1, 5 do
            local _, err = publish(user)
            assert(err.code == "conflict", err)
        end
        assert(publish("mine"))
        local _, err = publish("more")
        assert(err.code == "limit" and err.message:find("limits.publications"), err)
        "#,
        |spec| spec.limits.publications = 1,
    );
    for _ in 0..5 {
        stage.refused(Failure::new(FailureKind::Conflict, "belongs to script b"));
    }
    stage.granted();
    stage.loaded().expect("all of it holds");
}

#[test]
fn a_script_whose_top_level_fails_ends_and_takes_its_publications_along() {
    let mut stage = Stage::run(
        r#"
        timer.every("100ms", function()
            pua.publish { presentity_uri = "sip:t@example.com", event = "presence", body = "tick" }
        end)
        pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "1" }
        error("half way")
        "#,
    );
    let publish = stage.granted();
    let (command, _) = stage.command();
    assert!(
        matches!(&command, Command::Abandon { owner, keys: None } if *owner == publish.owner),
        "{command:?}"
    );
    assert!(stage.loaded().expect_err("it failed").message.ends_with("half way"));
    assert!(stage.is_quiet_for(Duration::from_millis(300)), "its timer goes on");
}

#[test]
fn a_body_in_kamailios_order_is_a_text_or_a_body_and_nothing_else() {
    let call = |body: &str| {
        format!("pua.publish('sip:a@b', 60, 'presence', '.', '.', '.', '.', '.', {body})")
    };
    let mut stage = Stage::run(&call("body.raw('text/plain', 'x')"));
    assert_eq!(&*stage.granted().document.expect("a body").content_type, "text/plain");
    let mut stage = Stage::run(&call("5"));
    let problem = stage.loaded().expect_err("a number is no body");
    assert!(
        problem.message.ends_with(
            "pua.publish: body: 5 is neither a text nor made by body.pidf, body.raw or their like"
        ),
        "{problem}"
    );
}

#[test]
fn documents_are_counted_and_limited() {
    let mut stage = Stage::set(
        r#"
        local function publish(id, length)
            return pua.publish { presentity_uri = "sip:a@example.com", event = "presence", id = id, body = string.rep("x", length) }
        end
        local _, err = publish("a", 1024 * 1024 + 1)
        assert(err.code == "limit" and err.message:find("1048577 bytes"), err)
        assert(publish("a", 600))
        assert(publish("a", 300), "it replaces the first")
        assert(publish("b", 600))
        _, err = publish("c", 200)
        assert(err.code == "limit" and err.message:find("limits.documents"), err)
        "#,
        |spec| spec.limits.documents = 1000,
    );
    for _ in 0..3 {
        stage.granted();
    }
    stage.loaded().expect("all of it holds");
}

#[test]
fn a_refused_call_that_nobody_waits_for_leaves_a_line_in_the_log_and_nothing_else() {
    let mut stage = Stage::set(
        r#"
        for n = 1, 3 do
            assert(pua.send_publish { presentity_uri = `sip:{n}@example.com`, event = "presence", expires = 0 })
            sleep(0.02)
        end
        "#,
        |spec| spec.limits.publications = 1,
    );
    for _ in 0..3 {
        let (publish, reply) = stage.publish();
        let mut gone = grant(&publish);
        gone.state = PublicationState::Removed;
        let _ = reply.send(Reply::Publication(Ok(gone)));
    }
    stage.loaded().expect("keys that are not there use up no limit");
}

#[test]
fn a_removal_that_was_refused_for_good_uses_up_no_limit() {
    let mut stage = Stage::set(
        r#"
        local pub = assert(pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "x" })
        local ok, err = pub:remove()
        assert(not ok and err.retrying == false)
        assert(pua.publish { presentity_uri = "sip:b@example.com", event = "presence", body = "x" })
        "#,
        |spec| spec.limits.publications = 1,
    );
    stage.granted();
    let (_, reply) = stage.command();
    let refused = Failure { status: Some(403), ..Failure::new(FailureKind::Sip, "403 Forbidden") };
    let _ = reply.send(Reply::Publication(Err(refused)));
    stage.granted();
    stage.loaded().expect("there is room again");
}

#[test]
fn a_call_whose_waiter_is_cancelled_uses_up_no_limit() {
    let mut stage = Stage::set(
        r#"
        local function publish()
            return pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = string.rep("x", 400) }
        end
        for _ = 1, 5 do
            local waiter = task.spawn(publish)
            sleep(0.02)
            task.cancel(waiter)
            sleep(0.01)
        end
        assert(publish())
        "#,
        |spec| {
            spec.limits.publications = 2;
            spec.limits.documents = 1000;
        },
    );
    let _unanswered: Vec<_> = (0..5).map(|_| stage.publish()).collect();
    stage.granted();
    stage.loaded().expect("there is room");
}
