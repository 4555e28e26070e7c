//! Persons and devices of a presence document (RFC 4479), and what RPID says of persons.
//!
//! A tuple is a service; who uses it and on which machine stands beside it, in a namespace of
//! its own. The words for activities and moods are in [`rpid`](super::rpid).

use quick_xml::events::BytesStart;
use serde::Serialize;

use super::{
    BodyError, Field, Timestamp, UserInput,
    pidf::{DATA_MODEL, NAMESPACE, RPID, check_uri, read_timestamp, with_id, write_timestamp},
    read::Element,
    rpid::{ACTIVITIES, MOOD, Words},
    xml::{Ids, Xml},
};

/// One human.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Person {
    /// Names the person in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What the author calls this kind of person; nobody else sees meaning in it (RFC 4480 §3.3).
    pub class: Option<String>,
    /// What the person does, in RPID's words.
    pub activities: Vec<String>,
    /// How the person feels, in RPID's words.
    pub mood: Vec<String>,
    /// Whether the person has used a device lately.
    pub user_input: Option<UserInput>,
    /// A remark for humans.
    pub note: Option<String>,
    /// When this became so.
    pub timestamp: Option<Timestamp>,
}

/// One machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Device {
    /// Names the device in this and in every later document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What the author calls this kind of device; nobody else sees meaning in it (RFC 4480 §3.3).
    pub class: Option<String>,
    /// Whether the device has been used lately.
    pub user_input: Option<UserInput>,
    /// What the device is called everywhere, in all presentities' documents: a URN (4479 §3.5).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    /// A remark for humans.
    pub note: Option<String>,
    /// When this became so.
    pub timestamp: Option<Timestamp>,
}

impl Person {
    pub(super) fn uses_rpid(&self) -> bool {
        !self.activities.is_empty()
            || !self.mood.is_empty()
            || self.class.is_some()
            || self.user_input.is_some()
    }

    /// Reads a person; `None` for one that only those understand who know more than puad.
    pub(super) fn read(person: Element<'_, '_>) -> Option<Self> {
        let known = [
            (DATA_MODEL, &["note", "timestamp"][..]),
            (RPID, &["activities", "class", "mood", "user-input"]),
        ];
        if person.is_beyond(NAMESPACE, &known) {
            return None;
        }
        let rpid = person.within(RPID);
        Some(Self {
            id: person.attribute("id").unwrap_or_default(),
            class: rpid.text_of("class"),
            activities: ACTIVITIES.read(rpid),
            mood: MOOD.read(rpid),
            user_input: UserInput::read(person),
            note: person.text_of("note"),
            timestamp: read_timestamp(person),
        })
    }

    pub(super) fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        index: usize,
    ) -> Result<(), BodyError> {
        let field = |name| Field::nth("persons", index, name);
        xml.open(with_id("dm:person", ids.take(field("id"), &self.id)?));
        xml.leaf("rpid:class", field("class"), self.class.as_deref())?;
        write_words(xml, &ACTIVITIES, index, &self.activities)?;
        write_words(xml, &MOOD, index, &self.mood)?;
        UserInput::write(self.user_input.as_ref(), xml, field("user_input"))?;
        xml.leaf("dm:note", field("note"), self.note.as_deref())?;
        write_timestamp(xml, "dm:timestamp", field("timestamp"), self.timestamp.as_ref())?;
        xml.close("dm:person");
        Ok(())
    }
}

impl Device {
    pub(super) fn uses_rpid(&self) -> bool {
        self.class.is_some() || self.user_input.is_some()
    }

    /// Reads a device; `None` for one that only those understand who know more than puad.
    pub(super) fn read(device: Element<'_, '_>) -> Option<Self> {
        let known = [
            (DATA_MODEL, &["deviceID", "note", "timestamp"][..]),
            (RPID, &["class", "user-input"]),
        ];
        (!device.is_beyond(NAMESPACE, &known)).then(|| Self {
            id: device.attribute("id").unwrap_or_default(),
            class: device.within(RPID).text_of("class"),
            user_input: UserInput::read(device),
            device_id: device.word_of("deviceID").unwrap_or_default(),
            note: device.text_of("note"),
            timestamp: read_timestamp(device),
        })
    }

    pub(super) fn write<'a>(
        &'a self,
        xml: &mut Xml,
        ids: &mut Ids<'a>,
        index: usize,
    ) -> Result<(), BodyError> {
        let field = |name| Field::nth("devices", index, name);
        xml.open(with_id("dm:device", ids.take(field("id"), &self.id)?));
        xml.leaf("rpid:class", field("class"), self.class.as_deref())?;
        UserInput::write(self.user_input.as_ref(), xml, field("user_input"))?;
        xml.text(BytesStart::new("dm:deviceID"), check_uri(field("device_id"), &self.device_id)?);
        xml.leaf("dm:note", field("note"), self.note.as_deref())?;
        write_timestamp(xml, "dm:timestamp", field("timestamp"), self.timestamp.as_ref())?;
        xml.close("dm:device");
        Ok(())
    }
}

