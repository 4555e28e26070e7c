//! The Lua host as a script sees it: waiting, timers, files, limits, configuration.

use std::time::Duration;

use crate::support::lua::Stage;

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
    assert!(stage.problem().message.ends_with("/test.lua:3: { code = 7 }"), "{}", stage.problem());
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
fn assert_raises_the_error_that_a_call_has_returned() {
    let mut stage = Stage::run(
        r#"
        local ok, err = pcall(function() assert(mail.maildir("nowhere")) end)
        assert(not ok and err.code == "not_found")
        local ok, message = pcall(function() assert(false, "why") end)
        assert(message:find("test.lua:%d+: why$"), message)
        local ok, message = pcall(function() assert(nil) end)
        assert(message:find("test.lua:%d+: assertion failed!$"), message)
        assert(select('#', assert(1, nil, 3)) == 3 and select('#', assert(1)) == 1)
        assert(mail.maildir("nowhere"))
        "#,
    );
    let problem = stage.loaded().expect_err("the last line fails");
    assert!(problem.message.contains("nowhere: No such file"), "{problem}");
    assert!(problem.trace.contains("test.lua:9"), "{problem}");
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
fn a_refused_watch_calls_nobody() {
    let mut stage = Stage::set(
        r#"
        local function never() error("called") end
        local w, err = fs.watch(".", never, { initial = true })
        assert(w == nil and err.code == "limit", err)
        w, err = mail.watch_maildir("box", never)
        assert(w == nil and err.code == "limit", err)
        sleep(0.05)
        "#,
        |spec| spec.limits.watches = 0,
    );
    stage.loaded().expect("both were refused");
    assert_eq!(stage.status().last_error, None);
}

#[test]
fn a_metatable_that_never_ends_does_not_outlive_the_limit() {
    let mut stage = Stage::set(
        r#"
        task.spawn(function() error(setmetatable({}, { __tostring = function() while true do end end })) end)
        timer.after(0.2, function()
            pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "alive" }
        end)
        "#,
        |spec| spec.limits.cpu = Duration::from_millis(50),
    );
    assert_eq!(stage.said(), "alive");
    assert!(stage.problem().message.contains("stopped: more than 50ms of CPU"));
}

#[test]
fn searching_a_long_plain_text_takes_time_in_proportion() {
    let mut stage = Stage::run(
        r#"
        local hay, needle = string.rep("a", 4000000), string.rep("a", 2000000) .. "b"
        assert(hay:find(needle, 1, true) == nil and hay:find(needle) == nil)
        assert(#hay:split(needle) == 1)
        local long = string.rep("x", 70)
        local text = "12" .. long .. "3" .. long
        local function is(from, to, ...) local a, b = text:find(...) assert(a == from and b == to, `{a} {b}`) end
        is(3, 72, long) is(3, 72, long, 1, true) is(74, 143, long, 4) is(74, 143, long, -70)
        is(nil, nil, long, 75) is(nil, nil, long, 1000) is(1, 1, "%d")
        assert(table.concat(text:split(long), "|") == "12|3|")
        "#,
    );
    stage.loaded().expect("all of it holds, within a second of CPU");
}

#[test]
fn tasks_are_counted_and_limited() {
    let mut stage = Stage::set(
        r#"
        local a, b = task.spawn(sleep, 10), task.spawn(sleep, 0.01)
        local c, err = task.spawn(sleep, 10)
        assert(a and b and c == nil and err.code == "limit" and err.message:find("limits.tasks"), err)
        local d, why = task.all { function() end }
        assert(d == nil and why.code == "limit")
        sleep(0.1)
        assert(task.spawn(sleep, 10), "one has ended")
        task.cancel(a)
        sleep(0.01)
        assert(task.all { function() return 1 end }[1] == 1, "one was cancelled")
        "#,
        |spec| spec.limits.tasks = 2,
    );
    stage.loaded().expect("all of it holds");
}

#[test]
fn a_name_a_library_does_not_have_is_raised_with_a_suggestion() {
    for (call, expected) in [
        ("pua.publsh {}", "pua: unknown name 'publsh' (did you mean 'publish'?)"),
        ("timer.evry(1, print)", "timer: unknown name 'evry' (did you mean 'every'?)"),
        ("local f = log.wran", "log: unknown name 'wran' (did you mean 'warn'?)"),
    ] {
        let problem = Stage::run(call).loaded().expect_err(call);
        assert!(problem.message.ends_with(&format!("test.lua:1: {expected}")), "{problem}");
    }
    Stage::run("assert(rawget(pua, 'subscribe') == nil)").loaded().expect("asking is allowed");
}

#[test]
fn a_path_of_a_relative_configuration_starts_there() {
    let source =
        "local cfg = config.schema { box = 'path' } assert(cfg.box == config.expected, cfg.box)";
    let expected = std::env::current_dir().expect("a folder").join("box");
    let config = format!("box = 'box'\nexpected = {:?}", expected.display().to_string());
    let config = config.parse().expect("TOML");
    let mut stage = Stage::set(
        &source.replace("{ box = 'path' }", "{ box = 'path', expected = 'string' }"),
        |spec| {
            spec.config = config;
            spec.config_dir = "".into();
        },
    );
    stage.loaded().expect("absolute");
}
