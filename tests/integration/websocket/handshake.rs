use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::{CONNECTION, UPGRADE};
use sallygate::{Api, Body, Target};
use sallygate_test_support::{
    PATIENCE, Reply, Slot, Stack, Upstream, assert_refused,
    websocket::{
        ACCEPT, KEY, Server, ask, exact, exchange, field, handshake, read_head, rest, switching,
    },
    within,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn a_handshake_passes_with_the_key_in_place_of_the_token_and_then_frames_both_ways() {
    let server = Server::switching(
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    )
    .await;
    let mut scene = server.scene().await.start().await;
    let more = "Sec-WebSocket-Protocol: chat, superchat\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let (answer, mut caller) = ask(scene.front.addr, &handshake(&scene.token, more)).await;
    scene.stack.oracle.saw("answer", answer.clone());
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ] {
        assert_eq!(field(&answer, name), value, "{name}");
    }

    let (head, mut upstream) = scene.upstream.next().await;
    assert!(
        head.starts_with("GET /v1/chat?room=1 HTTP/1.1\r\n"),
        "{head}"
    );
    let slot = Slot::Bearer.show(&scene.stack.secret_key);
    assert!(head.contains(&slot), "{head}");
    for (name, value) in [
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
        (
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ] {
        assert_eq!(field(&head, name), value, "{name}");
    }
    let oracle = &scene.stack.oracle;
    oracle.saw_request("ws", head.as_bytes(), &[slot]);
    exchange(&mut caller, &mut upstream).await;
}

#[tokio::test]
async fn nobody_hears_of_the_other_before_the_upstream_has_switched() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stack = Stack::new().await;
    let target = Target::dangerous_plaintext(&format!("http://{addr}")).unwrap();
    let layer = stack.layer_with("ws", Api::bearer(target, stack.key.clone()));
    let front = stack.serve(layer.into_service()).await;
    let request = handshake(&stack.token(), "");
    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    let early = [request.as_bytes(), b"\x81\x85abcdhello"].concat();
    caller.write_all(&early).await.unwrap();

    let (mut upstream, _) = within(PATIENCE, listener.accept()).await.unwrap();
    let head = read_head(&mut upstream).await;
    let nothing = |result: io::Result<usize>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    };
    nothing(upstream.try_read(&mut [0; 1]));
    nothing(caller.try_read(&mut [0; 1]));
    // Its first frame comes with it.
    let answer = [switching(&head, "").as_bytes(), b"\x81\x05world"].concat();
    upstream.write_all(&answer).await.unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(&exact::<7>(&mut caller).await, b"\x81\x05world");
    assert_eq!(&exact::<11>(&mut upstream).await, b"\x81\x85abcdhello");
}

#[tokio::test]
async fn frames_sent_early_to_an_upstream_that_does_not_switch_never_reach_it() {
    let server =
        Server::answering(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()).await;
    let mut scene = server.scene().await.start().await;
    let request = handshake(&scene.token, "") + "\u{1}\u{5}hello";
    let (answer, mut caller) = ask(scene.front.addr, &request).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    // They are no request either.
    let after = rest(&mut caller).await;
    assert!(after.starts_with(b"HTTP/1.1 400 "));
    let (_, mut upstream) = scene.upstream.next().await;
    upstream.shutdown().await.unwrap();
    assert_eq!(rest(&mut upstream).await, b"");
}

#[tokio::test]
async fn a_false_101_is_an_error_and_another_answer_passes() {
    for (from, to, status) in [
        (ACCEPT, STANDARD.encode([0; 20]), 502),
        ("Upgrade: websocket", "Upgrade: h2c".into(), 502),
        ("Sec-WebSocket-Accept", "X-Accept".into(), 502),
        (
            "101 Switching Protocols",
            "426 Upgrade Required\r\nContent-Length: 0".into(),
            426,
        ),
        ("", String::new(), 101),
    ] {
        let server =
            Server::answering(move |head| switching(head, "").replacen(from, &to, 1)).await;
        let scene = server.scene().await.start().await;
        let (head, _) = ask(scene.front.addr, &handshake(&scene.token, "")).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn a_caller_without_a_good_handshake_is_told_so_and_nothing_is_asked_of_the_upstream() {
    let mut scene = Server::switching("").await.scene().await.start().await;
    let token = scene.token.clone();
    for (from, to, status) in [
        ("-Version: 13", "-Version: 8", 400),
        (KEY, "c2hvcnQ=", 400),
        ("GET", "POST", 400),
        ("keep-alive, Upgrade", "keep-alive", 400),
        (&token, "x", 401),
    ] {
        let request = handshake(&token, "").replacen(from, to, 1);
        let (head, _) = ask(scene.front.addr, &request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{from}: {head}"
        );
    }
    assert!(scene.upstream.is_untouched());
    scene.open().await;

    let gone = Upstream::scripted(|_| Reply::Silence).await.addr;
    let target = Target::dangerous_plaintext(&format!("http://{gone}")).unwrap();
    let service = Api::bearer(target, scene.stack.key.clone());
    let layer = scene.stack.layer_with("ws", service);
    let front = scene.stack.serve(layer.into_service()).await;
    let (head, _) = ask(front.addr, &handshake(&token, "")).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[tokio::test]
async fn any_other_upgrade_is_dropped_and_the_request_served_without() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    for (upgrade, more) in [
        ("h2c", "HTTP2-Settings"),
        ("TLS/1.2", "upgrade"),
        ("connect-udp", "upgrade"),
    ] {
        let answer = front
            .get("/proxy/svc/a", &token)
            .header("connection", format!("Upgrade, {more}"))
            .header("upgrade", upgrade)
            .header("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")
            .send()
            .await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{upgrade}");
        let received = stack.upstream.last();
        for name in ["upgrade", "http2-settings"] {
            assert!(!received.has(name), "{upgrade}: {}", received.head);
        }
        assert!(!received.head.contains("pgrade"), "{}", received.head);
    }
}

#[tokio::test]
async fn where_the_server_cannot_hand_over_the_connection_it_is_a_501() {
    let stack = Stack::new().await;
    let token = stack.token();
    let request = http::Request::get("/proxy/svc/chat")
        .header("authorization", format!("Bearer {token}"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .body(Body::empty())
        .unwrap();
    let answer = stack.call(stack.layer().into_service(), request).await;
    assert_refused(&answer, 501, "PROXY_UPGRADE_UNSUPPORTED");
    assert!(stack.upstream.requests().is_empty());
}
