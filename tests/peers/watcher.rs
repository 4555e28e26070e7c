//! A watcher: subscribes over UDP, answers NOTIFY, and remembers what it was shown.
//!
//! Deliberately simple and not puad's own code: it bears witness.

use std::{
    fmt::Write as _,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::{process::PATIENCE, sip::Sip};

/// One subscription.
#[derive(Debug)]
pub struct Watcher {
    socket: UdpSocket,
    server: SocketAddr,
    call_id: String,
    /// NOTIFYs in the order of their arrival, repeats left out.
    shown: Vec<Sip>,
    /// How many of them the story has looked at.
    looked_at: usize,
}

impl Watcher {
    /// Subscribes to a package of a presentity and waits for the first NOTIFY.
    pub fn subscribe(port: u16, presentity: &str, event: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let call_id = format!("watch-{}-{number}", std::process::id());
        let mut watcher = Self { socket, server, call_id, shown: Vec::new(), looked_at: 0 };
        let local = watcher.socket.local_addr().expect("it is bound");
        let message = format!(
            "SUBSCRIBE {presentity} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{id};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:watcher@example.com>;tag={id}\r\n\
             To: <{presentity}>\r\n\
             Call-ID: {id}\r\n\
             CSeq: 1 SUBSCRIBE\r\n\
             Contact: <sip:watcher@{local}>\r\n\
             Event: {event}\r\n\
             Expires: 600\r\n\
             Content-Length: 0\r\n\r\n",
            id = watcher.call_id,
        );
        let end = Instant::now() + PATIENCE;
        let mut is_accepted = false;
        while !is_accepted || watcher.shown.is_empty() {
            assert!(Instant::now() < end, "no answer to SUBSCRIBE {presentity} {event}");
            if !is_accepted {
                watcher.socket.send_to(message.as_bytes(), server).expect("loopback");
            }
            if let Some(answer) = watcher.receive(Duration::from_millis(500)) {
                assert!((200..300).contains(&answer.code()), "subscribing: {answer:?}");
                is_accepted = true;
            }
        }
        watcher
    }

    /// Waits for a NOTIFY, not looked at before, that has this; earlier ones count as looked at.
    pub fn sees(&mut self, what: &str, matches: impl Fn(&Sip) -> bool) -> Sip {
        let end = Instant::now() + PATIENCE;
        loop {
            while let Some(notify) = self.shown.get(self.looked_at) {
                self.looked_at += 1;
                if matches(notify) {
                    return notify.clone();
                }
            }
            let shown: Vec<_> = self.shown.iter().map(Sip::text).collect();
            assert!(Instant::now() < end, "no NOTIFY shows {what}, but these came: {shown:#?}");
            self.receive(Duration::from_millis(200));
        }
    }

    /// Waits for a NOTIFY whose body has this text.
    pub fn sees_text(&mut self, text: &str) -> Sip {
        self.sees(text, |notify| notify.text().contains(text))
    }

    /// All NOTIFYs so far, those that are waiting in the socket included.
    pub fn shown(&mut self) -> &[Sip] {
        while self.has_more() {}
        &self.shown
    }

    fn has_more(&mut self) -> bool {
        let before = self.shown.len();
        self.receive(Duration::from_millis(100));
        self.shown.len() > before
    }

    /// Takes one message: a NOTIFY is answered and kept, a response is returned.
    fn receive(&mut self, patience: Duration) -> Option<Sip> {
        let mut buffer = [0; 65_536];
        self.socket.set_read_timeout(Some(patience)).expect("not zero");
        let (length, source) = self.socket.recv_from(&mut buffer).ok()?;
        let message = Sip::parse(&buffer[..length]);
        if !message.is_request() {
            return Some(message);
        }
        assert_eq!((message.method(), message.need("Call-ID")), ("NOTIFY", &*self.call_id));
        self.socket.send_to(&ok(&message), source).expect("loopback");
        if self.shown.iter().all(|known| known.cseq() != message.cseq()) {
            self.shown.push(message);
        }
        None
    }
}

/// A plain 200 inside a dialog.
fn ok(request: &Sip) -> Vec<u8> {
    let mut answer = String::from("SIP/2.0 200 OK\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.all(name) {
            let _ = write!(answer, "{name}: {value}\r\n");
        }
    }
    answer += "Content-Length: 0\r\n\r\n";
    answer.into_bytes()
}
