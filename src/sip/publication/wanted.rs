//! What the user wants of a publication, as the last call left it.
//!
//! How the server is brought there is left to the [machine](super), what is sent for it to
//! [`operation`](super::operation).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    command::{
        Document, EventType, ExtraHeaders, Lifetime, OnOrphan, OnStop, Publish, RefreshWith,
    },
    sip::{config::Account, message::Uri, package::package},
};

/// What the user wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) presentity: Uri,
    pub(crate) event: EventType,
    pub(crate) document: Option<Document>,
    pub(crate) extra_headers: ExtraHeaders,
    pub(crate) proxies: Arc<[Uri]>,
    /// The proxies were named by a call, not by the configuration.
    pub(crate) has_own_proxies: bool,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) expires: u32,
    pub(crate) min_interval: Duration,
    /// When the state may end.
    pub(crate) until: Option<Instant>,
    pub(crate) refresh: RefreshWith,
    pub(crate) on_stop: OnStop,
    pub(crate) on_orphan: OnOrphan,
    pub(crate) maintain: bool,
    pub(crate) allow_empty: bool,
    /// Whether the state shall be gone.
    pub(crate) gone: bool,
}

impl Wanted {
    /// Takes what a call says; a call without a body keeps the document.
    pub(crate) fn new(
        now: Instant,
        publish: &Publish,
        account: Option<Arc<Account>>,
        proxies: Arc<[Uri]>,
        kept: Option<&Self>,
    ) -> Self {
        let package = package(publish.event.package());
        // Rounded up: half a second asks for something, and only zero for removal.
        let expires = publish.expires.as_millis().div_ceil(1000).try_into().unwrap_or(u32::MAX);
        let own_proxies =
            kept.filter(|kept| publish.outbound_proxy.is_empty() && kept.has_own_proxies);
        Self {
            presentity: publish.presentity.clone(),
            event: publish.event.clone(),
            document: publish.document.clone().or_else(|| kept?.document.clone()),
            extra_headers: publish.extra_headers.clone(),
            has_own_proxies: own_proxies.is_some() || !publish.outbound_proxy.is_empty(),
            proxies: own_proxies.map_or(proxies, |kept| kept.proxies.clone()),
            account,
            expires,
            min_interval: publish.min_interval,
            until: match publish.lifetime {
                // A removal is driven until it is done.
                _ if expires == 0 => None,
                Lifetime::Forever => None,
                Lifetime::For(lifetime) => now.checked_add(lifetime),
            },
            refresh: publish.refresh.unwrap_or(package.refresh),
            on_stop: publish.on_stop,
            on_orphan: publish.on_orphan,
            maintain: publish.maintain,
            allow_empty: package.empty_body,
            gone: expires == 0,
        }
    }
}
