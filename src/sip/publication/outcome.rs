//! What an answer, or the lack of one, makes of a publication.
//!
//! The meaning of each failure is left to the table in [`retry`], the words about it to
//! [`report`](super::report), and whom it concerns to [`table`](super::table).

use std::time::{Duration, Instant};

use super::{
    Held, Next, Publication, State, Why,
    operation::{Kind, Sent},
    retry::{self, Verdict},
};
use crate::{
    command::{Change, Failure},
    sip::{
        ids::Ids,
        request::{Answer, Final},
    },
};

/// What a decision needs besides the publication itself.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) ids: &'a mut Ids,
    /// See [`retry::backoff`].
    pub(crate) crowd: usize,
    pub(crate) timer_f: Duration,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The revision the request carried.
    pub(crate) revision: u32,
    /// For callers; `None` when the same call goes on (412).
    pub(crate) result: Option<Result<(), Failure>>,
    pub(crate) change: Option<Change>,
    /// A warning beside a success.
    pub(crate) warning: Option<Failure>,
    pub(crate) next: Next,
}

impl Publication {
    /// Takes the outcome of the request in flight.
    pub(crate) fn handle_final(
        &mut self,
        now: Instant,
        outcome: &Final,
        around: Around<'_>,
    ) -> Option<Outcome> {
        let State::InFlight { held, sent } = &mut self.state else { return None };
        let (held, sent) = (held.take(), *sent);
        let Sent { operation, revision, .. } = sent;
        let held = held.filter(|held| held.expires_at > now);
        let (verdict, failure) = match outcome {
            Final::Answer(answer) => {
                self.last.status = Some(answer.code);
                self.last.reason = Some(answer.reason.clone());
                if operation != Kind::Remove && answer.asked > sent.expires {
                    self.least_expires = answer.asked;
                }
                match answer.code {
                    200..=299 => {
                        return Some(self.handle_success(now, answer, sent, around));
                    }
                    // A compositor that does not know the shape of a foreign tag says 500, not 412.
                    500 if operation != Kind::Remove
                        && held.as_ref().is_some_and(|h| h.is_given) =>
                    {
                        (Verdict::StartOver, answer.failure())
                    }
                    code => (retry::verdict(code, answer.retry_after.is_some()), answer.failure()),
                }
            }
            Final::Failed(error) if error.is_final() => (Verdict::Final, error.failure()),
            Final::Failed(error) => (Verdict::Retry, error.failure()),
        };
        let can_start_over = self.wanted.document.is_some() || self.wanted.allow_empty;
        let verdict = match (verdict, operation) {
            // What should be removed is not there: done (3903 §5).
            (Verdict::StartOver, Kind::Remove) => return Some(self.ended(revision)),
            (Verdict::StartOver, Kind::Refresh | Kind::Modify) if can_start_over => {
                self.is_recovering |= self.up > 0;
                let next = if self.wanted.gone { Next::End } else { Next::Enter };
                self.state = State::Due { held: None };
                let result = self.wanted.gone.then_some(Ok(()));
                let change = self.wanted.gone.then_some(Change::Removed);
                return Some(Outcome { revision, result, change, warning: None, next });
            }
            // 412 to a request without a tag makes no sense; to one without a document there is nothing to start over with.
            (Verdict::StartOver, Kind::Initial) => Verdict::Retry,
            (Verdict::StartOver, Kind::Refresh | Kind::Modify) => Verdict::Final,
            (verdict, _) => verdict,
        };
        Some(self.handle_failure(now, verdict, failure, sent, held, around))
    }

    fn handle_success(
        &mut self,
        now: Instant,
        answer: &Answer,
        sent: Sent,
        around: Around<'_>,
    ) -> Outcome {
        let Sent { operation, revision, is_news, .. } = sent;
        if operation == Kind::Remove {
            return self.ended(revision);
        }
        // A server that grants more than was asked is not believed (3903 §6).
        let grant = answer.expires.unwrap_or(answer.asked).min(answer.asked);
        self.last.expires = Some(grant);
        if grant == 0 {
            let mut failure = answer.failure();
            failure.message.push_str(": the server granted 0 s, so nothing is up");
            return self.handle_failure(now, Verdict::Retry, failure, sent, None, around);
        }
        self.up = revision;
        self.starts_over = false;
        self.attempt = 0;
        let lifetime = Duration::from_secs(grant.into());
        let expires_at = now + lifetime;
        let change = match (std::mem::take(&mut self.is_recovering), operation) {
            (true, _) => Change::Recovered,
            (false, Kind::Refresh | Kind::Modify) if !is_news => Change::Refreshed,
            (false, Kind::Initial | Kind::Refresh | Kind::Modify | Kind::Remove) => {
                Change::Published
            }
        };
        self.last.failure = None;
        let mut warning = None;
        self.state = match answer.entity_tag.clone() {
            Some(entity_tag) => {
                let held = Held { entity_tag, expires_at, is_given: false };
                // The grant began somewhere between sending and now, which after retransmissions are
                // far apart: the tag is used for as long as it may be good, and refreshed before it
                // may be over.
                let began = self.last_sent.unwrap_or(now);
                let refresh_after = refresh_after(lifetime, around.timer_f, around.ids);
                let refresh_at = (began + refresh_after).max(now);
                State::Published { held, refresh_at, lasts_until: began + lifetime }
            }
            None => {
                let mut failure = answer.failure();
                failure.message.push_str(": no entity-tag that puad can use in the answer, so the state cannot be refreshed; it is published anew when it has run out");
                warning = Some(failure);
                State::Untagged { expires_at }
            }
        };
        let next = self.after(now);
        Outcome { revision, result: Some(Ok(())), change: Some(change), warning, next }
    }

