//! What is published, drawn: a table that is kept up to date on a terminal, a line per change
//! anywhere else.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    agent::Counters,
    command::{Document, Key, PublicationInfo},
};

/// The view of the demonstration.
#[derive(Debug)]
pub(super) struct View {
    is_terminal: bool,
    start: Instant,
    /// Lines of the table on the terminal, to be drawn over.
    lines: usize,
    /// What was said of each publication last.
    said: BTreeMap<Key, String>,
}

impl View {
    /// Prints what there is.
    pub(super) fn start(agent: SocketAddr, mailbox: &Path) -> io::Result<Self> {
        let is_terminal = io::stdout().is_terminal();
        let mut out = String::new();
        let _ =
            writeln!(out, "puad demo: a presence agent and two scripts, all inside this process.");
        let _ = writeln!(out, "  agent    udp and tcp {agent}");
        let _ = writeln!(out, "  cpu.lua  publishes the CPU use of this machine every 2 s");
        let _ = writeln!(out, "  mwi.lua  publishes the voicemail lamp of {}", mailbox.display());
        let _ = writeln!(
            out,
            "Put a file into {}/new and see the lamp. Ctrl-C ends it.\n",
            mailbox.display()
        );
        write(&out)?;
        Ok(Self { is_terminal, start: Instant::now(), lines: 0, said: BTreeMap::new() })
    }

    /// Shows how things stand.
    pub(super) fn draw(
        &mut self,
        infos: &[PublicationInfo],
        counters: &Counters,
    ) -> io::Result<()> {
        if self.is_terminal { self.draw_table(infos, counters) } else { self.say_changes(infos) }
    }

    fn draw_table(&mut self, infos: &[PublicationInfo], counters: &Counters) -> io::Result<()> {
        let mut rows = vec![row("KEY", "STATE", "EXPIRES", "DOCUMENT", "ETAG")];
        for info in infos {
            let expires = expires_in(info).map_or("-".into(), |left| format!("{left:.0} s"));
            let key = info.key.as_str().trim_end_matches(" default");
            rows.push(row(key, info.state.as_str(), &expires, &note(info), tag(info)));
        }
        rows.push(String::new());
        rows.push(seen(counters));
        let width = columns();
        let mut out = String::new();
        if self.lines > 0 {
            let _ = write!(out, "\x1b[{}A", self.lines);
        }
        for line in &rows {
            let cut: String = line.chars().take(width).collect();
            let _ = writeln!(out, "{cut}\x1b[K");
        }
        // What an earlier, longer table left below.
        out.push_str("\x1b[J");
        self.lines = rows.len();
        write(&out)
    }

    /// Says what differs from the last look; expiry alone is no news.
    fn say_changes(&mut self, infos: &[PublicationInfo]) -> io::Result<()> {
        let mut out = String::new();
        for info in infos {
            let news = format!("{}  etag {}  {}", info.state.as_str(), tag(info), note(info));
            if self.said.get(&info.key) != Some(&news) {
                let expires = expires_in(info)
                    .map_or(String::new(), |left| format!("  expires in {left:.0} s"));
                let _ = writeln!(
                    out,
                    "{:>6.1} s  {}  {news}{expires}",
                    self.start.elapsed().as_secs_f32(),
                    info.key
                );
                self.said.insert(info.key.clone(), news);
            }
        }
        write(&out)
    }

    /// Says how it ended.
    pub(super) fn finish(&self, counters: &Counters, left: usize) -> io::Result<()> {
        let end = match left {
            0 => "everything that was published has been removed".into(),
            left => format!("{left} publications are left to run out"),
        };
        write(&format!("\nDone: {end}.\n{}\n", seen(counters)))
    }
}

/// One line of the table; what moves stands where a narrow terminal still shows it.
fn row(key: &str, state: &str, expires: &str, document: &str, tag: &str) -> String {
    format!("{key:<40} {state:<9} {expires:<7} {document:<21} {tag}")
}

fn seen(counters: &Counters) -> String {
    let Counters { initial, modify, refresh, remove, refused, .. } = counters;
    format!(
        "The agent has seen {initial} initial, {modify} modify, {refresh} refresh and {remove} remove; it refused {refused}."
    )
}

fn tag(info: &PublicationInfo) -> &str {
    info.entity_tag.as_ref().map_or("-", |tag| tag.as_str())
}

fn expires_in(info: &PublicationInfo) -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    info.expires_at.map(|at| (at - now).max(0.0))
}

fn note(info: &PublicationInfo) -> String {
    info.document.as_ref().map(summary).unwrap_or_default()
}

/// Returns what a document says in a few words: the note of a presence document, or the counts of
/// a lamp.
fn summary(document: &Document) -> String {
    let text = String::from_utf8_lossy(&document.body);
    if let Some((_, rest)) = text.split_once("<note>")
        && let Some((note, _)) = rest.split_once("</note>")
    {
        return quick_xml::escape::unescape(note)
            .map_or_else(|_| note.to_owned(), |note| note.into_owned());
    }
    match text.lines().find_map(|line| line.strip_prefix("Voice-Message: ")) {
        Some(counts) => {
            let (new, old) = counts.split_once('/').unwrap_or((counts, "0"));
            let lamp = if text.starts_with("Messages-Waiting: yes") { "on" } else { "off" };
            format!("lamp {lamp}, {new} new, {old} old")
        }
        None => format!("{} bytes of {}", document.body.len(), document.content_type),
    }
}

/// Columns of the terminal; those of the first ones where it does not say.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

/// A reader that has gone away has seen enough.
fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_told_in_a_few_words() {
        let told =
            |content_type: &str, body: &'static str| summary(&Document::new(content_type, body));
        assert_eq!(
            told("application/pidf+xml", "<p><note>50% &amp; more</note></p>"),
            "50% & more"
        );
        let lamp = "Messages-Waiting: yes\r\nVoice-Message: 2/1\r\n";
        assert_eq!(told("application/simple-message-summary", lamp), "lamp on, 2 new, 1 old");
        assert_eq!(told("text/plain", "hello"), "5 bytes of text/plain");
    }
}
