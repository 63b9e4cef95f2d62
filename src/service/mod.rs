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
//! [`Api::anthropic`], [`gemini`](Api::gemini), [`github`](Api::github), [`openai`](Api::openai),
//! [`slack`](Api::slack), [`stripe`](Api::stripe), and `S3`, with the feature `sigv4`, for whatever speaks like it.
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

mod config;
mod context;
pub(crate) mod dialect;
mod error_body;
mod generic;
pub(crate) mod host_name;
mod injection;
mod known;
mod limits;
mod name;
mod path_pattern;
mod place;
mod policy;
mod registry;
#[cfg(feature = "sigv4")]
mod s3;
mod setup;
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
    context::{Injected, TakenOut},
    limits::Bounds,
    place::check_user,
    policy::DEFAULT,
    registry::{Entry, Registry},
    target::concat,
};
