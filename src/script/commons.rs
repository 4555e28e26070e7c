//! What scripts have in common and what outlives one version of a script.
//!
//! Made once for a set of scripts, before the first of them starts.

use super::kv::Spaces;
use crate::observe::metrics::Registry;

/// Shared by every script, from whichever thread.
#[derive(Debug, Default)]
pub(super) struct Commons {
    pub(super) kv: Spaces,
    pub(super) metrics: Registry,
}
