//! Incoming requests: checked in order, answered, and forgotten as soon as may be (3261 §8.2, §17.2).
//!
//! puad serves OPTIONS and refuses everything else with the code that says why. Requests outside
//! dialogs cost bounded memory and a bounded number of answers per source.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    ids::MAGIC_COOKIE,
    io::{FlowId, Output, is_reliable},
    message::{
        self, Message, Name, ParseError, StartLine, UriRef,
        print::Writer,
        print::reason_phrase,
        uri::{numeric_host, unescape},
        value,
    },
    package,
    timers::Whom,
    transaction::{ServerTransaction, server::Action},
    wire::Wire,
};

/// Server transactions and the rates of those who ask.
#[derive(Debug)]
pub(crate) struct Servers {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<String, u64>,
    by_merge: BTreeMap<String, u64>,
    rates: BTreeMap<IpAddr, Bucket>,
    /// When sources that have been quiet were last forgotten.
    swept_at: Option<Instant>,
    secret: u64,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    machine: ServerTransaction,
    key: String,
    merge: String,
    flow: FlowId,
    to: SocketAddr,
    scheduled: Option<Instant>,
}

/// Tokens left for one source.
#[derive(Debug)]
struct Bucket {
    tokens: f32,
    at: Instant,
}

/// What is answered: a code, its phrase, and headers beside the copied ones.
struct Verdict {
    code: u16,
    reason: String,
    headers: Vec<(Name, String)>,
}

impl Verdict {
    fn of(code: u16) -> Self {
        Self { code, reason: reason_phrase(code).into(), headers: Vec::new() }
    }

    fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<ParseError> for Verdict {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Version => Self::of(505),
            ParseError::BodyTooLarge | ParseError::HeadTooLarge | ParseError::TooManyHeaders => {
                Self { reason: error.to_string(), ..Self::of(513) }
            }
            _ => Self { reason: error.to_string(), ..Self::of(400) },
        }
    }
}

