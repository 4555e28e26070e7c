//! `fs.read lines list stat glob exists write`: files below the allowed folders.
//!
//! All of them wait for the disk on other threads, a few at a time: a mount that
//! hangs stops the calls of one script.

use std::{
    cell::{Cell, RefCell},
    os::unix::ffi::OsStrExt,
    rc::Rc,
    sync::Arc,
};

use mlua::{Function, Lua, MultiValue, Table, Value};
use tokio::sync::{Mutex, Semaphore};

use super::{
    super::{
        super::{
            files::{Entry, FileError, Info, Lines, Manner, Roots},
            host::Host,
            pattern::Tally,
            signatures,
        },
        Fault, bind_async, failed_with,
        options::{Options, shown},
    },
    bytes, path, patterns,
};

/// Enters the functions.
pub(super) fn install(lua: &Lua, host: &Rc<Host>, table: &Table) -> mlua::Result<()> {
    let desk = Rc::new(Desk {
        host: host.clone(),
        roots: Arc::new(Roots::new(host.allow.fs.clone())),
        places: Arc::new(Semaphore::new(PLACES)),
        open: Rc::default(),
    });
    let enter = |name: &str, function: Function| table.set(name, function);
    enter("read", desk.waiting(lua, read)?)?;
    enter("lines", desk.waiting(lua, lines)?)?;
    enter("list", desk.waiting(lua, list)?)?;
    enter("stat", desk.waiting(lua, stat)?)?;
    enter("glob", desk.waiting(lua, glob)?)?;
    enter("exists", desk.waiting(lua, exists)?)?;
    enter("write", desk.waiting(lua, write)?)
}

/// Where a script's calls for files are handled.
struct Desk {
    host: Rc<Host>,
    roots: Arc<Roots>,
    /// Calls that are on the disk at a time.
    places: Arc<Semaphore>,
    /// Files that `fs.lines` holds open.
    open: Rc<Cell<usize>>,
}

type Answer = Result<(Value, Value), Fault>;

impl Desk {
    /// Makes a function of the library.
    fn waiting<F: Future<Output = Answer> + 'static>(
        self: &Rc<Self>,
        lua: &Lua,
        function: impl Fn(Lua, Rc<Self>, MultiValue) -> F + 'static,
    ) -> mlua::Result<Function> {
        let desk = self.clone();
        bind_async(lua, &self.host, move |lua, args| function(lua, desk.clone(), args))
    }

    /// Does something on the disk. A call that is given up keeps its place until the disk answers.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Roots) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let place = self.places.clone().acquire_owned().await;
        let roots = self.roots.clone();
        let working = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&roots)
        });
        working.await.unwrap_or_else(|error| {
            Err(FileError::Io { path: "fs".into(), error: std::io::Error::other(error) })
        })
    }

    fn fail(&self, lua: &Lua, call: &str, error: &FileError) -> Answer {
        Ok(failed_with(lua, &self.host, call, error.code(), error.to_string())?)
    }
}

async fn read(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.read";
    let path = path(&desk.host, call, first(&args))?;
    let options =
        Options::new(call, args.get(1).unwrap_or(&Value::Nil), &signatures::READ_OPTIONS)?;
    let heap = desk.host.limits.memory;
    let max = match options.size("max")? {
        Some(max) if max > heap => {
            return Err(options.refuse(
                "max",
                format_args!(
                    "{max} bytes are more than the heap of this script, {heap} (limits.memory)"
                ),
            ));
        }
        given => given.unwrap_or(USUAL_MAX.min(heap)),
    };
    match desk.on_disk(move |roots| roots.read(&path, max, "max")).await {
        Ok(bytes) => Ok((Value::String(lua.create_string(bytes)?), Value::Nil)),
        Err(error) => desk.fail(&lua, call, &error),
    }
}

async fn lines(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.lines";
    let path = path(&desk.host, call, first(&args))?;
    Options::new(call, args.get(1).unwrap_or(&Value::Nil), &signatures::LINES_OPTIONS)?;
    if desk.open.get() >= MOST_OPEN {
        // Loops that were left early let go of their files only here.
        lua.gc_collect()?;
    }
    if desk.open.get() >= MOST_OPEN {
        let message = format!("{MOST_OPEN} files are being read by lines already");
        return Ok(failed_with(&lua, &desk.host, call, "limit", message)?);
    }
    let open = Open::take(&desk.open);
    let reading = match desk.on_disk(move |roots| roots.lines(&path)).await {
        Ok(lines) => Arc::new(Mutex::new(lines)),
        Err(error) => return desk.fail(&lua, call, &error),
    };
    let open = Rc::new(RefCell::new(Some(open)));
    let inner = desk.clone();
    let iterator = bind_async(&lua, &desk.host, move |lua, _| {
        let (desk, reading, open) = (inner.clone(), reading.clone(), open.clone());
        async move {
            let mut lines = reading.lock_owned().await;
            let line = match lines.ready() {
                Some(line) => Some(line),
                None if lines.is_ended() => None,
                None => {
                    let next = desk.on_disk(move |_| read_on(&mut lines)).await;
                    // Inside a loop there is nobody who could look at a second value.
                    let (line, is_ended) =
                        next.map_err(|error| Fault::misuse(format!("{call}: {error}")))?;
                    if is_ended {
                        open.take();
                    }
                    line
                }
            };
            Ok(match line {
                Some(line) => Value::String(lua.create_string(line)?),
                None => Value::Nil,
            })
        }
    })?;
    Ok((Value::Function(iterator), Value::Nil))
}

