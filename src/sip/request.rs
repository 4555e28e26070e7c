//! One request's journey: locate, send, authenticate, fail over, redirect → final outcome.
//!
//! Repeating a message until it is answered is left to [`wire`](super::wire)
//! and its transactions; what an outcome means for a publication to
//! [`publication`](super::publication).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    auth::{self, NonceKey, Nonces, Refusal},
    config::Account,
    ids::Token,
    io::{FlowError, FlowId, Hop, Output, QueryId},
    locate::{self, LocateError, Located, Locator, leading_host},
    message::{Message, Name, StartLine, Uri, value},
    wire::{Ended, Reach, RequestId, Wire},
};
use crate::command::{Document, EntityTag, ExtraHeaders};

mod answer;
mod compose;

pub(crate) use answer::{Answer, Final, RequestError};

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
    /// Transactions started.
    sent: u32,
    publication: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Locating,
    Opening(Candidate),
    Sent(Candidate),
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    hop: Hop,
    /// Which proxy leads there.
    proxy: Option<usize>,
    /// TCP was chosen for the size alone (3261 §18.1.1).
    by_size: bool,
    /// UDP whatever the size, after such a TCP was refused.
    udp_anyway: bool,
    /// The flow had carried something before.
    reused: bool,
    /// A broken connection has been replaced once.
    reconnected: bool,
}

/// What came of trying one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// The request is sent, or waits for its flow.
    Waits,
    /// Nothing can be sent there now; the journey knows why.
    NextHop,
}

#[derive(Debug, Default)]
struct Redirect {
    pending: VecDeque<Uri>,
    seen: BTreeSet<String>,
    /// Targets taken so far, whichever answer named them.
    followed: u8,
    /// A server on another machine has named one: none of them may lead to this one.
    is_from_outside: bool,
}

