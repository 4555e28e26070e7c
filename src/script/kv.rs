//! What `kv` keeps: small data by name, for a time if wished.
//!
//! A [`Store`] is a plain value that is told the time. [`Spaces`] holds those
//! of all scripts, outside of any VM, so that a reload finds them as they were.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::plain::{NAME, Plain};

/// The stores of all scripts.
#[derive(Debug, Default)]
pub(super) struct Spaces(Mutex<BTreeMap<Space, Shared>>);

/// Whose a store is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// One script's own, by its name.
    Own(Arc<str>),
    /// That of every script that may open the name.
    Shared(Arc<str>),
}

/// One store, as scripts on several threads hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Store>>);

impl Spaces {
    /// Returns a store, making it if it is new.
    pub(super) fn open(&self, space: Space) -> Shared {
        let mut spaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spaces.entry(space).or_default().clone()
    }
}

impl Shared {
    /// Takes the store for one operation.
    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        // Every operation leaves the store whole before it could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Values by name.
#[derive(Debug, Default)]
pub(super) struct Store {
    rows: BTreeMap<Arc<str>, Row>,
    /// When rows end, the first to end in front.
    ends: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
    /// Changes so far; a row remembers the one that made it.
    changes: u64,
}

#[derive(Debug)]
struct Row {
    value: Plain,
    ends_at: Option<Instant>,
    version: u64,
    bytes: usize,
}

/// What becomes of the time a row has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It counts from now; without a span the row stays.
    New(Option<Duration>),
    /// A row that is there keeps what it has left; a new one gets this.
    Kept(Option<Duration>),
}

/// Why a value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// There is no room for it.
    #[error("{needed} bytes would be kept, and {limit} may be (limits.kv)")]
    Full { needed: usize, limit: usize },
    /// What is there cannot be counted up.
    #[error("a {0} is kept there, not a number")]
    NotANumber(&'static str),
    /// Somebody was faster.
    #[error("the value was changed meanwhile")]
    Changed,
}

impl Store {
    /// Returns a value and its version; 0 stands for no value.
    pub(super) fn get(&mut self, key: &str, now: Instant) -> (Option<&Plain>, u64) {
        self.drop_ended(now);
        match self.rows.get(key) {
            Some(row) => (Some(&row.value), row.version),
            None => (None, 0),
        }
    }

