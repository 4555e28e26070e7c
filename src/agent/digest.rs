//! Digest from the server's side (3261 §22.1; 7616 §3): challenges, and credentials verified.
//!
//! A nonce is signed rather than stored, so that asking for one costs no memory; uses are kept for
//! nonces that were answered by somebody who knows the password.

use std::{collections::BTreeMap, time::Instant};

use super::{Agent, Answer, Digest, Request};
use crate::sip::{
    auth::Algorithm,
    message::{Name, UriRef, value},
};

impl Agent {
    /// Lets a request pass that carries good credentials, or any if none are asked for.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        request: &Request<'_>,
    ) -> Result<(), Answer> {
        let Some(digest) = &self.settings.digest else { return Ok(()) };
        let mut stale = false;
        for field in request.message.all(Name::Authorization) {
            let Ok(row) = field.text().map_err(|_| ()).and_then(value::Challenge::parse) else {
                continue;
            };
            let Some(credentials) = Credentials::read(&row) else { continue };
            if !digest.is_right(&credentials, request.method) {
                continue;
            }
            // Credentials for another request are not for this one (7616 §3.4.6).
            let names_it = UriRef::parse(&credentials.uri).is_ok_and(|uri| uri.equals(request.uri));
            if !names_it {
                return Err(Answer::because(400, "Digest URI Mismatch"));
            }
            match self.nonces.accept(now, digest, &credentials) {
                true => return Ok(()),
                false => stale = true,
            }
        }
        let mut answer = Answer::of(401);
        for algorithm in &digest.algorithms {
            let nonce = self.nonces.issue(now);
            let stale = if stale { ", stale=true" } else { "" };
            let mut row = b"Digest realm=".to_vec();
            value::quote_into(&mut row, &digest.realm);
            let realm = String::from_utf8_lossy(&row);
            answer = answer.with(
                Name::WwwAuthenticate,
                format!(
                    "{realm}, nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                    algorithm.text()
                ),
            );
        }
        Err(answer)
    }
}

/// An Authorization row with all that qop `auth` needs.
struct Credentials {
    username: String,
    realm: String,
    nonce: String,
    uri: String,
    cnonce: String,
    /// As written, which is how it was hashed.
    nc: String,
    nonce_count: u32,
    response: String,
    algorithm: Algorithm,
}

impl Credentials {
    fn read(row: &value::Challenge<'_>) -> Option<Self> {
        let get = |name| row.get(name).map(|value| value.into_owned());
        let (algorithm, session) =
            Algorithm::parse(row.get("algorithm").as_deref().unwrap_or("MD5"))?;
        if !row.scheme.eq_ignore_ascii_case("Digest") || session || row.get("qop")? != "auth" {
            return None;
        }
        let nc = get("nc")?;
        let is_count = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        let nonce_count = u32::from_str_radix(&nc, 16).ok().filter(|n| is_count && *n > 0)?;
        Some(Self {
            username: get("username")?,
            realm: get("realm")?,
            nonce: get("nonce")?,
            uri: get("uri")?,
            cnonce: get("cnonce").filter(|cnonce| !cnonce.is_empty())?,
            nc,
            nonce_count,
            response: get("response")?,
            algorithm,
        })
    }
}

impl Digest {
    /// Returns whether whoever wrote these credentials knows the password (7616 §3.4.1).
    fn is_right(&self, given: &Credentials, method: &str) -> bool {
        if given.username != self.username
            || given.realm != self.realm
            || !self.algorithms.contains(&given.algorithm)
        {
            return false;
        }
        let hash = |text: String| given.algorithm.hash(&[text.as_bytes()]);
        let a1 = hash(format!("{}:{}:{}", self.username, self.realm, self.password.expose()));
        let a2 = hash(format!("{method}:{}", given.uri));
        let Credentials { nonce, nc, cnonce, response, .. } = given;
        hash(format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}")) == *response
    }
}

/// Issues nonces and sees to it that no use of one is counted twice.
#[derive(Debug)]
pub(super) struct Nonces {
    secret: u64,
    start: Instant,
    issued: u64,
    uses: BTreeMap<Stamp, Uses>,
    /// Nonces up to here are no longer known.
    forgotten: Stamp,
}

/// When a nonce was issued, in milliseconds since the start, and its number.
type Stamp = (u64, u64);

/// Which counts of a nonce were seen: the highest, and a bit for each of the 128 up to it, as
/// requests may overtake each other.
#[derive(Debug, Default)]
struct Uses {
    highest: u32,
    seen: u128,
}

impl Nonces {
    pub(super) fn new(secret: u64, start: Instant) -> Self {
        Self { secret, start, issued: 0, uses: BTreeMap::new(), forgotten: (0, 0) }
    }

    fn issue(&mut self, now: Instant) -> String {
        self.issued += 1;
        self.sign((self.millis(now), self.issued))
    }

    fn sign(&self, (millis, number): Stamp) -> String {
        let stamp = format!("{millis:x}.{number:x}");
        let mac = Algorithm::Sha256.hash(&[&self.secret.to_be_bytes(), stamp.as_bytes()]);
        format!("{stamp}.{}", &mac[..32])
    }

    /// Takes a use of a nonce; false when it is not ours, too old, or used with this count before.
    fn accept(&mut self, now: Instant, digest: &Digest, given: &Credentials) -> bool {
        let Some(stamp) = self.stamp_of(&given.nonce) else { return false };
        let age = self.millis(now).saturating_sub(stamp.0);
        if stamp <= self.forgotten || u128::from(age) > digest.nonce_lifetime.as_millis() {
            return false;
        }
        let accepted = self.uses.entry(stamp).or_default().take(given.nonce_count);
        if self.uses.len() > MOST_NONCES
            && let Some((oldest, _)) = self.uses.pop_first()
        {
            self.forgotten = oldest;
        }
        accepted
    }

    fn stamp_of(&self, nonce: &str) -> Option<Stamp> {
        let mut parts = nonce.split('.').map(|part| u64::from_str_radix(part, 16));
        let stamp = (parts.next()?.ok()?, parts.next()?.ok()?);
        (self.sign(stamp) == nonce).then_some(stamp)
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

impl Uses {
    /// Notes a count; false when it was seen before or is too far behind to know.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            self.seen = self.seen.checked_shl(count - self.highest).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u128.checked_shl(self.highest - count).unwrap_or(0);
        let is_new = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// Nonces in use at a time.
const MOST_NONCES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::Uses;

    #[test]
    fn a_nonce_count_is_taken_once_even_out_of_order() {
        let mut uses = Uses::default();
        assert!([1, 3, 2, 130].map(|count| uses.take(count)).iter().all(|taken| *taken));
        assert!([1, 2, 3, 130].map(|count| uses.take(count)).iter().all(|taken| !*taken));
        assert!(uses.take(4));
    }
}