/// Credentials given in the last request.
#[derive(Debug)]
struct Given {
    key: NonceKey,
    nonce: String,
    /// From an earlier request, so that a rejection may only mean that it has grown old.
    cached: bool,
    stale_rounds: u8,
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
    ) -> (RequestId, Option<Final>) {
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
            sent: 0,
            publication,
        });
        let outcome = self.advance(now, wire, id);
        (id, self.settle(id, outcome))
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

    /// Goes to the next hop, locating further servers when the known ones are used up.
    fn advance(&mut self, now: Instant, wire: &mut Wire, id: RequestId) -> Option<Final> {
        loop {
            let journey = self.journeys.get_mut(id)?;
            if let Some(candidate) = journey.candidates.pop_front() {
                match self.try_hop(now, wire, id, candidate) {
                    Attempt::Waits => return None,
                    Attempt::NextHop => continue,
                }
            }
            let proxies = &journey.draft.proxies;
            let (authority, proxy) =
                match (proxies.get(journey.next_authority), journey.next_authority) {
                    (Some(proxy), at) => (proxy.clone(), Some(at)),
                    (None, 0) => (journey.target.clone(), None),
                    (None, _) => return self.exhausted(now, wire, id),
                };
            let located = locate::check_proxy(&journey.target, &authority)
                .and_then(|()| self.locator.locate(now, &authority, |ip| wire.flows.reaches(ip)));
            match located {
                Ok(Located::Hops(mut hops)) => {
                    journey.next_authority += 1;
                    if proxy.is_none() && journey.redirect.is_from_outside {
                        hops.retain(|hop| !hop.remote.ip().to_canonical().is_loopback());
                        if let (true, Some(Final::Answer(answer))) =
                            (hops.is_empty(), &mut journey.last)
                        {
                            answer.note = Some(format!("{authority} would lead to this machine"));
                        }
                    }
                    journey.candidates.extend(hops.into_iter().map(|hop| Candidate {
                        hop,
                        proxy,
                        by_size: false,
                        udp_anyway: false,
                        reused: false,
                        reconnected: false,
                    }));
                }
                Ok(Located::Wait(query, question)) => {
                    journey.step = Step::Locating;
                    self.asking.entry(query).or_default().push(id);
                    wire.outputs
                        .extend(question.map(|question| Output::Query { id: query, question }));
                    return None;
                }
                Err(error) => {
                    journey.next_authority += 1;
                    journey.last.get_or_insert(Final::Failed(RequestError::Locate(error)));
                }
            }
        }
    }

    /// No hop of this Request-URI is left: a further redirect target, or the end.
    fn exhausted(&mut self, now: Instant, wire: &mut Wire, id: RequestId) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        match journey.redirect.next() {
            Some(target) => self.go_to(now, wire, id, target),
            None => Some(journey.last.take().unwrap_or(Final::Failed(RequestError::NoServer))),
        }
    }

    fn go_to(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        target: Uri,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        journey.target = target;
        journey.cseq += 1;
        journey.next_authority = 0;
        journey.candidates.clear();
        self.advance(now, wire, id)
    }

    /// Sends to one hop, or to the next that takes it.
    fn send(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        candidate: Candidate,
    ) -> Option<Final> {
        match self.try_hop(now, wire, id, candidate) {
            Attempt::Waits => None,
            Attempt::NextHop => self.advance(now, wire, id),
        }
    }

    /// Sends to one hop, once there is a flow to it. Never goes on to another by itself: there may
    /// be hundreds, and the stack is no place for them.
    fn try_hop(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        mut candidate: Candidate,
    ) -> Attempt {
        loop {
            let Some(journey) = self.journeys.get_mut(id) else { return Attempt::Waits };
            // Asked here, where the hop is settled: the size may have chosen TCP, and others may
            // have been told to be silent while a connection was being opened.
            if let Some(until) = self.locator.blocked_until(now, candidate.hop) {
                journey.last.get_or_insert(Final::Failed(RequestError::Blocked {
                    hop: candidate.hop,
                    left: until - now,
                }));
                return Attempt::NextHop;
            }
            let (flow, sent_by) = match wire.reach(now, candidate.hop) {
                Reach::Ready { flow, sent_by, reused } => {
                    candidate.reused = reused;
                    (flow, sent_by)
                }
                Reach::Opening(flow) => {
                    journey.step = Step::Opening(candidate);
                    self.opening.entry(flow).or_default().push(id);
                    return Attempt::Waits;
                }
                Reach::Refused(error) => {
                    journey.last =
                        Some(Final::Failed(RequestError::Transport(candidate.hop, error)));
                    return Attempt::NextHop;
                }
            };
            let branch = wire.ids.branch();
            let credentials = journey.credentials(candidate, &self.nonces, wire);
            let message = journey.compose(candidate, &sent_by, branch, &credentials, wire);
            let is_udp = candidate.hop.transport == rsip::Transport::Udp;
            if is_udp && message.len() > UDP_LIMIT && !candidate.udp_anyway {
                candidate.hop.transport = rsip::Transport::Tcp;
                candidate.by_size = true;
                continue;
            }
            if is_udp && message.len() > LARGEST_DATAGRAM {
                let error = RequestError::TooLarge(candidate.hop, message.len());
                journey.last = Some(Final::Failed(error));
                return Attempt::NextHop;
            }
            for given in journey.given.iter().filter(|given| !given.nonce.is_empty()) {
                self.nonces.spend(&given.key);
            }
            journey.step = Step::Sent(candidate);
            journey.sent += 1;
            wire.start(
                now,
                id,
                branch,
                METHOD,
                flow,
                candidate.hop,
                sent_by,
                candidate.reused,
                message,
            );
            return Attempt::Waits;
        }
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

    /// Follows a 3xx: each target once, the highest q first, five legs at the most (3261 §8.1.3.4).
    fn redirected(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        message: &Message<'_>,
        mut answer: Answer,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let mut targets: Vec<(f32, Uri)> = Vec::new();
        for contact in message.list(Name::Contact) {
            let Ok(contact) = value::NameAddr::parse(contact) else { continue };
            let q = contact.params.get("q").and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
            if journey.draft.presentity.is_sips() && !contact.uri.is_sips() {
                answer.note = Some(format!(
                    "the redirect to {} would leave TLS and is not followed",
                    contact.uri.masked()
                ));
                continue;
            }
            let Ok(target) = Uri::parse(&contact.uri.request_uri()) else { continue };
            if let Err(error) = locate::check(&target) {
                answer.note = Some(error.to_string());
                continue;
            }
            if journey.redirect.seen.insert(target.canonical()) {
                targets.push((q, target));
            }
        }
        // Stable: Contacts of equal q stay in the order of the response.
        targets.sort_by(|a, b| b.0.total_cmp(&a.0));
        if answer.code == 305 || answer.code == 380 {
            targets.clear();
        }
        for (_, target) in targets.into_iter().rev() {
            journey.redirect.pending.push_front(target);
        }
        journey.redirect.is_from_outside |= !answer.hop.remote.ip().to_canonical().is_loopback();
        match journey.redirect.next() {
            Some(target) => {
                journey.last = Some(Final::Answer(answer));
                self.go_to(now, wire, id, target)
            }
            None => {
                answer.note.get_or_insert_with(|| "the redirect leads nowhere new".into());
                Some(Final::Answer(answer))
            }
        }
    }

    /// Answers a challenge, or says why not (3261 §22; 7616 §3.3).
    fn challenged(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        message: &Message<'_>,
        mut answer: Answer,
        candidate: Candidate,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let account = journey.draft.account.clone();
        let chosen = journey
            .check_trust()
            .and_then(|()| auth::select(message, account.as_deref()))
            .and_then(|challenges| journey.judge(challenges, candidate));
        let (Ok(challenges), Some(account)) = (&chosen, &account) else {
            wire.stats.challenges_refused += 1;
            answer.note = chosen.err().map(|refusal| refusal.to_string());
            return Some(Final::Answer(answer));
        };
        if journey.budget == 0 {
            answer.note = Some("the server goes on asking for credentials".into());
            return Some(Final::Answer(answer));
        }
        let server: Arc<str> = journey.authority(candidate).to_ascii_lowercase().into();
        for challenge in challenges {
            let key = NonceKey {
                username: account.username.clone(),
                server: server.clone(),
                kind: challenge.kind,
                realm: challenge.realm.clone(),
            };
            let rounds = match journey.given.iter().position(|given| given.key == key) {
                Some(at) => journey.given.remove(at).stale_rounds + 1,
                None => 0,
            };
            self.nonces.learn(key.clone(), challenge.clone());
            journey.given.push(Given {
                key,
                nonce: String::new(),
                cached: false,
                stale_rounds: rounds,
            });
        }
        self.resend(now, wire, id, candidate)
    }

    /// Returns the credentials to send unasked: nonces this server gave before.
    fn known_credentials(&self, draft: &Draft, target: &Uri) -> Vec<Given> {
        let Some(account) = &draft.account else { return Vec::new() };
        let way =
            if draft.proxies.is_empty() { std::slice::from_ref(target) } else { &draft.proxies };
        let servers: BTreeSet<_> =
            way.iter().map(|uri| leading_host(uri).to_ascii_lowercase()).collect();
        servers
            .iter()
            .flat_map(|server| self.nonces.known(&account.username, server))
            .filter(|key| account.realms.contains(&key.realm))
            .map(|key| Given { key, nonce: String::new(), cached: true, stale_rounds: 0 })
            .collect()
    }

    fn learn_next_nonce(&mut self, id: RequestId, message: &Message<'_>) {
        let Some(journey) = self.journeys.get(id) else { return };
        let Some(info) = message.get(Name::AuthenticationInfo) else { return };
        // The header has no scheme in front; one is lent so that the same reader serves.
        let info = format!("Digest {info}");
        let next = value::Challenge::parse(&info)
            .ok()
            .and_then(|info| info.get("nextnonce").map(|n| n.into_owned()));
        if let (Some(next), Some(given)) =
            (next, journey.given.iter().find(|given| given.key.kind == auth::Kind::Server))
        {
            self.nonces.learn_next(&given.key, &next);
        }
    }
}

