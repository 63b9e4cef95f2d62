//! The gateway as its operators run it: a process, a file, and clients that know nothing of it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

mod clients;
mod gateway;
mod process;
