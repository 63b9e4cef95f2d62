use std::{
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use http::{Request, Response};

use crate::{
    Body, Context,
    body::Linger,
    proxy::{
        Reason,
        exchange::Exchange,
        gate::Gate,
        passage::Passage,
        request::{self, Found},
        send::{Outbound, OutboundService},
        websocket::{self, WebSocket},
    },
    service::{Caller, RequestId},
    token,
    upstream::headers,
};

/// Answers a request below the mount. Every failure is a response.
pub(super) fn serve(
    gate: Arc<Gate>,
    client: impl OutboundService,
    request: Request<Body>,
) -> impl Future<Output = Response<Body>> {
    let linger = Linger::over(request.version(), request.headers());
    let mut passage = Passage {
        state: gate.state.load_full(),
        gate,
        request_id: RequestId::next(),
        version: request.version(),
        entry: None,
        exchange: None,
        by_host: false,
        verified: false,
        request: request.map(|body| body.linger(linger)),
    };
    async move {
        let mut allowed = None;
        if let Some(cors) = &passage.gate.cors {
            if let Some(preflight) = cors.preflight(&passage.request) {
                return preflight;
            }
            allowed = cors.allowed(passage.request.headers()).map(Box::new);
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
            cors.open(answer.headers_mut(), allowed.map(|origin| *origin));
        }
        answer
    }
}

impl Passage {
    /// The stages, in the order that keeps the promises: docs/life-of-a-request.md says why it is this one.
    async fn stages(&mut self, mut client: impl OutboundService) -> Result<Response<Body>, Reason> {
        let Found { token, elsewhere } = self.open()?;

        let now = self.gate.clock.now();
        let revocations = self.gate.revocations.as_ref();
        let verified = token::verify(&*self.state.verifier, revocations, &token, now).await;
        let claims = verified.map_err(Reason::Token)?;
        if elsewhere {
            return Err(Reason::TokenElsewhere);
        }
        let entry = self.entry.clone().ok_or(Reason::ServiceUnknown)?;
        self.verified = true;
        let hold = Exchange::enter(
            &self.gate,
            Arc::clone(&claims),
            &entry,
            self.state.registry.bounds(),
        )?;
        let exchange = Arc::clone(&hold);
        self.exchange = Some(hold);

        // In a block of its own, so that what it holds is not carried across the waits.
        let outbound = {
            let (mut parts, body) = mem::take(&mut self.request).into_parts();
            let websocket = WebSocket::asked_for(&mut parts)?;
            request::check_site(&parts, &token, websocket.is_some())?;
            request::remove_token(&mut parts.uri, &token, &entry)?;
            request::authorize(&parts, &entry, self.state.registry.bounds(), &self.gate)?;
            if websocket.is_some() {
                websocket::remove_from_subprotocols(&mut parts.headers, &token);
            }

            let injected = self.state.registry.injected();
            let split = headers::split_request(parts.headers, &entry.policy, injected, &token);
            let limit = entry.bounds.body_bytes;
            let (body, watch) = request::guard(body, token, self.state.clone(), limit);
            let body = exchange.watch(body, &entry.bounds);

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
            let context = Context::new(claims, entry.clone(), self.request_id, now, caller);
            Outbound {
                entry: &entry,
                exchange: &exchange,
                context: Box::new(context),
                websocket,
                watch,
            }
        };

        let sent = {
            let sent = pin!(self.forward(&mut client, &outbound));
            exchange.unless_ended(sent).await?
        };
        let answer = self.finish(sent, outbound)?;
        exchange.answered();
        Ok(answer)
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
