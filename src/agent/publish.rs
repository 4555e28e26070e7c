//! PUBLISH, checked in the order of RFC 3903 §6.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    After, Agent, Answer, Mood, Publication, Request, Served, Topic,
    compositor::{FULL_FOR, Operation},
    settings::document_type,
};
use crate::sip::message::{Name, ParseError, is_token};

impl Agent {
    /// Serves a PUBLISH.
    pub(super) fn publish(&mut self, now: Instant, request: &Request<'_>) -> Served {
        if let Mood::Status { code, retry_after } = self.mood {
            let answer = Answer::of(code);
            return Err(match retry_after {
                Some(wait) => answer.with(Name::RetryAfter, wait.as_secs().to_string()),
                None => answer,
            });
        }
        self.authenticate(now, request)?;
        let (topic, package) = self.topic(request)?;
        let held = match entity_tag(request)? {
            Some(tag) => Some(self.compositor.find(&topic, tag).ok_or_else(|| Answer::of(412))?),
            None => None,
        };
        let granted = self.grant(request)?;
        let document = self.document(request, &package)?;
        let operation = Operation::of(request);
        if operation == Operation::Initial && document.is_none() && is_known(&package) {
            return Err(Answer::because(400, "Missing Body"));
        }
        let entity_tag: Arc<str> = self.ids.token().to_string().into();
        let expires_at = now + granted;
        let after = match (operation, held) {
            (Operation::Remove, held) => held
                .and_then(|id| self.compositor.remove(id))
                .map_or(After::Nothing, After::Changed),
            (_, Some(id)) => {
                self.make_room(Some(id), document.as_ref())?;
                let after = if document.is_some() { After::Changed(topic) } else { After::Nothing };
                self.compositor.update(id, entity_tag.clone(), expires_at, document);
                after
            }
            (_, None) => {
                self.make_room(None, document.as_ref())?;
                self.insert(topic.clone(), entity_tag.clone(), expires_at, document);
                After::Changed(topic)
            }
        };
        let answer = Answer::of(200).with(Name::Expires, granted.as_secs().to_string());
        let answer = match self.mood {
            Mood::NoTag => answer,
            // Fresh for each 2xx, for a removal too (3903 §6 step 6).
            _ => answer.with(Name::SipETag, &*entity_tag),
        };
        Ok((answer, after))
    }

    /// Decides about the lifetime (3903 §6 step 4; 6665 §4.2.1.1).
    pub(super) fn grant(&self, request: &Request<'_>) -> Result<Duration, Answer> {
        let expires = &self.settings.expires;
        expires.grant(request.expires()?).ok_or_else(|| {
            Answer::of(423).with(Name::MinExpires, expires.min.as_secs().to_string())
        })
    }

    /// Takes the document, if there is one and its type fits the package (3903 §6 step 5).
    fn document(
        &self,
        request: &Request<'_>,
        package: &str,
    ) -> Result<Option<(Arc<str>, Bytes)>, Answer> {
        let message = request.message;
        if message.body.is_empty() {
            return Ok(None);
        }
        let content_type = message.single(Name::ContentType)?;
        if let Some(accepted) = document_type(package).filter(|_| !self.settings.any_event)
            && !base_type(content_type).eq_ignore_ascii_case(accepted)
        {
            return Err(Answer::of(415).with(Name::Accept, accepted));
        }
        let is_plain = |coding: &str| coding.eq_ignore_ascii_case("identity");
        if !message.list(Name::ContentEncoding).all(is_plain) {
            return Err(Answer::of(415).with(Name::AcceptEncoding, "identity"));
        }
        Ok(Some((content_type.into(), Bytes::copy_from_slice(message.body))))
    }

    /// Refuses what would exceed the limits.
    fn make_room(
        &self,
        held: Option<u64>,
        document: Option<&(Arc<str>, Bytes)>,
    ) -> Result<(), Answer> {
        let limits = &self.settings.limits;
        let body = document.map_or(&[][..], |(_, body)| body);
        let is_full = held.is_none() && self.compositor.len() >= limits.publications
            || document.is_some() && self.compositor.octets_with(held, body) > limits.documents;
        if is_full {
            return Err(Answer::of(503).with(Name::RetryAfter, FULL_FOR.as_secs().to_string()));
        }
        Ok(())
    }

    fn insert(
        &mut self,
        topic: Topic,
        entity_tag: Arc<str>,
        expires_at: Instant,
        document: Option<(Arc<str>, Bytes)>,
    ) {
        let (content_type, body) = document.unwrap_or_default();
        self.compositor.insert(Publication { topic, entity_tag, content_type, body, expires_at });
    }
}

/// Reads SIP-If-Match, which holds one tag (3903 §6 step 3).
fn entity_tag<'a>(request: &Request<'a>) -> Result<Option<&'a str>, Answer> {
    if request.message.all(Name::SipIfMatch).next().is_none() {
        return Ok(None);
    }
    let tag = request.message.single(Name::SipIfMatch)?;
    if !is_token(tag.as_bytes()) {
        return Err(ParseError::Malformed(Name::SipIfMatch).into());
    }
    Ok(Some(tag))
}

/// Returns whether a package is one whose state cannot do without a document.
fn is_known(package: &str) -> bool {
    document_type(package).is_some()
}

fn base_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
