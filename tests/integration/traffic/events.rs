//! Server-sent events: nothing holds them back.

use std::{sync::Arc, time::Duration};

use sallygate_test_support::{PATIENCE, Scene, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::Instant,
};

use super::{
    faulty::{Faulty, Peer},
    scene::failing,
};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENT: &str = "d\r\ndata: hello\n\n\r\n";

/// An upstream that sends an event whenever it is let.
async fn live() -> (Scene<Faulty>, Arc<Semaphore>) {
    let go_on = Arc::new(Semaphore::new(0));
    let wait = go_on.clone();
    let act = move |mut peer: Peer| {
        let wait = wait.clone();
        async move {
            peer.write(HEAD).await;
            loop {
                tokio::select! {
                    permit = wait.acquire() => permit.unwrap().forget(),
                    () = peer.closed() => return None,
                }
                peer.write(EVENT).await;
            }
        }
    };
    (failing(act).await, go_on)
}

/// The head of the stream is there before any event, and each event before the next is made; and how long an event takes
/// is said, beside how long it takes without a proxy.
#[tokio::test]
async fn events_pass_one_by_one_as_they_are_made() {
    let (scene, go_on) = live().await;
    let through = format!(
        "GET /proxy/svc/fault HTTP/1.1\r\nhost: gate.test\r\nauthorization: Bearer {}\r\n\r\n",
        scene.token
    );
    let straight = format!(
        "GET /fault HTTP/1.1\r\nhost: up.test\r\nauthorization: Bearer {}\r\n\r\n",
        scene.stack.secret_key
    );
    let by_proxy = latency(&go_on, scene.front.addr, &through).await;
    scene.upstream.seen.until_open(0, PATIENCE).await;
    let direct = latency(&go_on, scene.upstream.addr, &straight).await;
    let ratio = by_proxy.as_secs_f64() / direct.as_secs_f64();
    eprintln!(
        "an event takes {by_proxy:?} through the proxy, {direct:?} directly: {ratio:.1} times as long"
    );
    assert!(by_proxy < Duration::from_millis(30), "{by_proxy:?}");
}

/// The median time from an event that is made to the event seen.
async fn latency(go_on: &Semaphore, address: std::net::SocketAddr, request: &str) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let read = within(PATIENCE, stream.read_buf(&mut seen)).await.unwrap();
        assert!(read > 0);
    }
    assert!(seen.starts_with(b"HTTP/1.1 200 "));
    let mut times = Vec::new();
    for _ in 0..101 {
        seen.clear();
        let start = Instant::now();
        go_on.add_permits(1);
        while !seen.ends_with(b"\n\n\r\n") {
            let read = within(PATIENCE, stream.read_buf(&mut seen)).await.unwrap();
            assert!(read > 0);
        }
        times.push(start.elapsed());
        assert!(seen.eq_ignore_ascii_case(EVENT.as_bytes()));
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Small writes leave at once: without `TCP_NODELAY`, the second of two waits until the first is acknowledged, which the
/// other side puts off for 40 milliseconds and more.
#[tokio::test]
async fn small_pieces_of_an_upload_leave_at_once() {
    let scene = failing(async |mut peer| {
        peer.write(HEAD).await;
        loop {
            while memchr::memmem::find(&peer.read, b"second").is_none() {
                peer.fill().await?;
            }
            peer.read.clear();
            peer.write(EVENT).await;
        }
    });
    let scene = scene.await;
    let request = scene
        .front
        .request("POST", "/proxy/svc/fault")
        .token(&scene.token)
        .header("transfer-encoding", "chunked");
    let mut stream = TcpStream::connect(scene.front.addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&request.bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut times = Vec::new();
    for round in 1..=25 {
        let start = Instant::now();
        stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
        let arrived = move |seen: &super::faulty::Seen| {
            memchr::memmem::find_iter(&seen.received(0), b"first").count() == round
        };
        scene.upstream.seen.until(PATIENCE, arrived).await;
        stream.write_all(b"6\r\nsecond\r\n").await.unwrap();
        while memchr::memmem::find_iter(&answer, b"hello").count() < round {
            let read = within(PATIENCE, stream.read_buf(&mut answer)).await;
            assert!(read.unwrap() > 0);
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_millis(30), "{median:?}");
}
