use sallygate_test_support::{Answer, Reply, Stack, Upstream};

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
async fn a_connection_with_an_ambiguous_answer_is_not_used_again() {
    let mut used_again = Vec::new();
    for head in [
        "200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
    ] {
        let upstream = Upstream::scripted(move |request| {
            if request.line().contains("/bad") {
                Reply::Bytes(format!("HTTP/1.1 {head}").into_bytes())
            } else {
                Reply::ok("good")
            }
        })
        .await;
        let stack = Stack::upon(upstream).await;
        let front = stack.front().await;
        let token = stack.token();
        assert_eq!(
            front.get("/proxy/svc/good", &token).send().await.status,
            200
        );
        let before = stack.upstream.connections();
        assert_eq!(front.get("/proxy/svc/bad", &token).send().await.status, 502);
        let answer = front.get("/proxy/svc/good", &token).send().await;
        assert_eq!((answer.status, answer.text()), (200, "good"));
        if stack.upstream.connections() == before {
            used_again.push(head);
        }
    }
    assert!(used_again.is_empty(), "{used_again:?}");
}

#[tokio::test]
async fn surplus_bytes_behind_an_answer_are_nobodys_answer() {
    let upstream = Upstream::scripted(|request| {
        if request.line().contains("/first") {
            let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst{poison}");
            Reply::Bytes(answer.into_bytes())
        } else {
            Reply::ok("second")
        }
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    for _ in 0..20 {
        let answer = front.get("/proxy/svc/first", &stack.token()).send().await;
        assert_eq!(answer.text(), "first");
        let answer = front.get("/proxy/svc/second", &stack.token()).send().await;
        assert_eq!((answer.status, answer.text()), (200, "second"));
    }
}

#[tokio::test]
async fn early_hints_of_the_upstream_go_no_further() {
    let stack = Stack::answering(|request| {
        let key = request.values("authorization")[0].to_owned();
        let hints = format!("HTTP/1.1 103 Early Hints\r\nx-key: {key}\r\n\r\n").repeat(50);
        Reply::Bytes(format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").into_bytes())
    })
    .await;
    let front = stack.front().await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    let head = wire.raw_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
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

#[tokio::test]
async fn lengths_of_answers_without_a_body_leave_the_connection_in_step() {
    for head in [
        "204 No Content\r\ncontent-length: 50",
        "204 No Content\r\ntransfer-encoding: chunked",
        "304 Not Modified\r\ncontent-length: 50",
        "304 Not Modified\r\ncontent-length: abc",
        "304 Not Modified\r\ncontent-length: 5, 6",
        "200 OK\r\ncontent-length: 0, 0",
        "205 Reset Content\r\ncontent-length: 0",
    ] {
        let upstream = Upstream::scripted(move |request| {
            if request.line().contains("/odd") {
                Reply::Bytes(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes())
            } else {
                Reply::ok("even")
            }
        })
        .await;
        let stack = Stack::upon(upstream).await;
        let front = stack.front().await;
        let token = stack.token();
        let mut wire = front.connect().await;
        wire.send(front.get("/proxy/svc/odd", &token).bytes()).await;
        let answer = wire.answer().await;
        if answer.status == 204 {
            assert_eq!(answer.header("content-length"), None, "{head}");
        }
        if let Some(length) = answer.header("content-length") {
            assert!(length.parse::<u64>().is_ok(), "{head}: {length}");
        }
        wire.send(front.get("/proxy/svc/even", &token).bytes())
            .await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "even"), "{head}");
    }
}
