//! Where one version of a script stands in its life, and what waits for a later part of it.
//!
//! A version that is to replace another runs its top level first, beside it: what it declares is
//! written down and takes effect when it takes over. Who decides on that is
//! [`keeper`](super::keeper).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use mlua::{Function, Lua};
use tokio::sync::Notify;

use super::{
    host::Host,
    plain::{Key, Plain},
};

/// The life of one version.
#[derive(Default)]
pub(super) struct Life {
    phase: Cell<Phase>,
    origin: Cell<Origin>,
    /// What was declared before the take-over, in order.
    declared: RefCell<Vec<Declared>>,
    /// Ends the waits that are under way.
    pub(super) ending: Rc<Notify>,
    /// Activities that have not ended, and how to have each looked at again.
    activities: RefCell<BTreeMap<u64, Option<Waker>>>,
    /// The activity that runs now; the latest one's number.
    activity: Cell<u64>,
    latest: Cell<u64>,
    pub(super) on_ready: RefCell<Vec<Function>>,
    pub(super) on_stop: RefCell<Vec<Function>>,
    /// `script.state` as the older version had it when this one began.
    pub(super) inherited_state: RefCell<BTreeMap<Key, Plain>>,
}

type Declared = Box<dyn FnOnce(&Rc<Host>, &Lua)>;

/// The parts of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// What is declared takes effect at once: a first version from its start, a later one from its
    /// take-over on.
    #[default]
    Live,
    /// Beside an older version; what is declared is written down.
    Staging,
    /// Nothing begins any more.
    Ending,
}

/// What kind of activity declares something. What comes from one that waits for events may not be
/// declared again for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Origin {
    /// The top level, or a handler of `script.on_ready`.
    #[default]
    Top,
    /// A timer.
    Timer,
    /// A watch, a subscription, a task, or an `on_state`.
    Event,
}

/// Why a version ends; what `script.on_stop` handlers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A newer version takes over.
    Reload,
    /// The script is wanted no more.
    Disable,
    /// puad stops.
    Shutdown,
}

impl Reason {
    /// Returns the text scripts compare with.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Disable => "disable",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Life {
    /// A life that begins beside an older version.
    pub(super) fn staged() -> Self {
        Self { phase: Cell::new(Phase::Staging), ..Self::default() }
    }

    /// Returns the part it is in.
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Returns what kind of activity runs now.
    pub(super) fn origin(&self) -> Origin {
        self.origin.get()
    }

    /// Returns whether an activity is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.activities.borrow().is_empty()
    }

    /// Returns the number of the activity that runs now.
    pub(super) fn activity(&self) -> u64 {
        self.activity.get()
    }

    /// Returns whether the activity of this number has not ended.
    pub(super) fn is_active(&self, number: u64) -> bool {
        self.activities.borrow().contains_key(&number)
    }

    /// Has every activity looked at again: what one of them waits for may be gone.
    pub(super) fn nudge(&self) {
        for waker in self.activities.borrow().values().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Ends the waits that are under way; nothing begins any more.
    pub(super) fn end(&self) {
        self.phase.set(Phase::Ending);
        self.declared.borrow_mut().clear();
        self.ending.notify_waiters();
    }

    /// Marks every poll of a future as one of this kind.
    pub(super) fn act<F: Future>(host: &Rc<Host>, origin: Origin, future: F) -> Acting<F> {
        let life = &host.life;
        let number = life.latest.get() + 1;
        life.latest.set(number);
        life.activities.borrow_mut().insert(number, None);
        Acting { host: host.clone(), origin, number, future: Box::pin(future) }
    }
}

impl<F> Acting<F> {
    /// Returns the activity's number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Host {
    /// Does something as soon as this version is the one that counts: now, or at the take-over.
    pub(super) fn when_live(
        self: &Rc<Self>,
        lua: &Lua,
        declare: impl FnOnce(&Rc<Self>, &Lua) + 'static,
    ) {
        match self.life.phase() {
            Phase::Live => declare(self, lua),
            Phase::Staging => {
                let origin = self.life.origin();
                let declare = Box::new(move |host: &Rc<Self>, lua: &Lua| {
                    let before = host.life.origin.replace(origin);
                    declare(host, lua);
                    host.life.origin.set(before);
                });
                self.life.declared.borrow_mut().push(declare);
            }
            Phase::Ending => {}
        }
    }

    /// From now on this version counts: what it has declared takes effect.
    pub(super) fn take_over(self: &Rc<Self>, lua: &Lua) {
        self.life.phase.set(Phase::Live);
        for declare in self.life.declared.take() {
            declare(self, lua);
        }
    }
}

/// A future of one activity.
pub(super) struct Acting<F> {
    host: Rc<Host>,
    origin: Origin,
    number: u64,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Acting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let host = self.host.clone();
        let (before, outer) =
            (host.life.origin.replace(self.origin), host.life.activity.replace(self.number));
        let polled = self.future.as_mut().poll(cx);
        host.life.origin.set(before);
        host.life.activity.set(outer);
        if polled.is_pending()
            && let Some(waker) = host.life.activities.borrow_mut().get_mut(&self.number)
            && waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        polled
    }
}

impl<F> Drop for Acting<F> {
    fn drop(&mut self) {
        self.host.life.activities.borrow_mut().remove(&self.number);
    }
}
