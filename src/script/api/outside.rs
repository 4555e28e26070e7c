//! What the libraries that reach outside have in common: `http`, `exec` and `mail.imap`.

use std::time::Duration;

use mlua::{Lua, Value};

use super::{super::host::Host, Fault, failed_with, options::Options};

/// Why a call has no result: a failure of the world, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Trouble {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the operator has not allowed. `done` is what would have been done with it.
    pub(super) fn not_allowed(what: &str, done: &str, list: &str) -> Self {
        let message = format!(
            "{what} may not be {done}: allow.{list} of this script's [[script]] section does not name it"
        );
        Self::new("permission", message)
    }

    /// Puts in front what was being attempted.
    pub(super) fn while_doing(self, what: impl std::fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// Returns it as `nil, err`.
    pub(super) fn give(self, lua: &Lua, host: &Host, op: &str) -> mlua::Result<(Value, Value)> {
        failed_with(lua, host, op, self.code, self.message)
    }
}

/// Keeps a check from reaching outside; asked first by every call that would.
pub(super) fn unless_rehearsal(host: &Host, call: &'static str) -> Result<(), Trouble> {
    if host.is_rehearsal {
        host.note_not_done(call);
        return Err(Trouble::new("cancelled", "a check reaches nothing outside"));
    }
    Ok(())
}

/// Reads how long a call may take.
pub(super) fn timeout(options: &Options, usual: Duration) -> Result<Duration, Fault> {
    match options.duration("timeout")? {
        Some(timeout) if timeout.is_zero() => {
            Err(options.refuse("timeout", "must be longer than 0"))
        }
        given => Ok(given.unwrap_or(usual)),
    }
}

/// Reads how many bytes a call may bring in; they must find room in the script's heap.
pub(super) fn most_bytes(options: &Options, name: &str, host: &Host) -> Result<usize, Fault> {
    let heap = host.limits.memory;
    match options.size(name)? {
        Some(size) if size > heap => Err(options.refuse(
            name,
            format_args!(
                "{size} bytes are more than the heap of this script, {heap} (limits.memory)"
            ),
        )),
        given => Ok(given.unwrap_or(USUAL_BYTES.min(heap))),
    }
}

const USUAL_BYTES: usize = 1024 * 1024;
