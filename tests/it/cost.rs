//! SEC-11: no input costs more than its length, whatever it is made of.
//!
//! Each shape is read at one length and at sixteen times that length.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use puad::{
    command::Command,
    sip::{
        config::Limits,
        message::{Index, frame, value},
    },
};

use crate::support::{
    bare::Core,
    world::{UDP_LISTENER, World, presence},
};

#[test]
fn sec_11_reading_takes_time_in_proportion_to_length() {
    let shapes: &[(&str, &dyn Fn(usize) -> String)] = &[
        ("headers", &|n| request(&"X: y\r\n".repeat(n))),
        ("unknown names", &|n| request(&format!("{}: y\r\n", "X".repeat(8 * n)))),
        ("Via rows", &|n| request(&"Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n".repeat(n))),
        ("Via list", &|n| request(&format!("Via: {}\r\n", list("SIP/2.0/UDP a", n)))),
        ("Via parameters", &|n| request(&format!("Via: SIP/2.0/UDP a{}\r\n", params(n)))),
        ("folds", &|n| request(&format!("Subject: a{}\r\n", "\r\n b".repeat(n)))),
        ("empty folds", &|n| request(&format!("Subject: a{}\r\n", "\r\n ".repeat(n)))),
        ("blanks", &|n| request(&format!("Subject: {}a\r\n", " ".repeat(8 * n)))),
        ("folded blanks", &|n| request(&format!("Subject: a\r\n {}\r\n b\r\n", " ".repeat(8 * n)))),
        ("quotes", &|n| request(&format!("Via: {}\r\n", "\"\"".repeat(4 * n)))),
        ("open quotes", &|n| request(&format!("Via: {}\r\n", ";a=\"".repeat(n)))),
        ("backslashes", &|n| request(&format!("Via: \"{}\r\n", "\\".repeat(8 * n)))),
        ("brackets", &|n| request(&format!("Contact: {}\r\n", "<".repeat(8 * n)))),
        ("commas", &|n| request(&format!("Require: {}\r\n", ",".repeat(8 * n)))),
        ("options", &|n| request(&format!("Require: {}\r\n", list("x", n)))),
        ("lengths", &|n| request(&"Content-Length: 0\r\n".repeat(n))),
        ("bad lines", &|n| request(&"nothing\r\n".repeat(n))),
        ("empty lines in front", &|n| format!("{}{}", "\r\n".repeat(4 * n), request(""))),
        ("escapes", &|n| format!("INVITE sip:{}@h SIP/2.0\r\n\r\n", "%41".repeat(3 * n))),
        ("URI parameters", &|n| format!("INVITE sip:h{} SIP/2.0\r\n\r\n", params(n))),
    ];
    for (name, shape) in shapes {
        check_growth(name, |n| {
            let message = shape(n);
            let mut core = Core::generous();
            move || {
                black_box(core.feed(UDP_LISTENER, message.as_bytes()));
            }
        });
    }
}

#[test]
fn sec_11_reading_values_takes_time_in_proportion_to_length() {
    type Read = fn(&str);
    type Shape<'a> = (&'a str, Read, &'a dyn Fn(usize) -> String);
    let list: Read = |text| {
        black_box(value::split_list(text).map(value::NameAddr::parse).count());
    };
    let address: Read = |text| {
        let _ = black_box(value::NameAddr::parse(text).map(|address| address.tag().is_some()));
    };
    let challenge: Read = |text| {
        let _ = black_box(value::Challenge::parse(text).map(|c| c.get("realm").is_some()));
    };
    let uri: Read = |text| {
        if let Ok(uri) = puad::sip::message::Uri::parse(text) {
            black_box(uri.canonical());
            assert!(uri.as_ref().equals(uri.as_ref()));
            black_box(uri.as_ref().address_of_record());
        }
    };
    let quoted: Read = |text| {
        black_box(value::unquote(text));
    };
    let shapes: &[Shape<'_>] = &[
        ("contacts", list, &|n| self::list("\"a\" <sip:a@b;c>;q=1", n)),
        ("contacts without brackets", list, &|n| self::list("sip:a@b;c", n)),
        ("address parameters", address, &|n| format!("<sip:a@b>{}", params(n))),
        ("words", address, &|n| format!("{}<sip:a@b>", "word ".repeat(n))),
        ("challenge", challenge, &|n| format!("Digest {}", self::list("a=\"b\"", n))),
        ("challenge value", challenge, &|n| format!("Digest realm=\"{}\"", "\\\"".repeat(4 * n))),
        ("URI parameters", uri, &|n| format!("sip:h{}", params(n))),
        ("URI headers", uri, &|n| format!("sip:h?{}", "a=b&".repeat(n) + "a=b")),
        ("URI user", uri, &|n| format!("sip:{}@h", "%7e".repeat(2 * n))),
        ("other scheme", uri, &|n| format!("tel:{}", "1;".repeat(4 * n))),
        ("quoted", quoted, &|n| format!("\"{}\"", "\\a".repeat(4 * n))),
    ];
    for (name, read, shape) in shapes {
        check_growth(name, |n| {
            let text = shape(n);
            move || read(&text)
        });
    }
}

