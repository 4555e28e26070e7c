//! What scripts have in common and what outlives one version of a script.
//!
//! Made once for a set of scripts, before the first of them starts.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{kv::Spaces, machine::Machine, processes::Processes, tls::Trust};
use crate::observe::metrics::Registry;

/// Shared by every script, from whichever thread.
#[derive(Debug)]
pub(super) struct Commons {
    pub(super) kv: Spaces,
    pub(super) machine: Machine,
    pub(super) metrics: Registry,
    /// Whom connections trust.
    pub(super) trust: Trust,
    /// Programs that run.
    pub(super) processes: Arc<Processes>,
    /// Places for threads that ask the system what it may never answer.
    pub(super) aside: Arc<Semaphore>,
}

impl Commons {
    /// Threads that may wait for the system at a time.
    pub(super) const MOST_ASIDE: usize = 32;
}

impl Default for Commons {
    fn default() -> Self {
        Self {
            kv: Spaces::default(),
            machine: Machine::default(),
            metrics: Registry::default(),
            trust: Trust::default(),
            processes: Arc::default(),
            aside: Arc::new(Semaphore::new(Self::MOST_ASIDE)),
        }
    }
}
