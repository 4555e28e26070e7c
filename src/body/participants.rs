//! Those who take part in a conference: users, their endpoints, and the media of these
//! (RFC 4575 §5.6 to §5.8).
//!
//! The conference as a whole is in [`conference`](super::conference).

use serde::Serialize;

use super::{
    BodyError, Field, Link, Timestamp,
    conference::{FLOWS, STATES, read_state, read_words, with_state, write_words},
    error::choose,
    pidf::check_uri,
    read::Element,
    xml::{Ids, Tag, Xml},
};

/// Somebody who takes part.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct User {
    /// The user's URI, which names the user in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The name shown to humans.
    pub display: Option<String>,
    /// `full`, `partial` or `deleted`; full when left out.
    pub state: Option<String>,
    /// Other addresses of the same human.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associated_aors: Vec<Link>,
    /// What the user is in the conference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The languages the user wants, as tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The conference behind this user, when it is one.
    pub cascaded_focus: Option<String>,
    /// The devices the user takes part with.
    pub endpoints: Vec<Endpoint>,
}

/// A device that takes part.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Endpoint {
    /// Names the endpoint among those of its user: a URI, often that of its Contact header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The name shown to humans.
    pub display: Option<String>,
    /// `full`, `partial` or `deleted`; full when left out.
    pub state: Option<String>,
    /// How it was referred to the conference.
    pub referred: Option<Step>,
    /// How far it is: `connected`, `on-hold`, `alerting`, …
    pub status: Option<String>,
    /// `dialed-in`, `dialed-out` or `focus-owner`.
    pub joining_method: Option<String>,
    /// When it joined and who let it.
    pub joining_info: Option<Step>,
    /// `departed`, `booted`, `failed` or `busy`.
    pub disconnection_method: Option<String>,
    /// When it left and who made it.
    pub disconnection_info: Option<Step>,
    /// Its media.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    /// The dialog between it and the conference.
    pub call_info: Option<CallInfo>,
}

/// When something was done, why, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Step {
    /// When.
    pub when: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// The URI of who did it.
    pub by: Option<String>,
}

/// One medium of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Media {
    /// Names the medium among those of its endpoint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `full`, `partial` or `deleted`; full when left out.
    pub state: Option<String>,
    /// The name shown to humans.
    pub display: Option<String>,
    /// `audio`, `video`, `text` or another type of media.
    pub r#type: Option<String>,
    /// The label of the conference's medium.
    pub label: Option<String>,
    /// Its source in RTP.
    pub src_id: Option<String>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub status: Option<String>,
}

/// The SIP dialog of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallInfo {
    /// The name shown to humans.
    pub display: Option<String>,
    /// The Call-ID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub call_id: String,
    /// The tag of the caller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from_tag: String,
    /// The tag of the callee.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to_tag: String,
}

impl User {
    pub(super) fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        ids.take_text(field("entity"), &self.entity)?;
        let tag = Tag::new("user").plain("entity", check_uri(field("entity"), &self.entity)?);
        xml.open(with_state(tag, field("state"), self.state.as_deref(), &STATES)?);
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        let aors = &self.associated_aors;
        Link::write_all(xml, "associated-aors", "associated_aors", aors, Some(&at))?;
        if !self.roles.is_empty() {
            xml.open(Tag::new("roles"));
            for role in &self.roles {
                xml.leaf("entry", field("roles"), Some(role))?;
            }
            xml.close("roles");
        }
        write_words(xml, "languages", field("languages"), &self.languages)?;
        if let Some(focus) = &self.cascaded_focus {
            xml.text(Tag::new("cascaded-focus"), check_uri(field("cascaded_focus"), focus)?);
        }
        let mut ids = Ids::default();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            endpoint.write(xml, &mut ids, Field::entry("endpoints", index).within(&at))?;
        }
        xml.close("user");
        Ok(())
    }

    pub(super) fn read(user: Element<'_, '_>) -> Self {
        let roles = user.child("roles");
        Self {
            entity: user.attribute_word("entity").unwrap_or_default(),
            display: user.text_of("display-text"),
            state: read_state(user),
            associated_aors: Link::read_all(user, "associated-aors"),
            roles: roles
                .map(|roles| roles.children("entry").map(Element::text).collect())
                .unwrap_or_default(),
            languages: read_words(user, "languages"),
            cascaded_focus: user.word_of("cascaded-focus"),
            endpoints: user.children("endpoint").map(Endpoint::read).collect(),
        }
    }
}

