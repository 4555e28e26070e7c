//! A reader of Prometheus' text format (version 0.0.4) that takes nothing but a correct page.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels as they are written, such as `a_total{b="c"}`.
pub fn parse(page: &str) -> BTreeMap<String, f64> {
    assert!(page.ends_with('\n'), "the last line has no end");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut current: Option<(String, String)> = None;
    let mut helped: Option<String> = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').expect("a help text");
            assert_eq!(helped.replace(name.into()), None, "help without a type: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(is_name(name), "{line}");
            assert!(
                ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind),
                "{line}"
            );
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            assert!(helped.take().is_none_or(|helped| helped == name), "help of another: {line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            current = Some((name.into(), kind.into()));
        } else {
            assert!(!line.starts_with('#'), "a comment that says nothing: {line}");
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = &series[..series.find('{').unwrap_or(series.len())];
            let (family, kind) = current.as_ref().expect("a type comes first");
            let suffixes: &[&str] = match &**kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(
                suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
                "{line} stands in {family}"
            );
            check_labels(&series[name.len()..]);
            let number = match value {
                "+Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                value => value.parse().unwrap_or_else(|_| panic!("{line}")),
            };
            assert!(kind != "counter" || number >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), number).is_none(), "twice: {line}");
        }
    }
    assert_eq!(helped, None, "help without a type");
    samples
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn check_labels(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut rest = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).expect(text);
    let mut names = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name) && names.insert(name), "{text}");
        let mut characters = value.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("no end: {text}")) {
                (_, '\\') => {
                    let escaped = characters.next().map(|(_, c)| c);
                    assert!(matches!(escaped, Some('\\' | '"' | 'n')), "{text}");
                }
                (at, '"') => break at,
                _ => {}
            }
        };
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break assert!(rest.is_empty(), "{text}"),
        }
    }
}

#[test]
fn the_reader_refuses_what_prometheus_would() {
    let good = "# HELP a A.\n# TYPE a gauge\na{b=\"c\\\"d,e\",f=\"\"} 1\na 2\n# TYPE n_total counter\nn_total 1e3\n";
    assert_eq!(parse(good)["a{b=\"c\\\"d,e\",f=\"\"}"], 1.0);
    for bad in [
        "# TYPE a gauge\na 1",
        "a 1\n",
        "# TYPE a gauge\na 1\n# TYPE a gauge\na 2\n",
        "# TYPE a gauge\na 1\na 1\n",
        "# TYPE a gauge\nb 1\n",
        "# TYPE a counter\na 1\n",
        "# TYPE a gauge\na{b=c} 1\n",
        "# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n",
        "# TYPE a gauge\na{b=\"\\x\"} 1\n",
        "# TYPE a gauge\na one\n",
        "# TYPE a gauge\na 1\n# EOF\n",
    ] {
        assert!(std::panic::catch_unwind(|| parse(bad)).is_err(), "{bad}");
    }
}
