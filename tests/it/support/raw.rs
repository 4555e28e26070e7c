//! A stranger's requests as raw bytes, and what puad answers to them.

use puad::sip::{
    config::Limits,
    io::FlowId,
    message::{
        Index, Message,
        frame::{Datagram, datagram},
    },
};

use super::{Sip, secs, world::World};

/// What puad answers over UDP, by code.
pub fn ask(message: &[u8]) -> Vec<u16> {
    World::silent().ask(SOURCE, message).iter().map(Sip::code).collect()
}

/// Lets bytes arrive on a new connection.
pub fn stream(bytes: &[u8]) -> (World, FlowId) {
    let mut world = World::silent();
    let flow = world.connect(1, SOURCE);
    world.arrive(0.0, flow, SOURCE, bytes);
    world.run_for(secs(0.1));
    (world, flow)
}

pub fn codes(world: &World) -> Vec<u16> {
    world.responses().iter().map(Sip::code).collect()
}

/// Lets the reader read a datagram that must be well-formed.
pub fn read(bytes: &[u8], look: impl FnOnce(&Message<'_>)) {
    let mut index = Index::default();
    let Datagram::Message(message) = datagram(&mut index, bytes, &Limits::default()) else {
        panic!("no message: {}", String::from_utf8_lossy(bytes));
    };
    message.check_grammar().expect("well-formed");
    look(&message);
}

/// A NOTIFY with these headers besides the needed ones.
pub fn notify(headers: &str, body: &str) -> Vec<u8> {
    notify_of(&(head("1 NOTIFY") + headers), body)
}

/// A NOTIFY of its own transaction.
pub fn numbered(number: u32, body: &str) -> Vec<u8> {
    notify_of(&head(&format!("{number} NOTIFY")).replace("bKn", &format!("bKn{number}")), body)
}

pub fn notify_of(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("NOTIFY sip:b@y SIP/2.0\r\n{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub fn head(cseq: &str) -> String {
    format!(
        "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKn\r\n\
         From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: c\r\nCSeq: {cseq}\r\n"
    )
}

pub const SOURCE: &str = "198.51.100.7:5062";
