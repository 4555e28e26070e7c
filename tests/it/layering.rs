//! What may name what: the core sees nothing from outside, and nothing points upwards.

use std::{fs, path::Path};

#[test]
fn the_core_names_no_clock_socket_file_random_source_runtime_or_lua() {
    let banned = [
        "Instant::now",
        "SystemTime",
        "std::fs",
        "std::io::",
        "std::thread",
        "std::env::",
        "std::process",
        "UdpSocket",
        "TcpStream",
        "tokio",
        "mlua",
        "getrandom",
        "rand::",
        "hickory",
        "notify::",
        "rustix",
        "procfs",
        "jiff::Timestamp::now",
    ];
    for (path, text) in sources(&["src/sip", "src/body", "src/agent"]) {
        // The agent on sockets; the rest of the agent is as pure as the core.
        if path == "src/agent/serve.rs" {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in banned {
                assert!(!line.contains(word), "{path}:{number} names {word}: {line}");
            }
        }
    }
}

#[test]
fn nothing_points_upwards() {
    // From the bottom upwards; who stands on a line may name what stands on earlier ones.
    let lower = ["sip", "command", "body", "secret", "observe", "net", "driver", "script"];
    let upper = ["control", "config", "daemon", "cli", "agent", "demo"];
    let all = || lower.into_iter().chain(upper);
    for (folders, may_name) in [
        // These two know each other.
        (&["src/sip", "src/command"][..], &["sip", "command"][..]),
        (&["src/body"], &["sip", "command", "body"]),
        (&["src/secret.rs"], &["command", "secret"]),
        (&["src/observe"], &["command", "observe"]),
        (&["src/net"], &["sip", "command", "net"]),
        (&["src/driver.rs", "src/driver"], &["sip", "command", "net", "driver"]),
        (&["src/agent"], &["sip", "net", "agent"]),
        (&["src/script"], &["sip", "command", "body", "secret", "observe", "driver", "script"]),
        (&["src/control"], &["command", "observe", "control"]),
        (&["src/config"], &["sip", "command", "secret", "observe", "net", "script", "config"]),
        (
            &["src/daemon.rs", "src/daemon"],
            &[
                "sip", "command", "observe", "net", "driver", "script", "control", "config",
                "daemon",
            ],
        ),
    ] {
        let above: Vec<&str> = all().filter(|module| !may_name.contains(module)).collect();
        for (path, text) in sources(folders) {
            for (number, module) in own_modules(&text) {
                assert!(
                    !above.contains(&module),
                    "{path}:{number} names {module}, which stands above it"
                );
            }
        }
    }
}

#[test]
fn no_rsip_parser_sees_network_bytes() {
    for (path, text) in sources(&["src"]) {
        for (number, line) in code_lines(&text) {
            for call in [
                "SipMessage::try_from",
                "Uri::try_from",
                "Request::try_from",
                "Response::try_from",
                ".typed()",
                "DigestGenerator",
            ] {
                assert!(!line.contains(call), "{path}:{number} calls {call}: {line}");
            }
        }
    }
}

/// Top-level modules of the crate that a file names, alone (`crate::net`) or in a group
/// (`crate::{net::Bound, sip}`), with the lines where they stand.
fn own_modules(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut depth = 0;
    for (number, line) in code_lines(text) {
        let mut rest = line;
        while let Some(at) = rest.find("crate::").filter(|_| depth == 0) {
            rest = &rest[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                depth = 1;
                rest = group;
            } else {
                found.push((number, word(rest)));
            }
        }
        if depth == 0 {
            continue;
        }
        // Inside a group, the words at its first level are modules.
        let mut expects_module = true;
        for (at, character) in rest.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => expects_module = true,
                _ if depth == 1 && expects_module && character.is_alphabetic() => {
                    found.push((number, word(&rest[at..])));
                    expects_module = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[test]
fn grouped_and_single_imports_are_seen() {
    let text = "use crate::{\n    command::{self, Owner},\n    net::Bound, sip,\n};\nuse crate::script;\nlet x = crate::cli::run();";
    let modules: Vec<_> = own_modules(text).into_iter().map(|(_, module)| module).collect();
    assert_eq!(modules, ["command", "net", "sip", "script", "cli"]);
}

/// Lines of code with their numbers: no comments, nothing after the start of a file's tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line))
}

fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path).expect("a folder of the project") {
                left.push(entry.expect("an entry").path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is text");
            found.push((
                path.strip_prefix(root).expect("below the root").display().to_string(),
                text,
            ));
        }
    }
    assert!(!found.is_empty(), "nothing to read in {folders:?}");
    found
}