impl Redirect {
    /// Takes the next target. After a few there is none: one answer may name hundreds of hosts.
    fn next(&mut self) -> Option<Uri> {
        if self.followed == MOST_REDIRECTS {
            return None;
        }
        let target = self.pending.pop_front()?;
        self.followed += 1;
        Some(target)
    }
}

impl Journey {
    /// Returns the host that leads the way by this candidate.
    fn authority(&self, candidate: Candidate) -> &str {
        leading_host(candidate.proxy.map_or(&self.target, |at| &self.draft.proxies[at]))
    }

    /// Credentials are for requests to servers of the user's choice: what the presentity itself
    /// names, or the account's domain; never for whoever a redirect named (SEC-05). A proxy on the
    /// way changes nothing: it would pass the stranger's challenge back and the answer on.
    fn check_trust(&self) -> Result<(), Refusal> {
        let host = leading_host(&self.target);
        let is_chosen = host.eq_ignore_ascii_case(leading_host(&self.draft.presentity))
            || host.eq_ignore_ascii_case(self.draft.presentity.host())
            || self
                .draft
                .account
                .as_ref()
                .is_some_and(|account| account.domain.eq_ignore_ascii_case(host));
        if is_chosen { Ok(()) } else { Err(Refusal::Stranger(host.to_owned())) }
    }

