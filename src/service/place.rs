use std::borrow::Cow;

use http::{HeaderName, request::Parts};

use crate::{ConfigError, extract};

/// Where a key stands in a request: the credential upstream, or the token that a caller puts in its stead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The password of `Authorization: Basic`, behind this user name.
    Basic(String),
    /// `Authorization: Bearer …`.
    Bearer,
    /// The whole value of a header.
    Header(HeaderName),
    /// The value of a query parameter.
    Query(String),
}

impl Place {
    /// What the caller has put here.
    #[must_use]
    pub fn find<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        match self {
            Self::Basic(_) => extract::basic(request),
            Self::Bearer => extract::bearer(request),
            Self::Header(name) => extract::header(request, name),
            Self::Query(name) => extract::query(request, name),
        }
    }

    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Basic(_) | Self::Bearer => Some(&http::header::AUTHORIZATION),
            Self::Header(name) => Some(name),
            Self::Query(_) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Basic(user)
                if user
                    .bytes()
                    .any(|byte| byte == b':' || byte.is_ascii_control()) =>
            {
                Err(ConfigError::Place(
                    "a user name holds a colon or a control character",
                ))
            }
            Self::Query(name) if name.is_empty() => {
                Err(ConfigError::Place("a query parameter has no name"))
            }
            Self::Header(name) if crate::upstream::headers::is_framing(name) => Err(
                ConfigError::Place("a header that frames the message holds no key"),
            ),
            _ => Ok(()),
        }
    }
}
