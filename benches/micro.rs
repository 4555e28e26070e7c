//! What single steps of the core cost: reading an answer, and one publish from command to reply.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use puad::{
    command::{Command, Document, EventType, Owner, Publish},
    sip::{
        Config, Limits, Uac,
        io::{FlowId, Input, Output, Ticket, UnixMillis},
        message::{Index, Name, Uri, frame},
    },
};

fn read_an_answer(criterion: &mut Criterion) {
    let answer = b"SIP/2.0 200 OK\r\n\
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport=5060;branch=z9hG4bK0123456789abcdef;received=192.0.2.2\r\n\
        From: <sip:alice@example.com>;tag=0123456789abcdef\r\n\
        To: <sip:alice@example.com>;tag=a6a1c5f60faecf035a1ae5b6e96e979a-0b05\r\n\
        Call-ID: 0123456789abcdef0123456789abcdef\r\nCSeq: 1 PUBLISH\r\nExpires: 3600\r\n\
        SIP-ETag: a.1732453200.1234.1.0\r\nServer: a server\r\nContent-Length: 0\r\n\r\n";
    let limits = Limits::default();
    let mut index = Index::default();
    criterion.bench_function("read a 200 and find its branch", |bencher| {
        bencher.iter(|| match frame::datagram(&mut index, black_box(answer), &limits) {
            frame::Datagram::Message(message) => {
                black_box(message.top_via().ok().and_then(|via| via.branch()));
                black_box(message.get(Name::SipETag));
            }
            _ => panic!("a message"),
        });
    });
}

fn publish(criterion: &mut Criterion) {
    let start = Instant::now();
    let proxy = Uri::parse("sip:192.0.2.1;lr").expect("a URI");
    let config = Config { outbound_proxy: vec![proxy], ..Config::default() };
    let mut uac = Uac::new(config, [7; 32], start, UnixMillis(0));
    let local = "192.0.2.2:5060".parse().expect("an address");
    let flow = FlowId(FlowId::FIRST_FOREIGN);
    let transport = rsip::Transport::Udp;
    uac.handle_input(start, Input::FlowAccepted { flow, transport, local, remote: None });
    let presentity = Uri::parse("sip:alice@example.com").expect("a URI");
    let event = EventType::parse("presence").expect("a package");
    let mut count = 0;
    criterion.bench_function("a publish of 400 bytes, answered, in the core", |bencher| {
        bencher.iter(|| {
            count += 1;
            let now = start + Duration::from_micros(count);
            let mut publish = Publish::new(Owner::OneShot, presentity.clone(), event.clone());
            let body = format!("{count:0400}").into_bytes();
            publish.document = Some(Document::new("text/plain", body));
            uac.handle_input(
                now,
                Input::Command(Ticket(count), Command::Publish(Box::new(publish))),
            );
            answer_all(&mut uac, now, local);
        });
    });
}

/// Answers every request at once, until nothing is left to do.
fn answer_all(uac: &mut Uac, now: Instant, local: std::net::SocketAddr) {
    loop {
        match uac.poll_output() {
            Output::Timeout(_) => return,
            Output::Open { flow, hop } => {
                uac.handle_input(now, Input::FlowOpened { flow, local, remote: hop.remote });
            }
            Output::Transmit { flow, to, message } => {
                let text = std::str::from_utf8(&message).expect("text");
                let mut answer = String::with_capacity(512);
                answer.push_str("SIP/2.0 200 OK\r\n");
                for line in text.split("\r\n").take_while(|line| !line.is_empty()) {
                    if ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|n| line.starts_with(n))
                    {
                        answer.push_str(line);
                        answer.push_str("\r\n");
                    }
                }
                answer.push_str("SIP-ETag: e1\r\nExpires: 3600\r\n\r\n");
                let message = answer.as_bytes();
                uac.handle_input(now, Input::Received { flow, source: to, message });
            }
            Output::Close { .. }
            | Output::Query { .. }
            | Output::Reply { .. }
            | Output::Event(_) => {}
        }
    }
}

criterion_group!(benches, read_an_answer, publish);
criterion_main!(benches);
