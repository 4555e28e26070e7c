//! `timer`, `task`: things that happen again, later, or side by side.

use super::{
    Handle, Library, Manner, Record, field, function, given, library, maybe, option, options,
    perhaps, record_of,
};

/// The library of timers.
pub(super) const TIMER_LIBRARY: Library = Library {
    introduction: "A timer's function gets one table that says which firing it is. An error in it \
        is logged and counted; the timer goes on. Timers with a name keep their phase over a \
        reload while their schedule stays the same.",
    example: r#"
timer.every("5m", function(t)
  log.info("run " .. t.run, { late = t.lateness })
end, { name = "report", jitter = "10s", immediate = true })

timer.cron("0 7 * * mon-fri", function()
  log.info("good morning")
end, { tz = "Europe/Berlin", missed = "once" })
"#,
    functions: &[
        function("every", "Calls `fn` again and again; the interval is at least 100 ms.")
            .takes(&[
                given("interval", "Duration"),
                given("fn", "(firing: Firing) -> ()"),
                perhaps("options", "EveryOptions"),
            ])
            .may_fail("Timer", MADE),
        function("after", "Calls `fn` once, when the delay is over.")
            .takes(&[
                given("delay", "Duration"),
                given("fn", "(firing: Firing) -> ()"),
                perhaps("options", "AfterOptions"),
            ])
            .may_fail("Timer", MADE),
        function(
            "at",
            "Calls `fn` once, at the next such time: \"14:00\", \"14:00:30\" or \"2026-12-24 \
             18:00\". A date that has passed fails with code `timeout`.",
        )
        .takes(&[
            given("time", "string"),
            given("fn", "(firing: Firing) -> ()"),
            perhaps("options", "AtOptions"),
        ])
        .may_fail("Timer", &["limit", "conflict", "timeout"]),
        function(
            "cron",
            "Calls `fn` by a line of a crontab: 5 fields, or 6 with the second first, or @hourly \
             @daily @weekly @monthly @yearly. Daylight saving is as crontab users know it.",
        )
        .takes(&[
            given("line", "string"),
            given("fn", "(firing: Firing) -> ()"),
            perhaps("options", "CronOptions"),
        ])
        .may_fail("Timer", MADE),
    ],
    records: &[EVERY_OPTIONS, AFTER_OPTIONS, AT_OPTIONS, CRON_OPTIONS, FIRING, TIMER_INFO],
    handles: &[TIMER],
    ..library("timer", "Things that happen again, or later.")
};

const MADE: &[&str] = &["limit", "conflict"];

const NAME_DOC: &str = "One timer at a time has it; with a name the phase is kept over a reload.";
const JITTER_DOC: &str =
    "A stable offset inside this span, different for each host, script and name.";
const OVERLAP_DOC: &str = "What becomes of a firing during a run.";
const MISSED_DOC: &str = "With \"once\", one run makes up for firings that could not take place.";
const TIMEOUT_DOC: &str = "The longest a run may take.";
const TZ_DOC: &str = "An IANA name such as \"Europe/Berlin\".";

/// Options of `timer.every`.
pub const EVERY_OPTIONS: Record = options(
    "EveryOptions",
    "How `timer.every` fires.",
    &[
        maybe("name", "string", NAME_DOC),
        option(
            "immediate",
            "boolean",
            "false",
            "Fires at once, too; not again when a reload keeps the phase.",
        ),
        option("jitter", "Duration", "0", JITTER_DOC),
        option("overlap", "\"skip\" | \"queue\"", "\"skip\"", OVERLAP_DOC),
        option("missed", "\"skip\" | \"once\"", "\"skip\"", MISSED_DOC),
        maybe("timeout", "Duration", TIMEOUT_DOC),
    ],
);

/// Options of `timer.after`.
pub const AFTER_OPTIONS: Record = options(
    "AfterOptions",
    "How `timer.after` fires.",
    &[maybe("name", "string", NAME_DOC), maybe("timeout", "Duration", TIMEOUT_DOC)],
);

/// Options of `timer.at`.
pub const AT_OPTIONS: Record = options(
    "AtOptions",
    "How `timer.at` fires.",
    &[
        maybe("name", "string", NAME_DOC),
        option("tz", "string", "the host's", TZ_DOC),
        maybe("timeout", "Duration", TIMEOUT_DOC),
    ],
);

