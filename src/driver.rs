//! The one task that owns the core: it moves bytes and commands in, outputs out, and sleeps.
//!
//! Callers hold a [`Handle`]; sockets are the business of [`net`](crate::net),
//! meaning that of [`sip`](crate::sip).

use tokio::sync::{mpsc, oneshot};

use crate::command::{Command, Owner, PublicationEvent, Reply};

/// What callers hold: a way to send commands to the core. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Envelope>);

/// The receiving end of a [`Handle`]: the driver's, or a recorder's in `puad check`.
pub type Inbox = mpsc::UnboundedReceiver<Envelope>;

/// One message to whoever owns the core.
#[derive(Debug)]
pub enum Envelope {
    /// A command and where its reply goes. A dropped receiver is fine: the command is carried out all the same.
    Call(Command, oneshot::Sender<Reply>),
    /// From now on, events of this owner's publications go here.
    Listen(Owner, mpsc::UnboundedSender<PublicationEvent>),
}

/// The driver has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("puad is stopping")]
pub struct Closed;

/// Makes a connected pair.
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), receiver)
}

impl Handle {
    /// Sends a command; the reply comes through the receiver.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn send(&self, command: Command) -> Result<oneshot::Receiver<Reply>, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Envelope::Call(command, sender)).map_err(|_| Closed)?;
        Ok(receiver)
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// When the driver has ended, before or while waiting.
    pub async fn call(&self, command: Command) -> Result<Reply, Closed> {
        self.send(command)?.await.map_err(|_| Closed)
    }

    /// Sends the events of an owner's publications to `events` from now on.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn listen(&self, owner: Owner, events: mpsc::UnboundedSender<PublicationEvent>) -> Result<(), Closed> {
        self.0.send(Envelope::Listen(owner, events)).map_err(|_| Closed)
    }
}
