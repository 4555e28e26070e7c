//! Reading a call to publish: named options, or Kamailio's order of arguments.

use std::sync::Arc;

use bytes::Bytes;
use mlua::{MultiValue, Value};

use super::{
    super::{
        super::signatures::{self, PUBLISH_POSITIONS},
        Fault,
        body::Body,
        options::{Options, duration, shown},
    },
    handle::Handle,
};
use crate::{
    command::{
        Document, EntityTag, EventType, ExtraHeaders, Lifetime, MOST_PROXIES, OnOrphan, OnStop,
        Owner, Publish, RefreshWith, whole_seconds,
    },
    sip::{
        self,
        message::{Uri, value::is_media_type},
    },
};

/// One call to publish, read and checked.
pub(super) struct Call {
    pub(super) op: &'static str,
    /// Boxed: it waits in a coroutine for the whole round trip.
    pub(super) publish: Box<Publish>,
    pub(super) on_state: Option<mlua::Function>,
}

impl Call {
    pub(super) fn read(op: &'static str, args: &MultiValue) -> Result<Self, Fault> {
        match args.front() {
            Some(Value::Table(_)) if args.len() == 1 => Self::named(op, &args[0], None),
            Some(Value::String(_)) => Self::positional(op, args),
            other => Err(Fault::misuse(format!(
                "{op}: one table of options is expected, such as {op}{{ presentity_uri = \"sip:a@example.com\", event = \"presence\", body = … }}, not {}",
                shown(other.unwrap_or(&Value::Nil))
            ))),
        }
    }

    /// Reads named options; `of` is the publication whose handle was called.
    pub(super) fn named(
        op: &'static str,
        value: &Value,
        of: Option<&Handle>,
    ) -> Result<Self, Fault> {
        let known =
            if of.is_some() { &signatures::UPDATE_OPTIONS } else { &signatures::PUBLISH_OPTIONS };
        let options = Options::new(op, value, known)?;
        let mut publish = match of {
            Some(handle) => handle.template.clone(),
            None => {
                let presentity =
                    uri(&options, "presentity_uri", &options.need_text("presentity_uri")?)?;
                let event = match (options.text("event")?, options.text("event_package")?) {
                    (Some(event), None) | (None, Some(event)) => event,
                    (Some(_), Some(_)) => {
                        return Err(options
                            .refuse("event", "event_package means the same; give one of them"));
                    }
                    (None, None) => {
                        return Err(options.refuse("event", "is required, such as \"presence\""));
                    }
                };
                let event = EventType::parse(&event).map_err(|why| options.refuse("event", why))?;
                let mut publish = Publish::new(Owner::OneShot, presentity, event);
                if let Some(id) = options.text("id")? {
                    publish.id = checked_id(id).map_err(|why| options.refuse("id", why))?;
                }
                publish
            }
        };
        publish.document = document(&options, &publish.event)?;
        if let Some(expires) = options.duration("expires")? {
            publish.expires = whole_seconds(expires);
        }
        if publish.expires.is_zero() && publish.document.is_some() {
            return Err(
                options.refuse("expires", "0 removes the publication and goes with no body")
            );
        }
        if let Some(lifetime) = lifetime(&options)? {
            publish.lifetime = lifetime;
        }
        if let Some(tag) = options.text("etag")? {
            publish.entity_tag =
                Some(EntityTag::parse(&tag).map_err(|why| options.refuse("etag", why))?);
        }
        if let Some(proxies) = proxies(&options)? {
            publish.outbound_proxy = proxies;
        }
        if let Some(headers) = extra_headers(&options)? {
            publish.extra_headers = headers;
        }
        if let Some(account) = options.name("account")? {
            publish.account = Some(account);
        }
        let refreshes = &[("empty", RefreshWith::Empty), ("body", RefreshWith::Body)];
        publish.refresh = options.choice("refresh", refreshes)?.or(publish.refresh);
        publish.skip_unchanged = options.flag("skip_unchanged")?.unwrap_or(publish.skip_unchanged);
        publish.min_interval = options.duration("min_interval")?.unwrap_or(publish.min_interval);
        let stops = &[("keep", OnStop::Keep), ("remove", OnStop::Remove)];
        publish.on_stop = options.choice("on_stop", stops)?.unwrap_or(publish.on_stop);
        let orphans = &[("remove", OnOrphan::Remove), ("keep", OnOrphan::Keep)];
        publish.on_orphan = options.choice("on_orphan", orphans)?.unwrap_or(publish.on_orphan);
        publish.timeout = options.duration("timeout")?.or(publish.timeout);
        Ok(Self { op, publish: Box::new(publish), on_state: options.function("on_state")? })
    }

