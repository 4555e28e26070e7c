//! Programs that scripts run: a thread each, from the start to the last look.
//!
//! The thread that starts a program is the one that ends it, so that no
//! program outlives the call that ran it: neither when its script is stopped,
//! nor when nobody waits for the answer any more. Which programs may run, and
//! what a script says and sees of them, is in [`exec`](super::api).
//!
//! ```text
//!         exited          pipes ended, or grace over
//! Running ──────▶ Exited ────────────────────────────▶ KILL to the rest, reaped
//!    │ time-out, too much output, nobody waits
//!    └──────────▶ TERM ─── exited, or 2 s over ──────▶ KILL to the rest, reaped
//! ```

use std::{
    ffi::OsString,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, ioctl_fionbio},
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
    },
};
use tokio::sync::oneshot;

/// What shall run.
#[derive(Debug)]
pub(super) struct Order {
    /// A name, looked for in [`PATH`], or an absolute path.
    pub(super) program: String,
    pub(super) args: Vec<OsString>,
    /// The whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    /// Without it the program finds its standard input at its end.
    pub(super) stdin: Option<Vec<u8>>,
    pub(super) timeout: Duration,
    /// Bytes of standard output and standard error together.
    pub(super) max_output: usize,
}

/// How a program ended by itself.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) duration: Duration,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("there is no such program in {PATH}")]
    Unknown,
    #[error("the folder {} is not there", .0.display())]
    Folder(PathBuf),
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("it did not end within {0:?} (timeout) and was stopped")]
    Timeout(Duration),
    #[error("it wrote more than {0} bytes (max_output) and was stopped")]
    Output(usize),
    #[error("it was stopped, because nobody waits for it any more")]
    Cancelled,
    #[error("it was lost sight of: {0}")]
    Lost(#[source] io::Error),
}

/// Where programs are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs that run at the moment.
#[derive(Debug, Default)]
pub(super) struct Processes {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Processes {
    /// Runs a program; `held` is let go when it has ended. Dropping the future ends the program.
    ///
    /// # Errors
    /// When the program does not start, or does not end by itself.
    pub(super) async fn run(
        self: &Arc<Self>,
        order: Order,
        held: impl Send + 'static,
    ) -> Result<Finished, RunError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let unwanted = eventfd(0, flags).map_err(|error| RunError::Start(error.into()))?;
        let unwanted = Arc::new(unwanted);
        let seen = unwanted.clone();
        let (answer, answered) = oneshot::channel();
        let place = self.enter();
        std::thread::Builder::new()
            .name(format!("exec {}", order.program))
            .stack_size(256 * 1024)
            .spawn(move || {
                serve(order, &seen, answer);
                drop((held, place));
            })
            .map_err(RunError::Start)?;
        let _told = TellUnwanted(unwanted);
        let lost = || RunError::Lost(io::Error::other("its thread has ended"));
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits until the last program has ended, for as long as ending one can take.
    pub(super) fn wait_until_none(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = TERM_TIME + KILL_TIME;
        let _ = self.ended.wait_timeout_while(running, limit, |running| *running > 0);
    }

    fn enter(self: &Arc<Self>) -> Place {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self.clone())
    }
}

/// Counts one program; dropping it counts it off.
struct Place(Arc<Processes>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}

/// Tells a program's thread that nobody waits any more.
struct TellUnwanted(Arc<OwnedFd>);

