//! What a watch tells: every style of saving, seen by every style of watching.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use puad::script::watch::{Change, Hub, Kind, Pattern, Refused, Request, WatchId};

/// Long enough for a save in several steps on a busy machine.
const SETTLE: Duration = Duration::from_millis(400);
const POLL: Duration = Duration::from_millis(100);

#[test]
fn every_style_of_saving_is_told_once_in_every_style_of_watching() {
    let saves: &[(&str, Save, Kind)] = &[
        ("made", |file| fs::write(file, "made").expect("written"), Kind::Create),
        ("written in place", |file| fs::write(file, "in place").expect("written"), Kind::Modify),
        ("appended to", append, Kind::Modify),
        ("renamed over", rename_save, Kind::Rename),
        ("renamed over again", rename_save, Kind::Rename),
        ("saved with a backup", backup_save, Kind::Modify),
        ("removed and made again", remove_and_make, Kind::Modify),
        ("touched", touch, Kind::Modify),
        ("removed", |file| fs::remove_file(file).expect("removed"), Kind::Remove),
        ("made again", |file| fs::write(file, "again").expect("written"), Kind::Create),
    ];
    std::thread::scope(|scope| {
        for (style, pattern, recursive, poll) in [
            ("file", "in/state.txt", false, false),
            ("folder", "in", false, false),
            ("glob", "in/*.txt", false, false),
            ("alternatives", "in/{other,sta?e}.[a-t]xt", false, false),
            ("glob of folders", "i*/state.txt", false, false),
            ("any depth", "**/state.txt", false, false),
            ("recursive", "", true, false),
            ("recursive glob", "i*", true, false),
            ("polled", "in", false, true),
        ] {
            scope.spawn(move || {
                let mut watching = Watching::new();
                let file = watching.at("in/state.txt");
                fs::create_dir(watching.at("in")).expect("made");
                watching.begin(&[pattern], recursive, |request| {
                    request.poll = poll.then_some(POLL);
                });
                for (save, act, kind) in saves {
                    // A look does not see by which name something came.
                    let kind = if poll && *kind == Kind::Rename { Kind::Modify } else { *kind };
                    act(&file);
                    let told = watching.next();
                    assert_eq!((told.kind, &told.path), (kind, &file), "{style}: {save}");
                }
                watching.nothing_more();
            });
        }
    });
}

#[test]
fn what_is_missing_is_waited_for_and_waited_for_again() {
    std::thread::scope(|scope| {
        for (style, pattern, recursive, with_folders) in [
            ("file", "a/b/state.txt", false, false),
            ("folder", "a/b", false, true),
            ("glob", "a/b/*.txt", false, false),
            ("glob of folders", "a/*/state.txt", false, false),
            ("any depth", "a/**/state.txt", false, false),
            ("recursive", "a/b", true, true),
        ] {
            scope.spawn(move || {
                let mut watching = Watching::new();
                watching.begin(&[pattern], recursive, |_| {});
                let (folder, file) = (watching.at("a/b"), watching.at("a/b/state.txt"));
                let expected = |kind| {
                    let folder = with_folders.then(|| (kind, folder.clone()));
                    folder.into_iter().chain([(kind, file.clone())]).collect::<BTreeSet<_>>()
                };
                for round in 0..3 {
                    let told = |watching: &mut Watching, kind| {
                        let expected = expected(kind);
                        let told = watching.several(expected.len());
                        assert_eq!(told, expected, "{style}: {kind:?} in round {round}");
                    };
                    fs::create_dir_all(&folder).expect("made");
                    fs::write(&file, "made").expect("written");
                    told(&mut watching, Kind::Create);
                    rename_save(&file);
                    let change = watching.next();
                    assert_eq!((change.kind, &change.path), (Kind::Rename, &file), "{style}");
                    if round == 1 {
                        // Away as a whole, under another name, and back as something new.
                        fs::rename(watching.at("a"), watching.at("gone")).expect("moved");
                    } else {
                        fs::remove_dir_all(watching.at("a")).expect("removed");
                    }
                    told(&mut watching, Kind::Remove);
                }
                watching.nothing_more();
            });
        }
    });
}

