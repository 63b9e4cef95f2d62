use sallygate::Limits;
use sallygate_test_support::{Reply, SOON, Stack, Upstream, assert_refused};

#[tokio::test]
async fn a_caller_that_leaves_cancels_a_request_that_waits_for_its_answer() {
    let stack = Stack::answering(|_| Reply::Silence).await;
    let front = stack.front().await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    stack
        .upstream
        .until(|requests| requests.iter().any(|request| request.complete))
        .await;
    drop(wire);
    stack.upstream.until_deserted(SOON).await;
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_an_answer_that_streams() {
    let upstream = Upstream::with(|mut conn| async move {
        conn.read_request().await;
        conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
        conn.closed().await;
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    let mut answer = wire.head().await;
    while answer.body != b"abc" {
        assert!(wire.read_body(&mut answer).await);
    }
    drop(wire);
    stack.upstream.until_deserted(SOON).await;
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_of_its_upload_completes_nothing() {
    for framing in [("content-length", "6"), ("transfer-encoding", "chunked")] {
        let stack = Stack::new().await;
        let front = stack.front().await;
        let request = front
            .request("POST", "/proxy/svc/a")
            .token(&stack.token())
            .header(framing.0, framing.1);
        let mut wire = front.connect().await;
        wire.send(request.bytes()).await;
        wire.send(if framing.1 == "6" {
            "abc"
        } else {
            "3\r\nabc\r\n"
        })
        .await;
        stack
            .upstream
            .until(|requests| requests.iter().any(|request| request.body == b"abc"))
            .await;
        drop(wire);
        stack.upstream.until_deserted(SOON).await;
        assert!(!stack.upstream.last().complete, "{framing:?}");
        assert_eq!(stack.upstream.requests().len(), 1, "{framing:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_middle_never_looks_complete() {
    for (answer, complete) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            true,
        ),
    ] {
        let stack = Stack::answering(move |_| Reply::BytesThenClose(answer.into())).await;
        let front = stack.front().await;
        let token = stack.token();
        let mut wire = front.connect().await;
        wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
        let got = wire.answer().await;
        assert_eq!((got.status, got.complete), (200, complete), "{answer}");
        assert!(b"abc".starts_with(&got.body), "{answer}");
        // An answer that broke off takes its connection with it: nothing else can be read from it.
        assert_eq!(wire.is_closed().await, !complete, "{answer}");
        assert_eq!(
            front.get("/proxy/other/a", &token).send().await.text(),
            "other"
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_off_and_the_upstream_request_with_it() {
    for (size, expected, by_service) in [
        (10, 200, false),
        (11, 413, false),
        (10, 200, true),
        (11, 413, true),
    ] {
        let stack = Stack::new().await;
        let layer = if by_service {
            let config = stack
                .svc()
                .policy(|policy| policy.limits(Limits::new().body_bytes(10)));
            stack.layer_with("svc", config)
        } else {
            let limits = Limits::new().body_bytes(10);
            stack.layer().limits(limits)
        };
        let front = stack.serve(layer.into_service()).await;
        let request = front
            .request("POST", "/proxy/svc/a")
            .token(&stack.token())
            .header("transfer-encoding", "chunked");
        let mut wire = front.connect().await;
        wire.send(request.bytes()).await;
        wire.send("6\r\nabcdef\r\n").await;
        stack
            .upstream
            .until(|requests| requests.iter().any(|request| request.body == b"abcdef"))
            .await;
        let rest = size - 6;
        wire.send(format!("{rest:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(rest)))
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, expected);
        let sent = stack.upstream.last();
        if expected == 413 {
            assert_refused(&answer, 413, "PROXY_BODY_TOO_LARGE");
            assert_eq!(wire.rest().await, b"");
            stack.upstream.until_deserted(SOON).await;
            assert_eq!(
                (sent.body.as_slice(), sent.complete),
                (&b"abcdef"[..], false)
            );
        } else {
            assert_eq!((sent.body.len(), sent.complete), (10, true));
        }
    }
}

#[tokio::test]
async fn an_early_answer_reaches_the_caller_and_the_connection_is_not_used_again() {
    let upstream = Upstream::with(|mut conn| async move {
        conn.read_head().await;
        conn.write(
            b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
        )
        .await;
        conn.closed().await;
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    let request = front
        .request("POST", "/proxy/svc/a")
        .token(&stack.token())
        .header("content-length", "1000000");
    let mut wire = front.connect().await;
    wire.send(request.bytes()).await;
    wire.send("abc").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text()), (401, "no"));
    drop(wire);
    stack.upstream.until_deserted(SOON).await;
    assert!(!stack.upstream.last().complete);
}
