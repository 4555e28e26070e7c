//! `pua`: publishing, and the handles of what is published.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use mlua::{AnyUserData, Lua, MetaMethod, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{
    super::{
        host::Host,
        serial::{Full, Letter, Serial},
    },
    Fault, bind, bind_async,
    body::Body,
    error_table, failed, method,
    options::{Options, duration, shown},
};
use crate::{
    command::{
        Change, Command, Document, EntityTag, EventType, ExtraHeaders, Failure, FailureKind, Key,
        Lifetime, OnStop, PublicationEvent, PublicationInfo, PublicationState, Publish, Published,
        RefreshWith, Reply,
    },
    sip::{
        self,
        message::{Uri, value::is_media_type},
    },
};

/// Builds the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let methods = methods(lua, host)?;
    let (publisher, handles) = (host.clone(), methods.clone());
    table.set(
        "publish",
        bind_async(lua, host, move |lua, args| {
            let (host, methods) = (publisher.clone(), handles.clone());
            let call = Call::read("pua.publish", &args);
            async move { call?.publish(&lua, &host, &methods).await }
        })?,
    )?;
    let sender = host.clone();
    table.set(
        "send_publish",
        bind(lua, host, move |lua, args| {
            Call::read("pua.send_publish", &args)?.send(lua, &sender, &methods)
        })?,
    )?;
    let lister = host.clone();
    table.set(
        "publications",
        bind_async(lua, host, move |lua, _: MultiValue| {
            let host = lister.clone();
            async move {
                let list = lua.create_table()?;
                for info in infos(&host).await {
                    list.raw_push(info_table(&lua, &info)?)?;
                }
                Ok(list)
            }
        })?,
    )?;
    Ok(table)
}

/// Tells a publication's owner of a change.
pub(in crate::script) fn on_event(host: &Rc<Host>, lua: &Lua, event: PublicationEvent) {
    let entry = host.publications.borrow().get(&event.key).cloned();
    let Some(entry) = entry else { return };
    entry.live.borrow_mut().take(&event);
    if event.change == Change::Removed {
        host.publications.borrow_mut().remove(&event.key);
    }
    let handler = entry.on_state.borrow().clone();
    if let Some(handler) = handler {
        handler.push(host, lua, event);
    }
}

/// What a script's side keeps of one publication.
#[derive(Default)]
pub(in crate::script) struct Entry {
    live: RefCell<Live>,
    on_state: RefCell<Option<Rc<Serial<PublicationEvent>>>>,
}

/// The fields of a Publication: the last word of the server.
#[derive(Debug, Default)]
struct Live {
    status: Option<u16>,
    reason: Option<Arc<str>>,
    entity_tag: Option<EntityTag>,
    expires: Option<Duration>,
    sent: bool,
}

impl Live {
    fn take(&mut self, event: &PublicationEvent) {
        self.status = event.status;
        self.reason.clone_from(&event.reason);
        self.entity_tag.clone_from(&event.entity_tag);
        self.expires = event.expires;
    }
}

impl Letter for PublicationEvent {
    fn table(&self, lua: &Lua) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        table.raw_set("state", self.change.as_str())?;
        table.raw_set("status", self.status)?;
        table.raw_set("reason", self.reason.as_deref())?;
        table.raw_set("etag", self.entity_tag.as_ref().map(EntityTag::as_str))?;
        table.raw_set("expires", self.expires.map(|expires| expires.as_secs()))?;
        if let Some(failure) = &self.failure {
            let error = lua.create_table()?;
            error.raw_set("code", failure.kind.as_str())?;
            error.raw_set("message", failure.message.as_str())?;
            error.raw_set("status", failure.status)?;
            error.raw_set("retrying", failure.retrying)?;
            error.raw_set("retry_after", failure.retry_after.map(|wait| wait.as_secs_f64()))?;
            table.raw_set("error", error)?;
        }
        Ok(table)
    }
}

/// One call to publish, read and checked.
struct Call {
    op: &'static str,
    /// Boxed: it waits in a coroutine for the whole round trip.
    publish: Box<Publish>,
    on_state: Option<mlua::Function>,
}

