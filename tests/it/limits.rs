//! The limits of one activity: what ends it, what may be caught, and what a script can still reach.
//!
//! Programs by the hundred are in `tests/alone/isolation.rs`.

use std::time::Duration;

use crate::support::lua::Stage;

#[test]
fn memory_and_stack_may_be_caught_and_count_only_when_they_end_an_activity() {
    let mut stage = Stage::run(
        r#"
        local ok, message = pcall(string.rep, "x", 2^26)
        assert(not ok and message == "not enough memory", message)
        local function f() return 1 + f() end
        ok, message = pcall(f)
        assert(not ok and message:find("stack overflow"), message)
        timer.after(0, function() local x = string.rep("x", 2^26) end)
        "#,
    );
    stage.loaded().expect("both were caught");
    let problem = stage.problem();
    assert!(problem.killed, "{problem}");
    assert!(
        problem
            .message
            .ends_with("test.lua:7: not enough memory: the script may have 32 MiB (limits.memory)"),
        "{problem}"
    );
    assert_eq!((stage.status().kills, stage.status().errors), (1, 1));
}

#[test]
fn what_a_script_has_dropped_is_not_held_against_it() {
    let mut stage = Stage::set(
        r#"
        local kept = string.rep("x", 2^23)
        for i = 1, 300 do
            local s = string.rep("y", 2^20) .. i
        end
        for i = 1, 20 do
            sleep(0)
            local t = {}
            for j = 1, 50 do t[j] = string.rep("z", 40000) .. j end
        end
        assert(#kept == 2^23)
        "#,
        |spec| spec.limits.memory = 14 << 20,
    );
    stage.loaded().expect("300 MiB went by");
}

#[test]
fn a_stop_cannot_be_caught_and_counts_wherever_it_happens() {
    for spin in [
        "while true do pcall(function() while true do end end) end",
        "local ok = pcall(task.all, { function() while true do end end })",
        "coroutine.resume(coroutine.create(function() while true do end end)) error('went on')",
    ] {
        let mut stage = Stage::set(
            &format!(
                "timer.after(0, function()\n{spin}\nend)\ntimer.after(0.3, function() pua.publish {{ presentity_uri = 'sip:a@example.com', event = 'presence', body = 'alive' }} end)"
            ),
            |spec| spec.limits.cpu = Duration::from_millis(50),
        );
        assert_eq!(stage.said(), "alive");
        let problem = stage.problem();
        assert!(
            problem.message.ends_with(
                "test.lua:2: stopped: more than 50ms of CPU without waiting (limits.cpu)"
            ),
            "{spin}: {problem}"
        );
        assert_eq!(stage.status().kills, 1, "{spin}");
    }
}

#[test]
fn a_chain_of_tasks_that_never_wait_is_one_activity() {
    let mut stage = Stage::set(
        r#"
        local function again() task.spawn(again) end
        task.spawn(again)
        -- Tasks beside it, each short: what one of them does is not the others'.
        for _ = 1, 8 do
            task.spawn(function() local t = os.clock() while os.clock() - t < 0.01 do end end)
        end
        "#,
        |spec| spec.limits.cpu = Duration::from_millis(60),
    );
    stage.loaded().expect("well");
    let problem = stage.problem();
    assert!(problem.message.contains("test.lua:2: stopped: "), "{problem}");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((stage.status().kills, stage.status().errors), (1, 1));
}

#[test]
fn nothing_in_the_libraries_can_be_changed_and_code_from_text_is_not_there() {
    let mut stage = Stage::run(
        r#"
        for name, library in _G do
            if type(library) == "table" and library ~= _G then
                assert(table.isfrozen(library), name)
                assert(not pcall(function() library.new = 1 end), name)
                assert(not pcall(rawset, library, "new", 1), name)
                assert(not pcall(setmetatable, library, {}), name)
            end
        end
        assert(not pcall(rawset, _G, "string", {}))
        assert(not pcall(rawset, getmetatable("").__index, "upper", print))
        assert(table.isfrozen(getmetatable("")))
        for _, name in {
            "loadstring", "load", "loadfile", "dofile", "getfenv", "setfenv", "newproxy", "io", "package", "arg",
        } do
            assert(_G[name] == nil, name)
        end
        for _, name in { "execute", "exit", "remove", "rename", "getenv", "tmpname", "setlocale" } do
            assert(os[name] == nil, name)
        end
        for name in debug do assert(name == "info" or name == "traceback", name) end
        assert(pcall(collectgarbage, "count") and not pcall(collectgarbage, "collect") and not pcall(collectgarbage, "stop"))
        script.state.own = 1
        own = 1
        assert(script.state.own == 1 and own == 1)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn texts_are_sorted_and_searched_as_ever() {
    let mut stage = Stage::run(
        r#"
        local function sorted(t, by) table.sort(t, by) return table.concat(t, " ") end
        assert(sorted({ "b", "a", "c" }) == "a b c")
        assert(sorted({ 3, 1, 2 }) == "1 2 3")
        assert(sorted({ "b", "a", "c" }, function(a, b) return a > b end) == "c b a")
        local ok, message = pcall(table.sort, { "a", 1 })
        assert(not ok and message:find("table.sort: a text cannot be compared"), message)
        assert(not pcall(table.sort) and not pcall(table.sort, { {}, {} }))
        assert(table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), " ") == "1 1 2 3")
        assert(table.concat(table.move({ 1, 2 }, 1, 2, 1, {}), " ") == "1 2")
        assert(("a-b"):match("(%a)-(%a)") == "a" and select(2, ("aXbX"):gsub("X", "")) == 2)
        local n = 0
        for word in ("one two"):gmatch("%a+") do n += #word end
        assert(n == 6 and ("x"):match("x", -1) == "x" and ("12"):match(1) == "1")
        assert(("key = value"):find("^(%w+)%s*=%s*([%w_%-%.]+)$") == 1)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn a_call_may_hold_many_texts_and_not_without_end() {
    let mut stage = Stage::run(
        r#"
        local s = string.rep("x", 2^20)
        local function tuples(n)
            local t = {}
            for i = 1, n do t[i] = { id = "t" .. i, basic = "open", note = s } end
            return { entity = "sip:a@example.com", tuples = t }
        end
        assert(#body.pidf(tuples(10)).text > 10 * 2^20)
        local ok, message = pcall(body.pidf, tuples(20))
        assert(not ok and message:find("body.pidf: tuples%[16%].note: the call holds more than the 16 MiB it may"), message)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}
