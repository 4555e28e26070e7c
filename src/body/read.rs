//! Reading XML that came from outside: guarded, by namespace, and as far as it goes.
//!
//! The tree is roxmltree's. In front of it a pass refuses what makes trees expensive: document
//! types with their entities, elements inside elements without end, attributes and namespaces by
//! the thousand. What the elements mean is left to the documents.

use std::str::FromStr;

use roxmltree::{Document, Node, ParsingOptions};

use super::{
    bounds::check_bounds,
    parse::{ParseError, Position},
};

/// Reads a document whose root has this name.
///
/// # Errors
/// When the text is not XML, has more in it than a document has, or another root.
pub(super) fn with_root<T>(
    text: &str,
    namespace: &'static str,
    name: &'static str,
    read: impl FnOnce(Element<'_, '_>) -> T,
) -> Result<T, ParseError> {
    // Some devices begin with an empty line, where no declaration may stand.
    let lead = text.len() - text.trim_start_matches(is_blank).len();
    check_bounds(&text[lead..]).map_err(|excess| ParseError::Xml {
        at: Position::of(text, lead + excess.at()),
        what: excess.to_string(),
    })?;
    let refused = |error: &roxmltree::Error| {
        if is_cut_off(error) {
            let at = Position::of(text, text.len());
            return ParseError::Xml { at, what: "the document ends too early".into() };
        }
        let inner = error.pos();
        let start = Position::of(text, lead);
        let at = Position {
            line: start.line + inner.row as usize - 1,
            column: inner.col as usize + if inner.row == 1 { start.column - 1 } else { 0 },
        };
        ParseError::Xml { at, what: without_place(&error.to_string(), inner) }
    };
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(&text[lead..], options).map_err(|error| refused(&error))?;
    let root = document.root_element();
    let found = root.tag_name();
    if found.namespace() != Some(namespace) || found.name() != name {
        return Err(ParseError::Root {
            at: Position::of(text, lead + root.range().start),
            found: cut(found.name()),
            namespace: cut(found.namespace().unwrap_or_default()),
            expected: name,
            of: namespace,
        });
    }
    Ok(read(Element { node: root, namespace }))
}

/// Returns whether a document is well as far as it goes.
fn is_cut_off(error: &roxmltree::Error) -> bool {
    matches!(
        error,
        roxmltree::Error::UnclosedRootNode
            | roxmltree::Error::NoRootNode
            | roxmltree::Error::UnexpectedEndOfStream
    )
}

/// The tree's own messages name a place, which is counted from where the tree begins.
fn without_place(message: &str, at: roxmltree::TextPos) -> String {
    cut(&message.replace(&format!(" at {at}"), ""))
}

/// An element, and the namespace that its like are looked for in.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 'input> {
    node: Node<'a, 'input>,
    namespace: &'static str,
}

impl<'a, 'input: 'a> Element<'a, 'input> {
    /// Looks for children in another namespace.
    pub(super) fn within(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }

    /// Yields the children of a name. Others are passed over with all that is in them.
    pub(super) fn children(self, name: &str) -> impl Iterator<Item = Self> {
        self.node
            .children()
            .filter(move |node| node.has_tag_name((self.namespace, name)))
            .map(move |node| Self { node, ..self })
    }

    /// Yields all children in the namespace, with their names.
    pub(super) fn all(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.node
            .children()
            .filter(move |node| {
                node.is_element() && node.tag_name().namespace() == Some(self.namespace)
            })
            .map(move |node| (node.tag_name().name(), Self { node, ..self }))
    }

    pub(super) fn child(self, name: &str) -> Option<Self> {
        self.children(name).next()
    }

    /// Returns the text as it stands.
    pub(super) fn text(self) -> String {
        self.node.children().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
    }

    /// Returns the text without the blanks around it, where there is more than blanks.
    pub(super) fn word(self) -> Option<String> {
        trimmed(&self.text())
    }

    /// Returns the text of a child as it stands.
    pub(super) fn text_of(self, name: &str) -> Option<String> {
        Some(self.child(name)?.text())
    }

    /// Returns the text of a child without the blanks around it.
    pub(super) fn word_of(self, name: &str) -> Option<String> {
        self.child(name)?.word()
    }

    /// Returns the number or truth in a child.
    pub(super) fn value_of<T: FromStr>(self, name: &str) -> Option<T> {
        self.word_of(name)?.parse().ok()
    }

    /// Returns an attribute as it stands.
    pub(super) fn attribute(self, name: &str) -> Option<String> {
        self.node.attribute(name).map(str::to_owned)
    }

    /// Returns an attribute without the blanks around it, where there is more than blanks.
    pub(super) fn attribute_word(self, name: &str) -> Option<String> {
        trimmed(self.node.attribute(name)?)
    }

    /// Returns a number that an attribute holds.
    pub(super) fn attribute_value<T: FromStr>(self, name: &str) -> Option<T> {
        self.node.attribute(name)?.trim_matches(is_blank).parse().ok()
    }

    /// Returns whether a child that is not among the known says that nobody who does not know it
    /// can understand this element (3863 §4.2.3).
    pub(super) fn is_beyond(self, pidf: &str, known: &[(&str, &[&str])]) -> bool {
        self.node.children().filter(Node::is_element).any(|node| {
            let mark = node.attribute((pidf, MUST)).or_else(|| node.attribute(MUST));
            let is_marked =
                matches!(mark.map(|mark| mark.trim_matches(is_blank)), Some("true" | "1"));
            let name = node.tag_name();
            let is_known = known.iter().any(|(namespace, names)| {
                name.namespace() == Some(*namespace) && names.contains(&name.name())
            });
            is_marked && !is_known
        })
    }
}

fn trimmed(text: &str) -> Option<String> {
    let text = text.trim_matches(is_blank);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The white space of XML, and nothing else (XML 1.0 §2.3).
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

const MUST: &str = "mustUnderstand";

const MOST_NODES: u32 = 200_000;