impl Servers {
    pub(crate) fn new(secret: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_merge: BTreeMap::new(),
            rates: BTreeMap::new(),
            swept_at: None,
            secret,
            next: 0,
        }
    }

    /// Takes a request. `fault` is what framing found wrong with it.
    pub(crate) fn handle_request(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        flow: FlowId,
        source: SocketAddr,
        message: &Message<'_>,
        fault: Option<ParseError>,
    ) {
        wire.stats.incoming += 1;
        let (name, uri) = match message.start {
            StartLine::Request { method, uri } => (method, uri),
            // A start line that cannot be read may still have been an ACK's.
            StartLine::BadRequest(_) => (message.cseq().map_or("", |cseq| cseq.method), ""),
            StartLine::Response { .. } | StartLine::BadResponse(_) => ("", ""),
        };
        // An ACK is never answered, whatever is wrong with it (3261 §17.1.1.3).
        if name == "ACK" {
            return;
        }
        // Everything below is answered, repeats and nonsense too.
        if !self.may_answer(now, wire, source.ip()) {
            return;
        }
        let syntax = fault.map_or_else(|| check_syntax(message, name), Err);
        if let Err(error) = syntax {
            wire.stats.malformed += 1;
            return self.send_stateless(wire, flow, source, message, Verdict::from(error));
        }
        let key = transaction_key(message, name, uri);
        if let Some(entry) = self.by_key.get(&key).and_then(|id| self.entries.get(id)) {
            wire.stats.repeats += 1;
            if let Some(Action::Send(response)) = entry.machine.handle_repeat() {
                wire.outputs.push_back(Output::Transmit {
                    flow: entry.flow,
                    to: entry.to,
                    message: response,
                });
            }
            return;
        }
        let merge = merge_key(message);
        let verdict = self.judge(wire, message, name, uri, &merge);
        // INVITE is refused without state: repeats are answered anew, the same way (3261 §8.2.7).
        if name == "INVITE" || self.entries.len() >= wire.config.limits.server_transactions {
            return self.send_stateless(wire, flow, source, message, verdict);
        }
        self.send_stateful(now, wire, flow, source, message, verdict, key, merge);
    }

    /// Returns whether no transaction is kept for repeats.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.by_key.is_empty() && self.by_merge.is_empty()
    }

    /// Looks at a transaction whose time has come.
    pub(crate) fn timeout(&mut self, now: Instant, wire: &mut Wire, at: Instant, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.scheduled == Some(at) {
            entry.scheduled = None;
        }
        // Every answer is given at once, so that no 100 is ever due.
        let _ = entry.machine.handle_timeout(now);
        if entry.machine.is_terminated() {
            self.by_key.remove(&entry.key);
            self.by_merge.remove(&entry.merge);
            self.entries.remove(&id);
        } else {
            let deadline = entry.machine.poll_timeout();
            wire.timers.schedule(Whom::Server(id), deadline, &mut entry.scheduled);
        }
    }

    /// The checks after syntax and repeats, in the order of 3261 §8.2.
    fn judge(
        &self,
        wire: &Wire,
        message: &Message<'_>,
        name: &str,
        uri: &str,
        merge: &str,
    ) -> Verdict {
        let has_to_tag =
            message.get(Name::To).and_then(|to| value::NameAddr::parse(to).ok()?.tag()).is_some();
        if name == "CANCEL" {
            return Verdict::of(if self.is_cancelling(message) { 200 } else { 481 });
        }
        if !has_to_tag && self.by_merge.contains_key(merge) {
            return Verdict::of(482);
        }
        match message::method(name) {
            Some(rsip::Method::Notify | rsip::Method::Options) => {}
            Some(_) => return Verdict::of(405).with(Name::Allow, ALLOW),
            None => return Verdict::of(501).with(Name::Allow, ALLOW),
        }
        if let Ok(uri) = UriRef::parse(uri) {
            if !uri.is_sip() {
                return Verdict::of(416);
            }
            let served = &wire.config.served_users;
            // Without a user puad itself is asked, as by a proxy that wants to know whether it lives.
            let is_served = uri.user().is_none_or(|user| served.contains(&*unescape(user)));
            if !has_to_tag && !served.is_empty() && !is_served {
                return Verdict::of(404);
            }
        }
        // No subscription is open, so no request fits a dialog (3261 §12.2.2; 6665 §4.1.3).
        if has_to_tag || name == "NOTIFY" {
            return Verdict::of(481);
        }
        let required: Vec<_> =
            message.list(Name::Require).filter(|option| !option.is_empty()).collect();
        let is_readable = |name| message.all(name).all(|field| field.text().is_ok());
        if !is_readable(Name::Require)
            || !required.iter().all(|option| message::is_token(option.as_bytes()))
        {
            return ParseError::Malformed(Name::Require).into();
        }
        if !required.is_empty() {
            // No blanks: the answer to a long list stays as small as the question.
            return Verdict::of(420).with(Name::Unsupported, required.join(","));
        }
        let is_plain = |encoding: &str| encoding.eq_ignore_ascii_case("identity");
        if !is_readable(Name::ContentEncoding) || !message.list(Name::ContentEncoding).all(is_plain)
        {
            return Verdict::of(415).with(Name::AcceptEncoding, "identity");
        }
        Verdict::of(200)
            .with(Name::Allow, ALLOW)
            .with(Name::Accept, package::ACCEPTED_TYPES)
            .with(Name::AcceptEncoding, "identity")
            .with(Name::AcceptLanguage, "en")
            .with(Name::Supported, "")
    }

    /// Returns whether a CANCEL names a request whose transaction is still known (3261 §9.2).
    fn is_cancelling(&self, message: &Message<'_>) -> bool {
        ["NOTIFY", "OPTIONS"]
            .iter()
            .any(|name| self.by_key.contains_key(&transaction_key(message, name, "")))
    }

    #[expect(clippy::too_many_arguments, reason = "the whole of one request")]
    fn send_stateful(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        flow: FlowId,
        source: SocketAddr,
        message: &Message<'_>,
        verdict: Verdict,
        key: String,
        merge: String,
    ) {
        let Some((out_flow, to)) = destination(wire, flow, source, message) else { return };
        let reliable = wire.flows.get(flow).is_some_and(|flow| is_reliable(flow.transport));
        let mut machine = ServerTransaction::new(now, reliable, &wire.timing);
        let response = self.print(message, source, &verdict);
        let length = response.len();
        let timing = wire.timing;
        if let Some(Action::Send(response)) = machine.respond(now, response, &timing) {
            wire.outputs.push_back(Output::Transmit { flow: out_flow, to, message: response });
        }
        // A request that is too large to keep is answered anew when it is repeated, the same way.
        if machine.is_terminated() || key.len() + merge.len() + length > LARGEST_KEPT {
            return;
        }
        let id = self.next;
        self.next += 1;
        let mut scheduled = None;
        wire.timers.schedule(Whom::Server(id), machine.poll_timeout(), &mut scheduled);
        self.by_key.insert(key.clone(), id);
        self.by_merge.insert(merge.clone(), id);
        self.entries.insert(id, Entry { machine, key, merge, flow: out_flow, to, scheduled });
    }

    fn send_stateless(
        &self,
        wire: &mut Wire,
        flow: FlowId,
        source: SocketAddr,
        message: &Message<'_>,
        verdict: Verdict,
    ) {
        // Without any Via nobody expects an answer.
        if message.all(Name::Via).next().is_none() {
            return;
        }
        let Some((flow, to)) = destination(wire, flow, source, message) else { return };
        let response = self.print(message, source, &verdict);
        wire.outputs.push_back(Output::Transmit { flow, to, message: response });
    }

    /// Prints a response: all Vias in order, From, To, Call-ID and CSeq copied (3261 §8.2.6.2).
    fn print(&self, message: &Message<'_>, source: SocketAddr, verdict: &Verdict) -> Bytes {
        let mut out = Writer::response(verdict.code, &verdict.reason);
        for (at, field) in message.all(Name::Via).enumerate() {
            match (at, field.text().ok().and_then(|row| stamp_via(row, source))) {
                // Octets of the peer's, among them whatever a quoted pair may hold.
                (0, Some(stamped)) => out.copied(Name::Via, stamped.as_bytes()),
                _ => out.copied(Name::Via, field.value),
            }
        }
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(field) = message.all(name).next() else { continue };
            let lacks_tag = name == Name::To
                && field.text().ok().is_some_and(|to| {
                    value::NameAddr::parse(to).is_ok_and(|to| to.tag().is_none())
                });
            match field.text() {
                Ok(to) if lacks_tag => {
                    out.formatted(Name::To, format_args!("{to};tag={}", self.tag(message)))
                }
                _ => out.copied(name, field.value),
            }
        }
        for (name, value) in &verdict.headers {
            out.header(*name, value);
        }
        out.finish(b"")
    }

    /// Computes a To tag from the request, so that every answer to it bears the same one without
    /// anything being kept.
    fn tag(&self, message: &Message<'_>) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret.to_be_bytes());
        for name in [Name::CallId, Name::From, Name::CSeq] {
            hash.update(message.all(name).next().map_or(&b""[..], |field| field.value));
            hash.update([0]);
        }
        if let Ok(via) = message.top_via() {
            hash.update(via.branch().unwrap_or_default());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes a token of a source's bucket; whoever asks too often is not answered.
    fn may_answer(&mut self, now: Instant, wire: &mut Wire, source: IpAddr) -> bool {
        let rate = wire.config.limits.answers_per_second as f32;
        if !self.rates.contains_key(&source) && self.rates.len() >= MOST_SOURCES {
            // A full bucket says nothing and can be forgotten. Looking for them at each datagram of
            // a flood would be a flood of its own.
            let is_old = |at: Instant| now.saturating_duration_since(at) >= Duration::from_secs(1);
            if self.swept_at.is_none_or(is_old) {
                self.swept_at = Some(now);
                self.rates.retain(|_, bucket| !is_old(bucket.at));
            }
            if self.rates.len() >= MOST_SOURCES {
                wire.stats.over_rate += 1;
                return false;
            }
        }
        let bucket = self.rates.entry(source).or_insert(Bucket { tokens: rate, at: now });
        let earned = now.saturating_duration_since(bucket.at).as_secs_f32() * rate;
        bucket.tokens = (bucket.tokens + earned).min(rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            wire.stats.over_rate += 1;
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// Checks what every request must have (3261 §8.1.1, §8.2).
fn check_syntax(message: &Message<'_>, name: &str) -> Result<(), ParseError> {
    message.check_grammar()?;
    for single in [Name::CallId, Name::From, Name::To, Name::CSeq] {
        message.single(single)?;
    }
    for field in message.fields().filter(|field| field.name.is_single()) {
        if message.all(field.name).nth(1).is_some() {
            return Err(ParseError::Repeated(field.name));
        }
    }
    let via = message.top_via()?;
    // The cookie alone promises a unique branch and gives none (4475 §3.2.1).
    if via.branch().is_some_and(|branch| branch.eq_ignore_ascii_case(MAGIC_COOKIE)) {
        return Err(ParseError::Malformed(Name::Via));
    }
    if message::method(name).is_some() && message.cseq()?.method != name {
        return Err(ParseError::CSeqMethod);
    }
    Ok(())
}

/// Names a transaction: branch, sent-by and method; without the cookie the fields RFC 2543 went by
/// (3261 §17.2.3).
fn transaction_key(message: &Message<'_>, name: &str, uri: &str) -> String {
    let Ok(via) = message.top_via() else { return String::new() };
    let port = via.port.unwrap_or(5060);
    let host = via.host.to_ascii_lowercase();
    match via.branch() {
        Some(branch)
            if branch.get(..7).is_some_and(|magic| magic.eq_ignore_ascii_case(MAGIC_COOKIE)) =>
        {
            format!("{} {host}:{port} {name}", branch.to_ascii_lowercase())
        }
        branch => {
            let get = |name: Name| message.get(name).unwrap_or_default();
            let (to, from, call_id, cseq) =
                (get(Name::To), get(Name::From), get(Name::CallId), get(Name::CSeq));
            format!(
                "{uri} {to} {from} {call_id} {cseq} {} {host}:{port} {name}",
                branch.unwrap_or_default()
            )
        }
    }
}

/// Names what two copies of one request share that came by different ways (3261 §8.2.2.2).
fn merge_key(message: &Message<'_>) -> String {
    let tag = message
        .get(Name::From)
        .and_then(|from| value::NameAddr::parse(from).ok()?.tag())
        .unwrap_or_default();
    format!(
        "{} {} {}",
        tag.to_ascii_lowercase(),
        message.get(Name::CallId).unwrap_or_default(),
        message.get(Name::CSeq).unwrap_or_default()
    )
}

/// Returns where a response goes (3261 §18.2.2; 3581 §4): over the connection of the request; for
/// UDP to the source address, at the source port when the peer asked for it, else at the port of
/// sent-by. `maddr` is not followed: nothing is sent where only a packet says so.
fn destination(
    wire: &Wire,
    flow: FlowId,
    source: SocketAddr,
    message: &Message<'_>,
) -> Option<(FlowId, SocketAddr)> {
    let came_by = wire.flows.get(flow)?;
    if is_reliable(came_by.transport) {
        return Some((flow, source));
    }
    let to = match message.top_via() {
        Ok(via) if via.params.get("rport").is_none() => {
            SocketAddr::new(source.ip(), via.port.unwrap_or(5060))
        }
        Ok(_) | Err(_) => source,
    };
    if came_by.remote.is_none_or(|remote| remote == to) {
        return Some((flow, to));
    }
    let (listener, _) = wire.flows.listener(came_by.transport, to.ip())?;
    Some((listener, to))
}

/// Adds `received` and fills `rport` in the first value of the topmost Via row.
pub(crate) fn stamp_via(row: &str, source: SocketAddr) -> Option<String> {
    let first = value::split_list(row).next()?;
    let rest = row.split_at_checked(row.find(first)? + first.len())?.1;
    let via = value::Via::parse(first).ok()?;
    let wants_port = via.params.get("rport").is_some_and(str::is_empty);
    let is_other = numeric_host(via.host) != Some(source.ip());
    if !wants_port && !is_other {
        return None;
    }
    let head = &first[..first.len() - via.params.as_str().len()];
    let mut out = head.trim_end().to_owned();
    for (name, value) in via.params.iter() {
        if name.eq_ignore_ascii_case("received") || wants_port && name.eq_ignore_ascii_case("rport")
        {
            continue;
        }
        out.push(';');
        out.push_str(name);
        if let Some(value) = value {
            out.push('=');
            out.push_str(value);
        }
    }
    if wants_port {
        out.push_str(&format!(";rport={}", source.port()));
    }
    out.push_str(&format!(";received={}", source.ip()));
    out.push_str(rest);
    Some(out)
}

/// What puad accepts as a server; it announces neither a notifier nor a compositor (REQ-15).
const ALLOW: &str = "NOTIFY, OPTIONS, CANCEL, ACK";
/// Bytes kept for one server transaction.
const LARGEST_KEPT: usize = 8 * 1024;
/// Sources whose rate is remembered at a time.
const MOST_SOURCES: usize = 4096;
