use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sallygate_test_support::{Answer, Reply, Slot, Stack, Upstream};

/// A stack whose upstream answers with these fields.
async fn giving(head: impl Into<String>) -> Stack {
    let head = head.into();
    Stack::answering(move |_| Reply::response(&head, "body")).await
}

async fn ask(stack: &Stack) -> Answer {
    stack
        .front()
        .await
        .get("/proxy/svc/a", &stack.token())
        .send()
        .await
}

/// The fields without the server's own.
fn fields(answer: &Answer) -> Vec<(&str, &str)> {
    let own = ["date", "content-length", "via"];
    let all = answer
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, _)| !own.contains(name)).collect()
}

const ADDED: [(&str, &str); 2] = [
    ("cache-control", "private"),
    ("x-content-type-options", "nosniff"),
];

#[tokio::test]
async fn what_belongs_to_the_api_passes_in_order_with_duplicates() {
    let stack = giving(
        "201 Created\ncontent-type: application/json\nx-a: 1\netag: \"x\"\nx-a: 2\nx-ratelimit-remaining: 5\nretry-after: 3\nvary: accept\nlast-modified: yesterday",
    )
    .await;
    let answer = ask(&stack).await;
    assert_eq!((answer.status, answer.text()), (201, "body"));
    let given = [
        ("content-type", "application/json"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("etag", "\"x\""),
        ("x-ratelimit-remaining", "5"),
        ("retry-after", "3"),
        ("vary", "accept"),
        ("last-modified", "yesterday"),
    ];
    let mut expected = [&given[..], &ADDED[..]].concat();
    let mut got = fields(&answer);
    assert_eq!(answer.values("x-a"), ["1", "2"]);
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
    assert!(answer.header("via").unwrap().starts_with("1.1 sallygate-"));
}

#[tokio::test]
async fn what_acts_on_the_host_or_belongs_to_the_hop_is_removed() {
    for field in [
        "set-cookie: a=b; Domain=host.test",
        "set-cookie2: a=b",
        "alt-svc: h3=\":443\"",
        "strict-transport-security: max-age=1",
        "clear-site-data: \"*\"",
        "service-worker-allowed: /",
        "refresh: 0; url=https://evil.test",
        "nel: {}",
        "report-to: {}",
        "reporting-endpoints: a=\"https://evil.test\"",
        "public-key-pins: a",
        "x-accel-redirect: /internal",
        "x-accel-buffering: no",
        "x-sendfile: /etc/passwd",
        "x-lighttpd-send-file: /etc/passwd",
        "x-reproxy-url: http://evil.test",
        "access-control-allow-origin: *",
        "access-control-allow-credentials: true",
        "proxy-authenticate: Basic",
        "proxy-authentication-info: a",
        "keep-alive: timeout=5",
        "proxy-connection: keep-alive",
        "upgrade: h2c",
        "connection: x-hop\nx-hop: 1",
        "via: 1.1 inner",
        "www-authenticate: NTLM",
        "www-authenticate: Negotiate abc=",
    ] {
        let stack = giving(format!("200 OK\n{field}\nx-kept: 1")).await;
        let answer = ask(&stack).await;
        assert_eq!(answer.status, 200, "{field}");
        let mut got = fields(&answer);
        got.retain(|field| !ADDED.contains(field));
        assert_eq!(got, [("x-kept", "1")], "{field}");
        assert_eq!(answer.values("via").len(), 1, "{field}");
    }
}

#[tokio::test]
async fn challenges_that_bind_a_connection_are_removed_and_others_pass() {
    let stack = giving("401 Unauthorized\nwww-authenticate: NTLM\nwww-authenticate: Basic realm=\"a\"\nwww-authenticate: negotiate\nwww-authenticate: Bearer").await;
    let answer = ask(&stack).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.values("www-authenticate"),
        ["Basic realm=\"a\"", "Bearer"]
    );
}

#[tokio::test]
async fn a_service_may_let_headers_through() {
    let stack =
        giving("200 OK\nset-cookie: a=b\nset-cookie: c=d\nx-accel-buffering: no\nalt-svc: clear")
            .await;
    let names = ["set-cookie", "x-accel-buffering"].map(HeaderName::from_static);
    let config = stack
        .svc()
        .policy(|policy| policy.pass_response_headers(names));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.values("set-cookie"), ["a=b", "c=d"]);
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("alt-svc"), None);
}

