use std::fmt;

use http::StatusCode;

/// What the caller is told: the `code` of the error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// `PROXY_BODY_TOO_LARGE`, 413.
    BodyTooLarge,
    /// `PROXY_CREDENTIAL_UNAVAILABLE`, 503.
    CredentialUnavailable,
    /// `PROXY_FORBIDDEN`, 403.
    Forbidden,
    /// `PROXY_HEADERS_INVALID`, 400.
    HeadersInvalid,
    /// `PROXY_HEADERS_TOO_LARGE`, 431.
    HeadersTooLarge,
    /// `PROXY_INTERNAL`, 500.
    Internal,
    /// `PROXY_LOOP`, 508.
    Loop,
    /// `PROXY_METHOD_NOT_ALLOWED`, 405.
    MethodNotAllowed,
    /// `PROXY_NOT_FOUND`, 404.
    NotFound,
    /// `PROXY_PATH_INVALID`, 400.
    PathInvalid,
    /// `PROXY_RATE_LIMITED`, 429.
    RateLimited,
    /// `PROXY_REQUEST_TIMEOUT`, 408.
    RequestTimeout,
    /// `PROXY_SERVICE_NOT_FOUND`, 404.
    ServiceNotFound,
    /// `PROXY_STATE_UNAVAILABLE`, 503.
    StateUnavailable,
    /// `PROXY_TARGET_ERROR`, 502.
    TargetError,
    /// `PROXY_TARGET_TIMEOUT`, 504.
    TargetTimeout,
    /// `PROXY_TOKEN_INVALID`, 401.
    TokenInvalid,
    /// `PROXY_TOKEN_MISSING`, 401.
    TokenMissing,
    /// `PROXY_TRANSFORM_ERROR`, 502 or the status of the [`TransformError`](crate::TransformError).
    TransformError,
    /// `PROXY_UPGRADE_UNSUPPORTED`, 501.
    UpgradeUnsupported,
    /// `PROXY_URI_TOO_LONG`, 414.
    UriTooLong,
}

