//! What people and machines see of a running puad: the log, and figures.

pub mod log;
pub mod metrics;
pub mod recent;
