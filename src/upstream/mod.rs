//! The back door: the only place from which anything is sent.
//!
//! [`Client`] is the default outbound service. Anything that is a `tower::Service<Request<Body>>` can take its place,
//! see [`ProxyLayer::client`](crate::ProxyLayer::client); the rules on headers and paths stay the proxy's own.
//!
//! # Which headers pass
//!
//! These headers of a request are taken out before `transform`, also where another character stands for `-` in their
//! names. [`Context::taken_headers`](crate::Context::taken_headers) has them, except those of the connection.
//!
//! | what | headers |
//! | --- | --- |
//! | the token | any header that shows it: raw, percent-encoded or in Basic |
//! | credentials | `Authorization`, `Proxy-Authorization`, `Cookie`, `Cookie2`, `X-API-Key`, `API-Key`, `ApiKey`, `X-Goog-API-Key`, `X-Auth-Token`, `X-Amz-Security-Token`, and every header that any service injects |
//! | who calls, from where | `Forwarded`, `X-Forwarded`, `X-Forwarded-*`, `Via`, `Origin`, `Referer`, `Client-IP`, `X-Client-IP`, `True-Client-IP`, `Fastly-Client-IP`, `X-Cluster-Client-IP`, `X-Real-IP`, `X-Original-Forwarded-For` |
//! | identity that front servers add | `X-Remote-User`, `Remote-*`, `Client-Cert*`, `X-SSL-Client-*`, `X-Auth-Request-*`, `X-Amzn-OIDC-*`, `X-Goog-IAP-*`, `X-Goog-Authenticated-User-*`, `X-MS-Client-Principal*`, `X-MS-Token-*`, `X-AppEngine-*`, `X-Azure-*`, `X-Envoy-*`, `CF-*`, `Fly-*` |
//! | another method or URL | `X-HTTP-Method`, `X-HTTP-Method-Override`, `X-Method-Override`, `X-Host`, `X-Original-Host`, `X-Original-URL`, `X-Rewrite-URL` |
//! | the connection | `Connection` and what it names, `Keep-Alive`, `Proxy-Connection`, `TE` (except `trailers`), `Transfer-Encoding`, `Upgrade`, `HTTP2-Settings`, `Host`, `Content-Length`, `Expect` |
//!
//! Everything else passes, duplicates kept. Trailers are held to the same rules.
//!
//! These headers of a response are removed:
//!
//! | what | headers |
//! | --- | --- |
//! | the connection | as above, and `Via`, `Proxy-Authenticate`, `Proxy-Authentication-Info`; challenges for NTLM and Negotiate, which authenticate a connection |
//! | for the browser | `Set-Cookie`, `Set-Cookie2`, `Access-Control-*`, `Strict-Transport-Security`, `Public-Key-Pins*`, `Alt-Svc`, `Clear-Site-Data`, `Service-Worker-Allowed`, `Refresh`, `Accept-CH`, `NEL`, `Report-To`, `Reporting-Endpoints`, `Set-Login`, `Speculation-Rules`, `Use-As-Dictionary` |
//! | for caches and servers in front | `*CDN-Cache-Control`, `Surrogate-Control`, `Edge-Control`, `X-Accel-*`, `X-LiteSpeed-*`, `X-Sendfile*`, `X-LIGHTTPD-send-file`, `X-LIGHTTPD-send-tempfile`, `X-Reproxy-URL`, `X-Reproxy-File` |
//!
//! A value that shows the credential becomes `[redacted]`; a header whose name shows it is removed. `Location`,
//! `Content-Location` and `Link` to the target are rewritten to lead through the proxy, and removed where they could be
//! read in two ways. `Cache-Control` becomes `private`; `X-Content-Type-Options: nosniff` is added, and
//! `Content-Security-Policy: sandbox` for HTML, SVG and other XML.
//!
//! A service may let headers through by name, except those of the connection: [`Policy`](crate::Policy). What a browser is
//! told of [CORS](crate::door::Cors) is the proxy's own.
//!
//! # Connections
//!
//! Over TLS, HTTP/2 is spoken where the server offers it, else HTTP/1.1; to an `http://` target HTTP/1.1, or HTTP/2 if the
//! target says so ([`Target::http2_prior_knowledge`](crate::Target::http2_prior_knowledge)). A WebSocket begins in HTTP/1.1
//! and has its connection to itself. One whose response could be read in two ways is cut, so that no other request gets
//! the rest of it.

mod client;
mod connector;
mod error;
mod frames;
pub(crate) mod headers;
mod location;
pub(crate) mod path;
mod pools;
mod splice;
mod stream;

pub use self::{
    client::{Client, ResponseFuture},
    error::UpstreamError,
    path::PathProblem,
};

pub(crate) use self::{
    client::Timeouts, connector::YEAR, frames::Close, location::Rewrite, splice::Splice,
    stream::CameOver,
};
