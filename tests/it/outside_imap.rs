//! `mail.imap`: what is said to the server, what comes back, and who sees the password.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex},
};

use rustls::ServerConfig;

use crate::support::{
    certificates::Authority,
    listener::{Listener, Wire, encrypted, read_until},
    lua::{Stage, saying},
};

#[test]
fn a_mailbox_is_counted_over_tls() {
    let server = Server::start(Security::Tls, USUAL);
    let mut stage = server.ask(
        r#"
        local n = assert(imap { user = "me", password = "se\"cret\\", mailbox = "Entwürfe" })
        say(`{n.total} {n.unread} {n.read} {n.new} {n.flagged}`)
        "#,
    );
    assert_eq!(stage.said(), "12 3 9 2 nil");
    assert_eq!(
        server.heard(),
        [
            "p1 CAPABILITY",
            "p2 LOGIN \"me\" \"se\\\"cret\\\\\"",
            "p3 STATUS \"Entw&APw-rfe\" (MESSAGES UNSEEN RECENT)",
            "p4 LOGOUT",
        ]
    );
}

#[test]
fn a_login_that_fails_tells_the_servers_words_and_no_password() {
    let server = Server::start(
        Security::Tls,
        &[
            ("", "* OK [CAPABILITY IMAP4rev1] ready\r\n"),
            ("LOGIN", "{tag} NO [AUTHENTICATIONFAILED] Authentication\tfailed.\r\n"),
        ],
    );
    let mut stage = server.ask(
        r#"
        local n, err = imap { user = "me", password = "secret" }
        say(`{n} {err.code} {err.op} {err}`)
        "#,
    );
    let said = stage.said();
    let expected = format!(
        "nil refused mail.imap 127.0.0.1:{}: the server does not let \"me\" in: [AUTHENTICATIONFAILED] Authentication",
        server.port()
    );
    assert!(said.starts_with(&expected) && !said.contains("secret"), "{said}");
    // The greeting has named what it can: nobody asks again.
    assert_eq!(server.heard(), ["p1 LOGIN \"me\" \"secret\""]);
}

#[test]
fn a_server_that_goes_away_is_no_empty_mailbox() {
    for (answer, expected) in [
        ("", "the server has closed the connection"),
        ("* STATUS INBOX (MESSAGES 1 UNSEEN 1", "the server has closed the connection"),
        ("* BYE shutting down\r\n", "the server has ended the session: shutting down"),
        ("{tag} OK nothing\r\n", "the server has answered without counts"),
        ("{tag} BAD what\r\n", "the server does not understand STATUS: what"),
        ("+ go on\r\n", "the server asks for more than the command"),
    ] {
        let server = Server::start(
            Security::Plain,
            &[
                ("", "* OK [CAPABILITY IMAP4rev1] ready\r\n"),
                ("LOGIN", "{tag} OK in\r\n"),
                ("STATUS", answer),
            ],
        );
        let mut stage = server.ask(
            r#"
            local n, err = imap { user = "me", password = "secret", tls = false }
            say(`{n} {err.code} {err}`)
            "#,
        );
        assert_eq!(stage.said(), format!("nil io 127.0.0.1:{}: {expected}", server.port()));
    }
}

#[test]
fn what_is_not_there_or_not_imap_has_its_code() {
    for (greeting, status, expected) in [
        (
            "* OK hi\r\n",
            "{tag} NO [NONEXISTENT] Mailbox doesn't exist\r\n",
            "nil not_found {at}: no mailbox \"INBOX\": [NONEXISTENT] Mailbox doesn't exist",
        ),
        ("* BYE too many\r\n", "", "nil refused {at}: the server turns everybody away: too many"),
        ("p1 OK hi\r\n", "", "nil io {at}: what answers is not an IMAP server"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "", "nil io {at}: "),
    ] {
        let server = Server::start(
            Security::Plain,
            &[
                ("", greeting),
                ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n"),
                ("LOGIN", "{tag} OK in\r\n"),
                ("STATUS", status),
            ],
        );
        let mut stage = server.ask(
            r#"
            local n, err = imap { user = "me", password = "secret", tls = false }
            say(`{n} {err.code} {err}`)
            "#,
        );
        let said = stage.said();
        let expected = expected.replace("{at}", &format!("127.0.0.1:{}", server.port()));
        assert!(said.starts_with(&expected), "{said}, not {expected}");
    }
}

#[test]
fn a_silent_server_times_out_while_the_script_goes_on() {
    let server = Server::start(Security::Plain, &[("", "* OK hi\r\n"), ("CAPABILITY", HANG)]);
    let mut stage = server.ask(
        r#"
        local waiting, turns = true, 0
        task.spawn(function() while waiting do sleep(0.01) turns += 1 end end)
        local n, err = imap { user = "me", password = "secret", tls = false, timeout = "300ms" }
        waiting = false
        say(`{n} {err.code} {err} {turns > 5}`)
        "#,
    );
    assert_eq!(
        stage.said(),
        format!("nil timeout 127.0.0.1:{}: no answer within 300ms (timeout) true", server.port())
    );
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let endless = "* OK still here, and so on, and so on\r\n".repeat(10_000);
    let server = Server::start(Security::Plain, &[("", "* OK hi\r\n"), ("CAPABILITY", &endless)]);
    let mut stage = server.ask(
        r#"
        local n, err = imap { user = "me", password = "secret", tls = false }
        say(`{n} {err.code} {err}`)
        "#,
    );
    assert_eq!(
        stage.said(),
        format!("nil limit 127.0.0.1:{}: the server says more than 262144 bytes", server.port())
    );
}

