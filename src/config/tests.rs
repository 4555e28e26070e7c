//! What a configuration leads to, and the words for every kind of mistake in one.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::sip::auth::Algorithm;

/// Loads a configuration whose folder holds these files as well.
fn load_with(
    text: &str,
    files: &[(&str, &str)],
    wanted: &Wanted,
) -> (TempDir, Result<Config, Problems>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let file = folder.path().join("puad.toml");
    fs::write(&file, text).unwrap();
    let credentials = folder.path().to_string_lossy().into_owned();
    let environment = move |name: &str| match name {
        "PW" => Some("from the environment".to_owned()),
        "EMPTY" => Some(String::new()),
        "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
        _ => None,
    };
    let loaded = load_in(Some(&file), wanted, false, &environment);
    (folder, loaded)
}

fn load(text: &str) -> Config {
    load_with(text, &[], &Wanted::Nothing).1.unwrap()
}

/// What is wrong, with the folder cut off.
fn problems_with(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (folder, loaded) = load_with(text, files, &Wanted::Configured);
    let folder = format!("{}/", folder.path().display());
    let problems = loaded.expect_err("a mistake").0;
    problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
}

fn problem(text: &str) -> String {
    let problems = problems_with(text, &[]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = load("");
    assert_eq!(config.listen[0], Listen::parse("udp:0.0.0.0:0").unwrap());
    assert!(config.sip.accounts.is_empty() && config.sip.outbound_proxy.is_empty());
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.scripts_dir, None);
}

#[test]
fn every_setting_arrives_where_it_belongs() {
    let config = load(
        r#"
        [sip]
        listen = ["udp:127.0.0.1:0", "tcp:[::1]:5070"]
        outbound_proxy = ["sip:a.example;lr", "sip:b.example"]
        advertise = "2001:db8::1"
        user_agent = "lamp"
        t1 = 0.25
        t2 = "2s"
        t4 = 3

        [[account]]
        name = "work"
        domain = "Example.COM"
        username = "alice"
        password = "plain"
        realms = ["a", "b"]
        outbound_proxy = "sip:edge.example.com;lr"
        minimum_algorithm = "sha-256"

        [[account]]
        domain = "example.net"
        username = "bob"
        password = { env = "PW" }

        [control]
        socket = "run/puad.sock"

        [metrics]
        listen = "[::1]:9560"

        [log]
        format = "json"
        level = "debug"
        "#,
    );
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.listen[1].to_string(), "tcp:[::1]:5070");
    assert_eq!(config.sip.outbound_proxy[1].as_str(), "sip:b.example");
    assert_eq!(config.sip.advertise.as_deref(), Some("[2001:db8::1]"));
    assert_eq!(config.sip.user_agent.as_deref(), Some("lamp"));
    assert_eq!(config.sip.t1, Duration::from_millis(250));
    assert_eq!((config.sip.t2, config.sip.t4), (Duration::from_secs(2), Duration::from_secs(3)));
    assert!(config.control_socket.unwrap().ends_with("run/puad.sock"));
    assert_eq!(config.metrics_listen, Some("[::1]:9560".parse().unwrap()));
    assert_eq!((config.log_format, config.log_level), (Format::Json, LogLevel::Debug));
    let [work, net] = &config.sip.accounts[..] else { panic!("two accounts") };
    assert_eq!(work.name.as_deref(), Some("work"));
    assert_eq!((&*work.domain, &*work.username), ("example.com", "alice"));
    assert_eq!(work.password.expose(), "plain");
    assert_eq!(work.realms, ["a", "b"]);
    assert_eq!(work.outbound_proxy[0].as_str(), "sip:edge.example.com;lr");
    assert_eq!(work.minimum_algorithm, Algorithm::Sha256);
    assert_eq!(net.realms, ["example.net"], "the domain, where nothing is said");
    assert_eq!(net.minimum_algorithm, Algorithm::Md5);
    assert_eq!(net.password.expose(), "from the environment");
}

#[test]
fn an_empty_user_agent_leaves_the_header_out() {
    assert_eq!(load("[sip]\nuser_agent = \"\"").sip.user_agent, None);
}

