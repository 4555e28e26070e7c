//! The text of a metrics page, as Prometheus reads it (text format, version 0.0.4).
//!
//! Whatever is put in, each family stands there once, with its help and type before its samples.
//! Where numbers come from is left to others.

use std::{collections::BTreeSet, fmt::Write as _};

/// The media type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of numbers a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow; the name ends in `_total`.
    Counter,
    /// They go up and down.
    Gauge,
}

/// A page being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    families: BTreeSet<String>,
}

impl Page {
    /// Writes one family: samples are label pairs and a number. Without a sample there is no family.
    pub fn family<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
    ) {
        let mut lines = String::new();
        for (labels, value) in samples {
            lines.push_str(name);
            for (number, (label, text)) in labels.iter().enumerate() {
                let opening = if number == 0 { '{' } else { ',' };
                let _ = write!(lines, "{opening}{label}=\"{}\"", escaped(text));
            }
            let closing = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(lines, "{closing} {}", number(value));
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.add(name, help, kind, &lines);
    }

    /// Takes over the families of another page, which may be written in OpenMetrics: its end mark,
    /// units and exemplars are left out, and counters get the name of their samples. A family that is
    /// there already is left out as a whole.
    pub fn append(&mut self, page: &str) {
        let mut family = Family::default();
        for line in page.lines() {
            if let Some((word, name, rest)) = comment(line) {
                if name != family.name {
                    std::mem::replace(&mut family, Family::new(name)).finish(self);
                }
                match word {
                    "HELP" => family.help = rest.into(),
                    "TYPE" => family.kind = rest.into(),
                    _ => {}
                }
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                let sample = without_exemplar(line);
                let name = sample.split(['{', ' ']).next().unwrap_or_default();
                // A family may have said nothing about itself.
                if !name.starts_with(&family.name) || family.name.is_empty() {
                    std::mem::replace(&mut family, Family::new(name)).finish(self);
                }
                family.lines.push_str(sample);
                family.lines.push('\n');
            }
        }
        family.finish(self);
    }

    /// Returns the text.
    pub fn finish(self) -> String {
        self.text
    }

    fn add(&mut self, name: &str, help: &str, kind: &str, lines: &str) {
        if lines.is_empty() || !self.families.insert(name.into()) {
            return;
        }
        if !help.is_empty() {
            let _ = writeln!(self.text, "# HELP {name} {help}");
        }
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        self.text.push_str(lines);
    }
}

/// One family of another page.
#[derive(Default)]
struct Family {
    name: String,
    help: String,
    kind: String,
    lines: String,
}

impl Family {
    fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn finish(self, page: &mut Page) {
        let (suffix, kind) = match &*self.kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "gauge" | "stateset" => ("", "gauge"),
            "histogram" => ("", "histogram"),
            "summary" => ("", "summary"),
            _ => ("", "untyped"),
        };
        let name = self.name.strip_suffix(suffix).unwrap_or(&self.name);
        page.add(&format!("{name}{suffix}"), &self.help, kind, &self.lines);
    }
}

/// Splits `# WORD name rest`; other comments say nothing.
fn comment(line: &str) -> Option<(&str, &str, &str)> {
    let (word, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    if !matches!(word, "HELP" | "TYPE" | "UNIT") {
        return None;
    }
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((word, name, rest))
}

/// Cuts what follows ` # ` behind the value; inside a label's text it is no mark.
fn without_exemplar(line: &str) -> &str {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_carry_help_type_and_escaped_labels() {
        let mut page = Page::default();
        page.family(
            "a_total",
            Kind::Counter,
            "How often.",
            [
                (vec![("script", "c\"p\\u\n".into()), ("state", "up".into())], 3.0),
                (vec![], f64::INFINITY),
            ],
        );
        page.family("none", Kind::Gauge, "Nothing.", []);
        page.family("a_total", Kind::Counter, "Again.", [(vec![], 4.0)]);
        assert_eq!(
            page.finish(),
            "# HELP a_total How often.\n# TYPE a_total counter\n\
             a_total{script=\"c\\\"p\\\\u\\n\",state=\"up\"} 3\na_total +Inf\n"
        );
    }

    #[test]
    fn a_page_of_openmetrics_is_taken_over_in_the_older_format() {
        let mut page = Page::default();
        page.family("taken", Kind::Gauge, "Ours.", [(vec![], 1.0)]);
        page.append(
            "# HELP jobs Jobs done.\n# TYPE jobs counter\n# UNIT jobs things\n\
             jobs_total{script=\"a # b\"} 1 # {id=\"7\"} 1.0\n\
             # HELP taken Theirs.\n# TYPE taken gauge\ntaken 2\n\
             # HELP wait Waits.\n# TYPE wait histogram\nwait_bucket{le=\"+Inf\"} 2\nwait_sum 3\nwait_count 2\n\
             # TYPE build info\nbuild_info{version=\"1\"} 1\n\
             # TYPE odd unknown\nodd 5\n# TYPE empty gauge\n# EOF\n",
        );
        assert_eq!(
            page.finish(),
            "# HELP taken Ours.\n# TYPE taken gauge\ntaken 1\n\
             # HELP jobs_total Jobs done.\n# TYPE jobs_total counter\njobs_total{script=\"a # b\"} 1\n\
             # HELP wait Waits.\n# TYPE wait histogram\nwait_bucket{le=\"+Inf\"} 2\nwait_sum 3\nwait_count 2\n\
             # TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
             # TYPE odd untyped\nodd 5\n"
        );
    }

    #[test]
    fn what_the_usual_registry_writes_is_taken_over() {
        use prometheus_client::{
            encoding::text::encode, metrics::counter::Counter, registry::Registry,
        };
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc_by(2);
        registry.register("lamps", "Lamps lit", counter);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let mut page = Page::default();
        page.append(&text);
        assert_eq!(
            page.finish(),
            "# HELP lamps_total Lamps lit.\n# TYPE lamps_total counter\nlamps_total 2\n"
        );
    }
}
