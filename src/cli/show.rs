//! `puad show`: one publication in full.

use serde_json::{Value, json};

use super::{
    Ended, exit, print,
    running::Running,
    table::{cell, now, plain, relative},
};

/// Options of `puad show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad show 'sip:web1@example.com presence cpu'
  puad show web1                    # any part of a key that no other key has
  puad show web1 --json | jq -r .body

Exit code 0, 69 when none or several match, 75 when no puad answers, 78 configuration.")]
pub(super) struct Args {
    /// Key of the publication, or a part of it
    #[arg(value_name = "KEY")]
    key: String,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Asks and prints.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let found = args.running.ask("show", &json!({ "key": args.key }))?;
    print(&if args.json { found.to_string() } else { shown(&found) })?;
    Ok(exit::OK)
}

fn shown(found: &Value) -> String {
    let now = now();
    let lines = FIELDS.map(|name| {
        let value = &found[name];
        let text = match (name, value.as_f64()) {
            ("expires_at" | "next_refresh", Some(at)) => {
                let at = jiff::Timestamp::from_second(at.round() as i64);
                let at = at.map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
                let at =
                    at.map_or("-".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S%:z").to_string());
                format!("{} ({at})", relative(value, now))
            }
            _ => cell(value),
        };
        format!("{name:<14}  {text}")
    });
    let mut text = lines.join("\n");
    if let Some(body) = found["body"].as_str() {
        text.push('\n');
        for line in body.lines() {
            text.push_str("\n    ");
            text.push_str(&plain(line));
        }
    }
    text
}

/// In the order in which they are shown; the document follows.
const FIELDS: [&str; 15] = [
    "key",
    "presentity_uri",
    "event",
    "id",
    "owner",
    "state",
    "etag",
    "expires_at",
    "next_refresh",
    "status",
    "reason",
    "requests",
    "failures",
    "last_error",
    "content_type",
];
