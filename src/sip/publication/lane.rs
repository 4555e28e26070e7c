//! The queues in front of the wire: one PUBLISH per Request-URI, and a window per server.
//!
//! A lane lets one publication of a Request-URI through at a time (3903 §4), whatever its package
//! or owner. A gate lets a bounded number of requests through to one server, so that a restart of
//! it, or a stop of puad, is not answered with everything at once.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

/// All lanes and gates.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: HashMap<Box<str>, Lane>,
    gates: BTreeMap<Arc<str>, Gate>,
    window: usize,
}

/// Who has the turn (in flight, or at the gate) is known to be not in `waiting`.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Gate {
    inside: usize,
    waiting: VecDeque<usize>,
}

/// Where a publication stands on its way to the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It wants nothing.
    None,
    /// Behind another publication of its Request-URI.
    InLane,
    /// First in its lane, behind others to this server.
    AtGate(Arc<str>),
    /// Through: it may send.
    Inside(Arc<str>),
}

impl Lanes {
    /// Makes empty lanes with this many requests per server.
    pub(crate) fn new(window: usize) -> Self {
        Self { lanes: HashMap::new(), gates: BTreeMap::new(), window }
    }

    /// Returns whether nobody has or awaits a turn.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.gates.is_empty()
    }

    /// Asks for a turn.
    pub(crate) fn enter(&mut self, publication: usize, request_uri: &str, server: &str) -> Turn {
        match self.lanes.get_mut(request_uri) {
            Some(lane) => {
                lane.waiting.push_back(publication);
                Turn::InLane
            }
            None => {
                self.lanes.insert(request_uri.into(), Lane::default());
                self.pass_gate(publication, server)
            }
        }
    }

    /// Takes a place at a server's gate for the first of a lane, or queues for one.
    pub(crate) fn pass_gate(&mut self, publication: usize, server: &str) -> Turn {
        let name = match self.gates.get_key_value(server) {
            Some((name, _)) => name.clone(),
            None => server.into(),
        };
        let gate = self.gates.entry(name.clone()).or_default();
        if gate.inside < self.window {
            gate.inside += 1;
            Turn::Inside(name)
        } else {
            gate.waiting.push_back(publication);
            Turn::AtGate(name)
        }
    }

    /// Gives a place inside back; returns who gets it.
    pub(crate) fn leave_gate(&mut self, server: &Arc<str>) -> Option<usize> {
        let gate = self.gates.get_mut(server)?;
        let next = gate.waiting.pop_front();
        if next.is_none() {
            gate.inside -= 1;
            if gate.inside == 0 {
                self.gates.remove(server);
            }
        }
        next
    }

    /// Gives the lane back; returns who is first in it now and must pass its gate.
    pub(crate) fn leave_lane(&mut self, request_uri: &str) -> Option<usize> {
        let next = self.lanes.get_mut(request_uri)?.waiting.pop_front();
        if next.is_none() {
            self.lanes.remove(request_uri);
        }
        next
    }

    /// Takes a publication that ended while it queued out of its lane.
    pub(crate) fn forget(&mut self, publication: usize, request_uri: &str) {
        if let Some(lane) = self.lanes.get_mut(request_uri) {
            lane.waiting.retain(|waiting| *waiting != publication);
        }
    }
}
