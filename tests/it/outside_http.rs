//! `http`: what is sent, what comes back, and what the operator's list of hosts holds off.

use std::{
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use crate::support::{
    certificates::Authority,
    listener::{Listener, Wire, closed_port, encrypted, read_until},
    lua::{Stage, grant, saying},
};

#[test]
fn an_answer_has_status_headers_body_and_json() {
    let web = Web::start(|_| {
        "HTTP/1.1 200 OK\r\nX-Answer: 42\r\nX-Many: a\r\nX-Many: b\r\nSet-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nContent-Length: 27\r\n\r\n{\"list\":[1,2],\"none\":null}\n".into()
    });
    let mut stage = run(
        &web,
        r#"
        local r = assert(http.get(URL .. "/path?a=1", {
            headers = { ["X-Mine"] = "yes", Accept = { "text/plain", "text/html" } },
            query = { b = "x y&z", c = { 1, true } },
        }))
        say(`{r.status} {r.headers["x-answer"]} {r.headers["x-many"]} {r.headers["set-cookie"]} {#r.body}`)
        local value = r.json()
        say(`{value.list[2]} {r:json().list[1]} {value.none}`)
        "#,
    );
    let said = stage.said();
    assert_eq!(said, "200 42 a, b a=1, b\nc=2 27");
    assert_eq!(stage.said(), "2 1 null");
    let sent = web.requests().remove(0);
    assert!(sent.starts_with("GET /path?a=1&b=x+y%26z&c=1&c=true HTTP/1.1\r\n"), "{sent}");
    for line in [
        "x-mine: yes\r\n",
        "accept: text/plain\r\naccept: text/html\r\n",
        concat!("user-agent: puad/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(sent.contains(line), "{line:?} is missing in {sent}");
    }
    assert!(sent.contains(&format!("host: {}\r\n", web.address())), "{sent}");
}

#[test]
fn a_refusal_of_the_server_is_a_result() {
    let web = Web::start(|head| match head.contains("/gone") {
        true => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone".into(),
        false => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let mut stage = run(
        &web,
        r#"
        local r = assert(http.get(URL .. "/gone"))
        local value, err = r.json()
        say(`{r.status} {r.body} {value} {err.code} {err}`)
        say(tostring(assert(http.get(URL .. "/busy")).status))
        "#,
    );
    assert_eq!(stage.said(), "404 none nil parse json: line 1, column 2: expected ident");
    assert_eq!(stage.said(), "503");
}

#[test]
fn a_body_is_sent_as_bytes_or_as_json() {
    let web = Web::start(|_| "HTTP/1.1 204 No Content\r\n\r\n".into());
    let mut stage = run(
        &web,
        r#"
        assert(http.request { url = URL, json = { a = { 1, "b" } } })
        assert(http.request { url = URL, method = "put", body = "bytes \0 here", headers = { ["Content-Type"] = "text/plain" } })
        assert(http.request { url = URL, method = "HEAD" })
        say("sent")
        "#,
    );
    assert_eq!(stage.said(), "sent");
    let sent = web.requests();
    assert!(sent[0].starts_with("POST / HTTP/1.1\r\n"), "{}", sent[0]);
    assert!(sent[0].contains("content-type: application/json\r\n"), "{}", sent[0]);
    assert!(sent[0].ends_with("\r\n\r\n{\"a\":[1,\"b\"]}"), "{}", sent[0]);
    assert!(sent[1].starts_with("PUT / HTTP/1.1\r\n"), "{}", sent[1]);
    assert!(sent[1].contains("content-type: text/plain\r\n"), "{}", sent[1]);
    assert!(sent[1].ends_with("\r\n\r\nbytes \0 here"), "{}", sent[1]);
    assert!(sent[2].starts_with("HEAD / HTTP/1.1\r\n"), "{}", sent[2]);
}

#[test]
fn a_host_that_is_not_named_is_not_asked() {
    let web = Web::start(|_| "HTTP/1.1 204 No Content\r\n\r\n".into());
    let mut stage = allowing(
        &["127.0.0.1", "*.example.com", "localhost:1"],
        &web,
        r#"
        for _, url in { URL, "https://example.com/a?key=hidden", "http://me:secret@[::1]:8080/", "http://a.example.com:8443" } do
            local r, err = http.get(url)
            say(`{r} {err.code} {err.op} {err}`)
        end
        "#,
    );
    for host in
        [web.address(), "example.com".into(), "[::1]:8080".into(), "a.example.com:8443".into()]
    {
        let expected = format!(
            "nil permission http.get {host} may not be asked: allow.http of this script's [[script]] section does not name it"
        );
        assert_eq!(stage.said(), expected);
    }
    assert_eq!(web.listener.connections(), 0);
}

#[test]
fn a_redirect_is_followed_only_to_hosts_that_are_allowed() {
    let forbidden = Web::start(|_| "HTTP/1.1 204 No Content\r\n\r\n".into());
    let target = format!("http://me:secret@{}/there?key=hidden", forbidden.address());
    let web = Web::start(move |head| {
        let place = match head.split(' ').nth(1) {
            Some("/out") => &target,
            Some("/file") => "file:///etc/passwd",
            Some("/round") => "/round",
            Some("/post") => "done",
            _ => return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere".into(),
        };
        format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 3\r\n\r\nfoo")
    });
    let mut stage = run(
        &web,
        r#"
        for _, path in { "/out", "/file", "/round" } do
            local r, err = http.get(URL .. path, { redirects = 3 })
            say(`{r} {err.code} {err}`)
        end
        local r = assert(http.request { url = URL .. "/post", body = "text", headers = { Authorization = "Bearer x", ["Content-Type"] = "text/plain" } })
        say(r.body)
        local r = assert(http.get(URL .. "/out", { redirects = 0 }))
        say(`{r.status} {r.body}`)
        "#,
    );
    let url = format!("http://{}", web.address());
    assert_eq!(
        stage.said(),
        format!(
            "nil permission GET {url}/out: redirected to http://{0}/there?…: {0} may not be asked: allow.http of this script's [[script]] section does not name it",
            forbidden.address()
        )
    );
    assert_eq!(
        stage.said(),
        format!("nil http GET {url}/file: redirected to what is not an http or https URL")
    );
    assert_eq!(
        stage.said(),
        format!("nil limit GET {url}/round: more than 3 redirects (redirects)")
    );
    assert_eq!(stage.said(), "here");
    assert_eq!(stage.said(), "302 foo");
    assert_eq!(forbidden.listener.connections(), 0);
    let sent = web.requests();
    assert_eq!(sent.iter().filter(|head| head.starts_with("GET /round ")).count(), 4);
    let followed = sent.iter().find(|head| head.starts_with("GET /done ")).expect("as GET");
    assert!(followed.contains("authorization: Bearer x"), "the same server may know: {followed}");
    assert!(!followed.contains("content-type") && followed.ends_with("\r\n\r\n"), "{followed}");
}

#[test]
fn credentials_are_for_the_server_they_were_given_for() {
    let other = Web::start(|_| "HTTP/1.1 204 No Content\r\n\r\n".into());
    let target = format!("http://{}/there", other.address());
    let web = Web::start(move |head| match head.contains("/out") {
        true => format!("HTTP/1.1 307 Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"),
        false => "HTTP/1.1 302 Go\r\nLocation: /out\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let hosts = [web.address(), other.address()];
    let mut stage = allowing(
        &[&hosts[0], &hosts[1]],
        &web,
        r#"
        local r = assert(http.request {
            url = URL:gsub("//", "//me%%40home:se%%3acret@") .. "/in",
            headers = { Cookie = "a=1", ["X-Mine"] = "yes" }, method = "PUT", body = "text" })
        say(tostring(r.status))
        local r, err = http.get("http://me:secret@127.0.0.1:" .. CLOSED)
        say(`{err.code} {tostring(err):find("secret")} {tostring(err):find("me")}`)
        "#,
    );
    assert_eq!(stage.said(), "204");
    assert_eq!(stage.said(), "refused nil nil");
    // me@home:se:cret, as `printf 'me@home:se:cret' | base64` says.
    let authorization = "authorization: Basic bWVAaG9tZTpzZTpjcmV0\r\n";
    let sent = web.requests();
    assert!(sent[0].contains(authorization) && sent[0].contains("cookie: a=1"), "{}", sent[0]);
    assert!(sent[1].starts_with("PUT /out ") && sent[1].contains(authorization), "{}", sent[1]);
    assert!(sent[1].ends_with("\r\n\r\ntext"), "{}", sent[1]);
    let there = other.requests().remove(0);
    assert!(there.starts_with("PUT /there ") && there.ends_with("\r\n\r\ntext"), "{there}");
    assert!(there.contains("x-mine: yes\r\n"), "{there}");
    assert!(!there.contains("authorization") && !there.contains("cookie"), "{there}");
}

#[test]
fn a_body_without_end_is_stopped() {
    let (told, gone) = mpsc::channel();
    let told = Mutex::new(told);
    let web = Listener::start(move |mut stream| {
        let head = read_until(&mut stream, "\r\n\r\n").expect("a request");
        if head.contains("/announced") {
            let _ = write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n");
            return;
        }
        let _ = write(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while write(&mut stream, &chunk).is_ok() {}
        told.lock().expect("sound").send(()).expect("waited for");
    });
    let mut stage = run_at(
        &web,
        r#"
        for _, path in { "/endless", "/announced" } do
            local r, err = http.get(URL .. path, { max_bytes = "1MB" })
            say(`{r} {err.code} {err}`)
        end
        "#,
    );
    for path in ["/endless", "/announced"] {
        let expected = format!(
            "nil limit GET http://{}{path}: the body has more than 1000000 bytes (max_bytes)",
            web.address
        );
        assert_eq!(stage.said(), expected);
    }
    gone.recv_timeout(Duration::from_secs(10)).expect("the server can send no more");
}

#[test]
fn a_body_in_chunks_is_whole() {
    let web = Web::start(|_| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n".into()
    });
    let mut stage = run(&web, "say(assert(http.get(URL, { max_bytes = 7 })).body)");
    assert_eq!(stage.said(), "abcdefg");
}

#[test]
fn a_slow_server_times_out_while_the_script_goes_on() {
    let (told, gone) = mpsc::channel();
    let told = Mutex::new(told);
    let web = Listener::start(move |mut stream| {
        let head = read_until(&mut stream, "\r\n\r\n").expect("a request");
        if head.contains("/body") {
            let _ = write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        } else {
            let _ = write(&mut stream, "HTTP/1.1 200 OK\r\nX-Slow: ");
        }
        // Ends when the other side lets go.
        let _ = read_until(&mut stream, "never");
        told.lock().expect("sound").send(()).expect("waited for");
    });
    let mut stage = run_at(
        &web,
        r#"
        local waiting, turns = true, 0
        task.spawn(function() while waiting do sleep(0.01) turns += 1 end end)
        for _, path in { "/head", "/body" } do
            local r, err = http.get(URL .. path, { timeout = "200ms" })
            say(`{r} {err.code} {err}`)
        end
        waiting = false
        say(tostring(turns > 10))
        "#,
    );
    for path in ["/head", "/body"] {
        let expected = format!(
            "nil timeout GET http://{}{path}: no whole answer within 200ms (timeout)",
            web.address
        );
        assert_eq!(stage.said(), expected);
    }
    assert_eq!(stage.said(), "true");
    for _ in 0..2 {
        gone.recv_timeout(Duration::from_secs(10)).expect("the connection is closed");
    }
}

#[test]
fn a_cancelled_call_closes_its_connection() {
    let (told, seen) = mpsc::channel();
    let told = Mutex::new(told);
    let web = Listener::start(move |mut stream| {
        let told = told.lock().expect("sound");
        read_until(&mut stream, "\r\n\r\n").expect("a request");
        told.send("asked").expect("waited for");
        assert_eq!(read_until(&mut stream, "never"), None);
        told.send("gone").expect("waited for");
    });
    let mut stage = run_at(
        &web,
        r#"
        local t = task.spawn(function() http.get(URL) say("not reached") end)
        say("waits")
        t:cancel()
        say("cancelled")
        "#,
    );
    let (publish, reply) = stage.publish();
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok("asked"));
    let granted = grant(&publish);
    let _ = reply.send(puad::command::Reply::Publication(Ok(granted)));
    assert_eq!(stage.said(), "cancelled");
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok("gone"));
}

#[test]
fn what_goes_wrong_on_the_way_has_a_code() {
    let web = Web::start(|head| match head.split(' ').nth(1) {
        Some("/noise") => "SIP/2.0 200 OK\r\n\r\n".into(),
        Some("/half") => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into(),
        Some("/chunk") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".into(),
        _ => String::new(),
    });
    let unknown = format!("{}.test", "a".repeat(64));
    let closed = closed_port();
    let mut stage = allowing(
        &[&web.address(), &unknown, &format!("127.0.0.1:{closed}")],
        &web,
        &format!(
            r#"
        for _, url in {{ URL .. "/noise", URL .. "/half", URL .. "/chunk", URL .. "/nothing", "http://{unknown}/", "http://127.0.0.1:{closed}/" }} do
            local r, err = http.get(url)
            say(`{{r}} {{err.code}} {{err}}`)
        end
        "#
        ),
    );
    let url = format!("http://{}", web.address());
    for expected in [
        format!("nil http GET {url}/noise: not an HTTP answer: "),
        format!("nil io GET {url}/half: "),
        format!("nil http GET {url}/chunk: "),
        format!("nil io GET {url}/nothing: the connection was closed before the answer was whole"),
        format!("nil dns GET http://{unknown}/: no address for {unknown}: "),
        format!("nil refused GET http://127.0.0.1:{closed}/: Connection refused"),
    ] {
        let said = stage.said();
        assert!(said.starts_with(&expected), "{said}, not {expected}");
    }
}

#[test]
fn mistakes_in_the_call_are_raised() {
    let web = Web::start(|_| String::new());
    let mut stage = run(
        &web,
        r#"
        local function wrong(f, ...)
            local ok, message = pcall(f, ...)
            say(`{ok} {message}`)
        end
        wrong(http.get)
        wrong(http.get, { url = URL })
        wrong(http.get, "example.com")
        wrong(http.get, "http://a/\r\nHost: b")
        wrong(http.get, URL, { methd = "GET" })
        wrong(http.get, URL, { redirects = 1.5 })
        wrong(http.get, URL, { timeout = "0s" })
        wrong(http.get, URL, { max_bytes = "1GiB" })
        wrong(http.get, URL, { headers = { Host = "b" } })
        wrong(http.get, URL, { headers = { ["X-Y"] = "a\r\nHost: b" } })
        wrong(http.get, URL, { headers = "X-Y: a" })
        wrong(http.get, URL, { query = { a = {{}} } })
        wrong(http.get, "http://me:secret@a/", { headers = { authorization = "x" } })
        wrong(http.request, {})
        wrong(http.request, { url = URL, body = {} })
        wrong(http.request, { url = URL, body = "a", json = 5 })
        wrong(http.request, { url = URL, method = "CONNECT" })
        wrong(http.request, { url = URL, method = "A B" })
        wrong(http.request, { url = URL, json = print })
        wrong(http.request, { url = URL, json = { 1 / 0 } })
        local round = {} round[1] = round
        wrong(http.request, { url = URL, json = round })
        local bomb = "x"
        for i = 1, 60 do bomb = { bomb, bomb } end
        wrong(http.request, { url = URL, json = bomb })
        "#,
    );
    for expected in [
        "http.get: first argument: nil is not a URL",
        "http.get: first argument: a table is not a URL",
        "http.get: url: it is not a URL, such as \"https://example.com/\" (relative URL without a base)",
        "http.get: url: a URL has no spaces and no control characters",
        "http.get: unknown option 'methd' (there are: headers, query, timeout, max_bytes, redirects, ca_file)",
        "http.get: redirects: 1.5 is not a whole number from 0 to 20",
        "http.get: timeout: must be longer than 0",
        "http.get: max_bytes: 1073741824 bytes are more than the heap of this script, 33554432 (limits.memory)",
        "http.get: headers: Host is set by puad itself",
        "http.get: headers: X-Y: CR, LF and control characters cannot be sent",
        "http.get: headers: \"X-Y: a\" is not a table of names and values",
        "http.get: query.a: a table is not a text",
        "http.get: headers: Authorization is given, and the URL has a user too; give one of them",
        "http.request: url: is required",
        "http.request: body: a table is not a text; json takes a table",
        "http.request: json: body is given too; give one of them",
        "http.request: method: CONNECT is for proxies",
        "http.request: method: \"A B\" is not a method, such as \"POST\"",
        "http.request: json: a function is not plain data (texts, numbers, booleans and tables of them)",
        "http.request: json: [1]: JSON has no number inf",
        "the table contains itself",
        "the data is larger than the 8 MiB that are kept of one value",
    ] {
        let said = stage.said();
        assert!(said.starts_with("false ") && said.ends_with(expected), "{said}, not {expected}");
    }
    assert_eq!(web.listener.connections(), 0);
}

#[test]
fn certificates_are_verified_against_the_host() {
    let authority = Authority::new();
    let mut servers = Vec::new();
    for host in ["127.0.0.1", "localhost"] {
        let config = authority.server(host);
        servers.push(Listener::start(move |stream| {
            let mut wire = encrypted(&config, stream);
            // A client that does not trust the certificate says nothing.
            if read_until(&mut *wire, "\r\n\r\n").is_some() {
                let _ = write(&mut *wire, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
            }
        }));
    }
    let folder = tempfile::tempdir().expect("a folder");
    authority.write(&folder.path().join("ca.pem"));
    std::fs::write(folder.path().join("empty.pem"), "nothing\n").expect("written");
    let (right, wrong) = (servers[0].address.to_string(), servers[1].address.to_string());
    let source = saying(&format!(
        r#"
        say(assert(http.get("https://{right}/", {{ ca_file = "ca.pem" }})).body)
        local function fails(url, file)
            local r, err = http.get(url, {{ ca_file = file }})
            say(`{{r}} {{err.code}} {{err}}`)
        end
        fails("https://{right}/")
        fails("https://{wrong}/", "ca.pem")
        fails("https://{right}/", "empty.pem")
        fails("https://{right}/", "nowhere.pem")
        fails("https://{right}/", ".")
        "#
    ));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let expected = [
        format!(
            "nil tls GET https://{right}/: the certificate's issuer is not known to this system (ca_file names a file with others)"
        ),
        format!(
            "nil tls GET https://{wrong}/: invalid peer certificate: certificate not valid for name \"127.0.0.1\""
        ),
        format!(
            "nil tls GET https://{right}/: ca_file {}: it holds no certificate in PEM form",
            file("empty.pem")
        ),
        format!("nil not_found GET https://{right}/: ca_file {}: ", file("nowhere.pem")),
        format!(
            "nil io GET https://{right}/: ca_file {}: it is not a file",
            folder.path().display()
        ),
    ];
    let mut stage = Stage::in_folder(folder, &source, |spec| spec.allow.http = vec![right, wrong]);
    assert_eq!(stage.said(), "secret");
    for expected in expected {
        let said = stage.said();
        assert!(said.starts_with(&expected), "{said}, not {expected}");
    }
}

#[test]
fn a_few_requests_at_a_time_are_under_way() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let seen = most.clone();
    let web = Web::start(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        now.fetch_sub(1, Ordering::SeqCst);
        "HTTP/1.1 204 No Content\r\n\r\n".into()
    });
    let mut stage = run(
        &web,
        r#"
        local list = {}
        for i = 1, 40 do list[i] = function() return http.get(URL) end end
        local good = 0
        for _, r in task.all(list) do if type(r) == "table" and r.status == 204 then good += 1 end end
        say(tostring(good))
        "#,
    );
    assert_eq!(stage.said(), "40");
    let most = most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} at a time");
}

/// A web server that answers every request by its head, and closes.
struct Web {
    listener: Listener,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let kept = requests.clone();
        let listener = Listener::start(move |mut stream: TcpStream| {
            let Some(head) = read_until(&mut stream, "\r\n\r\n") else { return };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().expect("a number"));
            let mut body = vec![0; length];
            std::io::Read::read_exact(&mut stream, &mut body).expect("a whole body");
            let body = String::from_utf8(body).expect("text");
            kept.lock().expect("sound").push(head.clone() + &body);
            let _ = write(&mut stream, &answer(&head));
        });
        Self { listener, requests }
    }

    fn address(&self) -> String {
        self.listener.address.to_string()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("sound").clone()
    }
}

fn write(wire: &mut dyn Wire, text: &str) -> std::io::Result<()> {
    wire.write_all(text.as_bytes())?;
    wire.flush()
}

/// Runs a script that may ask one server, whose address is `URL`.
fn run(web: &Web, source: &str) -> Stage {
    run_at(&web.listener, source)
}

fn run_at(web: &Listener, source: &str) -> Stage {
    let host = web.address.to_string();
    let source = saying(&format!("local URL = 'http://{host}'\n{source}"));
    Stage::set(&source, |spec| spec.allow.http = vec![host])
}

fn allowing(hosts: &[&str], web: &Web, source: &str) -> Stage {
    let mut hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let closed = closed_port();
    hosts.push(format!("127.0.0.1:{closed}"));
    let source =
        saying(&format!("local URL, CLOSED = 'http://{}', '{closed}'\n{source}", web.address()));
    Stage::set(&source, |spec| spec.allow.http = hosts)
}
