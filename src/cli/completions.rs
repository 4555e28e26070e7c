//! `puad completions`: what a shell needs to complete puad's commands and options.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Ended, exit, print};

/// Options of `puad completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad completions bash > /etc/bash_completion.d/puad
  puad completions zsh > \"${fpath[1]}/_puad\"
  puad completions fish > ~/.config/fish/completions/puad.fish")]
pub(super) struct Args {
    /// Shell to write it for
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Result<u8, Ended> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "puad", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(exit::OK)
}
