//! The Lua host as a script sees it: calls, handles, errors, limits.

use std::time::Duration;

use puad::command::{
    Cause, Command, ExtraHeaders, Failure, FailureKind, Lifetime, OnStop, PublicationState,
    RefreshWith, Reply,
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
            on_stop = "keep", timeout = "5s", etag = "old",
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
    assert_eq!(publish.on_stop, OnStop::Keep);
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
            "pua.publish: body: 5 is neither a text nor made by body.pidf, body.mwi or body.raw",
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
fn calls_that_wait_suspend_only_their_own_coroutine() {
    let mut stage = Stage::run(
        r#"
        local order = {}
        local function say(text) table.insert(order, text) end
        task.spawn(function() sleep(0.02) say("late") end)
        -- In a coroutine of the script's own, in an iterator, under pcall, and side by side.
        local wrapped = coroutine.wrap(function() sleep(0.001) coroutine.yield("yielded") return "done" end)
        say(wrapped())
        for n in function(_, n) sleep(0.001) if n < 2 then return n + 1 end end, nil, 0 do say("n" .. n) end
        local ok, message = pcall(function() sleep(0.001) error("inside", 0) end)
        say(tostring(ok) .. message)
        local results = task.all { function() sleep(0.05) return "a" end, function() return "b" end }
        say(results[1] .. results[2])
        pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = table.concat(order, " ") }
        "#,
    );
    assert_eq!(stage.said(), "yielded n1 n2 falseinside late ab");
}

#[test]
fn a_timer_fires_again_and_again_and_its_errors_do_not_stop_it() {
    let mut stage = Stage::run(
        r#"
        timer.every("100ms", function(t)
            if t.run == 1 then error({ code = 7 }) end
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence",
                body = ("%s %d %s"):format(t.name, t.run, type(t.lateness)) }
        end, { name = "tick", immediate = true })
        "#,
    );
    assert_eq!(stage.said(), "tick 2 number");
    assert_eq!(stage.said(), "tick 3 number");
    assert_eq!(stage.problem().message, "{ code = 7 }");
}

#[test]
fn a_slow_handler_is_not_run_twice_at_a_time() {
    let mut stage = Stage::run(
        r#"
        local t
        t = timer.every("100ms", function(f)
            sleep(0.25)
            t:cancel()
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = `run {f.run} next {t:next()} {t:info().missed >= 1}` }
        end)
        "#,
    );
    assert_eq!(stage.said(), "run 1 next nil true");
}

#[test]
fn an_endless_loop_ends_with_its_activity_and_the_script_lives_on() {
    let mut stage = Stage::set(
        r#"
        timer.after(0, function() while true do pcall(function() while true do end end) end end)
        timer.after(0.2, function()
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "alive" }
        end)
        "#,
        |spec| spec.limits.cpu = Duration::from_millis(50),
    );
    let problem = stage.problem();
    assert!(problem.killed);
    assert!(problem.message.contains("stopped: more than 50ms of CPU"), "{problem}");
    assert!(problem.trace.contains("test.lua:2"), "{problem}");
    assert_eq!(stage.said(), "alive");
}

#[test]
fn a_script_that_takes_all_memory_gets_an_error_and_lives_on() {
    let mut stage = Stage::set(
        r#"
        timer.after(0, function() local t = {} while true do t[#t + 1] = string.rep("x", 1000) .. #t end end)
        timer.after(0.5, function()
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "alive" }
        end)
        "#,
        |spec| spec.limits.memory = 4 << 20,
    );
    assert!(stage.problem().message.contains("not enough memory"), "{}", stage.problem());
    assert_eq!(stage.said(), "alive");
}

#[test]
fn libraries_are_read_only_and_dangerous_ones_are_not_there() {
    let mut stage = Stage::run(
        r#"
        assert(not pcall(function() pua.publish = nil end))
        assert(not pcall(function() string.format = nil end))
        for _, name in { "io", "loadstring", "load", "dofile", "getfenv", "newproxy" } do assert(getmetatable("").__index and _G[name] == nil, name) end
        assert(os.execute == nil)
        x = 1
        assert(x == 1, "globals of its own")
        "#,
    );
    stage.loaded().expect("all of it holds");
}

#[test]
fn modules_are_required_from_the_scripts_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("util.lua"),
        "sleep(0.001) return { twice = function(n) return 2 * n end }",
    )
    .expect("written");
    let source = "local util = require 'util' assert(util.twice(2) == 4) assert(require 'util' == util) require 'nothing'";
    let mut stage = Stage::in_folder(folder, source, |_| {});
    let problem = stage.loaded().expect_err("the second module is missing");
    assert!(
        problem
            .message
            .contains("test.lua:1: require: there is no module \"nothing\"; looked for "),
        "{problem}"
    );
}

