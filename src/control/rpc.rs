//! JSON-RPC 2.0, one object a line: from a line to a call, and from an answer to a line.
//!
//! What a call leads to is left to [`server`](super::server).

use serde_json::{Map, Value, json};

use super::{Refusal, RefusalKind, Request, What};
use crate::command::closest;

/// A line that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// What pairs it with its answer; without one no answer is wanted.
    pub(super) id: Option<Value>,
    pub(super) method: Method,
}

/// What can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    /// Something that the daemon does.
    Ask(Request),
    /// The latest lines of the log, and those to come.
    Logs { follow: bool, script: Option<String>, lines: usize },
    /// Which puad this is.
    Version,
}

/// A line that was not understood, and what is said about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    id: Value,
    code: i64,
    message: String,
}

impl Fault {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { id: Value::Null, code, message: message.into() }
    }

    pub(super) fn line(&self) -> String {
        line(&json!({
            "jsonrpc": "2.0",
            "id": self.id,
            "error": { "code": self.code, "message": self.message },
        }))
    }
}

/// Reads a line.
pub(super) fn read(text: &[u8]) -> Result<Call, Fault> {
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| Fault::new(PARSE_ERROR, format!("this line is no JSON: {error}")))?;
    let mut object = match value {
        Value::Object(object) => object,
        Value::Array(_) => {
            return Err(Fault::new(
                INVALID_REQUEST,
                "batches are not taken; write one object a line",
            ));
        }
        _ => return Err(Fault::new(INVALID_REQUEST, "an object is expected")),
    };
    let id = match object.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::String(_) | Value::Number(_))) => Some(id),
        Some(_) => return Err(Fault::new(INVALID_REQUEST, "id: a text or a number is expected")),
    };
    let with_id = |fault| Fault { id: id.clone().unwrap_or(Value::Null), ..fault };
    let invalid = |message: &str| with_id(Fault::new(INVALID_REQUEST, message));
    if object.remove("jsonrpc") != Some("2.0".into()) {
        return Err(invalid("jsonrpc: \"2.0\" is expected"));
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return Err(invalid("method: a text is expected"));
    };
    let params = match object.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            let fault = Fault::new(INVALID_PARAMS, "params: an object with names is expected");
            return Err(with_id(fault));
        }
    };
    let method = read_method(&method, params).map_err(with_id)?;
    Ok(Call { id, method })
}

fn read_method(method: &str, params: Map<String, Value>) -> Result<Method, Fault> {
    let mut params = Params { method, rest: params, known: Vec::new() };
    let read = match method {
        "ls" => {
            let what = params.need("what", Params::text)?;
            let found = What::ALL.iter().find(|(word, _)| *word == what);
            let Some((_, what)) = found else {
                let words = What::ALL.map(|(word, _)| word);
                return Err(params.fault(format!("what: {}", unknown(&what, &words))));
            };
            Method::Ask(Request::List(*what))
        }
        "show" => Method::Ask(Request::Show { key: params.need("key", Params::text)? }),
        "reload" => Method::Ask(Request::Reload { name: params.text("name")? }),
        "resume" => Method::Ask(Request::Resume { name: params.need("name", Params::text)? }),
        "stop" => Method::Ask(Request::Stop { remove: params.flag("remove")?.unwrap_or_default() }),
        "logs" => Method::Logs {
            follow: params.flag("follow")?.unwrap_or_default(),
            script: params.text("script")?,
            lines: params.count("lines")?.unwrap_or(usize::MAX),
        },
        "version" => Method::Version,
        _ => return Err(Fault::new(METHOD_NOT_FOUND, unknown(method, METHODS))),
    };
    params.finish()?;
    Ok(read)
}

fn unknown(word: &str, known: &[&str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(meant) => format!("there is no {word:?} (did you mean {meant:?}?)"),
        None => format!("there is no {word:?} (there are: {})", known.join(", ")),
    }
}

/// The parameters of a call. Every name that is asked for counts as known.
struct Params<'a> {
    method: &'a str,
    rest: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Params<'_> {
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.fault(format!("{name}: {other} is not a text"))),
        }
    }

    fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.fault(format!("{name}: {other} is neither true nor false"))),
        }
    }

    fn count(&mut self, name: &'static str) -> Result<Option<usize>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|count| usize::try_from(count).ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(self.fault(format!("{name}: {value} is not a whole number"))),
            },
        }
    }

    fn need<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        read(self, name)?.ok_or_else(|| self.fault(format!("{name} is missing")))
    }

    fn finish(self) -> Result<(), Fault> {
        match self.rest.keys().next() {
            None => Ok(()),
            Some(name) if self.known.is_empty() => {
                Err(self.fault(format!("there are no parameters; {name:?} is none")))
            }
            Some(name) => Err(self.fault(unknown(name, &self.known))),
        }
    }

    fn fault(&self, message: String) -> Fault {
        Fault::new(INVALID_PARAMS, format!("{}: {message}", self.method))
    }
}

