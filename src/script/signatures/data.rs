//! `kv`, `json`, `xml`, `metrics`: data.

use super::{
    Function, Handle, Library, Manner, Record, field, function, given, library, maybe, option,
    options, perhaps,
};

/// The library of what is kept.
pub(super) const KV_LIBRARY: Library = Library {
    introduction: "Outlives a reload. Values are plain data: texts, numbers, booleans and tables \
        of them, copied both ways. A script may keep 1 MiB (`limits.kv`).",
    example: r#"
local runs = kv.incr("runs")
kv.set("door", { is_open = true }, { ttl = "1h" })
local door = kv.get("door")
log.info("run " .. (runs or 0), { open = door and door.is_open })
"#,
    functions: KV_CALLS,
    records: &[TTL_OPTIONS],
    handles: &[KV],
    ..library("kv", "What is kept by name, over reloads.")
};

/// The last opens another store and belongs to the library alone.
const KV_CALLS: &[Function] = &[
    function("get", "Returns what is kept under a name, or nil.")
        .takes(&[given("key", "string")])
        .gives("any"),
    function("set", "Keeps a value under a name; nil removes. Without `ttl` it stays.")
        .takes(&[given("key", "string"), given("value", "any"), perhaps("options", "TtlOptions")])
        .may_fail("boolean", &["limit"]),
    function("delete", "Removes; returns whether there was anything.")
        .takes(&[given("key", "string")])
        .gives("boolean"),
    function("incr", "Adds to a number (1 to 0 by default) and returns the sum; `ttl` counts from when it begins.")
        .takes(&[given("key", "string"), perhaps("by", "number"), perhaps("options", "TtlOptions")])
        .may_fail("number", &["limit", "conflict"]),
    function(
        "update",
        "Stores what `fn` makes of the value, unless somebody changed it meanwhile: then `fn` runs \
         again, so it should do nothing else. It may wait. What is left of a ttl stays.",
    )
    .takes(&[given("key", "string"), given("fn", "(value: any) -> any")])
    .may_fail("any", &["limit", "conflict"]),
    function("keys", "Lists names, sorted; of those with a prefix if one is given.")
        .takes(&[perhaps("prefix", "string")])
        .gives("{ string }"),
    function(
        "shared",
        "Opens a store that several scripts use, each of which names it in `allow.kv`; it has the \
         same functions.",
    )
    .takes(&[given("ns", "string")])
    .may_fail("Kv", &["permission"]),
];

/// Options of `kv.set` and `kv.incr`.
pub const TTL_OPTIONS: Record = options(
    "TtlOptions",
    "How long a value is kept.",
    &[option("ttl", "Duration", "for ever", "How long the value is kept.")],
);

/// What `kv.shared` gives.
pub const KV: Handle = Handle {
    name: "Kv",
    called: "kv.shared",
    doc: "A store that several scripts use. Its functions are called with a dot.",
    fields: &[],
    methods: KV_CALLS.split_at(6).0,
    manner: Manner::Functions,
};

/// The library of JSON.
pub(super) const JSON: Library = Library {
    introduction: "Depth and size are bounded. Null is `json.null`, which is not nil. A list that \
        was read stays one when it is written, even when it is empty.",
    example: r#"
local text = json.encode({ queue = "sales", waiting = 3, names = json.array {} })
local back, err = json.decode(text or "{}")
if back then log.info("waiting: " .. back.waiting) else log.warn(tostring(err)) end
"#,
    fields: &[field("null", "any", "Stands for null; it is true in a condition.")],
    functions: &[
        function("encode", "Writes a value. Objects come sorted by name; an empty table is an object, unless `json.array` says otherwise.")
            .takes(&[given("value", "any"), perhaps("options", "JsonOptions")])
            .may_fail("string", &["limit"]),
        function("decode", "Reads a text. Whole numbers beyond 2^53 lose digits, as in all of Lua.")
            .takes(&[given("text", "string")])
            .may_fail("any", &["parse", "limit"]),
        function("array", "Marks a table as a list, and returns it.")
            .takes(&[perhaps("t", "{ any }")])
            .gives("{ any }"),
    ],
    records: &[JSON_OPTIONS],
    ..library("json", "JSON texts to tables and back.")
};

/// Options of `json.encode`.
pub const JSON_OPTIONS: Record = options(
    "JsonOptions",
    "How `json.encode` writes.",
    &[option("pretty", "boolean", "false", "Writes lines and indents them.")],
);

/// The library of XML.
pub(super) const XML: Library = Library {
    introduction: "No document type declarations, and no entities but the five of XML. Depth and \
        size are bounded.",
    example: r#"
local root, err = xml.parse([[<queue><call id="7">waiting</call></queue>]])
if root then
  for _, call in root:find_all("call") do log.info(call.attr.id .. " is " .. call.text) end
else
  log.warn(tostring(err))
end
"#,
    functions: &[
        function("parse", "Reads a document and returns its root.")
            .takes(&[given("text", "string")])
            .may_fail("XmlNode", &["parse", "limit"]),
        function("escape", "Makes a text fit to stand in an element or an attribute.")
            .takes(&[given("text", "string | number")])
            .gives("string"),
    ],
    handles: &[XML_NODE],
    ..library("xml", "XML documents as tables.")
};

