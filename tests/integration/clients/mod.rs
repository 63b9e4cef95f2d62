//! Unmodified clients through the gateway, which they take for the API itself.

mod anthropic;
mod api;
mod browser;
mod gemini;
mod git;
mod git_server;
pub(crate) mod matrix;
mod openai;
mod slack;
mod sockets;
mod stage;
mod stripe;