impl Drop for TellUnwanted {
    fn drop(&mut self) {
        // The thread may have ended; a counter that is full has told it already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// The thread of one program.
fn serve(order: Order, unwanted: &OwnedFd, answer: oneshot::Sender<Result<Finished, RunError>>) {
    let begun = Instant::now();
    let mut program = match Program::start(order) {
        Ok(program) => program,
        Err(error) => {
            // Nobody may be waiting, here and below.
            let _ = answer.send(Err(error));
            return;
        }
    };
    let attended = program.attend(begun, unwanted);
    let duration = begun.elapsed();
    if attended.is_err() {
        program.close_pipes();
        program.signal(Signal::TERM);
        program.wait_for_exit(TERM_TIME);
    }
    // Whatever is left of the group; the number is still the program's, for nobody has reaped it.
    program.signal(Signal::KILL);
    program.wait_for_exit(KILL_TIME);
    let reaped = program.reap();
    let result = attended.and_then(|()| {
        let status = reaped.ok_or_else(|| RunError::Lost(io::Error::other("it does not die")))?;
        let (stdout, stderr) = program.take_output();
        Ok(Finished { status, stdout, stderr, duration })
    });
    let _ = answer.send(result);
}

/// A program that was started and not yet reaped.
struct Program {
    child: Child,
    group: Pid,
    /// Readable once the program has exited; not there on kernels before 5.3.
    pidfd: Option<OwnedFd>,
    has_exited: bool,
    is_reaped: bool,
    input: Option<Input>,
    stdout: Output,
    stderr: Output,
    timeout: Duration,
    max_output: usize,
}

/// What is still to be written.
struct Input {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    written: usize,
}

/// What was read so far, and whence more may come.
struct Output {
    pipe: Option<Box<dyn Pipe>>,
    bytes: Vec<u8>,
}

trait Pipe: Read + AsFd {}

impl<T: Read + AsFd> Pipe for T {}

impl Program {
    fn start(order: Order) -> Result<Self, RunError> {
        let path = find(&order.program).ok_or(RunError::Unknown)?;
        let mut command = Command::new(path);
        command
            .arg0(&order.program)
            .args(&order.args)
            .env_clear()
            .envs(order.env)
            .current_dir(&order.cwd)
            // Whatever it starts can be ended with it.
            .process_group(0)
            .stdin(if order.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            // The system says of a missing folder what it says of a missing program.
            if order.cwd.is_dir() { RunError::Start(error) } else { RunError::Folder(order.cwd) }
        })?;
        let input = child.stdin.take().zip(order.stdin);
        let input = input.map(|(pipe, bytes)| Input { pipe, bytes, written: 0 });
        let stdout = Output::new(child.stdout.take());
        let stderr = Output::new(child.stderr.take());
        let group = Pid::from_child(&child);
        let program = Self {
            child,
            group,
            pidfd: pidfd_open(group, PidfdFlags::empty()).ok(),
            has_exited: false,
            is_reaped: false,
            input,
            stdout,
            stderr,
            timeout: order.timeout,
            max_output: order.max_output,
        };
        program.make_pipes_nonblocking().map_err(RunError::Lost)?;
        Ok(program)
    }

    fn make_pipes_nonblocking(&self) -> io::Result<()> {
        if let Some(input) = &self.input {
            ioctl_fionbio(&input.pipe, true)?;
        }
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            ioctl_fionbio(pipe, true)?;
        }
        Ok(())
    }

    /// Feeds the program and reads what it says until it has ended by itself.
    fn attend(&mut self, begun: Instant, unwanted: &OwnedFd) -> Result<(), RunError> {
        let deadline = begun.checked_add(self.timeout);
        // What it left behind may hold the pipes for ever.
        let mut grace_ends = None;
        loop {
            let now = Instant::now();
            if grace_ends.is_none() && self.look().map_err(RunError::Lost)? {
                grace_ends = Some(now + GRACE);
            }
            let until = match grace_ends {
                Some(_) if !self.stdout.is_open() && !self.stderr.is_open() => return Ok(()),
                Some(end) if now >= end => return Ok(()),
                Some(end) => Some(end),
                None if deadline.is_some_and(|deadline| now >= deadline) => {
                    return Err(RunError::Timeout(self.timeout));
                }
                None => deadline,
            };
            let wait = until.map(|until| until - now);
            if self.wait_for_news(wait, unwanted).map_err(RunError::Lost)? {
                return Err(RunError::Cancelled);
            }
            self.feed();
            let room = self.max_output - self.stdout.bytes.len() - self.stderr.bytes.len();
            let more = self.stdout.read(room).map_err(RunError::Lost)?;
            let most = room.checked_sub(more).ok_or(RunError::Output(self.max_output))?;
            let more = self.stderr.read(most).map_err(RunError::Lost)?;
            most.checked_sub(more).ok_or(RunError::Output(self.max_output))?;
        }
    }

