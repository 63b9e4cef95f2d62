use std::{future::poll_fn, mem, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use crate::{
    Body, Context, Injection, Outcome, ServiceConfig, Target,
    body::Watch,
    proxy::{
        Reason, answer, exchange::Exchange, passage::Passage, repeat::Spare, request,
        websocket::WebSocket,
    },
    service::Entry,
    upstream::{Timeouts, headers},
};

/// What sends requests.
pub(super) trait OutboundService:
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

/// What was made of the caller's request, beside what goes out.
pub(super) struct Outbound<'e> {
    pub(super) entry: &'e Entry,
    pub(super) exchange: &'e Arc<Exchange>,
    pub(super) context: Box<Context>,
    pub(super) websocket: Option<Box<WebSocket>>,
    /// How the caller's body passes.
    pub(super) watch: Option<Arc<Watch>>,
}

/// What came of a request that was transformed.
pub(super) enum Sent<'e> {
    /// The service answered it.
    Answered(Response<Body>),
    Received(Response<Body>, &'e Target),
}

impl Sent<'_> {
    pub(super) fn is_error(&self) -> bool {
        let failed = |status: StatusCode| status.is_client_error() || status.is_server_error();
        matches!(self, Self::Received(answer, _) if failed(answer.status()))
    }

    pub(super) fn refuses_key(&self, service: &dyn ServiceConfig) -> bool {
        matches!(self, Self::Received(answer, _) if service.refuses_key(answer))
    }
}

impl Passage {
    /// From the credentials to the head of an answer: with another key, and without the key in it, if need be.
    pub(super) async fn forward<'e, C: OutboundService>(
        &mut self,
        client: &mut C,
        outbound: &Outbound<'e>,
    ) -> Result<Sent<'e>, Reason> {
        let Outbound { entry, context, .. } = outbound;
        for credential in entry.injections.iter().map(Injection::key) {
            if !credential.is_ready(context.now()) {
                let ready = Box::pin(credential.ready(context)).await;
                ready.map_err(Reason::Credential)?;
            }
        }
        let spare = Spare::of(&mut self.request, entry);
        let watch = outbound.watch.as_deref();
        // Rare, and in a box: the future of every request would have to hold an answer beside all else.
        let again = {
            let sent = self.send(client, outbound, watch).await?;
            let spare = spare.filter(|_| sent.refuses_key(&*entry.config));
            if spare.is_none() && !(entry.policy.redact_errors && sent.is_error()) {
                return Ok(sent);
            }
            Box::pin(self.reconsider(sent, spare, client, outbound))
        };
        again.await
    }

    /// After the upstream refused the key, with another one; and without the key in an error, where the policy wants that.
    async fn reconsider<'e, C: OutboundService>(
        &mut self,
        mut sent: Sent<'e>,
        spare: Option<Box<Spare>>,
        client: &mut C,
        outbound: &Outbound<'e>,
    ) -> Result<Sent<'e>, Reason> {
        if let Some(spare) = spare
            && let Some(request) = spare.again(&outbound.context).await
        {
            self.request = request;
            sent = self.send(client, outbound, None).await?;
        }
        if !(outbound.entry.policy.redact_errors && sent.is_error()) {
            return Ok(sent);
        }
        match sent {
            Sent::Received(answer, target) => {
                let timeout = outbound.entry.bounds.idle_timeout;
                let answer = answer.map(|body| body.idle_timeout(timeout));
                let answer = answer::redact(answer, &outbound.context).await?;
                Ok(Sent::Received(answer, target))
            }
            answered => Ok(answered),
        }
    }

    /// From `transform` to the head of an answer.
    async fn send<'e, C: OutboundService>(
        &mut self,
        client: &mut C,
        outbound: &Outbound<'e>,
        watch: Option<&Watch>,
    ) -> Result<Sent<'e>, Reason> {
        let entry = outbound.entry;
        let websocket = outbound.websocket.as_deref();
        let exchange = outbound.exchange;
        let request = mem::take(&mut self.request);
        let transformed = entry.config.transform(request, &outbound.context).await;
        match transformed.map_err(Reason::Transform)? {
            Outcome::Respond(response) => return Ok(Sent::Answered(response)),
            Outcome::Forward(request) => self.request = request,
        }
        let target = request::target_of(&self.request, &*entry.config)?;
        request::seal(&mut self.request);
        headers::sign(self.request.headers_mut(), self.version, &self.gate.via);
        *self.request.version_mut() = target.version();
        if let Some(timeouts) = Timeouts::of(&entry.bounds) {
            self.request.extensions_mut().insert(timeouts);
        }
        if let Some(websocket) = websocket {
            websocket.ask(self.request.headers_mut());
        }

        let ready = poll_fn(|cx| client.poll_ready(cx)).await;
        ready.map_err(|error| answer::not_sent(error.into(), watch, exchange))?;
        let answer = client.call(mem::take(&mut self.request)).await;
        let answer = answer.map_err(|error| answer::not_sent(error.into(), watch, exchange))?;
        Ok(Sent::Received(answer::received(answer, websocket)?, target))
    }
}
