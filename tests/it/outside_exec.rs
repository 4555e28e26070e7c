//! `exec.run`: what a program is given, what comes back, and that nothing outlives the call.

use std::{
    net::TcpListener,
    os::fd::AsRawFd as _,
    path::Path,
    time::{Duration, Instant},
};

use puad::script::{Permissions, Taken};

use crate::support::{
    house::House,
    lua::{Stage, saying},
};

#[test]
fn a_program_is_run_without_a_shell_and_its_end_is_told() {
    let mut stage = run(
        &["sh", "printf"],
        r#"
        local r = assert(exec.run { "sh", "-c", "echo out; echo err >&2; exit 3" })
        say(`{r.code} {r.signal} {r.stdout}{r.stderr}{r.duration > 0 and r.duration < 10}`)
        local killed = assert(exec.run { "sh", "-c", "kill -9 $$" })
        say(`{killed.code} {killed.signal}`)
        local words = assert(exec.run { "printf", "%s|", "$HOME", "a b", "*", "\255", 7, "" })
        say((words.stdout:gsub("\255", "byte")))
        "#,
    );
    assert_eq!(stage.said(), "3 nil out\nerr\ntrue");
    assert_eq!(stage.said(), "nil 9");
    assert_eq!(stage.said(), "$HOME|a b|*|byte|7||");
}

#[test]
fn nothing_runs_that_the_operator_has_not_named() {
    let mut stage = run(
        &["sh", "/bin/echo", "no-such-program"],
        r#"
        for _, program in { "touch", "/bin/sh", "echo", "/bin/../bin/echo" } do
            local r, err = exec.run { program, "here" }
            say(`{r} {err.code} {err.op} {err}`)
        end
        say(assert(exec.run { "/bin/echo", "by its path" }).stdout)
        local r, err = exec.run { "no-such-program" }
        say(`{r} {err.code} {err}`)
        local r, err = exec.run { "sh", "-c", "true", cwd = "nowhere" }
        say(`{r} {err.code} {err}`)
        "#,
    );
    for program in ["touch", "/bin/sh", "echo", "/bin/../bin/echo"] {
        let expected = format!(
            "nil permission exec.run \"{program}\" may not be run: allow.exec of this script's [[script]] section does not name it"
        );
        assert_eq!(stage.said(), expected);
    }
    assert_eq!(stage.said(), "by its path\n");
    assert_eq!(
        stage.said(),
        "nil not_found no-such-program: there is no such program in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let missing = stage.path().join("nowhere");
    let expected = format!("nil not_found sh: the folder {} is not there", missing.display());
    assert_eq!(stage.said(), expected);
}

#[test]
fn mistakes_in_the_call_are_raised() {
    let mut stage = run(
        &["sh"],
        r#"
        local function wrong(...)
            local ok, message = pcall(exec.run, ...)
            say(`{ok} {message}`)
        end
        wrong("ls -l")
        wrong {}
        wrong { "./ls" }
        wrong { "" }
        wrong { "ls", {} }
        wrong { "ls", "a\0b" }
        wrong { "ls", timout = 5 }
        wrong { "ls", timeout = 0 }
        wrong { "ls", max_output = "1 apple" }
        wrong { "ls", max_output = "1GiB" }
        wrong { "ls", stdin = {} }
        wrong { "ls", env = "A=1" }
        wrong { "ls", env = { ["A=B"] = "1" } }
        wrong { "ls", env = { A = {} } }
        wrong { "ls", [5] = "x" }
        "#,
    );
    for expected in [
        "exec.run: a table is expected, as in exec.run{ \"df\", \"-k\" }, not \"ls -l\"",
        "exec.run: a program comes first, as in exec.run{ \"df\", \"-k\" }",
        "exec.run: \"./ls\" is not a program: write a name such as \"df\", or an absolute path",
        "exec.run: \"\" is not a program: write a name such as \"df\", or an absolute path",
        "exec.run: [2]: a table is not a text",
        "exec.run: [2]: a NUL cannot be given to a program",
        "exec.run: unknown option 'timout' (did you mean 'timeout'?)",
        "exec.run: timeout: must be longer than 0",
        "exec.run: max_output: \"1 apple\" is not a size (bytes, or text such as \"256KiB\", \"32MiB\")",
        "exec.run: max_output: 1073741824 bytes are more than the heap of this script, 33554432 (limits.memory)",
        "exec.run: stdin: a table is not a text",
        "exec.run: env: \"A=1\" is not a table of names and values",
        "exec.run: env: \"A=B\" is not a name (letters, digits and _, beginning with no digit)",
        "exec.run: env.A: a table is not a text",
        "exec.run: options have names, such as stdin = …; found one at 5",
    ] {
        let said = stage.said();
        assert!(said.starts_with("false ") && said.ends_with(expected), "{said}");
    }
}

#[test]
fn a_program_sees_a_clean_environment_and_its_folder() {
    let mut stage = run(
        &["env", "pwd"],
        r#"
        local r = assert(exec.run { "env", env = { GREETING = "hello", LANG = "de_DE", N = 5 } })
        local names = {}
        for name, value in r.stdout:gmatch("([^=\n]+)=([^\n]*)") do
            if name ~= "HOME" and name ~= "TZ" then table.insert(names, `{name}={value}`) end
        end
        table.sort(names)
        say(table.concat(names, " "))
        say(assert(exec.run { "pwd" }).stdout)
        say(assert(exec.run { "pwd", cwd = "/usr" }).stdout)
        "#,
    );
    // There is something that must not be handed on.
    let kept = ["PATH", "LANG", "HOME", "TZ"];
    assert!(std::env::vars().any(|(name, _)| !kept.contains(&name.as_str())));
    assert_eq!(
        stage.said(),
        "GREETING=hello LANG=de_DE N=5 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let folder = stage.path().canonicalize().expect("there");
    assert_eq!(Path::new(stage.said().trim_end()), folder);
    assert_eq!(stage.said(), "/usr\n");
}

#[test]
fn a_program_inherits_neither_sockets_nor_signals() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let own = format!("/proc/self/fd/{}", listener.as_raw_fd());
    let socket = std::fs::read_link(own).expect("a socket");
    let mut stage = run(
        &["ls", "cat"],
        r#"
        say(assert(exec.run { "ls", "-l", "/proc/self/fd" }).stdout)
        say(assert(exec.run { "cat", "/proc/self/status" }).stdout)
        "#,
    );
    let open = stage.said();
    let socket = socket.to_str().expect("text");
    assert!(socket.starts_with("socket:[") && open.contains("/proc/"), "{socket} {open}");
    assert!(!open.contains(socket), "{socket} is among {open}");
    let status = stage.said();
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("there");
        u64::from_str_radix(line[name.len()..].trim(), 16).expect("a number")
    };
    assert_eq!(mask("SigBlk:"), 0);
    // puad itself ignores SIGPIPE, whose number is 13.
    assert_eq!(mask("SigIgn:") & 1 << 12, 0);
}

