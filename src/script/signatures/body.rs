//! `body`: documents.

use super::{
    Field, Handle, Library, Manner, Record, field, function, given, library, maybe, record_of,
};

/// The library.
pub(super) const LIBRARY: Library = Library {
    introduction: "Documents are escaped and checked when they are built. One with a version is \
        counted: each PUBLISH carries the next number, unless the author gives one. Times are RFC \
        3339 text or seconds since 1970; what was read has text. The names of fields are the same \
        in what is built and in what `body.parse` gives.",
    example: r#"
local lamp = body.mwi { account = "sip:box@example.com", voice = { new = 2, old = 5 } }
log.info(lamp.content_type)

local doc, err = body.parse("application/simple-message-summary", lamp.text)
if doc then log.info("new: " .. doc.voice.new) else log.warn(tostring(err)) end
"#,
    functions: &[
        function("pidf", "Presence (RFC 3863, 4479, 4480).")
            .takes(&[given("document", "Pidf")])
            .gives("Body"),
        function("mwi", "Message waiting (RFC 3842).")
            .takes(&[given("document", "Mwi")])
            .gives("Body"),
        function("dialog_info", "Dialogs, for busy lamps (RFC 4235).")
            .takes(&[given("document", "DialogInfo")])
            .gives("Body"),
        function("reginfo", "Registrations (RFC 3680).")
            .takes(&[given("document", "Reginfo")])
            .gives("Body"),
        function("conference", "A conference (RFC 4575).")
            .takes(&[given("document", "Conference")])
            .gives("Body"),
        function("watcherinfo", "Watchers (RFC 3858).")
            .takes(&[given("document", "Watcherinfo")])
            .gives("Body"),
        function("raw", "Any other document, as it is.")
            .takes(&[given("content_type", "string"), given("bytes", "string")])
            .gives("Body"),
        function(
            "parse",
            "Reads a document of one of these kinds: the table that would build it. What breaks \
             the rules of its kind is read as far as it goes.",
        )
        .takes(&[given("content_type", "string"), given("text", "string")])
        .may_fail("any", &["parse"]),
    ],
    records: &[
        PIDF,
        TUPLE,
        PERSON,
        DEVICE,
        USER_INPUT,
        MWI,
        COUNT,
        DIALOG_INFO,
        DIALOG,
        PARTICIPANT,
        SESSION_DESCRIPTION,
        REPLACES,
        REFERRED_BY,
        REGINFO,
        REGISTRATION,
        CONTACT,
        TEMPORARY_GRUU,
        CONFERENCE,
        DESCRIPTION,
        AVAILABLE_MEDIA,
        CONFERENCE_HOST,
        CONFERENCE_STATE,
        CONFERENCE_USER,
        ENDPOINT,
        CONFERENCE_MEDIA,
        CALL_INFO,
        STEP,
        LINK,
        WATCHERINFO,
        WATCHER_LIST,
        WATCHER,
    ],
    handles: &[BODY],
    ..library("body", "Documents to publish, and those that came in.")
};

/// What the builders give.
pub const BODY: Handle = Handle {
    name: "Body",
    called: "body",
    doc: "A document with its type.",
    fields: &[
        field("content_type", "string", "Its media type."),
        field("text", "string", "The document; one that is counted shows version 0."),
    ],
    methods: &[],
    manner: Manner::Class,
};

const TIME: &str = "string | number";
const USED: &str = "\"active\" | \"idle\" | UserInput";
const PART: &str = "\"full\" | \"partial\" | \"deleted\"";
const STATE: Field = maybe(
    "state",
    "\"full\" | \"partial\"",
    "Whether it tells of everything (\"full\") or of changes.",
);
const VERSION: Field = maybe("version", "number", "Counted when left out.");
const NOTE: Field = maybe("note", "string", "A remark for people.");
const TIMESTAMP: Field = maybe("timestamp", TIME, "When it became so.");
const CLASS: Field = maybe("class", "string", "A group of the author's own (RFC 4480).");
const USER_INPUT_FIELD: Field = maybe("user_input", USED, "Whether somebody is using it.");
const DISPLAY: Field = maybe("display", "string", "The name shown to people.");

