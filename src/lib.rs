#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Examples and tests print; the library never does.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod body;
mod clock;
mod error;
mod exchange;
mod forward;
mod limit;
mod rejection;

pub mod credential;
pub mod door;
pub mod proxy;
pub mod service;
pub mod token;
pub mod upstream;

#[doc(inline)]
pub use self::{
    body::Body,
    clock::Clock,
    credential::Credential,
    error::ConfigError,
    proxy::ProxyLayer,
    service::{
        Api, Context, Injection, Limits, Outcome, Place, Policy, ServiceConfig, Target,
        TransformError,
    },
    token::{Claims, Issuer, JwtVerifier, Revocations, Verifier, extract},
    upstream::Client,
};
#[doc(no_inline)]
pub use async_trait::async_trait;

/// The pages of `docs/`, with their code tested.
///
/// A link between them is named after the file. The definition before a page leads it to the module here.
pub mod _documentation {
    /// [README]: crate
    /// [refusals.md]: refusals
    /// [services.md]: services
    #[doc = ""]
    #[doc = include_str!("../docs/embedding.md")]
    pub mod embedding {}

    #[doc = include_str!("../docs/failures.md")]
    pub mod failures {}

    /// [refusals.md]: refusals
    #[doc = ""]
    #[doc = include_str!("../docs/life-of-a-request.md")]
    pub mod life_of_a_request {}

    /// [failures.md]: failures
    /// [services.md]: services
    #[doc = ""]
    #[doc = include_str!("../docs/refusals.md")]
    pub mod refusals {}

    // Its code wants every feature; the page itself does not.
    #[cfg_attr(any(feature = "sigv4", not(doctest)), doc = include_str!("../docs/services.md"))]
    pub mod services {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
