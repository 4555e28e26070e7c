//! Where a message ends: in a datagram, and in a stream cut anywhere (3261 §7.5, §18.3).
//!
//! Reads Content-Length and nothing else of a message.

use std::fmt;

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::{Index, Message, ParseError, mask::Masked};
use crate::sip::config::Limits;

/// What a datagram holds.
#[derive(Debug)]
pub enum Datagram<'a> {
    /// One message, its body cut to Content-Length.
    Message(Message<'a>),
    /// A message with a fault of framing; its head can be answered.
    Faulty(Message<'a>, ParseError),
    /// Blanks, zeros, STUN or noise: nothing to answer.
    Noise,
    /// Something that starts like SIP but has no readable head.
    Unreadable(ParseError),
}

/// Reads a datagram.
pub fn datagram<'a>(index: &'a mut Index, bytes: &'a [u8], limits: &Limits) -> Datagram<'a> {
    // STUN starts with 0 or 1 and is never SIP (5626 §8); keep-alives are blank.
    let Some(start) = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')) else {
        return Datagram::Noise;
    };
    let bytes = &bytes[start..];
    if bytes[0] < 2 {
        return Datagram::Noise;
    }
    let mut message = match index.read(bytes, limits.headers) {
        Ok(message) => message,
        Err(error) => return Datagram::Unreadable(error),
    };
    if bytes.len() - message.body.len() > limits.head {
        return Datagram::Faulty(message, ParseError::HeadTooLarge);
    }
    match message.content_length() {
        Err(error) => Datagram::Faulty(message, error),
        Ok(Some(length)) if length > message.body.len() => {
            Datagram::Faulty(message, ParseError::ContentLength)
        }
        Ok(length) => {
            message.body = &message.body[..length.unwrap_or(message.body.len())];
            if message.body.len() > limits.body {
                return Datagram::Faulty(message, ParseError::BodyTooLarge);
            }
            Datagram::Message(message)
        }
    }
}

/// Cuts a stream into messages.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Up to here no end of a head was found.
    scanned: usize,
    /// Length of the message whose head is complete.
    total: Option<usize>,
}

/// What a stream holds next.
#[derive(Debug)]
pub enum Piece {
    /// A whole message.
    Message(BytesMut),
    /// A double CRLF between messages: a keep-alive that wants one CRLF back (5626 §4.4.1).
    Ping,
    /// A head that cannot be followed by anything: answer it if it is a request, then close.
    Fatal(BytesMut, ParseError),
    /// Nothing more before further bytes arrive.
    Incomplete,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&Masked(&self.buffer)).finish()
    }
}

impl Decoder {
    /// Adds bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns whether a message has begun and not ended; a line end between messages is none.
    pub fn is_halfway(&self) -> bool {
        !self.buffer.is_empty() && !is_start_of_ping(&self.buffer)
    }

    /// Returns the next piece; call until `Incomplete` or `Fatal`.
    pub fn next(&mut self, index: &mut Index, limits: &Limits) -> Piece {
        if self.total.is_none() {
            if let Some(piece) = self.skip_blank_lines() {
                return piece;
            }
            let Some(head) = self.find_head_end() else {
                if self.buffer.len() > limits.head {
                    return self.fatal(ParseError::HeadTooLarge);
                }
                return Piece::Incomplete;
            };
            if head > limits.head {
                return self.fatal(ParseError::HeadTooLarge);
            }
            let length = match index.read(&self.buffer[..head], limits.headers) {
                Ok(message) => message.content_length(),
                Err(error) => Err(error),
            };
            match length {
                Ok(Some(length)) if length > limits.body => {
                    return self.fatal(ParseError::BodyTooLarge);
                }
                Ok(Some(length)) => self.total = Some(head + length),
                Ok(None) => return self.fatal(ParseError::NoContentLength),
                Err(error) => return self.fatal(error),
            }
        }
        match self.total {
            Some(total) if total <= self.buffer.len() => {
                self.total = None;
                self.scanned = 0;
                Piece::Message(self.buffer.split_to(total))
            }
            _ => Piece::Incomplete,
        }
    }

    /// Drops CRLFs in front of a start line; two in a row are a ping.
    fn skip_blank_lines(&mut self) -> Option<Piece> {
        loop {
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return Some(Piece::Ping);
            }
            match &self.buffer[..] {
                // No head to look for yet, and a place in it to remember even less.
                blank if is_start_of_ping(blank) => return Some(Piece::Incomplete),
                [b'\r', b'\n', ..] => self.buffer.advance(2),
                [b'\n', ..] => self.buffer.advance(1),
                _ => return None,
            }
        }
    }

    /// Finds the blank line, going on where the last search ended.
    fn find_head_end(&mut self) -> Option<usize> {
        let mut at = self.scanned;
        while let Some(newline) = memchr(b'\n', &self.buffer[at..]).map(|n| at + n) {
            match &self.buffer[newline + 1..] {
                [b'\n', ..] => return Some(newline + 2),
                [b'\r', b'\n', ..] => return Some(newline + 3),
                [] | [b'\r'] => {
                    self.scanned = newline;
                    return None;
                }
                _ => at = newline + 1,
            }
        }
        self.scanned = self.buffer.len();
        None
    }

    fn fatal(&mut self, error: ParseError) -> Piece {
        self.scanned = 0;
        Piece::Fatal(self.buffer.split(), error)
    }
}

/// Returns whether this is all of a stream that has come, and might become a ping with the next bytes.
fn is_start_of_ping(bytes: &[u8]) -> bool {
    matches!(bytes, b"\r" | b"\r\n" | b"\r\n\r")
}
