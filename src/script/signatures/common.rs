//! Types and functions that belong to no library.

use super::{
    Alias, Field, Function, Record, field, function, given, maybe, record_of, test::TEST_FIGURE,
};

/// Other names for types.
pub const ALIASES: &[Alias] = &[DURATION, TEST_FIGURE];

const DURATION: Alias = Alias {
    name: "Duration",
    r#type: "number | string",
    doc: "Seconds, or a text such as \"500ms\", \"30s\", \"5m\", \"1h30m\", \"1d\".",
};

/// Functions that are globals.
pub const GLOBALS: &[Function] = &[function(
    "sleep",
    "Waits. Other coroutines, handlers and timers of the script go on meanwhile.",
)
.takes(&[given("duration", "Duration")])
.waits()];

/// What the second result of a call that failed is.
pub const ERROR: Record =
    record_of("Error", "A failure of the world. `tostring(err)` is one line.", ERROR_FIELDS);

const ERROR_FIELDS: &[Field] = &[
    field(
        "code",
        "\"sip\" | \"timeout\" | \"dns\" | \"refused\" | \"tls\" | \"io\" | \"not_found\" | \"permission\" | \"limit\" | \"conflict\" | \"parse\" | \"http\" | \"cancelled\" | \"closed\"",
        "What kind of failure it is, to branch on.",
    ),
    field("message", "string", "What happened, for people."),
    maybe("op", "string", "The call that failed."),
    maybe("status", "number", "Set by a SIP answer that was received, and by nothing else."),
    maybe("reason", "string", "The reason phrase of that answer."),
    maybe("retry_after", "number", "Seconds until the next attempt at the earliest."),
    maybe("retrying", "boolean", "Whether puad goes on by itself."),
    maybe(
        "cause",
        "\"waiting\" | \"lane\" | \"timer_f\"",
        "What a call that timed out was waiting for: a later attempt, its turn, or an answer.",
    ),
    maybe("line", "number", "Where a text could not be read (code \"parse\"), from 1."),
    maybe("column", "number", "The column there, from 1."),
];

/// The codes of an error, and what they mean.
pub(super) const CODES: &[(&str, &str)] = &[
    ("sip", "a final SIP answer refused it; `status` and `reason` say which"),
    ("timeout", "no answer came in time"),
    ("dns", "no usable record"),
    ("refused", "the connection was refused"),
    ("tls", "the TLS handshake failed"),
    ("io", "reading, writing or sending failed"),
    ("not_found", "there is no such file, key or process"),
    (
        "permission",
        "not allowed; the message names the key of the configuration that would allow it",
    ),
    ("limit", "a limit was reached; the message names it"),
    ("conflict", "something else stands in the way"),
    ("parse", "a text could not be read; `line` and `column` say where"),
    ("http", "what answers does not speak HTTP"),
    ("cancelled", "this version of the script ends, or scripts are only being checked"),
    ("closed", "puad is stopping"),
];
