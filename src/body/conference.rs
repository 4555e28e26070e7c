//! Conferences: `application/conference-info+xml` (RFC 4575).
//!
//! What the document says of the conference as a whole; who takes part is in
//! [`participants`](super::participants). Putting partial documents together is left to those who
//! keep them.

use serde::Serialize;

use super::{
    Body, BodyError, Field, User, content_type,
    error::{choose, shown},
    pidf::check_uri,
    read::Element,
    xml::{Ids, Tag, Xml},
};

/// A conference, or a sidebar of one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Conference {
    /// Its URI.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The number of the document. `None`: the publication counts.
    pub version: Option<u32>,
    /// `full`, `partial` or `deleted`; full when left out.
    pub state: Option<String>,
    /// What it is about.
    pub description: Option<Description>,
    /// Who hosts it.
    pub host: Option<Host>,
    /// How it is doing.
    pub conference_state: Option<ConferenceState>,
    /// Those who take part: all of them, or those that changed.
    pub users: Vec<User>,
    /// Whether `users` is the whole list (`full`) or what changed of it (`partial`). When left out
    /// it is as the document.
    pub users_state: Option<String>,
    /// Sidebars that have documents of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sidebars_by_ref: Vec<Link>,
    /// Sidebars told of here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sidebars_by_val: Vec<Self>,
}

/// What a conference is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The name shown to humans.
    pub display: Option<String>,
    /// What is spoken of.
    pub subject: Option<String>,
    /// More about it.
    pub free_text: Option<String>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Where one takes part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conf_uris: Vec<Link>,
    /// Where services around it are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_uris: Vec<Link>,
    /// How many may take part.
    pub maximum_user_count: Option<u32>,
    /// Which media there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_media: Vec<AvailableMedia>,
}

/// A URI and what it is good for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The URI.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// The name shown to humans.
    pub display: Option<String>,
    /// What it is good for, such as `participation`, `streaming` or `web-page`.
    pub purpose: Option<String>,
}

/// A medium that a conference offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AvailableMedia {
    /// Names the medium; the media of endpoints refer to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// `audio`, `video`, `text` or another type of media.
    pub r#type: Option<String>,
    /// The name shown to humans.
    pub display: Option<String>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub status: Option<String>,
}

/// Who hosts a conference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The name shown to humans.
    pub display: Option<String>,
    /// A page about it.
    pub web_page: Option<String>,
    /// How to reach it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<Link>,
}

/// How a conference is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConferenceState {
    /// How many take part.
    pub user_count: Option<u32>,
    /// Whether media flow.
    pub active: Option<bool>,
    /// Whether nobody more may join.
    pub locked: Option<bool>,
}

impl Conference {
    /// Writes the document.
    ///
    /// # Errors
    /// When a field is missing, is not what its place asks for, or has a character that XML
    /// cannot hold; when two of a kind have the same name.
    pub fn build(&self) -> Result<Body, BodyError> {
        let state = self.state.as_deref().unwrap_or("full");
        let root = Tag::new("conference-info")
            .plain("xmlns", NAMESPACE)
            .plain("entity", check_uri(Field::top("entity"), &self.entity)?)
            .word("state", Field::top("state"), Some(state), &STATES)?;
        let mut xml = Xml::new();
        let version = xml.open_versioned(root, self.version);
        self.write_contents(&mut xml, None)?;
        xml.close("conference-info");
        Ok(Body::versioned(content_type::CONFERENCE_INFO, xml.finish(), version))
    }

