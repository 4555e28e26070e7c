//! Plain counters, incremented in the core and shown outside.

use std::collections::BTreeMap;

use crate::command::{FailureKind, Owner, PublicationState};

/// What has happened since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent first-hand, retries with a new branch included.
    pub requests: u64,
    /// Retransmissions of requests.
    pub retransmissions: u64,
    /// Responses that ended a transaction.
    pub answers: u64,
    /// Responses that fitted nothing, had a foreign sent-by or more than one Via.
    pub stray_responses: u64,
    /// Requests received, repeats included.
    pub incoming: u64,
    /// Repeats of requests, answered from memory or swallowed.
    pub repeats: u64,
    /// Requests refused because their source asks too often.
    pub over_rate: u64,
    /// Bytes that were no SIP: keep-alives, STUN, noise.
    pub noise: u64,
    /// Messages that were dropped as malformed.
    pub malformed: u64,
    /// Challenges that were not answered.
    pub challenges_refused: u64,
    /// Connections closed by a limit.
    pub connections_limited: u64,
    /// Attempts to publish that failed.
    pub publish_failures: u64,
    /// PUBLISH requests that have ended, by operation (`initial refresh modify remove`) and end.
    pub publishes: BTreeMap<(&'static str, PublishEnd), u64>,
}

/// How a PUBLISH ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublishEnd {
    /// With a final response.
    Answered(u16),
    /// Without one.
    Failed(FailureKind),
}

/// The counters, and what there is at this moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What has happened since the start.
    pub stats: Stats,
    /// Publications by event package and state.
    pub publications: BTreeMap<(String, PublicationState), u64>,
    /// Publications by owner.
    pub owners: BTreeMap<Owner, u64>,
}
