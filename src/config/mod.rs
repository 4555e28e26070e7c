//! `puad.toml`: found, read and checked as a whole before anything starts.
//!
//! A key nobody knows, a value of the wrong type or a secret that cannot be
//! read is a mistake with file, line and remedy; all that can be found in one
//! go are told together. What the settings do is up to [`driver`](crate::driver)
//! and [`script`](crate::script).

mod operate;
mod problem;
mod read;
mod script;
mod sip;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    net::Listen, observe::log::Format, script::ScriptSpec, secret::Environment, sip::Config as Sip,
};
pub use operate::control_socket;
pub use problem::{Problem, Problems};
use read::Reader;
pub use value::parse_proxy;

/// Everything puad is told before it starts.
#[derive(Debug)]
pub struct Config {
    /// The file it comes from, if there is one.
    pub file: Option<PathBuf>,
    /// Settings of the core, accounts included.
    pub sip: Sip,
    /// Sockets to open.
    pub listen: Vec<Listen>,
    /// The scripts that were wanted, sources included.
    pub scripts: Vec<ScriptSpec>,
    /// Those that are wanted and cannot be read, by name; empty but after [`load_again`].
    pub unreadable: Vec<(Arc<str>, Problem)>,
    /// The folder they were looked for in.
    pub scripts_dir: Option<PathBuf>,
    /// The control socket, where it is named.
    pub control_socket: Option<PathBuf>,
    /// Where the metrics page is, if it is wanted.
    pub metrics_listen: Option<SocketAddr>,
    /// The shape of the log.
    pub log_format: Format,
    /// What is logged.
    pub log_level: LogLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            sip: Sip::default(),
            listen: Listen::everywhere(),
            scripts: Vec::new(),
            unreadable: Vec::new(),
            scripts_dir: None,
            control_socket: None,
            metrics_listen: None,
            log_format: Format::Text,
            log_level: LogLevel::Info,
        }
    }
}

impl Config {
    /// Returns what differs in `newer` and cannot change under a running puad, as written in the file.
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let sip = |config: &Self| Sip {
            accounts: Vec::new(),
            outbound_proxy: Vec::new(),
            ..config.sip.clone()
        };
        [
            ("[sip] listen", self.listen != newer.listen),
            ("[sip]", sip(self) != sip(newer)),
            ("[control]", self.control_socket != newer.control_socket),
            ("[metrics]", self.metrics_listen != newer.metrics_listen),
            ("[log]", self.log_format != newer.log_format || self.log_level != newer.log_level),
        ]
        .into_iter()
        .filter_map(|(what, differs)| differs.then_some(what))
        .collect()
    }
}

/// Which scripts are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// None; their settings are checked all the same.
    Nothing,
    /// Those of `[scripts] dir` and `[[script]]`.
    Configured,
    /// These, with the settings of their `[[script]]` sections where there are any.
    Files(Vec<PathBuf>),
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What stopped working.
    Error,
    /// What may need someone.
    Warn,
    /// What a user would notice.
    Info,
    /// Decisions.
    Debug,
    /// Packets.
    Trace,
}

impl LogLevel {
    /// Returns the word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Returns which file is read: the one given, that of `PUAD_CONFIG`, `puad.toml`, or
/// `/etc/puad/puad.toml`; the last two only where they exist.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    let named = || std::env::var_os("PUAD_CONFIG").filter(|name| !name.is_empty());
    given
        .map(Path::to_owned)
        .or_else(|| named().map(PathBuf::from))
        .or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Reads a configuration and the wanted scripts.
///
/// # Errors
/// With everything that is wrong in the file, in what it refers to, and in the sources' encoding.
pub fn load(file: Option<&Path>, wanted: &Wanted) -> Result<Config, Problems> {
    load_in(file, wanted, false, &|name| std::env::var(name).ok())
}

/// As [`load`], while scripts run: one that cannot be read, or whose file is gone, does not keep
/// the others from what is new.
///
/// # Errors
/// With everything that is wrong in the file itself.
pub fn load_again(file: Option<&Path>, wanted: &Wanted) -> Result<Config, Problems> {
    load_in(file, wanted, true, &|name| std::env::var(name).ok())
}

fn load_in(
    file: Option<&Path>,
    wanted: &Wanted,
    again: bool,
    environment: Environment<'_>,
) -> Result<Config, Problems> {
    let text = match file {
        Some(path) => read_text(path).map_err(|problem| Problems(vec![problem]))?,
        None => String::new(),
    };
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let reader = Reader::new(file.unwrap_or(Path::new("")), &text);
    let mut config = Config { file: file.map(Path::to_owned), ..Config::default() };
    let mut sources = script::Sources::default();
    if file.is_some() {
        read_root(&reader, folder, environment, &mut config, &mut sources);
    }
    config.scripts_dir.clone_from(&sources.dir);
    let found = sources.find(wanted, folder, &reader, again);
    (config.scripts, config.unreadable) = (found.specs, found.unreadable);
    reader.finish()?;
    Ok(config)
}

fn read_root(
    reader: &Reader<'_>,
    folder: &Path,
    environment: Environment<'_>,
    config: &mut Config,
    sources: &mut script::Sources,
) {
    let Some(mut root) = reader.root() else { return };
    if let Some(section) = root.section("sip")
        && let Some(listen) = sip::read_sip(section, &mut config.sip)
    {
        config.listen = listen;
    }
    for section in root.sections("account") {
        let at = section.at;
        if let Some(account) = sip::read_account(section, folder, environment)
            && let Err((at, message)) = sip::add_account(at, account, &mut config.sip)
        {
            reader.note(at, message);
        }
    }
    sources.dir = script::read_dir(root.section("scripts"), folder);
    sources.entries = root
        .sections("script")
        .into_iter()
        .filter_map(|section| script::read_entry(section, folder))
        .collect();
    config.control_socket = operate::read_control(root.section("control"), folder);
    config.metrics_listen = operate::read_metrics(root.section("metrics"));
    operate::read_log(root.section("log"), config);
    root.later(&["state", "rpc"]);
    root.finish();
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::of_file(path, format!("cannot read the configuration: {error}"))
    })?;
    String::from_utf8(bytes).map_err(|_| Problem::of_file(path, "the configuration is not UTF-8"))
}

const USUAL: &[&str] = &["puad.toml", "/etc/puad/puad.toml"];

#[cfg(test)]
mod tests;
