//! The latest lines of the log, kept in memory for whoever asks later or follows along.
//!
//! Nobody who reads holds up those who write: a follower remembers how far it has come, and what has
//! fallen out of the memory meanwhile is counted and lost to it.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::Context;

use super::log::timestamp;

/// The memory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recent(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    /// Moves with every line.
    latest: watch::Sender<()>,
}

#[derive(Debug)]
struct Lines {
    kept: VecDeque<Arc<Line>>,
    /// The number of the first line that is kept; the first of all has number 0.
    first: u64,
    most: usize,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When it was written.
    pub at: jiff::Timestamp,
    /// How important it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Whom it is about, and everything else that is known.
    pub fields: Map<String, Value>,
}

impl Line {
    /// Returns the script that the line is about.
    pub fn script(&self) -> Option<&str> {
        self.fields.get("script").and_then(Value::as_str)
    }

    /// Returns the line as the JSON log shows it: everything at the top level.
    pub fn to_json(&self) -> Value {
        let mut object = self.fields.clone();
        object.insert("timestamp".into(), timestamp(self.at).into());
        object.insert("level".into(), self.level.as_str().into());
        object.insert("message".into(), self.message.as_str().into());
        Value::Object(object)
    }
}

impl Recent {
    /// Returns a memory of `most` lines.
    pub fn new(most: usize) -> Self {
        let lines = Lines { kept: VecDeque::new(), first: 0, most };
        Self(Arc::new(Shared { lines: Mutex::new(lines), latest: watch::Sender::new(()) }))
    }

    /// Returns what hears the lines.
    pub fn layer(&self) -> Ear {
        Ear(self.clone())
    }

    /// Takes a line.
    pub fn push(&self, line: Line) {
        let mut lines = self.lines();
        lines.kept.push_back(Arc::new(line));
        if lines.kept.len() > lines.most {
            lines.kept.pop_front();
            lines.first += 1;
        }
        drop(lines);
        self.0.latest.send_replace(());
    }

    /// Returns the last `count` lines, of one script if one is named, and a follower of what comes
    /// after them.
    pub fn last(&self, count: usize, script: Option<&str>) -> (Vec<Arc<Line>>, Follower) {
        // Subscribed first, so that no line falls between the two.
        let latest = self.0.latest.subscribe();
        let lines = self.lines();
        let is_wanted =
            |line: &&Arc<Line>| script.is_none_or(|script| line.script() == Some(script));
        let mut found: Vec<_> =
            lines.kept.iter().rev().filter(is_wanted).take(count).cloned().collect();
        found.reverse();
        let next = lines.first + lines.kept.len() as u64;
        drop(lines);
        let script = script.map(str::to_owned);
        (found, Follower { recent: self.clone(), latest, next, script })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Nothing in here is left half done.
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of what is being written.
#[derive(Debug)]
pub struct Follower {
    recent: Recent,
    latest: watch::Receiver<()>,
    next: u64,
    script: Option<String>,
}

/// What a follower gets at a time.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// How many lines, of whatever script, fell out of the memory before these.
    pub lost: u64,
    /// The lines it asked for.
    pub lines: Vec<Arc<Line>>,
}

impl Follower {
    /// Waits until something has been written since the last [`take`](Self::take).
    pub async fn changed(&mut self) {
        // The sender lives as long as the memory, of which a part is held here.
        let _ = self.latest.changed().await;
    }

    /// Takes up to `most` of the lines that have come; nothing when there are no more.
    pub fn take(&mut self, most: usize) -> Option<Batch> {
        self.latest.mark_unchanged();
        let lines = self.recent.lines();
        let lost = lines.first.saturating_sub(self.next);
        let from = self.next.saturating_sub(lines.first) as usize;
        let mut batch = Batch { lost, lines: Vec::new() };
        self.next += lost;
        for line in lines.kept.iter().skip(from) {
            if batch.lines.len() == most {
                break;
            }
            self.next += 1;
            if self.script.as_deref().is_none_or(|script| line.script() == Some(script)) {
                batch.lines.push(line.clone());
            }
        }
        (batch != Batch::default()).then_some(batch)
    }
}

/// Hears every line that passes the filter.
#[derive(Debug)]
pub struct Ear(Recent);

impl<S: Subscriber> tracing_subscriber::Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut reader = Reader::default();
        event.record(&mut reader);
        self.0.push(Line {
            at: jiff::Timestamp::now(),
            level: *event.metadata().level(),
            message: reader.message,
            fields: reader.fields,
        });
    }
}

