//! `puad test`: runs scripts' own tests and says what came of them.

use std::path::{Path, PathBuf};

use super::{Ended, exit, junit, print};
use crate::script::testing::{self, Case, Report};

/// Options of `puad test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad test scripts                 # every *_test.lua and *_test.luau below this folder
  puad test cpu_test.lua --filter busy
  puad test scripts --junit report.xml

Each case runs a script in a real VM, with a server and a folder of its own, on virtual time: a day
of timers passes in a moment, and nothing leaves this machine. The script's log is shown for cases
that fail. Exit code 0, 1 when a case failed, 78 when a file cannot be loaded, 64 when there is no case.")]
pub(super) struct Args {
    /// Test files, or folders in which to look for *_test.lua and *_test.luau
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Run only cases whose name contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write the results as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Prints a line per case and a summary.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let mut files = Vec::new();
    for path in &args.paths {
        find(path, &mut files)?;
    }
    for file in &mut files {
        // Said of everything below ".", it says nothing.
        if let Ok(rest) = file.strip_prefix(".") {
            *file = rest.to_owned();
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err(Ended::usage(
            "there is no test: test files are called *_test.lua or *_test.luau",
        ));
    }
    let mut reports = Vec::new();
    let mut printed = Ok(());
    testing::run(&files, args.filter.as_deref(), |report| {
        if printed.is_ok() {
            printed = lines(&report).iter().try_for_each(|line| print(line));
        }
        reports.push(report);
    });
    printed?;
    if reports.len() < files.len() {
        return Err(Ended::new(
            exit::INTERNAL,
            anyhow::Error::msg("a test has brought a thread of puad down"),
        ));
    }
    let cases = || reports.iter().flat_map(|report| &report.cases);
    let failed = cases().filter(|case| case.result.is_err()).count();
    let passed = cases().count() - failed;
    let broken = reports.iter().filter(|report| report.broken.is_some()).count();
    let unread = match broken {
        0 => String::new(),
        1 => ", 1 file cannot be loaded".into(),
        more => format!(", {more} files cannot be loaded"),
    };
    print(&format!("{passed} passed, {failed} failed{unread}"))?;
    if let Some(file) = &args.junit {
        std::fs::write(file, junit::document(&reports)).map_err(|error| {
            let error = anyhow::Error::new(error);
            Ended::new(exit::OTHER, error.context(format!("cannot write {}", file.display())))
        })?;
    }
    if broken > 0 {
        return Ok(exit::CONFIG);
    }
    if passed + failed == 0 {
        return Err(Ended::usage(match &args.filter {
            Some(text) => format!("there is no case whose name contains {text:?}"),
            None => "there is no case: test.case(name, function() … end) makes one".into(),
        }));
    }
    Ok(if failed == 0 { exit::OK } else { exit::OTHER })
}

/// Adds the test files that a path stands for.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Ended> {
    if !path.exists() {
        return Err(Ended::usage(format!("{}: there is no such file or folder", path.display())));
    }
    if !path.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    let unreadable = |error| {
        let error = anyhow::Error::new(error);
        Ended::new(exit::OTHER, error.context(format!("cannot read {}", path.display())))
    };
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link to a folder above would lead round in circles.
        let is_folder = entry.file_type().map_err(unreadable)?.is_dir();
        if is_folder && !name.starts_with('.') {
            find(&entry.path(), files)?;
        } else if !is_folder && is_test(&name) {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn is_test(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with("_test.lua") || name.ends_with("_test.luau"))
}

/// Returns what is printed of one file.
fn lines(report: &Report) -> Vec<String> {
    let file = report.path.display();
    if let Some(problem) = &report.broken {
        return vec![format!("failed {file}: {problem}")];
    }
    report.cases.iter().map(|case| line(&file.to_string(), case)).collect()
}

fn line(file: &str, case: &Case) -> String {
    let Case { name, took, result, log } = case;
    match result {
        Ok(()) => format!("ok {file}: {name} ({} ms)", took.as_millis()),
        Err(problem) => {
            let log: String = log.lines().map(|line| format!("\n    | {line}")).collect();
            format!("failed {file}: {name}\n    {problem}{log}")
        }
    }
}
