//! SIPp as a server that does as its scenario says, over UDP, and writes down what it saw and when.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::{
    process::{Process, free_port, installed, is_bound, wait_for},
    sip::Sip,
};

/// A server with a will of its own.
#[derive(Debug)]
pub struct Sipp {
    process: Process,
    folder: TempDir,
    port: u16,
}

/// A request that SIPp received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Seconds of the day.
    pub at: f64,
    pub request: Sip,
}

impl Sipp {
    /// Starts SIPp with this scenario.
    pub fn start(scenario: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sipp-").tempdir().expect("a folder");
        fs::write(folder.path().join("scenario.xml"), scenario).expect("a writable folder");
        let port = free_port();
        let arguments = format!(
            "-sf scenario.xml -i 127.0.0.1 -bind_local -p {port} -nostdin -trace_msg -message_file messages"
        )
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>();
        let log = folder.path().join("log");
        let mut process = Process::start(&installed("sipp"), &arguments, folder.path(), &log);
        wait_for("SIPp being up", || {
            process.check(&log);
            is_bound(port).then_some(())
        });
        Self { process, folder, port }
    }

    /// The URI of an outbound proxy that leads here.
    pub fn uri(&self) -> String {
        format!("sip:127.0.0.1:{};lr", self.port)
    }

    /// The requests so far, repeats included.
    pub fn received(&self) -> Vec<Received> {
        let log = fs::read(self.messages_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // Each message stands behind a rule with the time, and a line with its length.
        let entries = log.split("----------------------------------------------- ").skip(1);
        let mut received = Vec::<Received>::new();
        for entry in entries {
            let Some((head, message)) = entry.split_once("\n\n") else { continue };
            let Some((time, what)) = head.split_once('\n') else { continue };
            let Some((_, length)) = what.split_once("message received [") else { continue };
            let length: usize =
                length.split(']').next().and_then(|n| n.parse().ok()).expect("a length");
            // The last one may still be being written.
            let Some(bytes) = message.as_bytes().get(..length) else { continue };
            let mut at = seconds_of_day(time);
            if received.last().is_some_and(|last| last.at > at) {
                at += 86_400.0;
            }
            received.push(Received { at, request: Sip::parse(bytes) });
        }
        received
    }

    /// The requests so far, without repeats.
    pub fn requests(&self) -> Vec<Received> {
        let mut requests = Vec::<Received>::new();
        for received in self.received() {
            let branch = received.request.branch();
            if requests.iter().all(|known| known.request.branch() != branch) {
                requests.push(received);
            }
        }
        requests
    }

    fn messages_path(&self) -> PathBuf {
        self.folder.path().join("messages")
    }
}

impl Received {
    /// The value of a header that must be there.
    pub fn need(&self, name: &str) -> &str {
        self.request.need(name)
    }

    pub fn entity_tag(&self) -> Option<&str> {
        self.request.get("SIP-If-Match")
    }
}

/// Reads `2026-01-31 23:59:59.123456`.
fn seconds_of_day(time: &str) -> f64 {
    let (_, clock) = time.split_once(' ').expect("date and time");
    let parts: Vec<f64> = clock.trim().split(':').map(|n| n.parse().expect("a number")).collect();
    parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]
}
