//! How evenly the refreshes of publications made at once are spread, in virtual time.

use std::time::{Duration, Instant};

use puad::{
    command::{Command, Document, EventType, Owner, Publish},
    sip::{
        Config, Uac,
        io::{FlowId, Input, Output, Ticket, UnixMillis},
        message::Uri,
    },
};

use crate::process;

const PUBLICATIONS: u64 = 100_000;
const GRANT: u64 = 3600;

/// Computes and prints highest second against mean, and what each publication takes in the core.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut refreshes = vec![0u32; GRANT as usize + 1];
    let start = Instant::now();
    let config = Config { outbound_proxy: vec![uri("sip:192.0.2.1;lr")], ..Config::default() };
    let mut uac = Uac::new(config, [7; 32], start, UnixMillis(0));
    let local = "192.0.2.2:5060".parse().expect("an address");
    let transport = rsip::Transport::Udp;
    let flow = FlowId(FlowId::FIRST_FOREIGN);
    uac.handle_input(start, Input::FlowAccepted { flow, transport, local, remote: None });
    let event = EventType::parse("presence").expect("a package");
    let document = Document::new("text/plain", vec![b'x'; 400]);
    let before = process::resident()?;
    for user in 0..PUBLICATIONS {
        let presentity = uri(&format!("sip:user{user}@bench.example"));
        let owner = Owner::Script("bench".into());
        let mut publish = Publish::new(owner, presentity, event.clone());
        publish.document = Some(document.clone());
        let command = Command::Publish(Box::new(publish));
        uac.handle_input(start, Input::Command(Ticket(user), command));
        drain(&mut uac, start, &mut |_| {});
    }
    let each = process::resident()?.saturating_sub(before) / PUBLICATIONS;
    let initial = Instant::now();
    let mut now = start;
    while let Some(deadline) = next(&mut uac, now, &mut |at| {
        refreshes[at.duration_since(start).as_secs() as usize] += 1;
    }) {
        if deadline.duration_since(start) > Duration::from_secs(GRANT * 4 / 5) {
            break;
        }
        now = deadline;
        uac.handle_input(now, Input::Timeout);
    }
    let used: Vec<u32> = refreshes.iter().copied().skip_while(|n| *n == 0).collect();
    let last = used.iter().rposition(|n| *n > 0).map_or(0, |at| at + 1);
    let used = &used[..last];
    let total: u32 = used.iter().sum();
    let highest = used.iter().copied().max().unwrap_or(0);
    let mean = f64::from(total) / used.len().max(1) as f64;
    println!("refresh spread of {PUBLICATIONS} publications made at once (virtual time)");
    println!("  refreshes          {total} over {} s", used.len());
    println!("  highest : mean     {highest} : {mean:.1} = {:.2}", f64::from(highest) / mean);
    println!(
        "  core CPU           {:.3} s per 10,000 refreshes",
        initial.elapsed().as_secs_f64() * 10_000.0 / f64::from(total.max(1))
    );
    println!("  memory in the core {each} bytes each, beside the document");
    Ok(())
}

fn next(uac: &mut Uac, now: Instant, refreshed: &mut impl FnMut(Instant)) -> Option<Instant> {
    drain(uac, now, refreshed)
}

/// Answers everything at once; returns the next deadline.
fn drain(uac: &mut Uac, now: Instant, refreshed: &mut impl FnMut(Instant)) -> Option<Instant> {
    loop {
        match uac.poll_output() {
            Output::Timeout(deadline) => return deadline.map(|deadline| deadline.at),
            Output::Open { flow, hop } => {
                let local = "192.0.2.2:5060".parse().expect("an address");
                uac.handle_input(now, Input::FlowOpened { flow, local, remote: hop.remote });
            }
            Output::Transmit { flow, to, message } => {
                let text = std::str::from_utf8(&message).expect("no binary bodies here");
                if text.contains("\r\nSIP-If-Match:") {
                    refreshed(now);
                }
                let answer = answer(text);
                uac.handle_input(
                    now,
                    Input::Received { flow, source: to, message: answer.as_bytes() },
                );
            }
            Output::Close { .. }
            | Output::Query { .. }
            | Output::Reply { .. }
            | Output::Event(_) => {}
        }
    }
}

fn answer(request: &str) -> String {
    let mut out = String::from("SIP/2.0 200 OK\r\n");
    for line in request.split("\r\n").take_while(|line| !line.is_empty()) {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out.push_str(&format!("SIP-ETag: e1\r\nExpires: {GRANT}\r\nContent-Length: 0\r\n\r\n"));
    out
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).expect("a URI")
}
