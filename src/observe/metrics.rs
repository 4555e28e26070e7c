//! Metrics that scripts define, as plain state, and their text for Prometheus.
//!
//! A name belongs to one kind of metric, whichever scripts use it; each
//! script's values carry a label with its name. A [`Registry`] is a collector of
//! prometheus-client, which does the writing, so that whoever makes the metrics
//! page can register it beside what puad counts itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, prometheus_text},
    metrics::MetricType,
};

/// The type of [`Registry::encode`]'s text.
pub use prometheus_text::CONTENT_TYPE;

/// The metrics of all scripts; clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    families: BTreeMap<String, Family>,
    /// What each script's lines take on the page, in bytes, estimated from above.
    bytes: BTreeMap<Arc<str>, usize>,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

/// Label names and values, by name.
pub type Labels = BTreeMap<String, String>;

/// Why a registry does not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name, or one that Prometheus derives from it, means something else already.
    #[error("{name} is a {kind} of script {script} already")]
    Taken {
        /// The metric that is in the way.
        name: String,
        /// What it is.
        kind: Kind,
        /// Whose it is.
        script: Arc<str>,
    },
    /// The metric is not there, or something else by now.
    #[error("the metric has been defined anew as another kind")]
    Gone,
    /// One script has too many.
    #[error("this script has {MOST_METRICS} metrics already, and a script may have no more")]
    Metrics,
    /// One metric has too many.
    #[error("there are {MOST_SETS} sets of labels already, and a script's metric may have no more")]
    Sets,
    /// The script's part of the page is too long.
    #[error("the metrics of this script fill the {} MiB that they may take on the page", MOST_BYTES >> 20)]
    Size,
}

/// One name, and what scripts keep under it.
#[derive(Debug)]
struct Family {
    help: String,
    /// Never empty, and all of one kind.
    series: BTreeMap<Arc<str>, Series>,
}

/// One script's values by their labels.
#[derive(Debug)]
enum Series {
    Counter(BTreeMap<Labels, f64>),
    Gauge(BTreeMap<Labels, f64>),
    Histogram { bounds: Arc<[f64]>, values: BTreeMap<Labels, Buckets> },
}

/// Values counted by size.
#[derive(Debug, Clone, Default)]
struct Buckets {
    /// As many as there are bounds, each without those below it.
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Registry {
    /// Defines a metric of a script, or finds it again. `bounds` are those of a histogram's
    /// buckets. When the script has defined it as another kind before, it starts anew.
    ///
    /// # Errors
    /// When the name is another script's for something else, or there are too many.
    pub fn define(
        &self,
        script: &Arc<str>,
        name: &str,
        kind: Kind,
        help: &str,
        bounds: &[f64],
    ) -> Result<(), Refused> {
        let name = base(name, kind);
        let mut state = self.lock();
        let State { families, bytes } = &mut *state;
        if let Some((name, family, other)) = in_the_way(families, script, name, kind) {
            return Err(Refused::Taken {
                name: name.to_owned(),
                kind: family.kind(),
                script: other.clone(),
            });
        }
        let is_there = families
            .get(name)
            .and_then(|family| family.series.get(script))
            .is_some_and(|series| series.is(kind, bounds));
        if is_there {
            return Ok(());
        }
        // What this script had under these names before ends.
        families.retain(|other, family| {
            if clashes(other, family.kind(), name, kind) {
                family.series.remove(script);
            }
            !family.series.is_empty()
        });
        let mine = families.values().filter(|family| family.series.contains_key(script)).count();
        let taken: usize =
            families.iter().map(|(name, family)| family.bytes_of(name, script)).sum();
        bytes.insert(script.clone(), taken);
        if mine >= MOST_METRICS {
            return Err(Refused::Metrics);
        }
        // What stands under the name itself makes way.
        let before = families.get(name).map_or(0, |family| family.bytes_of(name, script));
        let taken = taken - before + head_bytes(name, help);
        if taken > MOST_BYTES {
            return Err(Refused::Size);
        }
        let family = families
            .entry(name.to_owned())
            .or_insert_with(|| Family { help: help.to_owned(), series: BTreeMap::new() });
        family.series.insert(script.clone(), Series::new(kind, bounds));
        bytes.insert(script.clone(), taken);
        Ok(())
    }

    /// Adds to a counter or a gauge.
    ///
    /// # Errors
    /// When the metric is something else by now, or has too many sets of labels.
    pub fn add(
        &self,
        script: &str,
        name: &str,
        kind: Kind,
        by: f64,
        labels: Labels,
    ) -> Result<(), Refused> {
        self.change(script, name, kind, |series, room| match series {
            Series::Counter(values) | Series::Gauge(values) => {
                *value_of(values, labels, 1, room)? += by;
                Ok(())
            }
            Series::Histogram { .. } => Err(Refused::Gone),
        })
    }

    /// Sets a gauge.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn set(&self, script: &str, name: &str, value: f64, labels: Labels) -> Result<(), Refused> {
        self.change(script, name, Kind::Gauge, |series, room| match series {
            Series::Gauge(values) => {
                *value_of(values, labels, 1, room)? = value;
                Ok(())
            }
            Series::Counter(_) | Series::Histogram { .. } => Err(Refused::Gone),
        })
    }