#[test]
fn a_secret_comes_from_a_file_or_a_credential_without_its_line_end() {
    for source in ["file", "credential"] {
        let text = account(&format!("{{ {source} = \"pw\" }}"));
        let (_folder, config) = load_with(&text, &[("pw", "s e\r\n")], &Wanted::Nothing);
        assert_eq!(config.unwrap().sip.accounts[0].password.expose(), "s e", "{source}");
    }
}

#[test]
fn a_secret_that_everybody_may_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("pw");
    fs::write(&secret, "s").unwrap();
    let file = folder.path().join("puad.toml");
    fs::write(&file, account("{ file = \"pw\" }")).unwrap();
    let load = |mode| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        load_in(Some(&file), &Wanted::Nothing, false, &|_| None)
            .map_err(|problems| problems.to_string())
    };
    for mode in [0o644, 0o604, 0o602] {
        let refused = load(mode).unwrap_err();
        let expected = format!(
            "everybody on this machine may read or change {0} (mode {mode:04o}); run `chmod o= {0}`",
            secret.display()
        );
        assert!(refused.ends_with(&expected), "{refused}");
    }
    for mode in [0o600, 0o640, 0o400] {
        assert!(load(mode).is_ok(), "{mode:o}");
    }
    // systemd makes credentials readable for the service alone.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, account("{ credential = \"pw\" }")).unwrap();
    let credentials = folder.path().display().to_string();
    assert!(load_in(Some(&file), &Wanted::Nothing, false, &|_| Some(credentials.clone())).is_ok());
}

#[test]
fn the_control_socket_can_be_found_without_the_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puad.toml");
    fs::write(&file, account("{ file = \"none\" }") + "[control]\nsocket = \"a.sock\"\n").unwrap();
    assert_eq!(control_socket(&file).unwrap(), Some(folder.path().join("a.sock")));
    fs::write(&file, "").unwrap();
    assert_eq!(control_socket(&file).unwrap(), None);
    fs::write(&file, "[control]\nsocket = 1\n").unwrap();
    let wrong = control_socket(&file).unwrap_err().to_string();
    assert!(wrong.contains("puad.toml:2: [control]: socket: 1 is not a text"), "{wrong}");
}

#[test]
fn unknown_keys_come_with_a_suggestion_or_a_list() {
    assert_eq!(
        problem("# lamps\n\n[sip]\noutbond_proxy = \"sip:a.example\""),
        "puad.toml:4: [sip]: unknown key 'outbond_proxy' (did you mean 'outbound_proxy'?)"
    );
    assert_eq!(
        problem("[log]\ncolour = true"),
        "puad.toml:2: [log]: unknown key 'colour' (there are: format, level)"
    );
    assert_eq!(problem("[sipp]\n"), "puad.toml:1: unknown section 'sipp' (did you mean 'sip'?)");
    assert_eq!(
        problem("listen = \"udp:127.0.0.1:0\""),
        "puad.toml:1: unknown key 'listen' (there are: sip, account, scripts, script, control, metrics, log)"
    );
    assert_eq!(
        problems_with("[[script]]\nfile = \"a.lua\"\nlimits = { memry = 1 }", &[("a.lua", "")]),
        ["puad.toml:3: [[script]]: limits: unknown key 'memry' (did you mean 'memory'?)"]
    );
}

#[test]
fn independent_mistakes_are_told_together_in_the_order_of_the_file() {
    let text = "[sip]\nlistn = \"x\"\nt1 = \"soon\"\n[[account]]\ndomain = \"a.example\"\n[log]\nlevel = 1\n";
    assert_eq!(
        problems_with(text, &[]),
        [
            "puad.toml:2: [sip]: unknown key 'listn' (did you mean 'listen'?)",
            "puad.toml:3: [sip]: t1: \"soon\" is not a duration (seconds, or text such as \"500ms\", \"30s\", \"5m\", \"1h30m\", \"1d\")",
            "puad.toml:4: [[account]]: username is missing; write username = \"alice\"",
            "puad.toml:4: [[account]]: password is missing; write password = { env = \"ALICE_PW\" }",
            "puad.toml:7: [log]: level: 1 is not a text; write it in quotes",
        ]
    );
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let text = "[sip]\nlisten = udp\noutbond_proxy = \"x\"\nt1 = 1\nt1 = 2\n";
    assert_eq!(
        problems_with(text, &[]),
        [
            "puad.toml:2: string values must be quoted, expected literal string",
            "puad.toml:5: duplicate key",
        ]
    );
}

