//! `[scripts]` and `[[script]]`: which scripts run, and with which settings.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Wanted,
    problem::Problem,
    read::{Reader, Section, Value},
    value::{count, duration, list, name, size},
};
use crate::{
    command::closest,
    script::{self, HostRule, Limits, Permissions, ScriptSpec},
};

/// One `[[script]]`; the default stands for a script that no section speaks of.
#[derive(Debug, Default)]
pub(super) struct Entry {
    at: usize,
    /// As written.
    file: PathBuf,
    name: Option<String>,
    config: toml::Table,
    allow: Permissions,
    limits: Limits,
}

/// Where scripts come from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// `[scripts] dir`, or "scripts" beside the configuration where that is a folder.
    pub(super) dir: Option<PathBuf>,
    pub(super) entries: Vec<Entry>,
}

/// Reads `[scripts] dir`.
pub(super) fn read_dir(section: Option<Section<'_, '_>>, folder: &Path) -> Option<PathBuf> {
    let usual = || Some(folder.join("scripts")).filter(|dir| dir.is_dir());
    let Some(mut section) = section else { return usual() };
    let was_given = section.has("dir");
    let dir = section.read("dir", |value| {
        let dir = folder.join(name(value)?);
        match std::fs::metadata(&dir) {
            Ok(found) if found.is_dir() => Ok(dir),
            Ok(_) => Err(format!("{} is not a folder", dir.display())),
            Err(error) => Err(format!("cannot open {}: {error}", dir.display())),
        }
    });
    section.finish();
    if was_given { dir } else { usual() }
}

/// Reads one `[[script]]`; nothing when it names no file.
pub(super) fn read_entry(mut section: Section<'_, '_>, folder: &Path) -> Option<Entry> {
    let at = section.at;
    let file = section.need("file", "\"cpu.lua\"", name);
    let script_name = section.read("name", name);
    let config = section.table("config").unwrap_or_default();
    let limits = section.section("limits").map(read_limits).unwrap_or_default();
    let allow = section.section("allow");
    let allow = allow.map(|allow| read_allow(allow, folder)).unwrap_or_default();
    section.finish();
    Some(Entry { at, file: file?.into(), name: script_name, config, allow, limits })
}

fn read_allow(mut section: Section<'_, '_>, folder: &Path) -> Permissions {
    let mut entries = |key, entry: fn(&Value<'_>) -> Result<String, String>| {
        section.read(key, |value| list(value, entry)).unwrap_or_default()
    };
    let absolute = |root: String| {
        let root = folder.join(root);
        std::path::absolute(&root).unwrap_or(root)
    };
    let allow = Permissions {
        fs: entries("fs", name).into_iter().map(absolute).collect(),
        exec: entries("exec", program),
        http: entries("http", host_rule),
        imap: entries("imap", host_rule),
        kv: entries("kv", name),
    };
    section.finish();
    allow
}

/// Reads the name of a program, or its absolute path.
fn program(value: &Value<'_>) -> Result<String, String> {
    let text = name(value)?;
    if text.contains('/') && !text.starts_with('/') {
        return Err(format!(
            "{text:?} is not a program: write a name such as \"df\", or an absolute path"
        ));
    }
    Ok(text)
}

/// Reads an entry of a list of hosts; it is kept as written.
fn host_rule(value: &Value<'_>) -> Result<String, String> {
    let text = name(value)?;
    HostRule::parse(&text).map(|_| text)
}

fn read_limits(mut section: Section<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    let memory = section.read("memory", |value| {
        let memory = size(value)?;
        if memory < LEAST_MEMORY {
            return Err(format!("{memory} bytes hold no script; give at least \"1MiB\""));
        }
        Ok(memory)
    });
    limits.memory = memory.unwrap_or(limits.memory);
    limits.cpu = section.read("cpu", duration).unwrap_or(limits.cpu);
    limits.source = section.read("source", size).unwrap_or(limits.source);
    limits.timers = section.read("timers", count).unwrap_or(limits.timers);
    limits.documents = section.read("documents", size).unwrap_or(limits.documents);
    limits.tasks = section.read("tasks", count).unwrap_or(limits.tasks);
    limits.kv = section.read("kv", size).unwrap_or(limits.kv);
    limits.watches = section.read("watches", count).unwrap_or(limits.watches);
    limits.publications = section.read("publications", count).unwrap_or(limits.publications);
    section.finish();
    limits
}

/// The scripts that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) specs: Vec<ScriptSpec>,
    /// Those whose files cannot be read as scripts, by name.
    pub(super) unreadable: Vec<(Arc<str>, Problem)>,
}

