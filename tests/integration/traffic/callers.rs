//! Callers that stop, leave, or take what they were sent slowly.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use sallygate::{Limits, Policy};
use sallygate_test_support::{PATIENCE, SOON, Scene, Setup, assert_case_refused, within};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    faulty::{Faulty, Peer, fault},
    outcomes,
    scene::{Baseline, PACE, Play, SHORT, before, failing, is_served, told},
};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Waits for the end of a body that has none.
async fn read_on(mut peer: Peer) -> Option<Peer> {
    peer.closed().await;
    None
}

/// Sends the beginning of an upload, and waits until the upstream has it.
async fn begin(scene: &Scene<Faulty>) -> sallygate_test_support::Wire {
    let used = scene.upstream.seen.connections() - 1;
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .request("POST", "/proxy/svc/fault")
        .token(&scene.token)
        .header("transfer-encoding", "chunked");
    wire.send(request.bytes()).await;
    wire.send("6\r\nmarked\r\n").await;
    let arrived = |seen: &super::faulty::Seen| {
        memchr::memmem::find(&seen.received(used), b"marked").is_some()
    };
    scene.upstream.seen.until(PATIENCE, arrived).await;
    wire
}

async fn play(
    name: &'static str,
    terms: impl FnOnce(Setup<Faulty>) -> Setup<Faulty>,
    rest: &str,
    expected: (u16, &str),
) {
    let scene = terms(before(fault(read_on)).await).start().await;
    let before = Baseline::of(&scene).await;
    let mut wire = begin(&scene).await;
    wire.send(rest).await;
    let answer = wire.answer().await;
    assert_case_refused(&answer, expected.0, expected.1, name);
    let again = scene.front.get("/proxy/svc/again", &scene.token).bytes();
    let stays = is_served(&mut wire, &again, "good").await;
    scene.stays_good(name).await;
    let kept = scene.upstream.seen.connections() == 1;
    outcomes::report(name, &told(&answer), &scene.reasons(), stays, Some(kept));
    drop(wire);
    before.is_back(&scene).await;
    scene.upstream.show(&scene.stack.oracle);
}

#[tokio::test]
async fn a_request_body_that_stops_is_given_up() {
    let terms = |setup: Setup<Faulty>| {
        setup.policy(Policy::new().limits(Limits::new().idle_timeout(SHORT)))
    };
    let expected = (408, "PROXY_REQUEST_TIMEOUT");
    play("the request body stops", terms, "", expected).await;
}

#[tokio::test]
async fn the_proxys_own_idle_time_out_holds_where_a_service_has_none() {
    let terms = |setup: Setup<Faulty>| setup.limits(Limits::new().idle_timeout(SHORT));
    let expected = (408, "PROXY_REQUEST_TIMEOUT");
    play("the request body stops", terms, "", expected).await;
}

#[tokio::test]
async fn a_request_body_that_breaks_off_is_refused() {
    let expected = (400, "PROXY_HEADERS_INVALID");
    let fault = "the request body breaks off";
    play(fault, |setup| setup, "zz\r\n", expected).await;
}

#[tokio::test]
async fn a_request_body_that_grows_over_the_limit_is_refused() {
    let terms =
        |setup: Setup<Faulty>| setup.policy(Policy::new().limits(Limits::new().body_bytes(10)));
    let expected = (413, "PROXY_BODY_TOO_LARGE");
    let fault = "the request body grows over the limit";
    play(fault, terms, "6\r\nabcdef\r\n", expected).await;
}