/// A PIDF document.
pub const PIDF: Record = record_of(
    "Pidf",
    "Presence of somebody.",
    &[
        field("entity", "string", "Whose presence."),
        maybe("tuples", "{ Tuple }", "Ways of reaching them, or other things with a state."),
        maybe("persons", "{ Person }", "The person."),
        maybe("devices", "{ Device }", "Their devices."),
        NOTE,
    ],
);

/// A tuple of it.
pub const TUPLE: Record = record_of(
    "Tuple",
    "One way of reaching somebody.",
    &[
        field("id", "string", "Tells tuples apart; keep it stable."),
        maybe("basic", "\"open\" | \"closed\"", "Whether it can be used."),
        CLASS,
        USER_INPUT_FIELD,
        maybe("device_id", "string", "The device behind it."),
        maybe("contact", "string", "A URI."),
        maybe("priority", "number", "Of the contact, from 0 to 1."),
        NOTE,
        TIMESTAMP,
    ],
);

/// A person.
pub const PERSON: Record = record_of(
    "Person",
    "A person (RFC 4479). In what was read one without a note shows that of the whole document.",
    &[
        field("id", "string", "Tells persons apart."),
        CLASS,
        maybe("activities", "string | { string }", "Such as \"meeting\" or \"on-the-phone\"."),
        maybe("mood", "string | { string }", "Such as \"happy\"."),
        USER_INPUT_FIELD,
        NOTE,
        TIMESTAMP,
    ],
);

/// A device.
pub const DEVICE: Record = record_of(
    "Device",
    "A device (RFC 4479).",
    &[
        field("id", "string", "Tells devices apart."),
        CLASS,
        USER_INPUT_FIELD,
        field("device_id", "string", "A URN."),
        NOTE,
        TIMESTAMP,
    ],
);

/// Whether something is used.
pub const USER_INPUT: Record = record_of(
    "UserInput",
    "Whether somebody is using it, and since when not.",
    &[
        field("state", "\"active\" | \"idle\"", "Which of the two."),
        maybe("idle_threshold", "Duration", "How long without input counts as idle."),
        maybe("last_input", TIME, "When the latest input was."),
    ],
);

/// A message summary.
pub const MWI: Record = record_of(
    "Mwi",
    "What lies in a mailbox.",
    &[
        maybe("waiting", "boolean", "Follows from the counts when left out."),
        maybe("account", "string", "The mailbox."),
        maybe("voice", "Count", "Voice messages."),
        maybe("fax", "Count", "Faxes."),
        maybe("pager", "Count", "Pager messages."),
        maybe("multimedia", "Count", "Multimedia messages."),
        maybe("text", "Count", "Text messages."),
        maybe("other", "{ [string]: Count }", "Other classes of messages, by name."),
        maybe("headers", "{ { [string]: string } }", "Headers of single messages."),
    ],
);

/// Messages of a class.
pub const COUNT: Record = record_of(
    "Count",
    "How many messages.",
    &[
        maybe("new", "number", "Not heard."),
        maybe("old", "number", "Heard."),
        maybe("urgent_new", "number", "Not heard, and urgent."),
        maybe("urgent_old", "number", "Heard, and urgent."),
    ],
);

/// A document of dialogs.
pub const DIALOG_INFO: Record = record_of(
    "DialogInfo",
    "Calls of somebody.",
    &[
        field("entity", "string", "Whose calls."),
        VERSION,
        STATE,
        maybe("dialogs", "{ Dialog }", "The calls."),
    ],
);

