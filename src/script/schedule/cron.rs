//! Lines of a crontab: reading them, and what is wrong with those that cannot be.
//!
//! The fields are croner's business. When a line fires, daylight saving
//! included, is [`calendar`](super::calendar)'s.

use croner::{Cron, Weekday, parser::CronParser, parser::Year};
use jiff::{ToSpan as _, Unit, civil};

/// A line that can fire.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// As it was written, with single blanks.
    text: String,
    pub(super) cron: Cron,
    /// Whether it names times of day, rather than repeating all day long.
    pub(super) is_fixed: bool,
}

impl Line {
    /// Reads a line of 5 or 6 fields, or one of the short names.
    ///
    /// # Errors
    /// With what is wrong and what would be right. A line with a date that does not come in the
    /// `YEARS` after `today` is refused too: looking for it would take long, again and again.
    pub(super) fn parse(given: &str, today: civil::Date) -> Result<Self, String> {
        let text = given.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(why) = foreign(&text) {
            return Err(why);
        }
        let spelled = match short(&text) {
            Some(line) => line,
            None if text.starts_with('@') => {
                return Err(format!(
                    "{text:?} is not known (there are: {})",
                    SHORT_NAMES.join(" ")
                ));
            }
            None => &text,
        };
        let fields: Vec<&str> = spelled.split(' ').collect();
        if !(5..=6).contains(&fields.len()) || text.is_empty() {
            let count = if text.is_empty() { 0 } else { fields.len() };
            return Err(format!(
                "{text:?} has {count} fields; a line has 5 (minute, hour, day of month, month, day of week) or 6 (second first), as in \"*/5 * * * *\""
            ));
        }
        let Ok(cron) = parser().parse(spelled) else { return Err(blame(&text, &fields)) };
        if !comes(&cron, today) {
            return Err(format!("{text:?} names a date that never comes"));
        }
        // As in cron(8): what stands in the place of a time, not how many times there are.
        let times = &fields[..fields.len() - 3];
        let is_fixed = !times.iter().any(|field| field.contains('*'));
        Ok(Self { text, cron, is_fixed })
    }

    /// Returns the line as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns what it means, in English.
    pub(super) fn words(&self) -> String {
        let words = self.cron.describe();
        let mut chars = words.trim_end_matches('.').chars();
        chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }
}

fn parser() -> CronParser {
    CronParser::builder().year(Year::Disallowed).build()
}

/// What other schedulers know and this one does not, and what to write instead.
fn foreign(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    if lower == "@reboot" {
        return Some(
            "\"@reboot\" is not known: a script's top level runs at every start; call the function there"
                .into(),
        );
    }
    if let Some(interval) = lower.strip_prefix("@every") {
        let interval = interval.trim();
        return Some(format!(
            "\"@every\" is not known: write timer.every({:?}, …)",
            if interval.is_empty() { "5m" } else { interval }
        ));
    }
    let is_hashed =
        |field: &str| field == "h" || field.starts_with("h/") || field.starts_with("h(");
    if lower.split(' ').any(is_hashed) {
        return Some(format!(
            "{text:?}: \"H\" is not known: write a number, and jitter = \"10m\" or the like, which spreads hosts and scripts"
        ));
    }
    None
}

fn short(text: &str) -> Option<&'static str> {
    match text.to_lowercase().as_str() {
        "@hourly" => Some("0 * * * *"),
        "@daily" | "@midnight" => Some("0 0 * * *"),
        "@weekly" => Some("0 0 * * 0"),
        "@monthly" => Some("0 0 1 * *"),
        "@yearly" | "@annually" => Some("0 0 1 1 *"),
        _ => None,
    }
}

const SHORT_NAMES: [&str; 7] =
    ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

/// Says which field of a line is wrong.
fn blame(text: &str, fields: &[&str]) -> String {
    let names = &FIELDS[FIELDS.len() - fields.len()..];
    for (at, ((name, range), field)) in names.iter().zip(fields).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[at] = field;
        if parser().parse(&alone.join(" ")).is_err() {
            return format!(
                "{text:?}: {name}: {field:?} is not {range}, nor a list (1,15), a range (1-5) or a step (*/10) of such"
            );
        }
    }
    format!("{text:?} is not a line of a crontab, such as \"*/5 * * * *\"")
}

