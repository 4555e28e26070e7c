//! The limits of one resume: CPU, which no `pcall` can swallow, and room in the heap.
//!
//! Luau calls back at every call and loop edge, and inside its pattern
//! matching. Once an activity has used its time, that callback raises, and
//! raises again until the activity has ended. It is also where a heap that is
//! nearly full is swept: Luau itself fails without looking for garbage first.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use mlua::{Lua, VmState};
use rustix::time::{ClockId, clock_gettime};

/// One per VM.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Duration,
    /// When to look at the CPU clock; `None` while no activity runs.
    check_at: Cell<Option<Instant>>,
    /// The thread's CPU time when the activity began, once that is of interest.
    cpu_at_start: Cell<Option<Duration>>,
    killed: Cell<bool>,
    /// What is left for all activities together, while a new version is staged.
    staging: Cell<Option<Duration>>,
    /// The burst that the running activity is part of, and what that had used before.
    burst: RefCell<Option<Burst>>,
    spent: Cell<Duration>,
    /// Where the script was when it was stopped.
    traceback: RefCell<Option<String>>,
    /// Where it was when the heap was swept last: near the place where memory runs out.
    swept_at: RefCell<Option<String>>,
    /// Bytes of heap.
    memory: usize,
    /// The heap is swept when it has grown to this.
    sweep_at: Cell<usize>,
    /// There is a little more memory, for saying that there is none.
    has_slack: Cell<bool>,
}

/// What a task uses before it first waits, together with the tasks it begins until then: each of them
/// may be short, and they would never end.
#[derive(Debug, Clone, Default)]
pub(super) struct Burst(Rc<Used>);

#[derive(Debug, Default)]
struct Used {
    cpu: Cell<Duration>,
    /// The thread's CPU time when the last one of its tasks let go.
    until: Cell<Option<Duration>>,
    /// One of them has been stopped.
    is_stopped: Cell<bool>,
}

impl Burst {
    fn cpu(&self) -> Duration {
        self.0.cpu.get()
    }

    /// Notes that one of its tasks is stopped; returns whether it is the first.
    pub(super) fn stop(&self) -> bool {
        !self.0.is_stopped.replace(true)
    }

    /// Returns whether one of its tasks was stopped: those that are left do not begin.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.is_stopped.get()
    }

    /// Counts one turn of a task, and what beginning and ending tasks has cost since the one before.
    fn count(&self, began: Duration, ended: Duration) {
        let between = self.0.until.replace(Some(ended)).map(|until| began.saturating_sub(until));
        let between = between.unwrap_or_default().min(BETWEEN);
        self.0.cpu.set(self.cpu() + between + ended.saturating_sub(began));
    }
}

impl Budget {
    /// Installs the limits in a VM.
    pub(super) fn install(lua: &Lua, limit: Duration, memory: usize) -> Rc<Self> {
        let budget = Rc::new(Self {
            limit,
            check_at: Cell::new(None),
            cpu_at_start: Cell::new(None),
            killed: Cell::new(false),
            staging: Cell::new(None),
            burst: RefCell::new(None),
            spent: Cell::new(Duration::ZERO),
            traceback: RefCell::new(None),
            swept_at: RefCell::new(None),
            memory,
            sweep_at: Cell::new(memory / 4 * 3),
            has_slack: Cell::new(false),
        });
        let seen = Rc::downgrade(&budget);
        lua.set_interrupt(move |lua| {
            let Some(budget) = seen.upgrade() else { return Ok(VmState::Continue) };
            if lua.used_memory() > budget.sweep_at.get() {
                budget.sweep(lua);
                *budget.swept_at.borrow_mut() = traceback(lua);
            }
            if budget.is_over(lua) {
                return Err(mlua::Error::runtime(budget.message()));
            }
            Ok(VmState::Continue)
        });
        budget
    }

    fn is_over(&self, lua: &Lua) -> bool {
        if self.killed.get() {
            return true;
        }
        let Some(check_at) = self.check_at.get() else { return false };
        let now = Instant::now();
        if now < check_at {
            return false;
        }
        // The wall clock says when to look; time in which this thread did not run is not the script's.
        // Asking for CPU time costs a system call, so the many activities that end soon do without:
        // those that do not are taken to have run all the time until the first look.
        let Some(start) = self.cpu_at_start.get() else {
            self.cpu_at_start.set(Some(thread_cpu().saturating_sub(self.first_look())));
            self.check_at.set(Some(now + (self.allowed() - self.first_look())));
            return false;
        };
        let used = thread_cpu().saturating_sub(start);
        if used < self.allowed() {
            self.check_at.set(Some(now + (self.allowed() - used)));
            return false;
        }
        self.killed.set(true);
        // There may be no room left for a traceback.
        self.lend(lua);
        *self.traceback.borrow_mut() = traceback(lua);
        true
    }

    fn first_look(&self) -> Duration {
        self.allowed() / 8
    }

