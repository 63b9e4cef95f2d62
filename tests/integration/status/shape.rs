use http::Version;
use sallygate::{
    Body, Limits,
    door::{Code, Reason},
    upstream::PathProblem,
};
use sallygate_test_support::Stack;

use super::{FINAL, Row, assert_row, assert_serves, rejects, request, with};

const CLOSE: (&str, &str) = ("connection", "close");
const PATH: Row = Row::new(400, Code::PathInvalid, "The path is invalid", &[FINAL]);
const HEADERS: Row = Row::new(
    400,
    Code::HeadersInvalid,
    "The request is malformed",
    &[FINAL, CLOSE],
);
const NOT_FOUND: Row = Row::new(404, Code::NotFound, "There is nothing here", &[FINAL]);
const TOO_LARGE: Row = Row::new(
    413,
    Code::BodyTooLarge,
    "The request body is too large",
    &[FINAL, CLOSE],
);

#[tokio::test]
async fn a_path_that_is_none_of_ours_or_ambiguous() {
    let stack = Stack::new().await;
    let token = stack.token();
    for target in [
        "/",
        "/healthz",
        "//x",
        "/proxies/svc",
        "/elsewhere/../proxy/svc",
        "http://gate.test",
    ] {
        let elsewhere = request("GET", target, &token);
        rejects!(stack, stack.layer(), elsewhere, NOT_FOUND, Reason::NotFound);
    }
    for target in ["/proxy", "/proxy/", "/proxy//svc", "*"] {
        let unroutable = request("GET", target, &token);
        rejects!(
            stack,
            stack.layer(),
            unroutable,
            PATH,
            Reason::Path(PathProblem::Unroutable)
        );
    }
    let dots = request("GET", "/proxy/svc/a/../b", &token);
    rejects!(
        stack,
        stack.layer(),
        dots,
        PATH,
        Reason::Path(PathProblem::DotSegment)
    );
    let slashes = request("GET", "/proxy/svc//evil.test", &token);
    rejects!(
        stack,
        stack.layer(),
        slashes,
        PATH,
        Reason::Path(PathProblem::EmptySegment)
    );
    assert_serves(&stack).await;
}

#[tokio::test]
async fn headers_that_could_be_read_in_two_ways() {
    let stack = Stack::new().await;
    let token = stack.token();
    let plain = || request("POST", "/proxy/svc/a", &token);
    for (name, value) in [
        ("authorization", "Bearer another"),
        ("host", "b.test"),
        ("content-length", "+1"),
        ("content-length", "1, 1"),
        ("transfer-encoding", "gzip, chunked"),
    ] {
        rejects!(
            stack,
            stack.layer(),
            with(plain(), name, value),
            HEADERS,
            Reason::Header(_)
        );
    }
    for (name, value) in [
        ("x-api-key", "a"),
        ("x-other-key", "a"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
    ] {
        let twice = with(with(plain(), name, value), name, value);
        rejects!(stack, stack.layer(), twice, HEADERS, Reason::Header(_));
    }
    for host in [
        "",
        "a.test/x",
        "a.test:99999",
        "u@a.test",
        "a.test:",
        "a b",
        ":80",
    ] {
        let mut wrong = plain();
        wrong.headers_mut().insert("host", host.parse().unwrap());
        if host == "a.test:" {
            assert_eq!(
                stack.call(stack.layer().into_service(), wrong).await.status,
                400,
                "{host}"
            );
            continue;
        }
        rejects!(stack, stack.layer(), wrong, HEADERS, Reason::Header(_));
    }
    let mut binary = plain();
    binary.headers_mut().insert(
        "x-api-key",
        http::HeaderValue::from_bytes(b"a\xe9").unwrap(),
    );
    rejects!(stack, stack.layer(), binary, HEADERS, Reason::Header(_));

    // The same over HTTP/2: nothing to close, the connection is not in doubt.
    let mut differs = plain();
    *differs.version_mut() = Version::HTTP_2;
    *differs.uri_mut() = "https://b.test/proxy/svc/a".parse().unwrap();
    let row = Row::new(
        400,
        Code::HeadersInvalid,
        "The request is malformed",
        &[FINAL],
    );
    rejects!(stack, stack.layer(), differs, row, Reason::Header(_));
    assert_serves(&stack).await;
}

#[tokio::test]
async fn requests_that_are_too_large() {
    let stack = Stack::new().await;
    let token = stack.token();
    let small = Limits::new()
        .body_bytes(10)
        .header_bytes(1_000)
        .header_fields(5)
        .uri_bytes(30);
    let layer = || stack.layer().limits(small);
    let announced = |length: &str| {
        with(
            request("POST", "/proxy/svc/a", &token),
            "content-length",
            length,
        )
    };
    rejects!(
        stack,
        layer(),
        announced("11"),
        TOO_LARGE,
        Reason::BodyTooLarge
    );
    rejects!(
        stack,
        stack.layer(),
        announced("17179869185"),
        TOO_LARGE,
        Reason::BodyTooLarge
    );
    let headers = Row::new(
        431,
        Code::HeadersTooLarge,
        "The request headers are too large",
        &[FINAL],
    );
    let long = with(
        request("GET", "/proxy/svc/a", &token),
        "x",
        &"a".repeat(1_000),
    );
    rejects!(stack, layer(), long, headers, Reason::HeadersTooLarge);
    let many = (0..4).fold(request("GET", "/proxy/svc/a", &token), |many, _| {
        with(many, "x", "a")
    });
    rejects!(stack, layer(), many, headers, Reason::HeadersTooLarge);
    let uri = Row::new(414, Code::UriTooLong, "The URI is too long", &[FINAL]);
    let target = |length: usize| format!("/proxy/svc/{}", "a".repeat(length - 11));
    rejects!(
        stack,
        layer(),
        request("GET", &target(31), &token),
        uri,
        Reason::UriTooLong
    );
    rejects!(
        stack,
        stack.layer(),
        request("GET", &target((16 << 10) + 1), &token),
        uri,
        Reason::UriTooLong
    );

    let at_the_limit = (0..3).fold(request("GET", &target(30), &token), |many, _| {
        with(many, "x", "a")
    });
    assert_eq!(
        stack
            .call(layer().into_service(), at_the_limit)
            .await
            .status,
        200
    );
    let mut ten = announced("10");
    *ten.body_mut() = Body::from("0123456789");
    assert_eq!(stack.call(layer().into_service(), ten).await.status, 200);
    assert_eq!(stack.upstream.last().body, b"0123456789");
}

#[tokio::test]
async fn a_service_may_take_less_than_the_proxy() {
    let stack = Stack::new().await;
    let token = stack.token();
    let config = stack
        .svc()
        .policy(|policy| policy.limits(Limits::new().body_bytes(4)));
    let layer = stack
        .layer_with("small", config)
        .service("svc", stack.svc())
        .unwrap();
    let post = |service: &str, body: &'static str| {
        let path = format!("/proxy/{service}/a");
        let mut request = request("POST", &path, &token);
        *request.body_mut() = Body::from(body);
        with(request, "content-length", &body.len().to_string())
    };
    rejects!(
        stack,
        layer.clone(),
        post("small", "12345"),
        TOO_LARGE,
        Reason::BodyTooLarge
    );
    for (service, body) in [("small", "1234"), ("svc", "12345")] {
        let proxy = layer.clone().into_service();
        let answer = stack.call(proxy, post(service, body)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(stack.upstream.last().body, body.as_bytes());
    }
}
