//! `require`: where modules are looked for, and what happens while they are loaded.

use puad::script::Problem;

use crate::support::lua::Stage;

/// Runs a script beside these files.
fn run(source: &str, files: &[(&str, &str)]) -> Result<(), Problem> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
    let mut stage = Stage::in_folder(folder, source, |_| {});
    let loaded = stage.loaded();
    if loaded.is_ok() {
        assert_eq!(stage.status().last_error, None);
    }
    loaded
}

#[test]
fn modules_lie_beside_the_script_in_its_lib_and_in_folders_below() {
    run(
        r#"
        assert(require "own" == 1 and require "shared" == 2 and require "a.b" == 3 and require "a/c" == 4)
        assert(require "own" == 1 and loads == 1, "once")
        assert(require "nothing" == true, "a module that returns nothing is there")
        "#,
        &[
            ("own.lua", "loads = (loads or 0) + 1 return 1"),
            ("own.luau.bak", "error()"),
            ("lib/own.lua", "error('the nearer one wins')"),
            ("lib/shared.luau", "return 2"),
            ("a/b.lua", "return 3"),
            ("a/c.lua", "assert(... == 'a/c') return 4"),
            ("nothing.lua", ""),
        ],
    )
    .expect("all of it holds");
}

#[test]
fn a_module_that_comes_with_puad_is_found_last() {
    run(
        r#"
        local steady = require "steady"
        local average = steady.average(3)
        assert(average(3) == 3 and average(6) == 4.5 and average(9) == 6 and average(12) == 9)
        local high = steady.level { above = 95, below = 85 }
        local seen = {}
        for _, value in { 50, 96, 90, 94, 85, 94, 95 } do
            local is, changed = high(value)
            table.insert(seen, `{is}{if changed then "!" else ""}`)
        end
        assert(table.concat(seen, " ") == "false! true! true true false! false true!", table.concat(seen, " "))
        "#,
        &[],
    )
    .expect("all of it holds");
    run("assert(require 'steady' == 'mine')", &[("steady.lua", "return 'mine'")]).expect("nearer");
    for (call, why) in [
        ("average(0)", "steady.average: a whole number of values is expected, not 0"),
        ("level { above = 1, below = 2 }", "steady.level: two numbers are expected"),
    ] {
        let problem = run(&format!("\nrequire('steady').{call}"), &[]).expect_err(call);
        assert!(problem.message.contains(&format!("test.lua:2: {why}")), "{problem}");
    }
}

#[test]
fn names_that_lead_out_of_the_folders_are_refused() {
    for name in
        ["../secret", "a/../../secret", "/etc/hostname", "a..b", ".hidden", "", "a\\b", "a//b"]
    {
        let problem = run(&format!("\nrequire({name:?})"), &[]).expect_err(name);
        let expected = "test.lua:2: require: ";
        assert!(problem.message.contains(expected), "{problem}");
        assert!(problem.message.contains("is not the name of a module"), "{problem}");
    }
    let problem = run("\nrequire(7)", &[]).expect_err("no name");
    assert!(problem.message.contains("test.lua:2: require: the name of a module"), "{problem}");
}

#[test]
fn a_link_may_stay_inside_the_folders_and_not_lead_out() {
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("secret.lua"), "return 'secret'").expect("written");
    std::fs::write(outside.path().join("real.lua"), "").expect("written");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("lib")).expect("made");
    std::fs::write(folder.path().join("lib/real.lua"), "return 'inside'").expect("written");
    let link = |from: &str, to: &std::path::Path| {
        std::os::unix::fs::symlink(to, folder.path().join(from)).expect("linked");
    };
    link("alias.lua", &folder.path().join("lib/real.lua"));
    link("stolen.lua", &outside.path().join("secret.lua"));
    link("folder", outside.path());
    let source = r#"
        assert(require "alias" == "inside")
        for _, name in { "stolen", "folder.secret" } do
            local ok, message = pcall(require, name)
            assert(not ok and message:find("which is in none of the folders for modules"), message)
        end
    "#;
    let mut stage = Stage::in_folder(folder, source, |_| {});
    stage.loaded().expect("all of it holds");
}

