//! What came of a command: one shape for Lua, the command line and RPC.

use std::{fmt, sync::Arc, time::Duration};

use super::{EntityTag, Key, Owner};

/// What a successful publish, refresh or removal returns.
#[derive(Debug, Clone)]
pub struct Published {
    /// The publication.
    pub key: Key,
    /// Its state after the call.
    pub state: PublicationState,
    /// Whether this call led to a request of its own or was folded into one.
    pub sent: bool,
    /// Status code and reason phrase of the final answer, if one was received.
    pub status: Option<u16>,
    /// The reason phrase as the server wrote it.
    pub reason: Option<Arc<str>>,
    /// The entity-tag now held.
    pub entity_tag: Option<EntityTag>,
    /// The lifetime the server granted.
    pub expires: Option<Duration>,
}

/// Why a command did not succeed, and whether puad goes on by itself.
///
/// `Display` is one line for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The kind, which is the `code` a script branches on.
    pub kind: FailureKind,
    /// One line: what happened, to whom, and what would help.
    pub message: String,
    /// The status of a received answer, and of nothing else.
    pub status: Option<u16>,
    /// Its reason phrase.
    pub reason: Option<Arc<str>>,
    /// When the next attempt is due at the earliest.
    pub retry_after: Option<Duration>,
    /// Whether the wanted state is still being driven to the server.
    pub retrying: bool,
    /// What was being waited for when the call's time ran out.
    pub cause: Option<Cause>,
}

impl Failure {
    /// Returns a failure of `kind` with a message and nothing else.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            reason: None,
            retry_after: None,
            retrying: false,
            cause: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The codes of API errors that the core can raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// A final SIP answer.
    Sip,
    /// No answer in time.
    Timeout,
    /// No usable record.
    Dns,
    /// Connection refused.
    Refused,
    /// The TLS handshake failed.
    Tls,
    /// Another error of the network.
    Io,
    /// The key belongs to somebody else.
    Conflict,
    /// A limit of the host.
    Limit,
    /// The publication is not there.
    NotFound,
    /// The daemon or the script is ending.
    Closed,
    /// The call makes no sense, such as an Initial without a body.
    Usage,
}

impl FailureKind {
    /// Returns the text scripts compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Tls => "tls",
            Self::Io => "io",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::NotFound => "not_found",
            Self::Closed => "closed",
            Self::Usage => "usage",
        }
    }
}

/// What a call was waiting for when its time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A later attempt, held back by back-off, Retry-After or an interval.
    Waiting,
    /// Another PUBLISH to the same Request-URI.
    Lane,
    /// The answer to the request in flight (Timer F).
    TimerF,
}

impl Cause {
    /// Returns the text scripts compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Lane => "lane",
            Self::TimerF => "timer_f",
        }
    }
}

/// What `info().state` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublicationState {
    /// Wanted, not yet answered.
    Pending,
    /// Up at the server.
    Published,
    /// Being driven back up after a failure.
    Retrying,
    /// Automatic attempts have stopped; the wanted state is kept.
    Failed,
    /// Ended.
    Removed,
}

impl PublicationState {
    /// Returns the text scripts compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Published => "published",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// What changed for a publication, as `on_state` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new state is up.
    Published,
    /// The state up was extended.
    Refreshed,
    /// It is up again after a failure.
    Recovered,
    /// An attempt failed; another follows by itself.
    Retrying,
    /// Attempts have stopped.
    Failed,
    /// It has ended.
    Removed,
}

impl Change {
    /// Returns the text scripts compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Refreshed => "refreshed",
            Self::Recovered => "recovered",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// A change of one publication, told to its owner.
#[derive(Debug, Clone)]
pub struct PublicationEvent {
    /// Whose publication it is.
    pub owner: Owner,
    /// Which one.
    pub key: Key,
    /// What changed.
    pub change: Change,
    /// Whether it is up for the first time.
    pub is_first: bool,
    /// The answer behind the change, if there was one.
    pub status: Option<u16>,
    /// Its reason phrase.
    pub reason: Option<Arc<str>>,
    /// The entity-tag now held.
    pub entity_tag: Option<EntityTag>,
    /// The lifetime granted.
    pub expires: Option<Duration>,
    /// What went wrong, for `Retrying` and `Failed`, and as a warning beside `Published`
    /// (an answer without an entity-tag) and `Removed` (a PUBLISH without an answer may be up).
    pub failure: Option<Failure>,
}

/// One publication as `info()` and `puad ls` show it. Times are UNIX seconds.
#[derive(Debug, Clone)]
pub struct PublicationInfo {
    /// The canonical key.
    pub key: Key,
    /// The presentity as the user wrote it, a password masked.
    pub presentity_uri: Arc<str>,
    /// The event type as the user wrote it.
    pub event: Arc<str>,
    /// The series key.
    pub id: Arc<str>,
    /// Who owns it.
    pub owner: Owner,
    /// Where it stands.
    pub state: PublicationState,
    /// The entity-tag held.
    pub entity_tag: Option<EntityTag>,
    /// When the state at the server runs out.
    pub expires_at: Option<f64>,
    /// When the next request is due by itself.
    pub next_refresh: Option<f64>,
    /// The last answer.
    pub status: Option<u16>,
    /// Its reason phrase.
    pub reason: Option<Arc<str>>,
    /// PUBLISH requests sent, retries included.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// The last failure, in one line.
    pub last_error: Option<Arc<str>>,
    /// The kept document, shared and not copied.
    pub document: Option<super::Document>,
}
