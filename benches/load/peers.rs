//! The peers of the comparison, where they are installed: the same publishes to the same sink.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Figures, GRANT, PUBLICATIONS, body, process::Daemon, sink::Sink};

/// Publishes through Kamailio's `pua_rpc` over HTTP JSON-RPC, as its callers do.
pub(crate) fn kamailio() -> Result<Option<Figures>> {
    let schema = Path::new("/usr/share/kamailio/db_sqlite");
    if !is_installed("kamailio") || !is_installed("sqlite3") || !schema.exists() {
        return Ok(None);
    }
    let sink = Sink::start(GRANT, None)?;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("pua.db");
    for part in ["standard", "presence"] {
        let script = fs::File::open(schema.join(format!("{part}-create.sql")))?;
        ensure!(Command::new("sqlite3").arg(&database).stdin(script).status()?.success());
    }
    let (sip, http) = (free_port()?, free_port()?);
    let config = include_str!("kamailio.cfg")
        .replace("@SIP@", &sip.to_string())
        .replace("@HTTP@", &http.to_string())
        .replace("@SINK@", &sink.port().to_string())
        .replace("@DATABASE@", &database.to_string_lossy());
    fs::write(folder.path().join("kamailio.cfg"), config)?;
    let here = folder.path().to_string_lossy().into_owned();
    let args = [
        "-x",
        "fm",
        "-X",
        "fm",
        "-DD",
        "-E",
        "-f",
        "kamailio.cfg",
        "-m",
        "512",
        "-M",
        "32",
        "-Y",
        &here,
        "-w",
        &here,
    ];
    let daemon = Daemon::start("kamailio", &args, folder.path())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", http)).is_err() {
        ensure!(Instant::now() < deadline, "it does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let before = daemon.usage()?;
    let started = Instant::now();
    call_all(http)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = daemon.usage()?;
    ensure!(sink.presentities() >= PUBLICATIONS, "only {} were seen", sink.presentities());
    Ok(Some(Figures {
        publishes: PUBLICATIONS,
        seconds,
        cpu: after.cpu - before.cpu,
        memory: None,
        refresh_cpu: None,
    }))
}

/// Sends every publish over 32 connections that are kept open.
fn call_all(port: u16) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..32).map(|_| scope.spawn(|| call(port, &next))).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
        }
        Ok(())
    })
}

fn call(port: u16, next: &AtomicUsize) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let user = next.fetch_add(1, Ordering::Relaxed);
        if user >= PUBLICATIONS {
            return Ok(());
        }
        let text = body(user).replace("\r\n", "\\r\\n");
        let json = format!(
            r#"{{"jsonrpc":"2.0","method":"pua.publish","params":["sip:user{user}@bench.example","{GRANT}","message-summary","application/simple-message-summary",".",".",".",".","{text}"],"id":{user}}}"#
        );
        let request = format!(
            "POST /RPC HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        );
        writer.write_all(request.as_bytes())?;
        let answer = read_answer(&mut reader)?;
        ensure!(answer.contains("SIP-ETag"), "refused: {answer}");
    }
}

fn read_answer(reader: &mut impl BufRead) -> Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("the connection was closed");
        }
        let line = line.trim_end();
        if let Some(value) = line.strip_prefix("Content-Length:") {
            length = value.trim().parse().context("Content-Length")?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Publishes with SIPp, which keeps almost no state: a floor for what a client can cost.
pub(crate) fn sipp() -> Result<Option<Figures>> {
    if !is_installed("sipp") {
        return Ok(None);
    }
    // One call more than is measured is never answered, so that SIPp is still there to be looked at.
    let held = format!("user{}", PUBLICATIONS + 1);
    let sink = Sink::start(GRANT, Some(&held))?;
    let folder = tempfile::tempdir()?;
    let scenario = include_str!("sipp.xml").replace("@BODY@", &body(0));
    fs::write(folder.path().join("publish.xml"), scenario)?;
    let target = format!("127.0.0.1:{}", sink.port());
    let calls = (PUBLICATIONS + 1).to_string();
    let args = [
        &target,
        "-sf",
        "publish.xml",
        "-m",
        &calls,
        "-r",
        "20000",
        "-l",
        "64",
        "-i",
        "127.0.0.1",
        "-nostdin",
    ];
    let daemon = Daemon::start("sipp", &args, folder.path())?;
    let seconds = sink.wait_for_presentities(PUBLICATIONS, Duration::from_secs(60))?;
    let usage = daemon.usage()?;
    Ok(Some(Figures {
        publishes: PUBLICATIONS,
        seconds,
        cpu: usage.cpu,
        memory: None,
        refresh_cpu: None,
    }))
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
