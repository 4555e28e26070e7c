//! A core and nothing around it, for inputs by the hundred thousand.

use std::time::{Duration, Instant};

use puad::sip::{
    Config, Uac,
    config::Limits,
    io::{FlowId, Input, Output, UnixMillis},
};

use super::world::{LOCAL, UDP_LISTENER};

/// A bare core with a listening UDP socket.
pub struct Core {
    uac: Uac,
    now: Instant,
}

impl Core {
    pub fn listening() -> Self {
        Self::with(Limits::default())
    }

    /// No bound but the length of the input.
    pub fn generous() -> Self {
        Self::with(Limits { head: usize::MAX, headers: usize::MAX, ..Limits::default() })
    }

    fn with(limits: Limits) -> Self {
        let now = Instant::now();
        let config = Config { limits, ..Config::default() };
        let mut core = Self { uac: Uac::new(config, [1; 32], now, UnixMillis(0)), now };
        let local = LOCAL.parse().expect("an address");
        let (flow, transport) = (UDP_LISTENER, rsip::Transport::Udp);
        core.input(Input::FlowAccepted { flow, transport, local, remote: None });
        core
    }

    pub fn accept(&mut self, number: u64) -> FlowId {
        let flow = FlowId(FlowId::FIRST_FOREIGN + 100 + number);
        let (local, remote) = (LOCAL.parse().expect("an address"), SOURCE.parse().expect("one"));
        let transport = rsip::Transport::Tcp;
        self.input(Input::FlowAccepted { flow, transport, local, remote: Some(remote) });
        flow
    }

    pub fn feed(&mut self, flow: FlowId, bytes: &[u8]) -> Vec<Vec<u8>> {
        // Slowly enough to be answered every time.
        self.now += Duration::from_millis(25);
        let source = SOURCE.parse().expect("an address");
        self.input(Input::Received { flow, source, message: bytes })
    }

    pub fn input(&mut self, input: Input<'_>) -> Vec<Vec<u8>> {
        // What a log would show must be no more dangerous than the input itself.
        std::hint::black_box(format!("{input:?}"));
        self.uac.handle_input(self.now, input);
        let mut sent = Vec::new();
        loop {
            match self.uac.poll_output() {
                Output::Timeout(_) => return sent,
                Output::Transmit { message, .. } => sent.push(message.to_vec()),
                Output::Close { .. } => {}
                other => panic!("a stranger made puad do {other:?}"),
            }
        }
    }
}

/// Where everything that is fed comes from.
pub const SOURCE: &str = "198.51.100.7:5062";