#[test]
fn a_swap_of_kubernetes_tells_of_the_files_it_changes() {
    std::thread::scope(|scope| {
        for (style, pattern, recursive) in [
            ("file", "config/a.toml", false),
            ("folder", "config", false),
            ("glob", "config/*.toml", false),
            ("recursive", "", true),
        ] {
            scope.spawn(move || {
                let mut watching = Watching::new();
                let config = watching.at("config");
                fs::create_dir(&config).expect("made");
                swap(&config, 1);
                for name in ["a.toml", "b.toml"] {
                    symlink(format!("..data/{name}"), config.join(name)).expect("linked");
                }
                watching.begin(&[pattern], recursive, |_| {});
                for version in 2..5 {
                    swap(&config, version);
                    let change = watching.next();
                    let told = (change.kind, change.path);
                    assert_eq!(told, (Kind::Modify, config.join("a.toml")), "{style} {version}");
                }
                watching.nothing_more();
            });
        }
    });
}

#[test]
fn links_are_watched_at_both_ends() {
    let mut watching = Watching::new();
    for folder in ["data", "releases/1", "releases/2"] {
        fs::create_dir_all(watching.at(folder)).expect("made");
    }
    fs::write(watching.at("data/real"), "1").expect("written");
    for version in ["1", "2"] {
        fs::write(watching.at("releases").join(version).join("conf"), version).expect("written");
    }
    symlink("data/real", watching.at("link")).expect("linked");
    symlink("releases/1", watching.at("current")).expect("linked");
    watching.begin(&["link", "current/conf", "current/*.x"], false, |_| {});
    let told = |watching: &mut Watching, kind, path: &str| {
        let change = watching.next();
        assert_eq!((change.kind, change.path), (kind, watching.at(path)));
    };
    fs::write(watching.at("data/real"), "22").expect("written");
    told(&mut watching, Kind::Modify, "link");
    rename_save(&watching.at("data/real"));
    told(&mut watching, Kind::Rename, "link");
    symlink("releases/2", watching.at("next")).expect("linked");
    fs::rename(watching.at("next"), watching.at("current")).expect("swapped");
    told(&mut watching, Kind::Modify, "current/conf");
    fs::write(watching.at("releases/2/new.x"), "").expect("written");
    told(&mut watching, Kind::Create, "current/new.x");
    fs::write(watching.at("releases/1/conf"), "nobody looks here").expect("written");
    fs::remove_file(watching.at("link")).expect("removed");
    told(&mut watching, Kind::Remove, "link");
    watching.nothing_more();
}

#[test]
fn files_in_folders_made_at_once_are_not_missed() {
    let mut watching = Watching::new();
    watching.begin(&[""], true, |_| {});
    let mut expected = BTreeSet::new();
    for round in 0..100 {
        let file = watching.at(&format!("{round}/b/c/file"));
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, "").expect("written");
        let made = file.ancestors().take_while(|path| *path != watching.root());
        expected.extend(made.map(|path| (Kind::Create, path.to_owned())));
    }
    assert_eq!(watching.several(expected.len()), expected);
    // All of them are watched by now.
    for round in 0..100 {
        fs::write(watching.at(&format!("{round}/b/c/file")), "x").expect("written");
    }
    let files = expected.into_iter().filter(|(_, path)| path.ends_with("file"));
    let expected = files.map(|(_, path)| (Kind::Modify, path)).collect();
    assert_eq!(watching.several(100), expected);
    watching.nothing_more();
}

#[test]
fn a_rename_tells_where_it_came_from() {
    let mut watching = Watching::new();
    fs::create_dir(watching.at("in")).expect("made");
    fs::write(watching.at("in/a"), "").expect("written");
    watching.begin(&["in"], false, |_| {});
    fs::rename(watching.at("in/a"), watching.at("in/b")).expect("renamed");
    let told = watching.batch(2);
    let renamed = told.iter().find(|change| change.kind == Kind::Rename).expect("told");
    assert_eq!(renamed.path, watching.at("in/b"));
    assert_eq!(renamed.from, Some(watching.at("in/a")));
    assert!(told.iter().any(|c| c.kind == Kind::Remove && c.path == watching.at("in/a")));
}

#[test]
fn droppings_of_editors_and_what_came_and_went_are_not_told() {
    let mut watching = Watching::new();
    watching.begin(&["", "*.txt"], false, |_| {});
    for name in ["x~", ".x.swp", ".#x", "4913", "..2026"] {
        fs::write(watching.at(name), "").expect("written");
    }
    fs::write(watching.at("sed8zRq"), "").expect("written");
    fs::remove_file(watching.at("sed8zRq")).expect("removed");
    fs::write(watching.at("last.txt"), "").expect("written");
    let change = watching.next();
    assert_eq!((change.kind, change.path), (Kind::Create, watching.at("last.txt")));
    watching.nothing_more();
}

