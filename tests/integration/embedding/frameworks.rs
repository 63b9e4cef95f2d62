use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sallygate::{
    Body, ProxyLayer,
    door::{Reason, Rejection},
    proxy::{Proxy, ProxyService},
};
use sallygate_test_support::{Answer, Reply, Stack, assert_case_refused, assert_refused};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

#[test]
fn layers_and_services_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    anywhere::<ProxyLayer>();
    anywhere::<ProxyService>();
    anywhere::<Proxy<Router>>();
}

#[tokio::test]
async fn around_an_axum_router() {
    let stack = Stack::new().await;
    let app: Router = Router::new()
        .route("/", get(|| async { "the application" }))
        .route(
            "/echo",
            axum::routing::post(|body: String| async move { body }),
        )
        .layer(stack.layer());
    let front = stack.serve(app).await;
    let token = stack.token();

    assert_eq!(
        front.get("/proxy/svc/a?b", &token).send().await.text(),
        "hello"
    );
    assert_eq!(stack.upstream.last().line(), "GET /v1/a?b HTTP/1.1");
    let answer = front.get("/proxy/svc//evil.test", &token).send().await;
    assert_refused(&answer, 400, "PROXY_PATH_INVALID");
    assert_eq!(
        front.get("/proxy", &token).send().await.code(),
        "PROXY_PATH_INVALID"
    );

    assert_eq!(
        front.request("GET", "/").send().await.text(),
        "the application"
    );
    assert_eq!(
        front
            .request("POST", "/echo")
            .body("abc")
            .send()
            .await
            .text(),
        "abc"
    );
    let answer = front.request("GET", "/proxyish").send().await;
    assert_eq!((answer.status, answer.text()), (404, ""));
    assert_eq!(stack.upstream.requests().len(), 1);
}

#[tokio::test]
async fn nested_in_an_axum_router() {
    let stack = Stack::answering(|_| {
        Reply::response("307 Temporary Redirect\nlocation: /v1/next?x", "moved")
    })
    .await;
    let app: Router = Router::new()
        .route("/", get(|| async { "the application" }))
        .nest_service("/proxy", stack.layer().into_nested_service());
    let front = stack.serve(app).await;
    let token = stack.token();

    let answer = front
        .request("POST", "/proxy/svc/a%20b?c")
        .token(&token)
        .body("abc")
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (307, "moved"));
    assert_eq!(answer.header("location"), Some("/proxy/svc/next?x"));
    let sent = stack.upstream.last();
    assert_eq!(
        (sent.line(), sent.body.as_slice()),
        ("POST /v1/a%20b?c HTTP/1.1", &b"abc"[..])
    );
    assert_eq!(front.get("/proxy/svc", &token).send().await.status, 307);
    assert_eq!(stack.upstream.last().line(), "GET /v1 HTTP/1.1");

    for refused in ["/proxy/svc/a/../b", "/proxy/svc//evil.test"] {
        let answer = front.get(refused, &token).send().await;
        assert_case_refused(&answer, 400, "PROXY_PATH_INVALID", refused);
    }
    assert_eq!(
        front.request("GET", "/").send().await.text(),
        "the application"
    );
    assert_eq!(stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn around_a_bare_hyper_service() {
    let stack = Stack::new().await;
    let inner = service_fn(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    });
    let front = stack.serve(stack.layer().layer(inner)).await;
    let token = stack.token();
    assert_eq!(
        front.request("POST", "/").body("inner").send().await.text(),
        "inner"
    );
    let answer = front
        .request("POST", "/proxy/svc/a")
        .token(&token)
        .body("abc")
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let sent = stack.upstream.last();
    assert_eq!(
        (sent.body.as_slice(), sent.values("content-length")),
        (&b"abc"[..], vec!["3"])
    );
    assert_eq!(front.get("/proxy/svc/a", "x").send().await.status, 401);
}

#[tokio::test]
async fn at_other_mounts() {
    let stack = Stack::new().await;
    let token = stack.token();
    for (mount, prefix) in [("/", ""), ("deep/er/", "/deep/er"), ("/p", "/p")] {
        let clock = stack.clock.clone();
        let layer = ProxyLayer::new(mount, stack.verifier())
            .unwrap()
            .clock(move || clock.now());
        let front = stack
            .serve(layer.service("svc", stack.svc()).unwrap().into_service())
            .await;
        assert_eq!(
            front
                .get(&format!("{prefix}/svc/a"), &token)
                .send()
                .await
                .status,
            200,
            "{mount}"
        );
        assert_eq!(stack.upstream.last().line(), "GET /v1/a HTTP/1.1");
        assert_eq!(
            front
                .get(&format!("{prefix}/svc/../a"), &token)
                .send()
                .await
                .status,
            400,
            "{mount}"
        );
        assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 404);
    }
}

