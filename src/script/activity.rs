//! One activity: a Lua function that runs under the limits, and what is said of it when it fails.

use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

use super::{
    Problem,
    budget::Burst,
    host::Host,
    life::{Life, Origin},
    vm::plain,
};

/// What went wrong in an activity, for the log and for those who raise it again.
pub(super) struct Raised {
    pub(super) problem: Problem,
    /// What was raised; nothing where a limit or the host ended it.
    pub(super) value: Option<Value>,
}

impl Host {
    /// Runs a Lua function under the limits and returns what it returned.
    pub(super) async fn run(
        self: &Rc<Self>,
        origin: Origin,
        function: Function,
        args: impl IntoLuaMulti,
    ) -> Result<MultiValue, Problem> {
        let run = self.run_within(None, origin, function, args);
        run.await.map_err(|raised| raised.problem)
    }

    /// As [`run`](Self::run), as part of a burst of tasks, with what was raised as it was.
    pub(super) async fn run_within(
        self: &Rc<Self>,
        burst: Option<Burst>,
        origin: Origin,
        function: Function,
        args: impl IntoLuaMulti,
    ) -> Result<MultiValue, Box<Raised>> {
        let budget = self.budget().clone();
        let unusable = |error: &mlua::Error| {
            let problem = Problem::new(plain(error));
            Box::new(Raised { problem, value: None })
        };
        let Some(lua) = self.lua() else {
            return Err(unusable(&mlua::Error::runtime("the script has ended")));
        };
        if let Some(burst) = burst.as_ref().filter(|burst| budget.is_spent(burst)) {
            let trace = begins_at(&function);
            let message = located(budget.message(), &trace);
            let problem = Problem { message, trace, killed: burst.stop(), not_done: None };
            return Err(Box::new(Raised { problem, value: None }));
        }
        budget.tidy(&lua);
        let mut values = args.into_lua_multi(&lua).map_err(|error| unusable(&error))?;
        values.push_front(Value::Function(function.clone()));
        let call = self.guard().call_async::<MultiValue>(values);
        let acting = Life::act(self, origin, budget.spend(call, burst));
        let number = acting.number();
        let (result, was_killed) = acting.await;
        let not_done = self.take_not_done(number);
        let (killed_at, swept_at) = (budget.take_traceback(), budget.take_swept_at());
        let used = lua.used_memory();
        if was_killed || swept_at.is_some() {
            // What it held is let go now, before the next one needs the room.
            budget.sweep(&lua);
        }
        let (value, shown, trace) = match result {
            Ok(mut values) => match (values.pop_front(), values.pop_front()) {
                (Some(Value::Boolean(true)), first) => {
                    if let Some(first) = first {
                        values.push_front(first);
                    }
                    return Ok(values);
                }
                (_, Some(Value::Table(error))) => {
                    let trace = error.get::<LuaString>("trace").map(|text| text.to_string_lossy());
                    let value = error.get::<Value>("value").unwrap_or(Value::Nil);
                    (value, error.get("shown").unwrap_or_default(), trace.unwrap_or_default())
                }
                // An error while the error was being described.
                (_, other) => (other.unwrap_or(Value::Nil), None, String::new()),
            },
            Err(error) => (Value::Error(Box::new(error)), None, String::new()),
        };
        let message = describe(&value, shown);
        let trace = match killed_at.filter(|_| was_killed) {
            Some(killed_at) => trim_trace(&killed_at),
            None => trim_trace(&trace),
        };
        // Where memory ran out there was none left to say so, nor to begin anything new.
        let is_short = !was_killed
            && (message.starts_with("not enough memory")
                || (message == NO_HANDLER || message.contains(NO_STACK))
                    && used > self.limits.memory / 2);
        // What ran out of memory may have none for a traceback; then this is as near as can be told.
        let trace = match swept_at.filter(|_| is_short && trace.is_empty()) {
            Some(swept_at) => trim_trace(&swept_at),
            None => trace,
        };
        let trace = match trace.is_empty() {
            true => begins_at(&function),
            false => trace,
        };
        let is_deep = message.ends_with("stack overflow");
        let message = match () {
            () if was_killed => budget.message(),
            () if is_short => {
                let limit = self.limits.memory / (1024 * 1024);
                format!("not enough memory: the script may have {limit} MiB (limits.memory)")
            }
            () => message,
        };
        let killed = was_killed || is_short || is_deep;
        let message = self.mask.apply(message);
        let trace = clipped(self.mask.apply(trace));
        let value = (!was_killed && !is_short).then_some(value);
        budget.take_back(&lua);
        if is_short {
            budget.sweep(&lua);
        }
        let message = shortened(located(message, &trace));
        let problem = Problem { message, trace, killed, not_done };
        Err(Box::new(Raised { problem, value }))
    }
}

/// What is said when the stack cannot grow, be it for want of memory.
const NO_STACK: &str = "out of Lua stack";
/// What Luau says when the error handler itself fails.
const NO_HANDLER: &str = "error in error handling";

/// Returns an error value as one line or a few. `shown` is a table's text, made while the script's
/// limits held; nothing of the script runs here.
fn describe(value: &Value, shown: Option<LuaString>) -> String {
    match value {
        Value::String(text) => cut(text, LONGEST),
        Value::Error(error) => plain(error),
        Value::Table(table) => match shown.map(|shown| cut(&shown, LONGEST)) {
            Some(shown) if !shown.starts_with("table: ") => shown,
            Some(_) | None => fields(table),
        },
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {
            value.to_string().unwrap_or_default()
        }
        Value::Nil => "an error without a value".into(),
        other => format!("an error that is a {}", other.type_name()),
    }
}

