//! `puad ls`, `show`, `logs`, `stop` and their like against a running `puad run`, over its socket.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    program::{Daemon, Folder, LONG, lines, text},
    server::Server,
};

const LAMP: &str = "\
local function publish(id, on_stop)
  pua.publish { presentity_uri = config.uri, event = 'presence', id = id, on_stop = on_stop,
    body = body.raw('text/plain', id .. ' is\\non') }
end
publish('hall', 'remove')
publish('yard', 'keep')
timer.every('1h', function() end, { name = 'hourly' })
log.info('lamps are lit')
timer.after(0, function() error('dark') end)
";

#[test]
fn scripts_are_listed_for_people_and_for_programs() {
    let (_server, folder, _daemon) = lit();
    let output = folder.puad(&["ls"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = lines(&output.stdout);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(&table[0]),
        ["NAME", "STATE", "GEN", "PUBS", "SUBS", "TIMERS", "MEMORY", "FILE", "ERROR"]
    );
    assert_eq!(words(&table[1])[..6], ["broken", "failed", "1", "0", "0", "0"]);
    assert!(table[1].contains("scripts/broken.lua:1: "), "{table:?}");
    assert_eq!(words(&table[2])[..6], ["lamp", "running", "1", "2", "0", "1"]);
    let state = table[0].find("STATE").expect("a head");
    assert!(table[1][state..].starts_with("failed") && table[2][state..].starts_with("running"));
    let rows = json(&folder, &["ls", "scripts", "--json"]);
    let lamp = &rows[1];
    let names: Vec<_> = lamp.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "error",
            "file",
            "generation",
            "memory",
            "name",
            "publications",
            "state",
            "subscriptions",
            "timers"
        ]
    );
    assert_eq!((&lamp["name"], &lamp["state"]), (&"lamp".into(), &"running".into()));
    assert_eq!(lamp["publications"], 2);
    assert!(lamp["memory"].as_u64().expect("bytes") > 10_000);
    assert!(rows[0]["error"].as_str().expect("an error").starts_with("scripts/broken.lua:1: "));
}

#[test]
fn publications_are_listed_and_shown_by_any_part_of_their_key_that_is_theirs_alone() {
    let (server, folder, _daemon) = lit();
    let key = |id: &str| format!("{} presence {id}", server.uri());
    let table = lines(&folder.puad(&["ls", "publications"]).stdout);
    assert!(table[1].starts_with(&format!("{}  published  in ", key("hall"))), "{table:?}");
    assert!(table[1].contains(" min") && table[1].contains("  200     script lamp"), "{table:?}");
    let rows = json(&folder, &["ls", "publications", "--json"]);
    assert_eq!((&rows[0]["key"], &rows[1]["key"]), (&key("hall").into(), &key("yard").into()));
    assert_eq!(rows[0]["owner"], "script lamp");
    assert_eq!((&rows[0]["state"], &rows[0]["status"]), (&"published".into(), &200.into()));
    assert!(rows[0]["next_refresh"].as_f64() < rows[0]["expires_at"].as_f64());

    let shown = folder.puad(&["show", "yard"]);
    let shown_lines = lines(&shown.stdout);
    assert_eq!(shown_lines[0], format!("key             {}", key("yard")));
    assert!(shown_lines.contains(&"    yard is".into()) && shown_lines.contains(&"    on".into()));
    let shown = json(&folder, &["show", &key("hall"), "--json"]);
    assert_eq!((&shown["id"], &shown["body"]), (&"hall".into(), &"hall is\non".into()));
    assert_eq!(shown["content_type"], "text/plain");

    let several = folder.puad(&["show", "presence"]);
    assert_eq!(several.status.code(), Some(69));
    assert_eq!(
        lines(&several.stderr),
        [
            "puad: \"presence\" is in the keys of 2 publications".to_owned(),
            format!("  {}", key("hall")),
            format!("  {}", key("yard")),
        ]
    );
    let none = folder.puad(&["show", "cellar"]);
    assert_eq!(none.status.code(), Some(69));
    assert!(text(&none.stderr).contains("no publication has \"cellar\" in its key"), "{none:?}");

    assert_eq!(text(&folder.puad(&["ls", "subscriptions"]).stdout), "there are no subscriptions\n");
    assert_eq!(text(&folder.puad(&["ls", "subscriptions", "--json"]).stdout), "[]\n");
}

