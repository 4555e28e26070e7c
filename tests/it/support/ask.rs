//! Requests that strangers send to puad, written by the simplest means.

use std::fmt::Write as _;

/// A request being written; every part has a sound default.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    uri: String,
    vias: Vec<String>,
    from: String,
    to: String,
    call_id: String,
    cseq: String,
    more: Vec<(String, String)>,
    body: String,
}

impl Ask {
    /// A request from `192.0.2.1:5060` over UDP, outside any dialog. Branch and Call-ID are made from `id`.
    pub fn new(method: &str, id: &str) -> Self {
        Self {
            method: method.into(),
            uri: "sip:puad@192.0.2.10:5070".into(),
            vias: vec![format!("SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK{id}")],
            from: "<sip:peer@192.0.2.1>;tag=p1".into(),
            to: "<sip:puad@192.0.2.10>".into(),
            call_id: format!("{id}@192.0.2.1"),
            cseq: format!("1 {method}"),
            more: Vec::new(),
            body: String::new(),
        }
    }

    pub fn options(id: &str) -> Self {
        Self::new("OPTIONS", id)
    }

    pub fn uri(mut self, uri: &str) -> Self {
        self.uri = uri.into();
        self
    }

    /// Replaces all Vias by these rows.
    pub fn vias(mut self, rows: &[&str]) -> Self {
        self.vias = rows.iter().map(|row| (*row).to_owned()).collect();
        self
    }

    pub fn from(mut self, from: &str) -> Self {
        self.from = from.into();
        self
    }

    pub fn to(mut self, to: &str) -> Self {
        self.to = to.into();
        self
    }

    pub fn call_id(mut self, call_id: &str) -> Self {
        self.call_id = call_id.into();
        self
    }

    pub fn cseq(mut self, cseq: &str) -> Self {
        self.cseq = cseq.into();
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.more.push((name.into(), value.into()));
        self
    }

    pub fn body(self, content_type: &str, body: &str) -> Self {
        let mut ask = self.with("Content-Type", content_type);
        ask.body = body.into();
        ask
    }

    pub fn text(&self) -> String {
        let mut out = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for via in &self.vias {
            let _ = write!(out, "Via: {via}\r\n");
        }
        let _ = write!(out, "Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n", self.from, self.to);
        let _ = write!(out, "Call-ID: {}\r\nCSeq: {}\r\n", self.call_id, self.cseq);
        for (name, value) in &self.more {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        out
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.text().into_bytes()
    }
}
