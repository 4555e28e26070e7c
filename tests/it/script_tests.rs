//! `puad test`: scripts' own tests, run the way a user runs them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use puad::script::testing::{self, Report};

/// A script that publishes a count each minute, and says which version it is.
const COUNTER: &str = r#"
local cfg = config.schema { uri = "sip_uri", every = { "duration", "1m" } }
local count = 0
timer.every(cfg.every, function()
    count += 1
    pua.publish { presentity_uri = cfg.uri, event = "presence", body = `count {count}`, content_type = "text/plain" }
end, { name = "count" })
"#;

/// Publishes once, at top level.
const ONCE: &str = r#"
local pub, err = pua.publish { presentity_uri = config.uri, event = "presence", expires = 600,
    body = "here", content_type = "text/plain" }
if err then log.warn("not published", { status = err.status }) end
"#;

/// What the cases of these tests begin with.
const LOAD: &str = r#"local uri = "sip:a@example.com"
"#;

#[test]
fn a_case_sees_what_its_script_publishes() {
    passes(
        COUNTER,
        r#"
test.case("each minute", function()
    test.load("it.lua", { uri = uri })
    test.expect_no_publish()
    test.advance("1m")
    local first = test.expect_publish { presentity_uri = uri, event = "presence", operation = "initial",
        body = "count 1", content_type = "text/plain", expires = "1h", etag = false }
    test.eq(first.at, 60)
    test.advance("1m")
    test.expect_publish { operation = "modify", etag = first.granted_etag, body_match = "^count %d$" }
end)
test.case("what comes at the very end of a wait counts", function()
    test.load("it.lua", { uri = uri })
    for minute = 1, 20 do
        test.eq(test.expect_publish { within = "1m", operation = if minute == 1 then "initial" else "modify" }.at, 60 * minute)
    end
end)
test.case("another case begins anew", function()
    test.load("it.lua", { uri = uri, every = "10s" })
    test.advance(10)
    test.expect_publish { body = "count 1", headers = { ["content-type"] = "text/plain" } }
end)
"#,
    );
}

#[test]
fn what_does_not_hold_is_told_with_file_and_line() {
    for (case, expected) in [
        (
            "test.expect_publish { event = 'dialog' }",
            "it_test.lua:4: test.expect_publish: event: expected \"dialog\", found \"presence\"",
        ),
        (
            "test.expect_publish { etag = 'x' }",
            "it_test.lua:4: test.expect_publish: etag: expected \"x\", found none",
        ),
        (
            "test.expect_publish { body_match = 'away' }",
            "it_test.lua:4: test.expect_publish: body_match: \"away\" does not match\n      here",
        ),
        (
            "test.expect_publish { body = 'there' }",
            "it_test.lua:4: test.expect_publish: body: expected \"there\", found \"here\"",
        ),
        (
            "test.expect_publish { body = 'here\\nand there' }",
            "it_test.lua:4: test.expect_publish: body: line 1: expected \"here\\n\", found \"here\"",
        ),
        (
            "test.expect_publish { expires = 60 }",
            "it_test.lua:4: test.expect_publish: expires: expected 60, found 600",
        ),
        (
            "test.expect_publish() test.expect_publish { within = '2s' }",
            "it_test.lua:4: test.expect_publish: no PUBLISH came within 2s",
        ),
        (
            "test.expect_no_publish('1s')",
            "it_test.lua:4: test.expect_no_publish: there was a PUBLISH (initial) of sip:a@example.com presence, 0 s into the case",
        ),
        (
            "test.expect_publish { evnt = 'presence' }",
            "it_test.lua:4: test.expect_publish: unknown option 'evnt' (did you mean 'event'?)",
        ),
        (
            "test.eq({ a = { 1, 2, { b = 'x' } } }, { a = { 1, 2, { b = 'y' } } })",
            "it_test.lua:4: test.eq: a[3].b: \"x\" is not \"y\"",
        ),
        (
            "test.eq({ a = 1, b = 2 }, { b = '2', c = false })",
            "it_test.lua:4: test.eq:\n    a: only the first has it: 1\n    b: 2 is not \"2\"\n    c: only the second has it: false",
        ),
        ("test.expect_subscribe {}", "it_test.lua:4: test: unknown name 'expect_subscribe'"),
        (
            "test.sip.reply(100)",
            "it_test.lua:4: test.sip.reply: first argument: 100 is not the code",
        ),
        ("test.write('../x', '')", "it_test.lua:4: test.write: \"../x\" is not a path inside"),
        ("test.case('x', print)", "it_test.lua:4: test.case: a case cannot hold another one"),
    ] {
        let source = format!(
            "test.case('c', function()\n    test.load('it.lua', {{ uri = uri }})\n    {case}\nend)"
        );
        let report = run(ONCE, &source);
        let [case] = &report.cases[..] else { panic!("{report:?}") };
        let problem = case.result.as_ref().expect_err(expected);
        assert!(problem.message.contains(expected), "{expected}\n{problem}");
        assert!(problem.trace.contains("it_test.lua:4"), "{problem}");
    }
}