#[tokio::test]
async fn a_header_that_shows_the_credential_is_redacted() {
    // The upstream echoes what it got, as debugging endpoints do.
    let stack = Stack::answering(|request| {
        let value = request.values("authorization")[0].to_owned();
        let key = value.strip_prefix("Bearer ").unwrap();
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        Reply::response(
            &format!(
                "200 OK\nx-echo: {value}\nx-base64: {}\nx-basic: {}\nx-percent: {}\nx-hex: {hex}\nx-case: {}\nset-cookie: k={key}\nlocation: https://elsewhere.test/?k={key}\nlink: <https://elsewhere.test/{key}>; rel=a\nx-plain: 1",
                STANDARD.encode(key),
                STANDARD.encode(format!("u:{key}")),
                percent_encode(key.as_bytes(), NON_ALPHANUMERIC),
                key.to_uppercase(),
            ),
            "body",
        )
    })
    .await;
    let answer = ask(&stack).await;
    assert_eq!((answer.status, answer.text()), (200, "body"));
    for name in [
        "x-echo",
        "x-base64",
        "x-basic",
        "x-percent",
        "x-hex",
        "x-case",
        "location",
        "link",
    ] {
        assert_eq!(answer.header(name), Some("[redacted]"), "{name}");
    }
    assert_eq!(
        (answer.header("set-cookie"), answer.header("x-plain")),
        (None, Some("1"))
    );
}

#[tokio::test]
async fn the_reason_phrase_stays_here() {
    let stack = Stack::answering(|request| {
        let key = request.values("authorization")[0].to_owned();
        Reply::response(&format!("200 {key}"), "body")
    })
    .await;
    let answer = ask(&stack).await;
    assert_eq!((answer.status, answer.reason.as_str()), (200, "OK"));
    assert_eq!(answer.text(), "body");
}

#[tokio::test]
async fn references_to_the_target_lead_through_the_proxy() {
    for (public, prefix) in [
        (None, "/proxy/svc"),
        (Some("https://gate.test"), "https://gate.test/proxy/svc"),
    ] {
        for (given, expected) in [
            ("{own}/v1/b?c=d#e", Some("{prefix}/b?c=d#e")),
            ("{own}/v1", Some("{prefix}")),
            ("/v1/b", Some("{prefix}/b")),
            ("b?c", Some("b?c")),
            ("?c", Some("?c")),
            ("{own}/elsewhere", Some("{own}/elsewhere")),
            ("/elsewhere", Some("{own}/elsewhere")),
            ("{own}/v10/b", Some("{own}/v10/b")),
            (
                "https://elsewhere.test/v1/b",
                Some("https://elsewhere.test/v1/b"),
            ),
            ("//elsewhere.test/v1", None),
            ("/\\elsewhere.test", None),
            ("../../admin", None),
            ("/v1/../../admin", None),
        ] {
            // The upstream knows its own address only when it runs.
            let stack = Stack::answering(move |request| {
                let own = format!("http://{}", request.values("host")[0]);
                let given = given.replace("{own}", &own);
                Reply::response(&format!("307 Temporary Redirect\nlocation: {given}\ncontent-location: {given}\nlink: <{given}>; rel=\"next\", <https://docs.test/>"), "")
            })
            .await;
            let layer = match public {
                Some(origin) => stack.layer().public_origin(origin).unwrap(),
                None => stack.layer(),
            };
            let front = stack.serve(layer.into_service()).await;
            let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
            let own = format!("http://{}", stack.upstream.addr);
            let expected =
                expected.map(|text| text.replace("{own}", &own).replace("{prefix}", prefix));
            assert_eq!(answer.status, 307);
            assert_eq!(answer.header("location"), expected.as_deref(), "{given}");
            assert_eq!(
                answer.header("content-location"),
                expected.as_deref(),
                "{given}"
            );
            if let Some(expected) = expected {
                let link = format!("<{expected}>; rel=\"next\", <https://docs.test/>");
                assert_eq!(answer.header("link"), Some(link.as_str()));
            }
            assert_eq!(
                stack.upstream.requests().len(),
                1,
                "a redirect is not followed"
            );
        }
    }
}

