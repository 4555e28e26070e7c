//! One watch: what its script was told last, and what it must be told next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use super::{
    Change, Kind, Refused, Request, SWAPPED, WatchId,
    folders::{Folders, Silent},
    inbox::MOST_CHANGES,
    is_dropping,
    known::{Known, MOST_PATHS},
    look::{Interest, Look, Stamp},
    settle::{Hint, Settled, Settling, longest},
    source::Happening,
};
use crate::script::pattern::Positions;

/// A watch that stands.
pub(super) struct Watched {
    id: WatchId,
    request: Request,
    settling: Settling,
    /// Changes that need no quiet.
    ready: Vec<Change>,
    /// What is there now is compared with it.
    known: Known,
    /// Folders, without links, and why they are watched.
    folders: BTreeMap<PathBuf, Vec<Interest>>,
    /// Set while a rescan is due: since when, and until when further losses are waited for.
    lost: Option<(Instant, Instant)>,
    needs_look: bool,
    /// What the last look found different from what the script knows.
    found: BTreeMap<PathBuf, Option<Stamp>>,
    /// A look that took long is not repeated at once.
    rests_until: Instant,
    next_look: Instant,
    /// Whether the kernel tells of everything.
    is_deaf: bool,
    has_warned: bool,
}

impl Watched {
    /// Begins a watch; from here on its folders tell of what happens.
    ///
    /// # Errors
    /// When something is missing that must be there, or there is too much.
    pub(super) fn begin(
        now: Instant,
        id: WatchId,
        request: Request,
        held: Arc<AtomicUsize>,
        folders: &mut Folders,
    ) -> Result<Self, Refused> {
        let mut watched = Self {
            id,
            request,
            settling: Settling::default(),
            ready: Vec::new(),
            known: Known::new(held),
            folders: BTreeMap::new(),
            lost: None,
            needs_look: false,
            found: BTreeMap::new(),
            rests_until: now,
            next_look: now,
            is_deaf: false,
            has_warned: false,
        };
        let look = watched.look(now, folders);
        let missing = watched.request.patterns.iter().find(|pattern| {
            watched.request.must_exist
                && pattern.is_path()
                && !look.picture.contains_key(pattern.base())
        });
        let refused = match missing {
            Some(pattern) => Some(Refused::Missing(pattern.base().to_owned())),
            None if look.is_cut => {
                Some(Refused::TooMany { path: watched.first_path(), most: MOST_PATHS })
            }
            None => None,
        };
        if let Some(refused) = refused {
            watched.end(folders);
            return Err(refused);
        }
        if watched.request.initial {
            for path in look.picture.keys() {
                watched.settling.note(now, Duration::ZERO, path.clone(), Hint::Created, None);
            }
        } else {
            watched.known.adopt(look.picture);
        }
        Ok(watched)
    }

    /// Ends the watch.
    pub(super) fn end(self, folders: &mut Folders) {
        for folder in self.folders.keys() {
            folders.release(self.id, folder);
        }
    }

