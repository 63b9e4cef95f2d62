//! WebSockets: bytes where none may be yet, and sockets that outstay their token.

use std::{num::NonZeroUsize, time::Duration};

use http::{Request, Version};
use hyper::{ext::Protocol, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sallygate::{Api, Body, Limits, Policy, ProxyLayer, Target};
use sallygate_test_support::{
    PATIENCE, Slot, Stack,
    websocket::{Server, handshake, switching},
    within,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Hands over each connection with the head that came; the test answers.
async fn server() -> Server {
    Server::answering(|_| String::new()).await
}

fn layer(server: &Server, stack: &Stack, policy: Policy) -> ProxyLayer {
    let target = Target::dangerous_plaintext(&format!("http://{}", server.addr)).unwrap();
    let service = Api::bearer(target, stack.key.clone());
    stack.layer_with("ws", service.replace_policy(policy))
}

/// What came before the end, if that comes first.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match within(PATIENCE, stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// What has come by now, without waiting for more than is on its way.
async fn nothing_comes(stream: &mut (impl AsyncRead + Unpin)) {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?}, {byte:?}");
}

#[tokio::test]
async fn what_a_caller_sends_ahead_waits_for_the_101_and_is_a_request_without_it() {
    let stack = Stack::new().await;
    let mut server = server().await;
    let front = stack
        .serve(layer(&server, &stack, Policy::new()).into_service())
        .await;
    let token = stack.token();
    let smuggled = "GET /proxy/ws/smuggled HTTP/1.1\r\nHost: gate.test\r\n\r\n";

    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    let ahead = handshake(&token, "") + smuggled;
    caller.write_all(ahead.as_bytes()).await.unwrap();
    let (asked, mut upstream) = server.next().await;
    nothing_comes(&mut upstream).await;
    let taken = switching(&asked, "");
    upstream.write_all(taken.as_bytes()).await.unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    // Now it is the socket's.
    assert_eq!(read_head(&mut upstream).await, smuggled);

    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        let ahead = handshake(&token, "") + smuggled;
        caller.write_all(ahead.as_bytes()).await.unwrap();
        let (_, mut upstream) = server.next().await;
        nothing_comes(&mut upstream).await;
        upstream.write_all(answer.as_bytes()).await.unwrap();
        let head = read_head(&mut caller).await;
        assert!(!head.starts_with("HTTP/1.1 101 "), "{head}");
        // A request without a token. Never a byte to the upstream.
        let next = read_head(&mut caller).await;
        assert!(next.starts_with("HTTP/1.1 401 "), "{next}");
        nothing_comes(&mut upstream).await;
        assert!(server.is_untouched());
    }
}

