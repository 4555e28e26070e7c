//! An event state compositor (RFC 3903 §6), small and moody; written apart from anything it judges.

use std::{collections::BTreeMap, time::Duration};

use md5::{Digest as _, Md5};

use super::{
    dice::Dice,
    message::{Answer, Request},
    plan::Server,
};

/// One publication that is up.
#[derive(Debug, Clone)]
pub struct Record {
    pub key: usize,
    uri: String,
    event: String,
    pub entity_tag: String,
    pub body: String,
    pub expires_at: Duration,
    /// The answer that carries this very tag has been taken by puad.
    pub is_known: bool,
    /// puad may leave it to run out: its lifetime is over, or its removal was refused.
    pub is_excused: bool,
}

pub struct Compositor {
    plan: Server,
    pub records: Vec<Record>,
    /// Records that ran out since the judge last looked.
    pub expired: Vec<Record>,
    transactions: BTreeMap<String, (Duration, Vec<Answer>)>,
    nonces: BTreeMap<String, Nonce>,
    next: u64,
    pub restarted_at: Option<Duration>,
    pub is_down: bool,
}

struct Nonce {
    until: Duration,
    counts: BTreeMap<String, String>,
}

impl Compositor {
    pub fn new(plan: &Server) -> Self {
        Self {
            plan: plan.clone(),
            records: Vec::new(),
            expired: Vec::new(),
            transactions: BTreeMap::new(),
            nonces: BTreeMap::new(),
            next: 0,
            restarted_at: None,
            is_down: false,
        }
    }

    /// Forgets everything.
    pub fn restart(&mut self, now: Duration) {
        self.records.clear();
        self.transactions.clear();
        self.nonces.clear();
        self.restarted_at = Some(now);
    }

    /// Takes a request; returns what it answers, each after its delay.
    ///
    /// # Errors
    /// When puad did what it must not.
    pub fn handle(
        &mut self,
        now: Duration,
        request: &Request,
        is_well: bool,
        dice: &mut Dice,
    ) -> Result<Vec<Answer>, String> {
        self.expire(now);
        self.transactions.retain(|_, (since, _)| *since + Duration::from_secs(64) > now);
        if let Some((since, answers)) = self.transactions.get(&request.branch) {
            // A repeat gets what was said so far, at once.
            let said = answers.iter().rfind(|answer| *since + answer.delay <= now);
            return Ok(said
                .map(|a| Answer { delay: Duration::ZERO, ..a.clone() })
                .into_iter()
                .collect());
        }
        let plan = self.plan.clone();
        if !is_well && dice.chance(plan.silent) {
            return Ok(Vec::new());
        }
        let mut answers = Vec::new();
        let mut last = self.decide(now, request, is_well, dice)?;
        let slow = if is_well { 0.02 } else { plan.slow };
        let most = if dice.chance(0.2) { slow } else { slow.min(0.05) };
        last.delay = dice.secs(0.0, most);
        if dice.chance(plan.trying) {
            answers.push(request.answer(100).done());
        }
        answers.push(last);
        self.transactions.insert(request.branch.clone(), (now, answers.clone()));
        Ok(answers)
    }

    fn decide(
        &mut self,
        now: Duration,
        request: &Request,
        is_well: bool,
        dice: &mut Dice,
    ) -> Result<Answer, String> {
        let plan = self.plan.clone();
        if plan.challenges
            && let Some(stale) = self.check_credentials(now, request)?
        {
            self.next += 1;
            let nonce = format!("n{}", self.next);
            let challenge = format!(
                "Digest realm=\"sim\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{stale}"
            );
            let until = now + Duration::from_secs_f64(plan.nonce_life);
            self.nonces.insert(nonce, Nonce { until, counts: BTreeMap::new() });
            return Ok(request.answer(401).header("WWW-Authenticate", challenge).done());
        }
        if !is_well {
            if dice.chance(plan.busy) {
                if dice.chance(0.3) {
                    return Ok(request.answer(503).done());
                }
                let seconds = dice.between(1, plan.busy_until as u64);
                let mut draft = request.answer(503).header("Retry-After", seconds);
                draft.answer.retry_after = Some(seconds);
                return Ok(draft.done());
            }
            if dice.chance(plan.errors) {
                let draft = request.answer(dice.pick(&[500, 500, 480, 408, 504]));
                let draft = match dice.chance(0.2) {
                    true => draft.header("Retry-After", dice.between(0, plan.busy_until as u64)),
                    false => draft,
                };
                return Ok(draft.done());
            }
            if dice.chance(plan.refusals) {
                return Ok(request.answer(dice.pick(&[403, 404, 489])).done());
            }
        }
        if request.expires > 0 && request.expires < plan.least_expires {
            return Ok(request.answer(423).header("Min-Expires", plan.least_expires).done());
        }
        Ok(self.compose(now, request, is_well, dice))
    }