    /// Counts a value in a histogram.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn observe(
        &self,
        script: &str,
        name: &str,
        value: f64,
        labels: Labels,
    ) -> Result<(), Refused> {
        self.change(script, name, Kind::Histogram, |series, room| match series {
            Series::Histogram { bounds, values } => {
                let buckets = value_of(values, labels, lines_of(bounds), room)?;
                buckets.counts.resize(bounds.len(), 0);
                buckets.sum += value;
                buckets.count += 1;
                // Beyond the last bound only the total counts it.
                if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
                    buckets.counts[at] += 1;
                }
                Ok(())
            }
            Series::Counter(_) | Series::Gauge(_) => Err(Refused::Gone),
        })
    }

    /// Returns everything in Prometheus' text format.
    pub fn encode(&self) -> String {
        let mut page = prometheus_client::registry::Registry::default();
        page.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &page).expect("a String takes every text");
        text
    }

    fn change(
        &self,
        script: &str,
        name: &str,
        kind: Kind,
        change: impl FnOnce(&mut Series, &mut Room<'_>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let name = base(name, kind);
        let mut state = self.lock();
        let State { families, bytes } = &mut *state;
        let series = families
            .get_mut(name)
            .and_then(|family| family.series.get_mut(script))
            .filter(|series| series.kind() == kind)
            .ok_or(Refused::Gone)?;
        let taken = bytes.get_mut(script).ok_or(Refused::Gone)?;
        change(series, &mut Room { fixed: line_bytes(name, script), taken })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole before it could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, family) in &self.lock().families {
            let kind = family.kind();
            let mut metric =
                encoder.encode_descriptor(name, &family.help, None, kind.metric_type())?;
            for (script, series) in &family.series {
                match series {
                    Series::Counter(values) => {
                        for (labels, value) in values {
                            metric
                                .encode_family(&with_script(script, labels))?
                                .encode_counter::<NoLabelSet, _, f64>(value, None)?;
                        }
                    }
                    Series::Gauge(values) => {
                        for (labels, value) in values {
                            metric
                                .encode_family(&with_script(script, labels))?
                                .encode_gauge(value)?;
                        }
                    }
                    Series::Histogram { bounds, values } => {
                        for (labels, buckets) in values {
                            let counts: Vec<(f64, u64)> = bounds
                                .iter()
                                .copied()
                                .zip(buckets.counts.iter().copied())
                                .collect();
                            metric
                                .encode_family(&with_script(script, labels))?
                                .encode_histogram::<NoLabelSet>(
                                    buckets.sum,
                                    buckets.count,
                                    &counts,
                                    None,
                                )?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn with_script<'a>(script: &'a str, labels: &'a Labels) -> Vec<(&'a str, &'a str)> {
    let given = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once((SCRIPT, script)).chain(given).collect()
}

/// The room that a script has on the page.
struct Room<'a> {
    /// Bytes of each line of the metric, labels apart.
    fixed: usize,
    taken: &'a mut usize,
}

/// Returns the value of a set of labels, making it while there may be more; it stands on so many
/// lines.
fn value_of<'a, T: Default>(
    values: &'a mut BTreeMap<Labels, T>,
    labels: Labels,
    lines: usize,
    room: &mut Room<'_>,
) -> Result<&'a mut T, Refused> {
    if !values.contains_key(&labels) {
        if values.len() >= MOST_SETS {
            return Err(Refused::Sets);
        }
        let taken = *room.taken + lines * (room.fixed + labels_bytes(&labels));
        if taken > MOST_BYTES {
            return Err(Refused::Size);
        }
        *room.taken = taken;
    }
    Ok(values.entry(labels).or_default())
}

impl Family {
    fn kind(&self) -> Kind {
        self.series.values().next().expect("families without a script are dropped").kind()
    }

    /// Returns what a script's part takes on the page.
    fn bytes_of(&self, name: &str, script: &str) -> usize {
        let Some(series) = self.series.get(script) else { return 0 };
        let fixed = line_bytes(name, script);
        let sum = |labels: &mut dyn Iterator<Item = &Labels>| -> usize {
            labels.map(|labels| fixed + labels_bytes(labels)).sum()
        };
        let lines = match series {
            Series::Counter(values) | Series::Gauge(values) => sum(&mut values.keys()),
            Series::Histogram { bounds, values } => lines_of(bounds) * sum(&mut values.keys()),
        };
        head_bytes(name, &self.help) + lines
    }
}

impl Series {
    fn new(kind: Kind, bounds: &[f64]) -> Self {
        match kind {
            Kind::Counter => Self::Counter(BTreeMap::new()),
            Kind::Gauge => Self::Gauge(BTreeMap::new()),
            Kind::Histogram => Self::Histogram { bounds: bounds.into(), values: BTreeMap::new() },
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram { .. } => Kind::Histogram,
        }
    }

    /// Returns whether a definition says again what this is.
    fn is(&self, kind: Kind, wanted: &[f64]) -> bool {
        match self {
            Self::Counter(_) | Self::Gauge(_) => self.kind() == kind,
            Self::Histogram { bounds, .. } => kind == Kind::Histogram && **bounds == *wanted,
        }
    }
}

impl Kind {
    fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// Returns the name without what the text format appends: a counter's ends in `_total`, whether
/// or not it was written so.
fn base(name: &str, kind: Kind) -> &str {
    match kind {
        Kind::Counter => {
            name.strip_suffix("_total").filter(|base| !base.is_empty()).unwrap_or(name)
        }
        Kind::Gauge | Kind::Histogram => name,
    }
}

/// Returns how many lines one set of labels of a histogram takes: its buckets, the one without a
/// bound, sum and count.
fn lines_of(bounds: &[f64]) -> usize {
    bounds.len() + 3
}

/// Returns at least the bytes of a metric's first lines, which say what it is.
fn head_bytes(name: &str, help: &str) -> usize {
    2 * name.len() + written(help) + FRAME
}

/// Returns at least the bytes of one line, labels of the script's own apart.
fn line_bytes(name: &str, script: &str) -> usize {
    name.len() + written(script) + FRAME
}

/// Returns the bytes of labels in a line.
fn labels_bytes(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + written(value) + 4).sum()
}

/// Returns the bytes of a text where some characters are escaped.
fn written(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'\\' | b'"' | b'\n')).count()
}

