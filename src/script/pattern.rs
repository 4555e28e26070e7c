//! Patterns of paths: `*`, `?`, `[a-z]`, `{a,b}` in any part, and `**` for any number of folders.
//!
//! As in a shell, a wildcard does not match the dot that a name begins with,
//! and `\` takes a character's meaning away. A pattern is walked part by part,
//! so that nobody looks into folders where nothing can match; who walks is
//! [`watch`](super::watch) and `files`.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};

/// A path, or what a path must look like.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The folder where the wildcards begin; without any, the path itself.
    base: PathBuf,
    parts: Vec<Part>,
    /// Whether the base itself is meant, and not only what the parts find below it.
    is_path: bool,
}

#[derive(Debug, Clone)]
enum Part {
    /// Exactly this.
    Name(OsString),
    /// What a wildcard says; one that does not begin with a dot matches no name that does.
    Like { matcher: GlobMatcher, opens_with_dot: bool },
    /// `**`: any number of folders, none too.
    Folders,
    /// Everything in a watched folder.
    Entry,
    /// Everything below a watched folder.
    Below,
}

/// What the patterns of one call cost, before any is made: each part with a wildcard becomes a
/// machine of its own, and braces multiply them.
#[derive(Debug, Default)]
pub struct Tally {
    patterns: usize,
    wildcards: usize,
    paths: usize,
}

impl Tally {
    /// Counts what a user wrote.
    ///
    /// # Errors
    /// With what is too much or wrong, in words.
    pub fn add(&mut self, text: &OsStr) -> Result<(), String> {
        for one in expand(text.as_bytes())? {
            let parts = one.split(|byte| *byte == b'/').filter(|part| has_wildcard(part)).count();
            self.paths += 1;
            self.patterns += usize::from(parts > 0);
            self.wildcards += parts;
        }
        for (count, most, what) in [
            (self.patterns, MOST_PATTERNS, "patterns with wildcards"),
            (self.wildcards, MOST_WILDCARDS, "parts with wildcards"),
            (self.paths, MOST_PATHS, "paths"),
        ] {
            if count > most {
                return Err(format!("more than {most} {what} in one call"));
            }
        }
        Ok(())
    }
}

/// The places in a pattern that a folder on the way may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions(u64);

impl Pattern {
    /// Reads what a user wrote; relative paths begin at `folder`, where nothing is a wildcard.
    /// Alternatives in braces become a pattern each.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub fn parse(folder: &Path, text: &OsStr) -> Result<Vec<Self>, String> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err("the path is empty".into());
        }
        if bytes.contains(&0) {
            return Err("a path holds no NUL".into());
        }
        if bytes.len() > LONGEST {
            return Err(format!("{} bytes are more than the {LONGEST} of a path", bytes.len()));
        }
        expand(bytes)?.iter().map(|one| Self::parse_one(folder, one)).collect()
    }

    /// Makes one of a path in which nothing is a wildcard.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { base: path.into(), parts: Vec::new(), is_path: true }
    }

    fn parse_one(folder: &Path, text: &[u8]) -> Result<Self, String> {
        let mut base = if text.starts_with(b"/") { PathBuf::from("/") } else { folder.to_owned() };
        let mut parts = Vec::new();
        for part in text.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            let has_wildcard = has_wildcard(part);
            if parts.is_empty() && !has_wildcard {
                base.push(OsString::from_vec(unescaped(part)));
                continue;
            }
            parts.push(match part {
                b".." => return Err("\"..\" cannot stand behind a wildcard".into()),
                b"**" => Part::Folders,
                part if has_wildcard => {
                    let glob = std::str::from_utf8(part)
                        .map_err(|_| "a part with wildcards must be UTF-8".to_owned())?;
                    let matcher = GlobBuilder::new(glob).backslash_escape(true).build();
                    let matcher = matcher.map_err(|error| {
                        format!("{error} (a \\ takes a character's meaning away)")
                    })?;
                    let opens_with_dot = part.starts_with(b".") || part.starts_with(b"\\.");
                    Part::Like { matcher: matcher.compile_matcher(), opens_with_dot }
                }
                part => Part::Name(OsString::from_vec(unescaped(part))),
            });
        }
        if parts.len() > MOST_PARTS {
            return Err(format!("more than {MOST_PARTS} parts behind the first wildcard"));
        }
        let base = std::path::absolute(&base).unwrap_or(base).components().collect();
        Ok(Self { base, is_path: parts.is_empty(), parts })
    }

    /// Takes in what is watched with a path: the entries of a folder, or all that is below.
    #[must_use]
    pub fn with_contents(mut self, recursive: bool) -> Self {
        match (recursive, self.is_path) {
            (true, _) => self.parts.push(Part::Below),
            (false, true) => self.parts.push(Part::Entry),
            (false, false) => {}
        }
        self
    }

    /// Returns the folder where the wildcards begin, or the path itself.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Returns whether this is a path without wildcards.
    pub fn is_path(&self) -> bool {
        self.is_path
    }

    /// Returns whether there is anything to look for below the base.
    pub fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Returns where the base stands.
    pub fn start(&self) -> Positions {
        self.closed(1)
    }

    /// Returns where an entry stands whose folder stands at `at`.
    pub fn step(&self, at: Positions, name: &OsStr) -> Positions {
        self.advance(at, name, true)
    }

    /// Returns where a link to a folder stands, if it may be followed: `**` does not lead through
    /// links, or it could be led in circles.
    pub fn step_through(&self, at: Positions, name: &OsStr) -> Positions {
        self.advance(at, name, false)
    }

    fn advance(&self, at: Positions, name: &OsStr, any_depth: bool) -> Positions {
        let is_hidden = name.as_bytes().starts_with(b".");
        let mut next = 0;
        for (position, part) in self.parts.iter().enumerate() {
            if at.0 & (1 << position) == 0 {
                continue;
            }
            let (is_met, stays) = match part {
                Part::Name(wanted) => (wanted == name, false),
                Part::Like { matcher, opens_with_dot } => {
                    ((!is_hidden || *opens_with_dot) && matcher.is_match(name), false)
                }
                Part::Entry => (true, false),
                Part::Folders => (false, any_depth && !is_hidden),
                Part::Below => (false, any_depth),
            };
            next |= u64::from(is_met) << (position + 1) | u64::from(stays) << position;
        }
        self.closed(next)
    }

    /// Adds the positions behind parts that may stand for nothing.
    fn closed(&self, mut at: u64) -> Positions {
        for (position, part) in self.parts.iter().enumerate() {
            if at & (1 << position) != 0 && matches!(part, Part::Folders | Part::Below) {
                at |= 1 << (position + 1);
            }
        }
        Positions(at)
    }

    /// Returns whether what stands there is meant.
    pub fn is_match(&self, at: Positions) -> bool {
        at.0 & (1 << self.parts.len()) != 0
    }

    /// Returns whether something below what stands there may be meant.
    pub fn goes_on(&self, at: Positions) -> bool {
        at.0 & ((1 << self.parts.len()) - 1) != 0
    }
}

