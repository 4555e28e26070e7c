//! What a script holds of a timer; the timer itself belongs to the host.

use std::rc::Rc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::{
    super::{
        super::{
            clock::unix,
            host::Host,
            life::Phase,
            schedule::{
                TimerId,
                plan::{Due, Entry, Plan},
            },
            signatures::{self, TIMER},
        },
        bind,
        held::{self, Held, own},
    },
    Timer, cancel, fire_by_hand,
};

/// The handle.
pub(super) struct Handle {
    id: TimerId,
    timer: Rc<Timer>,
    host: Rc<Host>,
    methods: Table,
}

impl Held for Handle {
    const SHAPE: &'static signatures::Handle = &TIMER;

    fn methods(&self) -> Option<&Table> {
        Some(&self.methods)
    }
}

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        held::names::<Self, F>(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("timer {}", this.timer.name.as_deref().unwrap_or("without a name")))
        });
    }
}

type Method = fn(&Handle, &Lua) -> mlua::Result<Value>;

/// Builds the methods.
pub(super) fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    let all: [(&'static str, Method); 5] = [
        ("cancel", |handle, _| Ok(Value::Boolean(cancel(&handle.host, handle.id)))),
        ("close", |handle, _| Ok(Value::Boolean(cancel(&handle.host, handle.id)))),
        ("fire", |handle, lua| Ok(Value::Boolean(handle.fire(lua)))),
        ("next", |handle, _| Ok(handle.next().map_or(Value::Nil, Value::Number))),
        ("info", |handle, lua| Ok(Value::Table(handle.info(lua)?))),
    ];
    for (name, does) in all {
        let bound = bind(lua, host, move |lua, args| {
            let handle = own::<Handle>(name, "t", &args)?;
            let handle = handle.borrow::<Handle>()?;
            Ok(does(&handle, lua)?)
        })?;
        methods.set(name, bound)?;
    }
    held::checked(methods, &TIMER)
}

/// When a timer fires next, in UNIX seconds; one that is not armed yet, as if it were now.
pub(super) fn next(host: &Host, id: TimerId, timer: &Timer) -> Option<f64> {
    let (now, wall) = (host.clock.now(), host.clock.wall());
    let armed = host.schedule.borrow().get(id).map(Entry::due);
    let due = match armed {
        Some(due) => due,
        None => {
            host.timers.borrow().get(id)?;
            timer.plan.begin(now, wall)?.due()
        }
    };
    Some(match due {
        Due::Wall(at) => unix(at),
        Due::Elapsed(at) => unix(wall) + at.saturating_duration_since(now).as_secs_f64(),
    })
}

impl Handle {
    pub(super) fn new(id: TimerId, timer: Rc<Timer>, host: &Rc<Host>, methods: &Table) -> Self {
        Self { id, timer, host: host.clone(), methods: methods.clone() }
    }

    /// Fires by hand: now, or when this version of the script counts.
    fn fire(&self, lua: &Lua) -> bool {
        let id = self.id;
        match self.host.life.phase() {
            Phase::Live => fire_by_hand(&self.host, lua, id),
            Phase::Staging => {
                self.host.when_live(lua, move |host, lua| {
                    fire_by_hand(host, lua, id);
                });
                self.host.timers.borrow().get(id).is_some()
            }
            Phase::Ending => false,
        }
    }

    fn next(&self) -> Option<f64> {
        next(&self.host, self.id, &self.timer)
    }

    fn info(&self, lua: &Lua) -> mlua::Result<Table> {
        let timer = &self.timer;
        let table = lua.create_table()?;
        table.raw_set("name", timer.name.as_deref())?;
        table.raw_set("kind", timer.plan.kind())?;
        table.raw_set("schedule", timer.plan.words())?;
        match &timer.plan {
            Plan::After { delay } => table.raw_set("delay", delay.as_secs_f64())?,
            Plan::Every { interval, .. } => table.raw_set("interval", interval.as_secs_f64())?,
            Plan::Calendar(terms) => {
                table.raw_set(timer.plan.kind(), terms.calendar.text())?;
                table.raw_set("tz", terms.calendar.zone())?;
            }
        }
        table.raw_set("next", self.next())?;
        table.raw_set("runs", timer.counts.runs.get())?;
        table.raw_set("missed", timer.counts.missed.get())?;
        table.raw_set("running", timer.handler.is_busy())?;
        Ok(table)
    }
}