/// An element.
pub const XML_NODE: Handle = Handle {
    name: "XmlNode",
    called: "xml node",
    doc: "An element.",
    fields: &[
        field("name", "string", "Without a prefix."),
        maybe("namespace", "string", "The address that the prefix stands for."),
        field("attr", "{ [string]: string }", "By the names as written, prefixes included."),
        field("children", "{ XmlNode }", "The elements inside."),
        field("text", "string", "The text directly inside; blanks between elements are none."),
    ],
    methods: &[
        function("find", "Follows names of children, \"a/b\", to the first that is found; * stands for any name.")
            .takes(&[given("path", "string")])
            .gives("XmlNode?"),
        function("find_all", "The same, to all that are found.")
            .takes(&[given("path", "string")])
            .gives("{ XmlNode }"),
    ],
    manner: Manner::Table,
};

/// The library of metrics.
pub(super) const METRICS: Library = Library {
    introduction: "They stand on the metrics page (`[metrics] listen`) with a `script` label, and \
        outlive a reload. The same name gives the same metric again. Labels are a table of names \
        and values, at most 10.",
    example: r#"
local calls = metrics.counter("calls", { help = "Calls seen" })
local waiting = metrics.gauge("queue_waiting")
if calls then calls:inc(1, { queue = "sales" }) end
if waiting then waiting:set(3) end
"#,
    functions: &[
        function(
            "counter",
            "A number that only grows. `_total` is appended to its name where it is missing.",
        )
        .takes(&[given("name", "string"), perhaps("options", "MetricOptions")])
        .may_fail("Counter", DEFINED),
        function("gauge", "A number that goes up and down.")
            .takes(&[given("name", "string"), perhaps("options", "MetricOptions")])
            .may_fail("Gauge", DEFINED),
        function("histogram", "How often which values occur.")
            .takes(&[given("name", "string"), perhaps("options", "HistogramOptions")])
            .may_fail("Histogram", DEFINED),
    ],
    records: &[METRIC_OPTIONS, HISTOGRAM_OPTIONS],
    handles: &[COUNTER, GAUGE, HISTOGRAM],
    ..library("metrics", "Numbers of a script's own on the metrics page.")
};

const DEFINED: &[&str] = &["conflict", "limit"];
const LABELS: &str = "{ [string]: string | number | boolean }";

/// Options of `metrics.counter` and `metrics.gauge`.
pub const METRIC_OPTIONS: Record = options(
    "MetricOptions",
    "How a counter or a gauge is shown.",
    &[maybe("help", "string", HELP)],
);

/// Options of `metrics.histogram`.
pub const HISTOGRAM_OPTIONS: Record = options(
    "HistogramOptions",
    "How a histogram counts and is shown.",
    &[
        maybe("help", "string", HELP),
        option(
            "buckets",
            "{ number }",
            "5 ms to 10 s",
            "Upper bounds, each larger than the one before it.",
        ),
    ],
);

const HELP: &str = "What it counts, for the metrics page.";

/// What `metrics.counter` gives.
pub const COUNTER: Handle = Handle {
    name: "Counter",
    called: "counter",
    doc: "A number that only grows.",
    fields: &[],
    methods: &[function("inc", "Adds (1 by default).")
        .takes(&[perhaps("by", "number"), perhaps("labels", LABELS)])
        .may_fail("boolean", DEFINED)],
    manner: Manner::Table,
};

/// What `metrics.gauge` gives.
pub const GAUGE: Handle = Handle {
    name: "Gauge",
    called: "gauge",
    doc: "A number that goes up and down.",
    fields: &[],
    methods: &[
        function("set", "Sets it.")
            .takes(&[given("value", "number"), perhaps("labels", LABELS)])
            .may_fail("boolean", DEFINED),
        function("inc", "Adds (1 by default).")
            .takes(&[perhaps("by", "number"), perhaps("labels", LABELS)])
            .may_fail("boolean", DEFINED),
        function("dec", "Takes away (1 by default).")
            .takes(&[perhaps("by", "number"), perhaps("labels", LABELS)])
            .may_fail("boolean", DEFINED),
    ],
    manner: Manner::Table,
};

/// What `metrics.histogram` gives.
pub const HISTOGRAM: Handle = Handle {
    name: "Histogram",
    called: "histogram",
    doc: "How often which values occur.",
    fields: &[],
    methods: &[function("observe", "Counts a value.")
        .takes(&[given("value", "number"), perhaps("labels", LABELS)])
        .may_fail("boolean", DEFINED)],
    manner: Manner::Table,
};
