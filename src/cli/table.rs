//! Lists for people: aligned columns, times as they are said, sizes in units.

use serde_json::Value;

/// Returns a table with a head; columns are as wide as their widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<_> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(&mut head.iter().copied());
    let rows = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Returns a value as a cell: nothing as `-`, the first line of a text, no control characters.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => plain(text.lines().next().unwrap_or_default()),
        other => plain(&other.to_string()),
    }
}

/// What comes from the network or a script must not steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Returns a moment in UNIX seconds as it is said at `now`: `in 12 min`, `3 s ago`.
pub(super) fn relative(at: &Value, now: f64) -> String {
    let Some(at) = at.as_f64() else { return "-".into() };
    let distance = at - now;
    let said = span(distance.abs());
    match distance {
        _ if distance.abs() < 0.5 => "now".into(),
        _ if distance > 0.0 => format!("in {said}"),
        _ => format!("{said} ago"),
    }
}

/// Returns a number of seconds in the unit people would use.
pub(super) fn span(seconds: f64) -> String {
    match seconds.round() {
        s if s < 90.0 => format!("{s} s"),
        s if s < 90.0 * 60.0 => format!("{} min", (s / 60.0).round()),
        s if s < 36.0 * 3600.0 => format!("{} h", (s / 3600.0).round()),
        s => format!("{} d", (s / 86_400.0).round()),
    }
}

/// Returns a number of bytes.
pub(super) fn bytes(value: &Value) -> String {
    let Some(count) = value.as_f64() else { return "-".into() };
    match count {
        n if n < 1024.0 => format!("{n} B"),
        n if n < 1024.0 * 1024.0 => format!("{:.0} KiB", n / 1024.0),
        n => format!("{:.1} MiB", n / 1024.0 / 1024.0),
    }
}

/// The present in UNIX seconds.
pub(super) fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["lamp".into(), "1".into()], vec!["é".into(), "22".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME  N\nlamp  1\né     22");
    }

    #[test]
    fn moments_are_told_from_now() {
        let told = |at: f64| relative(&json!(1000.0 + at), 1000.0);
        assert_eq!(told(0.2), "now");
        assert_eq!(told(12.0 * 60.0), "in 12 min");
        assert_eq!(told(-3.0), "3 s ago");
        assert_eq!(told(89.0), "in 89 s");
        assert_eq!(told(3600.0), "in 60 min");
        assert_eq!(told(7200.0), "in 2 h");
        assert_eq!(told(3.0 * 86_400.0), "in 3 d");
        assert_eq!(relative(&Value::Null, 0.0), "-");
    }

    #[test]
    fn cells_are_single_lines_without_control_characters() {
        assert_eq!(cell(&json!("a\u{1b}[2J\nb")), "a?[2J");
        assert_eq!(cell(&json!(null)), "-");
        assert_eq!(cell(&json!(3)), "3");
        assert_eq!(bytes(&json!(100)), "100 B");
        assert_eq!(bytes(&json!(300 * 1024)), "300 KiB");
        assert_eq!(bytes(&json!(3 * 1024 * 1024 / 2)), "1.5 MiB");
    }
}
