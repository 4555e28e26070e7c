//! Those who wait for the server's word, and what they hear.
//!
//! What is sent for them, and when, is left to [`turns`](super::turns).

use std::time::{Duration, Instant};

use super::Publications;
use crate::{
    command::{Cause, Failure, FailureKind, Published, Reply},
    sip::{
        io::{Output, Ticket},
        publication::{Next, State, Why},
        wire::Wire,
    },
};

/// Those who wait for one publication. There may be thousands, so none is looked at in vain.
#[derive(Debug, Default)]
pub(super) struct Callers {
    list: Vec<Caller>,
    /// When the first loses patience.
    pub(super) earliest: Option<Instant>,
}

impl Callers {
    fn push(&mut self, caller: Caller) {
        self.earliest = Some(self.earliest.map_or(caller.until, |at| at.min(caller.until)));
        self.list.push(caller);
    }

    /// Takes out whom a rule names.
    pub(super) fn take(&mut self, is_taken: impl Fn(&Caller) -> bool) -> Vec<Caller> {
        let (taken, left) = std::mem::take(&mut self.list).into_iter().partition(is_taken);
        self.list = left;
        self.earliest = self.list.iter().map(|caller| caller.until).min();
        taken
    }
}

/// Somebody waiting for the server's word.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) ticket: Ticket,
    revision: u32,
    until: Instant,
}

impl Publications {
    pub(super) fn admit(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        at: usize,
        timeout: Option<Duration>,
        next: Next,
    ) -> Result<Option<Published>, Failure> {
        let patience = timeout.unwrap_or(wire.timing.timer_f() + Duration::from_secs(3));
        if let Some(failure) = self.entries[at].publication.back_off(now) {
            let failure = self.entries[at].publication.describe(&failure);
            self.schedule(wire, at);
            return Err(failure);
        }
        self.follow(wire, at, next);
        let entry = &mut self.entries[at];
        let is_held_back = match &entry.publication.state {
            State::Waiting { why: Why::Interval, .. } => true,
            State::InFlight { sent, .. } if sent.revision < entry.publication.revision => {
                entry.publication.interval_end(now).is_some()
            }
            State::Due { .. }
            | State::InFlight { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { why: Why::BackOff, .. }
            | State::Failed { .. } => false,
        };
        if is_held_back {
            self.schedule(wire, at);
            return Ok(Some(self.entries[at].publication.published(false)));
        }
        let revision = entry.publication.revision;
        entry.callers.push(Caller { ticket, revision, until: now + patience });
        self.schedule(wire, at);
        Ok(None)
    }

    pub(super) fn satisfy_callers(&mut self, wire: &mut Wire, at: usize, revision: u32) {
        let done = self.entries[at].callers.take(|caller| caller.revision <= revision);
        if done.is_empty() {
            return;
        }
        let published = self.entries[at].publication.published(true);
        for caller in done {
            reply(wire, caller.ticket, Ok(published.clone()));
        }
    }

    pub(super) fn fail_callers(&mut self, wire: &mut Wire, at: usize, failure: &Failure) {
        self.fail_callers_up_to(wire, at, failure, u32::MAX);
    }

    pub(super) fn fail_callers_up_to(
        &mut self,
        wire: &mut Wire,
        at: usize,
        failure: &Failure,
        revision: u32,
    ) {
        for caller in self.entries[at].callers.take(|caller| caller.revision <= revision) {
            reply(wire, caller.ticket, Err(failure.clone()));
        }
    }

    /// Answers callers whose patience is over; their request goes on.
    pub(super) fn expire_callers(&mut self, now: Instant, wire: &mut Wire, at: usize) {
        let callers = &mut self.entries[at].callers;
        if callers.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        for caller in callers.take(|caller| caller.until <= now) {
            let (cause, what) = match &self.entries[at].publication.state {
                State::InFlight { sent, .. } if caller.revision <= sent.revision => {
                    (Cause::TimerF, "the server has not answered yet")
                }
                State::InFlight { .. } | State::Due { .. } => {
                    (Cause::Lane, "another PUBLISH to the same Request-URI or server is under way")
                }
                State::Published { .. }
                | State::Untagged { .. }
                | State::Waiting { .. }
                | State::Failed { .. } => (Cause::Waiting, "the next attempt is not due yet"),
            };
            let message = format!("{what}; it goes on without the caller");
            let failure = Failure {
                retrying: true,
                cause: Some(cause),
                ..Failure::new(FailureKind::Timeout, message)
            };
            let failure = self.entries[at].publication.describe(&failure);
            reply(wire, caller.ticket, Err(failure));
        }
    }
}

pub(super) fn reply(wire: &mut Wire, ticket: Ticket, result: Result<Published, Failure>) {
    wire.outputs.push_back(Output::Reply { ticket, outcome: Reply::Publication(result) });
}
