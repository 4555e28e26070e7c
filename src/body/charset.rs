//! From octets to text: which charset a document is in, and reading it as that.
//!
//! UTF-8 and UTF-16 are what every reader of XML must know (XML 1.0 §4.3.3); ISO 8859-1 is what
//! some devices still write. Everything else is named in the error.

use std::borrow::Cow;

use super::parse::ParseError;

/// Reads octets as text. A byte order mark says most, then Content-Type, then the document's own
/// declaration (3863 §4.1, 7303 §3).
pub(super) fn decode<'a>(
    octets: &'a [u8],
    content_type: Option<&str>,
) -> Result<Cow<'a, str>, ParseError> {
    for (mark, charset) in [
        (&b"\xef\xbb\xbf"[..], Charset::Utf8),
        (b"\xff\xfe", Charset::Utf16 { is_big: false }),
        (b"\xfe\xff", Charset::Utf16 { is_big: true }),
    ] {
        if let Some(rest) = octets.strip_prefix(mark) {
            return charset.read(rest);
        }
    }
    let declared = content_type.or_else(|| own_declaration(octets));
    match declared {
        Some(name) => Charset::named(name)?.read(octets),
        None => Charset::Utf8.read(octets),
    }
}

/// What puad can read.
#[derive(Debug, Clone, Copy)]
enum Charset {
    /// US-ASCII is part of it.
    Utf8,
    Latin1,
    Utf16 {
        is_big: bool,
    },
}

impl Charset {
    fn named(name: &str) -> Result<Self, ParseError> {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
            Ok(Self::Utf8)
        } else if is(&["iso-8859-1", "latin1", "iso8859-1"]) {
            Ok(Self::Latin1)
        } else if is(&["utf-16", "utf-16be"]) {
            // Without a mark the greater octet is first (2781 §4.3).
            Ok(Self::Utf16 { is_big: true })
        } else if is(&["utf-16le"]) {
            Ok(Self::Utf16 { is_big: false })
        } else {
            Err(ParseError::Charset(name.chars().take(40).collect()))
        }
    }

    fn read(self, octets: &[u8]) -> Result<Cow<'_, str>, ParseError> {
        match self {
            Self::Utf8 => match std::str::from_utf8(octets) {
                Ok(text) => Ok(text.into()),
                Err(error) => Err(ParseError::Octets { charset: "UTF-8", at: error.valid_up_to() }),
            },
            Self::Latin1 => Ok(octets.iter().map(|&octet| char::from(octet)).collect()),
            Self::Utf16 { is_big } => {
                let (units, rest) = octets.as_chunks::<2>();
                let units = units.iter().map(|&unit| {
                    if is_big { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) }
                });
                let text: Option<String> = char::decode_utf16(units).map(Result::ok).collect();
                match text.filter(|_| rest.is_empty()) {
                    Some(text) => Ok(text.into()),
                    None => Err(ParseError::Octets { charset: "UTF-16", at: 0 }),
                }
            }
        }
    }
}

/// Returns the encoding that an XML declaration names.
fn own_declaration(octets: &[u8]) -> Option<&str> {
    let start = octets.trim_ascii_start().get(..160).unwrap_or(octets.trim_ascii_start());
    let end = start.iter().position(|&octet| octet == b'>')?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?.strip_prefix("<?xml")?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[u8] = b"<?xml version='1.0' encoding = 'iso-8859-1'?><n>\xc3\xa4</n>";

    fn read(octets: &[u8], content_type: Option<&str>) -> Result<String, String> {
        let text = decode(octets, content_type).map_err(|error| error.to_string())?;
        Ok(text.rsplit("<n>").next().unwrap().trim_end_matches("</n>").to_owned())
    }

    #[test]
    fn pkg_12_a_charset_in_content_type_beats_the_documents_own() {
        assert_eq!(read(DECLARED, Some("UTF-8")).as_deref(), Ok("ä"));
        assert_eq!(read(DECLARED, None).as_deref(), Ok("\u{c3}\u{a4}"));
        assert_eq!(read("<n>ä</n>".as_bytes(), None).as_deref(), Ok("ä"));
        assert_eq!(read(b"<n>\xe4</n>", Some("ISO-8859-1")).as_deref(), Ok("ä"));
        assert_eq!(
            read(b"<n>\xe4</n>", None).unwrap_err(),
            "octet 4 is not UTF-8; a charset in Content-Type would say what it is"
        );
    }

    #[test]
    fn utf_16_is_known_by_its_mark_or_its_name() {
        let octets = |to: fn(u16) -> [u8; 2], mark: &[u8]| {
            let text = "<n>ä\u{1f642}</n>".encode_utf16().flat_map(to);
            [mark.to_vec(), text.collect()].concat()
        };
        for (octets, name) in [
            (octets(u16::to_le_bytes, b"\xff\xfe"), None),
            (octets(u16::to_be_bytes, b"\xfe\xff"), Some("utf-8")),
            (octets(u16::to_be_bytes, b""), Some("UTF-16")),
            (octets(u16::to_le_bytes, b""), Some("utf-16le")),
        ] {
            assert_eq!(read(&octets, name).as_deref(), Ok("ä\u{1f642}"), "{name:?}");
        }
        assert!(read(b"\xff\xfe\x00", None).is_err(), "half a character");
        assert!(read(b"\xff\xfe\x00\xd8", None).is_err(), "half a pair");
    }

    #[test]
    fn a_charset_that_is_not_known_is_named() {
        assert_eq!(
            read(b"<n/>", Some("koi8-r")).unwrap_err(),
            "the charset \"koi8-r\" is not known; utf-8, us-ascii, iso-8859-1 and utf-16 are"
        );
        assert_eq!(read(b"\xef\xbb\xbf<n>a</n>", Some("koi8-r")).as_deref(), Ok("a"));
    }
}
