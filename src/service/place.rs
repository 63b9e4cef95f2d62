//! Where a key or a token stands in a request: how it is found there, and how a key is put there alone. All that differs
//! between a header, a cookie, a path segment and a query parameter is in this file.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
    uri::PathAndQuery,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    Body, ConfigError, Context, TransformError,
    credential::{Material, sensitive},
    extract,
    service::target::concat,
    upstream::{headers, path},
};

/// Where a key stands in a request: the credential upstream, or the token that a caller sends instead.
///
/// # Example
///
/// ```
/// use http::{HeaderName, header::AUTHORIZATION};
/// use sallygate::service::Place;
///
/// let api_key = Place::header(HeaderName::from_static("x-api-key"));
/// let token = Place::prefixed(AUTHORIZATION, "Token ")?; // Authorization: Token …
/// let bot = Place::path("/bot{key}")?; // /bot…/getMe
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Basic(String),
    BasicUser,
    Bearer,
    Cookie(String),
    Header(HeaderName),
    /// What stands before the key in the path, from its beginning.
    Path(String),
    Prefixed(HeaderName, String),
    Query(String),
    /// What stands before the key in an item of the list.
    Subprotocol(String),
}

/// RFC 3986's unreserved characters stay: a key put into a query looks as its own client would write it.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a path segment may hold besides (RFC 3986 §3.3).
const SEGMENT: &AsciiSet = &UNRESERVED
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=');

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

    /// The user name of `Authorization: Basic`, without a password: `curl -u key:`.
    #[must_use]
    pub const fn basic_user() -> Self {
        Self(Kind::BasicUser)
    }

    /// The value of a cookie.
    ///
    /// # Errors
    ///
    /// When the name is not one that a cookie may have (RFC 6265 §4.1.1).
    pub fn cookie(name: impl Into<String>) -> Result<Self, ConfigError> {
        let name = name.into();
        // A cookie's name is a token, as that of a header is.
        if HeaderName::try_from(&name).is_err() {
            return Err(ConfigError::Place("not the name of a cookie"));
        }
        Ok(Self(Kind::Cookie(name)))
    }

    /// The whole value of a header.
    ///
    /// No key goes into one that frames the message or names the host: a service with such a place is refused when it is
    /// added to a proxy.
    #[must_use]
    pub const fn header(name: HeaderName) -> Self {
        Self(Kind::Header(name))
    }

    /// The value of a header behind a prefix such as `Token `, whose case does not matter where a token is looked for.
    ///
    /// # Errors
    ///
    /// When the prefix is no text that a header takes.
    pub fn prefixed(name: HeaderName, prefix: impl Into<String>) -> Result<Self, ConfigError> {
        let prefix = prefix.into();
        if prefix.starts_with(' ') || HeaderValue::try_from(&prefix).is_err() {
            return Err(ConfigError::Place("not a prefix of a header"));
        }
        Ok(Self(Kind::Prefixed(name, prefix)))
    }

    /// A path segment, or the end of one, which `{key}` stands for: `/bot{key}`, `/v3/{key}`. The pattern is where the
    /// path begins, below the service name; `{key}` is at its end.
    ///
    /// A [`Policy`](crate::Policy) sees the path without the key: `/bot/getMe`.
    ///
    /// # Errors
    ///
    /// When the pattern does not have that form, or nothing else in it.
    pub fn path(pattern: &str) -> Result<Self, ConfigError> {
        let before = pattern.strip_suffix("{key}").unwrap_or_default();
        let plain = before.len() > 1
            && before.starts_with('/')
            && !before.contains(['?', '#', '%', '{', '}'])
            && path::check(before, false).is_ok();
        if !plain {
            return Err(ConfigError::Place("not a path such as /bot{key}"));
        }
        Ok(Self(Kind::Path(before.to_owned())))
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

    /// The end of an item of `Sec-WebSocket-Protocol`, behind this prefix: `openai-insecure-api-key.`, for example. It is
    /// where pages in browsers put a key, which can set no other header of a WebSocket. The other items stay.
    ///
    /// # Errors
    ///
    /// When there is no prefix, or it is not one that a subprotocol may have.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::service::Place;
    ///
    /// let place = Place::subprotocol("openai-insecure-api-key.")?;
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn subprotocol(prefix: impl Into<String>) -> Result<Self, ConfigError> {
        let prefix = prefix.into();
        if !is_subprotocol(&prefix) {
            return Err(ConfigError::Place("not the beginning of a subprotocol"));
        }
        Ok(Self(Kind::Subprotocol(prefix)))
    }

    /// What the caller has put here, unverified.
    #[must_use]
    pub fn find<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        match &self.0 {
            Kind::Basic(_) => extract::basic(request),
            Kind::BasicUser => extract::basic_user(request),
            Kind::Bearer => extract::bearer(request),
            Kind::Cookie(name) => extract::cookie(request, name),
            Kind::Header(name) => extract::header(request, name),
            Kind::Path(before) => extract::path(request, before),
            Kind::Prefixed(name, prefix) => extract::prefixed(request, name, prefix),
            Kind::Query(name) => extract::query(request, name),
            Kind::Subprotocol(prefix) => extract::subprotocol(request, prefix),
        }
    }

    /// Puts a key here, alone.
    pub(crate) fn put(
        &self,
        request: &mut Request<Body>,
        ctx: &Context,
        key: &Material,
    ) -> Result<(), TransformError> {
        if let Some((name, value)) = self.value(key)? {
            request.headers_mut().insert(name, value);
            return Ok(());
        }
        let (name, value) = match &self.0 {
            Kind::Path(before) => {
                let base = ctx.base_of(request.uri());
                let path = with_segment(request.uri(), base, before, key.text())?;
                return set_path(request.uri_mut(), path);
            }
            Kind::Query(name) => {
                let path = with_parameter(request.uri(), self, name, key.text())?;
                return set_path(request.uri_mut(), path);
            }
            Kind::Cookie(name) => (COOKIE, with_cookie(request, name, key.text())?),
            Kind::Subprotocol(prefix) => {
                let list = with_subprotocol(request, prefix, key.text())?;
                (SEC_WEBSOCKET_PROTOCOL, list)
            }
            Kind::Basic(_)
            | Kind::BasicUser
            | Kind::Bearer
            | Kind::Header(_)
            | Kind::Prefixed(..) => return Ok(()),
        };
        request.headers_mut().insert(name, value);
        Ok(())
    }

    /// The header with the key in it, where it holds nothing else.
    pub(super) fn value(
        &self,
        key: &Material,
    ) -> Result<Option<(HeaderName, HeaderValue)>, ConfigError> {
        Ok(Some(match &self.0 {
            Kind::Basic(user) => (AUTHORIZATION, key.basic(user)?),
            Kind::BasicUser => (AUTHORIZATION, key.basic_user()?),
            Kind::Bearer => (AUTHORIZATION, key.bearer()),
            Kind::Header(name) => (name.clone(), key.raw()),
            Kind::Prefixed(name, prefix) => (name.clone(), key.prefixed(prefix)?),
            Kind::Cookie(_) | Kind::Path(_) | Kind::Query(_) | Kind::Subprotocol(_) => {
                return Ok(None);
            }
        }))
    }

    pub(super) const fn of(kind: Kind) -> Self {
        Self(kind)
    }

    pub(super) const fn kind(&self) -> &Kind {
        &self.0
    }

    /// Whether what a caller puts here can be taken out without a key in its stead.
    pub(super) const fn can_be_taken_out(&self) -> bool {
        !matches!(self.0, Kind::Path(_))
    }

    /// Takes out what a caller put here, where it stands among other things that may pass: cookies, and subprotocols.
    pub(crate) fn remove_item(&self, given: &mut HeaderMap) {
        match &self.0 {
            Kind::Cookie(name) => headers::retain_items(given, &COOKIE, ';', |pair| {
                let given = pair.split('=').next().unwrap_or_default().trim();
                !given.eq_ignore_ascii_case(name)
            }),
            Kind::Subprotocol(prefix) => {
                headers::retain_items(given, &SEC_WEBSOCKET_PROTOCOL, ',', |item| {
                    let given = item.get(..prefix.len());
                    !given.is_some_and(|given| given.eq_ignore_ascii_case(prefix))
                });
            }
            _ => {}
        }
    }

    /// The header that this place is in, if there is nothing in it to be kept.
    pub(super) fn in_header(&self) -> Option<&HeaderName> {
        match &self.0 {
            Kind::Basic(_) | Kind::BasicUser | Kind::Bearer => Some(&AUTHORIZATION),
            Kind::Cookie(_) => Some(&COOKIE),
            Kind::Header(name) | Kind::Prefixed(name, _) => Some(name),
            Kind::Path(_) | Kind::Query(_) | Kind::Subprotocol(_) => None,
        }
    }

    pub(super) fn is_in_uri(&self) -> bool {
        matches!(self.0, Kind::Path(_) | Kind::Query(_))
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

/// The query with the key behind the other parameters.
fn with_parameter(
    uri: &Uri,
    place: &Place,
    name: &str,
    key: &str,
) -> Result<PathAndQuery, TransformError> {
    let others = uri.query().unwrap_or_default().split('&');
    let mut query: String = others
        .filter(|other| !other.is_empty() && !place.is_parameter(other))
        .flat_map(|other| [other, "&"])
        .collect();
    query.extend(utf8_percent_encode(name, UNRESERVED));
    query.push('=');
    query.extend(utf8_percent_encode(key, UNRESERVED));
    Ok(concat("", uri.path(), Some(&query))?)
}

/// The path with the key in it, where the caller's token was: behind `before`, which ends where a segment does.
fn with_segment(
    uri: &Uri,
    base: &str,
    before: &str,
    key: &str,
) -> Result<PathAndQuery, TransformError> {
    let below = uri.path().get(base.len()..).unwrap_or_default();
    let rest = below
        .strip_prefix(before)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .ok_or_else(TransformError::bad_request)?;
    let key = utf8_percent_encode(key, SEGMENT).to_string();
    let path = [base, before, &key, rest].concat();
    // A key of dots would be a way, not a name.
    path::check(&path, true).map_err(|_| TransformError::new("the key is no path segment"))?;
    Ok(concat("", &path, uri.query())?)
}

fn with_cookie(
    request: &Request<Body>,
    name: &str,
    key: &str,
) -> Result<HeaderValue, TransformError> {
    // RFC 6265 §4.1.1: what may not stand in the value of a cookie.
    if key.contains([' ', '"', ',', ';', '\\']) {
        return Err(TransformError::new("the key is no value of a cookie"));
    }
    let others = request.headers().get_all(COOKIE).iter();
    let others = others
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| {
            let given = pair.split('=').next().unwrap_or_default().trim();
            !pair.is_empty() && !given.eq_ignore_ascii_case(name)
        });
    let others: String = others.flat_map(|pair| [pair, "; "]).collect();
    Ok(sensitive([&others, name, "=", key])?)
}

/// The list with the key behind the other items, in one line.
fn with_subprotocol(
    request: &Request<Body>,
    prefix: &str,
    key: &str,
) -> Result<HeaderValue, TransformError> {
    if !is_subprotocol(key) {
        return Err(TransformError::new("the key is no part of a subprotocol"));
    }
    let lists = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let is_own = |item: &&str| {
        let given = item.get(..prefix.len());
        given.is_some_and(|given| given.eq_ignore_ascii_case(prefix))
    };
    let others: String = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty() && !is_own(item))
        .flat_map(|item| [item, ", "])
        .collect();
    Ok(sensitive([&others, prefix, key])?)
}

/// A token (RFC 9110 §5.6.2), as the name of a header is one.
fn is_subprotocol(text: &str) -> bool {
    HeaderName::try_from(text).is_ok()
}

fn set_path(uri: &mut Uri, path: PathAndQuery) -> Result<(), TransformError> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    *uri = Uri::from_parts(parts)?;
    Ok(())
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
