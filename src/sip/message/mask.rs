//! Messages and URIs as logs may show them: without passwords, digest responses, tokens and bodies.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use bytes::Bytes;

use super::Name;

/// Shows the head of a message with its secrets masked, and the length of its body.
pub struct Masked<'a>(pub &'a [u8]);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(self.0.len());
        let head = String::from_utf8_lossy(&self.0[..end]);
        let mut is_secret = false;
        for (n, line) in head.split("\r\n").enumerate() {
            f.write_str(if n == 0 { "" } else { "\r\n" })?;
            // A folded line belongs to the header above it.
            if line.starts_with([' ', '\t']) {
                f.write_str(&if is_secret { " ***".into() } else { without_passwords(line) })?;
                continue;
            }
            match line.split_once(':').filter(|_| n > 0) {
                Some((name, value)) => {
                    is_secret = is_secret_header(name.trim_end());
                    write!(f, "{name}:")?;
                    f.write_str(&header_value(name.trim_end(), value))?;
                }
                None => f.write_str(&without_passwords(line))?,
            }
        }
        match self.0.len().saturating_sub(end + 4) {
            0 => Ok(()),
            body => write!(f, "\r\n\r\n({body} bytes)"),
        }
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// The bytes of a message kept to be sent again; `Debug` masks them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kept(pub Bytes);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Masked(&self.0), f)
    }
}

/// Masks the password of a text that is meant to be one URI and need not be well-formed.
pub fn without_password(uri: &str) -> Cow<'_, str> {
    let mut colons = uri.match_indices(':').map(|(at, _)| at);
    match (colons.nth(1), uri.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => {
            format!("{}:***{}", &uri[..colon], &uri[at..]).into()
        }
        _ => uri.into(),
    }
}

/// Masks the password of every SIP URI in a text.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = after_scheme(rest) {
        let (before, uri) = rest.split_at(start);
        let end = uri.find(|c: char| c.is_whitespace() || "<>\"".contains(c)).unwrap_or(uri.len());
        let at = uri[..end].rfind('@');
        let colon = at.and_then(|at| uri[..at].find(':'));
        out.push_str(before);
        match (colon, at) {
            (Some(colon), Some(at)) => {
                let _ = write!(out, "{}:***{}", &uri[..colon], &uri[at..end]);
            }
            _ => out.push_str(&uri[..end]),
        }
        rest = &uri[end..];
    }
    if out.is_empty() {
        return text.into();
    }
    out.push_str(rest);
    out.into()
}

/// Returns where the first `sip:` or `sips:` of a text ends.
fn after_scheme(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find_map(|at| {
        ["sip:", "sips:"].iter().find_map(|scheme| {
            let end = at + scheme.len();
            bytes.get(at..end)?.eq_ignore_ascii_case(scheme.as_bytes()).then_some(end)
        })
    })
}

fn is_secret_header(name: &str) -> bool {
    matches!(
        Name::of(name.as_bytes()),
        Name::Authorization | Name::ProxyAuthorization | Name::AuthenticationInfo
    ) || ["Cookie", "Set-Cookie"].iter().any(|cookie| name.eq_ignore_ascii_case(cookie))
}

/// Keeps what helps to find a fault, such as realm, nonce and count of a digest.
fn header_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if !is_secret_header(name) {
        return without_passwords(value);
    }
    let trimmed = value.trim_start();
    let is_digest = trimmed.len() > 7 && trimmed.as_bytes()[..7].eq_ignore_ascii_case(b"digest ");
    if !is_digest && Name::of(name.as_bytes()) != Name::AuthenticationInfo {
        return " ***".into();
    }
    let mut params = Vec::new();
    for param in super::value::split_list(value) {
        let name = param.split('=').next().unwrap_or_default().trim();
        let is_secret = ["response", "rspauth"].iter().any(|secret| {
            name.rsplit(' ').next().is_some_and(|name| name.eq_ignore_ascii_case(secret))
        });
        params.push(if is_secret {
            format!("{name}=\"***\"").into()
        } else {
            without_passwords(param)
        });
    }
    format!(" {}", params.join(", ")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_sip_uris_are_masked_wherever_they_stand() {
        for (text, shown) in [
            (
                "<sip:a:pw@x>;tag=1, \"n\" <SIPS:b:p:w@y:5061>",
                "<sip:a:***@x>;tag=1, \"n\" <SIPS:b:***@y:5061>",
            ),
            ("PUBLISH sip:a:@x SIP/2.0", "PUBLISH sip:a:***@x SIP/2.0"),
            ("sip:x:5060 sip:a@x:5060", "sip:x:5060 sip:a@x:5060"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn headers_that_prove_who_somebody_is_are_masked() {
        let message = b"PUBLISH sip:a:pw@x SIP/2.0\r\nAuthorization: Digest username=\"a\", \
            response=\"dead\", uri=\"sip:a:pw@x\", nc=00000001\r\nProxy-Authorization: Bearer dead\r\n\
            Authentication-Info: rspauth=\"dead\", nextnonce=\"n\"\r\nCookie: dead\r\n dead\r\n\
            authorization : Digest\r\n response=\"dead\"\r\n\r\ndead";
        assert_eq!(
            Masked(message).to_string(),
            "PUBLISH sip:a:***@x SIP/2.0\r\nAuthorization: Digest username=\"a\", response=\"***\", \
             uri=\"sip:a:***@x\", nc=00000001\r\nProxy-Authorization: ***\r\nAuthentication-Info: \
             rspauth=\"***\", nextnonce=\"n\"\r\nCookie: ***\r\n ***\r\nauthorization : ***\r\n ***\r\n\r\n\
             (4 bytes)"
        );
    }
}
