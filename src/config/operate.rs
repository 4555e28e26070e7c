//! `[control]`, `[metrics]` and `[log]`: how a running puad is seen and steered.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    Config, LogLevel, Problems,
    read::{Reader, Section, Value},
    read_text,
    value::{choice, name, text},
};
use crate::observe::log::Format;

/// Returns the control socket that a configuration names, without looking at the rest of it: who asks
/// a running puad something need not be able to read its secrets.
///
/// # Errors
/// When the file cannot be read, or its `[control]` section is wrong.
pub fn control_socket(file: &Path) -> Result<Option<PathBuf>, Problems> {
    let text = read_text(file).map_err(|problem| Problems(vec![problem]))?;
    let reader = Reader::new(file, &text);
    let folder = file.parent().unwrap_or(Path::new(""));
    let section = reader.root().and_then(|mut root| root.section("control"));
    let socket = read_control(section, folder);
    reader.finish()?;
    Ok(socket)
}

pub(super) fn read_control(section: Option<Section<'_, '_>>, folder: &Path) -> Option<PathBuf> {
    let mut section = section?;
    let socket = section.read("socket", name);
    section.finish();
    socket.map(|socket| folder.join(socket))
}

pub(super) fn read_metrics(section: Option<Section<'_, '_>>) -> Option<SocketAddr> {
    let mut section = section?;
    let listen = section.read("listen", address);
    section.finish();
    listen
}

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

fn address(value: &Value<'_>) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!("{text:?} is not a numeric address with a port, such as \"127.0.0.1:9560\"")
    })
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
