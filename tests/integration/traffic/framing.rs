//! What an upstream sends beside its responses, and behind them.

use sallygate_test_support::{Reply, Stack, Upstream};

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

#[tokio::test]
async fn the_body_of_a_get_without_a_length_is_not_lost() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/_search", &stack.token())
        .header("transfer-encoding", "chunked");
    let mut wire = front.connect().await;
    wire.send([request.bytes(), b"3\r\nabc\r\n0\r\n\r\n".to_vec()].concat())
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(stack.upstream.last().body, b"abc");
}
