//! Runaway and bomb programs: each is stopped, and nobody beside it notices.
//!
//! Every program runs as a handler of a script of its own at the limits that scripts have unless
//! something else is configured, two at a time. CPU is what the system has counted for the script's
//! thread, so that a busy machine changes nothing; only the neighbour's timer looks at the wall.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use puad::script::{Limits, Permissions, Problem, ScriptSpec, ScriptState, Scripts, Status};

use crate::core::Core;

mod programs;

use programs::{End, PROGRAMS, Program};

#[test]
fn every_runaway_program_is_stopped_and_its_neighbour_does_not_notice() {
    let _alone = crate::alone();
    assert!(PROGRAMS.len() >= 53);
    let only = std::env::var("PUAD_PROGRAM").ok();
    let wanted: Vec<_> = PROGRAMS
        .iter()
        .filter(|program| only.as_ref().is_none_or(|only| program.name.contains(only.as_str())))
        .collect();
    let before = resident();
    let (highest, done) = (AtomicU64::new(before), AtomicBool::new(false));
    let (failures, left) = (Mutex::new(Vec::new()), Mutex::new(wanted.into_iter()));
    let lateness = std::thread::scope(|scope| {
        let (failures, left, highest, done) = (&failures, &left, &highest, &done);
        let neighbour = scope.spawn(|| Neighbour::start().watch(done));
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                highest.fetch_max(resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let run = || loop {
            let Some(program) = left.lock().expect("whole").next() else { return };
            match std::panic::catch_unwind(|| try_program(program)) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => failures.lock().expect("whole").push((program.name, why)),
                Err(_) => failures.lock().expect("whole").push((program.name, "panicked".into())),
            }
        };
        let runners = [scope.spawn(run), scope.spawn(run)];
        for runner in runners {
            runner.join().expect("caught");
        }
        done.store(true, Ordering::Relaxed);
        neighbour.join().expect("it lives")
    });
    let failures = failures.into_inner().expect("whole");
    let shown: Vec<_> = failures.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(failures.is_empty(), "{} programs:\n{}", failures.len(), shown.join("\n"));
    let (late, runs) = (median(&lateness), lateness.len());
    eprintln!("neighbour: {runs} runs, median lateness {late:?}");
    assert!(late <= Duration::from_millis(50), "the neighbour's timer is {late:?} late");
    let grown = (highest.into_inner() - before) / 1024;
    eprintln!("grown by {grown} MiB");
    assert!(grown <= MOST_GROWN, "the process has grown by {grown} MiB");
}