impl Call {
    fn read(op: &'static str, args: &MultiValue) -> Result<Self, Fault> {
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
    fn named(op: &'static str, value: &Value, of: Option<&Handle>) -> Result<Self, Fault> {
        let known = if of.is_some() { &OPTIONS[4..] } else { OPTIONS };
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
                Publish::new(crate::command::Owner::OneShot, presentity, event)
            }
        };
        if let Some(id) = options.text("id")? {
            publish.id = id;
        }
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
        if let Some(account) = options.text("account")? {
            publish.account = Some(account);
        }
        let refreshes = &[("empty", RefreshWith::Empty), ("body", RefreshWith::Body)];
        publish.refresh = options.choice("refresh", refreshes)?.or(publish.refresh);
        publish.skip_unchanged = options.flag("skip_unchanged")?.unwrap_or(publish.skip_unchanged);
        publish.min_interval = options.duration("min_interval")?.unwrap_or(publish.min_interval);
        let stops = &[("keep", OnStop::Keep), ("remove", OnStop::Remove)];
        publish.on_stop = options.choice("on_stop", stops)?.unwrap_or(publish.on_stop);
        publish.timeout = options.duration("timeout")?;
        Ok(Self { op, publish: Box::new(publish), on_state: options.function("on_state")? })
    }

    /// Reads Kamailio's order: presentity_uri, expires, event, content_type, id, etag,
    /// outbound_proxy, extra_headers, body; "." means none.
    fn positional(op: &'static str, args: &MultiValue) -> Result<Self, Fault> {
        let refuse = |name: &str, why: String| Fault::misuse(format!("{op}: {name}: {why}"));
        if args.len() > POSITIONS.len() {
            return Err(Fault::misuse(format!(
                "{op}: {} arguments are more than the {} of ({})",
                args.len(),
                POSITIONS.len(),
                POSITIONS.join(", ")
            )));
        }
        let text = |at: usize| match args.get(at) {
            None | Some(Value::Nil) => Ok(None),
            Some(Value::String(text)) => {
                Ok(Some(text.to_string_lossy()).filter(|text| text != "."))
            }
            Some(other @ (Value::Integer(_) | Value::Number(_))) => Ok(Some(shown(other))),
            Some(other) => Err(refuse(POSITIONS[at], format!("{} is not a text", shown(other)))),
        };
        let need = |at: usize| text(at)?.ok_or_else(|| refuse(POSITIONS[at], "is required".into()));
        let presentity = need(0)?;
        let presentity =
            Uri::parse(&presentity).map_err(|why| refuse("presentity_uri", why.to_string()))?;
        let event = EventType::parse(&need(2)?).map_err(|why| refuse("event", why.to_string()))?;
        let mut publish = Publish::new(crate::command::Owner::OneShot, presentity, event);
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
        if let Some(Value::String(body)) = args.get(8).filter(|_| !publish.expires.is_zero())
            && *body.as_bytes() != b"."[..]
        {
            let content_type = match text(3)? {
                Some(content_type) => {
                    checked_type(&content_type).map_err(|why| refuse("content_type", why))?
                }
                None => default_type(&publish.event).map_err(|why| refuse("content_type", why))?,
            };
            publish.document =
                Some(Document { content_type, body: Bytes::copy_from_slice(&body.as_bytes()) });
        }
        if let Some(id) = text(4)? {
            publish.id = id;
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

    /// Publishes and waits for the server's word.
    async fn publish(
        self,
        lua: &Lua,
        host: &Rc<Host>,
        methods: &Table,
    ) -> Result<(Value, Value), Fault> {
        let op = self.op;
        let begun = match self.begin(host) {
            Ok(begun) => begun,
            Err(failure) => return Ok(failed(lua, host, op, &failure)?),
        };
        let handle = lua.create_userdata(begun.handle(host, methods))?;
        begun.finish(lua, host, op, handle).await
    }

    /// Publishes without waiting.
    fn send(self, lua: &Lua, host: &Rc<Host>, methods: &Table) -> Result<(Value, Value), Fault> {
        let op = self.op;
        match self.begin(host) {
            Ok(begun) => {
                let handle = lua.create_userdata(begun.handle(host, methods))?;
                Ok((Value::UserData(handle), Value::Nil))
            }
            Err(failure) => Ok(failed(lua, host, op, &failure)?),
        }
    }

    /// Gives the command to the core.
    fn begin(mut self, host: &Rc<Host>) -> Result<Begun, Failure> {
        self.publish.owner = host.owner.clone();
        if self.publish.on_stop == OnStop::Keep {
            host.warn_keep();
        }
        let key = self.publish.key();
        let entry = host.publication(&key)?;
        if let Some(function) = self.on_state {
            let what = format!("on_state of {key}");
            let handler = Serial::new(function, what, QUEUE, Full::DropOldest);
            *entry.on_state.borrow_mut() = Some(Rc::new(handler));
        }
        // Kept for `:update`: the options of the last call, without its document.
        let template = Publish { document: None, entity_tag: None, ..(*self.publish).clone() };
        let reply = host
            .core
            .send(Command::Publish(self.publish))
            .map_err(|closed| Failure::new(FailureKind::Closed, closed.to_string()))?;
        Ok(Begun { key, entry, template, reply })
    }
}

/// A command on its way.
struct Begun {
    key: Key,
    entry: Rc<Entry>,
    template: Publish,
    reply: tokio::sync::oneshot::Receiver<Reply>,
}

impl Begun {
    fn handle(&self, host: &Rc<Host>, methods: &Table) -> Handle {
        Handle {
            key: self.key.clone(),
            entry: self.entry.clone(),
            template: self.template.clone(),
            host: host.clone(),
            methods: methods.clone(),
        }
    }

    async fn finish(
        self,
        lua: &Lua,
        host: &Rc<Host>,
        op: &str,
        handle: AnyUserData,
    ) -> Result<(Value, Value), Fault> {
        settle(lua, host, op, handle, &self.entry, self.reply.await.ok())
    }
}

/// Turns the core's word into what the script gets.
fn settle(
    lua: &Lua,
    host: &Rc<Host>,
    op: &str,
    handle: AnyUserData,
    entry: &Entry,
    reply: Option<Reply>,
) -> Result<(Value, Value), Fault> {
    match reply {
        Some(Reply::Publication(Ok(published))) => {
            note(host, entry, &published);
            Ok((Value::UserData(handle), Value::Nil))
        }
        Some(Reply::Publication(Err(failure))) if failure.kind == FailureKind::Usage => {
            Err(Fault::misuse(format!("{op}: {}", failure.message)))
        }
        Some(Reply::Publication(Err(failure))) => {
            if let Some(status) = failure.status {
                let mut live = entry.live.borrow_mut();
                live.status = Some(status);
                live.reason.clone_from(&failure.reason);
            }
            Ok((Value::Nil, Value::Table(error_table(lua, host, op, &failure)?)))
        }
        Some(Reply::Publications(_) | Reply::Stopped { .. }) | None => {
            Ok(failed(lua, host, op, &Failure::new(FailureKind::Closed, "puad is stopping"))?)
        }
    }
}

fn note(host: &Host, entry: &Entry, published: &Published) {
    let mut live = entry.live.borrow_mut();
    live.status = published.status;
    live.reason.clone_from(&published.reason);
    live.entity_tag.clone_from(&published.entity_tag);
    live.expires = published.expires;
    live.sent = published.sent;
    if published.state == PublicationState::Removed {
        host.publications.borrow_mut().remove(&published.key);
    }
}

/// A Publication: what a script holds of state that lives in the core.
struct Handle {
    key: Key,
    entry: Rc<Entry>,
    template: Publish,
    host: Rc<Host>,
    methods: Table,
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(add: &mut M) {
        add.add_meta_method(MetaMethod::Index, |lua, this, name: String| {
            let live = this.entry.live.borrow();
            let text = |text: Option<&str>| match text {
                Some(text) => lua.create_string(text).map(Value::String),
                None => Ok(Value::Nil),
            };
            match name.as_str() {
                "status" => Ok(live.status.map_or(Value::Nil, |code| Value::Integer(code.into()))),
                "reason" => text(live.reason.as_deref()),
                "etag" => text(live.entity_tag.as_ref().map(EntityTag::as_str)),
                "expires" => Ok(live
                    .expires
                    .map_or(Value::Nil, |expires| Value::Number(expires.as_secs_f64()))),
                "sent" => Ok(Value::Boolean(live.sent)),
                "key" => text(Some(this.key.as_str())),
                _ => method(lua, &this.methods, &name),
            }
        });
        add.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("publication {}", this.key))
        });
    }
}

