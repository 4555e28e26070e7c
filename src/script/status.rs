//! Where scripts stand, as `puad ls`, `puad check` and the metrics show it.
//!
//! Two hands write it: the keeper of a script says which version runs and why no newer one does;
//! the thread of that version says how it is.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::Problem;

/// Where a script stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Its file.
    pub file: PathBuf,
    /// Whether it runs.
    pub state: ScriptState,
    /// Counts the versions that have run, from 1.
    pub generation: u64,
    /// Errors in handlers so far, those of earlier versions included.
    pub errors: u64,
    /// Activities that a limit has ended so far, those of earlier versions included.
    pub kills: u64,
    /// Versions that could not take over.
    pub reload_failures: u64,
    /// Why it does not run, or not in its newest version; else the last error of a handler.
    pub last_error: Option<Problem>,
    /// What a check did not do, where an activity ended for it.
    pub not_done: Option<&'static str>,
    /// Heap in bytes, as of the last handler.
    pub memory: usize,
    /// Publications that it has declared, as of then.
    pub publications: usize,
    /// Timers that are set, as of then.
    pub timers: usize,
    /// Watches that are open, as of then.
    pub watches: usize,
}

/// One timer, as `puad ls timers` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TimerInfo {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How it was made: `every`, `after`, `at` or `cron`.
    pub kind: &'static str,
    /// When it fires, in words.
    pub schedule: String,
    /// When it fires next, in UNIX seconds.
    pub next: Option<f64>,
    /// How often it has run.
    pub runs: u64,
    /// Firings that did not lead to a run.
    pub missed: u64,
    /// Whether its handler is at work.
    pub running: bool,
}

/// Whether a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ScriptState {
    /// Its first version's top level has not ended yet.
    #[default]
    Starting,
    /// Its top level has ended well; handlers run.
    Running,
    /// It runs in an older version, since the newest one cannot.
    Stale,
    /// Its handlers rest, since limits had to end too many of them.
    Hold,
    /// It does not run: it could not be compiled, its top level failed, or its file is gone.
    Failed,
}

impl ScriptState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Running, Self::Stale, Self::Hold, Self::Failed];

    /// Returns the text that lists show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stale => "stale",
            Self::Hold => "hold",
            Self::Failed => "failed",
        }
    }
}

/// How one version is; written by its thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Vitals {
    pub(super) errors: u64,
    pub(super) kills: u64,
    pub(super) last_error: Option<Problem>,
    pub(super) not_done: Option<&'static str>,
    pub(super) is_held: bool,
    pub(super) memory: usize,
    pub(super) publications: usize,
    pub(super) timers: usize,
    pub(super) watches: usize,
}

/// Which version runs; written by the keeper.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) file: PathBuf,
    pub(super) state: ScriptState,
    pub(super) generation: u64,
    /// Why it is stale or failed.
    pub(super) problem: Option<Problem>,
    pub(super) reload_failures: u64,
    /// Of versions that have ended.
    pub(super) past: Vitals,
    pub(super) vitals: Arc<Mutex<Vitals>>,
}

impl Standing {
    /// Returns what is shown.
    pub(super) fn status(&self) -> Status {
        let mut vitals = self.vitals.lock().map(|vitals| vitals.clone()).unwrap_or_default();
        if self.state == ScriptState::Failed {
            // Nothing of it is there any more but what it has counted.
            let Vitals { errors, kills, last_error, .. } = vitals;
            vitals = Vitals { errors, kills, last_error, ..Vitals::default() };
        }
        let state = match self.state {
            ScriptState::Failed => ScriptState::Failed,
            _ if vitals.is_held => ScriptState::Hold,
            state => state,
        };
        Status {
            file: self.file.clone(),
            state,
            generation: self.generation,
            errors: self.past.errors + vitals.errors,
            kills: self.past.kills + vitals.kills,
            reload_failures: self.reload_failures,
            last_error: self.problem.clone().or(vitals.last_error),
            not_done: vitals.not_done,
            memory: vitals.memory,
            publications: vitals.publications,
            timers: vitals.timers,
            watches: vitals.watches,
        }
    }

    /// Counts on from a version that ends.
    pub(super) fn follow(&mut self, vitals: Arc<Mutex<Vitals>>) {
        if let Ok(ended) = self.vitals.lock() {
            self.past.errors += ended.errors;
            self.past.kills += ended.kills;
        }
        self.vitals = vitals;
    }
}

/// Every script's standing, by name.
pub(super) type Book = Arc<Mutex<BTreeMap<Arc<str>, Arc<Mutex<Standing>>>>>;
