//! Points in time as presence documents write them (RFC 3339, 3863 §4.1.7).

use jiff::Timestamp as Instant;
use serde::Serialize;

use super::{BodyError, Field, error::shown};

/// A point in time as an author gives it, or as a document that was read had it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Timestamp {
    /// RFC 3339, such as `2025-01-01T00:00:00Z`.
    Text(String),
    /// Seconds since 1970, as `os.time()` counts them.
    Unix(f64),
}

impl Timestamp {
    /// Returns the text that goes into a document: UTC, with the capital T and Z that presence
    /// asks for, however generously the author's was read.
    pub(super) fn written(&self, field: Field<'_>) -> Result<String, BodyError> {
        let instant = match self {
            Self::Text(text) => text.parse::<Instant>().ok(),
            // Microseconds: finer digits of a number this large are noise.
            Self::Unix(seconds) if seconds.is_finite() => {
                Instant::from_microsecond((seconds * 1e6).round() as i64).ok()
            }
            Self::Unix(_) => None,
        };
        match instant.filter(|instant| instant.as_second() >= YEAR_1) {
            Some(instant) => Ok(instant.to_string()),
            None => Err(BodyError::Timestamp { field: field.into(), value: self.shown() }),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", shown(text)),
            Self::Unix(seconds) => seconds.to_string(),
        }
    }
}

/// Earlier years have no four digits without a sign.
const YEAR_1: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(timestamp: Timestamp) -> Result<String, String> {
        timestamp.written(Field::top("timestamp")).map_err(|error| error.to_string())
    }

    #[test]
    fn pkg_11_timestamps_are_written_in_utc_with_capital_t_and_z() {
        for (given, expected) in [
            ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("2025-01-01t00:00:00z", "2025-01-01T00:00:00Z"),
            ("2025-01-01 00:00:00Z", "2025-01-01T00:00:00Z"),
            ("2025-01-01T00:00:00.250Z", "2025-01-01T00:00:00.25Z"),
            ("2025-01-01T00:30:00+01:00", "2024-12-31T23:30:00Z"),
            ("2024-02-29T23:59:60Z", "2024-02-29T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(written(Timestamp::Text(given.into())).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn pkg_11_two_moments_of_one_second_are_two_texts() {
        let seconds = |seconds| written(Timestamp::Unix(seconds)).unwrap();
        assert_eq!(seconds(1_735_689_600.0), "2025-01-01T00:00:00Z");
        assert_eq!(seconds(1_735_689_600.5), "2025-01-01T00:00:00.5Z");
        assert_eq!(seconds(1_735_689_600.1), "2025-01-01T00:00:00.1Z");
        assert_eq!(seconds(-1.0), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2025-01-01",
            "2025-01-01T00:00:00",
            "2025-02-30T00:00:00Z",
            "2025-01-01T25:00:00Z",
            "-000001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
        ] {
            let error = written(Timestamp::Text(bad.into())).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "timestamp: {bad:?} is not a time such as \"2025-01-01T00:00:00Z\" or a number of seconds since 1970"
                )
            );
        }
        for bad in [f64::NAN, f64::INFINITY, 1e300, -1e300, -1e11] {
            assert!(written(Timestamp::Unix(bad)).is_err(), "{bad}");
        }
    }
}
