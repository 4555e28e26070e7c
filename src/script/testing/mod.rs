//! Tests of scripts: `*_test.lua` files, played on virtual time with a server that is made up.
//!
//! Each case has a VM, a folder, a server and a clock of its own, all on one thread whose runtime
//! leaps over time in which nothing is to be done. What cases call is in
//! [`api::test`](super::api::test); how results are shown is left to [`cli`](crate::cli).

mod fakes;
mod log;
mod server;
mod world;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::{Problem, read_source};

pub(super) use fakes::{Asked, Failed, Fakes, Outside};
pub(super) use server::{Answer, Operation, Request};
pub(super) use world::{Load, World};
use world::{Played, Wanted, play};

/// What came of one file.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Its cases in their order; those that were not wanted are left out.
    pub cases: Vec<Case>,
    /// Why there are none: the file cannot be read, or its top level fails.
    pub broken: Option<Problem>,
}

/// What came of one case.
#[derive(Debug)]
pub struct Case {
    /// What the file calls it.
    pub name: String,
    /// How long it took in the time of the machine.
    pub took: Duration,
    /// What went wrong, if something did.
    pub result: Result<(), Problem>,
    /// What scripts and puad logged meanwhile.
    pub log: String,
}

/// A file of tests that has been read.
#[derive(Debug)]
struct TestFile {
    path: PathBuf,
    source: String,
}

/// Runs the cases of these files whose names hold `filter`, some files at a time; each report is
/// told in the order of the files.
pub fn run(files: &[PathBuf], filter: Option<&str>, mut told: impl FnMut(Report)) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let (sender, reports) = mpsc::channel();
    std::thread::scope(|scope| {
        for number in 0..cores.min(files.len()) {
            let (sender, next) = (sender.clone(), &next);
            let work = move || loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = files.get(at) else { return };
                let _ = sender.send((at, run_file(path, filter)));
            };
            let builder = std::thread::Builder::new().name(format!("test {number}"));
            if let Err(error) = builder.stack_size(STACK).spawn_scoped(scope, work) {
                // Those that there are do all the work.
                tracing::warn!(%error, "no thread for tests");
            }
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        for due in 0..files.len() {
            while !waiting.contains_key(&due) {
                // Without an answer a thread has panicked, or there is none.
                let Ok((at, report)) = reports.recv() else { return };
                waiting.insert(at, report);
            }
            waiting.remove(&due).into_iter().for_each(&mut told);
        }
    });
}

/// Runs the cases of one file.
fn run_file(path: &Path, filter: Option<&str>) -> Report {
    let broken = |problem| Report { path: path.into(), cases: Vec::new(), broken: Some(problem) };
    let source = match read_source(path) {
        Ok(source) => source,
        Err((line, message)) => {
            let line = line.map_or(String::new(), |line| format!(":{line}"));
            return broken(Problem::new(format!("{}{line}: {message}", path.display())));
        }
    };
    let file = TestFile { path: path.into(), source };
    let names = match play(&file, Wanted::Names) {
        Played { result: Ok(()), names, .. } => names,
        Played { result: Err(problem), .. } => return broken(problem),
    };
    let is_wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let cases = names.into_iter().enumerate().filter(|(_, name)| is_wanted(name));
    let cases = cases.map(|(number, name)| {
        let began = Instant::now();
        let Played { result, log, .. } = play(&file, Wanted::Case(number));
        Case { name, took: began.elapsed(), result, log }
    });
    Report { path: path.into(), cases: cases.collect(), broken: None }
}

/// As much as the thread of a script has, and room for what plays it.
const STACK: usize = 4 * 1024 * 1024;
