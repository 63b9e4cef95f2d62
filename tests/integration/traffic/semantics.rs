//! Methods, ranges, conditions, odd headers: what HTTP has beside requests and answers with a body.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::Method;
use sallygate::{Body, Limits, Policy};
use sallygate_test_support::{
    PATIENCE, Recorded, Reply, Stack, assert_case_refused, assert_refused, within,
};

use super::caller::{Caller, request};

fn answer(head: &str, body: &str) -> Reply {
    let head = head.replace('\n', "\r\n");
    Reply::Bytes(format!("HTTP/1.1 {head}\r\n\r\n{body}").into())
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_of_what_there_would_be() {
    let stack = Stack::answering(|request| match request.line() {
        "HEAD /v1/a HTTP/1.1" => answer("200 OK\ncontent-length: 1000\netag: \"x\"", ""),
        _ => Reply::ok("hello"),
    });
    let stack = stack.await;
    let front = stack.front().await;
    let token = stack.token();
    let mut wire = front.connect().await;
    let head = front.request("HEAD", "/proxy/svc/a").token(&token);
    wire.send(head.bytes()).await;
    let got = wire.answer_to_head().await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("content-length"), Some("1000"));
    assert_eq!(got.header("etag"), Some("\"x\""));
    wire.send(front.get("/proxy/svc/b", &token).bytes()).await;
    assert_eq!(wire.answer().await.text(), "hello");

    let mut caller = Caller::connect(&front).await;
    let asked = request("HEAD", "/proxy/svc/a", &token);
    let got = caller.call(&stack.oracle, asked, Body::empty()).await;
    assert_eq!((got.status, got.body.len(), got.complete), (200, 0, true));
    assert_eq!(got.header("content-length"), Some("1000"));
    assert_eq!(stack.upstream.connections(), 1);

    // A refusal has the head of one, and no body either.
    let mut wire = front.connect().await;
    wire.send(front.request("HEAD", "/proxy/svc/a").bytes())
        .await;
    let refused = wire.answer_to_head().await;
    assert_eq!(refused.status, 401);
    wire.send(front.get("/proxy/svc/b", &token).bytes()).await;
    assert_eq!(wire.answer().await.text(), "hello");
}

#[tokio::test]
async fn options_is_a_request_like_any_other() {
    let stack = Stack::answering(|_| answer("204 No Content\nallow: GET, OPTIONS", "")).await;
    let front = stack.front().await;
    let token = stack.token();
    let ask = || front.request("OPTIONS", "/proxy/svc/a");
    let refused = ask().send().await;
    assert_refused(&refused, 401, "PROXY_TOKEN_MISSING");
    // What browsers ask before they have a token is no exception where no page may call.
    let preflight = ask()
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    assert_eq!(preflight.send().await.status, 401);
    assert!(stack.upstream.requests().is_empty());

    let got = ask().token(&token).send().await;
    assert_eq!(
        (got.status, got.header("allow")),
        (204, Some("GET, OPTIONS"))
    );
    assert_eq!(stack.upstream.last().line(), "OPTIONS /v1/a HTTP/1.1");
}

#[tokio::test]
async fn methods_of_other_protocols_pass_unless_a_service_leaves_them_out() {
    let stack = Stack::new().await;
    let token = stack.token();
    let front = stack.front().await;
    for method in ["PROPFIND", "MKCOL", "REPORT", "PURGE", "QUERY"] {
        let got = front.request(method, "/proxy/svc/a").token(&token);
        assert_eq!(got.send().await.status, 200, "{method}");
        let line = format!("{method} /v1/a HTTP/1.1");
        assert_eq!(stack.upstream.last().line(), line);
    }
    let policy = Policy::new().methods([Method::GET]);
    let layer = stack.layer_with("svc", stack.svc().replace_policy(policy));
    let front = stack.serve(layer.into_service()).await;
    let got = front.request("PROPFIND", "/proxy/svc/a").token(&token);
    let got = got.send().await;
    assert_eq!((got.status, got.header("allow")), (405, Some("GET")));
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
}

fn ranged(request: &Recorded) -> Reply {
    match *request.values("range") {
        ["bytes=2-4"] => answer(
            "206 Partial Content\ncontent-range: bytes 2-4/10\ncontent-length: 3",
            "cde",
        ),
        ["bytes=0-0,9-9"] => answer(
            "206 Partial Content\ncontent-type: multipart/byteranges; boundary=B\ncontent-length: 4",
            "--B-",
        ),
        ["bytes=50-"] => answer(
            "416 Range Not Satisfiable\ncontent-range: bytes */10\ncontent-length: 0",
            "",
        ),
        _ if request.has("if-none-match") || request.has("if-modified-since") => {
            answer("304 Not Modified\netag: \"v1\"\ncontent-length: 10", "")
        }
        _ => answer(
            "200 OK\naccept-ranges: bytes\ncontent-length: 10",
            "abcdefghij",
        ),
    }
}

