//! Whose credentials a publication uses, and which way its requests go.
//!
//! Using them is left to [`request`](crate::sip::request).

use std::sync::Arc;

use super::Publications;
use crate::{
    command::{Failure, FailureKind, Publish},
    sip::{config::Account, locate, message::Uri, wire::Wire},
};

impl Publications {
    pub(super) fn proxies(
        &self,
        publish: &Publish,
        account: Option<&Account>,
    ) -> Result<Arc<[Uri]>, Failure> {
        let of_account =
            account.and_then(|account| self.account_proxies.get(&account_key(account)));
        let proxies: Arc<[Uri]> = if !publish.outbound_proxy.is_empty() {
            publish.outbound_proxy.as_slice().into()
        } else if let Some(proxies) = of_account.filter(|proxies| !proxies.is_empty()) {
            proxies.clone()
        } else {
            self.default_proxies.clone()
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
}

pub(super) fn find_account(
    wire: &Wire,
    publish: &Publish,
) -> Result<Option<Arc<Account>>, Failure> {
    let accounts = &wire.config.accounts;
    match &publish.account {
        None => Ok(accounts
            .iter()
            .find(|account| account.domain.eq_ignore_ascii_case(publish.presentity.host()))
            .cloned()),
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

pub(super) fn account_key(account: &Account) -> String {
    format!("{} {}", account.name.as_deref().unwrap_or(""), account.domain)
}

/// Each is tried in turn, and the caller waits for all of them.
const MOST_PROXIES: usize = 16;