#[test]
fn a_stop_returns_when_puad_is_down_and_leaves_what_is_to_be_kept() {
    for (args, removals) in [(&["stop"][..], 1), (&["stop", "--remove"], 2)] {
        let (server, folder, mut daemon) = lit();
        let output = folder.puad(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(text(&output.stdout), "stopped\n");
        // The process is gone, up to the moment in which its parent hears of it.
        let begin = Instant::now();
        assert_eq!(daemon.code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert!(!folder.path().join("control.sock").exists());
        let mut removed = 0;
        while let Some(request) = server.received(Duration::ZERO) {
            removed += usize::from(request.need("Expires") == "0");
        }
        assert_eq!(removed, removals, "{args:?}");
        assert!(daemon.rest().iter().any(|line| line.contains("stop is asked for")));
    }
}

#[test]
fn a_stop_tells_what_nobody_has_answered() {
    let server = Server::start(|count, request| (count <= 2).then(|| request.granted("tag", 3600)));
    let (folder, mut daemon) = lit_by(&server);
    let output = folder.puad(&["stop", "--remove", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "{\"unanswered\":2}\n");
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn without_a_daemon_every_command_says_which_socket_was_tried() {
    let folder = Folder::new(&[("puad.toml", "[control]\nsocket = \"none.sock\"\n")]);
    for args in
        [&["ls"][..], &["show", "x"], &["reload"], &["resume", "x"], &["stop"], &["logs", "-f"]]
    {
        let output = folder.puad(args);
        assert_eq!(output.status.code(), Some(75), "{args:?} {output:?}");
        assert_eq!(
            text(&output.stderr),
            "puad: no puad answers: none.sock: No such file or directory (os error 2); \
             start one with `puad run`, or name its socket with --socket\n"
        );
    }
    let output = folder.puad(&["ls", "--socket", "other.sock"]);
    assert!(text(&output.stderr).contains("other.sock: No such file"), "{output:?}");
    folder.write("puad.toml", "");
    let output = folder.puad(&["ls"]);
    let expected = folder.path().join("control.sock").display().to_string();
    assert!(text(&output.stderr).contains(&expected), "the usual place: {output:?}");
    folder.write("puad.toml", "[control]\nsokcet = \"a\"\n");
    let output = folder.puad(&["ls"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn commands_that_make_no_sense_say_so() {
    let folder = Folder::new(&[]);
    let output = folder.puad(&["ls", "publication"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("did you mean publications?"), "{output:?}");
    assert_eq!(folder.puad(&["show"]).status.code(), Some(64));
    assert_eq!(folder.puad(&["logs", "-n", "many"]).status.code(), Some(64));
}

#[test]
fn the_configured_socket_is_used_by_both_ends_and_must_be_had() {
    let (_server, folder, first) = lit();
    folder.write("b/scripts/b.lua", "");
    let config = "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[control]\nsocket = \"../control.sock\"\n";
    folder.write("b/puad.toml", config);
    let taken = folder.puad(&["run", "--config", "b/puad.toml"]);
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    let told = text(&taken.stderr);
    assert!(
        told.contains(&format!("another puad (process {}) has the control socket", first.id())),
        "{told}"
    );
    assert!(!told.contains("listening on"), "nothing has started: {told}");
    folder.write("b/puad.toml", &config.replace("../control", "own"));
    let second = folder.daemon(&["run", "--config", "b/puad.toml"]);
    second.wait_for("control socket is b/own.sock");
    assert_eq!(json(&folder, &["ls", "--config", "b/puad.toml", "--json"])[0]["name"], "b");
    assert_eq!(json(&folder, &["ls", "--socket", "b/own.sock", "--json"])[0]["name"], "b");
    assert_eq!(json(&folder, &["ls", "--json"])[1]["name"], "lamp");
}

#[test]
fn a_second_daemon_goes_on_without_the_usual_socket() {
    let (_server, folder, first) = lit();
    folder.write("b.lua", "print('second')");
    let mut second = folder.daemon(&["run", "b.lua", "--listen", "udp:127.0.0.1:0"]);
    let warning = second.wait_for("no control socket: another puad");
    assert!(warning.contains(&format!("process {}", first.id())), "{warning}");
    second.wait_for("second");
    second.signal(rustix::process::Signal::TERM);
    assert_eq!(second.code(), Some(0));
    assert_eq!(json(&folder, &["ls", "--json"])[1]["name"], "lamp", "the first still has it");
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let (server, folder, mut daemon) = lit();
    daemon.signal(rustix::process::Signal::KILL);
    assert_eq!(daemon.code(), None);
    assert!(folder.path().join("control.sock").exists());
    let output = folder.puad(&["ls"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(text(&output.stderr).contains("Connection refused"), "{output:?}");
    drop(server);
    let again = folder.daemon(&["run"]);
    again.wait_for("control socket is");
    assert_eq!(json(&folder, &["ls", "--json"])[1]["name"], "lamp");
}

#[test]
fn a_script_cannot_write_lines_that_look_like_puads() {
    let forged = "one\\n2026-01-01T00:00:00.000Z ERROR forged\\r2026 ERROR forged\\27[31m";
    let source = format!(
        "log.info(\"{forged}\")\nlog.info(\"f\", {{ [\"a\\nb\"] = 1 }})\ntimer.after(0.01, function() error(\"{forged}\") end)\n\
         timer.after(0.1, function() log.info(\"done\") end)"
    );
    let folder = Folder::new(&[
        ("scripts/a.lua", &source),
        ("puad.toml", "[sip]\nlisten = \"udp:127.0.0.1:0\"\n"),
    ]);
    let daemon = folder.daemon(&["run"]);
    let deadline = Instant::now() + LONG;
    let mut said = Vec::new();
    while !said.iter().any(|line: &String| line.contains(" done ")) {
        assert!(Instant::now() < deadline, "{said:?}");
        said = lines(&folder.puad(&["logs"]).stdout);
    }
    assert_eq!(folder.puad(&["stop"]).status.code(), Some(0));
    said.extend(daemon.rest());
    let forged: Vec<_> = said.iter().filter(|line| line.contains("forged")).collect();
    assert_eq!(forged.len(), 4, "{said:?}");
    for line in forged {
        let shown = "    | 2026-01-01T00:00:00.000Z ERROR forged\\r2026 ERROR forged\\u{1b}[31m";
        assert!(line.starts_with(shown), "{line:?}");
    }
    assert!(said.iter().all(|line| !line.starts_with('b')), "{said:?}");
}

#[test]
fn the_log_can_be_looked_back_on_and_followed() {
    let (_server, folder, mut daemon) = lit();
    let all = lines(&folder.puad(&["logs"]).stdout);
    assert!(all[0].contains(" INFO puad "), "{all:?}");
    let of_lamp = lines(&folder.puad(&["logs", "lamp"]).stdout);
    assert!(of_lamp.len() < all.len());
    assert!(of_lamp.iter().any(|line| line.contains(" INFO lamps are lit line=8 script=\"lamp\"")));
    assert!(of_lamp.iter().any(|line| line.contains("publication is up key=\"sip:alice@")));
    assert!(of_lamp.iter().any(|line| line.contains("ERROR script lamp: ")), "{of_lamp:?}");
    assert!(!of_lamp.iter().any(|line| line.contains("broken.lua")), "{of_lamp:?}");
    for arguments in [&["logs", "lmap"][..], &["logs", "-f", "lmap"]] {
        let unknown = folder.puad(arguments);
        assert_eq!(unknown.status.code(), Some(69), "{unknown:?}");
        let expected = "no script is named \"lmap\" (did you mean \"lamp\"?)";
        assert!(text(&unknown.stderr).contains(expected), "{unknown:?}");
    }
    let last = lines(&folder.puad(&["logs", "-n", "1", "--json"]).stdout);
    assert_eq!(last.len(), 1);
    let last: Value = serde_json::from_str(&last[0]).expect("JSON");
    assert!(last["timestamp"].is_string() && last["level"].is_string(), "{last}");

    let mut follower =
        folder.command(&["logs", "-f", "-n", "0"]).stdout(Stdio::piped()).spawn().expect("started");
    let mut followed = BufReader::new(follower.stdout.take().expect("piped"));
    // A stop is asked for once it follows: `version` on another connection comes after it.
    let deadline = Instant::now() + LONG;
    while connections(daemon.id()) < 1 {
        assert!(Instant::now() < deadline, "it does not connect");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(folder.puad(&["stop"]).status.code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut followed, &mut said).expect("it ends with puad");
    assert!(said.contains("stopping within 5 s") && said.contains(" INFO stopped"), "{said}");
    assert_eq!(follower.wait().expect("a child").code(), Some(0));
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn a_script_on_hold_is_shown_and_resumed() {
    let folder = Folder::new(&[
        ("scripts/spin.lua", "timer.every('100ms', function() while true do end end)\n"),
        ("scripts/calm.lua", ""),
        (
            "puad.toml",
            "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[[script]]\nfile = \"spin.lua\"\nlimits = { cpu = \"10ms\" }\n",
        ),
    ]);
    let daemon = folder.daemon(&["run"]);
    daemon.wait_for("on hold: ");
    let rows = json(&folder, &["ls", "--json"]);
    assert_eq!((&rows[1]["name"], &rows[1]["state"]), (&"spin".into(), &"hold".into()));
    let resumed = folder.puad(&["resume", "spin"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert_eq!(text(&resumed.stdout), "resumed spin\n");
    // It runs again, and no better than before.
    daemon.wait_for("on hold: ");
    for (name, expected) in [
        ("calm", "puad: calm is not on hold; it is running\n"),
        ("spinn", "puad: no script is named \"spinn\" (did you mean \"spin\"?)\n"),
    ] {
        let refused = folder.puad(&["resume", name]);
        assert_eq!(refused.status.code(), Some(69));
        assert_eq!(text(&refused.stderr), expected);
    }
}

#[test]
fn any_program_can_speak_to_the_socket() {
    let (_server, folder, daemon) = lit();
    let mut stream = UnixStream::connect(folder.path().join("control.sock")).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("set");
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n").expect("sent");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("answered");
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["result"]["pid"], daemon.id());
    assert_eq!(answer["result"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn shells_get_completions() {
    let folder = Folder::new(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = folder.puad(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for word in
            ["publications", "resume", "socket"].iter().filter(|word| **word != "publications")
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = folder.puad(&["completions", "bash"]).stdout;
    let checked = std::process::Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn();
    let mut checked = checked.expect("bash");
    checked.stdin.take().expect("piped").write_all(&script).expect("read");
    assert!(checked.wait().expect("a child").success(), "bash can read it");
    assert_eq!(folder.puad(&["completions", "cmd"]).status.code(), Some(64));
}

/// A daemon with two lamps and a broken script, when everything is up.
fn lit() -> (Server, Folder, Daemon) {
    let server = Server::granting();
    let (folder, daemon) = lit_by(&server);
    (server, folder, daemon)
}

fn lit_by(server: &Server) -> (Folder, Daemon) {
    let folder = Folder::new(&[("scripts/lamp.lua", LAMP), ("scripts/broken.lua", "x = = 1\n")]);
    folder.write(
        "puad.toml",
        &format!(
            "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[[script]]\nfile = \"lamp.lua\"\nconfig = {{ uri = \"{}\" }}\n",
            server.uri()
        ),
    );
    let daemon = folder.daemon(&["run"]);
    // The broken one has failed by then or not; both are waited for, in whatever order.
    daemon.wait_for_all(&["running script=\"lamp\"", "not running: scripts/broken.lua", "dark"]);
    (folder, daemon)
}

/// What a command prints with `--json`.
fn json(folder: &Folder, args: &[&str]) -> Value {
    let output = folder.puad(args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Accepted control connections of a process: sockets with the name of the socket that are not
/// listening.
fn connections(pid: u32) -> usize {
    let unix = procfs::process::Process::new(pid as i32).and_then(|process| process.unix());
    let entries = unix.expect("/proc").into_iter();
    let inodes: Vec<_> = procfs::process::Process::new(pid as i32)
        .and_then(|process| process.fd())
        .expect("/proc")
        .filter_map(|fd| match fd.ok()?.target {
            procfs::process::FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    entries
        .filter(|entry| inodes.contains(&entry.inode))
        .filter(|entry| entry.state == procfs::net::UnixState::CONNECTED)
        .filter(|entry| entry.path.as_ref().is_some_and(|path| path.ends_with("control.sock")))
        .count()
}
