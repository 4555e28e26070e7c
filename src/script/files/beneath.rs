//! Opening what is below a folder and cannot be elsewhere.
//!
//! The kernel does it (`openat2` with `RESOLVE_BENEATH`); where it is too old, or
//! a sandbox hides the call, the way is gone by hand, one descriptor at a time.
//! Either way nothing is opened for reading or writing yet (`O_PATH`): a device
//! or a FIFO notices nothing.

use std::{
    collections::VecDeque,
    ffi::OsString,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat},
    io::Errno,
};

/// What becomes of a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// What it leads to is opened.
    Follow,
    /// It is opened itself.
    Keep,
}

/// Opens `rest` below `root`. What would lead out fails with `XDEV`, a link with an absolute target
/// too.
pub(super) fn open(root: BorrowedFd<'_>, rest: &Path, last: Last) -> rustix::io::Result<OwnedFd> {
    match by_kernel(root, rest, last) {
        // Unknown to the kernel, or kept from us by a sandbox.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => by_hand(root, rest, last),
        result => result,
    }
}

fn by_kernel(root: BorrowedFd<'_>, rest: &Path, last: Last) -> rustix::io::Result<OwnedFd> {
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match openat2(root, rest, flags(last), Mode::empty(), resolve) {
            // Something on the way was renamed while `..` was resolved.
            Err(Errno::AGAIN | Errno::INTR) if attempts < MOST_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

fn by_hand(root: BorrowedFd<'_>, rest: &Path, last: Last) -> rustix::io::Result<OwnedFd> {
    // The folders on the way down: `..` goes back to one of these, never up on the disk.
    let mut way = vec![openat(root, ".", flags(Last::Follow), Mode::empty())?];
    let mut left: VecDeque<OsString> = names(rest)?.into();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            if way.len() == 1 {
                return Err(Errno::XDEV);
            }
            way.pop();
            continue;
        }
        let folder = way.last().expect("the root stays");
        let here = openat(folder, &name, flags(Last::Keep), Mode::empty())?;
        let is_end = left.is_empty();
        match FileType::from_raw_mode(fstat(&here)?.st_mode) {
            FileType::Symlink if !(is_end && last == Last::Keep) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = OsString::from_vec(readlinkat(&here, "", Vec::new())?.into_bytes());
                for name in names(Path::new(&target))?.into_iter().rev() {
                    left.push_front(name);
                }
            }
            FileType::Directory => way.push(here),
            _ if is_end => return Ok(here),
            _ => return Err(Errno::NOTDIR),
        }
    }
    way.pop().ok_or(Errno::NOENT)
}

fn names(path: &Path) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => names.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        }
    }
    Ok(names)
}

fn flags(last: Last) -> OFlags {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match last {
        Last::Follow => flags,
        Last::Keep => flags | OFlags::NOFOLLOW,
    }
}

const MOST_ATTEMPTS: usize = 32;
const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::{fd::AsFd, unix::fs::symlink},
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    type Way = fn(BorrowedFd<'_>, &Path, Last) -> rustix::io::Result<OwnedFd>;

    /// A folder `root` with links of every kind, and a secret beside it.
    fn world() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("root/a/b")).expect("made");
        fs::write(at("secret"), "secret").expect("written");
        fs::write(at("root/file"), "file").expect("written");
        fs::write(at("root/a/b/deep"), "deep").expect("written");
        for (target, link) in [
            ("../secret", "root/out"),
            ("../../secret", "root/a/out"),
            ("a/../../secret", "root/winding"),
            ("a/../file", "root/in"),
            ("b", "root/a/folder"),
            ("loop", "root/loop"),
            ("nothing", "root/dangling"),
        ] {
            symlink(target, at(link)).expect("linked");
        }
        symlink(at("secret"), at("root/absolute")).expect("linked");
        symlink(at("root/file"), at("root/absolute_in")).expect("linked");
        let root = fs::File::open(at("root")).expect("opened");
        (folder, root.into())
    }

    #[test]
    fn nothing_leads_out_whichever_way_it_is_opened() {
        let (_folder, root) = world();
        for (way, open) in [("kernel", by_kernel as Way), ("hand", by_hand as Way)] {
            for (path, expected) in [
                ("file", Ok(())),
                ("", Ok(())),
                (".", Ok(())),
                ("a/../file", Ok(())),
                ("a/b/../../file", Ok(())),
                ("a/folder/deep", Ok(())),
                ("in", Ok(())),
                ("..", Err(Errno::XDEV)),
                ("../secret", Err(Errno::XDEV)),
                ("a/../../secret", Err(Errno::XDEV)),
                ("../root/file", Err(Errno::XDEV)),
                ("out", Err(Errno::XDEV)),
                ("a/out", Err(Errno::XDEV)),
                ("winding", Err(Errno::XDEV)),
                ("absolute", Err(Errno::XDEV)),
                ("absolute_in", Err(Errno::XDEV)),
                ("/etc/passwd", Err(Errno::XDEV)),
                ("loop", Err(Errno::LOOP)),
                ("dangling", Err(Errno::NOENT)),
                ("missing", Err(Errno::NOENT)),
                ("file/x", Err(Errno::NOTDIR)),
            ] {
                let opened = open(root.as_fd(), Path::new(path), Last::Follow).map(|_| ());
                assert_eq!(opened, expected, "{path} by {way}");
            }
            for link in ["out", "loop", "dangling", "absolute"] {
                let opened = open(root.as_fd(), Path::new(link), Last::Keep).expect(link);
                let kind = FileType::from_raw_mode(fstat(&opened).expect(link).st_mode);
                assert_eq!(kind, FileType::Symlink, "{link} by {way}");
            }
        }
    }

    #[test]
    fn a_link_that_is_swapped_all_the_time_never_leads_out() {
        let (folder, root) = world();
        let secret = fs::metadata(folder.path().join("secret")).expect("there");
        let at = |name: &str| folder.path().join("root").join(name);
        let (good, bad, name) = (at("good"), at("bad"), at("swapped"));
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    for (link, target) in [(&good, "file"), (&bad, "../secret")] {
                        symlink(target, link).expect("linked");
                        fs::rename(link, &name).expect("swapped");
                    }
                }
            });
            let (mut inside, mut refused) = (0, 0);
            while inside < 200 || refused < 200 {
                for open in [by_kernel as Way, by_hand as Way] {
                    match open(root.as_fd(), Path::new("swapped"), Last::Follow) {
                        Ok(opened) => {
                            let inode = fstat(&opened).expect("a file").st_ino;
                            if inode == std::os::unix::fs::MetadataExt::ino(&secret) {
                                is_done.store(true, Ordering::Relaxed);
                                panic!("led out");
                            }
                            inside += 1;
                        }
                        Err(_) => refused += 1,
                    }
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
    }
}
