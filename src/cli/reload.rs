//! `puad reload` and `puad resume`: what changes the scripts of a running puad.

use serde_json::Value;

use super::{
    Ended, exit, print,
    running::{Running, params},
    table::cell,
};

/// Options of `puad reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad reload                       # configuration and scripts, as SIGHUP does
  puad reload cpu                   # one script

A version that does not load leaves the one before it running. Exit code 0, 69 refused, 75 when no
puad answers, 78 configuration.")]
pub(super) struct Args {
    /// Script to reload [default: all of them]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Options of `puad resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  puad resume cpu

A script is put on hold when it was stopped three times in ten minutes for using too much CPU. Exit
code 0, 69 refused, 75 when no puad answers, 78 configuration.")]
pub(super) struct ResumeArgs {
    /// Script to resume
    #[arg(value_name = "NAME")]
    name: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Asks for a reload and prints what came of it.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let name = args.name.as_deref();
    let answer = args.running.ask("reload", &params([("name", name.map(Value::from))]))?;
    tell(
        &answer,
        args.json,
        &format!("reloaded {}", name.unwrap_or("the configuration; there is no script")),
    )
}

/// Asks for a resumption and prints what came of it.
pub(super) fn resume(args: &ResumeArgs) -> Result<u8, Ended> {
    let name = Some(args.name.as_str().into());
    let answer = args.running.ask("resume", &params([("name", name)]))?;
    tell(&answer, args.json, &format!("resumed {}", args.name))
}

/// Prints an answer: each of its lines, where it is a list of what was done.
fn tell(answer: &Value, json: bool, done: &str) -> Result<u8, Ended> {
    if json {
        print(&answer.to_string())?;
        return Ok(exit::OK);
    }
    match answer.as_array() {
        Some(lines) if !lines.is_empty() => {
            for line in lines {
                print(&cell(line))?;
            }
        }
        Some(_) | None => print(done)?,
    }
    Ok(exit::OK)
}
