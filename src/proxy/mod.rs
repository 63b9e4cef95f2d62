//! The proxy door: `{mount}/{service}/…` with a token, for code in a sandbox.
//!
//! [`ProxyLayer`] goes around an application; everything outside its mount falls through, untouched.
//! [`ProxyLayer::into_service`] makes a service of its own of it, without an application, and
//! [`ProxyLayer::into_nested_service`] one for routers that strip the mount.
//!
//! # What happens to a request
//!
//! 1. **Route**: the raw path is divided into mount, service name and rest; or the [host name](ProxyLayer::host) leads to
//!    the service.
//! 2. **Check**: framing, headers and path that two parsers could read differently are refused.
//! 3. **Verify**: the service finds the token; the verifier accepts it, and it is not [revoked](crate::Revocations), or the
//!    response is 401.
//! 4. **Admit**: the service must exist, have room for one more request, and take this method, path and length of body.
//! 5. **Prepare**: target, base path, rest and query are put together byte for byte. The token, other credentials and
//!    everything that says who calls are taken out.
//! 6. **Inject**: the service's credentials are made ready; it puts them in, or responds.
//! 7. **Check the origin**: the request still goes to one of the service's own targets.
//! 8. **Send**: the outbound service sends it; bodies stream both ways. After a 401, once more from 6 on, if there is
//!    another key by then and the body was short enough to be kept.
//! 9. **Clean** the response.
//!
//! A request that stops on the way is answered with a JSON body `{"error", "code", "requestId"}`, which holds what the
//! caller may know, or with the same in the words of the API. Why it stopped is in the response's extensions, as a
//! [`Rejection`](crate::door::Rejection), and in a `tracing` event. [Life of a request](crate::_documentation::life_of_a_request)
//! has every stage and the reason for its place, [refusals](crate::_documentation::refusals) has every response.
//!
//! # WebSockets
//!
//! A request for a WebSocket, over HTTP/1.1 or HTTP/2 (RFC 8441), passes the same stages, as a `GET`. Once the upstream has
//! accepted, bytes pass both ways, unread. It is closed when the token expires or is [revoked](crate::Revocations) (1008),
//! when nothing moves for the [idle time-out](crate::Limits::idle_timeout), and when the host [shuts down](Handle::shutdown)
//! (1001).
//!
//! The server in front must let go of the connection: `axum::serve` does; with hyper it is
//! `serve_connection_with_upgrades`, and for HTTP/2 also `enable_connect_protocol`. (With hyper's `serve_connection` alone
//! the handshake succeeds, and the connection ends behind it.) A server that knows of no upgrades gets 501. An outbound
//! service other than a [`Client`](crate::Client) passes hyper's `OnUpgrade` on in the extensions of the response.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use sallygate::{Credential, Issuer, JwtVerifier, ProxyLayer, Api, Target};
//!
//! # fn main() -> Result<(), sallygate::ConfigError> {
//! let secret = "at least thirty-two bytes of secret";
//! let key = Credential::new("sk-live-0123456789")?;
//! let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
//!     .service("myapi", Api::bearer(Target::new("https://api.example.com/v1")?, key))?;
//! let app = axum::Router::<()>::new().route("/", axum::routing::get(|| async { "hello" })).layer(proxy);
//!
//! let token = Issuer::hs256(secret)?.issue("my-sandbox").expires_in(Duration::from_secs(900)).sign()?;
//! # Ok(())
//! # }
//! ```

mod admission;
mod authorize;
mod config;
mod format;
mod handle;
mod hosts;
mod layer;
mod mount;
mod rules;
mod serve;
mod service;
mod subject;
mod token;

pub use self::{
    handle::{Change, Handle},
    layer::ProxyLayer,
    service::{Proxy, ProxyService},
};
