//! What lists show, under the names that scripts know from `info()`.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Refusal, RefusalKind};
use crate::command::{EntityTag, PublicationInfo};

/// One script.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScriptRow {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Where it stands: `running stale hold failed`, or `starting` until its first top level has ended.
    pub state: String,
    /// Which version of it runs; the first is 1.
    pub generation: u64,
    /// The last error, in one line.
    pub error: Option<String>,
    /// Heap in bytes.
    pub memory: u64,
    /// How many publications it owns.
    pub publications: u64,
    /// How many subscriptions it owns.
    pub subscriptions: u64,
    /// How many timers are set.
    pub timers: u64,
}

/// One timer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimerRow {
    /// Whose it is.
    pub script: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How it was made: `every`, `after`, `at` or `cron`.
    pub kind: String,
    /// When it fires, in words.
    pub schedule: String,
    /// When it fires next, in UNIX seconds.
    pub next: Option<f64>,
    /// How often it has run.
    pub runs: u64,
    /// How many firings were left out.
    pub missed: u64,
    /// Whether its handler is at work.
    pub running: bool,
}

/// Returns a publication as `info()` shows it.
pub fn publication(info: &PublicationInfo) -> Value {
    json!({
        "key": info.key.as_str(),
        "presentity_uri": &*info.presentity_uri,
        "event": &*info.event,
        "id": &*info.id,
        "owner": info.owner.to_string(),
        "state": info.state.as_str(),
        "etag": info.entity_tag.as_ref().map(EntityTag::as_str),
        "expires_at": info.expires_at,
        "next_refresh": info.next_refresh,
        "status": info.status,
        "reason": info.reason.as_deref(),
        "requests": info.requests,
        "failures": info.failures,
        "last_error": info.last_error.as_deref(),
    })
}

/// Returns the publication that `text` means, with its document: the one of this key, or else the only
/// one whose key holds the text.
///
/// # Errors
/// When there is none, or more than one.
pub fn show(infos: &[PublicationInfo], text: &str) -> Result<Value, Refusal> {
    let meant: Vec<_> = match infos.iter().find(|info| info.key.as_str() == text) {
        Some(info) => vec![info],
        None => infos.iter().filter(|info| info.key.as_str().contains(text)).collect(),
    };
    match meant[..] {
        [info] => {
            let mut shown = publication(info);
            let document = info.document.as_ref();
            shown["content_type"] = json!(document.map(|document| &*document.content_type));
            // A document that is no text is shown as well as can be.
            shown["body"] = json!(document.map(|document| String::from_utf8_lossy(&document.body)));
            Ok(shown)
        }
        [] => Err(Refusal::new(
            RefusalKind::NotFound,
            format!("no publication has {text:?} in its key; `puad ls publications` shows all"),
        )),
        _ => Err(Refusal {
            kind: RefusalKind::Ambiguous,
            message: format!("{text:?} is in the keys of {} publications", meant.len()),
            candidates: meant.iter().take(CANDIDATES).map(|info| info.key.to_string()).collect(),
        }),
    }
}

/// How many publications an ambiguous text lists.
const CANDIDATES: usize = 20;
