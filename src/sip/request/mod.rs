//! One request's journey: locate, send, authenticate, fail over, redirect → final outcome.
//!
//! Decides what a final response asks for. Going from hop to hop is left to [`hops`], where a
//! redirect leads to [`redirect`], who may see credentials to [`credentials`]; repeating a message
//! until it is answered to [`wire`](super::wire) and its transactions; what an outcome means for a
//! publication to [`publication`](super::publication).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    auth::Nonces,
    config::Account,
    ids::Token,
    io::{FlowError, FlowId, Hop, QueryId},
    locate::Locator,
    message::{Message, Name, Uri},
    wire::{Ended, RequestId, Wire},
};
use crate::command::{Document, EntityTag, ExtraHeaders};

mod answer;
mod compose;
mod credentials;
mod hops;
mod redirect;

pub(crate) use answer::{Answer, Final, RequestError};
use credentials::Given;
use hops::Candidate;
use redirect::Redirect;

/// All journeys under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    journeys: Slab<Journey>,
    opening: BTreeMap<FlowId, Vec<RequestId>>,
    asking: BTreeMap<QueryId, Vec<RequestId>>,
    pub(crate) locator: Locator,
    nonces: Nonces,
}

/// What a PUBLISH says; the same from the first attempt to the last.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) presentity: Uri,
    pub(crate) event: Arc<str>,
    /// Seconds asked for.
    pub(crate) expires: u32,
    pub(crate) entity_tag: Option<EntityTag>,
    pub(crate) document: Option<Document>,
    pub(crate) extra_headers: ExtraHeaders,
    pub(crate) account: Option<Arc<Account>>,
    /// Tried in order; empty: the Request-URI leads the way.
    pub(crate) proxies: Arc<[Uri]>,
}

#[derive(Debug)]
struct Journey {
    draft: Draft,
    /// The Request-URI of this leg; a redirect changes it.
    target: Uri,
    call_id: Arc<str>,
    from_tag: Token,
    cseq: u32,
    step: Step,
    /// Hops of the authorities located so far, not yet tried.
    candidates: VecDeque<Candidate>,
    /// The next of the proxies (or the target itself) to locate.
    next_authority: usize,
    redirect: Redirect,
    /// Retries with a change that are left, of all kinds together.
    budget: u8,
    given: Vec<Given>,
    has_raised_expires: bool,
    has_dropped_options: bool,
    /// The outcome if no further hop does better.
    last: Option<Final>,
    publication: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Locating,
    Opening(Candidate),
    Sent(Candidate),
}