    /// What one activity may use now.
    fn allowed(&self) -> Duration {
        let limit = self.staging.get().map_or(self.limit, |left| left.min(self.limit));
        limit.saturating_sub(self.spent.get())
    }

    /// From now on all activities together have the limit of one, as while a new version is staged.
    pub(super) fn limit_staging(&self) {
        self.staging.set(Some(self.limit));
    }

    /// From now on each activity has the limit for itself.
    pub(super) fn end_staging(&self) {
        self.staging.set(None);
    }

    /// Says what the limit is.
    pub(super) fn message(&self) -> String {
        let when = match self.staging.get() {
            Some(_) => "before its top level had ended",
            None => "without waiting",
        };
        format!("stopped: more than {:?} of CPU {when} (limits.cpu)", self.limit)
    }

    /// Returns the burst of a task that the running activity begins.
    pub(super) fn burst(&self) -> Burst {
        self.burst.borrow().clone().unwrap_or_default()
    }

    /// Returns whether a burst has used all it may.
    pub(super) fn is_spent(&self, burst: &Burst) -> bool {
        burst.cpu() >= self.limit
    }

    /// Runs a future as one activity; as part of a burst until it first waits.
    pub(super) fn spend<F: Future>(
        self: &Rc<Self>,
        future: F,
        burst: Option<Burst>,
    ) -> Spending<F> {
        Spending { budget: self.clone(), future: Box::pin(future), killed: false, burst }
    }

    /// Returns where the activity that just ended was stopped, if it was.
    pub(super) fn take_traceback(&self) -> Option<String> {
        self.traceback.borrow_mut().take()
    }

    /// Returns where it was when the heap was swept in its last turn, if it was.
    pub(super) fn take_swept_at(&self) -> Option<String> {
        self.swept_at.borrow_mut().take()
    }

    /// Sweeps the heap when it is nearly full: the limit is meant for what a script holds, not for
    /// what it has dropped.
    pub(super) fn tidy(&self, lua: &Lua) {
        if lua.used_memory() > self.sweep_at.get() {
            self.sweep(lua);
        }
    }

    /// Sweeps the heap.
    pub(super) fn sweep(&self, lua: &Lua) {
        // An error means that there was nothing to sweep with; the next allocation says so too.
        let _ = lua.gc_collect();
        // A heap that is full of what is held would be swept at every call.
        let left = self.memory.saturating_sub(lua.used_memory());
        let next = if left < TOO_LITTLE { usize::MAX } else { self.memory - left / 2 };
        self.sweep_at.set(next.max(self.memory / 4 * 3));
    }

    /// Lends a little memory to whoever must say that there is none.
    pub(super) fn lend(&self, lua: &Lua) {
        if !self.has_slack.replace(true) {
            let _ = lua.set_memory_limit(self.memory + SLACK);
        }
    }

    /// Takes it back.
    pub(super) fn take_back(&self, lua: &Lua) {
        if self.has_slack.replace(false) {
            let _ = lua.set_memory_limit(self.memory);
        }
    }
}

/// A future whose every poll has the whole limit.
pub(super) struct Spending<F> {
    budget: Rc<Budget>,
    future: Pin<Box<F>>,
    killed: bool,
    burst: Option<Burst>,
}

impl<F: Future> Future for Spending<F> {
    /// Whether the activity was stopped, beside its result.
    type Output = (F::Output, bool);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let budget = self.budget.clone();
        budget.killed.set(self.killed);
        budget.spent.set(self.burst.as_ref().map_or(Duration::ZERO, |burst| burst.cpu()));
        budget.burst.borrow_mut().clone_from(&self.burst);
        budget.swept_at.borrow_mut().take();
        budget.cpu_at_start.set(None);
        budget.check_at.set(Some(Instant::now() + budget.first_look()));
        let is_counted = self.burst.is_some() || budget.staging.get().is_some();
        let began = is_counted.then(thread_cpu);
        let polled = self.future.as_mut().poll(cx);
        if let Some(began) = began {
            let ended = thread_cpu();
            if let Some(left) = budget.staging.get() {
                budget.staging.set(Some(left.saturating_sub(ended.saturating_sub(began))));
            }
            // The first wait ends its part in the burst.
            if let Some(burst) = self.burst.take() {
                burst.count(began, ended);
                if budget.killed.get() {
                    burst.stop();
                }
            }
        }
        self.killed = budget.killed.replace(false);
        budget.burst.borrow_mut().take();
        budget.check_at.set(None);
        polled.map(|output| (output, self.killed))
    }
}

fn traceback(lua: &Lua) -> Option<String> {
    lua.traceback(None, 0).map(|text| text.to_string_lossy()).ok()
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// What lies between two tasks of a burst at the most; more was somebody else's.
const BETWEEN: Duration = Duration::from_micros(100);
/// What is lent for a traceback and a message.
const SLACK: usize = 256 * 1024;
/// A heap with less room than this is full.
const TOO_LITTLE: usize = 512 * 1024;
