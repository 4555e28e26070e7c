//! What one call of a script can make puad do is bounded, and the bound is named.

use puad::script::Permissions;

use crate::support::lua::{Stage, saying};

/// Starts a script in which `try` says what became of a call.
fn trying(source: &str) -> Stage {
    let allow = Permissions { exec: vec!["env".into()], ..Permissions::default() };
    let source = format!(
        "local function try(f, ...) local r = table.pack(pcall(f, ...)) say(`{{r[1]}} {{r[2]}} {{r[3]}}`) end\n{source}"
    );
    Stage::set(&saying(&source), |spec| spec.allow = allow)
}

#[test]
fn a_path_in_a_document_has_an_end_even_where_the_tree_has_none() {
    let mut stage = trying(
        r#"
        local d = xml.parse("<a><b/></a>")
        d.name = "a"
        d.children[1], d.children[2] = d, d
        try(function() return d:find("a/a/a").name end)
        try(function() return d:find(string.rep("a/", 1000) .. "a") end)
        try(function() return d:find(string.rep("a/", 60) .. "b") end)
        try(function() return d:find_all(string.rep("a/", 60) .. "a") end)
        "#,
    );
    assert_eq!(stage.said(), "true a nil");
    for expected in [
        "find: path: 1001 steps are more than the 64 of a path",
        "find: this path leads over more than 200000 elements",
        "find_all: this path leads over more than 200000 elements",
    ] {
        let said = stage.said();
        assert!(said.starts_with("false ") && said.contains(expected), "{said}");
    }
}

#[test]
fn one_version_looks_for_a_thousand_modules_at_the_most() {
    let mut stage = trying(
        r#"
        for n = 1, 400 do pcall(require, "none" .. n) end
        try(require, "none7")
        for n = 401, 600 do pcall(require, "none" .. n) end
        try(require, "one-more")
        try(require, "none7")
        "#,
    );
    assert!(stage.said().contains("there is no module \"none7\""));
    let said = stage.said();
    let expected = "require: one-more: this version has looked for 1000 files of modules already";
    assert!(said.starts_with("false ") && said.contains(expected), "{said}");
    let said = stage.said();
    assert!(said.contains("none7"), "what it knows it may look for again: {said}");
}

#[test]
fn the_patterns_of_one_call_are_counted_before_they_are_made() {
    let mut stage = trying(
        r#"
        local many, deep, plain = {}, {}, {}
        for n = 1, 65 do many[n] = `{n}*` end
        for n = 1, 10 do deep[n] = n .. string.rep("/*", 26) end
        for n = 1, 100 do plain[n] = `f{n}` end
        local none = function() end
        try(fs.watch, many, none)
        try(fs.watch, deep, none)
        try(fs.watch, "{0,1,2,3,4,5,6,7,8,9}" .. string.rep("/*", 26), none)
        try(fs.glob, "{0,1,2,3,4,5,6,7,8,9}" .. string.rep("/*", 26))
        try(function() return fs.watch(plain, none):close() end)
        "#,
    );
    for (call, expected) in [
        ("fs.watch: ", "more than 64 patterns with wildcards in one call"),
        ("fs.watch: ", "more than 256 parts with wildcards in one call"),
        ("fs.watch: ", "more than 256 parts with wildcards in one call"),
        ("fs.glob: ", "more than 256 parts with wildcards in one call"),
    ] {
        let said = stage.said();
        assert!(said.starts_with(&format!("false {call}")) && said.contains(expected), "{said}");
    }
    assert_eq!(stage.said(), "true true nil", "paths without wildcards cost little");
}

#[test]
fn an_error_is_cut_to_what_somebody_reads() {
    let name = "x".repeat(2000);
    let mut stage = trying(&format!(
        r#"
        local function a{name}() error(string.rep("ä", 2 ^ 21)) return 1 end
        local function b{name}() return (a{name}()) end
        local function c{name}() return (b{name}()) end
        local function d{name}() return (c{name}()) end
        timer.after("1ms", function() d{name}() end)
        "#
    ));
    stage.loaded().expect("a good script");
    let problem = stage.problem();
    assert!(problem.message.contains("äää"), "{problem}");
    let length = problem.message.chars().count();
    assert!((1000..=2001).contains(&length), "{length} characters");
    let length = problem.trace.len();
    assert!((1000..=4100).contains(&length), "{length} bytes of trace");
}

#[test]
fn names_that_make_another_program_of_an_allowed_one_are_refused() {
    let names = "PATH IFS ENV PS4 SHELLOPTS BASHOPTS GCONV_PATH LD_PRELOAD BASH_ENV PERL5LIB \
                 PYTHONPATH RUBYOPT NODE_OPTIONS GIT_SSH BASH_FUNC_ls%% A-B 1A";
    let mut stage = trying(&format!(
        r#"
        for name in string.gmatch("{names}", "%S+") do
            try(exec.run, {{ "env", env = {{ [name] = "x" }} }})
        end
        try(function() return exec.run({{ "env", env = {{ LDAP = "1", _a9 = "2" }} }}).code end)
        "#
    ));
    for name in names.split_whitespace() {
        let said = stage.said();
        let is_refused = said.starts_with("false ") && said.contains("exec.run: env: ");
        assert!(is_refused && said.contains(name), "{name}: {said}");
    }
    assert_eq!(stage.said(), "true 0 nil");
}

#[test]
fn a_maildir_is_polled_no_more_often_than_files_are() {
    let mut stage = trying(
        r#"
        try(mail.watch_maildir, "m", function() end, { poll = "50ms" })
        try(function() return mail.watch_maildir("m", function() end, { poll = "100ms" }):close() end)
        "#,
    );
    let said = stage.said();
    let expected = "mail.watch_maildir: poll: polling more often than every 100ms";
    assert!(said.starts_with("false ") && said.contains(expected), "{said}");
    assert_eq!(stage.said(), "true true nil");
}

#[test]
fn the_metrics_of_one_script_fill_a_mebibyte_at_the_most() {
    let mut stage = trying(
        r#"
        local long = string.rep("x", 250)
        local taken, refused = 0, nil
        for n = 1, 20 do
            local m = metrics.histogram("h" .. n)
            for set = 1, 100 do
                local ok, err = m:observe(1, { a = long, n = set })
                if not ok then refused = err break end
                taken += 1
            end
            if refused then break end
        end
        say(`{taken} {refused and refused.code} {refused}`)
        say(tostring(metrics.histogram("h1"):observe(2, { a = long, n = 1 })))
        try(metrics.gauge, "process_open_fds")
        "#,
    );
    let said = stage.said();
    assert!(said.contains(" limit "), "{said}");
    assert!(said.contains("fill the 1 MiB"), "{said}");
    assert_eq!(stage.said(), "true", "what is there goes on");
    let said = stage.said();
    assert!(said.contains("process_") && said.starts_with("false "), "{said}");
    let page = stage.metrics().len();
    assert!((512 * 1024..1024 * 1024).contains(&page), "{page} bytes");
}
