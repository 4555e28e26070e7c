//! Event packages as data: what the publisher must know of each.

use crate::command::RefreshWith;

/// What is known of one event package.
#[derive(Debug)]
pub(crate) struct Package {
    name: &'static str,
    /// What a refresh carries when the user does not say. Servers that keep one document per
    /// resource pass an empty refresh on to watchers, whose lamps then go dark.
    pub(crate) refresh: RefreshWith,
    /// Whether state may be all in headers, without a body.
    pub(crate) empty_body: bool,
    /// The base type of its documents.
    document: &'static str,
}

/// Returns what is known of a package; unknown ones behave like presence.
pub(crate) fn package(name: &str) -> &'static Package {
    known(name).unwrap_or(&PACKAGES[0])
}

/// Every package has a template that tells of its watchers, and that one too (3857 §4.1).
fn known(name: &str) -> Option<&'static Package> {
    let name = if name.ends_with(".winfo") { "presence.winfo" } else { name };
    PACKAGES.iter().find(|package| package.name == name)
}

/// Returns the base type of a package's documents, where there is one.
pub fn document_type(name: &str) -> Option<&'static str> {
    Some(known(name)?.document).filter(|document| !document.is_empty())
}

/// The document types whose meaning puad knows, as Accept lists them. Short: every byte of an answer
/// to a stranger is a byte that an attacker may multiply.
pub(crate) const ACCEPTED_TYPES: &str = "application/pidf+xml, application/simple-message-summary";

const PACKAGES: &[Package] = &[
    Package {
        name: "presence",
        refresh: RefreshWith::Empty,
        empty_body: false,
        document: "application/pidf+xml",
    },
    Package {
        name: "message-summary",
        refresh: RefreshWith::Body,
        empty_body: false,
        document: "application/simple-message-summary",
    },
    Package {
        name: "as-feature-event",
        refresh: RefreshWith::Body,
        empty_body: false,
        document: "application/x-as-feature-event+xml",
    },
    Package {
        name: "dialog",
        refresh: RefreshWith::Empty,
        empty_body: false,
        document: "application/dialog-info+xml",
    },
    Package {
        name: "reg",
        refresh: RefreshWith::Empty,
        empty_body: false,
        document: "application/reginfo+xml",
    },
    Package {
        name: "conference",
        refresh: RefreshWith::Empty,
        empty_body: false,
        document: "application/conference-info+xml",
    },
    Package {
        name: "presence.winfo",
        refresh: RefreshWith::Empty,
        empty_body: false,
        document: "application/watcherinfo+xml",
    },
    Package { name: "call-info", refresh: RefreshWith::Empty, empty_body: true, document: "" },
];

#[cfg(test)]
mod tests {
    use super::document_type;

    #[test]
    fn pkg_31_every_template_of_watchers_has_their_document() {
        for name in ["presence.winfo", "presence.winfo.winfo", "dialog.winfo", "x-mine.winfo"] {
            assert_eq!(document_type(name), Some("application/watcherinfo+xml"), "{name}");
        }
        for name in ["winfo", "presencewinfo", "winfo.presence"] {
            assert_eq!(document_type(name), None, "{name}");
        }
    }
}
