//! Server side of a non-INVITE transaction (3261 §17.2.2; 4320).
//!
//! Answers repeats with the same bytes. Finding the transaction of a request,
//! and what to answer, is the business of [`uas`](super::super::uas).

use std::time::Instant;

use bytes::Bytes;

use super::Timing;
use crate::sip::{
    io::{Deadline, Timer},
    message::mask::Kept,
};

/// One request that was received.
#[derive(Debug)]
pub struct ServerTransaction {
    state: State,
    reliable: bool,
}

/// Figure 8 of RFC 3261, with the gate of RFC 4320 §4.1 on the way to Proceeding:
///
/// ```text
///   Trying ──3.5 s: 100──▶ Proceeding ──final──▶ Completed ──J──▶ Terminated
///     └─────────final─────────────────────────────▲
/// ```
#[derive(Debug)]
enum State {
    Trying { gate: Instant, give_up: Instant },
    Proceeding { trying: Kept, give_up: Instant },
    Completed { response: Kept, j: Instant },
    Terminated,
}

/// What the owner of a transaction should do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes.
    Send(Bytes),
    /// The gate of 3.5 s has passed without an answer: send a 100 and hand its bytes back by
    /// [`ServerTransaction::trying_sent`].
    SendTrying,
}

impl ServerTransaction {
    /// Starts a transaction for a request that just arrived.
    pub fn new(now: Instant, reliable: bool, timing: &Timing) -> Self {
        let state =
            State::Trying { gate: now + timing.trying_gate(), give_up: now + timing.timer_f() };
        Self { state, reliable }
    }

    /// Takes the final response; a second one is discarded, and so is one that comes when the
    /// peer has given up (4320 §4.2).
    pub fn respond(&mut self, now: Instant, response: Bytes, timing: &Timing) -> Option<Action> {
        match &self.state {
            State::Trying { give_up, .. } | State::Proceeding { give_up, .. }
                if *give_up <= now =>
            {
                self.state = State::Terminated;
                None
            }
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Completed { response: Kept(response.clone()), j: now + timing.timer_f() }
                };
                Some(Action::Send(response))
            }
            State::Completed { .. } | State::Terminated => None,
        }
    }

    /// Notes the bytes of the 100 that was sent.
    pub fn trying_sent(&mut self, trying: Bytes) {
        if let State::Trying { give_up, .. } = self.state {
            self.state = State::Proceeding { trying: Kept(trying), give_up };
        }
    }

    /// Takes a repeat of the request.
    pub fn handle_repeat(&self) -> Option<Action> {
        match &self.state {
            State::Trying { .. } | State::Terminated => None,
            State::Proceeding { trying, .. } => Some(Action::Send(trying.0.clone())),
            State::Completed { response, .. } => Some(Action::Send(response.0.clone())),
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Action> {
        match &self.state {
            State::Trying { gate, .. } if *gate <= now => Some(Action::SendTrying),
            State::Proceeding { give_up, .. } if *give_up <= now => {
                self.state = State::Terminated;
                None
            }
            State::Completed { j, .. } if *j <= now => {
                self.state = State::Terminated;
                None
            }
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => None,
        }
    }

    /// Returns the next deadline.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        match &self.state {
            State::Trying { gate, .. } => Some(Deadline { at: *gate, timer: Timer::Trying }),
            State::Proceeding { give_up, .. } => Some(Deadline { at: *give_up, timer: Timer::J }),
            State::Completed { j, .. } => Some(Deadline { at: *j, timer: Timer::J }),
            State::Terminated => None,
        }
    }

    /// Returns whether nothing is left to do.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
