//! What is left of a request when its body has ended: tasks, and connections with more on them.

use std::{num::NonZeroUsize, time::Duration};

use sallygate::{Limits, Policy};
use sallygate_test_support::{PATIENCE, SOON, Scene, Wire, assert_refused, within};
use tokio::runtime;

use super::scene::served;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SHORT: Duration = Duration::from_millis(300);

const TTL: u64 = 15 * 60;

async fn upload(scene: &Scene, length: usize, expect: bool) -> Wire {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("PUT", "/proxy/svc/a");
    let request = request.token(&scene.token_of("box-1"));
    let mut request = request.header("content-length", length.to_string());
    if expect {
        request = request.header("expect", "100-continue");
    }
    wire.send(request.bytes()).await;
    if expect {
        let asked = within(PATIENCE, wire.raw_head()).await;
        assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    wire
}

/// What it still sends is its upload, whatever it looks like.
#[tokio::test]
async fn an_upload_is_broken_off_with_its_token_and_the_connection_goes_on_behind_it() {
    const INNER: &str = "GET /proxy/svc/inner HTTP/1.1\r\nhost: gate.test\r\n\r\n";
    for (expect, grace) in [(false, 5), (true, 5), (false, 0)] {
        let policy = Policy::new().limits(Limits::new().concurrent(ONE));
        let policy = policy.limits(Limits::new().expiry_grace(Duration::from_secs(grace)));
        let scene = served(policy).await;
        let mut wire = upload(&scene, 1000, expect).await;
        let upstream = &scene.stack.upstream;
        upstream.until(|all| all.len() == 1).await;
        scene.stack.clock.advance(TTL - 1 + grace);
        wire.send("begin").await;
        let arrived = |body: &[u8]| body == b"begin";
        upstream
            .until(|all| all.first().is_some_and(|one| arrived(&one.body)))
            .await;
        scene.stack.clock.advance(1);
        wire.send(INNER).await;
        let answer = wire.answer().await;
        assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
        wire.send(vec![b'r'; 1000 - "begin".len() - INNER.len()])
            .await;
        let next = scene.front.get("/proxy/svc/next", &scene.token_of("box-2"));
        wire.send(next.bytes()).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        let received = upstream.requests();
        assert!(!received[0].complete);
        assert_eq!(received[1].line(), "GET /v1/next HTTP/1.1");
        assert_eq!(received.len(), 2);
    }
}

/// Sends all of it, as many clients do before they read anything.
async fn send_all(wire: &mut Wire, mut length: usize) -> std::io::Result<String> {
    let block = vec![b'a'; 1 << 20];
    while length > 0 {
        let piece = &block[..length.min(block.len())];
        wire.send_all(piece).await?;
        length -= piece.len();
    }
    Ok(within(PATIENCE, wire.raw_head()).await)
}

const LARGE: usize = 32 << 20;

#[tokio::test]
async fn what_ends_an_upload_is_told_to_a_caller_that_sends_everything_first() {
    for (end, status) in [("revoked", 401), ("expired", 401), ("shut down", 503)] {
        let scene = served(Policy::new()).await;
        let mut good = upload(&scene, LARGE, false).await;
        let head = send_all(&mut good, LARGE).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut wire = upload(&scene, LARGE, false).await;
        wire.send_all(&[b'a'; 1 << 16]).await.unwrap();
        scene
            .stack
            .upstream
            .until(|all| all.len() == 2 && !all[1].body.is_empty())
            .await;
        match end {
            "revoked" => scene.revocations.revoke_sandbox("box-1").unwrap(),
            "expired" => scene.stack.clock.advance(TTL + 5),
            _ => assert_eq!(scene.handle.shutdown(Duration::ZERO).await, 1),
        }
        let head = send_all(&mut wire, LARGE - (1 << 16)).await.unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{end}: {head}"
        );
        assert!(!scene.stack.upstream.last().complete);
    }
}

/// It was asked for its body, and sends it.
#[tokio::test]
async fn what_ends_an_upload_is_told_to_a_caller_that_was_just_asked_for_it() {
    for begins in [true, false] {
        let scene = served(Policy::new()).await;
        let mut wire = upload(&scene, LARGE, true).await;
        if begins {
            wire.send_all("a").await.unwrap();
        }
        let arrived = |body: &[u8]| body.len() == usize::from(begins);
        let upstream = &scene.stack.upstream;
        upstream
            .until(|all| all.first().is_some_and(|one| arrived(&one.body)))
            .await;
        scene.revocations.revoke_sandbox("box-1").unwrap();
        let head = send_all(&mut wire, LARGE - usize::from(begins)).await;
        let head = head.unwrap_or_else(|error| panic!("begins: {begins}: {error}"));
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    }
}

/// Streams both ways, all of whose bodies are lent.
async fn streams(scene: &Scene, number: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..number {
        let mut wire = scene.front.connect().await;
        let request = scene.front.request("POST", "/proxy/svc/event");
        let request = request.token(&scene.token_of("box-1"));
        let request = request.header("transfer-encoding", "chunked");
        wire.send(request.bytes()).await;
        wire.send("1\r\na\r\n").await;
        let mut answer = wire.head().await;
        assert!(wire.read_body(&mut answer).await);
        wires.push(wire);
    }
    wires
}

#[tokio::test]
async fn no_task_outlives_its_stream() {
    let tasks = || runtime::Handle::current().metrics().num_alive_tasks();
    let scene = served(Policy::new()).await;
    // What serves the proxy and the two upstreams.
    let before = tasks();
    for revoked in [false, true] {
        let wires = streams(&scene, 300).await;
        assert!(tasks() > before + 300);
        if revoked {
            scene.revocations.revoke_sandbox("box-1").unwrap();
            scene.stack.upstream.until_deserted(SOON).await;
        }
        drop(wires);
        scene.stack.upstream.until_deserted(SOON).await;
        let all_gone = async {
            while tasks() > before {
                tokio::time::sleep(SHORT / 30).await;
            }
        };
        within(SOON, all_gone).await;
    }
    scene.is_good().await;
}

#[test]
fn a_runtime_that_is_shut_down_takes_its_streams_with_it() {
    for threads in [0, 2] {
        let mut builder = match threads {
            0 => runtime::Builder::new_current_thread(),
            _ => runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        let (scene, wires) = runtime.block_on(async {
            let scene = served(Policy::new()).await;
            let wires = streams(&scene, 20).await;
            scene.is_good().await;
            (scene, wires)
        });
        runtime.shutdown_timeout(PATIENCE);
        scene.revocations.revoke_sandbox("box-1").unwrap();
        let other = runtime::Builder::new_current_thread().enable_all().build();
        // None is under way any more.
        let left = other.unwrap().block_on(scene.handle.shutdown(SHORT));
        assert_eq!((left, wires.len()), (0, 20));
    }
}

/// What watches over its body must not run all the time.
#[tokio::test]
async fn the_shortest_time_to_read_is_no_busy_wait() {
    let scene = served(Policy::new().limits(Limits::new().unread_timeout(Duration::ZERO))).await;
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .get("/proxy/svc/event", &scene.token_of("box-1"));
    wire.send(request.bytes()).await;
    let mut answer = wire.head().await;
    assert!(wire.read_body(&mut answer).await);
    let parked = || runtime::Handle::current().metrics().worker_park_count(0);
    let before = parked();
    // It is read: that nothing comes is not the reader's fault.
    let more = tokio::time::timeout(Duration::from_secs(1), wire.read_body(&mut answer)).await;
    assert!(more.is_err());
    let times = parked() - before;
    assert!(times < 100, "{times}");
    scene.is_good().await;
}
