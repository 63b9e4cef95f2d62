use sallygate::{Api, Target};
use sallygate_test_support::{Slot, Stack};

use super::{BEARER, Called};

#[tokio::test]
async fn the_key_stands_in_authorization_wherever_the_token_was() {
    let api = Called::new(Slot::Bearer, Api::slack).await;
    api.takes_the_token_in("/auth.test", &[BEARER]).await;
    api.takes_the_token_in("/auth.test?token=TOKEN", &[]).await;
    let path = "/conversations.list?limit=2&token=TOKEN&cursor=a";
    let arrived = api.passes("GET", path, &[]).await;
    assert!(
        arrived.starts_with("GET /conversations.list?limit=2&cursor=a HTTP/1.1\r\n"),
        "{arrived}"
    );
    let path = "/conversations.list?token=xoxb-theirs";
    let arrived = api.passes("GET", path, &[BEARER]).await;
    assert!(!arrived.contains("theirs"), "{arrived}");
}

#[tokio::test]
async fn only_methods_that_keep_the_token_where_it_is_pass() {
    let api = Called::new(Slot::Bearer, Api::slack).await;
    for path in [
        "/auth.revoke",
        "/Auth.Revoke",
        "/auth%2Erevoke",
        "/auth.revoke/",
        "/oauth.v2.access",
        "/oauth.v2.exchange",
        "/rtm.connect",
        "/apps.connections.open",
        "/tooling.tokens.rotate",
        "/api/chat.postMessage",
        "/",
    ] {
        let answer = api.refuses("POST", path, &[BEARER]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        api.refuses("DELETE", "/auth.test", &[BEARER]).await.status,
        405
    );
    api.passes("POST", "/chat.postMessage", &[BEARER]).await;
    api.passes("GET", "/auth.test", &[BEARER]).await;
}

/// As on `slack.com/api`: what is beside the base path is out of reach.
#[tokio::test]
async fn methods_are_below_the_base_path() {
    let stack = Stack::new().await;
    let target = format!("http://{}/api", stack.upstream.addr);
    let target = Target::dangerous_plaintext(&target).unwrap();
    let service = Api::slack(stack.key.clone()).with_target(target);
    let front = stack
        .serve(stack.layer_with("api", service).into_service())
        .await;
    let token = stack.token();
    let answer = front.get("/proxy/api/auth.test", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.last().line(), "GET /api/auth.test HTTP/1.1");
}
