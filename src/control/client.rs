//! The other end of the control socket: one call after another, for the command line.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

/// A connection to a running puad.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    last_id: u64,
}

/// No puad answers.
#[derive(Debug, thiserror::Error)]
#[error("no puad answers: {}; start one with `puad run`, or name its socket with --socket", .0.iter().map(|(path, error)| format!("{}: {error}", path.display())).collect::<Vec<_>>().join(", "))]
pub struct NoDaemon(pub Vec<(PathBuf, io::Error)>);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon has said no.
    #[error("{message}")]
    Refused {
        /// The code of JSON-RPC, or one of puad's own.
        code: i64,
        /// One line for people.
        message: String,
        /// What could have been meant.
        candidates: Vec<String>,
    },
    /// It has gone, or says what makes no sense.
    #[error("the puad at {} has not answered: {why}", path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: String,
    },
}

/// What a daemon says without being asked again.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// `log` or `lost`.
    pub method: String,
    /// What it is about.
    pub params: Value,
}

impl Client {
    /// Connects to the first of these sockets that somebody serves.
    ///
    /// # Errors
    /// When nobody serves any of them.
    pub fn connect(paths: &[PathBuf]) -> Result<Self, NoDaemon> {
        let mut tried = Vec::new();
        for path in paths {
            match UnixStream::connect(path) {
                Ok(stream) => {
                    return Ok(Self {
                        stream: BufReader::new(stream),
                        path: path.clone(),
                        last_id: 0,
                    });
                }
                Err(error) => tried.push((path.clone(), error)),
            }
        }
        Err(NoDaemon(tried))
    }

    /// Returns the socket that was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a request and waits for its result.
    ///
    /// # Errors
    /// When it is refused, or the daemon goes away before it has answered.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, CallError> {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.patience(Some(PATIENCE))?;
        // Whoever refuses a connection says why and does not listen; that can still be read.
        let sent = self.stream.get_mut().write_all(format!("{request}\n").as_bytes());
        loop {
            let mut answer = match (self.line(), &sent) {
                (Ok(Some(answer)), _) => answer,
                (Ok(None) | Err(_), Err(error)) => return Err(self.lost(error)),
                (Ok(None), Ok(())) => return Err(self.lost(&"it has closed the connection")),
                (Err(error), Ok(())) => return Err(error),
            };
            if answer.get("method").is_some() {
                // Of an earlier call.
                continue;
            }
            if let Some(error) = answer.get("error") {
                let candidates = error["data"]["candidates"].as_array();
                return Err(CallError::Refused {
                    code: error["code"].as_i64().unwrap_or_default(),
                    message: error["message"].as_str().unwrap_or("no reason is given").into(),
                    candidates: candidates
                        .into_iter()
                        .flatten()
                        .filter_map(|text| text.as_str().map(str::to_owned))
                        .collect(),
                });
            }
            if answer["id"] == json!(id) {
                return Ok(answer["result"].take());
            }
        }
    }

    /// Waits for the next notification, as long as it takes; nothing when the daemon has gone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn notification(&mut self) -> Result<Option<Notification>, CallError> {
        self.patience(None)?;
        while let Some(mut line) = self.line()? {
            if let Some(method) = line["method"].as_str().map(str::to_owned) {
                return Ok(Some(Notification { method, params: line["params"].take() }));
            }
        }
        Ok(None)
    }

    /// Waits until the daemon's process has let go of the connection.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub fn wait_for_end(&mut self) -> Result<(), CallError> {
        self.patience(Some(PATIENCE))?;
        while self.line()?.is_some() {}
        Ok(())
    }

    fn patience(&self, patience: Option<Duration>) -> Result<(), CallError> {
        self.stream.get_ref().set_read_timeout(patience).map_err(|error| self.lost(&error))
    }

    fn line(&mut self) -> Result<Option<Value>, CallError> {
        let mut text = String::new();
        match self.stream.read_line(&mut text) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&text).map(Some).map_err(|error| self.lost(&error)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.lost(&format!("nothing came within {} s", PATIENCE.as_secs())))
            }
            // A process that dies with unread bytes resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn lost(&self, why: &dyn std::fmt::Display) -> CallError {
        CallError::Lost { path: self.path.clone(), why: why.to_string() }
    }
}

/// A reload may take a while; beyond this nobody is at work.
const PATIENCE: Duration = Duration::from_secs(30);