#[test]
fn without_settling_everything_is_told_at_once() {
    let mut watching = Watching::new();
    watching.begin(&[""], false, |request| request.settle = Duration::ZERO);
    let file = watching.at("file");
    let start = Instant::now();
    fs::write(&file, "").expect("written");
    let told = watching.next();
    assert_eq!((told.kind, &told.path), (Kind::Create, &file));
    assert!(start.elapsed() < SETTLE, "{:?}", start.elapsed());
    fs::remove_file(&file).expect("removed");
    let told = watching.next();
    assert_eq!((told.kind, &told.path), (Kind::Remove, &file));
    // Gone before anybody could look: told all the same.
    fs::write(&file, "").expect("written");
    fs::remove_file(&file).expect("removed");
    let kinds: BTreeSet<Kind> = watching.several(2).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::Create, Kind::Remove].into());
}

#[test]
fn what_is_there_is_told_at_the_start_if_wished() {
    let mut watching = Watching::new();
    fs::create_dir(watching.at("in")).expect("made");
    for name in ["in/a.txt", "in/b.txt", "in/c"] {
        fs::write(watching.at(name), "").expect("written");
    }
    watching.begin(&["in/*.txt"], false, |request| request.initial = true);
    let expected = ["in/a.txt", "in/b.txt"].map(|name| (Kind::Create, watching.at(name))).into();
    assert_eq!(watching.several(2), expected);
    watching.nothing_more();
}

#[test]
fn a_path_that_must_be_there_is_refused_when_it_is_not() {
    let watching = Watching::new();
    let (missing, root) = (watching.at("missing"), watching.root().to_owned());
    let asked = |paths: &[&Path]| {
        let patterns = paths.iter().map(|path| Pattern::of(*path)).collect();
        let request = Request {
            group: "test".into(),
            patterns,
            settle: SETTLE,
            poll: None,
            initial: false,
            must_exist: true,
            deliver: Box::new(|_, _| true),
        };
        watching.hub.add(request).1.blocking_recv().expect("answered")
    };
    assert_eq!(asked(&[&root]), Ok(()));
    assert_eq!(asked(&[&root, &missing]), Err(Refused::Missing(missing.clone())));
}

#[test]
fn lost_events_are_one_rescan_for_each_watch_that_is_told() {
    let mut watching = Watching::new();
    for name in ["a", "b"] {
        fs::create_dir(watching.at(name)).expect("made");
        fs::write(watching.at(name).join("file"), "").expect("written");
    }
    let told = [
        watching.begin(&["a", "b", "missing"], false, |_| {}),
        watching.begin(&["a/*"], false, |_| {}),
        watching.begin(&[""], true, |_| {}),
    ];
    let polled = watching.begin(&["a"], false, |request| request.poll = Some(POLL));
    // The kernel says so once for each time its queue was full.
    for _ in 0..3 {
        let event = notify::Event::new(notify::EventKind::Other);
        watching.hub.handle_event(Ok(event.set_flag(notify::event::Flag::Rescan)));
    }
    let mut rescans = Vec::new();
    for _ in told {
        let (id, changes) = watching.take();
        let [change] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((change.kind, &change.from), (Kind::Rescan, &None));
        rescans.push((id, change.path.clone()));
    }
    rescans.sort();
    let paths = ["a", "a", ""].map(|name| watching.at(name));
    assert_eq!(rescans, told.into_iter().zip(paths).collect::<Vec<_>>());
    // The state that the watches know is right: a change is a change, and nothing else is new.
    fs::write(watching.at("b/file"), "x").expect("written");
    fs::write(watching.at("a/new"), "x").expect("written");
    let mut heard = BTreeSet::new();
    while heard.len() < 6 {
        let (id, changes) = watching.take();
        heard.extend(changes.into_iter().map(|change| (id, change.kind, change.path)));
    }
    let [both, glob, tree] = told;
    let (file, new) = (watching.at("b/file"), watching.at("a/new"));
    let expected = [
        (both, Kind::Modify, file.clone()),
        (both, Kind::Create, new.clone()),
        (glob, Kind::Create, new.clone()),
        (tree, Kind::Modify, file),
        (tree, Kind::Create, new.clone()),
        (polled, Kind::Create, new),
    ];
    assert_eq!(heard, expected.into());
    watching.nothing_more();
}

