use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use sallygate::{Api, service::Place};
use sallygate_test_support::{Recorded, Slot, Stack, assert_refused};

/// What is left of the caller's fields, without what the proxy and its client write themselves.
fn passed(request: &Recorded) -> Vec<(&str, &str)> {
    let mut fields = request.fields();
    fields.retain(|(name, _)| !["host", "authorization", "via"].contains(name));
    fields
}

#[tokio::test]
async fn what_belongs_to_the_api_passes_in_order_with_duplicates() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let fields = [
        ("accept", "text/event-stream"),
        ("user-agent", "sdk/1.0 (x; y)"),
        ("x-b", "1"),
        ("accept-encoding", "gzip, br"),
        ("anthropic-version", "2023-06-01"),
        ("range", "bytes=0-3"),
        ("if-none-match", "W/\"a\", \"b\""),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("x-a", "first"),
        ("x-a", "second"),
        ("x-a", ""),
        ("idempotency-key", "a b"),
        ("x-under_score", "kept"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("content-md5", "x=="),
        ("cache-control", "no-store"),
        ("x-opaque", "\u{e9}"),
    ];
    let request = front.request("POST", "/proxy/svc/a").token(&stack.token());
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    assert_eq!(request.body("{}").send().await.status, 200);
    let sent = stack.upstream.last();
    let mut expected: Vec<_> = fields[..17].to_vec();
    expected.push(("x-opaque", "\u{c3}\u{a9}"));
    expected.push(("content-length", "2"));
    assert_eq!(passed(&sent), expected);
    assert_eq!(sent.body, b"{}");
}

#[tokio::test]
async fn what_says_who_calls_or_belongs_to_this_hop_is_removed() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    for (name, value) in [
        ("proxy-authorization", "Basic dTpw"),
        ("cookie", "session=1"),
        ("x-api-key", "k"),
        ("x_api_key", "k"),
        ("x-goog-api-key", "k"),
        ("api-key", "k"),
        ("api_key", "k"),
        // What another service puts its key into.
        ("x_other_key", "k"),
        ("x_other-key", "k"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("forwarded", "for=1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-anything", "1"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("cf-connecting-ip", "1.2.3.4"),
        ("cf-ray", "1"),
        ("true-client-ip", "1.2.3.4"),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("referer", "https://app.test/?secret"),
        ("origin", "https://app.test"),
        ("expect", "x"),
    ] {
        let request = front
            .get("/proxy/svc/a", &token)
            .header(name, value)
            .header("x-kept", "1");
        assert_eq!(request.send().await.status, 200, "{name}");
        assert_eq!(passed(&stack.upstream.last()), [("x-kept", "1")], "{name}");
    }
    // A header that a service injects to reaches no upstream, not even another one's.
    let request = front.get("/proxy/svc/a", &token).header("x-other-key", "k");
    assert_eq!(request.send().await.status, 200);
    assert_eq!(passed(&stack.upstream.last()), []);
}

#[tokio::test]
async fn what_connection_names_ends_here_but_not_the_credential() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("connection", "keep-alive, X-Hop, authorization")
        .header("connection", "x-api-key,,te")
        .header("x-hop", "1")
        .header("x-end", "2")
        .header("te", "trailers, deflate;q=0.5");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    let mut left = passed(&sent);
    left.sort_unstable();
    assert_eq!(left, [("te", "trailers"), ("x-end", "2")]);
    assert!(sent.authorized);
}

#[tokio::test]
async fn host_and_via_are_the_proxys_own() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("via", "1.0 squid")
        .header("via", "1.1 b");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    assert_eq!(sent.values("host"), [stack.upstream.addr.to_string()]);
    let via = sent.values("via");
    assert!(
        via.len() == 1 && via[0].starts_with("1.1 sallygate-"),
        "{via:?}"
    );
}

#[tokio::test]
async fn the_token_is_removed_by_value_wherever_it_stands() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    for (name, value) in [
        ("x-custom", token.clone()),
        ("x-custom", format!("prefix {token} suffix")),
        ("sec-websocket-protocol", format!("proxy, {token}")),
        ("referer", format!("https://app.test/?t={token}")),
        ("cookie", format!("a=b; t={token}")),
        ("x-amz-security-token", token.clone()),
        ("user-agent", format!("sdk/{token}")),
    ] {
        let request = front
            .get("/proxy/svc/a", &token)
            .header(name, value)
            .header("x-kept", "1");
        assert_eq!(request.send().await.status, 200, "{name}");
        assert_eq!(passed(&stack.upstream.last()), [("x-kept", "1")], "{name}");
    }
    let encoded = token.replace('.', "%2e");
    for (asked, sent) in [
        (format!("/a?t={token}"), "/v1/a"),
        (format!("/a?x=1&t={token}&y=2"), "/v1/a?x=1&y=2"),
        (format!("/a?t={encoded}&y=2"), "/v1/a?y=2"),
        (format!("/a?t=prefix-{encoded}"), "/v1/a"),
        (format!("/a/{token}/b"), "/v1/a//b"),
        (format!("/a/{encoded}/b?c"), "/v1/a/b?c"),
        (format!("/bot{token}/send"), "/v1/bot/send"),
        (format!("/{encoded}"), "/v1"),
    ] {
        let answer = front
            .get(&format!("/proxy/svc{asked}"), &token)
            .send()
            .await;
        let shown = asked.replace(&token, "TOKEN");
        assert_eq!(answer.status, 200, "{shown}");
        assert_eq!(
            stack.upstream.last().line(),
            format!("GET {sent} HTTP/1.1"),
            "{shown}"
        );
    }
    // What would be left must not read as something else.
    let before = stack.upstream.requests().len();
    for ambiguous in [
        format!("/{token}/evil.test"),
        format!("/.{token}./x"),
        format!("/a/%{token}2e/x"),
    ] {
        let answer = front
            .get(&format!("/proxy/svc{ambiguous}"), &token)
            .send()
            .await;
        assert_refused(&answer, 400, "PROXY_PATH_INVALID");
    }
    assert_eq!(stack.upstream.requests().len(), before);
}

