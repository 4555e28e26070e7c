//! `timer`: things that happen again, or later.
//!
//! When they are due is kept by [`schedule`](super::super::schedule).

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mlua::{Lua, MetaMethod, MultiValue, Table, UserData, UserDataMethods, Value};
use tokio::{sync::mpsc, task::spawn_local};

use super::{
    super::{
        host::Host,
        life::Origin,
        schedule::{Firing, TimerId, jitter_offset},
        serial::{Full, Letter, Serial},
    },
    Fault, bind, method,
    options::{Options, duration, handler, own, shown},
};

/// One timer of a script.
pub(in crate::script) struct Timer {
    name: Option<String>,
    interval: Option<Duration>,
    handler: Rc<Serial<Fired>>,
    runs: Cell<u64>,
    /// Firings that did not lead to a run, since the last one that did.
    missed: Cell<u64>,
    /// Whether the log has said that runs take too long.
    warned: Cell<bool>,
}

/// One firing, as the handler sees it.
struct Fired {
    id: TimerId,
    name: Option<String>,
    /// UNIX seconds.
    scheduled: f64,
    lateness: f64,
    missed: u64,
    run: u64,
}

impl Letter for Fired {
    fn table(&self, lua: &Lua, _: &Host) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        table.raw_set("name", self.name.as_deref())?;
        table.raw_set("scheduled", self.scheduled)?;
        table.raw_set("lateness", self.lateness)?;
        table.raw_set("missed", self.missed)?;
        table.raw_set("run", self.run)?;
        Ok(table)
    }

    fn ended(&self, host: &Host) {
        host.timer_ran(self.id);
    }
}

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = methods(lua, host)?;
    let (every_host, every_methods) = (host.clone(), methods.clone());
    table.set(
        "every",
        bind(lua, host, move |lua, args| {
            let known = &["name", "immediate", "jitter", "overlap", "missed", "timeout"];
            let call = Call::read("timer.every", &args, known)?;
            if call.delay < SHORTEST {
                return Err(Fault::misuse(format!(
                    "timer.every: interval: {} is shorter than the 100ms a timer may have",
                    shown(&args[0])
                )));
            }
            let immediate = call.options.flag("immediate")?.unwrap_or(false);
            let jitter = call.options.duration("jitter")?.unwrap_or_default();
            let offset = jitter_offset(
                jitter,
                &every_host.name,
                call.name.as_deref().unwrap_or_default(),
                &host_name(),
            );
            let first = if immediate { offset } else { call.delay + offset };
            let interval = Some(call.delay);
            call.start(&every_host, &every_methods, lua, first, interval)
        })?,
    )?;
    let after_host = host.clone();
    table.set(
        "after",
        bind(lua, host, move |lua, args| {
            let call = Call::read("timer.after", &args, &["name", "timeout"])?;
            let delay = call.delay;
            call.start(&after_host, &methods, lua, delay, None)
        })?,
    )?;
    Ok(table)
}

/// Fires everything that is due.
pub(in crate::script) fn fire_due(host: &Rc<Host>, lua: &Lua) {
    let now = Instant::now();
    loop {
        let Some(firing) = host.schedule.borrow_mut().pop_due(now) else { return };
        let timer = host.timers.borrow().get(&firing.id).cloned();
        if let Some(timer) = timer {
            timer.fire(host, lua, now, &firing);
        }
        if firing.is_last {
            host.timers.borrow_mut().remove(&firing.id);
        }
    }
}

