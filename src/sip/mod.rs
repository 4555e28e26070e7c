//! The SIP user-agent core: a plain value without clock, sockets, files, randomness or Lua.
//!
//! [`Uac`] takes [`Input`](io::Input) and gives [`Output`](io::Output); everything it
//! knows of the world comes through those two types, so a week of refreshes is
//! tested in a millisecond and the same seed gives the same bytes.

pub mod auth;
pub mod config;
mod flows;
pub mod ids;
pub mod io;
mod locate;
pub mod message;
mod package;
mod publication;
mod request;
pub mod stats;
mod timers;
pub mod transaction;
mod uac;
mod uas;
mod wire;

pub use config::{Account, Config, Limits, Secret};
pub use package::document_type;
pub use publication::is_temporary;
pub use uac::Uac;
pub(crate) use uas::stamp_via;

/// Says why requests cannot be sent to a URI, as far as that is known without asking anybody.
///
/// # Errors
/// With one line for whoever wrote the URI.
pub fn check_next_hop(uri: &message::Uri) -> Result<(), String> {
    locate::check(uri).map_err(|error| error.to_string())
}
