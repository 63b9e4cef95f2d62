//! From the head of a response to one that the caller may have.
//!
//! The head is judged as soon as it comes, since a message that could be read in two ways must not reach anything that
//! reads it. It is cleaned last, once it is certain that it is the one which the caller gets.

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::Body as HttpBody;
use tower::BoxError;

use crate::{
    Body, Target,
    forward::{Rules, outgoing::InFlight, websocket},
    rejection::Reason,
    service::Bounds,
    upstream::{CameOver, UpstreamError, headers},
};

/// What came of a request.
pub(super) enum Reply<'r> {
    /// Made here, in place of the upstream. It goes to the caller as it is.
    Local(Response<Body>),
    /// The upstream's, and which target it is from.
    Upstream(Response<Body>, &'r Target),
}

/// How much of an error is read. One that is longer is answered with 502.
const ERROR: usize = 64 << 10;

/// Refuses a response that was not asked for, or could be read in two ways: its connection is cut, since nobody knows where
/// the next response begins. Also refuses one whose head is too large, whose connection is as good as before.
pub(super) fn receive<B>(
    response: Response<B>,
    in_flight: &InFlight,
    bounds: &Bounds,
) -> Result<Response<Body>, Reason>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let unasked = response.status() == StatusCode::SWITCHING_PROTOCOLS
        && !in_flight
            .websocket
            .as_ref()
            .is_some_and(|websocket| websocket.is_accepted(&response));
    if unasked || headers::is_broken_response(response.headers()) {
        if let Some(connection) = response.extensions().get::<CameOver>() {
            connection.cut();
        }
        return Err(Reason::Upstream(UpstreamError::Broken));
    }
    if !fits(response.headers(), bounds) {
        return Err(Reason::Upstream(UpstreamError::TooLarge));
    }
    Ok(response.map(|body| Body::new(body).unguarded()))
}

/// Whether the head is within bounds: a caller, and every layer in between, has to hold all of it.
fn fits(headers: &HeaderMap, bounds: &Bounds) -> bool {
    headers.len() <= bounds.response_header_fields
        && headers::size(headers) <= bounds.response_header_bytes
}

/// Takes what was injected out of the body of an error, which is read for it.
///
/// A compressed body cannot be searched, and is left out. The length that is announced is that of what is left.
pub(super) async fn redact(
    response: Response<Body>,
    in_flight: &InFlight,
    rules: &impl Rules,
) -> Result<Response<Body>, Reason> {
    // A response to HEAD has no body: its `Content-Length` is that of the one to GET, and stays.
    if response.body().is_end_stream() {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let broken = |_| Reason::Upstream(UpstreamError::Broken);
    // Nobody guards it yet, and an upstream that stands still must not hold the request.
    let body = body.idle_timeout(in_flight.admission.idle_timeout());
    let body = body.read(ERROR).await.map_err(broken)?;
    let body = if parts.headers.remove(CONTENT_ENCODING).is_some() {
        // It cannot be searched as it is.
        Bytes::new()
    } else {
        rules.redact(body)
    };
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Ok(Response::from_parts(parts, body.into()))
}

impl Reply<'_> {
    /// Whether it is the upstream's, and such a one.
    pub(super) fn is(&self, such: impl FnOnce(&Response<Body>) -> bool) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Upstream(response, _) => such(response),
        }
    }

    /// The response that the caller gets, or the one that makes a WebSocket of the connection.
    ///
    /// A response that was made here is the embedder's own word, and goes out as it is, guarded like any other.
    pub(super) fn into_response(
        self,
        in_flight: &mut InFlight,
        rules: &impl Rules,
    ) -> Result<Response<Body>, Reason> {
        let websocket = in_flight.websocket.take();
        let guard = |body| in_flight.admission.guard(body);
        let (mut response, target) = match self {
            Self::Local(response) => return Ok(response.map(guard)),
            Self::Upstream(response, target) => (response, target),
        };
        let upgraded = match websocket {
            // Taken before the extensions are cleared.
            Some(websocket) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Some((
                websocket,
                websocket::upstream_of(response.extensions_mut())?,
            )),
            // To a caller over HTTP/2, success means that there is a WebSocket (RFC 8441 §4), and none has come about.
            Some(websocket) if websocket.is_over_http2() && response.status().is_success() => {
                return Err(Reason::Upstream(UpstreamError::Broken));
            }
            _ => None,
        };
        let response = clean(response, target, rules)?;
        match upgraded {
            None => Ok(response.map(guard)),
            Some((websocket, upstream)) => {
                let exchange = in_flight.admission.share();
                websocket.splice(response, upstream, exchange, in_flight.request_id)
            }
        }
    }
}

/// Makes a response of the upstream's one that the caller may have.
///
/// Extensions go with everything that is in them: what a client leaves there is for this side. The version is set anew by the
/// server in front.
fn clean(
    response: Response<Body>,
    target: &Target,
    rules: &impl Rules,
) -> Result<Response<Body>, Reason> {
    let (mut parts, body) = response.into_parts();
    let limit = rules.bounds().response_bytes;
    if body.size_hint().lower() > limit {
        return Err(Reason::Upstream(UpstreamError::TooLarge));
    }
    let version = std::mem::replace(&mut parts.version, Version::HTTP_11);
    // A client of another kind may have trailers behind whatever head.
    let has_no_trailers = parts.extensions.get::<CameOver>().is_some()
        && version < Version::HTTP_2
        && parts.headers.contains_key(CONTENT_LENGTH);
    // The reason phrase is among the extensions: the upstream's words, unread.
    parts.extensions.clear();
    rules.clean(&mut parts.headers, target);
    rules.via().add(&mut parts.headers, version);
    // HTTP/1 has no trailers behind a body of known length.
    let body = if has_no_trailers {
        body
    } else {
        body.filter_trailers(|| rules.trailers())
    };
    Ok(Response::from_parts(parts, body.bounded(limit)))
}
