//! Requests and responses, as the compositor and the judge read and write them; apart from the
//! reader under test.

use std::{rc::Rc, time::Duration};

/// A PUBLISH as the compositor and the judge read it.
#[derive(Debug, Clone)]
pub struct Request {
    pub uri: String,
    pub branch: String,
    pub call_id: String,
    pub cseq: String,
    pub event: String,
    pub expires: u64,
    pub if_match: Option<String>,
    pub authorization: Option<String>,
    /// Which publication of the plan it is; the test has puad write that into each request.
    pub key: usize,
    pub body: String,
    via: String,
    from: String,
    to: String,
}

/// A response and what the judge wants to know of it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub delay: Duration,
    pub branch: String,
    pub code: u16,
    pub entity_tag: Option<String>,
    pub expires: Option<u64>,
    pub retry_after: Option<u64>,
    pub bytes: Rc<[u8]>,
}

impl Request {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("all of it is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a start line");
        let mut words = start.split(' ');
        assert_eq!(words.next(), Some("PUBLISH"), "{start}");
        let mut request = Self {
            uri: words.next().expect("a Request-URI").into(),
            branch: String::new(),
            call_id: String::new(),
            cseq: String::new(),
            event: String::new(),
            expires: u64::MAX,
            if_match: None,
            authorization: None,
            key: usize::MAX,
            body: body.into(),
            via: String::new(),
            from: String::new(),
            to: String::new(),
        };
        for line in lines {
            let (name, value) = line.split_once(": ").expect("name and value");
            match name {
                "Via" => {
                    request.via = value.into();
                    let branch = value.split("branch=").nth(1).expect("a branch");
                    request.branch = branch.split(';').next().expect("a value").into();
                }
                "From" => request.from = value.into(),
                "To" => request.to = value.into(),
                "Call-ID" => request.call_id = value.into(),
                "CSeq" => request.cseq = value.into(),
                "Event" => request.event = value.into(),
                "Expires" => request.expires = value.parse().expect("seconds"),
                "SIP-If-Match" => request.if_match = Some(value.into()),
                "Authorization" => request.authorization = Some(value.into()),
                "X-Key" => request.key = value.parse().expect("a number"),
                "Content-Length" => {
                    assert_eq!(value.parse(), Ok(body.len()), "Content-Length of {head}")
                }
                _ => {}
            }
        }
        assert_ne!(request.key, usize::MAX, "no X-Key in {head}");
        request
    }

    /// Starts a response.
    pub fn answer(&self, code: u16) -> Draft {
        let head = format!(
            "SIP/2.0 {code} Reason\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=esc\r\nCall-ID: {}\r\nCSeq: {}\r\n",
            self.via, self.from, self.to, self.call_id, self.cseq
        );
        Draft {
            head,
            answer: Answer {
                delay: Duration::ZERO,
                branch: self.branch.clone(),
                code,
                entity_tag: None,
                expires: None,
                retry_after: None,
                bytes: Rc::from([]),
            },
        }
    }
}

/// A response being written.
pub struct Draft {
    head: String,
    pub answer: Answer,
}

impl Draft {
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        use std::fmt::Write as _;
        let _ = write!(self.head, "{name}: {value}\r\n");
        self
    }

    pub fn done(mut self) -> Answer {
        self.head.push_str("Content-Length: 0\r\n\r\n");
        self.answer.bytes = self.head.into_bytes().into();
        self.answer
    }
}