    fn handle_failure(
        &mut self,
        now: Instant,
        verdict: Verdict,
        mut failure: Failure,
        sent: Sent,
        held: Option<Held>,
        around: Around<'_>,
    ) -> Outcome {
        let Sent { operation, revision, .. } = sent;
        self.last.failures += 1;
        self.is_recovering |= self.up > 0;
        let is_refused_removal =
            verdict == Verdict::Final && operation == Kind::Remove && self.wanted.gone;
        let (change, next) = match verdict {
            _ if !self.wanted.maintain || is_refused_removal => {
                self.state = State::Failed { held };
                (Some(Change::Failed), Next::End)
            }
            // It shall be gone, and nothing is left that could be named.
            _ if self.wanted.gone && held.is_none() => {
                failure.retry_after = None;
                self.state = State::Failed { held };
                (None, Next::End)
            }
            Verdict::Retry | Verdict::StartOver => {
                self.attempt += 1;
                let retry_after = failure.retry_after;
                let wait = retry::backoff(around.ids, self.attempt, retry_after, around.crowd);
                failure.retrying = true;
                failure.retry_after = Some(wait);
                self.state = State::Waiting { held, until: now + wait, why: Why::BackOff };
                (Some(Change::Retrying), self.after(now))
            }
            Verdict::Final => {
                failure.retry_after = None;
                self.state = State::Failed { held };
                (Some(Change::Failed), self.after(now))
            }
        };
        self.last.failure = Some(Box::new(failure.clone()));
        Outcome { revision, result: Some(Err(failure)), change, warning: None, next }
    }

    fn ended(&mut self, revision: u32) -> Outcome {
        self.state = State::Failed { held: None };
        self.last.expires = None;
        // A newer publish may have come while the Remove was under way.
        let next = if self.wanted.gone { Next::End } else { self.start_over() };
        Outcome {
            revision,
            result: Some(Ok(())),
            change: Some(Change::Removed),
            warning: None,
            next,
        }
    }

    fn start_over(&mut self) -> Next {
        self.state = State::Due { held: None };
        self.up = 0;
        Next::Enter
    }

    /// After an outcome: something newer may be wanted already.
    fn after(&mut self, now: Instant) -> Next {
        if !self.wanted.maintain {
            return Next::End;
        }
        let is_newer = self.revision != self.up;
        match &self.state {
            // It shall be gone, and nobody can name it.
            State::Untagged { .. } if self.wanted.gone => Next::End,
            State::Published { .. } | State::Untagged { .. } if is_newer => {
                let held = self.live(now);
                self.due(now, held)
            }
            State::Due { .. }
            | State::InFlight { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => Next::Rest,
        }
    }

    /// A final failure concerned an older state than the one now wanted: that one gets its own attempt.
    pub(crate) fn try_newer(&mut self, now: Instant, revision: u32) -> Next {
        match &self.state {
            State::Failed { .. } if self.revision != revision => {
                let held = self.live(now);
                self.due(now, held)
            }
            State::Due { .. }
            | State::InFlight { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => Next::Rest,
        }
    }
}

/// Returns when a grant is refreshed: at a point of 50 to 80 % of it, and for grants above 4·64·T1
/// early enough for a whole failed transaction and one more.
fn refresh_after(grant: Duration, timer_f: Duration, ids: &mut Ids) -> Duration {
    let room = timer_f * 2;
    let latest = grant.mul_f64(0.8);
    let latest = if grant > room * 2 { latest.min(grant - room) } else { latest };
    let earliest = grant.mul_f64(0.5).min(latest);
    earliest + (latest - earliest).mul_f64(ids.spread())
}
