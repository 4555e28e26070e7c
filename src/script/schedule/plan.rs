//! One timer's place in time: what was asked for, and when it is due; pure.
//!
//! Intervals count on the monotonic clock and keep their phase. Calendars go by
//! the wall clock, which may be set: no moment has its turn twice, and a moment
//! that was passed over is late or missed.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use crate::command::spell_duration;

/// What was asked for.
#[derive(Debug, Clone)]
pub(in crate::script) enum Plan {
    /// Once.
    After { delay: Duration },
    /// Again and again, by the monotonic clock.
    Every { interval: Duration, is_immediate: bool, offset: Duration },
    /// By the wall clock.
    Calendar(Appointments),
}

/// A calendar and what is made of it.
#[derive(Debug, Clone)]
pub(in crate::script) struct Appointments {
    pub(in crate::script) calendar: Calendar,
    /// Jitter: how long after each moment.
    pub(in crate::script) offset: Duration,
    /// Whether moments that were passed over are made up for, by one run.
    pub(in crate::script) catches_up: bool,
}

/// When it is due.
#[derive(Debug, Clone)]
pub(in crate::script) enum Entry {
    After { delay: Duration, at: Instant },
    Every { interval: Duration, at: Instant },
    Calendar(Appointment),
}

/// Where a calendar stands.
#[derive(Debug, Clone)]
pub(in crate::script) struct Appointment {
    terms: Appointments,
    /// The next moment, without the offset.
    moment: Timestamp,
    /// The first and the last moment that have had their turn.
    had: Option<(Timestamp, Timestamp)>,
    /// The same from before the clock was set back, as long as they are to come again.
    had_before: Vec<(Timestamp, Timestamp)>,
}

/// The point at which something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) enum Due {
    Elapsed(Instant),
    Wall(Timestamp),
}

/// What became of an entry that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) struct Turn {
    /// How long ago the firing was due.
    pub(in crate::script) late: Duration,
    /// Firings that were passed over.
    pub(in crate::script) missed: u64,
    /// Whether it fires, rather than leave it at having been missed.
    pub(in crate::script) fires: bool,
    /// Whether that was the last.
    pub(in crate::script) is_last: bool,
}

impl Plan {
    /// Begins; `None` when there is nothing to come.
    pub(in crate::script) fn begin(&self, now: Instant, wall: Timestamp) -> Option<Entry> {
        match self {
            &Self::After { delay } => Some(Entry::After { delay, at: now + delay }),
            &Self::Every { interval, is_immediate, offset } => {
                let first = if is_immediate { offset } else { interval + offset };
                Some(Entry::Every { interval, at: now + first })
            }
            Self::Calendar(terms) => {
                let moment = match terms.calendar.date() {
                    // It may have come while it was waited for this.
                    Some(date) => date,
                    None => terms.calendar.next(back(wall, terms.offset))?,
                };
                let terms = terms.clone();
                Some(Entry::Calendar(Appointment { terms, moment, had: None, had_before: vec![] }))
            }
        }
    }

    /// Goes on where another timer stands, if that asks for the same.
    pub(in crate::script) fn resume(&self, stands: &Entry) -> Option<Entry> {
        match (self, stands) {
            (Self::After { delay }, Entry::After { delay: same, .. }) if delay == same => {
                Some(stands.clone())
            }
            (Self::Every { interval, .. }, Entry::Every { interval: same, .. })
                if interval == same =>
            {
                Some(stands.clone())
            }
            (Self::Calendar(terms), Entry::Calendar(other))
                if terms.calendar.is_same(&other.terms.calendar) =>
            {
                Some(Entry::Calendar(Appointment { terms: terms.clone(), ..other.clone() }))
            }
            (Self::After { .. } | Self::Every { .. } | Self::Calendar(_), _) => None,
        }
    }

    /// Returns whether it fires once only.
    pub(in crate::script) fn is_once(&self) -> bool {
        match self {
            Self::After { .. } => true,
            Self::Every { .. } => false,
            Self::Calendar(terms) => terms.calendar.is_once(),
        }
    }