    /// Reads Kamailio's order of [`PUBLISH_POSITIONS`]; "." means none.
    fn positional(op: &'static str, args: &MultiValue) -> Result<Self, Fault> {
        let refuse = |name: &str, why: String| Fault::misuse(format!("{op}: {name}: {why}"));
        if args.len() > PUBLISH_POSITIONS.len() {
            let names: Vec<_> = PUBLISH_POSITIONS.iter().map(|position| position.name).collect();
            return Err(Fault::misuse(format!(
                "{op}: {} arguments are more than the {} of ({})",
                args.len(),
                PUBLISH_POSITIONS.len(),
                names.join(", ")
            )));
        }
        let text = |at: usize| match args.get(at) {
            None | Some(Value::Nil) => Ok(None),
            Some(Value::String(text)) => {
                Ok(Some(text.to_string_lossy()).filter(|text| text != "."))
            }
            Some(other @ (Value::Integer(_) | Value::Number(_))) => Ok(Some(shown(other))),
            Some(other) => {
                Err(refuse(PUBLISH_POSITIONS[at].name, format!("{} is not a text", shown(other))))
            }
        };
        let need = |at: usize| {
            text(at)?.ok_or_else(|| refuse(PUBLISH_POSITIONS[at].name, "is required".into()))
        };
        let presentity = need(0)?;
        let presentity =
            Uri::parse(&presentity).map_err(|why| refuse("presentity_uri", why.to_string()))?;
        let event = EventType::parse(&need(2)?).map_err(|why| refuse("event", why.to_string()))?;
        let mut publish = Publish::new(Owner::OneShot, presentity, event);
        match args.get(1) {
            // For ever; each PUBLISH asks for the usual hour.
            Some(Value::Integer(..0)) => {}
            Some(Value::Number(seconds)) if *seconds < 0.0 => {}
            Some(value) => {
                let expires = duration(value).map_err(|why| refuse("expires", why))?;
                publish.expires = whole_seconds(expires);
                publish.lifetime = Lifetime::For(publish.expires);
            }
            None => return Err(refuse("expires", "is required".into())),
        }
        let content_type = match text(3)? {
            Some(content_type) => {
                Some(checked_type(&content_type).map_err(|why| refuse("content_type", why))?)
            }
            None => None,
        };
        // A removal goes without a body; Kamailio's callers give one all the same.
        let body = args.get(8).filter(|_| !publish.expires.is_zero());
        publish.document = match body {
            None | Some(Value::Nil) => None,
            Some(Value::String(none)) if *none.as_bytes() == b"."[..] => None,
            Some(body) => read_document(body, content_type, &publish.event)
                .map_err(|(field, why)| refuse(field, why))?,
        };
        if let Some(id) = text(4)? {
            publish.id = checked_id(id).map_err(|why| refuse("id", why))?;
        }
        if let Some(tag) = text(5)? {
            publish.entity_tag =
                Some(EntityTag::parse(&tag).map_err(|why| refuse("etag", why.to_string()))?);
        }
        if let Some(proxy) = text(6)? {
            let proxy =
                Uri::parse(&proxy).map_err(|why| refuse("outbound_proxy", why.to_string()))?;
            publish.outbound_proxy = vec![proxy];
        }
        if let Some(lines) = text(7)? {
            publish.extra_headers = ExtraHeaders::from_lines(&lines)
                .map_err(|why| refuse("extra_headers", why.to_string()))?;
        }
        Ok(Self { op, publish: Box::new(publish), on_state: None })
    }
}

fn uri(options: &Options, name: &str, text: &str) -> Result<Uri, Fault> {
    Uri::parse(text).map_err(|why| options.refuse(name, why))
}

fn document(options: &Options, event: &EventType) -> Result<Option<Document>, Fault> {
    let content_type = match options.text("content_type")? {
        Some(text) => Some(checked_type(&text).map_err(|why| options.refuse("content_type", why))?),
        None => None,
    };
    read_document(&options.value("body")?, content_type, event)
        .map_err(|(field, why)| options.refuse(field, why))
}

/// Reads a body: a text, or what `body.*` made. An error names the field that is wrong.
fn read_document(
    body: &Value,
    content_type: Option<Arc<str>>,
    event: &EventType,
) -> Result<Option<Document>, (&'static str, String)> {
    match body {
        Value::Nil => Ok(None),
        Value::String(text) => {
            let content_type = match content_type {
                Some(content_type) => content_type,
                None => default_type(event).map_err(|why| ("content_type", why))?,
            };
            Ok(Some(Document::new(content_type, Bytes::copy_from_slice(&text.as_bytes()))))
        }
        Value::UserData(body) if body.is::<Body>() => {
            let body = body.borrow::<Body>().map_err(|error| ("body", error.to_string()))?;
            let mut document = body.document();
            if let Some(content_type) = content_type {
                document.content_type = content_type;
            }
            Ok(Some(document))
        }
        other => Err((
            "body",
            format!(
                "{} is neither a text nor made by body.pidf, body.raw or their like",
                shown(other)
            ),
        )),
    }
}

