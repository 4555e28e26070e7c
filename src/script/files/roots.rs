//! Which allowed folder a path is in.

use std::{
    ffi::{OsStr, OsString},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    FileError,
    beneath::{self, Last},
};

/// The folders and files that a script may use, and all below.
#[derive(Debug, Clone)]
pub(in crate::script) struct Roots(Vec<PathBuf>);

impl Roots {
    pub(in crate::script) fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// Opens what an absolute path names, neither for reading nor for writing yet.
    pub(super) fn open(&self, path: &Path, last: Last) -> Result<OwnedFd, FileError> {
        let cleaned = cleaned(path);
        for path in [path, &cleaned] {
            let Some((root, rest)) = root_of(&self.0, path) else { continue };
            match open_in(root, rest, last) {
                // Perhaps into an allowed folder after all, by an absolute link.
                Err(Errno::XDEV) => {}
                result => return result.map_err(|errno| FileError::io(path, errno)),
            }
        }
        // Where it really is. What this finds is only a name: it is opened below a root again.
        let roots: Vec<PathBuf> =
            self.0.iter().filter_map(|root| root.canonicalize().ok()).collect();
        if let Some(real) = real(path, last)
            && let Some((root, rest)) = root_of(&roots, &real)
        {
            match open_in(root, rest, last) {
                Err(Errno::XDEV) => {}
                result => return result.map_err(|errno| FileError::io(path, errno)),
            }
        }
        Err(self.refuse(path))
    }

    /// Opens the folder that a file is in, or shall be in, and returns its name there.
    pub(super) fn open_folder(&self, path: &Path) -> Result<(OwnedFd, OsString), FileError> {
        let path_or_cleaned = [path.to_owned(), cleaned(path)];
        let is_root = |path: &PathBuf| self.0.contains(path);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            self.open(path, Last::Follow)?;
            return Err(FileError::io(path, Errno::ISDIR));
        };
        // A file that is allowed by its own name: its folder is not, but must be worked in.
        if let Some(root) = path_or_cleaned.iter().find(|path| is_root(path)) {
            let real = real(root, Last::Follow).ok_or(Errno::NOENT);
            let real = real.map_err(|errno| FileError::io(path, errno))?;
            if let (Some(folder), Some(name)) = (real.parent(), real.file_name()) {
                let opened = open_root(folder).map_err(|errno| FileError::io(path, errno))?;
                return Ok((opened, name.to_owned()));
            }
        }
        match self.open(folder, Last::Follow) {
            Ok(opened) => Ok((opened, name.to_owned())),
            Err(FileError::Outside { .. }) => Err(self.refuse(path)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn refuse(&self, path: &Path) -> FileError {
        FileError::Outside { path: path.to_owned(), roots: self.0.clone() }
    }
}

/// Returns the innermost root that a path begins with, and what comes after it.
fn root_of<'a>(roots: &'a [PathBuf], path: &'a Path) -> Option<(&'a Path, &'a Path)> {
    let inside = roots.iter().filter_map(|root| Some((root, path.strip_prefix(root).ok()?)));
    let innermost = inside.max_by_key(|(root, _)| root.components().count());
    innermost.map(|(root, rest)| (root.as_path(), rest))
}

fn open_in(root: &Path, rest: &Path, last: Last) -> rustix::io::Result<OwnedFd> {
    let opened = open_root(root)?;
    // The root may be a file, in which nothing can be opened.
    if rest.as_os_str().is_empty() {
        return Ok(opened);
    }
    beneath::open(opened.as_fd(), rest, last)
}

/// Opens what the operator named: links in it are his.
fn open_root(root: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Returns a path without links; the last part need not be there.
fn real(path: &Path, last: Last) -> Option<PathBuf> {
    if last == Last::Follow
        && let Ok(real) = path.canonicalize()
    {
        return Some(real);
    }
    let name: &OsStr = path.file_name()?;
    Some(path.parent()?.canonicalize().ok()?.join(name))
}

/// Returns a path in which `..` has been taken at its word, as a shell does.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                clean.push(component);
            }
        }
    }
    clean
}