/// A dialog.
pub const DIALOG: Record = record_of(
    "Dialog",
    "A call.",
    &[
        field("id", "string", "Tells calls apart."),
        maybe("call_id", "string", "Its Call-ID."),
        maybe("local_tag", "string", "The tag of this side."),
        maybe("remote_tag", "string", "The tag of the other side."),
        maybe("direction", "\"initiator\" | \"recipient\"", "Who has called."),
        field(
            "state",
            "\"trying\" | \"proceeding\" | \"early\" | \"confirmed\" | \"terminated\"",
            "How far it is.",
        ),
        maybe(
            "reason",
            "\"cancelled\" | \"rejected\" | \"replaced\" | \"local-bye\" | \"remote-bye\" | \"error\" | \"timeout\"",
            "What ended it.",
        ),
        maybe("code", "number", "The status code behind its state."),
        maybe("duration", "Duration", "How long it has lasted."),
        maybe("replaces", "Replaces", "The call it replaces."),
        maybe("referred_by", "ReferredBy", "Who has transferred it."),
        maybe("route_set", "{ string }", "URIs on its way."),
        maybe("local", "Participant", "This side; in Lua `[\"local\"]`."),
        maybe("remote", "Participant", "The other side."),
    ],
);

/// A side of a dialog.
pub const PARTICIPANT: Record = record_of(
    "Participant",
    "A side of a call.",
    &[
        maybe("identity", "string", "Its URI."),
        DISPLAY,
        maybe("target", "string", "The URI of its Contact header."),
        maybe("params", "{ [string]: string }", "Parameters of that header."),
        maybe("session_description", "SessionDescription", "What it offers."),
        maybe("cseq", "number", "Its latest CSeq."),
    ],
);

/// A session description.
pub const SESSION_DESCRIPTION: Record = record_of(
    "SessionDescription",
    "A description of media.",
    &[field("type", "string", "Its media type."), field("text", "string", "The description.")],
);

/// The dialog that another one replaces.
pub const REPLACES: Record = record_of(
    "Replaces",
    "The call that another one replaces.",
    &[
        field("call_id", "string", "Its Call-ID."),
        field("local_tag", "string", "The tag of this side."),
        field("remote_tag", "string", "The tag of the other side."),
    ],
);

/// Who has transferred a call.
pub const REFERRED_BY: Record = record_of(
    "ReferredBy",
    "Who has transferred a call.",
    &[field("identity", "string", "Their URI."), DISPLAY],
);

/// A document of registrations.
pub const REGINFO: Record = record_of(
    "Reginfo",
    "Who is registered where.",
    &[VERSION, STATE, maybe("registrations", "{ Registration }", "The addresses of record.")],
);

/// A registration.
pub const REGISTRATION: Record = record_of(
    "Registration",
    "An address of record.",
    &[
        field("aor", "string", "Its URI."),
        field("id", "string", "Tells registrations apart."),
        field("state", "\"init\" | \"active\" | \"terminated\"", "Whether somebody is registered."),
        maybe("contacts", "{ Contact }", "Where they are."),
    ],
);

/// A contact.
pub const CONTACT: Record = record_of(
    "Contact",
    "Where somebody is registered.",
    &[
        field("id", "string", "Tells contacts apart."),
        field("uri", "string", "The address."),
        field("state", "\"active\" | \"terminated\"", "Whether it counts."),
        field(
            "event",
            "\"registered\" | \"created\" | \"refreshed\" | \"shortened\" | \"expired\" | \"deactivated\" | \"probation\" | \"unregistered\" | \"rejected\"",
            "What made it so.",
        ),
        maybe("expires", "Duration", "How long it holds; needed when the event is \"shortened\"."),
        maybe(
            "retry_after",
            "Duration",
            "When to try again; needed when the event is \"probation\".",
        ),
        maybe("duration", "Duration", "How long it has been registered."),
        maybe("q", "number", "Its preference, from 0 to 1."),
        maybe("call_id", "string", "The Call-ID of its REGISTER."),
        maybe("cseq", "number", "The CSeq of its REGISTER."),
        DISPLAY,
        maybe("params", "{ [string]: string }", "Further parameters of its Contact header."),
        maybe("pub_gruu", "string", "Its public GRUU."),
        maybe("temp_gruu", "TemporaryGruu", "Its temporary GRUU."),
    ],
);

