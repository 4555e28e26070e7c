//! What puad may do, judged from outside: by what it sent, what it was told, and the time.
//!
//! For each key the judge keeps a shadow: the tag puad must hold, by the answers it has taken.
//! An answer counts as taken when the core's own counter of answers moves with it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use puad::sip::io::{FlowId, Hop};

use super::message::{Answer, Request};

pub struct Judge {
    flights: BTreeMap<String, Flight>,
    branches: BTreeSet<String>,
    pub shadows: Vec<Shadow>,
    /// Servers that asked for silence, and until when.
    blocked: Vec<(Hop, Duration)>,
    pub transactions: u64,
    /// When a flow was lost last.
    lost_at: Option<Duration>,
}

/// A PUBLISH transaction under way.
#[derive(Debug, Clone)]
struct Flight {
    request: Request,
    hop: Hop,
    flow: FlowId,
    sent: Duration,
}

/// What puad must believe of one key.
#[derive(Debug, Default)]
pub struct Shadow {
    pub held: Option<Held>,
    /// Up without a tag until then.
    pub untagged: Option<Duration>,
    /// When the request behind what is up was sent.
    pub granted_at: Duration,
    /// The version of the document that is up.
    pub version: Option<u32>,
    /// The lifetime is over; what comes up still may be left to run out.
    pub is_lapsed: bool,
    /// Nothing is wanted.
    pub is_gone: bool,
    /// The last answer was a refusal, after which the next call may start over.
    is_refused: bool,
    /// The machine has slept.
    pub may_be_late: bool,
    journey: String,
    journey_tag: Option<String>,
    /// Starts of journeys, and what may cause one: commands, 412s, refreshes.
    started: VecDeque<Duration>,
    causes: VecDeque<Duration>,
}

#[derive(Debug, Clone)]
pub struct Held {
    pub entity_tag: String,
    pub expires_at: Duration,
    /// It need not be used: puad may have forgotten it for a good reason.
    pub is_optional: bool,
}

/// What became of a tag.
pub enum Tag {
    Known(String),
    Excused(String),
}

impl Judge {
    pub fn new(keys: usize, may_be_late: bool) -> Self {
        Self {
            flights: BTreeMap::new(),
            branches: BTreeSet::new(),
            shadows: (0..keys)
                .map(|_| Shadow { is_gone: true, may_be_late, ..Shadow::default() })
                .collect(),
            blocked: Vec::new(),
            transactions: 0,
            lost_at: None,
        }
    }

    /// A command that may lead to a request of its own, and to a removal or an Initial beside it.
    pub fn commanded(&mut self, now: Duration, key: usize) {
        self.shadows[key].causes.extend([now, now]);
    }

    /// Puad sends a request.
    ///
    /// # Errors
    /// When it must not.
    pub fn sent(
        &mut self,
        now: Duration,
        request: &Request,
        hop: Hop,
        flow: FlowId,
    ) -> Result<Option<Tag>, String> {
        if let Some(flight) = self.flights.get(&request.branch) {
            return if flight.flow == flow && now < flight.sent + TIMER_F + LATE {
                Ok(None)
            } else {
                Err(format!("a repeat of {} by another flow or after Timer F", request.branch))
            };
        }
        if !self.branches.insert(request.branch.clone()) {
            return Err(format!("{} is sent again after its end", request.branch));
        }
        self.transactions += 1;
        let is_rival = |f: &&Flight| f.request.uri == request.uri && now < f.sent + TIMER_F;
        if let Some(other) = self.flights.values().find(is_rival) {
            return Err(format!(
                "two PUBLISHes to {} are in flight: {} and {}",
                request.uri, other.request.branch, request.branch
            ));
        }
        self.blocked.retain(|(_, until)| *until > now);
        if let Some((_, until)) = self.blocked.iter().find(|(blocked, _)| *blocked == hop) {
            return Err(format!("{hop} asked for silence until {until:?}"));
        }
        let mut excused = None;
        let shadow = &mut self.shadows[request.key];
        let is_new = shadow.journey != request.call_id;
        if is_new {
            shadow.journey = request.call_id.clone();
            shadow.journey_tag = request.if_match.clone();
            shadow.check_operation(now, request)?;
            if request.if_match.as_deref().is_none_or(|tag| tag == GIVEN)
                && let Some(held) = &mut shadow.held
            {
                // Started over after a refusal: the old tag is given up.
                held.is_optional = true;
                excused = Some(Tag::Excused(held.entity_tag.clone()));
            }
            shadow.check_rate(now)?;
        } else if shadow.journey_tag != request.if_match {
            return Err(format!("{:?} changes within one journey", request.if_match));
        }
        let flight = Flight { request: request.clone(), hop, flow, sent: now };
        self.flights.insert(request.branch.clone(), flight);
        Ok(excused)
    }

    /// Returns whether nothing is under way and nobody asked for silence.
    pub fn is_quiet(&self, now: Duration) -> bool {
        self.flights.values().all(|flight| flight.sent + TIMER_F + LATE < now)
            && self.blocked.iter().all(|(_, until)| *until < now)
            // The answer may still come by another connection, for 4·T1.
            && self.lost_at.is_none_or(|at| at + Duration::from_secs(3) < now)
    }

