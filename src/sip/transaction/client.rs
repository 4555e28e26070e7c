//! Client side of a non-INVITE transaction (3261 §17.1.2).
//!
//! Retransmits and times out. Choosing a next hop and answering challenges
//! is the business of [`request`](super::super::request).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Timing;
use crate::sip::{
    io::{Deadline, Timer},
    message::mask::Kept,
};

/// One request on its way to one hop.
#[derive(Debug)]
pub struct ClientTransaction {
    state: State,
}

/// Figure 6 of RFC 3261:
///
/// ```text
///   Trying ──1xx──▶ Proceeding ──200-699──▶ Completed ──K──▶ Terminated
///     │  └──────────200-699──────────────────▲   │
///     └──F or transport error──▶ Terminated ◀────┘ (K is zero on reliable transports)
/// ```
#[derive(Debug)]
enum State {
    Trying {
        message: Kept,
        e: Option<TimerE>,
        f: Instant,
    },
    Proceeding {
        message: Kept,
        e: Option<TimerE>,
        f: Instant,
    },
    /// The connection has closed in order; the answer may still come on another one (3261 §18.1.2).
    Orphaned {
        until: Instant,
    },
    Completed {
        k: Instant,
    },
    Terminated,
}

/// Retransmission; absent on reliable transports.
#[derive(Debug, Clone, Copy)]
struct TimerE {
    at: Instant,
    interval: Duration,
}

/// What the owner of a transaction should do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes again, to the same place.
    Retransmit(Bytes),
    /// A final response came for the first time: take it up.
    Final,
    /// Timer F: no final response in time. Whether there was a 1xx decides about other hops.
    TimedOut { provisional: bool },
    /// The connection closed and no answer came by another way.
    Lost,
    /// Nothing is left of the transaction: forget it.
    Forget,
}

impl ClientTransaction {
    /// Starts a transaction whose first transmission goes out now.
    pub fn new(now: Instant, message: Bytes, reliable: bool, timing: &Timing) -> Self {
        let e = (!reliable).then(|| TimerE { at: now + timing.t1, interval: timing.t1 });
        Self { state: State::Trying { message: Kept(message), e, f: now + timing.timer_f() } }
    }

    /// Takes a response that matches this transaction.
    pub fn handle_response(
        &mut self,
        now: Instant,
        code: u16,
        reliable: bool,
        timing: &Timing,
    ) -> Option<Action> {
        match (&mut self.state, code) {
            // A running Timer E goes on; only its next interval changes (3261 §17.1.2.2).
            (State::Trying { message, e, f }, 100..=199) => {
                self.state = State::Proceeding { message: std::mem::take(message), e: *e, f: *f };
                None
            }
            (State::Proceeding { .. } | State::Orphaned { .. }, 100..=199) => None,
            (State::Trying { .. } | State::Proceeding { .. } | State::Orphaned { .. }, _) => {
                self.state = if reliable {
                    State::Terminated
                } else {
                    State::Completed { k: now + timing.t4 }
                };
                Some(Action::Final)
            }
            // Repeats are absorbed.
            (State::Completed { .. } | State::Terminated, _) => None,
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant, timing: &Timing) -> Option<Action> {
        match &mut self.state {
            State::Trying { f, .. } if *f <= now => {
                self.state = State::Terminated;
                Some(Action::TimedOut { provisional: false })
            }
            State::Proceeding { f, .. } if *f <= now => {
                self.state = State::Terminated;
                Some(Action::TimedOut { provisional: true })
            }
            State::Trying { message, e: Some(e), .. } if e.at <= now => {
                e.interval = (e.interval * 2).min(timing.t2);
                e.advance(now);
                Some(Action::Retransmit(message.0.clone()))
            }
            State::Proceeding { message, e: Some(e), .. } if e.at <= now => {
                e.interval = timing.t2;
                e.advance(now);
                Some(Action::Retransmit(message.0.clone()))
            }
            State::Orphaned { until } if *until <= now => {
                self.state = State::Terminated;
                Some(Action::Lost)
            }
            State::Completed { k } if *k <= now => {
                self.state = State::Terminated;
                Some(Action::Forget)
            }
            State::Terminated => Some(Action::Forget),
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Orphaned { .. }
            | State::Completed { .. } => None,
        }
    }

    /// The connection closed in order: waits a little for the answer to come another way.
    pub fn handle_closed(&mut self, now: Instant, timing: &Timing) {
        match &self.state {
            State::Trying { f, .. } | State::Proceeding { f, .. } => {
                self.state = State::Orphaned { until: (now + timing.t1 * 4).min(*f) };
            }
            State::Orphaned { .. } | State::Completed { .. } | State::Terminated => {}
        }
    }

    /// Returns the next deadline.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        match &self.state {
            State::Trying { e, f, .. } | State::Proceeding { e, f, .. } => Some(match e {
                Some(e) if e.at < *f => Deadline { at: e.at, timer: Timer::E },
                Some(_) | None => Deadline { at: *f, timer: Timer::F },
            }),
            State::Orphaned { until } => Some(Deadline { at: *until, timer: Timer::F }),
            State::Completed { k } => Some(Deadline { at: *k, timer: Timer::K }),
            State::Terminated => None,
        }
    }

    /// Returns whether a final response is still awaited.
    pub fn is_waiting(&self) -> bool {
        matches!(
            self.state,
            State::Trying { .. } | State::Proceeding { .. } | State::Orphaned { .. }
        )
    }

    /// Returns whether nothing is left to do.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

impl TimerE {
    /// Moves on from the scheduled instant, so that lateness does not add up; after a long sleep
    /// of the machine from now, so that missed firings do not come in a burst.
    fn advance(&mut self, now: Instant) {
        self.at += self.interval;
        if self.at <= now {
            self.at = now + self.interval;
        }
    }
}
