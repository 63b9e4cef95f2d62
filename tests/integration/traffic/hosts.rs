//! Services by the name of the host.

use sallygate::Body;
use sallygate_test_support::{Answer, Front, Reply, Stack, assert_refused};

use super::caller::Caller;

/// `svc` at `api.gate.test`, and every service below `proxy.test`.
async fn served() -> (Stack, Front) {
    let stack = Stack::answering(|request| {
        let location = match request.line() {
            "GET /v1/moved HTTP/1.1" => "/v1/new?a=b",
            "GET /v1/away HTTP/1.1" => "https://elsewhere.example/x",
            _ => return Reply::ok(request.line()),
        };
        Reply::response(&format!("302 Found\nlocation: {location}"), "")
    })
    .await;
    let layer = stack.layer().host("api.gate.test", "svc").unwrap();
    let layer = layer.host_suffix("proxy.test").unwrap();
    let application = axum::Router::new().layer(layer);
    let front = stack.serve(application).await;
    (stack, front)
}

async fn ask(front: &Front, host: &str, target: &str, token: &str) -> Answer {
    let head =
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut wire = front.connect().await;
    wire.send(head).await;
    wire.answer().await
}

#[tokio::test]
async fn a_host_leads_to_its_service_whatever_the_path() {
    let (stack, front) = served().await;
    let token = stack.token();
    for (host, target, line) in [
        ("api.gate.test", "/a?b=c", "GET /v1/a?b=c HTTP/1.1"),
        ("API.gate.test:8080", "/", "GET /v1 HTTP/1.1"),
        (
            "api.gate.test.",
            "/proxy/other/a",
            "GET /v1/proxy/other/a HTTP/1.1",
        ),
        ("svc.proxy.test", "/a", "GET /v1/a HTTP/1.1"),
        ("gate.test", "/proxy/svc/a", "GET /v1/a HTTP/1.1"),
    ] {
        let answer = ask(&front, host, target, &token).await;
        assert_eq!((answer.status, answer.text()), (200, line), "{host}");
        let sent = stack.upstream.last();
        assert_eq!(sent.values("host"), [stack.upstream.addr.to_string()]);
    }
    assert_eq!(
        ask(&front, "other.proxy.test", "/a", &token).await.text(),
        "other"
    );

    let refused = ask(&front, "api.gate.test", "/a", "x").await;
    assert_refused(&refused, 401, "PROXY_TOKEN_INVALID");
    let none = ask(&front, "none.proxy.test", "/a", &token).await;
    assert_refused(&none, 404, "PROXY_SERVICE_NOT_FOUND");
    let climbing = ask(&front, "api.gate.test", "/a/%2e%2e/b", &token).await;
    assert_refused(&climbing, 400, "PROXY_PATH_INVALID");
    // Hosts that are none of ours are the application's.
    for host in ["proxy.test", "api.gate.test.evil.test", "evil.test"] {
        let answer = ask(&front, host, "/a", &token).await;
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{host}");
    }
    assert_eq!(stack.upstream.requests().len(), 5);
}

/// Two names in one request: over HTTP/1.1 the target's counts (RFC 9112 §3.2.2), over HTTP/2 it is refused.
#[tokio::test]
async fn where_two_hosts_are_named_one_counts() {
    let (stack, front) = served().await;
    let token = stack.token();
    let answer = ask(&front, "evil.test", "http://api.gate.test/a", &token).await;
    assert_eq!(answer.text(), "GET /v1/a HTTP/1.1");
    let answer = ask(&front, "api.gate.test", "http://evil.test/a", &token).await;
    assert_eq!((answer.status, answer.body.len()), (404, 0));

    let mut caller = Caller::connect(&front).await;
    let asked = |host: Option<&str>| {
        let request = http::Request::get("http://api.gate.test/a")
            .header("authorization", format!("Bearer {token}"));
        match host {
            Some(host) => request.header("host", host),
            None => request,
        }
    };
    for (host, status) in [
        (None, 200),
        (Some("api.gate.test"), 200),
        (Some("evil.test"), 400),
        (Some("other.proxy.test"), 400),
    ] {
        let answer = caller.call(&stack.oracle, asked(host), Body::empty()).await;
        assert_eq!(answer.status, status, "{host:?}");
    }
    assert_eq!(stack.upstream.requests().len(), 3);
    assert!(stack.other.requests().is_empty());
}

#[tokio::test]
async fn references_in_answers_lead_back_to_the_host() {
    let (stack, front) = served().await;
    let token = stack.token();
    let own = stack.upstream.addr;
    for (host, target, location) in [
        ("api.gate.test", "/moved", "/new?a=b".to_owned()),
        ("svc.proxy.test", "/moved", "/new?a=b".to_owned()),
        (
            "gate.test",
            "/proxy/svc/moved",
            "/proxy/svc/new?a=b".to_owned(),
        ),
        (
            "api.gate.test",
            "/away",
            "https://elsewhere.example/x".to_owned(),
        ),
    ] {
        let answer = ask(&front, host, target, &token).await;
        assert_eq!(answer.status, 302);
        assert_eq!(
            answer.header("location"),
            Some(location.as_str()),
            "{host} {own}"
        );
    }
    let followed = ask(&front, "api.gate.test", "/new?a=b", &token).await;
    assert_eq!(followed.text(), "GET /v1/new?a=b HTTP/1.1");
}
