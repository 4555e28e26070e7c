//! Finding the server of a URI (3263): questions out, answers in, ordered hops.
//!
//! Numeric hosts and addresses of names. Servers that asked for silence (503
//! with Retry-After) are remembered here, by address, port and transport.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rsip::Transport;

use super::{
    io::{DnsError, Hop, QueryId, Question, Record},
    message::{Uri, uri::numeric_host},
};

/// What the core knows of servers.
#[derive(Debug, Default)]
pub(crate) struct Locator {
    cache: BTreeMap<String, Cached>,
    asked: BTreeMap<QueryId, String>,
    by_name: BTreeMap<String, QueryId>,
    blocked: HashMap<Hop, Instant>,
    next: u64,
}

#[derive(Debug)]
struct Cached {
    addresses: Result<Vec<IpAddr>, DnsError>,
    until: Instant,
}

/// The next step towards a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// In the order in which they are tried.
    Hops(Vec<Hop>),
    /// Wait for this question; it is new when the second value says so.
    Wait(QueryId, Option<Question>),
}

/// Why a URI leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocateError {
    #[error("{0} is no SIP URI and needs an outbound_proxy")]
    NotSip(String),
    #[error("{0} asks for {1}, which this version does not speak; use udp or tcp")]
    Transport(String, String),
    #[error("{0} asks for sips over udp, which cannot be")]
    SipsOverUdp(String),
    #[error("{0} must not go to {1} in clear; the proxy of a sips URI is a sips URI")]
    InClear(String, String),
    #[error("nothing is ever sent to {0}")]
    Forbidden(IpAddr),
    #[error("no address of {0:?} has a family that puad listens on")]
    Family(String),
    #[error("{0:?}: {1}")]
    Dns(String, DnsError),
}

impl Locator {
    /// Returns the hops of a URI, or the question to ask first.
    pub(crate) fn locate(
        &mut self,
        now: Instant,
        uri: &Uri,
        reaches: impl Fn(IpAddr) -> bool,
    ) -> Result<Located, LocateError> {
        let transport = transport_of(uri)?;
        let host = leading_host(uri);
        let port = uri.port().unwrap_or(5060);
        let hop = |ip| Hop { transport, remote: SocketAddr::new(ip, port) };
        if let Some(ip) = numeric_host(host) {
            if is_forbidden(ip) {
                return Err(LocateError::Forbidden(ip));
            }
            return if reaches(ip) {
                Ok(Located::Hops(vec![hop(ip)]))
            } else {
                Err(LocateError::Family(host.into()))
            };
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        match self.cache.get(&name) {
            Some(cached) if cached.until > now => match &cached.addresses {
                Err(error) => Err(LocateError::Dns(name.clone(), *error)),
                Ok(addresses) => {
                    let hops: Vec<_> = addresses
                        .iter()
                        .filter(|ip| !is_forbidden(**ip) && reaches(**ip))
                        .take(MOST_HOPS)
                        .map(|ip| hop(*ip))
                        .collect();
                    match (hops.is_empty(), addresses.first()) {
                        (false, _) => Ok(Located::Hops(hops)),
                        (true, Some(ip)) if addresses.iter().all(|ip| is_forbidden(*ip)) => {
                            Err(LocateError::Forbidden(*ip))
                        }
                        (true, _) => Err(LocateError::Family(name.clone())),
                    }
                }
            },
            _ => {
                if let Some(id) = self.by_name.get(&name) {
                    return Ok(Located::Wait(*id, None));
                }
                let id = QueryId(self.next);
                self.next += 1;
                self.asked.insert(id, name.clone());
                self.by_name.insert(name.clone(), id);
                Ok(Located::Wait(id, Some(Question::Addresses(name))))
            }
        }
    }

    /// Returns whether no question is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.by_name.is_empty()
    }

