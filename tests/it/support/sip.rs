//! Messages as tests see and write them; deliberately not the reader under test.

use std::fmt::Write as _;

/// A message cut into lines by the simplest means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Sip {
    /// Cuts a message that puad wrote.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a blank line");
        let head = std::str::from_utf8(&bytes[..end]).expect("UTF-8 head");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a start line").to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) =
                    line.split_once(": ").unwrap_or_else(|| panic!("no colon in {line:?}"));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Self { start, headers, body: bytes[end + 4..].to_vec() }
    }

    /// The only value of a header; panics when there are several.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands {} times in {self:?}", all.len());
        all.first().copied()
    }

    /// The value of a header that must be there.
    pub fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect()
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().expect("a word")
    }

    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).expect("two words")
    }

    /// Status code of a response.
    pub fn code(&self) -> u16 {
        self.uri().parse().expect("a code")
    }

    pub fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/")
    }

    /// A parameter of the only value of a header.
    pub fn param(&self, header: &str, name: &str) -> Option<String> {
        self.need(header).split(';').skip(1).find_map(|param| {
            let (n, v) = param.split_once('=').unwrap_or((param, ""));
            (n == name).then(|| v.to_owned())
        })
    }

    pub fn branch(&self) -> String {
        let via = self.all("Via")[0];
        via.split("branch=")
            .nth(1)
            .expect("a branch")
            .split([';', ','])
            .next()
            .expect("a value")
            .to_owned()
    }

    /// Number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.need("CSeq").split(' ').next().expect("a number").parse().expect("a number")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    /// Starts a response to this request.
    pub fn answer(&self, code: u16) -> Answer {
        let mut head = format!("SIP/2.0 {code} Reason {code}\r\n");
        for via in self.all("Via") {
            let _ = write!(head, "Via: {via}\r\n");
        }
        for name in ["From", "Call-ID", "CSeq"] {
            let _ = write!(head, "{name}: {}\r\n", self.need(name));
        }
        let _ = write!(head, "To: {};tag=peer\r\n", self.need("To"));
        Answer { head, body: Vec::new() }
    }

    /// A 200 with this entity-tag and lifetime.
    pub fn granted(&self, entity_tag: &str, expires: u32) -> Vec<u8> {
        self.answer(200).header("SIP-ETag", entity_tag).header("Expires", expires).bytes()
    }
}

/// A response being written.
pub struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _ = write!(self.head, "{name}: {value}\r\n");
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut out = self.head;
        let _ = write!(out, "Content-Length: {}\r\n\r\n", self.body.len());
        let mut out = out.into_bytes();
        out.extend(self.body);
        out
    }
}
