//! Digest authentication (3261 §22; 7616; 8760): challenges in, credentials out.
//!
//! Which account a request may use, and how often it tries, is the business of
//! [`request`](super::request).

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use md5::Md5;
use sha2::{Sha256, Sha512_256};

use super::{
    config::Account,
    ids::Token,
    message::{Message, Name, value},
};

/// Hash algorithms, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// The SHA-512/256 function with its own start values, not a cut SHA-512 (7616 §3.9.2 errs).
    Sha512_256,
}

impl Algorithm {
    /// Reads a name as the standards write it, without regard to case; `-sess` is the second value.
    pub fn parse(name: &str) -> Option<(Self, bool)> {
        let (base, session) =
            match name.len().checked_sub(5).map(|at| (name.get(..at), name.get(at..))) {
                Some((Some(base), Some(suffix))) if suffix.eq_ignore_ascii_case("-sess") => {
                    (base, true)
                }
                _ => (name, false),
            };
        let algorithm = [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|algorithm| algorithm.text().eq_ignore_ascii_case(base))?;
        Some((algorithm, session))
    }

    /// Returns the name as the standards write it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Hashes the parts as one text; the result is lower-case hex (7616 §3.1).
    pub fn hash(self, parts: &[&[u8]]) -> String {
        fn digest<D: md5::Digest>(parts: &[&[u8]]) -> String {
            let mut hasher = D::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        }
        match self {
            Self::Md5 => digest::<Md5>(parts),
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha512_256 => digest::<Sha512_256>(parts),
        }
    }
}

/// Who challenges: the server (401) or a proxy (407).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// 401, WWW-Authenticate, Authorization.
    Server,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Kind {
    /// Returns the header that carries credentials of this kind.
    pub fn header(self) -> Name {
        match self {
            Self::Server => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }
}

/// A challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Server or proxy.
    pub kind: Kind,
    /// The realm, unquoted.
    pub realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    /// Whether the challenge named its algorithm; then the answer does.
    named: bool,
    qop: Option<Qop>,
    /// Whether only the nonce was too old.
    pub stale: bool,
}

/// Quality of protection: what the hash covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    Auth,
    AuthInt,
}

/// Why no challenge of a response is answered. The text continues "… refused: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to answer is in the response.
    #[error("the server asks for credentials without a challenge")]
    NoChallenge,
    /// No account is configured for the presentity's domain.
    #[error(
        "the server asks for credentials of realm {realm:?} and no [[account]] has the domain of the presentity; add one with username, password and realms = [{realm:?}], or name one by account"
    )]
    NoAccount { realm: String },
    /// The realm is not among those of the account.
    #[error(
        "the server asks for credentials of realm {realm:?}, the account for {domain:?} answers only {known:?}; add it to realms if it is yours"
    )]
    Realm { realm: String, domain: String, known: Vec<String> },
    /// No algorithm or scheme that puad speaks, or only weaker ones than the account allows.
    #[error("the server offers no digest algorithm the account allows (at least {0})")]
    Algorithm(&'static str),
    /// The server stands outside the account's domain.
    #[error(
        "{0:?} was reached by a redirect and is outside the account's domain; it gets no credentials"
    )]
    Stranger(String),
    /// The credentials were rejected.
    #[error("the server rejects username and password for realm {0:?}")]
    Rejected(String),
}

/// Chooses the challenges of a response to answer: per realm of the account the topmost that can
/// be answered (8760 §2.4).
///
/// # Errors
/// When there is none.
pub fn select(message: &Message<'_>, account: Option<&Account>) -> Result<Vec<Challenge>, Refusal> {
    let mut chosen: Vec<Challenge> = Vec::new();
    let mut refusal = Refusal::NoChallenge;
    for field in message.fields() {
        let kind = match field.name {
            Name::WwwAuthenticate => Kind::Server,
            Name::ProxyAuthenticate => Kind::Proxy,
            _ => continue,
        };
        let Ok(row) = field.text().map_err(|_| ()).and_then(value::Challenge::parse) else {
            continue;
        };
        let realm = row.get("realm").unwrap_or_default().into_owned();
        let Some(account) = account else {
            refusal = Refusal::NoAccount { realm };
            continue;
        };
        if !account.realms.contains(&realm) {
            if refusal == Refusal::NoChallenge {
                refusal = Refusal::Realm {
                    realm,
                    domain: account.domain.clone(),
                    known: account.realms.clone(),
                };
            }
            continue;
        }
        if chosen.iter().any(|c| c.kind == kind && c.realm == realm) {
            continue;
        }
        match Challenge::of(&row, kind, realm).filter(|c| c.algorithm >= account.minimum_algorithm)
        {
            Some(challenge) => chosen.push(challenge),
            None => refusal = Refusal::Algorithm(account.minimum_algorithm.text()),
        }
    }
    if chosen.is_empty() { Err(refusal) } else { Ok(chosen) }
}