#[test]
fn a_certificate_that_does_not_hold_hears_no_password() {
    let server = Server::start(Security::Tls, USUAL);
    let mut stage = server.ask(
        r#"
        local n, err = mail.imap { host = "127.0.0.1", port = PORT, user = "me", password = "secret" }
        say(`{n} {err.code} {err}`)
        local n, err = imap { host = "localhost", user = "me", password = "secret" }
        say(`{n} {err.code} {err}`)
        "#,
    );
    assert_eq!(
        stage.said(),
        format!(
            "nil tls 127.0.0.1:{}: the certificate's issuer is not known to this system (ca_file names a file with others)",
            server.port()
        )
    );
    let said = stage.said();
    let expected = format!("nil tls localhost:{}: invalid peer certificate: ", server.port());
    assert!(said.starts_with(&expected), "{said}");
    assert!(server.heard().is_empty(), "{:?}", server.heard());
}

#[test]
fn starttls_comes_before_the_password() {
    let server = Server::start(
        Security::StartTls,
        &[
            ("", "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n"),
            // Somebody on the way has added a line, which must not be taken for an encrypted one.
            ("STARTTLS", "{tag} OK begin\r\n* STATUS INBOX (MESSAGES 99)\r\np1 OK injected\r\n"),
            ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n"),
            ("LOGIN", "{tag} OK in\r\n"),
            ("STATUS", "* STATUS INBOX (MESSAGES 1 RECENT 0 UNSEEN 0)\r\n{tag} OK\r\n"),
            ("LOGOUT", "* BYE\r\n{tag} OK\r\n"),
        ],
    );
    let source = r#"
        local n, err = imap { user = "me", password = "secret", tls = "starttls" }
        say(if n then `{n.total} {n.unread}` else `{n} {err.code} {err}`)
        "#;
    assert_eq!(server.ask(source).said(), "1 0");
    assert_eq!(server.heard()[0], "p1 STARTTLS");
    assert_eq!(server.heard()[2], "p2 LOGIN \"me\" \"secret\"");

    let server = Server::start(
        Security::Plain,
        &[("", "* OK hi\r\n"), ("STARTTLS", "{tag} BAD no such command\r\n")],
    );
    assert_eq!(
        server.ask(source).said(),
        format!(
            "nil tls 127.0.0.1:{}: the server refuses STARTTLS: no such command",
            server.port()
        )
    );
    assert_eq!(server.heard(), ["p1 STARTTLS"]);
}

