//! The table of signatures against everything that must agree with it: the files written from it,
//! the libraries and handles of a real VM, the tables that calls return, the bindings' sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use puad::{
    command::{Change, Command, PublicationInfo, PublicationState, Reply},
    script::signatures::{
        self, ALIASES, ERROR, FILES, Field, Function, GLOBALS, Handle, LIBRARIES, Record, Results,
        libraries, types::Type,
    },
};
use serde_json::{Value, json};

use crate::support::{
    lua::Stage,
    program::{Folder, lines, text},
};

#[test]
fn the_files_in_scripts_are_those_the_table_makes() {
    for (name, write) in FILES {
        let there = fs::read_to_string(root().join("scripts").join(name)).unwrap_or_default();
        assert!(
            there == write(),
            "scripts/{name} is not what the table of signatures makes of it; write it anew: cargo run -- stubs scripts"
        );
    }
}

#[test]
fn every_library_has_what_the_table_says_and_nothing_else() {
    let mut source = String::from("local seen = {}\n");
    for library in LIBRARIES {
        source += &format!(
            "do local names = {{}} for name, value in pairs({0}) do names[name] = type(value) end seen.{0} = names end\n",
            library.name
        );
    }
    for function in GLOBALS {
        source += &format!("assert(type({}) == 'function')\n", function.name);
    }
    source += SAY;
    let seen: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&Stage::run(&source).said()).expect("names");
    for library in LIBRARIES {
        let functions = library.functions.iter().map(|function| (function.name, "function"));
        let fields = library.fields.iter().map(|field| match field.r#type {
            "any" => (field.name, "userdata"),
            "string" | "number" => (field.name, field.r#type),
            _ => (field.name, "table"),
        });
        let listed: BTreeMap<_, _> = functions.chain(fields).collect();
        let found = seen[library.name].iter().map(|(name, of)| (name.as_str(), of.as_str()));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), listed, "{}", library.name);
    }
}

