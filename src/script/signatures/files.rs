//! `fs`, `mail`: files, and mailboxes.

use super::{
    Handle, Library, Manner, Record, field, function, given, library, maybe, option, options,
    perhaps, record_of,
};

/// The library of files.
pub(super) const FS: Library = Library {
    introduction: "Relative paths begin in the script's own folder. Patterns know `*`, `?`, \
        `[a-z]`, `{a,b}` and `**`; a `\\` takes a character's meaning away. Everything but `watch` \
        works below the folders that `allow = { fs = [ … ] }` of the script's `[[script]]` section \
        names: elsewhere it fails with code `permission`. Neither `..` nor a link leads out.",
    example: r#"
fs.watch("state/*.txt", function(c)
  if c.kind == "remove" then return end
  local text, err = fs.read(c.path)
  log.info(text or tostring(err))
end, { settle = "500ms" })

local lines = fs.lines("state/calls.txt")
for line in lines or function() end do log.info(line) end
"#,
    functions: &[
        function(
            "watch",
            "Calls `fn` when a path, an entry of a folder, or what a pattern finds changes. \
             Returns when the watch stands. Editors' rename-saves, deletes and re-creations, and \
             folders that come later are followed.",
        )
        .takes(&[
            given("path", "string | { string }"),
            given("fn", "(change: Change) -> ()"),
            perhaps("options", "WatchOptions"),
        ])
        .may_fail("Watch", &["limit", "not_found", "io", "cancelled", "closed"])
        .waits(),
        function("read", "Returns the bytes of a file.")
            .takes(&[given("path", "string"), perhaps("options", "ReadOptions")])
            .may_fail("string", FILE)
            .waits(),
        function(
            "lines",
            "For use in a loop: `for line in fs.lines(path) do`. Line ends are taken off.",
        )
        .takes(&[given("path", "string"), perhaps("options", "LinesOptions")])
        .may_fail("() -> string?", FILE)
        .waits(),
        function("list", "Returns the entries of a folder, by name.")
            .takes(&[given("path", "string")])
            .may_fail("{ FileEntry }", FILE)
            .waits(),
        function("stat", "Returns what is known of a file.")
            .takes(&[given("path", "string")])
            .may_fail("FileInfo", FILE)
            .waits(),
        function("glob", "Returns the paths that a pattern finds, by name.")
            .takes(&[given("pattern", "string")])
            .may_fail("{ string }", FILE)
            .waits(),
        function("exists", "Returns whether there is a file.")
            .takes(&[given("path", "string")])
            .may_fail("boolean", &["permission", "io", "cancelled"])
            .waits(),
        function("write", "Writes the whole file or nothing of it.")
            .takes(&[
                given("path", "string"),
                given("text", "string"),
                perhaps("options", "WriteOptions"),
            ])
            .may_fail("boolean", FILE)
            .waits(),
    ],
    records: &[
        WATCH_OPTIONS,
        READ_OPTIONS,
        LINES_OPTIONS,
        WRITE_OPTIONS,
        CHANGE,
        FILE_ENTRY,
        FILE_INFO,
    ],
    handles: &[WATCH],
    ..library("fs", "Files, and what happens to them.")
};

const FILE: &[&str] = &["not_found", "permission", "limit", "io", "cancelled"];

/// Options of `fs.watch`.
pub const WATCH_OPTIONS: Record = options(
    "WatchOptions",
    "How `fs.watch` looks.",
    &[
        option("recursive", "boolean", "false", "Everything below, too."),
        option(
            "settle",
            "Duration",
            "\"200ms\"",
            "How long a path must be quiet; 0 tells at once.",
        ),
        option("initial", "boolean", "false", "Tells of what is there at the start."),
        option(
            "missing",
            "\"wait\" | \"error\"",
            "\"wait\"",
            "What a path that is not there means.",
        ),
        maybe(
            "poll",
            "Duration",
            "Looks this often instead of being told by the kernel: for network mounts.",
        ),
    ],
);

/// Options of `fs.read`.
pub const READ_OPTIONS: Record = options(
    "ReadOptions",
    "How `fs.read` reads.",
    &[option("max", "number | string", "\"1MiB\"", "A longer file fails with code `limit`.")],
);

/// Options of `fs.lines`: none so far.
pub const LINES_OPTIONS: Record =
    options("LinesOptions", "How `fs.lines` reads; there are none so far.", &[]);

/// Options of `fs.write`.
pub const WRITE_OPTIONS: Record = options(
    "WriteOptions",
    "How `fs.write` writes.",
    &[
        option("append", "boolean", "false", "Writes at the end of what is there."),
        option(
            "mode",
            "string",
            "as it was, else by umask",
            "Permissions in octal digits, such as \"0640\".",
        ),
    ],
);

const CHANGE: Record = record_of(
    "Change",
    "What has happened, as the function of `fs.watch` gets it.",
    &[
        field(
            "kind",
            "\"create\" | \"modify\" | \"remove\" | \"rename\" | \"rescan\"",
            "After \"rescan\" look for yourself: changes were lost, anything may have happened.",
        ),
        field("path", "string", "Where."),
        maybe("from", "string", "Where a renamed file came from, if that is watched too."),
        field("paths", "{ string }", "All paths that became quiet together."),
    ],
);

