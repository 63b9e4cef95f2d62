use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::HeaderValue;
use sallygate::{
    Api, Body, Context, Injection, Limits, Outcome, Policy, ServiceConfig, Target, TransformError,
    async_trait,
};
use sallygate_test_support::Stack;

#[tokio::test]
async fn the_body_of_a_get_without_a_length_is_not_lost() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/_search", &stack.token())
        .header("transfer-encoding", "chunked");
    let mut wire = front.connect().await;
    wire.send([request.bytes(), b"3\r\nabc\r\n0\r\n\r\n".to_vec()].concat())
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(stack.upstream.last().body, b"abc");
}

#[tokio::test]
async fn other_spellings_of_a_header_are_no_way_round_cgi() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("x.api.key", "k")
        .header("x!other!key", "k")
        .header("x.forwarded.for", "1.2.3.4")
        .header("x-kept", "1");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.has("x-kept"));
    let names = ["x.api.key", "x!other!key", "x.forwarded.for"];
    let left: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_identity_aware_front_servers_add_stays_here() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let names = [
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-amzn-oidc-accesstoken",
        "x-amzn-oidc-data",
        "x-ms-token-aad-access-token",
        "x-ms-client-principal",
        "x-auth-request-access-token",
        "x-azure-clientip",
        "fly-client-ip",
        "client-ip",
        "x-remote-user",
        "remote-user",
        "client-cert",
        "x-envoy-original-path",
    ];
    let request = front.get("/proxy/svc/a", &stack.token());
    let request = names
        .iter()
        .fold(request, |request, name| request.header(name, "x"));
    assert_eq!(request.header("x-kept", "1").send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.has("x-kept"));
    let left: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn more_headers_than_a_map_can_hold_cost_one_request() {
    let stack = Stack::new().await;
    let limits = Limits::new()
        .header_fields(usize::MAX)
        .header_bytes(usize::MAX);
    let service = stack.layer().limits(limits).into_service();
    let token = stack.token();
    for (values, statuses) in [(20_000, &[200][..]), (30_000, &[431, 500][..])] {
        let mut request = http::Request::builder()
            .uri("/proxy/svc/a")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        for _ in 0..values {
            let value = HeaderValue::from_static("1");
            request.headers_mut().append("x-many", value);
        }
        let answer = stack.call(service.clone(), request).await;
        assert!(statuses.contains(&answer.status), "{values}");
    }
    let front = stack.front().await;
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
}

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
    let answer = wire.answer().await;
    assert!(matches!(answer.status, 200 | 500), "{}", answer.status);
    broken.store(0, Ordering::SeqCst);
    wire.send(&bytes).await;
    assert_eq!(wire.answer().await.status, 200);
}
