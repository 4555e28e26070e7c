//! Where a secret comes from: a file, the environment, or systemd's credentials.
//!
//! Accounts and scripts write it in the same way; what they do with the text is
//! up to them. Messages name the source and never the text.

use std::{
    io::{Error, ErrorKind},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::command::closest;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A place that holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// `{ env = "NAME" }`.
    Env(&'a str),
    /// `{ file = "PATH" }`.
    File(&'a str),
    /// `{ credential = "NAME" }`: a file of `CREDENTIALS_DIRECTORY`.
    Credential(&'a str),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// What of the system's kinds of errors it is.
    pub kind: ErrorKind,
    message: String,
}

impl<'a> Source<'a> {
    /// Reads one entry of a table.
    ///
    /// # Errors
    /// When it names no kind of source.
    pub fn parse(key: &str, value: &'a str) -> Result<Self, String> {
        match key {
            "env" => Ok(Self::Env(value)),
            "file" => Ok(Self::File(value)),
            "credential" => Ok(Self::Credential(value)),
            other => {
                let meant = closest(other, ["env", "file", "credential"])
                    .map(|meant| format!(" (did you mean '{meant}'?)"))
                    .unwrap_or_default();
                Err(format!("unknown source '{other}'{meant}; {FORMS}"))
            }
        }
    }

    /// Returns the secret; files are relative to `folder`.
    ///
    /// # Errors
    /// When there is none, or an empty one.
    pub fn read(self, folder: &Path, environment: Environment<'_>) -> Result<String, Unreadable> {
        let secret = match self {
            Self::Env(name) => environment(name).ok_or_else(|| {
                missing(format!(
                    "the environment variable {name} is not set; set it where puad is started"
                ))
            })?,
            Self::File(path) => read_own_file(&folder.join(path))?,
            Self::Credential(name) => {
                let folder = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    missing(format!("credential {name:?}: CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:PATH to the systemd unit"))
                })?;
                read_file(&Path::new(&folder).join(name))?
            }
        };
        if secret.is_empty() {
            let (kind, name) = match self {
                Self::Env(name) => ("env", name),
                Self::File(name) => ("file", name),
                Self::Credential(name) => ("credential", name),
            };
            let message = format!("{kind} {name:?} is empty");
            return Err(Unreadable { kind: ErrorKind::InvalidData, message });
        }
        Ok(secret)
    }
}

fn missing(message: String) -> Unreadable {
    Unreadable { kind: ErrorKind::NotFound, message }
}

/// Reads a file that is nobody else's to read. What systemd hands over needs no such check: it sees
/// to the modes itself.
fn read_own_file(path: &Path) -> Result<String, Unreadable> {
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
    if let Ok(mode) = mode.as_ref()
        && mode & OTHERS != 0
    {
        let path = path.display();
        let message = format!(
            "everybody on this machine may read or change {path} (mode {mode:04o}); run `chmod o= {path}`"
        );
        return Err(Unreadable { kind: ErrorKind::PermissionDenied, message });
    }
    read_file(path)
}

fn read_file(path: &Path) -> Result<String, Unreadable> {
    let refused = |error: Error| Unreadable {
        kind: error.kind(),
        message: format!("cannot read {}: {error}", path.display()),
    };
    let bytes = std::fs::read(path).map_err(refused)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| refused(Error::new(ErrorKind::InvalidData, "it is not UTF-8")))?;
    // Editors end a file with a line end; no password does.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// The rights to read and write of those who are neither owner nor of the group.
const OTHERS: u32 = 0o006;
/// How a secret is written.
pub const FORMS: &str =
    "write a text, { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";