#[test]
fn what_is_no_source_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("directory.lua")).expect("made");
    std::fs::write(folder.path().join("binary.lua"), [0xff, 0xfe]).expect("written");
    std::fs::write(folder.path().join("long.lua"), "-".repeat(300_000)).expect("written");
    let source = r#"
        for name, why in { directory = "this is not a file", binary = "not UTF-8", long = "limits.source" } do
            local ok, message = pcall(require, name)
            assert(not ok and message:find("require: ") and message:find(why, 1, true), message)
        end
    "#;
    let mut stage = Stage::in_folder(folder, source, |_| {});
    stage.loaded().expect("all of it holds");
}

#[test]
fn a_circle_is_named() {
    let files = [
        ("a.lua", "return require 'b'"),
        ("b.lua", "sleep(0.001)\nreturn require 'c'"),
        ("c.lua", "\nreturn coroutine.wrap(function() return require 'a' end)()"),
    ];
    let problem = run("require 'a'", &files).expect_err("a circle");
    assert!(
        problem.message.contains(
            "c.lua:2: require: modules must not require each other in a circle: c → a → b → c"
        ),
        "{problem}"
    );
    let problem = run("require 'a'", &[("a.lua", "require 'a'")]).expect_err("a circle");
    assert!(problem.message.ends_with("in a circle: a → a"), "{problem}");
}

#[test]
fn tasks_that_want_the_same_module_wait_for_it() {
    run(
        r#"
        local r = task.all {
            function() return require "slow" end,
            function() return require "slow" end,
            function() return require "user" end,
        }
        assert(r[1] == r[2] and r[2] == r[3] and loads == 1)
        "#,
        &[
            ("slow.lua", "loads = (loads or 0) + 1 sleep(0.02) return {}"),
            ("user.lua", "return require 'slow'"),
        ],
    )
    .expect("loaded once");
    // Two that want each other from two tasks are a circle as well.
    let files =
        [("a.lua", "sleep(0.01) return require 'b'"), ("b.lua", "sleep(0.01) return require 'a'")];
    let source = "task.all { function() require 'a' end, function() require 'b' end }";
    let problem = run(source, &files).expect_err("a circle");
    assert!(problem.message.contains("in a circle"), "{problem}");
}

#[test]
fn a_module_whose_loading_was_cut_off_is_loaded_again() {
    run(
        r#"
        local t = task.spawn(function() require "slow" end)
        sleep(0.01)
        task.cancel(t)
        assert(require "slow" == "loaded" and loads == 2)
        "#,
        &[(
            "slow.lua",
            "loads = (loads or 0) + 1 sleep(if loads == 1 then 3600 else 0) return 'loaded'",
        )],
    )
    .expect("loaded");
}

#[test]
fn an_error_in_a_module_has_its_way_and_can_be_tried_again() {
    let files = [(
        "m.lua",
        "times = (times or 0) + 1\nlocal function f()\n  sleep(0.001)\n  if times < 3 then error({ code = 'early' }) end\nend\nf()\nreturn times",
    )];
    run(
        r#"
        for _ = 1, 2 do
            local ok, e = pcall(require, "m")
            assert(not ok and e.code == "early")
        end
        assert(require "m" == 3)
        "#,
        &files,
    )
    .expect("the third time it works");
    let problem = run("\nrequire 'm'", &files).expect_err("the first time");
    assert!(problem.message.ends_with("m.lua:4: { code = \"early\" }"), "{problem}");
    for line in ["m.lua:4", "m.lua:6", "test.lua:2"] {
        assert!(problem.trace.contains(line), "{problem}");
    }
    let problem = run("\nrequire 'm'", &[("m.lua", "x = = 1")]).expect_err("it does not compile");
    assert!(
        problem.message.contains("test.lua:2: require: ") && problem.message.contains("m.lua:1:"),
        "{problem}"
    );
}
