//! What is measured about the whole process runs here, one test at a time.

#![allow(unreachable_pub, reason = "one binary; nothing is reachable from outside")]
#![allow(dead_code, reason = "helpers wait for the stories that need them")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, and says where")]
#![allow(unused_imports, reason = "of what tests share, this binary needs a part")]

use std::sync::{Mutex, MutexGuard, PoisonError};

mod core;
mod crowd;
mod isolation;
mod reloads;
#[path = "../it/support/mod.rs"]
mod support;

/// Lets one test run at a time, also after one that has failed.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
