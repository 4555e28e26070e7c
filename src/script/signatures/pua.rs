//! `pua`: publishing.

use super::{
    Field, Handle, Library, Manner, Parameter, REQUIRED, Record, field, function, given, library,
    maybe, option, options, perhaps, record_of,
};

/// The library.
pub(super) const PUA: Library = Library {
    introduction: "A call changes what is wanted; puad drives the server there and keeps it there: \
        it refreshes in time, answers digest challenges, starts over after a 412, waits when the \
        server asks it to, and heals by itself when the network or the server comes back. A \
        publication is known by its presentity, event and id: the first call creates it, later \
        ones change it.\n\n\
        A failed call says whether puad goes on by itself: `err.retrying` is true after a \
        time-out, 503 or DNS failure, and false after 403, 404, 489 or 6xx, when attempts stop \
        until the next call.",
    example: r#"
local pub, err = pua.publish {
  presentity_uri = "sip:door@example.com", event = "presence", expires = "10m",
  body = body.pidf { entity = "sip:door@example.com", tuples = { { id = "door", basic = "open" } } },
  on_state = function(s) log.info("the door's state is " .. s.state) end,
}
if not pub then
  log.warn("not published", { code = err.code, retrying = err.retrying })
end
"#,
    functions: &[
        function(
            "publish",
            "Sets the wanted state of one publication and waits for the server's word on it. \
             Kamailio's order of arguments works too, with \".\" for none: there `lifetime` is \
             `expires`, and a negative one means for ever.",
        )
        .takes(&[given("options", "PublishOptions")])
        .or_takes(PUBLISH_POSITIONS)
        .may_fail("Publication", CODES)
        .waits(),
        function(
            "send_publish",
            "The same without waiting; how it ends is logged and told to `on_state`.",
        )
        .takes(&[given("options", "PublishOptions")])
        .or_takes(PUBLISH_POSITIONS)
        .may_fail("Publication", &["limit", "closed"]),
        function("publications", "Lists this script's own publications.")
            .gives("{ PublicationInfo }")
            .waits(),
    ],
    records: &[PUBLISH_OPTIONS, UPDATE_OPTIONS, PUBLICATION_STATE, PUBLICATION_INFO],
    handles: &[PUBLICATION],
    ..library("pua", "Publishing event state.")
};

/// Codes of a call that waits for a server.
const CODES: &[&str] =
    &["sip", "timeout", "dns", "refused", "tls", "io", "conflict", "limit", "cancelled", "closed"];

/// Options of `pua.publish`.
pub const PUBLISH_OPTIONS: Record =
    options("PublishOptions", "What `pua.publish` is told.", PUBLISH_FIELDS);

/// Options of `:update`: the publication itself is fixed.
pub const UPDATE_OPTIONS: Record = options(
    "UpdateOptions",
    "What `:update` is told; what is left out stays as it was.",
    PUBLISH_FIELDS.split_at(NAMING).1,
);

/// The first fields name the publication.
const NAMING: usize = 4;

const PUBLISH_FIELDS: &[Field] = &[
    field("presentity_uri", "string", "Whose state: Request-URI, To and From."),
    option(
        "event",
        "string",
        REQUIRED,
        "The event package, such as \"presence\", \"message-summary\" or \"dialog;sla\".",
    ),
    maybe("event_package", "string", "Another name of `event`."),
    option("id", "string", "\"default\"", "Tells publications of one resource and package apart."),
    maybe(
        "body",
        "string | Body",
        "A text, or what `body.*` made; without one the document is kept and refreshed.",
    ),
    option("content_type", "string", "by package", "The type of the document."),
    option("expires", "Duration", "3600", "What each PUBLISH asks for; 0 removes the publication."),
    option(
        "lifetime",
        "Duration | \"forever\"",
        "\"forever\"",
        "How long puad keeps the state up after this call.",
    ),
    maybe("etag", "string", "Starts from this entity-tag, while puad holds none itself."),
    option(
        "outbound_proxy",
        "string | { string }",
        "by account",
        "A SIP URI or a list; with `;lr` it is sent as a Route too.",
    ),
    maybe(
        "extra_headers",
        "string | { [string]: string | number | { string | number } }",
        "Names and values (or lists of values), or lines of text; replaces the previous set.",
    ),
    option("account", "string", "by domain", "Picks credentials by name."),
    option(
        "refresh",
        "\"empty\" | \"body\"",
        "by package",
        "What a refresh carries; \"body\" for servers that forget or misread empty refreshes.",
    ),
    option(
        "skip_unchanged",
        "boolean",
        "false",
        "Sends nothing when document and headers are those published.",
    ),
    option(
        "min_interval",
        "Duration",
        "0",
        "At most one PUBLISH per interval; the latest state wins.",
    ),
    option(
        "on_stop",
        "\"keep\" | \"remove\"",
        "\"remove\"",
        "What an orderly stop of puad does with it.",
    ),
    option(
        "on_orphan",
        "\"remove\" | \"keep\"",
        "\"remove\"",
        "What becomes of it when the script does not declare it any more, or goes away.",
    ),
    option("timeout", "Duration", "64 * T1 + 3 s", "How long the call waits; the request goes on."),
    maybe("on_state", "(state: PublicationState) -> ()", "Is told of every change."),
];

