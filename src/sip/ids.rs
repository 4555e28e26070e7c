//! Tags, branches, Call-IDs and cnonces, from a ChaCha generator seeded from outside.
//!
//! The same seed gives the same bytes, so a run can be repeated; a driver seeds
//! from the operating system, so that nobody off the path can guess a
//! transaction (3261 §19.3, §26.1.4).

use std::{fmt, sync::Arc, time::Duration};

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

/// The generator of one core.
#[derive(Debug)]
pub struct Ids {
    rng: ChaCha12Rng,
    /// Position in the golden-ratio sequence that spreads refreshes.
    spread: f64,
}

/// The random part of a branch this core made; keys its client transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch(u64);

impl Ids {
    /// Starts the generator.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let spread = unit(rng.next_u64());
        Self { rng, spread }
    }

    /// Returns a new branch (64 random bits).
    pub fn branch(&mut self) -> Branch {
        Branch(self.rng.next_u64())
    }

    /// Returns a new tag or cnonce: 64 random bits in lower-case hex.
    pub fn token(&mut self) -> Token {
        Token(self.rng.next_u64())
    }

    /// Returns a new Call-ID: 128 random bits in lower-case hex.
    pub fn call_id(&mut self) -> Arc<str> {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64()).into()
    }

    /// Returns a key for hashes that outsiders must not foresee.
    pub fn key(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Returns a random duration below `limit`.
    pub fn below(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(unit(self.rng.next_u64()))
    }

    /// Returns the next point of a sequence in 0..1 whose every stretch is evenly spread.
    ///
    /// Random points would do for few publications; a hundred thousand made at once stay within
    /// a few percent of the mean with this one.
    pub fn spread(&mut self) -> f64 {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        self.spread = (self.spread + GOLDEN).fract();
        self.spread
    }
}

impl Branch {
    /// Reads a branch that this core may have written.
    pub fn parse(text: &str) -> Option<Self> {
        let hex =
            text.get(..7).filter(|m| m.eq_ignore_ascii_case(MAGIC_COOKIE)).and(text.get(7..))?;
        if hex.len() != 16 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(hex, 16).ok().map(Self)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAGIC_COOKIE}{:016x}", self.0)
    }
}

/// 64 random bits, shown in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What every branch of an RFC 3261 element starts with (3261 §8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
