//! Handlers that run one at a time, in order, with a bounded queue in front.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use mlua::{Function, Lua, Table};
use tokio::task::spawn_local;

use super::{Problem, host::Host, life::Origin};

/// What a handler is called with.
pub(super) trait Letter: 'static {
    /// Builds the handler's one argument.
    fn table(&self, lua: &Lua, host: &Host) -> mlua::Result<Table>;

    /// The handler has ended, well or not.
    fn ended(&self, _host: &Host) {}
}

/// What happens to a letter when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The new one is not taken.
    Refuse,
    /// The oldest that waits makes room.
    DropOldest,
}

/// One handler and its queue.
pub(super) struct Serial<T> {
    function: Function,
    origin: Origin,
    /// Names the handler in logs.
    what: String,
    /// Letters that may wait while the handler runs.
    limit: usize,
    full: Full,
    /// The longest one run may take, waits included.
    timeout: Option<Duration>,
    busy: Cell<bool>,
    /// What waits is taken up when the script is resumed.
    rests: Cell<bool>,
    waiting: RefCell<VecDeque<T>>,
}

impl<T: Letter> Serial<T> {
    pub(super) fn new(
        origin: Origin,
        function: Function,
        what: impl Into<String>,
        limit: usize,
        full: Full,
    ) -> Self {
        Self {
            function,
            origin,
            what: what.into(),
            limit,
            full,
            timeout: None,
            busy: Cell::new(false),
            rests: Cell::new(false),
            waiting: RefCell::default(),
        }
    }

    /// Bounds one run of the handler.
    pub(super) fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns whether the handler runs now.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Lets go of what waits, and returns how much that was. A run that has begun goes on.
    pub(super) fn forget(&self) -> usize {
        self.waiting.borrow_mut().drain(..).count()
    }

    /// Returns how much waits while the handler runs.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Runs the handler, now or after those before; returns false when the letter is not taken.
    /// While the script is on hold nothing begins; letters wait.
    pub(super) fn push(self: &Rc<Self>, host: &Rc<Host>, lua: &Lua, letter: T) -> bool {
        if self.busy.get() || host.is_held() {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= self.limit {
                if self.full == Full::Refuse || self.limit == 0 {
                    return false;
                }
                waiting.pop_front();
            }
            waiting.push_back(letter);
            if !self.busy.get() {
                self.rest(host);
            }
            return true;
        }
        self.begin(host, lua, letter);
        true
    }

    /// Runs the handler for a letter and for those that wait behind it.
    fn begin(self: &Rc<Self>, host: &Rc<Host>, lua: &Lua, letter: T) {
        self.busy.set(true);
        let (this, host, lua) = (self.clone(), host.clone(), lua.clone());
        spawn_local(async move {
            let mut next = Some(letter);
            while let Some(letter) = next {
                if host.is_held() {
                    this.waiting.borrow_mut().push_front(letter);
                    this.rest(&host);
                    break;
                }
                if let Err(problem) = this.run(&host, &lua, &letter).await {
                    host.report(&this.what, &problem);
                }
                letter.ended(&host);
                next = this.waiting.borrow_mut().pop_front();
            }
            this.busy.set(false);
        });
    }

    /// Goes on with what waits when the script does.
    fn rest(self: &Rc<Self>, host: &Host) {
        if self.rests.replace(true) {
            return;
        }
        let this = self.clone();
        host.when_resumed(move |host, lua| {
            this.rests.set(false);
            if this.busy.get() {
                return;
            }
            let next = this.waiting.borrow_mut().pop_front();
            if let Some(letter) = next {
                this.begin(host, lua, letter);
            }
        });
    }

    async fn run(&self, host: &Rc<Host>, lua: &Lua, letter: &T) -> Result<(), Problem> {
        host.budget().tidy(lua);
        let table =
            letter.table(lua, host).map_err(|error| Problem::new(super::vm::plain(&error)))?;
        let run = host.run(self.origin, self.function.clone(), table);
        match self.timeout {
            None => run.await.map(|_| ()),
            Some(limit) => match tokio::time::timeout(limit, run).await {
                Ok(result) => result.map(|_| ()),
                Err(_) => Err(Problem::new(format!(
                    "ended: it took longer than its timeout of {limit:?}"
                ))),
            },
        }
    }
}
