//! The host benchmark: what scripts wait for, and what they cost while they wait.
//!
//! `cargo bench --bench host` measures, inside one process with a real core and a server on
//! loopback: how long a file change takes to become a PUBLISH on the wire, how late timers are when
//! there are 10,000 of them, what 1,000 scripts take in memory and time, and how long a reload takes.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod house;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use puad::script::Force;

use house::{House, resident};

fn main() -> Result<()> {
    file_changes()?;
    timers()?;
    reloads()?;
    scripts()
}

/// A file is written over and over; the script that watches it publishes what is in it.
fn file_changes() -> Result<()> {
    let source = r#"
        fs.watch("state", function(c)
            pua.send_publish { presentity_uri = "$URI", event = "presence", body = c.kind }
        end, { settle = 0 })
        pua.publish { presentity_uri = "$URI", event = "presence", body = "ready" }
    "#;
    let house = House::start(&[("watcher.lua", source)], |_| {})?;
    house.server.next()?;
    let path = house.folder.path().join("state");
    let mut spans = Vec::new();
    for count in 0..CHANGES + WARM_UP {
        // One event a save: a new file moved over the old one.
        let next = path.with_extension("next");
        fs::write(&next, count.to_string())?;
        let began = Instant::now();
        fs::rename(&next, &path)?;
        let arrived = house.server.next()?;
        if count >= WARM_UP {
            spans.push(arrived.duration_since(began));
        }
        std::thread::sleep(Duration::from_millis(5));
        house.server.drain();
    }
    print("file change → PUBLISH on the wire, settle off", &mut spans);
    Ok(())
}

/// Ten thousand timers of ten seconds, spread: a thousand firings a second.
fn timers() -> Result<()> {
    let source = r#"
        local late, runs = {}, 0
        for i = 1, 10000 do
            timer.every("10s", function(t)
                runs += 1
                late[runs] = t.lateness
                if runs == 25000 then
                    table.sort(late)
                    pua.send_publish { presentity_uri = "$URI", event = "presence",
                        body = `{late[runs // 2]} {late[runs * 99 // 100]} {late[runs]}` }
                end
            end, { name = `timer {i}`, jitter = "10s" })
        end
    "#;
    let house = House::start(&[("timers.lua", source)], |spec| spec.limits.timers = 10_000)?;
    let body = house.server.body(Duration::from_secs(60))?;
    let figures: Vec<f64> = body.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(figures.len() == 3, "the script said {body:?}");
    let milliseconds = |seconds: f64| seconds * 1000.0;
    println!("timer lateness, 10,000 timers of 10 s");
    println!(
        "  p50 {:.2} ms   p99 {:.2} ms   worst {:.2} ms",
        milliseconds(figures[0]),
        milliseconds(figures[1]),
        milliseconds(figures[2])
    );
    Ok(())
}

/// The shipped CPU script with one more publication, reloaded by command.
fn reloads() -> Result<()> {
    let source = r#"
        timer.every("1h", function() end, { name = "sample", jitter = "1s" })
        fs.watch("calls", function() end)
        script.state.count = (script.state.count or 0) + 1
        pua.publish { presentity_uri = "$URI", event = "presence", id = "cpu",
            body = body.pidf { entity = "sip:a@example.com", tuples = { { id = "cpu", basic = "open" } } } }
    "#;
    let house = House::start(&[("reloaded.lua", source)], |_| {})?;
    house.server.next()?;
    let mut spans = Vec::new();
    for count in 0..RELOADS + WARM_UP {
        let began = Instant::now();
        house.update(Force::All)?;
        if count >= WARM_UP {
            spans.push(began.elapsed());
        }
    }
    ensure!(house.server.is_quiet(Duration::from_millis(200)), "a reload has sent something");
    print("reload of a script, nothing sent", &mut spans);
    Ok(())
}

/// A thousand scripts with a timer and a publication each.
fn scripts() -> Result<()> {
    let source = r#"
        local cfg = { uri = "$URI" }
        timer.every("1h", function() end, { name = "sample" })
        pua.send_publish { presentity_uri = cfg.uri, event = "presence", id = script.name, body = "up" }
    "#;
    let before = resident()?;
    let names: Vec<String> = (0..SCRIPTS).map(|count| format!("s{count}.lua")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), source)).collect();
    let began = Instant::now();
    let house = House::start(&files, |_| {})?;
    let took = began.elapsed();
    let each = resident()?.saturating_sub(before) / SCRIPTS;
    println!("{SCRIPTS} scripts, a timer and a publication each");
    println!("  all running after  {:.2} s", took.as_secs_f64());
    println!("  memory each        {:.0} KiB", each as f64 / 1024.0);
    println!("  threads            {}", procfs::process::Process::myself()?.stat()?.num_threads);
    drop(house);
    Ok(())
}

fn print(what: &str, spans: &mut [Duration]) {
    spans.sort();
    let at = |part: usize| spans[(spans.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!("{what}");
    println!(
        "  p50 {:.2} ms   p99 {:.2} ms   worst {:.2} ms   of {}",
        at(50),
        at(99),
        at(100),
        spans.len()
    );
}

const CHANGES: usize = 500;
const RELOADS: usize = 300;
const SCRIPTS: u64 = 1000;
/// Rounds that are not counted.
const WARM_UP: usize = 20;
