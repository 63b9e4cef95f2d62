//! Answers that come before the upload has ended, and reach callers that are still sending.

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body_util::BodyExt;
use sallygate::{Body, Limits, Policy};
use sallygate_test_support::{Answer, PATIENCE, SOON, Scene, Wire, assert_refused, within};
use tokio::time::Instant;

use super::{
    caller::{Caller, request},
    faulty::{Faulty, Peer, fault},
    outcomes,
    scene::{Play, before, failing, told},
};

/// More than all buffers between caller and upstream hold.
const LARGE: usize = 64 << 20;

const TOO_LARGE: &str =
    "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";

/// Says no once the first of the body has come, and reads no further than a server that parts in order does.
async fn refuse(mut peer: Peer) -> Option<Peer> {
    while peer.read.is_empty() {
        peer.fill().await?;
    }
    peer.write(TOO_LARGE).await;
    peer.half_close().await;
    None
}

/// Sends all of an upload before it reads anything, as many clients do: one of them takes it for a failure if it cannot
/// send.
async fn upload(wire: &mut Wire, head: &[u8]) -> Answer {
    within(PATIENCE, async {
        wire.send_all(head).await.unwrap();
        let block = vec![b'a'; 1 << 20];
        for _ in 0..LARGE >> 20 {
            wire.send_all(&block).await.unwrap();
        }
        wire.answer().await
    })
    .await
}

fn head(scene: &Scene<Faulty>, target: &str, token: &str) -> Vec<u8> {
    let length = LARGE.to_string();
    let request = scene.front.request("PUT", target).token(token);
    request.header("content-length", length).bytes()
}

#[tokio::test]
async fn an_early_answer_reaches_a_caller_that_sends_everything_first() {
    let scene = failing(refuse).await;
    let mut wire = scene.front.connect().await;
    let head = head(&scene, "/proxy/svc/fault", &scene.token);
    let answer = upload(&mut wire, &head).await;
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert!(answer.complete);
    let again = scene.front.get("/proxy/svc/good", &scene.token).bytes();
    let stays = super::scene::is_served(&mut wire, &again, "good").await;
    scene.stays_good("early").await;
    let kept = scene.upstream.seen.connections() == 1;
    assert!(!kept, "nobody knows what became of the rest of the body");
    let fault = "the upstream answers before the upload ends";
    outcomes::report(fault, &told(&answer), &scene.reasons(), stays, Some(kept));
}

#[tokio::test]
async fn an_early_answer_reaches_a_caller_over_http2() {
    let scene = failing(refuse).await;
    let mut caller = Caller::connect(&scene.front).await;
    let block = Bytes::from(vec![b'a'; 1 << 16]);
    let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(block.clone()));
    let asked = request("PUT", "/proxy/svc/fault", &scene.token);
    let response = caller.send(asked, Body::from_stream(endless)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = within(PATIENCE, response.into_body().collect()).await;
    assert_eq!(body.unwrap().to_bytes(), "big");
    let asked = request("GET", "/proxy/svc/good", &scene.token);
    let answer = caller.call(&scene.stack.oracle, asked, Body::empty()).await;
    assert_eq!((answer.status, answer.text()), (200, "good"));
    scene.upstream.seen.until_open(1, PATIENCE).await;
}

/// What the proxy itself says early: an expired token, a length over the limit.
#[tokio::test]
async fn a_refusal_reaches_a_caller_that_sends_everything_first() {
    let scene = before(fault(async |_| None))
        .await
        .policy(Policy::new().limits(Limits::new().body_bytes(1 << 20)))
        .start()
        .await;
    for (target, token, status, code) in [
        ("/proxy/svc/a", "x", 401, "PROXY_TOKEN_INVALID"),
        ("/proxy/svc/a", &scene.token, 413, "PROXY_BODY_TOO_LARGE"),
        (
            "/proxy/none/a",
            &scene.token,
            404,
            "PROXY_SERVICE_NOT_FOUND",
        ),
    ] {
        let mut wire = scene.front.connect().await;
        let answer = upload(&mut wire, &head(&scene, target, token)).await;
        assert_refused(&answer, status, code);
        assert!(answer.complete);
    }
    assert_eq!(scene.upstream.seen.connections(), 0);
    scene.stays_good("refused").await;
}

/// A caller that asked first, and waits to be asked for its body, is not asked for what nobody wants.
#[tokio::test]
async fn a_refused_caller_that_waits_for_100_is_not_asked_for_its_body() {
    let scene = failing(async |_| None).await;
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("PUT", "/proxy/svc/a").token("x");
    let request = request
        .header("content-length", "1000000")
        .header("expect", "100-continue");
    wire.send(request.bytes()).await;
    let start = Instant::now();
    let first = within(PATIENCE, wire.raw_head()).await;
    assert!(first.starts_with("HTTP/1.1 401 "), "{first}");
    assert!(start.elapsed() < SOON);
    assert_eq!(scene.upstream.seen.connections(), 0);
}

/// A body that nobody wants is read on only for so long: a caller that stops sending is let go.
#[tokio::test]
async fn a_refused_caller_that_stops_sending_is_let_go() {
    let scene = failing(async |_| None).await;
    let mut wire = scene.front.connect().await;
    wire.send(head(&scene, "/proxy/svc/a", "x")).await;
    wire.send("some").await;
    assert_eq!(wire.answer().await.status, 401);
    let start = Instant::now();
    assert_eq!(wire.rest().await, b"");
    assert!(start.elapsed() < 5 * SOON);
}
