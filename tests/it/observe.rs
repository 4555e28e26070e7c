//! The pages for Prometheus and orchestrators over real HTTP, and the formats of the log.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use puad::observe::http::{Bound, Limits, Source};

use crate::support::{
    exposition,
    program::{Folder, LONG},
    server::Server,
};

#[test]
fn only_get_and_head_are_answered_and_only_the_pages_that_are_there() {
    let address = serve(Limits::default());
    let (head, body) = get(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert_eq!(body, "# TYPE lamps gauge\nlamps 3\n");
    let (head, body) = get(address, "HEAD /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-length: 27\r\n"), "{head}");
    assert_eq!(body, "");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (head, _) = get(address, &format!("{method} /metrics"));
        assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
        assert!(head.contains("allow: GET, HEAD\r\n"), "{head}");
    }
    let (head, body) = get(address, "GET /");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(body, "there are /metrics, /livez and /readyz\n");
    let (head, body) = get(address, "GET /livez");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body == "ok\n", "{head}{body}");
    let (head, body) = get(address, "GET /readyz");
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "stopping\n", "{head}{body}");
}

#[test]
fn a_client_that_does_not_end_its_request_is_cut_off_and_gives_its_place_to_the_next() {
    let limits =
        Limits { connections: 1, request: Duration::from_millis(200), ..Limits::default() };
    let address = serve(limits);
    let begin = Instant::now();
    let mut slow = connect(address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow:").expect("sent");
    // The only place is taken; this one is served when the slow one has been cut off.
    let (head, _) = get(address, "GET /livez");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(begin.elapsed() >= Duration::from_millis(200), "it had its time");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    // One that says nothing at all is no better.
    let silent = connect(address);
    let (head, _) = get(address, "GET /livez");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    drop(silent);
}

#[test]
fn no_connection_lives_for_ever() {
    let limits = Limits { connection: Duration::from_millis(200), ..Limits::default() };
    let address = serve(limits);
    let mut stream = connect(address);
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("closed in the end");
    assert!(all.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn the_page_of_a_running_puad_tells_of_scripts_publications_and_sip() {
    let server = Server::start(|_, request| {
        // The second publication is refused, and the daemon goes on without it.
        let code = if request.text() == "no" { 403 } else { 200 };
        Some(match code {
            200 => request.granted("t", request.need("Expires").parse().expect("a number")),
            _ => request.answer(code).bytes(),
        })
    });
    let folder = Folder::new(&[
        (
            "scripts/lamp.lua",
            "pua.publish { presentity_uri = config.uri, event = 'presence', body = body.raw('text/plain', 'yes') }\n\
             pua.publish { presentity_uri = config.uri, event = 'presence', id = 'b', body = body.raw('text/plain', 'no') }\n\
             timer.after(0.1, function() error('oops') end)\n",
        ),
        ("scripts/broken.lua", "x = = 1\n"),
    ]);
    folder.write(
        "puad.toml",
        &format!(
            "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [[script]]\nfile = \"lamp.lua\"\nconfig = {{ uri = \"{}\" }}\n",
            server.uri()
        ),
    );
    let mut daemon = folder.daemon(&["run"]);
    let line = daemon.wait_for("metrics are at http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics"));
    let address: SocketAddr = address.expect("a URL").parse().expect("an address");
    daemon.wait_for("oops");
    let (head, page) = get(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}{page}");
    let samples = exposition::parse(&page);
    let version = env!("CARGO_PKG_VERSION");
    for (series, expected) in [
        (&*format!("puad_build_info{{version=\"{version}\"}}"), 1.0),
        ("puad_scripts{state=\"running\"}", 1.0),
        ("puad_scripts{state=\"failed\"}", 1.0),
        ("puad_scripts{state=\"starting\"}", 0.0),
        ("puad_scripts{state=\"stale\"}", 0.0),
        ("puad_scripts{state=\"hold\"}", 0.0),
        ("puad_script_errors_total{script=\"lamp\"}", 1.0),
        ("puad_script_kills_total{script=\"lamp\"}", 0.0),
        ("puad_script_reload_failures_total{script=\"lamp\"}", 0.0),
        ("puad_script_generation{script=\"lamp\"}", 1.0),
        ("puad_script_publications{script=\"lamp\"}", 2.0),
        ("puad_publications{state=\"published\",event=\"presence\"}", 1.0),
        ("puad_publications{state=\"failed\",event=\"presence\"}", 1.0),
        ("puad_publish_requests_total{kind=\"initial\",code=\"200\"}", 1.0),
        ("puad_publish_requests_total{kind=\"initial\",code=\"403\"}", 1.0),
        ("puad_publication_etag_conflicts_total", 0.0),
        ("puad_publish_failures_total", 1.0),
        ("puad_sip_requests_total", 2.0),
        ("puad_sip_answers_total", 2.0),
        ("puad_sip_malformed_total", 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&expected), "{series} in\n{page}");
    }
    for series in ["puad_script_memory_bytes{script=\"lamp\"}", "process_resident_memory_bytes"] {
        assert!(samples[series] > 0.0, "{series}");
    }
    assert!(samples.contains_key("puad_sip_retransmissions_total"));
    let (head, body) = get(address, "GET /livez");
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok\n", "{head}{body}");
    let (head, body) = get(address, "GET /readyz");
    assert!(head.starts_with("HTTP/1.1 200"), "a server that refuses is no reason: {head}");
    assert_eq!(body, "degraded: 0 publications are retried, 1 have failed\n");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.code(), Some(0), "readers of the page hold up no stop");
}