    fn write_contents(&self, xml: &mut Xml, at: Option<&Field<'_>>) -> Result<(), BodyError> {
        let inside = |field: Field<'static>| match at {
            Some(at) => field.within(at),
            None => field,
        };
        let state = self.state.as_deref().unwrap_or("full");
        match &self.description {
            Some(description) => description.write(xml, inside(Field::top("description")))?,
            // A full document has both, even if there is nothing to say (4575 §5.2).
            None if state == "full" => {
                Description::default().write(xml, inside(Field::top("description")))?;
            }
            None => {}
        }
        if let Some(host) = &self.host {
            host.write(xml, inside(Field::top("host")))?;
        }
        if let Some(ConferenceState { user_count, active, locked }) = &self.conference_state {
            xml.open(Tag::new("conference-state"));
            xml.value("user-count", *user_count);
            xml.value("active", *active);
            xml.value("locked", *locked);
            xml.close("conference-state");
        }
        if state == "full" || !self.users.is_empty() || self.users_state.is_some() {
            let as_whole = if state == "partial" { state } else { "full" };
            let users_state = self.users_state.as_deref().unwrap_or(as_whole);
            xml.open(with_state(
                Tag::new("users"),
                inside(Field::top("users_state")),
                Some(users_state),
                &["full", "partial"],
            )?);
            let mut ids = Ids::default();
            for (index, user) in self.users.iter().enumerate() {
                user.write(xml, &mut ids, inside(Field::entry("users", index)))?;
            }
            xml.close("users");
        }
        Link::write_all(xml, "sidebars-by-ref", "sidebars_by_ref", &self.sidebars_by_ref, at)?;
        if !self.sidebars_by_val.is_empty() {
            let state = Some(state).filter(|state| *state == "partial");
            xml.open(with_state(Tag::new("sidebars-by-val"), Field::top("state"), state, &STATES)?);
            let mut ids = Ids::default();
            for (index, sidebar) in self.sidebars_by_val.iter().enumerate() {
                let at = inside(Field::entry("sidebars_by_val", index));
                let field = |name| Field::top(name).within(&at);
                ids.take_text(field("entity"), &sidebar.entity)?;
                let entry = Tag::new("entry")
                    .plain("entity", check_uri(field("entity"), &sidebar.entity)?)
                    .number("version", sidebar.version.map(u64::from));
                let entry = with_state(entry, field("state"), sidebar.state.as_deref(), &STATES)?;
                xml.open(entry);
                sidebar.write_contents(xml, Some(&at))?;
                xml.close("entry");
            }
            xml.close("sidebars-by-val");
        }
        Ok(())
    }

    pub(super) fn read(root: Element<'_, '_>) -> Self {
        let state = read_state(root);
        let users = root.child("users");
        let sidebars = root.child("sidebars-by-val");
        Self {
            entity: root.attribute_word("entity").unwrap_or_default(),
            version: root.attribute_value("version"),
            description: root.child("conference-description").map(Description::read),
            host: root.child("host-info").map(Host::read),
            conference_state: root.child("conference-state").map(|state| ConferenceState {
                user_count: state.value_of("user-count"),
                active: read_truth(state, "active"),
                locked: read_truth(state, "locked"),
            }),
            users: users
                .map(|users| users.children("user").map(User::read).collect())
                .unwrap_or_default(),
            // A full list in a full document goes without saying.
            users_state: users
                .and_then(read_state)
                .filter(|users| state.as_deref() != Some("full") || users != "full"),
            sidebars_by_ref: Link::read_all(root, "sidebars-by-ref"),
            sidebars_by_val: sidebars
                .map(|sidebars| sidebars.children("entry").map(Self::read).collect())
                .unwrap_or_default(),
            state,
        }
    }
}

impl Description {
    fn write(&self, xml: &mut Xml, at: Field<'_>) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        xml.open(Tag::new("conference-description"));
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        xml.leaf("subject", field("subject"), self.subject.as_deref())?;
        xml.leaf("free-text", field("free_text"), self.free_text.as_deref())?;
        write_words(xml, "keywords", field("keywords"), &self.keywords)?;
        Link::write_all(xml, "conf-uris", "conf_uris", &self.conf_uris, Some(&at))?;
        Link::write_all(xml, "service-uris", "service_uris", &self.service_uris, Some(&at))?;
        xml.value("maximum-user-count", self.maximum_user_count);
        if !self.available_media.is_empty() {
            xml.open(Tag::new("available-media"));
            let mut ids = Ids::default();
            for (index, media) in self.available_media.iter().enumerate() {
                media.write(xml, &mut ids, Field::entry("available_media", index).within(&at))?;
            }
            xml.close("available-media");
        }
        xml.close("conference-description");
        Ok(())
    }

    fn read(description: Element<'_, '_>) -> Self {
        let media = description.child("available-media");
        Self {
            display: description.text_of("display-text"),
            subject: description.text_of("subject"),
            free_text: description.text_of("free-text"),
            keywords: read_words(description, "keywords"),
            conf_uris: Link::read_all(description, "conf-uris"),
            service_uris: Link::read_all(description, "service-uris"),
            maximum_user_count: description.value_of("maximum-user-count"),
            available_media: media
                .map(|media| media.children("entry").map(AvailableMedia::read).collect())
                .unwrap_or_default(),
        }
    }
}

