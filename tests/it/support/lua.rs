//! Scripts on real threads, with a core that the test answers for.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use puad::{
    command::{
        Change, Command, EntityTag, Failure, Owner, PublicationEvent, PublicationState, Publish,
        Published, Reply,
    },
    driver::{self, Envelope, Inbox},
    script::{Limits, Permissions, Problem, ScriptSpec, ScriptState, Scripts, Status},
};
use tokio::sync::{mpsc, oneshot};

/// One script, and the core it talks to.
pub struct Stage {
    runtime: tokio::runtime::Runtime,
    scripts: Option<Scripts>,
    inbox: Inbox,
    core: Option<driver::Handle>,
    pub folder: tempfile::TempDir,
    pub events: BTreeMap<Owner, mpsc::UnboundedSender<PublicationEvent>>,
}

impl Stage {
    /// Starts a script from its source.
    pub fn run(source: &str) -> Self {
        Self::set(source, |_| {})
    }

    /// Starts a script after `change` has had its way with its settings.
    pub fn set(source: &str, change: impl FnOnce(&mut ScriptSpec)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::in_folder(folder, source, change)
    }

    /// Starts a script that lives in a folder made before.
    pub fn in_folder(
        folder: tempfile::TempDir,
        source: &str,
        change: impl FnOnce(&mut ScriptSpec),
    ) -> Self {
        let mut spec = Self::spec(&folder, "test", source);
        change(&mut spec);
        Self::start(folder, vec![spec])
    }

    /// Starts several scripts after `change` has had its way with the settings of each.
    pub fn several(scripts: &[(&str, &str)], change: impl Fn(&mut ScriptSpec)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut specs: Vec<_> =
            scripts.iter().map(|(name, source)| Self::spec(&folder, name, source)).collect();
        specs.iter_mut().for_each(change);
        Self::start(folder, specs)
    }

    fn spec(folder: &tempfile::TempDir, name: &str, source: &str) -> ScriptSpec {
        ScriptSpec {
            name: name.into(),
            path: folder.path().join(format!("{name}.lua")),
            source: source.into(),
            config: toml::Table::new(),
            config_dir: folder.path().into(),
            lib_dirs: Vec::new(),
            allow: Permissions::default(),
            limits: Limits::default(),
        }
    }

    fn start(folder: tempfile::TempDir, specs: Vec<ScriptSpec>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (core, inbox) = driver::channel();
        let scripts = Some(Scripts::start(specs, &core));
        Self { runtime, scripts, inbox, core: Some(core), folder, events: BTreeMap::new() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the next command; five seconds are more than any test needs.
    pub fn command(&mut self) -> (Command, oneshot::Sender<Reply>) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = self.inbox.recv();
            let next = self.runtime.block_on(async { tokio::time::timeout(left, next).await });
            match next {
                Ok(Some(Envelope::Call(command, reply))) => return (command, reply),
                Ok(Some(Envelope::Listen(owner, events))) => {
                    self.events.insert(owner, events);
                }
                Ok(Some(Envelope::Observe(observer))) => drop(observer),
                Ok(None) => panic!("the script has ended; {:?}", self.status()),
                Err(_) => panic!("no command came; {:?}", self.status()),
            }
        }
    }

    /// Waits for the next publish and grants it.
    pub fn granted(&mut self) -> Publish {
        let (publish, reply) = self.publish();
        let _ = reply.send(Reply::Publication(Ok(grant(&publish))));
        publish
    }

    /// Waits for the next publish and refuses it.
    pub fn refused(&mut self, failure: Failure) -> Publish {
        let (publish, reply) = self.publish();
        let _ = reply.send(Reply::Publication(Err(failure)));
        publish
    }

    pub fn publish(&mut self) -> (Publish, oneshot::Sender<Reply>) {
        match self.command() {
            (Command::Publish(publish), reply) => (*publish, reply),
            (other, _) => panic!("not a publish: {other:?}"),
        }
    }

    /// The text a script sent as the body of its next publish.
    pub fn said(&mut self) -> String {
        let publish = self.granted();
        let document = publish.document.expect("a body");
        String::from_utf8(document.body.to_vec()).expect("UTF-8")
    }

    pub fn status(&self) -> Status {
        self.scripts.as_ref().expect("running").status()[0].1.clone()
    }

    /// The page of the metrics that scripts have defined.
    pub fn metrics(&self) -> String {
        self.scripts.as_ref().expect("running").metrics().encode()
    }

    /// Waits until the top level has ended, well or not.
    pub fn loaded(&mut self) -> Result<(), Problem> {
        let scripts = self.scripts.as_mut().expect("running");
        let wrong = self.runtime.block_on(scripts.loaded(Duration::from_secs(5)));
        match wrong.into_iter().next() {
            Some((_, problem)) => Err(problem),
            None => {
                assert_eq!(self.status().state, ScriptState::Running, "{:?}", self.status());
                Ok(())
            }
        }
    }

    /// Tells the script of a change of one of its publications.
    pub fn tell(&mut self, publish: &Publish, change: Change, failure: Option<Failure>) {
        let event = PublicationEvent {
            owner: publish.owner.clone(),
            key: publish.key(),
            change,
            is_first: false,
            status: None,
            reason: None,
            entity_tag: None,
            expires: None,
            failure,
        };
        self.events[&publish.owner].send(event).expect("the script runs");
    }

    /// Returns whether no command comes for a while.
    pub fn is_quiet_for(&mut self, span: Duration) -> bool {
        let next = self.inbox.recv();
        self.runtime
            .block_on(async { tokio::time::timeout(span, next).await })
            .map_or(true, |envelope| envelope.is_none())
    }

    /// Stops the script; returns whether the last handle to the core is gone then.
    pub fn lets_go(mut self) -> bool {
        let scripts = self.scripts.take().expect("running");
        self.runtime.block_on(scripts.stop(Duration::from_secs(5)));
        self.core = None;
        let inbox = &mut self.inbox;
        let closed = async { while inbox.recv().await.is_some() {} };
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(2), closed).await })
            .is_ok()
    }

    /// Waits until a handler has failed, and returns how.
    pub fn problem(&self) -> Problem {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(problem) = self.status().last_error {
                return problem;
            }
            assert!(Instant::now() < deadline, "no error came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(scripts) = self.scripts.take() {
            self.runtime.block_on(scripts.stop(Duration::from_secs(5)));
        }
    }
}

/// A script with a function `say`, whose texts come out of [`Stage::said`].
pub fn saying(source: &str) -> String {
    format!(
        "local function say(text) pua.publish {{ presentity_uri = 'sip:a@example.com', event = 'presence', body = text, skip_unchanged = false }} end\n{source}"
    )
}

/// What a core says to a publish that was taken.
pub fn grant(publish: &Publish) -> Published {
    Published {
        key: publish.key(),
        state: PublicationState::Published,
        sent: true,
        status: Some(200),
        reason: Some(Arc::from("OK")),
        entity_tag: Some(EntityTag::parse("tag-1").expect("a token")),
        expires: Some(publish.expires),
    }
}
