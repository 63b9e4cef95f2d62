//! What an embedder says about an API: where it is, where its clients put their key, and how the real one gets in.
//!
//! [`Api`] covers the common places, and knows some APIs by name; [`ServiceConfig`] is for real logic.
//!
//! # APIs that are known by name
//!
//! Each knows where it is, where its clients put their key, which paths and methods are its own, how its errors look, and
//! what a [sandbox needs](crate::proxy::Handle::sandbox_setup). Endpoints that hand out keys or manage the account are
//! refused, and stay refused when [`Api::policy`] adjusts what passes. [Services and credentials](crate::_documentation::services) has the
//! details.
//!
//! | API | constructor | the token is found in | the key goes into |
//! | --- | --- | --- | --- |
//! | Anthropic | [`Api::anthropic`] | `x-api-key`, Bearer | `x-api-key` |
//! | Gemini | [`Api::gemini`] | `x-goog-api-key`, Bearer, `?key=` | `x-goog-api-key` |
//! | GitHub: REST, GraphQL | [`Api::github`] | Bearer, `Authorization: token`, the password of Basic | Bearer |
//! | GitHub: git over HTTPS | the same | the same | the password of `x-access-token`, in Basic |
//! | OpenAI | [`Api::openai`] | Bearer | Bearer |
//! | S3, R2, MinIO, … | `S3::new`, with the feature `sigv4` | the access key id of a signature or a presigned URL, Bearer | a signature |
//! | Slack | [`Api::slack`] | Bearer, `?token=` | Bearer |
//! | Stripe | [`Api::stripe`] | Bearer, the user name of Basic | Bearer |
//!
//! # Example
//!
//! ```
//! use std::{borrow::Cow, slice};
//! use http::{Request, request::Parts};
//! use sallygate::{Body, Context, Injection, Outcome, ServiceConfig, Target, TransformError, async_trait};
//!
//! struct MyApi {
//!     target: Target,
//!     key: Injection,
//! }
//!
//! #[async_trait]
//! impl ServiceConfig for MyApi {
//!     fn target(&self) -> &Target {
//!         &self.target
//!     }
//!
//!     fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
//!         self.key.place().find(request)
//!     }
//!
//!     async fn transform(
//!         &self,
//!         mut request: Request<Body>,
//!         ctx: &Context,
//!     ) -> Result<Outcome, TransformError> {
//!         if request.uri().path() == "/v1/keys" {
//!             return Err(TransformError::forbidden());
//!         }
//!         self.key.put(&mut request, ctx)?;
//!         Ok(request.into())
//!     }
//!
//!     fn injections(&self) -> &[Injection] {
//!         slice::from_ref(&self.key)
//!     }
//! }
//! ```

mod anthropic;
mod config;
mod context;
pub(crate) mod dialect;
mod error_body;
mod gemini;
mod generic;
mod github;
pub(crate) mod host_name;
mod injection;
mod limits;
mod name;
mod openai;
mod path_pattern;
mod place;
mod policy;
mod registry;
#[cfg(feature = "sigv4")]
mod s3;
mod setup;
mod slack;
mod stripe;
mod target;

pub use self::{
    config::{Outcome, ServiceConfig, TransformError},
    context::{Context, RequestId},
    error_body::ErrorBody,
    generic::Api,
    injection::Injection,
    limits::Limits,
    name::ServiceName,
    path_pattern::PathPattern,
    place::Place,
    policy::Policy,
    setup::{SandboxSetup, SetupScope},
    target::Target,
};

#[cfg(feature = "sigv4")]
#[cfg_attr(docsrs, doc(cfg(feature = "sigv4")))]
pub use self::s3::S3;

pub(crate) use self::{
    context::{Caller, Used},
    limits::Bounds,
    place::check_user,
    policy::DEFAULT,
    registry::{Entry, Registry},
    target::concat,
};
