//! Errors of an upstream that are read for keys.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sallygate::{Body, Limits, Policy};
use sallygate_test_support::{PATIENCE, Reply, Stack, Upstream, assert_refused, within};
use tokio::net::TcpStream;

/// An upstream whose errors begin and do not end.
async fn unending_error() -> Stack {
    let upstream = Upstream::with(|mut conn| async move {
        while conn.read_request().await.is_some() {
            conn.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\nwrong key")
                .await;
            conn.closed().await;
        }
    });
    Stack::upon(upstream.await).await
}

#[tokio::test]
async fn an_error_that_is_read_for_keys_and_never_ends_is_given_up() {
    let stack = unending_error().await;
    let policy = Policy::new()
        .redact_errors()
        .limits(Limits::new().idle_timeout(Duration::from_millis(200)));
    let svc = stack.svc().replace_policy(policy);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    assert!(!answer.text().contains("wrong key"));
    let answer = front.get("/proxy/other/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_error_that_is_read_for_keys_and_never_ends_does_not_outlive_a_shutdown() {
    let stack = unending_error().await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let layer = stack.layer_with("svc", svc);
    let front = stack.serve(layer.clone().into_service()).await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    stack.upstream.until(|requests| requests.len() == 1).await;
    assert_eq!(layer.handle().shutdown(Duration::from_millis(200)).await, 1);
    let answer = wire.answer().await;
    assert_refused(&answer, 503, "PROXY_STATE_UNAVAILABLE");
}

#[tokio::test]
async fn an_error_that_is_left_out_is_not_announced() {
    let stack = Stack::answering(|_| {
        Reply::response(
            "403 Forbidden\ncontent-encoding: gzip\ncontent-type: text/plain\nx-kept: yes",
            b"\x1f\x8b\x08 and more",
        )
    })
    .await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let mut wire = front.connect().await;
    let request = front.get("/proxy/svc/a", &token).bytes();
    for _ in 0..2 {
        wire.send(&request).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.body.len()), (403, 0));
        assert_eq!(answer.header("x-kept"), Some("yes"));
        assert!(answer.complete);
        assert_eq!(answer.header("content-encoding"), None, "of nothing");
    }
    let stream = TokioIo::new(TcpStream::connect(front.addr).await.unwrap());
    let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}/proxy/svc/a", front.addr))
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 403);
    let body = within(PATIENCE, answer.into_body().collect()).await;
    assert_eq!(body.expect("in keeping with its length").to_bytes(), "");
}

#[tokio::test]
async fn an_error_that_shows_the_key_in_any_form_is_redacted_or_left_out() {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let stack = Stack::answering(|request| {
        let key = request.values("authorization")[0]
            .trim_start_matches("Bearer ")
            .to_owned();
        let hex: String = key.bytes().map(|byte| format!("{byte:02X}")).collect();
        let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let body = match request.line() {
            line if line.contains("raw") => format!("<key>{key}</key> and {key}{key}"),
            line if line.contains("base64") => STANDARD.encode(format!("user:{key}")),
            line if line.contains("hex") => hex,
            line if line.contains("percent") => percent,
            line if line.contains("case") => key.to_uppercase(),
            line if line.contains("half") => format!("{key}{}", STANDARD.encode(&key)),
            line if line.contains("long") => format!("{}{key}", "x".repeat(80 << 10)),
            _ => "nothing".into(),
        };
        Reply::response("401 Unauthorized", body)
    })
    .await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    for (form, status, body) in [
        ("raw", 401, "<key>[redacted]</key> and [redacted][redacted]"),
        ("base64", 401, ""),
        ("hex", 401, ""),
        ("percent", 401, ""),
        ("case", 401, ""),
        ("half", 401, ""),
        ("other", 401, "nothing"),
    ] {
        let answer = front
            .get(&format!("/proxy/svc/{form}"), &token)
            .send()
            .await;
        assert_eq!((answer.status, answer.text()), (status, body), "{form}");
        assert!(answer.complete);
    }
    let answer = front.get("/proxy/svc/long", &token).send().await;
    assert_eq!(answer.status, 502);
}
