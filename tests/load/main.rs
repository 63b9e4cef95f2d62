//! The gateway under load: many connections at once, and traffic that does not end. A process of its own, so that what is
//! counted is its own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

// What the integration tests have for it: more than is used here.
#[path = "../integration/gateway/process.rs"]
#[expect(dead_code, reason = "see above")]
mod process;

mod api;
mod caller;
mod numbers;
mod scale;
mod soak;

use tokio::sync::{Mutex, MutexGuard};

/// One of them at a time: they count what the machine does.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
