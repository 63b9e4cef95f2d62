//! What the response of an upstream could do to the host application, to caches and to other connections.

use sallygate_test_support::{Answer, Reply, Stack};

/// What the caller gets when the upstream's head has these lines.
async fn answered(stack: &Stack) -> Answer {
    let front = stack.front().await;
    front.get("/proxy/svc/a", &stack.token()).send().await
}

async fn with_head(head: &'static str) -> (Stack, Answer) {
    let stack = Stack::answering(move |_| Reply::response(head, "body")).await;
    let answer = answered(&stack).await;
    (stack, answer)
}

#[tokio::test]
async fn caches_that_listen_to_other_headers_keep_nothing_either() {
    let (_stack, answer) = with_head(
        "200 OK\ncache-control: public, max-age=60\ncdn-cache-control: max-age=600\nsurrogate-control: max-age=600, content=\"ESI/1.0\"\ncloudflare-cdn-cache-control: max-age=600\nvercel-cdn-cache-control: max-age=600\nedge-control: cache-maxage=60m\nx-litespeed-location: /etc/passwd\nx-sendfile-temporary: /etc/passwd\nx-kept: 1",
    )
    .await;
    assert_eq!(answer.header("cache-control"), Some("private, max-age=60"));
    assert_eq!(answer.header("x-kept"), Some("1"));
    let names = [
        "cdn-cache-control",
        "surrogate-control",
        "cloudflare-cdn-cache-control",
        "vercel-cdn-cache-control",
        "edge-control",
        "x-litespeed-location",
        "x-sendfile-temporary",
    ];
    let left: Vec<_> = names
        .iter()
        .filter(|name| answer.header(name).is_some())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn active_content_is_sandboxed_however_it_is_declared() {
    let mut free = Vec::new();
    for head in [
        "200 OK\ncontent-type: text/plain\ncontent-type: text/html",
        "200 OK\ncontent-type: application/xml",
        "200 OK\ncontent-type: text/xml; charset=utf-8",
        "200 OK\ncontent-type: application/rss+xml",
        "200 OK\ncontent-type: Text/HTML\t;charset=utf-8",
    ] {
        let (_stack, answer) = with_head(head).await;
        assert_eq!(answer.status, 200);
        if answer.header("content-security-policy") != Some("sandbox") {
            free.push(head);
        }
    }
    assert!(free.is_empty(), "{free:?}");
}

#[tokio::test]
async fn references_do_not_climb_to_the_host_application() {
    let mut passed = Vec::new();
    for reference in [
        "/v1/%2e%2e/%2E./admin",
        "/v1/.%2e/.%2e/admin",
        "%2e%2e/%2e%2e/%2e%2e/admin",
        "/v1/.\t./.\t./admin",
        "http:/admin",
        "http:admin",
        "HTTPS:/admin",
        "/v1/../../admin/a://b",
        "../../../admin/a://b",
    ] {
        let head = format!("302 Found\nlocation: {reference}\ncontent-location: {reference}");
        let stack = Stack::answering(move |_| Reply::response(&head, "body")).await;
        let answer = answered(&stack).await;
        assert_eq!(answer.status, 302);
        if answer.header("location").is_some() || answer.header("content-location").is_some() {
            passed.push(reference);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn links_do_not_climb_to_the_host_application() {
    let mut passed = Vec::new();
    for reference in [
        "/v1/../../../admin",
        "../../../admin",
        "/v1/%2e%2e/%2e%2e/admin",
        "/v1/../../admin/a://b",
    ] {
        let head = format!("200 OK\nlink: <{reference}>; rel=next");
        let stack = Stack::answering(move |_| Reply::response(&head, "body")).await;
        let answer = answered(&stack).await;
        assert_eq!(answer.status, 200);
        let link = answer.header("link").unwrap_or_default().to_owned();
        if link.contains("admin") {
            passed.push(link);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn challenges_for_a_connection_are_removed_from_a_list_too() {
    let mut passed = Vec::new();
    for head in [
        "401 Unauthorized\nwww-authenticate: Basic realm=\"a\", NTLM",
        "401 Unauthorized\nwww-authenticate: Negotiate,Basic realm=\"a\"",
        "401 Unauthorized\nwww-authenticate: NTLM\tTlRMTVNTUAAC",
    ] {
        let (_stack, answer) = with_head(head).await;
        assert_eq!(answer.status, 401);
        let left = answer
            .values("www-authenticate")
            .join(" ")
            .to_ascii_lowercase();
        if left.contains("ntlm") || left.contains("negotiate") {
            passed.push(left);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}
