//! The load benchmark: what one daemon with one script does to a sink in another process.
//!
//! `cargo bench --bench load` publishes 20,000 presentities from Lua over UDP, 64 calls in flight,
//! waits for their refreshes, and prints rates, CPU and memory beside those of Kamailio's `pua_rpc`
//! and SIPp's client against the same sink, where these are installed. The refresh spread of
//! 100,000 publications is computed in virtual time.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod peers;
mod process;
mod sink;
mod spread;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};

use process::{Daemon, Usage};
use sink::Sink;

/// Distinct presentities published.
const PUBLICATIONS: usize = 20_000;
/// What the sink grants, so that every publication is refreshed once within ten to sixteen seconds.
const GRANT: u32 = 20;

fn main() -> Result<()> {
    let puad = measure_puad().context("puad")?;
    puad.print("puad, Lua → wire → answer → Lua");
    match peers::kamailio().context("Kamailio pua_rpc")? {
        Some(kamailio) => {
            kamailio.print("Kamailio pua_rpc, HTTP JSON-RPC, 32 connections");
            println!(
                "  puad : Kamailio    {:.1} × the rate, {:.2} × the CPU",
                puad.rate() / kamailio.rate(),
                puad.cpu_per_10k() / kamailio.cpu_per_10k()
            );
        }
        None => println!("Kamailio with pua_rpc is not installed; not measured"),
    }
    match peers::sipp().context("SIPp")? {
        Some(sipp) => {
            sipp.print("SIPp client, UDP");
            println!(
                "  puad : SIPp        {:.2} × the CPU",
                puad.cpu_per_10k() / sipp.cpu_per_10k()
            );
        }
        None => println!("SIPp is not installed; not measured"),
    }
    spread::print()
}

/// A document of about 400 bytes, another for each user.
pub(crate) fn body(user: usize) -> String {
    format!(
        "Messages-Waiting: yes\r\nMessage-Account: sip:user{user}@bench.example\r\nVoice-Message: 1/2 (0/0)\r\nSubject: {}\r\n",
        "x".repeat(280)
    )
}

/// What a program needed for a number of publishes.
pub(crate) struct Figures {
    pub(crate) publishes: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    /// Bytes of resident memory for each live publication.
    pub(crate) memory: Option<f64>,
    /// CPU seconds per 10,000 refreshes.
    pub(crate) refresh_cpu: Option<f64>,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.publishes as f64 / self.seconds
    }

    pub(crate) fn cpu_per_10k(&self) -> f64 {
        self.cpu * 10_000.0 / self.publishes as f64
    }

    fn print(&self, name: &str) {
        println!("{name}");
        println!("  publishes/s        {:.0}", self.rate());
        println!("  CPU per 10,000     {:.3} s", self.cpu_per_10k());
        if let Some(memory) = self.memory {
            println!("  memory each        {memory:.0} bytes, 400-byte body included");
        }
        if let Some(cpu) = self.refresh_cpu {
            println!("  CPU per 10,000 refreshes  {cpu:.3} s");
        }
    }
}

fn measure_puad() -> Result<Figures> {
    let sink = Sink::start(GRANT, Some("ready"))?;
    let folder = tempfile::tempdir()?;
    let script = include_str!("publish.lua").replace("@COUNT@", &PUBLICATIONS.to_string());
    fs::write(folder.path().join("publish.lua"), script)?;
    fs::write(
        folder.path().join("puad.toml"),
        format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\noutbound_proxy = \"sip:127.0.0.1:{};lr\"\n\
             [[script]]\nfile = \"../publish.lua\"\n\
             limits = {{ publications = {}, cpu = \"60s\", memory = \"256MiB\" }}\n[log]\nlevel = \"warn\"\n",
            sink.port(),
            PUBLICATIONS + 10
        ),
    )?;
    fs::create_dir(folder.path().join("scripts"))?;
    let daemon = Daemon::start(env!("CARGO_BIN_EXE_puad"), &["run"], folder.path())?;
    // The script announces itself and waits for the answer, so that starting is not measured.
    sink.wait_for("ready", Duration::from_secs(20))?;
    std::thread::sleep(Duration::from_millis(200));
    let before = daemon.usage()?;
    sink.release();
    let seconds = sink.wait_for("done", Duration::from_secs(120))?;
    let after = daemon.usage()?;
    ensure!(sink.presentities() >= PUBLICATIONS, "only {} were seen", sink.presentities());
    let refreshed = sink.refreshes();
    sink.wait_for_refreshes(refreshed + PUBLICATIONS, Duration::from_secs(u64::from(GRANT)))?;
    let refreshes = (sink.refreshes() - refreshed) as f64;
    let Usage { cpu, memory: _ } = daemon.usage()?;
    Ok(Figures {
        publishes: PUBLICATIONS,
        seconds,
        cpu: after.cpu - before.cpu,
        memory: Some((after.memory - before.memory) as f64 / PUBLICATIONS as f64),
        refresh_cpu: Some((cpu - after.cpu) * 10_000.0 / refreshes),
    })
}
