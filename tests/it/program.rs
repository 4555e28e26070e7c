//! The program itself: exit codes, output and signals of the built binary, over loopback.

use std::time::{Duration, Instant};

use crate::support::{
    program::{Folder, LONG, lines, text},
    server::Server,
};

const SCRIPT: &str = r#"
    pua.publish { presentity_uri = config.uri, event = "presence", body = body.raw("text/plain", "open") }
    timer.every("1h", function() end)
"#;

#[test]
fn check_prints_a_line_per_script_and_sends_nothing() {
    let server = Server::granting();
    let folder = Folder::new(&[("scripts/lamp.lua", SCRIPT), ("scripts/idle.lua", "")]);
    folder.write(
        "puad.toml",
        &format!("[[script]]\nfile = \"lamp.lua\"\nconfig = {{ uri = \"{}\" }}\n", server.uri()),
    );
    let output = folder.puad(&["check"]);
    assert_eq!(
        lines(&output.stdout),
        [
            "ok puad.toml: configuration",
            "ok idle: publishes 0, timers 0, watches 0",
            "ok lamp: publishes 1, timers 1, watches 0",
        ]
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.received(Duration::ZERO), None);
}

#[test]
fn check_finds_a_mistake_inside_a_timer() {
    let source = "timer.every('1h', function()\n  sleep(0.01)\n  pua.publish { evnet = 1 }\nend, { name = 'hourly' })\n";
    let folder = Folder::new(&[("scripts/late.lua", source), ("puad.toml", "")]);
    let output = folder.puad(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        lines(&output.stdout)[1],
        "failed late: scripts/late.lua:3: pua.publish: unknown option 'evnet' (did you mean 'event'?)"
    );
}