#[tokio::test]
async fn no_shared_cache_keeps_an_answer() {
    for (given, expected) in [
        ("x: y", "private"),
        ("cache-control: public, max-age=60", "private, max-age=60"),
        (
            "cache-control: s-maxage=60, max-age=5",
            "private, max-age=5",
        ),
        (
            "cache-control: PUBLIC\ncache-control: S-MaxAge=1, no-transform",
            "private, no-transform",
        ),
        ("cache-control: no-store", "private, no-store"),
        ("cache-control: private, no-cache", "private, no-cache"),
        ("cache-control: ", "private"),
    ] {
        let stack = giving(format!("200 OK\n{given}")).await;
        assert_eq!(
            ask(&stack).await.header("cache-control"),
            Some(expected),
            "{given}"
        );
    }
}

#[tokio::test]
async fn active_content_is_sandboxed_and_nothing_is_sniffed() {
    for (given, expected) in [
        ("text/html; charset=utf-8", vec!["sandbox"]),
        ("TEXT/HTML", vec!["sandbox"]),
        ("image/svg+xml", vec!["sandbox"]),
        ("application/xhtml+xml", vec!["sandbox"]),
        ("application/json", vec![]),
        ("text/plain", vec![]),
    ] {
        let stack = giving(format!(
            "200 OK\ncontent-type: {given}\nx-content-type-options: sniff"
        ))
        .await;
        let answer = ask(&stack).await;
        assert_eq!(
            answer.values("content-security-policy"),
            expected,
            "{given}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let stack =
        giving("200 OK\ncontent-type: text/html\ncontent-security-policy: default-src 'none'")
            .await;
    assert_eq!(
        ask(&stack).await.values("content-security-policy"),
        ["default-src 'none'", "sandbox"]
    );
}

#[tokio::test]
async fn trailers_pass_without_what_they_must_not_hold() {
    let upstream = Upstream::scripted(|request| {
        let key = request.values("authorization")[0].to_owned();
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum, x-echo, set-cookie\r\n\r\n3\r\nabc\r\n0\r\n".to_vec();
        let trailers = format!("x-checksum: 1\r\nx-echo: {key}\r\nset-cookie: a=b\r\nauthorization: x\r\nlocation: /x\r\n\r\n");
        answer.extend_from_slice(trailers.as_bytes());
        Reply::Bytes(answer)
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    let answer = front
        .get("/proxy/svc/a", &stack.token())
        .header("te", "trailers")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "abc", true)
    );
    for (name, value) in &answer.trailers {
        let expected = [("x-checksum", "1"), ("x-echo", "[redacted]")];
        assert!(expected.contains(&(name, value)), "{name}: {value}");
    }
    assert!(
        answer.trailers.iter().any(|(name, _)| name == "x-checksum"),
        "{:?}",
        answer.trailers
    );
}

#[tokio::test]
async fn heads_and_statuses_without_a_body_keep_their_headers() {
    let stack = giving("200 OK\netag: \"a\"").await;
    let front = stack.front().await;
    let token = stack.token();
    let upstream = stack.upstream.addr;
    let answer = front
        .request("HEAD", "/proxy/svc/a")
        .token(&token)
        .send()
        .await;
    assert_eq!(
        (
            answer.status,
            answer.header("content-length"),
            answer.header("etag")
        ),
        (200, Some("4"), Some("\"a\""))
    );
    assert_eq!(stack.upstream.last().line(), "HEAD /v1/a HTTP/1.1");
    assert_eq!(stack.upstream.last().values("host"), [upstream.to_string()]);

    for status in ["204 No Content", "304 Not Modified"] {
        let stack = Stack::answering(move |_| {
            Reply::Bytes(format!("HTTP/1.1 {status}\r\netag: \"a\"\r\n\r\n").into())
        })
        .await;
        let answer = ask(&stack).await;
        assert_eq!(
            (answer.status, answer.header("etag")),
            (status[..3].parse().unwrap(), Some("\"a\""))
        );
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    let partial = giving("206 Partial Content\ncontent-range: bytes 0-3/9").await;
    let answer = ask(&partial).await;
    assert_eq!(
        (answer.status, answer.header("content-range")),
        (206, Some("bytes 0-3/9"))
    );
    assert!(
        partial
            .upstream
            .last()
            .head
            .contains(&Slot::Bearer.show(&partial.secret_key))
    );
}
