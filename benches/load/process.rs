//! A program under measurement: started, looked at through `/proc`, ended by its process id.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use procfs::process::Process;

/// A child process; ends with this value.
pub(crate) struct Daemon(Child);

/// What it has used so far.
pub(crate) struct Usage {
    /// Seconds of user and system time, of all its processes.
    pub(crate) cpu: f64,
    /// Resident bytes of the first.
    pub(crate) memory: u64,
}

impl Daemon {
    pub(crate) fn start(program: &str, args: &[&str], folder: &Path) -> Result<Self> {
        let child = Command::new(program)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        Ok(Self(child))
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let own = Process::new(self.0.id().cast_signed())?;
        let ticks: u64 = family(&own)?
            .iter()
            .filter_map(|process| process.stat().ok())
            .map(|stat| stat.utime + stat.stime)
            .sum();
        let memory = own.stat()?.rss * procfs::page_size();
        Ok(Usage { cpu: ticks as f64 / procfs::ticks_per_second() as f64, memory })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        // It may have ended already.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the resident bytes of this process.
pub(crate) fn resident() -> Result<u64> {
    Ok(Process::myself()?.stat()?.rss * procfs::page_size())
}

/// A process and its children.
fn family(first: &Process) -> Result<Vec<Process>> {
    let mut all = vec![Process::new(first.pid())?];
    for process in procfs::process::all_processes()?.flatten() {
        if process.stat().is_ok_and(|stat| stat.ppid == first.pid()) {
            all.push(process);
        }
    }
    Ok(all)
}
