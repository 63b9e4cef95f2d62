//! WebSockets over HTTP/2 (RFC 8441): a stream each.

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Method, Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use sallygate::{Api, Place, proxy::ProxyService};
use sallygate_test_support::{
    PATIENCE, Scene, Slot, Stack,
    websocket::{
        GOING_AWAY, Server, exact, field,
        http2::{ask, connect},
        rest,
    },
    within,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinHandle};

/// A server that offers it.
async fn offering(service: ProxyService) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().enable_connect_protocol();
                let _ = server
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (addr, task)
}

async fn data(stream: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        let data = within(PATIENCE, stream.data()).await.unwrap().unwrap();
        let _ = stream.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
    }
    read
}

async fn scene(change: impl FnOnce(Api) -> Api) -> (Scene<Server>, std::net::SocketAddr) {
    let server = Server::switching("Sec-WebSocket-Protocol: v2\r\n").await;
    let scene = server.scene().await.start().await;
    let service = change(Api::bearer(
        scene.upstream.target(),
        scene.stack.key.clone(),
    ));
    let layer = scene.stack.layer_with("ws", service);
    let (addr, _) = offering(layer.into_service()).await;
    (scene, addr)
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .map(|value| value.to_str().unwrap().to_owned());
    assert!(values.next().is_none(), "{name}");
    value.unwrap_or_default()
}

#[tokio::test]
async fn a_stream_becomes_a_websocket_to_an_upstream_that_speaks_http_1() {
    let (mut scene, addr) =
        scene(|service| service.accept(Place::subprotocol("token.").unwrap())).await;
    let mut sender = connect(addr).await;
    assert!(sender.is_extended_connect_protocol_enabled());
    let list = format!("v1, token.{}, v2", scene.token);
    let (answer, mut stream) = ask(
        &mut sender,
        "/proxy/ws/chat?room=1",
        &[("sec-websocket-protocol", &list)],
    )
    .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer.headers(), "sec-websocket-protocol"), "v2");
    for absent in [
        "sec-websocket-accept",
        "connection",
        "upgrade",
        "content-length",
    ] {
        assert_eq!(text(answer.headers(), absent), "", "{absent}");
    }
    scene
        .stack
        .oracle
        .saw("answer", format!("{:?}", answer.headers()));

    let (head, mut upstream) = scene.upstream.next().await;
    assert!(
        head.starts_with("GET /v1/chat?room=1 HTTP/1.1\r\n"),
        "{head}"
    );
    let slot = Slot::Bearer.show(&scene.stack.secret_key);
    assert!(head.contains(&slot), "{head}");
    assert_eq!(field(&head, "sec-websocket-protocol"), "v1, v2");
    assert_eq!(field(&head, "sec-websocket-version"), "13");
    assert_eq!(field(&head, "sec-websocket-key").len(), 24);
    scene
        .stack
        .oracle
        .saw_request("ws", head.as_bytes(), &[slot]);

    let mut body = answer.into_body();
    stream
        .send_data(Bytes::from_static(b"\x81\x85abcdhello"), false)
        .unwrap();
    assert_eq!(&exact::<11>(&mut upstream).await, b"\x81\x85abcdhello");
    upstream.write_all(b"\x81\x05world").await.unwrap();
    assert_eq!(data(&mut body, 7).await, b"\x81\x05world");

    // A second one on the same connection, and the end of the first.
    let bearer = format!("Bearer {}", scene.token);
    let fields = [("authorization", &*bearer)];
    let (second, _stream) = ask(&mut sender, "/proxy/ws/chat", &fields).await;
    assert_eq!(second.status(), 200);
    let (_, mut other) = scene.upstream.next().await;
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(&mut upstream).await, b"");
    upstream.shutdown().await.unwrap();
    while let Some(data) = within(PATIENCE, body.data()).await {
        assert_eq!(data.unwrap(), "");
    }
    other.write_all(b"\x81\x05world").await.unwrap();
    assert_eq!(data(&mut second.into_body(), 7).await, b"\x81\x05world");
}

