//! `exec`: running a program, without a shell.
//!
//! Reads the call and shows the result. How a program is started, fed, stopped
//! and reaped is in [`processes`](super::super::processes).

use std::{
    ffi::OsString,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        process::ExitStatusExt as _,
    },
    process::ExitStatus,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use mlua::{Lua, MultiValue, Table, Value};
use tokio::sync::Semaphore;

use super::{
    super::{
        host::Host,
        plain::Rows,
        processes::{Finished, Order, PATH, RunError},
        signatures,
        testing::Outside,
    },
    Fault, bind_async,
    options::{ENTRY, Options, shown},
    outside::{Trouble, most_bytes, timeout, unless_rehearsal},
    test::faked::{self, Faked},
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let owner = host.clone();
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    table.set(
        "run",
        bind_async(lua, host, move |lua, args| {
            let (host, places) = (owner.clone(), places.clone());
            let order = read(&lua, &host, &args);
            async move {
                let order = order?;
                match run(&host, places, order).await {
                    Ok(finished) => Ok((Value::Table(show(&lua, finished)?), Value::Nil)),
                    Err(trouble) => Ok(trouble.give(&lua, &host, CALL)?),
                }
            }
        })?,
    )?;
    Ok(table)
}

/// Runs a program once the operator allows it and there is room for it.
async fn run(host: &Host, places: Arc<Semaphore>, order: Order) -> Result<Finished, Trouble> {
    unless_rehearsal(host, CALL)?;
    let name = order.program.clone();
    if !host.allow.exec.contains(&name) && !faked::is_open(host) {
        return Err(Trouble::not_allowed(&format!("{name:?}"), "run", "exec"));
    }
    let place = places.acquire_owned().await.expect("the places are never closed");
    let made_up = faked::ask(host, Outside::Exec, || question(&order));
    match tokio::time::timeout(order.timeout, made_up).await {
        Ok(None) => {}
        Ok(Some(answer)) => {
            return answer
                .map(|answer| as_finished(&answer))
                .map_err(|error| error.while_doing(name));
        }
        Err(_) => {
            let error = RunError::Timeout(order.timeout);
            return Err(Trouble::new(code_of(&error), format!("{name}: {error}")));
        }
    }
    let finished = host.commons.processes.run(order, place).await;
    finished.map_err(|error| Trouble::new(code_of(&error), format!("{name}: {error}")))
}

/// What a case is asked instead.
fn question(order: &Order) -> Rows {
    let mut words = vec![faked::text(order.program.as_bytes())];
    words.extend(order.args.iter().map(|word| faked::text(word.as_bytes())));
    let stdin = order.stdin.as_deref().map(faked::text);
    let cwd = faked::text(order.cwd.as_os_str().as_bytes());
    faked::question(words, [("stdin", stdin), ("cwd", Some(cwd))])
}

fn as_finished(answer: &Faked) -> Finished {
    // As wait(2) has it: the exit code above, the signal below.
    let status = match answer.number("signal") {
        Some(signal) => i32::from(signal) & 0x7f,
        None => (i32::from(answer.number("code").unwrap_or_default()) & 0xff) << 8,
    };
    Finished {
        status: ExitStatus::from_raw(status),
        stdout: answer.bytes("stdout"),
        stderr: answer.bytes("stderr"),
        duration: Duration::ZERO,
    }
}

fn code_of(error: &RunError) -> &'static str {
    match error {
        RunError::Unknown | RunError::Folder(_) => "not_found",
        RunError::Start(error) => match error.kind() {
            std::io::ErrorKind::NotFound => "not_found",
            std::io::ErrorKind::PermissionDenied => "permission",
            _ => "io",
        },
        RunError::Timeout(_) => "timeout",
        RunError::Output(_) => "limit",
        RunError::Cancelled => "cancelled",
        RunError::Lost(_) => "io",
    }
}

/// Reads `{ "cmd", "arg", stdin = … }`: arguments in a row, options by name.
fn read(lua: &Lua, host: &Host, args: &MultiValue) -> Result<Order, Fault> {
    let Some(Value::Table(call)) = args.front() else {
        return Err(Fault::misuse(format!(
            "{CALL}: a table is expected, as in {CALL}{{ \"df\", \"-k\" }}, not {}",
            shown(args.front().unwrap_or(&Value::Nil))
        )));
    };
    let count = call.raw_len();
    let named = lua.create_table()?;
    for pair in call.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let is_argument = match key {
            Value::Integer(at) => usize::try_from(at).is_ok_and(|at| (1..=count).contains(&at)),
            Value::Number(at) => at.fract() == 0.0 && at >= 1.0 && at <= count as f64,
            _ => false,
        };
        if !is_argument {
            named.raw_set(key, value)?;
        }
    }
    let options = Options::new(CALL, &Value::Table(named), &signatures::COMMAND)?;
    let mut words = (1..=count).map(|at| word(&options, at, &call.raw_get(at)?));
    let program = words.next().unwrap_or_else(|| {
        Err(Fault::misuse(format!(
            "{CALL}: a program comes first, as in {CALL}{{ \"df\", \"-k\" }}"
        )))
    })?;
    let program = String::from_utf8(program)
        .ok()
        .filter(|name| !name.is_empty() && (name.starts_with('/') || !name.contains('/')))
        .ok_or_else(|| {
            Fault::misuse(format!(
                "{CALL}: {} is not a program: write a name such as \"df\", or an absolute path",
                shown(&call.raw_get(1).unwrap_or(Value::Nil))
            ))
        })?;
    let args = words.map(|word| word.map(OsString::from_vec)).collect::<Result<_, _>>()?;
    let stdin = match options.value("stdin")? {
        Value::Nil => None,
        Value::String(text) => Some(text.as_bytes().to_vec()),
        other => {
            return Err(options.refuse("stdin", format_args!("{} is not a text", shown(&other))));
        }
    };
    Ok(Order {
        program,
        args,
        env: environment(&options)?,
        cwd: host.resolve(&options.text("cwd")?.unwrap_or_default()),
        stdin,
        timeout: timeout(&options, USUAL_TIMEOUT)?,
        max_output: most_bytes(&options, "max_output", host)?,
    })
}

