//! Credentials: which challenge a request answers, and who may see the answer (3261 §22).
//!
//! Choosing among challenges, the digest itself and the nonces kept are left to
//! [`auth`].

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{Answer, Draft, Final, Journey, METHOD, Requests, hops::Candidate};
use crate::sip::{
    auth::{self, NonceKey, Nonces, Refusal},
    locate::leading_host,
    message::{Message, Name, Uri, value},
    wire::{RequestId, Wire},
};

/// Credentials given in the last request.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: NonceKey,
    pub(super) nonce: String,
    /// From an earlier request, so that a rejection may only mean that it has grown old.
    cached: bool,
    stale_rounds: u8,
}

impl Requests {
    /// Answers a challenge, or says why not (3261 §22; 7616 §3.3).
    pub(super) fn challenged(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        message: &Message<'_>,
        mut answer: Answer,
        candidate: Candidate,
    ) -> Option<Final> {
        let journey = self.journeys.get_mut(id)?;
        let account = journey.draft.account.clone();
        let chosen = journey
            .check_trust()
            .and_then(|()| auth::select(message, account.as_deref()))
            .and_then(|challenges| journey.judge(challenges, candidate));
        let (Ok(challenges), Some(account)) = (&chosen, &account) else {
            wire.stats.challenges_refused += 1;
            answer.note = chosen.err().map(|refusal| refusal.to_string());
            return Some(Final::Answer(answer));
        };
        if journey.budget == 0 {
            answer.note = Some("the server goes on asking for credentials".into());
            return Some(Final::Answer(answer));
        }
        let server: Arc<str> = journey.authority(candidate).to_ascii_lowercase().into();
        for challenge in challenges {
            let key = NonceKey {
                username: account.username.clone(),
                server: server.clone(),
                kind: challenge.kind,
                realm: challenge.realm.clone(),
            };
            let rounds = match journey.given.iter().position(|given| given.key == key) {
                Some(at) => journey.given.remove(at).stale_rounds + 1,
                None => 0,
            };
            self.nonces.learn(key.clone(), challenge.clone());
            journey.given.push(Given {
                key,
                nonce: String::new(),
                cached: false,
                stale_rounds: rounds,
            });
        }
        self.resend(now, wire, id, candidate)
    }

    /// Returns the credentials to send unasked: nonces this server gave before.
    pub(super) fn known_credentials(&self, draft: &Draft, target: &Uri) -> Vec<Given> {
        let Some(account) = &draft.account else { return Vec::new() };
        let way =
            if draft.proxies.is_empty() { std::slice::from_ref(target) } else { &draft.proxies };
        let servers: BTreeSet<_> =
            way.iter().map(|uri| leading_host(uri).to_ascii_lowercase()).collect();
        servers
            .iter()
            .flat_map(|server| self.nonces.known(&account.username, server))
            .filter(|key| account.realms.contains(&key.realm))
            .map(|key| Given { key, nonce: String::new(), cached: true, stale_rounds: 0 })
            .collect()
    }

    pub(super) fn learn_next_nonce(&mut self, id: RequestId, message: &Message<'_>) {
        let Some(journey) = self.journeys.get(id) else { return };
        let Some(info) = message.get(Name::AuthenticationInfo) else { return };
        // The header has no scheme in front; one is lent so that the same reader serves.
        let info = format!("Digest {info}");
        let next = value::Challenge::parse(&info)
            .ok()
            .and_then(|info| info.get("nextnonce").map(|n| n.into_owned()));
        if let (Some(next), Some(given)) =
            (next, journey.given.iter().find(|given| given.key.kind == auth::Kind::Server))
        {
            self.nonces.learn_next(&given.key, &next);
        }
    }
}

impl Journey {
    /// Computes the credentials of this very request: the URI in them is its Request-URI, and each
    /// use of a nonce has a count of its own (7616 §3.4).
    pub(super) fn credentials(
        &mut self,
        candidate: Candidate,
        nonces: &Nonces,
        wire: &mut Wire,
    ) -> Vec<(Name, String)> {
        let is_trusted = self.check_trust().is_ok();
        let authority = self.authority(candidate).to_ascii_lowercase();
        let Some(account) = &self.draft.account else { return Vec::new() };
        let uri = self.target.as_str();
        let body = self.draft.document.as_ref().map_or(&[][..], |document| &document.body);
        let mut rows = Vec::new();
        for given in &mut self.given {
            given.nonce.clear();
            // Whoever else the request went to has no business with them (SEC-05).
            if !is_trusted || *given.key.server != *authority {
                continue;
            }
            let cnonce = wire.ids.token();
            if let Some(row) = nonces.credentials(&given.key, account, cnonce, METHOD, uri, body) {
                given.nonce = nonces.nonce(&given.key).unwrap_or_default().to_owned();
                rows.push((given.key.kind.header(), row));
            }
        }
        rows
    }

    /// Credentials are for requests to servers of the user's choice: what the presentity itself
    /// names, or the account's domain; never for whoever a redirect named (SEC-05). A proxy on the
    /// way changes nothing: it would pass the stranger's challenge back and the answer on.
    fn check_trust(&self) -> Result<(), Refusal> {
        let host = leading_host(&self.target);
        let is_chosen = host.eq_ignore_ascii_case(leading_host(&self.draft.presentity))
            || host.eq_ignore_ascii_case(self.draft.presentity.host())
            || self
                .draft
                .account
                .as_ref()
                .is_some_and(|account| account.domain.eq_ignore_ascii_case(host));
        if is_chosen { Ok(()) } else { Err(Refusal::Stranger(host.to_owned())) }
    }

    /// Tells a challenge worth answering from a rejection of what was just given.
    fn judge(
        &self,
        challenges: Vec<auth::Challenge>,
        candidate: Candidate,
    ) -> Result<Vec<auth::Challenge>, Refusal> {
        let server = self.authority(candidate).to_ascii_lowercase();
        for challenge in &challenges {
            let given = self.given.iter().find(|given| {
                given.key.kind == challenge.kind
                    && given.key.realm == challenge.realm
                    && *given.key.server == *server
            });
            let Some(given) = given.filter(|given| !given.nonce.is_empty()) else { continue };
            let may_be_old =
                challenge.stale && given.stale_rounds < MOST_STALE_ROUNDS || given.cached;
            if !may_be_old {
                return Err(Refusal::Rejected(challenge.realm.clone()));
            }
        }
        Ok(challenges)
    }
}

const MOST_STALE_ROUNDS: u8 = 2;
