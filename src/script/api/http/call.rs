//! What a call of `http` says.

use std::{path::PathBuf, time::Duration};

use mlua::{MultiValue, Value};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};

use super::super::{
    super::{host::Host, hosts::host_of, plain::Rows, signatures},
    Fault, json,
    options::{ENTRY, Options, shown},
    outside::{most_bytes, timeout},
    test::faked,
};

/// One request, checked.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// A user in it is sent as Authorization.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    pub(super) timeout: Duration,
    pub(super) max_bytes: usize,
    pub(super) redirects: usize,
    pub(super) ca_file: Option<PathBuf>,
}

impl Call {
    /// Returns what a case is asked in a test.
    pub(super) fn question(&self) -> Rows {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        faked::question(
            Vec::new(),
            [
                ("method", Some(faked::text(self.method.as_str().as_bytes()))),
                ("url", Some(faked::text(self.url.as_str().as_bytes()))),
                ("headers", Some(faked::texts(headers))),
                ("body", self.body.as_deref().map(faked::text)),
            ],
        )
    }

    /// Reads `http.get(url, opts)`.
    pub(super) fn get(host: &Host, args: &MultiValue) -> Result<Self, Fault> {
        let call = "http.get";
        let url = match args.front() {
            Some(Value::String(url)) => url.to_string_lossy(),
            other => {
                return Err(Fault::misuse(format!(
                    "{call}: first argument: {} is not a URL",
                    shown(other.unwrap_or(&Value::Nil))
                )));
            }
        };
        let options =
            Options::new(call, args.get(1).unwrap_or(&Value::Nil), &signatures::HTTP_OPTIONS)?;
        Self::read(host, &options, &url, Method::GET, None)
    }

    /// Reads `http.request(opts)`.
    pub(super) fn request(host: &Host, args: &MultiValue) -> Result<Self, Fault> {
        let options = Options::new(
            "http.request",
            args.front().unwrap_or(&Value::Nil),
            &signatures::HTTP_REQUEST,
        )?;
        let url = options.need_text("url")?;
        let body = match (options.value("body")?, options.value("json")?) {
            (Value::Nil, Value::Nil) => None,
            (Value::String(body), Value::Nil) => Some(Content::Bytes(body.as_bytes().to_vec())),
            (other, Value::Nil) => {
                let why = format_args!("{} is not a text; json takes a table", shown(&other));
                return Err(options.refuse("body", why));
            }
            (Value::Nil, value) => match json::write(&value, false) {
                Ok(json) => Some(Content::Json(json)),
                Err(why) => return Err(options.refuse("json", why)),
            },
            _ => return Err(options.refuse("json", "body is given too; give one of them")),
        };
        let method = match options.text("method")? {
            Some(text) => read_method(&text).map_err(|why| options.refuse("method", why))?,
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        Self::read(host, &options, &url, method, body)
    }

    fn read(
        host: &Host,
        options: &Options,
        url: &str,
        method: Method,
        body: Option<Content>,
    ) -> Result<Self, Fault> {
        let mut url = read_url(url).map_err(|why| options.refuse("url", why))?;
        let query = pairs(options, "query")?;
        // Begun only where there is something to add: it leaves a "?" behind.
        if !query.is_empty() {
            let mut added = url.query_pairs_mut();
            for (name, value) in query {
                let value = String::from_utf8(value).map_err(|_| {
                    options.refuse("query", format_args!("{name}: it is not UTF-8"))
                })?;
                added.append_pair(&name, &value);
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(options, "headers")? {
            let header = read_header(&name, &value);
            let (name, value) = header.map_err(|why| options.refuse("headers", why))?;
            headers.append(name, value);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user && headers.contains_key(AUTHORIZATION) {
            let why = "Authorization is given, and the URL has a user too; give one of them";
            return Err(options.refuse("headers", why));
        }
        let body = match body {
            None => None,
            Some(Content::Bytes(bytes)) => Some(bytes),
            Some(Content::Json(json)) => {
                headers
                    .entry(CONTENT_TYPE)
                    .or_insert_with(|| HeaderValue::from_static("application/json"));
                Some(json)
            }
        };
        let redirects = match options.number("redirects")? {
            None => USUAL_REDIRECTS,
            Some(count) if count.fract() == 0.0 && (0.0..=MOST_REDIRECTS).contains(&count) => {
                count as usize
            }
            Some(count) => {
                let why = format_args!("{count} is not a whole number from 0 to {MOST_REDIRECTS}");
                return Err(options.refuse("redirects", why));
            }
        };
        Ok(Self {
            method,
            url,
            headers,
            body,
            timeout: timeout(options, USUAL_TIMEOUT)?,
            max_bytes: most_bytes(options, "max_bytes", host)?,
            redirects,
            ca_file: options.text("ca_file")?.map(|path| host.resolve(&path)),
        })
    }

    /// Returns method and URL as messages show them.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method, shown_url(&self.url))
    }
}

/// What is sent.
enum Content {
    Bytes(Vec<u8>),
    Json(Vec<u8>),
}

/// Returns a URL as messages show it: a query may hold what is secret.
pub(super) fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    let query = if url.query().is_some() { "?…" } else { "" };
    url.set_query(None);
    url.set_fragment(None);
    // A redirect may name a user; a URL that cannot have one has none.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    format!("{url}{query}")
}

fn read_url(text: &str) -> Result<Url, String> {
    // The standard for URLs lets line ends vanish without a word.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a URL has no spaces and no control characters".into());
    }
    let masked = |url: Url| shown_url(&url);
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Err(format!("{:?} is not an http or https URL", masked(url)))
        }
        Ok(url) if host_of(&url).is_none() => Err(format!("{:?} has no host", masked(url))),
        Ok(mut url) => {
            url.set_fragment(None);
            Ok(url)
        }
        // The text is not shown: where it cannot be read, nobody knows where its password stands.
        Err(error) => Err(format!("it is not a URL, such as \"https://example.com/\" ({error})")),
    }
}

