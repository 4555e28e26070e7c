//! Programs that a story starts and ends: folders, ports, waiting, and never a process left behind.

use std::{
    fs,
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// A running program and the processes it has made.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a program with its output in a log that grows from one start to the next.
    ///
    /// It leads a process group, so that its own children end with it, and it gets SIGTERM when the
    /// thread of the story dies, however that comes about.
    pub fn start(program: &Path, arguments: &[String], folder: &Path, log: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let child = Command::new(installed("setpriv"))
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .env_remove("PUAD_CONFIG")
            .env_remove("PUAD_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, name }
    }

    /// Panics with the log when the program has ended by itself.
    pub fn check(&mut self, log: &Path) {
        if let Some(status) = self.child.try_wait().expect("our own child") {
            let text = fs::read_to_string(log).unwrap_or_default();
            panic!("{} has ended with {status} ({INSTALL}). It said:\n{text}", self.name);
        }
    }

    /// SIGKILL, to the whole group at once: nothing is said to anybody.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM; returns the exit status, as soon as there is one.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("the end of a process", || self.child.try_wait().expect("our own child"))
    }

    /// SIGTERM, and SIGKILL for what is still there after a while.
    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    fn signal(&self, signal: Signal) {
        // A child that has been waited for may have passed its number on.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop();
        }
    }
}

/// Where a program is; a plain user's path may lack `/usr/sbin`.
pub fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed: {INSTALL}"))
}

/// Returns a port that nothing uses, for UDP and TCP on 127.0.0.1.
///
/// Below the range from which the system gives ports out by itself, so that nothing takes it before
/// the peer does; two runs on one machine begin at different places.
pub fn free_port() -> u16 {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() * 61 % u32::from(PORTS)) as u16;
    for _ in 0..PORTS {
        let port = FIRST_PORT + (start + TURN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let udp = std::net::UdpSocket::bind(("127.0.0.1", port));
        let tcp = std::net::TcpListener::bind(("127.0.0.1", port));
        if udp.is_ok() && tcp.is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST_PORT} and {} is free", FIRST_PORT + PORTS);
}

/// Whether a peer on 127.0.0.1 has this UDP port. Asked of the system: an attempt to bind it could
/// keep the peer itself from having it.
pub fn is_bound(port: u16) -> bool {
    has_socket("/proc/net/udp", port, "07")
}

/// Whether a peer on 127.0.0.1 accepts connections at this port.
pub fn is_listening(port: u16) -> bool {
    has_socket("/proc/net/tcp", port, "0A")
}

fn has_socket(table: &str, port: u16, state: &str) -> bool {
    let local = format!("0100007F:{port:04X}");
    let table = fs::read_to_string(table).expect("a table of sockets");
    table.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(1) == Some(&&*local) && words.get(3) == Some(&state)
    })
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{PATIENCE:?} have passed without {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a program that ends by itself, with this input, and returns what it printed.
pub fn run(name: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(installed(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads what it is given");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// How long a story waits for any one thing.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// What to do about a missing program.
pub const INSTALL: &str = "tests/run installs what the real peers need";
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 18_000;
