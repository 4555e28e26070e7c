//! The running program reloads: by a saved file, a changed configuration, SIGHUP and `puad reload`.

use serde_json::Value;

use crate::support::{
    program::{Daemon, Folder, LONG, lines, text},
    server::Server,
};

const SCRIPT: &str =
    "pua.publish { presentity_uri = config.uri, event = 'presence', body = config.say or 'first' }";

/// A daemon with one script, `lamp`, that has published.
fn lit(more: &str) -> (Server, Folder, Daemon) {
    let server = Server::granting();
    let folder = Folder::new(&[("scripts/lamp.lua", SCRIPT)]);
    folder.write("puad.toml", &config(&server, "first", more));
    let daemon = folder.daemon(&["run"]);
    assert_eq!(server.received(LONG).expect("a PUBLISH").text(), "first");
    daemon.wait_for("running");
    (server, folder, daemon)
}

fn config(server: &Server, say: &str, more: &str) -> String {
    let uri = server.uri();
    format!(
        "[sip]\nlisten = \"udp:127.0.0.1:0\"\n{more}\n[[script]]\nfile = \"lamp.lua\"\nconfig = {{ uri = \"{uri}\", say = \"{say}\" }}\n"
    )
}

#[test]
fn a_script_gets_a_new_section_of_the_configuration_when_the_file_is_saved() {
    let (server, folder, daemon) = lit("");
    folder.write("puad.toml", &config(&server, "second", ""));
    let request = server.received(LONG).expect("a PUBLISH");
    assert_eq!((request.text(), request.need("SIP-If-Match")), ("second", "tag-1"));
    daemon.wait_for("reloaded");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let (server, folder, daemon) = lit("t1 = \"400ms\"");
    let more = "t1 = \"300ms\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n";
    folder.write("puad.toml", &config(&server, "second", more));
    let line = daemon.wait_for("only a restart helps");
    assert!(line.ends_with("only a restart helps: [sip], [metrics]"), "{line}");
    assert_eq!(server.received(LONG).expect("a PUBLISH").text(), "second");
}

#[test]
fn a_broken_configuration_is_told_with_its_line_and_changes_nothing() {
    let (server, folder, daemon) = lit("");
    folder.write("puad.toml", &config(&server, "second", "outbond_proxy = 5"));
    daemon.wait_for("the configuration is not taken, the last good one stays");
    daemon.wait_for(
        "puad.toml:3: [sip]: unknown key 'outbond_proxy' (did you mean 'outbound_proxy'?)",
    );
    let output = folder.puad(&["reload"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("puad.toml:3: [sip]: unknown key"), "{output:?}");
    // A script is reloaded all the same when its file changes.
    folder.write(
        "scripts/lamp.lua",
        &format!("-- changed\n{}", SCRIPT.replace("config.say", "'third'")),
    );
    assert_eq!(server.received(LONG).expect("a PUBLISH").text(), "third");
}

#[test]
fn scripts_that_come_are_started_and_those_that_go_are_stopped() {
    let (server, folder, daemon) = lit("");
    let other = format!(
        "pua.publish {{ presentity_uri = '{}', event = 'dialog', body = 'other' }}",
        server.uri()
    );
    folder.write("scripts/other.lua", &other);
    assert_eq!(server.received(LONG).expect("a PUBLISH").text(), "other");
    std::fs::remove_file(folder.path().join("scripts/other.lua")).expect("there");
    let request = server.received(LONG).expect("a removal");
    assert_eq!((request.need("Event"), request.need("Expires")), ("dialog", "0"));
    daemon.wait_for("stopped: it is wanted no more");
}

#[test]
fn sighup_and_the_command_reload_what_has_not_changed_too_and_nothing_is_sent() {
    let (server, folder, daemon) = lit("");
    daemon.signal(rustix::process::Signal::HUP);
    assert!(daemon.wait_for("reloaded").contains("generation=2"));
    let output = folder.puad(&["reload", "lamp"]);
    assert_eq!(lines(&output.stdout), ["lamp: reloaded, version 3"], "{output:?}");
    let output = folder.puad(&["reload", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer, serde_json::json!(["lamp: reloaded, version 4"]));
    assert_eq!(server.received(std::time::Duration::from_millis(300)), None);
    let output = folder.puad(&["reload", "lmap"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("did you mean \"lamp\"?"), "{output:?}");
    folder.write("scripts/lamp.lua", "local x = = 1");
    daemon.wait_for("not reloaded, version 4 goes on: scripts/lamp.lua:1:");
    let output = folder.puad(&["reload", "lamp"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("scripts/lamp.lua:1:"), "{output:?}");
    let table = lines(&folder.puad(&["ls"]).stdout);
    assert!(table[1].contains("stale") && table[1].contains("scripts/lamp.lua:1:"), "{table:?}");
}

#[test]
fn timers_are_listed_with_their_schedule() {
    let (_server, folder, daemon) = lit("");
    folder.write(
        "scripts/lamp.lua",
        "timer.every('5m', function() end, { name = 'sample' })\ntimer.cron('0 6 * * *', function() end)",
    );
    daemon.wait_for("reloaded");
    let output = folder.puad(&["ls", "timers"]);
    let table = lines(&output.stdout);
    assert!(table[0].starts_with("SCRIPT"), "{output:?}");
    assert!(table[1].starts_with("lamp") && table[1].contains("sample"), "{table:?}");
    let output = folder.puad(&["ls", "timers", "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&rows[0]["kind"], &rows[1]["kind"]), (&"every".into(), &"cron".into()));
    assert!(rows[0]["next"].as_f64().expect("a time") > 1_700_000_000.0);
}

#[test]
fn another_folder_of_scripts_is_watched_from_then_on() {
    let (server, folder, daemon) = lit("");
    std::fs::create_dir(folder.path().join("more")).expect("a folder");
    let more = format!(
        "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[scripts]\ndir = \"more\"\n# {}",
        server.uri()
    );
    folder.write("puad.toml", &more);
    assert_eq!(server.received(LONG).expect("a removal").need("Expires"), "0");
    daemon.wait_for("stopped: it is wanted no more");
    let late = format!(
        "pua.publish {{ presentity_uri = '{}', event = 'dialog', body = 'late' }}",
        server.uri()
    );
    folder.write("more/late.lua", &late);
    assert_eq!(server.received(LONG).expect("a PUBLISH").text(), "late");
}