/// Kamailio's order of arguments.
pub const PUBLISH_POSITIONS: &[Parameter] = &[
    given("presentity_uri", "string"),
    given("expires", "Duration"),
    given("event", "string"),
    perhaps("content_type", "string"),
    perhaps("id", "string"),
    perhaps("etag", "string"),
    perhaps("outbound_proxy", "string"),
    perhaps("extra_headers", "string"),
    perhaps("body", "string | Body"),
];

const PUBLICATION_STATE: Record = record_of(
    "PublicationState",
    "What `on_state` is told.",
    &[
        field(
            "state",
            "\"published\" | \"refreshed\" | \"recovered\" | \"retrying\" | \"failed\" | \"removed\"",
            "What has happened.",
        ),
        maybe("status", "number", "The answer behind it, if one was received."),
        maybe("reason", "string", "Its reason phrase."),
        maybe("etag", "string", "The entity-tag now held."),
        maybe("expires", "number", "Seconds that the server has granted."),
        maybe("error", "Error", "Why it failed."),
    ],
);

const PUBLICATION_INFO: Record = record_of(
    "PublicationInfo",
    "What is known of a publication. Times are UNIX seconds. One that has ended has a key and a \
     state only.",
    &[
        field("key", "string", "What `puad show` takes."),
        field(
            "state",
            "\"pending\" | \"published\" | \"retrying\" | \"failed\" | \"removed\"",
            "How it is.",
        ),
        maybe("presentity_uri", "string", "Whose state it is."),
        maybe("event", "string", "The event package."),
        maybe("id", "string", "Its id."),
        maybe("owner", "string", "Who declared it."),
        maybe("etag", "string", "The entity-tag now held."),
        maybe("expires_at", "number", "When the server would forget it."),
        maybe("next_refresh", "number", "When the next PUBLISH is due."),
        maybe("status", "number", "The latest answer."),
        maybe("reason", "string", "Its reason phrase."),
        maybe("requests", "number", "PUBLISH requests sent so far."),
        maybe("failures", "number", "How many of them failed."),
        maybe("last_error", "string", "Why the latest of those did."),
    ],
);

/// What a script holds of a publication.
pub const PUBLICATION: Handle = Handle {
    name: "Publication",
    called: "publication",
    doc: "A publication lives in puad: dropping the variable does not end it. The fields are the \
          latest word of the server.",
    fields: &[
        field("key", "string", "What `puad show` takes."),
        field("sent", "boolean", "Whether a PUBLISH went out for the latest call."),
        maybe("status", "number", "The latest answer."),
        maybe("reason", "string", "Its reason phrase."),
        maybe("etag", "string", "The entity-tag now held."),
        maybe("expires", "number", "Seconds that the server has granted."),
    ],
    methods: &[
        function("update", "Publishes again; what is left out stays as it was.")
            .takes(&[perhaps("options", "UpdateOptions")])
            .may_fail("Publication", CODES)
            .waits(),
        function("refresh", "Refreshes now.").may_fail("Publication", REFRESH_CODES).waits(),
        function("remove", "Takes the state down.").may_fail("Publication", REFRESH_CODES).waits(),
        function("info", "Returns what is known of it.").gives("PublicationInfo").waits(),
    ],
    manner: Manner::Class,
};

const REFRESH_CODES: &[&str] = &[
    "sip",
    "timeout",
    "dns",
    "refused",
    "tls",
    "io",
    "not_found",
    "conflict",
    "limit",
    "cancelled",
    "closed",
];
