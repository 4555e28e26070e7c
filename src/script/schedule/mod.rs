//! When the timers of one script fire; pure.
//!
//! What is due, and what comes after, is decided by each timer's [`plan`]. What is elapsed and what is wall time are kept apart:
//! setting the wall clock moves one against the other, but changes the order
//! within neither.

pub(super) mod calendar;
mod cron;
pub(super) mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use plan::{Due, Entry, Turn, span};

/// Numbers a timer of one script.
pub(super) type TimerId = u64;

/// All timers of one script that are due some time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: BTreeMap<TimerId, Entry>,
    elapsed: BTreeSet<(Instant, TimerId)>,
    wall: BTreeSet<(Timestamp, TimerId)>,
    /// The latest wall time seen since the clock was last set back.
    latest: Timestamp,
    last_id: TimerId,
}

/// A firing that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Firing {
    pub(super) id: TimerId,
    pub(super) turn: Turn,
}

impl Schedule {
    /// Returns a number for a new timer.
    pub(super) fn number(&mut self) -> TimerId {
        self.last_id += 1;
        self.last_id
    }

    /// Enters a timer.
    pub(super) fn enter(&mut self, id: TimerId, entry: Entry) {
        self.remove(id);
        match entry.due() {
            Due::Elapsed(at) => self.elapsed.insert((at, id)),
            Due::Wall(at) => self.wall.insert((at, id)),
        };
        self.entries.insert(id, entry);
    }

    /// Takes a timer out and returns where it stood.
    pub(super) fn remove(&mut self, id: TimerId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        match entry.due() {
            Due::Elapsed(at) => self.elapsed.remove(&(at, id)),
            Due::Wall(at) => self.wall.remove(&(at, id)),
        };
        Some(entry)
    }

    /// Returns where a timer stands.
    pub(super) fn get(&self, id: TimerId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Returns when to look next: when something is due, and often enough to see in time that the
    /// wall clock was set or the machine slept.
    pub(super) fn next(&mut self, now: Instant, wall: Timestamp) -> Option<Instant> {
        self.look(wall);
        let elapsed = self.elapsed.first().map(|(at, _)| *at);
        let wall = self.wall.first().map(|(at, _)| now + span(wall, *at).min(LOOK));
        elapsed.into_iter().chain(wall).min()
    }

    /// Takes the next firing that is due.
    pub(super) fn pop_due(&mut self, now: Instant, wall: Timestamp) -> Option<Firing> {
        self.look(wall);
        let elapsed = self.elapsed.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id);
        let by_wall = || self.wall.first().filter(|(at, _)| *at <= wall).map(|(_, id)| *id);
        let id = elapsed.or_else(by_wall)?;
        let mut entry = self.remove(id)?;
        let turn = entry.turn(now, wall);
        if !turn.is_last {
            self.enter(id, entry);
        }
        Some(Firing { id, turn })
    }

    /// Takes note of the wall clock; where it was set back, what is due by it is planned anew.
    fn look(&mut self, wall: Timestamp) {
        let by = self.latest.duration_since(wall);
        if by < STEP {
            self.latest = self.latest.max(wall);
            return;
        }
        self.latest = wall;
        let ids: Vec<TimerId> = self.wall.iter().map(|(_, id)| *id).collect();
        for id in ids {
            let Some(mut entry) = self.remove(id) else { continue };
            entry.set_back(wall, by > CORRECTION);
            self.enter(id, entry);
        }
    }
}

/// The wall clock is looked at as often as that: what it skips is seen before it is too late.
const LOOK: Duration = Duration::from_secs(29);
/// Less is no step: a clock that is kept by NTP may tremble.
const STEP: SignedDuration = SignedDuration::from_secs(1);
/// A clock set back by more was wrong before, as for cron(8): what it has shown does not count.
const CORRECTION: SignedDuration = SignedDuration::from_hours(3);

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
mod tests;
