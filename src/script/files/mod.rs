//! Files below the folders that an operator allows, for the `fs` library.
//!
//! A path is opened below an allowed folder by the kernel itself ([`beneath`]),
//! so that neither `..` nor a link, not even one that is swapped at the wrong
//! moment, leads out. What Lua sees of it is in [`api`](super::api).

mod beneath;
mod look;
mod read;
mod roots;
mod write;

use std::path::{Path, PathBuf};

pub(super) use look::{Entry, Info, Kind};
pub(super) use read::Lines;
pub(super) use roots::Roots;
pub(super) use write::Manner;

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is not below what the operator allows.
    #[error("{} is not allowed: allow.fs of this script's [[script]] section names {}", path.display(), shown(roots))]
    Outside { path: PathBuf, roots: Vec<PathBuf> },
    /// It is something that is neither read nor written.
    #[error("{} is a {}, not a regular file", path.display(), kind.as_str())]
    NotRegular { path: PathBuf, kind: Kind },
    /// There is more of it than was asked for.
    #[error("{} is longer than {max} bytes ({limit})", path.display())]
    TooLong { path: PathBuf, max: usize, limit: &'static str },
    /// There are more of them than fit.
    #[error("{} holds more than {most} entries", path.display())]
    TooMany { path: PathBuf, most: usize },
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}

impl FileError {
    fn io(path: &Path, error: impl Into<std::io::Error>) -> Self {
        Self::Io { path: path.to_owned(), error: error.into() }
    }

    /// Returns the code that scripts branch on.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Outside { .. } => "permission",
            Self::NotRegular { .. } => "io",
            Self::TooLong { .. } | Self::TooMany { .. } => "limit",
            Self::Io { error, .. } => match error.kind() {
                // A file where a folder should be: below it there is nothing.
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "not_found",
                std::io::ErrorKind::PermissionDenied => "permission",
                _ => "io",
            },
        }
    }

    fn is_missing(&self) -> bool {
        self.code() == "not_found"
    }
}

fn shown(roots: &[PathBuf]) -> String {
    if roots.is_empty() {
        return "nothing".into();
    }
    roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}
