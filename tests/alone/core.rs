//! A core that grants whatever scripts publish, and tells what it was.

use std::time::Duration;

use puad::{
    command::{Command, Reply},
    driver::{self, Envelope, Inbox},
};

use crate::support::lua::grant;

/// A core that grants everything.
pub struct Core {
    pub runtime: tokio::runtime::Runtime,
    pub handle: driver::Handle,
    inbox: Inbox,
}

impl Core {
    pub fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (handle, inbox) = driver::channel();
        Self { runtime, handle, inbox }
    }

    /// What is published until nothing has come for so long.
    pub fn said(&mut self, quiet: Duration) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let next = self.inbox.recv();
            let next = self.runtime.block_on(async { tokio::time::timeout(quiet, next).await });
            match next {
                Ok(Some(Envelope::Call(Command::Publish(publish), reply))) => {
                    let _ = reply.send(Reply::Publication(Ok(grant(&publish))));
                    let body = publish.document.as_ref().map(|document| document.body.clone());
                    said.push(String::from_utf8_lossy(&body.unwrap_or_default()).into_owned());
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return said,
            }
        }
    }
}
