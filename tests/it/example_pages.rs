//! The folders under `examples/` are whole, and what their pages say is there, is there.
//!
//! Whether the scripts work is shown in `examples`.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_example_has_its_page_and_each_script_a_test() {
    for folder in examples() {
        assert!(folder.join("README.md").is_file(), "{}: no README.md", folder.display());
        let scripts = scripts(&folder);
        assert!(!scripts.is_empty(), "{}: no script", folder.display());
        for script in scripts {
            let test = script.with_file_name(format!("{}_test.lua", stem(&script)));
            assert!(test.is_file(), "{} is missing", test.display());
        }
    }
}

#[test]
fn every_script_says_at_its_top_what_can_be_set() {
    for script in examples().iter().flat_map(|folder| scripts(folder)) {
        let text = read(&script);
        let top: Vec<_> = text.lines().take_while(|line| line.starts_with("--")).collect();
        let top = top.join("\n");
        let (_, list) = top
            .split_once("Configuration:")
            .unwrap_or_else(|| panic!("{}: the top has no \"Configuration:\"", script.display()));
        let keys = keys_of_schema(&text);
        assert!(!keys.is_empty(), "{}: no config.schema", script.display());
        let said: Vec<_> = words(list).collect();
        let unsaid: Vec<_> = keys.iter().filter(|key| !said.contains(&key.as_str())).collect();
        assert!(unsaid.is_empty(), "{}: the top does not say {unsaid:?}", script.display());
    }
}

#[test]
fn the_pages_name_files_that_exist() {
    let mut named = 0;
    for folder in pages() {
        let page = read(&folder.join("README.md"));
        for path in links(&page).chain(paths_in_commands(&page)) {
            assert!(
                folder.join(path).exists(),
                "{}: {path} is not there",
                folder.join("README.md").display()
            );
            named += 1;
        }
    }
    assert!(named >= 4, "{named} files are named");
}

#[test]
fn what_these_tests_read_is_found() {
    let page = "See [it](../it) and [there](https://a.example/).\n\
        ```sh\n./run --all &\necho no > ../new\nPUAD_LOG=debug ../a/start \"./x y\"  # ./comment\n```\n\
        ```text\n./output\n```\n";
    assert_eq!(links(page).collect::<Vec<_>>(), ["../it"]);
    assert_eq!(paths_in_commands(page).collect::<Vec<_>>(), ["./run", "../a/start"]);
    let script = "local cfg = config.schema({\n\turi = \"sip_uri\",\n\ta = { \"list\", { x = 1 } }, b = \"path?\",\n})\nlocal c = 1";
    assert_eq!(keys_of_schema(script), ["uri", "a", "b"]);
}

/// The folders that users copy.
fn examples() -> Vec<PathBuf> {
    let all: Vec<_> =
        pages().into_iter().filter(|folder| folder.join("puad.toml").exists()).collect();
    assert!(all.len() >= 2, "{} examples", all.len());
    all
}

/// Every folder under `examples/`, a server to try them with among them.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    entries(&root).into_iter().filter(|path| path.is_dir()).collect()
}

/// The scripts that puad would run.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let is_script = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "lua")
            && !stem(path).ends_with("_test")
            && !stem(path).starts_with(['.', '_'])
    };
    entries(&folder.join("scripts")).into_iter().filter(is_script).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Where links of a page lead, but for those to elsewhere.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// The paths beside or above a page that are run or read in its blocks of commands. What a command
/// writes need not be there.
fn paths_in_commands(page: &str) -> impl Iterator<Item = &str> {
    page.split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .flat_map(|(block, _)| block.lines())
        .map(|line| line.split(" #").next().unwrap_or_default())
        .flat_map(|line| {
            let mut before = "";
            line.split_whitespace().filter(move |word| {
                let is_written = std::mem::replace(&mut before, word).starts_with('>');
                !is_written
            })
        })
        .filter(|word| word.starts_with("./") || word.starts_with("../"))
}

/// The names in the table that `config.schema` is given.
fn keys_of_schema(script: &str) -> Vec<String> {
    let Some((_, rest)) = script.split_once("config.schema") else { return Vec::new() };
    let (mut depth, mut is_quoted, mut word, mut keys) = (0, false, String::new(), Vec::new());
    for letter in rest.trim_start_matches(['(', ' ']).chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            '=' if depth == 1 => keys.push(std::mem::take(&mut word)),
            ',' | '\n' => word.clear(),
            letter if depth == 1 && !letter.is_whitespace() => word.push(letter),
            _ => {}
        }
    }
    keys
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("a name")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