/// Reads one word of the command line.
fn word(options: &Options, at: usize, value: &Value) -> Result<Vec<u8>, Fault> {
    let word = match value {
        Value::String(text) => {
            options.weigh(&format!("[{at}]"), ENTRY + text.as_bytes().len())?;
            text.as_bytes().to_vec()
        }
        Value::Integer(_) | Value::Number(_) => value.to_string()?.into_bytes(),
        other => {
            return Err(Fault::misuse(format!("{CALL}: [{at}]: {} is not a text", shown(other))));
        }
    };
    if word.contains(&0) {
        return Err(Fault::misuse(format!("{CALL}: [{at}]: a NUL cannot be given to a program")));
    }
    Ok(word)
}

/// Returns the whole environment: what every program needs, and what the call adds.
fn environment(options: &Options) -> Result<Vec<(OsString, OsString)>, Fault> {
    // puad's own environment may hold secrets. Output to be read wants one language.
    let mut all = vec![("PATH".into(), PATH.into()), ("LANG".into(), "C.UTF-8".into())];
    for name in ["HOME", "TZ"] {
        all.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    let given = match options.value("env")? {
        Value::Nil => return Ok(all),
        Value::Table(given) => given,
        other => {
            let why = format_args!("{} is not a table of names and values", shown(&other));
            return Err(options.refuse("env", why));
        }
    };
    for pair in given.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let Value::String(text) = &name else {
            return Err(options.refuse("env", format_args!("{} is not a name", shown(&name))));
        };
        let text = text.as_bytes();
        let length = match &value {
            Value::String(value) => value.as_bytes().len(),
            _ => 0,
        };
        options.weigh("env", ENTRY + text.len() + length)?;
        if !is_name(&text) {
            let why = "is not a name (letters, digits and _, beginning with no digit)";
            return Err(options.refuse("env", format_args!("{} {why}", shown(&name))));
        }
        if brings_code(&text) {
            let why = "changes which code a program runs, and may not be set";
            return Err(options.refuse("env", format_args!("{} {why}", shown(&name))));
        }
        let value = match &value {
            Value::String(value) if !value.as_bytes().contains(&0) => value.as_bytes().to_vec(),
            Value::Integer(_) | Value::Number(_) => value.to_string()?.into_bytes(),
            other => {
                let field = format!("env.{}", String::from_utf8_lossy(&text));
                return Err(options.refuse(&field, format_args!("{} is not a text", shown(other))));
            }
        };
        all.push((OsString::from_vec(text.to_vec()), OsString::from_vec(value)));
    }
    Ok(all)
}

/// Names as POSIX has them for shells, which import functions under others.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Returns whether a variable makes shells, the linker or the usual interpreters run code that its
/// value names, so that an allowed program becomes any program.
///
/// This is a sieve, not a wall: a program may have a variable of its own that does the same. Whoever
/// allows one must know what it makes of its environment, as of its arguments.
fn brings_code(name: &[u8]) -> bool {
    CODE_NAMES.contains(&name) || CODE_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

const CODE_NAMES: [&[u8]; 7] =
    [b"PATH", b"IFS", b"ENV", b"PS4", b"SHELLOPTS", b"BASHOPTS", b"GCONV_PATH"];
const CODE_BEGINNINGS: [&[u8]; 7] =
    [b"LD_", b"BASH_", b"PERL5", b"PYTHON", b"RUBY", b"NODE_", b"GIT_"];

fn show(lua: &Lua, finished: Finished) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("code", finished.status.code())?;
    table.raw_set("signal", finished.status.signal())?;
    table.raw_set("stdout", lua.create_string(finished.stdout)?)?;
    table.raw_set("stderr", lua.create_string(finished.stderr)?)?;
    table.raw_set("duration", finished.duration.as_secs_f64())?;
    Ok(table)
}

const CALL: &str = "exec.run";
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Programs of one script at a time; further calls wait for their turn.
const AT_A_TIME: usize = 8;
