//! Watchers: `application/watcherinfo+xml` (RFC 3858).
//!
//! Putting partial documents together is left to those who keep them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Body, BodyError, Field, content_type,
    error::{choose, shown},
    pidf::check_uri,
    read::Element,
    xml::{Ids, Tag, Xml},
};
use crate::sip::message::is_token;

/// Who watches what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Watcherinfo {
    /// The number of the document. `None`: the publication counts.
    pub version: Option<u32>,
    /// `full` or `partial`; full when left out.
    pub state: Option<String>,
    /// A list for each resource and package.
    pub lists: Vec<WatcherList>,
}

/// Those who watch one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WatcherList {
    /// Whose state is watched.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// The event package it is watched by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub package: String,
    /// The watchers: all of them, or those that changed.
    pub watchers: Vec<Watcher>,
}

/// One subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Watcher {
    /// Names the subscription in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Who watches.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// `pending`, `active`, `waiting` or `terminated`.
    pub status: Option<String>,
    /// What brought it into its status.
    pub event: Option<String>,
    /// The name shown to humans.
    pub display: Option<String>,
    /// In how many seconds it runs out.
    pub expiration: Option<u64>,
    /// For how many seconds it has existed.
    pub duration: Option<u64>,
}

impl Watcherinfo {
    /// Writes the document.
    ///
    /// # Errors
    /// When a field is missing, is not what its place asks for, or has a character that XML
    /// cannot hold; when two watchers have the same id, or two lists are of the same thing.
    pub fn build(&self) -> Result<Body, BodyError> {
        let state = self.state.as_deref().unwrap_or("full");
        let root = Tag::new("watcherinfo").plain("xmlns", NAMESPACE).word(
            "state",
            Field::top("state"),
            Some(state),
            &["full", "partial"],
        )?;
        let mut xml = Xml::new();
        let version = xml.open_versioned(root, self.version);
        let mut ids = Ids::default();
        let mut lists = BTreeSet::new();
        for (index, list) in self.lists.iter().enumerate() {
            let at = Field::entry("lists", index);
            if !lists.insert((&list.resource, &list.package)) {
                let why = "another list is of the same resource and package already";
                return Err(BodyError::misplaced(at, why));
            }
            list.write(&mut xml, &mut ids, at)?;
        }
        xml.close("watcherinfo");
        Ok(Body::versioned(content_type::WATCHERINFO, xml.finish(), version))
    }

    pub(super) fn read(root: Element<'_, '_>) -> Self {
        Self {
            version: root.attribute_value("version"),
            state: root.attribute_word("state"),
            lists: root.children("watcher-list").map(WatcherList::read).collect(),
        }
    }
}

impl WatcherList {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        if !is_token(self.package.as_bytes()) {
            return Err(BodyError::Text {
                field: field("package").into(),
                value: shown(&self.package),
                expected: "an event package, such as \"presence\"",
            });
        }
        xml.open(
            Tag::new("watcher-list")
                .plain("resource", check_uri(field("resource"), &self.resource)?)
                .plain("package", &self.package),
        );
        for (index, watcher) in self.watchers.iter().enumerate() {
            watcher.write(xml, ids, Field::entry("watchers", index).within(&at))?;
        }
        xml.close("watcher-list");
        Ok(())
    }

    fn read(list: Element<'_, '_>) -> Self {
        Self {
            resource: list.attribute_word("resource").unwrap_or_default(),
            package: list.attribute_word("package").unwrap_or_default(),
            watchers: list.children("watcher").map(Watcher::read).collect(),
        }
    }
}

impl Watcher {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let Some(status) = &self.status else {
            return Err(BodyError::missing(field("status"), "\"active\" or another status"));
        };
        let Some(event) = &self.event else {
            return Err(BodyError::missing(field("event"), "\"subscribe\" or another event"));
        };
        let tag = Tag::new("watcher")
            .plain("id", ids.take_text(field("id"), &self.id)?)
            .plain("status", choose(field("status"), status, &STATUSES)?)
            .plain("event", choose(field("event"), event, &EVENTS)?)
            .text("display-name", field("display"), self.display.as_deref())?
            .number("expiration", self.expiration)
            .number("duration-subscribed", self.duration);
        xml.text(tag, check_uri(field("uri"), &self.uri)?);
        Ok(())
    }

    fn read(watcher: Element<'_, '_>) -> Self {
        Self {
            id: watcher.attribute("id").unwrap_or_default(),
            uri: watcher.word().unwrap_or_default(),
            status: watcher.attribute_word("status"),
            event: watcher.attribute_word("event"),
            display: watcher.attribute("display-name"),
            expiration: watcher.attribute_value("expiration"),
            duration: watcher.attribute_value("duration-subscribed"),
        }
    }
}

const STATUSES: [&str; 4] = ["pending", "active", "waiting", "terminated"];
const EVENTS: [&str; 8] = [
    "subscribe",
    "approved",
    "deactivated",
    "probation",
    "rejected",
    "timeout",
    "giveup",
    "noresource",
];

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";
