//! The set of publications: keys, owners, and what callers ask of them.
//!
//! Glue between the machines, their lanes and the requests under way; decides
//! nothing about RFC 3903 itself. Those who wait are kept by [`callers`], turns are taken in [`turns`],
//! owners come and go in [`owners`], the end of all is in [`stop`], the way to the server in
//! [`accounts`].

mod accounts;
mod callers;
mod owners;
mod stop;
mod turns;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    Next, Publication, State,
    lane::{Lanes, Turn},
    report::nothing_there,
    wanted::Wanted,
};
use crate::{
    command::{Change, Failure, FailureKind, Key, Owner, PublicationInfo, Publish, Published},
    sip::{
        config::Account,
        io::{Deadline, Event, FlowId, Output, Ticket, Timer, UnixMillis},
        message::Uri,
        request::Final,
        stats::Observed,
        timers::Whom,
        wire::Wire,
    },
};
use accounts::{find_account, proxies_by_account};
use callers::{Callers, reply};
use owners::check_owner;
use stop::Stop;

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
            account_proxies: proxies_by_account(&config.accounts),
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
                let publication = &mut self.entries[*at].publication;
                if publication.owner == Owner::Nobody {
                    publication.owner = publish.owner.clone();
                }
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
        let may_skip = publish.adopts || publish.skip_unchanged && publish.document.is_some();
        if may_skip && !wanted.gone {
            if publication.is_up(wanted.document.as_ref(), &publish.extra_headers) {
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

    /// Counts publications by event package and state, and by owner.
    pub(crate) fn count(&self, observed: &mut Observed) {
        for at in self.by_key.values() {
            let publication = &self.entries[*at].publication;
            let package = publication.wanted.event.package().to_owned();
            *observed.publications.entry((package, publication.shown())).or_default() += 1;
            *observed.owners.entry(publication.owner.clone()).or_default() += 1;
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

    fn schedule(&mut self, wire: &mut Wire, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        let caller = entry.callers.earliest.map(|at| Deadline { at, timer: Timer::Caller });
        let deadline =
            [entry.publication.poll_timeout(), caller].into_iter().flatten().min_by_key(|d| d.at);
        wire.timers.schedule(Whom::Publication(at), deadline, &mut entry.scheduled);
    }

    fn tell(&mut self, wire: &mut Wire, at: usize, change: Change, failure: Option<Failure>) {
        let event = self.entries[at].publication.event(change, failure);
        wire.outputs.push_back(Output::Event(Event::Publication(Box::new(event))));
    }
}
