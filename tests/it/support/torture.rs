//! The torture corpus: inputs and the verdict a conforming reader gives.
//!
//! Vendor-shaped messages belong to the project. The messages of RFC 4475 and
//! RFC 5118 do not; they are read from beside it, and done without where they
//! are absent.

use std::{fs, path::PathBuf};

/// One input.
#[derive(Debug, Clone)]
pub struct Case {
    /// `rfc4475/wsinv`, `vendor/t-folded`, …
    pub name: String,
    pub verdict: Verdict,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Reject,
    /// The RFCs leave both open.
    Either,
}

/// The 80 vendor-shaped messages.
pub fn vendor() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torture"));
    let table = fs::read_to_string(folder.join("EXPECT.tsv")).expect("a table");
    rows(&table)
        .map(|(name, verdict)| Case {
            name: format!("vendor/{name}"),
            verdict,
            bytes: fs::read(folder.join(format!("vendor/{name}.sip"))).expect(name),
        })
        .collect()
}

/// The 61 messages of the RFCs; none, and a line saying so, where they are absent.
#[expect(clippy::print_stdout, reason = "whoever runs the tests should know what was left out")]
pub fn rfc() -> Vec<Case> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/torture"));
    let Ok(table) = fs::read_to_string(folder.join("EXPECT.tsv")) else {
        println!("no RFC 4475 and 5118 messages in {}: left out", folder.display());
        return Vec::new();
    };
    rows(&table)
        .filter(|(name, _)| name.starts_with("rfc"))
        .map(|(name, verdict)| {
            let extension = if name.starts_with("rfc4475/") { ".dat" } else { "" };
            let bytes = fs::read(folder.join(format!("{name}{extension}"))).expect(name);
            Case { name: name.to_owned(), verdict, bytes }
        })
        .collect()
}

/// Everything there is.
pub fn all() -> Vec<Case> {
    let mut all = vendor();
    all.extend(rfc());
    all
}

fn rows(table: &str) -> impl Iterator<Item = (&str, Verdict)> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split('\t');
        let name = columns.next().expect("a name");
        let verdict = match columns.next() {
            Some("accept") => Verdict::Accept,
            Some("reject") => Verdict::Reject,
            Some("either") => Verdict::Either,
            other => panic!("{name}: {other:?} is no verdict"),
        };
        (name, verdict)
    })
}
