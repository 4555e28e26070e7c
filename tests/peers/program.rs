//! The program with scripts, from a file on disk to a lamp at a real server and back to darkness.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    kamailio::{Kamailio, PASSWORD, REALM, USER},
    process::{Process, wait_for},
    puad::ALICE,
    sip::Sip,
    watcher::Watcher,
};

#[test]
fn a_voicemail_on_disk_lights_a_lamp_that_survives_a_crash_of_the_server() {
    let mut server = Kamailio::in_memory();
    let script = r#"
        mail.watch_maildir(config.box, function(n)
            pua.publish { presentity_uri = config.uri, event = "message-summary", expires = 5,
                body = body.mwi { account = config.uri, voice = { new = n.unread, old = n.read } } }
        end, { settle = "50ms" })
    "#;
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(folder.path().join("box").join(part)).expect("a writable folder");
    }
    let mut daemon = Daemon::run(&server, folder, script, "box");
    // Before anything is published a watcher is shown nothing, so it comes when there is something.
    daemon.sends(1, &server);
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "message-summary");
    lamp.sees_text("Voice-Message: 0/0");

    daemon.write("box/new/1700000000.1.host", "Subject: hello\n\nhello\n");
    lamp.sees_text("Voice-Message: 1/0");

    server.kill();
    server.start_again();
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "message-summary");
    lamp.sees_text("Voice-Message: 1/0");

    daemon.stops();
    lamp.sees("nothing", |notify| notify.body.is_empty());
}

#[test]
fn a_door_is_open_while_a_file_is_there_and_unknown_when_puad_has_stopped() {
    let server = Kamailio::with_digest("SHA-256", 300);
    let script = r#"
        local function publish(basic)
            return pua.publish { presentity_uri = config.uri, event = "presence",
                body = body.pidf { entity = config.uri,
                    tuples = { { id = "door", basic = basic, note = "door is " .. basic } } } }
        end
        fs.watch(config.box, function(change)
            publish(if change.kind == "remove" then "closed" else "open")
        end, { settle = "50ms" })
        publish("closed")
    "#;
    let mut daemon = Daemon::run(&server, tempfile::tempdir().expect("a folder"), script, "door");
    // The first attempt and the one with credentials.
    daemon.sends(2, &server);
    let mut watcher = Watcher::subscribe(server.port(), ALICE, "presence");
    watcher.sees_text("door is closed");
    daemon.write("door", "");
    watcher.sees_text("door is open");
    fs::remove_file(daemon.folder.path().join("door")).expect("it was just made");
    watcher.sees_text("door is closed");
    daemon.stops();
    watcher.sees("no door", |notify| !notify.text().contains("door is"));
}

#[test]
fn one_shots_publish_change_refresh_and_remove() {
    let server = Kamailio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = server.uri();
    let publish = |more: &[&str]| {
        let mut arguments =
            vec!["publish", ALICE, "--event", "message-summary", "--proxy", &*proxy];
        arguments.extend(more);
        puad(folder.path(), &arguments)
    };
    let tag = |line: &str| {
        let (_, rest) = line.split_once("entity-tag ").unwrap_or_else(|| panic!("no tag: {line}"));
        rest.split(',').next().expect("a first part").to_owned()
    };
    let mut lamp = Watcher::subscribe(server.port(), ALICE, "message-summary");
    let first = publish(&["--body", "Messages-Waiting: yes\r\n"]);
    lamp.sees_text("Messages-Waiting: yes");
    let changed = publish(&["--etag", &tag(&first), "--body", "Messages-Waiting: no\r\n"]);
    lamp.sees_text("Messages-Waiting: no");
    let refreshed = publish(&["--etag", &tag(&changed), "--expires", "600"]);
    assert!(refreshed.contains("expires 600 s"), "{refreshed}");
    let is_empty = |notify: &Sip| notify.body.is_empty();
    lamp.sees("the empty refresh", is_empty);
    let removed = publish(&["--etag", &tag(&refreshed), "--expires", "0"]);
    assert!(removed.contains("removed"), "{removed}");
    lamp.sees("nothing", is_empty);
}

/// `puad run` at work.
struct Daemon {
    process: Process,
    folder: TempDir,
}

impl Daemon {
    /// Runs one script, which finds [`ALICE`] as `config.uri` and a path in the folder as `config.box`.
    fn run(server: &Kamailio, folder: TempDir, script: &str, path: &str) -> Self {
        let path = folder.path().join(path);
        let config = format!(
            r#"
            [sip]
            listen = ["udp:127.0.0.1:0"]
            outbound_proxy = "{proxy}"
            [[account]]
            domain = "{REALM}"
            username = "{USER}"
            password = "{PASSWORD}"
            [scripts]
            dir = "scripts"
            [[script]]
            file = "story.lua"
            config = {{ uri = "{ALICE}", box = "{path}" }}
            "#,
            proxy = server.uri(),
            path = path.display(),
        );
        fs::create_dir(folder.path().join("scripts")).expect("a writable folder");
        fs::write(folder.path().join("scripts/story.lua"), script).expect("a writable folder");
        fs::write(folder.path().join("puad.toml"), config).expect("a writable folder");
        let arguments = ["run", "--config", "puad.toml"].map(str::to_owned);
        let log = folder.path().join("log");
        let process = Process::start(Path::new(PUAD), &arguments, folder.path(), &log);
        Self { process, folder }
    }

    /// Waits for this many requests at the server.
    fn sends(&mut self, count: usize, server: &Kamailio) {
        let log = self.folder.path().join("log");
        wait_for("a publication", || {
            self.process.check(&log);
            (server.publishes().len() >= count).then_some(())
        });
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).expect("a writable folder");
    }

    /// Sends SIGTERM and expects an orderly end.
    fn stops(&mut self) {
        let status = self.process.terminate();
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(status.success(), "{status}; it said:\n{log}");
    }
}

/// Runs a command that ends by itself and returns its line.
fn puad(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(PUAD)
        .args(arguments)
        .current_dir(folder)
        .env_remove("PUAD_CONFIG")
        .env_remove("PUAD_LOG")
        .output()
        .expect("it was just built");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

const PUAD: &str = env!("CARGO_BIN_EXE_puad");
