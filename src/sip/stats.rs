//! Plain counters, incremented in the core and shown outside.

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
}