#[test]
fn values_of_the_wrong_kind_say_what_would_be_right() {
    for (text, expected) in [
        ("sip = 1", "sip: 1 is not a table"),
        ("[sip]\nt1 = true", "[sip]: t1: true is not a duration"),
        ("[sip]\nt1 = 0", "[sip]: t1: must be longer than 0"),
        ("[sip]\nlisten = []", "[sip]: listen: the list is empty"),
        ("[sip]\nlisten = 5060", "[sip]: listen: 5060 is not a text; write it in quotes"),
        ("[sip]\nlisten = \"127.0.0.1\"", "[sip]: listen: \"127.0.0.1\" is no listen entry"),
        ("[sip]\nlisten = \"udp:localhost:1\"", "\"localhost:1\" is no numeric address"),
        ("[sip]\noutbound_proxy = \"a.example\"", "[sip]: outbound_proxy: \"a.example\""),
        ("[sip]\noutbound_proxy = \"tel:1\"", "[sip]: outbound_proxy: \"tel:1\" is not a SIP URI"),
        ("[sip]\noutbound_proxy = \"sips:a.example\"", "which this version does not speak"),
        ("[sip]\nadvertise = \"a.example:5060\"", "\"a.example:5060\" is not a host"),
        ("[sip]\nadvertise = \"x@a.example\"", "\"x@a.example\" is not a host"),
        (
            "[sip]\nuser_agent = \"a\\r\\nB: c\"",
            "[sip]: user_agent: \"a\\r\\nB: c\" holds a control",
        ),
        ("[account]\ndomain = \"a\"", "[account]: there may be several; write [[account]]"),
        ("account = 1", "account: a section is expected; write [[account]]"),
        ("[log]\nlevel = \"loud\"", "\"loud\" is not one of \"error\", \"warn\", \"info\""),
        ("[log]\nformat = \"xml\"", "\"xml\" is not one of \"text\", \"json\", \"journald\""),
        ("[control]\nsocket = \"\"", "[control]: socket: the text is empty"),
        ("[control]\nsokcet = \"a\"", "unknown key 'sokcet' (did you mean 'socket'?)"),
        ("[metrics]\nlisten = 9560", "[metrics]: listen: 9560 is not a text"),
        ("[metrics]\nlisten = \"localhost:9560\"", "\"localhost:9560\" is not a numeric address"),
        ("[scripts]\ndir = \"none\"", "[scripts]: dir: cannot open none: No such file"),
        ("[scripts]\ndir = \"puad.toml\"", "[scripts]: dir: puad.toml is not a folder"),
    ] {
        let found = problem(text);
        assert!(found.contains(expected), "{text:?}: {found}");
    }
}

