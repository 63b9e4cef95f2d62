//! What a verified caller may do here.
//!
//! These rules see the bytes that are sent, after the token is out of them. They know no service that does not exist: by now
//! there is one.

use http::{
    HeaderValue,
    header::{COOKIE, HOST, ORIGIN},
    request::Parts,
};

use crate::{
    door::intake,
    rejection::Reason,
    service::{Bounds, Entry},
    upstream::headers,
};

/// What the service takes. It sees the bytes that are sent.
pub(super) fn check_policy(parts: &Parts, entry: &Entry, proxy: &Bounds) -> Result<(), Reason> {
    let Entry { policy, bounds, .. } = entry;
    let path = parts.uri.path();
    // The first check was as lenient as the most lenient service; it differs in escapes alone.
    if path.contains('%') {
        intake::check_path(path, None, policy.encoded_slashes)?;
    }
    if policy
        .methods
        .as_ref()
        .is_some_and(|methods| !methods.contains(&parts.method))
    {
        return Err(Reason::Method);
    }
    if !policy.allows_path(path) {
        return Err(Reason::PathNotAllowed);
    }
    // Those of the proxy have been looked at.
    if bounds.header_fields < proxy.header_fields || bounds.header_bytes < proxy.header_bytes {
        intake::check_size(&parts.headers, bounds.header_fields, bounds.header_bytes)?;
    }
    if bounds.body_bytes < proxy.body_bytes {
        intake::check_length(&parts.headers, bounds.body_bytes)?;
    }
    Ok(())
}

/// A browser adds cookies to what other sites ask for: where the token is in one, they may only read, and what they read
/// is kept from them. Pages of the same origin, and clients that are no browsers, may do everything.
pub(super) fn check_site(parts: &Parts, token: &str, websocket: bool) -> Result<(), Reason> {
    let in_cookie = |value: &HeaderValue| headers::contains(value.as_bytes(), token);
    if (parts.method.is_safe() && !websocket)
        || !parts.headers.get_all(COOKIE).iter().any(in_cookie)
    {
        return Ok(());
    }
    let same = match (
        parts.headers.get("sec-fetch-site"),
        parts.headers.get(ORIGIN),
    ) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => is_of(origin, parts.headers.get(HOST)),
        (None, None) => true,
    };
    if same { Ok(()) } else { Err(Reason::CrossSite) }
}

/// Whether an origin is at this host and port.
fn is_of(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = origin
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    !host.is_empty() && authority.eq_ignore_ascii_case(host)
}