    /// Takes what the kernel saw in one of the folders, or of one of them.
    pub(super) fn on_happening(
        &mut self,
        now: Instant,
        happening: &Happening,
        folders: &mut Folders,
    ) {
        let Happening { path, hint, from } = happening;
        // All of it is looked at anyway.
        if self.lost.is_some() {
            return;
        }
        let is_structural = matches!(hint, Hint::Created | Hint::Renamed | Hint::Removed);
        if *hint == Hint::Removed && self.folders.contains_key(path) {
            self.needs_look = true;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        for interest in self.folders.get(folder).cloned().unwrap_or_default() {
            match interest {
                Interest::Step { pattern, name: wanted, is_last } if wanted == name => {
                    self.needs_look |= is_structural;
                    let pattern = &self.request.patterns[pattern];
                    if is_last && pattern.is_path() {
                        self.note(now, pattern.base().to_owned(), *hint, from.clone());
                    }
                }
                Interest::Step { .. } => {}
                Interest::Entries { .. } if name == SWAPPED => self.needs_look |= is_structural,
                Interest::Entries { .. } if is_dropping(name) => {}
                Interest::Entries { pattern: number, shown, at } => {
                    let pattern = &self.request.patterns[number];
                    let next = pattern.step(at, name);
                    let is_meant = pattern.is_match(next);
                    let leads_on = pattern.goes_on(next) && is_structural;
                    // In the words of the script, where it came from the same folder.
                    let from = from.as_deref().map(|from| match from.strip_prefix(folder) {
                        Ok(name) => shown.join(name),
                        Err(_) => from.to_owned(),
                    });
                    let shown = shown.join(name);
                    if leads_on && pattern.goes_on(pattern.step_through(at, name)) {
                        self.needs_look = true;
                    } else if leads_on {
                        self.forget_below(now, number, path, &shown, folders);
                        if *hint != Hint::Removed {
                            self.look_below(now, number, path, &shown, next, folders);
                        }
                    }
                    if is_meant {
                        self.note(now, shown, *hint, from);
                    }
                }
            }
        }
    }

    /// Notes that events were lost. What follows soon is one loss.
    pub(super) fn lose(&mut self, now: Instant) {
        let first = self.lost.map_or(now, |(first, _)| first);
        let settle = self.request.settle;
        self.lost = Some((first, (now + settle).min(first + longest(settle))));
        self.settling.clear();
        self.ready.clear();
    }

    /// Returns when the watch wants its next turn.
    pub(super) fn next_wake(&self) -> Instant {
        if let Some((_, quiet_at)) = self.lost {
            return quiet_at;
        }
        let look = self.needs_look.then_some(self.rests_until);
        [look, self.settling.next()].into_iter().flatten().fold(self.next_look, Instant::min)
    }

    /// Looks and tells, as far as it is time; returns false when nobody listens any more.
    pub(super) fn turn(&mut self, now: Instant, folders: &mut Folders) -> bool {
        if let Some((_, quiet_at)) = self.lost {
            if now < quiet_at {
                return true;
            }
            self.lost = None;
            let look = self.look(now, folders);
            self.settling.clear();
            self.known.adopt(look.picture);
            let rescan = Change { kind: Kind::Rescan, path: self.first_path(), from: None };
            return (self.request.deliver)(self.id, vec![rescan]);
        }
        if self.next_look <= now || self.needs_look && self.rests_until <= now {
            self.compare(now, folders);
        }
        let quiet = self.settling.take_quiet(now);
        let mut changes = std::mem::take(&mut self.ready);
        let wants_all = self.request.settle.is_zero();
        changes.extend(quiet.into_iter().filter_map(|path| self.known.judge(path, wants_all)));
        self.known.count();
        changes.is_empty() || (self.request.deliver)(self.id, changes)
    }

    fn note(&mut self, now: Instant, path: PathBuf, hint: Hint, from: Option<PathBuf>) {
        // More than a script can be told of at a time.
        if self.lost.is_some() || self.settling.len() + self.ready.len() >= MOST_CHANGES {
            return self.lose(now);
        }
        if self.request.settle.is_zero() {
            // One by one: what comes and goes together is two changes.
            let change = self.known.judge(Settled { path, hint, from }, true);
            return self.ready.extend(change);
        }
        self.settling.note(now, self.request.settle, path, hint, from);
    }

    /// Looks at everything, and takes over which folders tell of it.
    fn look(&mut self, now: Instant, folders: &mut Folders) -> Look {
        let began = Instant::now();
        let mut look = Look::new(self.known.room());
        let problem = if self.request.poll.is_some() {
            for (number, pattern) in self.request.patterns.iter().enumerate() {
                look.at(number, pattern, &mut Silent);
            }
            None
        } else {
            let mut asking = folders.asking(self.id);
            for (number, pattern) in self.request.patterns.iter().enumerate() {
                look.at(number, pattern, &mut asking);
            }
            let (asked, problem) = (std::mem::take(&mut asking.asked), asking.problem.take());
            for folder in asked.iter().chain(self.folders.keys()) {
                if !look.folders.contains_key(folder) {
                    folders.release(self.id, folder);
                }
            }
            problem
        };
        self.folders = std::mem::take(&mut look.folders);
        self.is_deaf = problem.is_some();
        self.warn(problem, look.is_cut);
        self.needs_look = false;
        let took = began.elapsed();
        // In the time of whoever asks, which may be a virtual one.
        let ended = now + took;
        self.rests_until = ended + took * 3;
        let pace = match self.request.poll {
            // A large tree leaves the disk time for others.
            Some(every) => every.max(took * 10),
            None if self.is_deaf => DEAF_CHECK.max(took * 10),
            // The net below everything: mounts and exotic file systems lose events without a word.
            None => SLOW_CHECK.max(took * 100),
        };
        self.next_look = ended + pace;
        look
    }

    /// Looks at everything, and notes what differs from what the script knows.
    fn compare(&mut self, now: Instant, folders: &mut Folders) {
        let look = self.look(now, folders);
        let before = std::mem::take(&mut self.found);
        let mut found = self.known.different(&look);
        if !look.is_cut {
            found.extend(self.known.gone(&look).map(|path| (path.clone(), None)));
        }
        for (path, stamp) in &found {
            // What was so the last time has been quiet since.
            if before.get(path) != Some(stamp) || !self.settling.contains(path) {
                self.note_found(now, path, *stamp);
            }
        }
        self.found = found;
    }

    /// Looks at a folder that has just come, and at all below: what is made in it before it is
    /// watched is told by nobody.
    fn look_below(
        &mut self,
        now: Instant,
        number: usize,
        folder: &Path,
        shown: &Path,
        at: Positions,
        folders: &mut Folders,
    ) {
        if !std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
            return;
        }
        let mut asking = folders.asking(self.id);
        let mut look = Look::new(self.known.room_for_more());
        let pattern = &self.request.patterns[number];
        look.below(number, pattern, folder.to_owned(), shown.to_owned(), at, &mut asking);
        let problem = asking.problem.take();
        for (folder, interests) in std::mem::take(&mut look.folders) {
            self.folders.entry(folder).or_default().extend(interests);
        }
        if problem.is_some() && !self.is_deaf {
            self.is_deaf = true;
            self.next_look = now + DEAF_CHECK;
        }
        self.warn(problem, look.is_cut);
        for (path, stamp) in self.known.different(&look) {
            self.note_found(now, &path, stamp);
        }
    }