fn write_words(
    xml: &mut Xml,
    words: &Words,
    index: usize,
    given: &[String],
) -> Result<(), BodyError> {
    words.check(index, given)?;
    if given.is_empty() {
        return Ok(());
    }
    let holder = format!("rpid:{}", words.name);
    xml.open(BytesStart::new(&*holder));
    for word in given {
        xml.empty(BytesStart::new(format!("rpid:{word}")));
    }
    xml.close(&holder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Pidf, xml::read_back},
        *,
    };

    fn pidf(persons: Vec<Person>, devices: Vec<Device>) -> Pidf {
        Pidf { entity: "sip:a@example.com".into(), persons, devices, ..Pidf::default() }
    }

    fn person(id: &str) -> Person {
        Person { id: id.into(), ..Person::default() }
    }

    fn device(id: &str) -> Device {
        Device { id: id.into(), device_id: format!("urn:x:{id}"), ..Device::default() }
    }

    fn built(pidf: &Pidf) -> String {
        let body = pidf.build().unwrap();
        read_back(&body.text);
        let text = String::from_utf8(body.text.to_vec()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    }

    fn refused(pidf: &Pidf) -> String {
        pidf.build().unwrap_err().to_string()
    }

    #[test]
    fn pkg_14_persons_and_devices_stand_under_the_root_and_may_be_many() {
        let text = built(&pidf(vec![person("p1"), person("p2")], vec![device("d1"), device("d2")]));
        // Nothing of RPID is in it, so its namespace is not declared.
        let expected = [
            r#"<presence xmlns="urn:ietf:params:xml:ns:pidf""#,
            r#" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" entity="sip:a@example.com">"#,
            r#"<dm:device id="d1"><dm:deviceID>urn:x:d1</dm:deviceID></dm:device>"#,
            r#"<dm:device id="d2"><dm:deviceID>urn:x:d2</dm:deviceID></dm:device>"#,
            r#"<dm:person id="p1"></dm:person><dm:person id="p2"></dm:person></presence>"#,
        ];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn pkg_14_note_and_timestamp_come_last() {
        let timestamp = Some(Timestamp::Unix(1_735_689_600.0));
        let note = Some("<back> at two".to_owned());
        let text = built(&pidf(
            vec![Person {
                timestamp: timestamp.clone(),
                note: note.clone(),
                mood: vec!["in_love".into(), "other".into()],
                activities: vec!["on-the-phone".into()],
                ..person("p1")
            }],
            vec![Device { timestamp, note, ..device("d1") }],
        ));
        let expected = [
            r#"<presence xmlns="urn:ietf:params:xml:ns:pidf""#,
            r#" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model""#,
            r#" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:a@example.com">"#,
            r#"<dm:device id="d1"><dm:deviceID>urn:x:d1</dm:deviceID>"#,
            r#"<dm:note>&lt;back&gt; at two</dm:note>"#,
            r#"<dm:timestamp>2025-01-01T00:00:00Z</dm:timestamp></dm:device>"#,
            r#"<dm:person id="p1"><rpid:activities><rpid:on-the-phone/></rpid:activities>"#,
            r#"<rpid:mood><rpid:in_love/><rpid:other/></rpid:mood>"#,
            r#"<dm:note>&lt;back&gt; at two</dm:note>"#,
            r#"<dm:timestamp>2025-01-01T00:00:00Z</dm:timestamp></dm:person></presence>"#,
        ];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn pkg_14_each_has_an_id_and_a_device_has_its_urn_too() {
        let missing = "missing; give an id that stays the same";
        assert_eq!(refused(&pidf(vec![person("")], vec![])), format!("persons[1].id: {missing}"));
        assert_eq!(refused(&pidf(vec![], vec![device("")])), format!("devices[1].id: {missing}"));
        let nameless = Device { device_id: String::new(), ..device("d1") };
        assert_eq!(
            refused(&pidf(vec![], vec![nameless])),
            "devices[1].device_id: missing; give a URI"
        );
        let same = pidf(vec![person("x")], vec![device("x")]);
        assert!(refused(&same).starts_with("persons[1].id: \"x\" is the value of devices[1].id"));
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        let note = Some("bell \u{7}".to_owned());
        let person_with = |change: fn(&mut Person)| {
            let mut changed = person("p2");
            change(&mut changed);
            refused(&pidf(vec![person("p1"), changed], vec![]))
        };
        assert!(person_with(|p| p.activities = vec!["away".into(), "bussy".into()]).starts_with(
            "persons[2].activities: \"bussy\" is not an activity (did you mean \"busy\"?)"
        ));
        assert!(person_with(|p| p.mood = vec!["hppy".into()]).starts_with("persons[2].mood: "));
        assert!(person_with(|p| p.note = Some("\0".into())).starts_with("persons[2].note: "));
        assert!(
            person_with(|p| p.timestamp = Some(Timestamp::Text("soon".into())))
                .starts_with("persons[2].timestamp: \"soon\" is not a time")
        );
        let noted = Device { note, ..device("d1") };
        assert!(refused(&pidf(vec![], vec![noted])).starts_with("devices[1].note: XML cannot"));
    }
}
