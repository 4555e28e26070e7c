//! Plain data: what is left of a Lua value when no VM is needed to hold it.
//!
//! Nil apart, that is texts, numbers, booleans, `json.null` and tables of
//! these. Values are copied both ways, so whoever keeps one shares nothing with
//! the script it came from. Metatables stay behind, except for the mark of
//! [`json.array`](super::api).

use std::{cmp::Ordering, collections::BTreeMap, ffi::c_void, fmt};

use mlua::{Lua, Table, Value};

/// One value; free of any VM, so that it can be sent to other threads and outlive its script.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    /// `json.null`, which is not nil: a table can hold it.
    Null,
    Boolean(bool),
    Number(f64),
    /// Bytes, as Lua's texts are.
    Text(Box<[u8]>),
    Table(Box<Rows>),
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rows {
    /// The values at 1, 2, 3 and so on, up to the first hole.
    pub(super) list: Vec<Plain>,
    pub(super) named: BTreeMap<Key, Plain>,
    /// Whether it was marked by `json.array`.
    pub(super) is_array: bool,
}

/// What a value of a table is found by; numbers come before texts.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Number(f64),
    Text(Box<[u8]>),
}

/// Why a value is refused, and where in it.
#[derive(Debug)]
pub(super) struct Unfit {
    why: String,
    /// From the inside outwards.
    path: Vec<Key>,
}

impl Plain {
    /// Copies a Lua value.
    ///
    /// # Errors
    /// With the place in the value and what is wrong there: something that is not plain data, too
    /// many levels, more than the host keeps of one value.
    pub(super) fn from_lua(value: &Value) -> Result<Self, String> {
        let mut copy = Copy { open: Vec::new(), left: MOST_BYTES };
        copy.value(value).map_err(|unfit| unfit.to_string())
    }

    /// Makes a Lua value of it.
    pub(super) fn to_lua(&self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Self::Null => Value::NULL,
            Self::Boolean(flag) => Value::Boolean(*flag),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Table(rows) => Value::Table(rows.to_lua(lua)?),
        })
    }

    /// Returns roughly how many bytes it takes to keep.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) | Self::Number(_) => SCALAR,
            Self::Text(text) => SCALAR + text.len(),
            Self::Table(rows) => {
                let list: usize = rows.list.iter().map(Self::size).sum();
                let named: usize =
                    rows.named.iter().map(|(key, value)| key.size() + value.size()).sum();
                TABLE + list + named
            }
        }
    }
}

impl Rows {
    fn to_lua(&self, lua: &Lua) -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(self.list.len(), self.named.len())?;
        for value in &self.list {
            table.raw_push(value.to_lua(lua)?)?;
        }
        for (key, value) in &self.named {
            match key {
                Key::Number(number) => table.raw_set(*number, value.to_lua(lua)?)?,
                Key::Text(text) => {
                    table.raw_set(lua.create_string(text)?, value.to_lua(lua)?)?;
                }
            }
        }
        if self.is_array {
            mark_array(lua, &table)?;
        }
        Ok(table)
    }
}

/// Marks a table as a list, even when it is empty.
pub(super) fn mark_array(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let meta = match lua.named_registry_value::<Option<Table>>(ARRAY)? {
        Some(meta) => meta,
        None => {
            let meta = lua.create_table()?;
            meta.raw_set(MARK, "array")?;
            meta.raw_set("__metatable", false)?;
            meta.set_readonly(true);
            lua.set_named_registry_value(ARRAY, &meta)?;
            meta
        }
    };
    table.set_metatable(Some(meta))
}

/// Returns whether a table is marked as a list.
pub(super) fn is_marked_array(table: &Table) -> bool {
    let mark = table.metatable().and_then(|meta| meta.raw_get::<Value>(MARK).ok());
    matches!(mark, Some(Value::String(word)) if word.as_bytes() == b"array")
}

/// One copy that is being made.
struct Copy {
    /// The tables around the value at hand.
    open: Vec<*const c_void>,
    /// Bytes that may still come.
    left: usize,
}

