//! `puad ls`: what the running puad has.

use serde_json::{Value, json};

use super::{
    Ended, exit, print,
    running::Running,
    table::{bytes, cell, now, relative, table},
};
use crate::control::What;

/// Options of `puad ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad ls                           # scripts
  puad ls publications
  puad ls publications --json | jq -r '.[] | select(.state != \"published\").key'

Exit code 0, 69 refused, 75 when no puad answers, 78 configuration.")]
pub(super) struct Args {
    /// What to list: scripts, publications, subscriptions or timers
    #[arg(value_name = "WHAT", default_value = "scripts", value_parser = parse_what)]
    what: What,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Asks and prints.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let list = args.running.ask("ls", &json!({ "what": args.what.as_str() }))?;
    let text = if args.json { list.to_string() } else { shown(args.what, &list) };
    print(&text)?;
    Ok(exit::OK)
}

fn shown(what: What, list: &Value) -> String {
    let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return format!("there are no {}", what.as_str());
    }
    let now = now();
    let (head, row): (&[&str], &Row<'_>) = match what {
        What::Scripts => (
            &["NAME", "STATE", "GEN", "PUBS", "SUBS", "TIMERS", "MEMORY", "FILE", "ERROR"],
            &|row| {
                let mut cells: Vec<_> =
                    ["name", "state", "generation", "publications", "subscriptions", "timers"]
                        .map(|key| cell(&row[key]))
                        .into();
                cells.extend([bytes(&row["memory"]), cell(&row["file"]), cell(&row["error"])]);
                cells
            },
        ),
        What::Publications => {
            (&["KEY", "STATE", "EXPIRES", "NEXT", "STATUS", "OWNER", "ERROR"], &|row| {
                vec![
                    cell(&row["key"]),
                    cell(&row["state"]),
                    relative(&row["expires_at"], now),
                    relative(&row["next_refresh"], now),
                    cell(&row["status"]),
                    cell(&row["owner"]),
                    cell(&row["last_error"]),
                ]
            })
        }
        What::Subscriptions => {
            (&["KEY", "STATE", "EXPIRES", "NEXT", "NOTIFIED", "DROPPED", "ERROR"], &|row| {
                vec![
                    cell(&row["key"]),
                    cell(&row["state"]),
                    relative(&row["expires_at"], now),
                    relative(&row["next_refresh"], now),
                    cell(&row["notifications"]),
                    cell(&row["dropped"]),
                    cell(&row["last_error"]),
                ]
            })
        }
        What::Timers => {
            (&["SCRIPT", "NAME", "SCHEDULE", "NEXT", "RUNS", "MISSED", "RUNNING"], &|row| {
                vec![
                    cell(&row["script"]),
                    cell(&row["name"]),
                    cell(&row["schedule"]),
                    relative(&row["next"], now),
                    cell(&row["runs"]),
                    cell(&row["missed"]),
                    cell(&row["running"]),
                ]
            })
        }
    };
    table(head, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Makes the cells of one row.
type Row<'a> = dyn Fn(&Value) -> Vec<String> + 'a;

fn parse_what(text: &str) -> Result<What, String> {
    let found = What::ALL.iter().find(|(word, _)| *word == text).map(|(_, what)| *what);
    found.ok_or_else(|| {
        let words = What::ALL.map(|(word, _)| word);
        match crate::command::closest(text, words) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there are: {}", words.join(", ")),
        }
    })
}