#[test]
fn a_file_that_cannot_be_loaded_says_where() {
    for (source, expected) in [
        ("test.case('x' function() end)", "it_test.lua:2: "),
        ("test.load('it.lua')", "it_test.lua:2: test.load: belongs into a case"),
        (
            "test.case('x', function() end) test.case('x', function() end)",
            "it_test.lua:2: test.case: there is a case \"x\" already",
        ),
        ("pua.publish {}", "it_test.lua:2: attempt to index nil with 'publish'"),
    ] {
        let report = run(ONCE, source);
        assert!(report.cases.is_empty(), "{report:?}");
        let problem = report.broken.expect("a problem");
        assert!(problem.message.contains(expected), "{expected}\n{problem}");
    }
}

#[test]
fn a_script_that_fails_fails_its_case() {
    let failing = "timer.after('1s', function() local x = nil + 1 end, { name = 'sum' })";
    let report = run(
        failing,
        "test.case('told', function() test.load('it.lua') test.advance('1s') end)\n\
         test.case('expected', function() test.load('it.lua') test.expect_error('it.lua:1: attempt') end)\n\
         test.case('other', function() test.load('it.lua') test.expect_error('nothing') end)\n\
         test.case('missing', function() test.load('that.lua') end)\n\
         test.case('broken', function() test.load('it.lua', nil, { name = 'x', limits = { source = 5 } }) end)",
    );
    let message = |at: usize| report.cases[at].result.as_ref().expect_err("failed").message.clone();
    assert!(message(0).starts_with("script it: timer sum: "), "{}", message(0));
    assert!(message(0).contains("it.lua:1: attempt to perform arithmetic"), "{}", message(0));
    assert_eq!(report.cases[1].result, Ok(()));
    assert!(message(2).contains("test.expect_error: \"nothing\" is no part of"), "{}", message(2));
    assert!(message(3).contains("that.lua: there is no such script"), "{}", message(3));
    assert!(message(4).contains("limits.source"), "{}", message(4));
    assert!(report.cases[0].log.contains("running"), "{}", report.cases[0].log);
}

