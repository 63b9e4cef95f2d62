use http::{Method, Request};
use sallygate::{
    Body, Policy,
    door::{Code, Reason},
    token::TokenError,
};
use sallygate_test_support::Stack;

use super::{FINAL, Row, assert_row, assert_serves, rejects, request, with};

const CHALLENGE: (&str, &str) = ("www-authenticate", "Bearer");
const MISSING: Row = Row::new(
    401,
    Code::TokenMissing,
    "A token is required",
    &[FINAL, CHALLENGE],
);
const INVALID: Row = Row::new(
    401,
    Code::TokenInvalid,
    "The token is not valid",
    &[FINAL, CHALLENGE],
);
const ANY: (&str, &str) = ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const METHOD: Row = Row::new(
    405,
    Code::MethodNotAllowed,
    "This method is not allowed",
    &[FINAL, ANY],
);

#[tokio::test]
async fn no_token_or_a_bad_one() {
    let stack = Stack::new().await;
    let mut none = request("GET", "/proxy/svc/a", "");
    none.headers_mut().remove("authorization");
    rejects!(stack, stack.layer(), none, MISSING, Reason::TokenMissing);
    let basic = with(
        Request::get("/proxy/svc/a").body(Body::empty()).unwrap(),
        "authorization",
        "Basic dTpw",
    );
    rejects!(
        stack,
        stack.layer(),
        with(basic, "host", "a"),
        MISSING,
        Reason::TokenMissing
    );

    let garbage = request("GET", "/proxy/svc/a", "garbage");
    rejects!(
        stack,
        stack.layer(),
        garbage,
        INVALID,
        Reason::Token(TokenError::Malformed)
    );
    let unsigned = request("GET", "/proxy/svc/a", "eyJhbGciOiJub25lIn0.e30.");
    rejects!(
        stack,
        stack.layer(),
        unsigned,
        INVALID,
        Reason::Token(TokenError::Signature)
    );
    let token = stack.token();
    stack.clock.advance(900);
    let expired = request("GET", "/proxy/svc/a", &token);
    rejects!(
        stack,
        stack.layer(),
        expired,
        INVALID,
        Reason::Token(TokenError::Expired)
    );
    assert_serves(&stack).await;
}

#[tokio::test]
async fn what_a_service_excludes() {
    let stack = Stack::new().await;
    let token = stack.token();
    let policy = Policy::new()
        .methods([Method::GET, Method::HEAD])
        .paths(["/a/**".parse().unwrap()]);
    let layer = || stack.layer_with("svc", stack.svc().replace_policy(policy.clone()));
    let forbidden = Row::new(403, Code::Forbidden, "This is not allowed", &[FINAL]);
    rejects!(
        stack,
        layer(),
        request("GET", "/proxy/svc/b", &token),
        forbidden,
        Reason::PathNotAllowed
    );
    let method = Row::new(
        405,
        Code::MethodNotAllowed,
        "This method is not allowed",
        &[FINAL, ("allow", "GET, HEAD")],
    );
    rejects!(
        stack,
        layer(),
        request("DELETE", "/proxy/svc/a", &token),
        method,
        Reason::Method
    );
    // Without a token there is nothing to learn about the rules.
    rejects!(
        stack,
        layer(),
        request("DELETE", "/proxy/svc/b", "x"),
        INVALID,
        Reason::Token(_)
    );
    let answer = stack
        .call(
            layer().into_service(),
            request("GET", "/proxy/svc/a/b", &token),
        )
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .extensions
            .get::<sallygate::door::Rejection>()
            .is_none()
    );
}

#[tokio::test]
async fn methods_that_no_proxy_forwards() {
    let stack = Stack::new().await;
    let token = stack.token();
    for method in ["TRACE", "CONNECT", "get", "Post", "trace"] {
        rejects!(
            stack,
            stack.layer(),
            request(method, "/proxy/svc/a", &token),
            METHOD,
            Reason::Method
        );
    }
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY",
    ] {
        let answer = stack
            .call(
                stack.layer().into_service(),
                request(method, "/proxy/svc/a", &token),
            )
            .await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(
            stack.upstream.last().line(),
            format!("{method} /v1/a HTTP/1.1")
        );
    }
}

#[tokio::test]
async fn an_unknown_service_with_a_good_token() {
    let stack = Stack::new().await;
    let row = Row::new(
        404,
        Code::ServiceNotFound,
        "There is no such service",
        &[FINAL],
    );
    for service in [
        "nothing",
        "Svc",
        "svc2",
        "%73vc",
        ".",
        "..",
        "svc;a",
        "svc@evil.test",
    ] {
        let unknown = request("GET", &format!("/proxy/{service}/a"), &stack.token());
        rejects!(stack, stack.layer(), unknown, row, Reason::ServiceUnknown);
    }
    assert_serves(&stack).await;
}

#[tokio::test]
async fn websockets_are_refused_where_the_server_gives_no_connection_and_other_upgrades_ignored() {
    let stack = Stack::new().await;
    let token = stack.token();
    let upgrade = |to: &str| {
        let request = with(request("GET", "/proxy/svc/a", &token), "upgrade", to);
        let request = with(request, "connection", "Upgrade, HTTP2-Settings");
        let request = with(request, "sec-websocket-version", "13");
        with(request, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let row = Row::new(
        501,
        Code::UpgradeUnsupported,
        "This upgrade is not supported",
        &[FINAL],
    );
    for to in ["websocket", "WebSocket", "h2c, websocket"] {
        rejects!(stack, stack.layer(), upgrade(to), row, Reason::Upgrade);
    }
    let h2c = with(upgrade("h2c"), "http2-settings", "AAMAAABkAAQAAP__");
    assert_eq!(
        stack.call(stack.layer().into_service(), h2c).await.status,
        200
    );
    let sent = stack.upstream.last();
    assert!(
        !sent.has("upgrade") && !sent.has("connection") && !sent.has("http2-settings"),
        "{}",
        sent.head
    );
}

#[tokio::test]
async fn a_request_that_came_back() {
    let stack = Stack::new().await;
    let token = stack.token();
    let layer = stack.layer();
    let answer = stack
        .call(
            layer.clone().into_service(),
            request("GET", "/proxy/svc/a", &token),
        )
        .await;
    assert_eq!(answer.status, 200);
    let via = stack.upstream.last().values("via")[0].to_owned();
    let back = with(
        request("GET", "/proxy/svc/a", &token),
        "via",
        &format!("1.0 squid, {via}"),
    );
    let row = Row::new(
        508,
        Code::Loop,
        "The request came back to this proxy",
        &[FINAL],
    );
    let answer = stack.call(layer.clone().into_service(), back).await;
    assert!(matches!(assert_row(&answer, &row).reason(), Reason::Loop));
    let by_others = with(
        request("GET", "/proxy/svc/a", &token),
        "via",
        "1.0 squid, 1.1 sallygate-0",
    );
    assert_eq!(
        stack.call(layer.into_service(), by_others).await.status,
        200
    );
    assert_eq!(stack.upstream.requests().len(), 2);
}
