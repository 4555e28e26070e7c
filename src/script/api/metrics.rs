//! `metrics`: numbers of a script's own on the metrics page.
//!
//! What is kept, and how the page shows it, is in
//! [`observe::metrics`](crate::observe::metrics).

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use mlua::{Lua, MultiValue, Table, Value};

use super::{
    super::{host::Host, signatures, vm::read_only},
    Fault, bind, failed_with,
    options::{Options, shown},
    refuse_unknown,
};
use crate::observe::metrics::{Kind, Labels, Refused, check_label, check_name};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let defined = Rc::new(Defined::default());
    for (name, call, kind) in [
        ("counter", "metrics.counter", Kind::Counter),
        ("gauge", "metrics.gauge", Kind::Gauge),
        ("histogram", "metrics.histogram", Kind::Histogram),
    ] {
        let (owner, defined) = (host.clone(), defined.clone());
        table.set(
            name,
            bind(lua, host, move |lua, args| define(lua, &owner, &defined, call, kind, &args))?,
        )?;
    }
    Ok(table)
}

/// What this run of the script has defined, and what it holds of it; an earlier run may have meant
/// something else by a name.
type Defined = RefCell<BTreeMap<Arc<str>, (Kind, Table)>>;

/// Defines a metric, or finds it again.
fn define(
    lua: &Lua,
    host: &Rc<Host>,
    defined: &Defined,
    call: &'static str,
    kind: Kind,
    args: &MultiValue,
) -> Result<(Value, Value), Fault> {
    let name: Arc<str> = match args.front() {
        Some(Value::String(name)) => name.to_string_lossy().into(),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("{call}: first argument: {found} is not a name")));
        }
    };
    check_name(&name).map_err(|why| Fault::misuse(format!("{call}: {name:?} {why}")))?;
    let known = match kind {
        Kind::Counter | Kind::Gauge => &signatures::METRIC_OPTIONS,
        Kind::Histogram => &signatures::HISTOGRAM_OPTIONS,
    };
    let options = Options::new(call, args.get(1).unwrap_or(&Value::Nil), known)?;
    let help = options.text("help")?.unwrap_or_default();
    if help.len() > LONGEST_TEXT {
        return Err(options.refuse("help", format_args!("at most {LONGEST_TEXT} bytes")));
    }
    let bounds = match kind {
        Kind::Counter | Kind::Gauge => Vec::new(),
        Kind::Histogram => bounds(&options)?,
    };
    match defined.borrow().get(&name) {
        Some((known, handle)) if *known == kind => {
            return Ok((Value::Table(handle.clone()), Value::Nil));
        }
        Some((other, _)) => {
            return Err(Fault::misuse(format!("{call}: {name:?} is a {other} already")));
        }
        None => {}
    }
    match host.commons.metrics.define(&host.name, &name, kind, &help, &bounds) {
        Ok(()) => {
            let handle = handle(lua, host, &name, kind)?;
            defined.borrow_mut().insert(name, (kind, handle.clone()));
            Ok((Value::Table(handle), Value::Nil))
        }
        Err(refused) => Ok(failed(lua, host, call, &name, &refused)?),
    }
}

/// Reads the bounds of a histogram's buckets.
fn bounds(options: &Options) -> Result<Vec<f64>, Fault> {
    let list = match options.value("buckets")? {
        Value::Nil => return Ok(USUAL.to_vec()),
        Value::Table(list) => list,
        other => {
            return Err(options.refuse("buckets", format_args!("{} is not a list", shown(&other))));
        }
    };
    let mut bounds: Vec<f64> = Vec::new();
    for value in list.sequence_values::<Value>() {
        let Some(bound) = finite(&value?) else {
            return Err(options.refuse("buckets", "the bounds are numbers, as in { 0.1, 1, 10 }"));
        };
        if bounds.last().is_some_and(|last| *last >= bound) {
            return Err(options.refuse("buckets", "each bound is larger than the one before it"));
        }
        bounds.push(bound);
    }
    if !(1..=MOST_BOUNDS).contains(&bounds.len()) {
        return Err(options.refuse("buckets", format_args!("1 to {MOST_BOUNDS} bounds")));
    }
    Ok(bounds)
}