#[test]
fn a_day_passes_in_a_moment() {
    let began = Instant::now();
    passes(
        r#"
timer.cron("0 * * * *", function(t)
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain",
        body = os.date("!%d %H:%M", os.time()) .. " " .. math.floor(os.clock()) }
end, { tz = "UTC" })
"#,
        r#"
test.case("a day", function()
    test.eq(os.date("!%Y-%m-%d %H:%M:%S"), "2026-01-01 00:00:00")
    test.load("it.lua", { uri = uri })
    test.advance("1d")
    for hour = 1, 24 do
        local at = string.format("%02d %02d:00 %d", 1 + hour // 24, hour % 24, hour * 3600)
        -- Between them the core refreshes what was published.
        local seen
        repeat seen = test.expect_publish() until seen.operation ~= "refresh"
        test.eq(seen.body, at)
    end
    test.eq(os.time(), 1767312000)
end)
"#,
    );
    // Generous for a machine that is busy; the day alone would take 86,400 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn the_core_refreshes_heals_and_waits_as_it_does_outside() {
    passes(
        ONCE,
        r#"
test.case("a refresh before expiry", function()
    test.load("it.lua", { uri = uri })
    local first = test.expect_publish { operation = "initial", expires = 600 }
    test.expect_no_publish("5m")
    local second = test.expect_publish { operation = "refresh", etag = first.granted_etag, body = "", within = "3m" }
    assert(second.at >= 300 and second.at <= 480, second.at)
end)
test.case("412 starts over with the document", function()
    test.load("it.lua", { uri = uri })
    test.expect_publish { operation = "initial" }
    test.sip.reply(412)
    test.eq(test.expect_publish { operation = "refresh", within = "10m" }.status, 412)
    test.expect_publish { operation = "initial", etag = false, body = "here" }
end)
test.case("503 is waited out", function()
    test.sip.reply(503, { ["Retry-After"] = 120 })
    test.load("it.lua", { uri = uri })
    test.eq(test.expect_publish().status, 503)
    test.expect_no_publish("119s")
    local again = test.expect_publish { operation = "initial", within = "5m" }
    test.eq(again.status, 200)
    assert(again.at >= 120, again.at)
end)
test.case("423 asks for longer", function()
    test.sip.reply(423, { ["Min-Expires"] = "1800" })
    test.load("it.lua", { uri = uri })
    test.expect_publish { expires = 600 }
    test.expect_publish { expires = "30m" }
end)
test.case("403 is final, and answers queue up", function()
    test.sip.reply(403)
    test.load("it.lua", { uri = uri })
    test.eq(test.expect_publish().status, 403)
    test.expect_no_publish("1d")
end)
test.case("what the server grants counts", function()
    test.sip.reply(200, { Expires = 60, ["SIP-ETag"] = "mine" })
    test.load("it.lua", { uri = uri })
    test.eq(test.expect_publish().granted_etag, "mine")
    test.expect_publish { operation = "refresh", etag = "mine", within = "1m" }
end)
"#,
    );
}

#[test]
fn a_reload_adopts_and_a_broken_version_changes_nothing() {
    passes(
        ONCE,
        r#"
local changed = [[pua.publish { presentity_uri = config.uri, event = "presence", expires = 600,
    body = "there", content_type = "text/plain" }]]
test.case("nothing has changed", function()
    test.load("it.lua", { uri = uri })
    test.expect_publish()
    test.reload()
    test.expect_no_publish("2m")
end)
test.case("something has", function()
    test.load("it.lua", { uri = uri })
    local first = test.expect_publish()
    test.reload(changed)
    test.expect_publish { operation = "modify", etag = first.granted_etag, body = "there" }
end)
test.case("broken", function()
    test.load("it.lua", { uri = uri })
    test.expect_publish()
    local ok, why = pcall(test.reload, "error('no')")
    test.eq(ok, false)
    assert(string.find(why, "test.reload: .*it.lua:1: no"), why)
    test.expect_no_publish("2m")
    test.reload(changed)
    test.expect_publish { operation = "modify" }
end)
test.case("what is declared no more is removed", function()
    test.load("it.lua", { uri = uri })
    test.expect_publish()
    test.reload("log.info('empty')")
    test.expect_no_publish("59s")
    test.expect_publish { operation = "remove", expires = 0 }
end)
"#,
    );
}

