//! `fs`: what happens to files.

use std::{path::PathBuf, rc::Rc, time::Duration};

use mlua::{Lua, MetaMethod, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{
    super::{
        host::Host,
        life::Origin,
        serial::{Full, Letter, Serial},
        watch::{Change, Kind, Request, WatchId, has_pattern},
    },
    Fault, bind, failed_with, method,
    options::{Options, handler, own, shown},
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = methods(lua, host)?;
    let watcher = host.clone();
    table.set("watch", bind(lua, host, move |lua, args| watch(lua, &watcher, &methods, &args))?)?;
    Ok(table)
}

impl Letter for Change {
    fn table(&self, lua: &Lua, _: &Host) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        table.raw_set("kind", self.kind.as_str())?;
        table.raw_set("path", self.path.to_string_lossy())?;
        table.raw_set("from", self.from.as_ref().map(|from| from.to_string_lossy()))?;
        let paths = lua.create_table()?;
        for path in self.paths.iter() {
            paths.raw_push(path.to_string_lossy())?;
        }
        table.raw_set("paths", paths)?;
        Ok(table)
    }
}

fn watch(
    lua: &Lua,
    host: &Rc<Host>,
    methods: &Table,
    args: &MultiValue,
) -> Result<(Value, Value), Fault> {
    let call = "fs.watch";
    let argument = |at: usize| args.get(at).cloned().unwrap_or(Value::Nil);
    let paths = paths(host, call, &argument(0))?;
    let function = handler(call, args)?;
    let known = &["recursive", "settle", "initial", "missing", "poll"];
    let options = Options::new(call, &argument(2), known)?;
    let settle = options.duration("settle")?.unwrap_or(SETTLE);
    let initial = options.flag("initial")?.unwrap_or(false);
    let must_exist =
        options.choice("missing", &[("wait", false), ("error", true)])?.unwrap_or(false);
    let recursive = options.flag("recursive")?.unwrap_or(false);
    let poll = options.duration("poll")?;
    if poll.is_some_and(|every| every < SHORTEST_POLL) {
        return Err(
            options.refuse("poll", "polling more often than every 100ms would keep the disk busy")
        );
    }
    for path in &paths {
        // The kernel tells nobody of changes there.
        if poll.is_none() && (path.starts_with("/proc") || path.starts_with("/sys")) {
            return Err(Fault::misuse(format!(
                "{call}: changes below {} cannot be watched; use timer.every, or poll = \"1s\"",
                path.display()
            )));
        }
        if must_exist && !has_pattern(path) && !path.exists() {
            let message = format!("{} does not exist", path.display());
            return Ok(failed_with(lua, host, call, "not_found", message)?);
        }
    }
    let what = format!("watch of {}", paths[0].display());
    let serial = Rc::new(Serial::new(Origin::Event, function, what, QUEUE, Full::DropOldest));
    let receiver = host.clone();
    let seen = if initial { paths.clone() } else { Vec::new() };
    let told = serial.clone();
    let begun = begin(host, paths, recursive, settle, poll, move |lua, change| {
        told.push(&receiver, lua, change);
    });
    match begun {
        Ok(id) => {
            host.when_live(lua, move |host, lua| {
                for path in seen.into_iter().filter(|path| path.exists()) {
                    let paths = [path.clone()].into();
                    serial.push(host, lua, Change { kind: Kind::Create, path, from: None, paths });
                }
            });
            Ok((handle(lua, host, methods, id)?, Value::Nil))
        }
        Err(message) => Ok(failed_with(lua, host, call, "limit", message)?),
    }
}

/// Enters a watch; the text says why not.
pub(super) fn begin(
    host: &Rc<Host>,
    paths: Vec<PathBuf>,
    recursive: bool,
    settle: Duration,
    poll: Option<Duration>,
    receive: impl Fn(&Lua, Change) + 'static,
) -> Result<WatchId, String> {
    let most = host.limits.watches;
    if host.watches.borrow().len() >= most {
        return Err(format!("there are {most} watches already (limits.watches)"));
    }
    let mail = host.mail.clone();
    let deliver =
        Box::new(move |id, change| mail.send(super::super::host::Mail::Watch(id, change)).is_ok());
    let id = host.hub.add(Request { paths, recursive, settle, poll, deliver });
    host.watches.borrow_mut().insert(id, Rc::new(receive));
    Ok(id)
}

/// Makes the value a script holds of a watch.
pub(super) fn handle(
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

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::Index, |lua, this, name: String| {
            method(lua, &this.methods, &name)
        });
        add.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("watch"));
    }
}

/// Methods of watches.
pub(super) fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
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
    Ok(methods)
}

fn paths(host: &Host, call: &str, value: &Value) -> Result<Vec<PathBuf>, Fault> {
    match value {
        Value::String(path) => Ok(vec![host.resolve(&path.to_string_lossy())]),
        Value::Table(list) => {
            let mut paths = Vec::new();
            for path in list.sequence_values::<Value>() {
                match path? {
                    Value::String(path) => paths.push(host.resolve(&path.to_string_lossy())),
                    other => {
                        return Err(Fault::misuse(format!(
                            "{call}: {} is not a path",
                            shown(&other)
                        )));
                    }
                }
            }
            if paths.is_empty() {
                return Err(Fault::misuse(format!("{call}: the list of paths is empty")));
            }
            Ok(paths)
        }
        other => Err(Fault::misuse(format!(
            "{call}: first argument: {} is neither a path nor a list of paths",
            shown(other)
        ))),
    }
}

/// How long a path must be quiet when the script does not say.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
const SHORTEST_POLL: Duration = Duration::from_millis(100);
/// Changes that wait for a slow handler.
const QUEUE: usize = 64;
