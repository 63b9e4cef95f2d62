use std::{
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, request::Parts};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use crate::{
    Body, Context, Outcome, ServiceConfig, Target,
    body::{Held, Linger, Watch},
    proxy::{
        Reason, answer,
        gate::{Gate, State},
        occupancy::ServicePlace,
        rejection::Refusal,
        repeat::Spare,
        request::{self, Found},
        route,
        websocket::{self, Until, WebSocket},
    },
    service::{Caller, Entry, RequestId},
    token::{self, Claims},
    upstream::{ResponseTimeout, Rewrite, headers},
};

/// One request on its way through, and the snapshot it works on.
struct Passage {
    gate: Arc<Gate>,
    state: Arc<State>,
    request_id: RequestId,
    version: Version,
    entry: Option<Arc<Entry>>,
    by_host: bool,
    /// Whether the caller may know that there is such a service.
    verified: bool,
    /// As it stands: what the caller sent, what goes out, and nothing while it is elsewhere.
    request: Request<Body>,
}

/// What came of a request that was transformed.
enum Sent<'e> {
    /// The service answered it.
    Answered(Response<Body>),
    Received(Response<Body>, &'e Target),
}

impl Sent<'_> {
    fn refuses_key(&self, service: &dyn ServiceConfig) -> bool {
        matches!(self, Self::Received(answer, _) if service.refuses_key(answer))
    }
}

/// Answers a request below the mount. Every failure is a response.
pub(super) fn serve<C, B>(
    gate: Arc<Gate>,
    client: C,
    request: Request<Body>,
) -> impl Future<Output = Response<Body>>
where
    C: Service<Request<Body>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let linger = Linger::over(request.version(), request.headers());
    let mut passage = Passage {
        state: gate.state.load_full(),
        gate,
        request_id: RequestId::next(),
        version: request.version(),
        entry: None,
        by_host: false,
        verified: false,
        request: request.map(|body| body.linger(linger)),
    };
    async move {
        let mut opened = None;
        if let Some(cors) = &passage.gate.cors {
            if let Some(preflight) = cors.preflight(&passage.request) {
                return preflight;
            }
            opened = cors.allowed(passage.request.headers());
        }
        let answer = {
            let mut stages = pin!(passage.stages(client));
            // The embedder's code runs in there: a panic of it costs this request, not the connection or the process.
            poll_fn(|cx| {
                catch_unwind(AssertUnwindSafe(|| stages.as_mut().poll(cx)))
                    .unwrap_or(Poll::Ready(Err(Reason::Panic)))
            })
            .await
        };
        let mut answer = answer.unwrap_or_else(|reason| passage.reject(reason));
        if let Some(cors) = &passage.gate.cors {
            cors.open(answer.headers_mut(), opened);
        }
        answer
    }
}

impl Passage {
    /// The stages, in the order that keeps the promises: docs/life-of-a-request.md says why it is this one.
    async fn stages<C, B>(&mut self, mut client: C) -> Result<Response<Body>, Reason>
    where
        C: Service<Request<Body>, Response = Response<B>>,
        C::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Found { token, elsewhere } = self.open()?;

        let now = self.gate.clock.now();
        let verified = token::verify(&*self.state.verifier, &token, now).await;
        let claims = verified.map_err(Reason::Token)?;
        if elsewhere {
            return Err(Reason::TokenElsewhere);
        }
        let entry = self.entry.clone().ok_or(Reason::ServiceUnknown)?;
        self.verified = true;
        let under_way = self.enter(&claims, &entry)?;