/// Reads a table of names and values, in the order of the names; a list stands for several values.
fn pairs(options: &Options, option: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let table = match options.value(option)? {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(table) => table,
        other => {
            let why = format_args!("{} is not a table of names and values", shown(&other));
            return Err(options.refuse(option, why));
        }
    };
    let mut all = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let Value::String(name) = &name else {
            return Err(options.refuse(option, format_args!("{} is not a name", shown(&name))));
        };
        let name = name.to_string_lossy();
        let field = format!("{option}.{name}");
        match value {
            Value::Table(list) => {
                for value in list.sequence_values::<Value>() {
                    all.push((name.clone(), bytes(options, &field, &value?)?));
                }
            }
            value => all.push((name, bytes(options, &field, &value)?)),
        }
    }
    // Several values of one name stay as they were written.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn bytes(options: &Options, field: &str, value: &Value) -> Result<Vec<u8>, Fault> {
    match value {
        Value::String(text) => {
            options.weigh(field, ENTRY + text.as_bytes().len())?;
            Ok(text.as_bytes().to_vec())
        }
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {
            Ok(value.to_string()?.into_bytes())
        }
        other => Err(options.refuse(field, format_args!("{} is not a text", shown(other)))),
    }
}

fn read_method(text: &str) -> Result<Method, String> {
    match Method::from_bytes(text.to_ascii_uppercase().as_bytes()) {
        Ok(Method::CONNECT) => Err("CONNECT is for proxies".into()),
        Ok(method) => Ok(method),
        Err(_) => Err(format!("{text:?} is not a method, such as \"POST\"")),
    }
}

fn read_header(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), String> {
    let read = HeaderName::from_bytes(name.as_bytes());
    let read = read.map_err(|_| format!("{name:?} is not the name of a header"))?;
    if OURS.contains(&read.as_str()) {
        return Err(format!("{name} is set by puad itself"));
    }
    let value = HeaderValue::from_bytes(value);
    let value =
        value.map_err(|_| format!("{name}: CR, LF and control characters cannot be sent"))?;
    Ok((read, value))
}

const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
const USUAL_REDIRECTS: usize = 5;
const MOST_REDIRECTS: f64 = 20.0;
/// Headers that say where a message goes and where it ends.
const OURS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        let url = read_url("https://me:secret@example.com:8443/a?key=hidden#part").expect("a URL");
        assert_eq!(shown_url(&url), "https://example.com:8443/a?…");
        for (text, expected) in [
            ("ftp://me:secret@example.com/", "\"ftp://example.com/\" is not an http or https URL"),
            ("http://example.com/a b", "a URL has no spaces and no control characters"),
            ("http://example.com/\r\nX: y", "a URL has no spaces and no control characters"),
            ("example.com", "it is not a URL, such as \"https://example.com/\""),
            ("http://me:secret@", "it is not a URL, such as \"https://example.com/\""),
        ] {
            let refused = read_url(text).expect_err(text);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn headers_that_frame_a_message_and_broken_ones_are_refused() {
        for (name, value, expected) in [
            ("Host", "a", "Host is set by puad itself"),
            ("transfer-encoding", "chunked", "transfer-encoding is set by puad itself"),
            ("X Y", "a", "\"X Y\" is not the name of a header"),
            ("X-Y", "a\r\nHost: b", "X-Y: CR, LF and control characters cannot be sent"),
            ("X-Y", "a\0", "X-Y: CR, LF and control characters cannot be sent"),
        ] {
            assert_eq!(read_header(name, value.as_bytes()).expect_err(name), expected);
        }
        assert!(read_header("X-Y", "größer".as_bytes()).is_ok());
    }
}
