//! Much of it, and over TLS.

use std::time::Duration;

use sallygate::{Api, Client, Target};
use sallygate_test_support::{
    Authority, PATIENCE, Slot, Stack,
    websocket::{Server, ask, exchange, handshake, rest, switching},
    within,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

const MIB: usize = 1 << 20;

/// The head of a frame of this much, unmasked, and its payload.
fn frame(payload: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 127];
    frame.extend((payload as u64).to_be_bytes());
    frame.extend((0..payload).map(|at| (at % 251) as u8));
    frame
}

#[tokio::test]
async fn large_frames_pass_both_ways_at_once() {
    let mut scene = Server::switching("").await.scene().await.start().await;
    let (caller, upstream) = scene.open().await;
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let many = frame(32 * MIB);
    let (up, down) = (many.clone(), many.clone());
    let up = tokio::spawn(async move {
        to_caller.write_all(&up).await.unwrap();
        to_caller.shutdown().await.unwrap();
    });
    let down = tokio::spawn(async move {
        to_upstream.write_all(&down).await.unwrap();
        to_upstream.shutdown().await.unwrap();
    });
    let (sent, received) = tokio::join!(rest(&mut from_upstream), rest(&mut from_caller));
    assert!(sent == many && received == many);
    up.await.unwrap();
    down.await.unwrap();
}

#[tokio::test]
async fn a_side_that_does_not_read_makes_the_other_wait_not_the_proxy_swell() {
    let mut scene = Server::switching("").await.scene().await.start().await;
    let (mut caller, upstream) = scene.open().await;
    SockRef::from(&caller)
        .set_send_buffer_size(64 << 10)
        .unwrap();
    let many = frame(64 * MIB);
    let mut written = 0;
    // Nothing else ends it but that no more is taken.
    while let Ok(more) = timeout(Duration::from_secs(2), caller.write(&many[written..])).await {
        written += more.unwrap();
        assert!(written < many.len(), "all of it was taken");
    }
    // What the system's own buffers hold is not the proxy's.
    assert!(written < 32 * MIB, "{written}");
    let rest_of_it = many[written..].to_vec();
    let writer = tokio::spawn(async move {
        caller.write_all(&rest_of_it).await.unwrap();
        caller
    });
    let mut upstream = upstream;
    let mut received = vec![0; many.len()];
    let read = within(PATIENCE, upstream.read_exact(&mut received)).await;
    read.unwrap();
    assert!(received == many);
    let mut caller = writer.await.unwrap();
    exchange(&mut caller, &mut upstream).await;
}

#[tokio::test]
async fn over_tls_it_is_http_1_whatever_else_the_upstream_speaks() {
    let authority = Authority::new();
    // Asked for HTTP/2, it would speak that.
    let tls = authority.server("127.0.0.1", &["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::on(listener, Some(tls), |head| switching(head, ""));
    let stack = Stack::new().await;
    let target = Target::new(&format!("https://{}", server.addr)).unwrap();
    let client = Client::new().add_root_certificates(&authority.pem).unwrap();
    let layer = stack
        .layer_with("ws", Api::bearer(target, stack.key.clone()))
        .client(client);
    let front = stack.serve(layer.into_service()).await;
    let (answer, mut caller) = ask(front.addr, &handshake(&stack.token(), "")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (head, mut upstream) = server.next().await;
    let slot = Slot::Bearer.show(&stack.secret_key);
    assert!(head.contains(&slot), "{head}");
    stack.oracle.saw_request("ws", head.as_bytes(), &[slot]);
    exchange(&mut caller, &mut upstream).await;
    caller.shutdown().await.unwrap();
    assert_eq!(rest(&mut upstream).await, b"");

    // A certificate that nobody vouches for.
    let target = Target::new(&format!("https://{}", server.addr)).unwrap();
    let layer = stack.layer_with("ws", Api::bearer(target, stack.key.clone()));
    let front = stack.serve(layer.into_service()).await;
    let (answer, _) = ask(front.addr, &handshake(&stack.token(), "")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
