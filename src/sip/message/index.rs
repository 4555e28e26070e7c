//! One pass over a head: where its lines are, by name.
//!
//! An [`Index`] is scratch space that is used again for every message, so that
//! reading one allocates nothing. Values stay bytes: an octet that is not
//! UTF-8 concerns the header it stands in and no other.

use std::fmt;

use memchr::memchr;

use super::{Name, ParseError, value};

/// Scratch space for reading messages.
#[derive(Default)]
pub struct Index {
    entries: Vec<Entry>,
    /// The head with folds replaced, when there were any.
    unfolded: Vec<u8>,
    /// The first line that is no header, or one header too many.
    fault: Option<ParseError>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    line: u32,
    name_end: u32,
    value: u32,
    end: u32,
}

/// A message whose lines are known. Nothing about values has been checked.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    head: &'a [u8],
    entries: &'a [Entry],
    /// The first line.
    pub start: StartLine<'a>,
    /// The octets after the head.
    pub body: &'a [u8],
    /// A line that is no header, or one header too many; the other lines can still be answered.
    pub fault: Option<ParseError>,
}

/// The first line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Method and Request-URI as written.
    Request { method: &'a str, uri: &'a str },
    /// Code and reason phrase.
    Response { code: u16, reason: &'a str },
    /// A request that cannot be taken, and why.
    BadRequest(ParseError),
    /// A response that cannot be taken, and why.
    BadResponse(ParseError),
}

/// One header line.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// What it is called.
    pub name: Name,
    /// The name as written.
    pub raw_name: &'a [u8],
    /// The value without surrounding blanks.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Returns the value as text.
    ///
    /// # Errors
    /// When it is not UTF-8, or holds a CR, which ends lines for some readers and not for others.
    pub fn text(&self) -> Result<&'a str, ParseError> {
        std::str::from_utf8(self.value)
            .ok()
            .filter(|_| memchr(b'\r', self.value).is_none())
            .ok_or(ParseError::Malformed(self.name))
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is left in it of the last message is nobody's business.
        f.debug_tuple("Index").field(&self.entries.len()).finish()
    }
}

impl Index {
    /// Reads the lines of a message. `bytes` starts with the start line; `headers` bounds their count.
    ///
    /// # Errors
    /// When the head does not end.
    pub fn read<'a>(
        &'a mut self,
        bytes: &'a [u8],
        headers: usize,
    ) -> Result<Message<'a>, ParseError> {
        let (body, folded) = self.scan(bytes, headers)?;
        if !folded {
            let (start, _) = line_at(bytes, 0).ok_or(ParseError::Truncated)?;
            return Ok(Message {
                head: bytes,
                entries: &self.entries,
                start: StartLine::parse(start),
                body: &bytes[body..],
                fault: self.fault,
            });
        }
        self.unfolded.clear();
        unfold_into(&mut self.unfolded, &bytes[..body]);
        let unfolded = std::mem::take(&mut self.unfolded);
        // A line that was no header before it was joined with another is none after (3261 §7.3.1).
        let fault = self.fault;
        let scanned = self.scan(&unfolded, headers);
        self.unfolded = unfolded;
        self.fault = fault.or(self.fault);
        scanned?;
        let head = &self.unfolded[..];
        let (start, _) = line_at(head, 0).ok_or(ParseError::Truncated)?;
        Ok(Message {
            head,
            entries: &self.entries,
            start: StartLine::parse(start),
            body: &bytes[body..],
            fault: self.fault,
        })
    }

    /// Fills `entries`; returns where the body begins and whether a line was folded.
    fn scan(&mut self, bytes: &[u8], headers: usize) -> Result<(usize, bool), ParseError> {
        self.entries.clear();
        self.fault = None;
        let mut folded = false;
        let (_, mut at) = line_at(bytes, 0).ok_or(ParseError::Truncated)?;
        loop {
            let (line, next) = line_at(bytes, at).ok_or(ParseError::Truncated)?;
            match line.first() {
                None => return Ok((next, folded)),
                Some(b' ' | b'\t') => {
                    // The first header cannot continue anything.
                    if self.entries.is_empty() {
                        self.fault = self.fault.or(Some(ParseError::HeaderLine));
                    } else {
                        folded = true;
                    }
                }
                Some(_) => {
                    let colon = memchr(b':', line).unwrap_or(0);
                    let name = trim_end(&line[..colon]);
                    if !super::is_token(name) || self.entries.len() == headers {
                        let full = self.entries.len() == headers;
                        let fault =
                            if full { ParseError::TooManyHeaders } else { ParseError::HeaderLine };
                        self.fault = self.fault.or(Some(fault));
                        at = next;
                        continue;
                    }
                    let value = trim_end(&line[colon + 1..]);
                    let value_trimmed = trim_start(value);
                    let start = at + colon + 1 + (value.len() - value_trimmed.len());
                    self.entries.push(Entry {
                        name: Name::of(name),
                        line: at as u32,
                        name_end: (at + name.len()) as u32,
                        value: start as u32,
                        end: (start + value_trimmed.len()) as u32,
                    });
                }
            }
            at = next;
        }
    }
}

