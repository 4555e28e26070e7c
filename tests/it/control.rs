//! The control socket from outside: what is on the wire, and what clients cannot do.

use std::{path::PathBuf, time::Duration};

use puad::{
    control::{
        Ask, Refusal, RefusalKind, Request, What,
        server::{Limits, Server},
        socket::Socket,
    },
    observe::recent::{Line, Recent},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};

use crate::support::program::LONG;

#[tokio::test]
async fn requests_are_handed_on_and_answered_in_order() {
    let mut stage = Stage::new(Limits::default());
    let mut client = stage.client().await;
    // In one write, with an empty line between, and one that wants no answer.
    client
        .write(
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ls\",\"params\":{\"what\":\"scripts\"}}\n\n\
             {\"jsonrpc\":\"2.0\",\"method\":\"reload\"}\n\
             {\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"resume\",\"params\":{\"name\":\"cpu\"}}\n",
        )
        .await;
    let ask = stage.ask().await;
    assert_eq!(ask.request, Request::List(What::Scripts));
    ask.reply.send(Ok(json!([]))).expect("waited for");
    assert_eq!(client.line().await, json!({ "jsonrpc": "2.0", "id": 1, "result": [] }));
    let ask = stage.ask().await;
    assert_eq!(ask.request, Request::Reload { name: None });
    ask.reply.send(Ok(json!([]))).expect("waited for");
    let ask = stage.ask().await;
    assert_eq!(ask.request, Request::Resume { name: "cpu".into() });
    let refusal = Refusal::new(RefusalKind::NotFound, "no script is named cpu");
    ask.reply.send(Err(refusal)).expect("waited for");
    assert_eq!(
        client.line().await,
        json!({ "jsonrpc": "2.0", "id": "b", "error": {
            "code": -32001, "message": "no script is named cpu", "data": { "code": "not_found" },
        }})
    );
    client.write("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"version\"}\n").await;
    let version = client.line().await["result"].take();
    assert_eq!(version, json!({ "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id() }));
}

#[tokio::test]
async fn nonsense_is_answered_and_does_not_end_the_connection() {
    let stage = Stage::new(Limits::default());
    let mut client = stage.client().await;
    client.write("nonsense\n").await;
    assert_eq!(client.line().await["error"]["code"], -32700);
    client.write("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"lss\"}\n").await;
    let error = client.line().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(5), &json!(-32601)));
    client.write(&"\u{fffd}".repeat(10)).await;
    client.write("\n{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"version\"}\n").await;
    assert_eq!(client.line().await["error"]["code"], -32700);
    assert_eq!(client.line().await["id"], 6);
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
    let stage = Stage::new(Limits { line: 1000, ..Limits::default() });
    let mut client = stage.client().await;
    client.write(&"x".repeat(100_000)).await;
    assert_eq!(client.line().await["error"]["message"], "a line is longer than 1000 bytes");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn connections_that_ask_nothing_make_room() {
    let idle = Duration::from_millis(300);
    let mut stage = Stage::new(Limits { connections: 3, idle, ..Limits::default() });
    let mut silent = stage.client().await;
    let mut half = stage.client().await;
    half.write("{\"jsonrpc\"").await;
    let mut follower = stage.client().await;
    follower.logs(json!({ "follow": true, "lines": 0 })).await;
    assert_eq!(follower.line().await["id"], 1);
    assert!(silent.is_closed().await && half.is_closed().await);
    // One that waits for its answer is not idle.
    let mut waiting = stage.client().await;
    waiting
        .write(
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ls\",\"params\":{\"what\":\"scripts\"}}\n",
        )
        .await;
    let ask = stage.ask().await;
    tokio::time::sleep(2 * idle).await;
    ask.reply.send(Ok(json!([]))).expect("waited for");
    assert_eq!(waiting.line().await["id"], 1);
    follower.version().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_until_another_ends() {
    let stage = Stage::new(Limits { connections: 2, ..Limits::default() });
    let first = stage.client().await;
    let mut second = stage.client().await;
    // Both are served before the third comes.
    second.version().await;
    let mut third = stage.client().await;
    assert_eq!(
        third.line().await["error"]["message"],
        "2 control connections are open already, the limit"
    );
    assert!(third.is_closed().await);
    // Idle ones stay.
    second.version().await;
    drop(first);
    timeout(LONG, async {
        loop {
            let mut next = stage.client().await;
            next.write(VERSION).await;
            if next.line().await["result"].is_object() {
                break;
            }
        }
    })
    .await
    .expect("its place is free");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_dropped() {
    let limits = Limits { connections: 1, answer: Duration::from_millis(200), ..Limits::default() };
    let mut stage = Stage::new(limits);
    let mut deaf = stage.client().await;
    deaf.write(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ls\",\"params\":{\"what\":\"scripts\"}}\n",
    )
    .await;
    // More than the system keeps for it.
    let _ = stage.ask().await.reply.send(Ok("x".repeat(4 << 20).into()));
    timeout(LONG, async {
        loop {
            let mut next = stage.client().await;
            next.write(VERSION).await;
            if next.line().await["result"].is_object() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("its place is free");
    drop(deaf);
}

#[tokio::test]
async fn a_log_is_shown_and_followed_for_one_script() {
    let stage = Stage::new(Limits::default());
    for n in 0..5 {
        stage.log(if n % 2 == 0 { "lamp" } else { "cpu" }, n);
    }
    let mut client = stage.client().await;
    client.logs(json!({ "lines": 2, "script": "lamp", "follow": true })).await;
    assert_eq!(client.line().await["result"], json!({ "lines": 2 }));
    let shown = |line: Value| {
        assert_eq!(line["method"], "log", "{line}");
        (line["params"]["script"].clone(), line["params"]["message"].clone())
    };
    let lamp = |n: u32| (json!("lamp"), json!(n.to_string()));
    assert_eq!(shown(client.line().await), lamp(2));
    assert_eq!(shown(client.line().await), lamp(4));
    stage.log("cpu", 5);
    stage.log("lamp", 6);
    assert_eq!(shown(client.line().await), lamp(6));
    // Questions are answered in between, and a log that is not followed ends.
    client.version().await;
    client.logs(json!({ "lines": 1 })).await;
    assert_eq!(client.line().await["result"], json!({ "lines": 1 }));
    assert_eq!(shown(client.line().await), lamp(6));
    stage.log("lamp", 7);
    client.version().await;
}

#[tokio::test]
async fn a_slow_follower_loses_lines_and_hears_how_many_while_others_get_all() {
    let stage = Stage::new(Limits::default());
    let mut slow = stage.client().await;
    let mut quick = stage.client().await;
    for client in [&mut slow, &mut quick] {
        client.logs(json!({ "lines": 0, "follow": true })).await;
        assert_eq!(client.line().await["result"], json!({ "lines": 0 }));
    }
    let total = 20_000;
    let count = async {
        for _ in 0..total {
            assert_eq!(quick.line().await["method"], "log");
        }
    };
    let write = async {
        for n in 0..total {
            stage.log("lamp", n);
            // The memory keeps a hundred lines: one that reads keeps up with this.
            tokio::task::yield_now().await;
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(LONG, async { tokio::join!(count, write) }).await.expect("a reader gets all");
    let (mut received, mut lost) = (0, 0);
    while received + lost < u64::from(total) {
        let line = slow.line().await;
        match line["method"].as_str() {
            Some("log") => {
                // Nothing is left out in silence: what comes next is what follows what was lost.
                let number: u64 = line["params"]["message"].as_str().unwrap().parse().unwrap();
                assert_eq!(number, received + lost);
                received += 1;
            }
            Some("lost") => lost += line["params"]["lines"].as_u64().unwrap(),
            _ => panic!("{line}"),
        }
    }
    assert!(lost > 0 && received > 0, "received {received}, lost {lost}");
}

#[tokio::test]
async fn the_end_lets_answers_leave_and_takes_the_socket_away() {
    let mut stage = Stage::new(Limits::default());
    let mut idle = stage.client().await;
    idle.version().await;
    let mut waiting = stage.client().await;
    waiting
        .write("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"show\",\"params\":{\"key\":\"k\"}}\n")
        .await;
    let ask = stage.ask().await;
    assert_eq!(ask.request, Request::Show { key: "k".into() });
    let close = stage.server.take().expect("served").close();
    let answer = async {
        assert!(idle.is_closed().await);
        ask.reply.send(Ok(json!({}))).expect("waited for");
        assert_eq!(waiting.line().await["result"], json!({}));
        assert!(waiting.is_closed().await);
    };
    timeout(LONG, async { tokio::join!(close, answer) }).await.expect("both end");
    assert!(!stage.path.exists());
}

#[tokio::test]
async fn requests_nobody_serves_any_more_are_refused() {
    let mut stage = Stage::new(Limits::default());
    let mut client = stage.client().await;
    client.write("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reload\"}\n").await;
    // The reply is dropped unanswered.
    drop(stage.ask().await);
    let error = client.line().await;
    assert_eq!(error["error"]["data"]["code"], "closed", "{error}");
}

/// A server whose requests the test answers.
struct Stage {
    server: Option<Server>,
    asks: mpsc::Receiver<Ask>,
    recent: Recent,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let recent = Recent::new(100);
        let (sender, asks) = mpsc::channel(8);
        let socket = Socket::bind(&path).expect("a socket");
        let server = Server::start(socket, sender, recent.clone(), limits).expect("served");
        Self { server: Some(server), asks, recent, path, _folder: folder }
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(UnixStream::connect(&self.path).await.expect("connected")))
    }

    async fn ask(&mut self) -> Ask {
        timeout(LONG, self.asks.recv()).await.expect("asked").expect("served")
    }

    fn log(&self, script: &str, number: u32) {
        let mut fields = serde_json::Map::new();
        fields.insert("script".into(), script.into());
        fields.insert("padding".into(), "x".repeat(100).into());
        self.recent.push(Line {
            at: jiff::Timestamp::now(),
            level: tracing::Level::INFO,
            message: number.to_string(),
            fields,
        });
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    async fn write(&mut self, text: &str) {
        // A server that has refused the rest has closed.
        let _ = timeout(LONG, self.0.get_mut().write_all(text.as_bytes())).await.expect("taken");
    }

    async fn line(&mut self) -> Value {
        let mut text = String::new();
        timeout(LONG, self.0.read_line(&mut text)).await.expect("a line").expect("readable");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    async fn logs(&mut self, params: Value) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "logs", "params": params });
        self.write(&format!("{call}\n")).await;
    }

    async fn version(&mut self) {
        self.write(VERSION).await;
        let line = self.line().await;
        assert!(line["result"]["version"].is_string(), "{line}");
    }

    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // With something unread on the other side the end is a reset.
        let end = timeout(LONG, self.0.read_to_end(&mut rest)).await.expect("an end");
        end.is_err() || rest.is_empty()
    }
}

const VERSION: &str = "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"version\"}\n";
