//! What the calls of `timer` say: when, what then, and how.

use std::{rc::Rc, time::Duration};

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{
    super::{
        super::{
            host::Host,
            life::Origin,
            schedule::{
                calendar::{Calendar, Wrong},
                jitter_offset,
                plan::{Appointments, Plan},
            },
            serial::{Full, Serial},
            signatures,
        },
        Fault, bind, failed_with,
        options::{Options, duration, handler, shown},
    },
    Counts, Timer, arm,
    handle::{self, Handle},
};

/// What every call returns: a timer, or `nil, err`.
type Made = Result<(Value, Value), Fault>;
type Maker = fn(Call) -> Made;

/// Builds the table.
pub(in super::super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = handle::methods(lua, host)?;
    let calls: [(&str, Maker); 4] =
        [("every", every), ("after", after), ("at", at), ("cron", cron)];
    for (name, make) in calls {
        let (host_of_call, methods) = (host.clone(), methods.clone());
        table.set(
            name,
            bind(lua, host, move |lua, args: MultiValue| {
                make(Call { lua, host: &host_of_call, methods: &methods, args: &args })
            })?,
        )?;
    }
    Ok(table)
}

/// One call.
struct Call<'a> {
    lua: &'a Lua,
    host: &'a Rc<Host>,
    methods: &'a Table,
    args: &'a MultiValue,
}

fn every(call: Call) -> Made {
    let op = "timer.every";
    let interval = call.span(op)?;
    if interval < SHORTEST {
        return Err(Fault::misuse(format!(
            "{op}: interval: {} is shorter than the 100ms a timer may have",
            shown(&call.first())
        )));
    }
    let function = handler(op, call.args)?;
    let options = Options::new(op, &call.third(), &signatures::EVERY_OPTIONS)?;
    let is_immediate = options.flag("immediate")?.unwrap_or(false);
    let offset = call.offset(&options)?;
    let repeats = Repeats::read(&options)?;
    call.make(op, &options, function, Plan::Every { interval, is_immediate, offset }, repeats)
}

fn after(call: Call) -> Made {
    let op = "timer.after";
    let delay = call.span(op)?;
    let function = handler(op, call.args)?;
    let options = Options::new(op, &call.third(), &signatures::AFTER_OPTIONS)?;
    call.make(op, &options, function, Plan::After { delay }, Repeats::default())
}

fn at(call: Call) -> Made {
    let op = "timer.at";
    let text = match call.first() {
        Value::String(text) => text.to_string_lossy(),
        number @ (Value::Integer(_) | Value::Number(_)) => {
            return Err(Fault::misuse(format!(
                "{op}: first argument: {} is not a time, such as \"14:00\"; for a point in UNIX seconds write timer.after(t - os.time(), …)",
                shown(&number)
            )));
        }
        other => {
            return Err(Fault::misuse(format!(
                "{op}: first argument: {} is not a time (\"14:00\", \"14:00:30\" or \"2026-12-24 18:00\")",
                shown(&other)
            )));
        }
    };
    let function = handler(op, call.args)?;
    let options = Options::new(op, &call.third(), &signatures::AT_OPTIONS)?;
    let calendar =
        Calendar::at(&text, options.text("tz")?).map_err(|wrong| refuse(op, &options, wrong))?;
    let wall = call.host.clock.wall();
    if calendar.date().is_some() && calendar.next(wall).is_none() {
        // No mistake: what was written before the date is run again after it.
        let why = format!("{} has passed; the timer will not fire", calendar.text());
        return call.decline(op, "timeout", why);
    }
    let terms = Appointments { calendar, offset: Duration::ZERO, catches_up: false };
    call.make(op, &options, function, Plan::Calendar(terms), Repeats::default())
}

fn cron(call: Call) -> Made {
    let op = "timer.cron";
    let Value::String(line) = call.first() else {
        return Err(Fault::misuse(format!(
            "{op}: first argument: {} is not a line of a crontab, such as \"*/5 * * * *\"",
            shown(&call.first())
        )));
    };
    let function = handler(op, call.args)?;
    let options = Options::new(op, &call.third(), &signatures::CRON_OPTIONS)?;
    let calendar =
        Calendar::cron(&line.to_string_lossy(), options.text("tz")?, call.host.clock.wall())
            .map_err(|wrong| refuse(op, &options, wrong))?;
    let offset = call.offset(&options)?;
    let repeats = Repeats::read(&options)?;
    let terms = Appointments { calendar, offset, catches_up: repeats.catches_up };
    call.make(op, &options, function, Plan::Calendar(terms), repeats)
}

