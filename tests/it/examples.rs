//! What users copy works: the examples, and the script the README shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn every_example_passes_its_check() {
    let mut checked = 0;
    for entry in fs::read_dir(root().join("examples")).expect("the examples") {
        let folder = entry.expect("an entry").path();
        if !folder.join("puad.toml").exists() {
            continue;
        }
        let output = check(&folder, &[]);
        assert!(output.contains("ok puad.toml") && !output.contains("failed"), "{output}");
        checked += 1;
    }
    assert!(checked >= 2, "{checked} examples");
}

#[test]
fn the_examples_hold_the_scripts_that_puad_ships() {
    for (example, shipped) in
        [("cpu/scripts/cpu.lua", "cpu.lua"), ("voicemail/scripts/voicemail.lua", "mwi.lua")]
    {
        let read = |path: PathBuf| fs::read_to_string(path).expect("a script");
        assert_eq!(
            read(root().join("examples").join(example)),
            read(root().join("scripts").join(shipped)),
            "{example}"
        );
    }
}

#[test]
fn the_tests_of_the_examples_pass() {
    let output = puad(root(), "test", &["examples"]);
    let mut lines: Vec<_> = output.lines().collect();
    let summary = lines.pop().expect("a summary");
    assert!(lines.len() >= 6 && lines.iter().all(|line| line.starts_with("ok ")), "{output}");
    assert_eq!(summary, format!("{} passed, 0 failed", lines.len()), "{output}");
}

#[test]
fn the_test_the_readme_shows_passes() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let (_, rest) = readme.split_once("```lua\n-- cpu_test.lua\n").expect("a test in Lua");
    let (test, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cpu_test.lua"), test).expect("written");
    fs::copy(root().join("scripts/cpu.lua"), folder.path().join("cpu.lua")).expect("copied");
    let output = puad(folder.path(), "test", &["."]);
    assert!(output.ends_with("\n1 passed, 0 failed\n"), "{output}");
}

#[test]
fn the_script_the_readme_shows_publishes() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let (_, rest) = readme.split_once("```lua\n").expect("a Lua block");
    let (script, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cpu.lua"), script).expect("written");
    let output = check(folder.path(), &["cpu.lua", "--set", "cpu.uri=sip:web1@example.com"]);
    assert_eq!(output, "ok cpu: publishes 1, timers 1, watches 0\n");
}

fn check(folder: &Path, args: &[&str]) -> String {
    puad(folder, "check", args)
}

fn puad(folder: &Path, command: &str, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_puad"))
        .arg(command)
        .args(args)
        .current_dir(folder)
        .env_remove("PUAD_CONFIG")
        .env_remove("PUAD_LOG")
        .output()
        .expect("started");
    String::from_utf8(output.stdout).expect("text")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
