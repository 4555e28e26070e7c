//! The way to a path, one folder entry at a time, through links.
//!
//! Whatever changes what a path stands for changes one of these entries: a link
//! that is swapped, a folder that comes back, the file itself.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// The way to a path, and what stands at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trail {
    steps: Vec<Step>,
    pub(super) end: End,
}

/// One entry on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Without links.
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
    /// Whether the entry stands for the path itself, and not for a folder on the way.
    pub(super) is_last: bool,
    is_link: bool,
}

/// What is at the end of the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing; the last step is the entry that is not there.
    Missing,
    /// Something that holds no entries.
    File,
    /// A folder, without links.
    Folder(PathBuf),
}

impl Trail {
    /// Follows an absolute path.
    pub(super) fn follow(path: &Path) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut folder = PathBuf::from("/");
        let mut left: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                folder.pop();
                continue;
            }
            let here = folder.join(&name);
            let found = std::fs::symlink_metadata(&here);
            let is_link = found.as_ref().is_ok_and(|found| found.is_symlink());
            let is_last = left.is_empty();
            steps.push(Step { folder: folder.clone(), name, is_last, is_link });
            let end = match found {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    match std::fs::read_link(&here) {
                        Ok(target) if links <= MOST_LINKS => {
                            if target.is_absolute() {
                                folder = PathBuf::from("/");
                            }
                            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                                left.push_front(name);
                            }
                            continue;
                        }
                        Ok(_) | Err(_) => End::Missing,
                    }
                }
                Ok(found) if found.is_dir() => {
                    folder = here;
                    continue;
                }
                Ok(_) if is_last => End::File,
                Ok(_) | Err(_) => End::Missing,
            };
            return Self { steps, end };
        }
        Self { steps, end: End::Folder(folder) }
    }

    /// Returns the steps that are worth a watch: links, the last one, and the folder it is in.
    /// That a folder higher up is renamed is left to the slow check; watching up to the root
    /// would wake the daemon for every file in `/tmp`.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Step> {
        let near = self.steps.len().saturating_sub(2);
        self.steps.iter().enumerate().filter(move |(at, s)| s.is_link || *at >= near).map(|s| s.1)
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watched(trail: &Trail, root: &Path) -> Vec<String> {
        let shown = |step: &Step| {
            let path = step.folder.join(&step.name);
            path.strip_prefix(root).map_or("above".into(), |path| path.display().to_string())
        };
        trail.watched().map(shown).collect()
    }

    #[test]
    fn links_and_the_last_two_steps_are_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        std::fs::create_dir_all(root.join("config/..1")).expect("made");
        std::fs::write(root.join("config/..1/file"), "x").expect("written");
        symlink("..1", root.join("config/..data")).expect("linked");
        symlink("..data/file", root.join("config/file")).expect("linked");
        let trail = Trail::follow(&root.join("config/file"));
        assert_eq!(trail.end, End::File);
        assert_eq!(
            watched(&trail, &root),
            ["config/file", "config/..data", "config/..1", "config/..1/file"]
        );
        let trail = Trail::follow(&root.join("config/../config/deep/er"));
        assert_eq!(trail.end, End::Missing);
        assert_eq!(watched(&trail, &root), ["config", "config/deep"]);
        assert_eq!(Trail::follow(&root.join("config")).end, End::Folder(root.join("config")));
        symlink("loop", root.join("loop")).expect("linked");
        assert_eq!(Trail::follow(&root.join("loop")).end, End::Missing);
    }
}