    /// Returns the name of the call that makes such a timer.
    pub(in crate::script) fn kind(&self) -> &'static str {
        match self {
            Self::After { .. } => "after",
            Self::Every { .. } => "every",
            Self::Calendar(terms) if terms.calendar.is_once() => "at",
            Self::Calendar(_) => "cron",
        }
    }

    /// Returns what was asked for, in words.
    pub(in crate::script) fn words(&self) -> String {
        match self {
            Self::After { delay } => format!("once after {}", spell_duration(*delay)),
            Self::Every { interval, .. } => format!("every {}", spell_duration(*interval)),
            Self::Calendar(terms) => terms.calendar.words(),
        }
    }
}

impl Entry {
    /// Returns when it is due.
    pub(in crate::script) fn due(&self) -> Due {
        match self {
            Self::After { at, .. } | Self::Every { at, .. } => Due::Elapsed(*at),
            Self::Calendar(entry) => Due::Wall(forth(entry.moment, entry.terms.offset)),
        }
    }

    /// Takes its turn, which is due, and moves on to the next.
    pub(in crate::script) fn turn(&mut self, now: Instant, wall: Timestamp) -> Turn {
        match self {
            Self::After { at, .. } => {
                let late = now.saturating_duration_since(*at);
                Turn { late, missed: 0, fires: true, is_last: true }
            }
            Self::Every { interval, at } => {
                let late = now.saturating_duration_since(*at);
                let missed = (late.as_nanos() / interval.as_nanos().max(1)) as u64;
                let passed = interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
                *at += passed + *interval;
                Turn { late: late.saturating_sub(passed), missed, fires: true, is_last: false }
            }
            Self::Calendar(entry) => entry.turn(wall),
        }
    }

    /// Takes note that the wall clock was set back, for good if `is_correction`.
    pub(in crate::script) fn set_back(&mut self, wall: Timestamp, is_correction: bool) {
        match self {
            Self::After { .. } | Self::Every { .. } => {}
            Self::Calendar(entry) => entry.set_back(wall, is_correction),
        }
    }
}

impl Appointment {
    fn turn(&mut self, wall: Timestamp) -> Turn {
        let wall = back(wall, self.terms.offset);
        let first = self.moment;
        let mut last = first;
        let mut missed = 0;
        let mut next = self.next(last);
        while let Some(moment) = next.filter(|moment| *moment <= wall) {
            missed += 1;
            // Who slept through that many has no use for the exact number; now is what counts.
            last = match missed {
                MOST_COUNTED => self.last_of_late(wall).unwrap_or(moment),
                _ => moment,
            };
            next = self.next(if missed < MOST_COUNTED { last } else { wall });
        }
        let late = span(last, wall);
        let is_once = self.terms.calendar.is_once();
        let fires = is_once || self.terms.catches_up || late <= LATEST;
        self.had = Some((self.had.map_or(first, |(had, _)| had), last));
        self.had_before.retain(|(_, had)| *had > last);
        self.moment = next.unwrap_or(last);
        let missed = missed + u64::from(!fires);
        Turn { late, missed, fires, is_last: is_once || next.is_none() }
    }

    /// Returns the first moment after a point of time that has not had its turn.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut next = self.terms.calendar.next(after)?;
        while let Some((_, last)) =
            self.had_before.iter().find(|(first, last)| (first..=last).contains(&&next))
        {
            next = self.terms.calendar.next(*last)?;
        }
        Some(next)
    }

    /// Returns the last moment that is not too late.
    fn last_of_late(&self, wall: Timestamp) -> Option<Timestamp> {
        let moment = |after| self.next(after).filter(|moment| *moment <= wall);
        let first = moment(back(wall, LATEST))?;
        std::iter::successors(Some(first), |at| moment(*at)).last()
    }

    fn set_back(&mut self, wall: Timestamp, is_correction: bool) {
        if self.terms.calendar.date().is_some() {
            return;
        }
        self.had_before.extend(self.had.take());
        if is_correction {
            self.had_before.clear();
        }
        if let Some(next) = self.next(back(wall, self.terms.offset)) {
            self.moment = next;
        }
    }
}

fn forth(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn back(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Returns the time from one point to a later one.
pub(in crate::script) fn span(from: Timestamp, to: Timestamp) -> Duration {
    let span: SignedDuration = to.duration_since(from);
    Duration::try_from(span).unwrap_or_default()
}

/// How late a moment may be and still have its turn.
const LATEST: Duration = Duration::from_secs(30);
/// Moments passed over that are counted one by one.
const MOST_COUNTED: u64 = 1000;
