//! `fs`: files below the folders that the operator allows, and nothing else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use puad::{
    driver,
    script::{How, Limits, Permissions, ScriptSpec, Scripts},
};

use crate::support::lua::Stage;

/// Runs a script whose allowed folder is `data`, beside which there is a `secret`.
fn run(source: &str, prepare: impl FnOnce(&Path)) {
    run_with(source, prepare, |root| vec![root.join("data")]);
}

fn run_with(
    source: &str,
    prepare: impl FnOnce(&Path),
    roots: impl FnOnce(&Path) -> Vec<std::path::PathBuf>,
) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("data")).expect("made");
    fs::write(folder.path().join("secret"), "secret").expect("written");
    prepare(folder.path());
    let allowed = roots(folder.path());
    let source = format!("{HELPERS}{source}");
    let mut stage = Stage::in_folder(folder, &source, |spec| spec.allow.fs = allowed);
    if let Err(problem) = stage.loaded() {
        panic!("{problem}");
    }
    let secret = fs::read(stage.path().join("secret")).expect("still there");
    assert_eq!(secret, b"secret", "nobody wrote to it");
}

/// On one line, so that line numbers stay.
const HELPERS: &str = "local function refused(code, value, err) assert(value == nil and type(err) == 'table', 'not refused') assert(err.code == code, `{err.code}, not {code}: {err}`) return err.message end ";

fn at(path: impl AsRef<Path>) -> impl FnOnce(&str) {
    move |text| fs::write(path, text).expect("written")
}

