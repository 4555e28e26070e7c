//! `puad stubs`: what editors need to know puad's functions.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Ended, exit, print};
use crate::script::signatures::{self, FILES, STUBS_LUALS, STUBS_LUAU};

/// Options of `puad stubs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad stubs .                      # beside puad.toml, where the editor is opened
  puad stubs ~/scripts

Writes puad.d.luau for luau-lsp, puad.meta.lua for LuaLS (lua-language-server) and the reference
page REFERENCE.md, and, where there are none yet, settings of both editors' helpers: .luaurc and
.luarc.json. puad's own files are written anew each time; settings that are there are left alone,
and a file of the same name that puad has not written is refused.

luau-lsp is told of the file in its own settings; in VS Code:
  \"luau-lsp.types.definitionFiles\": { \"puad\": \"puad.d.luau\" }")]
pub(super) struct Args {
    /// Folder to write into; it is made if it is not there
    dir: PathBuf,
}

/// Writes the files and says what was done.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    fs::create_dir_all(&args.dir).map_err(|error| refused(&args.dir, "make", error))?;
    for (name, write) in FILES {
        let path = args.dir.join(name);
        let text = write();
        let was = match fs::read_to_string(&path) {
            Ok(was) if was == text => "as it was",
            // Somebody's own file of that name is not puad's to replace.
            Ok(was) if !is_ours(&was) => {
                return Err(Ended::new(
                    exit::CONFIG,
                    anyhow::anyhow!(
                        "{} is not a file that puad has written; move it away first",
                        path.display()
                    ),
                ));
            }
            Ok(_) => "written anew",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "written",
            Err(error) => return Err(refused(&path, "read", error)),
        };
        if was != "as it was" {
            fs::write(&path, text).map_err(|error| refused(&path, "write", error))?;
        }
        print(&format!("{}: {was}", path.display()))?;
    }
    for (name, text) in [(".luaurc", luaurc()), (".luarc.json", luarc())] {
        let path = args.dir.join(name);
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                io::Write::write_all(&mut file, text.as_bytes())
                    .map_err(|error| refused(&path, "write", error))?;
                print(&format!("{}: written", path.display()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                print(&format!("{}: left as it is", path.display()))?;
            }
            Err(error) => return Err(refused(&path, "write", error)),
        }
    }
    print(&format!(
        "LuaLS finds {STUBS_LUALS} by itself; luau-lsp wants {STUBS_LUAU} in its setting types.definitionFiles"
    ))?;
    Ok(exit::OK)
}

/// Whether puad has written it: each of its files says so near its beginning.
fn is_ours(text: &str) -> bool {
    text.lines().take(5).any(|line| line.contains("Written by `puad stubs`"))
}

fn refused(path: &Path, what: &str, error: io::Error) -> Ended {
    let error = anyhow::Error::new(error).context(format!("cannot {what} {}", path.display()));
    Ended::new(exit::OTHER, error)
}

/// Settings of luau-lsp and of Luau's own tools, which do not read stubs.
fn luaurc() -> String {
    let globals: Vec<_> = globals().map(|name| format!("{name:?}")).collect();
    format!("{{\n  \"languageMode\": \"nonstrict\",\n  \"globals\": [{}]\n}}\n", globals.join(", "))
}

fn globals() -> impl Iterator<Item = &'static str> {
    let libraries = signatures::libraries().map(|library| library.name);
    libraries.chain(signatures::GLOBALS.iter().map(|function| function.name))
}

/// Settings of LuaLS: Lua 5.1 with what Luau has beside it, without what scripts do not have.
fn luarc() -> String {
    format!(
        r#"{{
  "runtime.version": "Lua 5.1",
  "runtime.nonstandardSymbol": ["continue", "+=", "-=", "*=", "/=", "%=", "^=", "`"],
  "runtime.builtin": {{
    "io": "disable", "package": "disable", "jit": "disable", "ffi": "disable"
  }},
  "workspace.library": ["{STUBS_LUALS}"],
  "workspace.ignoreDir": [".git"]
}}
"#
    )
}
