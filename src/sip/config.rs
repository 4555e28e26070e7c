//! What the core is told once, at its start.
//!
//! Reading files and environment is left to [`crate::config`].

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use super::{auth::Algorithm, message::Uri};

/// Settings of a [`Uac`](super::Uac).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// RTT estimate (3261 §17.1.1.1), default 500 ms. F and J are always 64·T1.
    pub t1: Duration,
    /// Cap of the retransmission interval, default 4 s.
    pub t2: Duration,
    /// How long a message stays in the network, default 5 s.
    pub t4: Duration,
    /// Longest wait for a connection, default 5 s: well below Timer F, so that other hops are tried in time.
    pub connect_timeout: Duration,
    /// User-Agent value; `None` leaves the header out.
    pub user_agent: Option<String>,
    /// Where requests go when nothing nearer says otherwise.
    pub outbound_proxy: Vec<Uri>,
    /// Host for Via when it is not the bound address.
    pub advertise: Option<String>,
    /// Credentials and identities.
    pub accounts: Vec<Arc<Account>>,
    /// Sizes and counts that bound what the network can make the core keep.
    pub limits: Limits,
    /// Users whose Request-URI is served; empty: any.
    pub served_users: BTreeSet<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            user_agent: Some(concat!("puad/", env!("CARGO_PKG_VERSION")).into()),
            outbound_proxy: Vec::new(),
            advertise: None,
            accounts: Vec::new(),
            limits: Limits::default(),
            served_users: BTreeSet::new(),
        }
    }
}

/// Credentials for one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name to pick it by; `None`: by domain only.
    pub name: Option<String>,
    /// The domain whose URIs use this account, in lower case.
    pub domain: String,
    /// Digest user name.
    pub username: String,
    /// Digest password.
    pub password: Secret,
    /// Realms that are answered, compared whole and with case.
    pub realms: Vec<String>,
    /// Where this account's requests go.
    pub outbound_proxy: Vec<Uri>,
    /// The weakest algorithm that is answered.
    pub minimum_algorithm: Algorithm,
}

/// A text that no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for hashing and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bounds on what the network can make the core keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Start line and headers of one message, in bytes (64 KiB).
    pub head: usize,
    /// Headers of one message (1,024).
    pub headers: usize,
    /// Body of one message, in bytes (1 MiB).
    pub body: usize,
    /// Server transactions kept for repeats (4,096); beyond it requests are answered without state.
    pub server_transactions: usize,
    /// Connections open at a time, both ways, and UDP sockets of one peer each among them (1,024). In
    /// the last quarter none is accepted, and UDP goes by the listening socket.
    pub connections: usize,
    /// Accepted connections from one address (64).
    pub connections_per_peer: usize,
    /// A message on a stream must be complete this long after its first byte (32 s).
    pub read_deadline: Duration,
    /// Requests outside dialogs answered per source address and second (50), repeats among them, with
    /// a burst of as many.
    pub answers_per_second: u32,
    /// Requests under way to one server (128); the rest queue, so that no event is answered with a storm.
    pub in_flight_per_server: usize,
    /// Publications (1,000,000).
    pub publications: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            headers: 1024,
            body: 1024 * 1024,
            server_transactions: 4096,
            connections: 1024,
            connections_per_peer: 64,
            read_deadline: Duration::from_secs(32),
            answers_per_second: 50,
            in_flight_per_server: 128,
            publications: 1_000_000,
        }
    }
}