#[test]
fn standard_input_is_fed_and_closed() {
    let mut stage = run(
        &["cat", "true", "wc"],
        r#"
        local text = string.rep("0123456789abcdef", 65536)
        say(tostring(assert(exec.run { "cat", stdin = text, max_output = "2MiB" }).stdout == text))
        say(assert(exec.run { "cat", timeout = "5s" }).stdout .. "nothing")
        say(assert(exec.run { "wc", "-c", stdin = "" }).stdout)
        -- One that does not read what it is given has done nothing wrong.
        say(tostring(assert(exec.run { "true", stdin = text }).code))
        "#,
    );
    assert_eq!(stage.said(), "true");
    assert_eq!(stage.said(), "nothing");
    assert_eq!(stage.said(), "0\n");
    assert_eq!(stage.said(), "0");
}

#[test]
fn a_program_that_writes_without_end_is_stopped() {
    let mut stage = run(
        &["sh"],
        r#"
        local r, err = exec.run { "sh", "-c", "echo $$ > pid; exec yes", max_output = "100KiB" }
        say(`{r} {err.code} {err}`)
        -- Both streams count together.
        local r, err = exec.run { "sh", "-c", "echo 12345; echo 12345 >&2", max_output = 12 }
        say(`{r ~= nil} {err}`)
        local r, err = exec.run { "sh", "-c", "echo 12345; echo 12345 >&2", max_output = 11 }
        say(`{r} {err.code}`)
        "#,
    );
    assert_eq!(
        stage.said(),
        "nil limit sh: it wrote more than 102400 bytes (max_output) and was stopped"
    );
    assert_is_gone(&pids_from(&stage.path().join("pid")));
    assert_eq!(stage.said(), "true nil");
    assert_eq!(stage.said(), "nil limit");
}

#[test]
fn a_time_out_ends_the_whole_group_even_one_that_does_not_listen() {
    let mut stage = run(
        &["sh"],
        r#"
        local r, err = exec.run { "sh", "-c", "sleep 60 & echo $$ $! > polite; wait", timeout = "200ms" }
        say(`{r} {err.code} {err}`)
        local r, err = exec.run { "sh", "-c", "trap '' TERM; sleep 60 & echo $$ $! > deaf; wait", timeout = "200ms" }
        say(`{r} {err.code}`)
        "#,
    );
    let begun = Instant::now();
    assert_eq!(
        stage.said(),
        "nil timeout sh: it did not end within 200ms (timeout) and was stopped"
    );
    assert_is_gone(&pids_from(&stage.path().join("polite")));
    assert_eq!(stage.said(), "nil timeout");
    assert_is_gone(&pids_from(&stage.path().join("deaf")));
    assert!(begun.elapsed() >= Duration::from_secs(2), "TERM is given its time");
}