#[test]
fn watches_hear_of_what_a_case_writes() {
    passes(
        r#"
fs.watch("state.txt", function(c)
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain", body = c.kind }
end)
mail.watch_maildir(config.box, function(n)
    pua.publish { presentity_uri = config.uri, event = "message-summary", content_type = "text/plain",
        body = `{n.unread}/{n.read}` }
end)
"#,
        r#"
test.case("files come, change and go", function()
    test.write("Mail/new/", nil)
    test.write("Mail/cur/", nil)
    test.load("it.lua", { uri = uri, box = test.folder .. "/Mail" })
    test.expect_publish { event = "message-summary", body = "0/0" }
    test.write("state.txt", "a")
    test.expect_no_publish("100ms")
    test.expect_publish { event = "presence", body = "create" }
    test.write("state.txt", "b")
    test.expect_publish { body = "modify" }
    test.eq(test.read("state.txt"), "b")
    test.remove("state.txt")
    test.expect_publish { body = "remove" }
    test.eq(test.read("state.txt"), nil)
    test.write("Mail/new/1.host", "")
    test.write("Mail/new/2.host", "")
    test.expect_publish { event = "message-summary", body = "2/0" }
    test.expect_no_publish("1m")
end)
"#,
    );
}

#[test]
fn files_of_a_script_are_those_of_the_case() {
    passes(
        r#"
fs.watch("in/*.txt", function(c)
    local text, err = fs.read(c.path)
    local done = fs.write("out.txt", string.upper(text or err.code))
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain",
        body = `{c.kind} {text} {done}` }
end)
local secret, err = fs.read("/etc/passwd")
log.info(tostring(err))
timer.after("1d", function() assert(err.code == "permission") end)
"#,
        r#"
test.case("read, written and refused", function()
    test.load("it.lua", { uri = uri })
    test.write("in/a.txt", "hello")
    test.expect_publish { body_match = "^create hello" }
    test.eq(test.read("out.txt"), "HELLO")
    test.advance("1d")
    test.write("in/a.txt", "again")
    local seen
    repeat seen = test.expect_publish() until seen.body ~= "" and not string.find(seen.body, "hello")
    test.eq(test.read("out.txt"), "AGAIN")
end)
test.case("of another case there is nothing left", function()
    test.eq(test.read("out.txt"), nil)
end)
"#,
    );
}

#[test]
fn the_machine_can_be_made_up() {
    passes(
        r#"
timer.every("10s", function()
    local cpu, mem = sys.cpu(), sys.mem()
    local load, err = sys.load()
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain",
        body = `{cpu.percent} {cpu.idle} {mem.percent} {mem.swap_used} {load and load.one or err}` }
end)
"#,
        r#"
test.case("figures one after the other", function()
    test.fake.sys { cpu = { 10, { percent = 95, idle = 1 } }, mem = { percent = 40, swap_used = 7 },
        load = { code = "io", message = "no /proc" } }
    test.load("it.lua", { uri = uri })
    for _, body in { "10 90 40 7 no /proc", "95 1 40 7 no /proc", "95 1 40 7 no /proc" } do
        test.advance("10s")
        test.expect_publish { body = body }
    end
    test.fake.sys { cpu = { code = "io", message = "gone" } }
    test.advance("10s")
    test.expect_error("attempt to index nil with 'percent'")
    local ok, why = pcall(test.fake.sys, { cpu = { percnt = 1 } })
    assert(not ok and string.find(why, "test.fake.sys: cpu: sys.cpu has no field 'percnt'", 1, true), why)
end)
"#,
    );
}

#[test]
fn what_waits_for_the_machine_can_be_made_up_too() {
    passes(
        r#"
timer.every("10s", function()
    local disk, err = sys.disk("/")
    local list = sys.processes()
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain",
        body = `{sys.hostname()} {if disk then disk.free / disk.total else err.op .. " " .. err.code} {#list} {sys.uptime()}` }
end)
"#,
        r#"
test.case("disks and processes", function()
    test.fake.sys { hostname = "web1", disk = { 25, { code = "not_found", message = "no" } }, uptime = { 5, 15 },
        processes = { { { pid = 1 }, { pid = 2 } }, {} } }
    test.load("it.lua", { uri = uri })
    test.advance("20s")
    test.expect_publish { body = "web1 0.75 2 5" }
    test.expect_publish { body = "web1 sys.disk not_found 0 15" }
end)
test.case("what is not made up is this machine's, and mistakes are the script's", function()
    test.load("it.lua", { uri = uri })
    test.advance("10s")
    test.expect_publish()
    test.reload("sys.disk('/')")
    local ok, why = pcall(test.reload, "\nsys.disk(nil)")
    assert(not ok and string.find(why, "it.lua:2: sys.disk: first argument: nil is not a path", 1, true), why)
end)
"#,
    );
}

