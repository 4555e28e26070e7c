//! Looking at what is watched: which files there are, and which folders tell of them.
//!
//! A folder is watched before it is read, so that whatever comes after the
//! reading is told.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    super::pattern::{Pattern, Positions},
    is_dropping,
    trail::{End, Trail},
};

/// Enough of a file to tell that it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A folder; what is in it is looked at by itself.
    Folder { device: u64, inode: u64 },
    /// Anything else.
    File { device: u64, inode: u64, length: u64, modified: (i64, i64), changed: (i64, i64) },
    /// It was told of, and gone before anybody could look.
    Gone,
}

impl Stamp {
    /// Looks at a path; a link that leads nowhere is something, too.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path)).ok()?;
        Some(Self::read(&found))
    }

    fn read(found: &Metadata) -> Self {
        let (device, inode) = (found.dev(), found.ino());
        if found.is_dir() {
            return Self::Folder { device, inode };
        }
        Self::File {
            device,
            inode,
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Why a folder is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// One entry, on the way to where a pattern begins.
    Step { pattern: usize, name: OsString, is_last: bool },
    /// Entries that a pattern means, or that lead on to such. `shown` is the folder as the
    /// script knows it.
    Entries { pattern: usize, shown: PathBuf, at: Positions },
}

/// Asks for a folder to be watched.
pub(super) trait Ensure {
    /// Returns whether the folder was not watched before.
    fn ensure(&mut self, folder: &Path) -> bool;
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Files by the names the script knows them by.
    pub(super) picture: BTreeMap<PathBuf, Stamp>,
    /// Folders, without links, and what they are watched for.
    pub(super) folders: BTreeMap<PathBuf, Vec<Interest>>,
    /// Whether there was more than may be watched.
    pub(super) is_cut: bool,
    most: usize,
}

impl Look {
    /// Begins a look that finds `most` paths at the most.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Looks at everything a pattern means.
    pub(super) fn at(&mut self, number: usize, pattern: &Pattern, ensure: &mut impl Ensure) {
        let base = pattern.base();
        let mut trail = Trail::follow(base);
        // What has changed on the way while its folders were not watched yet is seen the next time.
        for _ in 0..MOST_ROUNDS {
            let mut is_new = false;
            for step in trail.watched() {
                is_new |= ensure.ensure(&step.folder);
            }
            if !is_new {
                break;
            }
            trail = Trail::follow(base);
        }
        for step in trail.watched() {
            let name = step.name.clone();
            let interest = Interest::Step { pattern: number, name, is_last: step.is_last };
            self.folders.entry(step.folder.clone()).or_default().push(interest);
        }
        if pattern.is_path()
            && let Some(stamp) = Stamp::of(base)
        {
            self.picture.insert(base.to_owned(), stamp);
        }
        if let End::Folder(folder) = trail.end
            && pattern.has_parts()
        {
            self.below(number, pattern, folder, base.to_owned(), pattern.start(), ensure);
        }
    }

    /// Looks at what a pattern means in a folder and below.
    pub(super) fn below(
        &mut self,
        number: usize,
        pattern: &Pattern,
        folder: PathBuf,
        shown: PathBuf,
        at: Positions,
        ensure: &mut impl Ensure,
    ) {
        let mut left = vec![(folder, shown, at)];
        while let Some((folder, shown, at)) = left.pop() {
            ensure.ensure(&folder);
            let interest = Interest::Entries { pattern: number, shown: shown.clone(), at };
            self.folders.entry(folder.clone()).or_default().push(interest);
            // A folder that went away meanwhile is told of by the one above.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let next = pattern.step(at, &name);
                let (is_meant, goes_on) = (pattern.is_match(next), pattern.goes_on(next));
                if is_dropping(&name) || !(is_meant || goes_on) {
                    continue;
                }
                if self.picture.len() + self.folders.len() >= self.most {
                    self.is_cut = true;
                    return;
                }
                let here = folder.join(&name);
                if is_meant && let Some(stamp) = Stamp::of(&here) {
                    self.picture.insert(shown.join(&name), stamp);
                }
                let Some(kind) = entry.file_type().ok().filter(|_| goes_on) else { continue };
                if kind.is_dir() {
                    left.push((here, shown.join(&name), next));
                } else if kind.is_symlink()
                    && let through = pattern.step_through(at, &name)
                    && pattern.goes_on(through)
                    && let Ok(target) = here.canonicalize()
                    && target.is_dir()
                {
                    left.push((target, shown.join(&name), through));
                }
            }
        }
    }
}

/// A way that changes more often while it is looked at is left to its events.
const MOST_ROUNDS: usize = 8;
