//! What a failed transfer means: the code a script branches on, and one line.

use std::{error::Error, io};

use super::super::{super::tls, outside::Trouble};

/// A name without addresses.
#[derive(Debug, thiserror::Error)]
#[error("no address for {name}: {why}")]
pub(super) struct NoAddress {
    pub(super) name: String,
    pub(super) why: String,
}

/// Finds the innermost cause that says something.
pub(super) fn trouble(error: &reqwest::Error) -> Trouble {
    let mut found = None;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        // An outer error knows less than those inside it.
        found = judge(error).or(found);
        next = error.source();
    }
    found.unwrap_or_else(|| Trouble::new("io", innermost(error)))
}

fn judge(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(error) = error.downcast_ref::<NoAddress>() {
        return Some(Trouble::new("dns", error.to_string()));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(Trouble::new("tls", tls::explain(error)));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What it wraps is passed over by its `source`.
        return match error.get_ref() {
            Some(inner) => judge(inner).or_else(|| Some(of_io(error))),
            None => Some(of_io(error)),
        };
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_incomplete_message() {
        return Some(Trouble::new("io", "the connection was closed before the answer was whole"));
    }
    error.is_parse().then(|| Trouble::new("http", format!("not an HTTP answer: {error}")))
}

fn of_io(error: &io::Error) -> Trouble {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::TimedOut => "timeout",
        // The reader of chunks says so of what is no chunk.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "http",
        _ => "io",
    };
    Trouble::new(code, error.to_string())
}

fn innermost(error: &dyn Error) -> String {
    let mut last = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        last = error.to_string();
        next = error.source();
    }
    last
}
