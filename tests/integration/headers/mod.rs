//! Which header fields pass, each way.

mod isolation;
mod request;
mod response;
mod spoofed;
