//! Subscriptions and their NOTIFY requests (6665 §4.2.2).
//!
//! At most one NOTIFY of a subscription waits for its answer. What changes meanwhile is told by the
//! next one, which carries the document of that moment, so a slow watcher costs one message.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Agent, Path, Publication, Topic, Transmit, dialog::Dialog};
use crate::sip::{
    ids::Branch,
    io::is_reliable,
    message::{Message, Name},
    transaction::{ClientTransaction, client::Action},
};

/// One watcher.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) topic: Topic,
    /// Event as the watcher wrote it, which a NOTIFY must match, `id` included (6665 §8.2.1).
    event: String,
    pub(super) dialog: Dialog,
    state: State,
    in_flight: Option<InFlight>,
    /// Whether another NOTIFY is due after the one in flight.
    is_due: bool,
    /// Entry in the table of deadlines.
    scheduled: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active {
        expires_at: Instant,
    },
    /// The last NOTIFY is under way or waits for the one before it.
    Terminated,
}

/// A NOTIFY that was not answered yet.
#[derive(Debug)]
struct InFlight {
    branch: Branch,
    transaction: ClientTransaction,
    path: Path,
    is_last: bool,
}

impl Subscription {
    /// Makes a subscription that has run out unless it is extended.
    pub(super) fn new(now: Instant, topic: Topic, event: String, dialog: Dialog) -> Self {
        Self {
            topic,
            event,
            dialog,
            state: State::Active { expires_at: now },
            in_flight: None,
            is_due: false,
            scheduled: None,
        }
    }

    /// Sets the lifetime anew; zero ends the subscription.
    pub(super) fn extend(&mut self, now: Instant, granted: Duration) {
        self.state = if granted.is_zero() {
            State::Terminated
        } else {
            State::Active { expires_at: now + granted }
        };
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        matches!(self.state, State::Active { expires_at } if expires_at > now)
    }

    /// The value of Subscription-State. What ran out and what was ended by the watcher both say
    /// `timeout` (6665 §4.2.1.4, §4.4.1).
    fn state_text(&self, now: Instant) -> String {
        match self.state {
            State::Active { expires_at } => {
                let left = expires_at.saturating_duration_since(now).as_secs_f64().ceil();
                format!("active;expires={left}")
            }
            State::Terminated => "terminated;reason=timeout".into(),
        }
    }

    /// Writes a NOTIFY with this document.
    fn compose(
        &mut self,
        now: Instant,
        local: SocketAddr,
        branch: Branch,
        document: Option<&Publication>,
    ) -> Bytes {
        let mut out = self.dialog.notify(local, branch);
        out.header(Name::Event, &self.event);
        out.header(Name::SubscriptionState, &self.state_text(now));
        match document.filter(|document| !document.body.is_empty()) {
            Some(document) => {
                out.header(Name::ContentType, &document.content_type);
                out.finish(&document.body)
            }
            None => out.finish(b""),
        }
    }

