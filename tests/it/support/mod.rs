//! The world of the conformance stories: a clock, a wire and a scripted peer around one core.

pub mod ask;
pub mod bare;
pub mod certificates;
pub mod chance;
pub mod digest;
pub mod exposition;
pub mod house;
pub mod listener;
pub mod lua;
pub mod program;
pub mod raw;
pub mod server;
pub mod sip;
pub mod torture;
pub mod world;

pub use ask::Ask;
pub use sip::Sip;
pub use world::secs;
