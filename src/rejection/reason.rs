use std::fmt;

use http::StatusCode;

use crate::{
    credential::SourceError,
    rejection::Code,
    service::TransformError,
    token::TokenError,
    upstream::{PathProblem, UpstreamError},
};

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
    /// The subject (a sandbox) has as many requests under way as it may.
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
    /// The request is not below the mount, and there is no application that it could fall through to.
    NotFound,
    /// `transform` sent the request to another origin than the service's own.
    Origin,
    /// The embedder's code panicked.
    Panic,
    /// The door as a whole has as many requests under way as it may.
    Overloaded,
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
    /// The upstream could not be asked, or did not respond.
    Upstream(UpstreamError),
    /// The URI is too long.
    UriTooLong,
}

impl Reason {
    /// The one place that maps a reason to what the caller is told.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::BodyStalled => Code::RequestTimeout,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::Busy => Code::RateLimited,
            Self::CrossSite => Code::Forbidden,
            Self::Overloaded | Self::ServiceBusy | Self::ShuttingDown => Code::StateUnavailable,
            Self::Credential(SourceError::Forbidden) => Code::Forbidden,
            Self::Credential(_) => Code::CredentialUnavailable,
            Self::BodyBroken | Self::Header(_) => Code::HeadersInvalid,
            Self::HeadersTooLarge => Code::HeadersTooLarge,
            Self::Loop => Code::Loop,
            Self::Method => Code::MethodNotAllowed,
            Self::NotFound => Code::NotFound,
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            Self::NotFound => f.write_str(
                "not below the mount (behind a router that strips it, use into_nested_service)",
            ),
            Self::Origin => f.write_str("transform left the service's targets"),
            Self::Overloaded => f.write_str("too many requests"),
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
