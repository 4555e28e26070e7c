//! Writing XML 1.0: elements, text, identifiers.
//!
//! Escaping is quick-xml's. What escaping cannot help, characters that XML has no way to write,
//! is an error here; what the elements mean is left to the documents.

use std::collections::BTreeMap;

use bytes::Bytes;
use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

use super::{
    BodyError, Field,
    error::{Place, choose, near, shown},
};

/// A document on its way out.
pub(super) struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// Begins a document with its declaration.
    pub(super) fn new() -> Self {
        let mut xml = Self(Writer::new(Vec::with_capacity(512)));
        xml.push(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml.push(Event::Text(BytesText::new("\n")));
        xml
    }

    /// Opens an element.
    pub(super) fn open<'a>(&mut self, element: impl Into<BytesStart<'a>>) {
        self.push(Event::Start(element.into()));
    }

    /// Opens the root of a document that tells its version. Returns where the digit stands when
    /// the number is not the author's, so that it can grow.
    pub(super) fn open_versioned(&mut self, root: Tag, version: Option<u32>) -> Option<usize> {
        let start = self.0.get_ref().len();
        let number = version.unwrap_or(0).to_string();
        self.open(root.plain("version", &number));
        // The last attribute, so the digit stands in front of `">`.
        let at = self.0.get_ref().len() - "\">".len() - number.len();
        debug_assert!(self.0.get_ref()[start..].ends_with(format!("=\"{number}\">").as_bytes()));
        version.is_none().then_some(at)
    }

    /// Closes the element opened last.
    pub(super) fn close(&mut self, name: &str) {
        self.push(Event::End(BytesEnd::new(name)));
    }

    /// Writes an element that holds nothing.
    pub(super) fn empty<'a>(&mut self, element: impl Into<BytesStart<'a>>) {
        self.push(Event::Empty(element.into()));
    }

    /// Writes an element that holds text, which the caller has checked.
    pub(super) fn text<'a>(&mut self, element: impl Into<BytesStart<'a>>, text: &str) {
        let element = element.into();
        let end = element.to_end().into_owned();
        self.push(Event::Start(element));
        self.push(Event::Text(BytesText::new(text)));
        self.push(Event::End(end));
    }

    /// Writes an element that holds a text, if there is one.
    pub(super) fn leaf(
        &mut self,
        name: &str,
        field: Field<'_>,
        text: Option<&str>,
    ) -> Result<(), BodyError> {
        if let Some(text) = text {
            check_text(field, text)?;
            self.text(BytesStart::new(name), text);
        }
        Ok(())
    }

    /// Writes an element that holds one of a few words, if there is one.
    pub(super) fn word(
        &mut self,
        name: &str,
        field: Field<'_>,
        word: Option<&str>,
        known: &'static [&'static str],
    ) -> Result<(), BodyError> {
        if let Some(word) = word {
            self.text(BytesStart::new(name), choose(field, word, known)?);
        }
        Ok(())
    }

    /// Writes an element that holds a number or a truth, if there is one.
    pub(super) fn value(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.text(BytesStart::new(name), &value.to_string());
        }
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into_inner().into()
    }

    fn push(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("a Vec takes every byte");
    }
}

/// The start of an element, whose attributes are checked as they come.
pub(super) struct Tag(BytesStart<'static>);

impl Tag {
    pub(super) fn new(name: &'static str) -> Self {
        Self(BytesStart::new(name))
    }

    /// Adds an attribute that needs no check.
    pub(super) fn plain(mut self, name: &str, value: &str) -> Self {
        self.0.push_attribute((name, value));
        self
    }

    /// Adds a text, if there is one.
    pub(super) fn text(
        self,
        name: &str,
        field: Field<'_>,
        text: Option<&str>,
    ) -> Result<Self, BodyError> {
        let Some(text) = text else { return Ok(self) };
        check_text(field, text)?;
        Ok(self.plain(name, text))
    }

    /// Adds one of a few words, if there is one.
    pub(super) fn word(
        self,
        name: &str,
        field: Field<'_>,
        word: Option<&str>,
        known: &'static [&'static str],
    ) -> Result<Self, BodyError> {
        let Some(word) = word else { return Ok(self) };
        Ok(self.plain(name, choose(field, word, known)?))
    }

    /// Adds a number, if there is one.
    pub(super) fn number(self, name: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.plain(name, &number.to_string()),
            None => self,
        }
    }
}

impl<'a> From<Tag> for BytesStart<'a> {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

/// Checks that a text has only characters that XML can hold (XML 1.0 §2.2).
pub(super) fn check_text(field: Field<'_>, text: &str) -> Result<(), BodyError> {
    match text.char_indices().find(|&(_, c)| is_forbidden(c)) {
        Some((at, character)) => {
            Err(BodyError::Character { field: field.into(), character, near: near(&text[..at]) })
        }
        None => Ok(()),
    }
}

/// Returns whether XML has no way to write a character, not even an escaped one.
pub fn is_forbidden(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The identifiers of one document, or of one kind in it, each of which may be used once.
#[derive(Default)]
pub(super) struct Ids<'a>(BTreeMap<&'a str, Place>);

impl<'a> Ids<'a> {
    /// Takes an identifier of the type `xs:ID`.
    ///
    /// # Errors
    /// When it is missing, no `xs:ID`, or already taken.
    pub(super) fn take(&mut self, field: Field<'_>, id: &'a str) -> Result<&'a str, BodyError> {
        let mut characters = id.chars();
        let is_id = characters.next().is_none_or(is_name_start) && characters.all(is_name);
        if !is_id {
            return Err(BodyError::Id { field: field.into(), value: shown(id) });
        }
        self.take_text(field, id)
    }

