//! The machine of one publication (3903): what is wanted, what the server holds, what to do next.
//!
//! Says what should be sent and does not send it. Turns and windows are kept by
//! [`lane`], the set of publications and their callers by [`table`], the
//! meaning of failures by [`retry`].

mod lane;
mod retry;
mod table;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use retry::is_temporary;
pub(crate) use table::Publications;

use super::{
    config::Account,
    ids::Ids,
    io::{Deadline, Timer},
    message::Uri,
    package::package,
    request::{Answer, Draft, Final},
};
use crate::command::{
    Change, Document, EntityTag, EventType, ExtraHeaders, Failure, FailureKind, Key, Lifetime,
    OnStop, Owner, PublicationState, Publish, RefreshWith,
};
use retry::Verdict;

/// What PUBLISH does to event state: table 1 of RFC 3903 §4.1.
///
/// ```text
///   operation  body  SIP-If-Match  Expires
///   Initial    yes   no            > 0
///   Refresh    no    yes           > 0
///   Modify     yes   yes           > 0
///   Remove     no    yes           0
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `None` only for packages whose state may be all in headers.
    Initial {
        document: Option<Document>,
    },
    Refresh {
        entity_tag: EntityTag,
    },
    Modify {
        entity_tag: EntityTag,
        document: Document,
    },
    Remove {
        entity_tag: EntityTag,
    },
}

/// One publication.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) key: Key,
    pub(crate) owner: Owner,
    pub(crate) wanted: Wanted,
    /// Counts what was wanted, one after the other.
    pub(crate) revision: u32,
    /// The revision that brought the newest state; later ones asked for a refresh of it.
    content: u32,
    /// The revision the server has.
    up: u32,
    pub(crate) state: State,
    /// Failures in a row.
    attempt: u32,
    /// The next operation is an Initial although a tag is held.
    starts_over: bool,
    /// Whether the next success means that lost state is back.
    is_recovering: bool,
    /// The shortest lifetime the server takes, once a 423 has told.
    least_expires: u32,
    last_sent: Option<Instant>,
    pub(crate) last: Last,
}

/// What the user wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) presentity: Uri,
    pub(crate) event: EventType,
    pub(crate) document: Option<Document>,
    pub(crate) extra_headers: ExtraHeaders,
    pub(crate) proxies: Arc<[Uri]>,
    /// The proxies were named by a call, not by the configuration.
    pub(crate) has_own_proxies: bool,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) expires: u32,
    pub(crate) min_interval: Duration,
    /// When the state may end.
    pub(crate) until: Option<Instant>,
    pub(crate) refresh: RefreshWith,
    pub(crate) on_stop: OnStop,
    pub(crate) maintain: bool,
    pub(crate) allow_empty: bool,
    /// Whether the state shall be gone.
    pub(crate) gone: bool,
}

/// The last word from the server, for `info()`.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) status: Option<u16>,
    pub(crate) reason: Option<Arc<str>>,
    /// Seconds granted.
    pub(crate) expires: Option<u32>,
    pub(crate) requests: u32,
    pub(crate) failures: u32,
    pub(crate) failure: Option<Box<Failure>>,
}

/// State at the server that can still be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) entity_tag: EntityTag,
    pub(crate) expires_at: Instant,
    /// The tag came from the user, not from the server.
    is_given: bool,
}

/// ```text
///            lane                    2xx with a tag
///   Due ───────────▶ InFlight ─────────────────────▶ Published
///    ▲                │  │  └─2xx without─▶ Untagged    │
///    │      412       │  └─final──▶ Failed     │        │ refresh_at, or newer state
///    ├────────────────┤                │       │        │
///    │                └─retry─▶ Waiting│       │        │
///    └─────────until─────────────┴─────┴───────┴────────┘
/// ```
#[derive(Debug)]
pub(crate) enum State {
    /// Something is to be sent as soon as the lane lets it.
    Due { held: Option<Held> },
    /// A PUBLISH waits for its final response.
    InFlight { held: Option<Held>, sent: Sent },
    /// Up, until `lasts_until` for certain; nothing to do before `refresh_at`.
    Published { held: Held, refresh_at: Instant, lasts_until: Instant },
    /// Up, but nobody can name it: a new Initial when it has run out (PUB-21).
    Untagged { expires_at: Instant },
    /// Held back.
    Waiting { held: Option<Held>, until: Instant, why: Why },
    /// Attempts have stopped until somebody asks again.
    Failed { held: Option<Held> },
}

