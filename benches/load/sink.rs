//! The sink: answers every PUBLISH at once with as little work as possible.

use std::{
    collections::HashSet,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// A UDP server on a thread of its own.
pub(crate) struct Sink {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// Whether the one held back is answered.
    released: AtomicBool,
    ended: AtomicBool,
}

#[derive(Default)]
struct Seen {
    presentities: HashSet<String>,
    refreshes: usize,
    first: Option<Instant>,
    done: Option<Instant>,
}

impl Sink {
    /// Starts one; `held` is a user who gets no answer before [`release`](Self::release).
    pub(crate) fn start(grant: u32, held: Option<&str>) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let port = socket.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let answering = shared.clone();
        let held = held.map(|user| format!("sip:{user}@bench.example"));
        let thread = std::thread::spawn(move || serve(&socket, &answering, grant, held.as_deref()));
        Ok(Self { port, shared, thread: Some(thread) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Answers the one held back from now on; its repeats keep asking.
    pub(crate) fn release(&self) {
        self.shared.released.store(true, Ordering::Relaxed);
    }

    pub(crate) fn presentities(&self) -> usize {
        self.seen(|seen| seen.presentities.len())
    }

    /// Requests with an entity-tag so far.
    pub(crate) fn refreshes(&self) -> usize {
        self.seen(|seen| seen.refreshes)
    }

    /// Waits for a presentity; returns the seconds from the first to the one called `done`.
    pub(crate) fn wait_for(&self, user: &str, limit: Duration) -> Result<f64> {
        let wanted = format!("sip:{user}@bench.example");
        self.wait(user, limit, |seen| {
            seen.presentities.contains(&wanted).then(|| match (seen.first, seen.done) {
                (Some(first), Some(done)) => (done - first).as_secs_f64(),
                _ => 0.0,
            })
        })
    }

    pub(crate) fn wait_for_refreshes(&self, count: usize, limit: Duration) -> Result<()> {
        self.wait("refreshes", limit, |seen| (seen.refreshes >= count).then_some(()))
    }

    /// Waits for a number of presentities; returns the seconds from the first to the last.
    pub(crate) fn wait_for_presentities(&self, count: usize, limit: Duration) -> Result<f64> {
        self.wait("presentities", limit, |seen| {
            let first = seen.first?;
            (seen.presentities.len() >= count).then(|| first.elapsed().as_secs_f64())
        })
    }

    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = self.seen(&mut look) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let (users, refreshes) =
                    self.seen(|seen| (seen.presentities.len(), seen.refreshes));
                bail!("no {what} within {limit:?}: {users} presentities, {refreshes} refreshes");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.seen.lock().expect("the sink has not panicked"))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared, grant: u32, held: Option<&str>) {
    let mut buffer = [0; 65_536];
    let mut answer = Vec::with_capacity(1024);
    let mut count = 0u64;
    while !shared.ended.load(Ordering::Relaxed) {
        let Ok((len, source)) = socket.recv_from(&mut buffer) else { continue };
        let Ok(text) = std::str::from_utf8(&buffer[..len]) else { continue };
        let Some(uri) = text.strip_prefix("PUBLISH ").and_then(|rest| rest.split(' ').next())
        else {
            continue;
        };
        let is_held = Some(uri) == held;
        {
            let mut seen = shared.seen.lock().expect("no panic under this lock");
            let now = Instant::now();
            if !is_held {
                seen.first.get_or_insert(now);
            }
            if uri.starts_with("sip:done@") {
                seen.done = Some(now);
            }
            if text.contains("\r\nSIP-If-Match:") {
                seen.refreshes += 1;
            } else if !seen.presentities.contains(uri) {
                seen.presentities.insert(uri.to_owned());
            }
        }
        if is_held && !shared.released.load(Ordering::Relaxed) {
            continue;
        }
        count += 1;
        answer.clear();
        answer.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        for line in text.split("\r\n").take_while(|line| !line.is_empty()) {
            if ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
                answer.extend_from_slice(line.as_bytes());
                answer.extend_from_slice(b"\r\n");
            } else if line.starts_with("To:") {
                answer.extend_from_slice(line.as_bytes());
                answer.extend_from_slice(b";tag=sink\r\n");
            }
        }
        answer.extend_from_slice(
            format!("SIP-ETag: e{count}\r\nExpires: {grant}\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        );
        let _ = socket.send_to(&answer, source);
    }
}
