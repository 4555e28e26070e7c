//! The CPU limit of one resume, which no `pcall` can swallow.
//!
//! Luau calls back at every call and loop edge, and inside its pattern
//! matching. Once an activity has used its time, that callback raises, and
//! raises again until the activity has ended.

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
    /// Where the script was when it was stopped.
    traceback: RefCell<Option<String>>,
}

impl Budget {
    /// Installs the limit in a VM.
    pub(super) fn install(lua: &Lua, limit: Duration) -> Rc<Self> {
        let budget = Rc::new(Self {
            limit,
            check_at: Cell::new(None),
            cpu_at_start: Cell::new(None),
            killed: Cell::new(false),
            staging: Cell::new(None),
            traceback: RefCell::new(None),
        });
        let seen = Rc::downgrade(&budget);
        lua.set_interrupt(move |lua| match seen.upgrade() {
            Some(budget) if budget.is_over(lua) => Err(mlua::Error::runtime(budget.message())),
            Some(_) | None => Ok(VmState::Continue),
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
        let traceback = lua.traceback(None, 0).map(|text| text.to_string_lossy());
        *self.traceback.borrow_mut() = traceback.ok();
        true
    }

    fn first_look(&self) -> Duration {
        self.allowed() / 8
    }

    /// What one activity may use now.
    fn allowed(&self) -> Duration {
        self.staging.get().map_or(self.limit, |left| left.min(self.limit))
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

    /// Runs a future as one activity.
    pub(super) fn spend<F: Future>(self: &Rc<Self>, future: F) -> Spending<F> {
        Spending { budget: self.clone(), future: Box::pin(future), killed: false }
    }

    /// Returns where the activity that just ended was stopped, if it was.
    pub(super) fn take_traceback(&self) -> Option<String> {
        self.traceback.borrow_mut().take()
    }
}

/// A future whose every poll has the whole limit.
pub(super) struct Spending<F> {
    budget: Rc<Budget>,
    future: Pin<Box<F>>,
    killed: bool,
}

impl<F: Future> Future for Spending<F> {
    /// Whether the activity was stopped, beside its result.
    type Output = (F::Output, bool);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let budget = self.budget.clone();
        budget.killed.set(self.killed);
        budget.cpu_at_start.set(None);
        budget.check_at.set(Some(Instant::now() + budget.first_look()));
        let began = budget.staging.get().map(|_| thread_cpu());
        let polled = self.future.as_mut().poll(cx);
        if let (Some(began), Some(left)) = (began, budget.staging.get()) {
            let used = thread_cpu().saturating_sub(began);
            budget.staging.set(Some(left.saturating_sub(used)));
        }
        self.killed = budget.killed.replace(false);
        budget.check_at.set(None);
        polled.map(|output| (output, self.killed))
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