#[tokio::test]
async fn one_that_is_refused_is_answered_like_any_request() {
    let (mut scene, addr) = scene(|service| service).await;
    let mut sender = connect(addr).await;
    let bearer = format!("Bearer {}", scene.token);
    let own = ("authorization", &*bearer);
    for (path, fields, status, code) in [
        ("/proxy/ws/chat", &[][..], 401, "PROXY_TOKEN_MISSING"),
        (
            "/proxy/ws/chat",
            &[("authorization", "Bearer a.b.c")],
            401,
            "PROXY_TOKEN_INVALID",
        ),
        ("/proxy/none/chat", &[own], 404, "PROXY_SERVICE_NOT_FOUND"),
    ] {
        let (answer, _stream) = ask(&mut sender, path, fields).await;
        assert_eq!(answer.status(), status, "{path}");
        let length = text(answer.headers(), "content-length").parse().unwrap();
        let body = data(&mut answer.into_body(), length).await;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], code, "{path}");
    }
    assert!(scene.upstream.is_untouched());
    let (answer, _stream) = ask(&mut sender, "/proxy/ws/chat", &[own]).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_shutdown_closes_one_as_any_other_and_a_caller_that_resets_it_is_gone() {
    let server = Server::switching("").await;
    let mut scene = server.scene().await.start().await;
    let service = Api::bearer(scene.upstream.target(), scene.stack.key.clone());
    let layer = scene.stack.layer_with("ws", service);
    let handle = layer.handle();
    let (addr, _) = offering(layer.into_service()).await;
    let mut sender = connect(addr).await;
    let bearer = format!("Bearer {}", scene.token);
    let fields = [("authorization", &*bearer)];
    let (_answer, mut stream) = ask(&mut sender, "/proxy/ws/chat", &fields).await;
    let (_, mut upstream) = scene.upstream.next().await;
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(rest(&mut upstream).await, b"");
    drop(upstream);

    let (answer, mut stream) = ask(&mut sender, "/proxy/ws/chat", &fields).await;
    let (_, mut upstream) = scene.upstream.next().await;
    let shutdown = tokio::spawn(async move { handle.shutdown(PATIENCE).await });
    assert_eq!(data(&mut answer.into_body(), 4).await, GOING_AWAY.0);
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(&mut upstream).await, GOING_AWAY.1);
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_offer_it_does_not_serve_it() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let mut sender = connect(front.addr).await;
    assert!(!sender.is_extended_connect_protocol_enabled());
    let bearer = format!("Bearer {}", stack.token());
    // Without the handshake of RFC 8441 it is a CONNECT, which no service takes.
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("gate.test:80")
        .header("authorization", bearer);
    let (answer, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let answer = within(PATIENCE, answer).await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    assert!(stack.upstream.requests().is_empty());
}

/// Over HTTP/2 any status of success accepts a WebSocket (RFC 8441 §5), so that of an upstream that accepts none must not
/// reach the caller.
#[tokio::test]
async fn one_that_the_upstream_responds_to_without_switching_is_not_accepted() {
    for response in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let server = Server::answering(|_| response.to_owned()).await;
        let scene = server.scene().await.start().await;
        let service = Api::bearer(scene.upstream.target(), scene.stack.key.clone());
        let layer = scene.stack.layer_with("ws", service);
        let (addr, _) = offering(layer.into_service()).await;
        let mut sender = connect(addr).await;
        let bearer = format!("Bearer {}", scene.token);
        let fields = [("authorization", &*bearer)];
        let (answer, _stream) = ask(&mut sender, "/proxy/ws/chat", &fields).await;
        assert_eq!(answer.status(), 502, "{response}");
    }
    let (_scene, addr) = scene(|service| service).await;
    let mut sender = connect(addr).await;
    let bearer = format!("Bearer {}", _scene.token);
    let fields = [("authorization", &*bearer)];
    let (answer, _stream) = ask(&mut sender, "/proxy/ws/chat", &fields).await;
    assert_eq!(answer.status(), 200);
}