    fn note_found(&mut self, now: Instant, path: &Path, stamp: Option<Stamp>) {
        let hint = match (stamp, self.known.contains(path)) {
            (None, _) => Hint::Removed,
            (Some(_), false) => Hint::Created,
            (Some(_), true) => Hint::Touched,
        };
        self.note(now, path.to_owned(), hint, None);
    }

    /// Lets go of a folder that has gone, or has been replaced, and of all below.
    fn forget_below(
        &mut self,
        now: Instant,
        number: usize,
        folder: &Path,
        shown: &Path,
        folders: &mut Folders,
    ) {
        let below = self.folders.range(folder.to_owned()..);
        let gone: Vec<_> = below
            .take_while(|(path, _)| path.starts_with(folder))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            let interests = self.folders.remove(&path).unwrap_or_default();
            let is_own = |interest: &Interest| matches!(interest, Interest::Entries { pattern, .. } if *pattern == number);
            // Another pattern's way led through here.
            self.needs_look |= !interests.iter().all(is_own);
            folders.release(self.id, &path);
        }
        for path in self.known.below(shown) {
            self.note(now, path, Hint::Removed, None);
        }
    }

    /// Says once what keeps the watch from being complete.
    fn warn(&mut self, problem: Option<notify::Error>, is_cut: bool) {
        if self.has_warned || (problem.is_none() && !is_cut) {
            return;
        }
        self.has_warned = true;
        let (script, path) = (&*self.request.group, self.first_path());
        let path = path.display();
        if is_cut {
            tracing::warn!(
                script,
                "watch of {path}: a script watches {MOST_PATHS} paths at the most; not all of it is watched"
            );
        }
        if let Some(error) = problem {
            let seconds = DEAF_CHECK.as_secs();
            tracing::warn!(script, %error, "watch of {path}: the kernel does not tell of every folder (fs.inotify.max_user_watches, or a folder that must not be read); it is looked at every {seconds} s");
        }
    }

    fn first_path(&self) -> PathBuf {
        self.request.patterns.first().map(|pattern| pattern.base().to_owned()).unwrap_or_default()
    }
}

