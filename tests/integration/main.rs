//! The proxy as its users meet it: over real sockets, against real upstreams, with every byte searched for secrets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

mod support;

mod attacks;
mod config;
mod embedding;
mod gateway;
mod headers;
mod oracle;
mod paths;
mod status;
mod streaming;
mod tokens;
mod websocket;
mod wire;
