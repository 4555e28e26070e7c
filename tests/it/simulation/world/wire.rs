//! The network of a world: what becomes of each message, each connection and each question.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use puad::sip::io::{DnsError, FlowError, FlowId, Hop, Input, QueryId, Record};

use super::{
    super::{
        judge::{Tag, version_of},
        message::{Answer, Request},
    },
    Happening, LOCAL, Link, World,
};

impl World<'_> {
    pub(super) fn is_out(&self) -> Option<Duration> {
        let outages = &self.plan.network.outages;
        let outage = outages.iter().find(|(from, to)| *from <= self.now && self.now < *to);
        outage.filter(|_| self.is_bad()).map(|(_, to)| (*to).min(self.plan.healed_at))
    }

    pub(super) fn delay(&mut self) -> Duration {
        let most = if self.is_bad() { self.plan.network.delay } else { 0.02 };
        self.dice.secs(0.0005, most)
    }

    pub(super) fn opened(&mut self, flow: FlowId) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&flow) else { return Ok(()) };
        link.is_open = true;
        let remote = link.hop.remote;
        let local: SocketAddr = LOCAL.parse().expect("an address");
        let port = if link.hop.is_reliable() { 40_000 + flow.0 as u16 } else { local.port() };
        let local = SocketAddr::new(local.ip(), port);
        self.note(|| format!("{flow:?} is open"));
        self.input(Input::FlowOpened { flow, local, remote })
    }

    pub(super) fn failed(&mut self, flow: FlowId, error: FlowError) -> Result<(), String> {
        if self.links.remove(&flow).is_none() {
            return Ok(());
        }
        self.note(|| format!("{flow:?} failed: {error}"));
        self.judge.lost(self.now, flow);
        self.input(Input::FlowFailed { flow, error })
    }

    pub(super) fn open(&mut self, flow: FlowId, hop: Hop) {
        self.note(|| format!("puad opens {flow:?} to {hop}"));
        let link =
            Link { hop, is_open: false, is_hung: false, last_out: self.now, last_in: self.now };
        self.links.insert(flow, link);
        if !hop.is_reliable() {
            return self.after(Duration::ZERO, Happening::Opened(flow));
        }
        let delay = self.delay();
        let network = &self.plan.network;
        let (refused, hangs) = (network.open_refused, network.open_hangs);
        if self.is_bad() {
            if self.is_out().is_some() || self.dice.chance(hangs) {
                if self.dice.chance(0.3) {
                    self.after(delay, Happening::Failed(flow, FlowError::Unreachable));
                }
                return;
            }
            if self.compositor.is_down || self.dice.chance(refused) {
                return self.after(delay, Happening::Failed(flow, FlowError::Refused));
            }
        }
        self.after(delay, Happening::Opened(flow));
    }

    pub(super) fn transmit(
        &mut self,
        flow: FlowId,
        to: SocketAddr,
        message: &[u8],
    ) -> Result<(), String> {
        self.absorb(message);
        let Some(link) = self.links.get(&flow).filter(|link| link.is_open) else {
            return Err(format!("puad sends on {flow:?}, which is not open"));
        };
        let hop = link.hop;
        if hop.remote != to {
            return Err(format!("{flow:?} leads to {}, not to {to}", hop.remote));
        }
        if message == b"\r\n" {
            return Ok(());
        }
        let request = Request::parse(message);
        self.note(|| {
            format!(
                "→ {flow:?} {hop} key {} {} {} CSeq {} If-Match {:?} Expires {} {:?}",
                request.key,
                request.uri,
                request.branch,
                request.cseq,
                request.if_match,
                request.expires,
                request.body.get(..40).unwrap_or(&request.body)
            )
        });
        if !request.body.is_empty() && version_of(&request.body) > self.keys[request.key].version {
            return Err("a document nobody asked for".into());
        }
        if let Some(tag) = self.judge.sent(self.now, &request, hop, flow)? {
            self.mark(tag);
        }
        let bytes: Arc<[u8]> = message.into();
        if hop.is_reliable() {
            self.send_stream(flow, bytes);
        } else {
            self.send_datagram(flow, bytes);
        }
        Ok(())
    }

    pub(super) fn send_datagram(&mut self, flow: FlowId, bytes: Arc<[u8]>) {
        let network = &self.plan.network;
        let (loss, duplicates, icmp) = (network.loss, network.duplicates, network.icmp);
        if self.is_bad() {
            let delay = self.delay();
            if self.dice.chance(icmp) || self.compositor.is_down && self.dice.chance(0.3) {
                let error = self.dice.pick(&[FlowError::Refused, FlowError::Unreachable]);
                self.after(delay, Happening::Failed(flow, error));
            }
            if self.is_out().is_some() || self.dice.chance(loss) {
                return;
            }
            if self.dice.chance(duplicates) {
                self.after(delay, Happening::Request(flow, bytes.clone()));
            }
        }
        let delay = self.delay();
        self.after(delay, Happening::Request(flow, bytes));
    }

    pub(super) fn send_stream(&mut self, flow: FlowId, bytes: Arc<[u8]>) {
        let network = &self.plan.network;
        let (breaks, hangs) = (network.breaks, network.hangs);
        let (delay, outage) = (self.delay(), self.is_out());
        let is_bad = self.is_bad();
        let Some(link) = self.links.get_mut(&flow) else { return };
        if link.is_hung {
            // The path has forgotten the connection; the kernel gives up after a quarter of an hour.
            return self
                .after(Duration::from_secs(924), Happening::Failed(flow, FlowError::TimedOut));
        }
        let arrives = outage.unwrap_or(self.now).max(link.last_out) + delay;
        link.last_out = arrives;
        if is_bad && self.dice.chance(hangs) {
            if let Some(link) = self.links.get_mut(&flow) {
                link.is_hung = true;
            }
            if self.dice.chance(0.5) {
                return;
            }
        }
        if is_bad && self.dice.chance(breaks) {
            let error = self.dice.pick(&[FlowError::Closed, FlowError::Closed, FlowError::Refused]);
            self.at(arrives, Happening::Failed(flow, error));
            if self.dice.chance(0.5) {
                return;
            }
        }
        self.at(arrives, Happening::Request(flow, bytes));
    }

    pub(super) fn serve(&mut self, flow: FlowId, bytes: &[u8]) -> Result<(), String> {
        if self.compositor.is_down {
            return Ok(());
        }
        let request = Request::parse(bytes);
        let is_well = !self.is_bad();
        let answers = self.compositor.handle(self.now, &request, is_well, &mut self.dice)?;
        for answer in answers {
            self.note(|| {
                format!(
                    "  ← {} {} after {:?}: {:?} Expires {:?} Retry-After {:?}",
                    answer.branch,
                    answer.code,
                    answer.delay,
                    answer.entity_tag,
                    answer.expires,
                    answer.retry_after
                )
            });
            self.send_answer(flow, answer);
        }
        Ok(())
    }

    pub(super) fn send_answer(&mut self, flow: FlowId, answer: Answer) {
        let Some(link) = self.links.get(&flow) else { return };
        let (is_reliable, is_hung, last_in) = (link.hop.is_reliable(), link.is_hung, link.last_in);
        let mut at = self.now + answer.delay + self.delay();
        if self.is_bad() && !is_hung && self.dice.chance(self.plan.network.noise) {
            let noise = self.dice.pick(&["\r\n\r\n", "garbage\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"]);
            self.at(at.max(last_in), Happening::Answer(flow, noise.into(), None));
        }
        let bytes = answer.bytes.to_vec();
        if is_reliable {
            if is_hung {
                return;
            }
            at = at.max(last_in).max(self.is_out().unwrap_or_default());
            let cut = self.dice.below(bytes.len() as u64 * 3) as usize;
            if cut < bytes.len() {
                self.at(at, Happening::Answer(flow, bytes[..cut].to_vec(), None));
                at += self.dice.secs(0.0, 0.01);
                self.at(at, Happening::Answer(flow, bytes[cut..].to_vec(), Some(answer)));
            } else {
                self.at(at, Happening::Answer(flow, bytes, Some(answer)));
            }
            if let Some(link) = self.links.get_mut(&flow) {
                link.last_in = at;
            }
            return;
        }
        let network = &self.plan.network;
        let (loss, duplicates) = (network.loss, network.duplicates);
        if self.is_bad() {
            if self.is_out().is_some() || self.dice.chance(loss) {
                return;
            }
            if self.dice.chance(duplicates) {
                let later = at + self.delay();
                self.at(later, Happening::Answer(flow, bytes.clone(), Some(answer.clone())));
            }
        }
        self.at(at, Happening::Answer(flow, bytes, Some(answer)));
    }

    pub(super) fn receive(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        answer: Option<Answer>,
    ) -> Result<(), String> {
        let Some(link) = self.links.get(&flow).filter(|link| !link.is_hung) else { return Ok(()) };
        let source = link.hop.remote;
        self.inputs += 1;
        let input = Input::Received { flow, source, message: bytes };
        self.uac.handle_input(self.start + self.now, input);
        let taken = self.uac.stats().answers;
        let is_taken = taken != std::mem::replace(&mut self.answers_taken, taken);
        if let Some(answer) = &answer {
            self.note(|| {
                let is_taken = if is_taken { "taken" } else { "not taken" };
                format!("← {flow:?} {} {} {is_taken}", answer.branch, answer.code)
            });
        }
        if is_taken {
            let answer = answer.ok_or("a piece of an answer was taken")?;
            for tag in self.judge.taken(self.now, &answer)? {
                self.mark(tag);
            }
        }
        self.drain()
    }

    pub(super) fn mark(&mut self, tag: Tag) {
        match tag {
            Tag::Known(tag) => self.compositor.known(&tag),
            Tag::Excused(tag) => self.compositor.excuse(&tag),
        }
    }

    pub(super) fn resolved(&mut self, query: QueryId) -> Result<(), String> {
        self.queries -= 1;
        let failure = self.plan.network.dns_failure;
        let records = if self.is_bad() && self.dice.chance(failure) {
            Err(self.dice.pick(&[DnsError::NotFound, DnsError::Unavailable]))
        } else {
            let ttl = self.dice.secs(0.0, 100.0);
            Ok((1..=self.plan.addresses)
                .map(|last| Record { address: IpAddr::from([192, 0, 2, last]), ttl })
                .collect())
        };
        self.note(|| format!("{query:?}: {records:?}"));
        self.input(Input::Answer { query, records })
    }

    /// The compositor restarts and forgets; connections to it break.
    pub(super) fn go_down(&mut self) {
        if !self.is_bad() {
            return;
        }
        self.note(|| "the compositor goes down and forgets everything".into());
        self.compositor.restart(self.now);
        self.compositor.is_down = true;
        let open: Vec<FlowId> = self
            .links
            .iter()
            .filter(|(_, link)| link.hop.is_reliable() && link.is_open && !link.is_hung)
            .map(|(flow, _)| *flow)
            .collect();
        for flow in open {
            let (delay, error) =
                (self.delay(), self.dice.pick(&[FlowError::Closed, FlowError::Other]));
            self.after(delay, Happening::Failed(flow, error));
        }
    }
}
