//! The formats of the log, and a reader that is stuck.

use std::time::{Duration, Instant};

use crate::support::program::{Folder, LONG};

#[test]
fn a_json_log_is_an_object_a_line_with_everything_at_the_top() {
    let folder = Folder::new(&[
        ("scripts/lamp.lua", "log.warn('two\\nlines \"quoted\"', { code = 7 })\n"),
        ("puad.toml", "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[log]\nformat = \"json\"\n"),
    ]);
    let mut daemon = folder.daemon(&["run"]);
    let said = daemon.wait_for("quoted");
    let line: serde_json::Value = serde_json::from_str(&said).expect(&said);
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "two\nlines \"quoted\" code=7");
    assert_eq!((&line["script"], &line["line"]), (&"lamp".into(), &1.into()));
    line["timestamp"].as_str().expect("a text").parse::<jiff::Timestamp>().expect("RFC 3339");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    for line in daemon.rest() {
        let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert!(line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_reader_of_the_log_that_is_stuck_stops_nothing() {
    for format in ["text", "json"] {
        let folder = Folder::new(&[(
            "scripts/chatty.lua",
            "local text = string.rep('x', 1000)\nfor n = 1, 3000 do log.info(text) end\n\
             timer.every('100ms', function() log.info('on and on') end)\n",
        )]);
        folder.write(
            "puad.toml",
            &format!("[sip]\nlisten = \"udp:127.0.0.1:0\"\n[log]\nformat = \"{format}\"\n"),
        );
        // Three megabytes do not fit into a pipe that nobody reads.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = folder.command(&["run"]);
        let mut child = command.stderr(writer).spawn().expect("started");
        drop(command);
        let deadline = Instant::now() + LONG;
        let is_at_work = || {
            let logs = folder.puad(&["logs"]);
            String::from_utf8_lossy(&logs.stdout).contains("on and on")
        };
        while !is_at_work() {
            assert!(Instant::now() < deadline, "{format}: its timers do not fire");
            std::thread::sleep(Duration::from_millis(50));
        }
        let stopped = folder.puad(&["stop"]);
        assert_eq!(stopped.status.code(), Some(0), "{format}: {stopped:?}");
        assert_eq!(child.wait().expect("a child").code(), Some(0));
        drop(reader);
    }
}

#[test]
fn a_journal_that_is_not_there_is_named_before_anything_starts() {
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    let folder = Folder::new(&[
        ("scripts/a.lua", "print('started')"),
        ("puad.toml", "[log]\nformat = \"journald\"\n"),
    ]);
    let output = folder.puad(&["run"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with("puad: [log] format = \"journald\": the journal's socket /run/systemd/journal/socket does not answer: ")
            && told.trim_end().ends_with("run puad where systemd-journald runs, or write \"text\" or \"json\""),
        "{told}"
    );
}
