//! `timer`: things that happen again, or later.
//!
//! What a call says is read by [`call`]; what a script holds is a [`handle`].
//! When timers are due is kept by [`schedule`](super::super::schedule).

mod call;
mod handle;

pub(super) use call::table;

use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use mlua::{Lua, Table};
use tokio::{sync::mpsc, task::spawn_local};

use super::super::{
    clock::unix,
    host::Host,
    schedule::{
        TimerId,
        plan::{Entry, Plan},
    },
    serial::{Letter, Serial},
    status::TimerInfo,
};

/// One timer of a script.
pub(in crate::script) struct Timer {
    name: Option<String>,
    plan: Plan,
    handler: Rc<Serial<Fired>>,
    counts: Rc<Counts>,
    /// Whether the log has said that runs take too long.
    warned: Cell<bool>,
}

/// What a timer counts.
#[derive(Debug, Default)]
struct Counts {
    runs: Cell<u64>,
    /// Firings that did not lead to a run.
    missed: Cell<u64>,
    /// Those of them since the last one that did.
    missed_since: Cell<u64>,
}

/// The timers of a script by number, and which of them has which name.
#[derive(Default)]
pub(in crate::script) struct Timers {
    timers: BTreeMap<TimerId, Rc<Timer>>,
    names: BTreeMap<String, TimerId>,
}

/// Where a named timer stands: what its successor in the next version of the script begins with.
#[derive(Debug, Clone)]
pub(in crate::script) struct Phase {
    entry: Entry,
    runs: u64,
    missed: u64,
    missed_since: u64,
}

impl Timers {
    /// Returns how many there are.
    pub(in crate::script) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Returns the numbers of all.
    pub(in crate::script) fn ids(&self) -> impl Iterator<Item = TimerId> + '_ {
        self.timers.keys().copied()
    }

    /// Lets go of all.
    pub(in crate::script) fn clear(&mut self) {
        self.timers.clear();
        self.names.clear();
    }

    fn get(&self, id: TimerId) -> Option<Rc<Timer>> {
        self.timers.get(&id).cloned()
    }

    fn named(&self, name: &str) -> Option<Rc<Timer>> {
        self.get(*self.names.get(name)?)
    }

    fn insert(&mut self, id: TimerId, timer: Rc<Timer>) {
        if let Some(name) = &timer.name {
            self.names.insert(name.clone(), id);
        }
        self.timers.insert(id, timer);
    }

    fn remove(&mut self, id: TimerId) -> Option<Rc<Timer>> {
        let timer = self.timers.remove(&id)?;
        if let Some(name) = &timer.name {
            self.names.remove(name);
        }
        Some(timer)
    }
}

/// Returns what is shown of every timer, in the order they were made.
pub(in crate::script) fn list(host: &Host) -> Vec<TimerInfo> {
    let timers: Vec<_> =
        host.timers.borrow().timers.iter().map(|(id, timer)| (*id, timer.clone())).collect();
    let info = |(id, timer): (TimerId, Rc<Timer>)| TimerInfo {
        name: timer.name.clone(),
        kind: timer.plan.kind(),
        schedule: timer.plan.words().to_string(),
        // On hold it does not fire; when it will is not known.
        next: handle::next(host, id, &timer).filter(|_| !host.is_held()),
        runs: timer.counts.runs.get(),
        missed: timer.counts.missed.get(),
        running: timer.handler.is_busy(),
    };
    timers.into_iter().map(info).collect()
}

/// Enters a timer that was made in the schedule: what it is to wait begins now, or goes on where a
/// timer of the same name stood. One that was cancelled before stays so.
pub(in crate::script) fn arm(host: &Host, id: TimerId) {
    let Some(timer) = host.timers.borrow().get(id) else { return };
    let phase = timer.name.as_ref().and_then(|name| host.phases.borrow_mut().remove(name));
    let resumed = phase.and_then(|phase| Some((timer.plan.resume(&phase.entry)?, phase)));
    let entry = match resumed {
        Some((entry, phase)) => {
            timer.counts.runs.set(phase.runs);
            timer.counts.missed.set(phase.missed);
            timer.counts.missed_since.set(phase.missed_since);
            Some(entry)
        }
        None => timer.plan.begin(host.clock.now(), host.clock.wall()),
    };
    match entry {
        Some(entry) => {
            host.schedule.borrow_mut().enter(id, entry);
            host.schedule_changed.notify_one();
        }
        // Only at the end of the calendar is there nothing to come.
        None => {
            host.timers.borrow_mut().remove(id);
        }
    }
}

/// Returns where every named timer stands. One that is due and has not fired yet is due for its
/// successor; what waits for a run that still goes on is missed.
pub(in crate::script) fn phases(host: &Host) -> BTreeMap<String, Phase> {
    let (timers, schedule) = (host.timers.borrow(), host.schedule.borrow());
    let phase = |(name, id): (&String, &TimerId)| {
        let (timer, entry) = (timers.get(*id)?, schedule.get(*id)?);
        let waiting = timer.handler.waiting() as u64;
        let phase = Phase {
            entry: entry.clone(),
            runs: timer.counts.runs.get(),
            missed: timer.counts.missed.get() + waiting,
            missed_since: timer.counts.missed_since.get() + waiting,
        };
        Some((name.clone(), phase))
    };
    timers.names.iter().filter_map(phase).collect()
}