/// Returns the names that a metric has in the text, its own one first.
fn sample_names(base: &str, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Counter => vec![format!("{base}_total")],
        Kind::Gauge => vec![base.to_owned()],
        Kind::Histogram => {
            ["", "_bucket", "_sum", "_count"].iter().map(|end| format!("{base}{end}")).collect()
        }
    }
}

/// Returns whether two metrics cannot stand beside each other.
fn clashes(one: &str, one_kind: Kind, other: &str, other_kind: Kind) -> bool {
    let (these, those) = (sample_names(one, one_kind), sample_names(other, other_kind));
    // A counter and a gauge of one base have different names, but one entry here.
    one_kind != other_kind && (one == other || these.iter().any(|name| those.contains(name)))
}

/// Finds another script's metric of another kind that a new one cannot stand beside.
fn in_the_way<'a>(
    families: &'a BTreeMap<String, Family>,
    script: &Arc<str>,
    name: &str,
    kind: Kind,
) -> Option<(&'a str, &'a Family, &'a Arc<str>)> {
    families.iter().filter(|(other, family)| clashes(other, family.kind(), name, kind)).find_map(
        |(other, family)| {
            let owner = family.series.keys().find(|owner| *owner != script)?;
            Some((other.as_str(), family, owner))
        },
    )
}

