use std::borrow::Cow;

use http::{HeaderName, header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{ConfigError, extract, upstream::headers};

/// Where a key stands in a request: the credential upstream, or the token that a caller sends instead.
///
/// # Example
///
/// ```
/// use http::HeaderName;
/// use sallygate::service::Place;
///
/// let place = Place::header(HeaderName::from_static("x-api-key"))?;
/// assert!(Place::header(http::header::HOST).is_err());
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Basic(String),
    Bearer,
    Header(HeaderName),
    Query(String),
}

impl Place {
    /// `Authorization: Bearer …`.
    #[must_use]
    pub const fn bearer() -> Self {
        Self(Kind::Bearer)
    }

    /// The password of `Authorization: Basic`, behind this user name.
    ///
    /// # Errors
    ///
    /// When the user name holds a colon or a control character.
    pub fn basic(user: impl Into<String>) -> Result<Self, ConfigError> {
        let user = user.into();
        check_user(&user)?;
        Ok(Self(Kind::Basic(user)))
    }

    /// The whole value of a header.
    ///
    /// # Errors
    ///
    /// When the header frames the message or names the host.
    pub fn header(name: HeaderName) -> Result<Self, ConfigError> {
        if headers::is_framing(&name) {
            return Err(ConfigError::Place(
                "a header that frames the message holds no key",
            ));
        }
        Ok(Self(Kind::Header(name)))
    }

    /// The value of a query parameter.
    ///
    /// # Errors
    ///
    /// When the parameter has no name.
    pub fn query(name: impl Into<String>) -> Result<Self, ConfigError> {
        let name = name.into();
        if name.is_empty() {
            return Err(ConfigError::Place("a query parameter has no name"));
        }
        Ok(Self(Kind::Query(name)))
    }

    /// What the caller has put here, unverified.
    #[must_use]
    pub fn find<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        match &self.0 {
            Kind::Basic(_) => extract::basic(request),
            Kind::Bearer => extract::bearer(request),
            Kind::Header(name) => extract::header(request, name),
            Kind::Query(name) => extract::query(request, name),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// The header that this place is in, if it is in one.
    pub(super) fn in_header(&self) -> Option<&HeaderName> {
        match &self.0 {
            Kind::Basic(_) | Kind::Bearer => Some(&AUTHORIZATION),
            Kind::Header(name) => Some(name),
            Kind::Query(_) => None,
        }
    }

    /// Whether a query parameter, `name=value` as it was sent, is this place to any server: in whatever case, and also
    /// to those that read `;` as `&`.
    pub(crate) fn is_parameter(&self, parameter: &str) -> bool {
        let Kind::Query(name) = &self.0 else {
            return false;
        };
        parameter.split(';').any(|part| {
            let given = part.split('=').next().unwrap_or_default();
            let given: Vec<u8> = percent_decode_str(given).collect();
            given.eq_ignore_ascii_case(name.as_bytes())
        })
    }
}

/// RFC 7617 §2: a colon would end the user name.
pub(crate) fn check_user(user: &str) -> Result<(), ConfigError> {
    let wrong = |byte: u8| byte == b':' || byte.is_ascii_control();
    if user.bytes().any(wrong) {
        return Err(ConfigError::Place(
            "a user name holds a colon or a control character",
        ));
    }
    Ok(())
}
