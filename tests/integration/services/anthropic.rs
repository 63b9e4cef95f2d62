use sallygate::Api;
use sallygate_test_support::{Reply, Slot, Stack};

use super::{BEARER, Called};

const SLOT: Slot = Slot::Header("x-api-key");

#[tokio::test]
async fn the_key_stands_in_x_api_key_wherever_the_token_was() {
    let api = Called::new(SLOT, Api::anthropic).await;
    api.takes_the_token_in("/v1/models", &[("x-api-key", "TOKEN")])
        .await;
    api.takes_the_token_in("/v1/models", &[BEARER]).await;
    let both = [("x-api-key", "TOKEN"), ("authorization", "Bearer else")];
    let arrived = api
        .passes("POST", "/v1/messages/count_tokens?beta=true", &both)
        .await;
    assert!(
        arrived.starts_with("POST /v1/messages/count_tokens?beta=true HTTP/1.1\r\n"),
        "{arrived}"
    );
    assert!(!arrived.contains("authorization"), "{arrived}");
}

#[tokio::test]
async fn only_its_own_paths_and_methods_pass() {
    let api = Called::new(SLOT, Api::anthropic).await;
    for path in [
        "/v1/organizations/api_keys",
        "/v1/organizations",
        "/v1/%6Frganizations/api_keys",
        "/V1/Organizations/api_keys",
        "/v1//organizations/api_keys",
        "/v1/organizations;a=b/api_keys",
        "/v1/oauth/token",
        "/v2/messages",
        "/",
    ] {
        let answer = api.refuses("GET", path, &[BEARER]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    let answer = api.refuses("PUT", "/v1/messages", &[BEARER]).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, DELETE"));
    for (method, path) in [
        ("POST", "/v1/messages"),
        ("GET", "/v1/models/claude-test"),
        ("DELETE", "/v1/files/file_1"),
        ("GET", "/v1/organizations-of-mine"),
    ] {
        api.passes(method, path, &[BEARER]).await;
    }
}

#[tokio::test]
async fn what_its_clients_send_and_read_passes() {
    let stack = Stack::answering(|_| {
        let head = "200 OK\nrequest-id: req_1\nanthropic-ratelimit-requests-remaining: 7\n\
                    retry-after: 3\nanthropic-organization-id: org\nset-cookie: __cf_bm=1";
        Reply::response(head, "{}")
    })
    .await;
    stack.upstream.accept(SLOT.show(&stack.secret_key));
    let service = Api::anthropic(stack.key.clone()).with_target(super::origin(&stack));
    let front = stack
        .serve(stack.layer_with("api", service).into_service())
        .await;
    let answer = front
        .request("POST", "/proxy/api/v1/messages")
        .header("x-api-key", stack.token())
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "files-api-2025-04-14")
        .header("anthropic-dangerous-direct-browser-access", "true")
        .header("x-stainless-lang", "python")
        .body("{}")
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (200, "{}"));
    for (name, value) in [
        ("request-id", "req_1"),
        ("anthropic-ratelimit-requests-remaining", "7"),
        ("retry-after", "3"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert_eq!(answer.header("set-cookie"), None);
    let arrived = stack.upstream.last();
    for (name, value) in [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "files-api-2025-04-14"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-stainless-lang", "python"),
    ] {
        assert_eq!(arrived.values(name), [value]);
    }
}
