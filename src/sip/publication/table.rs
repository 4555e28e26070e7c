//! The set of publications: keys, owners, callers, turns.
//!
//! Glue between the machines, their lanes and the requests under way; decides
//! nothing about RFC 3903 itself.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    Next, Publication, State, Why,
    lane::{Lanes, Turn},
    outcome::{Around, Outcome},
    report::{nothing_there, presentity},
    wanted::Wanted,
};
use crate::{
    command::{
        Cause, Change, Failure, FailureKind, Key, OnStop, Owner, PublicationInfo, Publish,
        Published, Reply,
    },
    sip::{
        config::Account,
        io::{Deadline, Event, FlowId, Output, Ticket, Timer, UnixMillis},
        locate,
        message::Uri,
        request::{Final, Requests},
        timers::Whom,
        wire::Wire,
    },
};

/// All publications.
#[derive(Debug)]
pub(crate) struct Publications {
    entries: Slab<Entry>,
    by_key: BTreeMap<Key, usize>,
    lanes: Lanes,
    /// Through the gate, to be sent.
    ready: VecDeque<usize>,
    finals: VecDeque<(usize, Final)>,
    stop: Option<Stop>,
    default_proxies: Arc<[Uri]>,
    account_proxies: BTreeMap<String, Arc<[Uri]>>,
    started: (Instant, UnixMillis),
}

#[derive(Debug)]
struct Entry {
    publication: Publication,
    turn: Turn,
    callers: Callers,
    /// The connection the last answer came by; kept open while the state is up (3261 §18).
    flow: Option<FlowId>,
    scheduled: Option<Instant>,
}

/// Those who wait for one publication. There may be thousands, so none is looked at in vain.
#[derive(Debug, Default)]
struct Callers {
    list: Vec<Caller>,
    /// When the first loses patience.
    earliest: Option<Instant>,
}

impl Callers {
    fn push(&mut self, caller: Caller) {
        self.earliest = Some(self.earliest.map_or(caller.until, |at| at.min(caller.until)));
        self.list.push(caller);
    }

    /// Takes out whom a rule names.
    fn take(&mut self, is_taken: impl Fn(&Caller) -> bool) -> Vec<Caller> {
        let (taken, left) = std::mem::take(&mut self.list).into_iter().partition(is_taken);
        self.list = left;
        self.earliest = self.list.iter().map(|caller| caller.until).min();
        taken
    }
}

/// Somebody waiting for the server's word.
#[derive(Debug)]
struct Caller {
    ticket: Ticket,
    revision: u32,
    until: Instant,
}

#[derive(Debug)]
struct Stop {
    /// `None` once it is answered.
    ticket: Option<Ticket>,
    until: Instant,
}

impl Publications {
    pub(crate) fn new(now: Instant, wall: UnixMillis, wire: &Wire) -> Self {
        let config = &wire.config;
        Self {
            entries: Slab::new(),
            by_key: BTreeMap::new(),
            lanes: Lanes::new(config.limits.in_flight_per_server),
            ready: VecDeque::new(),
            finals: VecDeque::new(),
            stop: None,
            default_proxies: config.outbound_proxy.as_slice().into(),
            account_proxies: config
                .accounts
                .iter()
                .map(|account| (account_key(account), account.outbound_proxy.as_slice().into()))
                .collect(),
            started: (now, wall),
        }
    }