#[test]
fn what_a_program_leaves_behind_is_ended_and_waited_for_no_longer() {
    let mut stage = run(
        &["sh"],
        r#"
        local r = assert(exec.run { "sh", "-c", "sleep 60 & echo $$ $! > pids; echo done", timeout = "50s" })
        say(`{r.code} {r.stdout}`)
        local r = assert(exec.run { "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $$ $! > quiet; echo done" })
        say(`{r.code} {r.stdout}`)
        "#,
    );
    assert_eq!(stage.said(), "0 done\n");
    assert_is_gone(&pids_from(&stage.path().join("pids")));
    assert_eq!(stage.said(), "0 done\n");
    assert_is_gone(&pids_from(&stage.path().join("quiet")));
}

#[test]
fn a_cancelled_task_ends_its_program() {
    let mut stage = run(
        &["sh", "cat"],
        r#"
        local t = assert(task.spawn(function()
            exec.run { "sh", "-c", "sleep 60 & echo $$ $! > pids; wait" }
            say("not reached")
        end))
        repeat sleep(0.01) until assert(exec.run { "cat", "pids" }).stdout:find("\n")
        t:cancel()
        say("cancelled")
        "#,
    );
    assert_eq!(stage.said(), "cancelled");
    assert_is_gone(&pids_from(&stage.path().join("pids")));
}

#[test]
fn a_program_ends_with_the_version_of_the_script_that_ran_it() {
    let allow = Permissions { exec: vec!["sh".into()], ..Permissions::default() };
    let house = House::allowing(
        allow,
        r#"task.spawn(function()
            exec.run { "sh", "-c", "trap '' TERM; sleep 60 & echo $$ $! > pids; wait" }
        end)"#,
    );
    let pids = pids_from(&house.path("pids"));
    house.write("test.lua", "log.info('another version')");
    assert_eq!(house.reload(), Taken::Reloaded(2));
    assert_is_gone(&pids);
}

#[test]
fn no_program_outlives_its_script() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pids");
    let mut stage = run(
        &["sh", "cat"],
        &format!(
            r#"
        task.spawn(function()
            exec.run {{ "sh", "-c", "trap '' TERM; sleep 60 & echo $$ $! > {0}; wait" }}
        end)
        repeat sleep(0.01) until assert(exec.run {{ "cat", "{0}" }}).stdout:find("\n")
        say("runs")
        "#,
            file.display()
        ),
    );
    assert_eq!(stage.said(), "runs");
    // Stopping waits for them: the process may end right after.
    drop(stage);
    for pid in pids_from(&file) {
        assert!(!is_running(pid), "{pid} still runs");
    }
}

#[test]
fn the_script_goes_on_while_programs_run_a_few_at_a_time() {
    let mut stage = run(
        &["sleep"],
        r#"
        local waiting, turns = true, 0
        task.spawn(function() while waiting do sleep(0.01) turns += 1 end end)
        local list = {}
        for i = 1, 12 do list[i] = function() return exec.run { "sleep", "0.3" } end end
        local results = task.all(list)
        waiting = false
        for i = 1, 12 do assert(results[i].code == 0) end
        say(tostring(turns > 10))
        "#,
    );
    let begun = Instant::now();
    assert_eq!(stage.said(), "true");
    // Eight, then four.
    assert!(begun.elapsed() >= Duration::from_millis(550), "{:?}", begun.elapsed());
}

#[test]
fn no_zombie_is_left() {
    let mut stage = run(
        &["sh"],
        r#"
        local pids = {}
        for i = 1, 10 do pids[i] = assert(exec.run { "sh", "-c", "echo $$" }).stdout end
        say(table.concat(pids))
        "#,
    );
    for pid in stage.said().lines() {
        let entry = Path::new("/proc").join(pid);
        assert!(!entry.exists(), "{pid} was not reaped");
    }
}

#[test]
fn a_check_reaches_nothing_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("test.lua"),
        r#"
        for _, call in {
            function() return exec.run { "touch", "made" } end,
            function() return http.get("http://127.0.0.1:9/") end,
            function() return mail.imap { host = "127.0.0.1", user = "me", password = "x" } end,
        } do
            local result, err = call()
            assert(result == nil and err.code == "cancelled" and tostring(err) == "a check reaches nothing outside")
        end
        "#,
    )
    .expect("written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_puad"))
        .args(["check", "test.lua"])
        .current_dir(folder.path())
        .env_remove("PUAD_CONFIG")
        .env_remove("PUAD_LOG")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "ok test: publishes 0, timers 0, watches 0\n");
}

fn run(allowed: &[&str], source: &str) -> Stage {
    let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
    Stage::set(&saying(source), |spec| spec.allow.exec = allowed)
}

/// Process numbers that a shell writes into a file.
fn pids_from(file: &Path) -> Vec<u32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let text = loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            break text;
        }
        assert!(Instant::now() < deadline, "nothing in {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    };
    let pids: Vec<u32> =
        text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect();
    assert!(!pids.is_empty());
    pids
}

/// Waits until none of some processes runs any more.
fn assert_is_gone(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(Instant::now() < deadline, "{pids:?} still run");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is not a zombie, which one whose parent has died may stay for a
/// while where nobody reaps.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z')
}
