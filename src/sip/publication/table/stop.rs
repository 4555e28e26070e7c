//! An orderly stop: what asks for it is removed, the rest is let go, and then it is answered.
//!
//! Sending the removals is left to [`turns`](super::turns).

use std::time::{Duration, Instant};

use super::Publications;
use crate::{
    command::{Failure, FailureKind, OnStop, Reply},
    sip::{
        io::{Deadline, Output, Ticket, Timer},
        timers::Whom,
        wire::Wire,
    },
};

#[derive(Debug)]
pub(super) struct Stop {
    /// `None` once it is answered.
    ticket: Option<Ticket>,
    until: Instant,
}

impl Publications {
    /// Orderly stop.
    pub(crate) fn stop(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        limit: Duration,
        remove_all: bool,
    ) {
        let until = now + limit;
        self.answer_stop(wire);
        self.stop = Some(Stop { ticket: Some(ticket), until });
        wire.timers.schedule(
            Whom::Stop,
            Some(Deadline { at: until, timer: Timer::Stop }),
            &mut None,
        );
        let all: Vec<usize> = self.by_key.values().copied().collect();
        for at in all {
            let wanted = &self.entries[at].publication.wanted;
            let is_to_go = remove_all || wanted.on_stop == OnStop::Remove;
            let next = if is_to_go && wanted.maintain {
                // There may be no later attempt.
                self.want_gone(now, at, true)
            } else {
                None
            };
            self.fail_callers(wire, at, &Failure::new(FailureKind::Closed, "puad is stopping"));
            match next {
                Some(next) => self.follow(wire, at, next),
                None => self.end(wire, at, false),
            }
        }
        self.check_stopped(wire);
    }

    /// The limit of an orderly stop has passed.
    pub(crate) fn stop_timeout(&mut self, now: Instant, wire: &mut Wire) {
        if self.stop.as_ref().is_some_and(|stop| stop.until <= now) {
            self.answer_stop(wire);
        }
    }

    pub(super) fn check_stopped(&mut self, wire: &mut Wire) {
        if self.by_key.is_empty() {
            self.answer_stop(wire);
        }
    }

    /// Answers a stop that is under way; commands that come later are refused all the same.
    fn answer_stop(&mut self, wire: &mut Wire) {
        if let Some(ticket) = self.stop.as_mut().and_then(|stop| stop.ticket.take()) {
            let outcome = Reply::Stopped { unanswered: self.by_key.len() };
            wire.outputs.push_back(Output::Reply { ticket, outcome });
        }
    }
}
