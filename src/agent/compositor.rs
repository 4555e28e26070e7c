//! The table of published state: by entity-tag, by topic, by end (3903 §6).
//!
//! Which PUBLISH may change it, and how, is the business of [`publish`](super::publish).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::request::Request;
use crate::sip::message::{Name, UriRef, value::Params};

/// What is published to and watched: a resource under an event package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    /// The resource: the Request-URI without what says only how to get there, in canonical form.
    pub resource: Arc<str>,
    /// The package with its parameters in lower case and sorted; `id` belongs to subscriptions.
    pub event: Arc<str>,
}

impl Topic {
    pub(super) fn new(uri: UriRef<'_>, package: &str, params: Params<'_>) -> Self {
        let address = uri.address_of_record();
        let resource =
            UriRef::parse(&address).map_or_else(|_| address.to_string(), UriRef::canonical);
        let mut params: Vec<_> = params
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| name != "id")
            .map(|(name, value)| value.map_or(format!(";{name}"), |v| format!(";{name}={v}")))
            .collect();
        params.sort();
        Self { resource: resource.into(), event: (package.to_owned() + &params.concat()).into() }
    }
}

/// What a PUBLISH does to event state (3903 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Initial,
    Refresh,
    Modify,
    Remove,
}

impl Operation {
    /// Reads the operation from entity-tag, lifetime and body (3903 §4.1, table 1).
    pub(super) fn of(request: &Request<'_>) -> Self {
        let is_zero = matches!(request.expires(), Ok(Some(expires)) if expires.is_zero());
        let has_tag = request.message.all(Name::SipIfMatch).next().is_some();
        match (has_tag, is_zero, request.message.body.is_empty()) {
            (_, true, _) => Self::Remove,
            (false, false, _) => Self::Initial,
            (true, false, true) => Self::Refresh,
            (true, false, false) => Self::Modify,
        }
    }
}

/// One live publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What it is about.
    pub topic: Topic,
    /// The tag that the next PUBLISH of it must carry.
    pub entity_tag: Arc<str>,
    /// Content-Type as it was sent; empty without a body.
    pub content_type: Arc<str>,
    /// The document.
    pub body: Bytes,
    /// When it runs out.
    pub expires_at: Instant,
}

#[derive(Debug)]
struct Stored {
    publication: Publication,
    /// Which change of the table brought this document.
    changed: u64,
}

/// All live publications.
#[derive(Debug, Default)]
pub(super) struct Compositor {
    stored: BTreeMap<u64, Stored>,
    by_tag: BTreeMap<Arc<str>, u64>,
    /// Change and number of each publication of a topic; the last one is what watchers see.
    by_topic: BTreeMap<Topic, BTreeSet<(u64, u64)>>,
    ends: BTreeSet<(Instant, u64)>,
    /// Octets of all documents.
    octets: usize,
    next: u64,
}

impl Compositor {
    /// Returns the publication that has this tag, if it is about this topic.
    pub(super) fn find(&self, topic: &Topic, tag: &str) -> Option<u64> {
        let id = *self.by_tag.get(tag)?;
        (self.stored.get(&id)?.publication.topic == *topic).then_some(id)
    }

    /// Enters a new publication.
    pub(super) fn insert(&mut self, publication: Publication) {
        let id = self.number();
        self.by_tag.insert(publication.entity_tag.clone(), id);
        self.by_topic.entry(publication.topic.clone()).or_default().insert((id, id));
        self.ends.insert((publication.expires_at, id));
        self.octets += publication.body.len();
        self.stored.insert(id, Stored { publication, changed: id });
    }

    /// Gives a publication a new tag and end, and a new document if there is one.
    pub(super) fn update(
        &mut self,
        id: u64,
        entity_tag: Arc<str>,
        expires_at: Instant,
        document: Option<(Arc<str>, Bytes)>,
    ) {
        let change = self.number();
        let Some(stored) = self.stored.get_mut(&id) else { return };
        let publication = &mut stored.publication;
        self.by_tag.remove(&publication.entity_tag);
        self.by_tag.insert(entity_tag.clone(), id);
        publication.entity_tag = entity_tag;
        self.ends.remove(&(publication.expires_at, id));
        self.ends.insert((expires_at, id));
        publication.expires_at = expires_at;
        if let Some((content_type, body)) = document {
            self.octets = self.octets - publication.body.len() + body.len();
            publication.content_type = content_type;
            publication.body = body;
            let all = self.by_topic.entry(publication.topic.clone()).or_default();
            all.remove(&(stored.changed, id));
            all.insert((change, id));
            stored.changed = change;
        }
    }

    /// Ends a publication. Returns its topic if watchers see another document now, or none.
    pub(super) fn remove(&mut self, id: u64) -> Option<Topic> {
        let Stored { publication, changed } = self.stored.remove(&id)?;
        self.by_tag.remove(&publication.entity_tag);
        self.ends.remove(&(publication.expires_at, id));
        self.octets -= publication.body.len();
        let all = self.by_topic.get_mut(&publication.topic)?;
        let was_shown = all.last() == Some(&(changed, id));
        all.remove(&(changed, id));
        if all.is_empty() {
            self.by_topic.remove(&publication.topic);
        }
        was_shown.then_some(publication.topic)
    }

    /// Ends what has run out. Returns the topics whose watchers see another document now.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<Topic> {
        let mut changed = BTreeSet::new();
        while let Some((_, id)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            changed.extend(self.remove(id));
        }
        changed
    }

    /// Returns when the next publication runs out.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Returns the newest document of a topic.
    pub(super) fn current(&self, topic: &Topic) -> Option<&Publication> {
        let (_, id) = self.by_topic.get(topic)?.last()?;
        self.stored.get(id).map(|stored| &stored.publication)
    }

    pub(super) fn publications(&self) -> Vec<Publication> {
        let ids = self.by_topic.values().flatten();
        ids.filter_map(|(_, id)| self.stored.get(id)).map(|s| s.publication.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.stored.len()
    }

    /// Returns how many octets all documents have, with one of them replaced.
    pub(super) fn octets_with(&self, replaced: Option<u64>, body: &[u8]) -> usize {
        let before = replaced.and_then(|id| self.stored.get(&id));
        self.octets - before.map_or(0, |stored| stored.publication.body.len()) + body.len()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// How long a client should wait while the table is full.
pub(super) const FULL_FOR: Duration = Duration::from_secs(60);
