//! Outcome → action: the one table, and the back-off behind it.

use std::time::Duration;

use crate::sip::ids::Ids;

/// What a failed PUBLISH asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Automatic attempts stop; the wanted state is kept.
    Final,
    /// Another attempt after a back-off.
    Retry,
    /// The tag is worthless: an Initial with the kept document (3903 §5).
    StartOver,
}

/// Judges a final response other than 2xx. Challenges, 420, 423 and redirects come here only
/// when [`request`](super::super::request) could do nothing about them.
pub(crate) fn verdict(code: u16, has_retry_after: bool) -> Verdict {
    match code {
        412 => Verdict::StartOver,
        // A time is given for these: the server expects to be asked again (3261 §20.33).
        404 | 413 | 480 | 486 | 500 | 503 | 600 | 603 if has_retry_after => Verdict::Retry,
        408 | 413 | 480 | 482 | 483 | 486 | 491 => Verdict::Retry,
        501 | 505 | 513 => Verdict::Final,
        500..=599 => Verdict::Retry,
        _ => Verdict::Final,
    }
}

/// Returns whether a PUBLISH that got this final response may succeed later, unchanged.
pub fn is_temporary(code: u16, has_retry_after: bool) -> bool {
    verdict(code, has_retry_after) == Verdict::Retry
}

/// Returns how long to wait before the next attempt: full jitter under a limit that doubles from
/// 1 s to 300 s, never under 0.5 s, never before Retry-After.
///
/// `crowd` is the number of publications that may be waiting for the same server, which are all there
/// are: after a Retry-After they leave at 500 a second, not all in the same instant, and within
/// [`LONGEST_SPREAD`], since most of so many are for other servers. The window of
/// [`lane`](super::lane) holds what comes sooner than a server answers.
pub(crate) fn backoff(
    ids: &mut Ids,
    attempt: u32,
    retry_after: Option<Duration>,
    crowd: usize,
) -> Duration {
    let limit = Duration::from_secs(1 << attempt.saturating_sub(1).min(9)).min(LONGEST);
    let jittered = ids.below(limit).max(SHORTEST);
    match retry_after {
        Some(retry_after) => {
            let spread = Duration::from_millis(2 * crowd.saturating_sub(1) as u64);
            let spread = ids.below(spread.min(LONGEST_SPREAD));
            retry_after.max(jittered) + spread
        }
        None => jittered,
    }
}

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(300);
const LONGEST_SPREAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_each_code_asks_for() {
        let finals = [
            300, 302, 400, 401, 402, 403, 404, 405, 406, 407, 410, 414, 415, 416, 420, 421, 423,
            484, 485, 488, 489, 494, 499, 501, 505, 513, 600, 603, 604, 606,
        ];
        for code in finals {
            assert_eq!(verdict(code, false), Verdict::Final, "{code}");
        }
        for code in [408, 413, 480, 482, 483, 486, 491, 500, 502, 503, 504, 580, 599] {
            assert_eq!(verdict(code, false), Verdict::Retry, "{code}");
        }
        for code in [404, 413, 480, 486, 500, 503, 600, 603] {
            assert_eq!(verdict(code, true), Verdict::Retry, "{code}");
        }
        assert_eq!(verdict(403, true), Verdict::Final);
        assert!(is_temporary(503, false) && !is_temporary(403, false) && !is_temporary(412, false));
        assert_eq!(verdict(412, false), Verdict::StartOver);
    }

    #[test]
    fn backoff_grows_to_its_limits_and_honours_retry_after() {
        let mut ids = Ids::new([7; 32]);
        for attempt in 1..40 {
            let limit = Duration::from_secs(1 << (attempt - 1).min(9)).min(LONGEST);
            for _ in 0..100 {
                let wait = backoff(&mut ids, attempt, None, 1);
                assert!(wait >= SHORTEST && wait <= limit.max(SHORTEST), "{attempt}: {wait:?}");
            }
        }
        let retry_after = Duration::from_secs(30);
        assert_eq!(backoff(&mut ids, 1, Some(retry_after), 1), retry_after);
        for _ in 0..100 {
            let wait = backoff(&mut ids, 1, Some(retry_after), 1_000_000);
            assert!(wait >= retry_after && wait <= retry_after + LONGEST_SPREAD, "{wait:?}");
        }
    }
}
