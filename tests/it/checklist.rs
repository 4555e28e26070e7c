//! Holds the list in `tests/conformance.md` against the tests: which rows are shown, which wait for
//! a part of puad that is still to come, and which tests cite a row that is not there.
//!
//! A test belongs to the row whose id its name begins with. Whether it shows all that the row says
//! is for its reader to judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, mem,
    path::{Path, PathBuf},
};

#[test]
fn every_tier_1_row_has_a_test() {
    let rows = rows();
    let tests = tests();
    let mut shown: BTreeSet<_> = tests.iter().filter_map(|name| Id::cited_by(name)).collect();
    if tests.iter().any(|name| name.starts_with("tort_")) {
        shown.extend(rows.iter().filter(|row| row.id.area == "TORT").map(|row| row.id.clone()));
    }

    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut missing = Vec::new();
    for row in &rows {
        let tally = tallies.entry(&row.id.area).or_default();
        tally.rows += 1;
        if shown.contains(&row.id) {
            tally.shown += 1;
        } else if !row.waits_for.is_empty() {
            tally.waiting += 1;
            tally.waits_for.insert(&row.waits_for);
        } else if row.tier > 1 {
            tally.open += 1;
        } else {
            tally.missing += 1;
            missing.push(format!("{}: {}", row.id, row.text));
        }
    }

    println!("area  rows  with test  waiting  open  missing  waits for");
    for (area, Tally { rows, shown, waiting, open, missing, waits_for }) in tallies {
        let parts = waits_for.into_iter().collect::<Vec<_>>().join(", ");
        println!("{area:<4}{rows:>6}{shown:>11}{waiting:>9}{open:>6}{missing:>9}  {parts}");
    }
    let (count, list) = (missing.len(), missing.join("\n"));
    assert!(count == 0, "{count} rows of tier 1 have no test and wait for nothing:\n{list}");
}

#[test]
fn every_cited_row_is_in_the_list() {
    let rows = rows();
    let ids: BTreeSet<_> = rows.iter().map(|row| &row.id).collect();
    let areas: BTreeSet<_> = ids.iter().map(|id| &id.area).collect();
    let strays: Vec<_> = tests()
        .into_iter()
        // A name such as `udp_16_…` speaks of no area and cites nothing.
        .filter(|name| {
            Id::cited_by(name).is_some_and(|id| areas.contains(&id.area) && !ids.contains(&id))
        })
        .map(|name| format!("test {name} cites a row that is not in {LIST}"))
        .collect();
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_list_is_complete_and_in_order() {
    let mut faults = Vec::new();
    let mut last: BTreeMap<String, u8> = BTreeMap::new();
    for Row { id, tier, source, text, waits_for } in rows() {
        if !(1..=3).contains(&tier) {
            faults.push(format!("{id}: the tier is not 1, 2 or 3"));
        }
        if source.is_empty() || text.is_empty() {
            faults.push(format!("{id}: source or behaviour is empty"));
        }
        if !waits_for.is_empty() && !PARTS.contains(&waits_for.as_str()) {
            faults.push(format!("{id}: waits for {waits_for:?}, which is none of {PARTS:?}"));
        }
        if let Some(before) = last.insert(id.area.clone(), id.number)
            && before >= id.number
        {
            faults.push(format!("{id}: stands after {}-{before:02}", id.area));
        }
    }
    assert!(!last.is_empty(), "{LIST} has no rows");
    assert!(faults.is_empty(), "{LIST}:\n{}", faults.join("\n"));
}

/// Names a row: `PUB-13`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    area: String,
    number: u8,
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let (area, number) = text.split_once('-')?;
        let is_area = !area.is_empty() && area.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_number = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
        if !is_area || !is_number {
            return None;
        }
        Some(Self { area: area.into(), number: number.parse().ok()? })
    }

    /// Returns the row that the name of a test begins with: PUB-13 for `pub_13_a_412_leads_to_…`.
    fn cited_by(name: &str) -> Option<Self> {
        let (area, rest) = name.split_once('_')?;
        let (number, _) = rest.split_once('_')?;
        if !area.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        Self::parse(&format!("{}-{number}", area.to_ascii_uppercase()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.area, self.number)
    }
}

#[derive(Debug)]
struct Row {
    id: Id,
    tier: u8,
    source: String,
    text: String,
    waits_for: String,
}

/// How far an area is: each of its `rows` counts in one of the next four.
#[derive(Debug, Default)]
struct Tally<'a> {
    rows: usize,
    shown: usize,
    waiting: usize,
    /// Of tier 2 or 3.
    open: usize,
    /// Of tier 1.
    missing: usize,
    waits_for: BTreeSet<&'a str>,
}

/// Reads the list. Every line of a table must be a row, so that a slip of the pen loses none.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join(LIST)).expect("the list is part of the repository");
    let mut rows = Vec::new();
    for (at, line) in (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if matches!(cells[1], "id" | "---") {
            continue;
        }
        let &["", id, tier, source, text, waits_for, ""] = &cells[..] else {
            panic!("{LIST}:{at}: a row has five cells");
        };
        let Some(id) = Id::parse(id) else { panic!("{LIST}:{at}: {id:?} is not an id") };
        rows.push(Row {
            id,
            // What is no number is no tier either.
            tier: tier.parse().unwrap_or(0),
            source: source.into(),
            text: text.into(),
            waits_for: waits_for.into(),
        });
    }
    rows
}

/// Collects the names of all tests, and from `tests/peers` the words that may cite a row.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    collect_files(&root().join("src"), &mut files);
    collect_files(&root().join("tests"), &mut files);
    let peers = root().join("tests/peers");
    let mut names = BTreeSet::new();
    for file in files {
        let is_peer = file.starts_with(&peers);
        if !is_peer && file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let bytes = fs::read(&file).expect("a file that was just listed");
        let text = String::from_utf8_lossy(&bytes);
        if is_peer {
            let words = text.split(|c| !is_name(c));
            names.extend(words.filter(|word| Id::cited_by(word).is_some()).map(str::to_owned));
        } else {
            names.extend(test_functions(&text).map(str::to_owned));
        }
    }
    names
}

/// Returns the functions that follow a test attribute, also those inside `proptest!` and its like.
fn test_functions(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.filter_map(move |line| {
        is_test |= is_test_attribute(line);
        let (_, rest) = line.split_once("fn ")?;
        let name = rest.split(|c| !is_name(c)).next()?;
        mem::take(&mut is_test).then_some(name)
    })
}

/// Recognises `#[test]`, `#[tokio::test(…)]` and `#[rstest]`, but not `#[cfg(test)]`.
fn is_test_attribute(line: &str) -> bool {
    line.strip_prefix("#[")
        .and_then(|rest| rest.split([']', '(']).next())
        .is_some_and(|path| path.ends_with("test"))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of a readable folder").path();
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const LIST: &str = "tests/conformance.md";
/// What a row may wait for.
const PARTS: [&str; 5] = ["locate", "subscribe", "tls", "websocket", "documents"];
