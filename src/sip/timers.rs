//! Deadlines of everything in the core: two heaps of compact records.
//!
//! Transactions come and go by the thousand a second while publications stay for an hour; in one
//! heap each transaction would pay for the height of all publications.
//!
//! Owners keep their own deadlines; an entry only says when to look. An entry
//! that has become too early is harmless: the owner finds nothing due and
//! enters itself again, so moving a deadline back costs nothing.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::{
    ids::Branch,
    io::{Deadline, FlowId, Timer},
};

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    Client(Branch),
    Server(u64),
    Flow(FlowId),
    Publication(usize),
    Stop,
}

/// The heaps.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    transactions: BinaryHeap<Reverse<Entry>>,
    others: BinaryHeap<Reverse<Entry>>,
    /// Orders entries of the same instant over both.
    entered: u64,
}

/// Ordered by instant, then by order of entry, so that a run can be repeated.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Instant,
    order: u64,
    whom: Whom,
    timer: Timer,
}

impl Timers {
    /// Makes sure that `whom` is looked at by its deadline. `scheduled` is the owner's earliest
    /// entry and is kept up to date here.
    pub(crate) fn schedule(
        &mut self,
        whom: Whom,
        deadline: Option<Deadline>,
        scheduled: &mut Option<Instant>,
    ) {
        let Some(Deadline { at, timer }) = deadline else { return };
        if scheduled.is_some_and(|earlier| earlier <= at) {
            return;
        }
        *scheduled = Some(at);
        self.entered += 1;
        let entry = Entry { at, order: self.entered, whom, timer };
        self.heap(whom).push(Reverse(entry));
    }

    /// Takes the next entry that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Whom)> {
        let first = self.first()?;
        if first.at > now {
            return None;
        }
        let whom = first.whom;
        self.heap(whom).pop().map(|Reverse(entry)| (entry.at, entry.whom))
    }

    /// Returns whether there is an entry that is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.first().is_some_and(|entry| entry.at <= now)
    }

    /// Returns the earliest entry.
    pub(crate) fn next(&self) -> Option<Deadline> {
        self.first().map(|entry| Deadline { at: entry.at, timer: entry.timer })
    }

    fn heap(&mut self, whom: Whom) -> &mut BinaryHeap<Reverse<Entry>> {
        match whom {
            Whom::Client(_) | Whom::Server(_) => &mut self.transactions,
            Whom::Flow(_) | Whom::Publication(_) | Whom::Stop => &mut self.others,
        }
    }

    fn first(&self) -> Option<&Entry> {
        let tops = [self.transactions.peek(), self.others.peek()];
        tops.into_iter().flatten().map(|Reverse(entry)| entry).min()
    }
}
