//! Scripts in files, a real core, and a server on loopback that notes when each PUBLISH comes.

use std::{
    net::UdpSocket,
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use puad::{
    driver::{self, Running, Settings},
    net::Listen,
    script::{Force, Limits, Permissions, ScriptSpec, Scripts, Update},
    sip,
};

/// Everything that runs; ends with this value.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    specs: Vec<ScriptSpec>,
    scripts: Option<Scripts>,
    running: Option<Running>,
}

impl House {
    /// Starts scripts from their sources and waits for their top levels.
    pub(crate) fn start(files: &[(&str, &str)], change: impl Fn(&mut ScriptSpec)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listen = Listen::parse("udp:127.0.0.1:0").map_err(anyhow::Error::msg)?;
        let running =
            driver::start(Settings { sip: sip::Config::default(), listen: vec![listen] })?;
        let mut specs = Vec::new();
        for (name, source) in files {
            let path = folder.path().join(name);
            let source = source.replace("$URI", &server.uri);
            std::fs::write(&path, &source)?;
            let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
            let mut spec = ScriptSpec {
                name: (*stem).into(),
                path,
                source,
                config: toml::Table::new(),
                config_dir: folder.path().into(),
                lib_dirs: Vec::new(),
                allow: Permissions::default(),
                limits: Limits::default(),
            };
            change(&mut spec);
            specs.push(spec);
        }
        let mut scripts = Scripts::start(specs.clone(), &running.handle);
        let wrong = runtime.block_on(scripts.loaded(Duration::from_secs(60)));
        ensure!(wrong.is_empty(), "{:?}", wrong.first());
        let (scripts, running) = (Some(scripts), Some(running));
        Ok(Self { server, folder, runtime, specs, scripts, running })
    }

    /// Has the scripts run as they are wanted.
    pub(crate) fn update(&self, force: Force) -> Result<()> {
        let scripts = self.scripts.as_ref().context("the scripts have ended")?;
        let update = Update { specs: self.specs.clone(), unreadable: Vec::new(), force };
        self.runtime.block_on(scripts.update(update));
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(scripts) = self.scripts.take() {
            self.runtime.block_on(scripts.stop(Duration::from_secs(30)));
        }
        if let Some(running) = self.running.take() {
            running.join();
        }
    }
}

/// Grants every PUBLISH, and tells when it came and what it carried.
pub(crate) struct Server {
    uri: String,
    heard: mpsc::Receiver<(Instant, String)>,
}

impl Server {
    fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let uri = format!("sip:alice@{}", socket.local_addr()?);
        let (tell, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((length, source)) = socket.recv_from(&mut buffer) {
                let at = Instant::now();
                let text = String::from_utf8_lossy(&buffer[..length]);
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                // Nobody may listen any more.
                let _ = socket.send_to(grant(head).as_bytes(), source);
                if tell.send((at, body.to_owned())).is_err() {
                    return;
                }
            }
        });
        Ok(Self { uri, heard })
    }

    /// When the next PUBLISH came.
    pub(crate) fn next(&self) -> Result<Instant> {
        Ok(self.heard.recv_timeout(Duration::from_secs(10)).context("no PUBLISH came")?.0)
    }

    /// The body of the next one.
    pub(crate) fn body(&self, patience: Duration) -> Result<String> {
        Ok(self.heard.recv_timeout(patience).context("no PUBLISH came")?.1)
    }

    pub(crate) fn is_quiet(&self, span: Duration) -> bool {
        self.heard.recv_timeout(span).is_err()
    }

    /// Forgets what has come meanwhile.
    pub(crate) fn drain(&self) {
        while self.heard.try_recv().is_ok() {}
    }
}

fn grant(head: &str) -> String {
    let mut out = String::from("SIP/2.0 200 OK\r\n");
    for line in head.split("\r\n") {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out + "SIP-ETag: e1\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
}

/// Returns the resident bytes of this process.
pub(crate) fn resident() -> Result<u64> {
    Ok(procfs::process::Process::myself()?.stat()?.rss * procfs::page_size())
}
