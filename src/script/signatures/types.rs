//! Types, as the table writes them: a part of Luau's own words for them.
//!
//! Names, texts in quotes, `T?`, `A | B`, `{ T }`, `{ [K]: V }`, `{ a: T }` and
//! functions. Reading is for what stands in the table, so a mistake is told by
//! what is left over.

use std::fmt;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `string`, or a name of the table's own.
    Name(String),
    /// One text.
    Text(String),
    /// The type or nil.
    Optional(Box<Self>),
    /// One of several.
    Union(Vec<Self>),
    /// A list.
    List(Box<Self>),
    /// A table from keys to values.
    Map(Box<Self>, Box<Self>),
    /// A table with these fields.
    Table(Vec<(String, Self)>),
    /// A function.
    Function(Vec<Argument>, Vec<Self>),
    /// Any number of values of a type, last among arguments or results.
    Many(Box<Self>),
}

/// An argument of a function, perhaps with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: Option<String>,
    /// Its type.
    pub r#type: Type,
}

/// What is not a type.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a type: {rest:?} is left over")]
pub struct NotAType {
    text: String,
    rest: String,
}

impl Type {
    /// Reads a type.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, NotAType> {
        let mut reader = Reader { rest: text.trim_start() };
        match reader.whole() {
            Some(found) if reader.rest.is_empty() => Ok(found),
            _ => Err(NotAType { text: text.to_owned(), rest: reader.rest.to_owned() }),
        }
    }

    /// Reads a type of the table, which is known to be one.
    pub(super) fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the names it is made of.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Name(name) => vec![name],
            Self::Text(_) => Vec::new(),
            Self::Optional(inner) | Self::List(inner) | Self::Many(inner) => inner.names(),
            Self::Union(all) => all.iter().flat_map(Self::names).collect(),
            Self::Map(key, value) => [key.names(), value.names()].concat(),
            Self::Table(fields) => fields.iter().flat_map(|(_, field)| field.names()).collect(),
            Self::Function(arguments, results) => {
                let arguments = arguments.iter().map(|argument| &argument.r#type);
                arguments.chain(results).flat_map(Self::names).collect()
            }
        }
    }

    /// Returns the type, or nil, which some types are already.
    pub(super) fn optional(self) -> Self {
        match &self {
            Self::Optional(_) | Self::Many(_) => self,
            Self::Name(name) if name == "any" => self,
            _ => Self::Optional(Box::new(self)),
        }
    }
}