impl Code {
    /// The code as it stands in the error body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "PROXY_BODY_TOO_LARGE",
            Self::CredentialUnavailable => "PROXY_CREDENTIAL_UNAVAILABLE",
            Self::Forbidden => "PROXY_FORBIDDEN",
            Self::HeadersInvalid => "PROXY_HEADERS_INVALID",
            Self::HeadersTooLarge => "PROXY_HEADERS_TOO_LARGE",
            Self::Internal => "PROXY_INTERNAL",
            Self::Loop => "PROXY_LOOP",
            Self::MethodNotAllowed => "PROXY_METHOD_NOT_ALLOWED",
            Self::NotFound => "PROXY_NOT_FOUND",
            Self::PathInvalid => "PROXY_PATH_INVALID",
            Self::RateLimited => "PROXY_RATE_LIMITED",
            Self::RequestTimeout => "PROXY_REQUEST_TIMEOUT",
            Self::ServiceNotFound => "PROXY_SERVICE_NOT_FOUND",
            Self::StateUnavailable => "PROXY_STATE_UNAVAILABLE",
            Self::TargetError => "PROXY_TARGET_ERROR",
            Self::TargetTimeout => "PROXY_TARGET_TIMEOUT",
            Self::TokenInvalid => "PROXY_TOKEN_INVALID",
            Self::TokenMissing => "PROXY_TOKEN_MISSING",
            Self::TransformError => "PROXY_TRANSFORM_ERROR",
            Self::UpgradeUnsupported => "PROXY_UPGRADE_UNSUPPORTED",
            Self::UriTooLong => "PROXY_URI_TOO_LONG",
        }
    }

    /// The status that goes with it, unless a `transform` chose another.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CredentialUnavailable | Self::StateUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::HeadersInvalid | Self::PathInvalid => StatusCode::BAD_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound | Self::ServiceNotFound => StatusCode::NOT_FOUND,
            Self::TargetError | Self::TransformError => StatusCode::BAD_GATEWAY,
            Self::TargetTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TokenInvalid | Self::TokenMissing => StatusCode::UNAUTHORIZED,
            Self::UpgradeUnsupported => StatusCode::NOT_IMPLEMENTED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
        }
    }

    /// What a person reads. Constant, and without a character that JSON would escape.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "The request body is too large",
            Self::CredentialUnavailable => "The credential is not available",
            Self::Forbidden => "This is not allowed",
            Self::HeadersInvalid => "The request is malformed",
            Self::HeadersTooLarge => "The request headers are too large",
            Self::Internal => "Internal error",
            Self::Loop => "The request came back to this proxy",
            Self::MethodNotAllowed => "This method is not allowed",
            Self::NotFound => "There is nothing here",
            Self::PathInvalid => "The path is invalid",
            Self::RateLimited => "Too many requests",
            Self::RequestTimeout => "The request body did not come in time",
            Self::ServiceNotFound => "There is no such service",
            Self::StateUnavailable => "The proxy cannot answer now",
            Self::TargetError => "The upstream could not be reached",
            Self::TargetTimeout => "The upstream did not answer in time",
            Self::TokenInvalid => "The token is not valid",
            Self::TokenMissing => "A token is required",
            Self::TransformError => "The request could not be prepared",
            Self::UpgradeUnsupported => "This upgrade is not supported",
            Self::UriTooLong => "The URI is too long",
        }
    }

    /// Whether the same request may do better later.
    pub(crate) const fn is_repeatable(self) -> bool {
        matches!(
            self,
            Self::CredentialUnavailable
                | Self::Internal
                | Self::RateLimited
                | Self::RequestTimeout
                | Self::StateUnavailable
                | Self::TargetError
                | Self::TargetTimeout
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Code; 21] = [
        Code::BodyTooLarge,
        Code::CredentialUnavailable,
        Code::Forbidden,
        Code::HeadersInvalid,
        Code::HeadersTooLarge,
        Code::Internal,
        Code::Loop,
        Code::MethodNotAllowed,
        Code::NotFound,
        Code::PathInvalid,
        Code::RateLimited,
        Code::RequestTimeout,
        Code::ServiceNotFound,
        Code::StateUnavailable,
        Code::TargetError,
        Code::TargetTimeout,
        Code::TokenInvalid,
        Code::TokenMissing,
        Code::TransformError,
        Code::UpgradeUnsupported,
        Code::UriTooLong,
    ];

    /// Where a variant is missing above, this no longer compiles once it is here.
    const fn is_listed(code: Code) -> bool {
        match code {
            Code::BodyTooLarge
            | Code::CredentialUnavailable
            | Code::Forbidden
            | Code::HeadersInvalid
            | Code::HeadersTooLarge
            | Code::Internal
            | Code::Loop
            | Code::MethodNotAllowed
            | Code::NotFound
            | Code::PathInvalid
            | Code::RateLimited
            | Code::RequestTimeout
            | Code::ServiceNotFound
            | Code::StateUnavailable
            | Code::TargetError
            | Code::TargetTimeout
            | Code::TokenInvalid
            | Code::TokenMissing
            | Code::TransformError
            | Code::UpgradeUnsupported
            | Code::UriTooLong => true,
        }
    }

    #[test]
    fn the_page_on_refusals_has_every_code_with_its_status_and_no_other() {
        let page = include_str!("../../docs/refusals.md");
        for code in ALL.into_iter().filter(|code| is_listed(*code)) {
            let row = format!("| {} | `{code}` | ", code.status().as_u16());
            assert!(page.contains(&row), "{row}");
        }
        for word in page.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let known = !word.starts_with("PROXY_") || ALL.iter().any(|code| code.as_str() == word);
            assert!(known, "{word}");
        }
    }
}
