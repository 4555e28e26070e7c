//! The end of a journey, in the words its owner decides by.

use std::{sync::Arc, time::Duration};

use crate::{
    command::{EntityTag, Failure, FailureKind},
    sip::{
        io::{FlowError, Hop},
        locate::LocateError,
        message::{Message, Name, StartLine, value},
    },
};

/// How a journey ended.
#[derive(Debug, Clone)]
pub(crate) enum Final {
    /// A server has spoken.
    Answer(Answer),
    /// None has.
    Failed(RequestError),
}

/// A final response, as far as anybody asks.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) reason: Arc<str>,
    pub(crate) hop: Hop,
    /// `None` also when it is no usable token.
    pub(crate) entity_tag: Option<EntityTag>,
    pub(crate) expires: Option<u32>,
    pub(crate) min_expires: Option<u32>,
    pub(crate) retry_after: Option<u32>,
    /// What the last request asked for, after a 423 perhaps more than the user said.
    pub(crate) asked: u32,
    /// What else a person should know: why a challenge was not answered, which packages are allowed.
    pub(crate) note: Option<String>,
}

/// Why no server has spoken.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no answer from {0} in time")]
    TimerF(Hop),
    #[error("{0}: {1}")]
    Transport(Hop, FlowError),
    #[error(transparent)]
    Locate(LocateError),
    #[error("{hop} asked for no requests for another {} s", .left.as_secs_f32().ceil())]
    Blocked { hop: Hop, left: Duration },
    #[error("there is nowhere to send the request")]
    NoServer,
    #[error(
        "the request has {1} bytes, too many for a datagram to {0}, and the server takes no TCP; make the body smaller"
    )]
    TooLarge(Hop, usize),
}

impl Answer {
    pub(super) fn of(message: &Message<'_>, code: u16, hop: Hop) -> Self {
        let list = |name: Name| {
            let all: Vec<_> = message.list(name).collect();
            (!all.is_empty()).then(|| all.join(", "))
        };
        let note = match code {
            489 => list(Name::AllowEvents)
                .map(|events| format!("the server takes the packages {events}")),
            405 | 501 => {
                list(Name::Allow).map(|methods| format!("the server takes the methods {methods}"))
            }
            415 => list(Name::Accept).map(|types| format!("the server takes the types {types}")),
            421 | 494 => {
                list(Name::Require).map(|options| format!("the server requires {options}"))
            }
            _ => message.get(Name::Warning).map(|warning| format!("warning: {warning}")),
        };
        Self {
            code,
            reason: reason_of(message).into(),
            hop,
            entity_tag: message.get(Name::SipETag).and_then(|tag| EntityTag::parse(tag).ok()),
            expires: message.get(Name::Expires).and_then(value::seconds),
            min_expires: message.get(Name::MinExpires).and_then(value::seconds),
            retry_after: message
                .get(Name::RetryAfter)
                .and_then(value::retry_after)
                .map(|seconds| seconds.min(LONGEST_RETRY_AFTER)),
            asked: 0,
            note,
        }
    }

    /// Makes what a server wrote fit for a line of a log: a reason or a note may be as long as a
    /// message, and hold what a terminal obeys.
    pub(super) fn tidy(&mut self) {
        if let Some(reason) = tidied(&self.reason) {
            self.reason = reason.into();
        }
        if let Some(note) = self.note.as_deref().and_then(tidied) {
            self.note = Some(note);
        }
    }

    /// Returns the answer as a failure.
    pub(crate) fn failure(&self) -> Failure {
        let mut message = format!("{} {} from {}", self.code, self.reason, self.hop);
        if let Some(note) = &self.note {
            message.push_str(": ");
            message.push_str(note);
        }
        Failure {
            status: Some(self.code),
            reason: Some(self.reason.clone()),
            retry_after: self.retry_after.map(|s| Duration::from_secs(s.into())),
            ..Failure::new(FailureKind::Sip, message)
        }
    }
}

fn reason_of<'a>(message: &Message<'a>) -> &'a str {
    match message.start {
        StartLine::Response { reason, .. } => reason,
        StartLine::Request { .. } | StartLine::BadRequest(_) | StartLine::BadResponse(_) => "",
    }
}

/// Returns a text without control characters and cut to a line; `None` when it is that already.
fn tidied(text: &str) -> Option<String> {
    let end = text.char_indices().nth(LONGEST_TEXT).map(|(at, _)| at);
    if end.is_none() && !text.contains(char::is_control) {
        return None;
    }
    let kept = &text[..end.unwrap_or(text.len())];
    let mut out = kept.replace(char::is_control, "\u{fffd}");
    if end.is_some() {
        out.push('…');
    }
    Some(out)
}

impl RequestError {
    /// Returns whether the same request would fail the same way however often it is sent.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::TooLarge(..))
    }

    /// Returns the error as a failure.
    pub(crate) fn failure(&self) -> Failure {
        let kind = match self {
            Self::TimerF(_) => FailureKind::Timeout,
            Self::Transport(_, FlowError::Refused) => FailureKind::Refused,
            Self::Transport(_, FlowError::TimedOut) => FailureKind::Timeout,
            Self::Transport(_, FlowError::Limit(_)) => FailureKind::Limit,
            // No answer to this request, so no status either: `sip` would promise one.
            Self::Transport(..) | Self::NoServer | Self::Blocked { .. } => FailureKind::Io,
            Self::Locate(LocateError::Dns(..)) => FailureKind::Dns,
            Self::Locate(_) => FailureKind::Io,
            Self::TooLarge(..) => FailureKind::Limit,
        };
        let mut failure = Failure::new(kind, self.to_string());
        if let Self::Blocked { left, .. } = self {
            failure.retry_after = Some(*left);
        }
        failure
    }
}

/// A day. A server that means longer will say so again; one that is wrong, or forged, must not
/// silence puad for years.
const LONGEST_RETRY_AFTER: u32 = 86_400;

/// Characters of a server's words that anybody will read.
const LONGEST_TEXT: usize = 200;
