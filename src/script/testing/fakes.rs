//! What stands in for the machine and the world while a script is tested.
//!
//! Shared by the VM of the case, which says what there is, and those of the scripts, which find it.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::super::{Problem, plain::Plain};

/// Everything that is made up for one case.
#[derive(Debug)]
pub(in crate::script) struct Fakes {
    /// Relative paths of scripts begin here.
    pub(in crate::script) folder: PathBuf,
    /// Answers of `sys`, by function: one after the other, the last one again and again.
    sys: Mutex<BTreeMap<String, VecDeque<Plain>>>,
    failed: mpsc::UnboundedSender<Failed>,
}

/// A handler of a script that has failed.
#[derive(Debug)]
pub(in crate::script) struct Failed {
    /// Script and handler.
    pub(in crate::script) what: String,
    pub(in crate::script) problem: Problem,
}

impl Fakes {
    /// Makes them; failures of handlers go to `failed`.
    pub(super) fn new(folder: PathBuf, failed: mpsc::UnboundedSender<Failed>) -> Self {
        Self { folder, sys: Mutex::default(), failed }
    }

    /// Sets what a function of `sys` answers from now on.
    pub(in crate::script) fn set_sys(&self, name: &str, answers: VecDeque<Plain>) {
        let mut sys = self.sys.lock().unwrap_or_else(PoisonError::into_inner);
        sys.insert(name.to_owned(), answers);
    }

    /// Returns the next answer of a function of `sys`; `None` where nothing was said about it.
    pub(in crate::script) fn sys(&self, name: &str) -> Option<Plain> {
        let mut sys = self.sys.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = sys.get_mut(name)?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }

    /// Takes note of a handler that has failed.
    pub(in crate::script) fn note(&self, script: &str, what: &str, problem: &Problem) {
        let what = format!("script {script}: {what}");
        // A case that has ended does not mind.
        let _ = self.failed.send(Failed { what, problem: problem.clone() });
    }
}
