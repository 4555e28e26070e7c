//! From located servers to a sent message: which hop is next, and the request that goes to it.
//!
//! Finding the servers is left to [`locate`], the flows to
//! [`wire`](crate::sip::wire), the bytes to [`compose`](super::compose), and where a redirect
//! leads to [`redirect`](super::redirect).

use std::time::Instant;

use super::{Final, Journey, METHOD, RequestError, Requests, Step};
use crate::sip::{
    io::{Hop, Output},
    locate::{self, Located, leading_host},
    wire::{Reach, RequestId, Wire},
};

#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) hop: Hop,
    /// Which proxy leads there.
    pub(super) proxy: Option<usize>,
    /// TCP was chosen for the size alone (3261 §18.1.1).
    pub(super) by_size: bool,
    /// UDP whatever the size, after such a TCP was refused.
    pub(super) udp_anyway: bool,
    /// The flow had carried something before.
    pub(super) reused: bool,
    /// A broken connection has been replaced once.
    pub(super) reconnected: bool,
}

/// What came of trying one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// The request is sent, or waits for its flow.
    Waits,
    /// Nothing can be sent there now; the journey knows why.
    NextHop,
}

impl Requests {
    /// Goes to the next hop, locating further servers when the known ones are used up.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
    ) -> Option<Final> {
        loop {
            let journey = self.journeys.get_mut(id)?;
            if let Some(candidate) = journey.candidates.pop_front() {
                match self.try_hop(now, wire, id, candidate) {
                    Attempt::Waits => return None,
                    Attempt::NextHop => continue,
                }
            }
            let proxies = &journey.draft.proxies;
            let (authority, proxy) =
                match (proxies.get(journey.next_authority), journey.next_authority) {
                    (Some(proxy), at) => (proxy.clone(), Some(at)),
                    (None, 0) => (journey.target.clone(), None),
                    (None, _) => return self.exhausted(now, wire, id),
                };
            let located = locate::check_proxy(&journey.target, &authority)
                .and_then(|()| self.locator.locate(now, &authority, |ip| wire.flows.reaches(ip)));
            match located {
                Ok(Located::Hops(mut hops)) => {
                    journey.next_authority += 1;
                    if proxy.is_none() && journey.redirect.is_from_outside {
                        hops.retain(|hop| !hop.remote.ip().to_canonical().is_loopback());
                        if let (true, Some(Final::Answer(answer))) =
                            (hops.is_empty(), &mut journey.last)
                        {
                            answer.note = Some(format!("{authority} would lead to this machine"));
                        }
                    }
                    journey.candidates.extend(hops.into_iter().map(|hop| Candidate {
                        hop,
                        proxy,
                        by_size: false,
                        udp_anyway: false,
                        reused: false,
                        reconnected: false,
                    }));
                }
                Ok(Located::Wait(query, question)) => {
                    journey.step = Step::Locating;
                    self.asking.entry(query).or_default().push(id);
                    wire.outputs
                        .extend(question.map(|question| Output::Query { id: query, question }));
                    return None;
                }
                Err(error) => {
                    journey.next_authority += 1;
                    journey.last.get_or_insert(Final::Failed(RequestError::Locate(error)));
                }
            }
        }
    }

    /// Sends to one hop, or to the next that takes it.
    pub(super) fn send(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        candidate: Candidate,
    ) -> Option<Final> {
        match self.try_hop(now, wire, id, candidate) {
            Attempt::Waits => None,
            Attempt::NextHop => self.advance(now, wire, id),
        }
    }

    /// Sends to one hop, once there is a flow to it. Never goes on to another by itself: there may
    /// be hundreds, and the stack is no place for them.
    fn try_hop(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        id: RequestId,
        mut candidate: Candidate,
    ) -> Attempt {
        loop {
            let Some(journey) = self.journeys.get_mut(id) else { return Attempt::Waits };
            // Asked here, where the hop is settled: the size may have chosen TCP, and others may
            // have been told to be silent while a connection was being opened.
            if let Some(until) = self.locator.blocked_until(now, candidate.hop) {
                journey.last.get_or_insert(Final::Failed(RequestError::Blocked {
                    hop: candidate.hop,
                    left: until - now,
                }));
                return Attempt::NextHop;
            }
            let (flow, sent_by) = match wire.reach(now, candidate.hop) {
                Reach::Ready { flow, sent_by, reused } => {
                    candidate.reused = reused;
                    (flow, sent_by)
                }
                Reach::Opening(flow) => {
                    journey.step = Step::Opening(candidate);
                    self.opening.entry(flow).or_default().push(id);
                    return Attempt::Waits;
                }
                Reach::Refused(error) => {
                    journey.last =
                        Some(Final::Failed(RequestError::Transport(candidate.hop, error)));
                    return Attempt::NextHop;
                }
            };
            let branch = wire.ids.branch();
            let credentials = journey.credentials(candidate, &self.nonces, wire);
            let message = journey.compose(candidate, &sent_by, branch, &credentials, wire);
            let is_udp = candidate.hop.transport == rsip::Transport::Udp;
            if is_udp && message.len() > UDP_LIMIT && !candidate.udp_anyway {
                candidate.hop.transport = rsip::Transport::Tcp;
                candidate.by_size = true;
                continue;
            }
            if is_udp && message.len() > LARGEST_DATAGRAM {
                let error = RequestError::TooLarge(candidate.hop, message.len());
                journey.last = Some(Final::Failed(error));
                return Attempt::NextHop;
            }
            for given in journey.given.iter().filter(|given| !given.nonce.is_empty()) {
                self.nonces.spend(&given.key);
            }
            journey.step = Step::Sent(candidate);
            wire.start(
                now,
                id,
                branch,
                METHOD,
                flow,
                candidate.hop,
                sent_by,
                candidate.reused,
                message,
            );
            return Attempt::Waits;
        }
    }
}

impl Journey {
    /// Returns the host that leads the way by this candidate.
    pub(super) fn authority(&self, candidate: Candidate) -> &str {
        leading_host(candidate.proxy.map_or(&self.target, |at| &self.draft.proxies[at]))
    }
}

/// The largest request that goes over UDP (3261 §18.1.1).
const UDP_LIMIT: usize = 1300;
/// The largest that one datagram holds, with room for what is below UDP.
const LARGEST_DATAGRAM: usize = 65_000;