    /// Sleeps until something may have happened; returns whether nobody waits any more.
    fn wait_for_news(&self, wait: Option<Duration>, unwanted: &OwnedFd) -> io::Result<bool> {
        let mut news = vec![PollFd::new(unwanted, PollFlags::IN)];
        let mut tick = None;
        if !self.has_exited {
            match &self.pidfd {
                Some(pidfd) => news.push(PollFd::new(pidfd, PollFlags::IN)),
                None => tick = Some(TICK),
            }
        }
        if let Some(input) = &self.input {
            news.push(PollFd::new(&input.pipe, PollFlags::OUT));
        }
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            news.push(PollFd::new(pipe, PollFlags::IN));
        }
        let wait = wait.into_iter().chain(tick).min();
        match poll(&mut news, wait.and_then(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(!news[0].revents().is_empty()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the program has exited, and leaves it to be reaped later.
    fn look(&mut self) -> io::Result<bool> {
        if !self.has_exited {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            self.has_exited = waitid(WaitId::Pid(self.group), options)?.is_some();
        }
        Ok(self.has_exited)
    }

    fn feed(&mut self) {
        let Some(input) = &mut self.input else { return };
        match input.pipe.write(&input.bytes[input.written..]) {
            Ok(written) => input.written += written,
            Err(error) if is_for_later(&error) => return,
            // A program need not read what it is given.
            Err(_) => input.written = input.bytes.len(),
        }
        if input.written == input.bytes.len() {
            self.input = None;
        }
    }

    fn close_pipes(&mut self) {
        self.input = None;
        self.stdout.pipe = None;
        self.stderr.pipe = None;
    }

    fn signal(&self, signal: Signal) {
        if !self.is_reaped {
            // Nobody may be left, or nobody whom puad may signal.
            let _ = kill_process_group(self.group, signal);
        }
    }

    fn wait_for_exit(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // An error means that there is no such child to wait for.
            if self.look().unwrap_or(true) || left.is_zero() {
                return;
            }
            let mut news: Vec<_> =
                self.pidfd.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)).collect();
            let wait = if news.is_empty() { left.min(TICK) } else { left };
            let _ = poll(&mut news, timespec(wait).as_ref());
        }
    }

    /// Reaps the program if it has exited.
    fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.is_reaped |= status.is_some();
        status
    }

    fn take_output(&mut self) -> (Vec<u8>, Vec<u8>) {
        (std::mem::take(&mut self.stdout.bytes), std::mem::take(&mut self.stderr.bytes))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Output {
    fn new(pipe: Option<impl Pipe + 'static>) -> Self {
        Self { pipe: pipe.map(|pipe| Box::new(pipe) as Box<dyn Pipe>), bytes: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads what is there, and one byte more than `room` at the most.
    fn read(&mut self, room: usize) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Ok(0) };
        let before = self.bytes.len();
        let most = room.saturating_add(1).min(READ_SIZE);
        self.bytes.resize(before + most, 0);
        let read = pipe.read(&mut self.bytes[before..]);
        self.bytes.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => {
                self.pipe = None;
                Ok(0)
            }
            Ok(read) => Ok(read),
            Err(error) if is_for_later(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Returns the file of a program.
fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(program.into());
    }
    let is_program = |path: &Path| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| is_program(path))
}

fn timespec(wait: Duration) -> Option<Timespec> {
    Timespec::try_from(wait).ok()
}

/// How long a program has to end by itself once it was told to.
const TERM_TIME: Duration = Duration::from_secs(2);
/// How long the kernel has to end one that is killed.
const KILL_TIME: Duration = Duration::from_secs(1);
/// How long the output of an ended program is waited for, where something else holds its pipes.
const GRACE: Duration = Duration::from_millis(500);
/// How often an exit is looked for where the kernel does not tell.
const TICK: Duration = Duration::from_millis(10);
const READ_SIZE: usize = 64 * 1024;
