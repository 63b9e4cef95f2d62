//! Upstreams that cannot be reached, or that say nothing.

use std::{net::SocketAddr, time::Duration};

use sallygate::{Client, Target};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, time::Instant};

use super::{
    faulty::fault,
    outcomes,
    scene::{SHORT, Scene, Terms, is_served, told},
};
use crate::support::{PATIENCE, within};

/// Plays a fault of another target than the faulty upstream; the service `other` stays good.
async fn play(name: &'static str, target: &str, expected: u16) {
    let target = Target::new(target).or_else(|_| Target::dangerous_plaintext(target));
    let terms = Terms {
        target: Some(target.unwrap()),
        ..Terms::default()
    };
    let scene = Scene::with(terms, fault(async |_| None)).await;
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

/// A socket at an address of its own, where nobody listens and nobody else can.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[tokio::test]
async fn nobody_listens() {
    let (_socket, address) = bound();
    play("nobody listens", &format!("http://{address}"), 502).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_is_not_accepted_is_given_up() {
    let (socket, address) = bound();
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
    let (socket, address) = bound();
    socket.listen(16).unwrap();
    let url = format!("https://{address}");
    play("the TLS handshake does not come to its end", &url, 504).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let terms = Terms {
        client: Client::new().response_timeout(SHORT),
        ..Terms::default()
    };
    let silent = fault(async |mut peer| {
        peer.closed().await;
        None
    });
    let scene = Scene::with(terms, silent).await;
    let answer = scene.play("the upstream never answers").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "PROXY_TARGET_TIMEOUT")
    );
}
