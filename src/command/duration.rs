//! Durations as users write them: seconds, or text such as `500ms`, `1h30m`, `1d`.

use std::time::Duration;

/// Reads a duration given as text: a plain number of seconds, or numbers with units from large to
/// small (`d h m s ms`), such as `"1h30m"`.
///
/// # Errors
/// With the text and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refused = || DurationError(format!("{text:?}"));
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<f64>() {
        return duration_of(seconds).map_err(|_| refused());
    }
    let mut rest = trimmed;
    let mut total = 0.0;
    let mut units_left = UNITS;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let number: f64 = rest[..digits].parse().map_err(|_| refused())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let at =
            units_left.iter().position(|(unit, _)| *unit == &rest[..end]).ok_or_else(refused)?;
        total += number * units_left[at].1;
        // Each unit once, from large to small: anything else is a slip of the pen.
        units_left = &units_left[at + 1..];
        rest = &rest[end..];
    }
    duration_of(total).map_err(|_| refused())
}

/// Takes a number of seconds.
///
/// # Errors
/// When it is negative, not a number, or longer than a thousand years.
pub fn duration_of(seconds: f64) -> Result<Duration, DurationError> {
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(DurationError(seconds.to_string()));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Returns a span as headers count it, in whole seconds; what is left of one counts as one, so that
/// nothing but zero becomes zero.
pub fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

/// Returns a duration as a user would write it, such as `1h30m`; less than a millisecond is left out.
pub fn spell_duration(span: Duration) -> String {
    let mut left = span.as_millis();
    let mut text = String::new();
    for (unit, seconds) in UNITS {
        let millis = (seconds * 1000.0) as u128;
        let count = left / millis;
        if count > 0 {
            text += &format!("{count}{unit}");
            left -= count * millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// What is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a duration (seconds, or text such as \"500ms\", \"30s\", \"5m\", \"1h30m\", \"1d\")"
)]
pub struct DurationError(String);

const UNITS: &[(&str, f64)] =
    &[("d", 86_400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)];
const LONGEST: f64 = 1000.0 * 366.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelled_duration_reads_as_the_same() {
        for text in ["0s", "100ms", "1s500ms", "30s", "5m", "1h30m", "1d", "3650d", "1d1h1m1s1ms"] {
            let span = parse_duration(text).expect("a duration");
            assert_eq!(spell_duration(span), text);
        }
    }

    #[test]
    fn durations_are_seconds_or_numbers_with_units() {
        for (text, seconds) in [
            ("1.5", 1.5),
            ("500ms", 0.5),
            ("30s", 30.0),
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1d", 86_400.0),
            (" 2s500ms ", 2.5),
            ("0", 0.0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "soon", "1x", "1m1h", "5m5m", "-1", "nan", "inf", "1e30", "m", "1h x"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
