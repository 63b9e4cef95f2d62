//! What every way in has in common: [`Rejection`]s, [`Cors`], and the futures and bodies of the services.
//!
//! A door is a way into an application: [`proxy`](crate::proxy) is one. It finds out who asks and what for. What stops at any
//! door is answered with a response that tells a [`Code`], and has the [`Rejection`] in its extensions, for layers outside.

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
