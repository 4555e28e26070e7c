//! What an agent is told: what it serves, what it grants, whom it trusts, and how it misbehaves.

use std::time::Duration;

use crate::sip::{Secret, auth::Algorithm, transaction::Timing};

/// Settings of an [`Agent`](super::Agent). The default serves the three known packages to everybody.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether any event package is taken, with any content type. Otherwise there are
    /// `presence`, `message-summary` and `dialog`, each with its own type of document.
    pub any_event: bool,
    /// What is granted to publications and to subscriptions.
    pub expires: Expires,
    /// Whose credentials PUBLISH and SUBSCRIBE must carry; `None`: nobody is asked.
    pub digest: Option<Digest>,
    /// T1, T2 and T4 for repeats of NOTIFY.
    pub timing: Timing,
    /// Bounds on what the network can make the agent keep.
    pub limits: Limits,
}

/// How a lifetime is granted, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expires {
    /// Granted to who asks for none (an hour).
    pub default: Duration,
    /// Who asks for less, but not for zero, gets a 423 (one second, so nobody does).
    pub min: Duration,
    /// Who asks for more gets this (a day).
    pub max: Duration,
}

impl Default for Expires {
    fn default() -> Self {
        Self {
            default: Duration::from_secs(3600),
            min: Duration::from_secs(1),
            max: Duration::from_secs(24 * 3600),
        }
    }
}

impl Expires {
    /// Returns what is granted to who asks for `asked`; `None` when it is too brief.
    pub(super) fn grant(&self, asked: Option<Duration>) -> Option<Duration> {
        match asked {
            None => Some(self.default),
            Some(asked) if !asked.is_zero() && asked < self.min => None,
            Some(asked) => Some(asked.min(self.max)),
        }
    }
}

/// The one user a challenged request must come from.
#[derive(Debug, Clone)]
pub struct Digest {
    /// The realm of the challenge.
    pub realm: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// What is offered, a challenge each, in this order (8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// A nonce older than this is stale.
    pub nonce_lifetime: Duration,
}

impl Digest {
    /// Returns a digest that offers SHA-256 and MD5 with nonces of five minutes.
    pub fn new(realm: &str, username: &str, password: &str) -> Self {
        Self {
            realm: realm.into(),
            username: username.into(),
            password: Secret::new(password),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
        }
    }
}

/// Bounds on what the network can make the agent keep.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Publications (100,000); the next Initial gets a 503.
    pub publications: usize,
    /// Octets of all documents together (256 MiB); what exceeds it gets a 503.
    pub documents: usize,
    /// Subscriptions (4,096); the next one gets a 503.
    pub subscriptions: usize,
    /// Answers kept for repeats (16,384); the oldest go first.
    pub answers: usize,
    /// TCP connections at a time (256); the next one is closed.
    pub connections: usize,
    /// Start line and headers of one message, in bytes (16 KiB).
    pub head: usize,
    /// Headers of one message (128).
    pub headers: usize,
    /// Body of one message, in bytes (256 KiB).
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publications: 100_000,
            documents: 256 * 1024 * 1024,
            subscriptions: 4096,
            answers: 16_384,
            connections: 256,
            head: 16 * 1024,
            headers: 128,
            body: 256 * 1024,
        }
    }
}

/// How the agent treats requests; tests use it to play a server in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// By the book.
    #[default]
    Normal,
    /// Every PUBLISH gets this code and, if given, Retry-After; nothing is stored or challenged.
    Status { code: u16, retry_after: Option<Duration> },
    /// Requests are counted and neither answered nor obeyed.
    Silent,
    /// Publications, subscriptions and remembered answers are lost at once and without a word, as
    /// by a restart; every entity-tag given so far gets a 412. Then the mood is `Normal`.
    Forget,
    /// By the book, but a 2xx to PUBLISH keeps the entity-tag to itself.
    NoTag,
}

/// What has come and what was made of it. A repeat counts as such and as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// PUBLISH without entity-tag and with a lifetime.
    pub initial: u64,
    /// PUBLISH with entity-tag, without a body.
    pub refresh: u64,
    /// PUBLISH with entity-tag and body.
    pub modify: u64,
    /// PUBLISH with `Expires: 0`.
    pub remove: u64,
    /// SUBSCRIBE, in a dialog or outside.
    pub subscribe: u64,
    /// OPTIONS.
    pub options: u64,
    /// Any other method.
    pub other: u64,
    /// Copies of a request that was answered before.
    pub repeats: u64,
    /// What could not be read, whether it could be answered or not.
    pub malformed: u64,
    /// Requests answered by a 401.
    pub challenged: u64,
    /// Requests answered by another code from 300 on.
    pub refused: u64,
    /// NOTIFY requests sent, repeats not counted.
    pub notify: u64,
}

/// Event packages of the known kind, and the type of their documents.
pub(super) const PACKAGES: [(&str, &str); 3] = [
    ("presence", "application/pidf+xml"),
    ("message-summary", "application/simple-message-summary"),
    ("dialog", "application/dialog-info+xml"),
];

/// Returns the type of a known package's documents.
pub(super) fn document_type(package: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(name, _)| *name == package).map(|(_, document)| *document)
}

/// Returns the value of Allow-Events.
pub(super) fn allow_events() -> String {
    PACKAGES.map(|(name, _)| name).join(", ")
}
