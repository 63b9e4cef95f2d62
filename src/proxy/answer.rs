use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::Body as HttpBody;
use tower::BoxError;

use crate::{
    Body, Context, Policy, TransformError,
    body::Watch,
    proxy::{Reason, exchange::Exchange, websocket::WebSocket},
    service::Injected,
    upstream::{CameOver, Rewrite, UpstreamError, headers},
};

/// Whose fault it was that there is no answer: what the caller did to its own body comes out as a failure to send.
pub(super) fn not_sent(error: BoxError, watch: Option<&Watch>, exchange: &Exchange) -> Reason {
    if let Some(error) = TransformError::in_body(&error) {
        return Reason::Transform(error);
    }
    match watch {
        Some(watch) if watch.broken_off() => exchange.reason(),
        Some(watch) if watch.too_large() => Reason::BodyTooLarge,
        Some(watch) if watch.stalled() => Reason::BodyStalled,
        Some(watch) if watch.failed() => Reason::BodyBroken,
        _ => Reason::Upstream(UpstreamError::of(&error)),
    }
}

/// Refuses an answer that was not asked for, or that could be read in two ways.
pub(super) fn received<B>(
    answer: Response<B>,
    websocket: Option<&WebSocket>,
) -> Result<Response<Body>, Reason>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let unasked = answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && !websocket.is_some_and(|websocket| websocket.is_accepted(&answer));
    if unasked || headers::is_broken_response(answer.headers()) {
        if let Some(connection) = answer.extensions().get::<CameOver>() {
            connection.cut();
        }
        return Err(Reason::Upstream(UpstreamError::Broken));
    }
    Ok(answer.map(Body::new))
}

/// How much of an error is read.
const ERROR: usize = 64 << 10;

/// Takes the credential out of the body of an error, which is read for it.
pub(super) async fn redact(
    answer: Response<Body>,
    context: &Context,
) -> Result<Response<Body>, Reason> {
    // That of an answer to HEAD is not there, and what is said of it stays.
    if answer.body().is_end_stream() {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let broken = |_| Reason::Upstream(UpstreamError::Broken);
    let body = body.read(ERROR).await.map_err(broken)?;
    let body = if parts.headers.remove(CONTENT_ENCODING).is_some() {
        // It cannot be searched as it is.
        Bytes::new()
    } else {
        context.redact(body)
    };
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Ok(Response::from_parts(parts, body.into()))
}

/// Makes an answer of the upstream's one that the caller may have.
pub(super) fn clean<'a>(
    answer: Response<Body>,
    policy: &Policy,
    limit: u64,
    used: Injected,
    rewrite: impl FnOnce() -> Rewrite<'a>,
    via: &[HeaderValue; 2],
) -> Result<Response<Body>, Reason> {
    let (mut parts, body) = answer.into_parts();
    if body.size_hint().lower() > limit {
        return Err(Reason::Upstream(UpstreamError::TooLarge));
    }
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
    let body = body.bounded(limit);
    Ok(Response::from_parts(parts, body))
}
