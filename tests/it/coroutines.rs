//! A script's own coroutines, with calls that wait inside them, and the way errors come out of them.

use puad::script::Problem;

use crate::support::lua::Stage;

/// Runs a script whose assertions must hold.
fn holds(source: &str) {
    let mut stage = Stage::run(source);
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(stage.status().last_error, None);
}

fn fails(source: &str) -> Problem {
    Stage::run(source).loaded().expect_err("it fails")
}

#[test]
fn waits_work_in_resume_wrap_generators_and_those_inside_one_another() {
    holds(
        r#"
        local co = coroutine.create(function(a)
            sleep(0.001)
            local b = coroutine.yield(a + 1)
            sleep(0.001)
            return a + b
        end)
        local ok, value = coroutine.resume(co, 1)
        assert(ok and value == 2 and coroutine.status(co) == "suspended")
        ok, value = coroutine.resume(co, 10)
        assert(ok and value == 11 and coroutine.status(co) == "dead")
        assert(not coroutine.resume(co))

        local function each(n)
            return coroutine.wrap(function() for i = 1, n do sleep(0.001) coroutine.yield(i, nil, i) end end)
        end
        local sum = 0
        for i, none, again in each(5) do sleep(0.001) assert(none == nil and again == i) sum += i end
        assert(sum == 15)

        -- Three deep, in a task, beside another one that does the same.
        local function deep(n)
            if n == 0 then sleep(0.005) return "deep" end
            return coroutine.wrap(deep)(n - 1)
        end
        local r = task.all { function() return deep(3) end, function() return deep(3) end }
        assert(r[1] == "deep" and r[2] == "deep")
        assert(coroutine.isyieldable())
        "#,
    );
}

#[test]
fn a_coroutine_that_waits_is_at_work_for_everybody_else() {
    holds(
        r#"
        local co = coroutine.create(function() sleep(0.05) return "slept" end)
        local got
        task.spawn(function() got = { coroutine.resume(co) } end)
        sleep(0.01)
        assert(coroutine.status(co) == "normal")
        local ok, message = coroutine.resume(co)
        assert(not ok and message == "cannot resume non-suspended coroutine", message)
        sleep(0.1)
        assert(got[1] == true and got[2] == "slept", "who resumed it got its result")
        "#,
    );
}

#[test]
fn closing_a_coroutine_that_waits_ends_the_wait() {
    holds(
        r#"
        local co = coroutine.create(function() sleep(3600) error("woken") end)
        local got
        task.spawn(function() got = { coroutine.resume(co) } end)
        sleep(0.01)
        assert(coroutine.close(co) == true and coroutine.status(co) == "dead")
        sleep(0.01)
        assert(got[1] == false and got[2] == "cannot resume dead coroutine", got[2])
        "#,
    );
}

#[test]
fn the_hosts_coroutines_are_not_the_scripts_to_resume_or_close() {
    holds(
        r#"
        local top = coroutine.running()
        local ok, message = pcall(coroutine.yield, 1)
        assert(not ok and message:find("attempt to yield from outside a coroutine"), message)
        local r = task.all { function()
            local resumed, why = coroutine.resume(top)
            local closed, also = pcall(coroutine.close, top)
            return { resumed, why, closed, also }
        end }
        assert(r[1][1] == false and r[1][2] == "cannot resume non-suspended coroutine")
        assert(r[1][3] == false and r[1][4]:find("cannot close a coroutine of the host"))
        "#,
    );
}

#[test]
fn where_nothing_can_wait_the_error_says_so_on_the_line() {
    for (call, line) in [
        ("table.sort({ 2, 1 },\nfunction() sleep(0) end)", 3),
        ("('x'):gsub('.',\nfunction() sleep(0) end)", 3),
        ("local _ = setmetatable({},\n{ __index = function() sleep(0) end }).x", 3),
    ] {
        let problem = fails(&format!("\n{call}"));
        let expected = format!(
            "test.lua:{line}: a call that waits cannot be made inside a sort comparator, a callback of string.gsub, or a metamethod"
        );
        assert!(problem.message.ends_with(&expected), "{problem}");
    }
}

#[test]
fn a_traceback_leads_through_waits_coroutines_and_tasks() {
    let problem = fails(
        r#"local function inner()
            sleep(0.001)
            error("deep down")
        end
        local function middle()
            task.all { function()
                sleep(0.001)
                coroutine.wrap(inner)()
            end }
        end
        coroutine.wrap(middle)()"#,
    );
    assert!(problem.message.ends_with("test.lua:3: deep down"), "{problem}");
    let lines: Vec<_> = problem
        .trace
        .lines()
        .filter_map(|line| {
            line.split("test.lua:").nth(1)?.split([' ', ':']).next()?.parse::<u32>().ok()
        })
        .collect();
    assert_eq!(lines, [3, 8, 6, 11], "{problem}");
    assert!(!problem.trace.contains("puad") && !problem.trace.contains("__mlua"), "{problem}");
}

#[test]
fn a_table_that_is_raised_stays_one_everywhere() {
    holds(
        r#"
        local e = { code = 7 }
        local function raise() sleep(0.001) error(e) end
        for name, through in {
            pcall = function() return select(2, pcall(raise)) end,
            wrap = function() return select(2, pcall(coroutine.wrap(raise))) end,
            resume = function() return select(2, coroutine.resume(coroutine.create(raise))) end,
            all = function() return select(2, pcall(task.all, { raise })) end,
            both = function() return select(2, pcall(coroutine.wrap(function() task.all { function() task.all { raise } end } end))) end,
            xpcall = function() return select(2, xpcall(raise, function(value) return value end)) end,
        } do
            assert(through() == e, name)
        end
        "#,
    );
    let problem = fails("\ntask.all { function() error({ code = 'x', n = 1, deep = {} }) end }");
    assert!(problem.message.ends_with("test.lua:2: { code = \"x\", n = 1 }"), "{problem}");
    let problem = fails("error(setmetatable({}, { __tostring = function() return 'a word' end }))");
    assert!(problem.message.ends_with("test.lua:1: a word"), "{problem}");
    let problem =
        fails("error(setmetatable({ n = 1 }, { __tostring = function() error('no') end }))");
    assert!(problem.message.ends_with("test.lua:1: { n = 1 }"), "{problem}");
}

#[test]
fn an_error_that_was_caught_leaves_nothing_in_a_later_traceback() {
    let problem = fails(
        "pcall(coroutine.wrap(function() error('same', 0) end))\nlocal function later()\nerror('other')\nend\nlater()",
    );
    assert!(problem.message.ends_with("test.lua:3: other"), "{problem}");
    assert!(!problem.trace.contains("test.lua:1"), "{problem}");
}

#[test]
fn globals_of_the_script_do_not_reach_the_hosts_functions() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("lines"), "a\nb\n").expect("written");
    let root = folder.path().to_owned();
    let source = r#"
        coroutine = { yield = function() error("not this one") end }
        string, table, pcall = nil, nil, nil
        local seen = ""
        for line in fs.lines("lines") do seen ..= line end
        assert(seen == "ab")
    "#;
    let mut stage = Stage::in_folder(folder, source, |spec| spec.allow.fs = vec![root]);
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}