impl AvailableMedia {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let label = ids.take_text(field("label"), &self.label)?;
        xml.open(Tag::new("entry").plain("label", label));
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        if self.r#type.is_none() {
            return Err(BodyError::missing(field("type"), "\"audio\" or another type of media"));
        }
        xml.leaf("type", field("type"), self.r#type.as_deref())?;
        xml.word("status", field("status"), self.status.as_deref(), &FLOWS)?;
        xml.close("entry");
        Ok(())
    }

    fn read(entry: Element<'_, '_>) -> Self {
        Self {
            label: entry.attribute("label").unwrap_or_default(),
            r#type: entry.text_of("type"),
            display: entry.text_of("display-text"),
            status: entry.word_of("status"),
        }
    }
}

impl Host {
    fn write(&self, xml: &mut Xml, at: Field<'_>) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        xml.open(Tag::new("host-info"));
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        if let Some(page) = &self.web_page {
            xml.text(Tag::new("web-page"), check_uri(field("web_page"), page)?);
        }
        Link::write_all(xml, "uris", "uris", &self.uris, Some(&at))?;
        xml.close("host-info");
        Ok(())
    }

    fn read(host: Element<'_, '_>) -> Self {
        Self {
            display: host.text_of("display-text"),
            web_page: host.word_of("web-page"),
            uris: Link::read_all(host, "uris"),
        }
    }
}

impl Link {
    /// Writes a list of links, if there are any.
    pub(super) fn write_all(
        xml: &mut Xml,
        element: &'static str,
        name: &'static str,
        links: &[Self],
        within: Option<&Field<'_>>,
    ) -> Result<(), BodyError> {
        if links.is_empty() {
            return Ok(());
        }
        xml.open(Tag::new(element));
        for (index, link) in links.iter().enumerate() {
            let entry = Field::entry(name, index);
            let at = within.map_or(entry, |within| entry.within(within));
            let field = |name| Field::top(name).within(&at);
            xml.open(Tag::new("entry"));
            xml.text(Tag::new("uri"), check_uri(field("uri"), &link.uri)?);
            xml.leaf("display-text", field("display"), link.display.as_deref())?;
            xml.leaf("purpose", field("purpose"), link.purpose.as_deref())?;
            xml.close("entry");
        }
        xml.close(element);
        Ok(())
    }

    pub(super) fn read_all(holder: Element<'_, '_>, element: &str) -> Vec<Self> {
        let links = holder.child(element);
        let entries = links.into_iter().flat_map(|links| links.children("entry"));
        entries
            .map(|entry| Self {
                uri: entry.word_of("uri").unwrap_or_default(),
                display: entry.text_of("display-text"),
                purpose: entry.text_of("purpose"),
            })
            .collect()
    }
}

/// Adds a state that is not what its absence means.
pub(super) fn with_state(
    tag: Tag,
    field: Field<'_>,
    state: Option<&str>,
    known: &'static [&'static str],
) -> Result<Tag, BodyError> {
    match state {
        Some(state) if choose(field, state, known)? != "full" => Ok(tag.plain("state", state)),
        Some(_) | None => Ok(tag),
    }
}

/// Reads a state, which is full when it is not told (4575 §5.1).
pub(super) fn read_state(element: Element<'_, '_>) -> Option<String> {
    Some(element.attribute_word("state").unwrap_or_else(|| "full".into()))
}

/// Writes words with blanks between them, if there are any.
pub(super) fn write_words(
    xml: &mut Xml,
    element: &str,
    field: Field<'_>,
    words: &[String],
) -> Result<(), BodyError> {
    for word in words {
        if word.is_empty() || word.contains([' ', '\t', '\r', '\n']) {
            let (field, value) = (field.into(), shown(word));
            return Err(BodyError::Text { field, value, expected: "a word without blanks" });
        }
    }
    let all = (!words.is_empty()).then(|| words.join(" "));
    xml.leaf(element, field, all.as_deref())
}

pub(super) fn read_words(holder: Element<'_, '_>, element: &str) -> Vec<String> {
    let text = holder.text_of(element).unwrap_or_default();
    let words = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn read_truth(holder: Element<'_, '_>, element: &str) -> Option<bool> {
    match holder.word_of(element)?.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

pub(super) const STATES: [&str; 3] = ["full", "partial", "deleted"];
pub(super) const FLOWS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";
