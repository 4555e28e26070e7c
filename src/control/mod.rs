//! The control socket: how `puad ls`, `show`, `reload`, `resume`, `stop` and `logs` reach a running
//! puad.
//!
//! This file holds what can be asked and answered. [`rpc`] is how it looks on the wire, [`server`]
//! and [`client`] are its two ends, [`socket`] is where they meet, [`rows`] what lists show. Who
//! carries requests out is decided by [`daemon`](crate::daemon).

pub mod client;
pub mod rows;
mod rpc;
pub mod server;
pub mod socket;

use serde_json::Value;
use tokio::sync::oneshot;

/// What the owner of scripts and core is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Lists things.
    List(What),
    /// Shows one publication in full: the one with this key, or the only one whose key holds this text.
    Show { key: String },
    /// Reloads the configuration and all scripts, or one script.
    Reload { name: Option<String> },
    /// Lets a script that is on hold run again.
    Resume { name: String },
    /// Stops puad; answered when everything has ended. `remove`: what would be kept is removed, too.
    Stop { remove: bool },
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Scripts: see [`rows::ScriptRow`].
    Scripts,
    /// Publications of all owners, as their `info()`.
    Publications,
    /// Subscriptions of all owners, as their `info()`.
    Subscriptions,
    /// Timers of all scripts: see [`rows::TimerRow`].
    Timers,
}

impl What {
    /// All of them, by the words of the command line.
    pub const ALL: [(&'static str, Self); 4] = [
        ("scripts", Self::Scripts),
        ("publications", Self::Publications),
        ("subscriptions", Self::Subscriptions),
        ("timers", Self::Timers),
    ];

    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scripts => "scripts",
            Self::Publications => "publications",
            Self::Subscriptions => "subscriptions",
            Self::Timers => "timers",
        }
    }
}

/// A request and where its answer goes. A dropped receiver is fine: it is carried out all the same.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// What comes of a request: a value for whoever asked, as JSON.
pub type Answer = Result<Value, Refusal>;

/// Why a request that was understood was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What a program can tell apart.
    pub kind: RefusalKind,
    /// One line for people: what, and what would help.
    pub message: String,
    /// What could have been meant, for `Ambiguous`.
    pub candidates: Vec<String>,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Nothing goes by this name.
    NotFound,
    /// Several things do.
    Ambiguous,
    /// It was tried and did not work, such as a script that does not compile.
    Failed,
    /// This version cannot do it.
    Unavailable,
    /// puad is stopping.
    Closed,
}

impl RefusalKind {
    /// Returns the word that stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
            Self::Closed => "closed",
        }
    }
}

impl Refusal {
    /// Returns a refusal without candidates.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), candidates: Vec::new() }
    }
}
