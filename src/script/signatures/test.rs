//! `test`: what test files have in place of what scripts have.

use super::{
    Alias, Library, Record, field, function, given, library, maybe, option, options, perhaps,
    record_of,
};

/// The library, which only test files see.
pub const TEST: Library = Library {
    introduction: "Only in files called `*_test.lua`, which `puad test` runs. Each case has a VM, a \
        folder, a server and a clock of its own; time is virtual and begins at \
        2026-01-01T00:00:00Z. What acts for a script (`pua`, `timer`, `fs`, …) is not there.",
    example: r#"
test.case("a lamp is lit by new mail", function()
  test.write("lamp.lua", [[
    timer.every("1m", function()
      pua.publish { presentity_uri = "sip:box@example.com", event = "message-summary",
        body = body.mwi { account = "sip:box@example.com", voice = { new = 1 } } }
    end, { immediate = true })
  ]])
  test.load(test.folder .. "/lamp.lua")
  test.expect_publish { operation = "initial", body_match = "Messages%-Waiting: yes" }
  test.expect_no_publish("50s")
end)
"#,
    fields: &[field(
        "folder",
        "string",
        "The folder of the case; relative paths and `path` settings of scripts begin here.",
    )],
    functions: &[
        function("case", "Enters a case.").takes(&[given("name", "string"), given("run", "() -> ()")]),
        function("load", "Starts a script (relative to the test file) and waits for its top level.")
            .takes(&[
                given("file", "string"),
                perhaps("config", "{ [string]: any }"),
                perhaps("options", "TestLoad"),
            ])
            .waits(),
        function(
            "reload",
            "Lets a new version take over from the one loaded last: from its file, or from this \
             source. One that cannot raises, and the old one goes on.",
        )
        .takes(&[perhaps("source", "string")])
        .waits(),
        function("advance", "Lets time pass.").takes(&[given("duration", "Duration")]).waits(),
        function("eq", "Compares values, tables by what is in them; `what` stands in the message.")
            .takes(&[given("a", "any"), given("b", "any"), perhaps("what", "any")]),
        function("expect_publish", "Takes the next PUBLISH and compares the fields given.")
            .takes(&[perhaps("expected", "TestExpected")])
            .gives("TestRequest")
            .waits(),
        function(
            "expect_no_publish",
            "Lets time pass (0) and fails when there is a PUBLISH that no expect_publish has taken.",
        )
        .takes(&[perhaps("duration", "Duration")])
        .waits(),
        function(
            "expect_error",
            "Takes the next error of a handler, which would fail the case otherwise.",
        )
        .takes(&[perhaps("part", "string")])
        .gives("string")
        .waits(),
        function("write", "Writes a file of the case, or makes a folder (\"new/\"); watches hear of it.")
            .takes(&[given("path", "string"), perhaps("text", "string")]),
        function("read", "Returns what a file of the case holds.")
            .takes(&[given("path", "string")])
            .gives("string?"),
        function("remove", "Removes a file of the case.").takes(&[given("path", "string")]),
    ],
    records: &[TEST_LOAD, TEST_ALLOW, TEST_LIMITS, TEST_EXPECTED, TEST_REQUEST, TEST_FIGURES, TEST_QUESTION],
    inner: &[SIP, FAKE],
    ..library("test", "Tests of scripts.")
};

const SIP: Library = Library {
    functions: &[function("reply", "Answers the next PUBLISH so; several queue up.")
        .takes(&[given("code", "number"), perhaps("headers", "{ [string]: string | number }")])],
    ..library("sip", "What the server says.")
};

const FAKE: Library = Library {
    functions: &[
        function(
            "sys",
            "What functions of `sys` return: a figure, some of the fields, an error, or a list of \
             these, of which the last stays. What is not named is this machine's.",
        )
        .takes(&[given("figures", "TestFigures")]),
        function(
            "http",
            "What `http` is answered: by a function, or by URL (\"http://…\" or \"POST http://…\"). \
             An answer is a body, a status, a table, an error, or a list of these.",
        )
        .takes(&[given(
            "answers",
            "((request: TestQuestion) -> (any, any)) | { [string]: any }",
        )]),
        function(
            "exec",
            "What `exec` is answered: by a function, or by program or whole line. An answer is an \
             output, an exit code, a table, an error, or a list of these.",
        )
        .takes(&[given(
            "answers",
            "((call: { [any]: any }) -> (any, any)) | { [string]: any }",
        )]),
    ],
    ..library("fake", "What scripts find instead of the machine and the world.")
};

/// What one function of `sys` returns.
pub(super) const TEST_FIGURE: Alias = Alias {
    name: "TestFigure",
    r#type: "string | number | { [any]: any }",
    doc: "What a function of `sys` returns in a test: one figure, some of the fields, an error, or \
          a list of answers one after the other.",
};

