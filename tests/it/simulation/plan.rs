//! What one seed stands for: who publishes what to whom, and what goes wrong for how long.

use std::{sync::Arc, time::Duration};

use puad::sip::{Account, Config, Secret, auth::Algorithm, message::Uri};

use super::dice::Dice;

/// Which troubles a test is about; each seed throws its own numbers within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Datagrams get lost, late, doubled and out of order.
    Loss,
    /// The compositor restarts and forgets everything.
    Restarts,
    /// The compositor answers with errors, challenges, push-back and missing tags.
    Answers,
    /// Connections break, are refused, or hang.
    Connections,
    /// All of it, and resolvers that fail.
    Everything,
}

/// One world before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub trouble: Trouble,
    pub tcp: bool,
    /// The host of the presentities, and of the way there.
    pub by_name: bool,
    pub by_proxy: bool,
    /// Addresses in front of the one compositor.
    pub addresses: u8,
    pub keys: Vec<KeyPlan>,
    /// When things become well.
    pub healed_at: Duration,
    pub commands: u64,
    /// Requests under way to one server.
    pub window: usize,
    /// How late the driver fires timers, in seconds.
    pub lateness: f64,
    /// The machine sleeps: from when, for how long.
    pub sleep: Option<(Duration, Duration)>,
    /// puad stops while things are bad.
    pub stops_at: Option<Duration>,
    pub network: Network,
    pub server: Server,
}

/// One series of documents.
#[derive(Debug, Clone)]
pub struct KeyPlan {
    pub user: usize,
    pub event: &'static str,
    pub id: String,
    pub expires: u64,
    pub min_interval: f64,
    pub skip_unchanged: bool,
    pub refresh_with_body: bool,
    /// Documents too large for UDP.
    pub large: bool,
    /// A stop leaves it to run out.
    pub is_kept: bool,
}

/// What the network does before it heals.
#[derive(Debug, Clone, Default)]
pub struct Network {
    pub loss: f64,
    pub duplicates: f64,
    /// Longest one-way delay in seconds.
    pub delay: f64,
    /// From, to: nothing passes.
    pub outages: Vec<(Duration, Duration)>,
    pub dns_failure: f64,
    pub dns_delay: f64,
    pub open_refused: f64,
    pub open_hangs: f64,
    /// Per message on a connection.
    pub breaks: f64,
    pub hangs: f64,
    /// An ICMP error for a datagram.
    pub icmp: f64,
    /// Bytes that are no answer, before an answer.
    pub noise: f64,
}

/// What the compositor does; the first group at all times, the second before it heals.
#[derive(Debug, Clone, Default)]
pub struct Server {
    pub grants: (u64, u64),
    pub least_expires: u64,
    pub challenges: bool,
    /// Seconds for which a nonce is good.
    pub nonce_life: f64,
    /// Keeps a tag as long as the publication lives, against 3903 §6. Then nothing tells it an old
    /// request that comes late from a new one, so only where nothing comes late.
    pub keeps_tags: bool,

    pub silent: f64,
    pub trying: f64,
    /// Longest time to an answer in seconds.
    pub slow: f64,
    pub busy: f64,
    pub busy_until: f64,
    pub errors: f64,
    pub refusals: f64,
    pub untagged: f64,
    pub without_expires: f64,
    pub zero_grant: f64,
    /// When it restarts, and how long that takes.
    pub restarts: Vec<(Duration, Duration)>,
}

