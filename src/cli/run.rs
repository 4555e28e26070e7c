//! `puad run`: the daemon.

use super::{Ended, exit, sources::Sources, start_log_as};
use crate::{
    config::{Config, Problem, Problems, parse_proxy},
    daemon::{self, End, Stop},
    net::Listen,
    sip::message::Uri,
};

/// Options of `puad run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad run cpu.lua --proxy 'sip:127.0.0.1:5060;lr' --set cpu.uri=sip:web1@example.com
  puad run                          # puad.toml here, or /etc/puad/puad.toml
  puad run --config lamps.toml mwi.lua
  PUAD_LOG=debug puad run cpu.lua

SIGTERM, Ctrl-C and `puad stop` stop scripts, remove what they published and end within 5 s; a second
signal ends at once. Try a set-up with `puad check` first, look at it with `puad ls` and `puad logs`.")]
pub(super) struct Args {
    #[command(flatten)]
    sources: Sources,
    /// Where requests go by default; with ;lr a Route too; may be repeated [default: [sip] outbound_proxy]
    #[arg(long, value_name = "URI", value_parser = parse_proxy)]
    proxy: Vec<Uri>,
    /// Socket, udp:ADDRESS:PORT or tcp:…; port 0: a free one; may be repeated [default: [sip] listen]
    #[arg(long, value_name = "LISTEN", value_parser = Listen::parse)]
    listen: Vec<Listen>,
}

impl Args {
    /// What the command line says goes before what the file says.
    fn override_in(&self, config: &mut Config) {
        if !self.proxy.is_empty() {
            config.sip.outbound_proxy.clone_from(&self.proxy);
        }
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
    }
}

/// Runs until a signal comes.
pub(super) fn run(args: Args) -> Result<u8, Ended> {
    let mut config = args.sources.load()?;
    let by_hand = !args.sources.scripts.is_empty();
    if let Some(file) = config.file.as_ref().filter(|_| !by_hand)
        && config.scripts.is_empty()
        && config.scripts_dir.is_none()
    {
        let message = "there is no script to run: make a folder \"scripts\" beside this file, set \
                       [scripts] dir, add a [[script]] section, or name scripts on the command line";
        return Err(Problems(vec![Problem::of_file(file, message)]).into());
    }
    args.override_in(&mut config);
    let log = start_log_as(config.log_format, config.log_level.as_str())?;
    let file = config.file.clone();
    let load = Box::new(move || {
        let mut config = args.sources.load_again(file.as_deref())?;
        args.override_in(&mut config);
        Ok(config)
    });
    match daemon::run(config, by_hand, log.recent(), load) {
        Ok(End::Stopped) => Ok(exit::OK),
        Ok(End::AtOnce(Stop::Interrupt)) => Ok(128 + 2),
        Ok(End::AtOnce(Stop::Terminate)) => Ok(128 + 15),
        Ok(End::NoScript) => Ok(exit::CONFIG),
        Ok(End::CoreGone) => Ok(exit::INTERNAL),
        Err(error) => Err(error.into()),
    }
}