    /// Returns when this subscription must be looked at.
    fn deadline(&self) -> Option<Instant> {
        let transaction = self.in_flight.as_ref().and_then(|n| n.transaction.poll_timeout());
        let end = match self.state {
            State::Active { expires_at } => Some(expires_at),
            State::Terminated => None,
        };
        [transaction.map(|deadline| deadline.at), end].into_iter().flatten().min()
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    entries: BTreeMap<u64, Subscription>,
    by_local_tag: BTreeMap<String, u64>,
    by_topic: BTreeMap<Topic, BTreeSet<u64>>,
    by_branch: BTreeMap<Branch, u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Subscription> {
        self.entries.get_mut(&id)
    }

    /// Returns the subscription of a dialog, seen from our side.
    pub(super) fn find(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Option<u64> {
        let id = *self.by_local_tag.get(local_tag)?;
        let found = self.entries.get(&id)?;
        (found.dialog.call_id == call_id && found.dialog.remote_tag == remote_tag).then_some(id)
    }

    pub(super) fn insert(&mut self, subscription: Subscription) -> u64 {
        self.next += 1;
        let id = self.next;
        self.by_local_tag.insert(subscription.dialog.local_tag.clone(), id);
        self.by_topic.entry(subscription.topic.clone()).or_default().insert(id);
        self.entries.insert(id, subscription);
        id
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, id: u64) {
        let Some(gone) = self.entries.remove(&id) else { return };
        self.by_local_tag.remove(&gone.dialog.local_tag);
        if let Some(watchers) = self.by_topic.get_mut(&gone.topic) {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.by_topic.remove(&gone.topic);
            }
        }
        if let Some(in_flight) = gone.in_flight {
            self.by_branch.remove(&in_flight.branch);
        }
        if let Some(at) = gone.scheduled {
            self.deadlines.remove(&(at, id));
        }
    }

    fn schedule(&mut self, id: u64) {
        let Some(subscription) = self.entries.get_mut(&id) else { return };
        let deadline = subscription.deadline();
        if let Some(before) = std::mem::replace(&mut subscription.scheduled, deadline) {
            self.deadlines.remove(&(before, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
    }
}

impl Agent {
    /// Sends every watcher of a topic its document.
    pub(super) fn tell_watchers(&mut self, now: Instant, topic: &Topic) {
        let watchers = self.subscriptions.by_topic.get(topic).cloned().unwrap_or_default();
        for id in watchers {
            self.notify(now, id);
        }
    }

    /// Sends a NOTIFY with the document of this moment, now or after the one in flight.
    pub(super) fn notify(&mut self, now: Instant, id: u64) {
        let Some(subscription) = self.subscriptions.entries.get_mut(&id) else { return };
        if subscription.in_flight.is_some() {
            subscription.is_due = true;
            return self.subscriptions.schedule(id);
        }
        let branch = self.ids.branch();
        let document = self.compositor.current(&subscription.topic);
        let message = subscription.compose(now, self.local, branch, document);
        let path = subscription.dialog.path;
        let timing = &self.settings.timing;
        let reliable = is_reliable(path.transport);
        subscription.in_flight = Some(InFlight {
            branch,
            transaction: ClientTransaction::new(now, message.clone(), reliable, timing),
            path,
            is_last: subscription.state == State::Terminated,
        });
        self.counters.notify += 1;
        self.outputs.push_back(Transmit { path, message });
        self.subscriptions.by_branch.insert(branch, id);
        self.subscriptions.schedule(id);
    }

    /// Takes the answer to a NOTIFY.
    pub(super) fn handle_notify_answer(&mut self, now: Instant, message: &Message<'_>, code: u16) {
        let branch = message.top_via().ok().and_then(|via| Branch::parse(via.branch()?));
        let is_notify = message.cseq().is_ok_and(|cseq| cseq.method == "NOTIFY");
        let Some(branch) = branch.filter(|_| is_notify) else { return };
        let Some(id) = self.subscriptions.by_branch.get(&branch).copied() else {
            return;
        };
        let Some(subscription) = self.subscriptions.entries.get_mut(&id) else { return };
        let Some(in_flight) = &mut subscription.in_flight else { return };
        let reliable = is_reliable(in_flight.path.transport);
        let timing = self.settings.timing;
        match in_flight.transaction.handle_response(now, code, reliable, &timing) {
            Some(Action::Final) => {}
            _ => return self.subscriptions.schedule(id),
        }
        let is_over = in_flight.is_last || ends_subscription(code);
        self.subscriptions.by_branch.remove(&branch);
        subscription.in_flight = None;
        if is_over {
            return self.subscriptions.remove(id);
        }
        if std::mem::take(&mut subscription.is_due) {
            return self.notify(now, id);
        }
        self.subscriptions.schedule(id);
    }

    /// Repeats NOTIFY requests, gives up unanswered ones, and ends what has run out.
    pub(super) fn subscriptions_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.subscriptions.deadlines.first().copied()
            && at <= now
        {
            self.subscriptions.deadlines.remove(&(at, id));
            let Some(subscription) = self.subscriptions.entries.get_mut(&id) else { continue };
            subscription.scheduled = None;
            let timing = self.settings.timing;
            let action = subscription
                .in_flight
                .as_mut()
                .and_then(|n| Some((n.transaction.handle_timeout(now, &timing)?, n.path)));
            match action {
                Some((Action::Retransmit(message), path)) => {
                    self.outputs.push_back(Transmit { path, message });
                }
                // Nobody is there any more (6665 §4.2.2).
                Some((Action::TimedOut { .. }, _)) => {
                    self.subscriptions.remove(id);
                    continue;
                }
                _ => {}
            }
            if matches!(subscription.state, State::Active { expires_at } if expires_at <= now) {
                subscription.state = State::Terminated;
                self.notify(now, id);
            }
            self.subscriptions.schedule(id);
        }
    }
}

/// Returns whether an answer to NOTIFY ends the subscription rather than the request alone
/// (5057 §5.1).
fn ends_subscription(code: u16) -> bool {
    matches!(code, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604)
}
