//! The built program in a folder of its own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::server::Server;

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub fn lines(bytes: &[u8]) -> Vec<String> {
    text(bytes).lines().map(str::to_owned).collect()
}

/// A folder to run the program in.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a file readable for its owner alone.
    pub fn make_secret(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path().join(name), mode).expect("a file");
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a folder");
        fs::write(path, content).expect("written");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_puad"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        for name in ["PUAD_CONFIG", "PUAD_LOG", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        // Where a daemon of this folder has its control socket.
        command.env("RUNTIME_DIRECTORY", self.0.path());
        command
    }

    pub fn puad(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("started")
    }

    /// Publishes presence of the server's own user.
    pub fn publish(&self, server: &Server, args: &[&str]) -> Output {
        let fixed =
            ["publish", &server.uri(), "--event", "presence", "--listen", "udp:127.0.0.1:0"];
        self.puad(&[&fixed, args].concat())
    }

    pub fn daemon(&self, args: &[&str]) -> Daemon {
        use std::io::BufRead as _;
        let mut child = self.command(args).stderr(Stdio::piped()).spawn().expect("started");
        let (sender, log) = mpsc::channel();
        let stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Daemon { child, log }
    }
}

/// A running `puad run`; killed when the test ends early.
pub struct Daemon {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Daemon {
    /// Waits for a line of the log that holds this text, and returns it.
    pub fn wait_for(&self, expected: &str) -> String {
        let deadline = Instant::now() + LONG;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(expected) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{error}: no {expected:?} in {seen:#?}"),
            }
        }
    }

    /// Waits for lines that hold these texts, in whatever order they come.
    pub fn wait_for_all(&self, expected: &[&str]) {
        let mut left = expected.to_vec();
        let deadline = Instant::now() + LONG;
        while !left.is_empty() {
            let patience = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(patience);
            let line = line.unwrap_or_else(|error| panic!("{error}: no {left:?}"));
            left.retain(|text| !line.contains(text));
        }
    }

    /// Returns the lines of the log that nobody has waited for, once it has ended.
    pub fn rest(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Returns its exit code if it has ended.
    pub fn poll(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child")?.code()
    }

    /// Waits for its end.
    pub fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
