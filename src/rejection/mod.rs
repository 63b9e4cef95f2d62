//! A request that stopped: what its caller is told, and why it stopped.
//!
//! There is one table of [`Reason`]s and one of [`Code`]s; [`Reason::code`] maps the first to the second, and a code to its
//! status. Each door words the response in its own format. The reason stays on our side.

mod code;
mod reason;

use http::StatusCode;

pub use self::{code::Code, reason::Reason};
use crate::service::RequestId;

/// What a request that stopped is answered with, and why it stopped.
///
/// Layers outside the proxy find it in the extensions of the response. The caller sees only status and code.
///
/// # Example
///
/// The cause that a service's `transform` gave is in no log; a layer outside may look at it.
///
/// ```
/// use axum::{body::Body, middleware::map_response};
/// use http::Response;
/// use sallygate::door::{Reason, Rejection};
///
/// async fn inspect(response: Response<Body>) -> Response<Body> {
///     if let Some(rejection) = response.extensions().get::<Rejection>() {
///         if let Reason::Transform(error) = rejection.reason() {
///             eprintln!("{}: {:?}", rejection.request_id(), error.cause().map(ToString::to_string));
///         }
///     }
///     response
/// }
/// // outside the proxy: added after it
/// let app: axum::Router = axum::Router::new().layer(map_response(inspect));
/// ```
#[derive(Debug, Clone)]
pub struct Rejection {
    status: StatusCode,
    code: Code,
    reason: Reason,
    request_id: RequestId,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, request_id: RequestId) -> Self {
        let code = reason.code();
        let status = match &reason {
            Reason::Transform(error) => error.status(),
            _ => code.status(),
        };
        Self {
            status,
            code,
            reason,
            request_id,
        }
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code in the response's body.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What the caller is told, in one sentence that is the same for all requests of this [`code`](Self::code); without a
    /// character that JSON or XML would escape.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        self.code.sentence()
    }

    /// Why the request stopped.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The id in the response's body.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }
}
