//! Which publications of an earlier version nobody declares any more, and since when that is sure.
//!
//! Pure: what is declared is known to the host, letting go is left to the core.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{life::Origin, schedule::TimerId};
use crate::command::Key;

/// Publications taken over from an earlier version and not declared again so far.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    left: BTreeMap<Key, Origin>,
    /// When they are looked at; `None` before the take-over, and when they have been.
    due: Option<Instant>,
    /// Some were spared because the script listens.
    has_spared: bool,
    /// Timers that have not run since; each might still declare one.
    unrun: BTreeSet<TimerId>,
}

impl Orphans {
    /// Begins to wait until `due`, or longer: `left` is what the earlier version had, each of the
    /// `timers` of the new one must have run.
    pub(super) fn wait(
        &mut self,
        due: Instant,
        left: BTreeMap<Key, Origin>,
        timers: impl IntoIterator<Item = TimerId>,
    ) {
        self.due = (!left.is_empty()).then_some(due);
        self.left = left;
        self.unrun = timers.into_iter().collect();
    }

    /// Notes that a publication is declared.
    pub(super) fn declared(&mut self, key: &Key) {
        self.left.remove(key);
    }

    /// Notes that a timer's handler has ended, or that the timer is gone.
    pub(super) fn ran(&mut self, timer: TimerId) {
        self.unrun.remove(&timer);
    }

    /// Returns when there is something to look at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.filter(|_| self.unrun.is_empty() && !self.left.is_empty())
    }

    /// Takes out what nobody will declare. `listens`: the script has watches or subscriptions, so
    /// what an event declared may be declared by the next one.
    pub(super) fn take_due(&mut self, now: Instant, listens: bool) -> Vec<Key> {
        if self.next().is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        let is_safe = |origin: Origin| listens && origin == Origin::Event;
        let gone: Vec<Key> = self
            .left
            .iter()
            .filter(|(_, origin)| !is_safe(**origin))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.left.remove(key);
        }
        self.has_spared = !self.left.is_empty();
        gone
    }

    /// The script listens no more: what was spared for that is looked at again.
    pub(super) fn look_again(&mut self, now: Instant) {
        if std::mem::take(&mut self.has_spared) {
            self.due = Some(now);
        }
    }

    /// What a still newer version has to care for.
    pub(super) fn left(&self) -> &BTreeMap<Key, Origin> {
        &self.left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn key(text: &str) -> Key {
        Key::from_text(text)
    }

    fn waiting(now: Instant, timers: &[TimerId]) -> Orphans {
        let mut orphans = Orphans::default();
        let left = [
            (key("top"), Origin::Top),
            (key("timer"), Origin::Timer),
            (key("event"), Origin::Event),
        ];
        orphans.wait(now + PATIENCE, left.into(), timers.iter().copied());
        orphans
    }

    #[test]
    fn what_is_not_declared_within_a_minute_is_let_go() {
        let now = Instant::now();
        let mut orphans = waiting(now, &[]);
        orphans.declared(&key("timer"));
        assert!(orphans.take_due(now + PATIENCE / 2, false).is_empty());
        assert_eq!(orphans.next(), Some(now + PATIENCE));
        assert_eq!(orphans.take_due(now + PATIENCE, false), [key("event"), key("top")]);
        assert!(orphans.left().is_empty() && orphans.next().is_none());
    }

    #[test]
    fn every_timer_has_its_run_first() {
        let now = Instant::now();
        let mut orphans = waiting(now, &[1, 2]);
        orphans.ran(1);
        assert!(orphans.next().is_none());
        assert!(orphans.take_due(now + PATIENCE * 5, false).is_empty());
        orphans.ran(2);
        assert_eq!(orphans.take_due(now + PATIENCE * 5, false).len(), 3);
    }

    #[test]
    fn what_an_event_declared_is_left_alone_while_the_script_listens() {
        let now = Instant::now();
        let mut orphans = waiting(now, &[]);
        assert_eq!(orphans.take_due(now + PATIENCE, true), [key("timer"), key("top")]);
        assert_eq!(orphans.left().keys().collect::<Vec<_>>(), [&key("event")]);
        assert!(orphans.next().is_none(), "while it listens");
        orphans.look_again(now + PATIENCE * 2);
        assert_eq!(orphans.take_due(now + PATIENCE * 2, false), [key("event")]);
        orphans.look_again(now + PATIENCE * 3);
        assert!(orphans.next().is_none());
    }
}
