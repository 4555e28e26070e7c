//! Threads for scripts: one for each, and beyond a number of them a shared few.
//!
//! What runs on them is in [`thread`](super::thread).

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};

/// Hands out threads. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Threads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many scripts have a thread of their own at the most.
    most: usize,
    /// There are no threads to hand out: all scripts run on the one that asks.
    is_here: bool,
    own: AtomicUsize,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    threads: Vec<mpsc::UnboundedSender<Job>>,
    next: usize,
}

/// Starts a script on the thread it is given.
type Start = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

struct Job {
    start: Start,
    /// Dropped when it has ended.
    ended: oneshot::Sender<()>,
}

impl Threads {
    pub(super) fn new(most: usize) -> Self {
        let (own, pool) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Shared { most, is_here: false, own, pool }))
    }

    /// Makes one that runs everything on the thread, and in the `LocalSet`, that asks for it: in
    /// tests scripts and their time stand still together.
    pub(super) fn here() -> Self {
        let (own, pool) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Shared { most: 0, is_here: true, own, pool }))
    }

    /// Takes a place among the threads of their own, for a script over all its versions; there is
    /// none when all are taken.
    pub(super) fn place(&self) -> Option<Arc<Place>> {
        let shared = self.0.clone();
        let taken = shared.own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |own| {
            (own < shared.most).then_some(own + 1)
        });
        taken.ok().map(|_| Arc::new(Place(self.0.clone())))
    }

    /// Runs what `start` makes to its end, on a thread of its own where there is a place for it;
    /// the receiver is told then.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn run<F: Future<Output = ()> + 'static>(
        &self,
        name: &str,
        place: Option<Arc<Place>>,
        start: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>> {
        let start: Start = Box::new(move || Box::pin(start()));
        let (told, ended) = oneshot::channel();
        let job = Job { start, ended: told };
        if self.0.is_here {
            tokio::task::spawn_local(job.run());
            return Ok(ended);
        }
        let Some(place) = place else { return self.share(job).map(|()| ended) };
        let spawned = spawn(format!("lua {name}"), move || {
            let _place = place;
            on_runtime(async { job.run().await });
        });
        spawned.map(|()| ended)
    }

    /// Gives a job to one of the shared threads, each in turn.
    fn share(&self, job: Job) -> io::Result<()> {
        let Ok(mut pool) = self.0.pool.lock() else {
            return Err(io::Error::other("a thread has broken down"));
        };
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        if pool.threads.len() < cores {
            let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
            let number = pool.threads.len() + 1;
            spawn(format!("lua pool {number}"), move || {
                on_runtime(async move {
                    // Ends when the last of those who hand out threads is gone.
                    while let Some(job) = inbox.recv().await {
                        tokio::task::spawn_local(job.run());
                    }
                });
            })?;
            pool.threads.push(jobs);
        }
        let at = pool.next % pool.threads.len();
        pool.next += 1;
        pool.threads[at].send(job).map_err(|_| io::Error::other("a shared thread has ended"))
    }
}

impl Job {
    async fn run(self) {
        // With a set of its own, whatever the script has spawned goes when it goes.
        LocalSet::new().run_until((self.start)()).await;
        // Nobody may wait for it.
        let _ = self.ended.send(());
    }
}

/// A place among the threads of their own; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.own.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Recursion through host functions needs a quarter of this.
    let builder = std::thread::Builder::new().name(name).stack_size(2 * 1024 * 1024);
    builder.spawn(run).map(|_| ())
}

fn on_runtime(future: impl Future<Output = ()>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            LocalSet::new().block_on(&runtime, future);
            // A file system that never answers must not keep this thread as well.
            runtime.shutdown_timeout(LAST_WRITES);
        }
        Err(error) => tracing::error!(%error, "no event loop for scripts"),
    }
}

/// How long a thread waits at its end for files that are being written.
const LAST_WRITES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn beyond_the_number_scripts_share_threads_and_room_comes_back() {
        let threads = Threads::new(2);
        let (names, seen) = std::sync::mpsc::channel();
        let (hold, held): (Vec<_>, Vec<_>) = (0..10).map(|_| oneshot::channel::<()>()).unzip();
        let ended: Vec<_> = held
            .into_iter()
            .map(|held| {
                let names = names.clone();
                let start = move || async move {
                    let name = std::thread::current().name().expect("named").to_owned();
                    names.send(name).expect("heard");
                    let _ = held.await;
                };
                threads.run("x", threads.place(), start).expect("a thread")
            })
            .collect();
        let ran: Vec<String> = seen.iter().take(10).collect();
        assert_eq!(ran.iter().filter(|name| *name == "lua x").count(), 2);
        let shared: BTreeSet<_> = ran.iter().filter(|name| name.starts_with("lua pool")).collect();
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        assert_eq!(shared.len(), cores.min(8));
        drop(hold);
        for ended in ended {
            ended.blocking_recv().expect("ended in order");
        }
        let (name, told) = std::sync::mpsc::channel();
        // The thread gives its place back a moment after its script has ended.
        for _ in 0..1000 {
            let name = name.clone();
            let run = move || async move {
                let own = std::thread::current().name() == Some("lua y");
                name.send(own).expect("heard");
            };
            threads
                .run("y", threads.place(), run)
                .expect("a thread")
                .blocking_recv()
                .expect("ended");
            if told.recv().expect("ran") {
                return;
            }
            std::thread::yield_now();
        }
        panic!("no place came back");
    }
}
