//! The log: which lines there are, in which shape they leave, and a memory of the latest.
//!
//! Text and JSON go to standard error by way of a thread, so that a reader that is stuck loses lines
//! and stops nothing. The journal takes its lines itself. Which format and level are wanted is said
//! by [`config`](crate::config); the memory is in [`recent`](super::recent).

use std::{
    fmt,
    io::{self, IsTerminal as _},
};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{format::Writer, time::FormatTime},
    layer::{Layered, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use super::recent::{Ear, Recent};
use crate::command::closest;

/// The shape in which lines leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people, on standard error.
    #[default]
    Text,
    /// One object a line, on standard error.
    Json,
    /// Entries of systemd's journal, fields included.
    Journald,
}

/// Lines of the log on their way; dropping it writes what is left.
#[derive(Debug)]
#[must_use = "the log ends with it"]
pub struct Log {
    #[expect(dead_code, reason = "writes the last lines when it is dropped")]
    guard: Option<WorkerGuard>,
    recent: Recent,
}

impl Log {
    /// Returns the memory of the latest lines.
    pub fn recent(&self) -> Recent {
        self.recent.clone()
    }
}

/// What stands below the output.
type Heard = Layered<Ear, Layered<EnvFilter, Registry>>;

/// Starts the log. `level` is what puad itself says where `PUAD_LOG` is not set.
///
/// # Errors
/// When `PUAD_LOG` makes no sense, or there is no journal to write to.
pub fn start(format: Format, level: &str) -> Result<Log, String> {
    let filter = filter(level)?;
    let recent = Recent::new(LINES_KEPT);
    let (output, guard): (Box<dyn Layer<Heard> + Send + Sync>, _) = match format {
        Format::Text => {
            let (writer, guard) = standard_error();
            let is_colourful = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(writer)
                .with_ansi(is_colourful)
                .with_target(false)
                .with_timer(LocalTime)
                // Whoever closed standard error wants no complaint about it, least of all a panic.
                .log_internal_errors(false);
            (layer.boxed(), Some(guard))
        }
        Format::Json => {
            let (writer, guard) = standard_error();
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(writer)
                .with_target(false)
                .with_timer(LocalTime)
                .log_internal_errors(false);
            (layer.boxed(), Some(guard))
        }
        Format::Journald => (journal()?.boxed(), None),
    };
    // The filter stands below the others, so that all of them see the same lines. A second call, as
    // from tests, keeps the first.
    let _ =
        tracing_subscriber::registry().with(filter).with(recent.layer()).with(output).try_init();
    Ok(Log { guard, recent })
}

fn standard_error() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(io::stderr())
}

fn journal() -> Result<tracing_journald::Layer, String> {
    let layer = tracing_journald::layer().map_err(|error| {
        format!(
            "[log] format = \"journald\": the journal's socket /run/systemd/journal/socket does not \
             answer: {error}; run puad where systemd-journald runs, or write \"text\" or \"json\""
        )
    })?;
    // SCRIPT= and KEY=, as they are called everywhere else.
    Ok(layer.with_field_prefix(None).with_syslog_identifier("puad".into()).with_priority_mappings(
        PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        },
    ))
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let usual = || format!("warn,puad={level}");
    let wanted = std::env::var("PUAD_LOG").ok().filter(|wanted| !wanted.is_empty());
    // A word alone is a level; the filter would take a mistyped one for a module, and say nothing.
    for word in wanted.iter().flat_map(|wanted| wanted.split(',')).map(str::trim) {
        if !word.contains(['=', ':', '[']) && !LEVELS.contains(&word.to_ascii_lowercase().as_str())
        {
            let meant = closest(word, LEVELS.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!(" (did you mean {meant:?}?)"));
            return Err(format!("PUAD_LOG: {word:?} is not one of {}{meant}", LEVELS.join(", ")));
        }
    }
    EnvFilter::try_new(wanted.unwrap_or_else(usual)).map_err(|error| {
        format!(
            "PUAD_LOG: {error}; write a level such as \"debug\", or \"warn,puad::driver=trace\""
        )
    })
}

/// Local time with milliseconds and offset, as RFC 3339 writes it.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp(jiff::Timestamp::now()))
    }
}

/// Returns the text of a moment in every format of the log.
pub(super) fn timestamp(at: jiff::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
/// Lines that wait for a slow reader; what comes beyond them is lost.
const LINES_WAITING: usize = 8192;
/// Lines that `puad logs` can look back on.
const LINES_KEPT: usize = 2000;
