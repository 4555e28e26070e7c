//! puad runs users' Lua scripts and keeps the SIP event state they publish alive.
//!
//! The crate is the daemon's inside, cut so that each part can be read alone:
//!
//! - [`command`]: what a user may ask, parsed and checked;
//! - [`sip`]: the user-agent core, pure: no clock, sockets, files, randomness, tokio or Lua;
//! - [`body`]: documents such as PIDF and message-summary, pure as well;
//! - [`net`] and [`driver`]: sockets and the one task that owns the core;
//! - [`script`]: the Lua host;
//! - [`observe`] and [`control`]: log and metrics, and the socket for `puad ls` and its like;
//! - [`secret`]: where passwords come from;
//! - [`config`], [`daemon`], [`cli`]: the program around them;
//! - [`agent`] and [`demo`]: a small presence agent and the demonstration that uses it.

pub mod agent;
pub mod body;
pub mod cli;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod driver;
pub mod net;
pub mod observe;
pub mod script;
pub mod secret;
pub mod sip;