fn has_wildcard(part: &[u8]) -> bool {
    let mut is_escaped = false;
    part.iter().any(|byte| {
        let found = !is_escaped && matches!(byte, b'*' | b'?' | b'[');
        is_escaped = !is_escaped && *byte == b'\\';
        found
    })
}

fn unescaped(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        let escaped = if *byte == b'\\' { bytes.next() } else { None };
        out.push(*escaped.unwrap_or(byte));
    }
    out
}

/// Writes alternatives out: `a{b,c/d}` becomes `ab` and `ac/d`.
fn expand(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut done = Vec::new();
    let mut left = vec![text.to_vec()];
    while let Some(text) = left.pop() {
        let Some((open, commas, close)) = first_braces(&text)? else {
            done.push(text);
            continue;
        };
        let mut ends = commas;
        ends.push(close);
        let mut from = open + 1;
        let mut alternatives = Vec::new();
        for end in ends {
            alternatives.push([&text[..open], &text[from..end], &text[close + 1..]].concat());
            from = end + 1;
        }
        left.extend(alternatives.into_iter().rev());
        if done.len() + left.len() > MOST_ALTERNATIVES {
            return Err(format!("braces with more than {MOST_ALTERNATIVES} alternatives"));
        }
    }
    Ok(done)
}

/// Finds the first pair of braces: where it opens, the commas of its own level, where it closes.
fn first_braces(text: &[u8]) -> Result<Option<(usize, Vec<usize>, usize)>, String> {
    let (mut depth, mut open, mut commas) = (0_usize, 0, Vec::new());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'{' => {
                if depth == 0 {
                    open = at;
                }
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 => return Ok(Some((open, commas, at))),
            b'}' if depth > 1 => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        return Err("a { is not closed (write \\{ for the character)".into());
    }
    Ok(None)
}