    /// `pua.publish`.
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        publish: Publish,
    ) {
        match self.try_publish(now, wire, ticket, &publish) {
            Ok(Some(published)) => reply(wire, ticket, Ok(published)),
            Ok(None) => {}
            Err(failure) => reply(wire, ticket, Err(failure)),
        }
    }

    /// Returns the answer if there is one at once.
    fn try_publish(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        publish: &Publish,
    ) -> Result<Option<Published>, Failure> {
        if self.stop.is_some() {
            return Err(Failure::new(FailureKind::Closed, "puad is stopping"));
        }
        if let Some(document) = publish.document.as_ref().filter(|d| !d.has_media_type()) {
            let message = format!(
                "content_type: {:?} is not a media type such as \"application/pidf+xml\"",
                document.content_type
            );
            return Err(Failure::new(FailureKind::Usage, message));
        }
        let account = find_account(wire, publish)?;
        let proxies = self.proxies(publish, account.as_deref())?;
        let key = publish.key();
        let at = match self.by_key.get(&key) {
            Some(at) => {
                let publication = &self.entries[*at].publication;
                check_owner(publication, &publish.owner)?;
                *at
            }
            None if publish.expires.is_zero() && publish.entity_tag.is_none() => {
                return Ok(Some(nothing_there(key)));
            }
            None => self.insert(now, wire, key, publish, account.clone(), proxies.clone())?,
        };
        let entry = &mut self.entries[at];
        let publication = &mut entry.publication;
        let wanted = Wanted::new(now, publish, account, proxies, Some(&publication.wanted));
        let live = publication.live(now).is_some();
        if wanted.document.is_none()
            && !wanted.allow_empty
            && !wanted.gone
            && !live
            && publish.entity_tag.is_none()
        {
            if publication.revision == 0 {
                self.forget(at);
            }
            return Err(Failure::new(
                FailureKind::Usage,
                "body: the first publish of a key needs a document",
            ));
        }
        if publish.skip_unchanged && publish.document.is_some() && !wanted.gone {
            if publication.is_up(publish.document.as_ref(), &publish.extra_headers) {
                publication.wanted = wanted;
                let published = publication.published(false);
                self.schedule(wire, at);
                return Ok(Some(published));
            }
            if publication.join(&wanted) {
                publication.wanted = wanted;
                return self.admit(now, wire, ticket, at, publish.timeout, Next::Rest);
            }
        }
        let is_in_flight = matches!(publication.state, State::InFlight { .. });
        if wanted.gone && !live && !is_in_flight && publish.entity_tag.is_none() {
            return self.end_unnamed(now, wire, at).map(Some);
        }
        let next = publication.want(now, wanted, publish);
        self.admit(now, wire, ticket, at, publish.timeout, next)
    }

    /// `Publication:refresh()`.
    pub(crate) fn refresh(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        owner: &Owner,
        key: &Key,
        timeout: Option<Duration>,
    ) {
        let Some(&at) = self.by_key.get(key) else {
            return reply(
                wire,
                ticket,
                Err(Failure::new(
                    FailureKind::NotFound,
                    format!("{key}: there is no such publication"),
                )),
            );
        };
        let answer = check_owner(&self.entries[at].publication, owner).and_then(|()| {
            let publication = &self.entries[at].publication;
            let can_start_over =
                publication.wanted.document.is_some() || publication.wanted.allow_empty;
            if !can_start_over && publication.live(now).is_none() {
                let message = "its state has run out and there is no document to publish anew";
                let failure = Failure::new(FailureKind::NotFound, message);
                return Err(self.entries[at].publication.describe(&failure));
            }
            let next = self.entries[at].publication.want_refresh(now);
            self.admit(now, wire, ticket, at, timeout, next)
        });
        if let Some(answer) = answer.transpose() {
            reply(wire, ticket, answer);
        }
    }

    /// `Publication:remove()`.
    pub(crate) fn remove(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        owner: &Owner,
        key: &Key,
        timeout: Option<Duration>,
    ) {
        let Some(&at) = self.by_key.get(key) else {
            return reply(wire, ticket, Ok(nothing_there(key.clone())));
        };
        let publication = &self.entries[at].publication;
        if let Err(failure) = check_owner(publication, owner) {
            return reply(wire, ticket, Err(failure));
        }
        match self.want_gone(now, at, false) {
            Some(next) => {
                if let Some(answer) = self.admit(now, wire, ticket, at, timeout, next).transpose() {
                    reply(wire, ticket, answer);
                }
            }
            None => {
                let result = self.end_unnamed(now, wire, at);
                reply(wire, ticket, result);
            }
        }
    }

    /// Ends a publication of which the server holds nothing that can be named. What it holds all the
    /// same stays up until it runs out, and whoever wanted it gone must know.
    fn end_unnamed(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        at: usize,
    ) -> Result<Published, Failure> {
        let publication = &mut self.entries[at].publication;
        publication.wanted.gone = true;
        let (key, maintain) = (publication.key.clone(), publication.wanted.maintain);
        let left = publication.left_behind(now).map(|failure| publication.describe(&failure));
        let (change, result) = match &left {
            Some(failure) if failure.kind == FailureKind::Sip => {
                (Change::Failed, Err(failure.clone()))
            }
            Some(_) | None => (Change::Removed, Ok(nothing_there(key))),
        };
        if maintain {
            self.tell(wire, at, change, left);
        }
        self.end(wire, at, false);
        result
    }

    /// Turns the wanted state to none; `None` when there is nothing at the server to remove.
    fn want_gone(&mut self, now: Instant, at: usize, at_once: bool) -> Option<Next> {
        let publication = &mut self.entries[at].publication;
        let is_in_flight = matches!(publication.state, State::InFlight { .. });
        if !is_in_flight && publication.live(now).is_none() {
            return None;
        }
        publication.wanted.gone = true;
        publication.wanted.until = None;
        Some(publication.want_removal(now, at_once))
    }

    /// Returns whether there is no publication, and nothing left of one that ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty()
            && self.by_key.is_empty()
            && self.lanes.is_idle()
            && self.ready.is_empty()
            && self.finals.is_empty()
    }

    /// Lists publications in order of their keys, or the one of a key.
    pub(crate) fn list(&self, owner: Option<&Owner>, key: Option<&Key>) -> Vec<PublicationInfo> {
        let (start, wall) = self.started;
        let unix = |at: Instant| {
            wall.0 as f64 / 1000.0 + at.saturating_duration_since(start).as_secs_f64()
        };
        let (one, all) = match key {
            Some(key) => (self.by_key.get(key), None),
            None => (None, Some(self.by_key.values())),
        };
        one.into_iter()
            .chain(all.into_iter().flatten())
            .map(|at| &self.entries[*at].publication)
            .filter(|publication| owner.is_none_or(|owner| publication.owner == *owner))
            .map(|publication| publication.info(unix))
            .collect()
    }

    /// Orderly stop.
    pub(crate) fn stop(&mut self, now: Instant, wire: &mut Wire, ticket: Ticket, limit: Duration) {
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
            let next = if wanted.on_stop == OnStop::Remove && wanted.maintain {
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

    /// Looks at a publication whose time has come.
    pub(crate) fn timeout(&mut self, now: Instant, wire: &mut Wire, scheduled: Instant, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        if entry.scheduled == Some(scheduled) {
            entry.scheduled = None;
        }
        self.expire_callers(now, wire, at);
        let next = self.entries[at].publication.handle_timeout(now);
        self.follow(wire, at, next);
        self.schedule(wire, at);
    }

    /// Takes the outcome of a request.
    pub(crate) fn handle_final(&mut self, at: usize, outcome: Final) {
        self.finals.push_back((at, outcome));
    }

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
                let (_, outcome) = requests.start(now, wire, at, draft);
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
        let Some(outcome_) = publication.handle_final(now, outcome, around) else {
            // It ended while its request was under way; others wait for the turn.
            self.release(at);
            return self.end(wire, at, false);
        };
        self.release(at);
        self.use_flow(wire, at, outcome);
        let Outcome { revision, result, change, warning, mut next } = outcome_;
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

    fn admit(
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

    /// Does what a machine asks for.
    fn follow(&mut self, wire: &mut Wire, at: usize, next: Next) {
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
        let Turn::Inside(server_) = std::mem::replace(&mut entry.turn, Turn::None) else { return };
        let key = entry.publication.key.clone();
        if let Some(next) = self.lanes.leave_gate(&server_) {
            self.take_turn(next, Turn::Inside(server_));
        }
        if let Some(next) = self.lanes.leave_lane(&lane(&key)) {
            let turn = self.lanes.pass_gate(next, server(&self.entries[next].publication.wanted));
            self.take_turn(next, turn);
        }
    }

    /// Ends a publication: nothing is sent for it any more. `tell`: its owner does not know yet.
    fn end(&mut self, wire: &mut Wire, at: usize, tell: bool) {
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

    fn check_stopped(&mut self, wire: &mut Wire) {
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

    fn insert(
        &mut self,
        now: Instant,
        wire: &Wire,
        key: Key,
        publish: &Publish,
        account: Option<Arc<Account>>,
        proxies: Arc<[Uri]>,
    ) -> Result<usize, Failure> {
        let most = wire.config.limits.publications;
        if self.by_key.len() >= most {
            return Err(Failure::new(
                FailureKind::Limit,
                format!("there are {most} publications already, the most this daemon keeps"),
            ));
        }
        let wanted = Wanted::new(now, publish, account, proxies, None);
        let publication = Publication::new(key.clone(), publish, wanted);
        let at = self.entries.insert(Entry {
            publication,
            turn: Turn::None,
            callers: Callers::default(),
            flow: None,
            scheduled: None,
        });
        self.by_key.insert(key, at);
        Ok(at)
    }

    fn forget(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.by_key.remove(&entry.publication.key);
    }

    fn proxies(&self, publish: &Publish, account: Option<&Account>) -> Result<Arc<[Uri]>, Failure> {
        let of_account =
            account.and_then(|account| self.account_proxies.get(&account_key(account)));
        let proxies: Arc<[Uri]> = if !publish.outbound_proxy.is_empty() {
            publish.outbound_proxy.as_slice().into()
        } else if let Some(proxies) = of_account.filter(|proxies| !proxies.is_empty()) {
            proxies.clone()
        } else {
            self.default_proxies.clone()
        };
        if proxies.len() > MOST_PROXIES {
            let message = format!(
                "outbound_proxy: there are {} proxies; name {MOST_PROXIES} at the most",
                proxies.len()
            );
            return Err(Failure::new(FailureKind::Usage, message));
        }
        let first_step = if proxies.is_empty() {
            std::slice::from_ref(&publish.presentity)
        } else {
            &proxies[..]
        };
        for uri in first_step {
            let field = if proxies.is_empty() { "presentity_uri" } else { "outbound_proxy" };
            locate::check_proxy(&publish.presentity, uri)
                .and_then(|()| locate::check(uri))
                .map_err(|error| Failure::new(FailureKind::Usage, format!("{field}: {error}")))?;
        }
        Ok(proxies)
    }

    fn schedule(&mut self, wire: &mut Wire, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        let caller = entry.callers.earliest.map(|at| Deadline { at, timer: Timer::Caller });
        let deadline =
            [entry.publication.poll_timeout(), caller].into_iter().flatten().min_by_key(|d| d.at);
        wire.timers.schedule(Whom::Publication(at), deadline, &mut entry.scheduled);
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

    fn satisfy_callers(&mut self, wire: &mut Wire, at: usize, revision: u32) {
        let done = self.entries[at].callers.take(|caller| caller.revision <= revision);
        if done.is_empty() {
            return;
        }
        let published = self.entries[at].publication.published(true);
        for caller in done {
            reply(wire, caller.ticket, Ok(published.clone()));
        }
    }

    fn fail_callers(&mut self, wire: &mut Wire, at: usize, failure: &Failure) {
        self.fail_callers_up_to(wire, at, failure, u32::MAX);
    }

    fn fail_callers_up_to(&mut self, wire: &mut Wire, at: usize, failure: &Failure, revision: u32) {
        for caller in self.entries[at].callers.take(|caller| caller.revision <= revision) {
            reply(wire, caller.ticket, Err(failure.clone()));
        }
    }

    /// Answers callers whose patience is over; their request goes on.
    fn expire_callers(&mut self, now: Instant, wire: &mut Wire, at: usize) {
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

    fn tell(&mut self, wire: &mut Wire, at: usize, change: Change, failure: Option<Failure>) {
        let event = self.entries[at].publication.event(change, failure);
        wire.outputs.push_back(Output::Event(Event::Publication(Box::new(event))));
    }
}

fn reply(wire: &mut Wire, ticket: Ticket, result: Result<Published, Failure>) {
    wire.outputs.push_back(Output::Reply { ticket, outcome: Reply::Publication(result) });
}

fn check_owner(publication: &Publication, owner: &Owner) -> Result<(), Failure> {
    if publication.owner == *owner {
        return Ok(());
    }
    let message = format!(
        "{}: this publication belongs to {}; give yours another id",
        publication.key, publication.owner
    );
    Err(Failure::new(FailureKind::Conflict, message))
}

fn find_account(wire: &Wire, publish: &Publish) -> Result<Option<Arc<Account>>, Failure> {
    let accounts = &wire.config.accounts;
    match &publish.account {
        None => Ok(accounts
            .iter()
            .find(|account| account.domain.eq_ignore_ascii_case(publish.presentity.host()))
            .cloned()),
        Some(name) => match accounts
            .iter()
            .find(|account| account.name.as_ref().unwrap_or(&account.domain) == name)
        {
            Some(account) => Ok(Some(account.clone())),
            None => {
                let known: Vec<_> = accounts
                    .iter()
                    .map(|a| a.name.as_ref().unwrap_or(&a.domain).as_str())
                    .collect();
                let message = format!(
                    "account: there is no account {name:?} (there are: {})",
                    known.join(", ")
                );
                Err(Failure::new(FailureKind::Usage, message))
            }
        },
    }
}

fn account_key(account: &Account) -> String {
    format!("{} {}", account.name.as_deref().unwrap_or(""), account.domain)
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

/// Each is tried in turn, and the caller waits for all of them.
const MOST_PROXIES: usize = 16;
