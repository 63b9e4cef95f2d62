//! When a WebSocket ends, and what is free then.

use std::{num::NonZeroUsize, time::Duration};

use sallygate::{Api, Limits, Policy};
use sallygate_test_support::{
    PATIENCE, Scene, Stack, assert_refused,
    websocket::{
        GOING_AWAY, Io, POLICY_VIOLATION, Server, ask, exact, exchange, handshake, read_head, rest,
        switching,
    },
    within,
};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn the_end_of_the_token_closes_it() {
    let mut server = Server::switching("").await;
    let stack = Stack::new().await;
    let service = Api::bearer(server.target(), stack.key.clone());
    let layer = stack.layer_with("ws", service);
    let front = stack.serve(layer.into_service()).await;
    let draft = stack
        .issuer
        .issue("box")
        .expires_in(Duration::from_secs(900));
    let token = stack.watched(draft.sign().unwrap());
    // What is left of it is a second.
    stack.clock.advance(899);
    let (answer, mut caller) = ask(front.addr, &handshake(&token, "")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (_, mut upstream) = server.next().await;
    exchange(&mut caller, &mut upstream).await;
    stack.clock.advance(1);
    assert_eq!(rest(&mut caller).await, POLICY_VIOLATION.0);
    assert_eq!(rest(&mut upstream).await, POLICY_VIOLATION.1);
}

#[tokio::test]
async fn a_shutdown_closes_it_and_says_so_where_it_does_not_cut_a_frame_in_two() {
    let mut server = Server::switching("").await;
    let stack = Stack::new().await;
    let service = Api::bearer(server.target(), stack.key.clone());
    let layer = stack.layer_with("ws", service);
    let front = stack.serve(layer.clone().into_service()).await;
    let token = stack.token();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let (_, caller) = ask(front.addr, &handshake(&token, "")).await;
        sockets.push((caller, server.next().await.1));
    }
    let (mut within_frame, mut sender) = sockets.pop().unwrap();
    sender.write_all(b"\x81\x05wo").await.unwrap();
    assert_eq!(&exact::<4>(&mut within_frame).await, b"\x81\x05wo");
    let (mut caller, mut upstream) = sockets.pop().unwrap();
    exchange(&mut caller, &mut upstream).await;

    let handle = layer.handle();
    let shutdown = tokio::spawn(async move { handle.shutdown(PATIENCE).await });
    assert_eq!(rest(&mut within_frame).await, b"");
    assert_eq!(rest(&mut sender).await, GOING_AWAY.1);
    assert_eq!(rest(&mut caller).await, GOING_AWAY.0);
    assert_eq!(rest(&mut upstream).await, GOING_AWAY.1);
    drop((caller, within_frame));
    assert_eq!(shutdown.await.unwrap(), 0);
    let answer = front.get("/proxy/other/a", &token).send().await;
    assert_refused(&answer, 503, "PROXY_STATE_UNAVAILABLE");
}

