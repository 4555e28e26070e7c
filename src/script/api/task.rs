//! `task` and `sleep`: several things at a time inside one script.

use std::{rc::Rc, time::Duration};

use mlua::{
    Function, Lua, MetaMethod, MultiValue, Table, UserData, UserDataFields, UserDataMethods, Value,
};
use tokio::task::{AbortHandle, JoinHandle, spawn_local};

use super::{
    super::{
        activity::Raised,
        host::Host,
        life::Origin,
        signatures::{self, TASK},
    },
    Fault, bind, bind_async, failed_with,
    held::{self, Held, own},
    options::{duration, shown},
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = methods(lua, host)?;
    let spawner = host.clone();
    table.set(
        "spawn",
        bind(lua, host, move |lua, mut args: MultiValue| {
            let function = function("task.spawn", args.pop_front())?;
            let Some(place) = spawner.begin_task() else {
                return Ok(too_many(lua, &spawner, "task.spawn")?);
            };
            let host = spawner.clone();
            let burst = host.budget().burst();
            let task = spawn_local(async move {
                let _place = place;
                // One of those it was begun with has been stopped, and said so.
                if burst.is_stopped() {
                    return;
                }
                let run = host.run_within(Some(burst), Origin::Event, function, args);
                if let Err(raised) = run.await {
                    host.report("task", &raised.problem);
                }
            });
            let task = lua.create_userdata(Task {
                activity: task.abort_handle(),
                methods: methods.clone(),
            })?;
            Ok((Value::UserData(task), Value::Nil))
        })?,
    )?;
    table.set("wait", sleep_as(lua, host, "task.wait")?)?;
    table.set(
        "cancel",
        bind(lua, host, |_, args: MultiValue| match args.front() {
            Some(Value::UserData(task)) if task.is::<Task>() => Ok(task.borrow::<Task>()?.end()),
            other => Err(Fault::misuse(format!(
                "task.cancel: {} is not a task",
                shown(other.unwrap_or(&Value::Nil))
            ))),
        })?,
    )?;
    let runner = host.clone();
    table.set("all", bind_async(lua, host, move |lua, args| all(lua, runner.clone(), args))?)?;
    Ok(table)
}

/// `sleep(d)`.
pub(super) fn sleep(lua: &Lua, host: &Host) -> mlua::Result<Function> {
    sleep_as(lua, host, "sleep")
}

fn sleep_as(lua: &Lua, host: &Host, call: &'static str) -> mlua::Result<Function> {
    bind_async(lua, host, move |_, args: MultiValue| {
        let wait = duration(args.front().unwrap_or(&Value::Nil));
        async move {
            let wait = wait.map_err(|why| Fault::misuse(format!("{call}: {why}")))?;
            // A zero sleep still lets others have their turn.
            tokio::time::sleep(wait.max(Duration::from_micros(1))).await;
            Ok(())
        }
    })
}

/// Runs functions side by side and returns the first result of each, in their order. An error in
/// one ends the others and is raised as it is, table or text.
async fn all(lua: Lua, host: Rc<Host>, args: MultiValue) -> Result<(Value, Value), Fault> {
    let list = match args.front() {
        Some(Value::Table(list)) if list.raw_len() > 0 || list.is_empty() => list,
        _ => {
            return Err(Fault::misuse(
                "task.all: a list of functions is expected, as in task.all{ f, g }",
            ));
        }
    };
    let mut running = Running(Vec::new());
    for item in list.sequence_values::<Value>() {
        let function = function("task.all", Some(item?))?;
        let Some(place) = host.begin_task() else {
            return Ok(too_many(&lua, &host, "task.all")?);
        };
        let (host, origin, burst) = (host.clone(), host.life.origin(), Some(host.budget().burst()));
        running.0.push(spawn_local(async move {
            let result = host.run_within(burst, origin, function, ()).await;
            drop(place);
            result
        }));
    }
    let results = lua.create_table()?;
    results.raw_set("n", running.0.len())?;
    for at in 0..running.0.len() {
        match (&mut running.0[at]).await {
            Ok(Ok(mut values)) => {
                results.raw_set(at + 1, values.pop_front().unwrap_or(Value::Nil))?;
            }
            Ok(Err(raised)) => {
                let Raised { problem, value } = *raised;
                if let Some(call) = problem.not_done {
                    host.note_not_done(call);
                }
                if problem.killed {
                    // Counted here, whatever becomes of the error.
                    host.report("task.all", &problem);
                }
                let value = match value {
                    Some(value) => value,
                    None => Value::String(lua.create_string(&problem.message)?),
                };
                return Err(Fault::Raised { value, trace: problem.trace });
            }
            Err(_) => return Err(mlua::Error::runtime("task.all: a task was cancelled").into()),
        }
    }
    Ok((Value::Table(results), Value::Nil))
}

fn too_many(lua: &Lua, host: &Host, op: &str) -> mlua::Result<(Value, Value)> {
    let message = format!("there are {} tasks already (limits.tasks)", host.limits.tasks);
    failed_with(lua, host, op, "limit", message)
}

/// Activities that end with whoever waits for them.
struct Running(Vec<JoinHandle<Result<MultiValue, Box<Raised>>>>);

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What `task.spawn` returns. Dropping it does not end the task.
struct Task {
    activity: AbortHandle,
    methods: Table,
}

impl Task {
    /// Ends it at the point at which it waits, or will wait next; returns whether it had not ended.
    fn end(&self) -> bool {
        let goes_on = !self.activity.is_finished();
        self.activity.abort();
        goes_on
    }
}

/// Methods of tasks.
fn methods(lua: &Lua, host: &Host) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    for name in ["cancel", "close"] {
        let bound = bind(lua, host, move |_, args| {
            Ok(own::<Task>(name, "task", &args)?.borrow::<Task>()?.end())
        })?;
        methods.set(name, bound)?;
    }
    held::checked(methods, &TASK)
}

impl Held for Task {
    const SHAPE: &'static signatures::Handle = &TASK;

    fn methods(&self) -> Option<&Table> {
        Some(&self.methods)
    }
}

impl UserData for Task {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        held::names::<Self, F>(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(if this.activity.is_finished() { "task (ended)" } else { "task (running)" })
        });
    }
}

fn function(call: &str, value: Option<Value>) -> Result<Function, Fault> {
    match value {
        Some(Value::Function(function)) => Ok(function),
        other => Err(Fault::misuse(format!(
            "{call}: {} is not a function",
            shown(&other.unwrap_or(Value::Nil))
        ))),
    }
}
