//! `sys`, `config`, `log`, `script`: the machine, and the script itself.

use super::{Library, field, function, given, library, maybe, perhaps, record_of};

/// The library of the machine's figures.
pub(super) const SYS: Library = Library {
    introduction: "Rates come from samples that puad keeps for each script: the first call has \
        something to compare with, too. Sizes are bytes, times are seconds, shares are percent.",
    example: r#"
local cpu, disk = sys.cpu(), sys.disk("/")
if cpu then log.info(("cpu %.0f%% of %d cores"):format(cpu.percent, cpu.cores)) end
if disk and disk.percent > 90 then log.warn("the disk is nearly full") end
"#,
    functions: &[
        function(
            "cpu",
            "Returns shares of the time since this script asked before, but of a second at least.",
        )
        .may_fail("Cpu", LOOKED),
        function("mem", "Returns how memory is used.").may_fail("Memory", LOOKED),
        function("load", "Returns the load averages.").may_fail("Load", LOOKED),
        function("disk", "Returns how the file system that a path lies in is used.")
            .takes(&[given("path", "string")])
            .may_fail("Disk", ASIDE)
            .waits(),
        function(
            "net",
            "Returns traffic since boot, and per second since this script asked before; of all \
             interfaces but the loopback one when none is named.",
        )
        .takes(&[perhaps("interface", "string")])
        .may_fail("Traffic", LOOKED),
        function("processes", "Lists all processes.").may_fail("{ Process }", ASIDE).waits(),
        function(
            "process",
            "Returns one process, by number or by name: of several that with the lowest number.",
        )
        .takes(&[given("pid_or_name", "number | string")])
        .may_fail("Process", ASIDE)
        .waits(),
        function("uptime", "Returns the seconds since boot.").may_fail("number", LOOKED),
        function("hostname", "Returns the machine's name.").may_fail("string", LOOKED),
    ],
    records: &[
        record_of(
            "Cpu",
            "Shares of CPU time, in percent.",
            &[
                field("percent", "number", "Everything but idling and waiting for disks."),
                field("user", "number", "In programs."),
                field("system", "number", "In the kernel."),
                field("idle", "number", "Idle."),
                field("iowait", "number", "Waiting for disks."),
                field("cores", "number", "How many there are."),
            ],
        ),
        record_of(
            "Memory",
            "Memory in bytes.",
            &[
                field("total", "number", "All there is."),
                field("used", "number", "What is not available."),
                field("available", "number", "What programs could still get."),
                field("percent", "number", "The share that is used."),
                field("swap_total", "number", "All swap there is."),
                field("swap_used", "number", "What of it is used."),
            ],
        ),
        record_of(
            "Load",
            "Load averages.",
            &[
                field("one", "number", "Over a minute."),
                field("five", "number", "Over five minutes."),
                field("fifteen", "number", "Over a quarter of an hour."),
            ],
        ),
        record_of(
            "Disk",
            "A file system, in bytes.",
            &[
                field("total", "number", "Its size."),
                field("used", "number", "What is used."),
                field("free", "number", "What may still be used."),
                field("percent", "number", "The share that is used, as `df` shows it."),
            ],
        ),
        record_of(
            "Traffic",
            "Network traffic.",
            &[
                field("rx_bytes", "number", "Bytes received since boot."),
                field("tx_bytes", "number", "Bytes sent since boot."),
                field("rx_rate", "number", "Bytes received per second."),
                field("tx_rate", "number", "Bytes sent per second."),
            ],
        ),
        record_of(
            "Process",
            "A process.",
            &[
                field("pid", "number", "Its number."),
                field("name", "string", "The program's name, of which the kernel keeps 15 bytes."),
                field(
                    "state",
                    "\"running\" | \"sleeping\" | \"waiting\" | \"stopped\" | \"zombie\" | \"idle\" | \"dead\"",
                    "What it is doing.",
                ),
                field("memory", "number", "Bytes in memory."),
                field("cpu_time", "number", "Seconds of CPU used so far."),
                maybe("user", "string", "Whose it is."),
            ],
        ),
    ],
    ..library("sys", "What this machine is doing.")
};