impl<'a> Message<'a> {
    /// Returns all header lines in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'a>> + use<'a> {
        let (head, entries) = (self.head, self.entries);
        entries.iter().map(move |e| Field {
            name: e.name,
            raw_name: &head[e.line as usize..e.name_end as usize],
            value: &head[e.value as usize..e.end as usize],
        })
    }

    /// Returns the lines of one name in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.fields().filter(move |field| field.name == name)
    }

    /// Returns the first value of a name as text; `None` when absent or not UTF-8.
    pub fn get(&self, name: Name) -> Option<&'a str> {
        self.all(name).next().and_then(|field| field.text().ok())
    }

    /// Returns the value of a header that must be there exactly once.
    ///
    /// # Errors
    /// When it is absent, repeated or not UTF-8.
    pub fn single(&self, name: Name) -> Result<&'a str, ParseError> {
        let mut all = self.all(name);
        let first = all.next().ok_or(ParseError::Missing(name))?;
        if all.next().is_some() {
            return Err(ParseError::Repeated(name));
        }
        first.text()
    }

    /// Returns the values of a list header, comma lists and repeated rows alike (3261 §7.3.1).
    pub fn list(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(name).filter_map(|field| field.text().ok()).flat_map(value::split_list)
    }

    /// Returns the topmost Via.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub fn top_via(&self) -> Result<value::Via<'a>, ParseError> {
        let field = self.all(Name::Via).next().ok_or(ParseError::Missing(Name::Via))?;
        let first =
            value::split_list(field.text()?).next().ok_or(ParseError::Malformed(Name::Via))?;
        value::Via::parse(first)
    }

    /// Returns CSeq.
    ///
    /// # Errors
    /// When it is absent, repeated or malformed.
    pub fn cseq(&self) -> Result<value::CSeq<'a>, ParseError> {
        value::CSeq::parse(self.single(Name::CSeq)?)
    }

    /// Returns Content-Length; `None` when absent.
    ///
    /// # Errors
    /// When it is no number or two rows differ.
    pub fn content_length(&self) -> Result<Option<usize>, ParseError> {
        let mut length = None;
        for field in self.all(Name::ContentLength) {
            let text = field.text().map_err(|_| ParseError::ContentLength)?;
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ParseError::ContentLength);
            }
            let value = text.parse::<usize>().map_err(|_| ParseError::ContentLength)?;
            if length.is_some_and(|length| length != value) {
                return Err(ParseError::ContentLength);
            }
            length = Some(value);
        }
        Ok(length)
    }

    /// Checks what every reader needs: start line, Via, From, To, CSeq and Call-ID where they are
    /// there, and the numbers in them. Presence is not asked for: an answer names what is missing.
    ///
    /// # Errors
    /// Names the first thing wrong.
    pub fn check_grammar(&self) -> Result<(), ParseError> {
        match self.start {
            StartLine::BadRequest(error) | StartLine::BadResponse(error) => return Err(error),
            StartLine::Response { .. } => {}
            StartLine::Request { uri, .. } => {
                let uri = super::UriRef::parse(uri).map_err(|_| ParseError::RequestUri)?;
                // A Request-URI has no headers (3261 §19.1.1).
                if uri.is_sip() && uri.has_headers() {
                    return Err(ParseError::RequestUri);
                }
            }
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for field in self.fields() {
            match field.name {
                Name::Via => {
                    for via in value::split_list(field.text()?) {
                        value::Via::parse(via)?;
                    }
                }
                Name::From | Name::To => {
                    value::NameAddr::parse(field.text()?)
                        .map_err(|_| ParseError::Malformed(field.name))?;
                }
                Name::CSeq => {
                    value::CSeq::parse(field.text()?)?;
                }
                Name::CallId => {
                    let text = field.text()?;
                    if text.is_empty() || text.bytes().any(|b| b <= b' ' || b == 0x7f) {
                        return Err(ParseError::Malformed(Name::CallId));
                    }
                }
                _ => {}
            }
        }
        self.content_length()?;
        Ok(())
    }
}

impl<'a> StartLine<'a> {
    fn parse(line: &'a [u8]) -> Self {
        // `SIP/` in front of anything is a status line; a method cannot hold the slash.
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            return Self::parse_status(line).unwrap_or_else(Self::BadResponse);
        }
        Self::parse_request(line).unwrap_or_else(Self::BadRequest)
    }

    fn parse_status(line: &'a [u8]) -> Result<Self, ParseError> {
        let line = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
        let (version, rest) = line.split_once(' ').ok_or(ParseError::StartLine)?;
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(ParseError::Version);
        }
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::StartLine);
        }
        let code = code.parse().map_err(|_| ParseError::StartLine)?;
        if !(100..=699).contains(&code) {
            return Err(ParseError::StartLine);
        }
        Ok(Self::Response { code, reason })
    }

    fn parse_request(line: &'a [u8]) -> Result<Self, ParseError> {
        let line = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
        let mut parts = line.split(' ');
        let (Some(method), Some(uri), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseError::StartLine);
        };
        if !super::is_token(method.as_bytes()) || uri.is_empty() {
            return Err(ParseError::StartLine);
        }
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            let is_version =
                version.len() > 4 && version.as_bytes()[..4].eq_ignore_ascii_case(b"SIP/");
            return Err(if is_version { ParseError::Version } else { ParseError::StartLine });
        }
        Ok(Self::Request { method, uri })
    }
}

/// Returns the line at `at` without its end, and where the next one begins. CRLF and LF both end lines.
fn line_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr(b'\n', rest)?;
    let line = &rest[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1))
}

/// Copies a head with every fold replaced by one space (3261 §7.3.1). The start line has none (§7.1),
/// so that neither it nor the line after it is joined to anything.
fn unfold_into(out: &mut Vec<u8>, head: &[u8]) {
    let (mut at, mut lines) = (0, 0);
    while let Some((line, next)) = line_at(head, at) {
        lines += 1;
        match line.first() {
            Some(b' ' | b'\t') if lines > 2 => {
                // Take back the line end that was written for the line before.
                out.truncate(out.len() - 2);
                let kept = trim_end(out).len();
                out.truncate(kept);
                out.push(b' ');
                out.extend_from_slice(trim_start(line));
            }
            _ => out.extend_from_slice(line),
        }
        out.extend_from_slice(b"\r\n");
        at = next;
    }
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}