fn refuse(op: &str, options: &Options, wrong: Wrong) -> Fault {
    match wrong {
        Wrong::Moment(why) => Fault::misuse(format!("{op}: first argument: {why}")),
        Wrong::Zone(why) => options.refuse("tz", why),
    }
}

/// What becomes of firings of a timer that fires more than once.
#[derive(Debug, Clone, Copy, Default)]
struct Repeats {
    /// How many wait while a run is under way.
    queue: usize,
    /// Whether one run makes up for those that could not take place.
    catches_up: bool,
}

impl Repeats {
    fn read(options: &Options) -> Result<Self, Fault> {
        let queue = options.choice("overlap", &[("skip", 0), ("queue", QUEUE)])?.unwrap_or(0);
        let missed = options.choice("missed", &[("skip", false), ("once", true)])?;
        Ok(Self { queue, catches_up: missed.unwrap_or(false) })
    }
}

impl Call<'_> {
    fn first(&self) -> Value {
        self.args.front().cloned().unwrap_or(Value::Nil)
    }

    fn third(&self) -> Value {
        self.args.get(2).cloned().unwrap_or(Value::Nil)
    }

    fn span(&self, op: &str) -> Result<Duration, Fault> {
        duration(&self.first()).map_err(|why| Fault::misuse(format!("{op}: first argument: {why}")))
    }

    /// Reads `jitter` as the offset this timer has in it.
    fn offset(&self, options: &Options) -> Result<Duration, Fault> {
        let jitter = options.duration("jitter")?.unwrap_or_default();
        if self.host.fakes.is_some() {
            // A test tells to the second what happens when, on whichever machine.
            return Ok(Duration::ZERO);
        }
        // Those without a name go by what they are, so that several do not fall on one point.
        let name = match options.name("name")? {
            Some(name) => name,
            None => format!("\0{}", self.host.timers.borrow().len()),
        };
        Ok(jitter_offset(jitter, &self.host.name, &name, &host_name()))
    }

    /// Makes the timer, which is armed as soon as this version of the script counts.
    fn make(
        self,
        op: &str,
        options: &Options,
        function: Function,
        plan: Plan,
        repeats: Repeats,
    ) -> Made {
        let name = options.name("name")?;
        let queue = repeats.queue.max(usize::from(repeats.catches_up));
        let timeout = options.duration("timeout")?;
        let most = self.host.limits.timers;
        if self.host.timers.borrow().len() >= most {
            let why = format!("there are {most} timers already (limits.timers)");
            return Ok(failed_with(self.lua, self.host, op, "limit", why)?);
        }
        let namesake = name.as_deref().and_then(|name| self.host.timers.borrow().named(name));
        if let (Some(name), Some(other)) = (&name, namesake) {
            let why = format!(
                "there is a timer named {name:?} already ({}); cancel it first, or choose another name",
                other.plan.words()
            );
            return self.decline(op, "conflict", why);
        }
        let what = match &name {
            Some(name) => format!("timer {name}"),
            None => "timer".into(),
        };
        let handler = Serial::new(Origin::Timer, function, what, queue, Full::Refuse);
        let timer = Rc::new(Timer {
            name,
            plan,
            handler: Rc::new(handler.with_timeout(timeout)),
            counts: Rc::new(Counts::default()),
            warned: false.into(),
        });
        let id = self.host.schedule.borrow_mut().number();
        self.host.timers.borrow_mut().insert(id, timer.clone());
        self.host.when_live(self.lua, move |host, _| arm(host, id));
        let handle = Handle::new(id, timer, self.host, self.methods);
        Ok((Value::UserData(self.lua.create_userdata(handle)?), Value::Nil))
    }

    /// `nil, err`, and a line in the log: who sets a timer seldom looks at what comes back.
    fn decline(&self, op: &str, code: &str, why: String) -> Made {
        let script = &*self.host.name;
        tracing::warn!(script, "{op}: {why}");
        Ok(failed_with(self.lua, self.host, op, code, format!("{op}: {why}"))?)
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

const SHORTEST: Duration = Duration::from_millis(100);
/// Firings that wait while `overlap = "queue"`.
const QUEUE: usize = 64;
