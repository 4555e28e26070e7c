//! Points of wall time: a line of a crontab, a time of day, a date; pure.
//!
//! Daylight saving is as cron(8) of Debian has it. What names times of day
//! runs once a day whatever the clocks do: a time that is skipped in spring
//! runs when the clocks have jumped, one that comes twice in autumn runs the
//! first time. What repeats all day long (`*` or a step among seconds, minutes
//! or hours) goes by the time that passes.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

use super::cron::Line;

/// When something happens by the clock on the wall.
#[derive(Debug, Clone)]
pub(in crate::script) struct Calendar {
    moments: Moments,
    zone: TimeZone,
    /// The zone as it was asked for; `None` is the host's, whichever that is.
    zone_asked: Option<String>,
}

#[derive(Debug, Clone)]
enum Moments {
    Line(Box<Line>),
    /// The next such time of day, once.
    Time {
        time: Time,
        text: String,
    },
    /// Once.
    Date {
        date: DateTime,
        text: String,
    },
}

impl Calendar {
    /// Reads a line of a crontab.
    ///
    /// # Errors
    /// With what is wrong with line or zone.
    pub(in crate::script) fn cron(
        line: &str,
        zone: Option<String>,
        wall: Timestamp,
    ) -> Result<Self, Wrong> {
        let here = zone_of(zone.as_deref()).map_err(Wrong::Zone)?;
        let today = wall.to_zoned(here.clone()).date();
        let line = Line::parse(line, today).map_err(Wrong::Moment)?;
        Ok(Self { moments: Moments::Line(Box::new(line)), zone: here, zone_asked: zone })
    }

    /// Reads a time of day, or a date and a time.
    ///
    /// # Errors
    /// With what is wrong with time or zone.
    pub(in crate::script) fn at(text: &str, zone: Option<String>) -> Result<Self, Wrong> {
        let here = zone_of(zone.as_deref()).map_err(Wrong::Zone)?;
        let text = text.trim().to_owned();
        let moments = if let Some(time) = time_of(&text) {
            Moments::Time { time, text }
        } else if let Some(date) = date_of(&text) {
            Moments::Date { date, text }
        } else {
            return Err(Wrong::Moment(format!(
                "{text:?} is not a time (\"14:00\", \"14:00:30\" or \"2026-12-24 18:00\")"
            )));
        };
        Ok(Self { moments, zone: here, zone_asked: zone })
    }

    /// Returns the first moment after a point of time.
    pub(in crate::script) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.to_zoned(self.zone.clone());
        match &self.moments {
            Moments::Line(line) if line.is_fixed => self.next_fixed(line, after, from.datetime()),
            Moments::Line(line) => {
                // croner counts in seconds.
                let from = from.round(whole_seconds()).ok()?;
                let next = line.cron.find_next_occurrence(&from, false).ok()?;
                Some(next.timestamp()).filter(|next| *next > after)
            }
            Moments::Time { time, .. } => self.next_time(*time, after, from.date()),
            Moments::Date { date, .. } => self.instants(*date).into_iter().find(|at| *at > after),
        }
    }

    /// Looks on the face of the clock, where nothing is skipped and nothing comes twice, and asks
    /// then what instant that is.
    fn next_fixed(&self, line: &Line, after: Timestamp, from: DateTime) -> Option<Timestamp> {
        let mut from = from.round(whole_seconds_civil()).ok()?;
        loop {
            from = line.cron.find_next_occurrence(&from, false).ok()?;
            let [at, _] = self.instants(from);
            // It has had its turn before the clocks were set back.
            if at > after {
                return Some(at);
            }
        }
    }

    fn next_time(&self, time: Time, after: Timestamp, today: Date) -> Option<Timestamp> {
        [today, today.tomorrow().ok()?]
            .into_iter()
            .flat_map(|day| self.instants(day.to_datetime(time)))
            .find(|at| *at > after)
    }

    /// Returns the first and the second instant at which the clocks show a time. Mostly they are
    /// the same; a time that is skipped stands for the instant at which the clocks jump.
    fn instants(&self, shown: DateTime) -> [Timestamp; 2] {
        let ambiguous = self.zone.to_ambiguous_timestamp(shown);
        // Only the ends of the calendar have no instants, 8,000 years away.
        let earlier = ambiguous.earlier().unwrap_or(Timestamp::MAX);
        let later = ambiguous.later().unwrap_or(Timestamp::MAX);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => [earlier, later],
            AmbiguousOffset::Gap { .. } => {
                let jump = self.zone.following(earlier).next();
                [jump.map_or(later, |jump| jump.timestamp()); 2]
            }
        }
    }

    /// Returns the one date this is, if it is a date.
    pub(in crate::script) fn date(&self) -> Option<Timestamp> {
        match &self.moments {
            Moments::Date { date, .. } => Some(self.instants(*date)[0]),
            Moments::Line(_) | Moments::Time { .. } => None,
        }
    }

    /// Returns whether it happens once only.
    pub(in crate::script) fn is_once(&self) -> bool {
        match self.moments {
            Moments::Line(_) => false,
            Moments::Time { .. } | Moments::Date { .. } => true,
        }
    }

    /// Returns what was written.
    pub(in crate::script) fn text(&self) -> &str {
        match &self.moments {
            Moments::Line(line) => line.text(),
            Moments::Time { text, .. } | Moments::Date { text, .. } => text,
        }
    }

    /// Returns what it means, in English.
    pub(in crate::script) fn words(&self) -> String {
        match &self.moments {
            Moments::Line(line) => line.words(),
            Moments::Time { text, .. } | Moments::Date { text, .. } => format!("once at {text}"),
        }
    }

    /// Returns the zone's name, where it has one.
    pub(in crate::script) fn zone(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// Returns whether another one asks for the same.
    pub(in crate::script) fn is_same(&self, other: &Self) -> bool {
        self.text() == other.text()
            && self.is_once() == other.is_once()
            && self.zone_asked == other.zone_asked
    }
}

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::script) enum Wrong {
    /// The line or time.
    Moment(String),
    /// The zone.
    Zone(String),
}

fn whole_seconds() -> jiff::ZonedRound {
    jiff::ZonedRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Floor)
}

fn whole_seconds_civil() -> jiff::civil::DateTimeRound {
    jiff::civil::DateTimeRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Floor)
}

fn time_of(text: &str) -> Option<Time> {
    ["%H:%M", "%H:%M:%S"].into_iter().find_map(|form| Time::strptime(form, text).ok())
}

fn date_of(text: &str) -> Option<DateTime> {
    ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .into_iter()
        .find_map(|form| DateTime::strptime(form, text).ok())
}

/// Finds a zone by its IANA name.
fn zone_of(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|_| {
        let zones = jiff::tz::db();
        if zones.is_definitively_empty() {
            return format!(
                "{name:?} cannot be looked up: this host has no time zone database (tzdata)"
            );
        }
        let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
        match crate::command::closest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("{name:?} is not a time zone (did you mean {meant:?}?)"),
            None => format!("{name:?} is not a time zone, such as \"Europe/Berlin\" or \"UTC\""),
        }
    })
}

#[cfg(test)]
mod tests;