/// A body that nobody has heard of, and that is not `Sync`.
struct Odd(Option<Bytes>, std::cell::Cell<u8>);

impl HttpBody for Odd {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test]
async fn outside_the_mount_the_application_gets_the_very_request() {
    #[derive(Clone, PartialEq, Debug)]
    struct Mark(u8);

    let stack = Stack::new().await;
    let inner = service_fn(|request: Request<Odd>| async move {
        assert_eq!(request.version(), Version::HTTP_10);
        assert_eq!(request.uri(), "http://u:p@host.test/a/../b?c#");
        assert_eq!(request.extensions().get(), Some(&Mark(1)));
        assert_eq!(request.headers()["connection"], "x-hop, close");
        assert_eq!(request.headers()["transfer-encoding"], "gzip");
        assert_eq!(request.headers().get_all("authorization").iter().count(), 2);
        let mut response = Response::new(request.into_body());
        response.extensions_mut().insert(Mark(2));
        if response.body().1.get() == 9 {
            Err("the application's own")
        } else {
            Ok(response)
        }
    });
    let app = stack.layer().layer(inner);
    let request = |kind: u8| {
        Request::get("http://u:p@host.test/a/../b?c#")
            .version(Version::HTTP_10)
            .extension(Mark(1))
            .header("connection", "x-hop, close")
            .header("transfer-encoding", "gzip")
            .header("authorization", "a")
            .header("authorization", "b")
            .body(Odd(Some(Bytes::from_static(b"odd")), kind.into()))
            .unwrap()
    };
    let response = app.clone().oneshot(request(0)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Mark(2)));
    assert!(response.headers().is_empty());
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "odd"
    );
    assert_eq!(
        app.clone().oneshot(request(9)).await.unwrap_err(),
        "the application's own"
    );

    // The same kind of body is taken inside.
    let inside = Request::post("/proxy/svc/a")
        .header("host", "gate.test")
        .header("authorization", format!("Bearer {}", stack.token()))
        .body(Odd(Some(Bytes::from_static(b"odd")), 0.into()))
        .unwrap();
    let answer = Answer::of(&stack.oracle, app.oneshot(inside).await.unwrap()).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.last().body, b"odd");
}

#[tokio::test]
async fn layers_outside_see_why_and_say_who() {
    #[derive(Clone)]
    struct Tenant(&'static str);

    let stack = Stack::new().await;
    let key = stack.key.clone();
    let config = sallygate::Api::from_fn(stack.target(), move |mut request, ctx| {
        let tenant = ctx.extensions().get::<Tenant>().unwrap().0;
        request.headers_mut().insert("x-tenant", tenant.parse()?);
        Ok(request.into())
    })
    .inject(sallygate::Injection::bearer(key));
    let app = ServiceBuilder::new()
        .map_request(|mut request: Request<Body>| {
            request.extensions_mut().insert(Tenant("acme"));
            request
        })
        .map_response(|mut response: Response<_>| {
            let why = response.extensions().get::<Rejection>().map(|rejection| {
                match rejection.reason() {
                    Reason::Token(error) => error.to_string(),
                    reason => reason.to_string(),
                }
            });
            response
                .headers_mut()
                .insert("x-why", why.as_deref().unwrap_or("-").parse().unwrap());
            response
        })
        .layer(stack.layer_with("svc", config))
        .service(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::from("inner")))
        }));
    let token = stack.token();
    let ask = |target: &str, token: &str| {
        let request = Request::get(target)
            .header("host", "h")
            .header("authorization", format!("Bearer {token}"));
        stack.call(app.clone(), request.body(Body::empty()).unwrap())
    };
    let answer = ask("/proxy/svc/a", &token).await;
    assert_eq!((answer.status, answer.header("x-why")), (200, Some("-")));
    assert_eq!(stack.upstream.last().values("x-tenant"), ["acme"]);
    assert_eq!(
        ask("/proxy/svc/a", "x").await.header("x-why"),
        Some("malformed")
    );
    assert_eq!(
        ask("/proxy/none/a", &token).await.header("x-why"),
        Some("no such service")
    );
    assert_eq!(ask("/", &token).await.text(), "inner");
}
