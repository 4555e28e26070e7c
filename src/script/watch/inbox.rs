//! Changes on their way to a script: bounded, and never silently fewer.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Change, Kind};

/// Changes of one watch that its script has not taken yet.
#[derive(Debug, Clone)]
pub struct Inbox(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    batches: VecDeque<Vec<Change>>,
    changes: usize,
    /// Whether the script has been told that there is something, and has not taken all of it yet.
    is_announced: bool,
    /// What a rescan names.
    path: PathBuf,
}

impl Inbox {
    /// Makes an empty one for a watch of `path`.
    pub fn new(path: PathBuf) -> Self {
        let (batches, changes, is_announced) = (VecDeque::new(), 0, false);
        Self(Arc::new(Mutex::new(Waiting { batches, changes, is_announced, path })))
    }

    /// Puts in what became quiet together, and returns whether the script must be told that there
    /// is something. Where too much waits already, one rescan stands for all of it.
    pub fn put(&self, batch: Vec<Change>) -> bool {
        let mut waiting = self.waiting();
        waiting.changes += batch.len();
        waiting.batches.push_back(batch);
        if waiting.batches.len() > MOST_BATCHES || waiting.changes > MOST_CHANGES {
            waiting.collapse();
        }
        !std::mem::replace(&mut waiting.is_announced, true)
    }

    /// Takes the oldest batch out; after `None` the script is told again.
    pub fn take(&self) -> Option<Vec<Change>> {
        let mut waiting = self.waiting();
        let Some(batch) = waiting.batches.pop_front() else {
            waiting.is_announced = false;
            return None;
        };
        waiting.changes -= batch.len();
        Some(batch)
    }

    /// Lets one rescan stand for all that waits.
    pub fn collapse(&self) {
        self.waiting().collapse();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn collapse(&mut self) {
        let rescan = Change { kind: Kind::Rescan, path: self.path.clone(), from: None };
        self.batches.clear();
        self.batches.push_back(vec![rescan]);
        self.changes = 1;
    }
}

/// Batches that wait for a slow handler.
const MOST_BATCHES: usize = 64;
/// Changes in all of them.
pub(super) const MOST_CHANGES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: usize) -> Change {
        Change { kind: Kind::Modify, path: format!("/x/{number}").into(), from: None }
    }

    #[test]
    fn what_does_not_fit_becomes_one_rescan() {
        let inbox = Inbox::new("/x".into());
        assert!(inbox.put(vec![change(0)]), "the first is announced");
        for number in 1..64 {
            assert!(!inbox.put(vec![change(number)]), "the others wait");
        }
        assert_eq!(inbox.take(), Some(vec![change(0)]));
        inbox.put(vec![change(64)]);
        inbox.put(vec![change(65)]);
        let rescan = Change { kind: Kind::Rescan, path: "/x".into(), from: None };
        assert_eq!(inbox.take(), Some(vec![rescan.clone()]));
        assert_eq!(inbox.take(), None);
        assert!(inbox.put(vec![change(1)]), "all was taken: announced again");
        inbox.put((0..MOST_CHANGES).map(change).collect());
        inbox.put(vec![change(2)]);
        assert_eq!(inbox.take(), Some(vec![rescan]));
        assert_eq!(inbox.take(), Some(vec![change(2)]));
    }
}
