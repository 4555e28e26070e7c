//! Tables of presence and of message waiting.

use mlua::{LuaString, Table, Value};

use super::{
    super::{
        super::signatures,
        Fault,
        options::{Options, shown},
    },
    each, seconds, timestamp,
};
use crate::body::{Count, Device, Field, Mwi, Person, Pidf, Tuple, UserInput};

pub(super) fn pidf(value: &Value) -> Result<Pidf, Fault> {
    let options = Options::new("body.pidf", value, &signatures::PIDF)?;
    Ok(Pidf {
        entity: options.need_text("entity")?,
        tuples: each(options.list("tuples", &signatures::TUPLE)?, |tuple| {
            Ok(Tuple {
                id: tuple.need_text("id")?,
                basic: tuple.text("basic")?,
                class: tuple.text("class")?,
                user_input: user_input(tuple)?,
                device_id: tuple.text("device_id")?,
                contact: tuple.text("contact")?,
                priority: tuple.number("priority")?,
                note: tuple.text("note")?,
                timestamp: timestamp(tuple, "timestamp")?,
            })
        })?,
        persons: each(options.list("persons", &signatures::PERSON)?, |person| {
            Ok(Person {
                id: person.need_text("id")?,
                class: person.text("class")?,
                user_input: user_input(person)?,
                activities: person.texts("activities")?,
                mood: person.texts("mood")?,
                note: person.text("note")?,
                timestamp: timestamp(person, "timestamp")?,
            })
        })?,
        devices: each(options.list("devices", &signatures::DEVICE)?, |device| {
            Ok(Device {
                id: device.need_text("id")?,
                class: device.text("class")?,
                user_input: user_input(device)?,
                device_id: device.need_text("device_id")?,
                note: device.text("note")?,
                timestamp: timestamp(device, "timestamp")?,
            })
        })?,
        note: options.text("note")?,
    })
}

/// Reads `"idle"`, or a table that says more.
fn user_input(options: &Options) -> Result<Option<UserInput>, Fault> {
    if let Value::String(_) = options.value("user_input")? {
        let state = options.text("user_input")?.unwrap_or_default();
        return Ok(Some(UserInput { state, ..UserInput::default() }));
    }
    let Some(input) = options.inner("user_input", &signatures::USER_INPUT)? else {
        return Ok(None);
    };
    Ok(Some(UserInput {
        state: input.need_text("state")?,
        idle_threshold: seconds(&input, "idle_threshold")?,
        last_input: timestamp(&input, "last_input")?,
    }))
}

pub(super) fn mwi(value: &Value) -> Result<Mwi, Fault> {
    let options = Options::new("body.mwi", value, &signatures::MWI)?;
    Ok(Mwi {
        waiting: options.flag("waiting")?,
        account: options.text("account")?,
        voice: class(&options, "voice")?,
        fax: class(&options, "fax")?,
        pager: class(&options, "pager")?,
        multimedia: class(&options, "multimedia")?,
        text: class(&options, "text")?,
        other: options
            .named("other", &signatures::COUNT)?
            .into_iter()
            .map(|(name, counts)| {
                let counts = count(&format!("other.{name}"), &counts)?;
                Ok((name, counts))
            })
            .collect::<Result<_, Fault>>()?,
        headers: headers(&options)?,
    })
}

fn class(options: &Options, name: &'static str) -> Result<Option<Count>, Fault> {
    options.inner(name, &signatures::COUNT)?.map(|counts| count(name, &counts)).transpose()
}

fn count(class: &str, counts: &Options) -> Result<Count, Fault> {
    let read = |name: &'static str| {
        let Some(number) = counts.number(name)? else { return Ok(None) };
        Count::read(Field::top(name), number)
            .map(Some)
            .map_err(|why| Fault::misuse(format!("body.mwi: {class}.{why}")))
    };
    Ok(Count {
        new: read("new")?.unwrap_or(0),
        old: read("old")?.unwrap_or(0),
        urgent_new: read("urgent_new")?,
        urgent_old: read("urgent_old")?,
    })
}

/// Reads headers of single messages: a table of names and values for each message.
fn headers(options: &Options) -> Result<Vec<Vec<(String, String)>>, Fault> {
    let list = match options.value("headers")? {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(list) => list,
        other => {
            return Err(options.refuse("headers", format_args!("{} is not a list", shown(&other))));
        }
    };
    let mut messages = Vec::new();
    for message in list.sequence_values::<Table>() {
        let message =
            message.map_err(|_| options.refuse("headers", "a list of tables is expected"))?;
        let mut rows = Vec::new();
        for pair in message.pairs::<LuaString, LuaString>() {
            let (name, value) =
                pair.map_err(|_| options.refuse("headers", "names and values are texts"))?;
            options.weigh("headers", name.as_bytes().len() + value.as_bytes().len())?;
            let text = |text: LuaString| match text.to_str() {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(options.refuse("headers", "the text is not UTF-8")),
            };
            rows.push((text(name)?, text(value)?));
        }
        // A table has no order of its own.
        rows.sort();
        messages.push(rows);
    }
    Ok(messages)
}
