//! Turns: a publication takes one, sends, hears the outcome and passes it on.
//!
//! Who waits for whom is left to [`lane`](crate::sip::publication::lane), what an outcome means to
//! [`outcome`](crate::sip::publication::outcome).

use std::{borrow::Cow, time::Instant};

use super::{Publications, callers::reply};
use crate::{
    command::{Change, Failure, FailureKind, Key},
    sip::{
        message::Uri,
        publication::{
            Next, State,
            lane::Turn,
            outcome::{Around, Outcome},
            report::{nothing_there, presentity},
            wanted::Wanted,
        },
        request::{Final, Requests},
        stats::PublishEnd,
        wire::Wire,
    },
};

impl Publications {
    /// Carries on until nothing can go on by itself.
    pub(crate) fn run(&mut self, now: Instant, wire: &mut Wire, requests: &mut Requests) {
        loop {
            if let Some((at, outcome)) = self.finals.pop_front() {
                self.conclude(now, wire, at, &outcome);
            } else if let Some(at) = self.ready.pop_front() {
                self.launch(now, wire, requests, at);
            } else {
                return;
            }
        }
    }

    fn launch(&mut self, now: Instant, wire: &mut Wire, requests: &mut Requests, at: usize) {
        let publication = &mut self.entries[at].publication;
        match publication.operation(now) {
            Some(operation) => {
                let draft = publication.begin(now, operation);
                let outcome = requests.start(now, wire, at, draft);
                self.finals.extend(outcome.map(|outcome| (at, outcome)));
                self.schedule(wire, at);
            }
            None => {
                self.release(at);
                // A newer call may have it wait for its interval; else it ended, or its tag ran out.
                if matches!(self.entries[at].publication.state, State::Waiting { .. }) {
                    self.schedule(wire, at);
                } else {
                    self.end(wire, at, true);
                }
            }
        }
    }

    fn conclude(&mut self, now: Instant, wire: &mut Wire, at: usize, outcome: &Final) {
        let timer_f = wire.timing.timer_f();
        let around = Around { ids: &mut wire.ids, crowd: self.by_key.len(), timer_f };
        let publication = &mut self.entries[at].publication;
        if let State::InFlight { sent, .. } = &publication.state {
            let end = match outcome {
                Final::Answer(answer) => PublishEnd::Answered(answer.code),
                Final::Failed(error) => PublishEnd::Failed(error.failure().kind),
            };
            *wire.stats.publishes.entry((sent.operation.as_str(), end)).or_default() += 1;
        }
        let Some(Outcome { revision, result, change, warning, mut next }) =
            publication.handle_final(now, outcome, around)
        else {
            // It ended while its request was under way; others wait for the turn.
            self.release(at);
            return self.end(wire, at, false);
        };
        self.release(at);
        self.use_flow(wire, at, outcome);
        let failure = match &result {
            Some(Err(failure)) => {
                wire.stats.publish_failures += 1;
                Some(self.entries[at].publication.describe(failure))
            }
            Some(Ok(())) | None => {
                warning.map(|warning| self.entries[at].publication.describe(&warning))
            }
        };
        if let Some(change) = change {
            self.tell(wire, at, change, failure.clone());
        }
        match result {
            Some(Ok(())) => self.satisfy_callers(wire, at, revision),
            Some(Err(_)) => {
                let failure = failure.unwrap_or_else(|| Failure::new(FailureKind::Io, "failed"));
                let is_final = !failure.retrying;
                if is_final && matches!(next, Next::Rest) {
                    next = self.entries[at].publication.try_newer(now, revision);
                }
                // In a back-off nobody waits; after a final failure a newer state still has its chance.
                let last = if is_final { revision } else { u32::MAX };
                self.fail_callers_up_to(wire, at, &failure, last);
            }
            None => {}
        }
        match next {
            Next::End => {
                let publication = &self.entries[at].publication;
                let is_untagged = matches!(publication.state, State::Untagged { .. });
                if publication.wanted.gone
                    && is_untagged
                    && let Some(failure) = publication.left_behind(now)
                {
                    let failure = self.entries[at].publication.describe(&failure);
                    self.tell(wire, at, Change::Failed, Some(failure.clone()));
                    self.fail_callers(wire, at, &failure);
                }
                self.end(wire, at, change.is_none());
            }
            Next::Rest | Next::Enter => self.follow(wire, at, next),
        }
        self.schedule(wire, at);
    }