/// Options of `test.load`.
pub const TEST_LOAD: Record = options(
    "TestLoad",
    "How `test.load` starts a script.",
    &[
        option("name", "string", "the file's stem", "The script's name."),
        maybe("allow", "TestAllow", "What it may reach; without it permissions are not asked for."),
        maybe("limits", "TestLimits", "Its limits."),
    ],
);

/// What a tested script may reach.
pub const TEST_ALLOW: Record = record_of(
    "TestAllow",
    "What a tested script may reach, as in the configuration.",
    &[
        maybe("fs", "string | { string }", "Folders; by default that of the case."),
        maybe("exec", "string | { string }", "Programs."),
        maybe("http", "string | { string }", "Hosts of `http`."),
        maybe("imap", "string | { string }", "Hosts of `mail.imap`."),
        maybe("kv", "string | { string }", "Name spaces of `kv.shared`."),
    ],
);

/// Limits of a tested script.
pub const TEST_LIMITS: Record = record_of(
    "TestLimits",
    "Limits of a tested script, as in the configuration.",
    &[
        maybe("cpu", "Duration", "CPU time of one activity."),
        maybe("memory", "number | string", "Bytes of the heap."),
        maybe("source", "number | string", "Bytes of a source."),
        maybe("timers", "number", "Timers."),
        maybe("watches", "number", "Watches."),
        maybe("publications", "number", "Publications."),
        maybe("documents", "number | string", "Bytes of all documents."),
        maybe("tasks", "number", "Tasks."),
        maybe("kv", "number | string", "Bytes of what is kept."),
    ],
);

/// What `test.expect_publish` compares.
pub const TEST_EXPECTED: Record = options(
    "TestExpected",
    "What a PUBLISH must be; what is left out may be anything.",
    &[
        maybe("presentity_uri", "string", "Whose state."),
        maybe("event", "string", "The event package."),
        maybe("operation", OPERATION, "What it does to the state."),
        maybe("expires", "Duration", "What it asks for."),
        maybe("etag", "string | false", "The entity-tag it names; false: it must name none."),
        maybe("content_type", "string", "The type of its document."),
        maybe("body", "string", "Its document."),
        maybe("body_match", "string", "A Lua pattern that its document must match."),
        maybe("headers", "{ [string]: string }", "Headers it must have."),
        option("within", "Duration", "\"5s\"", "How long it is waited for."),
    ],
);

const OPERATION: &str = "\"initial\" | \"refresh\" | \"modify\" | \"remove\"";

const TEST_REQUEST: Record = record_of(
    "TestRequest",
    "A PUBLISH as the server of a test has got it.",
    &[
        field("presentity_uri", "string", "Whose state."),
        maybe("event", "string", "The event package."),
        field(
            "operation",
            OPERATION,
            "What it does to the state (RFC 3903, table 1); one that carries a body along is a \
             modify.",
        ),
        maybe("expires", "number", "What it asks for."),
        maybe("etag", "string", "The entity-tag it names (SIP-If-Match)."),
        maybe("content_type", "string", "The type of its document."),
        field("body", "string", "Its document."),
        field("headers", "{ [string]: string }", "Its headers."),
        field("at", "number", "Seconds since the case began."),
        field("status", "number", "How it was answered."),
        maybe("granted_etag", "string", "The entity-tag it was given."),
    ],
);

/// What `test.fake.sys` takes.
pub const TEST_FIGURES: Record = options(
    "TestFigures",
    "Answers of `sys`, by function.",
    &[
        maybe("cpu", "TestFigure", "Answers of `sys.cpu`."),
        maybe("mem", "TestFigure", "Answers of `sys.mem`."),
        maybe("load", "TestFigure", "Answers of `sys.load`."),
        maybe("disk", "TestFigure", "Answers of `sys.disk`."),
        maybe("net", "TestFigure", "Answers of `sys.net`."),
        maybe("processes", "TestFigure", "Answers of `sys.processes`."),
        maybe("process", "TestFigure", "Answers of `sys.process`."),
        maybe("uptime", "TestFigure", "Answers of `sys.uptime`."),
        maybe("hostname", "TestFigure", "Answers of `sys.hostname`."),
    ],
);

const TEST_QUESTION: Record = record_of(
    "TestQuestion",
    "What a script asks a web server, as a function of `test.fake.http` gets it.",
    &[
        field("method", "string", "The method."),
        field("url", "string", "Where to."),
        field("headers", "{ [string]: string }", "Its headers."),
        maybe("body", "string", "What is sent along."),
    ],
);
