//! `puad stop`: the end of the running puad, waited for.

use serde_json::json;

use super::{Ended, exit, print, running::Running};

/// Options of `puad stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad stop
  puad stop --remove                # nothing stays up at the server

Returns when puad is down. Exit code 0, 69 refused, 75 when no puad answers or it ends without a
word, 78 configuration.")]
pub(super) struct Args {
    /// Remove publications with on_stop = "keep", too
    #[arg(long)]
    remove: bool,
    /// Print the outcome as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Asks for the end and waits for it.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let mut client = args.running.connect()?;
    let outcome = client.call("stop", &json!({ "remove": args.remove }))?;
    client.wait_for_end()?;
    let text = match outcome["unanswered"].as_u64() {
        _ if args.json => outcome.to_string(),
        Some(count @ 1..) => {
            format!(
                "stopped; removals without an answer: {count}; that state runs out at the server"
            )
        }
        Some(0) | None => "stopped".into(),
    };
    print(&text)?;
    Ok(exit::OK)
}
