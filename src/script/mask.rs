//! Secrets that a script was given, kept out of what is said about it.

use std::cell::RefCell;

/// The secrets of one script.
#[derive(Default)]
pub(super) struct Mask(RefCell<Vec<String>>);

impl Mask {
    /// Keeps a text out of the log from now on. Very short ones would hide half of every line, and
    /// are no secrets.
    pub(super) fn hide(&self, secret: &str) {
        if secret.chars().count() < SHORTEST {
            return;
        }
        // Values of fields are quoted, where some characters are written in another way, and a
        // table that is the value of a field is quoted once more.
        let mut hidden = self.0.borrow_mut();
        let mut form = secret.to_owned();
        for _ in 0..=QUOTED {
            let quoted = format!("{form:?}");
            if !hidden.contains(&form) {
                hidden.push(form);
            }
            form = quoted[1..quoted.len() - 1].to_owned();
        }
        // One secret may be part of another.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Returns a text as it may be shown.
    pub(super) fn apply(&self, text: String) -> String {
        self.0.borrow().iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), "***") } else { text }
        })
    }
}

/// How often a text is quoted in a line at the most.
const QUOTED: usize = 3;
/// Characters.
const SHORTEST: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_however_often_it_is_quoted() {
        let mask = Mask::default();
        mask.hide("a \"b\\ secret");
        let mut line = "a \"b\\ secret".to_owned();
        for quotes in 0..=QUOTED {
            let shown = mask.apply(line.clone());
            assert!(shown.contains("***") && !shown.contains("secret"), "{quotes}: {shown}");
            line = format!("{:?}", format!("pw = {line}"));
        }
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand_in_either_spelling() {
        let mask = Mask::default();
        for secret in ["hunter22", "hunter22-and-more", "with \"quotes\"", "short", "hunter22"] {
            mask.hide(secret);
        }
        for (text, shown) in [
            ("nothing", "nothing"),
            ("a hunter22, b=hunter22", "a ***, b=***"),
            ("hunter22-and-more", "***"),
            ("x=\"with \\\"quotes\\\"\" with \"quotes\"", "x=\"***\" ***"),
            ("short", "short"),
        ] {
            assert_eq!(mask.apply(text.into()), shown);
        }
    }
}