#[derive(Default)]
struct Reader {
    message: String,
    fields: Map<String, Value>,
}

impl Reader {
    fn set(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().into(), value);
    }
}

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = bounded(format!("{value:?}"));
        if field.name() == "message" {
            self.message = text;
        } else {
            self.set(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = bounded(value.to_owned());
        } else {
            self.set(field, bounded(value.to_owned()).into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

/// Cuts a text that would take more than its share of the memory.
fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Bytes of one message or field that are kept.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Lets something be logged into a memory of `most` lines.
    fn logged(most: usize, log: impl FnOnce()) -> Recent {
        let recent = Recent::new(most);
        let subscriber = tracing_subscriber::registry().with(recent.layer());
        tracing::subscriber::with_default(subscriber, log);
        recent
    }

    fn messages(lines: &[Arc<Line>]) -> Vec<&str> {
        lines.iter().map(|line| &*line.message).collect()
    }

    #[test]
    fn a_line_keeps_its_level_its_message_and_its_fields() {
        let recent = logged(10, || {
            tracing::warn!(script = "cpu", line = 7, up = true, load = 0.5, kind = ?Some(1), "at {}", 3);
        });
        let (lines, _) = recent.last(10, None);
        let mut json = lines[0].to_json();
        let at = json.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert_eq!(at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond(), {
            lines[0].at.as_millisecond()
        });
        assert_eq!(
            json,
            serde_json::json!({
                "level": "WARN", "message": "at 3", "script": "cpu", "line": 7, "up": true,
                "load": 0.5, "kind": "Some(1)",
            })
        );
    }

    #[test]
    fn the_oldest_lines_go_first_and_those_of_one_script_can_be_asked_for() {
        let recent = logged(4, || {
            for n in 0..6 {
                tracing::info!(script = if n % 2 == 0 { "even" } else { "odd" }, "{n}");
            }
        });
        assert_eq!(messages(&recent.last(10, None).0), ["2", "3", "4", "5"]);
        assert_eq!(messages(&recent.last(2, None).0), ["4", "5"]);
        assert_eq!(messages(&recent.last(10, Some("odd")).0), ["3", "5"]);
        assert!(recent.last(10, Some("none")).0.is_empty());
    }

    #[test]
    fn a_follower_gets_what_comes_next_and_hears_how_much_it_missed() {
        let recent = logged(3, || tracing::info!("before"));
        let (_, mut follower) = recent.last(0, None);
        assert_eq!(follower.take(10), None);
        let write = |range: std::ops::Range<u32>| {
            let subscriber = tracing_subscriber::registry().with(recent.layer());
            tracing::subscriber::with_default(subscriber, || {
                range.for_each(|n| tracing::info!("{n}"))
            });
        };
        write(0..2);
        let batch = follower.take(1).unwrap();
        assert_eq!((batch.lost, messages(&batch.lines)), (0, vec!["0"]));
        // Lines 1 to 9 come; three are kept.
        write(2..10);
        let batch = follower.take(10).unwrap();
        assert_eq!((batch.lost, messages(&batch.lines)), (6, vec!["7", "8", "9"]));
        assert_eq!(follower.take(10), None);
    }

    #[tokio::test]
    async fn a_follower_is_woken_by_a_line_and_by_nothing_else() {
        let recent = logged(3, || tracing::info!("before"));
        let (_, mut follower) = recent.last(0, None);
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(20), follower.changed())
                .await
                .is_err()
        );
        let (line, _) = recent.last(1, None);
        recent.push((*line[0]).clone());
        follower.changed().await;
        assert_eq!(messages(&follower.take(10).unwrap().lines), ["before"]);
    }

    #[test]
    fn one_huge_line_does_not_fill_the_memory() {
        let recent =
            logged(3, || tracing::info!(text = "é".repeat(1 << 20), "{}", "x".repeat(1 << 20)));
        let line = &recent.last(1, None).0[0];
        assert_eq!(line.message.len(), LONGEST + '…'.len_utf8());
        assert!(line.fields["text"].as_str().unwrap().len() <= LONGEST + '…'.len_utf8());
    }
}
