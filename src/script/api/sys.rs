//! `sys`: what this machine is doing.
//!
//! The figures are [`machine`](super::super::machine)'s; here they become tables.

use std::{rc::Rc, time::Duration};

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::{
    super::{
        commons::Commons,
        host::Host,
        machine::{Cpu, Disk, Load, Machine, Memory, Process, Traffic, Unknown, Wanted},
    },
    Fault, bind, bind_async, failed_with,
    options::shown,
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    // The first call has something to compare with, too.
    host.commons.machine.begin(&host.name, host.clock.now());
    let table = lua.create_table()?;
    for (name, call, look) in [
        ("cpu", "sys.cpu", cpu as Look),
        ("mem", "sys.mem", |lua, host| memory(lua, &host.commons.machine.memory()?)),
        ("load", "sys.load", |lua, host| load(lua, &host.commons.machine.load()?)),
        ("uptime", "sys.uptime", |_, host| Ok(seconds(host.commons.machine.uptime()?))),
        ("hostname", "sys.hostname", |lua, host| {
            Ok(host.commons.machine.host_name().into_lua(lua)?)
        }),
    ] {
        let owner = host.clone();
        table.set(
            name,
            bind(lua, host, move |lua, _: MultiValue| told(lua, &owner, call, look(lua, &owner)))?,
        )?;
    }
    let owner = host.clone();
    table.set("net", bind(lua, host, move |lua, args| net(lua, &owner, &args))?)?;
    let owner = host.clone();
    table.set(
        "disk",
        bind_async(lua, host, move |lua, args| {
            let owner = owner.clone();
            async move { disk(&lua, &owner, &args).await }
        })?,
    )?;
    let owner = host.clone();
    table.set(
        "processes",
        bind_async(lua, host, move |lua, _| {
            let owner = owner.clone();
            async move {
                let call = "sys.processes";
                let found = aside(&owner, Machine::processes).await;
                let list = found.and_then(|found| {
                    let list: mlua::Result<Vec<_>> =
                        found.iter().map(|found| process(&lua, found)).collect();
                    Ok(Value::Table(lua.create_sequence_from(list?)?))
                });
                told(&lua, &owner, call, list)
            }
        })?,
    )?;
    let owner = host.clone();
    table.set(
        "process",
        bind_async(lua, host, move |lua, args| {
            let owner = owner.clone();
            async move {
                let call = "sys.process";
                let wanted = wanted(call, &args)?;
                let found = aside(&owner, move |machine| machine.process(&wanted)).await;
                let shown = found.and_then(|found| Ok(process(&lua, &found)?));
                told(&lua, &owner, call, shown)
            }
        })?,
    )?;
    Ok(table)
}

/// One question that is answered at once.
type Look = fn(&Lua, &Host) -> Result<Value, Trouble>;

/// Why a call has no answer.
enum Trouble {
    Unknown(Unknown),
    /// It did not come in time.
    Timeout,
    /// Too many others have not come either.
    Busy,
    /// The VM cannot go on.
    Lua(mlua::Error),
}

impl From<Unknown> for Trouble {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown(unknown)
    }
}

impl From<mlua::Error> for Trouble {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// An answer, or `nil, err`.
fn told(
    lua: &Lua,
    host: &Host,
    call: &str,
    result: Result<Value, Trouble>,
) -> Result<(Value, Value), Fault> {
    let (code, why) = match result {
        Ok(value) => return Ok((value, Value::Nil)),
        Err(Trouble::Lua(error)) => return Err(error.into()),
        Err(Trouble::Timeout) => {
            ("timeout", format!("no answer within {} s", LONGEST_WAIT.as_secs()))
        }
        Err(Trouble::Busy) => {
            ("limit", format!("{} looks wait for an answer already", Commons::MOST_ASIDE))
        }
        Err(Trouble::Unknown(unknown)) => {
            let code = match &unknown {
                Unknown::NotFound(_) => "not_found",
                Unknown::Permission(_) => "permission",
                Unknown::Io(_) => "io",
            };
            (code, unknown.to_string())
        }
    };
    Ok(failed_with(lua, host, call, code, format!("{call}: {why}"))?)
}

/// Asks what may not answer, on another thread. A thread that is stuck, as at a dead network
/// mount, stays so; there is a bound on how many there can be.
async fn aside<T: Send + 'static>(
    host: &Host,
    ask: impl FnOnce(&Machine) -> Result<T, Unknown> + Send + 'static,
) -> Result<T, Trouble> {
    let commons = host.commons.clone();
    let Ok(place) = commons.aside.clone().try_acquire_owned() else { return Err(Trouble::Busy) };
    let asked = tokio::task::spawn_blocking(move || {
        let answer = ask(&commons.machine);
        drop(place);
        answer
    });
    match tokio::time::timeout(LONGEST_WAIT, asked).await {
        Ok(Ok(answer)) => Ok(answer?),
        // The thread has broken down or was never begun, since the script ends.
        Ok(Err(error)) => Err(Unknown::Io(error.to_string()).into()),
        Err(_) => Err(Trouble::Timeout),
    }
}

