//! The thread that serves the watches of one script, or one watch that polls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicUsize, mpsc},
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    LaneKey, Refused, Request, Shared, WatchId,
    folders::Folders,
    source::{Happening, Inlet, LaneId},
    watched::Watched,
};

/// What reaches a lane.
pub(super) enum Message {
    /// Begin a watch; the number counts the paths of its group.
    Add(WatchId, Box<Request>, Arc<AtomicUsize>, oneshot::Sender<Result<(), Refused>>),
    /// End a watch.
    Remove(WatchId),
    /// The kernel has seen something.
    Happened(Arc<Happening>),
    /// The kernel, or the way here, has lost events.
    Lost,
    /// End.
    Stop,
}

/// The thread's state.
pub(super) struct Lane {
    id: LaneId,
    key: LaneKey,
    shared: Arc<Shared>,
    inlet: Inlet,
    folders: Folders,
    watches: BTreeMap<WatchId, Watched>,
    wakes: Wakes,
}

impl Lane {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn start(
        id: LaneId,
        key: LaneKey,
        shared: Arc<Shared>,
    ) -> std::io::Result<mpsc::Sender<Message>> {
        let (sender, receiver) = mpsc::channel();
        let inlet = Inlet::new(sender.clone());
        std::thread::Builder::new().name("watch".into()).stack_size(STACK).spawn(move || {
            // Who only looks misses nothing when the kernel loses something.
            if let LaneKey::Group(_) = key {
                shared.source.join(id, inlet.clone());
            }
            let folders = Folders::new(shared.source.clone(), id);
            let (watches, wakes) = (BTreeMap::new(), Wakes::default());
            Self { id, key, shared, inlet, folders, watches, wakes }.run(&receiver);
        })?;
        Ok(sender)
    }

    /// Serves until the last watch has ended.
    fn run(mut self, receiver: &mpsc::Receiver<Message>) {
        let mut carried = None;
        loop {
            let first = match (carried.take(), self.wakes.next()) {
                (Some(message), _) => Some(message),
                (None, Some(at)) => {
                    let left = at.saturating_duration_since(Instant::now());
                    receiver.recv_timeout(left).ok()
                }
                (None, None) => receiver.recv().ok(),
            };
            // What came together is taken together: a folder full of news is looked at once.
            let mut touched = BTreeSet::new();
            let burst = first.into_iter().chain(std::iter::from_fn(|| receiver.try_recv().ok()));
            for message in burst.take(BURST) {
                if self.handle(message, &mut touched).is_break() {
                    return self.shared.source.leave(self.id);
                }
            }
            let now = Instant::now();
            touched.extend(self.wakes.due(now));
            for id in touched {
                self.turn(now, id);
            }
            if self.watches.is_empty() {
                carried = self.retire(receiver);
                if carried.is_none() {
                    return self.shared.source.leave(self.id);
                }
            }
        }
    }

    fn handle(
        &mut self,
        message: Message,
        touched: &mut BTreeSet<WatchId>,
    ) -> std::ops::ControlFlow<()> {
        let now = Instant::now();
        match message {
            Message::Add(id, request, held, reply) => {
                match Watched::begin(now, id, *request, held, &mut self.folders) {
                    Ok(mut watched) => {
                        // It stood too late for whoever asked: what was read meanwhile may be old.
                        if reply.send(Ok(())).is_err() {
                            watched.lose(now);
                        }
                        self.watches.insert(id, watched);
                        touched.insert(id);
                    }
                    Err(refused) => {
                        self.shared.lanes().of.remove(&id);
                        let _ = reply.send(Err(refused));
                    }
                }
            }
            Message::Remove(id) => self.end(id),
            Message::Happened(happening) => {
                self.inlet.took();
                for id in self.folders.concerned(&happening.path) {
                    if let Some(watched) = self.watches.get_mut(&id) {
                        watched.on_happening(now, &happening, &mut self.folders);
                        touched.insert(id);
                    }
                }
            }
            Message::Lost => {
                self.inlet.took_loss();
                for (id, watched) in &mut self.watches {
                    watched.lose(now);
                    touched.insert(*id);
                }
            }
            Message::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Lets a watch look and tell, if it is time.
    fn turn(&mut self, now: Instant, id: WatchId) {
        let Some(watched) = self.watches.get_mut(&id) else { return };
        if watched.turn(now, &mut self.folders) {
            self.wakes.set(id, watched.next_wake());
        } else {
            self.shared.lanes().of.remove(&id);
            self.end(id);
        }
    }

    fn end(&mut self, id: WatchId) {
        self.wakes.remove(id);
        if let Some(watched) = self.watches.remove(&id) {
            watched.end(&mut self.folders);
        }
    }

    /// Takes the lane out of the table, unless another letter has come.
    fn retire(&self, receiver: &mpsc::Receiver<Message>) -> Option<Message> {
        let mut lanes = self.shared.lanes();
        let message = receiver.try_recv().ok();
        if message.is_none() {
            lanes.running.remove(&self.key);
        }
        message
    }
}

/// When which watch wants to be looked after.
#[derive(Debug, Default)]
struct Wakes {
    order: BTreeSet<(Instant, WatchId)>,
    of: BTreeMap<WatchId, Instant>,
}

impl Wakes {
    fn set(&mut self, id: WatchId, at: Instant) {
        self.remove(id);
        self.of.insert(id, at);
        self.order.insert((at, id));
    }

    fn remove(&mut self, id: WatchId) {
        if let Some(at) = self.of.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = WatchId> {
        self.order.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }
}

/// Messages taken together at the most; a watch that is due waits no longer than for these.
const BURST: usize = 4096;
const STACK: usize = 512 * 1024;