const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L (the last) or 15W (the nearest weekday)"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (the last) or MON#1 (the first)"),
];

/// Returns whether a line has a date at all in the years to come.
fn comes(cron: &Cron, today: civil::Date) -> bool {
    let fits = |day: civil::Date| {
        let (year, month) = (i32::from(day.year()), day.month().unsigned_abs().into());
        let weekday = Weekday::from_days_from_sunday(
            day.weekday().to_sunday_zero_offset().unsigned_abs().into(),
        );
        let pattern = &cron.pattern;
        // An error means that the pattern cannot be asked about such a day.
        pattern.month_match(month).unwrap_or(false)
            && pattern
                .day_match(year, month, day.day().unsigned_abs().into(), weekday)
                .unwrap_or(false)
    };
    let until = today.saturating_add(YEARS.years());
    let days = today.until((Unit::Day, until)).map_or(0, |span| span.get_days());
    today.series(1.day()).take(days.unsigned_abs() as usize).any(fits)
}

/// 29 February on a given day of the week comes within these, whatever the century.
const YEARS: i32 = 41;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn parse(line: &str) -> Result<Line, String> {
        Line::parse(line, civil::date(2026, 11, 25))
    }

    #[test]
    fn lines_that_crontab_users_write_are_read() {
        for line in [
            "*/5 * * * *",
            "  0   9-17/2 * *  mon-fri ",
            "30 2 1,15 * *",
            "0 0 * * 7",
            "0 0 L * *",
            "0 0 * * 5L",
            "0 0 * * MON#1",
            "*/10 * * * * *",
            "0 0 29 2 *",
            "0 0 29 2 +1",
            "@hourly",
            "@Daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
        }
        assert_eq!(parse("  0   9 * *  1 ").expect("valid").text(), "0 9 * * 1");
        assert_eq!(parse("30 2 * * *").expect("valid").words(), "at 02:30");
    }

    #[test]
    fn a_refusal_names_the_field_and_what_to_write_instead() {
        for (line, expected) in [
            ("", "\"\" has 0 fields; a line has 5"),
            ("* * * *", "has 4 fields"),
            ("0 0 1 1 * * 2027", "has 7 fields"),
            ("61 * * * *", "minute: \"61\" is not 0 to 59"),
            ("0 61 * * * *", "minute: \"61\" is not 0 to 59"),
            ("0 25 * * *", "hour: \"25\" is not 0 to 23"),
            ("0 0 32 * *", "day of month: \"32\" is not 1 to 31"),
            ("0 0 * 13 *", "month: \"13\" is not 1 to 12"),
            ("0 0 * * monday", "day of week: \"monday\" is not 0 to 7"),
            ("*/0 * * * *", "minute: \"*/0\" is not 0 to 59"),
            ("5-1 * * * *", "minute: \"5-1\" is not 0 to 59"),
            ("@reboot", "a script's top level runs at every start"),
            ("@every 5m", "write timer.every(\"5m\", …)"),
            ("@dayly", "\"@dayly\" is not known (there are: @hourly @daily"),
            ("H 3 * * *", "write a number, and jitter = \"10m\""),
            ("H/15 * * * *", "\"H\" is not known"),
            ("0 0 30 2 *", "\"0 0 30 2 *\" names a date that never comes"),
            ("0 0 31 4,6,9,11 *", "names a date that never comes"),
        ] {
            let why = parse(line).expect_err(line);
            assert!(why.contains(expected), "{line}: {why}");
        }
    }

    #[test]
    fn an_impossible_date_is_refused_at_once() {
        let began = Instant::now();
        assert!(parse("* * 31 2 *").is_err());
        // About a millisecond; without the bound, croner looks for it for a tenth of a second.
        assert!(began.elapsed() < Duration::from_millis(80), "{:?}", began.elapsed());
    }

    #[test]
    fn a_line_is_fixed_when_it_names_its_times_of_day() {
        for (line, is_fixed) in [
            ("30 2 * * *", true),
            ("0,30 2,14 * * *", true),
            ("15 30 2 * * *", true),
            ("@daily", true),
            ("*/30 2 * * *", false),
            ("30 * * * *", false),
            ("0 */2 * * *", false),
            ("* 30 2 * * *", false),
        ] {
            assert_eq!(parse(line).expect("valid").is_fixed, is_fixed, "{line}");
        }
    }
}