/// Makes what a script holds of a metric; the values belong to the host.
fn handle(lua: &Lua, host: &Rc<Host>, name: &Arc<str>, kind: Kind) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let shape = match kind {
        Kind::Counter => &signatures::COUNTER,
        Kind::Gauge => &signatures::GAUGE,
        Kind::Histogram => &signatures::HISTOGRAM,
    };
    for method in shape.names() {
        let (owner, name) = (host.clone(), name.clone());
        table.set(
            method,
            bind(lua, host, move |lua, args| change(lua, &owner, &name, kind, method, &args))?,
        )?;
    }
    refuse_unknown(lua, host, &format!("{kind} {name}"), &table)?;
    Ok(read_only(table))
}

/// One of the methods: a number, and labels.
fn change(
    lua: &Lua,
    host: &Host,
    name: &str,
    kind: Kind,
    method: &str,
    args: &MultiValue,
) -> Result<(Value, Value), Fault> {
    let refuse = |why: String| Fault::misuse(format!("{kind} {name}: {method}: {why}"));
    if !matches!(args.front(), Some(Value::Table(_))) {
        return Err(refuse(format!("call it with a colon, as in metric:{method}(1)")));
    }
    let usual = match method {
        "inc" | "dec" => Some(1.0),
        _ => None,
    };
    let number = match args.get(1) {
        None | Some(Value::Nil) => usual,
        Some(value) => finite(value),
    };
    let Some(number) = number else {
        let found = shown(args.get(1).unwrap_or(&Value::Nil));
        return Err(refuse(format!("{found} is not a number")));
    };
    if kind == Kind::Counter && number < 0.0 {
        return Err(refuse(format!(
            "{number} is below 0; a counter only grows, a gauge does both"
        )));
    }
    let labels = match labels(args.get(2), kind)? {
        Ok(labels) => labels,
        Err(why) => return Err(refuse(why)),
    };
    if labels.values().any(|value| value.len() > LONGEST_TEXT) {
        let call = format!("metrics.{method}");
        let message =
            format!("{call}: {name}: the value of a label is longer than {LONGEST_TEXT} bytes");
        return Ok(failed_with(lua, host, &call, "limit", message)?);
    }
    let registry = &host.commons.metrics;
    let changed = match method {
        "set" => registry.set(&host.name, name, number, labels),
        "observe" => registry.observe(&host.name, name, number, labels),
        "dec" => registry.add(&host.name, name, kind, -number, labels),
        _ => registry.add(&host.name, name, kind, number, labels),
    };
    match changed {
        Ok(()) => Ok((Value::Boolean(true), Value::Nil)),
        Err(refused) => Ok(failed(lua, host, &format!("metrics.{method}"), name, &refused)?),
    }
}

/// Reads labels; the inner error is what is wrong with them.
fn labels(given: Option<&Value>, kind: Kind) -> mlua::Result<Result<Labels, String>> {
    let mut labels = Labels::new();
    let table = match given {
        None | Some(Value::Nil) => return Ok(Ok(labels)),
        Some(Value::Table(table)) => table,
        Some(other) => {
            return Ok(Err(format!(
                "labels: a table is expected, such as {{ queue = \"sales\" }}, not {}",
                shown(other)
            )));
        }
    };
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let Value::String(text) = &name else {
            return Ok(Err(format!("labels: {} is not a name", shown(&name))));
        };
        let name = text.to_string_lossy();
        if let Err(why) = check_label(&name, kind) {
            return Ok(Err(format!("labels: {name:?} {why}")));
        }
        let value = match &value {
            Value::String(text) => text.to_string_lossy(),
            Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => value.to_string()?,
            other => {
                return Ok(Err(format!("labels: {name}: {} is not a text", shown(other))));
            }
        };
        labels.insert(name, value);
        if labels.len() > MOST_LABELS {
            return Ok(Err(format!("labels: at most {MOST_LABELS}")));
        }
    }
    Ok(Ok(labels))
}

fn failed(
    lua: &Lua,
    host: &Host,
    call: &str,
    name: &str,
    refused: &Refused,
) -> mlua::Result<(Value, Value)> {
    let code = match refused {
        Refused::Taken { .. } | Refused::Gone => "conflict",
        Refused::Metrics | Refused::Sets | Refused::Size => "limit",
    };
    failed_with(lua, host, call, code, format!("{call}: {name}: {refused}"))
}

fn finite(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

/// Bounds in seconds that suit most waits; those of Prometheus' own libraries.
const USUAL: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MOST_BOUNDS: usize = 50;
const MOST_LABELS: usize = 10;
/// Bytes of a help text or of a label's value.
const LONGEST_TEXT: usize = 256;