/// Options of `timer.cron`.
pub const CRON_OPTIONS: Record = options(
    "CronOptions",
    "How `timer.cron` fires.",
    &[
        maybe("name", "string", NAME_DOC),
        option("tz", "string", "the host's", TZ_DOC),
        option("jitter", "Duration", "0", JITTER_DOC),
        option("overlap", "\"skip\" | \"queue\"", "\"skip\"", OVERLAP_DOC),
        option("missed", "\"skip\" | \"once\"", "\"skip\"", MISSED_DOC),
        maybe("timeout", "Duration", TIMEOUT_DOC),
    ],
);

const FIRING: Record = record_of(
    "Firing",
    "One firing, as a timer's function gets it.",
    &[
        maybe("name", "string", "The timer's name."),
        field("scheduled", "number", "When it was due, in UNIX seconds."),
        field("lateness", "number", "Seconds by which the run began late."),
        field("missed", "number", "Firings without a run since the one before."),
        field("run", "number", "Which run this is, from 1."),
    ],
);

const TIMER_INFO: Record = record_of(
    "TimerInfo",
    "What is known of a timer.",
    &[
        maybe("name", "string", "Its name."),
        field("kind", "\"every\" | \"after\" | \"at\" | \"cron\"", "Which call made it."),
        field("schedule", "string", "In words: \"every 5m\", \"at 02:30\", \"once at 14:00\"."),
        maybe("interval", "number", "Seconds, of one made by `every`."),
        maybe("delay", "number", "Seconds, of one made by `after`."),
        maybe("at", "string", "The time, of one made by `at`."),
        maybe("cron", "string", "The line, of one made by `cron`."),
        maybe("tz", "string", "The zone its times are in."),
        maybe("next", "number", "When it fires next, in UNIX seconds."),
        field("runs", "number", "Runs so far."),
        field("missed", "number", "Firings that did not lead to a run."),
        field("running", "boolean", "Whether a run is under way."),
    ],
);

/// What a script holds of a timer.
pub const TIMER: Handle = Handle {
    name: "Timer",
    called: "timer",
    doc: "A timer lives in puad: dropping the variable does not end it.",
    fields: &[],
    methods: &[
        function(
            "cancel",
            "Ends it; returns whether there was anything to end. A run that has begun goes on.",
        )
        .gives("boolean"),
        function("close", "The same as `cancel`.").gives("boolean"),
        function(
            "fire",
            "Fires by hand; returns whether it will run. One that fires once has fired then.",
        )
        .gives("boolean"),
        function("next", "Returns when it fires next, in UNIX seconds.").gives("number?"),
        function("info", "Returns what is known of it.").gives("TimerInfo"),
    ],
    manner: Manner::Class,
};

/// The library of tasks.
pub(super) const TASK_LIBRARY: Library = Library {
    introduction: "Everything may wait everywhere: in handlers, at top level, in coroutines and \
        under `pcall`. What waits suspends its own coroutine only, so a task is for what should \
        go on beside something else.",
    example: r#"
local both = task.all {
  function() sleep("10ms") return "first" end,
  function() return "second" end,
}
if both then log.info(both[1] .. " and " .. both[2]) end

local ticking = task.spawn(function()
  while true do sleep("1m") log.debug("still here") end
end)
if ticking then task.cancel(ticking) end
"#,
    functions: &[
        function("spawn", "Runs a function beside everything else, with these arguments.")
            .takes(&[given("fn", "(...any) -> ...any"), given("...", "any")])
            .may_fail("Task", &["limit"]),
        function("wait", "The same as `sleep`.").takes(&[given("duration", "Duration")]).waits(),
        function("cancel", "Ends a task where it waits; returns whether it had not ended.")
            .takes(&[given("task", "Task")])
            .gives("boolean"),
        function(
            "all",
            "Runs functions side by side and returns the first result of each, in their order, \
             with their number as `n`. An error in one ends the others and is raised as it is.",
        )
        .takes(&[given("fns", "{ () -> ...any }")])
        .may_fail("TaskResults", &["limit", "cancelled"])
        .waits(),
    ],
    records: &[Record {
        entries: Some(("number", "any")),
        ..record_of(
            "TaskResults",
            "What the functions of `task.all` returned.",
            &[field("n", "number", "How many there are; some may be nil.")],
        )
    }],
    handles: &[TASK],
    ..library("task", "Several things at a time.")
};

/// What a script holds of a task.
pub const TASK: Handle = Handle {
    name: "Task",
    called: "task",
    doc: "A task goes on when the variable is dropped.",
    fields: &[],
    methods: &[
        function("cancel", "Ends it where it waits; returns whether it had not ended.")
            .gives("boolean"),
        function("close", "The same as `cancel`.").gives("boolean"),
    ],
    manner: Manner::Class,
};
