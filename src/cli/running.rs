//! Reaching the running puad: which socket, and what its refusals mean for the exit code.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Ended, exit};
use crate::{
    config,
    control::{
        client::{CallError, Client},
        socket,
    },
};

/// Options of every command that asks a running puad.
#[derive(Debug, clap::Args)]
pub(super) struct Running {
    /// Control socket of the puad that is meant [default: [control] socket, else the usual place]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Configuration file that names the socket [default: $PUAD_CONFIG, else puad.toml or /etc/puad/puad.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
}

impl Running {
    /// Connects.
    pub(super) fn connect(&self) -> Result<Client, Ended> {
        Client::connect(&self.sockets()?).map_err(|error| Ended::new(exit::TEMPORARY, error))
    }

    /// Asks one thing.
    pub(super) fn ask(&self, method: &str, params: &Value) -> Result<Value, Ended> {
        self.connect()?.call(method, params).map_err(Ended::from)
    }

    /// The sockets that are tried, found the way a daemon finds its own.
    fn sockets(&self) -> Result<Vec<PathBuf>, Ended> {
        if let Some(socket) = &self.socket {
            return Ok(vec![socket.clone()]);
        }
        if let Some(file) = config::find(self.config.as_deref())
            && let Some(socket) = config::control_socket(&file)?
        {
            return Ok(vec![socket]);
        }
        let environment = |name: &str| std::env::var(name).ok();
        Ok(socket::candidates(&environment, rustix::process::geteuid().is_root()))
    }
}

impl From<CallError> for Ended {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { code, message, candidates } => {
                let code = if code == INVALID_PARAMS { exit::USAGE } else { exit::REFUSED };
                let listed = candidates.iter().map(|candidate| format!("\n  {candidate}"));
                let text = listed.fold(message, |text, candidate| text + &candidate);
                Self::new(code, anyhow::Error::msg(text))
            }
            CallError::Lost { .. } => Self::new(exit::TEMPORARY, error),
        }
    }
}

/// Returns parameters without those that are not given.
pub(super) fn params<const N: usize>(given: [(&str, Option<Value>); N]) -> Value {
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    json!(given.collect::<serde_json::Map<_, _>>())
}

/// The code of JSON-RPC for parameters that make no sense.
const INVALID_PARAMS: i64 = -32602;
