//! Answers before the answer (RFC 9110 §15.2).

use std::time::Duration;

use sallygate::Client;
use sallygate_test_support::assert_refused;

use super::{
    faulty::fault,
    scene::{Play, SHORT, before, responding},
};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";

#[tokio::test]
async fn interim_answers_stop_at_the_proxy() {
    let answer = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{HINTS}\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-own: 1\r\n\r\nhello"
    );
    let scene = responding(answer, false).await;
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
        .await;
    let head = wire.raw_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("x-own: 1\r\n") && !head.contains("preload"),
        "{head}"
    );
    scene.stays_good("interim").await;
    assert_eq!(scene.upstream.seen.connections(), 1);
}

#[tokio::test]
async fn thousands_of_interim_answers_are_no_harm() {
    let answer = format!(
        "{}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        HINTS.repeat(5000)
    );
    let scene = responding(answer, false).await;
    let answer = scene.play("5,000 interim answers, then the answer").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}

/// The bytes that keep coming are no answer: the time-out counts on.
#[tokio::test]
async fn interim_answers_without_end_are_given_up() {
    let flooding = fault(async |mut peer| {
        peer.flood(HINTS.repeat(100).as_bytes()).await;
        None
    });
    let scene = before(flooding)
        .await
        .client(Client::new().response_timeout(SHORT))
        .start()
        .await;
    let answer = scene.play("interim answers without end").await;
    assert_refused(&answer, 504, "PROXY_TARGET_TIMEOUT");
}

/// A flood that is never polled for long could keep the time-out from being seen.
#[tokio::test]
async fn a_flood_of_one_upstream_leaves_the_others_alone() {
    let flooding = fault(async |mut peer| {
        peer.flood(HINTS.repeat(100).as_bytes()).await;
        None
    });
    let scene = before(flooding)
        .await
        .client(Client::new().response_timeout(Duration::from_secs(2)))
        .start()
        .await;
    let mut flooded = scene.front.connect().await;
    flooded
        .send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
        .await;
    scene
        .upstream
        .seen
        .until(Duration::from_secs(5), |seen| seen.connections() == 1)
        .await;
    let other = scene.front.get("/proxy/other/a", &scene.token).send().await;
    assert_eq!(other.text(), "other");
    assert_eq!(flooded.answer().await.status, 504);
}

#[tokio::test]
async fn a_switch_that_was_not_asked_for_is_no_interim_answer() {
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    let scene = responding(switching, false).await;
    let answer = scene.play("an upgrade that was not asked for").await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
}
