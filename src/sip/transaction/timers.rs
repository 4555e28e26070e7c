//! The base timers and those derived from them (3261 App. A).

use std::time::Duration;

/// T1, T2 and T4; everything else scales with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Estimate of the round trip, 500 ms.
    pub t1: Duration,
    /// Cap of the retransmission interval, 4 s.
    pub t2: Duration,
    /// How long a message stays in the network, 5 s.
    pub t4: Duration,
}

impl Timing {
    /// Timer F, and J on unreliable transports: 64·T1, whatever T1 is.
    pub fn timer_f(&self) -> Duration {
        self.t1 * 64
    }

    /// When a 100 may go out on UDP: the moment the peer's Timer E reaches T2 (4320 §4.1).
    pub fn trying_gate(&self) -> Duration {
        self.t1 * 7
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}