impl Requests {
    /// Returns whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.journeys.is_empty()
            && self.opening.is_empty()
            && self.asking.is_empty()
            && self.locator.is_idle()
    }

    /// Starts a journey for a publication.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        publication: usize,
        draft: Draft,
    ) -> Option<Final> {
        let call_id = wire.ids.call_id();
        let from_tag = wire.ids.token();
        let target = match draft.presentity.as_ref().request_uri() {
            text if *text == *draft.presentity.as_str() => draft.presentity.clone(),
            // What was cut off cannot have made it valid.
            text => Uri::parse(&text).unwrap_or_else(|_| draft.presentity.clone()),
        };
        let given = self.known_credentials(&draft, &target);
        let mut redirect = Redirect::default();
        redirect.seen.insert(target.canonical());
        let id = self.journeys.insert(Journey {
            draft,
            target,
            call_id,
            from_tag,
            cseq: 1,
            step: Step::Locating,
            candidates: VecDeque::new(),
            next_authority: 0,
            redirect,
            budget: RETRY_BUDGET,
            given,
            has_raised_expires: false,
            has_dropped_options: false,
            last: None,
            publication,
        });
        let outcome = self.advance(now, wire, id);
        self.settle(id, outcome)
    }

    /// Takes a final response.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        code: u16,
        message: &Message<'_>,
    ) -> Option<Final> {
        let outcome = self.respond(now, wire, id, code, message);
        self.settle(id, outcome)
    }

    /// Takes the end of a transaction without an answer.
    pub(crate) fn handle_ended(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        ended: Ended,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let Step::Sent(candidate) = journey.step else { return None };
        let outcome = match ended {
            // Somebody works on it there: another server would do it twice (3263 §4.3).
            Ended::TimedOut { provisional: true } => {
                Some(Final::Failed(RequestError::TimerF(candidate.hop)))
            }
            Ended::TimedOut { provisional: false } => {
                journey.last = Some(Final::Failed(RequestError::TimerF(candidate.hop)));
                self.advance(now, wire, id)
            }
            Ended::Broken(error) => {
                journey.last = Some(Final::Failed(RequestError::Transport(candidate.hop, error)));
                if candidate.reused && !candidate.reconnected {
                    let again = Candidate { reconnected: true, reused: false, ..candidate };
                    self.send(now, wire, id, again)
                } else {
                    self.advance(now, wire, id)
                }
            }
        };
        self.settle(id, outcome)
    }

    /// A flow is open: whoever waited for it goes on. Returns the outcomes there are already.
    pub(crate) fn handle_opened(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        flow: FlowId,
    ) -> Vec<(usize, Final)> {
        self.wake_opening(flow, |requests, id, candidate| requests.send(now, wire, id, candidate))
    }

    /// A flow could not be opened: whoever waited for it tries the next hop.
    pub(crate) fn handle_not_opened(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        flow: FlowId,
        error: FlowError,
    ) -> Vec<(usize, Final)> {
        self.wake_opening(flow, |requests, id, candidate| {
            let may_use_udp = matches!(error, FlowError::Refused | FlowError::Unsupported);
            if candidate.by_size && may_use_udp {
                let hop = Hop { transport: rsip::Transport::Udp, ..candidate.hop };
                return requests.send(
                    now,
                    wire,
                    id,
                    Candidate { hop, by_size: false, udp_anyway: true, ..candidate },
                );
            }
            let journey = requests.journeys.get_mut(id)?;
            journey.last = Some(Final::Failed(RequestError::Transport(candidate.hop, error)));
            requests.advance(now, wire, id)
        })
    }

    fn wake_opening(
        &mut self,
        flow: FlowId,
        mut go_on: impl FnMut(&mut Self, RequestId, Candidate) -> Option<Final>,
    ) -> Vec<(usize, Final)> {
        let mut outcomes = Vec::new();
        for id in self.opening.remove(&flow).unwrap_or_default() {
            let Some(&Journey { step: Step::Opening(candidate), publication, .. }) =
                self.journeys.get(id)
            else {
                continue;
            };
            let outcome = go_on(self, id, candidate);
            outcomes.extend(self.settle(id, outcome).map(|outcome| (publication, outcome)));
        }
        outcomes
    }

    /// A resolver has answered.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        query: QueryId,
    ) -> Vec<(usize, Final)> {
        let mut outcomes = Vec::new();
        for id in self.asking.remove(&query).unwrap_or_default() {
            let Some(publication) = self.journeys.get(id).map(|journey| journey.publication) else {
                continue;
            };
            let outcome = self.advance(now, wire, id);
            outcomes.extend(self.settle(id, outcome).map(|outcome| (publication, outcome)));
        }
        outcomes
    }

    /// Returns whose request it is.
    pub(crate) fn publication(&self, id: RequestId) -> Option<usize> {
        self.journeys.get(id).map(|journey| journey.publication)
    }

    /// Forgets a journey that has an outcome.
    fn settle(&mut self, id: RequestId, outcome: Option<Final>) -> Option<Final> {
        let mut outcome = outcome?;
        let journey = self.journeys.try_remove(id)?;
        if let Final::Answer(answer) = &mut outcome {
            answer.asked = journey.draft.expires;
            answer.tidy();
        }
        Some(outcome)
    }

    /// Decides what a final response asks for.
    fn respond(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        code: u16,
        message: &Message<'_>,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let Step::Sent(candidate) = journey.step else { return None };
        let mut answer = Answer::of(message, code, candidate.hop);
        match code {
            200..=299 => {
                self.learn_next_nonce(id, message);
                Some(Final::Answer(answer))
            }
            300..=399 => self.redirected(now, wire, id, message, answer),
            401 | 407 => self.challenged(now, wire, id, message, answer, candidate),
            420 => {
                let unsupported: Vec<_> = message.list(Name::Unsupported).collect();
                if journey.budget == 0
                    || journey.has_dropped_options
                    || !journey.drop_options(&unsupported)
                {
                    return Some(Final::Answer(answer));
                }
                journey.has_dropped_options = true;
                self.resend(now, wire, id, candidate)
            }
            423 => match answer.min_expires {
                Some(least) if least > LONGEST_MIN_EXPIRES => {
                    answer.note = Some(format!(
                        "it takes no state for less than {least} s, and puad asks for a day at the most"
                    ));
                    Some(Final::Answer(answer))
                }
                Some(least)
                    if least > journey.draft.expires
                        // A removal asks for zero, and nothing longer removes.
                        && journey.draft.expires > 0
                        && !journey.has_raised_expires
                        && journey.budget > 0 =>
                {
                    journey.has_raised_expires = true;
                    journey.draft.expires = least;
                    self.resend(now, wire, id, candidate)
                }
                Some(_) | None => Some(Final::Answer(answer)),
            },
            503 => {
                if let Some(seconds) = answer.retry_after {
                    let until = now + Duration::from_secs(seconds.into());
                    self.locator.block(now, candidate.hop, until);
                }
                journey.last = Some(Final::Answer(answer));
                self.advance(now, wire, id)
            }
            600.. => Some(Final::Answer(answer)),
            _ => match journey.redirect.next() {
                Some(target) => {
                    journey.last = Some(Final::Answer(answer));
                    self.go_to(now, wire, id, target)
                }
                None => Some(Final::Answer(answer)),
            },
        }
    }

    /// The same request with a change, to the same hop: a new transaction with the next CSeq (3261 §8.1.3.5).
    fn resend(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        candidate: Candidate,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        journey.budget -= 1;
        journey.cseq += 1;
        self.send(now, wire, id, candidate)
    }
}

/// The method of every journey there is so far.
const METHOD: &str = "PUBLISH";
/// Retries after 401, 407, 420 and 423, of all kinds together.
const RETRY_BUDGET: u8 = 5;
/// The largest Min-Expires that is believed, a day: what it asks for stays up that long if puad dies.
const LONGEST_MIN_EXPIRES: u32 = 86_400;
