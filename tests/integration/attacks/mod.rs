//! What attackers tried: each of these once looked like a way in.

mod answer;
mod caller;
mod credential;
mod endings;
mod h2c;
mod hosts;
mod leases;
#[cfg(feature = "sigv4")]
mod s3;
mod services;
mod sources;
mod token;
mod uploads;
mod websocket;