    /// Does what a machine asks for.
    pub(super) fn follow(&mut self, wire: &mut Wire, at: usize, next: Next) {
        match next {
            Next::Rest => {}
            Next::End => self.end(wire, at, true),
            Next::Enter => {
                let entry = &self.entries[at];
                if entry.turn == Turn::None {
                    let turn = self.lanes.enter(
                        at,
                        &lane(&entry.publication.key),
                        server(&entry.publication.wanted),
                    );
                    self.take_turn(at, turn);
                }
            }
        }
    }

    fn take_turn(&mut self, at: usize, turn: Turn) {
        if matches!(turn, Turn::Inside(_)) {
            self.ready.push_back(at);
        }
        self.entries[at].turn = turn;
    }

    /// Gives the turn back, and passes it on.
    fn release(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        let Turn::Inside(gate) = std::mem::replace(&mut entry.turn, Turn::None) else { return };
        let key = entry.publication.key.clone();
        if let Some(next) = self.lanes.leave_gate(&gate) {
            self.take_turn(next, Turn::Inside(gate));
        }
        if let Some(next) = self.lanes.leave_lane(&lane(&key)) {
            let turn = self.lanes.pass_gate(next, server(&self.entries[next].publication.wanted));
            self.take_turn(next, turn);
        }
    }

    /// Ends a publication: nothing is sent for it any more. `tell`: its owner does not know yet.
    pub(super) fn end(&mut self, wire: &mut Wire, at: usize, tell: bool) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        // Another may have taken its key since.
        let is_known = self.by_key.get(&entry.publication.key) == Some(&at);
        if is_known {
            self.by_key.remove(&entry.publication.key);
            if tell && entry.publication.wanted.maintain {
                self.tell(wire, at, Change::Removed, None);
            }
            let publication = &self.entries[at].publication;
            if publication.wanted.gone {
                let published = nothing_there(publication.key.clone());
                for caller in self.entries[at].callers.take(|_| true) {
                    reply(wire, caller.ticket, Ok(published.clone()));
                }
            } else {
                let message = "it ended before its turn came, and nothing was sent";
                let failure = self.entries[at]
                    .publication
                    .describe(&Failure::new(FailureKind::Closed, message));
                self.fail_callers(wire, at, &failure);
            }
            self.leave_flow(wire, at);
        }
        let entry = &mut self.entries[at];
        match &entry.turn {
            Turn::None => {
                self.entries.remove(at);
            }
            Turn::InLane => {
                let key = entry.publication.key.clone();
                self.lanes.forget(at, &lane(&key));
                self.entries.remove(at);
            }
            // Its place in a queue still names it: it goes when its turn comes and finds nothing to do.
            Turn::AtGate(_) | Turn::Inside(_) => {
                entry.publication.state = State::Failed { held: None };
                // Nor may its lifetime end once more, again and again.
                entry.publication.wanted.until = None;
            }
        }
        self.check_stopped(wire);
    }

    /// Keeps the connection of an answer open while the state is up.
    fn use_flow(&mut self, wire: &mut Wire, at: usize, outcome: &Final) {
        self.leave_flow(wire, at);
        let Final::Answer(answer) = outcome else { return };
        if answer.hop.is_reliable()
            && let Some(id) = wire.flows.to_hop(answer.hop)
            && let Some(flow) = wire.flows.get_mut(id)
        {
            flow.users += 1;
            self.entries[at].flow = Some(id);
        }
    }

    fn leave_flow(&mut self, wire: &mut Wire, at: usize) {
        let Some(id) = self.entries[at].flow.take() else { return };
        if let Some(flow) = wire.flows.get_mut(id) {
            flow.users -= 1;
        }
        wire.schedule_flow(id);
    }
}

/// Returns the canonical form of the Request-URI as it stands on the wire, where what belongs to no
/// request is cut off (3261 §19.1.1): publications that differ there only share their turn.
fn lane(key: &Key) -> Cow<'_, str> {
    let presentity = presentity(key);
    let cut = |uri: Uri| {
        let request_uri = uri.as_ref().request_uri();
        (*request_uri != *presentity).then(|| request_uri.into_owned())
    };
    let has_more = presentity.contains([';', '?']);
    match has_more.then(|| Uri::parse(presentity).ok().and_then(cut)).flatten() {
        Some(request_uri) => request_uri.into(),
        None => presentity.into(),
    }
}

/// The host that leads the way.
fn server(wanted: &Wanted) -> &str {
    wanted.proxies.first().unwrap_or(&wanted.presentity).host()
}