/// Returns the line that answers a call.
pub(super) fn answer(id: &Value, answer: &Result<Value, Refusal>) -> String {
    line(&match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(refusal) => {
            let code = match refusal.kind {
                RefusalKind::NotFound => -32001,
                RefusalKind::Ambiguous => -32002,
                RefusalKind::Failed => -32003,
                RefusalKind::Unavailable => -32004,
                RefusalKind::Closed => -32005,
            };
            let mut data = json!({ "code": refusal.kind.as_str() });
            if !refusal.candidates.is_empty() {
                data["candidates"] = json!(refusal.candidates);
            }
            json!({
                "jsonrpc": "2.0",
                "id": id,
                "error": { "code": code, "message": refusal.message, "data": data },
            })
        }
    })
}

/// Returns the line of a notification.
pub(super) fn notification(method: &str, params: &Value) -> String {
    line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

fn line(value: &Value) -> String {
    // JSON texts hold no line break of their own.
    format!("{value}\n")
}

const METHODS: &[&str] = &["ls", "show", "reload", "resume", "stop", "logs", "version"];

const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (Value, i64, String) {
        let fault = read(text.as_bytes()).expect_err(text);
        (fault.id, fault.code, fault.message)
    }

    #[test]
    fn calls_are_read() {
        let call = |method: &str, params: &str| {
            let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\"{params}}}");
            read(text.as_bytes()).expect(&text).method
        };
        let ask = |request| Method::Ask(request);
        for (word, what) in What::ALL {
            let params = format!(",\"params\":{{\"what\":\"{word}\"}}");
            assert_eq!(call("ls", &params), ask(Request::List(what)));
            assert_eq!(what.as_str(), word);
        }
        assert_eq!(
            call("show", ",\"params\":{\"key\":\"k\"}"),
            ask(Request::Show { key: "k".into() })
        );
        assert_eq!(call("reload", ""), ask(Request::Reload { name: None }));
        assert_eq!(
            call("reload", ",\"params\":{\"name\":\"cpu\"}"),
            ask(Request::Reload { name: Some("cpu".into()) })
        );
        assert_eq!(
            call("resume", ",\"params\":{\"name\":\"cpu\"}"),
            ask(Request::Resume { name: "cpu".into() })
        );
        assert_eq!(call("stop", ",\"params\":null"), ask(Request::Stop { remove: false }));
        assert_eq!(
            call("stop", ",\"params\":{\"remove\":true}"),
            ask(Request::Stop { remove: true })
        );
        assert_eq!(
            call("logs", ",\"params\":{\"follow\":true,\"script\":\"a\",\"lines\":5}"),
            Method::Logs { follow: true, script: Some("a".into()), lines: 5 }
        );
        assert_eq!(call("version", ""), Method::Version);
        let silent = read(br#"{"jsonrpc":"2.0","method":"version"}"#).unwrap();
        assert_eq!(silent.id, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_id_where_there_is_one() {
        for (text, id, code, message) in [
            ("{", Value::Null, -32700, "this line is no JSON: "),
            ("[]", Value::Null, -32600, "batches are not taken"),
            ("5", Value::Null, -32600, "an object is expected"),
            (r#"{"id":[1]}"#, Value::Null, -32600, "id: a text or a number"),
            (r#"{"id":7,"method":"ls"}"#, json!(7), -32600, "jsonrpc: \"2.0\" is expected"),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, json!("a"), -32600, "method: a text"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"sotp"}"#,
                json!(1),
                -32601,
                "there is no \"sotp\" (did you mean \"stop\"?)",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"frobnicate"}"#,
                json!(1),
                -32601,
                "(there are: ls, show, reload, resume, stop, logs, version)",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ls","params":["scripts"]}"#,
                json!(1),
                -32602,
                "params: an object with names",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ls","params":{"what":"script"}}"#,
                json!(1),
                -32602,
                "ls: what: there is no \"script\" (did you mean \"scripts\"?)",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ls"}"#, json!(1), -32602, "ls: what is missing"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"stop","params":{"remvoe":true}}"#,
                json!(1),
                -32602,
                "stop: there is no \"remvoe\" (did you mean \"remove\"?)",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"stop","params":{"remove":1}}"#,
                json!(1),
                -32602,
                "stop: remove: 1 is neither true nor false",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"logs","params":{"lines":-1}}"#,
                json!(1),
                -32602,
                "logs: lines: -1 is not a whole number",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"version","params":{"x":1}}"#,
                json!(1),
                -32602,
                "version: there are no parameters",
            ),
        ] {
            let found = fault(text);
            assert_eq!((&found.0, found.1), (&id, code), "{text}");
            assert!(found.2.contains(message), "{text}: {}", found.2);
        }
    }

    #[test]
    fn a_refusal_carries_its_kind_and_candidates() {
        let refusal = Refusal {
            kind: RefusalKind::Ambiguous,
            message: "two".into(),
            candidates: vec!["a\n".into(), "b".into()],
        };
        assert_eq!(
            answer(&json!(1), &Err(refusal)),
            "{\"error\":{\"code\":-32002,\"data\":{\"candidates\":[\"a\\n\",\"b\"],\"code\":\"ambiguous\"},\"message\":\"two\"},\"id\":1,\"jsonrpc\":\"2.0\"}\n"
        );
    }
}
