//! What stands in for the machine and the world while a script is tested.
//!
//! Shared by the VM of the case, which says what there is, and those of the scripts, which find it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use super::super::{Problem, plain::Plain};

/// Everything that is made up for one case.
#[derive(Debug)]
pub(in crate::script) struct Fakes {
    /// Relative paths of scripts begin here.
    pub(in crate::script) folder: PathBuf,
    /// Answers of `sys`, by function: one after the other, the last one again and again.
    sys: Mutex<BTreeMap<String, VecDeque<Plain>>>,
    /// Scripts whose permissions the case has said nothing about: what is made up does no harm.
    open: Mutex<BTreeSet<Arc<str>>>,
    asked: mpsc::UnboundedSender<Asked>,
    failed: mpsc::UnboundedSender<Failed>,
}

/// What a script asks of the world, and where the answer goes.
#[derive(Debug)]
pub(in crate::script) struct Asked {
    pub(in crate::script) world: Outside,
    pub(in crate::script) question: Plain,
    pub(in crate::script) answer: oneshot::Sender<Result<Plain, String>>,
}

/// Which part of the world is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::script) enum Outside {
    Http,
    Exec,
}

/// A handler of a script that has failed.
#[derive(Debug)]
pub(in crate::script) struct Failed {
    /// Script and handler.
    pub(in crate::script) what: String,
    pub(in crate::script) problem: Problem,
}

impl Fakes {
    /// Makes them; questions that the case answers go to `asked`, failures of handlers to `failed`.
    pub(super) fn new(
        folder: PathBuf,
        asked: mpsc::UnboundedSender<Asked>,
        failed: mpsc::UnboundedSender<Failed>,
    ) -> Self {
        Self { folder, sys: Mutex::default(), open: Mutex::default(), asked, failed }
    }

    /// Lets a script ask whatever the case answers.
    pub(super) fn open(&self, script: Arc<str>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(script);
    }

    /// Returns whether a script may ask whatever the case answers.
    pub(in crate::script) fn is_open(&self, script: &Arc<str>) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(script)
    }

    /// Asks the case. The text says why there is no answer: the fault is the test's, and fails it.
    pub(in crate::script) async fn ask(
        &self,
        script: &str,
        world: Outside,
        question: Plain,
    ) -> Result<Plain, String> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asked.send(Asked { world, question, answer });
        let answered = answered.await.unwrap_or_else(|_| Err("the case has ended".into()));
        if let Err(why) = &answered {
            self.note(script, world.as_str(), &Problem::new(why.as_str()));
        }
        answered
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

impl Outside {
    /// Returns the name of the library that asks it.
    pub(in crate::script) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Exec => "exec",
        }
    }
}
