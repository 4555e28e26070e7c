//! Stories with real peers: Kamailio as presence server, SIPp as a server with a will of its own.
//!
//! What needs no real peer is in `tests/it`. Every story starts its own peers on ports of their
//! own, in a folder of its own, and ends them. `tests/run` installs the programs.

#![allow(unreachable_pub, reason = "one binary; nothing is reachable from outside")]
#![allow(dead_code, reason = "the message reader is shared with tests/it")]

mod kamailio;
mod process;
mod puad;
#[path = "../it/support/sip.rs"]
mod sip;
mod sipp;
mod watcher;

mod digest;
mod outage;
mod presence;
mod program;
mod transport;
mod unwilling;