const LOOKED: &[&str] = &["not_found", "permission", "io"];
const ASIDE: &[&str] = &["not_found", "permission", "io", "timeout", "limit", "cancelled"];

/// The script's own configuration.
pub(super) const CONFIG: Library = Library {
    introduction: "The table itself is what `config = { … }` of the script's `[[script]]` section \
        says. `config.schema` checks it: an unknown key, a wrong type or a missing value stops the \
        script before it does anything.",
    example: r#"
local cfg = config.schema {
  uri = { "sip_uri", "sip:web1@example.com" },
  interval = { "duration", "10s" },
  note = "string?",
}
log.info("every " .. cfg.interval .. " s", { uri = cfg.uri, note = cfg.note })
"#,
    is_open: true,
    functions: &[
        function(
            "schema",
            "Checks this script's configuration and returns it with defaults. A field is \"type\", \
             \"type?\" (may be missing) or { \"type\", default }; types are string number boolean \
             duration path sip_uri list map secret. Durations come as seconds, paths as absolute \
             ones, secrets as config.secret reads them.",
        )
        .takes(&[given("fields", "{ [string]: any }")])
        .gives("{ [string]: any }"),
        function(
            "secret",
            "Returns the secret of a key that holds a text, { file = \"PATH\" }, { env = \"NAME\" } \
             or { credential = \"NAME\" }. In the log it shows as ***.",
        )
        .takes(&[given("name", "string")])
        .may_fail("string", &["not_found", "permission", "io"]),
    ],
    ..library("config", "The script's own table of the configuration.")
};

/// The log.
pub(super) const LOG: Library = Library {
    introduction: "Lines carry the script's name and the line that wrote them. Fields are shown \
        behind the message, sorted by name. `print` logs at info.",
    example: r#"
log.info("queue is long", { queue = "sales", waiting = 12 })
"#,
    functions: &[
        function("debug", "For who looks for a mistake.").takes(SAID),
        function("info", "A change that a user would notice.").takes(SAID),
        function("warn", "What may need someone.").takes(SAID),
        function("error", "What stopped working.").takes(SAID),
    ],
    ..library("log", "Lines in puad's log.")
};

const SAID: &[super::Parameter] =
    &[given("message", "any"), perhaps("fields", "{ [string]: any }")];

/// The script itself.
pub(super) const SCRIPT: Library = Library {
    introduction: "A script is reloaded when its file, a module it requires or its section of the \
        configuration changes: the new version runs beside the old one and takes over when its top \
        level went well.",
    example: r#"
script.state.runs = (script.state.runs or 0) + 1
script.on_ready(function() log.info("version " .. script.generation .. " counts") end)
script.on_stop(function(why) log.info("ends", { reason = why.reason }) end)
"#,
    fields: &[
        field("name", "string", "Its name."),
        field("generation", "number", "Counts the versions that have run, from 1."),
        field(
            "state",
            "{ [any]: any }",
            "Plain data (texts, numbers, booleans, tables of them) that a reload carries over.",
        ),
    ],
    functions: &[
        function(
            "on_ready",
            "Runs a function when this version has begun to count: after the first top level, or \
             at take-over.",
        )
        .takes(&[given("fn", "() -> ()")]),
        function(
            "on_stop",
            "Runs a function when this version ends, for two seconds at the most; the latest first.",
        )
        .takes(&[given("fn", "(why: StopReason) -> ()")]),
    ],
    records: &[record_of(
        "StopReason",
        "Why a version ends.",
        &[field("reason", "\"reload\" | \"disable\" | \"shutdown\"", "Why.")],
    )],
    ..library("script", "The script itself.")
};
