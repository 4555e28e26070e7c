//! What RPID adds to presence (RFC 4480): what persons do and how they feel, and when they last
//! touched something.
//!
//! The lists are those of the schemas in §5, which servers validate against. Activities outside
//! them, `lunch` among them, would need a namespace of their own.

use serde::Serialize;

use super::{
    BodyError, Field, Timestamp,
    error::{choose, closest, shown},
    pidf::{NAMESPACE, RPID},
    read::Element,
    xml::{Tag, Xml},
};

/// Whether a person, service or device has been used lately (4480 §3.14).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UserInput {
    /// `active` or `idle`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// After how many seconds without input it counts as idle.
    pub idle_threshold: Option<u64>,
    /// When the last input came. It tells much of a person's habits, and may be left out.
    pub last_input: Option<Timestamp>,
}

impl UserInput {
    pub(super) fn read(holder: Element<'_, '_>) -> Option<Self> {
        let input = holder.within(RPID).child("user-input")?;
        Some(Self {
            state: input.word()?,
            idle_threshold: input.attribute_value("idle-threshold"),
            last_input: input.attribute_word("last-input").map(Timestamp::Text),
        })
    }

    pub(super) fn write(
        input: Option<&Self>,
        xml: &mut Xml,
        at: Field<'_>,
    ) -> Result<(), BodyError> {
        let Some(Self { state, idle_threshold, last_input }) = input else { return Ok(()) };
        let field = |name| Field::top(name).within(&at);
        let mut tag = Tag::new("rpid:user-input").number("idle-threshold", *idle_threshold);
        if let Some(last_input) = last_input {
            tag = tag.plain("last-input", &last_input.written(field("last_input"))?);
        }
        xml.text(tag, choose(field("state"), state, &["active", "idle"])?);
        Ok(())
    }
}

/// Words of one kind, each of them the name of an element.
pub(super) struct Words {
    /// The element that holds them, and the field an author puts them in.
    pub(super) name: &'static str,
    one: &'static str,
    known: &'static [&'static str],
}

impl Words {
    /// Reads the words of a person, whatever they are.
    pub(super) fn read(&self, person: Element<'_, '_>) -> Vec<String> {
        person
            .children(self.name)
            .filter(|holder| {
                !holder.is_beyond(NAMESPACE, &[(RPID, self.known), (RPID, &[UNKNOWN, "note"])])
            })
            .flat_map(Element::all)
            .map(|(name, _)| name.to_owned())
            // A remark on the words is none of them.
            .filter(|name| name != "note")
            .collect()
    }

    /// Checks the words an author gives.
    ///
    /// # Errors
    /// When one is not known, or `unknown` stands beside others.
    pub(super) fn check(&self, index: usize, given: &[String]) -> Result<(), BodyError> {
        let field = Field::nth("persons", index, self.name);
        for word in given {
            if word == UNKNOWN {
                if given.len() > 1 {
                    return Err(BodyError::NotAlone { field: field.into(), word: UNKNOWN });
                }
            } else if !self.known.contains(&&**word) {
                return Err(BodyError::Word {
                    field: field.into(),
                    value: shown(word),
                    one: self.one,
                    suggestion: closest(word, self.known),
                    known: self.known,
                });
            }
        }
        Ok(())
    }
}

/// Says that somebody looked and could not tell, so nothing can stand beside it.
const UNKNOWN: &str = "unknown";

pub(super) const ACTIVITIES: Words = Words {
    name: "activities",
    one: "an activity",
    known: &[
        "appointment",
        "away",
        "breakfast",
        "busy",
        "dinner",
        "holiday",
        "in-transit",
        "looking-for-work",
        "meal",
        "meeting",
        "on-the-phone",
        "other",
        "performance",
        "permanent-absence",
        "playing",
        "presentation",
        "shopping",
        "sleeping",
        "spectator",
        "steering",
        "travel",
        "tv",
        "vacation",
        "working",
        "worship",
    ],
};

pub(super) const MOOD: Words = Words {
    name: "mood",
    one: "a mood",
    known: &[
        "afraid",
        "amazed",
        "angry",
        "annoyed",
        "anxious",
        "ashamed",
        "bored",
        "brave",
        "calm",
        "cold",
        "confused",
        "contented",
        "cranky",
        "curious",
        "depressed",
        "disappointed",
        "disgusted",
        "distracted",
        "embarrassed",
        "excited",
        "flirtatious",
        "frustrated",
        "grumpy",
        "guilty",
        "happy",
        "hot",
        "humbled",
        "humiliated",
        "hungry",
        "hurt",
        "impressed",
        "in_awe",
        "in_love",
        "indignant",
        "interested",
        "invincible",
        "jealous",
        "lonely",
        "mean",
        "moody",
        "nervous",
        "neutral",
        "offended",
        "other",
        "playful",
        "proud",
        "relieved",
        "remorseful",
        "restless",
        "sad",
        "sarcastic",
        "serious",
        "shocked",
        "shy",
        "sick",
        "sleepy",
        "stressed",
        "surprised",
        "thirsty",
        "worried",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &Words, given: &[&str]) -> String {
        let given: Vec<_> = given.iter().map(|&word| word.to_owned()).collect();
        words.check(0, &given).unwrap_err().to_string()
    }

    #[test]
    fn a_word_that_is_not_known_gets_the_nearest_and_the_list() {
        let error = refused(&ACTIVITIES, &["busy", "on_the_fone"]);
        let start = "persons[1].activities: \"on_the_fone\" is not an activity \
                     (did you mean \"on-the-phone\"?); known are appointment, away, ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.ends_with(", working, worship, unknown"), "{error}");
        let error = refused(&MOOD, &["In-Love"]);
        let start = "persons[1].mood: \"In-Love\" is not a mood (did you mean \"in_love\"?); known";
        assert!(error.starts_with(start), "{error}");
        let error = refused(&ACTIVITIES, &["lunch"]);
        assert!(error.starts_with("persons[1].activities: \"lunch\" is not an activity; known "));
    }

    #[test]
    fn unknown_stands_alone() {
        assert_eq!(MOOD.check(0, &["unknown".to_owned()]), Ok(()));
        assert_eq!(ACTIVITIES.check(0, &["unknown".to_owned()]), Ok(()));
        assert_eq!(
            refused(&ACTIVITIES, &["busy", "unknown"]),
            "persons[1].activities: \"unknown\" cannot stand beside other words"
        );
    }
}
