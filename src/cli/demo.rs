//! `puad demo`: the flags of the demonstration.

use std::time::Duration;

use super::{Ended, exit, start_log};
use crate::{command::parse_duration, demo};

/// Options of `puad demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad demo              # until Ctrl-C
  puad demo --for 30s    # half a minute

A presence agent and two scripts run inside one process, on loopback and in a temporary folder. On
a terminal the table is kept up to date; anywhere else each change is a line.")]
pub(super) struct Args {
    /// How long it runs, such as 30s or 5m; without it, until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    limit: Option<Duration>,
}

/// Runs the demonstration.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let _log = start_log("warn")?;
    demo::run(args.limit).map_err(|error| Ended::new(exit::OTHER, error))?;
    Ok(exit::OK)
}
