//! Scripts in files, a real core and a server on loopback: what reloads are tried with.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use puad::{
    driver::{self, Running, Settings},
    net::Listen,
    script::{
        Force, How, Limits, Permissions, ScriptSpec, Scripts, Status, Taken, TimerInfo, Update,
    },
    sip,
};

use super::{Sip, server::Server};

/// A folder with scripts that run.
pub struct House {
    pub server: Server,
    pub folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    pub scripts: Option<Scripts>,
    running: Option<Running>,
    allow: Permissions,
    limits: Limits,
}

impl House {
    /// Starts `test.lua` with this source; `$URI` in it is a presentity at the server.
    pub fn new(source: &str) -> Self {
        Self::with(Server::granting(), &[("test.lua", source)])
    }

    /// Starts `test.lua` with this source, which may reach outside.
    pub fn allowing(allow: Permissions, source: &str) -> Self {
        Self::build(Server::granting(), &[("test.lua", source)], allow, Limits::default()).loaded()
    }

    /// Starts `test.lua` with this source and these limits.
    pub fn limited(limits: Limits, source: &str) -> Self {
        Self::build(Server::granting(), &[("test.lua", source)], Permissions::default(), limits)
            .loaded()
    }

    /// Starts every file that does not lie in a folder below.
    pub fn with(server: Server, files: &[(&str, &str)]) -> Self {
        Self::build(server, files, Permissions::default(), Limits::default()).loaded()
    }

    fn build(server: Server, files: &[(&str, &str)], allow: Permissions, limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = vec![Listen::parse("udp:127.0.0.1:0").expect("valid")];
        let running = driver::start(Settings { sip: sip::Config::default(), listen });
        let running = running.ok();
        let mut house = Self { server, folder, runtime, scripts: None, running, allow, limits };
        for (name, text) in files {
            house.write(name, text);
        }
        let specs = files.iter().filter(|(name, _)| !name.contains('/'));
        let specs = specs.map(|(name, _)| house.spec(name)).collect();
        let how = How { orphan_patience: Duration::from_millis(300), ..How::default() };
        let core = &house.running.as_ref().expect("a driver").handle;
        house.scripts = Some(Scripts::start_as(how, specs, core));
        house
    }

    /// Waits until every top level has ended well.
    fn loaded(mut self) -> Self {
        let loading = self.scripts.as_mut().expect("running").loaded(Duration::from_secs(5));
        let wrong = self.runtime.block_on(loading);
        assert!(wrong.is_empty(), "{wrong:?}");
        self
    }

    /// Starts `test.lua` with this source, and does not wait for its top level.
    pub fn starting(source: &str) -> Self {
        let files = [("test.lua", source)];
        Self::build(Server::granting(), &files, Permissions::default(), Limits::default())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a source, with the server's address in it.
    pub fn source(&self, text: &str) -> String {
        text.replace("$URI", &self.server.uri())
    }

    /// Writes a file in place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(path, self.source(text)).expect("written");
    }

    pub fn spec(&self, name: &str) -> ScriptSpec {
        let path = self.path(name);
        ScriptSpec {
            name: Path::new(name).file_stem().expect("a name").to_string_lossy().into(),
            source: std::fs::read_to_string(&path).expect("readable"),
            path,
            config: toml::Table::new(),
            config_dir: self.folder.path().into(),
            lib_dirs: vec![self.path("lib")],
            allow: self.allow.clone(),
            limits: self.limits.clone(),
        }
    }

    /// Has these scripts run, and no others.
    pub fn update(&self, names: &[&str], force: Force) -> Vec<Taken> {
        let specs = names.iter().map(|name| self.spec(name)).collect();
        let update = Update { specs, unreadable: Vec::new(), force };
        let scripts = self.scripts.as_ref().expect("running");
        self.runtime.block_on(scripts.update(update)).into_iter().map(|(_, taken)| taken).collect()
    }

    /// Has `test.lua` reloaded, whether it has changed or not.
    pub fn reload(&self) -> Taken {
        self.update(&["test.lua"], Force::All).remove(0)
    }

    pub fn resume(&self, name: &str) -> bool {
        self.runtime.block_on(self.scripts.as_ref().expect("running").resume(name))
    }

    /// The timers of the first script.
    pub fn timers(&self) -> Vec<TimerInfo> {
        let timers = self.scripts.as_ref().expect("running").timers();
        self.runtime.block_on(timers).remove(0).1
    }

    pub fn status(&self, name: &str) -> Status {
        let all = self.scripts.as_ref().expect("running").status();
        all.into_iter().find(|(of, _)| **of == *name).expect("known").1
    }

    pub fn names(&self) -> Vec<String> {
        let all = self.scripts.as_ref().expect("running").status();
        all.into_iter().map(|(name, _)| name.to_string()).collect()
    }

    /// Waits until a script's status is as wanted.
    pub fn until(&self, name: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let status = self.status(name);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "it stays {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next request; there must be one.
    pub fn request(&self) -> Sip {
        self.server.received(Duration::from_secs(10)).expect("a request")
    }

    /// Nothing is sent for a while.
    pub fn is_quiet(&self, milliseconds: u64) {
        let next = self.server.received(Duration::from_millis(milliseconds));
        assert_eq!(next, None, "nothing was to be sent");
    }

    /// Stops scripts and core.
    pub fn stop(&mut self) {
        if let Some(scripts) = self.scripts.take() {
            self.runtime.block_on(scripts.stop(Duration::from_secs(5)));
        }
        if let Some(running) = self.running.take() {
            running.join();
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
    }
}