#[tokio::test]
async fn ranges_and_conditions_pass_with_their_answers() {
    let stack = Stack::answering(ranged).await;
    let front = stack.front().await;
    let token = stack.token();
    let mut wire = front.connect().await;
    for (name, value, status, field, body) in [
        (
            "range",
            "bytes=2-4",
            206,
            ("content-range", "bytes 2-4/10"),
            "cde",
        ),
        (
            "range",
            "bytes=0-0,9-9",
            206,
            ("content-type", "multipart/byteranges; boundary=B"),
            "--B-",
        ),
        (
            "range",
            "bytes=50-",
            416,
            ("content-range", "bytes */10"),
            "",
        ),
        ("if-none-match", "\"v1\"", 304, ("etag", "\"v1\""), ""),
        (
            "if-modified-since",
            "Sat, 29 Oct 1994 19:43:31 GMT",
            304,
            ("etag", "\"v1\""),
            "",
        ),
        ("x-none", "1", 200, ("accept-ranges", "bytes"), "abcdefghij"),
    ] {
        let asked = front.get("/proxy/svc/a", &token).header(name, value);
        wire.send(asked.bytes()).await;
        let got = wire.answer().await;
        assert_eq!((got.status, got.text()), (status, body), "{value}");
        assert_eq!(got.header(field.0), Some(field.1), "{value}");
        assert_eq!(stack.upstream.last().values(name), [value]);
    }
    assert_eq!(stack.upstream.connections(), 1);
}

#[tokio::test]
async fn an_upload_that_waits_for_100_is_asked_for_by_the_proxy() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let mut wire = front.connect().await;
    for body in ["first", "second"] {
        let request = front
            .request("POST", "/proxy/svc/a")
            .token(&token)
            .header("Expect", "100-Continue")
            .body(body)
            .bytes();
        wire.send(&request[..request.len() - body.len()]).await;
        let interim = within(PATIENCE, wire.raw_head()).await;
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        wire.send(body).await;
        assert_eq!(wire.answer().await.text(), "hello");
        let sent = stack.upstream.last();
        assert_eq!(
            (sent.body.as_slice(), sent.has("expect")),
            (body.as_bytes(), false)
        );
    }
    assert_eq!(stack.upstream.connections(), 1);
}

#[tokio::test]
async fn compressed_bodies_pass_both_ways_as_they_are() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&[b'a'; 10_000]).unwrap();
    let packed = gzip.finish().unwrap();
    let stack = Stack::answering(|request| {
        Reply::response("200 OK\ncontent-encoding: gzip", &request.body)
    });
    let stack = stack.await;
    let front = stack.front().await;
    for encoding in ["gzip", "br", "zstd", "gzip, br"] {
        let got = front
            .request("POST", "/proxy/svc/a")
            .token(&stack.token())
            .header("content-encoding", encoding)
            .header("accept-encoding", "gzip;q=1.0, *;q=0")
            .body(&packed)
            .send()
            .await;
        assert_eq!(got.header("content-encoding"), Some("gzip"));
        assert_eq!(got.body, packed);
        let sent = stack.upstream.last();
        assert_eq!(sent.body, packed);
        assert_eq!(sent.values("content-encoding"), [encoding]);
        assert_eq!(sent.values("accept-encoding"), ["gzip;q=1.0, *;q=0"]);
    }
}

#[tokio::test]
async fn odd_headers_pass_both_ways_and_duplicates_keep_their_order() {
    let stack = Stack::answering(|_| {
        answer(
            "200 OK\nx-dup: 1\nX-Other: 2\nx-dup: 3\nx-empty:\nx-high: \u{e9}\n\
             x!#$%&'*+-.^_`|~9: odd\nwww-authenticate: Bearer\ncontent-length: 0",
            "",
        )
    });
    let stack = stack.await;
    let front = stack.front().await;
    let got = front
        .get("/proxy/svc/a", &stack.token())
        .header("X-Dup", "1")
        .header("x-other", "2")
        .header("x-dup", "3")
        .header("x-empty", "")
        .header("x-high", [0xe9, 0xff])
        .header("x!#$%&'*+-.^_`|~9", "odd")
        .header("x-quoted", "\"a, b\", c;d=\"e\"")
        .send()
        .await;
    assert_eq!(got.status, 200);
    assert_eq!(got.values("x-dup"), ["1", "3"]);
    assert_eq!(got.header("x-empty"), Some(""));
    assert_eq!(got.header("x!#$%&'*+-.^_`|~9"), Some("odd"));
    assert_eq!(got.header("www-authenticate"), Some("Bearer"));
    let sent = stack.upstream.last();
    assert_eq!(sent.values("x-dup"), ["1", "3"]);
    assert_eq!(sent.values("x-empty"), [""]);
    assert_eq!(sent.values("x-high"), ["\u{e9}\u{ff}"]);
    assert_eq!(sent.values("x!#$%&'*+-.^_`|~9"), ["odd"]);
    assert_eq!(sent.values("x-quoted"), ["\"a, b\", c;d=\"e\""]);
}