fn methods(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let methods = lua.create_table()?;
    methods.set(
        "update",
        bind_async(lua, host, |lua, args: MultiValue| async move {
            let (handle, host) = own_handle("update", &args)?;
            let options = args.get(1).cloned().unwrap_or(Value::Nil);
            let call =
                Call::named("publication:update", &options, Some(&*handle.borrow::<Handle>()?))?;
            let op = call.op;
            match call.begin(&host) {
                Ok(begun) => {
                    handle.borrow_mut::<Handle>()?.template = begun.template.clone();
                    begun.finish(&lua, &host, op, handle).await
                }
                Err(failure) => Ok(failed(&lua, &host, op, &failure)?),
            }
        })?,
    )?;
    for (name, op) in [("refresh", "publication:refresh"), ("remove", "publication:remove")] {
        methods.set(
            name,
            bind_async(lua, host, move |lua, args: MultiValue| async move {
                let (handle, host) = own_handle(name, &args)?;
                let (key, entry, timeout) = {
                    let this = handle.borrow::<Handle>()?;
                    (this.key.clone(), this.entry.clone(), this.template.timeout)
                };
                let owner = host.owner.clone();
                let command = match name {
                    "refresh" => Command::Refresh { owner, key, timeout },
                    _ => Command::Remove { owner, key, timeout },
                };
                let reply = host.core.call(command).await.ok();
                settle(&lua, &host, op, handle, &entry, reply)
            })?,
        )?;
    }
    methods.set(
        "info",
        bind_async(lua, host, |lua, args: MultiValue| async move {
            let (handle, host) = own_handle("info", &args)?;
            let key = handle.borrow::<Handle>()?.key.clone();
            let info = infos(&host).await.into_iter().find(|info| info.key == key);
            match info {
                Some(info) => info_table(&lua, &info).map_err(Fault::from),
                None => {
                    let table = lua.create_table()?;
                    table.raw_set("key", key.as_str())?;
                    table.raw_set("state", PublicationState::Removed.as_str())?;
                    Ok(table)
                }
            }
        })?,
    )?;
    Ok(methods)
}

