//! What people and machines see of a running puad: the log, and the pages for Prometheus.
//!
//! Where the numbers come from is known to [`daemon`](crate::daemon); questions
//! asked from a terminal are the business of [`control`](crate::control).

pub mod http;
pub mod log;
pub mod metrics;
pub mod page;
pub mod recent;
