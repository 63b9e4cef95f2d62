//! Code of the embedder that panics.

use std::{
    borrow::Cow,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use sallygate::{
    Api, Body, Context, Injection, Limits, Outcome, Policy, ServiceConfig, Target, TransformError,
    async_trait,
};
use sallygate_test_support::{PATIENCE, Stack, within};

use crate::streaming::places::is_free;

/// A service whose policy cannot be had once it is broken.
struct Breakable {
    service: Api,
    broken: Arc<AtomicUsize>,
}

#[async_trait]
impl ServiceConfig for Breakable {
    fn target(&self) -> &Target {
        self.service.target()
    }

    fn validate<'r>(&self, request: &'r http::request::Parts) -> Option<Cow<'r, str>> {
        self.service.validate(request)
    }

    async fn transform(
        &self,
        request: http::Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        self.service.transform(request, ctx).await
    }

    fn injections(&self) -> &[Injection] {
        self.service.injections()
    }

    fn policy(&self) -> &Policy {
        assert_eq!(self.broken.load(Ordering::SeqCst), 0, "broken");
        ServiceConfig::policy(&self.service)
    }
}

#[tokio::test]
async fn a_policy_that_panics_costs_one_request_and_not_the_connection() {
    let stack = Stack::new().await;
    let broken = Arc::<AtomicUsize>::default();
    let config = Breakable {
        service: stack.svc(),
        broken: broken.clone(),
    };
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let bytes = front.get("/proxy/svc/a", &stack.token()).bytes();
    let mut wire = front.connect().await;
    wire.send(&bytes).await;
    assert_eq!(wire.answer().await.status, 200);
    broken.store(1, Ordering::SeqCst);
    wire.send(&bytes).await;
    // It was read when the service was registered.
    assert_eq!(wire.answer().await.status, 200);
    broken.store(0, Ordering::SeqCst);
    wire.send(&bytes).await;
    assert_eq!(wire.answer().await.status, 200);
}

/// A service that panics, at once or later.
struct Panics(Api);

#[async_trait]
impl ServiceConfig for Panics {
    fn target(&self) -> &Target {
        self.0.target()
    }

    fn validate<'r>(&self, parts: &'r Parts) -> Option<Cow<'r, str>> {
        self.0.validate(parts)
    }

    fn policy(&self) -> &Policy {
        ServiceConfig::policy(&self.0)
    }

    fn injections(&self) -> &[Injection] {
        self.0.injections()
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        context: &Context,
    ) -> Result<Outcome, TransformError> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/good") {
            return self.0.transform(request, context).await;
        }
        // From here on, the body is lent.
        let first = request.body_mut().frame().await.unwrap().unwrap();
        assert!(!path.ends_with("/now"), "in transform");
        let first = Ok::<_, std::io::Error>(first.into_data().unwrap());
        let panics = move |body: Option<Body>| {
            let rest = stream::poll_fn(move |_| -> Poll<Option<std::io::Result<Bytes>>> {
                panic!("in a body, {}", body.is_some())
            });
            Body::from_stream(stream::iter([first]).chain(rest))
        };
        if path.ends_with("/answer") {
            return Ok(Outcome::Respond(Response::new(panics(None))));
        }
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, panics(Some(body)));
        self.0.transform(request, context).await
    }
}

#[tokio::test]
async fn a_panic_costs_one_request_and_nothing_of_it_is_left() {
    for (path, status) in [("now", "500"), ("body", "502"), ("answer", "")] {
        let stack = Stack::new().await;
        let service = stack
            .svc()
            .policy(|policy| policy.limits(Limits::new().concurrent(NonZeroUsize::MIN)));
        let layer = stack.layer_with("svc", Panics(service));
        let handle = layer.handle();
        let front = stack.serve(layer.into_service()).await;
        let mut wire = front.connect().await;
        let request = front.request("POST", &format!("/proxy/svc/{path}"));
        let request = request.token(&stack.token());
        let request = request.header("transfer-encoding", "chunked");
        wire.send(request.bytes()).await;
        wire.send("3\r\none\r\n3\r\ntwo\r\n").await;
        let head = within(PATIENCE, wire.raw_head()).await;
        assert_eq!(head.split(' ').nth(1).unwrap_or_default(), status);
        assert!(is_free(&stack, &front).await, "{path}");
        assert_eq!(handle.shutdown(PATIENCE).await, 0, "{path}");
        for request in stack.upstream.requests() {
            assert_eq!(request.complete, request.line().contains("/good"));
        }
    }
}
