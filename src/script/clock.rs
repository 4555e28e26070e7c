//! What time it is: the one place under `script` that is asked, but for CPU time and the watcher.
//!
//! Monotonic time is tokio's, so that a paused runtime decides how it passes.
//! Wall time is the machine's, or, for a virtual clock, begins at a fixed point
//! and passes with the monotonic one.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The clock of one script. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<Face>);

#[derive(Debug, Default)]
struct Face {
    /// The wall time at which a virtual clock begins; `None` follows the machine.
    begins: Option<Timestamp>,
    /// When a virtual clock was first asked: the runtime it belongs to is not there before.
    asked: OnceLock<Instant>,
    /// How far a test has set the wall clock.
    #[cfg(test)]
    set_by: std::sync::atomic::AtomicI64,
}

impl Clock {
    /// Makes a clock that begins at `wall` when it is first asked, and passes as tokio's does.
    pub(super) fn beginning_at(wall: Timestamp) -> Self {
        Self(Arc::new(Face { begins: Some(wall), ..Face::default() }))
    }

    /// Returns whether this is not the machine's time.
    pub(super) fn is_virtual(&self) -> bool {
        self.0.begins.is_some()
    }

    /// Returns the monotonic time.
    pub(super) fn now(&self) -> Instant {
        let now = tokio::time::Instant::now().into_std();
        if self.is_virtual() {
            self.0.asked.get_or_init(|| now);
        }
        now
    }

    /// Returns how long a virtual clock has been running.
    pub(super) fn elapsed(&self) -> Duration {
        let now = self.now();
        now.saturating_duration_since(*self.0.asked.get_or_init(|| now))
    }

    /// Returns the wall time.
    pub(super) fn wall(&self) -> Timestamp {
        let wall = match self.0.begins {
            Some(begins) => begins.checked_add(self.elapsed()).unwrap_or(Timestamp::MAX),
            None => Timestamp::now(),
        };
        self.as_set(wall)
    }

    /// Returns the wall time in UNIX seconds.
    pub(super) fn unix(&self) -> f64 {
        unix(self.wall())
    }

    #[cfg(not(test))]
    fn as_set(&self, wall: Timestamp) -> Timestamp {
        wall
    }
}

/// Returns a point of wall time in UNIX seconds.
pub(super) fn unix(wall: Timestamp) -> f64 {
    wall.as_duration().as_secs_f64()
}

#[cfg(test)]
impl Clock {
    /// Sets the wall clock forward or back by some seconds, as an operator or NTP would.
    pub(super) fn set_by(&self, seconds: i64) {
        self.0.set_by.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
    }

    fn as_set(&self, wall: Timestamp) -> Timestamp {
        let by = self.0.set_by.load(std::sync::atomic::Ordering::Relaxed);
        wall.checked_add(jiff::SignedDuration::from_secs(by)).expect("a year that jiff knows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_passes_as_the_runtime_lets_it() {
        let begins: Timestamp = "2026-03-29T00:00:00Z".parse().expect("a time");
        let clock = Clock::beginning_at(begins);
        let copy = clock.clone();
        assert_eq!((clock.wall(), clock.elapsed()), (begins, Duration::ZERO));
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now() - before, Duration::from_secs(3600));
        assert_eq!(copy.unix(), unix(begins) + 3600.0);
        clock.set_by(-60);
        assert_eq!(copy.unix(), unix(begins) + 3540.0);
        assert_eq!(clock.elapsed(), Duration::from_secs(3600), "monotonic time is not set");
    }

    #[test]
    fn the_default_is_the_time_of_the_machine() {
        let clock = Clock::default();
        assert!(!clock.is_virtual());
        let (system, before) = (Timestamp::now(), Instant::now());
        assert!(clock.wall() >= system && clock.now() >= before);
    }
}