/// A temporary GRUU.
pub const TEMPORARY_GRUU: Record = record_of(
    "TemporaryGruu",
    "A temporary GRUU (RFC 5628).",
    &[field("uri", "string", "The URI."), field("first_cseq", "number", "The CSeq that made it.")],
);

/// A conference.
pub const CONFERENCE: Record = record_of(
    "Conference",
    "A conference.",
    &[
        field("entity", "string", "Its URI."),
        VERSION,
        maybe("state", PART, "Whether it tells of everything (\"full\")."),
        maybe(
            "description",
            "string | ConferenceDescription",
            "What it is; a text is the name shown to people.",
        ),
        maybe("host", "ConferenceHost", "Who holds it."),
        maybe("conference_state", "ConferenceState", "How it is."),
        maybe("users", "{ ConferenceUser }", "Who takes part."),
        maybe(
            "users_state",
            "\"full\" | \"partial\"",
            "Whether `users` is the whole list; as the document when left out.",
        ),
        maybe("sidebars_by_ref", "{ Link }", "Conferences beside it."),
        maybe("sidebars_by_val", "{ Conference }", "The same, written out."),
    ],
);

/// What a conference is.
pub const DESCRIPTION: Record = record_of(
    "ConferenceDescription",
    "What a conference is.",
    &[
        DISPLAY,
        maybe("subject", "string", "What it is about."),
        maybe("free_text", "string", "More on it."),
        maybe("keywords", "string | { string }", "Words to find it by."),
        maybe("conf_uris", "{ Link }", "How to get in."),
        maybe("service_uris", "{ Link }", "Where services around it are."),
        maybe("maximum_user_count", "number", "How many may take part."),
        maybe("available_media", "{ AvailableMedia }", "What it offers."),
    ],
);

/// A medium that is offered.
pub const AVAILABLE_MEDIA: Record = record_of(
    "AvailableMedia",
    "A medium that a conference offers.",
    &[
        field("label", "string", "Tells media apart."),
        field("type", "string", "Such as \"audio\"."),
        DISPLAY,
        maybe(
            "status",
            "\"sendrecv\" | \"sendonly\" | \"recvonly\" | \"inactive\"",
            "Which way it flows.",
        ),
    ],
);

/// Who holds a conference.
pub const CONFERENCE_HOST: Record = record_of(
    "ConferenceHost",
    "Who holds a conference.",
    &[
        DISPLAY,
        maybe("web_page", "string", "Their page."),
        maybe("uris", "{ Link }", "How to reach them."),
    ],
);

/// How a conference is.
pub const CONFERENCE_STATE: Record = record_of(
    "ConferenceState",
    "How a conference is.",
    &[
        maybe("user_count", "number", "How many take part."),
        maybe("active", "boolean", "Whether it is held now."),
        maybe("locked", "boolean", "Whether nobody gets in."),
    ],
);

/// Who takes part.
pub const CONFERENCE_USER: Record = record_of(
    "ConferenceUser",
    "Who takes part in a conference.",
    &[
        field("entity", "string", "Their URI."),
        DISPLAY,
        maybe("state", PART, "Whether it tells of everything (\"full\")."),
        maybe("associated_aors", "{ Link }", "Other addresses of theirs."),
        maybe("roles", "string | { string }", "Such as \"participant\"."),
        maybe("languages", "string | { string }", "What they speak."),
        maybe("cascaded_focus", "string", "The conference behind them, if they are one."),
        maybe("endpoints", "{ Endpoint }", "What they take part with."),
    ],
);

