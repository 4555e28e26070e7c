//! What this machine is doing, as `/proc` and the kernel say.
//!
//! A [`Machine`] is asked by every script; what it remembers between two
//! questions, to tell rates, is in [`looks`]. How scripts see the answers is
//! decided by [`api::sys`](super::api).

mod looks;
mod process;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use procfs::{
    CpuTime, Current, CurrentSI, KernelStats, LoadAverage, Meminfo, ProcError, Uptime,
    net::dev_status,
};

use looks::{Looks, Since};
pub(super) use process::{Process, Wanted};

/// The machine, as all scripts share it.
#[derive(Debug, Default)]
pub(super) struct Machine {
    cpu: Mutex<Looks<Times>>,
    net: Mutex<Looks<Arc<Interfaces>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It may not be looked at.
    #[error("{0}")]
    Permission(String),
    /// The system does not tell.
    #[error("{0}")]
    Io(String),
}

/// Shares in percent of all cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cpu {
    pub(super) percent: f64,
    pub(super) user: f64,
    pub(super) system: f64,
    pub(super) idle: f64,
    pub(super) iowait: f64,
    pub(super) cores: usize,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) available: u64,
    pub(super) percent: f64,
    pub(super) swap_total: u64,
    pub(super) swap_used: u64,
}

/// Mean numbers of waiting processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) one: f64,
    pub(super) five: f64,
    pub(super) fifteen: f64,
}

/// A file system in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    pub(super) total: u64,
    pub(super) used: u64,
    /// What programs without privileges may still write.
    pub(super) free: u64,
    /// Used, of what is used and free together: the figure of `df`.
    pub(super) percent: f64,
}

/// Traffic of one interface, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Traffic {
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
    /// Bytes per second.
    pub(super) rx_rate: f64,
    pub(super) tx_rate: f64,
}

impl Machine {
    /// Takes the looks that the first questions of a script are compared with.
    pub(super) fn begin(&self, asker: &Arc<str>, now: Instant) {
        // What cannot be read now is told when it is asked for.
        if let Ok((times, _)) = Times::read() {
            let _ = self.looks(&self.cpu).look(asker, now, times);
        }
        if let Ok(interfaces) = interfaces() {
            let _ = self.looks(&self.net).look(asker, now, Arc::new(interfaces));
        }
    }

    /// Returns what the cores did since `asker` asked before.
    pub(super) fn cpu(&self, asker: &Arc<str>, now: Instant) -> Result<Cpu, Unknown> {
        let (times, cores) = Times::read()?;
        let since = self.looks(&self.cpu).look(asker, now, times);
        // Since boot, until there are two looks: better than nothing.
        let from = since.map_or(Times::default(), |since| since.seen);
        Ok(Cpu::between(from, times, cores))
    }

    pub(super) fn memory(&self) -> Result<Memory, Unknown> {
        let info = Meminfo::current()?;
        let available = info.mem_available.unwrap_or(info.mem_free + info.cached + info.buffers);
        let used = info.mem_total.saturating_sub(available);
        Ok(Memory {
            total: info.mem_total,
            used,
            available,
            percent: 100.0 * used as f64 / info.mem_total.max(1) as f64,
            swap_total: info.swap_total,
            swap_used: info.swap_total.saturating_sub(info.swap_free),
        })
    }

    pub(super) fn load(&self) -> Result<Load, Unknown> {
        let load = LoadAverage::current()?;
        // The kernel prints two decimals; widening must not invent more.
        let exact = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
        Ok(Load { one: exact(load.one), five: exact(load.five), fifteen: exact(load.fifteen) })
    }

    /// Asks the file system a path lies in. One that does not answer, such as a dead network
    /// mount, keeps the calling thread for as long.
    pub(super) fn disk(&self, path: &Path) -> Result<Disk, Unknown> {
        let found = rustix::fs::statvfs(path).map_err(|error| {
            let error = std::io::Error::from(error);
            let message = format!("{}: {error}", path.display());
            match error.kind() {
                ErrorKind::NotFound => Unknown::NotFound(message),
                ErrorKind::PermissionDenied => Unknown::Permission(message),
                _ => Unknown::Io(message),
            }
        })?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        let (used, free) = (found.f_blocks.saturating_sub(found.f_bfree), found.f_bavail);
        Ok(Disk {
            total: bytes(found.f_blocks),
            used: bytes(used),
            free: bytes(free),
            percent: 100.0 * used as f64 / used.saturating_add(free).max(1) as f64,
        })
    }

    /// Returns the traffic of one interface, or of all that lead outside.
    pub(super) fn traffic(
        &self,
        asker: &Arc<str>,
        name: Option<&str>,
        now: Instant,
    ) -> Result<Traffic, Unknown> {
        let seen = Arc::new(interfaces()?);
        if let Some(name) = name.filter(|name| !seen.contains_key(*name)) {
            let names: Vec<&str> = seen.keys().map(String::as_str).collect();
            let meant = crate::command::closest(name, names.iter().copied());
            let hint = match meant {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("there are: {}", names.join(", ")),
            };
            return Err(Unknown::NotFound(format!("there is no interface {name:?} ({hint})")));
        }
        let since = self.looks(&self.net).look(asker, now, seen.clone());
        let is_meant = |interface: &str| match name {
            Some(name) => interface == name,
            None => interface != "lo",
        };
        Ok(Traffic::between(since.as_ref(), &seen, is_meant))
    }

    /// Returns every process there is.
    pub(super) fn processes(&self) -> Result<Vec<Process>, Unknown> {
        process::all()
    }

