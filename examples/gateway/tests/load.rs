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

#[expect(dead_code, reason = "the integration tests use more of it")]
mod process;

mod load {
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
}