/// What left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    operation: Kind,
    pub(crate) revision: u32,
    /// It brings a state that the server does not have yet.
    is_news: bool,
    /// Seconds asked for.
    expires: u32,
}

/// What a decision needs besides the publication itself.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) ids: &'a mut Ids,
    /// See [`retry::backoff`].
    pub(crate) crowd: usize,
    pub(crate) timer_f: Duration,
}

/// An operation without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    Refresh,
    Modify,
    Remove,
}

/// Why a publication waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The last attempt failed.
    BackOff,
    /// `min_interval` is not over.
    Interval,
}

/// What an outcome or a deadline asks of the table.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing before the next deadline.
    Rest,
    /// Take a turn in the lane.
    Enter,
    /// The publication has ended; forget it.
    End,
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
    pub(crate) fn new(key: Key, publish: &Publish, wanted: Wanted) -> Self {
        Self {
            key,
            owner: publish.owner.clone(),
            wanted,
            revision: 0,
            content: 0,
            up: 0,
            state: State::Due { held: None },
            attempt: 0,
            starts_over: false,
            is_recovering: false,
            least_expires: 0,
            last_sent: None,
            last: Last::default(),
        }
    }

    /// Takes a newer wanted state; returns whether a request is due now.
    pub(crate) fn want(&mut self, now: Instant, wanted: Wanted, publish: &Publish) -> Next {
        // Without a body the call refreshes what is up, or what is on its way there.
        let is_new = publish.document.is_some()
            || wanted.gone != self.wanted.gone
            || wanted.document.is_none() && wanted.extra_headers != self.wanted.extra_headers
            || self.revision == 0;
        self.wanted = wanted;
        self.revision += 1;
        if is_new {
            self.content = self.revision;
        }
        self.start_over_when_failed();
        let needs_none = self.starts_over && !self.wanted.gone;
        let held = match &publish.entity_tag {
            Some(entity_tag) if needs_none || self.live(now).is_none() => {
                self.starts_over = false;
                let lifetime = Duration::from_secs(self.wanted.expires.max(FOREIGN_TAG).into());
                let entity_tag = entity_tag.clone();
                Some(Held { entity_tag, expires_at: now + lifetime, is_given: true })
            }
            Some(_) | None => self.live(now),
        };
        match &mut self.state {
            State::InFlight { .. } => Next::Rest,
            State::Waiting { held: kept, until, why: Why::BackOff } if *until > now => {
                *kept = held;
                Next::Rest
            }
            State::Due { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => self.due(now, held),
        }
    }

    /// Takes a newer wanted state that is the one already on its way: nothing more need be sent.
    /// Returns false when it is not.
    pub(crate) fn join(&mut self, wanted: &Wanted) -> bool {
        let is_same = !self.wanted.gone
            && self.wanted.document == wanted.document
            && self.wanted.extra_headers == wanted.extra_headers;
        let is_on_its_way = match &self.state {
            State::Due { .. } | State::InFlight { .. } | State::Waiting { .. } => true,
            State::Published { .. } | State::Untagged { .. } | State::Failed { .. } => false,
        };
        is_same && is_on_its_way && self.revision > 0
    }

    /// Takes the wish that the state be gone; what is to be removed is there, or on its way.
    /// `at_once`: a back-off does not hold it.
    pub(crate) fn want_removal(&mut self, now: Instant, at_once: bool) -> Next {
        self.revision += 1;
        match &self.state {
            State::InFlight { .. } => Next::Rest,
            State::Waiting { until, why: Why::BackOff, .. } if *until > now && !at_once => {
                Next::Rest
            }
            State::Due { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => {
                let held = self.live(now);
                self.due(now, held)
            }
        }
    }

    /// Asks for a refresh of what is up.
    pub(crate) fn want_refresh(&mut self, now: Instant) -> Next {
        self.revision += 1;
        match &self.state {
            State::InFlight { .. } => Next::Rest,
            State::Waiting { until, why: Why::BackOff, .. } if *until > now => Next::Rest,
            State::Due { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => {
                self.start_over_when_failed();
                let held = self.live(now);
                self.due(now, held)
            }
        }
    }

    /// After a final failure a call starts over with an Initial; only a removal, or a refresh without
    /// a document, still needs the tag. It is kept until the Initial succeeds: what it names is up.
    fn start_over_when_failed(&mut self) {
        let can_start_over =
            !self.wanted.gone && (self.wanted.document.is_some() || self.wanted.allow_empty);
        self.starts_over |= can_start_over && matches!(self.state, State::Failed { .. });
    }

    /// Turns to `Due`, unless the interval between two PUBLISHes holds it back.
    fn due(&mut self, now: Instant, held: Option<Held>) -> Next {
        if let Some(mut until) = self.interval_end(now) {
            // A refresh that falls due before keeps the state up, and takes the newest along.
            if let State::Published { refresh_at: earlier, .. }
            | State::Waiting { until: earlier, why: Why::Interval, .. } = &self.state
            {
                until = until.min(*earlier);
            }
            // Nor does the interval hold back what queues for its turn already, when the state would
            // run out before.
            if matches!(&self.state, State::Due { held: Some(held) } if held.expires_at <= until) {
                self.state = State::Due { held };
                return Next::Enter;
            }
            self.state = State::Waiting { held, until, why: Why::Interval };
            return Next::Rest;
        }
        self.state = State::Due { held };
        Next::Enter
    }

    /// Returns the end of the interval that holds the next PUBLISH back.
    pub(crate) fn interval_end(&self, now: Instant) -> Option<Instant> {
        self.last_sent
            .map(|sent| sent + self.wanted.min_interval)
            .filter(|until| *until > now && !self.wanted.gone)
    }

    /// Returns what to send, now that the lane is ours; `None` when nothing is left to do.
    pub(crate) fn operation(&self, now: Instant) -> Option<Operation> {
        let document = self.wanted.document.clone();
        let held = match &self.state {
            State::Due { held } => held
                .as_ref()
                .filter(|held| held.expires_at > now && (self.wanted.gone || !self.starts_over)),
            State::InFlight { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => {
                return None;
            }
        };
        match (held, document) {
            (Some(held), _) if self.wanted.gone => {
                Some(Operation::Remove { entity_tag: held.entity_tag.clone() })
            }
            (None, _) if self.wanted.gone => None,
            (None, Some(document)) => Some(Operation::Initial { document: Some(document) }),
            (None, None) => {
                self.wanted.allow_empty.then_some(Operation::Initial { document: None })
            }
            (Some(held), None) => Some(Operation::Refresh { entity_tag: held.entity_tag.clone() }),
            (Some(held), Some(document)) => {
                let entity_tag = held.entity_tag.clone();
                let is_changed = self.up < self.content || held.is_given;
                if is_changed || self.wanted.refresh == RefreshWith::Body {
                    Some(Operation::Modify { entity_tag, document })
                } else {
                    Some(Operation::Refresh { entity_tag })
                }
            }
        }
    }

    /// Notes that an operation leaves now, and returns what it says.
    pub(crate) fn begin(&mut self, now: Instant, operation: Operation) -> Draft {
        let held = self.live(now);
        let (kind, entity_tag, document) = match operation {
            Operation::Initial { document } => (Kind::Initial, None, document),
            Operation::Refresh { entity_tag } => (Kind::Refresh, Some(entity_tag), None),
            Operation::Modify { entity_tag, document } => {
                (Kind::Modify, Some(entity_tag), Some(document))
            }
            Operation::Remove { entity_tag } => (Kind::Remove, Some(entity_tag), None),
        };
        self.starts_over &= kind == Kind::Initial;
        // What a foreign tag names is up already when it is only refreshed.
        let is_news = self.up < self.content && !(kind == Kind::Refresh && self.up == 0);
        let expires = if kind == Kind::Remove { 0 } else { self.asked(now) };
        let sent = Sent { operation: kind, revision: self.revision, is_news, expires };
        self.state = State::InFlight { held, sent };
        self.last_sent = Some(now);
        self.last.requests += 1;
        Draft {
            presentity: self.wanted.presentity.clone(),
            event: self.wanted.event.as_str().into(),
            expires,
            entity_tag,
            document,
            extra_headers: self.wanted.extra_headers.clone(),
            account: self.wanted.account.clone(),
            proxies: self.wanted.proxies.clone(),
        }
    }

    /// Returns the lifetime to ask for: what the user says, or what is left of the wanted one, and
    /// no less than the server takes.
    fn asked(&self, now: Instant) -> u32 {
        let left = self.wanted.until.map_or(u32::MAX, |until| {
            let left = until.saturating_duration_since(now);
            // Rounded up: a second too long at the server is better than a gap.
            (left.as_millis().div_ceil(1000)).try_into().unwrap_or(u32::MAX)
        });
        self.wanted.expires.min(left.max(1)).max(self.least_expires)
    }

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

    /// Fires what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Next {
        if matches!(self.state, State::InFlight { .. }) {
            return Next::Rest;
        }
        if self.wanted.until.is_some_and(|until| until <= now) {
            return Next::End;
        }
        match &self.state {
            State::Published { refresh_at, .. } if *refresh_at <= now => {
                self.state = State::Due { held: self.live(now) };
                Next::Enter
            }
            State::Untagged { expires_at } if *expires_at <= now => {
                self.state = State::Due { held: None };
                Next::Enter
            }
            State::Waiting { until, .. } if *until <= now => {
                let held = self.live(now);
                if held.is_none() && self.wanted.gone {
                    return Next::End;
                }
                self.state = State::Due { held };
                Next::Enter
            }
            State::Due { .. }
            | State::InFlight { .. }
            | State::Published { .. }
            | State::Untagged { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => Next::Rest,
        }
    }

    /// Returns the next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let state = match &self.state {
            State::Due { .. } | State::InFlight { .. } | State::Failed { .. } => None,
            State::Published { refresh_at, lasts_until, .. } => match self.wanted.until {
                // The server drops it by itself when nobody wants it any more.
                Some(until) if until <= *lasts_until + Duration::from_secs(1) => None,
                Some(_) | None => Some(Deadline { at: *refresh_at, timer: Timer::Refresh }),
            },
            State::Untagged { expires_at } => {
                Some(Deadline { at: *expires_at, timer: Timer::Expiry })
            }
            State::Waiting { until, why: Why::BackOff, .. } => {
                Some(Deadline { at: *until, timer: Timer::Retry })
            }
            State::Waiting { until, why: Why::Interval, .. } => {
                Some(Deadline { at: *until, timer: Timer::Interval })
            }
        };
        let in_flight = matches!(self.state, State::InFlight { .. });
        let lifetime = self
            .wanted
            .until
            .filter(|_| !in_flight)
            .map(|at| Deadline { at, timer: Timer::Lifetime });
        [state, lifetime].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// Returns what the server holds and still will hold for a moment.
    pub(crate) fn live(&self, now: Instant) -> Option<Held> {
        self.held().filter(|held| held.expires_at > now).cloned()
    }

    /// Returns what the server held when last heard of.
    pub(crate) fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Published { held, .. } => Some(held),
            State::Due { held }
            | State::InFlight { held, .. }
            | State::Waiting { held, .. }
            | State::Failed { held } => held.as_ref(),
            State::Untagged { .. } => None,
        }
    }

    /// Returns what stays at the server when nothing can be removed: `Sip` for state that is up
    /// without a tag, `Timeout` for what an unanswered Initial may have left.
    pub(crate) fn left_behind(&self, now: Instant) -> Option<Failure> {
        let last_is_lost =
            self.last.failure.as_ref().is_some_and(|last| last.kind == FailureKind::Timeout);
        let (until, kind, what) = match &self.state {
            State::Untagged { expires_at } => {
                let what = "the server gave no entity-tag, so the state cannot be removed";
                (*expires_at, FailureKind::Sip, what)
            }
            State::Waiting { held: None, why: Why::BackOff, .. } if last_is_lost => {
                let lifetime = self.wanted.expires.max(self.least_expires);
                let until = self.last_sent? + Duration::from_secs(lifetime.into());
                let what =
                    "the last PUBLISH got no answer; if it arrived, its state cannot be removed";
                (until, FailureKind::Timeout, what)
            }
            _ => return None,
        };
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let message = format!("{what}; it runs out in {} s", left.as_secs_f32().ceil());
        let mut failure = Failure::new(kind, message);
        if kind == FailureKind::Sip {
            failure.status = self.last.status;
            failure.reason = self.last.reason.clone();
        }
        Some(failure)
    }

    /// Returns whether the state at the server is the one wanted, so that nothing need be sent.
    pub(crate) fn is_up(&self, document: Option<&Document>, headers: &ExtraHeaders) -> bool {
        matches!(self.state, State::Published { .. } | State::Untagged { .. })
            && self.up == self.revision
            && self.wanted.document.as_ref() == document
            && self.wanted.extra_headers == *headers
    }

    /// Returns the failure behind a back-off, with the time that is left of it.
    pub(crate) fn back_off(&self, now: Instant) -> Option<Failure> {
        match &self.state {
            State::Waiting { until, why: Why::BackOff, .. } if *until > now => {
                let mut failure = self
                    .last
                    .failure
                    .as_deref()
                    .cloned()
                    .unwrap_or_else(|| Failure::new(FailureKind::Io, "waiting"));
                failure.retry_after = Some(*until - now);
                failure.retrying = true;
                Some(failure)
            }
            _ => None,
        }
    }

    /// Returns what `info().state` shows.
    pub(crate) fn shown(&self) -> PublicationState {
        match &self.state {
            State::Published { .. } | State::Untagged { .. } => PublicationState::Published,
            State::Failed { .. } => PublicationState::Failed,
            State::Waiting { why: Why::BackOff, .. } => PublicationState::Retrying,
            State::Due { held } | State::InFlight { held, .. } | State::Waiting { held, .. } => {
                if self.attempt > 0 {
                    PublicationState::Retrying
                } else if held.is_some() && self.up > 0 {
                    PublicationState::Published
                } else {
                    PublicationState::Pending
                }
            }
        }
    }
}

