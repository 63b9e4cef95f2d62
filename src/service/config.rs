//! What an embedder says about an API: the trait, what becomes of a request, and why a service did not prepare one. Three
//! methods are required, and the others say by default what is safe.

use std::{borrow::Cow, fmt, slice, sync::Arc};

use async_trait::async_trait;
use http::{Request, Response, StatusCode, request::Parts};
use tower::BoxError;

use crate::{
    Body, Injection,
    rejection::Rejection,
    service::{
        Context, ErrorBody, Policy, SandboxSetup, SetupScope, Target, generic::generic_setup,
        policy,
    },
};

/// An API that callers reach through the proxy.
///
/// Three methods are required. `validate` only *extracts* the token; the proxy verifies it. What `transform` sees
/// is the outgoing request: its URI already that of the target, the caller's token and identity already out.
///
/// See the [module docs](crate::service) for an example.
#[async_trait]
pub trait ServiceConfig: Send + Sync + 'static {
    /// Where the API is.
    fn target(&self) -> &Target;

    /// Finds the token where this API's clients put their key; `None` rejects the request.
    ///
    /// The request's URI is the path below the service name, with the query. It may be asked about requests to
    /// services that do not exist, so that they look like one that does.
    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>>;

    /// Puts the credential in, or responds.
    ///
    /// `Host`, `Content-Length` and headers about the connection are decided after it: what it sets of them is dropped.
    /// A URI that leaves the service's [`targets`](Self::targets) is answered with 502. There is no limit on how long it
    /// may take: a tower time-out outside the proxy sets one.
    ///
    /// # Errors
    ///
    /// A [`TransformError`] ends the request with the status of its kind.
    async fn transform(
        &self,
        request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError>;

    /// All targets `transform` may send to. Defaults to the one.
    fn targets(&self) -> &[Target] {
        slice::from_ref(self.target())
    }

    /// The keys that `transform` puts in, and where: all that it may. Defaults to none.
    ///
    /// What callers put into these places is taken out, under any spelling of the name. When `transform` is called, the keys
    /// are there, so that using them does not wait. When the upstream refuses them (with 401), they are fetched anew, and the
    /// request is sent again if another key came and its body was short enough to be kept. Where a key stands in the URI,
    /// [errors are redacted](Policy::redact_errors).
    ///
    /// Asked for once, when the service is added to a proxy. [`Injection::put`] refuses any other.
    fn injections(&self) -> &[Injection] {
        &[]
    }

    /// Whether the upstream refuses the key with this response. Defaults to status 401.
    ///
    /// Keys that come from a source are then fetched anew: see [`injections`](Self::injections).
    fn refuses_key(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::UNAUTHORIZED
    }

    /// The error in the API's own words, so that its clients show what it says; status and headers stay. `None`, the
    /// default, leaves the proxy's own.
    ///
    /// Not asked before the caller's token is verified: until then every response is the same for services that exist and
    /// those that do not.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{door::Rejection, service::ErrorBody};
    ///
    /// fn error(rejection: &Rejection) -> Option<ErrorBody> {
    ///     let (message, code, id) = (rejection.message(), rejection.code(), rejection.request_id());
    ///     // None of them holds a character that JSON would escape.
    ///     let body = format!(r#"{{"message":"{message}","code":"{code}","request":"{id}"}}"#);
    ///     Some(ErrorBody::json(body))
    /// }
    /// ```
    fn error(&self, rejection: &Rejection) -> Option<ErrorBody> {
        let _ = rejection;
        None
    }

    /// What a sandbox needs so that the API's clients come here. Defaults to two environment variables, for a service
    /// `my-api`: `MY_API_BASE_URL` and, with the token in it, `MY_API_KEY`.
    fn setup(&self, scope: &SetupScope<'_>) -> SandboxSetup {
        generic_setup(scope)
    }

    /// Methods, paths and headers. Defaults to [`Policy::new`].
    ///
    /// Asked for once, when the service is added to a proxy.
    fn policy(&self) -> &Policy {
        &policy::DEFAULT
    }
}

/// What becomes of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It goes to the upstream.
    Forward(Request<Body>),
    /// It is answered here; nothing is sent.
    Respond(Response<Body>),
}

impl From<Request<Body>> for Outcome {
    fn from(request: Request<Body>) -> Self {
        Self::Forward(request)
    }
}

impl From<Response<Body>> for Outcome {
    fn from(response: Response<Body>) -> Self {
        Self::Respond(response)
    }
}

/// Why a service did not transform a request.
///
/// The caller learns the status of its kind; the cause stays in the response's extensions, for layers outside.
/// `?` turns any error into one with status 502.
///
/// # Example
///
/// ```
/// use sallygate::TransformError;
///
/// fn region(name: &str) -> Result<u8, TransformError> {
///     let number = name.parse::<u8>()?;
///     if number > 9 { Err(TransformError::forbidden()) } else { Ok(number) }
/// }
/// assert_eq!(region("x").unwrap_err().status(), 502);
/// assert_eq!(region("10").unwrap_err().status(), 403);
/// ```
#[derive(Clone)]
pub struct TransformError {
    kind: Kind,
    cause: Option<Arc<BoxError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BadRequest,
    BodyTooLarge,
    Forbidden,
    Other,
    Unavailable,
}

impl TransformError {
    /// A failure of the service's own: 502.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            kind: Kind::Other,
            cause: Some(Arc::new(cause.into())),
        }
    }

    /// The request makes no sense to this service: 400.
    #[must_use]
    pub const fn bad_request() -> Self {
        Self {
            kind: Kind::BadRequest,
            cause: None,
        }
    }

    /// The body is longer than the service reads: 413.
    #[must_use]
    pub const fn body_too_large() -> Self {
        Self {
            kind: Kind::BodyTooLarge,
            cause: None,
        }
    }

    /// This caller may not do this: 403.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self {
            kind: Kind::Forbidden,
            cause: None,
        }
    }

    /// The credential is not available now: 503, and the caller is told to come back.
    #[must_use]
    pub const fn unavailable() -> Self {
        Self {
            kind: Kind::Unavailable,
            cause: None,
        }
    }

    /// Adds what happened, for the operator.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(Arc::new(cause.into()));
        self
    }

    /// The status that the caller sees.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Other => StatusCode::BAD_GATEWAY,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What happened, if it was given. It may hold anything, secrets included: take care where you write it.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.cause.as_ref().map(|cause| &***cause)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for TransformError {
    fn from(cause: E) -> Self {
        Self::new(cause)
    }
}

/// One that ends a body, so that it can be told from others when it comes back as the error of a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct InBody(TransformError);

impl TransformError {
    /// The one that ended the body of a request that failed in this way.
    pub(crate) fn in_body(error: &BoxError) -> Option<Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
        while let Some(error) = next {
            if let Some(InBody(error)) = error.downcast_ref() {
                return Some(error.clone());
            }
            next = error.source();
        }
        None
    }
}

impl From<TransformError> for BoxError {
    fn from(error: TransformError) -> Self {
        Box::new(InBody(error))
    }
}

/// Shows the kind, never the cause.
impl fmt::Debug for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Shows the kind, never the cause. (Not a `std::error::Error`, so that `?` can turn any error into one.)
impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::BadRequest => "bad request",
            Kind::BodyTooLarge => "body too large",
            Kind::Forbidden => "forbidden",
            Kind::Other => "failed",
            Kind::Unavailable => "unavailable",
        })
    }
}
