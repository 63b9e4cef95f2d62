use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use sallygate_test_support::{Reply, Stack, Upstream};
use tokio::sync::Semaphore;

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn an_event_is_seen_before_the_next_is_produced() {
    let go_on = Arc::new(Semaphore::new(0));
    let wait = go_on.clone();
    let upstream = Upstream::with(move |mut conn| {
        let wait = wait.clone();
        async move {
            conn.read_request().await;
            conn.write(CHUNKED.as_bytes()).await;
            for number in 0..5 {
                conn.write(chunk(&format!("data: {number}\n\n")).as_bytes())
                    .await;
                wait.acquire().await.unwrap().forget();
            }
            conn.write(b"0\r\n\r\n").await;
        }
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/events", &stack.token()).bytes())
        .await;
    let mut answer = wire.head().await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let mut expected = String::new();
    for number in 0..5 {
        // The upstream waits for us: what is read here cannot have been held back for what comes after it.
        expected += &format!("data: {number}\n\n");
        while answer.text() != expected {
            assert!(wire.read_body(&mut answer).await);
        }
        go_on.add_permits(1);
    }
    while wire.read_body(&mut answer).await {}
    assert!(answer.complete && stack.upstream.last().authorized);
}

#[tokio::test]
async fn request_and_response_flow_at_the_same_time() {
    let upstream = Upstream::with(|mut conn| async move {
        conn.read_head().await;
        conn.write(CHUNKED.as_bytes()).await;
        while let Some(data) = conn.read_body().await.flatten() {
            conn.write(chunk(&format!("<{}>", String::from_utf8(data).unwrap())).as_bytes())
                .await;
        }
        conn.write(b"0\r\n\r\n").await;
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    let request = front
        .request("POST", "/proxy/svc/echo")
        .token(&stack.token())
        .header("transfer-encoding", "chunked");
    let mut wire = front.connect().await;
    wire.send(request.bytes()).await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    let mut expected = String::new();
    for word in ["one", "two", "three"] {
        wire.send(chunk(word)).await;
        expected += &format!("<{word}>");
        while answer.text() != expected {
            assert!(wire.read_body(&mut answer).await);
        }
        assert!(!stack.upstream.last().complete);
    }
    wire.send("0\r\n\r\n").await;
    while wire.read_body(&mut answer).await {}
    assert!(answer.complete);
    assert_eq!(stack.upstream.last().body, b"onetwothree");
    assert!(stack.upstream.last().complete && !wire.is_closed().await);
}

#[tokio::test]
async fn a_large_body_passes_unchanged_in_both_directions() {
    let stack = Stack::answering(|request| Reply::ok(&request.body)).await;
    let front = stack.front().await;
    let body: Vec<u8> = (0..2_000_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let answer = front
        .request("PUT", "/proxy/svc/a")
        .token(&stack.token())
        .body(&body)
        .send()
        .await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert!(answer.body == body, "the body came back changed");
    assert!(
        stack.upstream.last().body == body,
        "the body arrived changed"
    );
    assert_eq!(stack.upstream.last().values("content-length"), ["2000000"]);
}

#[tokio::test]
async fn encoded_bodies_pass_as_they_are() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"compressed by the upstream").unwrap();
    let body = gzip.finish().unwrap();
    let given = body.clone();
    let stack =
        Stack::answering(move |_| Reply::response("200 OK\ncontent-encoding: gzip", &given)).await;
    let front = stack.front().await;
    let answer = front
        .get("/proxy/svc/a", &stack.token())
        .header("accept-encoding", "gzip")
        .send()
        .await;
    assert_eq!(
        (answer.header("content-encoding"), &answer.body),
        (Some("gzip"), &body)
    );
    assert_eq!(stack.upstream.last().values("accept-encoding"), ["gzip"]);
}

#[tokio::test]
async fn bodies_without_a_length_and_without_a_body_keep_their_shape() {
    let stack = Stack::answering(|request| match request.line() {
        "GET /v1/until-closed HTTP/1.1" => {
            Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\n\r\nuntil closed".into())
        }
        _ => Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into()),
    })
    .await;
    let front = stack.front().await;
    let token = stack.token();
    let answer = front.get("/proxy/svc/until-closed", &token).send().await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "until closed", true)
    );
    let answer = front
        .request("POST", "/proxy/svc/a")
        .token(&token)
        .body("")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("0"))
    );
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(
        !sent.has("transfer-encoding") && !sent.has("content-length"),
        "{}",
        sent.line()
    );
}

/// There are servers that answer 411 to a POST that does not say that it is empty.
#[tokio::test]
async fn a_body_that_is_said_to_be_empty_is_said_to_be_empty_upstream() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let answer = front
        .request("POST", "/proxy/svc/a")
        .token(&stack.token())
        .body("")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let sent = stack.upstream.last();
    assert!(!sent.has("transfer-encoding"));
    assert_eq!(sent.values("content-length"), ["0"]);
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    for _ in 0..5 {
        assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    }
    assert_eq!(
        (
            stack.upstream.requests().len(),
            stack.upstream.connections()
        ),
        (5, 1)
    );
}
