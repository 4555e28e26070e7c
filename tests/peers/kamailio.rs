//! Kamailio as event state compositor and notifier, for UDP and TCP on one port.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::process::{
    INSTALL, Process, free_port, installed, is_bound, is_listening, run, wait_for,
};

/// A presence server of a story's own.
#[derive(Debug)]
pub struct Kamailio {
    /// `None` while it is down.
    process: Option<Process>,
    folder: TempDir,
    defines: Vec<&'static str>,
    port: u16,
}

/// A request as Kamailio met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    pub method: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// Of the whole message.
    pub length: usize,
    pub entity_tag: Option<String>,
    pub expires: Option<String>,
    pub body_length: usize,
}

impl Kamailio {
    /// Starts a server that lets everybody publish, and keeps state in a database.
    pub fn start() -> Self {
        Self::with(&[], 300)
    }

    /// Starts one that keeps state in memory only, so that a kill loses it.
    pub fn in_memory() -> Self {
        Self::with(&["WITH_MEMORY"], 300)
    }

    /// Starts one that wants PUBLISH to come with credentials of [`USER`], and a nonce not to be
    /// older than this many seconds.
    pub fn with_digest(algorithm: &str, nonce_expire: u32) -> Self {
        match algorithm {
            "MD5" => Self::with(&["WITH_AUTH"], nonce_expire),
            "SHA-256" => Self::with(&["WITH_AUTH", "WITH_SHA256"], nonce_expire),
            other => panic!("Kamailio does not speak {other}"),
        }
    }

    fn with(defines: &[&'static str], nonce_expire: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("kamailio-").tempdir().expect("a folder");
        let port = free_port();
        let config = include_str!("kamailio.cfg.in")
            .replace("@RUN@", folder.path().to_str().expect("a plain path"))
            .replace("@PORT@", &port.to_string())
            .replace("@NONCE_EXPIRE@", &nonce_expire.to_string());
        fs::write(folder.path().join("kamailio.cfg"), config).expect("a writable folder");
        make_tables(&folder.path().join("presence.db"));
        let defines = defines.to_vec();
        let mut server = Self { process: None, folder, defines, port };
        server.start_again();
        server
    }

    /// Starts it on the same port after a [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it is running");
        let folder = self.folder.path().to_str().expect("a plain path").to_owned();
        // fm is the allocator of production; the package's default is a slow one for debugging.
        let mut arguments = format!(
            "-x fm -X fm -m 64 -M 8 -DD -E -f {folder}/kamailio.cfg -Y {folder} -w {folder}"
        )
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>();
        for define in &self.defines {
            arguments.extend(["-A".into(), (*define).into()]);
        }
        let control = self.folder.path().join("ctl");
        let _ = fs::remove_file(&control);
        let log = self.log_path();
        let mut process =
            Process::start(&installed("kamailio"), &arguments, self.folder.path(), &log);
        wait_for("Kamailio being up", || {
            process.check(&log);
            let is_up = control.exists() && is_bound(self.port) && is_listening(self.port);
            is_up.then_some(())
        });
        self.process = Some(process);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.take().expect("it is running").kill();
        wait_for("the port being free", || {
            (!is_bound(self.port) && !is_listening(self.port)).then_some(())
        });
    }

    /// The URI of an outbound proxy that leads here.
    pub fn uri(&self) -> String {
        format!("sip:127.0.0.1:{};lr", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on (or no more) every PUBLISH with SIP-If-Match gets 412.
    pub fn forget_tags(&self, forget: bool) {
        let control = format!("unix:{}/ctl", self.folder.path().display());
        let value = if forget { "1" } else { "0" };
        run("kamcmd", &["-s", &control, "pv.shvSet", "f412", "int", value], "");
    }

    /// All it met so far, in order.
    pub fn met(&self) -> Vec<Met> {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        // A line without its end is still being written.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.filter_map(|line| Some(Met::parse(line.split_once("peer: ")?.1))).collect()
    }

    /// The PUBLISH requests it met.
    pub fn publishes(&self) -> Vec<Met> {
        self.met().into_iter().filter(|met| met.method == "PUBLISH").collect()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Met {
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        let [method, transport, length, entity_tag, expires, body_length] = words[..] else {
            panic!("six words in {line:?}")
        };
        let optional = |word: &str| {
            let word = word.trim_matches(['[', ']']);
            (word != "<null>").then(|| word.to_owned())
        };
        Self {
            method: method.into(),
            transport: transport.into(),
            length: length.parse().expect("a number"),
            entity_tag: optional(entity_tag),
            expires: optional(expires),
            body_length: optional(body_length).map_or(0, |text| text.parse().expect("a number")),
        }
    }
}

/// The tables Kamailio asks for at its start, even where all is kept in memory.
fn make_tables(database: &std::path::Path) {
    let mut script = String::from("PRAGMA synchronous=OFF; BEGIN;\n");
    for part in ["standard", "presence"] {
        let path = format!("/usr/share/kamailio/db_sqlite/{part}-create.sql");
        script += &fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}; {INSTALL}"));
    }
    script += "COMMIT;\n";
    run("sqlite3", &[database.to_str().expect("a plain path")], &script);
}

/// Who may publish when digest is on.
pub const USER: &str = "alice";
/// The password of [`USER`].
pub const PASSWORD: &str = "s3cret";
/// The realm of the challenges.
pub const REALM: &str = "example.com";
