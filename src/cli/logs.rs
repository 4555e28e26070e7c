//! `puad logs`: the latest log of the running puad, whatever shape it has on disk.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::{Value, json};

use super::{
    Ended, exit, print,
    running::{Running, params},
    table::plain,
};
use crate::{
    command::closest,
    control::client::{Client, Notification},
};

/// Options of `puad logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad logs
  puad logs -f cpu                  # what concerns the script cpu, as it happens
  puad logs -n 1000 --json | jq -r 'select(.level == \"WARN\").message'

puad remembers its last 2,000 lines. Exit code 0, 69 refused, 75 when no puad answers, 78
configuration.")]
pub(super) struct Args {
    /// Only what concerns this script
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Go on until Ctrl-C, or until puad ends
    #[arg(short, long)]
    follow: bool,
    /// How many lines of the past to show
    #[arg(short = 'n', long, value_name = "N", default_value = "100")]
    lines: u64,
    /// Print one JSON object a line, as [log] format = "json" does
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Prints lines as they come.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let mut client = args.running.connect()?;
    let unknown = match &args.name {
        Some(name) => unknown(&mut client, name)?,
        None => None,
    };
    let asked = params([
        ("follow", Some(args.follow.into())),
        ("lines", Some(args.lines.into())),
        ("script", args.name.as_deref().map(Value::from)),
    ]);
    let mut left = client.call("logs", &asked)?["lines"].as_u64().unwrap_or_default();
    // A script that is gone may have left lines.
    if let Some(message) = unknown.filter(|_| left == 0) {
        return Err(Ended::new(exit::REFUSED, anyhow::Error::msg(message)));
    }
    while args.follow || left > 0 {
        let Some(Notification { method, params }) = client.notification()? else { break };
        left = left.saturating_sub(1);
        match (&*method, args.json) {
            ("log", true) => print(&params.to_string())?,
            ("log", false) => print(&text(&params))?,
            // Beside the lines, so that a program that reads them is not confused.
            ("lost", _) => {
                let lines = &params["lines"];
                let _ = writeln!(io::stderr(), "puad: {lines} lines came too fast and are lost");
            }
            _ => {}
        }
    }
    Ok(exit::OK)
}

/// Returns what is to be said of a script that is not there.
fn unknown(client: &mut Client, name: &str) -> Result<Option<String>, Ended> {
    let scripts = client.call("ls", &json!({ "what": "scripts" }))?;
    let names: Vec<_> =
        scripts.as_array().into_iter().flatten().filter_map(|row| row["name"].as_str()).collect();
    if names.contains(&name) {
        return Ok(None);
    }
    let hint = match closest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "`puad ls` shows all".into(),
    };
    Ok(Some(format!("no script is named {name:?} ({hint})")))
}

/// Returns a line as the log writes it for people; a traceback follows behind everything else.
fn text(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let message = word("message");
    let mut message = message.lines().map(plain);
    let first = message.next().unwrap_or_default();
    let mut text = format!("{} {:>5} {first}", word("timestamp"), word("level"));
    for (name, value) in line.as_object().into_iter().flatten() {
        if !["timestamp", "level", "message"].contains(&name.as_str()) {
            let _ = write!(text, " {name}={}", plain(&value.to_string()));
        }
    }
    for line in message {
        text.push('\n');
        text.push_str(&line);
    }
    text
}
