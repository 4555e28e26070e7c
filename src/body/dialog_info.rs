//! Dialogs: `application/dialog-info+xml` (RFC 4235).
//!
//! One document tells of the calls of one user. Which of them changed since the last document, and
//! putting partial documents together, is left to those who keep them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Body, BodyError, Field, content_type,
    error::choose,
    pidf::check_uri,
    read::Element,
    xml::{Ids, Tag, Xml, check_text},
};

/// The dialogs of one user.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DialogInfo {
    /// Whose dialogs. Some devices leave it out of what they send.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The number of the document. `None`: the publication counts.
    pub version: Option<u32>,
    /// `full` or `partial`; full when left out.
    pub state: Option<String>,
    /// The dialogs: all of them, or those that changed.
    pub dialogs: Vec<Dialog>,
}

/// One dialog, or one that is about to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Dialog {
    /// Names the dialog in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its Call-ID.
    pub call_id: Option<String>,
    /// The tag of the user's side.
    pub local_tag: Option<String>,
    /// The tag of the other side.
    pub remote_tag: Option<String>,
    /// Whether the user is `initiator` or `recipient`.
    pub direction: Option<String>,
    /// `trying`, `proceeding`, `early`, `confirmed` or `terminated`.
    pub state: Option<String>,
    /// What ended it: the event of the state.
    pub reason: Option<String>,
    /// The status code of the response that brought it into its state.
    pub code: Option<u16>,
    /// For how many seconds it has existed.
    pub duration: Option<u64>,
    /// The dialog it took the place of.
    pub replaces: Option<Replaces>,
    /// Who referred the user to it.
    pub referred_by: Option<Address>,
    /// The route set, from the user's side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route_set: Vec<String>,
    /// The user's side.
    pub local: Option<Participant>,
    /// The other side.
    pub remote: Option<Participant>,
}

/// Names another dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of the user's side.
    pub local_tag: String,
    /// The tag of the other side.
    pub remote_tag: String,
}

/// Somebody's URI and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The URI.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity: String,
    /// The name shown to humans.
    pub display: Option<String>,
}

/// One side of a dialog.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Participant {
    /// The URI of the From or To header.
    pub identity: Option<String>,
    /// The name beside it.
    pub display: Option<String>,
    /// The URI of the Contact header.
    pub target: Option<String>,
    /// The Contact header's parameters, such as `+sip.rendering`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The session description this side gave last.
    pub session_description: Option<SessionDescription>,
    /// The last CSeq number of this side.
    pub cseq: Option<u32>,
}

/// A session description as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SessionDescription {
    /// Its media type.
    pub r#type: String,
    /// The description.
    pub text: String,
}

impl DialogInfo {
    /// Writes the document.
    ///
    /// # Errors
    /// When a field is missing, is not what its place asks for, or has a character that XML
    /// cannot hold; when two dialogs have the same id.
    pub fn build(&self) -> Result<Body, BodyError> {
        let state = self.state.as_deref().unwrap_or("full");
        let root = Tag::new("dialog-info")
            .plain("xmlns", NAMESPACE)
            .plain("entity", check_uri(Field::top("entity"), &self.entity)?)
            .word("state", Field::top("state"), Some(state), &["full", "partial"])?;
        let mut xml = Xml::new();
        let version = xml.open_versioned(root, self.version);
        let mut ids = Ids::default();
        for (index, dialog) in self.dialogs.iter().enumerate() {
            dialog.write(&mut xml, &mut ids, Field::entry("dialogs", index))?;
        }
        xml.close("dialog-info");
        Ok(Body::versioned(content_type::DIALOG_INFO, xml.finish(), version))
    }

    pub(super) fn read(root: Element<'_, '_>) -> Self {
        Self {
            entity: root.attribute_word("entity").unwrap_or_default(),
            version: root.attribute_value("version"),
            state: root.attribute_word("state"),
            dialogs: root.children("dialog").map(Dialog::read).collect(),
        }
    }
}