    /// Takes an answer; returns whether the question was asked.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        query: QueryId,
        records: Result<Vec<Record>, DnsError>,
    ) -> bool {
        let Some(name) = self.asked.remove(&query) else { return false };
        self.by_name.remove(&name);
        let (addresses, ttl) = match records {
            Ok(records) if records.is_empty() => (Err(DnsError::NotFound), NEGATIVE_TTL),
            Ok(records) => {
                let ttl = records.iter().map(|r| r.ttl).min().unwrap_or_default();
                (Ok(records.into_iter().map(|r| r.address).collect()), ttl)
            }
            Err(error) => (Err(error), NEGATIVE_TTL),
        };
        // Whoever waits for this answer may use it whatever its TTL says (3263 §4).
        let ttl = ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
        if self.cache.len() >= MOST_NAMES {
            self.cache.retain(|_, cached| cached.until > now);
            if self.cache.len() >= MOST_NAMES {
                self.cache.clear();
            }
        }
        self.cache.insert(name, Cached { addresses, until: now + ttl });
        true
    }

    /// Notes that a server wants no requests until then (3261 §21.5.4). Of several wishes the
    /// longest counts: answers to requests sent together do not come in any order.
    pub(crate) fn block(&mut self, now: Instant, hop: Hop, until: Instant) {
        if self.blocked.len() >= MOST_BLOCKED && !self.blocked.contains_key(&hop) {
            #[expect(
                clippy::disallowed_methods,
                reason = "what stays does not depend on the order"
            )]
            self.blocked.retain(|_, until| *until > now);
            if self.blocked.len() >= MOST_BLOCKED {
                self.blocked.clear();
            }
        }
        let blocked = self.blocked.entry(hop).or_insert(until);
        *blocked = until.max(*blocked);
    }

    /// Returns until when a server wants no requests.
    pub(crate) fn blocked_until(&mut self, now: Instant, hop: Hop) -> Option<Instant> {
        let until = *self.blocked.get(&hop)?;
        if until <= now {
            self.blocked.remove(&hop);
            return None;
        }
        Some(until)
    }
}

/// Returns the transport a URI asks for, UDP when it asks for none (3263 §4.1).
fn transport_of(uri: &Uri) -> Result<Transport, LocateError> {
    let shown = || uri.as_ref().masked().into_owned();
    if !uri.is_sip() {
        return Err(LocateError::NotSip(shown()));
    }
    let wanted = uri.param("transport").map(str::to_ascii_lowercase);
    if uri.is_sips() {
        return Err(match wanted.as_deref() {
            Some("udp") => LocateError::SipsOverUdp(shown()),
            _ => LocateError::Transport(shown(), "TLS".into()),
        });
    }
    match wanted.as_deref() {
        None | Some("udp") => Ok(Transport::Udp),
        Some("tcp") => Ok(Transport::Tcp),
        Some(other) => Err(LocateError::Transport(shown(), other.to_ascii_uppercase())),
    }
}

/// Returns the host a request for this URI goes to: maddr overrides the host, and the URI in the
/// message keeps both (3263 §4).
pub(crate) fn leading_host(uri: &Uri) -> &str {
    uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host())
}

/// Nothing is sent to multicast, broadcast or unspecified addresses, whatever a message says, nor
/// to IPv6 addresses that only wrap them.
pub(crate) fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
    }
}

/// Checks a URI as far as it can be without asking anybody, so that a caller hears of a mistake
/// before anything is sent.
pub(crate) fn check(uri: &Uri) -> Result<(), LocateError> {
    transport_of(uri)?;
    match numeric_host(leading_host(uri)) {
        Some(ip) if is_forbidden(ip) => Err(LocateError::Forbidden(ip)),
        Some(_) | None => Ok(()),
    }
}

/// Checks that a request to a sips URI is not given to a proxy in clear: whatever leads the way is
/// then reached as if it were sips itself (3261 §8.1.2).
pub(crate) fn check_proxy(target: &Uri, proxy: &Uri) -> Result<(), LocateError> {
    if target.is_sips() && !proxy.is_sips() {
        let shown = |uri: &Uri| uri.as_ref().masked().into_owned();
        return Err(LocateError::InClear(shown(target), shown(proxy)));
    }
    Ok(())
}

const NEGATIVE_TTL: Duration = Duration::from_secs(5);
const SHORTEST_TTL: Duration = Duration::from_secs(1);
const LONGEST_TTL: Duration = Duration::from_secs(3600);
const MOST_NAMES: usize = 10_000;
/// Servers that asked for silence. Beyond it all are asked again, and say so again.
const MOST_BLOCKED: usize = 10_000;
/// Hops of one name. An answer with hundreds is a mistake or an attack.
const MOST_HOPS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_servers_are_not_remembered_without_end() {
        let mut locator = Locator::default();
        let now = Instant::now();
        let hop = |n: usize| Hop {
            transport: Transport::Udp,
            remote: SocketAddr::from((std::net::Ipv4Addr::from(n as u32), 5060)),
        };
        let last = 3 * MOST_BLOCKED;
        for n in 0..=last {
            // One in two is over soon, and gone when room is needed.
            let seconds = if n % 2 == 0 { 1 } else { 3600 };
            let then = now + Duration::from_millis(n as u64);
            locator.block(then, hop(n), then + Duration::from_secs(seconds));
            assert!(locator.blocked.len() <= MOST_BLOCKED);
        }
        let now = now + Duration::from_millis(last as u64);
        assert!(locator.blocked_until(now, hop(last)).is_some());
        assert!(locator.blocked_until(now, hop(last - 1)).is_some());
        assert!(locator.blocked_until(now, hop(0)).is_none());
    }
}