impl Sources {
    /// Finds the wanted scripts and reads their sources; what is wrong is noted. `again`: they run
    /// already, so what is wrong with one of them is that one's affair.
    pub(super) fn find(
        mut self,
        wanted: &Wanted,
        folder: &Path,
        reader: &Reader<'_>,
        again: bool,
    ) -> Found {
        let chosen = self.choose(wanted, folder, reader, again);
        let lib_dirs: Vec<_> = self.dir.iter().map(|dir| dir.join("lib")).collect();
        let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut found = Found::default();
        for (path, entry) in chosen {
            let name = entry.name.unwrap_or_else(|| stem(&path));
            if let Some(other) = named.insert(name.clone(), path.clone()) {
                let message = format!(
                    "{} is named '{name}' too; give one of them another name in a [[script]] section",
                    other.display()
                );
                reader.note_other(Problem::of_file(&path, message));
                continue;
            }
            match read_source(&path) {
                Ok(source) => found.specs.push(ScriptSpec {
                    name: name.into(),
                    path,
                    source,
                    config: entry.config,
                    config_dir: folder.into(),
                    lib_dirs: lib_dirs.clone(),
                    allow: entry.allow,
                    limits: entry.limits,
                }),
                Err(problem) if again => found.unreadable.push((name.into(), problem)),
                Err(problem) => reader.note_other(problem),
            }
        }
        found
    }

    /// Pairs files with their sections; a file may have several, each a script of its own.
    fn choose(
        &mut self,
        wanted: &Wanted,
        folder: &Path,
        reader: &Reader<'_>,
        again: bool,
    ) -> Vec<(PathBuf, Entry)> {
        let base = self.dir.as_deref().unwrap_or(folder);
        let (files, is_whole) = match wanted {
            Wanted::Nothing => return Vec::new(),
            Wanted::Files(files) => (files.clone(), false),
            Wanted::Configured => {
                let listed = self.dir.as_deref().map_or(Ok(Vec::new()), list_dir);
                (listed.map_err(|problem| reader.note_other(problem)).unwrap_or_default(), true)
            }
        };
        let mut own: BTreeMap<PathBuf, Vec<(PathBuf, Entry)>> = BTreeMap::new();
        for entry in std::mem::take(&mut self.entries) {
            match locate(&entry, base, &files) {
                Ok(path) => own.entry(identity(&path)).or_default().push((path, entry)),
                // A script whose file is gone is stopped, and the others go on.
                Err(message) if is_whole && again => {
                    tracing::warn!("[[script]]: {message}");
                }
                Err(message) if is_whole => reader.note(entry.at, format!("[[script]]: {message}")),
                // It would not run anyway.
                Err(_) => {}
            }
        }
        let mut chosen = Vec::new();
        for file in files {
            match own.remove(&identity(&file)) {
                Some(entries) => chosen.extend(entries),
                None => chosen.push((file, Entry::default())),
            }
        }
        if is_whole {
            chosen.extend(own.into_values().flatten());
        }
        chosen
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Returns the scripts of a folder in order of their names.
fn list_dir(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let refused =
        |error: std::io::Error| Problem::of_file(dir, format!("cannot list scripts: {error}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_script(&name) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns whether a file of the scripts' folder runs by itself.
fn is_script(name: &str) -> bool {
    let is_lua = name.ends_with(".lua") || name.ends_with(".luau");
    let is_test = name.ends_with("_test.lua") || name.ends_with("_test.luau");
    let is_stub = name.ends_with(".d.luau") || name.ends_with(".meta.lua");
    is_lua && !is_test && !is_stub && !name.starts_with(['.', '_'])
}

/// Finds the file of a `[[script]]`.
fn locate(entry: &Entry, base: &Path, listed: &[PathBuf]) -> Result<PathBuf, String> {
    let path = base.join(&entry.file);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(format!("file: {} is a folder", path.display())),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let names: Vec<_> = listed
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            let written = entry.file.to_string_lossy();
            let meant = closest(&written, names.iter().map(|name| &**name))
                .map(|meant| format!(" (did you mean '{meant}'?)"))
                .unwrap_or_default();
            Err(format!("file: {} does not exist{meant}", path.display()))
        }
        Err(error) => Err(format!("file: cannot open {}: {error}", path.display())),
    }
}

/// Returns what two ways of writing one file have in common.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

fn read_source(path: &Path) -> Result<String, Problem> {
    script::read_source(path).map_err(|(line, message)| Problem {
        file: path.into(),
        line,
        message,
    })
}

/// Less than this does not even hold the libraries.
const LEAST_MEMORY: usize = 1024 * 1024;