/// Fires every timer now, whenever it is due, and says when their handlers have ended.
pub(in crate::script) fn rehearse(host: &Rc<Host>, lua: &Lua, done: mpsc::UnboundedSender<()>) {
    let now = Instant::now();
    let timers: Vec<_> = host.timers.borrow().iter().map(|(id, t)| (*id, t.clone())).collect();
    for (id, timer) in &timers {
        timer.fire(host, lua, now, &Firing { id: *id, scheduled: now, missed: 0, is_last: false });
    }
    spawn_local(async move {
        while timers.iter().any(|(_, timer)| timer.handler.is_busy()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Whoever asked waits for the end of this.
        drop(done);
    });
}

impl Timer {
    fn fire(&self, host: &Rc<Host>, lua: &Lua, now: Instant, firing: &Firing) {
        let lateness = now.saturating_duration_since(firing.scheduled);
        let fired = Fired {
            id: firing.id,
            name: self.name.clone(),
            scheduled: unix_now() - lateness.as_secs_f64(),
            lateness: lateness.as_secs_f64(),
            missed: self.missed.get() + firing.missed,
            run: self.runs.get() + 1,
        };
        if self.handler.push(host, lua, fired) {
            self.runs.set(self.runs.get() + 1);
            self.missed.set(0);
        } else {
            self.missed.set(self.missed.get() + firing.missed + 1);
            if let Some(interval) = self.interval.filter(|_| !self.warned.replace(true)) {
                let script = &*host.name;
                let name = self.name.as_deref().unwrap_or("without a name");
                tracing::warn!(
                    script,
                    "timer {name}: a run takes longer than its interval of {interval:?}; firings are skipped meanwhile (t.missed counts them)"
                );
            }
        }
    }
}

/// What `every` and `after` have in common.
struct Call {
    op: &'static str,
    delay: Duration,
    function: mlua::Function,
    options: Options,
    name: Option<String>,
}

impl Call {
    fn read(call: &'static str, args: &MultiValue, known: &[&str]) -> Result<Self, Fault> {
        let argument = |at: usize| args.get(at).cloned().unwrap_or(Value::Nil);
        let delay = duration(&argument(0))
            .map_err(|why| Fault::misuse(format!("{call}: first argument: {why}")))?;
        let function = handler(call, args)?;
        let options = Options::new(call, &argument(2), known)?;
        let name = options.text("name")?;
        Ok(Self { op: call, delay, function, options, name })
    }

    fn start(
        self,
        host: &Rc<Host>,
        methods: &Table,
        lua: &Lua,
        first: Duration,
        interval: Option<Duration>,
    ) -> Result<(Value, Value), Fault> {
        let most = host.limits.timers;
        if host.schedule.borrow().len() >= most {
            let message = format!("there are {most} timers already (limits.timers)");
            return Ok(super::failed_with(lua, host, self.op, "limit", message)?);
        }
        let queue = |words| self.options.choice("overlap", words);
        let limit = queue(&[("skip", 0), ("queue", QUEUE)])?.unwrap_or(0);
        let catch_up = self.options.choice("missed", &[("skip", 0), ("once", 1)])?.unwrap_or(0);
        let what = match &self.name {
            Some(name) => format!("timer {name}"),
            None => "timer".into(),
        };
        let timeout = self.options.duration("timeout")?;
        let handler =
            Serial::new(Origin::Timer, self.function, what, limit.max(catch_up), Full::Refuse);
        let timer = Rc::new(Timer {
            name: self.name,
            interval,
            handler: Rc::new(handler.with_timeout(timeout)),
            runs: Cell::new(0),
            missed: Cell::new(0),
            warned: Cell::new(false),
        });
        let id = host.schedule.borrow_mut().add(Instant::now() + first, interval);
        host.timers.borrow_mut().insert(id, timer.clone());
        host.schedule_changed.notify_one();
        let handle = Handle { id, timer, host: host.clone(), methods: methods.clone() };
        Ok((Value::UserData(lua.create_userdata(handle)?), Value::Nil))
    }
}

/// What a script holds of a timer; the timer itself belongs to the host.
struct Handle {
    id: TimerId,
    timer: Rc<Timer>,
    host: Rc<Host>,
    methods: Table,
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::Index, |lua, this, name: String| {
            method(lua, &this.methods, &name)
        });
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("timer {}", this.timer.name.as_deref().unwrap_or("without a name")))
        });
    }
}

fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    let of = |call: &'static str, does: fn(&Lua, &Handle) -> mlua::Result<Value>| {
        bind(lua, host, move |lua, args| {
            let handle = own::<Handle>(call, "t", &args)?;
            Ok(does(lua, &*handle.borrow::<Handle>()?)?)
        })
    };
    let cancel: fn(&Lua, &Handle) -> mlua::Result<Value> = |_, handle| {
        handle.host.timers.borrow_mut().remove(&handle.id);
        handle.host.timer_ran(handle.id);
        Ok(Value::Boolean(handle.host.schedule.borrow_mut().remove(handle.id)))
    };
    methods.set("cancel", of("cancel", cancel)?)?;
    methods.set("close", of("close", cancel)?)?;
    methods.set(
        "fire",
        of("fire", |lua, handle| {
            let (id, timer) = (handle.id, handle.timer.clone());
            handle.host.when_live(lua, move |host, lua| {
                let now = host.now();
                let firing = Firing { id, scheduled: now, missed: 0, is_last: false };
                timer.fire(host, lua, now, &firing);
            });
            Ok(Value::Nil)
        })?,
    )?;
    methods.set("next", of("next", |_, handle| Ok(next(handle)))?)?;
    methods.set(
        "info",
        of("info", |lua, handle| {
            let table = lua.create_table()?;
            table.raw_set("name", handle.timer.name.as_deref())?;
            table.raw_set("interval", handle.timer.interval.map(|every| every.as_secs_f64()))?;
            table.raw_set("next", next(handle))?;
            table.raw_set("runs", handle.timer.runs.get())?;
            table.raw_set("missed", handle.timer.missed.get())?;
            table.raw_set("running", handle.timer.handler.is_busy())?;
            Ok(Value::Table(table))
        })?,
    )?;
    Ok(methods)
}

/// When a timer fires next, in UNIX seconds; nil when it does not any more.
fn next(handle: &Handle) -> Value {
    match handle.host.schedule.borrow().next_of(handle.id) {
        Some(at) => {
            let left = at.saturating_duration_since(Instant::now());
            Value::Number(unix_now() + left.as_secs_f64())
        }
        None => Value::Nil,
    }
}

pub(super) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

const SHORTEST: Duration = Duration::from_millis(100);
/// Firings that wait while `overlap = "queue"`.
const QUEUE: usize = 64;
