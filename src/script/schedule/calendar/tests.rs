//! Which moments come next, above all where the clocks are changed.

use super::*;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn cron(line: &str, zone: &str) -> Calendar {
    Calendar::cron(line, Some(zone.into()), instant("2026-01-01T00:00:00Z"))
        .unwrap_or_else(|wrong| panic!("{line} {zone}: {wrong:?}"))
}

/// The next moments, as the clocks of the zone show them, with their distance to UTC.
fn moments(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
    let mut at = instant(after);
    let mut shown = Vec::new();
    for _ in 0..count {
        at = calendar.next(at).expect("it goes on");
        shown.push(at.to_zoned(calendar.zone.clone()).strftime("%d %H:%M%:z").to_string());
    }
    shown
}

/// A line, where, after which instant, and what comes.
const DAYLIGHT_SAVING: &[(&str, &str, &str, &[&str])] = &[
    // Berlin, spring 2026: 02:00+01 is 03:00+02 on 29 March.
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-27T23:00:00Z",
        &["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"],
    ),
    (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["29 01:30+01:00", "29 03:00+02:00", "29 03:30+02:00"],
    ),
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-03-28T23:30:00Z",
        &["29 01:00+01:00", "29 03:00+02:00", "29 04:00+02:00"],
    ),
    ("@daily", "Europe/Berlin", "2026-03-28T12:00:00Z", &["29 00:00+01:00", "30 00:00+02:00"]),
    // Twice a day: neither is lost, and several of one gap are one.
    (
        "0 2,14 * * *",
        "Europe/Berlin",
        "2026-03-28T20:00:00Z",
        &["29 03:00+02:00", "29 14:00+02:00", "30 02:00+02:00"],
    ),
    (
        "0,30 2,3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        &["29 03:00+02:00", "29 03:30+02:00", "30 02:00+02:00"],
    ),
    // By the hour of the clock, not of the day: 02:00 is not there.
    ("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:30:00Z", &["29 00:00+01:00", "29 04:00+02:00"]),
    // Berlin, autumn 2026: 03:00+02 is 02:00+01 on 25 October.
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["25 02:30+02:00", "26 02:30+01:00"]),
    // Asked between the two, after the second of them, and between the two hours.
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", &["26 02:30+01:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", &["26 02:30+01:00"]),
    (
        "0 2,14 * * *",
        "Europe/Berlin",
        "2026-10-24T13:00:00Z",
        &["25 02:00+02:00", "25 14:00+01:00"],
    ),
    (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        &["25 02:00+02:00", "25 02:30+02:00", "25 02:00+01:00", "25 02:30+01:00", "25 03:00+01:00"],
    ),
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:30:00Z",
        &["25 02:00+02:00", "25 02:00+01:00", "25 03:00+01:00"],
    ),
    // New York: 8 March and 1 November.
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07T12:00:00Z",
        &["08 03:00-04:00", "09 02:30-04:00"],
    ),
    (
        "0 * * * *",
        "America/New_York",
        "2026-03-08T05:30:00Z",
        &["08 01:00-05:00", "08 03:00-04:00"],
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-10-31T12:00:00Z",
        &["01 01:30-04:00", "02 01:30-05:00"],
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2026-11-01T05:15:00Z",
        &["01 01:30-04:00", "01 01:00-05:00", "01 01:30-05:00", "01 02:00-05:00"],
    ),
    // Lord Howe Island shifts by half an hour: 02:00+10:30 is 02:30+11 on 4 October,
    // 02:00+11 is 01:30+10:30 on 5 April.
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00Z",
        &["04 02:30+11:00", "05 02:15+11:00"],
    ),
    (
        "*/30 * * * *",
        "Australia/Lord_Howe",
        "2026-10-03T15:00:00Z",
        &["04 02:30+11:00", "04 03:00+11:00"],
    ),
    (
        "0 * * * *",
        "Australia/Lord_Howe",
        "2026-10-03T14:00:00Z",
        &["04 01:00+10:30", "04 03:00+11:00"],
    ),
    (
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T12:00:00Z",
        &["05 01:45+11:00", "06 01:45+10:30"],
    ),
    (
        "*/30 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:15:00Z",
        &["05 01:30+11:00", "05 01:30+10:30", "05 02:00+10:30"],
    ),
    (
        "0 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04T13:30:00Z",
        &["05 01:00+11:00", "05 02:00+10:30"],
    ),
    // No clock is changed here.
    ("30 2 * * *", "UTC", "2026-03-28T12:00:00Z", &["29 02:30+00:00", "30 02:30+00:00"]),
    ("*/20 * * * * *", "UTC", "2026-03-29T00:59:40Z", &["29 01:00+00:00", "29 01:00+00:00"]),
];

