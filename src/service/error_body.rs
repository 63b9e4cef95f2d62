//! The body of an error in an API's own form, so that its clients can read what the proxy refuses.

use bytes::Bytes;
use http::HeaderValue;

/// The body of an error as an API words it, so that its clients can read it.
///
/// See [`ServiceConfig::error`](crate::ServiceConfig::error).
#[derive(Debug, Clone)]
pub struct ErrorBody {
    pub(crate) content_type: HeaderValue,
    pub(crate) bytes: Bytes,
}

impl ErrorBody {
    /// A body of type `application/json`.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::of("application/json", body)
    }

    /// A body of type `application/xml`.
    #[must_use]
    pub fn xml(body: impl Into<Bytes>) -> Self {
        Self::of("application/xml", body)
    }

    /// A body of type `text/plain`, in UTF-8.
    #[must_use]
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::of("text/plain; charset=utf-8", body)
    }

    fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            bytes: body.into(),
        }
    }
}
