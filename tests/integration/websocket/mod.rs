//! WebSockets, byte by byte: what each side sends, what the other receives, and when they end.

mod ends;
mod handshake;
pub(crate) mod http2;
pub(crate) mod peer;
pub(crate) mod tokens;
mod volume;
