//! A request under way, from its admission to the last byte of both bodies: whose it is, what it holds, what ends it early.
//!
//! A door admits a request for a [`Subject`] and gets [`Admission`], which holds the request's permits. The bodies of the
//! request and of its response each keep a share of it; once the last share is gone, the permits are free. Until then the
//! exchange ends early when its subject's right expires or is revoked, when the door shuts down, when its caller gives up
//! before there is a response, or when nobody reads a body. It knows no door, no token and no upstream.

mod exchanges;
mod interrupts;
mod shutdown;
mod subject;
mod under_way;

pub(crate) use self::{
    exchanges::Exchanges,
    interrupts::Interrupts,
    subject::Subject,
    under_way::{Admission, Exchange, Share},
};