#[test]
fn a_metrics_address_that_is_taken_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let folder = Folder::new(&[("scripts/a.lua", "")]);
    folder.write("puad.toml", &format!("[metrics]\nlisten = \"{address}\"\n"));
    let output = folder.puad(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("[metrics] listen: cannot listen on {address}: ")), "{told}");
}

#[test]
fn a_json_log_is_an_object_a_line_with_everything_at_the_top() {
    let folder = Folder::new(&[
        ("scripts/lamp.lua", "log.warn('two\\nlines \"quoted\"', { code = 7 })\n"),
        ("puad.toml", "[sip]\nlisten = \"udp:127.0.0.1:0\"\n[log]\nformat = \"json\"\n"),
    ]);
    let mut daemon = folder.daemon(&["run"]);
    let said = daemon.wait_for("quoted");
    let line: serde_json::Value = serde_json::from_str(&said).expect(&said);
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "two\n    | lines \"quoted\" code=7");
    assert_eq!((&line["script"], &line["line"]), (&"lamp".into(), &1.into()));
    line["timestamp"].as_str().expect("a text").parse::<jiff::Timestamp>().expect("RFC 3339");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    for line in daemon.rest() {
        let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert!(line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_reader_of_the_log_that_is_stuck_stops_nothing() {
    for format in ["text", "json"] {
        let folder = Folder::new(&[(
            "scripts/chatty.lua",
            "local text = string.rep('x', 1000)\nfor n = 1, 3000 do log.info(text) end\n\
             timer.every('100ms', function() log.info('on and on') end)\n",
        )]);
        folder.write(
            "puad.toml",
            &format!("[sip]\nlisten = \"udp:127.0.0.1:0\"\n[log]\nformat = \"{format}\"\n"),
        );
        // Three megabytes do not fit into a pipe that nobody reads.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = folder.command(&["run"]);
        let mut child = command.stderr(writer).spawn().expect("started");
        drop(command);
        let deadline = Instant::now() + LONG;
        let is_at_work = || {
            let logs = folder.puad(&["logs"]);
            String::from_utf8_lossy(&logs.stdout).contains("on and on")
        };
        while !is_at_work() {
            assert!(Instant::now() < deadline, "{format}: its timers do not fire");
            std::thread::sleep(Duration::from_millis(50));
        }
        let stopped = folder.puad(&["stop"]);
        assert_eq!(stopped.status.code(), Some(0), "{format}: {stopped:?}");
        assert_eq!(child.wait().expect("a child").code(), Some(0));
        drop(reader);
    }
}

#[test]
fn a_journal_that_is_not_there_is_named_before_anything_starts() {
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    let folder = Folder::new(&[
        ("scripts/a.lua", "print('started')"),
        ("puad.toml", "[log]\nformat = \"journald\"\n"),
    ]);
    let output = folder.puad(&["run"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with("puad: [log] format = \"journald\": the journal's socket /run/systemd/journal/socket does not answer: ")
            && told.trim_end().ends_with("run puad where systemd-journald runs, or write \"text\" or \"json\""),
        "{told}"
    );
}

/// Pages that are easy to tell apart.
struct Fixed;

impl Source for Fixed {
    async fn metrics(&self) -> Result<String, String> {
        Ok("# TYPE lamps gauge\nlamps 3\n".into())
    }

    async fn live(&self) -> Result<String, String> {
        Ok("ok\n".into())
    }

    async fn ready(&self) -> Result<String, String> {
        Err("stopping".into())
    }
}

/// Serves on a thread that ends with the test process.
fn serve(limits: Limits) -> SocketAddr {
    let bound = Bound::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = bound.address().expect("bound");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let served = runtime.expect("a runtime").block_on(bound.serve(Arc::new(Fixed), limits));
        panic!("{served:?}");
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("set");
    stream
}

/// Sends one request and returns head and body of the answer.
fn get(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = connect(address);
    let text = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (format!("{head}\r\n"), body.to_owned())
}
