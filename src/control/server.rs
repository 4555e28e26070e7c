//! The daemon's end of the control socket: connections, their limits, and the log that is followed.
//!
//! Requests are handed on through a channel; what they look like is left to [`rpc`],
//! where the socket is to [`socket`](super::socket).

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    Ask, Refusal, RefusalKind, Request,
    rpc::{self, Call, Fault, Method},
    socket::Socket,
};
use crate::observe::recent::{Follower, Recent};

/// Bounds on what clients can hold up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one line.
    pub line: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Longest wait for a client to take its answer.
    pub answer: Duration,
    /// Longest time for which nothing comes from a client that is owed nothing and follows nothing.
    pub idle: Duration,
    /// Longest wait for a follower of the log to take more; meanwhile lines are lost to it.
    pub follow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1024 * 1024,
            connections: 16,
            answer: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            follow: Duration::from_secs(300),
        }
    }
}

/// A control socket that is being served.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    closing: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves a socket on the current runtime. Requests go to `asks`, `recent` is shown by `logs`.
    ///
    /// # Errors
    /// When the runtime cannot use the socket.
    pub fn start(
        mut socket: Socket,
        asks: mpsc::Sender<Ask>,
        recent: Recent,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = socket.listener().ok_or_else(|| io::Error::other("it is served already"))?;
        let listener = UnixListener::from_std(listener)?;
        let (closing, is_closing) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, is_closing, asks, recent, limits));
        Ok(Self { socket, closing, accepting })
    }

    /// Takes no more requests, removes the socket, and lets answers that are under way leave.
    pub async fn close(self) {
        drop(self.socket);
        self.closing.send_replace(true);
        // Clients that do not read are left behind.
        let _ = timeout(Duration::from_secs(1), self.accepting).await;
    }
}

async fn accept(
    listener: UnixListener,
    mut is_closing: watch::Receiver<bool>,
    asks: mpsc::Sender<Ask>,
    recent: Recent,
    limits: Limits,
) {
    let mut open = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the control socket is lost");
                    // Without descriptors the next one would fail at once, too.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            },
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            () = until(&mut is_closing) => break,
        };
        // Whether a peer may connect was decided by the kernel, from the modes of folder and file.
        if let Ok(peer) = stream.peer_cred() {
            tracing::debug!(uid = peer.uid(), pid = peer.pid(), "control connection");
        }
        let (reader, writer) = stream.into_split();
        let mut connection = Connection {
            lines: Lines { reader, buffer: Vec::new(), most: limits.line },
            writer,
            asks: asks.clone(),
            recent: recent.clone(),
            limits: limits.clone(),
            follower: None,
        };
        // Those that have ended count no more.
        while open.try_join_next().is_some() {}
        if open.len() >= limits.connections {
            let message =
                format!("{} control connections are open already, the limit", limits.connections);
            open.spawn(async move {
                let _ = connection.send(&Fault::new(TOO_MANY, message).line()).await;
            });
            continue;
        }
        open.spawn(connection.serve(is_closing.clone()));
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Waits until everything is to end.
async fn until(is_closing: &mut watch::Receiver<bool>) {
    // Without a sender there is nobody left to serve for.
    let _ = is_closing.wait_for(|is_closing| *is_closing).await;
}

struct Connection {
    lines: Lines,
    writer: OwnedWriteHalf,
    asks: mpsc::Sender<Ask>,
    recent: Recent,
    limits: Limits,
    follower: Option<Follower>,
}

/// What a connection turns to next.
enum Turn {
    Line(io::Result<Line>),
    Log,
    Idle,
    Closing,
}

