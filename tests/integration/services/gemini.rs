use sallygate::Api;
use sallygate_test_support::Slot;

use super::{BEARER, Called};

const SLOT: Slot = Slot::Header("x-goog-api-key");

#[tokio::test]
async fn the_key_stands_in_its_header_wherever_the_token_was() {
    let api = Called::new(SLOT, Api::gemini).await;
    api.takes_the_token_in("/v1beta/models", &[("x-goog-api-key", "TOKEN")])
        .await;
    api.takes_the_token_in("/v1beta/models", &[BEARER]).await;
    api.takes_the_token_in("/v1beta/models?key=TOKEN", &[])
        .await;
    let path = "/v1beta/models/gemini-test:streamGenerateContent?alt=sse&key=TOKEN";
    let arrived = api.passes("POST", path, &[]).await;
    assert!(
        arrived.starts_with(
            "POST /v1beta/models/gemini-test:streamGenerateContent?alt=sse HTTP/1.1\r\n"
        ),
        "{arrived}"
    );
}

/// Where the token is in the header, a key in the query is the caller's own: it must not count there instead of ours.
#[tokio::test]
async fn no_other_key_arrives_beside_ours() {
    let api = Called::new(SLOT, Api::gemini).await;
    let token = [("x-goog-api-key", "TOKEN")];
    for query in [
        "?key=theirs",
        "?KEY=theirs&a=1",
        "?a=1&%6bey=theirs",
        "?key",
    ] {
        let path = format!("/v1beta/models{query}");
        let arrived = api.passes("GET", &path, &token).await;
        let line = arrived.lines().next().unwrap();
        assert!(!line.contains("theirs"), "{line}");
        assert!(!line.contains("key"), "{line}");
    }
}

#[tokio::test]
async fn only_its_own_paths_pass() {
    let api = Called::new(SLOT, Api::gemini).await;
    for path in [
        "/v1alpha/auth_tokens",
        "/v1beta/auth_tokens/",
        "/v1alpha/authTokens",
        "/v1alpha/auth%5Ftokens",
        "/v2/models",
        "/",
    ] {
        let answer = api.refuses("POST", path, &[BEARER]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        api.refuses("OPTIONS", "/v1/models", &[BEARER]).await.status,
        405
    );
    for (method, path) in [
        ("POST", "/upload/v1beta/files"),
        ("GET", "/download/v1beta/files/1:download?alt=media"),
        ("POST", "/v1beta/openai/chat/completions"),
        ("PATCH", "/v1beta/cachedContents/1"),
        ("PUT", "/upload/v1beta/files?upload_id=1"),
    ] {
        api.passes(method, path, &[BEARER]).await;
    }
}
