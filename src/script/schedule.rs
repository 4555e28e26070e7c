//! When timers fire: a heap of next firings, pure.
//!
//! Intervals keep their phase: a late firing does not move those after it, and
//! firings that could not take place are counted, not caught up.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

/// Numbers a timer of one script.
pub(super) type TimerId = u64;

/// All timers of one script.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    timers: BTreeMap<TimerId, Entry>,
    heap: BinaryHeap<Reverse<(Instant, TimerId)>>,
    next: TimerId,
}

#[derive(Debug)]
struct Entry {
    /// `None` fires once.
    interval: Option<Duration>,
    at: Instant,
}

/// A firing that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Firing {
    pub(super) id: TimerId,
    pub(super) scheduled: Instant,
    /// Whole intervals that passed without a firing.
    pub(super) missed: u64,
    /// Whether this was the last one.
    pub(super) is_last: bool,
}

impl Schedule {
    /// Enters a timer.
    pub(super) fn add(&mut self, at: Instant, interval: Option<Duration>) -> TimerId {
        self.next += 1;
        self.timers.insert(self.next, Entry { interval, at });
        self.heap.push(Reverse((at, self.next)));
        self.next
    }

    /// Takes a timer out; returns whether it was there.
    pub(super) fn remove(&mut self, id: TimerId) -> bool {
        self.timers.remove(&id).is_some()
    }

    /// Returns when a timer fires next.
    pub(super) fn next_of(&self, id: TimerId) -> Option<Instant> {
        self.timers.get(&id).map(|entry| entry.at)
    }

    /// Returns how many timers there are.
    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Returns the next instant at which something is due.
    pub(super) fn next(&mut self) -> Option<Instant> {
        loop {
            let Reverse((at, id)) = *self.heap.peek()?;
            if self.timers.get(&id).is_some_and(|entry| entry.at == at) {
                return Some(at);
            }
            // Cancelled.
            self.heap.pop();
        }
    }

    /// Takes the next firing that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Firing> {
        let at = self.next().filter(|at| *at <= now)?;
        let Reverse((_, id)) = self.heap.pop()?;
        let entry = self.timers.get_mut(&id)?;
        let Some(interval) = entry.interval else {
            self.timers.remove(&id);
            return Some(Firing { id, scheduled: at, missed: 0, is_last: true });
        };
        let missed = (now.duration_since(at).as_nanos() / interval.as_nanos()) as u64;
        let skipped = interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        entry.at = at + skipped + interval;
        self.heap.push(Reverse((entry.at, id)));
        Some(Firing { id, scheduled: at + skipped, missed, is_last: false })
    }
}

/// Returns a stable offset inside `jitter` for a timer, so that many hosts or scripts with the same
/// interval do not act in the same instant, and one of them always at its own.
pub(super) fn jitter_offset(jitter: Duration, script: &str, name: &str, host: &str) -> Duration {
    // FNV-1a: stable over versions and machines, unlike the standard hasher.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in [host, "\0", script, "\0", name].concat().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    jitter.mul_f64((hash >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_keeps_its_phase_and_counts_what_it_missed() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        let id = schedule.add(start + SECOND, Some(SECOND));
        let late = start + SECOND + Duration::from_millis(300);
        assert_eq!(
            schedule.pop_due(late),
            Some(Firing { id, scheduled: start + SECOND, missed: 0, is_last: false })
        );
        assert_eq!(schedule.next(), Some(start + SECOND * 2));
        // Asleep for three and a half intervals.
        let firing = schedule.pop_due(start + SECOND * 5 + SECOND / 2).expect("due");
        assert_eq!((firing.scheduled, firing.missed), (start + SECOND * 5, 3));
        assert_eq!(schedule.next(), Some(start + SECOND * 6));
    }

    #[test]
    fn a_cancelled_timer_leaves_nothing_to_wait_for() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        let once = schedule.add(start, None);
        assert!(schedule.remove(once));
        assert_eq!((schedule.next(), schedule.pop_due(start)), (None, None));
    }

    #[test]
    fn jitter_is_stable_and_differs_by_script() {
        let offset = |script| jitter_offset(SECOND, script, "t", "host");
        assert_eq!(offset("a"), offset("a"));
        assert_ne!(offset("a"), offset("b"));
        assert!(offset("a") < SECOND);
    }
}