const KIND: &str = "\"file\" | \"directory\" | \"link\" | \"fifo\" | \"socket\" | \"char\" | \"block\" | \"unknown\"";

const FILE_ENTRY: Record = record_of(
    "FileEntry",
    "An entry of a folder.",
    &[
        field("name", "string", "Its name, without the folder."),
        field("kind", KIND, "What it is; links are not followed."),
        field("size", "number", "Bytes."),
        field("modified", "number", "UNIX seconds."),
    ],
);

const FILE_INFO: Record = record_of(
    "FileInfo",
    "What is known of a file.",
    &[
        field("kind", KIND, "What it is; \"link\" is a link that leads nowhere."),
        field("size", "number", "Bytes."),
        field("modified", "number", "UNIX seconds."),
        field("mode", "string", "Permissions in octal digits, such as \"0644\"."),
        maybe("link", "string", "Where a link leads."),
    ],
);

/// What a script holds of a watch.
pub const WATCH: Handle = Handle {
    name: "Watch",
    called: "watch",
    doc: "A watch lives in puad: dropping the variable does not end it.",
    fields: &[],
    methods: &[
        function("close", "Ends it; returns whether there was anything to end.").gives("boolean"),
        function("cancel", "The same as `close`.").gives("boolean"),
    ],
    manner: Manner::Class,
};

/// The library of mailboxes.
pub(super) const MAIL: Library = Library {
    introduction: "A voicemail box becomes a message-waiting lamp.",
    example: r#"
mail.watch_maildir("Maildir", function(n)
  pua.send_publish { presentity_uri = "sip:box@example.com", event = "message-summary",
    body = body.mwi { account = "sip:box@example.com", voice = { new = n.unread, old = n.read } } }
end)
"#,
    functions: &[
        function("maildir", "Counts the messages of a Maildir.")
            .takes(&[given("path", "string")])
            .may_fail("MailCounts", &["not_found", "permission", "io"]),
        function(
            "imap",
            "Asks an IMAP server, which `allow = { imap = [ … ] }` names, for the counts of a \
             mailbox. A login that fails has code `refused`, a mailbox that is not there \
             `not_found`.",
        )
        .takes(&[given("options", "ImapOptions")])
        .may_fail(
            "ImapCounts",
            &[
                "permission",
                "dns",
                "refused",
                "tls",
                "timeout",
                "io",
                "not_found",
                "limit",
                "cancelled",
            ],
        )
        .waits(),
        function("watch_maildir", "Calls `fn` once at start, then whenever the counts change.")
            .takes(&[
                given("path", "string"),
                given("fn", "(counts: MailCounts) -> ()"),
                perhaps("options", "MaildirOptions"),
            ])
            .may_fail("Watch", &["limit", "not_found", "io", "cancelled", "closed"])
            .waits(),
    ],
    records: &[MAILDIR_OPTIONS, IMAP_OPTIONS, MAIL_COUNTS, IMAP_COUNTS],
    ..library("mail", "What lies in a mailbox.")
};

/// Options of `mail.watch_maildir`.
pub const MAILDIR_OPTIONS: Record = options(
    "MaildirOptions",
    "How `mail.watch_maildir` looks.",
    &[
        option("settle", "Duration", "\"200ms\"", "How long the mailbox must be quiet."),
        option("initial", "boolean", "true", "Tells of the counts at the start."),
        maybe(
            "poll",
            "Duration",
            "Looks this often instead of being told by the kernel: for network mounts.",
        ),
    ],
);

/// Options of `mail.imap`.
pub const IMAP_OPTIONS: Record = options(
    "ImapOptions",
    "Which mailbox `mail.imap` counts.",
    &[
        field("host", "string", "Named in `allow.imap`."),
        option("port", "number", "993, or 143 without TLS from the start", "Its port."),
        field("user", "string", "Who logs in."),
        field("password", "string", "From `config.secret`."),
        option("mailbox", "string", "\"INBOX\"", "As people read it."),
        option("timeout", "Duration", "\"30s\"", "Of the whole call, once it is its turn."),
        option(
            "tls",
            "boolean | \"starttls\"",
            "true",
            "False is taken for loopback addresses only.",
        ),
        maybe("ca_file", "string", "Certificates to trust besides the system's, in PEM form."),
    ],
);

const IMAP_COUNTS: Record = record_of(
    "ImapCounts",
    "How many messages of which kind; how many are flagged an IMAP server does not say.",
    &[
        field("new", "number", "Not yet seen by any mail program."),
        field("unread", "number", "Not read, those of `new` included."),
        field("read", "number", "Read."),
        field("total", "number", "Read and unread."),
    ],
);

const MAIL_COUNTS: Record = record_of(
    "MailCounts",
    "How many messages of which kind.",
    &[
        field("new", "number", "Delivered, and not yet seen by any mail program."),
        field("unread", "number", "Not read, those of `new` included."),
        field("read", "number", "Read."),
        field("flagged", "number", "Flagged."),
        field("total", "number", "Read and unread."),
    ],
);