impl Connection {
    async fn serve(mut self, mut is_closing: watch::Receiver<bool>) {
        loop {
            let is_follower = self.follower.is_some();
            let logged = async {
                match &mut self.follower {
                    Some(follower) => follower.changed().await,
                    None => std::future::pending().await,
                }
            };
            let turn = tokio::select! {
                line = self.lines.next() => Turn::Line(line),
                () = logged => Turn::Log,
                () = tokio::time::sleep(self.limits.idle), if !is_follower => Turn::Idle,
                () = until(&mut is_closing) => Turn::Closing,
            };
            let done = match turn {
                Turn::Line(Ok(Line::Text(text))) => match rpc::read(&text) {
                    Ok(Call { id, method: Method::Ask(request @ Request::Stop { .. }) }) => {
                        return self.stop(id, request).await;
                    }
                    Ok(call) => self.carry_out(call).await,
                    Err(fault) => self.send(&fault.line()).await,
                },
                Turn::Line(Ok(Line::TooLong)) => {
                    let message = format!("a line is longer than {} bytes", self.limits.line);
                    let _ = self.send(&Fault::new(rpc::INVALID_REQUEST, message).line()).await;
                    // Where the next one begins is not known.
                    return;
                }
                Turn::Log => self.pass_on().await,
                // Its place may be wanted by somebody who has something to ask.
                Turn::Idle => {
                    tracing::debug!("a control client is dropped: it asks nothing");
                    return;
                }
                Turn::Line(Ok(Line::End) | Err(_)) => return,
                Turn::Closing => {
                    // The last lines tell how it ended.
                    let _ = self.pass_on().await;
                    return;
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a control client is dropped");
                return;
            }
        }
    }

    async fn carry_out(&mut self, Call { id, method }: Call) -> io::Result<()> {
        let answer = match method {
            Method::Ask(request) => self.ask(request).await,
            Method::Version => Ok(json!({
                "version": env!("CARGO_PKG_VERSION"),
                "pid": std::process::id(),
            })),
            Method::Logs { follow, script, lines } => {
                let (found, follower) = self.recent.last(lines, script.as_deref());
                self.follower = follow.then_some(follower);
                self.reply(id.as_ref(), &Ok(json!({ "lines": found.len() }))).await?;
                for batch in found.chunks(BATCH) {
                    let text: String = batch.iter().map(|line| log_line(&line.to_json())).collect();
                    self.send(&text).await?;
                }
                return Ok(());
            }
        };
        self.reply(id.as_ref(), &answer).await
    }

    /// Waits for the end of everything. The connection closes when the process has ended, which is what
    /// `puad stop` waits for: the last to let go of it is the kernel.
    async fn stop(mut self, id: Option<Value>, request: Request) {
        let answer = self.ask(request).await;
        if self.reply(id.as_ref(), &answer).await.is_ok() && answer.is_ok() {
            std::mem::forget(self);
        }
    }

    async fn ask(&self, request: Request) -> Result<Value, Refusal> {
        let closed = || Refusal::new(RefusalKind::Closed, "puad is stopping");
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { request, reply }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn reply(
        &mut self,
        id: Option<&Value>,
        answer: &Result<Value, Refusal>,
    ) -> io::Result<()> {
        match id {
            Some(id) => self.send(&rpc::answer(id, answer)).await,
            None => Ok(()),
        }
    }

    /// Sends what has been logged since.
    async fn pass_on(&mut self) -> io::Result<()> {
        while let Some(batch) = self.follower.as_mut().and_then(|follower| follower.take(BATCH)) {
            let mut text = String::new();
            if batch.lost > 0 {
                text.push_str(&rpc::notification("lost", &json!({ "lines": batch.lost })));
            }
            text.extend(batch.lines.iter().map(|line| log_line(&line.to_json())));
            write(&mut self.writer, &text, self.limits.follow).await?;
        }
        Ok(())
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        write(&mut self.writer, text, self.limits.answer).await
    }
}

fn log_line(line: &Value) -> String {
    rpc::notification("log", line)
}

/// Writes everything; a client that takes nothing for `patience` is in the way.
async fn write(writer: &mut OwnedWriteHalf, text: &str, patience: Duration) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = timeout(patience, writer.write(rest))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not read"))??;
        rest = &rest[written..];
    }
    Ok(())
}

/// Cuts what comes in at line ends.
struct Lines {
    reader: OwnedReadHalf,
    buffer: Vec<u8>,
    most: usize,
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

impl Lines {
    /// Returns the next line that is not empty. Nothing is lost when it is given up half way.
    async fn next(&mut self) -> io::Result<Line> {
        let mut seen = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[seen..]) {
                let mut text: Vec<u8> = self.buffer.drain(..=seen + end).collect();
                text.truncate(text.trim_ascii_end().len());
                seen = 0;
                if text.len() > self.most {
                    return Ok(Line::TooLong);
                }
                if !text.is_empty() {
                    return Ok(Line::Text(text));
                }
                continue;
            }
            seen = self.buffer.len();
            if seen > self.most {
                return Ok(Line::TooLong);
            }
            self.buffer.reserve(4096);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                // What is left has no end, and is no request.
                return Ok(Line::End);
            }
        }
    }
}

/// Lines of the log in one write.
const BATCH: usize = 64;
/// The error code for one connection too many.
const TOO_MANY: i64 = -32006;
