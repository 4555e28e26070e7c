//! The machine of one publication (3903): what is wanted, what the server holds, what to do next.
//!
//! Says what should be sent and does not send it. What the user wants is written in [`wanted`], what
//! a request says in [`operation`], what an answer makes of it in [`outcome`] and what is shown of it
//! in [`report`]. Turns and windows are kept by [`lane`], the set of publications and their callers by
//! [`table`], the meaning of failures by [`retry`].

mod lane;
mod operation;
mod outcome;
mod report;
mod retry;
mod table;
mod wanted;

use std::time::{Duration, Instant};

pub use retry::is_temporary;
pub(crate) use table::Publications;

use super::io::{Deadline, Timer};
use crate::command::{Document, EntityTag, ExtraHeaders, Key, Owner, Publish};
use operation::Sent;
use report::Last;
use wanted::Wanted;

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
    /// The number of the next document that is counted. It grows with each that leaves, whatever
    /// becomes of it, and never starts over: watchers discard what is not newer (4235 §4.3).
    version: u32,
    pub(crate) last: Last,
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
            version: 0,
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

    /// Returns whether the state at the server is the one wanted, so that nothing need be sent.
    pub(crate) fn is_up(&self, document: Option<&Document>, headers: &ExtraHeaders) -> bool {
        matches!(self.state, State::Published { .. } | State::Untagged { .. })
            && self.up == self.revision
            && self.wanted.document.as_ref() == document
            && self.wanted.extra_headers == *headers
    }
}

/// How long a foreign tag is believed in when it is only to be removed, in seconds.
const FOREIGN_TAG: u32 = 60;