impl Challenge {
    fn of(row: &value::Challenge<'_>, kind: Kind, realm: String) -> Option<Self> {
        if !row.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let named = row.get("algorithm");
        let (algorithm, session) = Algorithm::parse(named.as_deref().unwrap_or("MD5"))?;
        let qop = match row.get("qop") {
            // The form of RFC 2069, still about (7616 §3.4 knows it no more).
            None => None,
            Some(offered) => {
                let offers =
                    |name: &str| offered.split(',').any(|q| q.trim().eq_ignore_ascii_case(name));
                Some(if offers("auth") {
                    Qop::Auth
                } else if offers("auth-int") {
                    Qop::AuthInt
                } else {
                    return None;
                })
            }
        };
        Some(Self {
            kind,
            realm,
            nonce: row.get("nonce")?.into_owned(),
            opaque: row.get("opaque").map(|o| o.into_owned()),
            algorithm,
            session,
            named: named.is_some(),
            qop,
            stale: row.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

/// Names one nonce: who gave it, for what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NonceKey {
    /// The user it was given to.
    pub username: String,
    /// The host it came from.
    pub server: Arc<str>,
    /// Server or proxy.
    pub kind: Kind,
    /// The realm.
    pub realm: String,
}

/// The last nonce of each server and realm, with the count of its uses.
#[derive(Debug, Default)]
pub struct Nonces {
    sessions: BTreeMap<NonceKey, Session>,
}

#[derive(Debug)]
struct Session {
    challenge: Challenge,
    nonce_count: u32,
}

impl Nonces {
    /// Takes the nonce of a challenge; the count starts again.
    pub fn learn(&mut self, key: NonceKey, challenge: Challenge) {
        // Another request may have brought the same nonce a moment ago: its count must go on (7616 §3.4).
        if self.sessions.get(&key).is_some_and(|s| s.challenge.nonce == challenge.nonce) {
            return;
        }
        if self.sessions.len() >= Self::MOST {
            self.sessions.pop_first();
        }
        self.sessions.insert(key, Session { challenge, nonce_count: 0 });
    }

    /// Takes a nextnonce of Authentication-Info (7616 §3.5).
    pub fn learn_next(&mut self, key: &NonceKey, nonce: &str) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.challenge.nonce = nonce.to_owned();
            session.nonce_count = 0;
        }
    }

    /// Returns the keys known for a user at a server.
    pub fn known(&self, username: &str, server: &str) -> Vec<NonceKey> {
        self.sessions
            .keys()
            .filter(|k| k.username == username && &*k.server == server)
            .cloned()
            .collect()
    }

    /// Returns the nonce now held for a key.
    pub fn nonce(&self, key: &NonceKey) -> Option<&str> {
        self.sessions.get(key).map(|s| &*s.challenge.nonce)
    }

    /// Writes credentials for one request with the next count; [`spend`](Self::spend) takes it
    /// when the request leaves.
    pub fn credentials(
        &self,
        key: &NonceKey,
        account: &Account,
        cnonce: Token,
        method: &str,
        uri: &str,
        body: &[u8],
    ) -> Option<String> {
        let session = self.sessions.get(key)?;
        Some(session.challenge.answer(
            account,
            session.nonce_count.wrapping_add(1),
            &cnonce.to_string(),
            method,
            uri,
            body,
        ))
    }

    /// Counts one use of a nonce.
    pub fn spend(&mut self, key: &NonceKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.nonce_count = session.nonce_count.wrapping_add(1);
        }
    }

    /// More servers and realms than anybody has.
    const MOST: usize = 4096;
}

impl Challenge {
    /// Computes the value of an Authorization header (7616 §3.4).
    fn answer(
        &self,
        account: &Account,
        nonce_count: u32,
        cnonce: &str,
        method: &str,
        uri: &str,
        body: &[u8],
    ) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let nc = format!("{nonce_count:08x}");
        let mut a1 = hash(&[
            account.username.as_bytes(),
            b":",
            self.realm.as_bytes(),
            b":",
            account.password.expose().as_bytes(),
        ]);
        if self.session {
            a1 = hash(&[a1.as_bytes(), b":", self.nonce.as_bytes(), b":", cnonce.as_bytes()]);
        }
        let a2 = match self.qop {
            Some(Qop::AuthInt) => {
                hash(&[method.as_bytes(), b":", uri.as_bytes(), b":", hash(&[body]).as_bytes()])
            }
            Some(Qop::Auth) | None => hash(&[method.as_bytes(), b":", uri.as_bytes()]),
        };
        let qop = self.qop.map(|qop| match qop {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        });
        let response = match qop {
            Some(qop) => hash(&[
                a1.as_bytes(),
                b":",
                self.nonce.as_bytes(),
                b":",
                nc.as_bytes(),
                b":",
                cnonce.as_bytes(),
                b":",
                qop.as_bytes(),
                b":",
                a2.as_bytes(),
            ]),
            None => hash(&[a1.as_bytes(), b":", self.nonce.as_bytes(), b":", a2.as_bytes()]),
        };
        let mut out = b"Digest username=".to_vec();
        value::quote_into(&mut out, &account.username);
        for (name, text) in
            [("realm", &*self.realm), ("nonce", &self.nonce), ("uri", uri), ("response", &response)]
        {
            out.extend_from_slice(format!(", {name}=").as_bytes());
            value::quote_into(&mut out, text);
        }
        if self.named {
            let session = if self.session { "-sess" } else { "" };
            out.extend_from_slice(
                format!(", algorithm={}{session}", self.algorithm.text()).as_bytes(),
            );
        }
        if let Some(qop) = qop {
            out.extend_from_slice(format!(", qop={qop}, nc={nc}, cnonce=").as_bytes());
            value::quote_into(&mut out, cnonce);
        } else if self.session {
            // The server needs the cnonce to compute A1.
            out.extend_from_slice(b", cnonce=");
            value::quote_into(&mut out, cnonce);
        }
        if let Some(opaque) = &self.opaque {
            out.extend_from_slice(b", opaque=");
            value::quote_into(&mut out, opaque);
        }
        // Built from texts only.
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::config::Secret;