        // In a block of its own, so that what it holds is not carried across the waits.
        let (context, watch, websocket) = {
            let (mut parts, body) = mem::take(&mut self.request).into_parts();
            let websocket = WebSocket::asked_for(&mut parts)?;
            request::check_site(&parts, &token, websocket.is_some())?;
            request::remove_token(&mut parts.uri, &token, &entry.policy)?;
            request::authorize(&parts, &entry.policy, &self.gate)?;
            if websocket.is_some() {
                websocket::remove_from_subprotocols(&mut parts.headers, &token);
            }

            let injected = self.state.registry.injected();
            let split = headers::split_request(parts.headers, &entry.policy, injected, &token);
            let limit = entry
                .policy
                .body_bytes
                .unwrap_or(u64::MAX)
                .min(self.gate.limits.body_bytes);
            let idle = self.gate.idle_timeout(&entry.policy);
            let (body, watch) = request::guard(body, token, self.state.clone(), limit, idle);

            self.request = Request::new(body);
            *self.request.method_mut() = parts.method;
            *self.request.uri_mut() = request::join(entry.config.target(), &parts.uri)?;
            *self.request.headers_mut() = split.passed;
            let caller = Caller {
                uri: parts.uri,
                headers: split.taken,
                host: split.host,
                extensions: parts.extensions,
            };
            let name = entry.name.clone();
            let context = Context::new(claims, name, self.request_id, now, caller);
            (Box::new(context), watch, websocket)
        };

        for credential in entry.config.credentials() {
            if !credential.is_ready(now) {
                let ready = Box::pin(credential.ready(&context)).await;
                ready.map_err(Reason::Credential)?;
            }
        }
        let spare = Spare::of(&mut self.request, &*entry.config);

