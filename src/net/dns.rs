//! Addresses of host names; which of them is used, and when, is the core's business.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
    time::Duration,
};

use hickory_resolver::TokioResolver;
use tokio::{sync::mpsc, task::spawn_local};

use super::NetEvent;
use crate::sip::io::{DnsError, QueryId, Question, Record};

/// The system's resolver, set up with the first question.
#[derive(Debug, Default)]
pub(super) struct Resolver(Option<Rc<TokioResolver>>);

impl Resolver {
    /// Asks; the answer comes as an event.
    pub(super) fn ask(
        &mut self,
        query: QueryId,
        question: Question,
        events: mpsc::Sender<NetEvent>,
    ) {
        let Question::Addresses(host) = question;
        // These need no resolver, and must work without one (6761 §6.3).
        if host == "localhost" || host.ends_with(".localhost") {
            let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            let records = addresses
                .map(|address| Record { address, ttl: Duration::from_secs(3600) })
                .to_vec();
            spawn_local(async move {
                let _ = events.send(NetEvent::Answer { query, records: Ok(records) }).await;
            });
            return;
        }
        let resolver = self.get();
        spawn_local(async move {
            let records = match resolver {
                Some(resolver) => look_up(&resolver, &host).await,
                None => Err(DnsError::Unavailable),
            };
            let _ = events.send(NetEvent::Answer { query, records }).await;
        });
    }

    fn get(&mut self) -> Option<Rc<TokioResolver>> {
        if self.0.is_none() {
            match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
                Ok(resolver) => self.0 = Some(Rc::new(resolver)),
                Err(error) => {
                    tracing::warn!(%error, "the system's resolver settings cannot be used")
                }
            }
        }
        self.0.clone()
    }
}

async fn look_up(resolver: &TokioResolver, host: &str) -> Result<Vec<Record>, DnsError> {
    // The dot keeps search domains out: SIP names are complete.
    let answer = resolver.lookup_ip(format!("{host}.")).await.map_err(|error| {
        tracing::debug!(host, %error, "no address");
        if error.is_no_records_found() || error.is_nx_domain() {
            DnsError::NotFound
        } else {
            DnsError::Unavailable
        }
    })?;
    let ttl = answer.valid_until().saturating_duration_since(std::time::Instant::now());
    Ok(answer.iter().map(|address| Record { address, ttl }).collect())
}
