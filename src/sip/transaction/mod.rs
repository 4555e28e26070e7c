//! Transactions (3261 §17): repeating a request until it is answered, and answering repeats.

pub mod client;
pub mod server;
mod timers;

pub use client::ClientTransaction;
pub use server::ServerTransaction;
pub use timers::Timing;
