use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{CONTENT_LENGTH, COOKIE, HOST, ORIGIN, TRANSFER_ENCODING},
    request::Parts,
};
use http_body::Body as HttpBody;

use crate::{
    Body, Target,
    body::Watch,
    proxy::{
        Reason,
        gate::{Gate, State},
        route::{check_length, check_path, check_size, path_and_query},
    },
    service::{Bounds, Entry, Registry, ServiceConfig},
    upstream::{PathProblem, headers},
};

/// What stands where a token is looked for.
pub(super) struct Found {
    pub(super) token: String,
    /// It is where another service takes it: no token for this one, however good it is.
    pub(super) elsewhere: bool,
}

/// Finds the token. A service that does not exist looks for it wherever any service would, and "missing" means that
/// none of them finds one: without a token, the two cannot be told apart.
pub(super) fn extract(
    registry: &Registry,
    entry: Option<&Entry>,
    parts: &Parts,
) -> Result<Found, Reason> {
    let own = entry.and_then(|entry| entry.token(parts));
    let elsewhere = own.is_none() && entry.is_some();
    let token = own
        .or_else(|| registry.any_token(parts))
        .ok_or(Reason::TokenMissing)?;
    Ok(Found {
        token: token.into_owned(),
        elsewhere,
    })
}

/// Takes the token out of path and query, and out of the query what stands where the service puts its key.
pub(super) fn remove_token(uri: &mut Uri, token: &str, entry: &Entry) -> Result<(), Reason> {
    let shows = |text: &str| headers::shows(text.as_bytes(), token);
    let injected = |parameter: &str| entry.takes_out(parameter);
    let goes = |parameter: &str| shows(parameter) || injected(parameter);
    let query_goes = uri
        .query()
        .is_some_and(|query| shows(query) || query.split('&').any(injected));
    if !shows(uri.path()) && !query_goes {
        return Ok(());
    }
    let segments = uri
        .path()
        .split('/')
        .filter(|segment| !shows(segment) || segment.contains(token));
    let mut path = segments
        .map(|segment| segment.replace(token, ""))
        .collect::<Vec<_>>()
        .join("/");
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let query = uri
        .query()
        .map(|query| {
            query
                .split('&')
                .filter(|parameter| !goes(parameter))
                .collect::<Vec<_>>()
        })
        .filter(|kept| !kept.is_empty())
        .map(|kept| kept.join("&"));
    // What is left may close up into another path, or into the token again.
    check_path(&path, query.as_deref(), entry.policy.encoded_slashes)?;
    if shows(&path) || query.as_deref().is_some_and(shows) {
        return Err(Reason::Path(PathProblem::Token));
    }
    *uri = path_and_query(&path, query.as_deref())?.into();
    Ok(())
}

/// What this caller may do here. It sees the bytes that are sent.
pub(super) fn authorize(
    parts: &Parts,
    entry: &Entry,
    proxy: &Bounds,
    gate: &Gate,
) -> Result<(), Reason> {
    if gate.shutdown.has_begun() {
        return Err(Reason::ShuttingDown);
    }
    let Entry { policy, bounds, .. } = entry;
    let path = parts.uri.path();
    // The first check was as lenient as the most lenient service; it differs in escapes alone.
    if path.contains('%') {
        check_path(path, None, policy.encoded_slashes)?;
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
        check_size(&parts.headers, bounds.header_fields, bounds.header_bytes)?;
    }
    if bounds.body_bytes < proxy.body_bytes {
        check_length(&parts.headers, bounds.body_bytes)?;
    }
    if gate.was_here(&parts.headers) {
        return Err(Reason::Loop);
    }
    Ok(())
}

/// A browser adds cookies to what other sites ask for: where the token is in one, they may only read, and what they read
/// is kept from them. Pages of the same origin, and clients that are no browsers, may do everything.
pub(super) fn check_site(parts: &Parts, token: &str, websocket: bool) -> Result<(), Reason> {
    let in_cookie = |value: &HeaderValue| headers::shows(value.as_bytes(), token);
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

/// Bounds the caller's body, and keeps its trailers to what a trailer section may hold.
pub(super) fn guard(
    body: Body,
    token: String,
    state: Arc<State>,
    limit: u64,
) -> (Body, Option<Arc<Watch>>) {
    let (body, watch) = body.limited(limit);
    if watch.is_none() {
        return (body, None);
    }
    let clean = move |trailers: &mut HeaderMap| {
        headers::clean_request_trailers(trailers, state.registry.injected(), &token);
    };
    (body.filter_trailers(Box::new(clean)), watch)
}

/// Where the request goes unless `transform` says otherwise.
pub(super) fn join(target: &Target, below: &Uri) -> Result<Uri, Reason> {
    let below = below.path_and_query().ok_or(Reason::Origin)?;
    target.join(below).map_err(|_| Reason::UriTooLong)
}

/// The target that a transformed request goes to: one of the service's own, or nothing is sent. Where several have its
/// origin, the one that it is furthest below.
pub(super) fn target_of<'s>(
    request: &Request<Body>,
    service: &'s dyn ServiceConfig,
) -> Result<&'s Target, Reason> {
    let (scheme, authority) = (request.uri().scheme(), request.uri().authority());
    let own = |target: &&Target| target.same_origin(scheme, authority);
    let depth = |target: &&Target| {
        let below = request.uri().path().strip_prefix(target.prefix());
        below
            .filter(|below| below.is_empty() || below.starts_with('/'))
            .map(|_| target.prefix().len())
    };
    let targets = service.targets().iter().filter(own);
    let target = targets.max_by_key(depth).ok_or(Reason::Origin)?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Reason::Method);
    }
    Ok(target)
}

/// Takes back what `transform` may not decide: the framing, and more than one value where a key stands.
pub(super) fn seal(request: &mut Request<Body>) {
    headers::seal_request(request.headers_mut());
    let expected = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    let (empty, length) = (
        request.body().is_end_stream(),
        request.body().size_hint().exact(),
    );
    match (expected, empty) {
        // RFC 9110 §8.6: where a body is expected, its absence is said; some servers answer 411 otherwise.
        (true, true) => request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0")),
        // hyper takes a body of unknown length for none where none is expected, unless it is told.
        (false, false) if length.is_none() => request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        _ => None,
    };
}
