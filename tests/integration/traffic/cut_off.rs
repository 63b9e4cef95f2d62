//! Connections that end where they should not, and answers that do not add up.

use sallygate::{Limits, Policy};
use sallygate_test_support::Setup;

use super::{
    faulty::{Faulty, Peer, fault, settle},
    scene::{PACE, Play, SHORT, before, failing, responding},
};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Bytes in two pieces that are read one after the other.
async fn in_two(peer: &mut Peer, first: &str, second: &str) {
    peer.write(first).await;
    settle().await;
    peer.write(second).await;
}

#[tokio::test]
async fn an_upstream_that_ends_before_its_answer() {
    let scene = failing(async |_| None).await;
    let answer = scene.play("the upstream closes before its answer").await;
    assert_eq!((answer.status, answer.code()), error());

    let scene = failing(async |peer| {
        peer.reset();
        None
    });
    let answer = scene.await;
    let answer = answer.play("the upstream resets before its answer").await;
    assert_eq!((answer.status, answer.code()), error());

    let scene = failing(async |peer| {
        peer.half_close().await;
        None
    });
    let fault = "the upstream ends its direction before its answer";
    let answer = scene.await.play(fault).await;
    assert_eq!((answer.status, answer.code()), error());
}

#[tokio::test]
async fn an_upstream_that_ends_within_the_head() {
    let scene = responding("HTTP/1.1 200 OK\r\ncontent-le", true).await;
    let answer = scene.play("the upstream closes within the head").await;
    assert_eq!((answer.status, answer.code()), error());

    let scene = failing(async |mut peer| {
        in_two(&mut peer, "HTTP/1.1 200 OK\r\n", "content-le").await;
        peer.reset();
        None
    });
    let answer = scene
        .await
        .play("the upstream resets within the head")
        .await;
    assert_eq!((answer.status, answer.code()), error());
}

#[tokio::test]
async fn an_upstream_that_ends_within_the_body() {
    let scene = responding(format!("{OK}content-length: 10\r\n\r\nhello"), true).await;
    let fault = "the upstream closes within a body with a length";
    let answer = scene.play(fault).await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "hello", false)
    );

    for (fault, first, body) in [
        (
            "the upstream resets within a body with a length",
            "content-length: 100\r\n\r\n",
            "hello",
        ),
        (
            "the upstream resets right after the head",
            "content-length: 100\r\n",
            "\r\n",
        ),
    ] {
        let scene = failing(move |mut peer| async move {
            in_two(&mut peer, &format!("{OK}{first}"), body).await;
            // A reset takes back what was not read.
            settle().await;
            peer.reset();
            None
        });
        let answer = scene.await.play(fault).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{fault}");
    }

    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let scene = responding(chunked.clone(), true).await;
    let answer = scene.play("the upstream closes between two chunks").await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert!("hello".starts_with(answer.text()));

    let scene = responding(format!("{chunked}zz\r\nhello\r\n0\r\n\r\n"), false).await;
    let answer = scene.play("a chunk with a broken size").await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert!("hello".starts_with(answer.text()));
}

#[tokio::test]
async fn a_body_that_stops_ends_after_the_idle_time_out() {
    let stopping = fault(async |mut peer| {
        peer.write(format!("{OK}content-length: 10\r\n\r\nhello"))
            .await;
        peer.closed().await;
        None
    });
    let scene = before(stopping)
        .await
        .policy(Policy::new().limits(Limits::new().idle_timeout(SHORT)))
        .start()
        .await;
    let answer = scene.play("the body stops and the connection stays").await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "hello", false)
    );
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_not_idle() {
    let slowly = fault(async |mut peer| {
        peer.write(format!("{OK}content-length: 8\r\n\r\n")).await;
        for _ in 0..8 {
            tokio::time::sleep(PACE).await;
            peer.write("a").await;
        }
        Some(peer)
    });
    let scene = before(slowly)
        .await
        .policy(Policy::new().limits(Limits::new().idle_timeout(5 * PACE)))
        .start()
        .await;
    let request = scene.front.get("/proxy/svc/fault", &scene.token);
    let answer = request.send().await;
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "aaaaaaaa", true)
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_of_its_service() {
    let terms =
        |setup: Setup<Faulty>| setup.policy(Policy::new().limits(Limits::new().response_bytes(10)));
    let of_length = |length: usize| {
        let answer = format!("{OK}content-length: {length}\r\n\r\n{}", "a".repeat(length));
        fault(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.write(answer).await;
                Some(peer)
            }
        })
    };
    let exact = terms(before(of_length(10)).await).start().await;
    let request = exact.front.get("/proxy/svc/fault", &exact.token);
    assert_eq!(request.send().await.text(), "aaaaaaaaaa");

    let scene = terms(before(of_length(11)).await).start().await;
    let fault_name = "the body is announced to be over the service's limit";
    let answer = scene.play(fault_name).await;
    assert_eq!((answer.status, answer.code()), error());

    let growing = fault(async |mut peer| {
        peer.write(format!("{OK}transfer-encoding: chunked\r\n\r\n"))
            .await;
        peer.flood(b"6\r\naaaaaa\r\n").await;
        None
    });
    let scene = terms(before(growing).await).start().await;
    let fault_name = "the body grows over the service's limit";
    let answer = scene.play(fault_name).await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert!(answer.body.len() <= 10);
}

fn error() -> (u16, String) {
    (502, "PROXY_TARGET_ERROR".into())
}
