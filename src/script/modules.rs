//! Where `require` finds a module: in the script's folder, among the modules beside it, or in puad.
//!
//! Loading each one once, and in which order, is done by the prelude.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use mlua::{Function, Lua};

use super::{
    generation::hash_of,
    host::{Host, MOST_MODULES},
    vm::{compile, plain, shown_name},
};

/// Finds and compiles a module; a text says why there is none.
pub(super) fn find(
    lua: &Lua,
    host: &Host,
    name: &str,
) -> mlua::Result<(Option<Function>, Option<String>)> {
    let refused = |why: String| Ok((None, Some(format!("require: {why}"))));
    if !is_name(name) {
        let cut: String = name.chars().take(60).collect();
        return refused(format!(
            "{cut:?} is not the name of a module: letters, digits, _ and -, and dots or slashes between folders"
        ));
    }
    let compiled = |shown: &str, source: &str| match compile(lua, shown, source, host.limits.source)
    {
        Ok(function) => Ok((Some(function), None)),
        Err(error) => refused(plain(&error)),
    };
    let relative = name.replace('.', "/");
    let mut tried = Vec::new();
    for folder in &host.module_dirs {
        for extension in ["luau", "lua"] {
            let path = folder.join(format!("{relative}.{extension}"));
            if !host.may_look_for(&path) {
                return refused(format!(
                    "{name}: this version has looked for {MOST_MODULES} files of modules already, and may look for no more"
                ));
            }
            match read(&path, &host.module_dirs, host.limits.source) {
                Ok(Some(source)) => {
                    host.note_module(path.clone(), Some(hash_of(source.as_bytes())));
                    return compiled(&shown_name(&path), &source);
                }
                Ok(None) => {
                    tried.push(path.display().to_string());
                    host.note_module(path, None);
                }
                Err(why) => {
                    host.note_module(path.clone(), None);
                    return refused(format!("{}: {why}", path.display()));
                }
            }
        }
    }
    if let Some((_, source)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return compiled(&format!("puad/{name}.luau"), source);
    }
    refused(format!("there is no module {name:?}; looked for {}", tried.join(", ")))
}

/// Names are words between dots or slashes, so that none can leave its folder.
fn is_name(name: &str) -> bool {
    name.len() <= 256
        && name.split(['.', '/']).all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
        })
}

/// Reads the source of a module; `None` when there is no such file.
fn read(path: &Path, folders: &[PathBuf], limit: usize) -> Result<Option<String>, String> {
    let Ok(real) = path.canonicalize() else { return Ok(None) };
    let is_inside = |folder: &PathBuf| folder.canonicalize().is_ok_and(|at| real.starts_with(at));
    if !folders.iter().any(is_inside) {
        return Err(format!(
            "the link leads to {}, which is in none of the folders for modules",
            real.display()
        ));
    }
    // A pipe would never end, and a folder has no text.
    if !real.is_file() {
        return Err("this is not a file".into());
    }
    let cannot = |error: std::io::Error| format!("cannot read it: {error}");
    let file = std::fs::File::open(&real).map_err(cannot)?;
    let mut bytes = Vec::new();
    // One byte more shows that it is too long.
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > limit {
        return Err(format!(
            "it is longer than the {limit} bytes a source may have (limits.source)"
        ));
    }
    match String::from_utf8(bytes) {
        Ok(source) => Ok(Some(source)),
        Err(_) => Err("it is not UTF-8; save it as UTF-8".into()),
    }
}

/// The modules that come with puad.
const SHIPPED: &[(&str, &str)] = &[("steady", include_str!("../../scripts/lib/steady.luau"))];