        let mut sent = self
            .send(
                &mut client,
                &entry,
                &context,
                websocket.as_deref(),
                watch.as_deref(),
            )
            .await?;
        if let Some(spare) = spare.filter(|_| sent.refuses_key(&*entry.config)) {
            let again = self.send_again(
                *spare,
                sent,
                &mut client,
                &entry,
                &context,
                websocket.as_deref(),
            );
            sent = Box::pin(again).await?;
        }
        let (mut answer, target) = match sent {
            Sent::Answered(response) => {
                let idle = self.gate.idle_timeout(&entry.policy);
                let over = self.gate.shutdown.over();
                let body = |body: Body| body.idle_timeout(idle).cut_by(over).hold(under_way);
                return Ok(response.map(body));
            }
            Sent::Received(answer, target) => (answer, target),
        };
        let idle = self.gate.idle_timeout(&entry.policy);
        let body = mem::take(answer.body_mut()).idle_timeout(idle);
        *answer.body_mut() = body.cut_by(self.gate.shutdown.over());
        let upstream = match (websocket, answer.status()) {
            (Some(websocket), StatusCode::SWITCHING_PROTOCOLS) => {
                let upstream = websocket::of_upstream(answer.extensions_mut())?;
                Some((websocket, upstream))
            }
            _ => None,
        };
        let expires_at = context.claims().expires_at();
        let rewrite = || Rewrite {
            target,
            public: self.gate.public_prefix(&entry.name, self.by_host),
        };
        let (policy, used) = (&entry.policy, context.into_used());
        let failed = answer.status().is_client_error() || answer.status().is_server_error();
        if policy.redact_errors && failed {
            answer = Box::pin(answer::redact(answer, &used)).await?;
        }
        let mut answer = answer::clean(answer, policy, used, rewrite, &self.gate.via)?;
        match upstream {
            None => {
                let body = mem::take(answer.body_mut());
                *answer.body_mut() = body.hold(under_way);
                Ok(answer)
            }
            Some((websocket, upstream)) => {
                let until = Until {
                    expires_at,
                    clock: self.gate.clock.clone(),
                    shutdown: self.gate.shutdown.clone(),
                    idle_timeout: self.gate.idle_timeout(policy),
                };
                websocket.splice(answer, upstream, until, under_way, self.request_id)
            }
        }
    }

    /// One more request under way, if there may be one more.
    fn enter(&self, claims: &Claims, entry: &Entry) -> Result<Held, Reason> {
        let under_way = self.gate.shutdown.enter();
        let sandbox = match self.gate.limits.concurrent_per_sandbox {
            None => None,
            Some(limit) => {
                let place = self.gate.occupancy.enter(claims.sandbox_id(), limit);
                Some(place.ok_or(Reason::Busy)?)
            }
        };
        let service = match entry.policy.concurrent {
            None => None,
            Some(limit) => {
                let place = ServicePlace::take(&entry.count, limit);
                Some(place.ok_or(Reason::ServiceBusy)?)
            }
        };
        Ok(Box::new((under_way, sandbox, service)))
    }

    /// The stages before anybody is known. What they refuse is answered without the service's help.
    fn open(&mut self) -> Result<Found, Reason> {
        let (mut parts, body) = mem::take(&mut self.request).into_parts();
        let found = self.find_token(&mut parts);
        self.request = Request::from_parts(parts, body);
        found
    }

    fn find_token(&mut self, parts: &mut Parts) -> Result<Found, Reason> {
        let registry = &self.state.registry;
        route::check_method(parts)?;
        route::check_headers(parts, &self.gate.limits)?;
        let asked = mem::take(&mut parts.uri);
        let route = self.gate.route(&asked, &parts.headers)?;
        route::check_path(route.rest, asked.query(), registry.encoded_slashes())?;
        parts.uri = route.uri(asked.query())?;
        self.by_host = route.by_host;
        self.entry = registry.get(&route.service).cloned();
        route::keep_authority(&mut parts.headers, &asked);
        if self.version >= Version::HTTP_2 {
            route::join_cookies(&mut parts.headers);
        }
        route::check_credentials(parts, registry)?;
        request::extract(registry, self.entry.as_deref(), parts)
    }

    /// From `transform` to the head of an answer.
    async fn send<'e, C, B>(
        &mut self,
        client: &mut C,
        entry: &'e Entry,
        context: &Context,
        websocket: Option<&WebSocket>,
        watch: Option<&Watch>,
    ) -> Result<Sent<'e>, Reason>
    where
        C: Service<Request<Body>, Response = Response<B>>,
        C::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = mem::take(&mut self.request);
        let transformed = entry.config.transform(request, context).await;
        match transformed.map_err(Reason::Transform)? {
            Outcome::Respond(response) => return Ok(Sent::Answered(response)),
            Outcome::Forward(request) => self.request = request,
        }
        let target = request::target_of(&self.request, &*entry.config)?;
        request::seal(&mut self.request);
        headers::sign(self.request.headers_mut(), self.version, &self.gate.via);
        *self.request.version_mut() = target.version();
        if let Some(timeout) = entry.policy.response_timeout {
            self.request
                .extensions_mut()
                .insert(ResponseTimeout(timeout));
        }
        if let Some(websocket) = websocket {
            websocket.ask(self.request.headers_mut());
        }

        let ready = poll_fn(|cx| client.poll_ready(cx)).await;
        ready.map_err(|error| answer::not_sent(error.into(), watch))?;
        let answer = client.call(mem::take(&mut self.request)).await;
        let answer = answer.map_err(|error| answer::not_sent(error.into(), watch))?;
        Ok(Sent::Received(answer::received(answer, websocket)?, target))
    }

    /// After the upstream refused the key: with another one, if that can be.
    async fn send_again<'e, C, B>(
        &mut self,
        spare: Spare,
        sent: Sent<'e>,
        client: &mut C,
        entry: &'e Entry,
        context: &Context,
        websocket: Option<&WebSocket>,
    ) -> Result<Sent<'e>, Reason>
    where
        C: Service<Request<Body>, Response = Response<B>>,
        C::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(request) = spare.again(context).await else {
            return Ok(sent);
        };
        self.request = request;
        self.send(client, entry, context, websocket, None).await
    }

    fn reject(&self, reason: Reason) -> Response<Body> {
        // Where it is unclear how the request was framed, the next one on this connection cannot be trusted.
        let in_doubt = matches!(
            reason,
            Reason::Header(_) | Reason::BodyBroken | Reason::BodyTooLarge
        );
        let refusal = Refusal {
            request_id: self.request_id,
            service: self.entry.as_deref(),
            verified: self.verified,
            caller: self.request.headers(),
            challenges: self.state.registry.challenges(),
            close: in_doubt && self.version < Version::HTTP_2,
        };
        refusal.into_response(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, JwtVerifier};

    /// Allocators keep small pieces at hand and search for large ones; glibc's limit is 1,032 bytes.
    #[tokio::test]
    async fn the_future_of_a_request_is_a_small_piece() {
        let verifier = JwtVerifier::hs256([7; 32]).unwrap();
        let gate = Arc::new(Gate::new("/", verifier).unwrap());
        let future = serve(gate, Client::new(), Request::new(Body::empty()));
        let size = mem::size_of_val(&future);
        assert!(size <= 1024, "{size} bytes");
        assert_eq!(future.await.status(), 400);
    }
}
