//! A proxy whose upstream responds in many ways, and whose tokens can be revoked.

use std::time::Duration;

use sallygate::Policy;
use sallygate_test_support::{Answer, Scene, Setup, Stack, Upstream, Wire};

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// An upstream that answers with one event and no end, without end, with an error, or with an event and an open ear.
async fn upstream() -> Upstream {
    Upstream::with(|mut conn| async move {
        while let Some(request) = conn.read_head().await {
            let head = conn.head(request);
            let path = head.split(' ').nth(1).unwrap_or_default();
            match path.strip_prefix("/v1/").unwrap_or_default() {
                "event" => {
                    conn.write(CHUNKED).await;
                    conn.write(b"5\r\nevent\r\n").await;
                    while let Some(Some(_)) = conn.read_body().await {}
                    return conn.closed().await;
                }
                "flood" => {
                    conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n")
                        .await;
                    for _ in 0..1024 {
                        conn.write(&[b'a'; 1 << 16]).await;
                    }
                }
                big if big.starts_with("big-") => {
                    let length = big[4..].parse::<usize>().unwrap() << 10;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    conn.write(head.as_bytes()).await;
                    conn.write(&vec![b'a'; length]).await;
                }
                "silence" => return conn.closed().await,
                "error" => {
                    conn.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno")
                        .await;
                }
                "done" => {
                    conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
                        .await;
                    while let Some(Some(_)) = conn.read_body().await {}
                }
                _ => {
                    while let Some(Some(_)) = conn.read_body().await {}
                    conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                        .await;
                }
            }
        }
    })
    .await
}

/// Begins a proxy before such an upstream.
pub(crate) async fn setup() -> Setup {
    Stack::upon(upstream().await).await.scene()
}

/// A proxy before such an upstream, whose service has this policy.
pub(crate) async fn served(policy: Policy) -> Scene {
    setup().await.policy(policy).start().await
}

/// Sends pieces of a body, until nobody wants them.
pub(crate) async fn upload(wire: &mut Wire) {
    while wire.send_all("1\r\na\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Begins an upload, and reads the head of its response.
pub(crate) async fn post(scene: &Scene, path: &str, token: &str) -> (Wire, Answer) {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("POST", path).token(token);
    let request = request.header("transfer-encoding", "chunked");
    wire.send(request.bytes()).await;
    wire.send("1\r\na\r\n").await;
    let answer = wire.head().await;
    (wire, answer)
}
