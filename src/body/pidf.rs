//! Presence: `application/pidf+xml` (RFC 3863).
//!
//! Everything comes out in the order of the schema. What the document says of persons and
//! devices is left to [`data_model`](super::data_model). Identifiers are the author's: a server
//! tells one tuple from the next by them, so they have to stay as they are (3903 §10.4).

use quick_xml::events::BytesStart;
use serde::Serialize;

use super::{
    Body, BodyError, Device, Field, Person, Timestamp, UserInput, content_type,
    error::choose,
    read::Element,
    xml::{Ids, Xml, check_text},
};
use crate::sip::message::UriRef;

/// The state of one presentity.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pidf {
    /// Whose state: a `pres:` or SIP URI.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The services it can be reached through.
    pub tuples: Vec<Tuple>,
    /// The humans behind it.
    pub persons: Vec<Person>,
    /// The machines behind it.
    pub devices: Vec<Device>,
    /// A remark on the whole; persons without a note of their own inherit it.
    pub note: Option<String>,
}

/// One service and whether it is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tuple {
    /// Names the tuple in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `open` or `closed`.
    pub basic: Option<String>,
    /// What the author calls this kind of service; nobody else sees meaning in it (RFC 4480 §3.3).
    pub class: Option<String>,
    /// Whether somebody has used the service lately.
    pub user_input: Option<UserInput>,
    /// The device it runs on, by its `device_id`.
    pub device_id: Option<String>,
    /// Where the service is reached.
    pub contact: Option<String>,
    /// How much this contact is preferred, from 0 to 1; written with three decimals at the most.
    pub priority: Option<f64>,
    /// A remark for humans.
    pub note: Option<String>,
    /// When this became so.
    pub timestamp: Option<Timestamp>,
}

impl Pidf {
    /// Writes the document.
    ///
    /// # Errors
    /// When a field is missing, is not what its place asks for, or has a character that XML
    /// cannot hold; when two identifiers are the same.
    pub fn build(&self) -> Result<Body, BodyError> {
        let mut root = BytesStart::new("presence");
        root.push_attribute(("xmlns", NAMESPACE));
        let names_device = self.tuples.iter().any(|tuple| tuple.device_id.is_some());
        if names_device || !self.persons.is_empty() || !self.devices.is_empty() {
            root.push_attribute(("xmlns:dm", DATA_MODEL));
        }
        if self.tuples.iter().any(Tuple::uses_rpid)
            || self.persons.iter().any(Person::uses_rpid)
            || self.devices.iter().any(Device::uses_rpid)
        {
            root.push_attribute(("xmlns:rpid", RPID));
        }
        root.push_attribute(("entity", check_uri(Field::top("entity"), &self.entity)?));

        let mut xml = Xml::new();
        if self.is_empty() {
            xml.empty(root);
            return Ok(Body::new(content_type::PIDF, xml.finish()));
        }
        xml.open(root);
        let mut ids = Ids::default();
        for (index, tuple) in self.tuples.iter().enumerate() {
            tuple.write(&mut xml, &mut ids, index)?;
        }
        xml.leaf("note", Field::top("note"), self.note.as_deref())?;
        for (index, device) in self.devices.iter().enumerate() {
            device.write(&mut xml, &mut ids, index)?;
        }
        for (index, person) in self.persons.iter().enumerate() {
            person.write(&mut xml, &mut ids, index)?;
        }
        xml.close("presence");
        Ok(Body::new(content_type::PIDF, xml.finish()))
    }

    /// Returns the note that holds for a person: its own, or that of the whole (4479 §3.2).
    pub fn note_of<'a>(&'a self, person: &'a Person) -> Option<&'a str> {
        person.note.as_deref().or(self.note.as_deref())
    }

    pub(super) fn read(root: Element<'_, '_>) -> Self {
        let model = root.within(DATA_MODEL);
        Self {
            entity: root.attribute_word("entity").unwrap_or_default(),
            tuples: root.children("tuple").map(Tuple::read).collect(),
            persons: model.children("person").filter_map(Person::read).collect(),
            devices: model.children("device").filter_map(Device::read).collect(),
            note: root.text_of("note"),
        }
    }

    fn is_empty(&self) -> bool {
        self.tuples.is_empty()
            && self.persons.is_empty()
            && self.devices.is_empty()
            && self.note.is_none()
    }
}

