//! WebSockets, byte by byte: what each side sends, what the other receives, and when they end.

mod ahead;
mod ends;
mod handshake;
mod http2;
mod tokens;
mod volume;
