use std::{
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    Body, TransformError,
    credential::SourceError,
    proxy::Code,
    service::{Entry, ErrorBody, RequestId, dialect},
    token::TokenError,
    upstream::{PathProblem, UpstreamError},
};

/// The answer to a request that stopped here, and why it stopped.
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
/// use sallygate::proxy::{Reason, Rejection};
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

/// Why a request stopped. For the operator's eyes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reason {
    /// The caller's body broke off or was malformed.
    BodyBroken,
    /// Nothing more of the caller's body came for too long.
    BodyStalled,
    /// The body is over the proxy's limit or the service's.
    BodyTooLarge,
    /// The sandbox has as many requests under way as it may.
    Busy,
    /// There is no credential to put in.
    Credential(SourceError),
    /// A page of another site asked, with the token in a cookie that came along by itself.
    CrossSite,
    /// A header that matters to framing, routing or credentials is duplicated or malformed.
    Header(&'static str),
    /// Too many headers, or too large.
    HeadersTooLarge,
    /// The request has been through this proxy before.
    Loop,
    /// The method is excluded, by HTTP or by the service's policy.
    Method,
    /// `transform` sent the request to another origin than the service's own.
    Origin,
    /// The embedder's code panicked.
    Panic,
    /// The path could be read in two ways.
    Path(PathProblem),
    /// The service's policy leaves this path out.
    PathNotAllowed,
    /// The service has as many requests under way as it may.
    ServiceBusy,
    /// There is no such service.
    ServiceUnknown,
    /// The proxy is shutting down.
    ShuttingDown,
    /// The token was not accepted.
    Token(TokenError),
    /// Something stands where another service takes its token, and nothing where this one does.
    TokenElsewhere,
    /// Nothing stands where any service takes its token.
    TokenMissing,
    /// The service's `transform` failed.
    Transform(TransformError),
    /// A WebSocket, where the HTTP server in front gives no connection for it.
    Upgrade,
    /// The upstream could not be asked, or did not answer.
    Upstream(UpstreamError),
    /// The URI is too long.
    UriTooLong,
}

impl Reason {
    /// The one place that maps a reason to what the caller is told.
    const fn code(&self) -> Code {
        match self {
            Self::BodyStalled => Code::RequestTimeout,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::Busy => Code::RateLimited,
            Self::CrossSite => Code::Forbidden,
            Self::ServiceBusy | Self::ShuttingDown => Code::StateUnavailable,
            Self::Credential(SourceError::Forbidden) => Code::Forbidden,
            Self::Credential(_) => Code::CredentialUnavailable,
            Self::BodyBroken | Self::Header(_) => Code::HeadersInvalid,
            Self::HeadersTooLarge => Code::HeadersTooLarge,
            Self::Loop => Code::Loop,
            Self::Method => Code::MethodNotAllowed,
            Self::Origin => Code::TargetError,
            Self::Panic => Code::Internal,
            Self::Path(_) => Code::PathInvalid,
            Self::PathNotAllowed => Code::Forbidden,
            Self::ServiceUnknown => Code::ServiceNotFound,
            Self::Token(TokenError::Unavailable(_)) => Code::StateUnavailable,
            Self::Token(_) | Self::TokenElsewhere => Code::TokenInvalid,
            Self::TokenMissing => Code::TokenMissing,
            Self::Transform(error) => match error.status() {
                StatusCode::FORBIDDEN => Code::Forbidden,
                StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
                StatusCode::SERVICE_UNAVAILABLE => Code::CredentialUnavailable,
                _ => Code::TransformError,
            },
            Self::Upgrade => Code::UpgradeUnsupported,
            Self::Upstream(UpstreamError::Timeout) => Code::TargetTimeout,
            Self::Upstream(UpstreamError::Overloaded) => Code::StateUnavailable,
            Self::Upstream(_) => Code::TargetError,
            Self::UriTooLong => Code::UriTooLong,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BodyTooLarge => f.write_str("request body over the limit"),
            Self::BodyBroken => f.write_str("request body broke off"),
            Self::BodyStalled => f.write_str("request body stalled"),
            Self::Busy => f.write_str("too many requests of this sandbox"),
            Self::CrossSite => f.write_str("token in a cookie, from another site"),
            Self::ServiceBusy => f.write_str("too many requests to this service"),
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::Credential(error) => write!(f, "credential: {error}"),
            Self::HeadersTooLarge => f.write_str("headers over the limit"),
            Self::Header(problem) => f.write_str(problem),
            Self::Loop => f.write_str("the request came back"),
            Self::Method => f.write_str("method not allowed"),
            Self::Origin => f.write_str("transform left the service's targets"),
            Self::Panic => f.write_str("panic"),
            Self::Path(problem) => write!(f, "path: {problem}"),
            Self::PathNotAllowed => f.write_str("path not allowed"),
            Self::ServiceUnknown => f.write_str("no such service"),
            Self::Token(error) => write!(f, "token: {error}"),
            Self::TokenElsewhere => f.write_str("token in another service's place"),
            Self::TokenMissing => f.write_str("no token"),
            Self::Transform(error) => write!(f, "transform: {error}"),
            Self::Upgrade => f.write_str("upgrade not supported"),
            Self::Upstream(error) => write!(f, "upstream: {error}"),
            Self::UriTooLong => f.write_str("URI over the limit"),
        }
    }
}

