//! When a script is put on hold: three activities ended by a limit within ten minutes. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The latest kills of a script.
#[derive(Debug, Default)]
pub(super) struct Kills(VecDeque<Instant>);

impl Kills {
    /// Notes one; returns whether it is one too many.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|at| now.duration_since(*at) > WITHIN) {
            self.0.pop_front();
        }
        self.0.len() >= MOST
    }

    /// Forgets them, as when somebody lets the script go on.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Kills that put a script on hold.
pub(super) const MOST: usize = 3;
/// The time they must come within.
pub(super) const WITHIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_ten_minutes_are_too_many_and_old_ones_do_not_count() {
        let start = Instant::now();
        let minutes = |count: u64| start + Duration::from_secs(60 * count);
        let mut kills = Kills::default();
        assert!(!kills.note(minutes(0)) && !kills.note(minutes(5)));
        assert!(!kills.note(minutes(11)), "the first is forgotten");
        assert!(kills.note(minutes(12)));
        kills.clear();
        assert!(!kills.note(minutes(13)));
    }
}