/// Ends a timer; a run that has begun goes on. Returns whether there was anything to end.
fn cancel(host: &Host, id: TimerId) -> bool {
    let Some(timer) = take_out(host, id) else { return false };
    timer.handler.forget();
    host.timer_ran(id);
    true
}

fn take_out(host: &Host, id: TimerId) -> Option<Rc<Timer>> {
    host.schedule.borrow_mut().remove(id);
    host.timers.borrow_mut().remove(id)
}

/// Fires a timer by hand; returns whether it will run. What happens once has happened then; the
/// next firing of others stays where it is.
fn fire_by_hand(host: &Rc<Host>, lua: &Lua, id: TimerId) -> bool {
    let Some(timer) = host.timers.borrow().get(id) else { return false };
    if timer.plan.is_once() {
        take_out(host, id);
    }
    timer.fire_now(host, lua, id)
}

/// Returns when the thread has to look at the timers next.
pub(in crate::script) fn next_look(host: &Host) -> Option<Instant> {
    host.schedule.borrow_mut().next(host.clock.now(), host.clock.wall())
}

/// Fires everything that is due.
pub(in crate::script) fn fire_due(host: &Rc<Host>, lua: &Lua) {
    let (now, wall) = (host.clock.now(), host.clock.wall());
    loop {
        let Some(firing) = host.schedule.borrow_mut().pop_due(now, wall) else { return };
        let turn = firing.turn;
        let timer = match turn.is_last {
            true => host.timers.borrow_mut().remove(firing.id),
            false => host.timers.borrow().get(firing.id),
        };
        let Some(timer) = timer else { continue };
        timer.counts.miss(turn.missed);
        if turn.fires {
            timer.fire(host, lua, firing.id, (now, wall), turn.late);
        } else {
            let script = &*host.name;
            tracing::info!(
                script,
                "{}: the clock was set, or the machine slept, over {} firings; they are skipped (missed = \"once\" makes up for them)",
                timer.what(),
                turn.missed
            );
        }
    }
}

/// Fires every timer now, whenever it is due, and says when their handlers have ended.
pub(in crate::script) fn rehearse(host: &Rc<Host>, lua: &Lua, done: mpsc::UnboundedSender<()>) {
    let timers = host.timers.borrow().timers.clone();
    for (id, timer) in &timers {
        timer.fire_now(host, lua, *id);
    }
    spawn_local(async move {
        while timers.values().any(|timer| timer.handler.is_busy()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Whoever asked waits for the end of this.
        drop(done);
    });
}

impl Timer {
    fn what(&self) -> String {
        match &self.name {
            Some(name) => format!("timer {name}"),
            None => "timer".into(),
        }
    }

    /// Fires out of turn.
    fn fire_now(&self, host: &Rc<Host>, lua: &Lua, id: TimerId) -> bool {
        self.fire(host, lua, id, (host.clock.now(), host.clock.wall()), Duration::ZERO)
    }

    /// Runs the handler, now or after the run that goes on; returns whether it will.
    fn fire(
        &self,
        host: &Rc<Host>,
        lua: &Lua,
        id: TimerId,
        (now, wall): (Instant, Timestamp),
        late: Duration,
    ) -> bool {
        let scheduled = unix(wall.checked_sub(late).unwrap_or(wall));
        let (name, counts) = (self.name.clone(), self.counts.clone());
        let taken = self.handler.push(host, lua, Fired { id, name, counts, scheduled, now, late });
        if !taken {
            self.counts.miss(1);
            if !self.plan.is_once() && !self.warned.replace(true) {
                let script = &*host.name;
                tracing::warn!(
                    script,
                    "{}: a run took longer than the time to the next firing ({}); firings are skipped meanwhile (t.missed counts them)",
                    self.what(),
                    self.plan.words()
                );
            }
        }
        taken
    }
}

impl Counts {
    fn miss(&self, count: u64) {
        self.missed.set(self.missed.get() + count);
        self.missed_since.set(self.missed_since.get() + count);
    }
}

/// One firing, as the handler sees it when its run begins.
struct Fired {
    id: TimerId,
    name: Option<String>,
    counts: Rc<Counts>,
    /// UNIX seconds.
    scheduled: f64,
    /// When it fired, and how late that was.
    now: Instant,
    late: Duration,
}

impl Letter for Fired {
    fn table(&self, lua: &Lua, host: &Host) -> mlua::Result<Table> {
        // It may have waited for the run before it.
        let lateness = self.late + host.clock.now().saturating_duration_since(self.now);
        let run = self.counts.runs.get() + 1;
        self.counts.runs.set(run);
        let table = lua.create_table()?;
        table.raw_set("name", self.name.as_deref())?;
        table.raw_set("scheduled", self.scheduled)?;
        table.raw_set("lateness", lateness.as_secs_f64())?;
        table.raw_set("missed", self.counts.missed_since.take())?;
        table.raw_set("run", run)?;
        Ok(table)
    }

    fn ended(&self, host: &Host) {
        host.timer_ran(self.id);
    }
}
