//! Writing: the whole file or nothing.
//!
//! The new content is written beside the old and takes its name in one step, so
//! that readers see one or the other, and a crash leaves one or the other.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fsync, openat, readlinkat, renameat,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{FileError, Kind, read::reopen_regular, roots::Roots};

/// How a file is written.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::script) struct Manner {
    /// At the end of what is there, instead of in its place.
    pub(in crate::script) append: bool,
    /// Permission bits; by default those the file has.
    pub(in crate::script) mode: Option<u32>,
}

/// Where a file is, or shall be.
struct Target {
    path: PathBuf,
    folder: OwnedFd,
    name: OsString,
    /// What is there now: a regular file, or nothing.
    found: Option<Stat>,
}

impl Roots {
    /// Writes a file.
    pub(in crate::script) fn write(
        &self,
        path: &Path,
        text: &[u8],
        manner: Manner,
    ) -> Result<(), FileError> {
        let target = self.target(path)?;
        if manner.append {
            target.append(text, manner.mode)
        } else {
            target.replace(text, manner.mode)
        }
    }

    /// Finds the file that a path means; a link is written through, not replaced.
    fn target(&self, path: &Path) -> Result<Target, FileError> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let (folder, name) = self.open_folder(&path)?;
            let found = match statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(FileError::io(&path, errno)),
            };
            match found.as_ref().map(Kind::of) {
                None | Some(Kind::File) => return Ok(Target { path, folder, name, found }),
                Some(Kind::Link) => {
                    let target = readlinkat(&folder, &name, Vec::new());
                    let target = target.map_err(|errno| FileError::io(&path, errno))?;
                    path.pop();
                    path.push(OsString::from_vec(target.into_bytes()));
                }
                Some(kind) => return Err(FileError::NotRegular { path, kind }),
            }
        }
        Err(FileError::io(&path, Errno::LOOP))
    }
}

impl Target {
    fn append(&self, text: &[u8], mode: Option<u32>) -> Result<(), FileError> {
        let wrong = |error: std::io::Error| FileError::io(&self.path, error);
        let at = |flags, mode| openat(&self.folder, &self.name, flags | OFlags::CLOEXEC, mode);
        let mut file = match &self.found {
            Some(_) => {
                let found = at(OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
                let found = found.map_err(|errno| wrong(errno.into()))?;
                reopen_regular(&found, &self.path, OFlags::WRONLY | OFlags::APPEND)?
            }
            None => {
                let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
                File::from(at(flags, NEW).map_err(|errno| wrong(errno.into()))?)
            }
        };
        if let Some(mode) = mode {
            fchmod(&file, Mode::from_raw_mode(mode)).map_err(|errno| wrong(errno.into()))?;
        }
        file.write_all(text).map_err(wrong)
    }

    fn replace(&self, text: &[u8], mode: Option<u32>) -> Result<(), FileError> {
        let (temporary, file) = self.temporary(mode)?;
        let filled = self.fill(file, text, mode).and_then(|()| {
            renameat(&self.folder, &temporary, &self.folder, &self.name)
                .map_err(|errno| FileError::io(&self.path, errno))
        });
        if filled.is_err() {
            // The old content stands; what is left of the new one is of no use.
            let _ = unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        filled?;
        // Without this the name may come back as the old file after a power cut; both are whole.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(folder) = openat(self.folder.as_fd(), ".", flags, Mode::empty()) {
            let _ = fsync(&folder);
        }
        Ok(())
    }

    /// Makes an empty file beside the target, which nobody else can read where that matters.
    fn temporary(&self, mode: Option<u32>) -> Result<(OsString, File), FileError> {
        let is_guarded = mode.is_some() || self.found.is_some();
        let bits = if is_guarded { Mode::RUSR | Mode::WUSR } else { NEW };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        for _ in 0..MOST_NAMES {
            let name = temporary_name(&self.name).map_err(|e| FileError::io(&self.path, e))?;
            match openat(&self.folder, &name, flags | OFlags::CLOEXEC, bits) {
                Ok(opened) => return Ok((name, opened.into())),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(FileError::io(&self.path, errno)),
            }
        }
        Err(FileError::io(&self.path, Errno::EXIST))
    }

    fn fill(&self, mut file: File, text: &[u8], mode: Option<u32>) -> Result<(), FileError> {
        let wrong = |error: std::io::Error| FileError::io(&self.path, error);
        file.write_all(text).map_err(wrong)?;
        if let Some(found) = &self.found {
            // Only root can give a file away; for everybody else it is his own afterwards.
            let (owner, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
            let _ = fchown(&file, Some(owner), Some(group));
        }
        if let Some(bits) = mode.or(self.found.as_ref().map(|found| found.st_mode & 0o777)) {
            fchmod(&file, Mode::from_raw_mode(bits)).map_err(|errno| wrong(errno.into()))?;
        }
        fsync(&file).map_err(|errno| wrong(errno.into()))
    }
}

fn temporary_name(name: &OsStr) -> std::io::Result<OsString> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let mut temporary = vec![b'.'];
    // The file system may take no longer names than that of the target itself.
    temporary.extend(name.as_bytes().iter().take(LONGEST_NAME));
    temporary.extend(format!(".{:016x}.tmp", u64::from_ne_bytes(bytes)).into_bytes());
    Ok(OsString::from_vec(temporary))
}

/// Permissions of a new file, less the umask.
const NEW: Mode = Mode::from_raw_mode(0o666);
const MOST_LINKS: usize = 40;
const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 200;
