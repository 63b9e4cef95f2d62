use sallygate::{Api, Injection, Policy, service::Place};
use sallygate_test_support::{Slot, Stack, assert_case_refused, assert_refused};

#[tokio::test]
async fn a_parameter_in_the_keys_place_is_replaced_however_it_is_spelled() {
    let stack = Stack::new().await;
    let slot = Slot::Query("key").show(&stack.secret_key);
    stack.upstream.accept(slot.clone());
    let key = stack.key.clone();
    let place = Place::query("key").unwrap();
    let config = Api::from_fn(stack.target(), |request, _| Ok(request.into()))
        .inject(Injection::new(place, key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    for (asked, sent) in [
        ("/a?%6bey=1", format!("/v1/a?{slot}")),
        (
            "/a?x=1&key=2&%6B%65%79=3&y=4&key",
            format!("/v1/a?x=1&y=4&{slot}"),
        ),
        ("/a?keys=1&akey=2", format!("/v1/a?keys=1&akey=2&{slot}")),
        ("", format!("/v1?{slot}")),
    ] {
        let answer = front
            .get(&format!("/proxy/svc{asked}"), &token)
            .send()
            .await;
        assert_eq!(answer.status, 200, "{asked}");
        assert_eq!(stack.upstream.last().line(), format!("GET {sent} HTTP/1.1"));
    }
}

#[tokio::test]
async fn the_token_in_the_keys_parameter_is_swapped_for_the_key() {
    let stack = Stack::new().await;
    let slot = Slot::Query("key").show(&stack.secret_key);
    stack.upstream.accept(slot.clone());
    let config = Api::query(stack.target(), "key", stack.key.clone()).unwrap();
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    for asked in [
        format!("/a?b=c&key={token}"),
        format!("/a?%6bey={token}&b=c"),
        format!("/a?b=c&key={}", token.replace('.', "%2E")),
    ] {
        let answer = front
            .request("GET", &format!("/proxy/svc{asked}"))
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            stack.upstream.last().line(),
            format!("GET /v1/a?b=c&{slot} HTTP/1.1")
        );
    }
    // P-049: what the caller puts there beside a token elsewhere is taken out, in any spelling.
    let answer = front.get("/proxy/svc/a?%6bey=1", &token).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        stack.upstream.last().line(),
        format!("GET /v1/a?{slot} HTTP/1.1")
    );
    // One that is no token, and nothing elsewhere.
    let answer = front.request("GET", "/proxy/svc/a?%6bey=1").send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(stack.upstream.requests().len(), 4);
}

#[tokio::test]
async fn encoded_slashes_pass_byte_for_byte_where_the_service_takes_them() {
    let stack = Stack::new().await;
    let config = stack.svc().policy(|policy| policy.allow_encoded_slashes());
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    let answer = front
        .get("/proxy/svc/group%2Fproject%5c/x?y=%2f", &token)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        stack.upstream.last().line(),
        "GET /v1/group%2Fproject%5c/x?y=%2f HTTP/1.1"
    );

    for refused in [
        "/proxy/svc/a%2f..%2fb",
        "/proxy/svc/%2fevil.test/x",
        "/proxy/svc/..%5cx",
        "/proxy/other/a%2fb",
    ] {
        let answer = front.get(refused, &token).send().await;
        assert_case_refused(&answer, 400, "PROXY_PATH_INVALID", refused);
    }
    assert_eq!(stack.upstream.requests().len(), 1);
    assert!(stack.other.requests().is_empty());
    assert_eq!(
        front.get("/proxy/other/a%2db", &token).send().await.text(),
        "other"
    );
}

#[tokio::test]
async fn policies_on_methods_and_paths_see_the_bytes_that_are_sent() {
    let stack = Stack::new().await;
    let policy = Policy::new()
        .methods([http::Method::GET, http::Method::HEAD])
        .paths(["/repos/acme/**".parse().unwrap(), "/user".parse().unwrap()]);
    let config = stack.svc().replace_policy(policy);
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    for path in ["/repos/acme/a/b?c=d", "/repos/acme", "/user?x"] {
        assert_eq!(
            front
                .get(&format!("/proxy/svc{path}"), &token)
                .send()
                .await
                .status,
            200
        );
        assert_eq!(
            stack.upstream.last().line(),
            format!("GET /v1{path} HTTP/1.1")
        );
    }
    for path in [
        "/repos/acme2/a",
        "/repos/%61cme/a",
        "/repos//acme/a",
        "/user/",
        "/",
        "",
        "/repos/other/a?/repos/acme/",
    ] {
        let answer = front.get(&format!("/proxy/svc{path}"), &token).send().await;
        assert_case_refused(&answer, 403, "PROXY_FORBIDDEN", path);
    }
    let answer = front
        .request("POST", "/proxy/svc/user")
        .token(&token)
        .body("x")
        .send()
        .await;
    assert_refused(&answer, 405, "PROXY_METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    assert_eq!(stack.upstream.requests().len(), 3);
}