/// How often everything is compared that the kernel watches.
const SLOW_CHECK: Duration = Duration::from_secs(60);
/// How often where it does not.
const DEAF_CHECK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::{atomic::Ordering, mpsc};

    use super::*;
    use crate::script::{
        pattern::Pattern,
        watch::source::{LaneId, Source},
    };

    fn watch(path: &Path, poll: Option<Duration>) -> (Watched, Folders, mpsc::Receiver<Change>) {
        let (sender, told) = mpsc::channel();
        let request = Request {
            group: "test".into(),
            patterns: vec![Pattern::of(path).with_contents(false)],
            settle: Duration::from_millis(200),
            poll,
            initial: false,
            must_exist: false,
            deliver: Box::new(move |_, changes| {
                changes.into_iter().all(|change| sender.send(change).is_ok())
            }),
        };
        let mut folders = Folders::new(Arc::<Source>::default(), LaneId(1));
        let now = Instant::now();
        let begun = Watched::begin(now, WatchId(1), request, Arc::default(), &mut folders);
        (begun.expect("begun"), folders, told)
    }

    #[test]
    fn what_the_kernel_did_not_tell_is_found_by_the_slow_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "1").expect("written");
        for (poll, early, due) in [(None, 55, 61), (Some(Duration::from_secs(10)), 8, 11)] {
            let (mut watched, mut folders, told) = watch(folder.path(), poll);
            let start = Instant::now();
            let at = |seconds| start + Duration::from_secs(seconds);
            // Nobody passes the kernel's events on here.
            std::fs::write(&file, format!("{due}, and longer each time: {poll:?}")).expect("ok");
            for seconds in [early, early + 1] {
                assert!(watched.turn(at(seconds), &mut folders));
                assert_eq!(told.try_recv().ok(), None);
            }
            assert!(watched.next_wake() > at(early) && watched.next_wake() < at(due));
            for seconds in [due, due + 1] {
                assert!(watched.turn(at(seconds), &mut folders));
            }
            let change = Change { kind: Kind::Modify, path: file.clone(), from: None };
            assert_eq!(told.try_iter().collect::<Vec<_>>(), [change]);
            watched.end(&mut folders);
        }
    }

    #[test]
    fn a_group_holds_only_so_many_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let held = Arc::new(AtomicUsize::new(0));
        let mut folders = Folders::new(Arc::<Source>::default(), LaneId(1));
        let mut begin = |others| {
            let request = Request {
                group: "test".into(),
                patterns: vec![Pattern::of(folder.path()).with_contents(false)],
                settle: Duration::ZERO,
                poll: None,
                initial: false,
                must_exist: false,
                deliver: Box::new(|_, _| true),
            };
            held.store(others, Ordering::Relaxed);
            Watched::begin(Instant::now(), WatchId(1), request, held.clone(), &mut folders)
        };
        let refused = begin(MOST_PATHS - 3).err().expect("there is no room");
        assert!(matches!(refused, Refused::TooMany { most: MOST_PATHS, .. }), "{refused}");
        assert_eq!(held.load(Ordering::Relaxed), MOST_PATHS - 3, "nothing is held");
        let watched = begin(0).expect("there is room");
        assert_eq!(held.load(Ordering::Relaxed), 4, "the folder and three files");
        watched.end(&mut folders);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }
}