    /// A flow is gone, and what was under way on it.
    pub fn lost(&mut self, now: Duration, flow: FlowId) {
        self.lost_at = Some(now);
        self.flights.retain(|_, flight| flight.flow != flow);
    }

    /// Puad has taken a final answer.
    ///
    /// # Errors
    /// When the answer was to nothing.
    pub fn taken(&mut self, now: Duration, answer: &Answer) -> Result<Vec<Tag>, String> {
        let Some(Flight { request, hop, sent, .. }) = self.flights.remove(&answer.branch) else {
            return Err(format!("an answer to {} was taken, which had ended", answer.branch));
        };
        let shadow = &mut self.shadows[request.key];
        let is_removal = request.expires == 0;
        shadow.is_refused = matches!(answer.code, 401 | 403 | 404 | 489);
        let mut tags = Vec::new();
        match answer.code {
            200 if is_removal => {
                shadow.held = None;
                shadow.version = None;
            }
            200 => {
                let grant = answer.expires.unwrap_or(u64::MAX).min(request.expires);
                if !request.body.is_empty() {
                    shadow.version = Some(version_of(&request.body));
                }
                let expires_at = now + Duration::from_secs(grant);
                shadow.granted_at = sent;
                if let Some(held) = shadow.held.take()
                    && request.if_match.is_none()
                {
                    tags.push(Tag::Excused(held.entity_tag));
                }
                shadow.untagged = None;
                if grant == 0 {
                    shadow.version = None;
                } else if let Some(entity_tag) = answer.entity_tag.clone() {
                    let is_optional = shadow.is_lapsed;
                    // One refresh, which may come at half of the grant.
                    shadow.causes.push_back(now + Duration::from_secs(grant).mul_f64(0.5));
                    shadow.held =
                        Some(Held { entity_tag: entity_tag.clone(), expires_at, is_optional });
                    tags.push(Tag::Known(entity_tag.clone()));
                    if is_optional {
                        tags.push(Tag::Excused(entity_tag));
                    }
                } else {
                    shadow.untagged = Some(expires_at);
                    shadow.causes.push_back(expires_at);
                }
            }
            412 => {
                shadow.held = None;
                shadow.causes.push_back(now);
            }
            503 => {
                if let Some(seconds) = answer.retry_after {
                    self.blocked.push((hop, now + Duration::from_secs(seconds)));
                }
            }
            // A removal that is refused for good: nothing more can be done, it runs out.
            401 | 403 | 404 | 489 if is_removal && shadow.is_gone => {
                if let Some(held) = &mut shadow.held {
                    held.is_optional = true;
                    tags.push(Tag::Excused(held.entity_tag.clone()));
                }
            }
            _ => {}
        }
        Ok(tags)
    }
}

impl Shadow {
    /// An Initial only without a tag, anything else only with the one that is held (3903 §4.1).
    fn check_operation(&self, now: Duration, request: &Request) -> Result<(), String> {
        match (&request.if_match, &self.held) {
            (None, Some(held))
                if held.expires_at > now && !held.is_optional && !self.is_refused =>
            {
                Err(format!(
                    "an Initial although {} is held until {:?}",
                    held.entity_tag, held.expires_at
                ))
            }
            (None, _) if request.body.is_empty() => Err("an Initial without a body".into()),
            (Some(tag), Some(held)) if *tag == held.entity_tag => {
                // Between the choice and the wire stand a resolver and a handshake at the most.
                if now > held.expires_at + Duration::from_secs(60) && !self.may_be_late {
                    return Err(format!("{tag} is used, which ran out at {:?}", held.expires_at));
                }
                Ok(())
            }
            // The user gave it; it counts while none is held.
            (Some(tag), held)
                if tag == GIVEN
                    && (self.is_refused
                        || held
                            .as_ref()
                            .is_none_or(|held| held.expires_at <= now || held.is_optional)) =>
            {
                Ok(())
            }
            (Some(tag), held) => Err(format!("{tag} is used, but held is {held:?}")),
            (None, _) => Ok(()),
        }
    }

    /// In any minute: what commands, 412s and grants ask for, and the attempts of one back-off.
    fn check_rate(&mut self, now: Duration) -> Result<(), String> {
        const WINDOW: Duration = Duration::from_secs(60);
        let from = now.saturating_sub(WINDOW);
        self.started.push_back(now);
        while self.started.front().is_some_and(|at| *at < from) {
            self.started.pop_front();
        }
        // What was caused earlier may have waited for a lane, an interval or a back-off.
        let slack = Duration::from_secs(400);
        self.causes.retain(|at| *at + WINDOW + slack > now);
        let caused = self.causes.iter().filter(|at| **at <= now).count();
        let allowed = caused + 16;
        if self.started.len() > allowed {
            return Err(format!(
                "{} requests in a minute, {allowed} at the most are explained",
                self.started.len()
            ));
        }
        Ok(())
    }
}

/// The version a document of the simulation bears.
pub fn version_of(body: &str) -> u32 {
    let digits = body.split("version=").nth(1).expect("a version");
    digits.split(' ').next().expect("a number").parse().expect("a number")
}

/// A tag from the user that no compositor knows.
pub const GIVEN: &str = "given";
const TIMER_F: Duration = Duration::from_secs(32);
/// The driver of a plan may be that late.
const LATE: Duration = Duration::from_millis(50);
