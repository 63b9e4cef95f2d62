//! The back door: the only place from which anything is sent.
//!
//! [`Client`] is the default outbound service. Anything that is a `tower::Service<Request<Body>>` can take its place,
//! see [`ProxyLayer::client`](crate::ProxyLayer::client); the rules on headers and paths stay the proxy's own.
//!
//! # Which headers pass
//!
//! Of a request, before `transform`: not the token, wherever it stands; not `Authorization`, `Cookie`, `x-api-key` and
//! their kind, nor any header a registered service injects to, also spelled with `_`; not what belongs to the
//! connection (RFC 9110 §7.6.1); not `Forwarded`, `X-Forwarded-*`, `Via`, `Origin`, `Referer` and others that say who
//! calls from where. Everything else passes, in its order, duplicates kept.
//!
//! Of a response: not what belongs to the connection; not `Set-Cookie`, `Alt-Svc`, `Strict-Transport-Security`,
//! `Access-Control-*`, `X-Accel-*` and others that act on the host application; no header that shows the credential.
//! `Location`, `Content-Location` and `Link` to the target are rewritten to lead through the proxy. `Cache-Control`
//! becomes `private`, `X-Content-Type-Options: nosniff` and, for HTML and SVG, `Content-Security-Policy: sandbox` are
//! added.
//!
//! A service may let named headers through: [`Policy`](crate::Policy).

mod client;
mod error;
pub(crate) mod headers;
mod location;
pub(crate) mod path;
mod stream;

pub use self::{
    client::{Client, ResponseFuture},
    error::UpstreamError,
    path::PathProblem,
};

pub(crate) use self::{location::Rewrite, stream::CameOver};