/// What somebody takes part with.
pub const ENDPOINT: Record = record_of(
    "Endpoint",
    "What somebody takes part in a conference with.",
    &[
        field("entity", "string", "Its URI."),
        DISPLAY,
        maybe("state", PART, "Whether it tells of everything (\"full\")."),
        maybe("referred", "Step", "Who has brought it in."),
        maybe(
            "status",
            "\"pending\" | \"dialing-out\" | \"dialing-in\" | \"alerting\" | \"on-hold\" | \"connected\" | \"muted-via-focus\" | \"disconnecting\" | \"disconnected\"",
            "How far it is.",
        ),
        maybe(
            "joining_method",
            "\"dialed-in\" | \"dialed-out\" | \"focus-owner\"",
            "How it came in.",
        ),
        maybe("joining_info", "Step", "More on that."),
        maybe(
            "disconnection_method",
            "\"departed\" | \"booted\" | \"failed\" | \"busy\"",
            "How it went.",
        ),
        maybe("disconnection_info", "Step", "More on that."),
        maybe("media", "{ ConferenceMedia }", "Its media."),
        maybe("call_info", "CallInfo", "Its call."),
    ],
);

/// A medium of an endpoint.
pub const CONFERENCE_MEDIA: Record = record_of(
    "ConferenceMedia",
    "A medium of somebody who takes part.",
    &[
        field("id", "string", "Tells media apart."),
        maybe("state", PART, "Whether it tells of everything (\"full\")."),
        DISPLAY,
        maybe("type", "string", "Such as \"audio\"."),
        maybe("label", "string", "The medium of the conference."),
        maybe("src_id", "string", "Its SSRC."),
        maybe(
            "status",
            "\"sendrecv\" | \"sendonly\" | \"recvonly\" | \"inactive\"",
            "Which way it flows.",
        ),
    ],
);

/// The call of an endpoint.
pub const CALL_INFO: Record = record_of(
    "CallInfo",
    "The call of somebody who takes part.",
    &[
        DISPLAY,
        field("call_id", "string", "Its Call-ID."),
        field("from_tag", "string", "Its From tag."),
        field("to_tag", "string", "Its To tag."),
    ],
);

/// Something that was done.
pub const STEP: Record = record_of(
    "Step",
    "Something that was done.",
    &[
        maybe("when", TIME, "When."),
        maybe("reason", "string", "Why."),
        maybe("by", "string", "By whom."),
    ],
);

/// A URI with a name.
pub const LINK: Record = record_of(
    "Link",
    "A URI with a name.",
    &[field("uri", "string", "The URI."), DISPLAY, maybe("purpose", "string", "What it is for.")],
);

/// A document of watchers.
pub const WATCHERINFO: Record = record_of(
    "Watcherinfo",
    "Who watches somebody.",
    &[VERSION, STATE, maybe("lists", "{ WatcherList }", "By resource and package.")],
);

/// The watchers of a resource.
pub const WATCHER_LIST: Record = record_of(
    "WatcherList",
    "The watchers of a resource.",
    &[
        field("resource", "string", "Who is watched."),
        field("package", "string", "The event package."),
        maybe("watchers", "{ Watcher }", "Who watches."),
    ],
);

/// A watcher.
pub const WATCHER: Record = record_of(
    "Watcher",
    "Somebody who watches.",
    &[
        field("id", "string", "Tells watchers apart."),
        field("uri", "string", "Who it is."),
        field(
            "status",
            "\"pending\" | \"active\" | \"waiting\" | \"terminated\"",
            "How far it is.",
        ),
        field(
            "event",
            "\"subscribe\" | \"approved\" | \"deactivated\" | \"probation\" | \"rejected\" | \"timeout\" | \"giveup\" | \"noresource\"",
            "What made it so.",
        ),
        DISPLAY,
        maybe("expiration", "Duration", "How long it will go on."),
        maybe("duration", "Duration", "How long it has gone on."),
    ],
);