/// Positions are the bits of one number.
const MOST_PARTS: usize = 60;
const MOST_ALTERNATIVES: usize = 64;
const LONGEST: usize = 4096;
/// Patterns of one call, alternatives in braces written out.
const MOST_PATTERNS: usize = 64;
/// Parts with wildcards in all patterns of one call.
const MOST_WILDCARDS: usize = 256;
/// Paths of one call, those without wildcards too.
const MOST_PATHS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether one of the patterns that `text` stands for means `path`.
    fn means(text: &str, path: &str) -> bool {
        let patterns = Pattern::parse(Path::new("/here"), OsStr::new(text)).expect(text);
        patterns.iter().any(|pattern| {
            let Ok(rest) = Path::new(path).strip_prefix(pattern.base()) else { return false };
            let at = rest.iter().fold(pattern.start(), |at, name| pattern.step(at, name));
            pattern.is_match(at)
        })
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, expected) in [
            ("*.eml", "/here/a.eml", true),
            ("*.eml", "/here/a.txt", false),
            ("*.eml", "/here/sub/a.eml", false),
            ("*", "/here/.hidden", false),
            (".*", "/here/.hidden", true),
            ("a?c", "/here/abc", true),
            ("a*b*c", "/here/axxbyyc", true),
            ("[a-c]?", "/here/b1", true),
            ("[!a-c]?", "/here/b1", false),
            ("*.{eml,txt}", "/here/a.txt", true),
            ("{new,cur}/*", "/here/cur/1", true),
            ("{new,cur}/*", "/here/tmp/1", false),
            ("{a/b,c{d,e}}.x", "/here/a/b.x", true),
            ("{a/b,c{d,e}}.x", "/here/ce.x", true),
            ("/m/*/new/*", "/m/alice/new/1", true),
            ("/m/*/new/*", "/m/alice/cur/1", false),
            ("/m/**/x", "/m/x", true),
            ("/m/**/x", "/m/a/b/x", true),
            ("/m/**/x", "/m/a/.b/x", false),
            ("/m/**", "/m/a/b", true),
            ("/m/**/a/**/b", "/m/x/a/y/z/b", true),
            ("/m/a\\*", "/m/a*", true),
            ("/m/a\\*", "/m/ab", false),
            ("/m/\\{a,b\\}", "/m/{a,b}", true),
            ("./a/../b*", "/here/a/../b1", true),
            ("plain", "/here/plain", true),
            ("plain", "/here/plain/x", false),
        ] {
            assert_eq!(means(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn any_depth_does_not_lead_through_links() {
        for (pattern, expected) in
            [("/m/*/x", true), ("/m/[l]/*/x", true), ("/m/**/x", false), ("/m/**", false)]
        {
            let pattern = &Pattern::parse(Path::new("/"), OsStr::new(pattern)).expect("one")[0];
            let at = pattern.step_through(pattern.start(), OsStr::new("l"));
            assert_eq!(pattern.goes_on(at), expected, "{pattern:?}");
        }
    }

    #[test]
    fn a_folder_of_the_script_is_never_a_pattern() {
        let folder = Path::new("/home/[x]/{a,b}*");
        let patterns = Pattern::parse(folder, OsStr::new("box")).expect("a path");
        assert_eq!(patterns.len(), 1);
        assert_eq!(patterns[0].base(), folder.join("box"));
        assert!(patterns[0].is_path());
    }

    #[test]
    fn contents_of_a_watched_folder_are_meant_too() {
        let parse = |text: &str, recursive| {
            let parsed = Pattern::parse(Path::new("/"), OsStr::new(text)).expect(text);
            parsed[0].clone().with_contents(recursive)
        };
        let at = |pattern: &Pattern, names: &[&str]| {
            let at = names.iter().fold(pattern.start(), |at, name| pattern.step(at, name.as_ref()));
            pattern.is_match(at)
        };
        let folder = parse("/m", false);
        assert!(at(&folder, &["x"]) && at(&folder, &[".x"]) && !at(&folder, &["x", "y"]));
        let tree = parse("/m", true);
        assert!(at(&tree, &["x", ".y", "z"]));
        let found = parse("/m/a*", true);
        assert!(at(&found, &["ab"]) && at(&found, &["ab", "x", "y"]) && !at(&found, &["b", "x"]));
    }

    #[test]
    fn what_patterns_cost_is_known_before_they_are_made() {
        let mut tally = Tally::default();
        for _ in 0..64 {
            assert_eq!(tally.add(OsStr::new("a/*/b?/[c]/**/\\*")), Ok(()));
        }
        let more = tally.add(OsStr::new("*"));
        assert_eq!(more, Err("more than 64 patterns with wildcards in one call".into()));
        let mut tally = Tally::default();
        for _ in 0..16 {
            assert_eq!(tally.add(OsStr::new("{a,b}{c,d}{e,f}{g,h}{i,j}{k,l}")), Ok(()));
        }
        assert_eq!(tally.add(OsStr::new("m")), Err("more than 1024 paths in one call".into()));
        let mut tally = Tally::default();
        assert_eq!(tally.add(OsStr::new("{a,b}/*/*")), Ok(()));
        let more = tally.add(OsStr::new(&format!("{{a,b}}{}", "/*".repeat(127))));
        assert_eq!(more, Err("more than 256 parts with wildcards in one call".into()));
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_words() {
        for (text, expected) in [
            ("", "the path is empty"),
            ("a\0b", "a path holds no NUL"),
            ("{a,b", "a { is not closed (write \\{ for the character)"),
            ("*/../x", "\"..\" cannot stand behind a wildcard"),
            ("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "braces with more than 64 alternatives"),
        ] {
            let error = Pattern::parse(Path::new("/"), OsStr::new(text)).expect_err(text);
            assert_eq!(error, expected);
        }
        assert!(Pattern::parse(Path::new("/"), OsStr::new("a[b")).is_err());
    }
}