impl Tuple {
    fn uses_rpid(&self) -> bool {
        self.class.is_some() || self.user_input.is_some()
    }

    fn read(tuple: Element<'_, '_>) -> Self {
        let contact = tuple.child("contact");
        Self {
            id: tuple.attribute("id").unwrap_or_default(),
            basic: tuple.child("status").and_then(|status| status.word_of("basic")),
            class: tuple.within(RPID).text_of("class"),
            user_input: UserInput::read(tuple),
            device_id: tuple.within(DATA_MODEL).word_of("deviceID"),
            contact: contact.and_then(Element::word),
            priority: contact.and_then(read_priority),
            note: tuple.text_of("note"),
            timestamp: read_timestamp(tuple),
        }
    }

    fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        index: usize,
    ) -> Result<(), BodyError> {
        let field = |name| Field::nth("tuples", index, name);
        xml.open(with_id("tuple", ids.take(field("id"), &self.id)?));
        xml.open(BytesStart::new("status"));
        xml.text(BytesStart::new("basic"), self.checked_basic(field("basic"))?);
        xml.close("status");
        xml.leaf("rpid:class", field("class"), self.class.as_deref())?;
        UserInput::write(self.user_input.as_ref(), xml, field("user_input"))?;
        if let Some(urn) = &self.device_id {
            xml.text(BytesStart::new("dm:deviceID"), check_uri(field("device_id"), urn)?);
        }
        self.write_contact(xml, field("contact"), field("priority"))?;
        xml.leaf("note", field("note"), self.note.as_deref())?;
        write_timestamp(xml, "timestamp", field("timestamp"), self.timestamp.as_ref())?;
        xml.close("tuple");
        Ok(())
    }

    fn checked_basic(&self, field: Field<'_>) -> Result<&str, BodyError> {
        match &self.basic {
            Some(basic) => choose(field, basic, &BASIC),
            // A status needs a child (3863 §4.1.4), and there is no other one to give it.
            None => Err(BodyError::missing(field, "\"open\" or \"closed\"")),
        }
    }

    fn write_contact(
        &self,
        xml: &mut Xml,
        uri: Field<'_>,
        priority: Field<'_>,
    ) -> Result<(), BodyError> {
        let Some(contact) = &self.contact else {
            return match self.priority {
                Some(_) => Err(BodyError::PriorityAlone { field: priority.into() }),
                None => Ok(()),
            };
        };
        let mut element = BytesStart::new("contact");
        if let Some(value) = self.priority {
            element.push_attribute(("priority", &*written_priority(priority, value)?));
        }
        xml.text(element, check_uri(uri, contact)?);
        Ok(())
    }
}

pub(super) fn with_id(element: &'static str, id: &str) -> BytesStart<'static> {
    let mut element = BytesStart::new(element);
    element.push_attribute(("id", id));
    element
}

pub(super) fn write_timestamp(
    xml: &mut Xml,
    element: &str,
    field: Field<'_>,
    timestamp: Option<&Timestamp>,
) -> Result<(), BodyError> {
    if let Some(timestamp) = timestamp {
        xml.text(BytesStart::new(element), &timestamp.written(field)?);
    }
    Ok(())
}

pub(super) fn check_uri<'a>(field: Field<'_>, uri: &'a str) -> Result<&'a str, BodyError> {
    if uri.is_empty() {
        return Err(BodyError::missing(field, "a URI"));
    }
    UriRef::parse(uri).map_err(|reason| BodyError::Uri { field: field.into(), reason })?;
    check_text(field, uri)?;
    Ok(uri)
}

/// Rounds instead of refusing more than three decimals: a computed share is no mistake.
pub(super) fn written_priority(field: Field<'_>, value: f64) -> Result<String, BodyError> {
    if !(0.0..=1.0).contains(&value) {
        return Err(BodyError::Priority { field: field.into(), value });
    }
    // Written as a whole number of thousandths, which also makes minus zero a zero.
    let thousandths = (value * 1000.0).round() as u32;
    Ok((f64::from(thousandths) / 1000.0).to_string())
}

/// Reads a priority; one that is wrong counts as the lowest (3863 §4.1.5).
fn read_priority(contact: Element<'_, '_>) -> Option<f64> {
    let text = contact.attribute("priority")?;
    let value = text.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value));
    Some(value.unwrap_or(0.0))
}

