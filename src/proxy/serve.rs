//! The order of the proxy's stages.
//!
//! A refusal before the token is verified never uses the service's format, and depends on nothing but the request; one after
//! it always does. The two halves are told apart by type: what the second half works on is made by the first.
//!
//! Each stage is a function on values, in `admission.rs` on the way in and in `forward` from there on, and none of them needs
//! tower.

use std::{
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{HeaderValue, Request, Response, Version};

use crate::{
    Body,
    door::{CatchPanic, InfallibleFuture, refuse},
    forward::{OutboundService, forward},
    proxy::{
        admission::{Asked, Refused, Scope},
        config::Config,
        format::Format,
        mount::Route,
    },
    rejection::Reason,
    service::RequestId,
};

/// Responds to a request, whatever comes of it: every failure is a response.
///
/// What does not wait is done here, so that a request that is refused for its head makes no larger future.
pub(super) fn serve(
    config: Arc<Config>,
    client: impl OutboundService<Future: Send> + Send + 'static,
    request: Request<Body>,
    route: Option<Route>,
) -> InfallibleFuture {
    let cors = config.cors.as_ref();
    // Before anything is asked for: a browser sends no token with a preflight.
    if let Some(preflight) = cors.and_then(|cors| cors.preflight(&request)) {
        return InfallibleFuture::new(ready(preflight));
    }
    let origin = cors.and_then(|cors| cors.allowed(request.headers()));
    let scope = Scope {
        snapshot: config.snapshot.load_full(),
        config,
        request_id: RequestId::next(),
        version: request.version(),
    };
    // Before the token is looked for: nothing means anything in a message that can be read in two ways.
    let asked = catch_unwind(AssertUnwindSafe(|| Asked::read(request, route, &scope)));
    match asked.unwrap_or_else(|_| Err(Refused::panicked())) {
        Err(refused) => {
            let response = with_cors(origin, respond_to(refused, &scope), &scope);
            InfallibleFuture::new(ready(response))
        }
        Ok(asked) => InfallibleFuture::new(respond(asked, scope, client, origin.map(Box::new))),
    }
}

/// The order of the stages, which keeps the promises of docs/life-of-a-request.md. Each value is made from the one before.
#[expect(
    clippy::manual_async_fn,
    reason = "the future of an async fn holds each argument twice"
)]
fn respond(
    asked: Asked,
    scope: Scope,
    mut client: impl OutboundService,
    origin: Option<Box<HeaderValue>>,
) -> impl Future<Output = Response<Body>> {
    async move {
        let response = async {
            // Before the service is looked at: whoever has no token must not learn which services there are.
            let verified = CatchPanic::new(asked.verify(&scope)).await;
            let caller = verified.unwrap_or_else(|_| Err(Refused::panicked()))?;
            // From here on the caller is known, and the service may word what goes wrong.
            let entry = caller.entry().clone();
            let response = CatchPanic::new(async {
                // Permits before rules, so that one request too many costs nothing more; rules on the bytes that are sent.
                let admitted = asked.authenticated_as(caller).admit(&scope)?;
                // The caller's identity goes before the credential comes: what is injected is never taken out again.
                let mut outgoing = admitted.prepare(&scope)?;
                // The same for all doors: inject, check the origin, send, clean.
                forward(&mut outgoing, &mut client).await
            });
            let response = response.await.unwrap_or(Err(Reason::Panic));
            response.map_err(|reason| Refused::verified(reason, entry))
        };
        let response = response.await;
        let response = response.unwrap_or_else(|refused| respond_to(refused, &scope));
        with_cors(origin.map(|origin| *origin), response, &scope)
    }
}

/// Lets the page that asked read the response, refusals among them, if it may.
fn with_cors(
    origin: Option<HeaderValue>,
    mut response: Response<Body>,
    scope: &Scope,
) -> Response<Body> {
    if let Some(cors) = &scope.config.cors {
        cors.open(response.headers_mut(), origin);
    }
    response
}

fn respond_to(refused: Refused, scope: &Scope) -> Response<Body> {
    let Refused {
        reason,
        audience,
        entry,
    } = refused;
    // Where it is unclear how the request was framed, the next one on this connection cannot be trusted.
    let in_doubt = matches!(
        reason,
        Reason::Header(_) | Reason::BodyBroken | Reason::BodyTooLarge
    );
    let close = in_doubt && scope.version < Version::HTTP_2;
    let format = Format {
        audience,
        entry: entry.as_deref(),
        challenges: scope.snapshot.registry.challenges(),
    };
    refuse(reason, scope.request_id, close, &format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, JwtVerifier};

    /// Allocators keep small pieces at hand and search for large ones; glibc's limit is 1,032 bytes.
    #[tokio::test]
    async fn the_future_of_a_request_is_a_small_piece() {
        let verifier = JwtVerifier::hs256([7; 32]).unwrap();
        let config = Arc::new(Config::new("/", verifier).unwrap());
        let request = Request::new(Body::empty());
        let scope = Scope {
            snapshot: config.snapshot.load_full(),
            config,
            request_id: RequestId::next(),
            version: request.version(),
        };
        let route = Some(Route::ByHost("svc".into()));
        let asked = Asked::read(request, route, &scope).ok().unwrap();
        let future = respond(asked, scope, Client::new(), None);
        let size = std::mem::size_of_val(&future);
        assert!(size <= 1024, "{size} bytes");
        assert_eq!(future.await.status(), 401);
    }
}
