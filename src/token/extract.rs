//! Finding the token where an API's clients put their key.
//!
//! Each function takes the caller's request as [`ServiceConfig::validate`] sees it and gives what stands in one
//! place, unverified. They combine with [`Option::or_else`].
//!
//! # Example
//!
//! ```
//! use std::borrow::Cow;
//! use http::{HeaderName, request::Parts};
//! use sallygate::extract;
//!
//! fn validate(request: &Parts) -> Option<Cow<'_, str>> {
//!     extract::header(request, &HeaderName::from_static("x-api-key")).or_else(|| extract::bearer(request))
//! }
//! ```
//!
//! [`ServiceConfig::validate`]: crate::ServiceConfig::validate

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};
use percent_encoding::percent_decode_str;

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1). The scheme's case does not matter.
#[must_use]
pub fn bearer(request: &Parts) -> Option<Cow<'_, str>> {
    authorization(request, "bearer").map(Cow::Borrowed)
}

/// The password of `Authorization: Basic …` (RFC 7617), whatever the user name.
#[must_use]
pub fn basic(request: &Parts) -> Option<Cow<'_, str>> {
    let (_, password) = basic_pair(request)?;
    (!password.is_empty()).then_some(Cow::Owned(password))
}

/// The user name of `Authorization: Basic …`, whatever the password.
#[must_use]
pub fn basic_user(request: &Parts) -> Option<Cow<'_, str>> {
    let (user, _) = basic_pair(request)?;
    (!user.is_empty()).then_some(Cow::Owned(user))
}

/// The value of one header, as it is.
#[must_use]
pub fn header<'r>(request: &'r Parts, name: &HeaderName) -> Option<Cow<'r, str>> {
    let value = request.headers.get(name)?.to_str().ok()?;
    Some(Cow::Borrowed(value)).filter(|value| !value.is_empty())
}

/// The value of one header behind a prefix, whose case does not matter: `Token …`, for example.
#[must_use]
pub fn prefixed<'r>(request: &'r Parts, name: &HeaderName, prefix: &str) -> Option<Cow<'r, str>> {
    let value = request.headers.get(name)?.to_str().ok()?;
    let (given, rest) = value.split_at_checked(prefix.len())?;
    let found = given.eq_ignore_ascii_case(prefix) && !rest.is_empty();
    found.then_some(Cow::Borrowed(rest))
}

/// The value of the first cookie of this name (RFC 6265 §4.2.1), as it is.
#[must_use]
pub fn cookie<'r>(request: &'r Parts, name: &str) -> Option<Cow<'r, str>> {
    let cookies = request.headers.get_all(COOKIE).iter();
    let (_, value) = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)?;
    Some(Cow::Borrowed(value)).filter(|value| !value.is_empty())
}

/// What the path has between `before`, with which it begins, and the next slash; percent-decoded.
#[must_use]
pub fn path<'r>(request: &'r Parts, before: &str) -> Option<Cow<'r, str>> {
    let rest = request.uri.path().strip_prefix(before)?;
    let segment = rest
        .split('/')
        .next()
        .filter(|segment| !segment.is_empty())?;
    percent_decode_str(segment).decode_utf8().ok()
}

/// The percent-decoded value of the first query parameter of this name, which is percent-decoded too.
#[must_use]
pub fn query<'r>(request: &'r Parts, name: &str) -> Option<Cow<'r, str>> {
    let (_, value) = request
        .uri
        .query()?
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .find(|(key, _)| percent_decode_str(key).eq(name.bytes()))?;
    percent_decode_str(value)
        .decode_utf8()
        .ok()
        .filter(|value| !value.is_empty())
}

/// What stands behind `prefix` in the first item of `Sec-WebSocket-Protocol` that begins with it.
#[must_use]
pub fn subprotocol<'r>(request: &'r Parts, prefix: &str) -> Option<Cow<'r, str>> {
    let lists = request.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let found = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .find_map(|item| item.trim().strip_prefix(prefix))?;
    Some(Cow::Borrowed(found)).filter(|found| !found.is_empty())
}

fn basic_pair(request: &Parts) -> Option<(String, String)> {
    let decoded = STANDARD.decode(authorization(request, "basic")?).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn authorization<'r>(request: &'r Parts, scheme: &str) -> Option<&'r str> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(' ').filter(|rest| !rest.is_empty())?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}
