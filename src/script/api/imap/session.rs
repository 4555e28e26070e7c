//! One session with an IMAP server (RFC 3501): log in, ask for STATUS, log out.
//!
//! Answers are read by `async_imap`; commands are written here, because a
//! server that goes away in the middle must not count as an empty mailbox.

use std::{io, sync::Arc};

use async_imap::{
    Client,
    imap_proto::{Capability, MailboxDatum, Response, ResponseCode, Status, StatusAttribute},
};
use tokio::io::AsyncWriteExt as _;

use super::{
    super::{super::commons::Commons, outside::Trouble},
    Call, Security,
    text::{base64, mailbox_name, quoted, told},
    wire::{self, Wire},
};

/// What STATUS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) messages: u32,
    pub(super) unseen: u32,
    pub(super) recent: u32,
}

/// A session under way.
pub(super) struct Talk {
    client: Client<Wire>,
    commands: u32,
    /// In upper case; empty until the server has named them.
    capabilities: Vec<String>,
    /// Whether the server knows who is asking without being told.
    is_logged_in: bool,
}

/// How the server answered a command.
struct Done {
    verdict: Verdict,
    text: String,
    counts: Option<Counts>,
}

/// Whether it was done (3501 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    No,
    /// Not understood, or answered with what no command is answered with.
    Bad,
}

/// Connects, and waits for the greeting on a connection that nobody else can read.
pub(super) async fn open(call: &Call, commons: &Arc<Commons>) -> Result<Talk, Trouble> {
    let wire = Wire::connect(call).await?;
    match call.security {
        Security::Plain => Talk::greeted(wire).await,
        Security::Tls => Talk::greeted(wire.encrypt(call, commons).await?).await,
        Security::StartTls => {
            let mut talk = Talk::greeted(wire).await?;
            let done = talk.command("STARTTLS").await?;
            if done.verdict != Verdict::Ok {
                let message = format!("the server refuses STARTTLS: {}", done.text);
                return Err(Trouble::new("tls", message));
            }
            let wire = talk.client.into_inner().encrypt(call, commons).await?;
            // What was said in the clear may have been said by anybody (3501 §6.2.1).
            Ok(Talk::new(wire))
        }
    }
}

/// Logs in and asks for the counts; gives the session back to be ended.
pub(super) async fn ask(mut talk: Talk, call: &Call) -> Result<(Counts, Talk), Trouble> {
    if !talk.is_logged_in {
        talk.log_in(call).await?;
    }
    let mailbox = quoted(&mailbox_name(&call.mailbox));
    let done = talk.command(&format!("STATUS {mailbox} (MESSAGES UNSEEN RECENT)")).await?;
    match (done.verdict, done.counts) {
        (Verdict::Ok, Some(counts)) => Ok((counts, talk)),
        (Verdict::Ok, None) => Err(Trouble::new("io", "the server has answered without counts")),
        (Verdict::No, _) => {
            let message = format!("no mailbox {:?}: {}", call.mailbox, done.text);
            Err(Trouble::new("not_found", message))
        }
        (Verdict::Bad, _) => {
            Err(Trouble::new("io", format!("the server does not understand STATUS: {}", done.text)))
        }
    }
}

impl Verdict {
    fn of(status: &Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::No => Self::No,
            Status::Bad | Status::PreAuth | Status::Bye => Self::Bad,
        }
    }
}

impl Talk {
    fn new(wire: Wire) -> Self {
        Self {
            client: Client::new(wire),
            commands: 0,
            capabilities: Vec::new(),
            is_logged_in: false,
        }
    }

    async fn greeted(wire: Wire) -> Result<Self, Trouble> {
        let mut talk = Self::new(wire);
        let greeting = heard(talk.client.read_response().await)?;
        let Response::Data { status, outcome } = greeting.parsed() else {
            return Err(Trouble::new("io", "what answers is not an IMAP server"));
        };
        match status {
            Status::Ok | Status::PreAuth => {
                talk.is_logged_in = *status == Status::PreAuth;
                talk.capabilities = capabilities_in(outcome.code.as_ref());
                Ok(talk)
            }
            Status::Bye | Status::No | Status::Bad => {
                let text = told(outcome.information.as_deref().unwrap_or_default());
                Err(Trouble::new("refused", format!("the server turns everybody away: {text}")))
            }
        }
    }