/// Luau's words.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Optional(inner) => match **inner {
                Self::Union(_) | Self::Function(..) => write!(f, "({inner})?"),
                _ => write!(f, "{inner}?"),
            },
            Self::Union(all) => {
                for (at, one) in all.iter().enumerate() {
                    let bar = if at == 0 { "" } else { " | " };
                    match one {
                        Self::Function(..) => write!(f, "{bar}({one})")?,
                        _ => write!(f, "{bar}{one}")?,
                    }
                }
                Ok(())
            }
            Self::List(inner) => write!(f, "{{ {inner} }}"),
            Self::Map(key, value) => write!(f, "{{ [{key}]: {value} }}"),
            Self::Table(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, field)| format!("{name}: {field}")).collect();
                write!(f, "{{ {} }}", fields.join(", "))
            }
            Self::Function(arguments, results) => {
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|argument| match &argument.name {
                        Some(name) => format!("{name}: {}", argument.r#type),
                        None => argument.r#type.to_string(),
                    })
                    .collect();
                let results: Vec<_> = results.iter().map(Self::to_string).collect();
                let results = match &results[..] {
                    [one] => one.clone(),
                    _ => format!("({})", results.join(", ")),
                };
                write!(f, "({}) -> {results}", arguments.join(", "))
            }
            Self::Many(inner) => write!(f, "...{inner}"),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// A type with everything that may follow it.
    fn whole(&mut self) -> Option<Type> {
        let mut all = vec![self.one()?];
        while self.takes("|") {
            all.push(self.one()?);
        }
        match all.len() {
            1 => all.pop(),
            _ => Some(Type::Union(all)),
        }
    }

    /// A type without `|`.
    fn one(&mut self) -> Option<Type> {
        let mut found = if self.takes("...") {
            Type::Many(Box::new(self.one()?))
        } else if self.takes("{") {
            self.table()?
        } else if self.takes("(") {
            self.parenthesis()?
        } else if self.takes("\"") {
            let end = self.rest.find('"')?;
            let text = self.rest[..end].to_owned();
            self.rest = self.rest[end + 1..].trim_start();
            Type::Text(text)
        } else {
            Type::Name(self.name()?)
        };
        while self.takes("?") {
            found = Type::Optional(Box::new(found));
        }
        Some(found)
    }

    fn table(&mut self) -> Option<Type> {
        if self.takes("[") {
            let key = self.whole()?;
            if !(self.takes("]") && self.takes(":")) {
                return None;
            }
            let value = self.whole()?;
            return self.takes("}").then(|| Type::Map(Box::new(key), Box::new(value)));
        }
        if self.label().is_none() {
            let inner = self.whole()?;
            return self.takes("}").then(|| Type::List(Box::new(inner)));
        }
        let mut fields = Vec::new();
        while !self.takes("}") {
            let name = self.label()?.to_owned();
            self.rest = self.rest[name.len()..].trim_start();
            self.takes(":");
            fields.push((name, self.whole()?));
            self.takes(",");
        }
        Some(Type::Table(fields))
    }

    /// A function, or a type in parentheses.
    fn parenthesis(&mut self) -> Option<Type> {
        let mut arguments = Vec::new();
        while !self.takes(")") {
            let name = self.label().map(str::to_owned);
            if let Some(name) = &name {
                self.rest = self.rest[name.len()..].trim_start();
                self.takes(":");
            }
            arguments.push(Argument { name, r#type: self.whole()? });
            self.takes(",");
        }
        if !self.takes("->") {
            return match (arguments.pop(), arguments.is_empty()) {
                (Some(Argument { name: None, r#type }), true) => Some(r#type),
                _ => None,
            };
        }
        let results = if self.rest.starts_with('(') {
            let before = self.rest;
            match self.list_of_results() {
                Some(results) => results,
                None => {
                    self.rest = before;
                    vec![self.one()?]
                }
            }
        } else {
            vec![self.one()?]
        };
        Some(Type::Function(arguments, results))
    }

    fn list_of_results(&mut self) -> Option<Vec<Type>> {
        let mut results = Vec::new();
        self.takes("(");
        while !self.takes(")") {
            results.push(self.whole()?);
            self.takes(",");
        }
        // Otherwise it was a type in parentheses, or the arguments of a function.
        (!self.rest.starts_with(['?', '-', '|'])).then_some(results)
    }

    /// The name in front of a colon.
    fn label(&self) -> Option<&str> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        let is_label = end > 0 && self.rest[end..].trim_start().starts_with(':');
        is_label.then(|| &self.rest[..end])
    }

    fn name(&mut self) -> Option<String> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn takes(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                // Blanks inside a text are its own.
                self.rest = if word == "\"" { rest } else { rest.trim_start() };
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        for text in [
            "string",
            "\"a b\" | \"c\"",
            "{ string }",
            "{ [string]: string | number | { string } }",
            "(\"skip\" | \"queue\")?",
            "(firing: Firing) -> ()",
            "((state: State) -> ())?",
            "(...any) -> ...any",
            "{ () -> ...any }",
            "() -> string?",
            "(value: any) -> (any, Error?)",
            "{ a: number, b: { c: boolean? } }",
            "string | ((x: number) -> boolean)",
        ] {
            assert_eq!(Type::parse(text).expect("a type").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_type_is_told() {
        for text in ["", "{ string", "string |", "a b", "(a, b)", "\"open", "{ [string] }"] {
            assert!(Type::parse(text).is_err(), "{text}");
        }
    }
}
