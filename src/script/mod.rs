//! The Lua host: a VM and a thread per script, and the set of all scripts.
//!
//! Scripts cannot see or stop one another. What they can call is in [`api`];
//! which of them there are is decided by [`config`](crate::config). A script
//! lives on over its versions: [`keeper`] replaces one by the next, [`thread`]
//! is what one version does.

mod activity;
mod api;
mod budget;
mod clock;
mod commons;
mod files;
mod generation;
mod hold;
mod host;
mod hosts;
mod keeper;
mod kv;
mod life;
mod machine;
mod mask;
mod modules;
mod orphans;
pub mod pattern;
mod permissions;
mod plain;
mod processes;
mod schedule;
mod serial;
mod set;
pub mod signatures;
mod status;
pub mod testing;
mod thread;
mod threads;
mod tls;
#[cfg(test)]
mod virtual_time;
mod vm;
pub mod watch;

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use host::Limits;
pub use hosts::HostRule;
pub use keeper::Taken;
pub use permissions::Permissions;
pub use set::{Force, How, Scripts, Update, View};
pub use status::{ScriptState, Status, TimerInfo};

/// A script that shall run.
#[derive(Debug, Clone)]
pub struct ScriptSpec {
    /// Its name in logs and as an owner of publications.
    pub name: Arc<str>,
    /// The file; its folder is where `require` looks first.
    pub path: PathBuf,
    /// The source; read by whoever made the spec.
    pub source: String,
    /// Its own table of the configuration.
    pub config: toml::Table,
    /// Paths in that table are relative to this folder.
    pub config_dir: PathBuf,
    /// Where `require` looks after the script's own folder.
    pub lib_dirs: Vec<PathBuf>,
    /// What it may reach outside.
    pub allow: Permissions,
    /// Limits.
    pub limits: Limits,
}

/// What went wrong in a script, where, and on which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The message, which begins with file and line where they are known.
    pub message: String,
    /// The calls that led there, a line each.
    pub trace: String,
    /// Whether a limit ended the activity: of CPU, memory or stack.
    pub killed: bool,
    /// The call that a check does not make, where the activity ended after such a one: what it would
    /// have done with an answer is not known.
    pub not_done: Option<&'static str>,
}

impl Problem {
    /// Returns one with a message and nothing else.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), trace: String::new(), killed: false, not_done: None }
    }

    /// Returns the traceback as indented lines after a line break, or nothing.
    pub fn trace_lines(&self) -> String {
        self.trace.lines().fold(String::new(), |mut out, line| {
            let _ = write!(out, "\n    at {line}");
            out
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", continued(&self.message), self.trace_lines())
    }
}

/// Makes a script's own text fit for the log: only puad's lines begin at the left edge, and control
/// characters other than tabs are written out, so that no script can pass its words off as puad's.
fn continued(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| c.is_control() && c != '\t' || ['\u{2028}', '\u{2029}'].contains(&c);
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            // What is indented already is seen to belong to the line before it.
            out.push_str(if line.starts_with([' ', '\t']) { "\n" } else { "\n    | " });
        }
        for c in line.strip_suffix('\r').unwrap_or(line).chars() {
            if is_odd(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
    }
    Cow::Owned(out)
}

impl ScriptSpec {
    /// Reads its file.
    fn read(&self) -> Result<String, Problem> {
        read_source(&self.path).map_err(|(line, message)| {
            let line = line.map_or(String::new(), |line| format!(":{line}"));
            Problem::new(format!("{}{line}: {message}", self.path.display()))
        })
    }
}

/// Reads the source of a script.
///
/// # Errors
/// With the line where there is one, and what is wrong with the file.
pub fn read_source(path: &Path) -> Result<String, (Option<usize>, String)> {
    let bytes = std::fs::read(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such script".to_owned(),
            std::io::ErrorKind::IsADirectory => "this is a folder; name the scripts in it".into(),
            _ => format!("cannot read the script: {error}"),
        };
        (None, message)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        (Some(line), "the script is not UTF-8; save it as UTF-8".into())
    })
}
