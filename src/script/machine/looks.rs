//! Looks at growing counters, kept so that the next one can tell a rate.
//!
//! Whoever asks is compared with the latest of its own looks that is a second
//! old. So a script that asks every ten seconds gets the mean of ten seconds,
//! however often others ask; one that asks twice in a row gets nearly the same
//! answer twice; and one that asks for the first time is compared with a look
//! taken for it when it started, or with one that another script has caused.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// The looks of everybody.
#[derive(Debug)]
pub(super) struct Looks<T> {
    by_asker: BTreeMap<Arc<str>, Track<T>>,
    everybody: Track<T>,
}

/// An earlier look, and how long ago it was.
#[derive(Debug, PartialEq)]
pub(super) struct Since<T> {
    pub(super) span: Duration,
    pub(super) seen: T,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { by_asker: BTreeMap::new(), everybody: Track::default() }
    }
}

impl<T: Clone> Looks<T> {
    /// Takes a look for `asker`, and returns the earlier one to compare it with, if there is any
    /// that is old enough to say something.
    pub(super) fn look(&mut self, asker: &Arc<str>, now: Instant, seen: T) -> Option<Since<T>> {
        let own = self.by_asker.entry(asker.clone()).or_default();
        let since = own.earlier(now).or_else(|| self.everybody.earlier(now));
        own.note(now, seen.clone());
        self.everybody.note(now, seen);
        since
    }
}

/// A few looks in the order of time.
#[derive(Debug)]
struct Track<T>(VecDeque<(Instant, T)>);

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Track<T> {
    /// Returns the latest look that is well apart from now, else the first one.
    fn earlier(&self, now: Instant) -> Option<Since<T>> {
        let span = |at: Instant| now.saturating_duration_since(at);
        let apart = self.0.iter().rev().find(|(at, _)| span(*at) >= WELL_APART);
        let (at, seen) = apart.or(self.0.front())?;
        (span(*at) >= LEAST).then(|| Since { span: span(*at), seen: seen.clone() })
    }

    /// Keeps a look, and lets go of those that nothing will be compared with any more.
    fn note(&mut self, now: Instant, seen: T) {
        let is_apart = |at: &Instant| now.saturating_duration_since(*at) >= WELL_APART;
        while self.0.get(1).is_some_and(|(at, _)| is_apart(at)) {
            self.0.pop_front();
        }
        let last = self.0.back().map(|(at, _)| *at);
        if last.is_none_or(|at| now.saturating_duration_since(at) >= GRAIN) {
            self.0.push_back((now, seen));
        }
    }
}

/// How far a look and the one it is compared with should be apart: the kernel counts CPU time in
/// hundredths of a second.
const WELL_APART: Duration = Duration::from_secs(1);
/// Looks that are closer than this say nothing.
const LEAST: Duration = Duration::from_millis(100);
/// Looks that are closer than this are not kept beside each other.
const GRAIN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that grows by one each millisecond, asked at these times.
    struct World {
        looks: Looks<u64>,
        start: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { looks: Looks::default(), start: Instant::now() }
        }

        /// Returns the span that an answer is about, and checks that it is the right one.
        fn ask(&mut self, asker: &str, at: u64) -> Option<u64> {
            let now = self.start + Duration::from_millis(at);
            let since = self.looks.look(&asker.into(), now, at)?;
            assert_eq!(since.span, Duration::from_millis(at - since.seen));
            Some(at - since.seen)
        }
    }

    #[test]
    fn each_asker_is_told_of_the_time_since_it_asked_before() {
        let mut world = World::new();
        for asker in ["slow", "quick"] {
            assert_eq!(world.ask(asker, 0), None);
        }
        for second in 1..=20 {
            assert_eq!(world.ask("quick", second * 1000), Some(1000));
            if second % 10 == 0 {
                assert_eq!(world.ask("slow", second * 1000), Some(10_000));
            }
        }
    }

    #[test]
    fn two_questions_in_a_row_get_nearly_the_same_answer() {
        let mut world = World::new();
        world.ask("a", 0);
        assert_eq!(world.ask("a", 10_000), Some(10_000));
        assert_eq!(world.ask("a", 10_001), Some(10_001));
        assert_eq!(world.ask("a", 10_900), Some(10_900));
        assert_eq!(world.ask("a", 11_000), Some(1000));
    }

    #[test]
    fn somebody_who_asks_all_the_time_is_told_of_about_a_second() {
        let mut world = World::new();
        for step in 0..1000 {
            let span = world.ask("a", step * 20);
            if step * 20 >= 2000 {
                assert!((1000..1300).contains(&span.unwrap()), "{span:?} at {}", step * 20);
            }
        }
        assert!(world.looks.everybody.0.len() <= 7, "{}", world.looks.everybody.0.len());
    }

    #[test]
    fn a_newcomer_is_compared_with_what_others_saw() {
        let mut world = World::new();
        assert_eq!(world.ask("a", 0), None);
        assert_eq!(world.ask("a", 50), None, "too close to say anything");
        assert_eq!(world.ask("a", 100), Some(100));
        assert_eq!(world.ask("b", 5000), Some(5000));
        // Its own look is too fresh; that of others is not.
        assert_eq!(world.ask("b", 5050), Some(5050));
        assert_eq!(world.ask("b", 5200), Some(200));
        assert_eq!(world.ask("b", 6000), Some(1000));
    }
}