/// Runs one program in a handler and looks at what is left.
fn try_program(program: &Program) -> Result<(), String> {
    let number = PROGRAMS.iter().position(|other| other.name == program.name).expect("listed");
    let mut house = Cell::start(number, program);
    let limit = Limits::default().cpu;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut ended = false;
    let problem = loop {
        for said in house.said() {
            ended |= said == "ended";
        }
        let status = house.status();
        if status.state == ScriptState::Failed {
            return Err(format!("the script does not run: {:?}", status.last_error));
        }
        if let Some(problem) = status.last_error {
            break Some(problem);
        }
        if ended {
            break None;
        }
        if Instant::now() > deadline {
            // Its thread cannot be ended, nor waited for.
            std::mem::forget(house);
            return Err("it is not stopped within 30 s".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let used = house.cpu();
    let kind = match &problem {
        None => End::Bounded,
        Some(problem) => kind_of(problem),
    };
    eprintln!(
        "{:40} {used:>12?} {kind:?} {}",
        program.name,
        problem.as_ref().map_or("", |p| &p.message)
    );
    if used > 2 * limit {
        return Err(format!("it used {used:?} of CPU"));
    }
    if !program.ends.contains(&kind) {
        return Err(format!("it ended as {kind:?}: {problem:?}"));
    }
    if let Some(problem) = &problem {
        // Which line is chance where a limit strikes; the file may be that of a module.
        let place = format!("{}/", house.folder_name());
        let line = problem.message.strip_prefix(&place).and_then(|rest| rest.split(':').nth(1));
        if line.is_none_or(|line| line.parse::<u32>().is_err())
            || !problem.trace.contains(&format!("{place}p{number}.lua:"))
        {
            return Err(format!("the message does not say where: {problem:?}"));
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    // A bomb of tasks may have put it on hold, which is as good.
    while !house.said().iter().any(|said| said == "alive")
        && house.status().state != ScriptState::Hold
    {
        if Instant::now() > deadline {
            return Err(format!("the VM is not usable any more: {:?}", house.status()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn kind_of(problem: &Problem) -> End {
    let says = |text: &str| problem.message.contains(text);
    match problem.killed {
        true if says("limits.cpu") => End::Cpu,
        true if says("limits.memory") => End::Memory,
        true if says("stack overflow") => End::Stack,
        true => End::Other,
        false => End::Error,
    }
}

/// One script in a set of its own.
struct Cell {
    folder: tempfile::TempDir,
    number: usize,
    scripts: Option<Scripts>,
    core: Core,
}

impl Cell {
    fn start(number: usize, program: &Program) -> Self {
        let source = format!(
            r#"local function run() {} end
            timer.after(0.02, function()
                run()
                pua.send_publish {{ presentity_uri = "sip:a@example.com", event = "presence", id = "end", body = "ended" }}
            end)
            timer.every("100ms", function()
                local t = {{}}
                for i = 1, 1000 do t[i] = string.rep("x", 1000) .. i end
                assert(#table.concat(t) > 1e6 and not pcall(error) and coroutine.wrap(function() return true end)())
                pua.send_publish {{ presentity_uri = "sip:a@example.com", event = "presence", id = "probe", body = "alive" }}
            end)"#,
            program.source
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("itself.lua"), "return require 'itself'")
            .expect("written");
        let spec = spec(&folder, &format!("p{number}"), source);
        let core = Core::new();
        let scripts = Some(Scripts::start(vec![spec], &core.handle));
        Self { folder, number, scripts, core }
    }

    fn folder_name(&self) -> String {
        self.folder.path().file_name().expect("named").to_string_lossy().into_owned()
    }

    fn status(&self) -> Status {
        self.scripts.as_ref().expect("running").status()[0].1.clone()
    }

    fn said(&mut self) -> Vec<String> {
        self.core.said(Duration::from_millis(1))
    }

    /// CPU time of the script's thread.
    fn cpu(&self) -> Duration {
        let name = format!("lua p{}", self.number);
        let me = procfs::process::Process::myself().expect("/proc");
        for task in me.tasks().expect("readable").flatten() {
            let path = format!("/proc/self/task/{}", task.tid);
            let comm = std::fs::read_to_string(format!("{path}/comm")).unwrap_or_default();
            if comm.trim() == name {
                let schedstat = std::fs::read_to_string(format!("{path}/schedstat"));
                let text = schedstat.expect("readable");
                let nanos = text.split(' ').next().expect("a field").parse().expect("a number");
                return Duration::from_nanos(nanos);
            }
        }
        panic!("the script has no thread any more");
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some(scripts) = self.scripts.take() {
            self.core.runtime.block_on(scripts.stop(Duration::from_secs(5)));
        }
    }
}

/// A script that has nothing to do with all this.
struct Neighbour {
    _folder: tempfile::TempDir,
    scripts: Option<Scripts>,
    core: Core,
}

impl Neighbour {
    fn start() -> Self {
        let source = r#"timer.every("100ms", function(t)
            pua.send_publish { presentity_uri = "sip:n@example.com", event = "presence", body = tostring(t.lateness + 0.1 * t.missed) }
        end)"#;
        let folder = tempfile::tempdir().expect("a folder");
        let core = Core::new();
        let scripts = vec![spec(&folder, "neighbour", source.into())];
        let scripts = Some(Scripts::start(scripts, &core.handle));
        Self { _folder: folder, scripts, core }
    }

    /// How late its timer was at each run.
    fn watch(mut self, done: &AtomicBool) -> Vec<Duration> {
        let mut late = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let said = self.core.said(Duration::from_millis(1));
            late.extend(
                said.iter().map(|said| Duration::from_secs_f64(said.parse().expect("a number"))),
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(scripts) = self.scripts.take() {
            self.core.runtime.block_on(scripts.stop(Duration::from_secs(5)));
        }
        late
    }
}

fn spec(folder: &tempfile::TempDir, name: &str, source: String) -> ScriptSpec {
    ScriptSpec {
        name: name.into(),
        path: folder.path().join(format!("{name}.lua")),
        source,
        config: toml::Table::new(),
        config_dir: folder.path().into(),
        lib_dirs: Vec::new(),
        allow: Permissions::default(),
        limits: Limits::default(),
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or(Duration::MAX)
}

/// Memory of this process in KiB.
fn resident() -> u64 {
    let me = procfs::process::Process::myself().expect("/proc");
    me.status().expect("readable").vmrss.expect("known")
}

/// Two heaps at a time, and what the host keeps beside them: documents on their way, texts of calls.
const MOST_GROWN: u64 = 320;
