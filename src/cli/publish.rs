//! `puad publish`: one PUBLISH, its answer, nothing kept up.

use std::{fmt::Write as _, io::Read as _, path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::{Ended, exit, print, start_log};
use crate::{
    command::{
        Command, Document, EntityTag, EventType, ExtraHeaders, Failure, FailureKind, Owner,
        PublicationState, Publish, Published, Reply, parse_duration, whole_seconds,
    },
    config::{self, Wanted, parse_proxy},
    driver::{self, Settings},
    net::Listen,
    sip::{
        self,
        message::{Uri, value::is_media_type},
    },
};

/// Options of `puad publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  puad publish sip:alice@example.com --event presence --body-file open.xml
  puad publish sip:alice@example.com --event presence --etag abc --expires 10m   # refresh
  puad publish sip:alice@example.com --event presence --etag abc --expires 0     # remove
  printf 'Messages-Waiting: yes\\r\\n' | puad publish sip:bob@example.com \\
      --event message-summary --body-file - --proxy 'sip:127.0.0.1:5060;lr' --json

The state is left to run out: it is neither refreshed nor removed. The entity-tag that is printed
continues it. Exit code 0, 69 refused, 75 temporary, 64 usage, 78 configuration.")]
pub(super) struct Args {
    /// Whose state: Request-URI, To and From
    #[arg(value_name = "URI", value_parser = parse_uri)]
    presentity: Uri,
    /// Event package with its parameters, such as presence or 'dialog;sla'
    #[arg(long, value_name = "EVENT", value_parser = EventType::parse)]
    event: EventType,
    /// The document itself, sent byte for byte
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// File that holds the document; - reads standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Type of the document [default: by package, such as application/pidf+xml]
    #[arg(long, value_name = "TYPE", value_parser = parse_type)]
    content_type: Option<String>,
    /// Lifetime to ask for: seconds, or such as 10m; 0 removes what --etag names
    #[arg(long, value_name = "DURATION", default_value = "3600", value_parser = parse_duration)]
    expires: Duration,
    /// Series key; it names the publication in messages and is not sent
    #[arg(long, value_name = "ID", default_value = "default")]
    id: String,
    /// Entity-tag of state to continue: without a body a refresh, with one a change
    #[arg(long, value_name = "TAG", value_parser = EntityTag::parse)]
    etag: Option<EntityTag>,
    /// Where the request goes; with ;lr a Route too; may be repeated [default: the configured one]
    #[arg(long, visible_alias = "proxy", value_name = "URI", value_parser = parse_proxy)]
    outbound_proxy: Vec<Uri>,
    /// Header to add, 'Name: value'; may be repeated
    #[arg(long, value_name = "HEADER", value_parser = parse_header)]
    header: Vec<(String, String)>,
    /// Account of the configuration, by name [default: by the domain of URI]
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Longest wait for the answer: seconds, or such as 5s [default: 64·T1 + 3 s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Configuration file [default: $PUAD_CONFIG, else puad.toml or /etc/puad/puad.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Socket, udp:ADDRESS:PORT or tcp:…; may be repeated [default: [sip] listen, with a free port]
    #[arg(long, value_name = "LISTEN", value_parser = Listen::parse)]
    listen: Vec<Listen>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    json: bool,
}

/// Sends and prints the answer.
pub(super) fn run(args: Args) -> Result<u8, Ended> {
    let config = config::load(config::find(args.config.as_deref()).as_deref(), &Wanted::Nothing)?;
    let _log = start_log("error")?;
    let json = args.json;
    let timeout = args.timeout;
    let listen = if args.listen.is_empty() {
        // A daemon may hold the configured ports.
        let free = |mut listen: Listen| {
            listen.address.set_port(0);
            listen
        };
        config.listen.into_iter().map(free).collect()
    } else {
        args.listen.clone()
    };
    let publish = args.publish()?;
    let outcome = send(publish, Settings { sip: config.sip, listen })?;
    match outcome {
        // Whatever ended there, this request did not end it.
        Ok(published) if published.status == Some(412) => {
            let reason = published.reason.as_deref().unwrap_or_default();
            let failure = Failure {
                status: Some(412),
                reason: published.reason.clone(),
                ..Failure::new(
                    FailureKind::Sip,
                    format!(
                        "412 {reason}: the server has no state with this entity-tag; it ran out, was removed, or goes by a newer tag"
                    ),
                )
            };
            if json {
                print(&json_of_failure(&failure))?;
                return Ok(exit::REFUSED);
            }
            Err(Ended::new(exit::REFUSED, failure))
        }
        Ok(published) => {
            print(&if json { json_of(&published) } else { text_of(&published) })?;
            Ok(exit::OK)
        }
        Err(mut failure) => {
            if let (Some(timeout), Some(_)) = (timeout, failure.cause) {
                failure.message = format!("no answer within {} s", timeout.as_secs_f64());
            }
            let code = exit_code(&failure);
            if !json {
                return Err(Ended::new(code, anyhow::Error::msg(one_line(&failure.message))));
            }
            print(&json_of_failure(&failure))?;
            Ok(code)
        }
    }
}

impl Args {
    /// Turns options into the command.
    fn publish(self) -> Result<Publish, Ended> {
        let removes = self.expires.is_zero();
        let has_body = self.body.is_some() || self.body_file.is_some();
        if removes && self.etag.is_none() {
            return Err(Ended::usage(
                "--expires 0 removes the state that --etag names; give --etag",
            ));
        }
        if removes && has_body {
            return Err(Ended::usage("--expires 0 removes state and goes with no body"));
        }
        if !has_body && self.content_type.is_some() {
            return Err(Ended::usage(
                "--content-type: there is no body; give --body or --body-file",
            ));
        }
        let body = match (self.body, &self.body_file) {
            (Some(text), _) => Some(text.into_bytes()),
            (None, Some(path)) => Some(read_body(path)?),
            (None, None) => None,
        };
        let mut publish = Publish::new(Owner::OneShot, self.presentity, self.event);
        if let Some(body) = body {
            let content_type = match &self.content_type {
                Some(content_type) => content_type,
                None => sip::document_type(publish.event.package()).ok_or_else(|| {
                    Ended::usage(format!(
                        "--content-type is required: no type is known for documents of {:?}",
                        publish.event.package()
                    ))
                })?,
            };
            publish.document = Some(Document::new(content_type, body));
        }
        publish.expires = whole_seconds(self.expires);
        publish.id = self.id;
        publish.entity_tag = self.etag;
        publish.outbound_proxy = self.outbound_proxy;
        publish.extra_headers = ExtraHeaders::new(self.header)
            .map_err(|error| Ended::usage(format!("--header: {error}")))?;
        publish.account = self.account;
        publish.timeout = self.timeout;
        publish.maintain = false;
        Ok(publish)
    }
}

/// Starts a core, lets it send, and ends it.
fn send(publish: Publish, settings: Settings) -> Result<Result<Published, Failure>, Ended> {
    let running = driver::start(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Ended::new(exit::OTHER, error))?;
    let reply = runtime.block_on(running.handle.call(Command::Publish(Box::new(publish))));
    running.join();
    match reply {
        Ok(Reply::Publication(outcome)) => Ok(outcome),
        Ok(
            Reply::Publications(_)
            | Reply::Abandoned { .. }
            | Reply::Accounts { .. }
            | Reply::Stopped { .. },
        )
        | Err(driver::Closed) => {
            Err(Ended::new(exit::INTERNAL, anyhow::Error::msg("the SIP core has ended")))
        }
    }
}

fn exit_code(failure: &Failure) -> u8 {
    match failure.kind {
        FailureKind::Sip => match failure.status {
            Some(code @ 300..) if !sip::is_temporary(code, failure.retry_after.is_some()) => {
                exit::REFUSED
            }
            _ => exit::TEMPORARY,
        },
        FailureKind::Timeout
        | FailureKind::Dns
        | FailureKind::Refused
        | FailureKind::Tls
        | FailureKind::Io => exit::TEMPORARY,
        FailureKind::Usage => exit::USAGE,
        FailureKind::Conflict
        | FailureKind::Limit
        | FailureKind::NotFound
        | FailureKind::Closed => exit::INTERNAL,
    }
}

fn text_of(published: &Published) -> String {
    let status = published.status.map(|code| code.to_string()).unwrap_or_default();
    let mut line = format!("{status} {}", published.reason.as_deref().unwrap_or_default());
    if published.state == PublicationState::Removed {
        line.push_str(", removed");
        return one_line(&line);
    }
    match &published.entity_tag {
        Some(tag) => {
            let _ = write!(line, ", entity-tag {tag}");
        }
        None => line.push_str(", no entity-tag"),
    }
    if let Some(expires) = published.expires {
        let _ = write!(line, ", expires {} s", expires.as_secs());
    }
    one_line(&line)
}

fn json_of(published: &Published) -> String {
    let expires = match published.state {
        PublicationState::Removed => Some(Duration::ZERO),
        _ => published.expires,
    };
    format!(
        "{{{}}}",
        json_fields(
            published.status,
            published.reason.as_deref(),
            published.entity_tag.as_ref(),
            expires
        )
    )
}

fn json_of_failure(failure: &Failure) -> String {
    format!(
        "{{{},\"error\":{{\"code\":{},\"message\":{}}}}}",
        json_fields(failure.status, failure.reason.as_deref(), None, None),
        json_text(failure.kind.as_str()),
        json_text(&failure.message)
    )
}

fn json_fields(
    status: Option<u16>,
    reason: Option<&str>,
    entity_tag: Option<&EntityTag>,
    expires: Option<Duration>,
) -> String {
    const NULL: &str = "null";
    format!(
        "\"status\":{},\"reason\":{},\"etag\":{},\"expires\":{}",
        status.map_or(NULL.into(), |code| code.to_string()),
        reason.map_or(NULL.into(), json_text),
        entity_tag.map_or(NULL.into(), |tag| json_text(tag.as_str())),
        expires.map_or(NULL.into(), |expires| expires.as_secs().to_string()),
    )
}

/// Writes a text as a JSON string (RFC 8259 §7).
fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A reason phrase comes from the network and must not steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn read_body(path: &std::path::Path) -> Result<Vec<u8>, Ended> {
    let read = if path.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(path)
    };
    read.with_context(|| format!("--body-file: cannot read {}", path.display()))
        .map_err(|error| Ended::new(exit::USAGE, error))
}

fn parse_uri(text: &str) -> Result<Uri, String> {
    Uri::parse(text).map_err(|error| error.to_string())
}

fn parse_type(text: &str) -> Result<String, String> {
    if is_media_type(text) {
        Ok(text.into())
    } else {
        Err("this is not a media type, such as application/pidf+xml".into())
    }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    Ok((name.trim_end().into(), value.trim().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_texts_are_escaped() {
        assert_eq!(json_text("a\"b\\c\n\u{1b}é"), r#""a\"b\\c\u000a\u001bé""#);
    }

    #[test]
    fn exit_codes_follow_the_table_of_outcomes() {
        let sip = |status, retry_after: Option<u64>| {
            exit_code(&Failure {
                status: Some(status),
                retry_after: retry_after.map(Duration::from_secs),
                ..Failure::new(FailureKind::Sip, "")
            })
        };
        assert_eq!((sip(403, None), sip(489, None), sip(412, None)), (69, 69, 69));
        assert_eq!((sip(503, None), sip(486, None), sip(404, Some(5))), (75, 75, 75));
        assert_eq!(sip(200, None), 75, "granted 0 s: nothing is up");
        assert_eq!(exit_code(&Failure::new(FailureKind::Dns, "")), 75);
        assert_eq!(exit_code(&Failure::new(FailureKind::Usage, "")), 64);
    }
}