    /// Stores a value.
    ///
    /// # Errors
    /// When the store would hold more than `limit` bytes; what was there stays.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Plain,
        life: Life,
        limit: usize,
        now: Instant,
    ) -> Result<(), Refused> {
        self.drop_ended(now);
        let before = self.rows.get(key);
        let bytes = NAME + key.len() + value.size();
        let needed = self.bytes - before.map_or(0, |row| row.bytes) + bytes;
        if needed > limit {
            return Err(Refused::Full { needed, limit });
        }
        let ends_at = match (life, before) {
            (Life::Kept(_), Some(row)) => row.ends_at,
            // An instant beyond what can be told is never reached.
            (Life::New(span) | Life::Kept(span), _) => span.and_then(|span| now.checked_add(span)),
        };
        self.remove(key);
        self.changes += 1;
        let key: Arc<str> = key.into();
        if let Some(at) = ends_at {
            self.ends.insert((at, key.clone()));
        }
        self.bytes += bytes;
        self.rows.insert(key, Row { value, ends_at, version: self.changes, bytes });
        Ok(())
    }

    /// Removes a value; returns whether there was one.
    pub(super) fn delete(&mut self, key: &str, now: Instant) -> bool {
        self.drop_ended(now);
        self.remove(key)
    }

    /// Adds to a number, which begins at 0, and returns the sum. A span counts from the beginning.
    ///
    /// # Errors
    /// When something else is kept there, or the store is full.
    pub(super) fn incr(
        &mut self,
        key: &str,
        by: f64,
        span: Option<Duration>,
        limit: usize,
        now: Instant,
    ) -> Result<f64, Refused> {
        let sum = match self.get(key, now).0 {
            None => by,
            Some(Plain::Number(number)) => number + by,
            Some(Plain::Null) => return Err(Refused::NotANumber("null")),
            Some(Plain::Boolean(_)) => return Err(Refused::NotANumber("boolean")),
            Some(Plain::Text(_)) => return Err(Refused::NotANumber("text")),
            Some(Plain::Table(_)) => return Err(Refused::NotANumber("table")),
        };
        self.set(key, Plain::Number(sum), Life::Kept(span), limit, now)?;
        Ok(sum)
    }

    /// Replaces the value of a version that [`get`](Self::get) returned; `None` removes it.
    ///
    /// # Errors
    /// When it is not that version any more, or the store is full.
    pub(super) fn swap(
        &mut self,
        key: &str,
        version: u64,
        value: Option<Plain>,
        limit: usize,
        now: Instant,
    ) -> Result<(), Refused> {
        if self.get(key, now).1 != version {
            return Err(Refused::Changed);
        }
        match value {
            Some(value) => self.set(key, value, Life::Kept(None), limit, now),
            None => {
                self.remove(key);
                Ok(())
            }
        }
    }

    /// Returns the names that begin with `prefix`, in order.
    pub(super) fn keys(&mut self, prefix: &str, now: Instant) -> Vec<Arc<str>> {
        self.drop_ended(now);
        self.rows
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Drops what has ended: only that is looked at, and each row once.
    fn drop_ended(&mut self, now: Instant) {
        while let Some((_, key)) = self.ends.first().filter(|(at, _)| *at <= now) {
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some((key, row)) = self.rows.remove_entry(key) else { return false };
        self.bytes -= row.bytes;
        if let Some(at) = row.ends_at {
            self.ends.remove(&(at, key));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: usize = 1 << 20;

    fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    fn number(n: f64) -> Plain {
        Plain::Number(n)
    }

    #[test]
    fn a_row_ends_when_its_time_is_over_and_not_before() {
        let (mut store, start) = (Store::default(), Instant::now());
        let at = |n: u64| start + Duration::from_secs(n);
        store.set("a", number(1.0), Life::New(secs(10)), PLENTY, start).unwrap();
        store.set("b", number(2.0), Life::New(None), PLENTY, start).unwrap();
        assert_eq!(store.get("a", at(9)).0, Some(&number(1.0)));
        assert_eq!(store.get("a", at(10)), (None, 0));
        assert_eq!(store.keys("", at(10)), ["b".into()]);
        // A new value has a new life, and no old one is left behind to end it.
        store.set("c", number(1.0), Life::New(secs(10)), PLENTY, at(10)).unwrap();
        store.set("c", number(2.0), Life::New(secs(100)), PLENTY, at(15)).unwrap();
        assert_eq!(store.get("c", at(30)).0, Some(&number(2.0)));
        store.set("c", number(3.0), Life::New(None), PLENTY, at(30)).unwrap();
        assert_eq!(store.get("c", at(1_000_000)).0, Some(&number(3.0)));
        assert!(store.ends.is_empty());
    }

    #[test]
    fn a_count_begins_at_zero_and_its_window_with_it() {
        let (mut store, start) = (Store::default(), Instant::now());
        let at = |n: u64| start + Duration::from_secs(n);
        let mut incr = |n: u64| store.incr("n", 2.0, secs(60), PLENTY, at(n)).unwrap();
        assert_eq!((incr(0), incr(30), incr(59), incr(60)), (2.0, 4.0, 6.0, 2.0));
        store.set("t", Plain::Boolean(true), Life::New(None), PLENTY, start).unwrap();
        assert_eq!(store.incr("t", 1.0, None, PLENTY, start), Err(Refused::NotANumber("boolean")));
    }

    #[test]
    fn the_quota_counts_names_and_values_and_gives_back_what_is_removed() {
        let (mut store, now) = (Store::default(), Instant::now());
        let text = |bytes: usize| Plain::Text(vec![b'x'; bytes].into());
        let set = |store: &mut Store, key: &str, bytes| {
            store.set(key, text(bytes), Life::New(None), 1000, now)
        };
        set(&mut store, "a", 800).unwrap();
        let full = set(&mut store, "b", 800).unwrap_err();
        assert_eq!(full.to_string(), "1698 bytes would be kept, and 1000 may be (limits.kv)");
        // Replacing counts the difference; what cannot be replaced stays.
        set(&mut store, "a", 900).unwrap();
        assert!(set(&mut store, "a", 1000).is_err());
        assert_eq!(store.get("a", now).0, Some(&text(900)));
        assert!(store.delete("a", now) && !store.delete("a", now));
        assert_eq!(store.bytes, 0);
        set(&mut store, "b", 900).unwrap();
    }

    #[test]
    fn a_swap_fails_when_somebody_was_faster() {
        let (mut store, now) = (Store::default(), Instant::now());
        let (_, nothing) = store.get("a", now);
        store.swap("a", nothing, Some(number(1.0)), PLENTY, now).unwrap();
        let again = store.swap("a", nothing, Some(number(9.0)), PLENTY, now);
        assert_eq!(again, Err(Refused::Changed));
        let (_, first) = store.get("a", now);
        // The same value, put there again, is another one.
        store.set("a", number(1.0), Life::New(secs(5)), PLENTY, now).unwrap();
        assert_eq!(store.swap("a", first, None, PLENTY, now), Err(Refused::Changed));
        let (_, second) = store.get("a", now);
        store.swap("a", second, Some(number(2.0)), PLENTY, now).unwrap();
        // What is left of its time stays with it.
        assert_eq!(store.get("a", now + Duration::from_secs(5)).0, None);
    }

    #[test]
    fn names_come_in_order_by_what_they_begin_with() {
        let (mut store, now) = (Store::default(), Instant::now());
        for key in ["b:2", "a:1", "b:1", "b", "c"] {
            store.set(key, number(0.0), Life::New(None), PLENTY, now).unwrap();
        }
        assert_eq!(store.keys("b:", now), ["b:1".into(), "b:2".into()]);
        assert_eq!(store.keys("", now).len(), 5);
        assert_eq!(store.keys("d", now).len(), 0);
    }

    #[test]
    fn spaces_are_told_apart_and_found_again() {
        let spaces = Spaces::default();
        let now = Instant::now();
        let own = spaces.open(Space::Own("x".into()));
        own.lock().set("a", number(1.0), Life::New(None), PLENTY, now).unwrap();
        assert_eq!(spaces.open(Space::Shared("x".into())).lock().get("a", now).0, None);
        let again = spaces.open(Space::Own("x".into()));
        assert_eq!(again.lock().get("a", now).0, Some(&number(1.0)));
    }
}
