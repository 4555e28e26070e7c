//! The user of a world: commands at random, and what their replies may be.

use std::{fmt::Write as _, time::Duration};

use puad::{
    command::{
        Command, Document, EntityTag, EventType, ExtraHeaders, FailureKind, Lifetime, OnStop,
        Owner, PublicationState, Publish, RefreshWith, Reply,
    },
    sip::{
        io::{Input, Ticket},
        message::Uri,
    },
};

use super::{
    super::{judge::GIVEN, plan::Plan},
    Happening, PATIENCE, Pending, Phase, Want, What, World,
};

impl World<'_> {
    pub(super) fn random_command(&mut self) -> Result<(), String> {
        let key = self.dice.below(self.keys.len() as u64) as usize;
        let timeout = self.dice.chance(0.2).then(|| self.dice.secs(0.1, 20.0));
        let has_want = self.keys[key].want.as_ref().is_some_and(|want| {
            want.until.is_none_or(|until| until > self.now + Duration::from_secs(2))
        });
        match self.dice.below(100) {
            0..50 => self.publish(key, timeout, None, true),
            50..60 => self.publish(key, timeout, None, !has_want),
            60..66 => {
                let expires = self.plan.keys[key].expires as f64;
                let lifetime = self.dice.secs(1.0, expires * 2.0);
                self.publish(key, timeout, Some(lifetime), true)
            }
            66..80 => self.refresh(key, timeout),
            80..95 => self.remove(key, timeout),
            _ => {
                let command = Command::Publications { owner: None, key: None };
                self.command(None, What::List, Duration::ZERO, command)
            }
        }
    }

    pub(super) fn publish(
        &mut self,
        key: usize,
        timeout: Option<Duration>,
        lifetime: Option<Duration>,
        is_new: bool,
    ) -> Result<(), String> {
        if self.has_stopped {
            return Ok(());
        }
        let series = &mut self.keys[key];
        series.stamp += 1;
        let (body, version) = match &series.want {
            Some(want) if !is_new => (want.body.clone(), want.version),
            Some(_) | None => {
                series.version += 1;
                let mut body = format!("key={key} version={} ", series.version);
                if self.plan.keys[key].large {
                    body.push_str(&"x".repeat(1500));
                }
                (body, series.version)
            }
        };
        let until = lifetime.map(|lifetime| self.now + lifetime);
        series.want = Some(Want { body: body.clone(), version, until });
        let is_kept = !is_new && self.dice.chance(0.3);
        let mut publish = publish_of(self.plan, key, Some(body).filter(|_| !is_kept));
        if self.dice.chance(0.03) {
            publish.entity_tag = Some(EntityTag::parse(GIVEN).expect("a token"));
        }
        publish.owner = series.owner.clone();
        publish.timeout = timeout;
        if let Some(lifetime) = lifetime {
            publish.lifetime = Lifetime::For(lifetime);
        }
        let stamp = series.stamp;
        if let Some(until) = until {
            self.at(until, Happening::Lapse { key, stamp });
        }
        let shadow = &mut self.judge.shadows[key];
        shadow.is_lapsed = false;
        shadow.is_gone = false;
        let patience = timeout.unwrap_or(PATIENCE);
        let command = Command::Publish(Box::new(publish));
        self.command(Some(key), What::Publish(version), patience, command)
    }

    /// Something new while all is well; it must be up soon.
    pub(super) fn update(&mut self) -> Result<(), String> {
        let key = self.dice.below(self.keys.len() as u64) as usize;
        self.publish(key, None, None, true)?;
        let wait = Duration::from_secs_f64(self.plan.keys[key].min_interval + 8.0);
        self.settled_at = self.settled_at.max(self.now + wait);
        self.after(wait, Happening::Settled);
        Ok(())
    }

    /// The lifetime of what that command asked for is over.
    pub(super) fn lapse(&mut self, key: usize, stamp: u32) {
        if self.keys[key].stamp != stamp {
            return;
        }
        self.keys[key].want = None;
        self.leave(key);
    }

    /// What is up for a key may be left to run out.
    fn leave(&mut self, key: usize) {
        let shadow = &mut self.judge.shadows[key];
        shadow.is_gone = true;
        shadow.is_lapsed = true;
        if let Some(held) = &mut shadow.held {
            held.is_optional = true;
            self.compositor.excuse(&held.entity_tag);
        }
    }

    pub(super) fn refresh(&mut self, key: usize, timeout: Option<Duration>) -> Result<(), String> {
        let (key_, owner) = (self.keys[key].key.clone(), self.keys[key].owner.clone());
        let command = Command::Refresh { owner, key: key_, timeout };
        self.command(Some(key), What::Refresh, timeout.unwrap_or(PATIENCE), command)
    }

    pub(super) fn remove(&mut self, key: usize, timeout: Option<Duration>) -> Result<(), String> {
        let series = &mut self.keys[key];
        series.stamp += 1;
        series.want = None;
        self.judge.shadows[key].is_gone = true;
        let (key_, owner) = (series.key.clone(), series.owner.clone());
        let command = Command::Remove { owner, key: key_, timeout };
        self.command(Some(key), What::Remove, timeout.unwrap_or(PATIENCE), command)
    }

    /// Stops puad: what is kept runs out, the rest is removed, later calls are refused.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<(), String> {
        self.has_stopped = true;
        for key in 0..self.keys.len() {
            self.keys[key].want = None;
            self.keys[key].stamp += 1;
            self.judge.commanded(self.now, key);
            self.judge.shadows[key].is_gone = true;
            if self.plan.keys[key].is_kept {
                self.leave(key);
            }
        }
        self.command(None, What::Stop, limit, Command::Stop { limit, remove_all: false })
    }

    pub(super) fn command(
        &mut self,
        key: Option<usize>,
        what: What,
        patience: Duration,
        command: Command,
    ) -> Result<(), String> {
        self.tickets += 1;
        let ticket = self.tickets;
        self.note(|| format!("command {ticket} {what:?} key {key:?} patience {patience:?}"));
        if let Some(key) = key {
            self.judge.commanded(self.now, key);
        }
        self.pending.insert(ticket, Pending { until: self.now + patience, key, what });
        self.input(Input::Command(Ticket(ticket), command))
    }

    pub(super) fn reply(&mut self, ticket: Ticket, outcome: Reply) -> Result<(), String> {
        if self.is_thorough {
            self.absorb(format!("{outcome:?}").as_bytes());
        }
        self.note(|| {
            let mut text = format!("reply {} ", ticket.0);
            let _ = match &outcome {
                Reply::Publication(Ok(p)) => {
                    write!(text, "ok {:?} sent {} {:?}", p.state, p.sent, p.entity_tag)
                }
                Reply::Publication(Err(failure)) => write!(text, "{failure}"),
                other => write!(text, "{other:?}"),
            };
            text
        });
        let Some(pending) = self.pending.remove(&ticket.0) else {
            return Err(format!("a second reply to command {}", ticket.0));
        };
        match (pending.what, outcome) {
            (What::Publish(version), Reply::Publication(Ok(published))) => {
                let key = pending.key.expect("a publish has a key");
                let shadow = &self.judge.shadows[key];
                let is_said_up = published.sent && published.state == PublicationState::Published;
                if is_said_up && shadow.version.is_none_or(|up| up < version) {
                    return Err(format!(
                        "version {version} is said to be up, but it is {:?}",
                        shadow.version
                    ));
                }
                Ok(())
            }
            (What::Refresh | What::Remove, Reply::Publication(Ok(_))) => Ok(()),
            (What::Publish(_) | What::Refresh | What::Remove, Reply::Publication(Err(failure))) => {
                let is_nobody = pending.what == What::Refresh
                    && self.keys[pending.key.expect("a key")].want.is_none();
                let has_lapsed = pending.key.is_some_and(|key| self.judge.shadows[key].is_lapsed);
                match failure.kind {
                    FailureKind::NotFound if is_nobody => Ok(()),
                    FailureKind::Closed if self.has_stopped || has_lapsed => Ok(()),
                    FailureKind::Usage
                    | FailureKind::Conflict
                    | FailureKind::Limit
                    | FailureKind::NotFound
                    | FailureKind::Closed => Err(format!("command {}: {failure}", ticket.0)),
                    FailureKind::Sip
                    | FailureKind::Timeout
                    | FailureKind::Dns
                    | FailureKind::Refused
                    | FailureKind::Tls
                    | FailureKind::Io => Ok(()),
                }
            }
            (What::List, Reply::Publications(infos)) => {
                if self.phase == Phase::Healing {
                    let wanted = self.keys.iter().filter(|series| series.want.is_some()).count();
                    self.is_up = infos.len() == wanted
                        && infos.iter().all(|info| info.state == PublicationState::Published);
                    for info in infos.iter().filter(|i| i.state == PublicationState::Failed) {
                        // Attempts have stopped, as they should after such an answer: the user asks again.
                        let key = self.keys.iter().position(|series| series.key == info.key);
                        let key = key.ok_or("a publication nobody asked for")?;
                        self.again.push(key);
                    }
                }
                Ok(())
            }
            (What::Stop, Reply::Stopped { unanswered })
                if unanswered == 0 || self.phase != Phase::Ending =>
            {
                Ok(())
            }
            (what, outcome) => Err(format!("{what:?} was answered by {outcome:?}")),
        }
    }
}

/// What a call about a key says.
pub(super) fn publish_of(plan: &Plan, at: usize, body: Option<String>) -> Publish {
    let key = &plan.keys[at];
    let presentity = Uri::parse(&format!("sip:user{}@{}", key.user, plan.host())).expect("a URI");
    let event = EventType::parse(key.event).expect("an event");
    let mut publish = Publish::new(Owner::Script("".into()), presentity, event);
    publish.id = key.id.clone();
    publish.document = body.map(|body| Document::new("text/plain", body));
    publish.expires = Duration::from_secs(key.expires);
    publish.min_interval = Duration::from_secs_f64(key.min_interval);
    publish.skip_unchanged = key.skip_unchanged;
    publish.refresh = key.refresh_with_body.then_some(RefreshWith::Body);
    publish.on_stop = if key.is_kept { OnStop::Keep } else { OnStop::Remove };
    publish.extra_headers =
        ExtraHeaders::new(vec![("X-Key".into(), at.to_string())]).expect("a header");
    publish
}