#[tokio::test]
async fn a_service_may_let_headers_through_but_never_a_token_in_them() {
    let stack = Stack::new().await;
    let names = [
        "cookie",
        "origin",
        "x-api-key",
        "x-other-key",
        "x-forwarded-for",
    ]
    .map(HeaderName::from_static);
    let config = stack
        .svc()
        .policy(|policy| policy.pass_request_headers(names));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    let request = front
        .get("/proxy/svc/a", &token)
        .header("cookie", "a=b")
        .header("cookie", format!("t={token}"))
        .header("origin", "https://app.test")
        .header("x-api-key", "public")
        .header("x-forwarded-for", "1.2.3.4")
        .header("referer", "https://app.test/");
    assert_eq!(request.send().await.status, 200);
    assert_eq!(
        passed(&stack.upstream.last()),
        [
            ("cookie", "a=b"),
            ("origin", "https://app.test"),
            ("x-api-key", "public"),
            ("x-forwarded-for", "1.2.3.4")
        ]
    );
    // What is let through for one service is not for another.
    let request = front
        .get("/proxy/other/a", &token)
        .header("cookie", "a=b")
        .header("origin", "https://app.test");
    assert_eq!(request.send().await.status, 200);
    let names: Vec<_> = stack
        .other
        .last()
        .fields()
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert!(
        !names.contains(&"cookie".into()) && !names.contains(&"origin".into()),
        "{names:?}"
    );
}

#[tokio::test]
async fn every_place_of_a_key_takes_the_token_and_gives_the_credential_once() {
    let stack = Stack::new().await;
    let token = stack.token();
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("user:{secret}")));
    let header = HeaderName::from_static("x-api-key");
    let places = [
        (
            Place::bearer(),
            Slot::Bearer,
            "authorization",
            format!("Bearer {token}"),
        ),
        (
            Place::bearer(),
            Slot::Bearer,
            "authorization",
            format!("bearer {token}"),
        ),
        (
            Place::basic("real").unwrap(),
            Slot::Basic("real"),
            "authorization",
            basic(&token),
        ),
        (
            Place::basic("real").unwrap(),
            Slot::Basic("real"),
            "authorization",
            format!("Bearer {token}"),
        ),
        (
            Place::header(header.clone()),
            Slot::Header("x-api-key"),
            "x-api-key",
            token.clone(),
        ),
        (
            Place::header(header),
            Slot::Header("x-api-key"),
            "authorization",
            format!("Bearer {token}"),
        ),
        (
            Place::query("key").unwrap(),
            Slot::Query("key"),
            "authorization",
            format!("Bearer {token}"),
        ),
    ];
    for (place, slot, name, value) in places {
        let shown = slot.show(&stack.secret_key);
        if slot != Slot::Bearer {
            stack.upstream.accept(shown.clone());
        }
        let config = Api::new(
            stack.target(),
            sallygate::Injection::new(place, stack.key.clone()),
        );
        let front = stack
            .serve(stack.layer_with("svc", config).into_service())
            .await;
        let answer = front
            .request("GET", "/proxy/svc/a")
            .header(name, value)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "hello"),
            "{slot:?} {name}"
        );
        let sent = stack.upstream.last();
        assert_eq!(sent.head.matches(&shown).count(), 1, "{slot:?}");
        let keys = sent
            .fields()
            .iter()
            .filter(|(name, _)| ["authorization", "x-api-key"].contains(name))
            .count();
        assert_eq!(keys, usize::from(slot != Slot::Query("key")), "{slot:?}");
    }
}

#[tokio::test]
async fn spellings_of_the_injected_header_are_no_way_round() {
    let stack = Stack::new().await;
    let slot = Slot::Header("x-api-key");
    stack.upstream.accept(slot.show(&stack.secret_key));
    let config = Api::header(
        stack.target(),
        HeaderName::from_static("x-api-key"),
        stack.key.clone(),
    );
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("X_API_KEY", "mine")
        .header("x_api-key", "mine")
        .header("X-Api_Key", "mine");
    // What stands under the very name is the token.
    assert_eq!(request.send().await.status, 200);
    assert_eq!(passed(&stack.upstream.last()).len(), 1);
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("X-API-KEY", "mine");
    assert_eq!(request.send().await.status, 401);
}

#[tokio::test]
async fn request_trailers_pass_without_what_they_must_not_hold() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let request = front
        .request("POST", "/proxy/svc/a")
        .token(&token)
        .header("transfer-encoding", "chunked")
        .header("trailer", "x-checksum");
    let mut wire = front.connect().await;
    wire.send(request.bytes()).await;
    wire.send(
        "3\r\nabc\r\n0\r\nx-checksum: 1\r\nauthorization: Bearer mine\r\nhost: evil.test\r\n",
    )
    .await;
    wire.send(format!("content-length: 9\r\nx-api-key: k\r\nx_api_key: k\r\nx-token: {token}\r\ncookie: a=b\r\n\r\n")).await;
    assert_eq!(wire.answer().await.status, 200);
    let sent = stack.upstream.last();
    assert_eq!((sent.body.as_slice(), sent.complete), (&b"abc"[..], true));
    let names: Vec<_> = sent
        .trailers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["x-checksum"]);
}
