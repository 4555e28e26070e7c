//! The Lua that documentation shows runs as it stands there.

use std::{fs, path::Path};

use crate::support::program::{Folder, text};

#[test]
fn every_block_of_the_readme_runs() {
    assert!(run_page("README.md") >= 2);
}

#[test]
fn every_library_of_the_reference_has_an_example_that_runs() {
    let page = read("scripts/REFERENCE.md");
    let sections: Vec<_> = page.split("\n## ").filter(|part| part.starts_with('`')).collect();
    for section in &sections {
        let title = section.lines().next().unwrap_or_default();
        assert!(section.contains("```lua\n"), "{title} has no example");
    }
    assert!(run_page("scripts/REFERENCE.md") >= sections.len());
}

/// The scripts by which puad was first described.
#[test]
fn the_first_examples_run() {
    run("cpu", CPU);
    run("mwi", MWI);
    // Subscriptions are to come.
    let (code, output) = check(ROOM);
    assert_eq!(code, Some(78));
    assert!(output.contains("pua: unknown name 'subscribe'"), "{output}");
}

/// Runs every block of a page; returns how many there are.
fn run_page(page: &str) -> usize {
    let content = read(page);
    let mut found = 0;
    let mut rest = content.as_str();
    while let Some((before, after)) = rest.split_once("```lua") {
        let (mark, after) = after.split_once('\n').expect("the rest of the line");
        let (block, after) = after.split_once("\n```").expect("an end");
        let line = content.len() - rest.len() + before.len();
        let place = format!("{page}:{}", content[..line].lines().count() + 1);
        rest = after;
        match mark {
            "" => run(&place, block),
            ",fragment" => {}
            other => panic!("{place}: {other} is no mark"),
        }
        found += 1;
    }
    found
}

/// Runs a script against a core that grants everything, or a test file in a folder with its script.
fn run(place: &str, block: &str) {
    let (code, output) = if block.contains("test.case(") { test(block) } else { check(block) };
    assert_eq!(code, Some(0), "{place}: {output}");
}

fn check(block: &str) -> (Option<i32>, String) {
    let folder = Folder::new(&[("block.lua", block), ("Maildir/new/1", ""), ("Maildir/cur/2", "")]);
    let mut arguments = vec!["check", "block.lua"];
    for (field, setting) in [
        ("uri = \"sip_uri\"", "block.uri=sip:web1@example.com"),
        ("box = \"path\"", "block.box=Maildir"),
    ] {
        if block.contains(field) {
            arguments.extend(["--set", setting]);
        }
    }
    outcome(&folder, &arguments)
}

fn test(block: &str) -> (Option<i32>, String) {
    let cpu = read("examples/cpu/scripts/cpu.lua");
    let folder = Folder::new(&[("block_test.lua", block), ("cpu.lua", &cpu)]);
    outcome(&folder, &["test", "block_test.lua"])
}

fn outcome(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let output = folder.puad(arguments);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a page")
}

const CPU: &str = r#"
-- cpu.lua: publish this machine's CPU use as presence
local cfg = config.schema { uri = "sip_uri", interval = { "duration", "10s" } }

timer.every(cfg.interval, function()
  local cpu = sys.cpu()
  local pub, err = pua.publish {
    presentity_uri = cfg.uri, event = "presence", id = "cpu", expires = 600,
    body = body.pidf { entity = cfg.uri, tuples = { {
      id = "cpu", basic = cpu.percent < 95 and "open" or "closed",
      note = ("cpu %.0f%%"):format(cpu.percent) } } },
  }
  if not pub then log.warn("not published", { code = err.code, status = err.status, retrying = err.retrying }) end
end, { name = "sample", jitter = "1s" })
"#;

const MWI: &str = r#"
-- mwi.lua: a voicemail box on disk becomes a message-waiting lamp
local cfg = config.schema { uri = "sip_uri", box = "path" }

mail.watch_maildir(cfg.box, function(n)
  pua.publish { presentity_uri = cfg.uri, event = "message-summary",
    body = body.mwi { account = cfg.uri, voice = { new = n.unread, old = n.read } } }
end)
"#;

const ROOM: &str = r#"
-- room.lua: react to somebody else's state
pua.subscribe { presentity_uri = "sip:room@example.com", watcher_uri = "sip:door@example.com",
  event = "presence", expires = 3600,
  on_notify = function(n) log.info("room is " .. (n.doc and n.doc.tuples[1].basic or n.state)) end }
"#;