#[tokio::test]
async fn header_sets_pass_from_the_smallest_to_the_largest() {
    let stack = Stack::answering(|request| {
        let many = request.fields().len() > 50;
        let fields =
            (0..if many { 90 } else { 0 }).map(|number| format!("x-{number}: {number}\r\n"));
        let fields: String = fields.collect();
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n").into())
    });
    let stack = stack.await;
    let front = stack.front().await;
    let token = stack.token();
    // What HTTP/1.1 itself needs, and what lets the caller in.
    let got = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!(got.status, 200);
    let sent = stack.upstream.last();
    let mut names: Vec<_> = sent.fields().iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "host", "via"]);

    let mut many = front.get("/proxy/svc/a", &token);
    for number in 0..98 {
        many = many.header(&format!("x-{number}"), "a".repeat(500));
    }
    let got = many.send().await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("x-89"), Some("89"));
    assert_eq!(stack.upstream.last().values("x-97"), ["a".repeat(500)]);

    let large = front.get("/proxy/svc/a", &token);
    let large = large.header("x-large", "a".repeat(70_000)).send().await;
    assert_refused(&large, 431, "PROXY_HEADERS_TOO_LARGE");
    assert_eq!(stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_service_may_take_fewer_and_smaller_headers_than_the_proxy() {
    let stack = Stack::new().await;
    let fewer = stack
        .svc()
        .policy(|policy| policy.limits(Limits::new().header_fields(10)));
    let smaller = stack
        .svc()
        .policy(|policy| policy.limits(Limits::new().header_bytes(2000)));
    let layer = stack
        .layer_with("fewer", fewer)
        .service("smaller", smaller)
        .unwrap();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let many = (0..20).fold(String::new(), |many, number| {
        many + &format!("x-{number}: a\r\n")
    });
    let large = format!("x-large: {}\r\n", "a".repeat(2000));
    for (service, headers, code) in [
        ("fewer", &many, "PROXY_HEADERS_TOO_LARGE"),
        ("fewer", &large, ""),
        ("smaller", &many, ""),
        ("smaller", &large, "PROXY_HEADERS_TOO_LARGE"),
    ] {
        let mut wire = front.connect().await;
        let target = format!("/proxy/{service}/a");
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nhost: gate.test\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        ))
        .await;
        let answer = wire.answer().await;
        if code.is_empty() {
            assert_eq!(answer.text(), "hello", "{service}");
        } else {
            assert_case_refused(&answer, 431, code, service);
        }
        wire.send(front.get(&target, &token).bytes()).await;
        assert_eq!(wire.answer().await.text(), "hello", "{service}");
    }
    assert_eq!(stack.upstream.requests().len(), 6);
}

/// As a caller sends them that takes the proxy for an HTTP proxy.
#[tokio::test]
async fn a_request_in_absolute_form_goes_where_its_path_leads() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let mut wire = front.connect().await;
    for target in [
        "http://gate.test/proxy/svc/a?b=c",
        "HTTP://evil.test:99/proxy/svc/a?b=c",
        "https://gate.test/proxy/svc/a?b=c",
    ] {
        wire.send(front.get(target, &token).bytes()).await;
        assert_eq!(wire.answer().await.text(), "hello", "{target}");
        let sent = stack.upstream.last();
        assert_eq!(sent.line(), "GET /v1/a?b=c HTTP/1.1");
        assert_eq!(sent.values("host"), [stack.upstream.addr.to_string()]);
    }
    for (target, status) in [
        ("ftp://gate.test/proxy/svc/a", 400),
        ("http://evil.test/elsewhere", 404),
    ] {
        wire.send(front.get(target, &token).bytes()).await;
        assert_eq!(wire.answer().await.status, status, "{target}");
        wire = front.connect().await;
    }
    assert_eq!(stack.upstream.requests().len(), 3);
}