#[tokio::test]
async fn one_on_which_nothing_moves_is_closed_after_the_idle_time() {
    let policy = Policy::new().limits(Limits::new().idle_timeout(Duration::from_secs(1)));
    let mut scene = Server::switching("")
        .await
        .scene()
        .await
        .policy(policy)
        .start()
        .await;
    let (mut caller, mut upstream) = scene.open().await;
    let begun = tokio::time::Instant::now();
    // What moves in one direction counts for both.
    let mut moves = tokio::time::interval(Duration::from_millis(400));
    for _ in 0..4 {
        moves.tick().await;
        upstream.write_all(b"\x89\x00").await.unwrap();
        assert_eq!(&exact::<2>(&mut caller).await, b"\x89\x00");
    }
    assert!(begun.elapsed() > Duration::from_secs(1));
    assert_eq!(rest(&mut caller).await, GOING_AWAY.0);
    drop(caller);
    assert_eq!(rest(&mut upstream).await, GOING_AWAY.1);
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other() {
    let mut scene = Server::switching("").await.scene().await.start().await;
    let (mut caller, mut upstream) = scene.open().await;
    caller.write_all(b"\x88\x80abcd").await.unwrap();
    caller.shutdown().await.unwrap();
    assert_eq!(rest(&mut upstream).await, b"\x88\x80abcd");
    upstream.write_all(b"\x81\x05world\x88\x00").await.unwrap();
    assert_eq!(&exact::<9>(&mut caller).await, b"\x81\x05world\x88\x00");
    upstream.shutdown().await.unwrap();
    assert_eq!(rest(&mut caller).await, b"");
}

#[tokio::test]
async fn a_caller_that_is_gone_takes_the_upstream_with_it() {
    let mut scene = Server::switching("").await.scene().await.start().await;
    for hard in [false, true] {
        let (caller, mut upstream) = scene.open().await;
        if hard {
            let linger = SockRef::from(&caller).set_linger(Some(Duration::ZERO));
            linger.unwrap();
        }
        drop(caller);
        assert_eq!(rest(&mut upstream).await, b"", "{hard}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_reset_takes_the_caller_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stack = Stack::new().await;
    let target = sallygate::Target::dangerous_plaintext(&format!("http://{addr}")).unwrap();
    let layer = stack.layer_with("ws", Api::bearer(target, stack.key.clone()));
    let front = stack.serve(layer.into_service()).await;
    let request = handshake(&stack.token(), "");
    let mut caller = TcpStream::connect(front.addr).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let (mut upstream, _) = within(PATIENCE, listener.accept()).await.unwrap();
    let head = read_head(&mut upstream).await;
    let answer = switching(&head, "");
    upstream.write_all(answer.as_bytes()).await.unwrap();
    assert!(read_head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    SockRef::from(&upstream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(upstream);
    assert_eq!(rest(&mut caller).await, b"");
}

/// Opens one until there is room for it, and gives its ends.
async fn reopened(scene: &mut Scene<Server>) -> (TcpStream, Io) {
    within(PATIENCE, async {
        loop {
            let request = handshake(&scene.token, "");
            let (answer, caller) = ask(scene.front.addr, &request).await;
            if answer.starts_with("HTTP/1.1 101 ") {
                return (caller, scene.upstream.next().await.1);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn it_takes_its_place_among_the_requests_of_the_service_until_it_has_ended() {
    let policy = Policy::new().limits(Limits::new().concurrent(NonZeroUsize::MIN));
    let mut scene = Server::switching("")
        .await
        .scene()
        .await
        .policy(policy)
        .start()
        .await;
    let (mut caller, mut upstream) = scene.open().await;
    exchange(&mut caller, &mut upstream).await;
    let busy = scene.front.get("/proxy/ws/a", &scene.token).send().await;
    assert_refused(&busy, 503, "PROXY_STATE_UNAVAILABLE");
    exchange(&mut caller, &mut upstream).await;

    // Whoever ends it.
    drop((caller, upstream));
    let (caller, mut upstream) = reopened(&mut scene).await;
    drop(caller);
    assert_eq!(rest(&mut upstream).await, b"");
    drop(upstream);
    let (mut caller, upstream) = reopened(&mut scene).await;
    drop(upstream);
    assert_eq!(rest(&mut caller).await, b"");
    drop(caller);
    reopened(&mut scene).await;
}

#[tokio::test]
async fn it_takes_its_place_among_the_requests_of_its_sandbox() {
    let server = Server::switching("").await;
    let mut scene = server.scene().await.start().await;
    let service = Api::bearer(scene.upstream.target(), scene.stack.key.clone());
    let limits = Limits::new().concurrent_per_sandbox(NonZeroUsize::MIN);
    let layer = scene.stack.layer_with("ws", service).limits(limits);
    scene.front = scene.stack.serve(layer.into_service()).await;
    let (mut caller, mut upstream) = scene.open().await;
    let busy = scene.front.get("/proxy/other/a", &scene.token).send().await;
    assert_refused(&busy, 429, "PROXY_RATE_LIMITED");
    let another = scene.stack.token();
    let other = scene.front.get("/proxy/other/a", &another).send().await;
    assert_eq!(other.status, 200);
    exchange(&mut caller, &mut upstream).await;
    drop((caller, upstream));
    reopened(&mut scene).await;
}
