//! The daemon's numbers for `/metrics`, and its word on how it is for `/livez` and `/readyz`.
//!
//! How a page is written and served is left to [`observe`](crate::observe).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    command::{Owner, PublicationState},
    driver::WeakHandle,
    observe::{
        http::Source,
        page::{Kind, Page},
    },
    script::{ScriptState, Status, View},
    sip::stats::{Observed, PublishEnd, Stats},
};

/// Where the numbers of one daemon come from.
pub(super) struct Figures<F> {
    pub(super) core: WeakHandle,
    pub(super) scripts: View,
    pub(super) is_stopping: Arc<AtomicBool>,
    /// The metrics that scripts keep themselves, as Prometheus or OpenMetrics text.
    pub(super) of_scripts: F,
}

impl<F: Fn() -> String + Send + Sync + 'static> Source for Figures<F> {
    async fn metrics(&self) -> Result<String, String> {
        let observed = self.observe().await?;
        let mut page = Page::default();
        page.family(
            "puad_build_info",
            Kind::Gauge,
            "Which puad this is; always 1.",
            [(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
        );
        self.write_scripts(&mut page, &observed);
        write_publications(&mut page, &observed);
        write_sip(&mut page, &observed.stats);
        write_process(&mut page);
        page.append(&(self.of_scripts)());
        Ok(page.finish())
    }

    /// This answer comes from the loop of the daemon, so that one turns; the core is asked.
    async fn live(&self) -> Result<String, String> {
        self.observe().await.map(|_| "ok\n".into())
    }

    /// A server that is away is no reason to be taken out: what is wanted goes to it when it is back.
    async fn ready(&self) -> Result<String, String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        let observed = self.observe().await?;
        let count = |wanted: PublicationState| -> u64 {
            let rows = observed.publications.iter();
            rows.filter(|((_, state), _)| *state == wanted).map(|(_, count)| count).sum()
        };
        let (retrying, failed) =
            (count(PublicationState::Retrying), count(PublicationState::Failed));
        Ok(match retrying + failed {
            0 => "ok\n".into(),
            _ => format!("degraded: {retrying} publications are retried, {failed} have failed\n"),
        })
    }
}

impl<F> Figures<F> {
    async fn observe(&self) -> Result<Observed, String> {
        let core = self.core.upgrade().map_err(|_| "the SIP core has ended")?;
        match tokio::time::timeout(PATIENCE, core.observe()).await {
            Ok(Ok(observed)) => Ok(observed),
            Ok(Err(_)) => Err("the SIP core has ended".into()),
            Err(_) => Err(format!("the SIP core has not answered for {} s", PATIENCE.as_secs())),
        }
    }

    fn write_scripts(&self, page: &mut Page, observed: &Observed) {
        let scripts = self.scripts.status();
        let mut states: BTreeMap<_, u64> = ScriptState::ALL.map(|state| (state, 0)).into();
        for (_, status) in &scripts {
            *states.entry(status.state).or_default() += 1;
        }
        page.family(
            "puad_scripts",
            Kind::Gauge,
            "Scripts by state.",
            states
                .into_iter()
                .map(|(state, count)| (vec![("state", state.as_str().to_owned())], count as f64)),
        );
        let of_each: [(_, _, _, Number); 6] = [
            (
                "puad_script_errors_total",
                Kind::Counter,
                "Errors in handlers of a script.",
                |status| status.errors,
            ),
            (
                "puad_script_kills_total",
                Kind::Counter,
                "Activities of a script that a limit has ended.",
                |status| status.kills,
            ),
            (
                "puad_script_reload_failures_total",
                Kind::Counter,
                "Versions of a script that could not take over.",
                |status| status.reload_failures,
            ),
            ("puad_script_generation", Kind::Gauge, "Which version of a script runs.", |status| {
                status.generation
            }),
            (
                "puad_script_memory_bytes",
                Kind::Gauge,
                "Heap of a script, as of its last handler.",
                |status| status.memory as u64,
            ),
            (
                "puad_script_timers",
                Kind::Gauge,
                "Timers of a script, as of its last handler.",
                |status| status.timers as u64,
            ),
        ];
        for (name, kind, help, value) in of_each {
            let sample = |(name, status): &(Arc<str>, Status)| {
                (vec![("script", name.to_string())], value(status) as f64)
            };
            page.family(name, kind, help, scripts.iter().map(sample));
        }
        let publications = |(name, _): &(Arc<str>, Status)| {
            let count = observed.owners.get(&Owner::Script(name.clone()));
            (vec![("script", name.to_string())], count.copied().unwrap_or_default() as f64)
        };
        page.family(
            "puad_script_publications",
            Kind::Gauge,
            "Publications of a script.",
            scripts.iter().map(publications),
        );
    }
}

