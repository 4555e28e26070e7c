//! Where redirects lead, and how far they are followed (3261 §8.1.3.4).
//!
//! Trying the servers of one target is left to [`hops`](super::hops).

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use super::{Answer, Final, RequestError, Requests};
use crate::sip::{
    locate,
    message::{Message, Name, Uri, value},
    wire::{RequestId, Wire},
};

#[derive(Debug, Default)]
pub(super) struct Redirect {
    pending: VecDeque<Uri>,
    pub(super) seen: BTreeSet<String>,
    /// Targets taken so far, whichever answer named them.
    followed: u8,
    /// A server on another machine has named one: none of them may lead to this one.
    pub(super) is_from_outside: bool,
}

impl Requests {
    /// Follows a 3xx: each target once, the highest q first, five legs at the most (3261 §8.1.3.4).
    pub(super) fn redirected(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        message: &Message<'_>,
        mut answer: Answer,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let mut targets: Vec<(f32, Uri)> = Vec::new();
        for contact in message.list(Name::Contact) {
            let Ok(contact) = value::NameAddr::parse(contact) else { continue };
            let q = contact.params.get("q").and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
            if journey.draft.presentity.is_sips() && !contact.uri.is_sips() {
                answer.note = Some(format!(
                    "the redirect to {} would leave TLS and is not followed",
                    contact.uri.masked()
                ));
                continue;
            }
            let Ok(target) = Uri::parse(&contact.uri.request_uri()) else { continue };
            if let Err(error) = locate::check(&target) {
                answer.note = Some(error.to_string());
                continue;
            }
            if journey.redirect.seen.insert(target.canonical()) {
                targets.push((q, target));
            }
        }
        // Stable: Contacts of equal q stay in the order of the response.
        targets.sort_by(|a, b| b.0.total_cmp(&a.0));
        if answer.code == 305 || answer.code == 380 {
            targets.clear();
        }
        for (_, target) in targets.into_iter().rev() {
            journey.redirect.pending.push_front(target);
        }
        journey.redirect.is_from_outside |= !answer.hop.remote.ip().to_canonical().is_loopback();
        match journey.redirect.next() {
            Some(target) => {
                journey.last = Some(Final::Answer(answer));
                self.go_to(now, wire, id, target)
            }
            None => {
                answer.note.get_or_insert_with(|| "the redirect leads nowhere new".into());
                Some(Final::Answer(answer))
            }
        }
    }

    /// No hop of this Request-URI is left: a further redirect target, or the end.
    pub(super) fn exhausted(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        match journey.redirect.next() {
            Some(target) => self.go_to(now, wire, id, target),
            None => Some(journey.last.take().unwrap_or(Final::Failed(RequestError::NoServer))),
        }
    }

    pub(super) fn go_to(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        target: Uri,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        journey.target = target;
        journey.cseq += 1;
        journey.next_authority = 0;
        journey.candidates.clear();
        self.advance(now, wire, id)
    }
}

impl Redirect {
    /// Takes the next target. After a few there is none: one answer may name hundreds of hosts.
    pub(super) fn next(&mut self) -> Option<Uri> {
        if self.followed == MOST_REDIRECTS {
            return None;
        }
        let target = self.pending.pop_front()?;
        self.followed += 1;
        Some(target)
    }
}

const MOST_REDIRECTS: u8 = 5;