impl Copy {
    fn value(&mut self, value: &Value) -> Result<Plain, Unfit> {
        match value {
            value if *value == Value::NULL => self.take(SCALAR).map(|()| Plain::Null),
            Value::Boolean(flag) => self.take(SCALAR).map(|()| Plain::Boolean(*flag)),
            Value::Integer(number) => self.take(SCALAR).map(|()| Plain::Number(*number as f64)),
            Value::Number(number) => self.take(SCALAR).map(|()| Plain::Number(*number)),
            Value::String(text) => {
                let text = text.as_bytes();
                self.take(SCALAR + text.len())?;
                Ok(Plain::Text((&*text).into()))
            }
            Value::Table(table) => self.table(table).map(|rows| Plain::Table(Box::new(rows))),
            Value::Nil => Err(Unfit::new("nil is not plain data")),
            other => {
                let what = other.type_name();
                Err(Unfit::new(format!(
                    "a {what} is not plain data (texts, numbers, booleans and tables of them)"
                )))
            }
        }
    }

    fn table(&mut self, table: &Table) -> Result<Rows, Unfit> {
        let this = table.to_pointer();
        if self.open.contains(&this) {
            return Err(Unfit::new("the table contains itself"));
        }
        if self.open.len() >= DEEPEST {
            return Err(Unfit::new(format!("tables are nested deeper than {DEEPEST} levels")));
        }
        self.take(TABLE)?;
        self.open.push(this);
        let mut rows = Rows { is_array: is_marked_array(table), ..Rows::default() };
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| Unfit::new(error.to_string()))?;
            let key = Key::from_lua(&key)?;
            let value = self.value(&value).map_err(|unfit| unfit.under(key.clone()))?;
            if key == Key::Number(rows.next_at()) {
                rows.list.push(value);
            } else {
                self.take(key.size())?;
                rows.named.insert(key, value);
            }
        }
        // A list need not come in its order.
        while let Some(value) = rows.named.remove(&Key::Number(rows.next_at())) {
            rows.list.push(value);
        }
        self.open.pop();
        Ok(rows)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Unfit> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Unfit::new(format!(
                "the data is larger than the {} MiB that are kept of one value",
                MOST_BYTES / (1024 * 1024)
            ))),
        }
    }
}

impl Rows {
    /// Where the list goes on.
    fn next_at(&self) -> f64 {
        (self.list.len() + 1) as f64
    }
}

impl Key {
    fn from_lua(key: &Value) -> Result<Self, Unfit> {
        match key {
            Value::Integer(number) => Ok(Self::Number(*number as f64)),
            Value::Number(number) => Ok(Self::Number(*number)),
            Value::String(text) => Ok(Self::Text((&*text.as_bytes()).into())),
            other => Err(Unfit::new(format!(
                "a {} stands for a name; names are texts or numbers",
                other.type_name()
            ))),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Number(_) => NAME,
            Self::Text(text) => NAME + text.len(),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // -0.0 and 0.0 are one key in Lua; NaN is none.
            (Self::Number(a), Self::Number(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl Unfit {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), path: Vec::new() }
    }

    /// Says that the place is below `key`.
    pub(super) fn under(mut self, key: Key) -> Self {
        self.path.push(key);
        self
    }
}

/// `tuples[2].note: a function is not …`; a whole value that is refused has no place in front.
impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, key) in self.path.iter().rev().enumerate() {
            match key {
                Key::Number(number) => write!(f, "[{number}]")?,
                Key::Text(text) => {
                    let text = String::from_utf8_lossy(text);
                    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                    let cut: String = text.chars().take(LONGEST_NAME).collect();
                    match (is_word && cut.len() == text.len(), depth) {
                        (true, 0) => f.write_str(&text)?,
                        (true, _) => write!(f, ".{text}")?,
                        (false, _) => write!(f, "[{cut:?}]")?,
                    }
                }
            }
        }
        let colon = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.why)
    }
}