#[test]
fn files_are_read_whole_and_by_lines() {
    run(
        r#"
        assert(fs.read("data/a") == "one\ntwo\r\n\nfour")
        assert(fs.read(fs.glob("data/a")[1]) == fs.read("data/../data/./a"))
        local lines = {}
        for line in fs.lines("data/a") do table.insert(lines, line) end
        assert(table.concat(lines, "|") == "one|two||four")
        assert(fs.read("data/bytes") == "\0\255\r\n")
        assert(fs.read("data/empty") == "" and fs.lines("data/empty")() == nil)
        local message = refused("limit", fs.read("data/a", { max = 13 }))
        assert(message:find("data/a is longer than 13 bytes (max)", 1, true), message)
        assert(#fs.read("data/a", { max = "14B" }) == 14)
        refused("not_found", fs.read("data/missing"))
        refused("not_found", fs.read("data/a/below"))
        refused("not_found", fs.lines("data/missing"))
        message = refused("io", fs.read("data"))
        assert(message:find("data is a directory, not a regular file", 1, true), message)
        -- Nobody has the other end of it open.
        message = refused("io", fs.read("data/fifo"))
        assert(message:find("fifo is a fifo, not a regular file", 1, true), message)
        refused("io", fs.lines("data/fifo"))
        refused("io", fs.write("data/fifo", "x"))
        refused("io", fs.write("data/fifo", "x", { append = true }))
        -- Two coroutines, one iterator: every line once.
        local next, seen = fs.lines("data/long"), {}
        local function reader() for line in next do table.insert(seen, line) end end
        task.all { reader, reader }
        assert(#seen == 20000, #seen)
        -- Loops that are left early do not hold their files for ever.
        for _ = 1, 200 do for line in fs.lines("data/a") do break end end
        "#,
        |root| {
            at(root.join("data/a"))("one\ntwo\r\n\nfour");
            at(root.join("data/empty"))("");
            fs::write(root.join("data/bytes"), b"\0\xff\r\n").expect("written");
            at(root.join("data/long"))(&"a line of some length\n".repeat(20_000));
            rustix::fs::mkfifoat(
                rustix::fs::CWD,
                root.join("data/fifo"),
                rustix::fs::Mode::from_raw_mode(0o600),
            )
            .expect("a FIFO");
        },
    );
}

#[test]
fn folders_are_listed_and_files_described() {
    run(
        r#"
        local names = {}
        for _, entry in fs.list("data") do
            table.insert(names, `{entry.name}:{entry.kind}:{entry.kind == "file" and entry.size or "-"}`)
        end
        assert(table.concat(names, " ") == "a:file:3 b:directory:- dangling:link:- to_a:link:- to_b:link:-", table.concat(names, " "))
        assert(#fs.list("data/to_b") == 1)
        assert(#fs.list("data/b/empty") == 0)
        refused("not_found", fs.list("data/a"))
        refused("not_found", fs.list("data/missing"))
        local s = fs.stat("data/a")
        assert(s.kind == "file" and s.size == 3 and s.mode == "0640" and s.link == nil)
        assert(s.modified == 1000000000.5, s.modified)
        s = fs.stat("data/to_a")
        assert(s.kind == "file" and s.link == "a")
        s = fs.stat("data/dangling")
        assert(s.kind == "link" and s.link == "nothing")
        assert(fs.stat("data").kind == "directory")
        refused("not_found", fs.stat("data/missing"))
        assert(fs.exists("data/a") == true and fs.exists("data/b") == true and fs.exists("data") == true)
        assert(fs.exists("data/missing") == false and fs.exists("data/dangling") == false and fs.exists("data/a/x") == false)
        "#,
        |root| {
            let data = root.join("data");
            at(data.join("a"))("abc");
            fs::set_permissions(data.join("a"), fs::Permissions::from_mode(0o640)).expect("set");
            let time = std::time::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500);
            let file = fs::File::options().write(true).open(data.join("a")).expect("opened");
            file.set_modified(time).expect("touched");
            fs::create_dir_all(data.join("b/empty")).expect("made");
            for (target, link) in [("a", "to_a"), ("b", "to_b"), ("nothing", "dangling")] {
                symlink(target, data.join(link)).expect("linked");
            }
        },
    );
}

#[test]
fn patterns_find_what_is_inside() {
    run(
        r#"
        local function found(pattern)
            local names = {}
            for _, path in fs.glob(pattern) do table.insert(names, (path:gsub("^.*/data/?", ""))) end
            return table.concat(names, " ")
        end
        local function is(pattern, expected) assert(found(pattern) == expected, `{pattern}: {found(pattern)}`) end
        is("data/*.txt", "a.txt b.txt")
        is("data/{b,a}.txt", "a.txt b.txt")
        is("data/[!a].txt", "b.txt")
        is("data/*/*.txt", "sub/c.txt to_sub/c.txt")
        is("data/**/*.txt", "a.txt b.txt sub/c.txt sub/deep/d.txt")
        is("data/.*", ".hidden")
        is("data/a.txt", "a.txt")
        is("data/out*/*", "")
        is("data/nothing*", "")
        is("data/missing/*", "")
        is("data/lo*/x", "")
        is("data/*", "a.txt b.txt loop out outside sub to_sub")
        local message = refused("permission", fs.glob("*"))
        assert(message:find("allow.fs of this script's [[script]] section names", 1, true), message)
        refused("permission", fs.glob("data/../*"))
        refused("permission", fs.glob("/etc/*"))
        refused("permission", fs.glob("{data,/etc}/*"))
        "#,
        |root| {
            let data = root.join("data");
            fs::create_dir_all(data.join("sub/deep")).expect("made");
            for name in ["a.txt", "b.txt", ".hidden", "sub/c.txt", "sub/deep/d.txt"] {
                at(data.join(name))("");
            }
            for (target, link) in
                [("..", "out"), ("/", "outside"), ("sub", "to_sub"), ("loop", "loop")]
            {
                symlink(target, data.join(link)).expect("linked");
            }
        },
    );
}

#[test]
fn a_pattern_that_finds_too_much_is_a_limit() {
    run(
        r#"
        local message = refused("limit", fs.glob("data/**"))
        assert(message:find("data/a holds more than 20000 entries", 1, true), message)
        message = refused("limit", fs.list("data/a"))
        assert(message:find("data/a holds more than 20000 entries", 1, true), message)
        assert(#fs.list("data/b") == 5)
        "#,
        |root| {
            for (folder, count) in [("a", 20_001), ("b", 5)] {
                let folder = root.join("data").join(folder);
                fs::create_dir(&folder).expect("made");
                for number in 0..count {
                    fs::File::create(folder.join(number.to_string())).expect("made");
                }
            }
        },
    );
}

#[test]
fn nothing_leads_out_of_what_is_allowed() {
    run(
        r#"
        local ways = {
            "secret", "../secret", "data/../secret", "data/sub/../../secret", "data/out", "data/sub/out",
            "data/absolute", "data/winding", "data/up/secret", "data/chain", "/etc/passwd", "/", ".", "data/..",
            "/proc/self/environ", "data/proc/self/environ", "/no/such/thing", "data/nowhere",
        }
        for _, way in ways do
            for name, call in {
                read = fs.read, lines = fs.lines, list = fs.list, exists = fs.exists,
                write = function(path) return fs.write(path, "overwritten") end,
                append = function(path) return fs.write(path, "appended", { append = true }) end,
            } do
                local value, err = call(way)
                assert(value == nil and err.code == "permission", `{name} {way}: {value} {err}`)
                assert(err.message:find("is not allowed: allow.fs of this script's [[script]] section names /", 1, true), err.message)
            end
        end
        refused("permission", fs.stat("secret"))
        refused("permission", fs.stat("data/out"))
        -- Links that stay inside are as good as what they lead to, however they are written.
        assert(fs.read("data/in") == "inside" and fs.read("data/absolute_in") == "inside" and fs.read("data/folder_in/file") == "inside")
        assert(fs.write("data/absolute_in", "changed") and fs.read("data/sub/file") == "changed")
        assert(fs.stat("data/absolute_in").link ~= nil, "the link is still one")
        assert(fs.write("data/folder_in/new", "x") and fs.read("data/sub/new") == "x")
        "#,
        |root| {
            let data = root.join("data");
            fs::create_dir_all(data.join("sub")).expect("made");
            at(data.join("sub/file"))("inside");
            for (target, link) in [
                ("../secret", "out"),
                ("../../secret", "sub/out"),
                ("sub/../../secret", "winding"),
                ("..", "up"),
                ("out", "chain"),
                ("/proc", "proc"),
                ("/no/such/thing", "nowhere"),
                ("sub/file", "in"),
            ] {
                symlink(target, data.join(link)).expect("linked");
            }
            symlink(root.join("secret"), data.join("absolute")).expect("linked");
            symlink(data.join("sub/file"), data.join("absolute_in")).expect("linked");
            symlink(data.join("sub"), data.join("folder_in")).expect("linked");
        },
    );
}

#[test]
fn without_permission_nothing_is_said_of_any_file() {
    run_with(
        r#"
        for _, path in { "data", "secret", "missing", "/etc/passwd" } do
            for _, call in { fs.read, fs.lines, fs.list, fs.stat, fs.glob, fs.exists } do
                local message = refused("permission", call(path))
                assert(message:find(`{path} is not allowed: allow.fs of this script's [[script]] section names nothing`, 1, true), message)
            end
            refused("permission", fs.write(path, "x"))
        end
        "#,
        |_| {},
        |_| Vec::new(),
    );
}

#[test]
fn a_root_may_be_a_link_a_file_or_missing() {
    run_with(
        r#"
        -- A root that is a link: by its own name and by that of the folder itself.
        assert(fs.read("alias/file") == "here" and fs.read("real/file") == "here")
        assert(fs.write("alias/new", "x") and fs.read("real/new") == "x")
        refused("permission", fs.read("alias/../secret"))
        refused("permission", fs.read("alias/out"))
        -- From one allowed folder into another.
        assert(fs.read("real/other") == "one")
        -- A root that is a file allows no other beside it.
        assert(fs.read("data/one") == "one" and fs.exists("data/one") and fs.stat("data/one").size == 3)
        assert(fs.write("data/one", "replaced") and fs.read("data/one") == "replaced")
        assert(fs.write("data/one", "!", { append = true }) and fs.read("data/one") == "replaced!")
        refused("permission", fs.read("data/two"))
        refused("permission", fs.write("data/two", "x"))
        refused("permission", fs.list("data"))
        refused("not_found", fs.read("data/one/below"))
        -- A root that is not there yet.
        assert(fs.exists("later") == false and fs.exists("later/file") == false)
        refused("not_found", fs.read("later/file"))
        refused("not_found", fs.write("later/file", "x"))
        "#,
        |root| {
            fs::create_dir(root.join("real")).expect("made");
            at(root.join("real/file"))("here");
            at(root.join("data/one"))("one");
            at(root.join("data/two"))("two");
            symlink("real", root.join("alias")).expect("linked");
            symlink("../secret", root.join("real/out")).expect("linked");
            symlink(root.join("data/one"), root.join("real/other")).expect("linked");
        },
        |root| ["alias", "data/one", "later"].map(|path| root.join(path)).into(),
    );
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    at(data.join("kept"))("old");
    fs::set_permissions(data.join("kept"), fs::Permissions::from_mode(0o604)).expect("set");
    symlink("kept", data.join("link")).expect("linked");
    at(data.join("swinging"))(&"a".repeat(100_000));
    let allowed = vec![data.clone()];
    let source = format!(
        r#"{HELPERS}
        assert(fs.write("data/new", "text") == true and fs.read("data/new") == "text")
        assert(fs.write("data/kept", "newer") and fs.stat("data/kept").mode == "0604")
        assert(fs.write("data/link", "through") and fs.read("data/kept") == "through" and fs.stat("data/link").link == "kept")
        assert(fs.write("data/private", "x", {{ mode = "0600" }}) and fs.stat("data/private").mode == "0600")
        assert(fs.write("data/log", "a\n", {{ append = true, mode = "640" }}) and fs.write("data/log", "b\n", {{ append = true }}))
        assert(fs.read("data/log") == "a\nb\n" and fs.stat("data/log").mode == "0640")
        assert(fs.write("data/bytes", "\0\255") and fs.read("data/bytes") == "\0\255")
        refused("io", fs.write("data", "x"))
        refused("not_found", fs.write("data/missing/file", "x"))
        local long = ("n"):rep(255)
        assert(fs.write("data/" .. long, "long name") and fs.read("data/" .. long) == "long name")
        refused("io", fs.write("data/" .. long .. "n", "x"))
        local texts = {{ ("a"):rep(100000), ("b"):rep(100000) }}
        for round = 1, 60 do assert(fs.write("data/swinging", texts[round % 2 + 1])) end
        for _, entry in fs.list("data") do assert(not entry.name:find("tmp"), entry.name) end
        "#
    );
    let watched = data.join("swinging");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let text = fs::read(&watched).expect("always there");
                assert_eq!(text.len(), 100_000, "half a file");
                assert!(text.iter().all(|byte| *byte == text[0]), "a mixture");
                seen.insert(text[0]);
            }
            seen.len()
        });
        let mut stage = Stage::in_folder(folder, &source, |spec| spec.allow.fs = allowed);
        let loaded = stage.loaded();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        loaded.unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(reader.join().expect("no half file"), 2, "both contents were seen");
    });
}