impl Wanted {
    /// Takes what a call says; a call without a body keeps the document.
    pub(crate) fn new(
        now: Instant,
        publish: &Publish,
        account: Option<Arc<Account>>,
        proxies: Arc<[Uri]>,
        kept: Option<&Self>,
    ) -> Self {
        let package = package(publish.event.package());
        // Rounded up: half a second asks for something, and only zero for removal.
        let expires = publish.expires.as_millis().div_ceil(1000).try_into().unwrap_or(u32::MAX);
        let own_proxies =
            kept.filter(|kept| publish.outbound_proxy.is_empty() && kept.has_own_proxies);
        Self {
            presentity: publish.presentity.clone(),
            event: publish.event.clone(),
            document: publish.document.clone().or_else(|| kept?.document.clone()),
            extra_headers: publish.extra_headers.clone(),
            has_own_proxies: own_proxies.is_some() || !publish.outbound_proxy.is_empty(),
            proxies: own_proxies.map_or(proxies, |kept| kept.proxies.clone()),
            account,
            expires,
            min_interval: publish.min_interval,
            until: match publish.lifetime {
                // A removal is driven until it is done.
                _ if expires == 0 => None,
                Lifetime::Forever => None,
                Lifetime::For(lifetime) => now.checked_add(lifetime),
            },
            refresh: publish.refresh.unwrap_or(package.refresh),
            on_stop: publish.on_stop,
            maintain: publish.maintain,
            allow_empty: publish.allow_empty || package.empty_body,
            gone: expires == 0,
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

/// How long a foreign tag is believed in when it is only to be removed, in seconds.
const FOREIGN_TAG: u32 = 60;
