use std::{
    future::{Ready, ready},
    time::Duration,
};

use http::{Request, Response};
use sallygate::{
    Body, Client,
    door::{Reason, Rejection},
    upstream::UpstreamError,
};
use sallygate_test_support::{Reply, Stack, assert_refused};
use tower::{
    BoxError, ServiceBuilder,
    limit::ConcurrencyLimitLayer,
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    timeout::TimeoutLayer,
};

/// Twice more, if the body can be had again.
#[derive(Clone)]
struct Again(u8);

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Ready<()>> {
        let failed = !matches!(result, Ok(response) if response.status() != 503);
        if !failed || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.headers_mut() = request.headers().clone();
        Some(clone)
    }
}

#[tokio::test]
async fn retries_time_outs_and_limits_are_layers_on_the_outbound_side() {
    let stack = Stack::answering(|request| match request.line() {
        "GET /v1/flaky HTTP/1.1" | "POST /v1/flaky HTTP/1.1" => Reply::response("503 Busy", "busy"),
        "GET /v1/slow HTTP/1.1" => Reply::Silence,
        _ => Reply::ok("hello"),
    })
    .await;
    let outbound = ServiceBuilder::new()
        .layer(RetryLayer::new(Again(2)))
        .layer(ConcurrencyLimitLayer::new(4))
        .layer(TimeoutLayer::new(Duration::from_millis(300)))
        .service(Client::new());
    let front = stack
        .serve(stack.layer().client(outbound).into_service())
        .await;
    let token = stack.token();

    assert_eq!(
        front.get("/proxy/svc/a", &token).send().await.text(),
        "hello"
    );
    assert_eq!(stack.upstream.requests().len(), 1);
    let answer = front.get("/proxy/svc/flaky", &token).send().await;
    assert_eq!((answer.status, answer.text()), (503, "busy"));
    assert_eq!(stack.upstream.requests().len(), 4, "three attempts");
    assert!(
        stack
            .upstream
            .requests()
            .iter()
            .all(|request| request.authorized)
    );
    // A body that was streamed cannot be sent again.
    let answer = front
        .request("POST", "/proxy/svc/flaky")
        .token(&token)
        .body("abc")
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (503, "busy"));
    assert_eq!(stack.upstream.requests().len(), 5);
    let answer = front.get("/proxy/svc/slow", &token).send().await;
    assert_refused(&answer, 504, "PROXY_TARGET_TIMEOUT");
}

#[tokio::test]
async fn an_overloaded_outbound_side_says_come_back() {
    let stack = Stack::answering(|request| match request.line() {
        "GET /v1/slow HTTP/1.1" => Reply::Silence,
        _ => Reply::ok("hello"),
    })
    .await;
    let outbound = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(Client::new());
    let service = stack.layer().client(outbound).into_service();
    let front = stack.serve(service.clone()).await;
    let token = stack.token();
    let mut slow = front.connect().await;
    slow.send(front.get("/proxy/svc/slow", &token).bytes())
        .await;
    stack.upstream.until(|requests| requests.len() == 1).await;

    let request = Request::get("/proxy/svc/a")
        .header("host", "h")
        .header("authorization", format!("Bearer {token}"));
    let answer = stack
        .call(service, request.body(Body::empty()).unwrap())
        .await;
    assert_refused(&answer, 503, "PROXY_STATE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let rejection = answer.extensions.get::<Rejection>().unwrap();
    assert!(
        matches!(
            rejection.reason(),
            Reason::Upstream(UpstreamError::Overloaded)
        ),
        "{rejection:?}"
    );

    drop(slow);
    stack.upstream.until_deserted(Duration::from_secs(5)).await;
    assert_eq!(
        front.get("/proxy/svc/a", &token).send().await.text(),
        "hello"
    );
}

#[tokio::test]
async fn any_service_will_do_for_a_client_and_its_error_stays_inside() {
    let stack = Stack::new().await;
    let secret = stack.secret_key.clone();
    let outbound = tower::service_fn(move |request: Request<Body>| {
        let secret = secret.clone();
        async move {
            assert_eq!(request.uri().scheme_str(), Some("http"));
            assert!(request.headers().get("host").is_none());
            match request.uri().path() {
                "/v1/fails" => Err(BoxError::from(format!("could not send {secret}"))),
                path => Ok(Response::new(Body::from(path.to_owned()))),
            }
        }
    });
    let front = stack
        .serve(stack.layer().client(outbound).into_service())
        .await;
    let token = stack.token();
    assert_eq!(
        front.get("/proxy/svc/a", &token).send().await.text(),
        "/v1/a"
    );
    let answer = front.get("/proxy/svc/fails", &token).send().await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    assert!(stack.upstream.requests().is_empty());
}
