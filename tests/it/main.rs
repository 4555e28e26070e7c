//! The conformance stories and everything else that needs no real peer, in one binary.

#![allow(unreachable_pub, reason = "one binary; nothing is reachable from outside")]
#![allow(dead_code, reason = "helpers wait for the stories that need them")]

mod layering;
mod defence;
mod incoming;
mod publish;
mod script;
mod response;
mod support;
mod transaction;
mod transport;