#[test]
fn daylight_saving_is_as_crontab_users_expect() {
    for (line, zone, after, expected) in DAYLIGHT_SAVING {
        let shown = moments(&cron(line, zone), after, expected.len());
        assert_eq!(shown, *expected, "{line} in {zone} after {after}");
    }
}

#[test]
fn every_line_moves_forward_over_a_year_of_any_zone() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"] {
        for line in ["17 */2 * * *", "30 2 * * *", "0 0-23 * * *", "59 23 L * *", "0 1,2,3 * * 0"] {
            let calendar = cron(line, zone);
            let mut at = instant("2011-01-01T00:00:00Z");
            let end = instant("2012-02-01T00:00:00Z");
            let mut count = 0;
            while at < end {
                let next = calendar.next(at).expect("it goes on");
                assert!(next > at, "{line} in {zone}: {next} after {at}");
                // Asked a moment before, it is still the next.
                let before = next - jiff::SignedDuration::from_millis(1);
                assert_eq!(calendar.next(before.max(at)), Some(next), "{line} in {zone}");
                at = next;
                count += 1;
            }
            assert!(count >= 13, "{line} in {zone}: {count}");
        }
    }
}

#[test]
fn a_time_of_day_is_the_next_such_time() {
    let next = |text: &str, after: &str| {
        let calendar = Calendar::at(text, Some("Europe/Berlin".into())).expect("a time");
        moments(&calendar, after, 1).remove(0)
    };
    assert_eq!(next("14:00", "2026-07-01T11:59:59Z"), "01 14:00+02:00");
    assert_eq!(next("14:00", "2026-07-01T12:00:00Z"), "02 14:00+02:00");
    assert_eq!(next("00:00", "2026-07-01T11:00:00Z"), "02 00:00+02:00");
    // In a gap: when the clocks have jumped. In an overlap: whichever comes next.
    assert_eq!(next("02:30", "2026-03-28T12:00:00Z"), "29 03:00+02:00");
    assert_eq!(next("02:30", "2026-03-29T01:00:00Z"), "30 02:30+02:00");
    assert_eq!(next("02:30", "2026-10-24T12:00:00Z"), "25 02:30+02:00");
    assert_eq!(next("02:30", "2026-10-25T00:45:00Z"), "25 02:30+01:00");
    assert_eq!(next("02:30", "2026-10-25T01:45:00Z"), "26 02:30+01:00");
    assert_eq!(next("14:00:30", "2026-07-01T12:00:00Z"), "01 14:00+02:00");
}

#[test]
fn a_date_comes_once() {
    for text in
        ["2026-12-24 18:00", "2026-12-24 18:00:00", "2026-12-24T18:00", " 2026-12-24 18:00 "]
    {
        let calendar = Calendar::at(text, Some("Europe/Berlin".into())).expect("a date");
        let at = instant("2026-12-24T17:00:00Z");
        assert_eq!((calendar.date(), calendar.is_once()), (Some(at), true));
        assert_eq!(calendar.next(instant("2026-12-24T16:59:59Z")), Some(at));
        assert_eq!(calendar.next(at), None, "{text}");
    }
}

#[test]
fn what_is_no_time_or_zone_is_refused_with_what_would_be() {
    for text in ["", "25:00", "14:60", "14", "2 pm", "14:00:60x", "2026-02-30 10:00", "2026-12-24"]
    {
        let Err(Wrong::Moment(why)) = Calendar::at(text, None) else { panic!("{text}") };
        assert!(why.contains("is not a time (\"14:00\", \"14:00:30\" or"), "{why}");
    }
    let zone = |name: &str| match Calendar::at("14:00", Some(name.into())) {
        Err(Wrong::Zone(why)) => why,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        zone("Europe/Berln"),
        "\"Europe/Berln\" is not a time zone (did you mean \"Europe/Berlin\"?)"
    );
    assert!(zone("somewhere").contains("such as \"Europe/Berlin\""));
    // No way out of the folder with the zones.
    assert!(zone("../../../etc/passwd").contains("is not a time zone"));
}

#[test]
fn the_same_is_asked_for_when_text_and_zone_are_the_same() {
    let (utc, berlin) = (cron("0 0 * * *", "UTC"), cron("0 0 * * *", "Europe/Berlin"));
    assert!(utc.is_same(&cron("0  0 * *  *", "UTC")));
    assert!(!utc.is_same(&berlin) && !utc.is_same(&cron("0 1 * * *", "UTC")));
    let at = |text: &str| Calendar::at(text, None).expect("a time");
    assert!(at("14:00").is_same(&at("14:00")) && !at("14:00").is_same(&at("14:01")));
}
