//! What must hold at the server: when all is well, while it stays so, and after the end.

use std::time::Duration;

use puad::{
    command::Command,
    sip::io::{FlowError, FlowId},
};

use super::{super::compositor::Record, Happening, Pending, Phase, What, World};

impl World<'_> {
    pub(super) fn check_patience(&self) -> Result<(), String> {
        let late = Duration::from_secs_f64(self.plan.lateness + 0.000_001);
        let is_over = |pending: &Pending| pending.until.max(self.asleep_until) + late < self.now;
        match self.pending.iter().find(|(_, pending)| is_over(pending)) {
            Some((ticket, pending)) => {
                Err(format!("no reply to {ticket} {:?} in time", pending.what))
            }
            None => Ok(()),
        }
    }

    /// What runs out while it is wanted was not refreshed in time.
    pub(super) fn check_expired(&mut self) -> Result<(), String> {
        self.compositor.expire(self.now);
        for record in std::mem::take(&mut self.compositor.expired) {
            let until = match &self.keys[record.key].want {
                Some(want) => want.until.unwrap_or(Duration::MAX),
                None => continue,
            };
            let slack = Duration::from_secs(2);
            if self.phase == Phase::Steady
                && record.is_known
                && !record.is_excused
                && until.saturating_sub(slack) > record.expires_at
            {
                return Err(format!("key {} ran out while wanted: {record:?}", record.key));
            }
        }
        Ok(())
    }

    /// Returns what is wrong with a key at the server.
    pub(super) fn wrong(&self, key: usize) -> Option<String> {
        let shadow = &self.judge.shadows[key];
        let held = shadow.held.as_ref().map(|held| &held.entity_tag);
        let mut records = self.compositor.records.iter().filter(|record| record.key == key);
        let is_bare = |record: &Record| record.is_known && !record.is_excused;
        match &self.keys[key].want {
            None => {
                let left = records.find(|record| is_bare(record))?;
                Some(format!("key {key} is not wanted and still up: {left:?}"))
            }
            Some(want) => {
                if want.until.is_some_and(|until| until < self.now + Duration::from_secs(3)) {
                    return None;
                }
                let all: Vec<_> = records.collect();
                if let Some(other) = all.iter().find(|r| is_bare(r) && Some(&r.entity_tag) != held)
                {
                    return Some(format!("key {key} is up twice: {other:?} and {held:?}"));
                }
                // Without a tag puad can only wait for the end of the grant, which may have begun
                // a whole transaction before it heard of it.
                let soon = self.now + Duration::from_secs(35);
                if shadow.untagged.is_some_and(|until| until < soon) {
                    return None;
                }
                let is_up = all.iter().any(|record| {
                    record.body == want.body
                        && match held {
                            Some(tag) => record.entity_tag == *tag,
                            None => shadow.untagged.is_some() && !record.is_known,
                        }
                });
                (!is_up).then(|| {
                    format!("key {key} version {} is not up: {held:?} of {all:?}", want.version)
                })
            }
        }
    }

    /// A wrong that puad cannot see: it believes what a server said that has forgotten since.
    pub(super) fn is_unseen(&self, key: usize) -> bool {
        let shadow = &self.judge.shadows[key];
        let Some(want) = &self.keys[key].want else { return false };
        let until = shadow.held.as_ref().map(|held| held.expires_at).or(shadow.untagged);
        shadow.version == Some(want.version)
            && self.compositor.restarted_at.is_some_and(|at| at >= shadow.granted_at)
            && until.is_some_and(|until| until + Duration::from_secs(10) > self.now)
    }

    pub(super) fn check_all(&self) -> Result<(), String> {
        match (0..self.keys.len()).find_map(|key| self.wrong(key)) {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    /// Checks everything; what is wrong because an answer is under way is checked again.
    pub(super) fn check_soon(&mut self, again: Happening) -> Result<bool, String> {
        match self.check_all() {
            Err(_) if !self.is_quiet() => {
                self.after(Duration::from_secs_f64(0.1), again);
                Ok(false)
            }
            result => result.map(|()| true),
        }
    }

    /// Returns whether nothing is under way, neither on the wire nor towards it.
    pub(super) fn is_quiet(&self) -> bool {
        self.queries == 0
            && self.links.values().all(|link| link.is_open)
            && self.judge.is_quiet(self.now)
    }

    /// Looks whether everything is as wanted, now that all is well.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.command(
            None,
            What::List,
            Duration::ZERO,
            Command::Publications { owner: None, key: None },
        )?;
        let wrongs: Vec<_> = (0..self.keys.len())
            .filter(|key| !self.is_unseen(*key))
            .filter_map(|key| self.wrong(key))
            .collect();
        let unseen =
            (0..self.keys.len()).any(|key| self.is_unseen(key) && self.wrong(key).is_some());
        if wrongs.is_empty() && !unseen && self.is_up && self.is_quiet() {
            return self.settle();
        }
        let well_since = self.plan.healed_at.max(self.asleep_until);
        // Something may just be under way, but not for minutes.
        self.wrong_looks = if wrongs.is_empty() { 0 } else { self.wrong_looks + 1 };
        if let Some(wrong) = wrongs.first()
            && self.now > well_since + self.plan.bound()
            && (self.is_quiet() || self.wrong_looks > 12)
        {
            return Err(format!("{} s after the healing {wrong}", self.plan.bound().as_secs()));
        }
        for key in std::mem::take(&mut self.again) {
            self.refresh(key, None)?;
        }
        self.after(Duration::from_secs(10), Happening::Look);
        Ok(())
    }

    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.note(|| "everything is as wanted".into());
        self.phase = Phase::Steady;
        // Connections that are dead without a sign would be found by the next refresh, too late for
        // a short grant; here the kernel finds them first.
        let hung: Vec<FlowId> =
            self.links.iter().filter(|(_, l)| l.is_hung).map(|(flow, _)| *flow).collect();
        for flow in hung {
            self.after(Duration::ZERO, Happening::Failed(flow, FlowError::TimedOut));
        }
        let lasts = Duration::from_secs(self.plan.server.grants.1)
            .mul_f64(1.5)
            .max(Duration::from_secs(40));
        for _ in 0..self.dice.below(4) {
            let at = (lasts - Duration::from_secs(30)).mul_f64(self.dice.unit());
            self.after(at, Happening::Update);
        }
        self.after(lasts, Happening::End);
        Ok(())
    }

    /// Ends every publication, one by one or by stopping.
    pub(super) fn end_all(&mut self) -> Result<(), String> {
        self.phase = Phase::Ending;
        if self.dice.chance(0.3) {
            return self.stop(Duration::from_secs(10));
        }
        for key in 0..self.keys.len() {
            self.remove(key, None)?;
        }
        Ok(())
    }

    pub(super) fn check_end(&mut self) -> Result<(), String> {
        self.check_all()?;
        if let Some((ticket, _)) = self.pending.iter().next() {
            return Err(format!("no reply to {ticket}"));
        }
        Ok(())
    }
}
