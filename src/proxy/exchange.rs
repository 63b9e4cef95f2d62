use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, UPGRADE},
    request::Parts,
    uri,
};
use http_body::Body as HttpBody;
use memchr::memmem;
use percent_encoding::percent_decode_str;
use tower::BoxError;

use crate::{
    Body, Policy, Target,
    body::Watch,
    proxy::{
        Reason,
        gate::Gate,
        route::{check_path, origin_form, path_and_query},
    },
    service::{Entry, Place, Registry, ServiceConfig, Used},
    token::TokenError,
    upstream::{Rewrite, UpstreamError, headers},
};

/// Finds the token. A service that does not exist looks for it wherever any service would, and "missing" means that
/// none of them finds one: without a token, the two cannot be told apart.
pub(super) fn extract(
    registry: &Registry,
    entry: Option<&Entry>,
    parts: &Parts,
) -> Result<String, Reason> {
    match entry.and_then(|entry| entry.token(parts)) {
        Some(token) => Ok(token.into_owned()),
        None => match (registry.any_token(parts), entry) {
            (Some(token), None) => Ok(token.into_owned()),
            (Some(_), Some(_)) => Err(Reason::Token(TokenError::Unknown)),
            (None, _) => Err(Reason::TokenMissing),
        },
    }
}

/// Takes the token out of path and query, and out of the query what stands where the service puts its key.
pub(super) fn remove_token(uri: &mut Uri, token: &str, policy: &Policy) -> Result<(), Reason> {
    // Decoding only shortens: a text that is too short hides nothing.
    let shows = |text: &str| {
        text.len() >= token.len()
            && (text.contains(token)
                || (text.contains('%') && {
                    let plain: Vec<u8> = percent_decode_str(text).collect();
                    memmem::find(&plain, token.as_bytes()).is_some()
                }))
    };
    let injected = |parameter: &str| {
        let key = parameter.split('=').next().unwrap_or_default();
        policy.places.iter().any(|place| match place {
            Place::Query(name) => percent_decode_str(key).eq(name.bytes()),
            _ => false,
        })
    };
    let path_shows = shows(uri.path());
    let query_shows = uri
        .query()
        .is_some_and(|query| shows(query) || query.split('&').any(injected));
    if !path_shows && !query_shows {
        return Ok(());
    }
    let kept_segments = |segment: &&str| !shows(segment) || segment.contains(token);
    let path = match path_shows {
        true => uri
            .path()
            .split('/')
            .filter(kept_segments)
            .map(|segment| segment.replace(token, ""))
            .collect::<Vec<_>>()
            .join("/"),
        false => uri.path().to_owned(),
    };
    let query: Option<Vec<_>> = uri.query().map(|query| {
        query
            .split('&')
            .filter(|parameter| !shows(parameter) && !injected(parameter))
            .collect()
    });
    let query = query
        .filter(|kept| !kept.is_empty())
        .map(|kept| kept.join("&"));
    let path = if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    };
    // What is left may read differently from what was checked.
    check_path(&path, query.as_deref(), policy.encoded_slashes)?;
    *uri = origin_form(&path, query.as_deref())?;
    Ok(())
}

/// What this caller may do here. It sees the bytes that are sent.
pub(super) fn authorize(parts: &Parts, policy: &Policy, gate: &Gate) -> Result<(), Reason> {
    check_path(parts.uri.path(), parts.uri.query(), policy.encoded_slashes)?;
    if policy
        .methods
        .as_ref()
        .is_some_and(|methods| !methods.contains(&parts.method))
    {
        return Err(Reason::Method);
    }
    if policy
        .paths
        .as_ref()
        .is_some_and(|paths| !paths.iter().any(|path| path.matches(parts.uri.path())))
    {
        return Err(Reason::PathNotAllowed);
    }
    if gate.was_here(&parts.headers) {
        return Err(Reason::Loop);
    }
    if parts
        .headers
        .get_all(UPGRADE)
        .iter()
        .any(|value| headers::lists(value, "websocket"))
    {
        return Err(Reason::Upgrade);
    }
    Ok(())
}