    async fn log_in(&mut self, call: &Call) -> Result<(), Trouble> {
        if self.capabilities.is_empty() {
            self.command("CAPABILITY").await?;
        }
        let can = |talk: &Self, what: &str| talk.capabilities.iter().any(|able| able == what);
        // A quoted string is ASCII (3501 §9); the other way takes UTF-8 (4616 §2).
        let is_ascii = call.user.is_ascii() && call.password.is_ascii();
        let done = if is_ascii && !can(self, "LOGINDISABLED") {
            let (user, password) = (quoted(&call.user), quoted(&call.password));
            self.command(&format!("LOGIN {user} {password}")).await?
        } else if can(self, "AUTH=PLAIN") {
            self.authenticate(call).await?
        } else {
            let message = if is_ascii {
                "the server takes no passwords here (LOGINDISABLED, no AUTH=PLAIN)"
            } else {
                "the server takes no user or password beyond ASCII (no AUTH=PLAIN)"
            };
            return Err(Trouble::new("refused", message));
        };
        if done.verdict == Verdict::Ok {
            return Ok(());
        }
        let message = format!("the server does not let {:?} in: {}", call.user, done.text);
        Err(Trouble::new("refused", message))
    }

    /// AUTHENTICATE PLAIN (4616).
    async fn authenticate(&mut self, call: &Call) -> Result<Done, Trouble> {
        let tag = self.send("AUTHENTICATE PLAIN").await?;
        let credentials = base64(format!("\0{}\0{}", call.user, call.password).as_bytes());
        self.finish(&tag, Some(&credentials)).await
    }

    /// Says goodbye and waits for the answer.
    pub(super) async fn end(mut self) -> Result<(), Trouble> {
        self.command("LOGOUT").await.map(|_| ())
    }

    async fn command(&mut self, command: &str) -> Result<Done, Trouble> {
        let tag = self.send(command).await?;
        self.finish(&tag, None).await
    }

    async fn send(&mut self, command: &str) -> Result<String, Trouble> {
        self.commands += 1;
        let tag = format!("p{}", self.commands);
        self.write(&format!("{tag} {command}\r\n")).await?;
        Ok(tag)
    }

    async fn write(&mut self, line: &str) -> Result<(), Trouble> {
        let wire = self.client.get_mut();
        let written = async {
            wire.write_all(line.as_bytes()).await?;
            wire.flush().await
        };
        written.await.map_err(|error| wire::trouble(&error))
    }

    /// Reads until the server has done what was asked, and answers its one question if there may be one.
    async fn finish(&mut self, tag: &str, mut answer: Option<&str>) -> Result<Done, Trouble> {
        let mut counts = None;
        let mut goodbye: Option<String> = None;
        loop {
            let response = match (heard(self.client.read_response().await), &goodbye) {
                (Ok(response), _) => response,
                (Err(_), Some(said)) => {
                    let message = format!("the server has ended the session: {said}");
                    return Err(Trouble::new("io", message));
                }
                (Err(trouble), None) => return Err(trouble),
            };
            match response.parsed() {
                Response::Done { tag: done, status, outcome } if done.0 == tag => {
                    let named = capabilities_in(outcome.code.as_ref());
                    if !named.is_empty() {
                        self.capabilities = named;
                    }
                    let text = told(outcome.information.as_deref().unwrap_or_default());
                    return Ok(Done { verdict: Verdict::of(status), text, counts });
                }
                Response::Continue(_) => match answer.take() {
                    Some(line) => self.write(&format!("{line}\r\n")).await?,
                    None => {
                        return Err(Trouble::new(
                            "io",
                            "the server asks for more than the command",
                        ));
                    }
                },
                Response::Capabilities(named) => self.capabilities = names(named),
                Response::MailboxData(MailboxDatum::Status { status, .. }) => {
                    counts = Some(count(status));
                }
                Response::Data { status: Status::Bye, outcome } => {
                    goodbye = Some(told(outcome.information.as_deref().unwrap_or_default()));
                }
                // What a server says besides is not what was asked for.
                _ => {}
            }
        }
    }
}

/// Returns what was read; the end is none that anybody asked for.
fn heard<T>(read: io::Result<Option<T>>) -> Result<T, Trouble> {
    match read {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(wire::closed()),
        Err(error) => Err(wire::trouble(&error)),
    }
}

fn count(status: &[StatusAttribute]) -> Counts {
    let mut counts = Counts::default();
    for attribute in status {
        match attribute {
            StatusAttribute::Messages(messages) => counts.messages = *messages,
            StatusAttribute::Unseen(unseen) => counts.unseen = *unseen,
            StatusAttribute::Recent(recent) => counts.recent = *recent,
            _ => {}
        }
    }
    counts
}

fn capabilities_in(code: Option<&ResponseCode<'_>>) -> Vec<String> {
    match code {
        Some(ResponseCode::Capabilities(named)) => names(named),
        _ => Vec::new(),
    }
}

fn names(capabilities: &[Capability<'_>]) -> Vec<String> {
    let name = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(way) => format!("AUTH={}", way.to_ascii_uppercase()),
        Capability::Atom(name) => name.to_ascii_uppercase(),
    };
    capabilities.iter().map(name).collect()
}