impl Dialog {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        xml.open(
            Tag::new("dialog")
                .plain("id", ids.take_text(field("id"), &self.id)?)
                .text("call-id", field("call_id"), self.call_id.as_deref())?
                .text("local-tag", field("local_tag"), self.local_tag.as_deref())?
                .text("remote-tag", field("remote_tag"), self.remote_tag.as_deref())?
                .word("direction", field("direction"), self.direction.as_deref(), &DIRECTIONS)?,
        );
        self.write_state(xml, at)?;
        xml.value("duration", self.duration);
        if let Some(Replaces { call_id, local_tag, remote_tag }) = &self.replaces {
            let at = field("replaces");
            let field = |name| Field::top(name).within(&at);
            for (name, text) in
                [("call_id", call_id), ("local_tag", local_tag), ("remote_tag", remote_tag)]
            {
                if text.is_empty() {
                    return Err(BodyError::missing(field(name), "what the dialog had there"));
                }
            }
            xml.empty(
                Tag::new("replaces")
                    .text("call-id", field("call_id"), Some(call_id))?
                    .text("local-tag", field("local_tag"), Some(local_tag))?
                    .text("remote-tag", field("remote_tag"), Some(remote_tag))?,
            );
        }
        if let Some(by) = &self.referred_by {
            by.write(xml, "referred-by", field("referred_by"))?;
        }
        if !self.route_set.is_empty() {
            xml.open(Tag::new("route-set"));
            for hop in &self.route_set {
                xml.leaf("hop", field("route_set"), Some(hop))?;
            }
            xml.close("route-set");
        }
        if let Some(local) = &self.local {
            local.write(xml, "local", field("local"))?;
        }
        if let Some(remote) = &self.remote {
            remote.write(xml, "remote", field("remote"))?;
        }
        xml.close("dialog");
        Ok(())
    }

    fn write_state(&self, xml: &mut Xml, at: Field<'_>) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let Some(state) = &self.state else {
            return Err(BodyError::missing(field("state"), "\"confirmed\" or another state"));
        };
        if self.reason.is_some() && state != "terminated" {
            let why = "only what is \"terminated\" has one";
            return Err(BodyError::misplaced(field("reason"), why));
        }
        if let Some(code) = self.code.filter(|code| !(100..=699).contains(code)) {
            let (field, value) = (field("code").into(), code.into());
            return Err(BodyError::Range { field, value, expected: "a status code (100 to 699)" });
        }
        let tag = Tag::new("state")
            .word("event", field("reason"), self.reason.as_deref(), &REASONS)?
            .number("code", self.code.map(u64::from));
        xml.text(tag, choose(field("state"), state, &STATES)?);
        Ok(())
    }

    fn read(dialog: Element<'_, '_>) -> Self {
        let state = dialog.child("state");
        Self {
            id: dialog.attribute("id").unwrap_or_default(),
            call_id: dialog.attribute("call-id"),
            local_tag: dialog.attribute("local-tag"),
            remote_tag: dialog.attribute("remote-tag"),
            direction: dialog.attribute_word("direction"),
            state: state.and_then(Element::word),
            reason: state.and_then(|state| state.attribute_word("event")),
            code: state.and_then(|state| state.attribute_value("code")),
            duration: dialog.value_of("duration"),
            replaces: dialog.child("replaces").map(|replaces| {
                let attribute = |name| replaces.attribute(name).unwrap_or_default();
                Replaces {
                    call_id: attribute("call-id"),
                    local_tag: attribute("local-tag"),
                    remote_tag: attribute("remote-tag"),
                }
            }),
            referred_by: dialog.child("referred-by").map(Address::read),
            route_set: dialog
                .child("route-set")
                .map(|set| set.children("hop").map(Element::text).collect())
                .unwrap_or_default(),
            local: dialog.child("local").map(Participant::read),
            remote: dialog.child("remote").map(Participant::read),
        }
    }
}

impl Address {
    fn write(&self, xml: &mut Xml, name: &'static str, at: Field<'_>) -> Result<(), BodyError> {
        let identity = check_uri(Field::top("identity").within(&at), &self.identity)?;
        let display = Field::top("display").within(&at);
        xml.text(Tag::new(name).text("display", display, self.display.as_deref())?, identity);
        Ok(())
    }

    fn read(element: Element<'_, '_>) -> Self {
        // The text of RFC 4235 and those who follow it say `display`, its schema `display-name`.
        let display = element.attribute("display").or_else(|| element.attribute("display-name"));
        Self { identity: element.word().unwrap_or_default(), display }
    }
}

impl Participant {
    fn write(&self, xml: &mut Xml, name: &'static str, at: Field<'_>) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        xml.open(Tag::new(name));
        match (&self.identity, &self.display) {
            (Some(identity), display) => {
                let address = Address { identity: identity.clone(), display: display.clone() };
                address.write(xml, "identity", at)?;
            }
            (None, Some(_)) => {
                let why = "a name belongs to an identity, and there is none";
                return Err(BodyError::misplaced(field("display"), why));
            }
            (None, None) => {}
        }
        self.write_target(xml, at)?;
        if let Some(SessionDescription { r#type, text }) = &self.session_description {
            let at = field("session_description");
            check_text(Field::top("text").within(&at), text)?;
            let of_type = Field::top("type").within(&at);
            xml.text(Tag::new("session-description").text("type", of_type, Some(r#type))?, text);
        }
        xml.value("cseq", self.cseq);
        xml.close(name);
        Ok(())
    }

    fn write_target(&self, xml: &mut Xml, at: Field<'_>) -> Result<(), BodyError> {
        let params = Field::top("params").within(&at);
        let Some(target) = &self.target else {
            if self.params.is_empty() {
                return Ok(());
            }
            let why = "parameters belong to a target, and there is none";
            return Err(BodyError::misplaced(params, why));
        };
        let uri = check_uri(Field::top("target").within(&at), target)?;
        let tag = Tag::new("target").plain("uri", uri);
        if self.params.is_empty() {
            xml.empty(tag);
            return Ok(());
        }
        xml.open(tag);
        for (name, value) in &self.params {
            xml.empty(Tag::new("param").text("pname", params, Some(name))?.text(
                "pval",
                params,
                Some(value),
            )?);
        }
        xml.close("target");
        Ok(())
    }

    fn read(side: Element<'_, '_>) -> Self {
        let identity = side.child("identity").map(Address::read).unwrap_or_default();
        let target = side.child("target");
        let params = target.into_iter().flat_map(|target| target.children("param"));
        Self {
            // A name without a URI says nothing of whose it is.
            display: identity.display.filter(|_| !identity.identity.is_empty()),
            identity: Some(identity.identity).filter(|uri| !uri.is_empty()),
            target: target.and_then(|target| target.attribute_word("uri")),
            params: params
                .filter_map(|param| {
                    Some((param.attribute("pname")?, param.attribute("pval").unwrap_or_default()))
                })
                .collect(),
            session_description: side.child("session-description").map(|description| {
                SessionDescription {
                    r#type: description.attribute("type").unwrap_or_default(),
                    text: description.text(),
                }
            }),
            cseq: side.value_of("cseq"),
        }
    }
}

const DIRECTIONS: [&str; 2] = ["initiator", "recipient"];
const STATES: [&str; 5] = ["trying", "proceeding", "early", "confirmed", "terminated"];
const REASONS: [&str; 7] =
    ["cancelled", "rejected", "replaced", "local-bye", "remote-bye", "error", "timeout"];

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";
