//! `fs.watch`: handlers that are called when files change.

use std::{cell::Cell, rc::Rc, time::Duration};

use mlua::{Lua, MetaMethod, MultiValue, Table, UserData, UserDataFields, UserDataMethods, Value};
use tokio::task::spawn_local;

use super::{
    super::{
        super::{
            Problem,
            host::{Host, Mail},
            life::{Origin, Phase},
            pattern::Tally,
            signatures,
            vm::plain,
            watch::{Change, Inbox, Pattern, Refused, Request, WatchId},
        },
        Fault, bind, bind_async, failed_with,
        held::{self, Held, own},
        options::{Options, handler, shown},
    },
    bytes, patterns,
};

/// Enters `watch`.
pub(super) fn install(lua: &Lua, host: &Rc<Host>, table: &Table) -> mlua::Result<()> {
    let methods = methods(lua, host)?;
    let watcher = host.clone();
    table.set(
        "watch",
        bind_async(lua, host, move |lua, args| watch(lua, watcher.clone(), methods.clone(), args))?,
    )
}

async fn watch(
    lua: Lua,
    host: Rc<Host>,
    methods: Table,
    args: MultiValue,
) -> Result<(Value, Value), Fault> {
    let call = "fs.watch";
    let argument = |at: usize| args.get(at).cloned().unwrap_or(Value::Nil);
    let patterns = read_paths(&host, call, &argument(0))?;
    let function = handler(call, &args)?;
    let options = Options::new(call, &argument(2), &signatures::WATCH_OPTIONS)?;
    let settle = options.duration("settle")?.unwrap_or(SETTLE);
    let initial = options.flag("initial")?.unwrap_or(false);
    let must_exist =
        options.choice("missing", &[("wait", false), ("error", true)])?.unwrap_or(false);
    let recursive = options.flag("recursive")?.unwrap_or(false);
    let poll = poll(&options)?;
    for path in patterns.iter().map(Pattern::base) {
        // The kernel tells nobody of changes there.
        if poll.is_none() && (path.starts_with("/proc") || path.starts_with("/sys")) {
            return Err(Fault::misuse(format!(
                "{call}: changes below {} cannot be watched; use timer.every, or poll = \"1s\"",
                path.display()
            )));
        }
    }
    let what = format!("watch of {}", patterns[0].base().display());
    let patterns = patterns.into_iter().map(|pattern| pattern.with_contents(recursive)).collect();
    let wanted = Wanted { patterns, settle, poll, initial, must_exist };
    let teller = Rc::new(Teller { host: host.clone(), function, what, is_busy: Cell::new(false) });
    let begun = begin(&host, wanted, move |lua, id, inbox| teller.wake(lua, id, inbox)).await;
    match begun {
        Ok(id) => Ok((handle(&lua, &host, &methods, id)?, Value::Nil)),
        Err(refusal) => Ok(failed_with(&lua, &host, call, refusal.code, refusal.message)?),
    }
}

/// Calls a handler for one change after another.
struct Teller {
    host: Rc<Host>,
    function: mlua::Function,
    /// Names the handler in logs.
    what: String,
    is_busy: Cell<bool>,
}

impl Teller {
    /// Begins to tell, if nobody does so already.
    fn wake(self: &Rc<Self>, lua: &Lua, id: WatchId, inbox: Inbox) {
        if self.is_busy.replace(true) {
            return;
        }
        let (this, lua) = (self.clone(), lua.clone());
        spawn_local(async move {
            while let Some(batch) = inbox.take() {
                this.tell(&lua, id, batch).await;
                if this.host.is_held() {
                    // What is left of the batch is among what is missed.
                    inbox.collapse();
                    this.host.deliver(&lua, id, inbox);
                    break;
                }
            }
            this.is_busy.set(false);
        });
    }

    async fn tell(&self, lua: &Lua, id: WatchId, batch: Vec<Change>) {
        // Made once: a folder that is unpacked is one list of thousands of paths.
        let paths = match list(lua, &batch) {
            Ok(paths) => paths,
            Err(error) => return self.report(&error),
        };
        for change in batch {
            // The handler itself may have closed the watch, or have been stopped once too often.
            let is_open = self.host.watches.borrow().contains_key(&id);
            if !is_open || self.host.is_held() || self.host.life.phase() == Phase::Ending {
                return;
            }
            match table(lua, &change, &paths) {
                Ok(table) => {
                    if let Err(problem) =
                        self.host.run(Origin::Event, self.function.clone(), table).await
                    {
                        self.host.report(&self.what, &problem);
                    }
                }
                Err(error) => self.report(&error),
            }
        }
    }

    fn report(&self, error: &mlua::Error) {
        self.host.report(&self.what, &Problem::new(plain(error)));
    }
}

fn list(lua: &Lua, batch: &[Change]) -> mlua::Result<Table> {
    let paths = lua.create_table_with_capacity(batch.len(), 0)?;
    for change in batch {
        paths.raw_push(bytes(lua, &change.path)?)?;
    }
    paths.set_readonly(true);
    Ok(paths)
}

fn table(lua: &Lua, change: &Change, paths: &Table) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("kind", change.kind.as_str())?;
    table.raw_set("path", bytes(lua, &change.path)?)?;
    if let Some(from) = &change.from {
        table.raw_set("from", bytes(lua, from)?)?;
    }
    table.raw_set("paths", paths)?;
    Ok(table)
}

/// What a script wants to have watched.
pub(in super::super) struct Wanted {
    pub(in super::super) patterns: Vec<Pattern>,
    pub(in super::super) settle: Duration,
    pub(in super::super) poll: Option<Duration>,
    pub(in super::super) initial: bool,
    pub(in super::super) must_exist: bool,
}

