//! The proxy as its users meet it: over real sockets, against real upstreams, with every byte searched for secrets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

mod architecture;
mod config;
mod credentials;
mod embedding;
mod headers;
mod oracle;
mod paths;
#[cfg(feature = "sigv4")]
mod s3;
mod services;
mod status;
mod streaming;
mod tokens;
mod traffic;
mod websocket;
mod wire;
