//! What is sent, and what it says.
//!
//! When something is due is left to the [machine](super), what an answer makes of it to
//! [`outcome`](super::outcome).

use std::time::Instant;

use super::{Publication, State};
use crate::{
    command::{Document, EntityTag, RefreshWith},
    sip::request::Draft,
};

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

/// What left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(super) operation: Kind,
    pub(crate) revision: u32,
    /// It brings a state that the server does not have yet.
    pub(super) is_news: bool,
    /// Seconds asked for.
    pub(super) expires: u32,
}

/// An operation without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    Refresh,
    Modify,
    Remove,
}

impl Kind {
    /// Returns the word that counters go by.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Refresh => "refresh",
            Self::Modify => "modify",
            Self::Remove => "remove",
        }
    }
}

impl Publication {
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
        // Once per operation: the attempts at it, with credentials or at another hop, are the same.
        let document = document.map(|document| {
            let numbered = document.numbered(self.version);
            self.version = self.version.saturating_add(document.version.is_some().into());
            numbered
        });
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
}