#[tokio::test]
async fn a_handshake_has_no_body_that_an_upstream_could_take_for_frames() {
    let stack = Stack::new().await;
    let mut server = server().await;
    let front = stack
        .serve(layer(&server, &stack, Policy::new()).into_service())
        .await;
    let token = stack.token();
    for (framing, body) in [
        ("Content-Length: 7\r\n", "\u{1}\u{5}hello"),
        (
            "Transfer-Encoding: chunked\r\n",
            "7\r\n\u{1}\u{5}hello\r\n0\r\n\r\n",
        ),
        ("Content-Length: 7\r\n", ""),
    ] {
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        let request = handshake(&token, framing) + body;
        caller.write_all(request.as_bytes()).await.unwrap();
        let answered = read_head(&mut caller);
        tokio::select! {
            (head, _) = server.next() => {
                let lower = head.to_ascii_lowercase();
                let framed = lower.contains("content-length: 7") || lower.contains("transfer-encoding");
                assert!(!framed, "{framing}: the upstream was sent a body before its 101");
            }
            head = answered => assert!(head.starts_with("HTTP/1.1 400 "), "{head}"),
        }
    }
    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    let request = handshake(&token, "Content-Length: 0\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    let (asked, mut upstream) = server.next().await;
    let taken = switching(&asked, "");
    upstream.write_all(taken.as_bytes()).await.unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_caller_that_reads_nothing_keeps_no_socket_past_its_token_nor_its_place() {
    let stack = Stack::new().await;
    let mut server = server().await;
    let layer = layer(&server, &stack, Policy::new());
    let limits = Limits::new().concurrent_per_sandbox(NonZeroUsize::MIN);
    let front = stack.serve(layer.limits(limits).into_service()).await;
    let draft = stack
        .issuer
        .issue("box")
        .expires_in(Duration::from_secs(900));
    let token = stack.watched(draft.sign().unwrap());
    stack.clock.advance(898);
    let fresh = stack.watched(stack.issuer.issue("box").sign().unwrap());

    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    caller
        .write_all(handshake(&token, "").as_bytes())
        .await
        .unwrap();
    let (asked, mut upstream) = server.next().await;
    let taken = switching(&asked, "");
    upstream.write_all(taken.as_bytes()).await.unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    let busy = front.get("/proxy/other/a", &fresh).send().await;
    assert_eq!(busy.status, 429, "the socket counts as a request");
    // More than all buffers on the way hold: the proxy cannot write, and the upstream neither.
    let flood = tokio::spawn(async move {
        let chunk = vec![0; 1 << 20];
        while upstream.write_all(&chunk).await.is_ok() {}
    });
    stack.clock.advance(2);
    within(PATIENCE, flood).await.unwrap();
    let freed = async {
        while front.get("/proxy/other/a", &fresh).send().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(PATIENCE, freed).await;
    drop(caller);
}

#[tokio::test]
async fn nothing_of_a_service_is_reached_by_a_handshake_that_its_policy_refuses() {
    let stack = Stack::new().await;
    let mut server = server().await;
    let policy = Policy::new()
        .methods([http::Method::POST])
        .paths(["/chat".parse().unwrap()]);
    let front = stack
        .serve(layer(&server, &stack, policy).into_service())
        .await;
    let token = stack.token();
    for (from, to, status) in [
        ("", "", "405"),
        ("GET", "POST", "400"),
        ("GET", "CONNECT", "405"),
        ("HTTP/1.1", "HTTP/1.0", "400"),
        ("/ws/chat", "/ws/admin", "405"),
    ] {
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        let request = handshake(&token, "").replacen(from, to, 1);
        caller.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut caller).await;
        let line = head.lines().next().unwrap_or_default();
        assert_eq!(line.split(' ').nth(1), Some(status), "{to}: {line}");
        assert!(server.is_untouched(), "{to}");
    }
}

/// Over HTTP/2 a socket is a stream of `CONNECT` (RFC 8441).
#[tokio::test]
async fn over_http2_nothing_is_sent_ahead_of_the_101_and_other_tunnels_are_none() {
    let stack = Stack::new().await;
    let mut server = server().await;
    let proxy = layer(&server, &stack, Policy::new()).into_service();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(proxy.clone());
            tokio::spawn(
                http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .enable_connect_protocol()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let token = stack.token();
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    // Its settings come first; then it may be asked for tunnels.
    let ask = |method: &str, protocol: Option<&'static str>, path: &str, token: &str| {
        let mut request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://gate.test{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("sec-websocket-version", "13")
            .body(Body::empty())
            .unwrap();
        if let Some(protocol) = protocol {
            let protocol = Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        request
    };
    let warm = sender
        .send_request(ask("GET", None, "/proxy/none/a", &token))
        .await
        .unwrap();
    assert_eq!(warm.status(), 404);
    for (protocol, path, bearer, status) in [
        (Some("connect-udp"), "/proxy/ws/chat", &*token, 405),
        (Some("Websocket"), "/proxy/ws/chat", &token, 405),
        (Some("h2c"), "/proxy/ws/chat", &token, 405),
        (Some("websocket"), "/proxy/ws/chat", "x", 401),
        (Some("websocket"), "/proxy/none/chat", &token, 404),
        (Some("websocket"), "/elsewhere", &token, 404),
    ] {
        let request = ask("CONNECT", protocol, path, bearer);
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{protocol:?} {path}");
        assert!(server.is_untouched());
    }

    let request = ask("CONNECT", Some("websocket"), "/proxy/ws/chat", &token);
    let (answer, mut upstream) = tokio::join!(sender.send_request(request), async {
        let (head, mut upstream) = server.next().await;
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("content-length"));
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"));
        assert!(
            head.contains(&Slot::Bearer.show(&stack.secret_key)),
            "{head}"
        );
        nothing_comes(&mut upstream).await;
        let answer = switching(&head, "");
        upstream.write_all(answer.as_bytes()).await.unwrap();
        upstream
    });
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let mut socket = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    socket.write_all(b"\x81\x80abcd").await.unwrap();
    socket.flush().await.unwrap();
    let mut frame = [0; 6];
    within(PATIENCE, upstream.read_exact(&mut frame))
        .await
        .unwrap();
    assert_eq!(&frame, b"\x81\x80abcd");
}
