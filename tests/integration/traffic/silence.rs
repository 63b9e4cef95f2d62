//! Upstreams that cannot be reached, or that say nothing.

use std::time::Duration;

use sallygate::{Api, Client, Limits, Policy, Target};
use sallygate_test_support::{PATIENCE, Stack, assert_refused, nowhere, within};
use tokio::{net::TcpStream, time::Instant};

use super::{
    faulty::fault,
    outcomes,
    scene::{Play, SHORT, before, is_served, told},
};

/// Plays a fault of another target than the faulty upstream; the service `other` stays good.
async fn play(name: &'static str, target: &str, expected: u16) {
    let target = Target::new(target).or_else(|_| Target::dangerous_plaintext(target));
    let scene = before(fault(async |_| None))
        .await
        .target(target.unwrap())
        .client(Client::new().connect_timeout(SHORT))
        .start()
        .await;
    let start = Instant::now();
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/a", &scene.token).bytes())
        .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, expected, "{name}");
    assert!(start.elapsed() < Duration::from_secs(5), "{name}");
    let other = scene.front.get("/proxy/other/a", &scene.token).bytes();
    let stays = is_served(&mut wire, &other, "other").await;
    assert!(stays, "{name}");
    outcomes::report(name, &told(&answer), &scene.reasons(), stays, None);
}

#[tokio::test]
async fn nobody_listens() {
    let (_socket, address) = nowhere();
    play("nobody listens", &format!("http://{address}"), 502).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_is_not_accepted_is_given_up() {
    let (socket, address) = nowhere();
    socket.listen(0).unwrap();
    // Once the queue of those to be accepted is full, further ones are left without an answer.
    let _first = within(PATIENCE, TcpStream::connect(address)).await.unwrap();
    let mut waiting = Vec::new();
    while waiting.len() < 3 {
        let further = tokio::spawn(TcpStream::connect(address));
        waiting.push(further);
    }
    let url = format!("http://{address}");
    play("the connection is not accepted", &url, 504).await;
    for further in waiting {
        further.abort();
    }
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_is_given_up() {
    let (socket, address) = nowhere();
    socket.listen(16).unwrap();
    let url = format!("https://{address}");
    play("the TLS handshake does not come to its end", &url, 504).await;
}

/// Two services of one proxy and one client, before the same host, which takes connections and says nothing.
#[tokio::test]
async fn a_service_has_its_own_time_out_for_connections() {
    let (socket, address) = nowhere();
    socket.listen(16).unwrap();
    let stack = Stack::new().await;
    let service = |timeout| {
        let target = Target::new(&format!("https://{address}")).unwrap();
        let policy = Policy::new().limits(Limits::new().connect_timeout(timeout));
        Api::bearer(target, stack.key.clone()).replace_policy(policy)
    };
    let layer = stack
        .layer_with("short", service(SHORT))
        .service("long", service(PATIENCE))
        .unwrap()
        .client(Client::new().connect_timeout(PATIENCE));
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let mut long = front.connect().await;
    long.send(front.get("/proxy/long/a", &token).bytes()).await;
    for _ in 0..2 {
        let answer = front.get("/proxy/short/a", &token).send();
        let answer = within(PATIENCE / 2, answer).await;
        assert_refused(&answer, 504, "PROXY_TARGET_TIMEOUT");
    }
    let waits = tokio::time::timeout(SHORT, long.answer()).await;
    assert!(waits.is_err(), "{waits:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let silent = fault(async |mut peer| {
        peer.closed().await;
        None
    });
    let scene = before(silent)
        .await
        .client(Client::new().response_timeout(SHORT))
        .start()
        .await;
    let answer = scene.play("the upstream never answers").await;
    assert_refused(&answer, 504, "PROXY_TARGET_TIMEOUT");
}