fn net(lua: &Lua, host: &Host, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "sys.net";
    let name = match args.front() {
        None | Some(Value::Nil) => None,
        Some(Value::String(name)) => Some(name.to_string_lossy()),
        Some(other) => {
            return Err(Fault::misuse(format!(
                "{call}: {} is not the name of an interface",
                shown(other)
            )));
        }
    };
    let asked = host.commons.machine.traffic(&host.name, name.as_deref(), host.clock.now());
    let result = asked.map_err(Trouble::from).and_then(|found| Ok(traffic(lua, &found)?));
    told(lua, host, call, result)
}

async fn disk(lua: &Lua, host: &Rc<Host>, args: &MultiValue) -> Result<(Value, Value), Fault> {
    let call = "sys.disk";
    let path = match args.front() {
        Some(Value::String(path)) => host.resolve(&path.to_string_lossy()),
        other => {
            let found = shown(other.unwrap_or(&Value::Nil));
            return Err(Fault::misuse(format!("{call}: first argument: {found} is not a path")));
        }
    };
    let found = aside(host, move |machine| machine.disk(&path)).await;
    let result = found.and_then(|found| Ok(file_system(lua, &found)?));
    told(lua, host, call, result)
}

fn wanted(call: &str, args: &MultiValue) -> Result<Wanted, Fault> {
    match args.front() {
        Some(Value::Integer(pid)) if *pid > 0 && i32::try_from(*pid).is_ok() => {
            Ok(Wanted::Pid(*pid as i32))
        }
        Some(Value::String(name)) if !name.as_bytes().is_empty() => {
            Ok(Wanted::Name(name.to_string_lossy()))
        }
        other => Err(Fault::misuse(format!(
            "{call}: first argument: {} is neither the number nor the name of a process",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

fn cpu(lua: &Lua, host: &Host) -> Result<Value, Trouble> {
    let Cpu { percent, user, system, idle, iowait, cores } =
        host.commons.machine.cpu(&host.name, host.clock.now())?;
    let table = lua.create_table()?;
    for (name, share) in [
        ("percent", percent),
        ("user", user),
        ("system", system),
        ("idle", idle),
        ("iowait", iowait),
    ] {
        table.raw_set(name, share)?;
    }
    table.raw_set("cores", cores)?;
    Ok(Value::Table(table))
}

fn memory(lua: &Lua, memory: &Memory) -> Result<Value, Trouble> {
    let table = lua.create_table()?;
    table.raw_set("total", memory.total)?;
    table.raw_set("used", memory.used)?;
    table.raw_set("available", memory.available)?;
    table.raw_set("percent", memory.percent)?;
    table.raw_set("swap_total", memory.swap_total)?;
    table.raw_set("swap_used", memory.swap_used)?;
    Ok(Value::Table(table))
}

fn load(lua: &Lua, load: &Load) -> Result<Value, Trouble> {
    let table = lua.create_table()?;
    table.raw_set("one", load.one)?;
    table.raw_set("five", load.five)?;
    table.raw_set("fifteen", load.fifteen)?;
    Ok(Value::Table(table))
}

fn file_system(lua: &Lua, disk: &Disk) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("total", disk.total)?;
    table.raw_set("used", disk.used)?;
    table.raw_set("free", disk.free)?;
    table.raw_set("percent", disk.percent)?;
    Ok(Value::Table(table))
}

fn traffic(lua: &Lua, traffic: &Traffic) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("rx_bytes", traffic.rx_bytes)?;
    table.raw_set("tx_bytes", traffic.tx_bytes)?;
    table.raw_set("rx_rate", traffic.rx_rate)?;
    table.raw_set("tx_rate", traffic.tx_rate)?;
    Ok(Value::Table(table))
}

fn process(lua: &Lua, process: &Process) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("pid", process.pid)?;
    table.raw_set("name", process.name.as_str())?;
    table.raw_set("state", process.state)?;
    table.raw_set("memory", process.memory)?;
    table.raw_set("cpu_time", process.cpu_time)?;
    table.raw_set("user", process.user.as_deref())?;
    Ok(Value::Table(table))
}

fn seconds(span: Duration) -> Value {
    Value::Number(span.as_secs_f64())
}

/// How long a call waits for what may not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
