//! Seeded chance, and what it does to messages.

use super::{
    Sip, torture,
    world::{World, presence},
};

/// A small generator (splitmix64): the same seed gives the same run.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What mutations start from: the torture messages of everyday size, and a PUBLISH and its answers.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<_> = torture::all()
        .into_iter()
        .map(|case| case.bytes)
        .filter(|bytes| bytes.len() < 4096)
        .collect();
    let mut world = World::granting(600);
    world.publish(presence("<open/>"));
    let publish = world.sent[0].bytes.clone();
    corpus.push(Sip::parse(&publish).granted("t1", 600));
    corpus.push(publish);
    corpus
}

pub fn mutated(chance: &mut Chance, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[chance.below(corpus.len())].clone();
    mutate(chance, &mut bytes, corpus);
    bytes
}

pub fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..1 + chance.below(6) {
        let at = chance.below(bytes.len() + 1);
        let to = (at + chance.below(40)).min(bytes.len());
        match chance.below(8) {
            0 => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << chance.below(8);
                }
            }
            1 => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet = chance.next() as u8;
                }
            }
            2 | 3 => {
                let word = WORDS[chance.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            4 => drop(bytes.drain(at..to)),
            5 => {
                let copy = bytes[at..to].to_vec();
                let there = chance.below(bytes.len() + 1);
                bytes.splice(there..there, copy);
            }
            6 if chance.below(4) == 0 => bytes.truncate(at),
            6 => {}
            _ => {
                if let Some(other) = corpus.get(chance.below(corpus.len())) {
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[chance.below(other.len())..]);
                }
            }
        }
    }
}

pub fn cut<'a>(chance: &mut Chance, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let most = if chance.below(3) == 0 { 4 } else { 900 };
        let length = (1 + chance.below(most)).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// What readers stumble over.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\r\n\t\r\n ",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    "é".as_bytes(),
    b"\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"%",
    b"%00",
    b"[",
    b"]",
    b"@",
    b"?",
    b" ",
    b"sip:",
    b"tel:1",
    b";tag=",
    b";lr",
    b";received=",
    b";rport",
    b"z9hG4bK",
    b"4294967296",
    b"99999999999999999999",
    b"-1",
    b"Content-Length: 0\r\n",
    b"l: 9\r\n",
    b"Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n",
    b"SIP/2.0",
    b"INVITE",
    b"CANCEL",
    b"ACK",
];
