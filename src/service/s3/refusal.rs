//! Why a request is refused, by S3's own codes, on which its clients act.

use std::fmt;

use crate::TransformError;

/// Why a request is refused, in S3's own words: what its clients show, and in part act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

impl Refusal {
    /// 403.
    pub(super) fn denied(message: &'static str) -> TransformError {
        let code = "AccessDenied";
        TransformError::forbidden().because(Self { code, message })
    }

    /// 400.
    pub(super) fn bad(code: &'static str, message: &'static str) -> TransformError {
        TransformError::bad_request().because(Self { code, message })
    }

    /// What `error` is, if it is one of these.
    pub(super) fn of(error: &TransformError) -> Option<&Self> {
        error.cause()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
