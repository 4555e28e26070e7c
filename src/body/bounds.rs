//! What a document from outside may hold before an XML parser sees it.
//!
//! Parsers compare every attribute of an element with the others, and look up
//! every prefix among those declared around it; both are cheap in documents
//! that mean well. This pass counts and refuses the rest. It takes what it does
//! not understand for text: whether that is XML is for the parser to say.

use memchr::memmem;

/// Why a document is refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Elements inside elements.
    #[error("elements are nested deeper than {DEEPEST} levels")]
    Depth(usize),
    /// Attributes of one element.
    #[error("an element has more than {MOST_ATTRIBUTES} attributes")]
    Attributes(usize),
    /// Declarations that hold at one place.
    #[error("more than {MOST_NAMESPACES} namespaces are declared at one place")]
    Namespaces(usize),
    /// A document type declaration, which could define entities.
    #[error("document type declarations (<!DOCTYPE) are not read")]
    Doctype(usize),
}

impl Excess {
    /// Returns the byte at which the document goes too far.
    pub fn at(self) -> usize {
        match self {
            Self::Depth(at) | Self::Attributes(at) | Self::Namespaces(at) | Self::Doctype(at) => at,
        }
    }
}

/// Checks that a document keeps within bounds, in one pass.
///
/// # Errors
/// With the first excess.
pub fn check_bounds(text: &str) -> Result<(), Excess> {
    let bytes = text.as_bytes();
    // Namespaces that each open element declares.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'<', &bytes[at..]) {
        let start = at + next;
        let rest = &bytes[start..];
        at = match rest.get(1) {
            Some(b'?') => after(bytes, start, b"?>"),
            Some(b'!') if rest.starts_with(b"<!--") => after(bytes, start + 4, b"-->"),
            Some(b'!') if rest.starts_with(b"<![CDATA[") => after(bytes, start, b"]]>"),
            Some(b'!') => return Err(Excess::Doctype(start)),
            Some(b'/') => {
                open.pop();
                after(bytes, start, b">")
            }
            Some(_) | None => {
                let tag = Tag::read(bytes, start);
                if open.len() >= DEEPEST {
                    return Err(Excess::Depth(start));
                }
                if tag.attributes > MOST_ATTRIBUTES {
                    return Err(Excess::Attributes(start));
                }
                if open.iter().sum::<usize>() + tag.namespaces > MOST_NAMESPACES {
                    return Err(Excess::Namespaces(start));
                }
                if !tag.is_empty {
                    open.push(tag.namespaces);
                }
                tag.end
            }
        };
    }
    Ok(())
}

/// Returns the place behind the next `wanted`.
fn after(bytes: &[u8], from: usize, wanted: &[u8]) -> usize {
    match bytes.get(from..).and_then(|rest| memmem::find(rest, wanted)) {
        Some(found) => from + found + wanted.len(),
        None => bytes.len(),
    }
}

/// A start tag.
struct Tag {
    attributes: usize,
    /// Those attributes that declare a namespace.
    namespaces: usize,
    is_empty: bool,
    end: usize,
}

impl Tag {
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut tag = Self { attributes: 0, namespaces: 0, is_empty: false, end: bytes.len() };
        let mut at = start + 1;
        while let Some(next) = memchr::memchr3(b'>', b'"', b'\'', &bytes[at..]) {
            let here = at + next;
            if bytes[here] == b'>' {
                tag.is_empty = bytes[here - 1] == b'/';
                tag.end = here + 1;
                break;
            }
            tag.attributes += 1;
            // The element's name, or nothing, may stand in front.
            let name = bytes[at..here].trim_ascii_end();
            let name = name.strip_suffix(b"=").unwrap_or(name).trim_ascii_end();
            let name = name.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
            tag.namespaces += usize::from(name.starts_with(b"xmlns"));
            at = after(bytes, here + 1, &bytes[here..=here]);
        }
        tag
    }
}

/// Elements inside elements.
const DEEPEST: usize = 64;
/// Attributes of one element.
const MOST_ATTRIBUTES: usize = 256;
/// Namespaces that are declared at one place, from the outermost element down to it.
const MOST_NAMESPACES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_mean_well_pass() {
        for text in [
            "",
            "no XML",
            "<a/>",
            "<?xml version='1.0'?><!-- <b><c> --><a x='>' y=\"'/>\"><![CDATA[<d>]]></a>",
            "<a",
            "<a x='",
            "<!-- open",
            "<a/",
        ] {
            assert_eq!(check_bounds(text), Ok(()), "{text}");
        }
        let wide = format!("<a>{}</a>", "<b><c/></b>".repeat(10_000));
        assert_eq!(check_bounds(&wide), Ok(()));
        assert_eq!(check_bounds(&nested("<a>", DEEPEST)), Ok(()));
    }

    #[test]
    fn the_first_excess_is_told_with_its_place() {
        assert_eq!(check_bounds(&nested("<a>", 65)), Err(Excess::Depth(64 * 3)));
        assert_eq!(check_bounds(&"<a>".repeat(350_000)), Err(Excess::Depth(64 * 3)));
        assert_eq!(check_bounds("<!DOCTYPE a><a/>"), Err(Excess::Doctype(0)));
        assert_eq!(check_bounds("<a><!ENTITY b 'c'></a>"), Err(Excess::Doctype(3)));
        let attributes: String = (0..257).map(|n| format!(" a{n}=''")).collect();
        assert_eq!(check_bounds(&format!("<a{attributes}/>")), Err(Excess::Attributes(0)));
        let some: String = (0..128).map(|n| format!(" xmlns:n{n} = 'u'")).collect();
        assert_eq!(check_bounds(&nested(&format!("<a{some}>"), 2)), Ok(()));
        let found = check_bounds(&nested(&format!("<a{some}>"), 3));
        assert_eq!(found, Err(Excess::Namespaces(2 * (some.len() + 3))));
        // Side by side they do not add up.
        assert_eq!(check_bounds(&format!("<a>{}</a>", format!("<b{some}/>").repeat(9))), Ok(()));
    }

    fn nested(start: &str, levels: usize) -> String {
        format!("{}{}", start.repeat(levels), "</a>".repeat(levels))
    }
}