/// Levels of tables.
pub(super) const DEEPEST: usize = 64;
/// Bytes of one value.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;
/// What is counted for a value, for a table beside its values, and for a name beside its text.
pub(super) const SCALAR: usize = 16;
pub(super) const TABLE: usize = 64;
pub(super) const NAME: usize = 32;
/// Characters of a name that a message shows.
const LONGEST_NAME: usize = 60;
/// The word that other JSON libraries for Lua use, too.
const MARK: &str = "__jsontype";
const ARRAY: &str = "puad array";

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(source: &str) -> Result<Plain, String> {
        let lua = Lua::new();
        lua.globals().set("null", Value::NULL).unwrap();
        Plain::from_lua(&lua.load(source).eval::<Value>().unwrap())
    }

    #[test]
    fn plain_values_come_back_in_another_vm() {
        let first = Lua::new();
        first.globals().set("null", Value::NULL).unwrap();
        let source = r#"return {
            1, 2.5, "a\0b", true, null, { deep = { -1 } },
            name = "x", [7.5] = "seven", [9] = { }, ["1"] = "text",
        }"#;
        let value = first.load(source).eval::<Value>().unwrap();
        let kept = Plain::from_lua(&value).unwrap();
        let second = Lua::new();
        second.globals().set("null", Value::NULL).unwrap();
        second.globals().set("t", kept.to_lua(&second).unwrap()).unwrap();
        second
            .load(
                r#"
                assert(#t == 6 and t[1] == 1 and t[2] == 2.5 and t[3] == "a\0b" and t[4] == true)
                assert(t[5] == null and t[6].deep[1] == -1)
                assert(t.name == "x" and t[7.5] == "seven" and next(t[9]) == nil and t["1"] == "text")
                "#,
            )
            .exec()
            .unwrap();
        assert_eq!(Plain::from_lua(&second.globals().get("t").unwrap()).unwrap(), kept);
    }

    #[test]
    fn what_is_not_plain_is_named_with_its_place() {
        for (source, expected) in [
            ("return print", "a function is not plain data (texts"),
            ("return nil", "nil is not plain data"),
            ("return { a = { 1, { ['b c'] = print } } }", "a[2][\"b c\"]: a function is not"),
            ("return { a = { b = coroutine.create(print) } }", "a.b: a thread is not plain"),
            ("return { [true] = 1 }", "a boolean stands for a name; names are texts or numbers"),
            ("return { x = { [{}] = 1 } }", "x: a table stands for a name"),
            ("local t = { a = {} } t.a[1] = t return t", "a[1]: the table contains itself"),
            (
                "local t = { x = 1 } for _ = 1, 70 do t = { t } end return t",
                "nested deeper than 64",
            ),
            (
                "local s = string.rep('x', 2^20) local t = {} for i = 1, 9 do t[i] = s end return t",
                "[8]: the data is larger than the 8 MiB",
            ),
        ] {
            let found = plain(source).expect_err(source);
            assert!(found.contains(expected), "{source}: {found}");
        }
    }

    #[test]
    fn a_table_that_doubles_at_every_level_ends_at_the_size_limit() {
        let found = plain("local t = {} for _ = 1, 60 do t = { t, t } end return t");
        assert!(found.unwrap_err().contains("larger than the 8 MiB"));
    }

    #[test]
    fn holes_and_odd_names_stay_what_they_are() {
        let Plain::Table(rows) =
            plain("return { [3] = 'c', [2] = 'b', [5] = 'e', [1] = 'a' }").unwrap()
        else {
            panic!("a table")
        };
        assert_eq!(rows.list.len(), 3);
        assert_eq!(rows.named.keys().cloned().collect::<Vec<_>>(), [Key::Number(5.0)]);
        let (negative, zero) = (Key::Number(-0.0), Key::Number(0.0));
        assert_eq!(negative, zero);
    }

    #[test]
    fn the_mark_of_an_array_is_kept() {
        let lua = Lua::new();
        let table = lua.create_table().unwrap();
        assert!(!is_marked_array(&table));
        mark_array(&lua, &table).unwrap();
        let kept = Plain::from_lua(&Value::Table(table)).unwrap();
        let other = Lua::new();
        let Value::Table(copy) = kept.to_lua(&other).unwrap() else { panic!("a table") };
        assert!(is_marked_array(&copy));
    }
}
