//! `http`, `exec`: what reaches outside.

use super::{
    Field, Library, Record, field, function, given, library, maybe, option, options, perhaps,
    record_of,
};

/// The library of web requests.
pub(super) const HTTP: Library = Library {
    introduction: "Off until a host is allowed: `allow = { http = [\"api.example.com\"] }` of the \
        script's `[[script]]` section, and asked for at every redirect. \"api.example.com\" stands \
        for ports 80 and 443, \"*.example.com\" for every name below, \"127.0.0.1:8080\" for \
        itself. A 4xx or 5xx is a result, not an error.",
    example: r#"
local answer, err = http.get("https://api.example.com/queues", { query = { name = "sales" }, timeout = "5s" })
if answer and answer.status == 200 then
  local queue = answer.json()
  if queue then log.info("waiting: " .. queue.waiting) end
else
  log.warn(answer and "status " .. answer.status or tostring(err))
end
"#,
    functions: &[
        function("get", "Asks for a URL.")
            .takes(&[given("url", "string"), perhaps("options", "HttpOptions")])
            .may_fail("HttpAnswer", CODES)
            .waits(),
        function("request", "Sends any request.")
            .takes(&[given("request", "HttpRequest")])
            .may_fail("HttpAnswer", CODES)
            .waits(),
    ],
    records: &[HTTP_OPTIONS, HTTP_REQUEST, HTTP_ANSWER],
    ..library("http", "Asking web servers.")
};

const CODES: &[&str] =
    &["permission", "dns", "refused", "tls", "timeout", "io", "http", "limit", "cancelled"];

const HEADERS: Field = maybe(
    "headers",
    "{ [string]: string | number | { string | number } }",
    "Headers; a list stands for several of the name.",
);
const QUERY: Field = maybe(
    "query",
    "{ [string]: string | number | boolean | { string | number | boolean } }",
    "Added to the query of the URL.",
);
const TIMEOUT: Field = option(
    "timeout",
    "Duration",
    "\"10s\"",
    "Of the whole call with its redirects, once it is its turn.",
);
const MAX_BYTES: Field =
    option("max_bytes", "number | string", "\"1MiB\"", "A longer body is not taken: code `limit`.");
const REDIRECTS: Field =
    option("redirects", "number", "5", "How many are followed; with 0 the redirect is the result.");
const CA_FILE: Field =
    maybe("ca_file", "string", "Certificates to trust besides the system's, in PEM form.");

/// Options of `http.get`.
pub const HTTP_OPTIONS: Record = options(
    "HttpOptions",
    "How `http.get` asks.",
    &[HEADERS, QUERY, TIMEOUT, MAX_BYTES, REDIRECTS, CA_FILE],
);

/// Options of `http.request`.
pub const HTTP_REQUEST: Record = options(
    "HttpRequest",
    "What `http.request` sends.",
    &[
        field("url", "string", "Where to."),
        option("method", "string", "\"GET\", with a body \"POST\"", "The method."),
        maybe("body", "string", "What is sent along."),
        maybe("json", "any", "A value that is sent as JSON, in place of a body."),
        HEADERS,
        QUERY,
        TIMEOUT,
        MAX_BYTES,
        REDIRECTS,
        CA_FILE,
    ],
);

const HTTP_ANSWER: Record = record_of(
    "HttpAnswer",
    "What a web server has answered.",
    &[
        field("status", "number", "Such as 200 or 404."),
        field(
            "headers",
            "{ [string]: string }",
            "By names in lower case; several of one name are joined with \", \", those of set-cookie \
             with a line end.",
        ),
        field("body", "string", "The bytes."),
        field("json", "() -> (any, Error?)", "Reads the body as JSON; called with a dot."),
    ],
);

/// The library of programs.
pub(super) const EXEC: Library = Library {
    introduction: "Off until the program is allowed, as it is written in the call: `allow = { exec \
        = [\"df\"] }` of the script's `[[script]]` section. There is no shell. Nothing that a \
        program starts outlives the call, but what begins a session of its own (setsid).",
    example: r#"
local done, err = exec.run { "df", "-k", "/", timeout = "5s" }
if done and done.code == 0 then log.info(done.stdout) else log.warn(tostring(err or done.stderr)) end
"#,
    functions: &[function(
        "run",
        "Runs a program and waits for its end. Whatever it ends with is a result: `code` is nil \
             where a signal has ended it.",
    )
    .takes(&[given("command", "Command")])
    .may_fail("Finished", &["permission", "not_found", "timeout", "limit", "io", "cancelled"])
    .waits()],
    records: &[COMMAND, FINISHED],
    ..library("exec", "Running programs.")
};

/// What `exec.run` is told; the words of the command stand in a row beside these.
pub const COMMAND: Record = Record {
    entries: Some(("number", "string | number")),
    ..options(
        "Command",
        "The program and its arguments in a row, and how it runs.",
        &[
            maybe("stdin", "string", "Without it the program finds its input at its end."),
            maybe(
                "env",
                "{ [string]: string | number }",
                "Besides PATH, LANG, HOME and TZ, which is all it gets; none that brings code, such as LD_PRELOAD.",
            ),
            option("cwd", "string", "the script's folder", "Where it runs."),
            option(
                "timeout",
                "Duration",
                "\"10s\"",
                "Once it is its turn. Then the program and all it has started are ended: TERM, and \
                 KILL 2 s later.",
            ),
            option(
                "max_output",
                "number | string",
                "\"1MiB\"",
                "Of stdout and stderr together; one that writes more is ended: code `limit`.",
            ),
        ],
    )
};

const FINISHED: Record = record_of(
    "Finished",
    "How a program has ended.",
    &[
        maybe("code", "number", "Its exit code."),
        maybe("signal", "number", "The signal that has ended it."),
        field("stdout", "string", "What it has written."),
        field("stderr", "string", "What it has complained of."),
        field("duration", "number", "Seconds it has taken."),
    ],
);
