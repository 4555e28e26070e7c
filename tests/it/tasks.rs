//! `task` and `sleep` as a script sees them.

use crate::support::lua::Stage;

/// Runs a script whose assertions must hold.
fn holds(source: &str) {
    let mut stage = Stage::run(source);
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(stage.status().last_error, None);
}

#[test]
fn a_wait_that_is_none_is_refused_on_its_line() {
    for call in ["sleep", "task.wait"] {
        for (argument, shown) in [
            ("0/0", "NaN"),
            ("-1", "-1"),
            ("1/0", "inf"),
            ("-1/0", "-inf"),
            ("'soon'", "\"soon\""),
            ("{}", "a table"),
            ("", "nil"),
        ] {
            let source = format!("\n{call}({argument})");
            let problem = Stage::run(&source).loaded().expect_err(&source);
            let expected = format!("test.lua:2: {call}: {shown} is not a duration");
            assert!(problem.message.contains(&expected), "{source}: {problem}");
        }
    }
}

#[test]
fn waits_take_seconds_or_text_and_let_others_have_their_turn() {
    holds(
        r#"
        local order = {}
        task.spawn(function() for i = 1, 3 do table.insert(order, `a{i}`) sleep(0) end end)
        task.spawn(function() for i = 1, 3 do table.insert(order, `b{i}`) task.wait(0) end end)
        local before = os.clock()
        sleep("20ms") task.wait(0.02) sleep("0.02")
        assert(os.clock() - before >= 0.06)
        assert(table.concat(order, " ") == "a1 b1 a2 b2 a3 b3", table.concat(order, " "))
        "#,
    );
}

#[test]
fn a_task_gets_its_arguments_and_is_known_by_what_it_does() {
    holds(
        r#"
        local got
        local t = task.spawn(function(...) got = { n = select('#', ...), ... } sleep(0.01) end, 1, nil, "x", nil)
        assert(tostring(t) == "task (running)")
        sleep(0.05)
        assert(got.n == 4 and got[1] == 1 and got[3] == "x")
        assert(tostring(t) == "task (ended)")
        "#,
    );
    for (call, expected) in [
        ("task.spawn(7)", "task.spawn: 7 is not a function"),
        ("task.spawn()", "task.spawn: nil is not a function"),
        ("task.cancel(7)", "task.cancel: 7 is not a task"),
        ("task.cancel(nil)", "task.cancel: nil is not a task"),
        ("task.all(print, print)", "task.all: a list of functions is expected"),
        ("task.all { a = print }", "task.all: a list of functions is expected"),
        ("task.all { print, 7 }", "task.all: 7 is not a function"),
    ] {
        let problem = Stage::run(&format!("\n{call}")).loaded().expect_err(call);
        assert!(problem.message.contains(&format!("test.lua:2: {expected}")), "{call}: {problem}");
    }
}

#[test]
fn cancelling_ends_a_task_where_it_waits() {
    holds(
        r#"
        local seen = {}
        local t = task.spawn(function() table.insert(seen, "begun") sleep(0.05) table.insert(seen, "woken") end)
        sleep(0.01)
        assert(task.cancel(t) == true)
        -- In coroutines of its own, too.
        local u = task.spawn(coroutine.wrap(function() sleep(0.05) table.insert(seen, "inside") end))
        local v = task.spawn(function() task.all { function() sleep(0.05) table.insert(seen, "below") end } end)
        sleep(0.01)
        assert(u:cancel() and v:close())
        sleep(0.1)
        assert(table.concat(seen, " ") == "begun", table.concat(seen, " "))
        -- One that has ended already, in whichever way.
        assert(task.cancel(t) == false and t:cancel() == false)
        local w = task.spawn(function() end)
        sleep(0.01)
        assert(task.cancel(w) == false)
        "#,
    );
}

#[test]
fn a_task_that_cancels_itself_ends_at_its_next_wait() {
    holds(
        r#"
        local seen, t = {}, nil
        t = task.spawn(function()
            assert(task.cancel(t) == true)
            table.insert(seen, "goes on")
            sleep(0)
            table.insert(seen, "not here")
        end)
        sleep(0.05)
        assert(table.concat(seen, " ") == "goes on", table.concat(seen, " "))
        "#,
    );
}

#[test]
fn all_returns_the_first_result_of_each_in_their_order() {
    holds(
        r#"
        local r = task.all { function() sleep(0.02) return "a", "z" end, function() return nil end, function() return "c" end }
        assert(r.n == 3 and r[1] == "a" and r[2] == nil and r[3] == "c")
        assert(task.all {}.n == 0)
        "#,
    );
}

#[test]
fn an_error_in_one_of_all_ends_the_others_and_stays_what_it_was() {
    holds(
        r#"
        local seen = {}
        local ok, e = pcall(task.all, {
            function() sleep(0.02) error({ code = 7 }) end,
            function() sleep(0.05) table.insert(seen, "went on") end,
        })
        assert(not ok and type(e) == "table" and e.code == 7)
        sleep(0.1)
        assert(#seen == 0)
        ok, e = pcall(function() task.all { function() error("text", 0) end } end)
        assert(not ok and e == "text", e)
        ok, e = pcall(function() task.all { function() error() end } end)
        assert(not ok and e == nil)
        "#,
    );
}

#[test]
fn the_way_to_an_error_is_shown_from_where_it_was_raised() {
    let source = "local function deep()
    sleep(0.001)
    error('deep down')
end
local function outer()
    task.all {
        function() deep() end,
    }
end
SPAWN";
    for (spawn, expected) in [
        // From the error outwards, through the tasks.
        ("task.spawn(outer)", &["test.lua:3", "test.lua:7", "test.lua:6"][..]),
        (
            "task.spawn(function() task.all { outer } end)",
            &["test.lua:3", "test.lua:7", "test.lua:6", "test.lua:10"],
        ),
        ("task.spawn(function() coroutine.wrap(deep)() end)", &["test.lua:3", "test.lua:10"]),
    ] {
        let stage = Stage::run(&source.replace("SPAWN", spawn));
        let problem = stage.problem();
        assert!(problem.message.ends_with("/test.lua:3: deep down"), "{spawn}: {problem}");
        let mut rest = problem.trace.as_str();
        for place in expected {
            let Some((_, after)) = rest.split_once(place) else {
                panic!("{spawn}: no {place} in its place in\n{}", problem.trace)
            };
            rest = after;
        }
    }
}

#[test]
fn an_endless_loop_in_one_of_all_is_stopped_and_named() {
    let mut stage = Stage::set(
        "local ok, e = pcall(task.all, { function()\nwhile true do end\nend })\nassert(not ok and e:find('stopped: more than 50ms of CPU'), e)",
        |spec| spec.limits.cpu = std::time::Duration::from_millis(50),
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}