#[test]
fn a_burst_of_twenty_thousand_files_ends_in_a_correct_picture() {
    let mut watching = Watching::new();
    let folder = watching.at("in");
    fs::create_dir(&folder).expect("made");
    watching.begin(&["in"], false, |request| request.settle = Duration::from_millis(50));
    let name = |number: usize| folder.join(format!("{number:05}"));
    for number in 0..20_000 {
        fs::write(name(number), "").expect("written");
        // Some go at once, some after a while, some are moved.
        match number % 10 {
            0 => fs::remove_file(name(number)).expect("removed"),
            1 if number > 5000 => fs::remove_file(name(number - 5000)).expect("removed"),
            2 => fs::rename(name(number), folder.join(format!("moved{number}"))).expect("moved"),
            _ => {}
        }
    }
    let listed = || -> BTreeSet<PathBuf> {
        fs::read_dir(&folder).expect("read").map(|entry| entry.expect("read").path()).collect()
    };
    // What a script would do: note what it is told, and look for itself when it is told to.
    let (mut known, mut rescans) = (BTreeSet::new(), 0);
    let is = listed();
    let deadline = Instant::now() + Duration::from_secs(60);
    while known != is && Instant::now() < deadline {
        let Ok((_, changes)) = watching.told.recv_timeout(Duration::from_secs(5)) else { break };
        for change in changes {
            match change.kind {
                Kind::Create | Kind::Modify | Kind::Rename => {
                    known.insert(change.path);
                }
                Kind::Remove => {
                    known.remove(&change.path);
                }
                Kind::Rescan => {
                    rescans += 1;
                    known = listed();
                }
            }
        }
    }
    assert_eq!(known.len(), is.len(), "after {rescans} rescans");
    assert!(known == is);
    // What the watch itself knows is right, too: old files are old.
    while watching.told.recv_timeout(Duration::from_millis(500)).is_ok() {}
    fs::write(name(13_339), "more").expect("written");
    fs::remove_file(name(7)).expect("removed");
    fs::write(folder.join("new"), "").expect("written");
    let expected =
        [(Kind::Create, folder.join("new")), (Kind::Modify, name(13_339)), (Kind::Remove, name(7))];
    assert_eq!(watching.several(3), expected.into());
    watching.nothing_more();
}

#[test]
fn a_closed_watch_leaves_nothing_in_the_kernel() {
    let watching = Watching::new();
    let mut folders: Vec<PathBuf> = ["x/y/z", "x/w", "away/deep"].map(|f| watching.at(f)).into();
    for folder in &folders {
        fs::create_dir_all(folder).expect("made");
    }
    let ids = [
        watching.begin(&[""], true, |_| {}),
        watching.begin(&["x/y/missing/deep", "x/w"], false, |_| {}),
        watching.begin(&["x/*/z", "x/**/q"], false, |_| {}),
    ];
    // Folders that come, go, and change their names leave watches behind most easily.
    fs::rename(watching.at("away"), watching.at("x/there")).expect("moved");
    fs::rename(watching.at("x/y"), watching.at("x/v")).expect("moved");
    fs::create_dir_all(watching.at("x/y/missing/deep")).expect("made");
    folders = ["", "x", "x/there", "x/there/deep", "x/v", "x/v/z", "x/w", "x/y", "x/y/missing"]
        .map(|folder| watching.at(folder))
        .into();
    let inodes: BTreeSet<u64> =
        folders.iter().map(|folder| fs::metadata(folder).expect("there").ino()).collect();
    eventually("all folders are watched", || watched_inodes().is_superset(&inodes));
    let [tree, paths, globs] = ids;
    watching.hub.remove(tree);
    watching.hub.remove(globs);
    let still = fs::metadata(watching.at("x/w")).expect("there").ino();
    let over = fs::metadata(watching.at("x/there/deep")).expect("there").ino();
    eventually("only what others watch is left", || {
        let watched = watched_inodes();
        watched.contains(&still) && !watched.contains(&over)
    });
    watching.hub.remove(paths);
    eventually("nothing is watched", || watched_inodes().is_disjoint(&inodes));
}

#[test]
fn a_watch_that_nobody_waited_for_tells_of_a_rescan_first() {
    let mut watching = Watching::new();
    let sender = watching.sender.clone();
    let request = Request {
        group: "test".into(),
        patterns: vec![Pattern::of(watching.root()).with_contents(false)],
        settle: SETTLE,
        poll: None,
        initial: false,
        must_exist: false,
        deliver: Box::new(move |id, changes| sender.send((id, changes)).is_ok()),
    };
    drop(watching.hub.add(request).1);
    assert_eq!(watching.next().kind, Kind::Rescan);
}

/// A way of changing a file.
type Save = fn(&Path);

