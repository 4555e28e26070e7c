//! One version of a script, as its keeper sees it: started, told to take over, ended.
//!
//! What it does on its thread is in [`thread`](super::thread).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    Problem, ScriptSpec, api,
    clock::Clock,
    commons::Commons,
    host::Mail,
    keeper::ToKeeper,
    life::{Origin, Reason},
    plain::Plain,
    status::Vitals,
    testing::Fakes,
    thread::{self, Setup},
    threads::{Place, Threads},
    watch::Hub,
};
use crate::{
    command::{Key, PublicationInfo},
    driver,
};

/// What every version of every script stands on. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) core: driver::Handle,
    pub(super) hub: Hub,
    pub(super) commons: Arc<Commons>,
    pub(super) clock: Clock,
    pub(super) threads: Threads,
    /// How long a new version has for declaring publications again, at the least.
    pub(super) orphan_patience: Duration,
    /// Becomes true when puad stops: what is staged then is not waited for.
    pub(super) stopping: watch::Receiver<bool>,
    /// Nothing outside is to be changed: a check.
    pub(super) is_rehearsal: bool,
    /// What stands in for the outside: a test.
    pub(super) fakes: Option<Arc<Fakes>>,
}

impl Ground {
    /// Returns whether scripts begin anew by themselves when their files change.
    pub(super) fn follows_files(&self) -> bool {
        !self.is_rehearsal && self.fakes.is_none()
    }
}

/// A version at work.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) vitals: Arc<Mutex<Vitals>>,
    pub(super) modules: Modules,
    ended: oneshot::Receiver<()>,
}

/// What came of a top level.
pub(super) type Loaded = oneshot::Receiver<Result<(), Problem>>;

/// Files that `require` has looked for, and what was in them: a hash, or `None` where there was
/// no file.
pub(super) type Modules = Arc<Mutex<BTreeMap<PathBuf, Option<[u8; 32]>>>>;

/// What a version that shall take over starts with.
#[derive(Debug, Default)]
pub(super) struct Heritage {
    /// The publications of the script, as the core knows them.
    pub(super) publications: Vec<PublicationInfo>,
    /// `script.state` as it is now.
    pub(super) state: Option<Plain>,
}

/// What a version that ends hands on.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// `script.state`.
    pub(super) state: Option<Plain>,
    /// What it has published, and what kind of activity did.
    pub(super) publications: BTreeMap<Key, Origin>,
    /// Where its named timers stood.
    pub(super) timers: BTreeMap<String, api::timer::Phase>,
}

impl Generation {
    /// Starts a version; with a heritage it runs beside the older one until it is told to take over.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        ground: &Ground,
        spec: ScriptSpec,
        number: u64,
        heritage: Option<Heritage>,
        place: Option<Arc<Place>>,
        keeper: mpsc::UnboundedSender<ToKeeper>,
    ) -> Result<(Self, Loaded), Problem> {
        let (mail, inbox) = mpsc::unbounded_channel();
        let (told, loaded) = oneshot::channel();
        let vitals = Arc::new(Mutex::new(Vitals::default()));
        let modules = Modules::default();
        let name = spec.name.clone();
        let setup = Setup {
            ground: ground.clone(),
            spec,
            number,
            heritage,
            mail: mail.clone(),
            inbox,
            vitals: vitals.clone(),
            modules: modules.clone(),
            keeper,
            loaded: told,
        };
        let ended = ground
            .threads
            .run(&name, place, move || thread::serve(setup))
            .map_err(|error| Problem::new(format!("no thread for this script: {error}")))?;
        Ok((Self { mail, vitals, modules, ended }, loaded))
    }

    /// Asks for `script.state` as it is now.
    pub(super) async fn state(&self) -> Option<Plain> {
        let (reply, state) = oneshot::channel();
        let _ = self.mail.send(Mail::State(reply));
        timeout(PATIENCE, state).await.ok()?.ok().flatten()
    }

    /// Tells it that it is the one that counts from now on, and waits until it does.
    pub(super) async fn take_over(&self, carried: Carried) {
        let (reply, done) = oneshot::channel();
        let _ = self.mail.send(Mail::TakeOver(Box::new(carried), reply));
        let _ = timeout(PATIENCE, done).await;
    }

    /// Ends it in order; returns what it hands on. Its thread may go on for a moment.
    pub(super) async fn retire(&self, reason: Reason) -> Carried {
        let (reply, carried) = oneshot::channel();
        let _ = self.mail.send(Mail::Retire(reason, reply));
        match timeout(ON_STOP + PATIENCE, carried).await {
            Ok(Ok(carried)) => *carried,
            // It has ended by itself, or spins in its last second of CPU.
            Ok(Err(_)) | Err(_) => Carried::default(),
        }
    }

    /// Waits until its thread is done with it.
    pub(super) async fn ended(self) {
        let Self { mail, ended, .. } = self;
        let _ = mail.send(Mail::Stop);
        let _ = ended.await;
    }
}

/// Returns whether a module is not what it was when it was loaded.
pub(super) fn have_changed(modules: &Modules) -> bool {
    // Copied, so that the script can go on loading meanwhile.
    let modules = modules.lock().map(|modules| modules.clone()).unwrap_or_default();
    modules.iter().any(|(path, hash)| {
        let now = std::fs::read(path).ok().map(|bytes| hash_of(&bytes));
        now != *hash
    })
}

/// Returns what tells one content from another.
pub(super) fn hash_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// How long handlers of `script.on_stop` may take.
pub(super) const ON_STOP: Duration = Duration::from_secs(2);
/// How long a thread that is busy with a handler is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