#[test]
fn the_library_of_test_files_has_what_the_table_says_and_nothing_else() {
    let mut source = String::from(
        "local function names(t)\n\tlocal all = {}\n\tfor name in pairs(t) do table.insert(all, name) end\n\ttable.sort(all)\n\treturn all\nend\n",
    );
    let list = |mut names: Vec<&str>| {
        names.sort_unstable();
        format!(
            "{{ {} }}",
            names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        )
    };
    source += "test.case(\"names\", function()\n";
    let library = signatures::TEST;
    source += &format!("\ttest.eq(names(test), {})\n", list(library.names()));
    for inner in library.inner {
        source += &format!("\ttest.eq(names(test.{}), {})\n", inner.name, list(inner.names()));
    }
    source += "end)\n";
    let folder = Folder::new(&[("names_test.lua", &source)]);
    let output = folder.puad(&["test", "names_test.lua"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_handle_has_what_the_table_says_and_refuses_other_names() {
    let makers = [
        ("Publication", PUBLISH, "publication: unknown name"),
        ("Body", "body.raw('text/plain', 'x')", "body: unknown name"),
        ("Timer", "timer.after('1h', print)", "timer: unknown name"),
        ("Task", "task.spawn(function() sleep('1h') end)", "task: unknown name"),
        ("Watch", "fs.watch('w', print)", "watch: unknown name"),
        ("Kv", "kv.shared('common')", "kv.shared(\"common\"): unknown name"),
        ("XmlNode", "xml.parse('<a:b xmlns:a=\"urn:x\"/>')", ""),
        ("Counter", "metrics.counter('a')", "counter a: unknown name"),
        ("Gauge", "metrics.gauge('b')", "gauge b: unknown name"),
        ("Histogram", "metrics.histogram('c')", "histogram c: unknown name"),
    ];
    for handle in libraries().flat_map(|library| library.handles) {
        let (_, make, refusal) =
            makers.iter().find(|(name, ..)| *name == handle.name).expect("a way to make one");
        let (stage_source, names) = (probe(handle, make), handle.names());
        let mut stage = Stage::set(&stage_source, |spec| spec.allow.kv = vec!["common".into()]);
        if handle.name == "Publication" {
            stage.granted();
        }
        let said: Value = serde_json::from_str(&stage.said()).expect("JSON");
        for name in names {
            let expected = if handle.has_method(name) { "function" } else { "" };
            let found = said["found"][name].as_str().unwrap_or("nil");
            assert!(
                found.starts_with(expected) && found != "nil",
                "{}.{name}: {found}",
                handle.name
            );
        }
        // A node is plain data, which a script may add to.
        if !refusal.is_empty() {
            let wrong = said["wrong"].as_str().expect("a message");
            assert!(
                wrong.contains(&format!("/test.lua:2: {refusal}"))
                    && wrong.contains("did you mean"),
                "{wrong}"
            );
        }
    }
}

/// A script that says of which type each name of a handle is, and what a misspelt one raises.
fn probe(handle: &Handle, make: &str) -> String {
    let names = handle.names();
    let last = names.last().expect("a name");
    let misspelt = format!("{last}{}", last.chars().last().expect("a letter"));
    let list: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    // The second line is the one that must be named.
    format!(
        "local h = assert({make}) local ok, wrong = pcall(function()\nreturn h.{misspelt}\nend)\n\
         local seen = {{ found = {{}}, wrong = not ok and wrong or nil }}\n\
         for _, name in {{ {} }} do seen.found[name] = type(h[name]) end\n{SAY}",
        list.join(", ")
    )
}

#[test]
fn what_calls_return_is_what_the_table_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["Maildir/new", "Maildir/cur"] {
        fs::create_dir_all(folder.path().join(part)).expect("made");
    }
    fs::write(folder.path().join("file"), "x").expect("written");
    std::os::unix::fs::symlink("file", folder.path().join("link")).expect("linked");
    let roots = vec![folder.path().to_owned()];
    let mut stage = Stage::in_folder(folder, SAMPLES, |spec| {
        spec.allow.fs = roots;
        spec.allow.exec = vec!["sh".into()];
    });
    let published = stage.granted();
    stage.tell(&published, Change::Published, None);
    let (command, reply) = stage.command();
    assert!(matches!(command, Command::Publications { .. }), "{command:?}");
    let info = PublicationInfo {
        key: published.key(),
        presentity_uri: "sip:a@example.com".into(),
        event: "presence".into(),
        id: "default".into(),
        owner: published.owner.clone(),
        state: PublicationState::Retrying,
        entity_tag: None,
        expires_at: Some(1.0),
        next_refresh: Some(2.5),
        status: Some(503),
        reason: Some("Busy".into()),
        requests: 2,
        failures: 1,
        last_error: Some("busy".into()),
        document: None,
    };
    reply.send(Reply::Publications(vec![info])).expect("the script waits");
    let said = match stage.command() {
        (Command::Publish(said), _) => said.document.expect("a body").body,
        (other, _) => panic!("{other:?}: {:?}", stage.loaded()),
    };
    let samples: Vec<(String, Value)> = serde_json::from_slice(&said).expect("JSON");
    let mut seen = BTreeSet::new();
    for (name, sample) in &samples {
        conforms(sample, &Type::parse(name).expect("a type"))
            .unwrap_or_else(|why| panic!("{name}: {why} in {sample}"));
        seen.insert(name.as_str());
    }
    for name in SAMPLED {
        assert!(seen.contains(name), "no {name} in {seen:?}");
    }
}

/// Tables that [`SAMPLES`] must bring.
const SAMPLED: &[&str] = &[
    "Cpu",
    "Memory",
    "Load",
    "Disk",
    "Traffic",
    "{ Process }",
    "Process",
    "TimerInfo",
    "Firing",
    "MailCounts",
    "FileInfo",
    "{ FileEntry }",
    "Change",
    "Finished",
    "PublicationState",
    "{ PublicationInfo }",
    "Error",
    "TaskResults",
];

const SAMPLES: &str = r#"
local seen = {}
local function see(name, value) table.insert(seen, { name, value }) end
see("Cpu", assert(sys.cpu()))
see("Memory", assert(sys.mem()))
see("Load", assert(sys.load()))
see("Disk", assert(sys.disk(".")))
see("Traffic", assert(sys.net()))
local processes = assert(sys.processes())
see("{ Process }", processes)
see("Process", assert(sys.process(processes[1].pid)))
see("number", assert(sys.uptime()))
see("string", assert(sys.hostname()))
local fired
local every = assert(timer.every("1h", function(t) fired = t end, { name = "n", immediate = true }))
see("TimerInfo", every:info())
see("TimerInfo", assert(timer.after("1h", print)):info())
see("TimerInfo", assert(timer.at("14:00", print)):info())
see("TimerInfo", assert(timer.cron("@daily", print)):info())
while not fired do sleep("1ms") end
see("Firing", fired)
see("MailCounts", assert(mail.maildir("Maildir")))
see("FileInfo", assert(fs.stat("file")))
see("FileInfo", assert(fs.stat("link")))
see("{ FileEntry }", assert(fs.list(".")))
local change
fs.watch("file", function(c) change = c end, { initial = true, settle = 0 })
while not change do sleep("1ms") end
see("Change", change)
see("Finished", assert(exec.run { "sh", "-c", "exit 3" }))
see("Finished", assert(exec.run { "sh", "-c", "kill -9 $$" }))
local results = {}
for name, value in assert(task.all { function() return 1 end, function() return 2 end }) do
    results[tostring(name)] = value
end
see("TaskResults", results)
for _, e in {
    select(2, json.decode("[")), select(2, fs.read("/etc/passwd")), select(2, fs.read("none")),
    select(2, exec.run { "ls" }), select(2, timer.every("1h", print, { name = "n" })),
    select(2, http.get("http://127.0.0.1:9/")), select(2, sys.process(2147483647)),
} do see("Error", e) end
local state
pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = "x",
    on_state = function(s) state = s end }
while not state do sleep("1ms") end
see("PublicationState", state)
see("{ PublicationInfo }", pua.publications())
pua.send_publish { presentity_uri = "sip:a@example.com", event = "presence", id = "said",
    body = json.encode(seen) }
"#;

/// Holds a value, as JSON, against a type of the table.
fn conforms(value: &Value, of: &Type) -> Result<(), String> {
    let refused = || Err(format!("{value} is not {of}"));
    let holds = |is: bool| if is { Ok(()) } else { refused() };
    match of {
        Type::Name(name) => match name.as_str() {
            "any" => Ok(()),
            "string" => holds(value.is_string()),
            "number" => holds(value.is_number()),
            "boolean" => holds(value.is_boolean()),
            name => match signatures::record(name) {
                Some(record) => conforms_to_record(value, record),
                None => Err(format!("{name} is no record")),
            },
        },
        Type::Text(text) => holds(value == text.as_str()),
        Type::Optional(inner) => {
            if value.is_null() {
                Ok(())
            } else {
                conforms(value, inner)
            }
        }
        Type::Union(all) => holds(all.iter().any(|one| conforms(value, one).is_ok())),
        Type::List(inner) => match value {
            Value::Array(list) => list.iter().try_for_each(|one| conforms(one, inner)),
            // An empty table is written as an object.
            Value::Object(none) if none.is_empty() => Ok(()),
            _ => refused(),
        },
        Type::Map(_, inner) => match value {
            Value::Object(rows) => rows.values().try_for_each(|one| conforms(one, inner)),
            _ => refused(),
        },
        Type::Table(_) | Type::Function(..) | Type::Many(_) => Err(format!("{of} is not compared")),
    }
}

fn conforms_to_record(value: &Value, record: &Record) -> Result<(), String> {
    let Value::Object(rows) = value else { return Err(format!("{value} is no table")) };
    for field in record.fields {
        match rows.get(field.name) {
            None if field.is_optional => {}
            None => return Err(format!("{} is missing", field.name)),
            Some(found) => conforms(found, &Type::parse(field.r#type).expect("a type"))
                .map_err(|why| format!("{}: {why}", field.name))?,
        }
    }
    // Places in a row have numbers.
    let is_place = |name: &str| record.entries.is_some() && name.parse::<u32>().is_ok();
    match rows.keys().find(|name| !record.has(name) && !is_place(name)) {
        Some(other) => Err(format!("{other} is not in the table")),
        None => Ok(()),
    }
}

#[test]
fn every_type_and_code_in_the_table_is_known() {
    let mut known: BTreeSet<&str> =
        ["string", "number", "boolean", "any", "false", "Error"].into_iter().collect();
    known.extend(ALIASES.iter().map(|alias| alias.name));
    for library in libraries() {
        let records = library.records.iter().map(|record| record.name);
        for name in records.chain(library.handles.iter().map(|handle| handle.name)) {
            assert!(known.insert(name), "{name} is there twice");
        }
    }
    let codes = Type::parse(ERROR.fields[0].r#type).expect("a type");
    let check = |text: &str| {
        let of = Type::parse(text).unwrap_or_else(|error| panic!("{error}"));
        for name in of.names() {
            assert!(known.contains(name), "{text}: {name} is not in the table");
        }
    };
    let check_fields = |fields: &[Field]| {
        for field in fields {
            check(field.r#type);
            assert!(field.doc.ends_with('.'), "{}: {:?}", field.name, field.doc);
        }
    };
    let check_functions = |functions: &[Function]| {
        for function in functions {
            assert!(function.doc.ends_with('.'), "{}: {:?}", function.name, function.doc);
            function.parameters.iter().for_each(|parameter| check(parameter.r#type));
            function.otherwise.into_iter().flatten().for_each(|one| check(one.r#type));
            match function.results {
                Results::Nothing => {}
                Results::Value(text) => check(text),
                Results::OrError(text, all) => {
                    check(text);
                    for code in all {
                        conforms(&json!(code), &codes).expect("a code of the table");
                    }
                }
            }
        }
    };
    check_functions(GLOBALS);
    check_fields(ERROR.fields);
    for library in libraries() {
        check_fields(library.fields);
        check_functions(library.functions);
        library.inner.iter().for_each(|inner| check_functions(inner.functions));
        for record in library.records {
            check_fields(record.fields);
        }
        for handle in library.handles {
            check_fields(handle.fields);
            check_functions(handle.methods);
        }
    }
}

/// A binding that reads what the table does not have is stopped when it does so; this is the other
/// way round.
#[test]
fn every_option_of_the_table_is_read_by_a_binding() {
    let mut sources = String::new();
    collect(&root().join("src/script/api"), &mut sources);
    for record in libraries().flat_map(|library| library.records) {
        let is_read = sources.contains(&format!("signatures::{}", constant(record.name)));
        assert!(is_read || !record.is_options, "{}", record.name);
        for field in record.fields.iter().filter(|_| record.is_options) {
            // Figures of `sys` are read by the table itself.
            let literal = format!("{:?}", field.name);
            assert!(sources.contains(&literal), "{}.{} is never read", record.name, field.name);
        }
    }
}

/// The name that a record has in Rust.
fn constant(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

fn collect(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *out += &fs::read_to_string(path).expect("a source");
        }
    }
}

#[test]
fn the_stubs_are_luau_and_lua() {
    let lua = mlua::Lua::new();
    for (name, write) in FILES {
        let source = match *name {
            signatures::STUBS_LUAU => as_luau(&write()),
            signatures::STUBS_LUALS => write(),
            _ => continue,
        };
        if let Err(error) = lua.load(&source).set_name(*name).into_function() {
            panic!("{error}");
        }
    }
}

/// Turns definitions, which only editors read, into the Luau that says the same.
fn as_luau(definitions: &str) -> String {
    let mut out = String::new();
    let mut lines = definitions.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("declare class ") {
            // Its fields are a type, its methods functions.
            let (mut fields, mut methods) = (String::new(), String::new());
            for line in lines.by_ref().take_while(|line| *line != "end") {
                if line.starts_with("\tfunction ") {
                    methods += &format!("local {} return nil :: any end\n", line.trim_start());
                } else if !line.trim_start().starts_with("--") {
                    fields += &format!("{line},\n");
                }
            }
            out += &format!("export type {name} = {{\n{fields}}}\ndo\n{methods}end\n");
        } else if let Some(function) = line.strip_prefix("declare function ") {
            out += &format!("local function {function} return nil :: any end\n");
        } else if let Some(rest) = line.strip_prefix("declare ") {
            out += &format!("local {rest}\n");
        } else {
            out += &format!("{line}\n");
        }
    }
    out
}

#[test]
fn stubs_are_written_into_a_folder_and_settings_left_alone() {
    let folder = Folder::new(&[("here/.luaurc", "{}")]);
    let first = folder.puad(&["stubs", "here"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    assert_eq!(
        lines(&first.stdout)[..5],
        [
            "here/puad.d.luau: written",
            "here/puad.meta.lua: written",
            "here/REFERENCE.md: written",
            "here/.luaurc: left as it is",
            "here/.luarc.json: written",
        ]
    );
    for (name, write) in FILES {
        let there = fs::read_to_string(folder.path().join("here").join(name));
        assert_eq!(there.expect("written"), write(), "{name}");
    }
    let read = |name: &str| fs::read_to_string(folder.path().join("here").join(name)).expect("it");
    assert_eq!(read(".luaurc"), "{}");
    let settings: Value = serde_json::from_str(&read(".luarc.json")).expect("JSON");
    assert_eq!(settings["runtime.version"], "Lua 5.1");

    // An older one is replaced; somebody else's is not.
    folder.write("here/puad.d.luau", "-- Written by `puad stubs`, long ago\n");
    folder.write("here/.luarc.json", "mine");
    let second = folder.puad(&["stubs", "here"]);
    assert_eq!(
        lines(&second.stdout)[..5],
        [
            "here/puad.d.luau: written anew",
            "here/puad.meta.lua: as it was",
            "here/REFERENCE.md: as it was",
            "here/.luaurc: left as it is",
            "here/.luarc.json: left as it is",
        ]
    );
    assert_eq!(read(".luarc.json"), "mine");
    folder.write("here/REFERENCE.md", "# My own\n");
    let third = folder.puad(&["stubs", "here"]);
    assert_eq!(third.status.code(), Some(78));
    assert_eq!(
        text(&third.stderr),
        "puad: here/REFERENCE.md is not a file that puad has written; move it away first\n"
    );
    assert_eq!(read("REFERENCE.md"), "# My own\n");
}

#[test]
fn luaus_own_settings_name_every_global() {
    let folder = Folder::new(&[]);
    assert_eq!(folder.puad(&["stubs", "new/folder"]).status.code(), Some(0));
    let text = fs::read_to_string(folder.path().join("new/folder/.luaurc")).expect("written");
    let settings: Value = serde_json::from_str(&text).expect("JSON");
    for name in LIBRARIES.iter().map(|library| library.name).chain(["sleep", "test"]) {
        let globals = settings["globals"].as_array().expect("a list");
        assert!(globals.contains(&json!(name)), "{name}");
    }
}

#[test]
fn a_misspelt_method_is_told_on_its_line() {
    let source = "local t = timer.after('1h', print)\nt:cancle()";
    let problem = Stage::run(source).loaded().expect_err("a mistake");
    let expected = "/test.lua:2: timer: unknown name 'cancle' (did you mean 'cancel'?)";
    assert!(problem.message.ends_with(expected), "{problem}");
}

#[test]
fn a_handle_that_is_asked_for_nothing_it_knows_lists_what_there_is() {
    let source = "local w = task.spawn(print)\nlocal x = w[1]";
    let problem = Stage::run(source).loaded().expect_err("a mistake");
    let expected = "/test.lua:2: task: unknown name '1' (there are: cancel, close)";
    assert!(problem.message.ends_with(expected), "{problem}");
}

/// Says what has been seen.
const SAY: &str = "pua.send_publish { presentity_uri = 'sip:said@example.com', event = 'presence', body = json.encode(seen) }\n";
const PUBLISH: &str =
    "pua.publish { presentity_uri = 'sip:a@example.com', event = 'presence', body = 'x' }";

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