#[test]
fn a_syntax_error_names_file_and_line() {
    let mut stage = Stage::run("local x = 1\nif x then\n");
    let problem = stage.loaded().expect_err("it does not compile");
    assert!(problem.message.contains("test.lua:3:"), "{problem}");
}

#[test]
fn config_schema_checks_types_fills_defaults_and_names_mistakes() {
    let run = |source: &str, config: &str| {
        let config: toml::Table = config.parse().expect("TOML");
        let mut stage = Stage::set(source, |spec| spec.config = config);
        stage.loaded().map_err(|problem| problem.message)
    };
    let source = r#"
        local cfg = config.schema { uri = "sip_uri", interval = { "duration", "10s" }, box = "path", n = "number?" }
        assert(cfg.uri == "sip:a@example.com" and cfg.interval == 10 and cfg.n == nil)
        assert(cfg.box:sub(1, 1) == "/" and cfg.box:sub(-4) == "mail", cfg.box)
    "#;
    run(source, "uri = 'sip:a@example.com'\nbox = 'mail'").expect("valid");
    let wrong = run(source, "uri = 'a@example.com'\nbox = 'mail'").expect_err("not a URI");
    assert!(
        wrong.ends_with(
            "test.lua:2: config: uri: \"a@example.com\" has no scheme; write sip:user@host"
        ),
        "{wrong}"
    );
    let unknown =
        run(source, "uri = 'sip:a@example.com'\nbox = 'mail'\nintervall = 5").expect_err("unknown");
    assert!(
        unknown.contains("config: unknown key 'intervall' (did you mean 'interval'?)"),
        "{unknown}"
    );
    let missing = run(source, "uri = 'sip:a@example.com'").expect_err("missing");
    assert!(missing.contains("config: box is required (a path)"), "{missing}");
}

#[test]
fn a_watch_reports_every_style_of_saving_once() {
    let mut stage = Stage::run(
        r#"
        fs.watch("state.txt", function(c)
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = `{c.kind} {c.path:match("[^/]+$")}` }
        end, { settle = "50ms" })
        "#,
    );
    stage.loaded().expect("watching");
    let file = stage.path().join("state.txt");
    std::thread::sleep(Duration::from_millis(100));
    std::fs::write(&file, "1").expect("written");
    assert_eq!(stage.said(), "create state.txt");
    std::fs::write(&file, "22").expect("written");
    assert_eq!(stage.said(), "modify state.txt");
    let other = stage.path().join("state.txt.new");
    std::fs::write(&other, "333").expect("written");
    std::fs::rename(&other, &file).expect("renamed");
    assert_eq!(stage.said(), "rename state.txt");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(stage.said(), "remove state.txt");
}

#[test]
fn a_watched_maildir_is_counted_at_start_and_at_every_change() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(folder.path().join("box").join(part)).expect("made");
    }
    let source = r#"
        mail.watch_maildir("box", function(n)
            pua.publish { presentity_uri = "sip:a@example.com", event = "message-summary", body = `{n.unread}/{n.read}` }
        end, { settle = "20ms" })
    "#;
    let mut stage = Stage::in_folder(folder, source, |_| {});
    assert_eq!(stage.said(), "0/0");
    std::thread::sleep(Duration::from_millis(100));
    let mailbox = stage.path().join("box");
    std::fs::write(mailbox.join("tmp/1"), "").expect("written");
    std::fs::rename(mailbox.join("tmp/1"), mailbox.join("new/1")).expect("delivered");
    assert_eq!(stage.said(), "1/0");
    std::fs::rename(mailbox.join("new/1"), mailbox.join("cur/1:2,S")).expect("read");
    assert_eq!(stage.said(), "0/1");
}

#[test]
fn system_figures_are_plausible() {
    let mut stage = Stage::run(
        r#"
        local cpu, mem, load = sys.cpu(), sys.mem(), sys.load()
        assert(cpu.cores >= 1 and cpu.percent >= 0 and cpu.percent <= 100.0001, "cpu")
        assert(mem.total > 0 and mem.used <= mem.total and mem.percent > 0, "mem")
        assert(load.one >= 0 and load.fifteen >= 0, "load")
        "#,
    );
    stage.loaded().expect("plausible");
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
