//! A SIP server on a socket that says what a test wants it to say, and tells what it has heard.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::Sip;

/// A server on a real UDP socket, answered for by the test.
pub struct Server {
    pub address: SocketAddr,
    requests: mpsc::Receiver<Sip>,
}

impl Server {
    /// Grants everything, with tags tag-1, tag-2, …
    pub fn granting() -> Self {
        Self::start(|count, request| {
            let asked = request.need("Expires").parse().expect("a number");
            Some(match asked {
                0 => request.answer(200).header("Expires", 0).bytes(),
                _ => request.granted(&format!("tag-{count}"), asked),
            })
        })
    }

    /// Answers the n-th request; it ends with the test that holds the other end.
    pub fn start(mut answer: impl FnMut(u32, &Sip) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            let mut count = 0;
            let deadline = Instant::now() + Duration::from_secs(120);
            while Instant::now() < deadline {
                let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
                let request = Sip::parse(&buffer[..length]);
                count += 1;
                if let Some(bytes) = answer(count, &request) {
                    let _ = socket.send_to(&bytes, source);
                }
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    pub fn uri(&self) -> String {
        format!("sip:alice@{}", self.address)
    }

    /// The next request, if one comes in time.
    pub fn received(&self, patience: Duration) -> Option<Sip> {
        self.requests.recv_timeout(patience).ok()
    }
}