#[test]
fn what_a_quoted_string_cannot_hold_is_sent_another_way() {
    let steps = [
        ("", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n"),
        ("AUTHENTICATE", "+ \r\n"),
        ("AG1lAHNjaMO2bg==", "p1 OK [CAPABILITY IMAP4rev1] in\r\n"),
        ("STATUS", "* STATUS INBOX (MESSAGES 1)\r\n{tag} OK\r\n"),
        ("LOGOUT", "{tag} OK\r\n"),
    ];
    let server = Server::start(Security::Tls, &steps);
    let source = r#"
        local n, err = imap { user = "me", password = "schön" }
        say(if n then tostring(n.total) else `{n} {err.code} {err}`)
        "#;
    assert_eq!(server.ask(source).said(), "1");
    // \0me\0schön, as `printf '\0me\0schön' | base64` says.
    assert_eq!(server.heard()[..2], ["p1 AUTHENTICATE PLAIN", "AG1lAHNjaMO2bg=="]);

    let server = Server::start(Security::Tls, &[("", "* OK [CAPABILITY IMAP4rev1] ready\r\n")]);
    assert_eq!(
        server.ask(source).said(),
        format!(
            "nil refused 127.0.0.1:{}: the server takes no user or password beyond ASCII (no AUTH=PLAIN)",
            server.port()
        )
    );
}

#[test]
fn mistakes_are_raised_and_servers_that_are_not_named_are_not_asked() {
    let server = Server::start(Security::Tls, USUAL);
    let source = saying(&format!(
        r#"
        for _, host in {{ "127.0.0.1", "imap.example.com", "other.example.com" }} do
            local n, err = mail.imap {{ host = host, port = {}, user = "me", password = "secret" }}
            say(`{{n}} {{err.code}} {{err}}`)
        end
        local function wrong(options)
            local ok, message = pcall(mail.imap, options)
            say(`{{ok}} {{message}}`)
        end
        wrong {{ user = "me" }}
        wrong {{ host = "a/b", user = "me", password = "x" }}
        wrong {{ host = "a", password = "x" }}
        wrong {{ host = "a", user = "me", password = "se\ncret" }}
        wrong {{ host = "a", user = "me", password = "x", tls = false }}
        wrong {{ host = "a", user = "me", password = "x", tls = "yes" }}
        wrong {{ host = "a", user = "me", password = "x", port = 0 }}
        wrong {{ host = "a", user = "me", password = "x", mailbx = "INBOX" }}
        "#,
        server.port()
    ));
    let mut stage = Stage::set(&source, |spec| spec.allow.imap = vec!["*.example.com".into()]);
    for host in ["127.0.0.1", "imap.example.com", "other.example.com"] {
        let expected = format!(
            "nil permission {host}:{} may not be asked: allow.imap of this script's [[script]] section does not name it",
            server.port()
        );
        assert_eq!(stage.said(), expected);
    }
    for expected in [
        "mail.imap: host: is required",
        "mail.imap: host: \"a/b\" is not a host, such as \"imap.example.com\"",
        "mail.imap: user: is required",
        "mail.imap: password: line ends and control characters cannot be sent",
        "mail.imap: tls: false would show the password to the network; only a loopback address takes it",
        "mail.imap: tls: \"yes\" is not true, \"starttls\" or false",
        "mail.imap: port: 0 is not a port (1 to 65535)",
        "mail.imap: unknown option 'mailbx' (did you mean 'mailbox'?)",
    ] {
        let said = stage.said();
        assert!(said.starts_with("false ") && said.ends_with(expected), "{said}");
    }
    assert_eq!(server.listener.connections(), 0);
}

/// A server with one mailbox.
const USUAL: Steps<'_> = &[
    ("", "* OK ready\r\n"),
    ("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\n"),
    ("LOGIN", "* 1 RECENT\r\n{tag} OK in\r\n"),
    ("STATUS", "* STATUS \"Entw&APw-rfe\" (MESSAGES 12 RECENT 2 UNSEEN 3)\r\n{tag} OK done\r\n"),
    ("LOGOUT", "* BYE bye\r\n{tag} OK done\r\n"),
];

/// A word of a command, and what it is answered with; nothing closes the connection. The first is
/// the greeting.
type Steps<'a> = &'a [(&'a str, &'a str)];

/// An answer that does not come.
const HANG: &str = "hang";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    Plain,
}

struct Server {
    listener: Listener,
    authority: Authority,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(security: Security, steps: Steps<'_>) -> Self {
        let steps: Vec<(String, String)> =
            steps.iter().map(|(word, answer)| ((*word).into(), (*answer).into())).collect();
        let authority = Authority::new();
        let config = authority.server("127.0.0.1");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let kept = heard.clone();
        let listener =
            Listener::start(move |stream| serve(security, &config, stream, &steps, &kept));
        Self { listener, authority, heard }
    }

    fn port(&self) -> u16 {
        self.listener.port()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("sound").clone()
    }

    /// Runs a script whose `imap` asks this server and trusts its authority.
    fn ask(&self, source: &str) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        self.authority.write(&folder.path().join("ca.pem"));
        let port = self.port();
        let source = saying(&format!(
            r#"
        local PORT = {port}
        local function imap(options)
            options.host, options.port, options.ca_file = options.host or "127.0.0.1", PORT, "ca.pem"
            return mail.imap(options)
        end
        {source}"#
        ));
        let hosts = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        Stage::in_folder(folder, &source, |spec| spec.allow.imap = hosts)
    }
}

fn serve(
    security: Security,
    config: &Arc<ServerConfig>,
    stream: TcpStream,
    steps: &[(String, String)],
    heard: &Mutex<Vec<String>>,
) {
    let clear = stream.try_clone().expect("a second handle");
    let mut wire: Box<dyn Wire> = match security {
        Security::Tls => encrypted(config, stream),
        Security::StartTls | Security::Plain => Box::new(stream),
    };
    if say(&mut *wire, &steps[0].1).is_err() {
        return;
    }
    while let Some(line) = read_until(&mut *wire, "\r\n") {
        let line = line.trim_end().to_owned();
        let step = steps[1..].iter().find(|(word, _)| line.contains(word.as_str()));
        let answer = step.map_or("", |(_, answer)| answer);
        heard.lock().expect("sound").push(line.clone());
        let tag = line.split(' ').next().unwrap_or_default();
        match answer {
            HANG => {}
            answer if say(&mut *wire, &answer.replace("{tag}", tag)).is_err() => return,
            // Half an answer, or none, is followed by the end.
            answer if !answer.ends_with("\r\n") || answer.starts_with("* BYE s") => return,
            _ => {}
        }
        if security == Security::StartTls && line.ends_with("STARTTLS") {
            wire = encrypted(config, clear.try_clone().expect("another handle"));
        }
    }
}

fn say(wire: &mut dyn Wire, text: &str) -> std::io::Result<()> {
    wire.write_all(text.as_bytes())?;
    wire.flush()
}