#[test]
fn web_servers_and_programs_can_be_made_up() {
    passes(
        r#"
local function say(text)
    pua.publish { presentity_uri = config.uri, event = "presence", content_type = "text/plain", body = text }
end
timer.every("10s", function()
    local answer, err = http.get("http://door.example/state", { timeout = "30s", headers = { ["X-Key"] = "k" } })
    if not answer then return say(`{err.code}: {err.message}`) end
    local ok, state = pcall(function() return answer.json().state end)
    say(`{answer.status} {if ok then state else answer.body} {answer.headers["x-a"]}`)
end)
timer.every("14s", function()
    local done, err = exec.run { "queue", "-l", config.uri, stdin = "in" }
    say(if done then `{done.code} {done.signal} {done.stdout}{done.stderr}` else `{err.code}: {err.message}`)
end)
"#,
        r#"
test.case("by function", function()
    test.fake.http(function(request)
        test.eq({ request.method, request.url, request.headers["x-key"], request.body },
            { "GET", "http://door.example/state", "k", nil })
        return { body = { state = "shut" }, headers = { ["X-A"] = "b" } }
    end)
    test.fake.exec(function(call)
        return { code = 3, stdout = table.concat(call, " ") .. call.stdin, stderr = "!" }
    end)
    test.load("it.lua", { uri = uri })
    test.advance("10s")
    test.expect_publish { body = "200 shut b" }
    test.advance("4s")
    test.expect_publish { body = `3 nil queue -l {uri}in!` }
end)
test.case("by name, one answer after the other", function()
    test.fake.http { ["http://door.example/state"] = { "plain", 404, { code = "timeout", message = "slow" } } }
    test.fake.exec { queue = { "5 waiting", { signal = 9 }, { code = "not_found", message = "none" } } }
    test.load("it.lua", { uri = uri })
    for _, body in { "200 plain nil", "0 nil 5 waiting", "404  nil", "nil 9 ", "timeout: GET http://door.example/state: slow" } do
        test.expect_publish { body = body, within = "10s" }
    end
    test.expect_publish { within = "10s" }
    test.expect_publish { body = "not_found: queue: none", within = "10s" }
end)
test.case("a slow server times out in the time of the case", function()
    test.fake.http(function() sleep("1m") return "late" end)
    test.fake.exec { queue = "" }
    test.load("it.lua", { uri = uri })
    for _ = 1, 2 do test.expect_publish { body = "0 nil ", within = "20s" } end
    local late = test.expect_publish { body_match = "^timeout: .*30s", within = "20s" }
    test.eq(late.at, 40)
end)
test.case("permissions are asked where the case gives some", function()
    test.fake.http { ["http://door.example/state"] = "x" }
    test.fake.exec { queue = "x" }
    test.load("it.lua", { uri = uri }, { allow = { exec = { "queue" } } })
    test.advance("10s")
    test.expect_publish { body_match = "^permission: .*allow.http" }
    test.advance("4s")
    test.expect_publish { body = "0 nil x" }
end)
test.case("what nobody answers fails the case", function()
    test.fake.http { ["http://other.example/"] = "x" }
    test.load("it.lua", { uri = uri })
    test.advance("10s")
    test.expect_publish { body_match = "^refused: " }
    test.expect_error("nothing answers GET http://door.example/state; test.fake.http does not name it")
    test.advance("4s")
    test.expect_publish { body_match = "^refused: " }
    test.expect_error("script it: exec: nothing answers; test.fake.exec says what does")
end)
"#,
    );
}

#[test]
fn a_case_that_never_ends_is_ended() {
    // A second of CPU in one go is too much for a case as for a script.
    let report = run("", "test.case('spins', function() while true do end end)");
    let problem = report.cases[0].result.as_ref().expect_err("ended");
    assert!(problem.killed && problem.trace.contains("it_test.lua:2"), "{problem}");
}

