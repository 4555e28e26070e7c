//! Whose a publication is, and what becomes of it when its owner lets go.
//!
//! When that happens is decided by whoever runs the owners.

use std::time::Instant;

use super::Publications;
use crate::{
    command::{Failure, FailureKind, Key, OnOrphan, Owner, Reply},
    sip::{
        io::{Output, Ticket},
        publication::Publication,
        wire::Wire,
    },
};

impl Publications {
    /// Lets go of publications of an owner.
    pub(crate) fn abandon(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        ticket: Ticket,
        owner: &Owner,
        keys: Option<Vec<Key>>,
    ) {
        let keys = keys.unwrap_or_else(|| self.by_key.keys().cloned().collect());
        let (mut removed, mut kept) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(&at) = self.by_key.get(&key) else { continue };
            let publication = &mut self.entries[at].publication;
            if publication.owner != *owner {
                continue;
            }
            match publication.wanted.on_orphan {
                OnOrphan::Keep if !publication.wanted.gone => {
                    publication.owner = Owner::Nobody;
                    kept.push(key);
                }
                OnOrphan::Keep | OnOrphan::Remove => {
                    self.let_go(now, wire, at);
                    removed.push(key);
                }
            }
        }
        let outcome = Reply::Abandoned { removed, kept };
        wire.outputs.push_back(Output::Reply { ticket, outcome });
    }

    /// Removes a publication for which nobody waits.
    fn let_go(&mut self, now: Instant, wire: &mut Wire, at: usize) {
        match self.want_gone(now, at, false) {
            Some(next) => {
                self.follow(wire, at, next);
                self.schedule(wire, at);
            }
            // What can be said about state that nobody can name has been told as an event.
            None => {
                let _ = self.end_unnamed(now, wire, at);
            }
        }
    }
}

pub(super) fn check_owner(publication: &Publication, owner: &Owner) -> Result<(), Failure> {
    if publication.owner == *owner {
        return Ok(());
    }
    let message = format!(
        "{}: this publication belongs to {}; give yours another id",
        publication.key, publication.owner
    );
    Err(Failure::new(FailureKind::Conflict, message))
}