    /// Returns one process; of several with one name that with the lowest number.
    pub(super) fn process(&self, wanted: &Wanted) -> Result<Process, Unknown> {
        process::find(wanted)
    }

    pub(super) fn uptime(&self) -> Result<Duration, Unknown> {
        Ok(Uptime::current()?.uptime_duration())
    }

    pub(super) fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn looks<'a, T>(&self, looks: &'a Mutex<Looks<T>>) -> std::sync::MutexGuard<'a, Looks<T>> {
        looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<ProcError> for Unknown {
    fn from(error: ProcError) -> Self {
        let message = error.to_string();
        match error {
            ProcError::NotFound(_) => Self::NotFound(message),
            ProcError::PermissionDenied(_) => Self::Permission(message),
            _ => Self::Io(message),
        }
    }
}

/// Ticks since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    other: u64,
}

impl Times {
    /// Returns those of all cores together, and how many they are.
    fn read() -> Result<(Self, usize), Unknown> {
        let stats = KernelStats::current()?;
        Ok((Self::of(&stats.total), stats.cpu_time.len()))
    }

    fn of(times: &CpuTime) -> Self {
        Self {
            user: times.user + times.nice,
            system: times.system,
            idle: times.idle,
            iowait: times.iowait.unwrap_or(0),
            other: [times.irq, times.softirq, times.steal].into_iter().flatten().sum(),
        }
    }
}

impl Cpu {
    fn between(from: Times, to: Times, cores: usize) -> Self {
        let ticks = |get: fn(&Times) -> u64| get(&to).saturating_sub(get(&from)) as f64;
        let (user, system, idle) = (ticks(|t| t.user), ticks(|t| t.system), ticks(|t| t.idle));
        let (iowait, other) = (ticks(|t| t.iowait), ticks(|t| t.other));
        let total = (user + system + idle + iowait + other).max(1.0);
        let share = |ticks: f64| 100.0 * ticks / total;
        Self {
            user: share(user),
            system: share(system),
            idle: share(idle),
            iowait: share(iowait),
            percent: share(user + system + other),
            cores,
        }
    }
}

/// Bytes received and sent since boot, by interface.
type Interfaces = BTreeMap<String, (u64, u64)>;

fn interfaces() -> Result<Interfaces, Unknown> {
    let devices = dev_status()?.into_iter();
    Ok(devices.map(|(name, device)| (name, (device.recv_bytes, device.sent_bytes))).collect())
}

impl Traffic {
    fn between(
        since: Option<&Since<Arc<Interfaces>>>,
        to: &Interfaces,
        is_meant: impl Fn(&str) -> bool,
    ) -> Self {
        let mut traffic = Self::default();
        for (name, (received, sent)) in to.iter().filter(|(name, _)| is_meant(name)) {
            traffic.rx_bytes += received;
            traffic.tx_bytes += sent;
            // One that has come since then says nothing of its rate yet.
            let Some(since) = since else { continue };
            let Some((received_then, sent_then)) = since.seen.get(name) else { continue };
            let seconds = since.span.as_secs_f64();
            traffic.rx_rate += received.saturating_sub(*received_then) as f64 / seconds;
            traffic.tx_rate += sent.saturating_sub(*sent_then) as f64 / seconds;
        }
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let before = Times { user: 100, system: 100, idle: 800, iowait: 0, other: 0 };
        assert_eq!(Cpu::between(Times::default(), before, 2).percent, 20.0);
        let after = Times { user: 130, system: 110, idle: 850, iowait: 10, other: 0 };
        let cpu = Cpu::between(before, after, 2);
        assert_eq!((cpu.user, cpu.system, cpu.idle, cpu.iowait), (30.0, 10.0, 50.0, 10.0));
        assert_eq!((cpu.percent, cpu.cores), (40.0, 2));
    }

    #[test]
    fn traffic_is_a_sum_and_new_interfaces_have_no_rate_yet() {
        let then: Interfaces = [("lo".into(), (9, 9)), ("eth0".into(), (1000, 500))].into();
        let since = Since { span: Duration::from_secs(2), seen: Arc::new(then) };
        let now: Interfaces =
            [("lo".into(), (99, 99)), ("eth0".into(), (3000, 600)), ("tun0".into(), (50, 5))]
                .into();
        let outside = Traffic::between(Some(&since), &now, |name| name != "lo");
        let expected = Traffic { rx_bytes: 3050, tx_bytes: 605, rx_rate: 1000.0, tx_rate: 50.0 };
        assert_eq!(outside, expected);
        let first = Traffic::between(None, &now, |name| name == "lo");
        assert_eq!((first.rx_bytes, first.rx_rate), (99, 0.0));
    }

    #[test]
    fn this_machine_answers() {
        let (machine, asker) = (Machine::default(), Arc::from("test"));
        let start = Instant::now();
        machine.begin(&asker, start);
        let cpu = machine.cpu(&asker, start + Duration::from_secs(1)).unwrap();
        assert!(cpu.cores >= 1 && (0.0..=100.0).contains(&cpu.percent), "{cpu:?}");
        let disk = machine.disk(Path::new("/")).unwrap();
        assert!(disk.total >= disk.used && (0.0..=100.0).contains(&disk.percent), "{disk:?}");
        let missing = machine.disk(Path::new("/no/such/folder")).unwrap_err();
        assert!(matches!(missing, Unknown::NotFound(_)), "{missing:?}");
        assert!(machine.uptime().unwrap() > Duration::ZERO);
        let missing = machine.traffic(&asker, Some("loo"), start).unwrap_err();
        assert!(missing.to_string().contains("(did you mean 'lo'?)"), "{missing}");
    }
}
