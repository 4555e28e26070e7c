//! `puad check` of scripts that reach outside: what ends for want of an answer is no mistake.

use crate::support::program::{Folder, lines};

#[test]
fn what_ends_for_want_of_an_answer_is_no_mistake() {
    let folder = Folder::new(&[
        (
            "scripts/a.lua",
            "timer.every('10s', function() assert(http.get('http://127.0.0.1:9/')) end)",
        ),
        ("scripts/b.lua", "timer.every('10s', function() assert(fs.write('x', 'y')) end)"),
        (
            "scripts/c.lua",
            "pua.publish { presentity_uri = 'sip:a@127.0.0.1', event = 'presence', body = 'x' }\n\
             local out = exec.run { 'df' }\nprint(out.stdout)",
        ),
        (
            "scripts/d.lua",
            "timer.every('10s', function() assert(mail.imap { host = 'a.example', user = 'me', password = 'x' }) end)",
        ),
        (
            "scripts/e.lua",
            "timer.every('1m', function() task.all { function() error(select(2, exec.run { 'df' })) end } end)",
        ),
        ("puad.toml", ""),
    ]);
    let output = folder.puad(&["check"]);
    assert_eq!(
        lines(&output.stdout)[1..],
        [
            "ok a: publishes 0, timers 1, watches 0 (not run to its end: http.get is not done in a check)",
            "ok b: publishes 0, timers 1, watches 0 (not run to its end: fs.write is not done in a check)",
            "ok c: publishes 1, timers 0, watches 0 (not run to its end: exec.run is not done in a check)",
            "ok d: publishes 0, timers 1, watches 0 (not run to its end: mail.imap is not done in a check)",
            "ok e: publishes 0, timers 1, watches 0 (not run to its end: exec.run is not done in a check)",
        ]
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_mistake_beside_it_is_still_found() {
    let folder = Folder::new(&[
        (
            "scripts/a.lua",
            "timer.every('10s', function() assert(exec.run { 'df' }) end)\n\
             timer.every('10s', function() pua.publish { evnet = 1 } end)",
        ),
        ("puad.toml", ""),
    ]);
    let output = folder.puad(&["check"]);
    let line = &lines(&output.stdout)[1];
    assert!(line.starts_with("failed a: scripts/a.lua:2: pua.publish: unknown option 'evnet'"));
    assert_eq!(output.status.code(), Some(78));
}