/// A folder, and what is told of it.
struct Watching {
    hub: Hub,
    folder: tempfile::TempDir,
    sender: mpsc::Sender<(WatchId, Vec<Change>)>,
    told: mpsc::Receiver<(WatchId, Vec<Change>)>,
    ahead: Vec<Change>,
}

impl Watching {
    fn new() -> Self {
        let (sender, told) = mpsc::channel();
        let folder = tempfile::tempdir().expect("a folder");
        Self { hub: Hub::start(), folder, sender, told, ahead: Vec::new() }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path).components().collect()
    }

    /// Begins a watch and waits until it stands.
    fn begin(&self, paths: &[&str], recursive: bool, change: impl FnOnce(&mut Request)) -> WatchId {
        let parse = |path: &&str| {
            let path = if path.is_empty() { "." } else { path };
            Pattern::parse(self.root(), path.as_ref()).expect("a pattern")
        };
        let patterns = paths.iter().flat_map(parse).map(|p| p.with_contents(recursive));
        let sender = self.sender.clone();
        let mut request = Request {
            group: "test".into(),
            patterns: patterns.collect(),
            settle: SETTLE,
            poll: None,
            initial: false,
            must_exist: false,
            deliver: Box::new(move |id, changes| sender.send((id, changes)).is_ok()),
        };
        change(&mut request);
        let (id, stands) = self.hub.add(request);
        stands.blocking_recv().expect("answered").expect("it stands");
        id
    }

    /// Waits for what one watch has to tell next.
    fn take(&mut self) -> (WatchId, Vec<Change>) {
        self.told.recv_timeout(Duration::from_secs(20)).expect("something is told")
    }

    /// Waits for the next change.
    fn next(&mut self) -> Change {
        if self.ahead.is_empty() {
            self.ahead = self.take().1;
        }
        self.ahead.remove(0)
    }

    fn batch(&mut self, count: usize) -> Vec<Change> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Waits for several changes, in whatever order.
    fn several(&mut self, count: usize) -> BTreeSet<(Kind, PathBuf)> {
        self.batch(count).into_iter().map(|change| (change.kind, change.path)).collect()
    }

    /// Sees to it that nothing is told that was not asked for.
    fn nothing_more(&mut self) {
        assert_eq!(self.ahead, []);
        let more = self.told.recv_timeout(SETTLE + Duration::from_millis(200));
        assert!(more.is_err(), "{more:?}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.hub.stop();
    }
}

fn append(file: &Path) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).open(file).expect("opened");
    file.write_all(b"more").expect("written");
}

/// Writes beside and renames, as most programs do.
fn rename_save(file: &Path) {
    let other = file.with_file_name("state.new");
    fs::write(&other, "renamed over").expect("written");
    fs::rename(&other, file).expect("renamed");
}

/// Moves the old file away, writes a new one and removes the old, as vim does.
fn backup_save(file: &Path) {
    let backup = file.with_file_name("state.txt~");
    fs::write(file.with_file_name("4913"), "").expect("written");
    fs::remove_file(file.with_file_name("4913")).expect("removed");
    fs::rename(file, &backup).expect("renamed");
    fs::write(file, "with a backup").expect("written");
    fs::remove_file(&backup).expect("removed");
}

fn remove_and_make(file: &Path) {
    fs::remove_file(file).expect("removed");
    fs::write(file, "made anew").expect("written");
}

fn touch(file: &Path) {
    let file = fs::File::open(file).expect("opened");
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(time).expect("touched");
}

/// Puts a new version in place as a kubelet does; only `a.toml` differs.
fn swap(config: &Path, version: u32) {
    let folder = config.join(format!("..{version}"));
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.toml"), format!("version {version}")).expect("written");
    let kept = config.join("..b");
    if version == 1 {
        fs::write(&kept, "same").expect("written");
    }
    symlink("../..b", folder.join("b.toml")).expect("linked");
    symlink(format!("..{version}"), config.join("..data_tmp")).expect("linked");
    fs::rename(config.join("..data_tmp"), config.join("..data")).expect("swapped");
    let before = config.join(format!("..{}", version - 1));
    if before.exists() {
        fs::remove_dir_all(before).expect("removed");
    }
}

/// Inodes that this process has inotify watches on.
fn watched_inodes() -> BTreeSet<u64> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fdinfo").expect("read").flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with("inotify")) {
            let inode = line.split_whitespace().find_map(|word| word.strip_prefix("ino:"));
            inodes.extend(inode.and_then(|inode| u64::from_str_radix(inode, 16).ok()));
        }
    }
    inodes
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