#[test]
fn a_check_reads_but_does_not_write() {
    let folder = tempfile::tempdir().expect("a folder");
    at(folder.path().join("file"))("there");
    let source = format!(
        r#"{HELPERS}
        assert(fs.read("file") == "there")
        for _, append in {{ true, false }} do
            local message = refused("cancelled", fs.write("file", "x", {{ append = append }}))
            assert(message == "nothing is written while scripts are only checked", message)
        end
        refused("cancelled", fs.write("new", "x"))
        assert(fs.read("file") == "there" and not fs.exists("new"))
        "#
    );
    let path = folder.path().join("test.lua");
    let spec = ScriptSpec {
        name: "test".into(),
        source,
        config: toml::Table::new(),
        config_dir: folder.path().into(),
        lib_dirs: Vec::new(),
        allow: Permissions { fs: vec![folder.path().into()], ..Permissions::default() },
        limits: Limits::default(),
        path,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (core, _inbox) = driver::channel();
        let how = How { is_rehearsal: true, ..How::default() };
        let mut scripts = Scripts::start_as(how, vec![spec], &core);
        let wrong = scripts.loaded(Duration::from_secs(20)).await;
        assert!(wrong.is_empty(), "{wrong:?}");
        scripts.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn misuse_is_raised_where_it_was_made() {
    for (call, expected) in [
        ("fs.read()", "fs.read: first argument: nil is not a path"),
        ("fs.read('')", "fs.read: first argument: the path is empty"),
        ("fs.stat('a\\0b')", "fs.stat: first argument: a path holds no NUL"),
        ("fs.read('a', { maxx = 1 })", "fs.read: unknown option 'maxx' (did you mean 'max'?)"),
        (
            "fs.read('a', { max = 'much' })",
            "fs.read: max: \"much\" is not a size (bytes, or text such as \"256KiB\", \"32MiB\")",
        ),
        (
            "fs.read('a', { max = '1GiB' })",
            "fs.read: max: 1073741824 bytes are more than the heap of this script, 33554432 (limits.memory)",
        ),
        ("fs.write('a')", "fs.write: second argument: nil is not a text"),
        (
            "fs.write('a', 'x', { mode = '0999' })",
            "fs.write: mode: \"0999\" is not a mode (octal digits as text, such as \"0640\")",
        ),
        ("fs.write('a', 'x', { mode = 420 })", "fs.write: mode: 420 is not a text"),
        ("fs.glob('{a')", "fs.glob: \"{a\": a { is not closed (write \\{ for the character)"),
        (
            "fs.watch('*/../x', print)",
            "fs.watch: \"*/../x\": \"..\" cannot stand behind a wildcard",
        ),
        ("fs.raed('a')", "fs: unknown name 'raed' (did you mean 'read'?)"),
    ] {
        let mut stage = Stage::run(&format!("\n\n{call}"));
        let problem = stage.loaded().expect_err(call);
        let expected = format!("test.lua:3: {expected}");
        assert!(problem.message.ends_with(&expected), "{call}:\n{}", problem.message);
    }
}

#[test]
fn a_watch_stands_when_the_call_returns() {
    let mut stage = Stage::set(
        r#"
        fs.watch("data/*", function(c)
            pua.send_publish { presentity_uri = "sip:a@example.com", event = "presence", body = `{c.kind} {c.path:match("[^/]+$")} {#c.paths}` }
        end, { settle = "20ms" })
        assert(fs.write("data/state", "on"))
        local w, err = fs.watch("missing", print, { missing = "error" })
        assert(w == nil and err.code == "not_found" and err.message:find("missing does not exist", 1, true), err)
        "#,
        |spec| {
            let data = spec.path.with_file_name("data");
            fs::create_dir(&data).expect("made");
            spec.allow.fs = vec![data];
        },
    );
    assert_eq!(stage.said(), "rename state 1");
    stage.loaded().expect("ran to its end");
    assert_eq!(stage.status().watches, 1);
}

#[test]
fn a_handler_that_is_slow_is_told_to_rescan_and_one_that_closes_hears_no_more() {
    let mut stage = Stage::run(
        r#"
        local function say(text)
            pua.send_publish { presentity_uri = "sip:a@example.com", event = "presence", id = text, body = text }
        end
        local calls = 0
        fs.watch("slow", function(c)
            calls += 1
            if calls == 1 then sleep(1.5) elseif c.kind == "rescan" then say("rescan") end
        end, { settle = 0 })
        local w
        w = fs.watch("once", function(c) w:close() say("once " .. #c.paths) end, { settle = "200ms" })
        "#,
    );
    stage.loaded().expect("ran to its end");
    for name in ["slow", "once"] {
        fs::create_dir(stage.path().join(name)).expect("made");
    }
    for name in ["a", "b"] {
        at(stage.path().join("once").join(name))("");
    }
    let said = stage.said();
    assert!(said.starts_with("once "), "{said}");
    at(stage.path().join("once/c"))("");
    // More turns than may wait: each is told by itself.
    let file = stage.path().join("slow/file");
    let end = std::time::Instant::now() + Duration::from_millis(1000);
    while std::time::Instant::now() < end {
        at(&file)("x");
        fs::remove_file(&file).expect("removed");
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(stage.said(), "rescan");
}
