//! Whose credentials a publication uses, and which way its requests go.
//!
//! Using them is left to [`request`](crate::sip::request).

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::Publications;
use crate::{
    command::{Failure, FailureKind, MOST_PROXIES, Publish, Reply},
    sip::{
        config::Account,
        io::{Output, Ticket},
        locate,
        message::Uri,
        publication::State,
        wire::Wire,
    },
};

impl Publications {
    pub(super) fn proxies(
        &self,
        publish: &Publish,
        account: Option<&Account>,
    ) -> Result<Arc<[Uri]>, Failure> {
        let proxies: Arc<[Uri]> = match publish.outbound_proxy.is_empty() {
            true => self.usual_proxies(account),
            false => publish.outbound_proxy.as_slice().into(),
        };
        if proxies.len() > MOST_PROXIES {
            let message = format!(
                "outbound_proxy: there are {} proxies; name {MOST_PROXIES} at the most",
                proxies.len()
            );
            return Err(Failure::new(FailureKind::Usage, message));
        }
        let first_step = if proxies.is_empty() {
            std::slice::from_ref(&publish.presentity)
        } else {
            &proxies[..]
        };
        for uri in first_step {
            let field = if proxies.is_empty() { "presentity_uri" } else { "outbound_proxy" };
            locate::check_proxy(&publish.presentity, uri)
                .and_then(|()| locate::check(uri))
                .map_err(|error| Failure::new(FailureKind::Usage, format!("{field}: {error}")))?;
        }
        Ok(proxies)
    }

    /// Changes credentials and ways under publications that are up.
    pub(crate) fn use_accounts(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        accounts: Vec<Arc<Account>>,
        outbound_proxy: Vec<Uri>,
    ) {
        self.account_proxies = proxies_by_account(&accounts);
        self.default_proxies = outbound_proxy.into();
        wire.config.accounts = accounts;
        let mut changed = 0;
        for at in self.by_key.values().copied().collect::<Vec<_>>() {
            let wanted = &self.entries[at].publication.wanted;
            let account = match &wanted.account {
                // Found by its name where a call named it, and there the domain says nothing.
                Some(before) => same_account(wire, before),
                None => account_of_domain(wire, wanted.presentity.host()),
            };
            let proxies = match wanted.has_own_proxies {
                true => wanted.proxies.clone(),
                false => self.usual_proxies(account.as_deref()),
            };
            if account == wanted.account && proxies == wanted.proxies {
                continue;
            }
            changed += 1;
            let publication = &mut self.entries[at].publication;
            publication.wanted.account = account;
            publication.wanted.proxies = proxies;
            // What was refused may be granted now.
            if matches!(publication.state, State::Failed { .. }) && !publication.wanted.gone {
                let next = publication.want_refresh(now);
                self.follow(wire, at, next);
                self.schedule(wire, at);
            }
        }
        let outcome = Reply::Accounts { changed };
        wire.outputs.push_back(Output::Reply { ticket, outcome });
    }

    /// Where requests go when the call does not say.
    fn usual_proxies(&self, account: Option<&Account>) -> Arc<[Uri]> {
        let of_account =
            account.and_then(|account| self.account_proxies.get(&account_key(account)));
        let own = of_account.filter(|proxies| !proxies.is_empty());
        own.unwrap_or(&self.default_proxies).clone()
    }
}

/// Returns the ways of accounts, by their keys.
pub(super) fn proxies_by_account(accounts: &[Arc<Account>]) -> BTreeMap<String, Arc<[Uri]>> {
    let way =
        |account: &Arc<Account>| (account_key(account), account.outbound_proxy.as_slice().into());
    accounts.iter().map(way).collect()
}

fn account_of_domain(wire: &Wire, domain: &str) -> Option<Arc<Account>> {
    let accounts = &wire.config.accounts;
    accounts.iter().find(|account| account.domain.eq_ignore_ascii_case(domain)).cloned()
}

/// The account that goes by the name and domain of an earlier one.
fn same_account(wire: &Wire, before: &Account) -> Option<Arc<Account>> {
    let key = account_key(before);
    wire.config.accounts.iter().find(|account| account_key(account) == key).cloned()
}

pub(super) fn find_account(
    wire: &Wire,
    publish: &Publish,
) -> Result<Option<Arc<Account>>, Failure> {
    let accounts = &wire.config.accounts;
    match &publish.account {
        None => Ok(account_of_domain(wire, publish.presentity.host())),
        Some(name) => match accounts
            .iter()
            .find(|account| account.name.as_ref().unwrap_or(&account.domain) == name)
        {
            Some(account) => Ok(Some(account.clone())),
            None => {
                let known: Vec<_> = accounts
                    .iter()
                    .map(|a| a.name.as_ref().unwrap_or(&a.domain).as_str())
                    .collect();
                if known.is_empty() {
                    let message = "account: the configuration has no [[account]]";
                    return Err(Failure::new(FailureKind::Usage, message));
                }
                let message = format!(
                    "account: there is no account {name:?} (there are: {})",
                    known.join(", ")
                );
                Err(Failure::new(FailureKind::Usage, message))
            }
        },
    }
}

fn account_key(account: &Account) -> String {
    format!("{} {}", account.name.as_deref().unwrap_or(""), account.domain)
}