/// Shows a table that was raised as an error by its plain fields; of many, a part.
pub(super) fn fields(table: &Table) -> String {
    let mut shown: Vec<String> = table
        .pairs::<String, Value>()
        .take(MOST_FIELDS)
        .filter_map(|pair| pair.ok())
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some(format!("{name} = {:?}", cut(&text, LONGEST))),
            Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {
                Some(format!("{name} = {}", value.to_string().ok()?))
            }
            _ => None,
        })
        .collect();
    shown.sort();
    if table.pairs::<Value, Value>().nth(MOST_FIELDS).is_some() {
        shown.push("…".into());
    }
    if shown.is_empty() {
        return "a table without a text in it".into();
    }
    format!("{{ {} }}", shown.join(", "))
}

/// Returns a text, and of a long one its beginning: a log line is no place for megabytes.
pub(super) fn cut(text: &LuaString, longest: usize) -> String {
    let bytes = text.as_bytes();
    match bytes.get(..longest) {
        Some(head) if bytes.len() > longest => {
            format!("{}… ({} bytes)", String::from_utf8_lossy(head), bytes.len())
        }
        Some(_) | None => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Cuts a message to what is shown.
fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_SHOWN) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Cuts a traceback to what is shown: names of functions may be as long as a source.
fn clipped(mut trace: String) -> String {
    if trace.len() > LONGEST_TRACE {
        trace.truncate(trace.floor_char_boundary(LONGEST_TRACE));
        trace.push('…');
    }
    trace
}

/// Puts file and line in front of a message that does not have them.
fn located(message: String, trace: &str) -> String {
    // What the prelude raised on behalf of a caller.
    let message = match message.strip_prefix("puad:") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').trim(),
        None => &message,
    };
    match trace.lines().next().and_then(place) {
        Some(place) if self::place(message).is_none() => format!("{place}: {message}"),
        Some(_) | None => message.to_owned(),
    }
}

/// Returns where a function begins, as a line of a traceback; nothing for one of the host's.
fn begins_at(function: &Function) -> String {
    let info = function.info();
    match (info.short_src, info.line_defined) {
        (Some(file), Some(line)) if info.what != "C" && file != "puad" => {
            // A top level begins before its first line.
            format!("{file}:{}", line.max(1))
        }
        _ => String::new(),
    }
}

/// Returns the `file:line` that a text begins with.
fn place(text: &str) -> Option<&str> {
    let line = text.find(':').filter(|at| !text[..*at].contains(char::is_whitespace))? + 1;
    let digits = text[line..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &text[..line + digits])
}

/// Takes the host's own frames out of a traceback.
fn trim_trace(trace: &str) -> String {
    let is_own = |line: &&str| {
        let line = line.trim();
        line.is_empty()
            || line == "puad"
            || line.starts_with("puad:")
            || line.starts_with("puad ")
            || line.starts_with("[C]")
            || line == "stack traceback:"
            || line.starts_with("[string \"__mlua")
    };
    let lines: Vec<&str> = trace.lines().filter(|line| !is_own(line)).map(str::trim).collect();
    match lines.len().checked_sub(MOST_LINES) {
        None | Some(0) => lines.join("\n"),
        Some(more) => {
            let (head, tail) = (&lines[..MOST_LINES / 2], &lines[lines.len() - MOST_LINES / 2..]);
            format!("{}\n… {more} more\n{}", head.join("\n"), tail.join("\n"))
        }
    }
}

/// Bytes of an error's text, or of one field of it, that are looked at.
const LONGEST: usize = 4000;
/// Characters of an error's text that are shown, secrets hidden.
const LONGEST_SHOWN: usize = 2000;
/// Bytes of a traceback that are shown.
const LONGEST_TRACE: usize = 4 * 1024;
/// Fields of such a table.
const MOST_FIELDS: usize = 50;
/// Lines of a traceback.
const MOST_LINES: usize = 40;

/// Functions that the prelude asks the host for.
pub(super) fn share(lua: &Lua, host: &Rc<Host>, shared: &Table) -> mlua::Result<()> {
    let own = Rc::downgrade(host);
    shared.set(
        "slack",
        lua.create_function(move |lua, ()| {
            if let Some(host) = own.upgrade() {
                host.budget().lend(lua);
            }
            Ok(())
        })?,
    )?;
    let own = Rc::downgrade(host);
    shared.set(
        "nudge",
        lua.create_function(move |lua, ()| {
            // What waited in a coroutine that was closed is dropped now, not some day.
            let _ = lua.gc_collect();
            if let Some(host) = own.upgrade() {
                host.life.nudge();
            }
            Ok(())
        })?,
    )?;
    let own = Rc::downgrade(host);
    shared.set(
        "activity",
        lua.create_function(move |_, ()| Ok(own.upgrade().map(|host| host.life.activity())))?,
    )?;
    let own = Rc::downgrade(host);
    shared.set(
        "is_active",
        lua.create_function(move |_, id: u64| {
            Ok(own.upgrade().is_some_and(|host| host.life.is_active(id)))
        })?,
    )?;
    shared.set(
        "pause",
        lua.create_async_function(|_, ()| async {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            Ok(())
        })?,
    )?;
    // A set takes a nanosecond or two for each of its bytes and each of the text's.
    shared.set("most_steps", 1_u32 << 28)?;
    // A value takes 16 bytes.
    shared.set("most_elements", host.limits.memory / 16)
}
