//! `config.secret` as a script sees it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::lua::Stage;

#[test]
fn a_secret_is_read_from_where_the_configuration_says() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pw"), "from a file\r\n").expect("written");
    fs::write(folder.path().join("empty"), "\n").expect("written");
    for name in ["pw", "empty"] {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.path().join(name), mode).expect("a file");
    }
    let source = r#"
        assert(config.secret("text") == "as written")
        assert(config.secret("file") == "from a file")
        assert(config.secret("env") == os.getenv_path)
        local function fails(name, code, why)
            local value, err = config.secret(name)
            assert(value == nil and err.code == code and err.message:find(why, 1, true), tostring(err))
        end
        fails("missing", "not_found", "config.secret: missing: cannot read ")
        fails("empty", "io", 'file "empty" is empty')
        fails("unset", "not_found", "the environment variable PUAD_NO_SUCH_VARIABLE is not set")
        local function refuses(name, why)
            local ok, message = pcall(config.secret, name)
            assert(not ok and message:find(why, 1, true), message)
            assert(not message:find("31337", 1, true), message)
        end
        refuses("number", "config.secret: number: this is no secret; write a text, { env")
        refuses("fil", "config.secret: unknown key 'fil' (did you mean 'file'?)")
        refuses("odd", "config.secret: odd: unknown source 'flie' (did you mean 'file'?)")
        refuses("two", "config.secret: two: this is no secret")
    "#;
    let path = std::env::var("PATH").expect("tests have a PATH");
    let source = source.replace("os.getenv_path", &format!("{path:?}"));
    let mut stage = Stage::in_folder(folder, &source, |spec| {
        spec.config = toml::from_str(
            r#"
            text = "as written"
            file = { file = "pw" }
            env = { env = "PATH" }
            missing = { file = "nowhere" }
            empty = { file = "empty" }
            unset = { env = "PUAD_NO_SUCH_VARIABLE" }
            number = 31337
            odd = { flie = "pw" }
            two = { file = "pw", env = "PATH" }
            "#,
        )
        .expect("TOML");
    });
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn a_secret_that_a_script_was_given_is_not_shown() {
    let stage = Stage::set(
        r#"
        local password = config.secret("password")
        timer.after(0, function() error("no answer to " .. password) end)
        "#,
        |spec| {
            spec.config.insert("password".into(), "hunter22".into());
        },
    );
    let problem = stage.problem();
    assert!(problem.message.ends_with("/test.lua:3: no answer to ***"), "{problem}");
    assert!(!problem.trace.contains("hunter22"), "{problem}");
}

#[test]
fn a_secret_of_the_schema_is_read_and_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pw"), "hunter2hunter2\n").expect("written");
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.path().join("pw"), mode).expect("a file");
    let source = r#"
        local cfg = config.schema { file = "secret", text = "secret", none = "secret?" }
        assert(cfg.file == "hunter2hunter2" and cfg.text == "as written" and cfg.none == nil)
        timer.after(0.01, function() error("not " .. cfg.file) end)
    "#;
    let mut stage = Stage::in_folder(folder, source, |spec| {
        spec.config = toml::from_str("file = { file = 'pw' }\ntext = 'as written'").expect("TOML");
    });
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
    let shown = stage.problem().message;
    assert!(shown.ends_with("not ***"), "{shown}");
}

#[test]
fn a_secret_of_the_schema_that_cannot_be_read_stops_the_script() {
    let fails = |config: &str| {
        let mut stage = Stage::set("\nlocal cfg = config.schema { pw = 'secret' }", |spec| {
            spec.config = toml::from_str(config).expect("TOML");
        });
        stage.loaded().expect_err("no secret").message
    };
    for (config, why) in [
        ("pw = { file = 'nowhere' }", "test.lua:2: config: pw: cannot read "),
        ("pw = { env = 'PUAD_NO_SUCH_VARIABLE' }", "PUAD_NO_SUCH_VARIABLE is not set"),
        ("pw = { flie = 'pw' }", "config: pw: unknown source 'flie' (did you mean 'file'?)"),
        ("pw = 31337", "config: pw: this is no secret; write a text, { env"),
        ("", "config: pw is required (a text, or { file = … }"),
    ] {
        let message = fails(config);
        assert!(message.contains(why) && !message.contains("31337"), "{message}");
    }
}
