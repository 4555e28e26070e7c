//! `mail.imap`: how many messages lie in a mailbox on a server.
//!
//! Reads the call and shows the counts; what is said to the server is in
//! [`session`], on the connection that [`wire`] makes.

mod session;
mod text;
mod wire;

use std::{net::IpAddr, path::PathBuf, rc::Rc, time::Duration};

use mlua::{Function, Lua, MultiValue, Table, Value};
use tokio::sync::Semaphore;

use super::{
    super::{
        host::Host,
        hosts::{Hosts, canonical_host, shown_host},
        signatures,
    },
    Fault, bind_async,
    options::{Options, shown},
    outside::{Trouble, timeout, unless_rehearsal},
};
use session::Counts;

/// Builds `mail.imap`.
pub(super) fn function(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Function> {
    let library = Rc::new(Library {
        host: host.clone(),
        allowed: Hosts::new(&host.allow.imap),
        places: Semaphore::new(AT_A_TIME),
    });
    bind_async(lua, host, move |lua, args| {
        let library = library.clone();
        let call = Call::read(&library.host, &args);
        async move {
            match library.run(call?).await {
                Ok(counts) => Ok((Value::Table(show(&lua, counts)?), Value::Nil)),
                Err(trouble) => Ok(trouble.give(&lua, &library.host, CALL)?),
            }
        }
    })
}

/// What the calls of one script share.
struct Library {
    host: Rc<Host>,
    allowed: Hosts,
    places: Semaphore,
}

impl Library {
    async fn run(&self, call: Call) -> Result<Counts, Trouble> {
        unless_rehearsal(&self.host, CALL)?;
        if self.host.fakes.is_some() {
            return Err(Trouble::new("refused", "no mail server is reached in a test"));
        }
        if !self.allowed.allow(&call.host, call.port, USUAL_PORTS) {
            let what = shown_host(&call.host, call.port, USUAL_PORTS);
            return Err(Trouble::not_allowed(&what, "asked", "imap"));
        }
        let _place = self.places.acquire().await.expect("the places are never closed");
        let server = format!("{}:{}", call.host, call.port);
        let whole = async {
            let trust = &self.host.commons;
            let talk = session::open(&call, trust).await?;
            session::ask(talk, &call).await
        };
        match tokio::time::timeout(call.timeout, whole).await {
            Ok(Ok((counts, talk))) => {
                // The counts are there; a server that does not say goodbye changes nothing.
                let _ = tokio::time::timeout(GOODBYE, talk.end()).await;
                Ok(counts)
            }
            Ok(Err(trouble)) => Err(trouble.while_doing(server)),
            Err(_) => {
                let message = format!("{server}: no answer within {:?} (timeout)", call.timeout);
                Err(Trouble::new("timeout", message))
            }
        }
    }
}

/// One look into a mailbox, checked.
struct Call {
    /// As [`canonical_host`] gives it.
    host: String,
    port: u16,
    user: String,
    password: String,
    mailbox: String,
    timeout: Duration,
    security: Security,
    ca_file: Option<PathBuf>,
}

/// How the connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS from the first byte (8314 §3).
    Tls,
    /// TLS once the server has agreed.
    StartTls,
    /// Only where nobody else can listen.
    Plain,
}

impl Call {
    fn read(host: &Host, args: &MultiValue) -> Result<Self, Fault> {
        let options =
            Options::new(CALL, args.front().unwrap_or(&Value::Nil), &signatures::IMAP_OPTIONS)?;
        let named = options.need_text("host")?;
        let server = canonical_host(&named).ok_or_else(|| {
            options.refuse(
                "host",
                format_args!("{named:?} is not a host, such as \"imap.example.com\""),
            )
        })?;
        let security = match options.value("tls")? {
            Value::Nil | Value::Boolean(true) => Security::Tls,
            Value::Boolean(false) if is_loopback(&server) => Security::Plain,
            Value::Boolean(false) => {
                let why = "false would show the password to the network; only a loopback address takes it";
                return Err(options.refuse("tls", why));
            }
            Value::String(word) if word.as_bytes() == b"starttls" => Security::StartTls,
            other => {
                let why = format_args!("{} is not true, \"starttls\" or false", shown(&other));
                return Err(options.refuse("tls", why));
            }
        };
        let usual_port = if security == Security::Tls { 993 } else { 143 };
        let port = match options.number("port")? {
            None => usual_port,
            Some(port) if port.fract() == 0.0 && (1.0..=65535.0).contains(&port) => port as u16,
            Some(port) => {
                return Err(
                    options.refuse("port", format_args!("{port} is not a port (1 to 65535)"))
                );
            }
        };
        let line = |name: &str, value: String| {
            if value.chars().any(char::is_control) {
                // The value is not shown: it may be the password.
                return Err(options.refuse(name, "line ends and control characters cannot be sent"));
            }
            Ok(value)
        };
        Ok(Self {
            host: server,
            port,
            user: line("user", options.need_text("user")?)?,
            password: line("password", options.need_text("password")?)?,
            mailbox: line("mailbox", options.text("mailbox")?.unwrap_or_else(|| "INBOX".into()))?,
            timeout: timeout(&options, USUAL_TIMEOUT)?,
            security,
            ca_file: options.text("ca_file")?.map(|path| host.resolve(&path)),
        })
    }

    /// Returns the host without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Shows the counts by the names that `mail.maildir` uses. How many are flagged STATUS does not say.
fn show(lua: &Lua, counts: Counts) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("total", counts.messages)?;
    table.raw_set("unread", counts.unseen)?;
    table.raw_set("read", counts.messages.saturating_sub(counts.unseen))?;
    table.raw_set("new", counts.recent)?;
    Ok(table)
}

const CALL: &str = "mail.imap";
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// 143 is where STARTTLS begins.
const USUAL_PORTS: &[u16] = &[993, 143];
/// Servers of one script at a time; further calls wait for their turn.
const AT_A_TIME: usize = 4;
/// How long the server has for the end of the session.
const GOODBYE: Duration = Duration::from_secs(1);