fn own_handle(call: &str, args: &MultiValue) -> Result<(AnyUserData, Rc<Host>), Fault> {
    match args.front() {
        Some(Value::UserData(handle)) if handle.is::<Handle>() => {
            let host = handle.borrow::<Handle>()?.host.clone();
            Ok((handle.clone(), host))
        }
        _ => Err(Fault::misuse(format!("{call}: call it with a colon, as in pub:{call}()"))),
    }
}

async fn infos(host: &Host) -> Vec<PublicationInfo> {
    let owner = Some(host.owner.clone());
    match host.core.call(Command::Publications { owner }).await {
        Ok(Reply::Publications(infos)) => infos,
        Ok(Reply::Publication(_) | Reply::Stopped { .. }) | Err(_) => Vec::new(),
    }
}

fn info_table(lua: &Lua, info: &PublicationInfo) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("key", info.key.as_str())?;
    table.raw_set("presentity_uri", &*info.presentity_uri)?;
    table.raw_set("event", &*info.event)?;
    table.raw_set("id", &*info.id)?;
    table.raw_set("owner", info.owner.to_string())?;
    table.raw_set("state", info.state.as_str())?;
    table.raw_set("etag", info.entity_tag.as_ref().map(EntityTag::as_str))?;
    table.raw_set("expires_at", info.expires_at)?;
    table.raw_set("next_refresh", info.next_refresh)?;
    table.raw_set("status", info.status)?;
    table.raw_set("reason", info.reason.as_deref())?;
    table.raw_set("requests", info.requests)?;
    table.raw_set("failures", info.failures)?;
    table.raw_set("last_error", info.last_error.as_deref())?;
    Ok(table)
}

fn uri(options: &Options, name: &str, text: &str) -> Result<Uri, Fault> {
    Uri::parse(text).map_err(|why| options.refuse(name, why))
}

fn document(options: &Options, event: &EventType) -> Result<Option<Document>, Fault> {
    let content_type = match options.text("content_type")? {
        Some(text) => Some(checked_type(&text).map_err(|why| options.refuse("content_type", why))?),
        None => None,
    };
    match options.value("body")? {
        Value::Nil => Ok(None),
        Value::String(text) => {
            let content_type = match content_type {
                Some(content_type) => content_type,
                None => default_type(event).map_err(|why| options.refuse("content_type", why))?,
            };
            Ok(Some(Document { content_type, body: Bytes::copy_from_slice(&text.as_bytes()) }))
        }
        Value::UserData(body) if body.is::<Body>() => {
            let body = body.borrow::<Body>()?;
            let mut document = body.document();
            if let Some(content_type) = content_type {
                document.content_type = content_type;
            }
            Ok(Some(document))
        }
        other => Err(options.refuse(
            "body",
            format_args!(
                "{} is neither a text nor made by body.pidf, body.mwi or body.raw",
                shown(&other)
            ),
        )),
    }
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
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => {
                Err(options.refuse("extra_headers", format_args!("{name}: the text is not UTF-8")))
            }
        },
        Value::Integer(_) | Value::Number(_) => Ok(shown(value)),
        other => Err(options.refuse(
            "extra_headers",
            format_args!("{name}: {} is neither a text nor a list of texts", shown(other)),
        )),
    }
}

/// Expires counts whole seconds; what is left of one counts as one, so that nothing but 0 removes.
fn whole_seconds(expires: Duration) -> Duration {
    Duration::from_secs(expires.as_secs() + u64::from(expires.subsec_nanos() > 0))
}

/// The first four name the publication and are fixed in a handle.
const OPTIONS: &[&str] = &[
    "presentity_uri",
    "event",
    "event_package",
    "id",
    "body",
    "content_type",
    "expires",
    "lifetime",
    "etag",
    "outbound_proxy",
    "extra_headers",
    "account",
    "refresh",
    "skip_unchanged",
    "min_interval",
    "on_stop",
    "timeout",
    "on_state",
];
const POSITIONS: &[&str] = &[
    "presentity_uri",
    "expires",
    "event",
    "content_type",
    "id",
    "etag",
    "outbound_proxy",
    "extra_headers",
    "body",
];
/// Changes that wait for a slow `on_state`.
const QUEUE: usize = 64;