    /// Username alice, password wonderland, realm example.com and the nonce of the vectors.
    fn answer(challenge: &str, body: &[u8]) -> String {
        let account = Account {
            name: None,
            domain: "example.com".into(),
            username: "alice".into(),
            password: Secret::new("wonderland"),
            realms: vec!["example.com".into()],
            outbound_proxy: vec![],
            minimum_algorithm: Algorithm::Md5,
        };
        let text = format!(
            "Digest realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"{challenge}"
        );
        let row = value::Challenge::parse(&text).expect("a challenge");
        let challenge = Challenge::of(&row, Kind::Server, "example.com".into()).expect("usable");
        challenge.answer(&account, 1, "0a4f113b", "PUBLISH", "sip:alice@example.com", body)
    }

    fn response(challenge: &str, body: &[u8]) -> String {
        let answer = answer(challenge, body);
        let at = answer.find("response=\"").expect("a response") + 10;
        answer[at..].split('"').next().expect("quoted").to_owned()
    }

    #[test]
    fn auth_02_md5_with_qop_auth() {
        assert_eq!(response(", qop=\"auth\"", b""), "26f8b13f4b52dd95ae5dfa6ce22fec05");
    }

    #[test]
    fn auth_03_a_challenge_without_qop_gets_the_old_form() {
        assert_eq!(response("", b""), "6a6d9bfa1eebe58c8e161e8fa9307403");
        let answer = answer("", b"");
        assert!(!answer.contains("qop") && !answer.contains("nc=") && !answer.contains("cnonce"));
    }

    #[test]
    fn auth_04_quotes_stand_where_rfc_7616_puts_them() {
        let answer = answer(", qop=auth, algorithm=\"MD5\", opaque=\"o\"", b"");
        assert_eq!(
            answer,
            "Digest username=\"alice\", realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             uri=\"sip:alice@example.com\", response=\"26f8b13f4b52dd95ae5dfa6ce22fec05\", algorithm=MD5, \
             qop=auth, nc=00000001, cnonce=\"0a4f113b\", opaque=\"o\""
        );
    }

    #[test]
    fn auth_05_sha_256() {
        assert_eq!(
            response(", qop=\"auth\", algorithm=SHA-256", b""),
            "dd03004fac9dc5eca37443c5a9b7775029202cb517d57e501f946727e05f8e1e"
        );
    }

    #[test]
    fn auth_06_sha_512_256_is_the_real_function() {
        assert_eq!(
            response(", qop=\"auth\", algorithm=sha-512-256", b""),
            "bf82d2452b6826190c54952968635a8dea1bf4f5f4914d4095ebf37bd967c391"
        );
    }

    #[test]
    fn auth_07_sess_hashes_nonce_and_cnonce_into_a1() {
        assert_eq!(
            response(", qop=\"auth\", algorithm=SHA-256-sess", b""),
            "39c24225351fe7a7235c91abe2812f9541bb763fee8fd79a849a1e420bb0e9b3"
        );
        assert_eq!(
            response(", qop=\"auth\", algorithm=MD5-sess", b""),
            "ea760319cd0f9cdc04ffc39569657e0f"
        );
    }

    #[test]
    fn auth_08_auth_int_covers_the_body() {
        assert_eq!(response(", qop=\"auth-int\"", b""), "ea0cece66eda6421046a8a76d18fe070");
        assert_eq!(
            response(", qop=\"auth-int\", algorithm=SHA-256", b"hello"),
            "efc03e1d5aeef1e1947ba37e2449257b65772b86fbcdc86f3dc522e46d5f18c7"
        );
    }

    #[test]
    fn auth_09_auth_is_preferred_and_unknown_qop_is_not_answered() {
        assert!(answer(", qop=\"foo,auth-int\"", b"").contains("qop=auth-int"));
        assert!(answer(", qop=\"auth-int,auth\"", b"").contains("qop=auth,"));
        let row = value::Challenge::parse("Digest realm=\"r\", nonce=\"n\", qop=\"foo\"")
            .expect("parses");
        assert_eq!(Challenge::of(&row, Kind::Server, "r".into()), None);
    }
}
