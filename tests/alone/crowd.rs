//! Many scripts: a thread for each of the first, a few threads for all the others.

use std::time::{Duration, Instant};

use puad::script::{How, Limits, Permissions, ScriptSpec, ScriptState, Scripts};

use crate::core::Core;

#[test]
fn a_thousand_scripts_start_in_time_and_share_threads() {
    let _alone = crate::alone();
    let (folder, core) = (tempfile::tempdir().expect("a folder"), Core::new());
    let source = r#"
        local t = {}
        for i = 1, 100 do t[i] = { name = "x" .. i } end
        timer.every("1h", function() end, { name = "sample" })
    "#;
    let specs = (0..1000).map(|n| spec(&folder, &format!("s{n}"), source)).collect();
    let (before, began) = (held(), Instant::now());
    let mut scripts = Scripts::start(specs, &core.handle);
    let wrong = core.runtime.block_on(scripts.loaded(Duration::from_secs(60)));
    let (after, took) = (held(), began.elapsed());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(scripts.status().iter().all(|(_, status)| status.state == ScriptState::Running));
    assert!(took < Duration::from_secs(30), "{took:?}");
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)) as u64;
    assert!(after.threads <= before.threads + 256 + cores + 8, "{before:?} {after:?}");
    assert!(after.kib <= before.kib + 1000 * 700, "{before:?} {after:?}");
    core.runtime.block_on(scripts.stop(Duration::from_secs(20)));
    assert!(held().threads <= before.threads + 8, "{before:?} {:?}", held());
}

#[test]
fn on_a_shared_thread_a_script_delays_others_by_its_limit_at_the_most() {
    let _alone = crate::alone();
    let (folder, mut core) = (tempfile::tempdir().expect("a folder"), Core::new());
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let tick = |n: usize| {
        let source = format!(
            r#"timer.every("100ms", function(t)
                pua.send_publish {{ presentity_uri = "sip:{n}@example.com", event = "presence", body = "{n} " .. t.lateness + 0.1 * t.missed }}
            end)"#
        );
        spec(&folder, &format!("tick{n}"), &source)
    };
    let mut specs: Vec<_> = (0..2 * cores).map(tick).collect();
    let mut spin = spec(
        &folder,
        "spin",
        "timer.every('2s', function() pcall(function() while true do end end) end, { immediate = true })",
    );
    spin.limits.cpu = Duration::from_millis(500);
    specs.insert(0, spin);
    let how = How { own_threads: 0, ..How::default() };
    let scripts = Scripts::start_as(how, specs, &core.handle);
    let mut late = vec![Vec::new(); 2 * cores];
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        for said in core.said(Duration::from_millis(5)) {
            let (n, lateness) = said.split_once(' ').expect("two words");
            let lateness: f64 = lateness.parse().expect("a number");
            late[n.parse::<usize>().expect("a number")].push(lateness);
        }
    }
    let status = scripts.status();
    let spinner = &status.iter().find(|(name, _)| **name == *"spin").expect("there").1;
    let error = spinner.last_error.as_ref().expect("stopped");
    assert!(error.message.contains("more than 500ms of CPU"), "{error}");
    assert!(spinner.kills >= 2);
    let worst = |late: &Vec<f64>| late.iter().copied().fold(0.0, f64::max);
    let worst: Vec<f64> = late.iter().map(worst).collect();
    assert!(late.iter().all(|late| late.len() >= 10), "all run: {late:?}");
    // One of the threads is the spinner's. On a machine that is busy, its CPU takes longer.
    assert!(worst.iter().any(|worst| *worst > 0.3), "somebody shares its thread: {worst:?}");
    assert!(worst.iter().all(|worst| *worst < 1.5), "{worst:?}");
    core.runtime.block_on(scripts.stop(Duration::from_secs(5)));
}

fn spec(folder: &tempfile::TempDir, name: &str, source: &str) -> ScriptSpec {
    ScriptSpec {
        name: name.into(),
        path: folder.path().join(format!("{name}.lua")),
        source: source.into(),
        config: toml::Table::new(),
        config_dir: folder.path().into(),
        lib_dirs: Vec::new(),
        allow: Permissions::default(),
        limits: Limits::default(),
    }
}

#[derive(Debug)]
struct Held {
    threads: u64,
    kib: u64,
}

/// What this process holds.
fn held() -> Held {
    let me = procfs::process::Process::myself().expect("/proc");
    let status = me.status().expect("readable");
    Held { threads: status.threads, kib: status.vmrss.expect("known") }
}