/// Why a watch does not begin.
pub(in super::super) struct Refusal {
    pub(in super::super) code: &'static str,
    pub(in super::super) message: String,
}

/// Begins a watch, and waits until it stands: what happens from then on is told. `receive` is
/// called when there is something in the inbox, and takes all of it out.
pub(in super::super) async fn begin(
    host: &Rc<Host>,
    wanted: Wanted,
    receive: impl Fn(&Lua, WatchId, Inbox) + 'static,
) -> Result<WatchId, Refusal> {
    let most = host.limits.watches;
    if host.watches.borrow().len() >= most {
        let message = format!("there are {most} watches already (limits.watches)");
        return Err(Refusal { code: "limit", message });
    }
    let Wanted { patterns, settle, poll, initial, must_exist } = wanted;
    let path = patterns.first().map(|pattern| pattern.base().to_owned()).unwrap_or_default();
    let (inbox, mail) = (Inbox::new(path), host.mail.clone());
    let deliver = Box::new(move |id, batch| {
        !inbox.put(batch) || mail.send(Mail::Watch(id, inbox.clone())).is_ok()
    });
    let group = host.name.clone();
    let request = Request { group, patterns, settle, poll, initial, must_exist, deliver };
    let (id, answer) = host.hub.add(request);
    let receive = move |lua: &Lua, inbox| receive(lua, id, inbox);
    host.watches.borrow_mut().insert(id, Rc::new(receive));
    let mut beginning = Beginning { host, id, stands: false };
    let refusal = match tokio::time::timeout(LONGEST_BEGINNING, answer).await {
        Ok(Ok(Err(refused))) => {
            let code = match refused {
                Refused::Missing(_) => "not_found",
                Refused::TooMany { .. } => "limit",
                Refused::NoThread(_) => "io",
            };
            Refusal { code, message: refused.to_string() }
        }
        Ok(Err(_)) => Refusal { code: "closed", message: "puad is stopping".into() },
        // A mount may hang. The watch tells of a rescan when it stands at last.
        Ok(Ok(Ok(()))) | Err(_) => {
            beginning.stands = true;
            return Ok(id);
        }
    };
    Err(refusal)
}

/// A watch that nobody holds yet: it ends with whoever waits for it.
struct Beginning<'a> {
    host: &'a Host,
    id: WatchId,
    stands: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.stands {
            self.host.hub.remove(self.id);
            self.host.watches.borrow_mut().remove(&self.id);
        }
    }
}

/// Makes the value a script holds of a watch.
pub(in super::super) fn handle(
    lua: &Lua,
    host: &Rc<Host>,
    methods: &Table,
    id: WatchId,
) -> mlua::Result<Value> {
    let handle = Handle { id, host: host.clone(), methods: methods.clone() };
    Ok(Value::UserData(lua.create_userdata(handle)?))
}

/// A watch; it belongs to the host and goes on when the script forgets it.
struct Handle {
    id: WatchId,
    host: Rc<Host>,
    methods: Table,
}

impl Held for Handle {
    const SHAPE: &'static signatures::Handle = &signatures::WATCH;

    fn methods(&self) -> Option<&Table> {
        Some(&self.methods)
    }
}

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        held::names::<Self, F>(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("watch"));
    }
}

/// Methods of watches.
pub(in super::super) fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    for name in ["close", "cancel"] {
        methods.set(
            name,
            bind(lua, host, move |_, args| {
                let handle = own::<Handle>(name, "w", &args)?;
                let handle = handle.borrow::<Handle>()?;
                handle.host.hub.remove(handle.id);
                Ok(handle.host.watches.borrow_mut().remove(&handle.id).is_some())
            })?,
        )?;
    }
    held::checked(methods, &signatures::WATCH)
}

/// Reads how often to look, where a script wants no notice from the kernel.
pub(in super::super) fn poll(options: &Options) -> Result<Option<Duration>, Fault> {
    let poll = options.duration("poll")?;
    if poll.is_some_and(|every| every < SHORTEST_POLL) {
        return Err(
            options.refuse("poll", "polling more often than every 100ms would keep the disk busy")
        );
    }
    Ok(poll)
}

fn read_paths(host: &Host, call: &str, value: &Value) -> Result<Vec<Pattern>, Fault> {
    let mut tally = Tally::default();
    match value {
        Value::String(path) => patterns(host, call, path, &mut tally),
        Value::Table(list) => {
            if list.raw_len() > MOST_PATHS {
                return Err(Fault::misuse(format!(
                    "{call}: {} paths are more than the {MOST_PATHS} of one watch; a pattern or recursive = true covers many",
                    list.raw_len()
                )));
            }
            let mut all = Vec::new();
            for path in list.sequence_values::<Value>() {
                match path? {
                    Value::String(path) => {
                        all.extend(patterns(host, call, &path, &mut tally)?);
                    }
                    other => {
                        return Err(Fault::misuse(format!(
                            "{call}: {} is not a path",
                            shown(&other)
                        )));
                    }
                }
            }
            if all.is_empty() {
                return Err(Fault::misuse(format!("{call}: the list of paths is empty")));
            }
            Ok(all)
        }
        other => Err(Fault::misuse(format!(
            "{call}: first argument: {} is neither a path nor a list of paths",
            shown(other)
        ))),
    }
}

/// How long a path must be quiet when the script does not say.
pub(in super::super) const SETTLE: Duration = Duration::from_millis(200);
/// Paths and patterns of one watch.
const MOST_PATHS: usize = 1024;
const SHORTEST_POLL: Duration = Duration::from_millis(100);
/// How long a call waits for its watch to stand.
const LONGEST_BEGINNING: Duration = Duration::from_secs(5);
