//! `test.expect_publish` and its like: what must come, what must not.

use std::{rc::Rc, time::Duration};

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::{
    super::{
        super::{
            host::Host,
            signatures,
            testing::{Operation, Request, World},
            vm,
        },
        Fault, bind_async,
        options::{Options, duration, shown},
    },
    in_case,
};
use crate::sip::message::Uri;

/// Adds the functions to `test`.
pub(super) fn add(
    lua: &Lua,
    host: &Rc<Host>,
    world: &Rc<World>,
    table: &Table,
) -> mlua::Result<()> {
    let find: Function = lua.globals().get::<Table>("string")?.get("find")?;
    let owner = world.clone();
    let publish = bind_async(lua, host, move |lua, args: MultiValue| {
        let (world, find) = (owner.clone(), find.clone());
        async move { expect_publish(&lua, &world, &find, &args).await }
    })?;
    table.raw_set("expect_publish", publish)?;
    let owner = world.clone();
    let none = bind_async(lua, host, move |_, args: MultiValue| {
        let world = owner.clone();
        async move { expect_no_publish(&world, &args).await }
    })?;
    table.raw_set("expect_no_publish", none)?;
    let owner = world.clone();
    let error = bind_async(lua, host, move |_, args: MultiValue| {
        let world = owner.clone();
        async move { expect_error(&world, &args).await }
    })?;
    table.raw_set("expect_error", error)
}

async fn expect_publish(
    lua: &Lua,
    world: &World,
    find: &Function,
    args: &MultiValue,
) -> Result<Table, Fault> {
    let call = "test.expect_publish";
    in_case(world, call)?;
    let expected = Expected::read(call, args.front().unwrap_or(&Value::Nil))?;
    let Some(request) = world.next_request(expected.within).await else {
        let within = expected.within;
        return Err(Fault::misuse(format!("{call}: no PUBLISH came within {within:?}")));
    };
    expected.compare(find, &request)?;
    Ok(table_of(lua, &request)?)
}

async fn expect_no_publish(world: &World, args: &MultiValue) -> Result<(), Fault> {
    let call = "test.expect_no_publish";
    in_case(world, call)?;
    let within = match args.front() {
        None | Some(Value::Nil) => Duration::ZERO,
        Some(given) => duration(given).map_err(|why| Fault::misuse(format!("{call}: {why}")))?,
    };
    world.advance(within).await;
    match world.server.take() {
        None => Ok(()),
        Some(request) => Err(Fault::misuse(format!("{call}: there was {}", summary(&request)))),
    }
}

async fn expect_error(world: &World, args: &MultiValue) -> Result<String, Fault> {
    let call = "test.expect_error";
    in_case(world, call)?;
    let part = match args.front() {
        None | Some(Value::Nil) => String::new(),
        Some(Value::String(part)) => part.to_string_lossy(),
        Some(other) => {
            let found = shown(other);
            return Err(Fault::misuse(format!("{call}: {found} is not a part of a message")));
        }
    };
    let Some(failed) = world.next_failure(WITHIN).await else {
        let message = format!("{call}: no handler has failed within {WITHIN:?}");
        return Err(Fault::misuse(message));
    };
    let message = format!("{}: {}", failed.what, failed.problem.message);
    if !message.contains(&part) {
        return Err(Fault::misuse(format!("{call}: {part:?} is no part of {message:?}")));
    }
    Ok(message)
}

/// What a case says of a PUBLISH; what it does not say may be anything.
struct Expected {
    options: Options,
    within: Duration,
    presentity_uri: Option<String>,
    event: Option<String>,
    operation: Option<Operation>,
    expires: Option<Duration>,
    /// `Some(None)`: there must be none.
    entity_tag: Option<Option<String>>,
    content_type: Option<String>,
    body: Option<LuaString>,
    body_match: Option<LuaString>,
    headers: Vec<(String, String)>,
}

impl Expected {
    fn read(call: &'static str, value: &Value) -> Result<Self, Fault> {
        let options = Options::new(call, value, &signatures::TEST_EXPECTED)?;
        let bytes = |name: &str| match options.value(name)? {
            Value::Nil => Ok(None),
            Value::String(text) => Ok(Some(text)),
            other => Err(options.refuse(name, format_args!("{} is not a text", shown(&other)))),
        };
        let entity_tag = match options.value("etag")? {
            Value::Boolean(false) => Some(None),
            _ => options.text("etag")?.map(Some),
        };
        let mut headers = Vec::new();
        match options.value("headers")? {
            Value::Nil => {}
            Value::Table(given) => {
                for pair in given.pairs::<LuaString, LuaString>() {
                    let (name, value) = pair?;
                    headers.push((name.to_string_lossy(), value.to_string_lossy()));
                }
                headers.sort();
            }
            other => {
                let found = shown(&other);
                return Err(options.refuse("headers", format_args!("{found} is not a table")));
            }
        }
        Ok(Self {
            within: options.duration("within")?.unwrap_or(WITHIN),
            presentity_uri: options.text("presentity_uri")?,
            event: options.text("event")?,
            operation: options.choice("operation", &Operation::ALL)?,
            expires: options.duration("expires")?,
            entity_tag,
            content_type: options.text("content_type")?,
            body: bytes("body")?,
            body_match: bytes("body_match")?,
            headers,
            options,
        })
    }

