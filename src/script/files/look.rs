//! What there is: kinds, sizes, names in folders, patterns.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};

use super::{FileError, beneath::Last, roots::Roots};
use crate::script::pattern::Pattern;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::script) struct Info {
    pub(in crate::script) kind: Kind,
    pub(in crate::script) size: u64,
    /// UNIX seconds.
    pub(in crate::script) modified: f64,
    /// Permission bits.
    pub(in crate::script) mode: u32,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::script) struct Entry {
    pub(in crate::script) name: OsString,
    pub(in crate::script) info: Info,
}

/// Kinds of file, in the words of libuv and Neovim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    Char,
    Block,
    Unknown,
}

impl Kind {
    pub(in crate::script) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Char => "char",
            Self::Block => "block",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::Char,
            FileType::BlockDevice => Self::Block,
            FileType::Unknown => Self::Unknown,
        }
    }
}

impl Info {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: Kind::of(stat),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: stat.st_mtime as f64 + stat.st_mtime_nsec as f64 / 1e9,
            mode: stat.st_mode & 0o7777,
        }
    }
}

impl Roots {
    /// Returns what is known of a file, and where it leads if it is a link. A link that leads
    /// nowhere is described itself.
    pub(in crate::script) fn stat(
        &self,
        path: &Path,
    ) -> Result<(Info, Option<OsString>), FileError> {
        let wrong = |errno| FileError::io(path, errno);
        let itself = self.open(path, Last::Keep)?;
        let stat = fstat(&itself).map_err(wrong)?;
        if Kind::of(&stat) != Kind::Link {
            return Ok((Info::of(&stat), None));
        }
        let target = readlinkat(&itself, "", Vec::new()).map_err(wrong)?.into_bytes();
        let info = match self.open(path, Last::Follow) {
            Ok(opened) => Info::of(&fstat(&opened).map_err(wrong)?),
            Err(error) if error.is_missing() => Info::of(&stat),
            Err(error) => return Err(error),
        };
        Ok((info, Some(OsString::from_vec(target))))
    }

    /// Returns whether there is such a file; a link that leads nowhere is none.
    pub(in crate::script) fn exists(&self, path: &Path) -> Result<bool, FileError> {
        match self.open(path, Last::Follow) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the entries of a folder by name. Links are shown as links.
    pub(in crate::script) fn list(&self, path: &Path) -> Result<Vec<Entry>, FileError> {
        let folder = self.open(path, Last::Follow)?;
        let mut entries = Vec::new();
        for name in names(&folder, path)? {
            // What has gone meanwhile is not there.
            let Ok(stat) = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            entries.push(Entry { name, info: Info::of(&stat) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Returns the paths that patterns mean, by name. Links that lead out are not followed.
    pub(in crate::script) fn glob(&self, patterns: &[Pattern]) -> Result<Vec<PathBuf>, FileError> {
        let mut found = BTreeSet::new();
        let mut looked_at = 0;
        for pattern in patterns {
            let base = pattern.base();
            let mut left = vec![(base.to_owned(), pattern.start())];
            while let Some((path, at)) = left.pop() {
                let is_base = path == base;
                let last = if pattern.is_path() { Last::Keep } else { Last::Follow };
                let folder = match self.open(&path, last) {
                    Ok(opened) => opened,
                    Err(error) if error.is_missing() || !is_base => continue,
                    Err(error) => return Err(error),
                };
                if is_base && pattern.is_match(at) {
                    found.insert(path.clone());
                }
                let is_folder = fstat(&folder)
                    .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
                if !pattern.goes_on(at) || !is_folder {
                    continue;
                }
                let names = match names(&folder, &path) {
                    Ok(names) => names,
                    Err(error @ FileError::TooMany { .. }) => return Err(error),
                    Err(error) if is_base => return Err(error),
                    // A folder below that must not be read holds nothing for us.
                    Err(_) => continue,
                };
                looked_at += names.len();
                for name in names {
                    let next = pattern.step(at, &name);
                    let here = path.join(&name);
                    let way = match kind_of(&folder, &name, pattern.goes_on(next)) {
                        Some(Kind::Directory) => Some(next),
                        Some(Kind::Link) => Some(pattern.step_through(at, &name)),
                        Some(_) | None => None,
                    };
                    left.extend(way.filter(|way| pattern.goes_on(*way)).map(|w| (here.clone(), w)));
                    if pattern.is_match(next) {
                        found.insert(here);
                    }
                }
                if found.len() > MOST_ENTRIES || looked_at > MOST_LOOKED_AT {
                    let path = base.to_owned();
                    let most =
                        if found.len() > MOST_ENTRIES { MOST_ENTRIES } else { MOST_LOOKED_AT };
                    return Err(FileError::TooMany { path, most });
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Returns what an entry is, where somebody asks.
fn kind_of(folder: &OwnedFd, name: &OsStr, is_asked: bool) -> Option<Kind> {
    let stat = is_asked.then(|| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
    stat.ok().map(|stat| Kind::of(&stat))
}

/// Returns the names in an opened folder.
fn names(folder: &OwnedFd, path: &Path) -> Result<Vec<OsString>, FileError> {
    let wrong = |errno| FileError::io(path, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(folder.as_fd(), ".", flags, Mode::empty()).map_err(wrong)?;
    let mut names = Vec::new();
    for entry in Dir::new(opened).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if names.len() >= MOST_ENTRIES {
            return Err(FileError::TooMany { path: path.to_owned(), most: MOST_ENTRIES });
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Entries that are given to a script at a time.
const MOST_ENTRIES: usize = 20_000;
/// Entries that one pattern looks at.
const MOST_LOOKED_AT: usize = 200_000;