impl Endpoint {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let tag =
            Tag::new("endpoint").plain("entity", ids.take_text(field("entity"), &self.entity)?);
        xml.open(with_state(tag, field("state"), self.state.as_deref(), &STATES)?);
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        Step::write(self.referred.as_ref(), xml, "referred", field("referred"))?;
        xml.word("status", field("status"), self.status.as_deref(), &STATUSES)?;
        let method = self.joining_method.as_deref();
        xml.word("joining-method", field("joining_method"), method, &JOINED)?;
        Step::write(self.joining_info.as_ref(), xml, "joining-info", field("joining_info"))?;
        let method = self.disconnection_method.as_deref();
        xml.word("disconnection-method", field("disconnection_method"), method, &LEFT)?;
        let info = self.disconnection_info.as_ref();
        Step::write(info, xml, "disconnection-info", field("disconnection_info"))?;
        let mut ids = Ids::default();
        for (index, media) in self.media.iter().enumerate() {
            media.write(xml, &mut ids, Field::entry("media", index).within(&at))?;
        }
        if let Some(call) = &self.call_info {
            call.write(xml, field("call_info"))?;
        }
        xml.close("endpoint");
        Ok(())
    }

    fn read(endpoint: Element<'_, '_>) -> Self {
        Self {
            entity: endpoint.attribute("entity").unwrap_or_default(),
            display: endpoint.text_of("display-text"),
            state: read_state(endpoint),
            referred: endpoint.child("referred").map(Step::read),
            status: endpoint.word_of("status"),
            joining_method: endpoint.word_of("joining-method"),
            joining_info: endpoint.child("joining-info").map(Step::read),
            disconnection_method: endpoint.word_of("disconnection-method"),
            disconnection_info: endpoint.child("disconnection-info").map(Step::read),
            media: endpoint.children("media").map(Media::read).collect(),
            call_info: endpoint
                .child("call-info")
                .and_then(|call| call.child("sip"))
                .map(CallInfo::read),
        }
    }
}

impl Step {
    fn write(
        step: Option<&Self>,
        xml: &mut Xml,
        element: &'static str,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let Some(Self { when, reason, by }) = step else { return Ok(()) };
        let field = |name| Field::top(name).within(&at);
        xml.open(Tag::new(element));
        if let Some(when) = when {
            xml.text(Tag::new("when"), &when.written(field("when"))?);
        }
        xml.leaf("reason", field("reason"), reason.as_deref())?;
        if let Some(by) = by {
            xml.text(Tag::new("by"), check_uri(field("by"), by)?);
        }
        xml.close(element);
        Ok(())
    }

    fn read(step: Element<'_, '_>) -> Self {
        Self {
            when: step.word_of("when").map(Timestamp::Text),
            reason: step.text_of("reason"),
            by: step.word_of("by"),
        }
    }
}

impl Media {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let tag = Tag::new("media").plain("id", ids.take_text(field("id"), &self.id)?);
        xml.open(with_state(tag, field("state"), self.state.as_deref(), &STATES)?);
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        xml.leaf("type", field("type"), self.r#type.as_deref())?;
        xml.leaf("label", field("label"), self.label.as_deref())?;
        xml.leaf("src-id", field("src_id"), self.src_id.as_deref())?;
        if let Some(status) = &self.status {
            xml.text(Tag::new("status"), choose(field("status"), status, &FLOWS)?);
        }
        xml.close("media");
        Ok(())
    }

    fn read(media: Element<'_, '_>) -> Self {
        Self {
            id: media.attribute("id").unwrap_or_default(),
            state: read_state(media),
            display: media.text_of("display-text"),
            r#type: media.text_of("type"),
            label: media.text_of("label"),
            src_id: media.text_of("src-id"),
            status: media.word_of("status"),
        }
    }
}

impl CallInfo {
    fn write(&self, xml: &mut Xml, at: Field<'_>) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        xml.open(Tag::new("call-info"));
        xml.open(Tag::new("sip"));
        xml.leaf("display-text", field("display"), self.display.as_deref())?;
        for (element, name, text) in [
            ("call-id", "call_id", &self.call_id),
            ("from-tag", "from_tag", &self.from_tag),
            ("to-tag", "to_tag", &self.to_tag),
        ] {
            if text.is_empty() {
                return Err(BodyError::missing(field(name), "what the dialog has there"));
            }
            xml.leaf(element, field(name), Some(text))?;
        }
        xml.close("sip");
        xml.close("call-info");
        Ok(())
    }

    fn read(sip: Element<'_, '_>) -> Self {
        let text = |name| sip.text_of(name).unwrap_or_default();
        Self {
            display: sip.text_of("display-text"),
            call_id: text("call-id"),
            from_tag: text("from-tag"),
            to_tag: text("to-tag"),
        }
    }
}

const STATUSES: [&str; 9] = [
    "pending",
    "dialing-out",
    "dialing-in",
    "alerting",
    "on-hold",
    "connected",
    "muted-via-focus",
    "disconnecting",
    "disconnected",
];
const JOINED: [&str; 3] = ["dialed-in", "dialed-out", "focus-owner"];
const LEFT: [&str; 4] = ["departed", "booted", "failed", "busy"];