fn checked_id(id: String) -> Result<String, String> {
    if id.is_empty() || id.len() > 256 || id.contains(char::is_control) {
        return Err("is not a text of 1 to 256 bytes without control characters".into());
    }
    Ok(id)
}

fn checked_type(text: &str) -> Result<Arc<str>, String> {
    if is_media_type(text) {
        Ok(text.into())
    } else {
        Err(format!("{text:?} is not a media type, such as \"application/pidf+xml\""))
    }
}

fn default_type(event: &EventType) -> Result<Arc<str>, String> {
    sip::document_type(event.package()).map(Arc::from).ok_or_else(|| {
        format!("is required: no type is known for documents of {:?}", event.package())
    })
}

fn lifetime(options: &Options) -> Result<Option<Lifetime>, Fault> {
    match options.value("lifetime")? {
        Value::Nil => Ok(None),
        Value::String(text) if *text.as_bytes() == b"forever"[..] => Ok(Some(Lifetime::Forever)),
        value => match duration(&value) {
            Ok(lifetime) => Ok(Some(Lifetime::For(lifetime))),
            Err(why) => Err(options.refuse("lifetime", format_args!("{why}, nor \"forever\""))),
        },
    }
}

fn proxies(options: &Options) -> Result<Option<Vec<Uri>>, Fault> {
    match options.value("outbound_proxy")? {
        Value::Nil => Ok(None),
        Value::String(text) => {
            Ok(Some(vec![uri(options, "outbound_proxy", &text.to_string_lossy())?]))
        }
        Value::Table(list) => {
            if list.raw_len() > MOST_PROXIES {
                return Err(options.refuse(
                    "outbound_proxy",
                    format_args!("{} are more than {MOST_PROXIES}", list.raw_len()),
                ));
            }
            let mut uris = Vec::new();
            for text in list.sequence_values::<Value>() {
                match text? {
                    Value::String(text) => {
                        uris.push(uri(options, "outbound_proxy", &text.to_string_lossy())?);
                    }
                    other => {
                        return Err(options.refuse(
                            "outbound_proxy",
                            format_args!("{} is not a SIP URI", shown(&other)),
                        ));
                    }
                }
            }
            Ok(Some(uris))
        }
        other => Err(options.refuse(
            "outbound_proxy",
            format_args!("{} is neither a SIP URI nor a list of them", shown(&other)),
        )),
    }
}

/// Reads a map of names to values or lists of values, or lines of text.
fn extra_headers(options: &Options) -> Result<Option<ExtraHeaders>, Fault> {
    let field = "extra_headers";
    let headers = match options.value(field)? {
        Value::Nil => return Ok(None),
        Value::String(lines) => match lines.to_str() {
            Ok(lines) => ExtraHeaders::from_lines(&lines),
            Err(_) => return Err(options.refuse(field, "the text is not UTF-8")),
        },
        Value::Table(map) => {
            let mut rows = Vec::new();
            for pair in map.pairs::<Value, Value>() {
                let (name, value) = pair?;
                let Value::String(name) = &name else {
                    return Err(options.refuse(
                        field,
                        format_args!(
                            "{} is not a header name; write [\"X-Name\"] = \"value\"",
                            shown(&name)
                        ),
                    ));
                };
                let name = name.to_string_lossy();
                match value {
                    Value::Table(values) => {
                        for value in values.sequence_values::<Value>() {
                            rows.push((name.clone(), header_value(options, &name, &value?)?));
                        }
                    }
                    value => rows.push((name.clone(), header_value(options, &name, &value)?)),
                }
            }
            // A table has no order of its own: sorted by name, so that the same call sends the same bytes.
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            ExtraHeaders::new(rows)
        }
        other => {
            return Err(options.refuse(
                field,
                format_args!("{} is neither a table nor lines of text", shown(&other)),
            ));
        }
    };
    headers.map(Some).map_err(|why| options.refuse(field, why))
}

fn header_value(options: &Options, name: &str, value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => {
            options.weigh("extra_headers", name.len() + text.as_bytes().len())?;
            match text.to_str() {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => {
                    Err(options
                        .refuse("extra_headers", format_args!("{name}: the text is not UTF-8")))
                }
            }
        }
        Value::Integer(_) | Value::Number(_) => Ok(shown(value)),
        other => Err(options.refuse(
            "extra_headers",
            format_args!("{name}: {} is neither a text nor a list of texts", shown(other)),
        )),
    }
}
