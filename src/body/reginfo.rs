//! Registrations: `application/reginfo+xml` (RFC 3680), with the GRUUs of RFC 5628.
//!
//! Putting partial documents together is left to those who keep them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Body, BodyError, Field, content_type,
    error::choose,
    pidf::{check_uri, written_priority},
    read::Element,
    xml::{Ids, Tag, Xml, check_text},
};

/// Who is registered where.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reginfo {
    /// The number of the document. `None`: the publication counts.
    pub version: Option<u32>,
    /// `full` or `partial`; full when left out.
    pub state: Option<String>,
    /// The registrations: all of them, or those that changed.
    pub registrations: Vec<Registration>,
}

/// The bindings of one address of record.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Registration {
    /// The address of record.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub aor: String,
    /// Names the registration in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `init`, `active` or `terminated`.
    pub state: Option<String>,
    /// The contacts bound to it.
    pub contacts: Vec<Contact>,
}

/// One contact.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Contact {
    /// Names the contact in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Where it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// `active` or `terminated`.
    pub state: Option<String>,
    /// What brought it into its state.
    pub event: Option<String>,
    /// The seconds that are left of it. A `shortened` contact tells them.
    pub expires: Option<u64>,
    /// After how many seconds to register again. A contact on `probation` tells them.
    pub retry_after: Option<u64>,
    /// For how many seconds it has been registered.
    pub duration: Option<u64>,
    /// How much it is preferred, from 0 to 1.
    pub q: Option<f64>,
    /// The Call-ID of the last REGISTER.
    pub call_id: Option<String>,
    /// The CSeq number of the last REGISTER.
    pub cseq: Option<u64>,
    /// The name shown to humans.
    pub display: Option<String>,
    /// Parameters of the Contact header that have no place of their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Its public GRUU.
    pub pub_gruu: Option<String>,
    /// Its newest temporary GRUU.
    pub temp_gruu: Option<TemporaryGruu>,
}

/// A temporary GRUU, good for as long as the registration that began with a certain REGISTER.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TemporaryGruu {
    /// The GRUU.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// The CSeq number of that REGISTER.
    pub first_cseq: Option<u64>,
}

impl Reginfo {
    /// Writes the document.
    ///
    /// # Errors
    /// When a field is missing, is not what its place asks for, or has a character that XML
    /// cannot hold; when two registrations or two contacts have the same id.
    pub fn build(&self) -> Result<Body, BodyError> {
        let state = self.state.as_deref().unwrap_or("full");
        let mut root = Tag::new("reginfo").plain("xmlns", NAMESPACE);
        let mut contacts = self.registrations.iter().flat_map(|r| &r.contacts);
        if contacts.any(|contact| contact.pub_gruu.is_some() || contact.temp_gruu.is_some()) {
            root = root.plain("xmlns:gr", GRUU);
        }
        let root = root.word("state", Field::top("state"), Some(state), &["full", "partial"])?;
        let mut xml = Xml::new();
        let version = xml.open_versioned(root, self.version);
        let mut ids = Ids::default();
        // A contact's id is good for the whole document (3680 §5.1), whatever it is bound to.
        let mut contact_ids = Ids::default();
        for (index, registration) in self.registrations.iter().enumerate() {
            let at = Field::entry("registrations", index);
            registration.write(&mut xml, &mut ids, &mut contact_ids, at)?;
        }
        xml.close("reginfo");
        Ok(Body::versioned(content_type::REGINFO, xml.finish(), version))
    }

    pub(super) fn read(root: Element<'_, '_>) -> Self {
        Self {
            version: root.attribute_value("version"),
            state: root.attribute_word("state"),
            registrations: root.children("registration").map(Registration::read).collect(),
        }
    }
}

impl Registration {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        contact_ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let Some(state) = &self.state else {
            return Err(BodyError::missing(
                field("state"),
                "\"init\", \"active\" or \"terminated\"",
            ));
        };
        xml.open(
            Tag::new("registration")
                .plain("aor", check_uri(field("aor"), &self.aor)?)
                .plain("id", ids.take_text(field("id"), &self.id)?)
                .word("state", field("state"), Some(state), &["init", "active", "terminated"])?,
        );
        for (index, contact) in self.contacts.iter().enumerate() {
            contact.write(xml, contact_ids, Field::entry("contacts", index).within(&at))?;
        }
        xml.close("registration");
        Ok(())
    }

    fn read(registration: Element<'_, '_>) -> Self {
        Self {
            aor: registration.attribute_word("aor").unwrap_or_default(),
            id: registration.attribute("id").unwrap_or_default(),
            state: registration.attribute_word("state"),
            contacts: registration.children("contact").map(Contact::read).collect(),
        }
    }
}

