//! From what is injected to the head of a response.
//!
//! The order within one attempt: what is injected is made ready, it is put in, the origin is checked, the framing is taken
//! back, and only then is the request sent. After a refusal of what was injected there is one more attempt, with another
//! one, if the body was short enough to be kept.

use std::{future::poll_fn, mem};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use crate::{
    Body, Outcome, Target, TransformError,
    body::{Event, UploadProgress},
    exchange::Exchange,
    forward::{
        Rules,
        outgoing::InFlight,
        replay::Replay,
        reply::{self, Reply},
    },
    rejection::Reason,
    upstream::{Timeouts, UpstreamError, headers},
};

/// What sends requests: any tower service of the right shape, with the bounds said once.
pub(crate) trait OutboundService:
    Service<Request<Body>, Response = Response<Self::Body>, Error: Into<BoxError>>
{
    type Body: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<C, B> OutboundService for C
where
    C: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}

/// Sends the request, with another injection if need be, and reads the body of an error where the rules say so.
///
/// The request is taken out of its place when it is injected into, and put back as it goes out: the future holds it once.
/// On the second attempt nothing is left there, since the copy is sent.
pub(super) async fn send<'r, R: Rules>(
    request: &mut Request<Body>,
    in_flight: &InFlight,
    rules: &'r R,
    client: &mut impl OutboundService,
) -> Result<Reply<'r>, Reason> {
    rules.ready().await?;
    // Copied before anything is injected: the second attempt must not carry what the first one was refused with.
    let replay = Replay::of(request, rules);
    // What is rare stands in a box: the future of every request would have to hold a response beside all else.
    let second = {
        let reply = attempt(
            request,
            in_flight,
            in_flight.upload.as_deref(),
            rules,
            client,
        )
        .await?;
        let replay = replay.filter(|_| reply.is(|response| rules.refuses_key(response)));
        if replay.is_none() && !reply.is(|response| rules.redacts(response)) {
            return Ok(reply);
        }
        Box::pin(retry_or_redact(reply, replay, in_flight, rules, client))
    };
    second.await
}

/// At a response that refuses what was injected, or that is an error which may repeat it.
///
/// Both are rare, and each may follow on the other: the response to the second attempt may be such an error, too.
async fn retry_or_redact<'r, R: Rules>(
    mut reply: Reply<'r>,
    replay: Option<Box<Replay>>,
    in_flight: &InFlight,
    rules: &'r R,
    client: &mut impl OutboundService,
) -> Result<Reply<'r>, Reason> {
    if let Some(replay) = replay
        && let Some(mut request) = replay.request(rules).await
    {
        // Its body is the copy, so the progress of the upload says nothing about it.
        reply = attempt(&mut request, in_flight, None, rules, client).await?;
    }
    match reply {
        Reply::Upstream(response, target) if rules.redacts(&response) => {
            let response = reply::redact(response, in_flight, rules).await?;
            Ok(Reply::Upstream(response, target))
        }
        other => Ok(other),
    }
}

/// One attempt: from the injection to the head of a response. Dropping it gives the connection up.
///
/// `upload` is how the caller's body goes, if that is the body which is sent.
async fn attempt<'r, R: Rules>(
    request: &mut Request<Body>,
    in_flight: &InFlight,
    upload: Option<&UploadProgress>,
    rules: &'r R,
    client: &mut impl OutboundService,
) -> Result<Reply<'r>, Reason> {
    match rules.inject(mem::take(request)).await? {
        Outcome::Forward(injected) => *request = injected,
        Outcome::Respond(response) => return Ok(Reply::Local(response)),
    }
    // The last look at where it goes: nothing after it changes the URI.
    let target = check_destination(request, rules.targets())?;
    // Behind the injection, which may have set headers of the connection; before the upgrade, which is one of them.
    seal(request);
    rules.via().add(request.headers_mut(), in_flight.version);
    *request.version_mut() = target.version();
    if let Some(timeouts) = Timeouts::of(rules.bounds()) {
        request.extensions_mut().insert(timeouts);
    }
    if let Some(websocket) = &in_flight.websocket {
        websocket.add_handshake(request.headers_mut());
    }
    let failed = |error: BoxError| reason_not_sent(&error, upload, &in_flight.admission);
    let ready = poll_fn(|cx| client.poll_ready(cx)).await;
    ready.map_err(|error| failed(error.into()))?;
    let response = client.call(mem::take(request)).await;
    let response = response.map_err(|error| failed(error.into()))?;
    Ok(Reply::Upstream(
        reply::receive(response, in_flight, rules.bounds())?,
        target,
    ))
}

/// The target that the request goes to: one of those it may go to, or nothing is sent. Where several have its origin, the
/// one that it is furthest below.
///
/// It compares scheme, host and port, and resolves nothing: an injection may choose among the targets, but neither it nor the
/// caller can name another.
fn check_destination<'t>(
    request: &Request<Body>,
    targets: &'t [Target],
) -> Result<&'t Target, Reason> {
    let (scheme, authority) = (request.uri().scheme(), request.uri().authority());
    let depth = |target: &&Target| {
        let below = request.uri().path().strip_prefix(target.prefix());
        below
            .filter(|below| below.is_empty() || below.starts_with('/'))
            .map(|_| target.prefix().len())
    };
    let target = targets
        .iter()
        .filter(|target| target.same_origin(scheme, authority))
        .max_by_key(depth)
        .ok_or(Reason::Origin)?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Reason::Method);
    }
    Ok(target)
}

/// Takes back what no injection may decide: the framing, and more than one value where a key stands.
///
/// The length of the body is the client's to say, from the body itself. An upstream that believed a `Content-Length` set
/// here, or by the caller, would take the rest of one request for the beginning of the next.
fn seal(request: &mut Request<Body>) {
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
        // RFC 9110 §8.6: where a body is expected, its absence is said; some servers respond with 411 otherwise.
        (true, true) => request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0")),
        // With GET or DELETE, hyper drops a body of unknown length unless `Transfer-Encoding` is set.
        (false, false) if length.is_none() => request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        _ => None,
    };
}

/// Whose fault it was that there is no response: what the caller did to its own body comes out as a failure to send.
///
/// The first cause counts. An interrupt breaks the body off, so it is asked before the others; a body that was too large or
/// stood still has failed as well, so that comes last. Only what is left is the upstream's.
fn reason_not_sent(
    error: &BoxError,
    upload: Option<&UploadProgress>,
    exchange: &Exchange,
) -> Reason {
    if let Some(error) = TransformError::in_body(error) {
        return Reason::Transform(error);
    }
    match upload {
        Some(upload) if upload.had(Event::Interrupted) => exchange.reason(),
        Some(upload) if upload.had(Event::TooLarge) => Reason::BodyTooLarge,
        Some(upload) if upload.had(Event::Stalled) => Reason::BodyStalled,
        Some(upload) if upload.had(Event::Failed) => Reason::BodyBroken,
        _ => Reason::Upstream(UpstreamError::of(error)),
    }
}