#[test]
fn check_names_file_line_and_calls_of_a_mistake_in_a_script() {
    let folder = Folder::new(&[
        ("scripts/broken.lua", "local function f()\n  pua.publish { evnet = 1 }\nend\nf()\n"),
        ("scripts/typo.lua", "\nx = = 1\n"),
        ("scripts/good.lua", ""),
        ("puad.toml", ""),
    ]);
    let output = folder.puad(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let lines = lines(&output.stdout);
    assert_eq!(
        lines[1],
        "failed broken: scripts/broken.lua:2: pua.publish: unknown option 'evnet' (did you mean 'event'?)"
    );
    assert!(lines[2].starts_with("    at scripts/broken.lua:2"), "{lines:?}");
    assert_eq!(lines[3], "    at scripts/broken.lua:4");
    assert_eq!(lines[4], "ok good: publishes 0, timers 0, watches 0");
    assert!(lines[5].starts_with("failed typo: scripts/typo.lua:2: "), "{lines:?}");
}

#[test]
fn a_top_level_that_waits_is_no_mistake() {
    let folder = Folder::new(&[("wait.lua", "while true do sleep(1) end")]);
    let output = folder.puad(&["check", "wait.lua"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        lines(&output.stdout),
        ["ok wait: publishes 0, timers 0, watches 0 (its top level still waits after 5 s)"]
    );
}

#[test]
fn mistakes_in_the_configuration_end_every_command_before_it_starts() {
    let folder = Folder::new(&[
        ("scripts/a.lua", "print('started')"),
        ("key.toml", "[sip]\n\noutbond_proxy = \"sip:127.0.0.1\"\n"),
        (
            "secret.toml",
            "[[account]]\ndomain = \"a.example\"\nusername = \"a\"\npassword = { env = \"PUAD_TEST_NO_SUCH\" }\n",
        ),
    ]);
    let publish = ["publish", "sip:a@127.0.0.1", "--event", "presence", "--body", "x"];
    for command in [&["check"][..], &["run"], &publish] {
        for (file, expected) in [
            (
                "key.toml",
                "key.toml:3: [sip]: unknown key 'outbond_proxy' (did you mean 'outbound_proxy'?)",
            ),
            (
                "secret.toml",
                "secret.toml:4: [[account]]: password: the environment variable PUAD_TEST_NO_SUCH is not set; set it where puad is started",
            ),
            (
                "none.toml",
                "none.toml: cannot read the configuration: No such file or directory (os error 2)",
            ),
        ] {
            let output = folder.puad(&[command, &["--config", file]].concat());
            assert_eq!(output.status.code(), Some(78), "{command:?} {output:?}");
            assert_eq!(lines(&output.stderr), [expected], "{command:?}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn run_without_anything_to_run_says_what_to_do() {
    let folder = Folder::new(&[]);
    let output = folder.puad(&["run"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output.stderr).contains("name a script, as in `puad run hello.lua`"),
        "{output:?}"
    );
    folder.write("puad.toml", "");
    let output = folder.puad(&["run"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).starts_with("puad.toml: there is no script to run: make a folder")
    );
}

#[test]
fn run_by_hand_ends_when_every_script_has_failed() {
    let folder = Folder::new(&[("a.lua", "error('no')"), ("b.lua", "x = = 1")]);
    let output = folder.puad(&["run", "a.lua", "b.lua", "--listen", "udp:127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(78));
    let log = text(&output.stderr);
    assert!(log.contains("a.lua:1: no") && log.contains("b.lua:1: "), "{log}");
}

#[test]
fn a_folder_whose_scripts_all_fail_keeps_the_daemon_up_and_says_so() {
    let folder = Folder::new(&[("scripts/a.lua", "error('no')"), ("puad.toml", "")]);
    let mut daemon = folder.daemon(&["run", "--listen", "udp:127.0.0.1:0"]);
    daemon.wait_for("every script has failed; puad publishes nothing");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn a_secret_that_a_script_was_given_is_masked_in_its_log_lines() {
    let folder = Folder::new(&[
        (
            "scripts/login.lua",
            r#"
            local pw = config.secret("pw")
            log.info("logging in with " .. pw, { pw = pw, inner = { pw } })
            print("again", pw)
            error({ said = pw })
            "#,
        ),
        ("pw.txt", "hunt\"er 22\n"),
        (
            "puad.toml",
            "[[script]]\nfile = \"login.lua\"\nconfig = { pw = { file = \"pw.txt\" } }\n",
        ),
    ]);
    folder.make_secret("pw.txt");
    let daemon = folder.daemon(&["run"]);
    daemon.wait_for(r#"logging in with ***"#);
    daemon.wait_for("again\t***");
    daemon.wait_for("said = \"***\"");
}

#[test]
fn pub_25_sigterm_stops_scripts_removes_their_state_and_ends() {
    let server = Server::granting();
    let folder = Folder::new(&[("lamp.lua", SCRIPT)]);
    let set = format!("lamp.uri={}", server.uri());
    let mut daemon =
        folder.daemon(&["run", "lamp.lua", "--listen", "udp:127.0.0.1:0", "--set", &set]);
    let initial = server.received(LONG).expect("a PUBLISH");
    assert_eq!(initial.text(), "open");
    daemon.wait_for("running script=\"lamp\"");
    // No reason to end.
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("reloading");
    let begin = Instant::now();
    daemon.signal(rustix::process::Signal::TERM);
    let remove = server.received(LONG).expect("a Remove");
    assert_eq!(remove.need("Expires"), "0");
    assert_eq!(remove.need("SIP-If-Match"), "tag-1");
    assert_eq!(daemon.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "an answered removal needs no limit");
    assert_eq!(server.received(Duration::ZERO), None);
}

#[test]
fn pub_25_a_stop_ends_within_its_limit_when_nobody_answers() {
    let server =
        Server::start(|count, request| (count == 1).then(|| request.granted("tag-1", 3600)));
    let folder = Folder::new(&[("lamp.lua", SCRIPT)]);
    let set = format!("lamp.uri={}", server.uri());
    let mut daemon =
        folder.daemon(&["run", "lamp.lua", "--listen", "udp:127.0.0.1:0", "--set", &set]);
    daemon.wait_for("running script=\"lamp\"");
    let begin = Instant::now();
    daemon.signal(rustix::process::Signal::INT);
    daemon.wait_for("removals without an answer: 1");
    assert_eq!(daemon.code(), Some(0));
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new(&[("lamp.lua", SCRIPT)]);
    for (again, code) in [(rustix::process::Signal::TERM, 143), (rustix::process::Signal::INT, 130)]
    {
        // With a request in flight an orderly stop takes its whole time.
        let server = Server::start(|_, _| None);
        let set = format!("lamp.uri={}", server.uri());
        let mut daemon =
            folder.daemon(&["run", "lamp.lua", "--listen", "udp:127.0.0.1:0", "--set", &set]);
        server.received(LONG).expect("a PUBLISH");
        daemon.signal(rustix::process::Signal::TERM);
        daemon.wait_for("stopping within 5 s");
        // One that follows at once is the same wish: `timeout` signals a process and its group.
        daemon.signal(again);
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(daemon.poll(), None, "it stops in order");
        daemon.signal(again);
        assert_eq!(daemon.code(), Some(code));
    }
}

#[test]
fn the_environment_names_the_configuration_and_what_is_logged() {
    let folder = Folder::new(&[("lamps.toml", ""), ("puad.toml", "x"), ("a.lua", "error('no')")]);
    let output = folder.command(&["check"]).env("PUAD_CONFIG", "lamps.toml").output();
    let output = output.expect("started");
    assert_eq!(
        lines(&output.stdout),
        ["ok lamps.toml: configuration", "there is no script to check"]
    );
    folder.write("puad.toml", "");
    let run = ["run", "a.lua", "--listen", "udp:127.0.0.1:0"];
    let log = |filter| {
        let output = folder.command(&run).env("PUAD_LOG", filter).output().expect("started");
        (output.status.code(), text(&output.stderr))
    };
    assert!(log("info").1.contains("listening on udp:127.0.0.1:"));
    let (code, told) = log("debg");
    assert_eq!(code, Some(78));
    assert!(
        told.contains("PUAD_LOG: \"debg\" is not one of")
            && told.contains("did you mean \"debug\"?"),
        "{told}"
    );
    assert_eq!(log("off"), (Some(78), String::new()));
    assert!(log("==").1.starts_with("puad: PUAD_LOG: "));
}

#[test]
fn publish_prints_what_the_server_granted() {
    let server = Server::granting();
    let folder = Folder::new(&[("open.xml", "<open/>")]);
    let output = folder.publish(&server, &["--body-file", "open.xml", "--header", "X-Lamp: 1"]);
    assert_eq!(text(&output.stdout), "200 Reason 200, entity-tag tag-1, expires 3600 s\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let request = server.received(LONG).expect("a PUBLISH");
    assert_eq!(request.text(), "<open/>");
    assert_eq!(request.need("Content-Type"), "application/pidf+xml");
    assert_eq!(request.need("X-Lamp"), "1");
    let output = folder.publish(&server, &["--body", "x", "--expires", "10m", "--json"]);
    assert_eq!(
        text(&output.stdout),
        "{\"status\":200,\"reason\":\"Reason 200\",\"etag\":\"tag-2\",\"expires\":600}\n"
    );
    assert_eq!(server.received(LONG).expect("a PUBLISH").need("Expires"), "600");
    assert_eq!(server.received(Duration::from_millis(100)), None, "and no removal");
}

#[test]
fn publish_continues_and_removes_what_a_tag_names() {
    let server = Server::granting();
    let folder = Folder::new(&[]);
    let output = folder.publish(&server, &["--etag", "abc"]);
    assert_eq!(text(&output.stdout), "200 Reason 200, entity-tag tag-1, expires 3600 s\n");
    let refresh = server.received(LONG).expect("a Refresh");
    assert_eq!((refresh.need("SIP-If-Match"), refresh.text()), ("abc", ""));
    let output = folder.publish(&server, &["--etag", "abc", "--expires", "0"]);
    assert_eq!(text(&output.stdout), "200 Reason 200, removed\n");
    let remove = server.received(LONG).expect("a Remove");
    assert_eq!((remove.need("SIP-If-Match"), remove.need("Expires")), ("abc", "0"));
}

#[test]
fn publish_tells_refusals_from_what_may_pass() {
    let folder = Folder::new(&[]);
    for (answer, code) in [(403, 69), (489, 69), (503, 75), (500, 75)] {
        let server = Server::start(move |_, request| Some(request.answer(answer).bytes()));
        let output = folder.publish(&server, &["--body", "x"]);
        assert_eq!(output.status.code(), Some(code), "{answer}: {output:?}");
        let message = text(&output.stderr);
        assert!(
            message.contains(&format!("{answer} Reason {answer} from udp:127.0.0.1")),
            "{message}"
        );
        assert!(output.stdout.is_empty());
    }
    let server = Server::start(|_, request| Some(request.answer(403).bytes()));
    let output = folder.publish(&server, &["--body", "x", "--json"]);
    assert_eq!(output.status.code(), Some(69));
    let json = text(&output.stdout);
    let begin = "{\"status\":403,\"reason\":\"Reason 403\",\"etag\":null,\"expires\":null,\"error\":{\"code\":\"sip\",\"message\":\"";
    assert!(json.starts_with(begin), "{json}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn publish_waits_no_longer_than_it_is_told() {
    let server = Server::start(|_, _| None);
    let folder = Folder::new(&[]);
    let output = folder.publish(&server, &["--body", "x", "--timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(text(&output.stderr), "puad: no answer within 0.3 s\n");
}

#[test]
fn publish_refuses_what_makes_no_sense() {
    let server = Server::granting();
    let folder = Folder::new(&[]);
    for (args, expected) in [
        (&["--expires", "0"][..], "give --etag"),
        (&["--expires", "0", "--etag", "a", "--body", "x"], "goes with no body"),
        (&[], "body: the first publish of a key needs a document"),
        (&["--body", "x", "--body-file", "y"], "cannot be used with"),
        (&["--body-file", "none"], "--body-file: cannot read none"),
        (&["--body", "x", "--expires", "soon"], "is not a duration"),
        (&["--body", "x", "--etag", "a b"], "is not an entity-tag"),
        (&["--body", "x", "--header", "Via: x"], "Via is set by puad itself"),
        (&["--body", "x", "--header", "A: b\r\nC: d"], "the value of A holds a line break"),
        (&["--body", "x", "--account", "none"], "the configuration has no [[account]]"),
        (&["--body", "x", "--exprise", "1"], "--exprise"),
        (&["--content-type", "a/b", "--etag", "a"], "there is no body"),
    ] {
        let output = folder.publish(&server, args);
        assert_eq!(output.status.code(), Some(64), "{args:?} {output:?}");
        assert!(text(&output.stderr).contains(expected), "{args:?} {output:?}");
    }
    assert_eq!(server.received(Duration::ZERO), None);
}

#[test]
fn publish_uses_account_and_proxy_of_the_configuration() {
    let mut challenged = false;
    let server = Server::start(move |_, request| {
        Some(if std::mem::replace(&mut challenged, true) {
            request.granted("tag-1", 3600)
        } else {
            let challenge = "Digest realm=\"a.example\", nonce=\"n\", qop=\"auth\"";
            request.answer(401).header("WWW-Authenticate", challenge).bytes()
        })
    });
    let folder = Folder::new(&[("pw", "secret\n")]);
    folder.make_secret("pw");
    folder.write(
        "puad.toml",
        &format!(
            "[sip]\noutbound_proxy = \"{};lr\"\n[[account]]\ndomain = \"a.example\"\nusername = \"al\"\npassword = {{ file = \"pw\" }}\n",
            server.uri()
        ),
    );
    let output =
        folder.puad(&["publish", "sip:alice@a.example", "--event", "presence", "--body", "x"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = server.received(LONG).expect("a PUBLISH");
    assert_eq!(first.uri(), "sip:alice@a.example");
    let second = server.received(LONG).expect("another, with credentials");
    assert!(second.need("Authorization").contains("username=\"al\""));
}

#[test]
fn help_and_version_are_no_failures_and_a_closed_pipe_is_no_panic() {
    let folder = Folder::new(&[]);
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["publish", "--help"]] {
        assert_eq!(folder.puad(args).status.code(), Some(0), "{args:?}");
    }
    assert_eq!(folder.puad(&[]).status.code(), Some(64));
    assert_eq!(folder.puad(&["rnu"]).status.code(), Some(64));
    folder.write("a.lua", "");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = folder.command(&["check", "a.lua"]).stdout(writer).output().expect("started");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_removal_of_an_outdated_tag_is_not_called_done() {
    let server = Server::start(|_, request| Some(request.answer(412).bytes()));
    let folder = Folder::new(&[]);
    let output = folder.publish(&server, &["--expires", "0", "--etag", "old"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("goes by a newer tag"), "{output:?}");
    let output = folder.publish(&server, &["--expires", "0", "--etag", "old", "--json"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stdout).contains("\"status\":412"), "{output:?}");
    assert!(text(&output.stdout).contains("\"error\""), "{output:?}");
}
