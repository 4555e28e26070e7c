//! What a user may ask of the core, parsed and checked.
//!
//! Lua, the command line and (later) RPC all turn their input into these
//! types; past this point nobody asks whether a number was a number. Sending,
//! retrying and keeping alive are the business of [`sip`](crate::sip).

mod duration;
mod headers;
mod outcome;
mod publish;
mod size;
mod suggest;

pub use duration::{DurationError, duration_of, parse_duration, spell_duration, whole_seconds};
pub use headers::{ExtraHeaders, HeaderError};
pub use outcome::{
    Cause, Change, Failure, FailureKind, PublicationEvent, PublicationInfo, PublicationState,
    Published,
};
pub use publish::{
    Document, EntityTag, EventError, EventType, Key, Lifetime, MOST_PROXIES, OnOrphan, OnStop,
    Owner, Publish, RefreshWith, TagError,
};

pub use size::{SizeError, parse_size};
pub use suggest::closest;

use std::{sync::Arc, time::Duration};

use crate::sip::{config::Account, message::Uri};

/// One request to the core; its answer carries the same ticket.
#[derive(Debug, Clone)]
pub enum Command {
    /// Sets the wanted state of one publication (boxed: far larger than its neighbours).
    Publish(Box<Publish>),
    /// Sends one Refresh now, or a Modify with the kept document where the package asks for it.
    Refresh { owner: Owner, key: Key, timeout: Option<Duration> },
    /// Ends a publication. Removing what is not there succeeds with `sent = false`.
    Remove { owner: Owner, key: Key, timeout: Option<Duration> },
    /// Lets go of publications of an owner: those of `keys`, or all. Each is removed or kept up
    /// without an owner, as its `on_orphan` says.
    Abandon { owner: Owner, keys: Option<Vec<Key>> },
    /// Lists publications, all of them or those of one owner, ordered by key; with a key that one alone.
    Publications { owner: Option<Owner>, key: Option<Key> },
    /// Uses these accounts from now on, and these proxies where neither a call nor an account names
    /// one. Publications that failed for good under an account that has changed start over.
    Accounts { accounts: Vec<Arc<Account>>, outbound_proxy: Vec<Uri> },
    /// Ends everything in order: publications with `on_stop = remove` are removed, or all that are
    /// kept up with `remove_all`; the rest is left to run out. Answered when nothing is in flight
    /// any more, or after `limit`.
    Stop { limit: Duration, remove_all: bool },
}

/// The answer to a [`Command`].
#[derive(Debug, Clone)]
pub enum Reply {
    /// To `Publish`, `Refresh` and `Remove`.
    Publication(Result<Published, Failure>),
    /// To `Publications`.
    Publications(Vec<PublicationInfo>),
    /// To `Abandon`: what is being removed, and what is kept up without an owner.
    Abandoned { removed: Vec<Key>, kept: Vec<Key> },
    /// To `Accounts`: how many publications go another way from now on, or by other credentials.
    Accounts { changed: usize },
    /// To `Stop`: how many removals were still unanswered when the limit passed.
    Stopped { unanswered: usize },
}
