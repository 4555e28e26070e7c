//! What callers and scripts are shown of a publication.
//!
//! Whom to show it, and when, is left to [`table`](super::table).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Publication, State, Why};
use crate::{
    command::{
        Change, Failure, FailureKind, Key, PublicationEvent, PublicationInfo, PublicationState,
        Published,
    },
    sip::io::Timer,
};

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

impl Publication {
    /// Returns the event that tells of a change.
    pub(super) fn event(&self, change: Change, failure: Option<Failure>) -> PublicationEvent {
        let is_up = matches!(change, Change::Published | Change::Refreshed | Change::Recovered);
        // Without an answer behind it a change has no status, whatever was said before.
        let is_answered = is_up || failure.as_ref().is_none_or(|failure| failure.status.is_some());
        PublicationEvent {
            owner: self.owner.clone(),
            key: self.key.clone(),
            change,
            is_first: change == Change::Published && self.last.requests == self.last.failures + 1,
            status: self.last.status.filter(|_| is_answered),
            reason: self.last.reason.clone().filter(|_| is_answered),
            entity_tag: self.held().map(|held| held.entity_tag.clone()),
            expires: self.last.expires.filter(|_| is_up).map(|s| Duration::from_secs(s.into())),
            failure,
        }
    }

    /// Names the publication in front of a failure and what follows behind it.
    pub(super) fn describe(&self, failure: &Failure) -> Failure {
        let mut failure = failure.clone();
        let then = match failure.retry_after.filter(|_| failure.retrying) {
            Some(wait) => format!("; next attempt in {}", in_words(wait)),
            None if failure.retrying || !self.wanted.maintain => String::new(),
            None if failure.status.is_some_and(|status| status < 300) => String::new(),
            None => "; attempts have stopped until the next call".into(),
        };
        failure.message = format!(
            "{} {}: {}{then}",
            self.wanted.presentity.as_ref().masked(),
            self.wanted.event,
            failure.message
        );
        failure
    }

    pub(super) fn published(&self, sent: bool) -> Published {
        Published {
            key: self.key.clone(),
            state: if self.wanted.gone && self.held().is_none() {
                PublicationState::Removed
            } else {
                self.shown()
            },
            sent,
            status: self.last.status,
            reason: self.last.reason.clone(),
            entity_tag: self.held().map(|held| held.entity_tag.clone()),
            expires: self.last.expires.map(|s| Duration::from_secs(s.into())),
        }
    }

    /// Returns what `info()` shows. `unix` turns an instant into seconds since 1970.
    pub(super) fn info(&self, unix: impl Fn(Instant) -> f64) -> PublicationInfo {
        let held = self.held();
        let expires_at = match &self.state {
            State::Untagged { expires_at } => Some(*expires_at),
            _ => held.map(|held| held.expires_at),
        };
        PublicationInfo {
            key: self.key.clone(),
            presentity_uri: self.wanted.presentity.as_ref().masked().into(),
            event: self.wanted.event.as_str().into(),
            id: self.id().into(),
            owner: self.owner.clone(),
            state: self.shown(),
            entity_tag: held.map(|held| held.entity_tag.clone()),
            expires_at: expires_at.map(&unix),
            next_refresh: self
                .poll_timeout()
                .filter(|d| d.timer != Timer::Lifetime)
                .map(|d| unix(d.at)),
            status: self.last.status,
            reason: self.last.reason.clone(),
            requests: self.last.requests.into(),
            failures: self.last.failures.into(),
            last_error: self.last.failure.as_ref().map(|failure| failure.message.as_str().into()),
            document: self.wanted.document.clone(),
        }
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

    /// The series key is what follows URI and event, which may hold blanks in a quoted parameter.
    fn id(&self) -> &str {
        let event = presentity(&self.key).len() + 1;
        self.key.as_str().get(event + self.wanted.event.canonical().len() + 1..).unwrap_or_default()
    }
}

pub(super) fn nothing_there(key: Key) -> Published {
    Published {
        key,
        state: PublicationState::Removed,
        sent: false,
        status: None,
        reason: None,
        entity_tag: None,
        expires: None,
    }
}

/// The canonical presentity is the first word of the key.
pub(super) fn presentity(key: &Key) -> &str {
    key.as_str().split(' ').next().unwrap_or_default()
}

fn in_words(wait: Duration) -> String {
    if wait < Duration::from_secs(10) {
        format!("{:.1} s", wait.as_secs_f32())
    } else {
        format!("{} s", wait.as_secs())
    }
}
