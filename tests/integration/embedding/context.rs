//! What a `transform` of the embedder's own is told, and how it can end a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use sallygate::{Api, Body, Credential, Injection, Target, TransformError};
use sallygate_test_support::{Reply, Slot, Stack, Upstream, assert_refused};

#[tokio::test]
async fn the_context_tells_where_and_when_the_caller_called() {
    let stack = Stack::new().await;
    let (key, now) = (stack.key.clone(), stack.clock.now());
    let service = Api::from_fn(stack.target(), move |mut request, ctx| {
        assert_eq!(ctx.now(), now);
        let host = ctx.host().ok_or(TransformError::forbidden())?.to_owned();
        request.headers_mut().insert("x-called-at", host.parse()?);
        Ok(request.into())
    })
    .inject(Injection::bearer(key));
    let front = stack
        .serve(stack.layer_with("svc", service).into_service())
        .await;
    let token = stack.token();
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    let received = stack.upstream.last();
    assert_eq!(received.values("x-called-at"), ["gate.test"]);
    assert_eq!(received.values("host"), [stack.upstream.addr.to_string()]);

    // The authority counts where there are both (RFC 9112 §3.2.2).
    let absolute = front.get("http://other.test:81/proxy/svc/a", &token);
    assert_eq!(absolute.send().await.status, 200);
    let received = stack.upstream.last();
    assert_eq!(received.values("x-called-at"), ["other.test:81"]);
}

#[tokio::test]
async fn paths_may_lead_to_another_target_with_the_key_in_another_place() {
    let stack = Stack::new().await;
    let uploads = format!("http://{}/up", stack.other.addr);
    let uploads = Target::dangerous_plaintext(&uploads).unwrap();
    let place = sallygate::Place::query("key").unwrap();
    let slot = Slot::Query("key").show(&stack.secret_key);
    stack.other.accept(slot);
    let paths = ["/upload/**".parse().unwrap()];
    let injection = Injection::new(place, stack.key.clone());
    let service = stack.svc().route(paths, uploads, injection);
    let front = stack
        .serve(stack.layer_with("svc", service).into_service())
        .await;
    let token = stack.token();
    let answer = front.get("/proxy/svc/upload/a?b=c", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "other"));
    let received = stack.other.last();
    assert!(received.line().starts_with("GET /up/upload/a?b=c&key="));
    assert!(!received.has("authorization"));

    let answer = front.get("/proxy/svc/uploads/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.last().line(), "GET /v1/uploads/a HTTP/1.1");
    assert_eq!(stack.other.requests().len(), 1);
}

#[tokio::test]
async fn a_body_that_ends_with_an_error_of_the_service_ends_the_request_with_its_status() {
    let stack = Stack::new().await;
    let key = stack.key.clone();
    let service = Api::from_fn(stack.target(), move |request, ctx| {
        let (parts, _) = request.into_parts();
        let first = Ok::<_, TransformError>(Bytes::from_static(b"first"));
        let body = match ctx.path() {
            "/good" => Body::from_stream(stream::iter([first])),
            _ => Body::from_stream(stream::iter([first, Err(TransformError::forbidden())])),
        };
        Ok(http::Request::from_parts(parts, body).into())
    })
    .inject(Injection::bearer(key));
    let front = stack
        .serve(stack.layer_with("svc", service).into_service())
        .await;
    let token = stack.token();
    let bad = front.request("POST", "/proxy/svc/bad").token(&token);
    let answer = bad.send().await;
    assert_refused(&answer, 403, "PROXY_FORBIDDEN");
    assert!(stack.upstream.requests().iter().all(|got| !got.complete));

    let good = front.request("POST", "/proxy/svc/good").token(&token);
    assert_eq!(good.send().await.status, 200);
    assert_eq!(stack.upstream.last().body, b"first");
}

#[tokio::test]
async fn errors_that_name_the_key_are_redacted_where_the_policy_says_so() {
    let stack = Stack::new().await;
    let oracle = &stack.oracle;
    let pair = format!("{}:{}", oracle.secret("id"), oracle.secret("secret"));
    let shown = pair.clone();
    let upstream = Upstream::scripted(move |request| {
        let status = request.line().split(['/', ' ']).nth(2).unwrap().to_owned();
        let status = format!("{status} Said\ncontent-type: application/xml");
        let (id, _) = shown.split_once(':').unwrap();
        match request.line().contains("twisted") {
            true => Reply::response(&status, STANDARD.encode(id)),
            false => Reply::response(&status, format!("<Id>{id}</Id><All>{shown}</All>")),
        }
    })
    .await;
    upstream.accept(Slot::Bearer.show(&pair));
    let target = Target::dangerous_plaintext(&format!("http://{}", upstream.addr)).unwrap();
    let redacted = Api::bearer(target, Credential::new(&pair).unwrap())
        .policy(|policy| policy.redact_errors());
    let layer = stack.layer_with("svc", redacted);
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    for status in [403, 404, 500] {
        let path = format!("/proxy/svc/{status}");
        let answer = front.get(&path, &token).send().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), "<Id>[redacted]</Id><All>[redacted]</All>");
        assert_eq!(answer.header("content-length"), Some("40"));
        let answer = front.get(&format!("{path}/twisted"), &token).send().await;
        assert_eq!((answer.status, answer.text()), (status, ""));
    }
    let answer = front.request("HEAD", "/proxy/svc/404").token(&token);
    assert_eq!(answer.send().await.status, 404);
    stack.saw_upstream("redacted", &upstream);
}
