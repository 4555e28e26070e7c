//! What puad tells about itself to those who watch over it.

pub mod metrics;
