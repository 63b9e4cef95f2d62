//! WebSockets, byte by byte: what each side sends, what the other receives, and when they end.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::support::{Reply, Slot, Stack, Upstream, within};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upstream that takes a handshake, answers it, and hands its connection to the test.
struct Server {
    address: String,
    accepted: mpsc::Receiver<(String, TcpStream)>,
}

impl Server {
    async fn answering(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, accepted) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read_head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = sender.send((head, stream)).await;
            }
        });
        Self { address, accepted }
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(PATIENCE, stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn switching(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
    )
}

fn handshake(token: &str, more: &str) -> String {
    format!(
        "GET /proxy/ws/chat?room=1 HTTP/1.1\r\nHost: gate.test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Authorization: Bearer {token}\r\n{more}\r\n"
    )
}

async fn exact<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    within(PATIENCE, stream.read_exact(&mut bytes))
        .await
        .unwrap();
    bytes
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within(PATIENCE, stream.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test]
async fn bytes_pass_both_ways_once_the_upstream_has_switched() {
    let stack = Stack::new().await;
    let mut server = Server::answering(switching("Sec-WebSocket-Protocol: chat\r\n")).await;
    let target = format!("http://{}/v1", server.address);
    let target = sallygate::Target::dangerous_plaintext(&target).unwrap();
    let service = sallygate::Service::bearer(target, stack.key.clone());
    let front = stack
        .serve(stack.layer_with("ws", service).into_service())
        .await;
    let token = stack.token();

    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    let request = handshake(&token, "Sec-WebSocket-Protocol: chat, superchat\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    let answer = read_head(&mut caller).await;
    stack.oracle.saw("answer", answer.clone());
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let answer = answer.to_ascii_lowercase();
    for field in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-protocol: chat\r\n",
    ] {
        assert!(answer.contains(field), "{answer}");
    }
    assert!(answer.contains(&format!(
        "sec-websocket-accept: {}",
        ACCEPT.to_ascii_lowercase()
    )));

    let (head, mut upstream) = server.accepted.recv().await.unwrap();
    assert!(
        head.starts_with("GET /v1/chat?room=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&Slot::Bearer.show(&stack.secret_key)),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nsec-websocket-key: {KEY}\r\n")),
        "{head}"
    );
    assert!(
        head.contains("\r\nsec-websocket-protocol: chat, superchat\r\n"),
        "{head}"
    );
    stack.oracle.saw_request(
        "ws",
        head.as_bytes(),
        &[Slot::Bearer.show(&stack.secret_key)],
    );

    caller.write_all(b"\x81\x85abcdhello").await.unwrap();
    assert_eq!(&exact::<11>(&mut upstream).await, b"\x81\x85abcdhello");
    upstream.write_all(b"\x81\x05world").await.unwrap();
    assert_eq!(&exact::<7>(&mut caller).await, b"\x81\x05world");

    // Much in both directions at once, and then the end of each.
    let many = vec![7; 3 << 20];
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    let (up, down) = (many.clone(), many.clone());
    tokio::spawn(async move { to_caller.write_all(&up).await.map(|()| to_caller) });
    tokio::spawn(async move { to_upstream.write_all(&down).await.map(|()| to_upstream) });
    let mut received = Vec::new();
    within(PATIENCE, from_upstream.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received == many);
    received.clear();
    within(PATIENCE, from_caller.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received == many);
}

#[tokio::test]
async fn the_end_of_the_token_closes_it_between_two_frames() {
    let stack = Stack::new().await;
    let mut server = Server::answering(switching("")).await;
    let target = format!("http://{}", server.address);
    let target = sallygate::Target::dangerous_plaintext(&target).unwrap();
    let service = sallygate::Service::bearer(target, stack.key.clone());
    let layer = stack.layer_with("ws", service);
    let front = stack.serve(layer.clone().into_service()).await;
    let draft = stack
        .issuer
        .issue("box")
        .expires_in(Duration::from_secs(900));
    let token = stack.watched(draft.sign().unwrap());
    // What is left of it is a second.
    stack.clock.advance(899);

    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    caller
        .write_all(handshake(&token, "").as_bytes())
        .await
        .unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    let (_, mut upstream) = server.accepted.recv().await.unwrap();
    upstream.write_all(b"\x81\x05world").await.unwrap();
    assert_eq!(&exact::<7>(&mut caller).await, b"\x81\x05world");
    stack.clock.advance(1);
    assert_eq!(rest(&mut caller).await, [0x88, 2, 0x03, 0xf0]);
    assert_eq!(
        rest(&mut upstream).await,
        [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0]
    );

    // A shutdown says that it goes away; within a frame, it says nothing.
    let token = stack.token();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        caller
            .write_all(handshake(&token, "").as_bytes())
            .await
            .unwrap();
        assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
        sockets.push((caller, server.accepted.recv().await.unwrap().1));
    }
    let (mut within_frame, mut upstream) = sockets.pop().unwrap();
    upstream.write_all(b"\x81\x05wo").await.unwrap();
    assert_eq!(&exact::<4>(&mut within_frame).await, b"\x81\x05wo");
    assert_eq!(layer.handle().shutdown(PATIENCE).await, 0);
    assert_eq!(rest(&mut within_frame).await, b"");
    let (mut caller, mut upstream) = sockets.pop().unwrap();
    assert_eq!(rest(&mut caller).await, [0x88, 2, 0x03, 0xe9]);
    assert_eq!(
        rest(&mut upstream).await,
        [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]
    );

    let answer = front.get("/proxy/other/a", &token).send().await;
    assert_eq!(answer.code(), "PROXY_STATE_UNAVAILABLE");
}

#[tokio::test]
async fn a_false_101_is_an_error_and_another_answer_passes() {
    let stack = Stack::new().await;
    let token = stack.token();
    for (answer, status) in [
        (
            switching("").replace(ACCEPT, &STANDARD.encode([0; 20])),
            502,
        ),
        (
            switching("").replace("Upgrade: websocket", "Upgrade: h2c"),
            502,
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".into(),
            426,
        ),
    ] {
        let server = Server::answering(answer).await;
        let target = format!("http://{}", server.address);
        let target = sallygate::Target::dangerous_plaintext(&target).unwrap();
        let service = sallygate::Service::bearer(target, stack.key.clone());
        let front = stack
            .serve(stack.layer_with("ws", service).into_service())
            .await;
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        caller
            .write_all(handshake(&token, "").as_bytes())
            .await
            .unwrap();
        let head = read_head(&mut caller).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    // And an upstream that is gone, and a caller without a good handshake.
    let gone = Upstream::scripted(|_| Reply::Silence).await.addr;
    let target = sallygate::Target::dangerous_plaintext(&format!("http://{gone}")).unwrap();
    let service = sallygate::Service::bearer(target, stack.key.clone());
    let front = stack
        .serve(stack.layer_with("ws", service).into_service())
        .await;
    for (from, to, status) in [
        ("", "", "502 "),
        ("-Version: 13", "-Version: 8", "400 "),
        (KEY, "c2hvcnQ=", "400 "),
        ("GET", "POST", "400 "),
        ("keep-alive, Upgrade", "keep-alive", "400 "),
        (&token, "x", "401 "),
    ] {
        let mut caller = TcpStream::connect(front.addr).await.unwrap();
        let request = handshake(&token, "").replacen(from, to, 1);
        caller.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut caller).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{from}: {head}"
        );
    }
}