#[test]
fn sec_11_a_stream_takes_time_in_proportion_to_length() {
    let shapes: &[(&str, &dyn Fn(usize) -> String)] = &[
        ("head", &|n| request(&"X: y\r\n".repeat(n))),
        ("one line", &|n| request(&format!("X: {}\r\n", "y".repeat(8 * n)))),
        ("blank lines", &|n| format!("{}{}", "\r\n".repeat(4 * n), request(""))),
        ("body", &|n| format!("I x SIP/2.0\r\nl: {}\r\n\r\n{}", 8 * n, "\r\n".repeat(4 * n))),
        ("messages", &|n| "I x SIP/2.0\r\nl:0\r\n\r\n".repeat(n / 2)),
    ];
    for (name, shape) in shapes {
        check_growth(name, |n| {
            let message = shape(n);
            let limits = Limits { headers: usize::MAX, head: usize::MAX, ..Limits::default() };
            move || {
                let mut index = Index::default();
                let mut decoder = frame::Decoder::default();
                for octet in message.as_bytes() {
                    decoder.push(&[*octet]);
                    while !matches!(
                        decoder.next(&mut index, &limits),
                        frame::Piece::Incomplete | frame::Piece::Fatal(..)
                    ) {}
                }
            }
        });
    }
}

#[test]
fn sec_11_a_call_costs_the_same_however_many_wait() {
    let time = |calls: usize| {
        let mut world = World::silent();
        let publish = presence("<a/>");
        let start = Instant::now();
        for _ in 0..calls {
            world.command(Command::Publish(Box::new(publish.clone())));
        }
        start.elapsed().as_secs_f64()
    };
    let ratio = || time(160_000) / (0..3).map(|_| time(10_000)).fold(f64::MAX, f64::min);
    // Sixteen where each call costs the same; 160 and more where it looks at all that wait.
    let ratios: Vec<f64> = (0..3).map(|_| ratio()).take_while(|ratio| *ratio > 60.0).collect();
    assert!(ratios.len() < 3, "sixteen times the calls took {ratios:?} times as long");
}

/// Compares an input with one sixteen times as long. Linear work takes 16 times as long, quadratic
/// work 256 times; 100 lies far from both, and the fastest of several runs stands for each size.
fn check_growth<F: FnMut()>(name: &str, shape: impl Fn(usize) -> F) {
    let (mut small, mut large) = (shape(SMALL), shape(16 * SMALL));
    let mut ratio = f64::MAX;
    for _ in 0..5 {
        let small = fastest(64, &mut small).max(Duration::from_nanos(200));
        ratio = ratio.min(fastest(4, &mut large).as_secs_f64() / small.as_secs_f64());
        if ratio < 100.0 {
            return;
        }
    }
    panic!("{name}: sixteen times as long took {ratio:.0} times as long");
}

fn fastest(runs: usize, run: &mut impl FnMut()) -> Duration {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..runs).map(|_| time(run)).min().expect("a run")
}

/// Elements of the smaller input: 16 times as many make a datagram of 60 kB and less.
const SMALL: usize = 400;

fn request(headers: &str) -> String {
    format!(
        "INVITE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
    )
}

fn list(element: &str, n: usize) -> String {
    vec![element; n].join(", ")
}

fn params(n: usize) -> String {
    (0..n).map(|at| format!(";p{at}")).collect()
}