#[test]
fn files_are_reported_in_order_and_cases_chosen_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<_> = (0..6).map(|at| folder.path().join(format!("f{at}_test.lua"))).collect();
    for file in &files {
        let cases = "test.case('one', function() end) test.case('two', function() error('no') end)";
        std::fs::write(file, cases).expect("written");
    }
    let mut seen = Vec::new();
    testing::run(&files, Some("one"), |report| {
        assert_eq!(report.cases.len(), 1);
        assert_eq!(report.cases[0].result, Ok(()));
        seen.push(report.path);
    });
    assert_eq!(seen, files);
}

#[test]
fn the_program_prints_a_line_per_case_and_ends_with_a_code_that_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("good/a_test.lua", "test.case('adds', function() test.eq(1 + 1, 2) end)");
    write("good/not_a_test.txt", "");
    write("good/deep/b_test.luau", "test.case('counts', function() test.eq(#{ 1 }, 1) end)");
    write(
        "bad/c_test.lua",
        "test.case('fails', function()\n    log.info('so far')\n    error('no')\nend)",
    );
    write("broken/d_test.lua", "test.case('x'");
    write("empty/e.lua", "");
    let puad = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_puad"))
            .arg("test")
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect("started");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (output.status.code(), without_times(&text(&output.stdout)), text(&output.stderr))
    };

    let (code, out, _) = puad(&["good"]);
    assert_eq!(
        out,
        "ok good/a_test.lua: adds\nok good/deep/b_test.luau: counts\n2 passed, 0 failed\n"
    );
    assert_eq!(code, Some(0));

    let (code, out, _) = puad(&["good", "bad", "--junit", "report.xml"]);
    let failed =
        "failed bad/c_test.lua: fails\n    bad/c_test.lua:3: no\n    at bad/c_test.lua:3\n";
    assert!(out.starts_with(failed) && out.contains("| "), "{out}");
    assert!(out.contains("so far") && out.ends_with("2 passed, 1 failed\n"), "{out}");
    assert_eq!(code, Some(1));
    let report = std::fs::read_to_string(folder.path().join("report.xml")).expect("a report");
    let start = "<testsuites name=\"puad test\" tests=\"3\" failures=\"1\" errors=\"0\"";
    assert!(report.contains(start), "{report}");

    let (code, out, _) = puad(&["good", "broken"]);
    assert!(out.starts_with("failed broken/d_test.lua: broken/d_test.lua:1: "), "{out}");
    assert!(out.ends_with("2 passed, 0 failed, 1 file cannot be loaded\n"), "{out}");
    assert_eq!(code, Some(78));

    let (code, out, _) = puad(&["good", "--filter", "count"]);
    assert_eq!((code, out.lines().count()), (Some(0), 2), "{out}");
    for (args, expected) in [
        (&["good", "--filter", "nothing"][..], "no case whose name contains \"nothing\""),
        (&["empty"], "there is no test: test files are called *_test.lua"),
        (&["nowhere"], "nowhere: there is no such file or folder"),
    ] {
        let (code, _, error) = puad(args);
        assert!(code == Some(64) && error.contains(expected), "{error}");
    }
}

/// Takes the milliseconds out of the lines.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" (") {
        Some((start, end)) if end.ends_with(" ms)") => format!("{start}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Runs the cases of a test file beside a script `it.lua`.
fn run(script: &str, cases: &str) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    write("it.lua", script);
    let file = write("it_test.lua", &format!("{LOAD}{cases}"));
    only(&file)
}

fn only(file: &Path) -> Report {
    let mut reports = Vec::new();
    testing::run(&[file.into()], None, |report| reports.push(report));
    reports.pop().expect("one report")
}

fn passes(script: &str, cases: &str) {
    let report = run(script, cases);
    assert_eq!(report.broken, None);
    assert!(!report.cases.is_empty());
    for case in report.cases {
        if let Err(problem) = case.result {
            panic!("{}: {problem}\n{}", case.name, case.log);
        }
    }
}