/// Reads the timestamp of a tuple, person or device, in whose namespace it is.
pub(super) fn read_timestamp(holder: Element<'_, '_>) -> Option<Timestamp> {
    holder.word_of("timestamp").map(Timestamp::Text)
}

const BASIC: [&str; 2] = ["open", "closed"];

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
pub(super) const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
pub(super) const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::xml::read_back, *};

    const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

    fn built(pidf: &Pidf) -> String {
        let body = pidf.build().unwrap();
        assert_eq!(&*body.content_type, "application/pidf+xml");
        read_back(&body.text);
        let text = String::from_utf8(body.text.to_vec()).unwrap();
        text.strip_prefix(DECLARATION).expect("a declaration in front").to_owned()
    }

    fn refused(pidf: &Pidf) -> String {
        pidf.build().unwrap_err().to_string()
    }

    fn alice() -> Pidf {
        Pidf { entity: "sip:a@example.com".into(), ..Pidf::default() }
    }

    fn tuple(id: &str, basic: &str) -> Tuple {
        Tuple { id: id.into(), basic: Some(basic.into()), ..Tuple::default() }
    }

    fn of_tuple(tuple: Tuple) -> Pidf {
        Pidf { tuples: vec![tuple], ..alice() }
    }

    #[test]
    fn pkg_08_the_smallest_document_is_its_root() {
        assert_eq!(
            &*alice().build().unwrap().text,
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
              <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@example.com\"/>"
        );
    }

    #[test]
    fn pkg_09_everything_comes_out_in_the_order_of_the_schema() {
        let person = Person { id: "p1".into(), mood: vec!["calm".into()], ..Person::default() };
        let device = Device { id: "d1".into(), device_id: "urn:x:1".into(), ..Device::default() };
        let service = Tuple {
            timestamp: Some(Timestamp::Text("2025-01-01T00:00:00Z".into())),
            note: Some("cpu 12%".into()),
            priority: Some(0.8),
            contact: Some("sip:a@192.0.2.1".into()),
            ..tuple("t1", "open")
        };
        let text = built(&Pidf {
            note: Some("all of it".into()),
            devices: vec![device],
            persons: vec![person],
            tuples: vec![service, tuple("t2", "closed")],
            ..alice()
        });
        let expected = [
            r#"<presence xmlns="urn:ietf:params:xml:ns:pidf""#,
            r#" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model""#,
            r#" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:a@example.com">"#,
            r#"<tuple id="t1"><status><basic>open</basic></status>"#,
            r#"<contact priority="0.8">sip:a@192.0.2.1</contact><note>cpu 12%</note>"#,
            r#"<timestamp>2025-01-01T00:00:00Z</timestamp></tuple>"#,
            r#"<tuple id="t2"><status><basic>closed</basic></status></tuple>"#,
            r#"<note>all of it</note>"#,
            r#"<dm:device id="d1"><dm:deviceID>urn:x:1</dm:deviceID></dm:device>"#,
            r#"<dm:person id="p1"><rpid:mood><rpid:calm/></rpid:mood></dm:person></presence>"#,
        ];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn pkg_09_an_id_is_used_once_in_the_whole_document() {
        let twice = Pidf { tuples: vec![tuple("a", "open"), tuple("a", "open")], ..alice() };
        assert_eq!(
            refused(&twice),
            "tuples[2].id: \"a\" is the value of tuples[1].id already; an id is used once in a document"
        );
        // Every id is of one XML type, so a person cannot share a tuple's.
        let persons = vec![Person { id: "a".into(), ..Person::default() }];
        let shared = Pidf { tuples: vec![tuple("a", "open")], persons, ..alice() };
        assert!(refused(&shared).starts_with("persons[1].id: \"a\" is the value of tuples[1].id"));
        assert!(refused(&of_tuple(tuple("", "open"))).starts_with("tuples[1].id: missing"));
    }

    #[test]
    fn pkg_09_basic_is_open_or_closed() {
        let mut pidf = of_tuple(tuple("a", "open"));
        pidf.tuples.push(tuple("b", "opne"));
        assert_eq!(
            refused(&pidf),
            r#"tuples[2].basic: "opne" is not "open" or "closed" (did you mean "open"?)"#
        );
        assert_eq!(
            refused(&of_tuple(tuple("a", "busy"))),
            r#"tuples[1].basic: "busy" is not "open" or "closed""#
        );
        assert_eq!(
            refused(&of_tuple(Tuple { id: "a".into(), ..Tuple::default() })),
            r#"tuples[1].basic: missing; give "open" or "closed""#
        );
    }

    #[test]
    fn pkg_16_rpid_stands_where_it_may_and_device_ids_behind_it() {
        let input = || Some(UserInput { state: "active".into(), ..UserInput::default() });
        let service = Tuple {
            class: Some("calls".into()),
            user_input: input(),
            device_id: Some("urn:x:1".into()),
            contact: Some("sip:a@192.0.2.1".into()),
            ..tuple("t1", "open")
        };
        let person = Person {
            id: "p1".into(),
            class: Some("me".into()),
            mood: vec!["calm".into()],
            ..Person::default()
        };
        let device = Device {
            id: "d1".into(),
            class: Some("desk".into()),
            user_input: input(),
            device_id: "urn:x:1".into(),
            ..Device::default()
        };
        let text =
            built(&Pidf { persons: vec![person], devices: vec![device], ..of_tuple(service) });
        let expected = [
            r#"<tuple id="t1"><status><basic>open</basic></status><rpid:class>calls</rpid:class>"#,
            r#"<rpid:user-input>active</rpid:user-input><dm:deviceID>urn:x:1</dm:deviceID>"#,
            r#"<contact>sip:a@192.0.2.1</contact></tuple>"#,
            r#"<dm:device id="d1"><rpid:class>desk</rpid:class>"#,
            r#"<rpid:user-input>active</rpid:user-input><dm:deviceID>urn:x:1</dm:deviceID>"#,
            r#"</dm:device><dm:person id="p1"><rpid:class>me</rpid:class>"#,
            r#"<rpid:mood><rpid:calm/></rpid:mood></dm:person></presence>"#,
        ];
        assert!(text.ends_with(&expected.concat()), "{text}");
    }

    #[test]
    fn pkg_17_user_input_is_active_or_idle_and_the_last_input_may_be_left_out() {
        let with =
            |user_input| of_tuple(Tuple { user_input: Some(user_input), ..tuple("a", "open") });
        let idle = UserInput {
            state: "idle".into(),
            idle_threshold: Some(600),
            last_input: Some(Timestamp::Unix(1_735_689_600.0)),
        };
        let text = built(&with(idle.clone()));
        assert!(
            text.contains(
                r#"<rpid:user-input idle-threshold="600" last-input="2025-01-01T00:00:00Z">idle</"#
            ),
            "{text}"
        );
        let text = built(&with(UserInput { last_input: None, ..idle.clone() }));
        assert!(text.contains(r#"<rpid:user-input idle-threshold="600">idle</"#), "{text}");
        assert_eq!(
            refused(&with(UserInput { state: "away".into(), ..idle.clone() })),
            r#"tuples[1].user_input.state: "away" is not "active" or "idle""#
        );
        let last_input = Some(Timestamp::Text("soon".into()));
        assert!(
            refused(&with(UserInput { last_input, ..idle }))
                .starts_with("tuples[1].user_input.last_input: \"soon\" is not a time")
        );
    }

    #[test]
    fn pkg_11_a_priority_is_0_to_1_with_three_decimals_at_the_most() {
        let with = |priority| {
            let contact = Some("sip:a@192.0.2.1".into());
            of_tuple(Tuple { contact, priority: Some(priority), ..tuple("a", "open") })
        };
        for (given, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (0.125, "0.125"),
            (1.0 / 3.0, "0.333"),
            (0.1 + 0.2, "0.3"),
            (0.999_9, "1"),
            (1e-9, "0"),
        ] {
            let text = built(&with(given));
            assert!(text.contains(&format!("<contact priority=\"{expected}\">")), "{text}");
        }
        assert_eq!(refused(&with(2.0)), "tuples[1].priority: 2 is not a priority (from 0 to 1)");
        for bad in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
            assert!(with(bad).build().is_err(), "{bad}");
        }
        let alone = of_tuple(Tuple { priority: Some(0.5), ..tuple("a", "open") });
        assert_eq!(
            refused(&alone),
            "tuples[1].priority: a priority belongs to a contact, and there is none"
        );
    }

    #[test]
    fn pub_24_tuple_ids_are_the_authors_and_a_tuple_left_out_is_gone() {
        let ids = |pidf: &Pidf| -> Vec<_> {
            read_back(&pidf.build().unwrap().text)
                .into_iter()
                .filter(|(path, _)| path == "presence/tuple@id")
                .map(|(_, id)| id)
                .collect()
        };
        let mut pidf = Pidf { tuples: vec![tuple("mem", "open"), tuple("cpu", "open")], ..alice() };
        assert_eq!(ids(&pidf), ["mem", "cpu"]);
        pidf.tuples[0].basic = Some("closed".into());
        assert_eq!(ids(&pidf), ["mem", "cpu"]);
        pidf.tuples.remove(0);
        assert_eq!(ids(&pidf), ["cpu"]);
    }

    #[test]
    fn markup_in_a_note_stays_text() {
        let note = "</note><tuple id=\"x\"/> & ]]> 'q' \"q\"\r\nsecond";
        let text = built(&of_tuple(Tuple { note: Some(note.into()), ..tuple("a", "open") }));
        assert!(
            text.contains(
                "<note>&lt;/note&gt;&lt;tuple id=&quot;x&quot;/&gt; &amp; ]]&gt; \
                 &apos;q&apos; &quot;q&quot;&#13;\nsecond</note>"
            ),
            "{text}"
        );
    }

    #[test]
    fn uris_are_checked_and_escaped() {
        let contact =
            |uri: &str| of_tuple(Tuple { contact: Some(uri.into()), ..tuple("a", "open") });
        let text = built(&contact("sip:a@example.com?Subject=x&Priority=urgent"));
        assert!(text.contains(">sip:a@example.com?Subject=x&amp;Priority=urgent<"), "{text}");
        let text = built(&Pidf { entity: "pres:a&b@example.com".into(), ..alice() });
        assert!(text.contains(r#"entity="pres:a&amp;b@example.com""#), "{text}");

        assert_eq!(refused(&Pidf::default()), "entity: missing; give a URI");
        assert_eq!(
            refused(&Pidf { entity: "alice".into(), ..alice() }),
            "entity: \"alice\" has no scheme; write sip:user@host"
        );
        assert!(refused(&contact("sip:a b@x")).starts_with("tuples[1].contact: "));
        assert!(refused(&contact("tel:1\u{ffff}")).starts_with("tuples[1].contact: XML cannot"));
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        let note = Some("bell \u{7}".to_owned());
        assert_eq!(
            refused(&Pidf { note: note.clone(), ..alice() }),
            "note: XML cannot hold the character U+0007 (after \"bell \")"
        );
        let noted = of_tuple(Tuple { note, ..tuple("a", "open") });
        assert!(refused(&noted).starts_with("tuples[1].note: XML cannot"));
        let timestamp = Some(Timestamp::Text("soon".into()));
        let dated = of_tuple(Tuple { timestamp, ..tuple("a", "open") });
        assert!(refused(&dated).starts_with("tuples[1].timestamp: \"soon\" is not a time"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was_or_is_refused(
            entity in "sip:a@x|(?s)pres:.{0,8}",
            id in "[a-z]{1,4}|(?s).{1,4}",
            note in "(?s)[<>&'\"\\]a\r\n\t ]{0,12}|(?s).{0,12}",
        ) {
            let pidf = Pidf {
                entity: entity.clone(),
                tuples: vec![Tuple { note: Some(note.clone()), ..tuple(&id, "open") }],
                note: Some(note.clone()),
                ..Pidf::default()
            };
            match pidf.build() {
                Ok(body) => {
                    let found = read_back(&body.text);
                    let expected = [
                        ("presence@xmlns", NAMESPACE),
                        ("presence@entity", &entity),
                        ("presence/tuple@id", &id),
                        ("presence/tuple/status/basic", "open"),
                        ("presence/tuple/note", &note),
                        ("presence/note", &note),
                    ];
                    let expected: Vec<_> = expected
                        .iter()
                        .filter(|(_, text)| !text.is_empty())
                        .map(|&(path, text)| (path.to_owned(), text.to_owned()))
                        .collect();
                    prop_assert_eq!(found, expected);
                }
                Err(BodyError::Character { character, .. }) => {
                    let allowed = (' '..'\u{fffe}').contains(&character);
                    prop_assert!(!allowed, "{:?}", character);
                }
                Err(BodyError::Id { .. }) => prop_assert!(!id.chars().all(|c| c.is_ascii_lowercase())),
                Err(BodyError::Uri { .. } | BodyError::Missing { .. }) => {
                    prop_assert!(entity != "sip:a@x");
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
