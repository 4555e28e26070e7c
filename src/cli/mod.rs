//! The command line: a file per subcommand, and how each of them ends.

mod check;
mod completions;
mod demo;
mod junit;
mod logs;
mod ls;
mod publish;
mod reload;
mod run;
mod running;
mod show;
mod sources;
mod stop;
mod stubs;
mod table;
mod test;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    config::Problems,
    daemon, driver,
    observe::log::{self, Format, Log},
};

/// Runs Lua scripts and keeps the SIP event state they publish alive.
#[derive(Debug, Parser)]
#[command(
    name = "puad",
    version,
    about,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND",
    after_help = "\
Examples:
  puad demo
  puad run cpu.lua --proxy 'sip:127.0.0.1:5060;lr' --set cpu.uri=sip:web1@example.com
  puad run --config /etc/puad/puad.toml
  puad check
  puad test scripts
  puad publish sip:alice@example.com --event presence --body-file open.xml
  puad ls publications

Exit codes:
  0 done, 64 usage, 69 refused by the server or by the running puad, 70 internal error,
  75 temporary (503, time-out, DNS, no puad answers), 78 configuration, 1 anything else

PUAD_CONFIG names the configuration file, PUAD_LOG what is logged (such as \"debug\")."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What puad can be asked to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: an agent, two scripts and a live view inside one process
    Demo(demo::Args),
    /// Run scripts and keep what they publish alive until SIGTERM or Ctrl-C
    Run(run::Args),
    /// Check the configuration and all scripts; nothing is sent
    Check(check::Args),
    /// Run scripts' own tests, *_test.lua, on virtual time; nothing is sent
    Test(test::Args),
    /// Send one PUBLISH and print the server's answer
    Publish(Box<publish::Args>),
    /// List what the running puad has: scripts, publications, subscriptions or timers
    Ls(ls::Args),
    /// Show one publication of the running puad, its document included
    Show(show::Args),
    /// Have the running puad reload its configuration and scripts, or one script
    Reload(reload::Args),
    /// Let a script that is on hold run again
    Resume(reload::ResumeArgs),
    /// Stop the running puad and wait for its end
    Stop(stop::Args),
    /// Show the latest log of the running puad, and follow it
    Logs(logs::Args),
    /// Write what editors need to know puad's functions: type stubs and settings
    Stubs(stubs::Args),
    /// Print a script that completes puad's commands and options in a shell
    Completions(completions::Args),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(if error.exit_code() == 0 { exit::OK } else { exit::USAGE });
        }
    };
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Publish(args) => publish::run(*args),
        Command::Ls(args) => ls::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Resume(args) => reload::resume(&args),
        Command::Stop(args) => stop::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Stubs(args) => stubs::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    ExitCode::from(done.unwrap_or_else(|ended| ended.tell()))
}

/// Exit codes, as in sysexits.h.
mod exit {
    pub(super) const OK: u8 = 0;
    pub(super) const OTHER: u8 = 1;
    pub(super) const USAGE: u8 = 64;
    pub(super) const REFUSED: u8 = 69;
    pub(super) const INTERNAL: u8 = 70;
    pub(super) const TEMPORARY: u8 = 75;
    pub(super) const CONFIG: u8 = 78;
}

/// A command that did not get to its end.
#[derive(Debug)]
struct Ended {
    code: u8,
    error: anyhow::Error,
}

impl Ended {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, anyhow::Error::msg(message.into()))
    }

    /// Prints why, once, and returns the exit code.
    fn tell(&self) -> u8 {
        let text = match self.error.downcast_ref::<Problems>() {
            // Each line begins with its file already.
            Some(problems) => problems.to_string(),
            None => format!("puad: {:#}", self.error),
        };
        let _ = writeln!(io::stderr(), "{text}");
        self.code
    }
}

impl From<driver::StartError> for Ended {
    fn from(error: driver::StartError) -> Self {
        match error {
            // It has explained what the system said.
            driver::StartError::Listen(error) => {
                Self::new(exit::OTHER, anyhow::Error::msg(error.to_string()))
            }
            driver::StartError::System(..) => Self::new(exit::OTHER, error),
        }
    }
}

impl From<daemon::StartError> for Ended {
    fn from(error: daemon::StartError) -> Self {
        match error {
            daemon::StartError::Core(error) => error.into(),
            error => Self::new(exit::OTHER, error),
        }
    }
}

impl From<Problems> for Ended {
    fn from(problems: Problems) -> Self {
        Self::new(exit::CONFIG, problems)
    }
}

/// Prints a line to standard output. A reader that has gone away has seen enough.
fn print(line: &str) -> Result<(), Ended> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            let error = anyhow::Error::new(error).context("cannot write to standard output");
            Err(Ended::new(exit::OTHER, error))
        }
    }
}

/// Starts a log on standard error, or says what is wrong with `PUAD_LOG`.
fn start_log(level: &str) -> Result<Log, Ended> {
    start_log_as(Format::Text, level)
}

/// Starts the log, or says why it cannot be.
fn start_log_as(format: Format, level: &str) -> Result<Log, Ended> {
    log::start(format, level)
        .map_err(|message| Ended::new(exit::CONFIG, anyhow::Error::msg(message)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_option_says_what_it_is() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}
