//! Bodies that come and go piece by piece, and when they end.

mod aborted;
mod endings;
mod http2;
mod live;
pub(crate) mod places;
pub(crate) mod scene;
mod unread;
mod uploads;