fn read_on(lines: &mut Lines) -> Result<(Option<Vec<u8>>, bool), FileError> {
    let line = lines.next()?;
    Ok((line, lines.is_ended()))
}

/// A place among the files that are held open.
struct Open(Rc<Cell<usize>>);

impl Open {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn list(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.list";
    let path = path(&desk.host, call, first(&args))?;
    match desk.on_disk(move |roots| roots.list(&path)).await {
        Ok(entries) => {
            let list = lua.create_table_with_capacity(entries.len(), 0)?;
            for Entry { name, info } in entries {
                let entry = described(&lua, &info)?;
                entry.raw_set("name", lua.create_string(name.as_bytes())?)?;
                list.raw_push(entry)?;
            }
            Ok((Value::Table(list), Value::Nil))
        }
        Err(error) => desk.fail(&lua, call, &error),
    }
}

async fn stat(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.stat";
    let path = path(&desk.host, call, first(&args))?;
    match desk.on_disk(move |roots| roots.stat(&path)).await {
        Ok((info, link)) => {
            let table = described(&lua, &info)?;
            table.raw_set("mode", format!("{:04o}", info.mode))?;
            if let Some(link) = link {
                table.raw_set("link", lua.create_string(link.as_bytes())?)?;
            }
            Ok((Value::Table(table), Value::Nil))
        }
        Err(error) => desk.fail(&lua, call, &error),
    }
}

fn described(lua: &Lua, info: &Info) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("kind", info.kind.as_str())?;
    table.raw_set("size", info.size as f64)?;
    table.raw_set("modified", info.modified)?;
    Ok(table)
}

async fn glob(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.glob";
    let Value::String(text) = first(&args) else {
        return Err(Fault::misuse(format!(
            "{call}: first argument: {} is not a pattern",
            shown(first(&args))
        )));
    };
    let patterns = patterns(&desk.host, call, text, &mut Tally::default())?;
    match desk.on_disk(move |roots| roots.glob(&patterns)).await {
        Ok(paths) => {
            let list = lua.create_table_with_capacity(paths.len(), 0)?;
            for path in paths {
                list.raw_push(bytes(&lua, &path)?)?;
            }
            Ok((Value::Table(list), Value::Nil))
        }
        Err(error) => desk.fail(&lua, call, &error),
    }
}

async fn exists(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.exists";
    let path = path(&desk.host, call, first(&args))?;
    match desk.on_disk(move |roots| roots.exists(&path)).await {
        Ok(exists) => Ok((Value::Boolean(exists), Value::Nil)),
        Err(error) => desk.fail(&lua, call, &error),
    }
}

async fn write(lua: Lua, desk: Rc<Desk>, args: MultiValue) -> Answer {
    let call = "fs.write";
    let path = path(&desk.host, call, first(&args))?;
    let text = match args.get(1) {
        Some(Value::String(text)) => text.as_bytes().to_vec(),
        other => {
            return Err(Fault::misuse(format!(
                "{call}: second argument: {} is not a text",
                shown(other.unwrap_or(&Value::Nil))
            )));
        }
    };
    let options =
        Options::new(call, args.get(2).unwrap_or(&Value::Nil), &signatures::WRITE_OPTIONS)?;
    let append = options.flag("append")?.unwrap_or(false);
    let mode = options.text("mode")?.map(|text| permissions(&options, &text)).transpose()?;
    if desk.host.is_rehearsal {
        desk.host.note_not_done("fs.write");
        let message = "nothing is written while scripts are only checked";
        return Ok(failed_with(&lua, &desk.host, call, "cancelled", message)?);
    }
    let manner = Manner { append, mode };
    match desk.on_disk(move |roots| roots.write(&path, &text, manner)).await {
        Ok(()) => Ok((Value::Boolean(true), Value::Nil)),
        Err(error) => desk.fail(&lua, call, &error),
    }
}

/// Reads permission bits. Luau has no octal numbers, so that 644 would be something else.
fn permissions(options: &Options, text: &str) -> Result<u32, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(bits) if digits && bits <= 0o777 => Ok(bits),
        _ => Err(options.refuse(
            "mode",
            format_args!("{text:?} is not a mode (octal digits as text, such as \"0640\")"),
        )),
    }
}

fn first(args: &MultiValue) -> &Value {
    args.front().unwrap_or(&Value::Nil)
}

/// Calls of one script that are on the disk at a time.
const PLACES: usize = 16;
/// Files of one script that are read by lines at a time.
const MOST_OPEN: usize = 64;
/// What `fs.read` takes when the script does not say.
const USUAL_MAX: usize = 1024 * 1024;