impl Plan {
    pub fn new(trouble: Trouble, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ ((trouble as u64) << 56));
        let dice = &mut dice;
        // Seconds of a grant set the pace of a world.
        let (shortest, longest, most_keys) =
            dice.pick(&[(5, 15, 2), (20, 60, 3), (60, 300, 4), (300, 900, 5), (600, 3600, 6)]);
        let pace = longest as f64;
        let tcp = match trouble {
            Trouble::Connections => true,
            Trouble::Loss => false,
            Trouble::Restarts | Trouble::Answers | Trouble::Everything => dice.chance(0.3),
        };
        let bad_for = dice.secs(20.0, (pace * 2.0).clamp(60.0, 3000.0));
        let by_name = dice.chance(0.5);
        let users = dice.between(1, 3);
        let keys = dice.between(1, most_keys);
        let keys = (0..keys)
            .map(|key| KeyPlan {
                user: dice.below(users) as usize,
                event: dice.pick(&["presence", "dialog", "message-summary", "dialog;sla"]),
                id: format!("id{key}"),
                expires: dice.pick(&[shortest, longest, longest * 2, 3600]),
                min_interval: if dice.chance(0.2) {
                    dice.secs(0.2, 20.0).as_secs_f64()
                } else {
                    0.0
                },
                skip_unchanged: dice.chance(0.2),
                refresh_with_body: dice.chance(0.2),
                large: dice.chance(0.1),
                is_kept: dice.chance(0.3),
            })
            .collect();
        let network = Network::new(trouble, bad_for, dice);
        let addresses = if by_name && dice.chance(0.4) { 2 } else { 1 };
        Self {
            seed,
            trouble,
            tcp,
            by_name,
            by_proxy: dice.chance(0.3),
            addresses,
            keys,
            healed_at: bad_for,
            commands: dice.between(2, 24),
            window: dice.pick(&[1, 2, 128, 128]),
            lateness: dice.pick(&[0.0, 0.0, 0.03]),
            sleep: dice.chance(0.1).then(|| (bad_for.mul_f64(dice.unit()), dice.secs(1.0, 4000.0))),
            stops_at: dice.chance(0.1).then(|| bad_for.mul_f64(dice.unit())),
            server: Server::new(trouble, bad_for, (shortest, longest), network.delay, dice),
            network,
        }
    }

    /// The host of all presentities.
    pub fn host(&self) -> &'static str {
        if self.by_name { "sim.example.com" } else { "192.0.2.1" }
    }

    /// What puad is started with.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.limits.in_flight_per_server = self.window;
        let host = self.host();
        // A proxy carries the transport, so that the presentities stay the same.
        if self.by_proxy || self.tcp {
            let transport = if self.tcp { ";transport=tcp" } else { "" };
            let proxy = format!("sip:{host};lr{transport}");
            config.outbound_proxy = vec![Uri::parse(&proxy).expect("a URI")];
        }
        config.accounts.push(Arc::new(Account {
            name: None,
            domain: host.into(),
            username: "alice".into(),
            password: Secret::new("secret"),
            realms: vec!["sim".into()],
            outbound_proxy: Vec::new(),
            minimum_algorithm: Algorithm::Md5,
        }));
        config
    }

    /// How long it may take from the healing until all is right: the longest back-off twice (the
    /// first attempt may go into a connection that is dead), transactions under way, turns.
    pub fn bound(&self) -> Duration {
        let transaction = 40.0 * f64::from(self.addresses) + 20.0;
        let attempt = 300.0 + transaction * (1.0 + self.keys.len() as f64);
        let pushed_back = self.server.busy_until;
        Duration::from_secs_f64(attempt * 2.0 + pushed_back + 60.0)
    }
}

impl Network {
    fn new(trouble: Trouble, bad_for: Duration, dice: &mut Dice) -> Self {
        let all = trouble == Trouble::Everything;
        let mut network = Self {
            delay: dice.pick(&[0.02, 0.3, 3.0]),
            dns_delay: dice.pick(&[0.0, 0.1, 8.0]),
            ..Self::default()
        };
        if all || trouble == Trouble::Loss {
            network.loss = dice.pick(&[0.05, 0.3, 0.6, 0.9]);
            network.duplicates = dice.pick(&[0.0, 0.1, 0.5]);
            network.icmp = dice.pick(&[0.0, 0.0, 0.1]);
        }
        if all || trouble == Trouble::Connections {
            network.open_refused = dice.pick(&[0.0, 0.2, 0.7]);
            network.open_hangs = dice.pick(&[0.0, 0.2, 0.5]);
            network.breaks = dice.pick(&[0.0, 0.1, 0.4]);
            network.hangs = dice.pick(&[0.0, 0.05, 0.2]);
        }
        if all {
            network.dns_failure = dice.pick(&[0.0, 0.3, 0.8]);
            network.noise = dice.pick(&[0.0, 0.0, 0.1]);
        }
        if trouble != Trouble::Answers {
            for _ in 0..dice.below(3) {
                let from = bad_for.mul_f64(dice.unit());
                network.outages.push((from, from + dice.secs(1.0, 300.0)));
            }
        }
        network
    }
}

impl Server {
    fn new(
        trouble: Trouble,
        bad_for: Duration,
        grants: (u64, u64),
        delay: f64,
        dice: &mut Dice,
    ) -> Self {
        let all = trouble == Trouble::Everything;
        let mut server = Self {
            grants,
            least_expires: dice.pick(&[0, 0, grants.0, grants.0 + 1]),
            challenges: dice.chance(0.4),
            keeps_tags: trouble == Trouble::Answers && delay < 0.1 && dice.chance(0.3),
            nonce_life: dice.pick(&[20.0, 120.0, 1e9]),
            trying: dice.pick(&[0.0, 0.3]),
            slow: dice.pick(&[0.01, 0.5, 20.0, 50.0]),
            without_expires: dice.pick(&[0.0, 0.2]),
            ..Self::default()
        };
        if all || trouble == Trouble::Answers {
            server.silent = dice.pick(&[0.0, 0.1, 0.3]);
            server.busy = dice.pick(&[0.0, 0.1, 0.4]);
            server.busy_until = dice.pick(&[3.0, 30.0, 120.0]);
            server.errors = dice.pick(&[0.0, 0.1, 0.3]);
            server.refusals = dice.pick(&[0.0, 0.0, 0.05, 0.2]);
            server.untagged = dice.pick(&[0.0, 0.0, 0.1]);
            server.zero_grant = dice.pick(&[0.0, 0.0, 0.05]);
        }
        if all || trouble == Trouble::Restarts {
            for _ in 0..dice.between(1, 4) {
                let at = bad_for.mul_f64(dice.unit());
                server.restarts.push((at, dice.secs(0.0, 40.0)));
            }
        }
        server
    }
}
