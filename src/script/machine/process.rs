//! Processes, from their folders in `/proc`.

use std::collections::BTreeMap;

use procfs::{
    ProcError,
    process::{self, Stat},
};

use super::Unknown;

/// One process.
#[derive(Debug, Clone)]
pub(in crate::script) struct Process {
    pub(in crate::script) pid: i32,
    /// The name of its program, of which the kernel keeps 15 bytes.
    pub(in crate::script) name: String,
    pub(in crate::script) state: &'static str,
    /// Bytes that are in memory.
    pub(in crate::script) memory: u64,
    /// Seconds of CPU it has used.
    pub(in crate::script) cpu_time: f64,
    /// Who runs it: a name, or a number that has none.
    pub(in crate::script) user: Option<String>,
}

/// Which process is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::script) enum Wanted {
    Pid(i32),
    Name(String),
}

/// Returns every process there is, by number.
pub(super) fn all() -> Result<Vec<Process>, Unknown> {
    let users = Users::read();
    let mut found = Vec::new();
    for process in process::all_processes()? {
        // A process may end while it is looked at.
        if let Ok(process) = process.and_then(|process| Process::read(&process, &users)) {
            found.push(process);
        }
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// Returns one process; of several with one name that with the lowest number.
pub(super) fn find(wanted: &Wanted) -> Result<Process, Unknown> {
    match wanted {
        Wanted::Pid(pid) => {
            let read = process::Process::new(*pid)
                .and_then(|process| Process::read(&process, &Users::read()));
            read.map_err(|error| match error {
                ProcError::NotFound(_) => Unknown::NotFound(format!("there is no process {pid}")),
                other => other.into(),
            })
        }
        Wanted::Name(name) => {
            // As the kernel cuts it.
            let cut = &name.as_bytes()[..name.len().min(KEPT_OF_NAME)];
            let mut lowest: Option<(process::Process, Stat)> = None;
            for process in process::all_processes()? {
                let Ok(process) = process else { continue };
                if lowest.as_ref().is_some_and(|(found, _)| found.pid < process.pid) {
                    continue;
                }
                match process.stat() {
                    Ok(stat) if stat.comm.as_bytes() == cut => lowest = Some((process, stat)),
                    Ok(_) | Err(_) => {}
                }
            }
            match lowest {
                Some((process, stat)) => Ok(Process::of(&process, stat, &Users::read())),
                None => Err(Unknown::NotFound(format!("there is no process named {name:?}"))),
            }
        }
    }
}

impl Process {
    fn read(process: &process::Process, users: &Users) -> Result<Self, ProcError> {
        Ok(Self::of(process, process.stat()?, users))
    }

    fn of(process: &process::Process, stat: Stat, users: &Users) -> Self {
        Self {
            pid: stat.pid,
            state: state(stat.state),
            memory: stat.rss.saturating_mul(procfs::page_size()),
            cpu_time: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            user: process.uid().ok().map(|uid| users.name(uid)),
            name: stat.comm,
        }
    }
}

/// Returns a word for the kernel's letter.
fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        // For a disk, mostly; no signal ends it.
        'D' => "waiting",
        'T' | 't' => "stopped",
        'Z' => "zombie",
        'I' => "idle",
        _ => "dead",
    }
}

/// Names of users, from the local list alone: asking a directory service may take its time.
struct Users(BTreeMap<u32, String>);

impl Users {
    fn read() -> Self {
        // Without the list users have numbers.
        Self::parse(&std::fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    fn parse(list: &str) -> Self {
        let mut users = BTreeMap::new();
        for line in list.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) =
                (fields.next(), fields.nth(1).map(str::parse::<u32>))
            {
                // The first of several names is the one that tools show.
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(users)
    }

    fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

const KEPT_OF_NAME: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_number_and_by_name() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = find(&Wanted::Pid(pid)).unwrap();
        assert_eq!(own.pid, pid);
        assert!(own.memory > 0 && own.user.is_some(), "{own:?}");
        assert!(all().unwrap().iter().any(|process| process.pid == pid));
        let named = find(&Wanted::Name(own.name.clone())).unwrap();
        assert_eq!(named.name, own.name);
        assert!(named.pid <= pid, "{named:?}");
        for missing in [Wanted::Pid(i32::MAX), Wanted::Name("no such program".into())] {
            assert!(matches!(find(&missing), Err(Unknown::NotFound(_))), "{missing:?}");
        }
    }

    #[test]
    fn users_have_names_where_the_list_knows_them() {
        let users =
            Users::parse("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\n\nmail:x:8:12");
        assert_eq!(
            (users.name(0), users.name(8), users.name(77)),
            ("root".into(), "mail".into(), "77".into())
        );
    }
}
