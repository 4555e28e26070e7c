//! `[log]`: how a running puad is seen.

use super::{Config, LogLevel, read::Section, value::choice};
use crate::observe::log::Format;

pub(super) fn read_log(section: Option<Section<'_, '_>>, config: &mut Config) {
    let Some(mut section) = section else { return };
    if let Some(format) = section.read("format", |value| choice(value, FORMATS)) {
        config.log_format = format;
    }
    if let Some(level) = section.read("level", |value| choice(value, LEVELS)) {
        config.log_level = level;
    }
    section.finish();
}

const FORMATS: &[(&str, Format)] =
    &[("text", Format::Text), ("json", Format::Json), ("journald", Format::Journald)];

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