/// Bounds the caller's body, and keeps its trailers to what a trailer section may hold.
pub(super) fn guard(body: Body, token: String, limit: u64) -> (Body, Option<Arc<Watch>>) {
    let (body, watch) = body.limited(limit);
    if watch.is_none() {
        return (body, None);
    }
    let clean = move |trailers: &mut HeaderMap| headers::clean_request_trailers(trailers, &token);
    (body.filter_trailers(Box::new(clean)), watch)
}

/// The target's origin, its base path, and what the caller asked for below it. Nothing is resolved.
pub(super) fn join(target: &Target, below: &Uri) -> Result<Uri, Reason> {
    let (path, query) = (below.path(), below.query());
    let joined = match (path, target.prefix()) {
        ("/", _) => path_and_query(&[target.base().path()], query)?,
        (_, prefix) => path_and_query(&[prefix, path], query)?,
    };
    let mut parts = uri::Parts::default();
    parts.scheme = Some(target.scheme().clone());
    parts.authority = Some(target.authority().clone());
    parts.path_and_query = Some(joined);
    Uri::from_parts(parts).map_err(|_| Reason::Origin)
}

/// The target that a transformed request goes to: one of the service's own, or nothing is sent.
pub(super) fn target_of<'s>(
    request: &Request<Body>,
    service: &'s dyn ServiceConfig,
) -> Result<&'s Target, Reason> {
    let (scheme, authority) = (request.uri().scheme(), request.uri().authority());
    let own = |target: &&Target| target.same_origin(scheme, authority);
    let target = service.targets().iter().find(own).ok_or(Reason::Origin)?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Reason::Method);
    }
    Ok(target)
}

/// What `transform` may not decide: the framing of the message, and that a key stands alone in its place.
pub(super) fn seal(request: &mut Request<Body>) {
    headers::seal_request(request.headers_mut());
    // RFC 9110 §8.6: where a body is expected, its absence is said; some servers answer 411 otherwise.
    let expected = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    if expected && request.body().is_end_stream() {
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// Whose fault it was that there is no answer: what the caller did to its own body comes out as a failure to send.
pub(super) fn not_sent(error: BoxError, watch: Option<&Watch>) -> Reason {
    match watch {
        Some(watch) if watch.too_large() => Reason::BodyTooLarge,
        Some(watch) if watch.failed() => Reason::BodyBroken,
        _ => Reason::Upstream(UpstreamError::of(&error)),
    }
}

/// Refuses an answer that was not asked for, or that could be read in two ways.
pub(super) fn received<B>(answer: Response<B>) -> Result<Response<Body>, Reason>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        || headers::is_broken_response(answer.headers())
    {
        return Err(Reason::Upstream(UpstreamError::Broken));
    }
    Ok(answer.map(Body::new))
}

/// Makes an answer of the upstream's one that the caller may have.
pub(super) fn clean<'a>(
    answer: Response<Body>,
    policy: &Policy,
    used: Used,
    rewrite: impl FnOnce() -> Rewrite<'a>,
    via: &[HeaderValue; 2],
) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let version = std::mem::replace(&mut parts.version, Version::HTTP_11);
    // The reason phrase is among the extensions: the upstream's words, unread.
    parts.extensions.clear();
    if Rewrite::concerns(&parts.headers) {
        rewrite().apply(&mut parts.headers);
    }
    headers::clean_response(&mut parts.headers, policy, &used);
    headers::sign(&mut parts.headers, version, via);
    // HTTP/1 has no trailers behind a body of known length.
    let body = if version < Version::HTTP_2 && parts.headers.contains_key(CONTENT_LENGTH) {
        body
    } else {
        body.filter_trailers(Box::new(move |trailers| {
            headers::clean_trailers(trailers, &used)
        }))
    };
    Response::from_parts(parts, body)
}
