//! `xml`: a document as tables, and texts made fit for one.
//!
//! roxmltree reads; documents that would keep it busy are refused before.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};
use roxmltree::{Document, Node, ParsingOptions, TextPos};

use super::{
    super::{host::Host, signatures},
    Fault, bind, failed_at, failed_with, held,
    options::shown,
};
use crate::body::{check_bounds, is_forbidden};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let meta = node_meta(lua, host)?;
    let owner = host.clone();
    table.set("parse", bind(lua, host, move |lua, args| parse(lua, &owner, &meta, &args))?)?;
    table.set("escape", bind(lua, host, |lua, args| escape(lua, &args))?)?;
    Ok(table)
}

fn parse(lua: &Lua, host: &Host, meta: &Table, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "xml.parse";
    let bytes = match args.front() {
        Some(Value::String(text)) => text.as_bytes(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("{call}: {found} is not a text")));
        }
    };
    if bytes.len() > LONGEST {
        let length = bytes.len();
        let message = format!(
            "{call}: a text of {length} bytes is longer than the {LONGEST} that are allowed"
        );
        return Ok(failed_with(lua, host, call, "limit", message)?);
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let place = place_of(valid, valid.len());
            return Ok(failed_at(lua, host, call, place, "the text is not UTF-8")?);
        }
    };
    if let Err(excess) = check_bounds(text) {
        return Ok(failed_at(lua, host, call, place_of(text, excess.at()), &excess.to_string())?);
    }
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    match Document::parse_with_options(text, options) {
        Ok(document) => {
            Ok((Value::Table(node(lua, meta, text, document.root_element())?), Value::Nil))
        }
        Err(roxmltree::Error::NodesLimitReached) => {
            let message =
                format!("{call}: the document has more than {MOST_NODES} elements and texts");
            Ok(failed_with(lua, host, call, "limit", message)?)
        }
        Err(error) => {
            let why = error.to_string();
            // The place stands in front; some errors know none and mean the end.
            let why = why.replace(&format!(" at {}", error.pos()), "");
            let place = match error {
                roxmltree::Error::UnclosedRootNode
                | roxmltree::Error::NoRootNode
                | roxmltree::Error::UnexpectedEndOfStream => place_of(text, text.len()),
                _ => {
                    let TextPos { row, col } = error.pos();
                    (row as usize, col as usize)
                }
            };
            Ok(failed_at(lua, host, call, place, &why)?)
        }
    }
}

/// Line and column of a byte, from 1; columns are characters.
fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Makes the table of one element; bounds on depth have been checked.
fn node(lua: &Lua, meta: &Table, source: &str, element: Node<'_, '_>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 5)?;
    table.raw_set("name", element.tag_name().name())?;
    table.raw_set("namespace", element.tag_name().namespace())?;
    let attributes = lua.create_table()?;
    for attribute in element.attributes() {
        // As it was written, prefix included: that is what the author of a script has before them.
        let name = source.get(attribute.range_qname()).unwrap_or(attribute.name());
        attributes.raw_set(name, attribute.value())?;
    }
    table.raw_set("attr", attributes)?;
    let children = lua.create_table()?;
    let mut text = String::new();
    for child in element.children() {
        if child.is_element() {
            children.raw_push(node(lua, meta, source, child)?)?;
        } else if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        }
    }
    // Between elements, blanks are layout.
    let is_layout = children.raw_len() > 0 && text.trim_ascii().is_empty();
    table.raw_set("text", if is_layout { "" } else { &text })?;
    table.raw_set("children", children)?;
    table.set_metatable(Some(meta.clone()))?;
    Ok(table)
}

/// What nodes can do beside being tables.
fn node_meta(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    methods.set(
        "find",
        bind(lua, host, |_, args| {
            let (node, path) = call_of("find", &args)?;
            let mut found = Vec::new();
            walk("find", &node, &path, 1, &mut found)?;
            Ok(found.into_iter().next())
        })?,
    )?;
    methods.set(
        "find_all",
        bind(lua, host, |_, args| {
            let (node, path) = call_of("find_all", &args)?;
            let mut found = Vec::new();
            walk("find_all", &node, &path, usize::MAX, &mut found)?;
            Ok(found)
        })?,
    )?;
    let methods = held::checked(methods, &signatures::XML_NODE)?;
    methods.set_readonly(true);
    let meta = lua.create_table()?;
    meta.set("__index", methods)?;
    meta.set("__metatable", false)?;
    meta.set_readonly(true);
    Ok(meta)
}

