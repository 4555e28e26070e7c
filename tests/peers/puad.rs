//! puad through its library: a driver with real sockets, and what it says.

use std::{sync::Arc, time::Duration};

use puad::{
    command::{
        Change, Command, Document, EventType, Failure, Owner, PublicationEvent, PublicationInfo,
        Publish, Published, Reply,
    },
    driver::{self, Running, Settings},
    net::Listen,
    sip::{Account, Config, Secret, auth::Algorithm, message::Uri},
};
use tokio::{runtime::Runtime, sync::mpsc};

use crate::{
    kamailio::{REALM, USER},
    process::PATIENCE,
};

/// A driver of a story's own.
#[derive(Debug)]
pub struct Puad {
    running: Running,
    events: mpsc::UnboundedReceiver<PublicationEvent>,
    runtime: Runtime,
}

impl Puad {
    /// Starts one whose requests all go to this proxy.
    pub fn towards(proxy: &str) -> Self {
        Self::with(proxy, Config::default())
    }

    /// Starts one with an account for [`ALICE`]'s domain.
    pub fn with_password(proxy: &str, password: &str) -> Self {
        let account = Account {
            name: None,
            domain: "example.com".into(),
            username: USER.into(),
            password: Secret::new(password),
            realms: vec![REALM.into()],
            outbound_proxy: Vec::new(),
            minimum_algorithm: Algorithm::Md5,
        };
        Self::with(proxy, Config { accounts: vec![Arc::new(account)], ..Config::default() })
    }

    pub fn with(proxy: &str, config: Config) -> Self {
        let sip = Config { outbound_proxy: vec![Uri::parse(proxy).expect("a URI")], ..config };
        let listen = vec![Listen::parse("udp:127.0.0.1:0").expect("a listen entry")];
        let running = driver::start(Settings { sip, listen }).expect("free ports");
        let (sender, events) = mpsc::unbounded_channel();
        running.handle.listen(owner(), sender).expect("it runs");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { running, events, runtime: runtime.expect("a runtime") }
    }

    /// Publishes and waits for the outcome.
    pub fn publish(&self, publish: Publish) -> Result<Published, Failure> {
        self.publication(Command::Publish(Box::new(publish)))
    }

    /// Removes the publication that this publish was about.
    pub fn remove(&self, publish: &Publish) -> Result<Published, Failure> {
        self.publication(Command::Remove { owner: owner(), key: publish.key(), timeout: None })
    }

    /// Refreshes it now.
    pub fn refresh(&self, publish: &Publish) -> Result<Published, Failure> {
        self.publication(Command::Refresh { owner: owner(), key: publish.key(), timeout: None })
    }

    /// What `info()` would show of the only publication.
    pub fn info(&self) -> PublicationInfo {
        match self.call(Command::Publications { owner: None, key: None }) {
            Reply::Publications(mut infos) if infos.len() == 1 => infos.remove(0),
            other => panic!("not one publication: {other:?}"),
        }
    }

    /// Waits for the next event with this change; others before it are dropped.
    pub fn waits_for(&mut self, change: Change) -> PublicationEvent {
        let mut others = Vec::new();
        let events = &mut self.events;
        let found = self.runtime.block_on(async {
            let next = async {
                loop {
                    let event = events.recv().await.expect("it runs");
                    if event.change == change {
                        return event;
                    }
                    others.push(event.change);
                }
            };
            tokio::time::timeout(PATIENCE, next).await
        });
        found.unwrap_or_else(|_| panic!("{change:?} does not come, only {others:?}"))
    }

    fn publication(&self, command: Command) -> Result<Published, Failure> {
        match self.call(command) {
            Reply::Publication(result) => result,
            other => panic!("not the reply to a publication: {other:?}"),
        }
    }

    fn call(&self, command: Command) -> Reply {
        let call = self.running.handle.call(command);
        // Longer than any call waits by itself.
        let reply = self.runtime.block_on(async { tokio::time::timeout(PATIENCE * 3, call).await });
        reply.expect("an answer in time").expect("it runs")
    }
}

/// [`ALICE`]'s presence with a note, in PIDF.
pub fn presence(note: &str) -> Publish {
    let pidf = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{ALICE}\">\r\n\
         <tuple id=\"desk\"><status><basic>open</basic></status><note>{note}</note></tuple>\r\n\
         </presence>\r\n"
    );
    publish("presence", "application/pidf+xml", &pidf)
}

/// [`ALICE`]'s voicemail box with this many new messages.
pub fn mailbox(new: u32) -> Publish {
    let waiting = if new > 0 { "yes" } else { "no" };
    let body = format!(
        "Messages-Waiting: {waiting}\r\n\
         Message-Account: {ALICE}\r\n\
         Voice-Message: {new}/4 (0/0)\r\n"
    );
    publish("message-summary", "application/simple-message-summary", &body)
}

/// A publish of this document for [`ALICE`].
pub fn publish(event: &str, content_type: &str, body: &str) -> Publish {
    let presentity = Uri::parse(ALICE).expect("a URI");
    let mut publish = Publish::new(owner(), presentity, EventType::parse(event).expect("an event"));
    let body = body.as_bytes().to_vec();
    publish.document = Some(Document::new(content_type, body));
    publish
}

/// The same publish with this lifetime in seconds.
pub fn lasting(seconds: u64, publish: Publish) -> Publish {
    Publish { expires: Duration::from_secs(seconds), ..publish }
}

fn owner() -> Owner {
    Owner::Script("story".into())
}

/// Whose state it is.
pub const ALICE: &str = "sip:alice@example.com";
