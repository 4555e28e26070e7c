//! `[sip]` and `[[account]]`.

use std::{path::Path, sync::Arc};

use toml::de::DeValue;

use super::{
    read::{Section, Value},
    value::{choice, duration, host, list, name, proxy, shown, text},
};
use crate::{
    net::Listen,
    secret::{Environment, FORMS, Source},
    sip::{Account, Config, Secret, auth::Algorithm},
};

/// Reads `[sip]` into the core's settings; returns what to listen on where that is said.
pub(super) fn read_sip(mut section: Section<'_, '_>, config: &mut Config) -> Option<Vec<Listen>> {
    let listen = section.read("listen", |value| {
        let entries = list(value, |entry| Listen::parse(&text(entry)?))?;
        if entries.is_empty() {
            return Err("the list is empty; leave it out to listen on all interfaces".into());
        }
        Ok(entries)
    });
    if let Some(proxies) = section.read("outbound_proxy", |value| list(value, proxy)) {
        config.outbound_proxy = proxies;
    }
    config.advertise = section.read("advertise", host);
    if let Some(agent) = section.read("user_agent", user_agent) {
        config.user_agent = Some(agent).filter(|agent| !agent.is_empty());
    }
    for (key, timer) in [("t1", &mut config.t1), ("t2", &mut config.t2), ("t4", &mut config.t4)] {
        if let Some(value) = section.read(key, duration) {
            *timer = value;
        }
    }
    section.later(&["tls"]);
    section.finish();
    listen
}

/// Reads one `[[account]]`; nothing when something is wrong with it.
pub(super) fn read_account(
    mut section: Section<'_, '_>,
    folder: &Path,
    environment: Environment<'_>,
) -> Option<Account> {
    let account_name = section.read("name", name);
    let domain = section.need("domain", "\"example.com\"", host);
    let username = section.need("username", "\"alice\"", name);
    let password = section
        .need("password", "{ env = \"ALICE_PW\" }", |value| secret(value, folder, environment));
    let realms = section.read("realms", |value| list(value, name));
    let outbound_proxy = section.read("outbound_proxy", |value| list(value, proxy));
    let minimum_algorithm = section.read("minimum_algorithm", |value| {
        choice(
            value,
            &[
                ("md5", Algorithm::Md5),
                ("sha-256", Algorithm::Sha256),
                ("sha-512-256", Algorithm::Sha512_256),
            ],
        )
    });
    section.finish();
    let domain = domain?.to_ascii_lowercase();
    Some(Account {
        name: account_name,
        realms: realms.unwrap_or_else(|| vec![domain.clone()]),
        domain,
        username: username?,
        password: password?,
        outbound_proxy: outbound_proxy.unwrap_or_default(),
        minimum_algorithm: minimum_algorithm.unwrap_or(Algorithm::Md5),
    })
}

/// Adds an account, unless another one is picked by the same name.
pub(super) fn add_account(
    section_at: usize,
    account: Account,
    config: &mut Config,
) -> Result<(), (usize, String)> {
    let picked_by = |account: &Account| account.name.clone().unwrap_or(account.domain.clone());
    let name = picked_by(&account);
    if config.accounts.iter().any(|other| picked_by(other) == name) {
        let message = format!(
            "[[account]]: there is another account {name:?}; give one of them a name of its own"
        );
        return Err((section_at, message));
    }
    config.accounts.push(Arc::new(account));
    Ok(())
}

fn user_agent(value: &Value<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} holds a control character"));
    }
    Ok(text)
}

/// Reads a password: plain text, or where to find it.
fn secret(
    value: &Value<'_>,
    folder: &Path,
    environment: Environment<'_>,
) -> Result<Secret, String> {
    let table = match value.get_ref() {
        DeValue::String(text) => return Ok(Secret::new(text.to_string())),
        DeValue::Table(table) => table,
        // The value itself stays out of the message: a password without quotes is one all the same.
        _ => return Err(format!("this is not a password; {FORMS}")),
    };
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(format!("one source is expected; {FORMS}"));
    };
    let DeValue::String(source) = value.get_ref() else {
        let found = shown(value.get_ref());
        return Err(format!("{}: {found} is not a text; write it in quotes", key.get_ref()));
    };
    let source = Source::parse(key.get_ref(), source)?;
    source.read(folder, environment).map(Secret::new).map_err(|error| error.to_string())
}