/// A body that comes slowly, but comes, is waited for: longer than any of the time-outs.
#[tokio::test]
async fn a_slow_upload_is_not_idle() {
    let scene = before(fault(read_on))
        .await
        .policy(
            Policy::new().limits(
                Limits::new()
                    .idle_timeout(5 * PACE)
                    .response_timeout(5 * PACE),
            ),
        )
        .start()
        .await;
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .request("POST", "/proxy/svc/good")
        .token(&scene.token)
        .header("content-length", "8");
    wire.send(request.bytes()).await;
    for _ in 0..8 {
        tokio::time::sleep(PACE).await;
        wire.send("a").await;
    }
    assert_eq!(wire.answer().await.text(), "good");
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_its_request_at_once() {
    for (fault_name, begins) in [
        ("the caller leaves before the answer", false),
        ("the caller leaves within the answer", true),
    ] {
        let go_on = Arc::new(Semaphore::new(0));
        let wait = go_on.clone();
        let act = move |mut peer: Peer| {
            let wait = wait.clone();
            async move {
                if begins {
                    peer.write(format!("{CHUNKED}5\r\nhello\r\n")).await;
                }
                wait.add_permits(1);
                peer.closed().await;
                None
            }
        };
        let scene = failing(act).await;
        let before = Baseline::of(&scene).await;
        let mut wire = scene.front.connect().await;
        wire.send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
            .await;
        within(PATIENCE, go_on.acquire()).await.unwrap().forget();
        if begins {
            assert_eq!(wire.head().await.status, 200);
        }
        let left = Instant::now();
        drop(wire);
        scene.upstream.seen.until_open(0, SOON).await;
        assert!(left.elapsed() < SOON);
        scene.stays_good(fault_name).await;
        assert_eq!(scene.upstream.seen.connections(), 2);
        outcomes::report(fault_name, "nothing", &scene.reasons(), false, Some(false));
        before.is_back(&scene).await;
        scene.upstream.show(&scene.stack.oracle);
    }
}

/// A reader that stops makes the writer stop: nothing piles up in between, and the rest comes once it reads on.
#[tokio::test]
async fn a_caller_that_does_not_read_stops_the_upstream() {
    const BLOCK: usize = 1 << 16;
    const BLOCKS: usize = 1024;
    let written = Arc::new(Semaphore::new(0));
    let count = written.clone();
    let act = move |mut peer: Peer| {
        let count = count.clone();
        async move {
            let length = BLOCK * BLOCKS;
            peer.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ))
            .await;
            for _ in 0..BLOCKS {
                peer.write([b'a'; BLOCK]).await;
                count.add_permits(1);
            }
            Some(peer)
        }
    };
    let scene = failing(act).await;
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
        .await;
    let passed = until_it_rests(|| written.available_permits()).await;
    // The buffers of the system at both sides, and little of ours.
    let bytes = passed * BLOCK;
    assert!(
        bytes < 24 << 20,
        "{bytes} bytes were taken from the upstream"
    );
    scene.stays_good("while another does not read").await;

    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.complete),
        (200, BLOCK * BLOCKS, true)
    );
    let again = scene.front.get("/proxy/svc/again", &scene.token).bytes();
    let stays = is_served(&mut wire, &again, "good").await;
    drop(wire);
    let fault = "the caller does not read the answer";
    outcomes::report(fault, &told(&answer), &scene.reasons(), stays, Some(true));
    // One more than before: another request passed while this one waited.
    scene.upstream.seen.until_open(2, PATIENCE).await;
}

/// One that never reads gives up its place, and the upstream's connection, after the idle time-out: the rest of the world
/// does not wait for it.
#[tokio::test]
async fn a_caller_that_never_reads_loses_its_answer_and_its_place() {
    let length = 64 << 20;
    let act = move |mut peer: Peer| async move {
        peer.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        for _ in 0..length >> 16 {
            peer.write([b'a'; 1 << 16]).await;
        }
        Some(peer)
    };
    let scene = before(fault(act))
        .await
        .policy(Policy::new().limits(Limits::new().unread_timeout(SHORT).concurrent(ONE)))
        .start()
        .await;
    let before = Baseline::of(&scene).await;
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
        .await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    let next = scene.front.get("/proxy/svc/good", &scene.token);
    let refused = next.send().await;
    assert_eq!(refused.code(), "PROXY_STATE_UNAVAILABLE");
    assert_eq!(scene.reasons(), "too many requests to this service");
    scene.upstream.seen.until_open(0, PATIENCE).await;
    let fault = "the caller never reads the answer";
    scene.stays_good(fault).await;

    // Reading now, it sees that this is not all.
    while wire.read_body(&mut answer).await {}
    assert!(!answer.complete && answer.body.len() < length);
    drop(wire);
    outcomes::report(fault, &told(&answer), &scene.reasons(), false, Some(false));
    before.is_back(&scene).await;
}

/// Waits until a number has stayed what it is.
pub(super) async fn until_it_rests(number: impl Fn() -> usize) -> usize {
    within(PATIENCE, async {
        let (mut last, mut same) = (number(), 0);
        while same < 10 || last == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = number();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    })
    .await
}