/// Checks the name of a metric.
///
/// # Errors
/// With what is wrong, in words that fit behind the name.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    if !is_name || name.len() > LONGEST_NAME {
        return Err(format!(
            "is not the name of a metric (letters, digits and _, beginning with no digit; at most {LONGEST_NAME})"
        ));
    }
    if name.starts_with("puad_") {
        return Err("is not for scripts; names that begin with puad_ are puad's own".into());
    }
    if name.starts_with("process_") {
        return Err(
            "is not for scripts; names that begin with process_ are of puad's process".into()
        );
    }
    Ok(())
}

/// Checks the name of a label.
///
/// # Errors
/// With what is wrong, in words that fit behind the name.
pub fn check_label(name: &str, kind: Kind) -> Result<(), String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || name.len() > LONGEST_NAME {
        return Err(format!(
            "is not the name of a label (letters, digits and _, beginning with no digit; at most {LONGEST_NAME})"
        ));
    }
    if name.starts_with("__") {
        return Err("is not for scripts; names that begin with __ are Prometheus' own".into());
    }
    match (name, kind) {
        (SCRIPT, _) => Err("is set by puad itself".into()),
        ("le", Kind::Histogram) => Err("is what a histogram's buckets are told apart by".into()),
        _ => Ok(()),
    }
}

