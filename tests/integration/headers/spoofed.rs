//! Header fields by which a caller would be taken for somebody else.

use http::HeaderValue;
use sallygate::{Body, Limits};
use sallygate_test_support::Stack;

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
    for (values, status) in [(20_000, 200), (30_000, 431)] {
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
        assert_eq!(answer.status, status, "{values}");
    }
    let front = stack.front().await;
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
}

/// The most that are let in fill a map to the brim; `Host` is added to them before anybody is known.
#[tokio::test]
async fn as_many_headers_of_different_names_as_are_let_in_cost_one_request() {
    let stack = Stack::new().await;
    let limits = Limits::new()
        .header_fields(usize::MAX)
        .header_bytes(usize::MAX);
    let service = stack.layer().limits(limits).into_service();
    for names in [1_000, 24_575] {
        let mut request = http::Request::builder()
            .uri("http://gate.test/proxy/svc/a")
            .header("authorization", format!("Bearer {}", stack.token()))
            .body(Body::empty())
            .unwrap();
        for number in 0..names {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_static("1"));
        }
        let task = tokio::spawn(tower::ServiceExt::oneshot(service.clone(), request));
        let answer = task.await.map(|answer| answer.unwrap().status());
        assert!(answer.is_ok(), "{names}: it panicked");
    }
}