    /// Tells a challenge worth answering from a rejection of what was just given.
    fn judge(
        &self,
        challenges: Vec<auth::Challenge>,
        candidate: Candidate,
    ) -> Result<Vec<auth::Challenge>, Refusal> {
        let server = self.authority(candidate).to_ascii_lowercase();
        for challenge in &challenges {
            let given = self.given.iter().find(|given| {
                given.key.kind == challenge.kind
                    && given.key.realm == challenge.realm
                    && *given.key.server == *server
            });
            let Some(given) = given.filter(|given| !given.nonce.is_empty()) else { continue };
            let may_be_old =
                challenge.stale && given.stale_rounds < MOST_STALE_ROUNDS || given.cached;
            if !may_be_old {
                return Err(Refusal::Rejected(challenge.realm.clone()));
            }
        }
        Ok(challenges)
    }

    /// Takes the options a server named in Unsupported out of Require; returns whether any was there.
    fn drop_options(&mut self, unsupported: &[&str]) -> bool {
        let mut dropped = false;
        let mut rows = Vec::new();
        for (name, text) in self.draft.extra_headers.rows() {
            if Name::of(name.as_bytes()) != Name::Require {
                rows.push((name.clone(), text.clone()));
                continue;
            }
            let (gone, kept): (Vec<_>, Vec<_>) = value::split_list(text)
                .partition(|option| unsupported.iter().any(|u| u.eq_ignore_ascii_case(option)));
            dropped |= !gone.is_empty();
            if !kept.is_empty() {
                rows.push((name.clone(), kept.join(", ")));
            }
        }
        if dropped && let Ok(headers) = ExtraHeaders::new(rows) {
            self.draft.extra_headers = headers;
        }
        dropped
    }
}

/// The method of every journey there is so far.
const METHOD: &str = "PUBLISH";
/// Retries after 401, 407, 420 and 423, of all kinds together.
const RETRY_BUDGET: u8 = 5;
/// The largest Min-Expires that is believed, a day: what it asks for stays up that long if puad dies.
const LONGEST_MIN_EXPIRES: u32 = 86_400;
const MOST_REDIRECTS: u8 = 5;
const MOST_STALE_ROUNDS: u8 = 2;
/// The largest request that goes over UDP (3261 §18.1.1).
const UDP_LIMIT: usize = 1300;
/// The largest that one datagram holds, with room for what is below UDP.
const LARGEST_DATAGRAM: usize = 65_000;

// Kept here so that a reader finds what a status line is made of in one place.
fn reason_of<'a>(message: &Message<'a>) -> &'a str {
    match message.start {
        StartLine::Response { reason, .. } => reason,
        StartLine::Request { .. } | StartLine::BadRequest(_) | StartLine::BadResponse(_) => "",
    }
}