/// The label that says whose value it is.
const SCRIPT: &str = "script";
/// Metrics of one script.
const MOST_METRICS: usize = 100;
/// Sets of labels of one script's metric: each is a time series that Prometheus must keep.
const MOST_SETS: usize = 100;
/// Bytes of one script's part of the page: whoever asks for it gets and keeps them all.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of a line beside names, labels and texts: endings, the bound of a bucket, the number.
const FRAME: usize = 80;
/// Characters of a name.
const LONGEST_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn the_page_has_every_scripts_values_under_one_name() {
        let (registry, a, b) = (Registry::default(), Arc::from("a"), Arc::from("b"));
        for script in [&a, &b] {
            registry.define(script, "jobs_total", Kind::Counter, "Jobs \\ done", &[]).unwrap();
        }
        registry.define(&a, "depth", Kind::Gauge, "", &[]).unwrap();
        registry.define(&a, "wait", Kind::Histogram, "Waits", &[0.5, 2.0]).unwrap();
        registry.add("a", "jobs_total", Kind::Counter, 2.0, Labels::new()).unwrap();
        let odd = labels(&[("queue", "a\"b\\c\nd")]);
        registry.add("b", "jobs", Kind::Counter, 1.5, odd).unwrap();
        registry.set("a", "depth", -3.0, Labels::new()).unwrap();
        registry.add("a", "depth", Kind::Gauge, 1.0, Labels::new()).unwrap();
        for value in [0.5, 1.0, 7.0] {
            registry.observe("a", "wait", value, labels(&[("to", "x")])).unwrap();
        }
        let expected = r#"# HELP depth 
# TYPE depth gauge
depth{script="a"} -2.0
# HELP jobs_total Jobs \\ done
# TYPE jobs_total counter
jobs_total{script="a"} 2.0
jobs_total{script="b",queue="a\"b\\c\nd"} 1.5
# HELP wait Waits
# TYPE wait histogram
wait_bucket{script="a",to="x",le="0.5"} 1
wait_bucket{script="a",to="x",le="2"} 2
wait_bucket{script="a",to="x",le="+Inf"} 3
wait_sum{script="a",to="x"} 8.5
wait_count{script="a",to="x"} 3
"#;
        assert_eq!(registry.encode(), expected);
    }

    #[test]
    fn a_name_is_one_kind_for_all_and_derived_names_count() {
        let (registry, a, b) = (Registry::default(), Arc::from("a"), Arc::from("b"));
        registry.define(&a, "wait", Kind::Histogram, "", &[1.0]).unwrap();
        let found = registry.define(&b, "wait", Kind::Gauge, "", &[]).unwrap_err();
        assert_eq!(found.to_string(), "wait is a histogram of script a already");
        for (name, kind) in [("wait_sum", Kind::Gauge), ("wait", Kind::Counter)] {
            assert!(registry.define(&b, name, kind, "", &[]).is_err(), "{name}");
        }
        registry.define(&b, "wait", Kind::Histogram, "", &[5.0]).unwrap();
        registry.define(&b, "wait_seconds", Kind::Gauge, "", &[]).unwrap();
    }

    #[test]
    fn a_script_may_change_its_mind_while_it_is_alone() {
        let (registry, a, b) = (Registry::default(), Arc::from("a"), Arc::from("b"));
        registry.define(&a, "x", Kind::Gauge, "", &[]).unwrap();
        registry.set("a", "x", 1.0, Labels::new()).unwrap();
        registry.define(&a, "x", Kind::Gauge, "", &[]).unwrap();
        assert!(registry.encode().contains("x{script=\"a\"} 1"), "the same again keeps its value");
        registry.define(&a, "x", Kind::Counter, "", &[]).unwrap();
        assert!(!registry.encode().contains("gauge"));
        assert_eq!(registry.set("a", "x", 1.0, Labels::new()), Err(Refused::Gone));
        registry.define(&b, "x", Kind::Counter, "", &[]).unwrap();
        assert!(registry.define(&a, "x", Kind::Gauge, "", &[]).is_err());
    }

    #[test]
    fn labels_and_metrics_have_a_limit() {
        let (registry, a) = (Registry::default(), Arc::from("a"));
        registry.define(&a, "x", Kind::Gauge, "", &[]).unwrap();
        let set = |n: usize| registry.set("a", "x", 1.0, labels(&[("n", &n.to_string())]));
        for n in 0..100 {
            set(n).unwrap();
        }
        assert_eq!(set(100), Err(Refused::Sets));
        set(7).unwrap();
        for n in 1..100 {
            registry.define(&a, &format!("x{n}"), Kind::Gauge, "", &[]).unwrap();
        }
        let more = registry.define(&a, "y", Kind::Gauge, "", &[]);
        assert_eq!(more, Err(Refused::Metrics));
        registry.define(&a, "x7", Kind::Gauge, "", &[]).unwrap();
    }

    #[test]
    fn a_script_has_its_part_of_the_page_and_gets_it_back() {
        let (registry, a) = (Registry::default(), Arc::from("a"));
        let bounds: Vec<f64> = (0..50).map(f64::from).collect();
        let fill = |name: &str| {
            let long = "\"".repeat(256);
            let set = |n: usize| labels(&[("n", &n.to_string()), ("l", &long)]);
            (0..100).try_for_each(|n| registry.observe("a", name, 1.0, set(n)))
        };
        registry.define(&a, "x", Kind::Histogram, "", &bounds).unwrap();
        assert_eq!(fill("x"), Err(Refused::Size));
        let length = registry.encode().len();
        assert!((MOST_BYTES / 2..MOST_BYTES).contains(&length), "{length}");
        registry.define(&Arc::from("b"), "x", Kind::Histogram, "", &bounds).unwrap();
        registry.observe("b", "x", 1.0, Labels::new()).unwrap();
        // Defined in another way it starts anew.
        registry.define(&a, "x", Kind::Histogram, "", &[1.0]).unwrap();
        assert_eq!(fill("x"), Ok(()));
    }

    #[test]
    fn names_follow_prometheus_rules() {
        for name in ["a", "_a", "jobs_total", "a:b", "A9"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "9a", "a-b", "a b", "ä", "puad_x", "process_x", &"a".repeat(201)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_label("le", Kind::Gauge), Ok(()));
        for name in ["", "a:b", "__a", "script", "le"] {
            assert!(check_label(name, Kind::Histogram).is_err(), "{name}");
        }
    }
}