    /// 3903 §6 from step 5 on.
    fn compose(
        &mut self,
        now: Duration,
        request: &Request,
        is_well: bool,
        dice: &mut Dice,
    ) -> Answer {
        let plan = self.plan.clone();
        let at = match &request.if_match {
            None => None,
            Some(tag) => match self.records.iter().position(|record| {
                record.entity_tag == *tag
                    && record.uri == request.uri
                    && record.event == request.event
            }) {
                Some(at) => Some(at),
                None => return request.answer(412).done(),
            },
        };
        if request.expires == 0 {
            if let Some(at) = at {
                self.records.remove(at);
            }
            return self.tagged(request, 0, false, None);
        }
        if at.is_none() && request.body.is_empty() {
            return request.answer(400).done();
        }
        if !is_well && dice.chance(plan.zero_grant) {
            if let Some(at) = at {
                self.records.remove(at);
            }
            return self.tagged(request, 0, false, None);
        }
        let implied = dice.chance(plan.without_expires);
        let most = if implied { u64::MAX } else { dice.between(plan.grants.0, plan.grants.1) };
        let grant = request.expires.min(most.max(plan.least_expires));
        let untagged = !is_well && dice.chance(plan.untagged);
        let kept = at.filter(|_| plan.keeps_tags).map(|at| self.records[at].entity_tag.clone());
        let answer = self.tagged(request, grant, implied, kept);
        let entity_tag = answer.entity_tag.clone().expect("just made");
        let expires_at = now + Duration::from_secs(grant);
        match at {
            Some(at) => {
                let record = &mut self.records[at];
                record.is_known = false;
                record.entity_tag = entity_tag;
                record.expires_at = expires_at;
                if !request.body.is_empty() {
                    record.body = request.body.clone();
                }
            }
            None => self.records.push(Record {
                key: request.key,
                uri: request.uri.clone(),
                event: request.event.clone(),
                entity_tag,
                body: request.body.clone(),
                expires_at,
                is_known: false,
                is_excused: false,
            }),
        }
        if untagged {
            let mut draft = request.answer(200).header("Expires", grant);
            draft.answer.expires = Some(grant);
            return draft.done();
        }
        answer
    }

    fn tagged(
        &mut self,
        request: &Request,
        grant: u64,
        implied: bool,
        kept: Option<String>,
    ) -> Answer {
        self.next += 1;
        let entity_tag = kept.unwrap_or_else(|| format!("t{}", self.next));
        let mut draft = request.answer(200).header("SIP-ETag", &entity_tag);
        draft.answer.entity_tag = Some(entity_tag);
        if !implied {
            draft = draft.header("Expires", grant);
            draft.answer.expires = Some(grant);
        }
        draft.done()
    }

    /// Returns what the challenge says of staleness when the credentials will not do.
    fn check_credentials(
        &mut self,
        now: Duration,
        request: &Request,
    ) -> Result<Option<&'static str>, String> {
        let Some(credentials) = &request.authorization else { return Ok(Some("")) };
        let get = |name: &str| {
            credentials
                .trim_start_matches("Digest ")
                .split(", ")
                .find_map(|param| param.split_once('=').filter(|(n, _)| *n == name))
                .map(|(_, value)| value.trim_matches('"'))
                .unwrap_or_default()
        };
        let (nonce, nc) = (get("nonce"), get("nc"));
        let hash = |text: String| -> String {
            Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let a1 = hash("alice:sim:secret".into());
        let a2 = hash(format!("PUBLISH:{}", request.uri));
        let expected = hash(format!("{a1}:{nonce}:{nc}:{}:auth:{a2}", get("cnonce")));
        if get("response") != expected || get("uri") != request.uri {
            return Err(format!("wrong credentials: {credentials}"));
        }
        match self.nonces.get_mut(nonce) {
            Some(known) if known.until > now => {
                if let Some(other) = known.counts.insert(nc.into(), request.branch.clone()) {
                    return Err(format!(
                        "nc {nc} of {nonce} was used in {other} and {}",
                        request.branch
                    ));
                }
                Ok(None)
            }
            Some(_) | None => Ok(Some(", stale=true")),
        }
    }

    /// Drops what has run out.
    pub fn expire(&mut self, now: Duration) {
        if self.records.iter().all(|record| record.expires_at > now) {
            return;
        }
        let (live, over) = std::mem::take(&mut self.records)
            .into_iter()
            .partition(|record| record.expires_at > now);
        self.records = live;
        let over: Vec<Record> = over;
        self.expired.extend(over);
    }

    /// Puad has taken the answer that carries this tag.
    pub fn known(&mut self, entity_tag: &str) {
        if let Some(record) = self.records.iter_mut().find(|r| r.entity_tag == entity_tag) {
            record.is_known = true;
            record.is_excused = false;
        }
    }

    /// Puad may leave the record with this tag to run out.
    pub fn excuse(&mut self, entity_tag: &str) {
        if let Some(record) = self.records.iter_mut().find(|r| r.entity_tag == entity_tag) {
            record.is_excused = true;
        }
    }
}