#[test]
fn settings_of_a_script_are_checked() {
    for (text, expected) in [
        ("limits = { memory = \"32\" }", "limits: memory: 32 bytes hold no script"),
        ("limits = { memory = \"1 apple\" }", "memory: \"1 apple\" is not a size"),
        ("limits = { cpu = \"0s\" }", "limits: cpu: must be longer than 0"),
        ("limits = { timers = 0 }", "limits: timers: 0 is not a number of at least 1"),
        ("limits = { timers = \"many\" }", "timers: \"many\" is not a number"),
        ("limits = 5", "limits: 5 is not a table"),
        ("config = 5", "[[script]]: config: 5 is not a table, such as { a = 1 }"),
        ("name = \"\"", "[[script]]: name: the text is empty"),
        ("allow = { http = 5 }", "allow: http: 5 is not a text"),
        ("allow = { http = \"http://a\" }", "allow: http: \"http://a\" is not a host, such as"),
        ("allow = { imap = [\"a\", \"*\"] }", "allow: imap: \"*\" is not a host, such as"),
        ("allow = { exec = \"./df\" }", "allow: exec: \"./df\" is not a program: write"),
        ("allow = { htp = \"a\" }", "allow: unknown key 'htp' (did you mean 'http'?)"),
    ] {
        let text = format!("[[script]]\nfile = \"a.lua\"\n{text}");
        let found = problems_with(&text, &[("a.lua", "")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("puad.toml:3: [[script]]: "), "{found:?}");
        assert!(found[0].contains(expected), "{text:?}: {found:?}");
    }
    assert_eq!(
        problem("[[script]]"),
        "puad.toml:1: [[script]]: file is missing; write file = \"cpu.lua\""
    );
}

#[test]
fn what_belongs_to_later_versions_says_so() {
    for (text, line, what) in [
        ("[sip]\n[sip.tls]\nca_file = \"a\"", 2, "[sip]: tls"),
        ("[state]\npath = \"a\"", 1, "[state]"),
        ("\n[[rpc.listen]]\naddress = \"http:127.0.0.1:1\"", 2, "[rpc]"),
        ("[sip]\nlisten = \"tls:127.0.0.1:0\"", 2, "[sip]: listen: \"tls:127.0.0.1:0\": tls"),
    ] {
        let found = problem(text);
        let expected = format!("puad.toml:{line}: {what} is not available in this version");
        assert!(found.starts_with(&expected), "{text:?}: {found}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_stops_everything_and_is_not_shown() {
    for (password, expected) in [
        ("{ env = \"NONE\" }", "the environment variable NONE is not set"),
        ("{ env = \"EMPTY\" }", "env \"EMPTY\" is empty"),
        ("{ file = \"none\" }", "cannot read none: No such file"),
        ("{ credential = \"none\" }", "cannot read none: No such file"),
        ("{ flie = \"none\" }", "unknown source 'flie' (did you mean 'file'?); write a text,"),
        ("{ env = 1 }", "env: 1 is not a text; write it in quotes"),
        ("{ env = \"A\", file = \"b\" }", "one source is expected"),
        ("{}", "one source is expected"),
        ("31337", "this is not a password"),
    ] {
        let found = problem(&account(password));
        assert!(found.starts_with("puad.toml:4: [[account]]: password: "), "{found}");
        assert!(found.contains(expected), "{password}: {found}");
        assert!(!found.contains("31337"));
    }
    let config = load(&account("\"hunter2\""));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_credential_outside_systemd_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puad.toml");
    fs::write(&file, account("{ credential = \"pw\" }")).unwrap();
    let found = load_in(Some(&file), &Wanted::Nothing, false, &|_| None).unwrap_err().to_string();
    assert!(
        found.contains("CREDENTIALS_DIRECTORY is not set; add LoadCredential=pw:PATH"),
        "{found}"
    );
}

#[test]
fn two_accounts_that_are_picked_by_one_name_are_a_mistake() {
    let twice = format!("{}{}", account("\"a\""), account("\"b\""));
    assert_eq!(
        problem(&twice),
        "puad.toml:5: [[account]]: there is another account \"a.example\"; give one of them a name of its own"
    );
    assert_eq!(load(&format!("{twice}name = \"second\"")).sip.accounts.len(), 2);
}

#[test]
fn the_scripts_of_the_folder_are_those_that_run_by_themselves() {
    let files = [
        ("scripts/b.lua", "-- b"),
        ("scripts/a.luau", "-- a"),
        ("scripts/a_test.lua", ""),
        ("scripts/b_test.luau", ""),
        ("scripts/puad.d.luau", ""),
        ("scripts/puad.meta.lua", ""),
        ("scripts/_draft.lua", ""),
        ("scripts/.#b.lua", ""),
        ("scripts/notes.txt", ""),
        ("scripts/lib/util.lua", ""),
        ("elsewhere/c.lua", "-- c"),
    ];
    let text = "[[script]]\nfile = \"b.lua\"\nname = \"bee\"\nconfig = { uri = \"sip:b@example.com\" }\n\
        limits = { memory = \"8MiB\", cpu = \"50ms\", source = 1000, timers = 2, watches = 3, publications = 4, documents = \"1MiB\", tasks = 5, kv = \"2MiB\" }\n\
        [[script]]\nfile = \"../elsewhere/c.lua\"\n";
    let (folder, config) = load_with(text, &files, &Wanted::Configured);
    let config = config.unwrap();
    let names: Vec<_> = config.scripts.iter().map(|script| &*script.name).collect();
    assert_eq!(names, ["a", "bee", "c"]);
    let bee = &config.scripts[1];
    assert_eq!(bee.source, "-- b");
    assert_eq!(bee.config["uri"].as_str(), Some("sip:b@example.com"));
    assert_eq!(bee.config_dir, folder.path());
    assert_eq!(bee.lib_dirs, [folder.path().join("scripts/lib")]);
    let limits = crate::script::Limits {
        cpu: Duration::from_millis(50),
        memory: 8 * 1024 * 1024,
        source: 1000,
        timers: 2,
        watches: 3,
        publications: 4,
        documents: 1024 * 1024,
        tasks: 5,
        kv: 2 * 1024 * 1024,
    };
    assert_eq!(bee.limits, limits);
    assert_eq!(config.scripts[0].limits, crate::script::Limits::default());
}

#[test]
fn one_file_may_be_several_scripts() {
    let text = "[[script]]\nfile = \"a.lua\"\nname = \"one\"\n[[script]]\nfile = \"a.lua\"\nname = \"two\"\n";
    let (_folder, config) = load_with(text, &[("scripts/a.lua", "")], &Wanted::Configured);
    let names: Vec<_> = config.unwrap().scripts.into_iter().map(|script| script.name).collect();
    assert_eq!(names, ["one".into(), "two".into()]);
}

#[test]
fn scripts_of_the_command_line_take_the_settings_of_their_sections_and_the_rest_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puad.toml");
    let script = folder.path().join("a.lua");
    fs::write(&script, "").unwrap();
    fs::write(
        &file,
        "[[script]]\nfile = \"./a.lua\"\nname = \"x\"\n[[script]]\nfile = \"gone.lua\"\n",
    )
    .unwrap();
    let wanted = Wanted::Files(vec![script]);
    let config = super::load(Some(&file), &wanted).unwrap();
    let names: Vec<_> = config.scripts.iter().map(|script| &*script.name).collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn scripts_that_cannot_be_told_apart_or_read_are_mistakes() {
    let found = problems_with("", &[("scripts/a.lua", ""), ("scripts/a.luau", "")]);
    assert_eq!(
        found,
        [
            "scripts/a.luau: scripts/a.lua is named 'a' too; give one of them another name in a [[script]] section"
        ]
    );
    let text = "\n[[script]]\nfile = \"cpuu.lua\"\n";
    assert_eq!(
        problems_with(text, &[("scripts/cpu.lua", "")]),
        [
            "puad.toml:2: [[script]]: file: scripts/cpuu.lua does not exist (did you mean 'cpu.lua'?)"
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("x.lua");
    fs::write(&script, b"-- fine\n-- \xff\n").unwrap();
    let wanted = Wanted::Files(vec![script, folder.path().into(), folder.path().join("none.lua")]);
    let found = super::load(None, &wanted).unwrap_err().to_string();
    let found = found.replace(&folder.path().display().to_string(), "F");
    assert_eq!(
        found,
        "F/x.lua:2: the script is not UTF-8; save it as UTF-8\n\
         F: this is a folder; name the scripts in it\n\
         F/none.lua: there is no such script"
    );
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.toml");
    let found = super::load(Some(&file), &Wanted::Nothing).unwrap_err().to_string();
    assert!(found.contains("none.toml: cannot read the configuration: No such file"), "{found}");
    fs::write(&file, b"\xff").unwrap();
    let found = super::load(Some(&file), &Wanted::Nothing).unwrap_err().to_string();
    assert!(found.ends_with("none.toml: the configuration is not UTF-8"), "{found}");
}

fn account(password: &str) -> String {
    format!("[[account]]\ndomain = \"a.example\"\nusername = \"a\"\npassword = {password}\n")
}
