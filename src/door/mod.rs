//! What every way in has in common: [`Rejection`]s, [`Cors`], and the futures and bodies of the services.
//!
//! A door is a way into an application: [`proxy`](crate::proxy) is one. It finds out who asks and what for. What stops at any
//! door is answered with a response that tells a [`Code`], and has the [`Rejection`] in its extensions, for layers outside.
//!
//! # Inside
//!
//! A door does four things; `skeleton.rs` is one in little more than a hundred lines.
//!
//! 1. It checks the message (`intake`), and finds out who asks and what for, in its own way.
//! 2. It admits the request for a subject (`exchange`), which takes the request's permits.
//! 3. It takes out what is its caller's alone, and hands the request over (`forward`), with the rules by which something is
//!    injected, and by which the response comes back.
//! 4. It refuses what stopped on the way, in a format of its own.

mod cors;
mod future;
pub(crate) mod intake;
mod panic;
mod refusal;
#[cfg(test)]
mod skeleton;

pub use self::{
    cors::Cors,
    future::{InfallibleFuture, ResponseBody, ResponseFuture},
};
pub use crate::rejection::{Code, Reason, Rejection};

pub(crate) use self::{
    panic::CatchPanic,
    refusal::{RefusalFormat, refuse},
};