    /// Takes an identifier that may be any text.
    ///
    /// # Errors
    /// When it is missing, already taken, or holds what XML cannot.
    pub(super) fn take_text(
        &mut self,
        field: Field<'_>,
        id: &'a str,
    ) -> Result<&'a str, BodyError> {
        if id.is_empty() {
            return Err(BodyError::missing(field, "an id that stays the same"));
        }
        check_text(field, id)?;
        match self.0.insert(id, field.into()) {
            Some(first) => {
                Err(BodyError::Duplicate { field: field.into(), value: shown(id), first })
            }
            None => Ok(id),
        }
    }
}

/// The ranges of XML 1.0 §2.3, less the colon, which is for prefixes alone.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

fn is_name(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}'
            | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Reads a document back with a reader that minds namespaces: every element with a text or an
/// attribute, by its path.
///
/// # Panics
/// When the document is not well formed or leaves a prefix undeclared.
#[cfg(test)]
pub(super) fn read_back(document: &[u8]) -> Vec<(String, String)> {
    use quick_xml::{NsReader, XmlVersion, escape::resolve_predefined_entity, name::ResolveResult};

    let text = std::str::from_utf8(document).unwrap();
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_end_names = true;
    reader.config_mut().expand_empty_elements = true;
    let mut path = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut held = String::new();
    loop {
        match reader.read_resolved_event().unwrap() {
            (namespace, Event::Start(start)) => {
                assert!(matches!(namespace, ResolveResult::Bound(_)), "unbound in {text}");
                path.push(start.name().into_inner().to_owned());
                for attribute in start.attributes() {
                    let attribute = attribute.unwrap();
                    let name = format!("{}@{}", path.join("/"), attribute.key.into_inner());
                    let value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap();
                    found.push((name, value.into_owned()));
                }
                held.clear();
            }
            (_, Event::End(_)) => {
                if !held.is_empty() {
                    found.push((path.join("/"), std::mem::take(&mut held)));
                }
                path.pop();
            }
            (_, Event::Text(text)) => held.push_str(&text.xml10_content()),
            (_, Event::GeneralRef(name)) => match name.resolve_char_ref().unwrap() {
                Some(character) => held.push(character),
                None => held.push_str(resolve_predefined_entity(&name).unwrap()),
            },
            (_, Event::Decl(_)) => {}
            (_, Event::Eof) => break,
            (_, event) => panic!("{event:?} in {text}"),
        }
    }
    assert!(path.is_empty(), "{path:?} left open in {text}");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Result<(), String> {
        Ids::default()
            .take(Field::nth("tuples", 0, "id"), text)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_is_a_name_without_a_colon() {
        for good in ["cpu", "_", "a1", "t-1.x_y", "größe", "時", "A"] {
            assert_eq!(id(good), Ok(()), "{good}");
        }
        for bad in ["1", "-a", ".a", "a b", "a:b", "a\n", " a", "a/b", "·a", "a\u{fffe}", "a@b"] {
            assert_eq!(
                id(bad),
                Err(format!(
                    "tuples[1].id: {bad:?} is not an XML id \
                     (a letter or _ first, then letters, digits, -, . and _)"
                ))
            );
        }
        assert_eq!(id(""), Err("tuples[1].id: missing; give an id that stays the same".to_owned()));
    }

    #[test]
    fn characters_that_xml_cannot_hold_are_named_with_their_place() {
        let check = |text: &str| check_text(Field::top("note"), text);
        assert_eq!(check("tab\tline\ncarriage\r \u{7f}\u{85}\u{e000}\u{fffd}\u{1f642}"), Ok(()));
        for bad in ["\0", "\u{1}", "\u{b}", "\u{1b}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            check("a rather long note, then a bell\u{7}").unwrap_err().to_string(),
            "note: XML cannot hold the character U+0007 (after \"ng note, then a bell\")"
        );
    }

    #[test]
    fn what_was_written_is_what_is_read() {
        let text = "<b> & \"q\" 'a' ]]> \r\n \r x \n\t \u{1f642} &amp; &#10;";
        let mut element = BytesStart::new("e");
        element.push_attribute(("xmlns", "urn:x"));
        element.push_attribute(("a", text));
        let mut xml = Xml::new();
        xml.text(element, text);
        let found = read_back(&xml.finish());
        assert_eq!(found[1], ("e@a".to_owned(), text.to_owned()));
        assert_eq!(found[2], ("e".to_owned(), text.to_owned()));
    }
}