impl Contact {
    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let id = ids.take_text(field("id"), &self.id)?;
        let (state, event) = self.checked_event(at)?;
        let q = self.q.map(|q| written_priority(field("q"), q)).transpose()?;
        xml.open(
            Tag::new("contact")
                .plain("id", id)
                .plain("state", state)
                .plain("event", event)
                .number("duration-registered", self.duration)
                .number("expires", self.expires)
                .number("retry-after", self.retry_after)
                .text("q", field("q"), q.as_deref())?
                .text("callid", field("call_id"), self.call_id.as_deref())?
                .number("cseq", self.cseq),
        );
        xml.text(Tag::new("uri"), check_uri(field("uri"), &self.uri)?);
        xml.leaf("display-name", field("display"), self.display.as_deref())?;
        for (name, value) in &self.params {
            check_text(field("params"), value)?;
            xml.text(Tag::new("unknown-param").text("name", field("params"), Some(name))?, value);
        }
        if let Some(uri) = &self.pub_gruu {
            xml.empty(Tag::new("gr:pub-gruu").plain("uri", check_uri(field("pub_gruu"), uri)?));
        }
        if let Some(TemporaryGruu { uri, first_cseq }) = &self.temp_gruu {
            let at = field("temp_gruu");
            let field = |name| Field::top(name).within(&at);
            if first_cseq.is_none() {
                return Err(BodyError::missing(field("first_cseq"), "a CSeq number"));
            }
            xml.empty(
                Tag::new("gr:temp-gruu")
                    .plain("uri", check_uri(field("uri"), uri)?)
                    .number("first-cseq", *first_cseq),
            );
        }
        xml.close("contact");
        Ok(())
    }

    /// Checks state and event: each state is reached by events of its own (3680 §4.7.2).
    fn checked_event(&self, at: Field<'_>) -> Result<(&str, &str), BodyError> {
        let field = |name| Field::top(name).within(&at);
        let Some(state) = &self.state else {
            return Err(BodyError::missing(field("state"), "\"active\" or \"terminated\""));
        };
        let state = choose(field("state"), state, &["active", "terminated"])?;
        let Some(event) = &self.event else {
            return Err(BodyError::missing(field("event"), "\"registered\" or another event"));
        };
        let event = choose(field("event"), event, &EVENTS)?;
        if LASTING.contains(&event) != (state == "active") {
            let why = "it does not go with the state; \"registered\", \"created\", \"refreshed\" \
                       and \"shortened\" leave a contact \"active\", all others \"terminated\"";
            return Err(BodyError::misplaced(field("event"), why));
        }
        if event == "shortened" && self.expires.is_none() {
            let expected = "the seconds that are left of a \"shortened\" contact";
            return Err(BodyError::missing(field("expires"), expected));
        }
        if event == "probation" && self.retry_after.is_none() {
            let expected = "the seconds that a contact on \"probation\" waits";
            return Err(BodyError::missing(field("retry_after"), expected));
        }
        Ok((state, event))
    }

    fn read(contact: Element<'_, '_>) -> Self {
        let gruu = contact.within(GRUU);
        Self {
            id: contact.attribute("id").unwrap_or_default(),
            uri: contact.word_of("uri").unwrap_or_default(),
            state: contact.attribute_word("state"),
            event: contact.attribute_word("event"),
            expires: contact.attribute_value("expires"),
            retry_after: contact.attribute_value("retry-after"),
            duration: contact.attribute_value("duration-registered"),
            q: contact.attribute_value("q").filter(|q| (0.0..=1.0).contains(q)),
            call_id: contact.attribute("callid"),
            cseq: contact.attribute_value("cseq"),
            display: contact.text_of("display-name"),
            params: contact
                .children("unknown-param")
                .filter_map(|param| Some((param.attribute("name")?, param.text())))
                .collect(),
            pub_gruu: gruu.child("pub-gruu").and_then(|gruu| gruu.attribute_word("uri")),
            temp_gruu: gruu.child("temp-gruu").map(|gruu| TemporaryGruu {
                uri: gruu.attribute_word("uri").unwrap_or_default(),
                first_cseq: gruu.attribute_value("first-cseq"),
            }),
        }
    }
}

const EVENTS: [&str; 9] = [
    "registered",
    "created",
    "refreshed",
    "shortened",
    "expired",
    "deactivated",
    "probation",
    "unregistered",
    "rejected",
];
/// The events after which a contact is still there.
const LASTING: [&str; 4] = ["registered", "created", "refreshed", "shortened"];

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";
const GRUU: &str = "urn:ietf:params:xml:ns:gruuinfo";
