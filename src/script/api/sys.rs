//! `sys`: what this machine is doing, from `/proc`.

use std::{cell::RefCell, rc::Rc, time::Instant};

use mlua::{Lua, MultiValue, Table, Value};
use procfs::{CpuTime, Current, CurrentSI, KernelStats, LoadAverage, Meminfo};

use super::{super::host::Host, bind, failed_with};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    // The first call has something to compare with, too.
    let meter = RefCell::new(Meter::default());
    let _ = meter.borrow_mut().sample(host.clock.now());
    let owner = host.clone();
    table.set(
        "cpu",
        bind(lua, host, move |lua, _: MultiValue| {
            match meter.borrow_mut().sample(owner.clock.now()) {
                Ok(usage) => Ok((Value::Table(usage.table(lua)?), Value::Nil)),
                Err(error) => Ok(unreadable(lua, &owner, "sys.cpu", &error)?),
            }
        })?,
    )?;
    let owner = host.clone();
    table.set(
        "mem",
        bind(lua, host, move |lua, _: MultiValue| match Meminfo::current() {
            Ok(info) => Ok((Value::Table(memory(lua, &info)?), Value::Nil)),
            Err(error) => Ok(unreadable(lua, &owner, "sys.mem", &error)?),
        })?,
    )?;
    let owner = host.clone();
    table.set(
        "load",
        bind(lua, host, move |lua, _: MultiValue| match LoadAverage::current() {
            Ok(load) => {
                let table = lua.create_table()?;
                for (name, value) in
                    [("one", load.one), ("five", load.five), ("fifteen", load.fifteen)]
                {
                    // The kernel prints two decimals; widening must not invent more.
                    table.raw_set(name, (f64::from(value) * 100.0).round() / 100.0)?;
                }
                Ok((Value::Table(table), Value::Nil))
            }
            Err(error) => Ok(unreadable(lua, &owner, "sys.load", &error)?),
        })?,
    )?;
    Ok(table)
}

fn unreadable(
    lua: &Lua,
    host: &Host,
    op: &str,
    error: &procfs::ProcError,
) -> mlua::Result<(Value, Value)> {
    failed_with(lua, host, op, "io", format!("{op}: {error}"))
}

/// Turns the kernel's growing counters into shares of the time between two looks.
#[derive(Default)]
struct Meter {
    /// The look that rates are computed from.
    from: Option<(Instant, Times)>,
    last: Usage,
}

/// Ticks since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    other: u64,
}

/// Shares in percent of all cores.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Usage {
    user: f64,
    system: f64,
    idle: f64,
    iowait: f64,
    percent: f64,
    cores: usize,
}

impl Meter {
    fn sample(&mut self, now: Instant) -> Result<Usage, procfs::ProcError> {
        let stats = KernelStats::current()?;
        Ok(self.look(now, Times::of(&stats.total), stats.cpu_time.len()))
    }

    fn look(&mut self, now: Instant, times: Times, cores: usize) -> Usage {
        let Some((at, from)) = self.from else {
            self.from = Some((now, times));
            // Since boot: better than nothing until there are two looks.
            self.last = Usage::between(Times::default(), times, cores);
            return self.last;
        };
        // The kernel counts hundredths of a second: looks that follow each other closely say nothing.
        if now.duration_since(at).as_millis() < 100 {
            return self.last;
        }
        self.from = Some((now, times));
        self.last = Usage::between(from, times, cores);
        self.last
    }
}

impl Times {
    fn of(times: &CpuTime) -> Self {
        Self {
            user: times.user + times.nice,
            system: times.system,
            idle: times.idle,
            iowait: times.iowait.unwrap_or(0),
            other: [times.irq, times.softirq, times.steal].into_iter().flatten().sum(),
        }
    }
}

impl Usage {
    fn between(from: Times, to: Times, cores: usize) -> Self {
        let ticks = |get: fn(&Times) -> u64| get(&to).saturating_sub(get(&from)) as f64;
        let (user, system, idle) = (ticks(|t| t.user), ticks(|t| t.system), ticks(|t| t.idle));
        let (iowait, other) = (ticks(|t| t.iowait), ticks(|t| t.other));
        let total = (user + system + idle + iowait + other).max(1.0);
        let share = |ticks: f64| 100.0 * ticks / total;
        Self {
            user: share(user),
            system: share(system),
            idle: share(idle),
            iowait: share(iowait),
            percent: share(user + system + other),
            cores,
        }
    }

    fn table(&self, lua: &Lua) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        table.raw_set("percent", self.percent)?;
        table.raw_set("user", self.user)?;
        table.raw_set("system", self.system)?;
        table.raw_set("idle", self.idle)?;
        table.raw_set("iowait", self.iowait)?;
        table.raw_set("cores", self.cores)?;
        Ok(table)
    }
}

fn memory(lua: &Lua, info: &Meminfo) -> mlua::Result<Table> {
    let available = info.mem_available.unwrap_or(info.mem_free + info.cached + info.buffers);
    let used = info.mem_total.saturating_sub(available);
    let table = lua.create_table()?;
    table.raw_set("total", info.mem_total)?;
    table.raw_set("used", used)?;
    table.raw_set("available", available)?;
    table.raw_set("percent", 100.0 * used as f64 / info.mem_total.max(1) as f64)?;
    table.raw_set("swap_total", info.swap_total)?;
    table.raw_set("swap_used", info.swap_total.saturating_sub(info.swap_free))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let before = Times { user: 100, system: 100, idle: 800, iowait: 0, other: 0 };
        assert_eq!(meter.look(start, before, 2).percent, 20.0);
        let after = Times { user: 130, system: 110, idle: 850, iowait: 10, other: 0 };
        // Too close to the last look to say anything new.
        assert_eq!(meter.look(start + Duration::from_millis(50), after, 2).percent, 20.0);
        let usage = meter.look(start + Duration::from_secs(1), after, 2);
        assert_eq!((usage.user, usage.system, usage.idle, usage.iowait), (30.0, 10.0, 50.0, 10.0));
        assert_eq!((usage.percent, usage.cores), (40.0, 2));
    }
}
