//! Which hosts a script may ask: the entries of `allow.http` and `allow.imap`.
//!
//! Names are compared as URLs spell them: lower case, international names in
//! their ASCII form, addresses in their one usual form. What a name resolves
//! to is not looked at: an operator who allows a name trusts its owner.

use std::net::Ipv6Addr;

use reqwest::Url;

/// One entry: a host, or every name below a domain, on one port or on the usual ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(String),
    /// Names that end in this text, which begins with a dot.
    Below(String),
}

impl HostRule {
    /// Reads `api.example.com`, `*.example.com`, `127.0.0.1`, `[::1]`, each with `:port` or without.
    ///
    /// # Errors
    /// With one line that names the text and shows what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not a host, such as \"api.example.com\", \"*.example.com\" or \"127.0.0.1:8080\""
            )
        };
        let (host, port) = split_port(text).ok_or_else(refused)?;
        let host = match host.strip_prefix("*.") {
            // An address has nothing below it.
            Some(domain) if is_address(domain) => return Err(refused()),
            Some(domain) => {
                Pattern::Below(format!(".{}", canonical_host(domain).ok_or_else(refused)?))
            }
            None => Pattern::Exactly(canonical_host(host).ok_or_else(refused)?),
        };
        Ok(Self { host, port })
    }

    /// Returns whether a host may be asked on a port; without a port of its own, an entry means
    /// the usual ones.
    fn allows(&self, host: &str, port: u16, usual: &[u16]) -> bool {
        let is_host = match &self.host {
            Pattern::Exactly(name) => name == host,
            Pattern::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
        };
        is_host && self.port.map_or_else(|| usual.contains(&port), |own| own == port)
    }
}

/// The entries of one list.
#[derive(Debug, Default)]
pub(super) struct Hosts(Vec<HostRule>);

impl Hosts {
    /// Takes a list that was read before; what is no host allows nothing.
    pub(super) fn new(list: &[String]) -> Self {
        Self(list.iter().filter_map(|text| HostRule::parse(text).ok()).collect())
    }

    /// Returns whether a host, as [`canonical_host`] gives it, may be asked.
    pub(super) fn allow(&self, host: &str, port: u16, usual: &[u16]) -> bool {
        self.0.iter().any(|rule| rule.allows(host, port, usual))
    }
}

/// Returns a host as an operator writes it into the list: with its port where that is not usual.
pub(super) fn shown_host(host: &str, port: u16, usual: &[u16]) -> String {
    if usual.contains(&port) { host.to_owned() } else { format!("{host}:{port}") }
}

/// Returns a host name or address in the one form that is compared, without a final dot; an IPv6
/// address is in brackets.
pub(super) fn canonical_host(text: &str) -> Option<String> {
    let bracketed;
    let text = match text.parse::<Ipv6Addr>() {
        Ok(_) => {
            bracketed = format!("[{text}]");
            &bracketed
        }
        Err(_) => text,
    };
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_plain = match inside {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => text
            .chars()
            .all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !is_plain {
        return None;
    }
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    host_of(&url)
}

/// Returns the host of a URL in the same form.
pub(super) fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_owned())
}

fn is_address(text: &str) -> bool {
    let url = Url::parse(&format!("http://{text}/"));
    url.is_ok_and(|url| url.host_str().is_some() && url.domain().is_none())
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_brackets = text.rfind(']').map_or(0, |at| at + 1);
    let (host, rest) = text.split_at(after_brackets);
    if after_brackets == 0 {
        // A bare IPv6 address has colons of its own.
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => return Some((host, Some(port_of(port)?))),
            Some(_) | None => return Some((text, None)),
        }
    }
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port_of(port)?))),
        None if rest.is_empty() => Some((host, None)),
        None => None,
    }
}

fn port_of(text: &str) -> Option<u16> {
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| *port > 0 && is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, host: &str, port: u16) -> bool {
        let hosts = Hosts::new(&[entry.to_owned()]);
        hosts.allow(&canonical_host(host).expect("a host"), port, &[443])
    }

    #[test]
    fn an_entry_allows_its_host_on_the_usual_port_or_on_its_own() {
        assert!(allows("api.example.com", "API.example.com.", 443));
        assert!(!allows("api.example.com", "api.example.com", 8443));
        assert!(!allows("api.example.com", "a.api.example.com", 443));
        assert!(allows("api.example.com:8443", "api.example.com", 8443));
        assert!(!allows("api.example.com:8443", "api.example.com", 443));
        assert!(allows("bücher.example", "xn--bcher-kva.example", 443));
    }

    #[test]
    fn a_star_stands_for_every_name_below_and_not_for_the_domain() {
        assert!(allows("*.example.com", "a.example.com", 443));
        assert!(allows("*.example.com", "a.b.example.com", 443));
        assert!(!allows("*.example.com", "example.com", 443));
        assert!(!allows("*.example.com", "badexample.com", 443));
        assert!(!allows("*.example.com", "a.example.com", 80));
        assert!(allows("*.example.com:80", "a.example.com", 80));
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        assert!(allows("127.0.0.1:8080", "127.0.0.1", 8080));
        assert!(allows("127.0.0.1:8080", "0x7f.1", 8080), "the same address in other clothes");
        assert!(allows("[::1]:8080", "0:0:0:0:0:0:0:1", 8080));
        assert!(allows("::1", "[::1]", 443));
        assert!(!allows("localhost", "127.0.0.1", 443));
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_text() {
        for text in [
            "", "*", "*.", "*.0.0.1", "a:0", "a:", "a:+80", "a:99999", "[::1", "[::1]8", "a/b",
            "http://a", "a b", "user@a", "a%2eb", "*.*.a", "a.*",
        ] {
            let refused = HostRule::parse(text).expect_err(text);
            assert!(refused.starts_with(&format!("{text:?} is not a host")), "{refused}");
        }
    }
}
