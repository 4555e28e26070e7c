//! `mail`: what lies in a mailbox.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    rc::Rc,
};

use mlua::{Lua, MultiValue, Table, Value};

use super::{
    super::{
        host::Host,
        life::Origin,
        pattern::Pattern,
        serial::{Full, Letter, Serial},
        signatures,
    },
    Fault, bind, bind_async, failed_io, failed_with, fs, imap,
    options::{Options, handler, shown},
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let reader = host.clone();
    table.set(
        "maildir",
        bind(lua, host, move |lua, args| {
            let path = folder("mail.maildir", &reader, &args)?;
            match Counts::of(&path) {
                Ok(counts) => Ok((Value::Table(counts.table(lua, &reader)?), Value::Nil)),
                Err(error) => Ok(failed_io(lua, &reader, "mail.maildir", &path, &error)?),
            }
        })?,
    )?;
    let methods = fs::methods(lua, host)?;
    let watcher = host.clone();
    table.set(
        "watch_maildir",
        bind_async(lua, host, move |lua, args| watch(lua, watcher.clone(), methods.clone(), args))?,
    )?;
    table.set("imap", imap::function(lua, host)?)?;
    Ok(table)
}

/// How many messages of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    /// Delivered and not yet seen by any mail program.
    new: usize,
    /// Not read, those of `new` included.
    unread: usize,
    read: usize,
    flagged: usize,
    total: usize,
}

impl Counts {
    /// Counts a Maildir by the names of its files: `new/` holds what no program has looked at,
    /// names in `cur/` end in `:2,` and flags (S seen, F flagged, T to be deleted).
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut counts = Self::default();
        for entry in std::fs::read_dir(path.join("new"))? {
            if !is_hidden(&entry?) {
                counts.new += 1;
            }
        }
        counts.unread = counts.new;
        for entry in std::fs::read_dir(path.join("cur"))? {
            let entry = entry?;
            if is_hidden(&entry) {
                continue;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let flags = name.rsplit_once(":2,").map_or("", |(_, flags)| flags);
            if flags.contains('T') {
                continue;
            }
            if flags.contains('S') {
                counts.read += 1;
            } else {
                counts.unread += 1;
            }
            counts.flagged += usize::from(flags.contains('F'));
        }
        counts.total = counts.unread + counts.read;
        Ok(counts)
    }
}

fn is_hidden(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

impl Letter for Counts {
    fn table(&self, lua: &Lua, _: &Host) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        for (name, count) in [
            ("new", self.new),
            ("unread", self.unread),
            ("read", self.read),
            ("flagged", self.flagged),
            ("total", self.total),
        ] {
            table.raw_set(name, count)?;
        }
        Ok(table)
    }
}

async fn watch(
    lua: Lua,
    host: Rc<Host>,
    methods: Table,
    args: MultiValue,
) -> Result<(Value, Value), Fault> {
    let call = "mail.watch_maildir";
    let argument = |at: usize| args.get(at).cloned().unwrap_or(Value::Nil);
    let path = folder(call, &host, &args)?;
    let function = handler(call, &args)?;
    let options = Options::new(call, &argument(2), &signatures::MAILDIR_OPTIONS)?;
    let settle = options.duration("settle")?.unwrap_or(fs::SETTLE);
    let poll = fs::poll(&options)?;
    let initial = options.flag("initial")?.unwrap_or(true);
    let what = format!("watch of {}", path.display());
    // Only the latest counts matter: one may wait.
    let mailbox = Rc::new(Mailbox {
        path: path.clone(),
        handler: Rc::new(Serial::new(Origin::Event, function, what, 1, Full::DropOldest)),
        last: RefCell::new(None),
        is_missing: Cell::new(false),
    });
    let watched = ["new", "cur"].map(|part| Pattern::of(path.join(part)).with_contents(false));
    let patterns = watched.to_vec();
    let wanted = fs::Wanted { patterns, settle, poll, initial: false, must_exist: false };
    let (owner, looking) = (host.clone(), mailbox.clone());
    let begun = fs::begin(&host, wanted, move |lua, _, inbox| {
        while inbox.take().is_some() {}
        looking.look(&owner, lua);
    });
    match begun.await {
        Ok(id) => {
            if initial {
                host.when_live(&lua, move |host, lua| mailbox.look(host, lua));
            } else {
                *mailbox.last.borrow_mut() = Counts::of(&mailbox.path).ok();
            }
            Ok((fs::handle(&lua, &host, &methods, id)?, Value::Nil))
        }
        Err(refusal) => Ok(failed_with(&lua, &host, call, refusal.code, refusal.message)?),
    }
}

/// A watched Maildir.
struct Mailbox {
    path: PathBuf,
    handler: Rc<Serial<Counts>>,
    last: RefCell<Option<Counts>>,
    is_missing: Cell<bool>,
}

impl Mailbox {
    /// Counts again, and tells the script when the counts differ from the last ones it was told.
    fn look(&self, host: &Rc<Host>, lua: &Lua) {
        match Counts::of(&self.path) {
            Ok(counts) => {
                self.is_missing.set(false);
                if self.last.borrow().as_ref() != Some(&counts) {
                    *self.last.borrow_mut() = Some(counts);
                    self.handler.push(host, lua, counts);
                }
            }
            Err(error) => {
                if !self.is_missing.replace(true) {
                    let script = &*host.name;
                    let path = self.path.display();
                    tracing::warn!(
                        script,
                        "mail.watch_maildir: {path} cannot be read ({error}); waiting for it"
                    );
                }
            }
        }
    }
}

fn folder(call: &str, host: &Host, args: &MultiValue) -> Result<PathBuf, Fault> {
    match args.front() {
        Some(Value::String(path)) => Ok(host.resolve(&path.to_string_lossy())),
        other => Err(Fault::misuse(format!(
            "{call}: first argument: {} is not a path",
            shown(other.unwrap_or(&Value::Nil))
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maildir_is_counted_by_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let touch = |name: &str| std::fs::write(folder.path().join(name), "").expect("written");
        assert!(Counts::of(folder.path()).is_err(), "no Maildir yet");
        for part in ["new", "cur", "tmp"] {
            std::fs::create_dir(folder.path().join(part)).expect("made");
        }
        assert_eq!(Counts::of(folder.path()).expect("a Maildir"), Counts::default());
        for name in ["new/1.host", "new/2.host", "new/.hidden", "tmp/3.host"] {
            touch(name);
        }
        for name in ["cur/4:2,S", "cur/5:2,", "cur/6:2,FS", "cur/7:2,ST", "cur/8"] {
            touch(name);
        }
        let counts = Counts { new: 2, unread: 4, read: 2, flagged: 1, total: 6 };
        assert_eq!(Counts::of(folder.path()).expect("a Maildir"), counts);
    }
}
