use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use crate::{
    Body, Context, Outcome,
    proxy::{
        Reason, exchange,
        gate::{Gate, State},
        rejection::Answer,
        route,
    },
    service::{Entry, RequestId},
    token,
    upstream::{Rewrite, headers},
};

/// One request on its way through: the snapshot it works on, and what its answer must say if it stops.
struct Passage {
    gate: Arc<Gate>,
    state: Arc<State>,
    request_id: RequestId,
    version: Version,
    entry: Option<Arc<Entry>>,
}

/// Answers a request below the mount. Every failure is a response.
pub(super) async fn serve<C, B>(
    gate: Arc<Gate>,
    client: C,
    request: Request<Body>,
) -> Response<Body>
where
    C: Service<Request<Body>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut passage = Passage {
        state: gate.state.load_full(),
        gate,
        request_id: RequestId::next(),
        version: request.version(),
        entry: None,
    };
    let answer = {
        let mut stages = pin!(stages(&mut passage, client, request));
        // The embedder's code runs in there: a panic of it costs this request, not the connection or the process.
        poll_fn(|cx| {
            catch_unwind(AssertUnwindSafe(|| stages.as_mut().poll(cx)))
                .unwrap_or(Poll::Ready(Err(Reason::Panic)))
        })
        .await
    };
    answer.unwrap_or_else(|reason| passage.reject(reason))
}

/// The stages, in the order that keeps the promises: docs/life-of-a-request.md says why it is this one.
async fn stages<C, B>(
    passage: &mut Passage,
    client: C,
    request: Request<Body>,
) -> Result<Response<Body>, Reason>
where
    C: Service<Request<Body>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    let (gate, state) = (passage.gate.clone(), passage.state.clone());

    route::check_method(&parts.method)?;
    route::check_headers(&parts, &gate.limits)?;
    let asked = std::mem::take(&mut parts.uri);
    let route = gate.route(&asked)?;
    route::check_path(route.rest, asked.query(), state.registry.encoded_slashes())?;
    parts.uri = route.uri(asked.query())?;
    route::check_credentials(&parts, &state.registry)?;

    passage.entry = state.registry.get(route.service).cloned();
    let token = exchange::extract(&state.registry, passage.entry.as_deref(), &parts)?;
    let claims = token::verify(&*state.verifier, &token, gate.clock.now())
        .await
        .map_err(Reason::Token)?;

    let entry = passage.entry.clone().ok_or(Reason::ServiceUnknown)?;
    let policy = entry.config.policy();
    exchange::remove_token(&mut parts.uri, &token, policy)?;
    exchange::authorize(&parts, policy, &gate)?;

    let http::request::Parts {
        method,
        uri,
        headers,
        extensions,
        ..
    } = parts;
    let (headers, taken) =
        headers::split_request(headers, policy, state.registry.injected(), &token);
    let (body, watch) = exchange::guard(body, token, gate.limits.body_bytes);

    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = method;
    *outgoing.uri_mut() = exchange::join(entry.config.target(), &uri)?;
    *outgoing.headers_mut() = headers;

    let context = Context::new(
        claims,
        entry.name.clone(),
        passage.request_id,
        taken,
        extensions,
    );
    let mut outgoing = match entry
        .config
        .transform(outgoing, &context)
        .await
        .map_err(Reason::Transform)?
    {
        Outcome::Respond(response) => return Ok(response),
        Outcome::Forward(request) => request,
    };

    let target = exchange::target_of(&outgoing, &*entry.config)?;
    headers::seal_request(outgoing.headers_mut());
    headers::sign(outgoing.headers_mut(), passage.version, &gate.via);
    let answer = exchange::send(client, outgoing, watch).await?;

    let rewrite = Rewrite {
        target,
        public: gate.public_prefix(&entry.name),
    };
    Ok(exchange::clean(
        answer,
        policy,
        context.into_used(),
        &rewrite,
        &gate.via,
    ))
}

impl Passage {
    fn reject(&self, reason: Reason) -> Response<Body> {
        // Where it is unclear how the request was framed, the next one on this connection cannot be trusted.
        let in_doubt = matches!(
            reason,
            Reason::Header(_) | Reason::BodyBroken | Reason::BodyTooLarge
        );
        let answer = Answer {
            request_id: self.request_id,
            service: self.entry.as_ref().map(|entry| &entry.name),
            challenges: self.state.registry.challenges(),
            allow: self
                .entry
                .as_ref()
                .and_then(|entry| entry.config.policy().methods.as_deref()),
            close: in_doubt && self.version < Version::HTTP_2,
        };
        answer.to(reason)
    }
}