/// Reads `node:find("a/b")`.
fn call_of(method: &str, args: &MultiValue) -> Result<(Table, Vec<String>), Fault> {
    let node = match args.front() {
        Some(Value::Table(node)) => node.clone(),
        _ => {
            return Err(Fault::misuse(format!(
                "{method}: call it with a colon, as in node:{method}(\"a/b\")"
            )));
        }
    };
    let path = match args.get(1) {
        Some(Value::String(path)) => path.to_string_lossy(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!(
                "{method}: path: {found} is not a text such as \"a/b\""
            )));
        }
    };
    let count = path.split('/').count();
    if count > MOST_STEPS {
        return Err(Fault::misuse(format!(
            "{method}: path: {count} steps are more than the {MOST_STEPS} of a path"
        )));
    }
    let steps: Vec<String> = path.split('/').map(str::to_owned).collect();
    if steps.iter().any(|step| step.is_empty() || step.contains(['[', '@', ':'])) {
        return Err(Fault::misuse(format!(
            "{method}: path: {path:?} is not names with / between them; * stands for any name"
        )));
    }
    Ok((node, steps))
}

/// Follows a path down from a node, in document order, until `most` are found.
fn walk(
    method: &str,
    node: &Table,
    path: &[String],
    most: usize,
    found: &mut Vec<Table>,
) -> Result<(), Fault> {
    let mut left = MOST_NODES;
    if descend(node, path, most, found, &mut left)? {
        return Ok(());
    }
    Err(Fault::misuse(format!(
        "{method}: this path leads over more than {MOST_NODES} elements; does the tree lead back into itself?"
    )))
}

/// Follows a path while there are elements `left` to look at; false when there are none. The tree
/// is a script's own tables, which may lead in circles; paths are short, so that this is never deep.
fn descend(
    node: &Table,
    path: &[String],
    most: usize,
    found: &mut Vec<Table>,
    left: &mut u32,
) -> mlua::Result<bool> {
    let Some((step, rest)) = path.split_first() else {
        found.push(node.clone());
        return Ok(true);
    };
    // A script may have put something else there.
    let Value::Table(children) = node.raw_get("children")? else { return Ok(true) };
    for child in children.sequence_values::<Value>() {
        if found.len() >= most {
            break;
        }
        let Some(fewer) = left.checked_sub(1) else { return Ok(false) };
        *left = fewer;
        let Value::Table(child) = child? else { continue };
        let is_meant = step == "*"
            || matches!(child.raw_get("name")?, Value::String(name) if name.as_bytes() == step.as_bytes());
        if is_meant && !descend(&child, rest, most, found, left)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn escape(lua: &Lua, args: &MultiValue) -> Result<Value, Fault> {
    let text = match args.front() {
        Some(Value::String(text)) => match text.to_str() {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Fault::misuse("xml.escape: the text is not UTF-8")),
        },
        Some(number @ (Value::Integer(_) | Value::Number(_))) => number.to_string()?,
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("xml.escape: {found} is not a text")));
        }
    };
    if let Some((at, character)) = text.char_indices().find(|&(_, c)| is_forbidden(c)) {
        return Err(Fault::misuse(format!(
            "xml.escape: XML cannot hold the character U+{:04X} (byte {})",
            u32::from(character),
            at + 1
        )));
    }
    Ok(Value::String(lua.create_string(&*quick_xml::escape::escape(&text))?))
}

/// Bytes of a document.
const LONGEST: usize = 8 * 1024 * 1024;
/// Steps of a path; no document is that deep.
const MOST_STEPS: usize = 64;
/// Elements and texts of a document, and elements that one search looks at.
const MOST_NODES: u32 = 200_000;