impl Rejection {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code in the answer's body.
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

    /// The id in the answer's body.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }
}

/// What the answer to a request that stopped needs, beside the reason.
pub(super) struct Refusal<'a> {
    pub(super) request_id: RequestId,
    pub(super) service: Option<&'a Entry>,
    /// Whether the caller may know that there is such a service.
    pub(super) verified: bool,
    /// The caller's headers, while nobody is verified.
    pub(super) caller: &'a HeaderMap,
    pub(super) challenges: &'a [HeaderValue],
    /// HTTP/1, and the framing of the request was in doubt.
    pub(super) close: bool,
}

impl Refusal<'_> {
    pub(super) fn into_response(self, reason: Reason) -> Response<Body> {
        let code = reason.code();
        let name = code.as_str();
        let status = match &reason {
            Reason::Transform(error) => error.status(),
            _ => code.status(),
        };
        tracing::info!(
            target: "sallygate::proxy",
            code = name,
            status = status.as_u16(),
            reason = %reason,
            request_id = %self.request_id,
            service = self.service.map(|service| service.name.as_str()),
            "rejected"
        );
        let rejection = Rejection {
            status,
            code,
            reason,
            request_id: self.request_id,
        };
        let ErrorBody {
            content_type,
            bytes,
        } = self.body(&rejection);
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !code.is_repeatable() {
            headers.insert(
                HeaderName::from_static("x-should-retry"),
                HeaderValue::from_static("false"),
            );
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                for challenge in self.challenges {
                    headers.append(WWW_AUTHENTICATE, challenge.clone());
                }
                headers
                    .entry(WWW_AUTHENTICATE)
                    .or_insert(HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let methods = self
                    .service
                    .and_then(|service| service.policy.methods.as_deref());
                headers.insert(ALLOW, allow(methods));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(rejection);
        response
    }

    /// The service's own words where it has some and the caller may see them. Until then, the words of the client that
    /// asks: they depend on nothing but its own headers.
    fn body(&self, rejection: &Rejection) -> ErrorBody {
        let own = match self.service {
            Some(service) if self.verified => {
                let own = || service.config.error(rejection);
                catch_unwind(AssertUnwindSafe(own)).unwrap_or_default()
            }
            _ => dialect::of(self.caller).map(|error| error(rejection)),
        };
        own.unwrap_or_else(|| self.plain_body(rejection.code))
    }

    fn plain_body(&self, code: Code) -> ErrorBody {
        let mut body = String::with_capacity(192);
        body.push_str("{\"error\":\"");
        body.push_str(code.sentence());
        // A service name has no character that JSON would escape.
        if let (Code::TargetError | Code::TargetTimeout, Some(service)) = (code, self.service) {
            body.push_str(": ");
            body.push_str(service.name.as_str());
        }
        body.push_str("\",\"code\":\"");
        body.push_str(code.as_str());
        body.push_str("\",\"requestId\":\"");
        // Writing to a String cannot fail.
        let _ = write!(body, "{}", self.request_id);
        body.push_str("\"}");
        ErrorBody::json(body)
    }
}

fn allow(methods: Option<&[Method]>) -> HeaderValue {
    let any = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    methods
        .map(|methods| {
            methods
                .iter()
                .map(Method::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        })
        .and_then(|methods| HeaderValue::try_from(methods).ok())
        .unwrap_or(HeaderValue::from_static(any))
}