/// Reads one number of a script.
type Number = fn(&Status) -> u64;

fn write_publications(page: &mut Page, observed: &Observed) {
    page.family(
        "puad_publications",
        Kind::Gauge,
        "Publications by state and event package.",
        observed.publications.iter().map(|((event, state), count)| {
            let labels = vec![("state", state.as_str().to_owned()), ("event", event.clone())];
            (labels, *count as f64)
        }),
    );
    page.family(
        "puad_publish_requests_total",
        Kind::Counter,
        "PUBLISH requests that have ended, by what they did and their final answer, or why there was none.",
        observed.stats.publishes.iter().map(|((kind, end), count)| {
            let code = match end {
                PublishEnd::Answered(code) => code.to_string(),
                PublishEnd::Failed(kind) => kind.as_str().to_owned(),
            };
            (vec![("kind", (*kind).to_owned()), ("code", code)], *count as f64)
        }),
    );
    let conflicts: u64 = observed
        .stats
        .publishes
        .iter()
        .filter(|((_, end), _)| *end == PublishEnd::Answered(412))
        .map(|(_, count)| count)
        .sum();
    page.family(
        "puad_publication_etag_conflicts_total",
        Kind::Counter,
        "PUBLISH requests whose entity-tag the server did not know (412).",
        [(vec![], conflicts as f64)],
    );
}

fn write_sip(page: &mut Page, stats: &Stats) {
    let Stats {
        requests,
        retransmissions,
        answers,
        stray_responses,
        incoming,
        repeats,
        over_rate,
        noise,
        malformed,
        challenges_refused,
        connections_limited,
        publish_failures,
        publishes: _,
    } = stats;
    for (name, help, value) in [
        ("puad_sip_requests_total", "Requests sent first-hand, retries included.", requests),
        ("puad_sip_retransmissions_total", "Requests sent again over UDP.", retransmissions),
        ("puad_sip_answers_total", "Responses that ended a transaction.", answers),
        (
            "puad_sip_stray_responses_total",
            "Responses that belong to no transaction.",
            stray_responses,
        ),
        ("puad_sip_incoming_requests_total", "Requests received, repeats included.", incoming),
        ("puad_sip_repeats_total", "Repeats of requests received.", repeats),
        (
            "puad_sip_over_rate_total",
            "Requests left unanswered because their source asks too often.",
            over_rate,
        ),
        ("puad_sip_noise_total", "Datagrams and keep-alives that are no SIP message.", noise),
        ("puad_sip_malformed_total", "Messages dropped as malformed.", malformed),
        (
            "puad_sip_challenges_refused_total",
            "Challenges that were not answered.",
            challenges_refused,
        ),
        (
            "puad_sip_connections_limited_total",
            "Connections closed by a limit.",
            connections_limited,
        ),
        ("puad_publish_failures_total", "Attempts to publish that failed.", publish_failures),
    ] {
        page.family(name, Kind::Counter, help, [(vec![], *value as f64)]);
    }
}

/// What every client library of Prometheus tells of its process, under the same names.
fn write_process(page: &mut Page) {
    let Ok(process) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        page.family(
            "process_cpu_seconds_total",
            Kind::Counter,
            "CPU time of the process.",
            [(vec![], (stat.utime + stat.stime) as f64 / ticks)],
        );
        page.family(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory of the process that is in RAM.",
            [(vec![], (stat.rss * procfs::page_size()) as f64)],
        );
        page.family(
            "process_threads",
            Kind::Gauge,
            "Threads of the process.",
            [(vec![], stat.num_threads as f64)],
        );
        if let Ok(booted) = procfs::boot_time_secs() {
            page.family(
                "process_start_time_seconds",
                Kind::Gauge,
                "When the process started, in UNIX seconds.",
                [(vec![], booted as f64 + stat.starttime as f64 / ticks)],
            );
        }
    }
    if let Ok(count) = process.fd_count() {
        page.family(
            "process_open_fds",
            Kind::Gauge,
            "Open file descriptors.",
            [(vec![], count as f64)],
        );
    }
}

/// How long the core may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);