    /// Fails with the first field that differs.
    fn compare(&self, find: &Function, request: &Request) -> Result<(), Fault> {
        if let Some(expected) = &self.presentity_uri
            && !is_same_uri(expected, &request.presentity_uri)
        {
            return self.differs(
                "presentity_uri",
                quoted(expected),
                quoted(&request.presentity_uri),
            );
        }
        self.text("event", self.event.as_deref(), request.event.as_deref())?;
        let operation = self.operation.map(Operation::as_str);
        self.text("operation", operation, Some(request.operation.as_str()))?;
        if let Some(expected) = self.expires
            && request.expires.map(u64::from) != Some(expected.as_secs())
        {
            let found = request.expires.map_or("none".into(), |expires| expires.to_string());
            return self.differs("expires", expected.as_secs().to_string(), found);
        }
        match (&self.entity_tag, &request.entity_tag) {
            (Some(None), Some(found)) => return self.differs("etag", "none".into(), quoted(found)),
            (Some(Some(expected)), found) => {
                self.text("etag", Some(expected), found.as_deref())?;
            }
            (Some(None) | None, _) => {}
        }
        self.text("content_type", self.content_type.as_deref(), request.content_type.as_deref())?;
        for (name, expected) in &self.headers {
            let mut found = request.headers.iter();
            let found = found.find(|(found, _)| found.eq_ignore_ascii_case(name));
            let field = format!("headers[{name:?}]");
            self.text(&field, Some(expected), found.map(|(_, value)| value.as_str()))?;
        }
        self.compare_body(find, request)
    }

    fn compare_body(&self, find: &Function, request: &Request) -> Result<(), Fault> {
        if let Some(expected) = &self.body
            && expected.as_bytes() != request.body
        {
            return self.differs_at("body", &expected.as_bytes(), &request.body);
        }
        let Some(pattern) = &self.body_match else { return Ok(()) };
        let body = mlua::BString::from(request.body.clone());
        match find.call::<Value>((body, pattern.clone())) {
            Ok(Value::Nil) => {
                let pattern = quoted(&pattern.to_string_lossy());
                let body = String::from_utf8_lossy(&request.body);
                let body: String = body.lines().map(|line| format!("\n      {line}")).collect();
                let found = if body.is_empty() { " the empty body" } else { &body };
                Err(self
                    .options
                    .refuse("body_match", format_args!("{pattern} does not match{found}")))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(self.options.refuse("body_match", vm::plain(&error))),
        }
    }

    /// Names the first line in which two bodies differ.
    fn differs_at(&self, field: &str, expected: &[u8], found: &[u8]) -> Result<(), Fault> {
        let (expected, found) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(found));
        let mut lines = (expected.split_inclusive('\n'), found.split_inclusive('\n'));
        let mut number = 0;
        loop {
            number += 1;
            let (expected_line, found_line) = (lines.0.next(), lines.1.next());
            if expected_line == found_line && expected_line.is_some() {
                continue;
            }
            let shown = |line: Option<&str>| line.map_or("its end".into(), quoted);
            let is_short = number == 1 && !expected.contains('\n') && !found.contains('\n');
            let place = if is_short { field.into() } else { format!("{field}: line {number}") };
            return self.differs(&place, shown(expected_line), shown(found_line));
        }
    }

    fn text(&self, field: &str, expected: Option<&str>, found: Option<&str>) -> Result<(), Fault> {
        match expected {
            Some(expected) if Some(expected) != found => {
                self.differs(field, quoted(expected), found.map_or("none".into(), quoted))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn differs(&self, field: &str, expected: String, found: String) -> Result<(), Fault> {
        Err(self.options.refuse(field, format_args!("expected {expected}, found {found}")))
    }
}

/// The request, as a case looks at it.
fn table_of(lua: &Lua, request: &Request) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("presentity_uri", request.presentity_uri.as_str())?;
    table.raw_set("event", request.event.as_deref())?;
    table.raw_set("operation", request.operation.as_str())?;
    table.raw_set("expires", request.expires)?;
    table.raw_set("etag", request.entity_tag.as_deref())?;
    table.raw_set("content_type", request.content_type.as_deref())?;
    table.raw_set("body", lua.create_string(&request.body)?)?;
    let headers = lua.create_table()?;
    for (name, value) in &request.headers {
        headers.raw_set(name.as_str(), value.as_str())?;
    }
    table.raw_set("headers", headers)?;
    table.raw_set("at", request.at.as_secs_f64())?;
    table.raw_set("status", request.status)?;
    table.raw_set("granted_etag", request.granted_tag.as_deref())?;
    Ok(table)
}

fn summary(request: &Request) -> String {
    let at = request.at.as_secs_f64();
    let operation = request.operation.as_str();
    let event = request.event.as_deref().unwrap_or("without an event");
    format!("a PUBLISH ({operation}) of {} {event}, {at} s into the case", request.presentity_uri)
}

fn is_same_uri(a: &str, b: &str) -> bool {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => a.as_ref().equals(b.as_ref()),
        _ => a == b,
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// How long something is waited for that must come: in the time of the case.
const WITHIN: Duration = Duration::from_secs(5);
