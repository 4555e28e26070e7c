//! SUBSCRIBE, outside a dialog and inside one (6665 §4.2.1; 3261 §12.1.1, §12.2.2).

use std::time::Instant;

use super::{
    After, Agent, Answer, Request, Served, Topic,
    compositor::FULL_FOR,
    dialog::{self, Dialog},
    notifier::Subscription,
    settings::document_type,
};
use crate::sip::message::{Message, Name, ParseError, value};

impl Agent {
    /// Serves a SUBSCRIBE. Expires 0 fetches, or ends the subscription.
    pub(super) fn subscribe(&mut self, now: Instant, request: &Request<'_>) -> Served {
        self.authenticate(now, request)?;
        let (topic, package) = self.topic(request)?;
        let granted = self.grant(request)?;
        let tags = Tags::read(request.message)?;
        let id = match tags.to {
            Some(local_tag) => self.refresh(now, request, &topic, local_tag, tags.from)?,
            None => self.create(now, request, topic, &package, tags.from)?,
        };
        let contact = dialog::contact(self.local, request.path);
        // Just made or found.
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return Err(Answer::of(481));
        };
        subscription.extend(now, granted);
        let answer = Answer::of(200)
            .with_tag(subscription.dialog.local_tag.clone())
            .with(Name::Contact, contact)
            .with(Name::Expires, granted.as_secs().to_string());
        // Copied so that the watcher learns its route set (3261 §12.1.1).
        let answer = subscription
            .dialog
            .route_set
            .iter()
            .fold(answer, |answer, route| answer.with(Name::RecordRoute, route));
        Ok((answer, After::Subscribed(id)))
    }

    /// Finds the subscription of an in-dialog SUBSCRIBE and notes what it brings.
    fn refresh(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        topic: &Topic,
        local_tag: &str,
        remote_tag: &str,
    ) -> Result<u64, Answer> {
        let message = request.message;
        let call_id = message.single(Name::CallId)?;
        let found = self.subscriptions.find(call_id, local_tag, remote_tag);
        let id = found.ok_or_else(|| Answer::of(481))?;
        let subscription = self.subscriptions.get_mut(id).ok_or_else(|| Answer::of(481))?;
        // The Request-URI is our Contact here and does not name the resource.
        if !subscription.is_active(now) || subscription.topic.event != topic.event {
            return Err(Answer::of(481));
        }
        let remote_seq = message.cseq()?.number;
        let dialog = &mut subscription.dialog;
        if remote_seq <= dialog.remote_seq {
            return Err(Answer::because(500, "CSeq Out Of Order"));
        }
        if let Some(target) = contact_uri(message)? {
            dialog.remote_target = target;
        }
        dialog.remote_seq = remote_seq;
        dialog.path = request.way_back();
        Ok(id)
    }

    fn create(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        topic: Topic,
        package: &str,
        remote_tag: &str,
    ) -> Result<u64, Answer> {
        let message = request.message;
        if let Some(offered) = document_type(package)
            && !accepts(message, offered)
        {
            return Err(Answer::of(406));
        }
        let Some(remote_target) = contact_uri(message)? else {
            return Err(ParseError::Missing(Name::Contact).into());
        };
        if self.subscriptions.len() >= self.settings.limits.subscriptions {
            return Err(Answer::of(503).with(Name::RetryAfter, FULL_FOR.as_secs().to_string()));
        }
        let owned = |name| message.single(name).map(str::to_owned);
        let routes = message.all(Name::RecordRoute).filter_map(|field| field.text().ok());
        let local_tag = self.ids.token().to_string();
        let dialog = Dialog {
            call_id: owned(Name::CallId)?,
            local: format!("{};tag={local_tag}", owned(Name::To)?),
            local_tag,
            remote: owned(Name::From)?,
            remote_tag: remote_tag.to_owned(),
            remote_target,
            route_set: routes.map(str::to_owned).collect(),
            local_seq: 0,
            remote_seq: message.cseq()?.number,
            path: request.way_back(),
        };
        let subscription = Subscription::new(now, topic, owned(Name::Event)?, dialog);
        Ok(self.subscriptions.insert(subscription))
    }
}

/// The tags of a request.
struct Tags<'a> {
    from: &'a str,
    to: Option<&'a str>,
}

impl<'a> Tags<'a> {
    fn read(message: &'a Message<'a>) -> Result<Self, Answer> {
        let read = |name| {
            let text = message.single(name)?;
            value::NameAddr::parse(text).map_err(|()| ParseError::Malformed(name))
        };
        // A dialog needs the tag that RFC 2543 did without.
        let from = read(Name::From)?.tag().ok_or(ParseError::Malformed(Name::From))?;
        Ok(Self { from, to: read(Name::To)?.tag() })
    }
}

/// Reads the URI of Contact, of which there is one at the most (6665 §8.1).
fn contact_uri(message: &Message<'_>) -> Result<Option<String>, Answer> {
    let mut contacts = message.list(Name::Contact);
    let Some(first) = contacts.next() else { return Ok(None) };
    if contacts.next().is_some() {
        return Err(ParseError::Repeated(Name::Contact).into());
    }
    let contact =
        value::NameAddr::parse(first).map_err(|()| ParseError::Malformed(Name::Contact))?;
    if !contact.uri.is_sip() {
        return Err(ParseError::Malformed(Name::Contact).into());
    }
    Ok(Some(contact.uri.request_uri().into_owned()))
}

/// Returns whether Accept allows a type; without the header the package's own type is meant.
fn accepts(message: &Message<'_>, offered: &str) -> bool {
    if message.all(Name::Accept).next().is_none() {
        return true;
    }
    let kind = offered.split('/').next().unwrap_or_default();
    message.list(Name::Accept).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == "*/*"
            || range.eq_ignore_ascii_case(offered)
            || range.strip_suffix("/*").is_some_and(|r| r.eq_ignore_ascii_case(kind))
    })
}
