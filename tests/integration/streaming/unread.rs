//! Callers that take nothing of their responses, or next to nothing.

use std::{
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use sallygate::{Api, Limits, Policy, Target};
use sallygate_test_support::{Front, PATIENCE, SOON, assert_refused, nowhere, within};
use tokio::{net::TcpStream, sync::oneshot, time::Instant};

use super::scene::{served, setup};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SHORT: Duration = Duration::from_millis(300);

/// A caller over HTTP/2 that decides how much of its answers may come.
struct Caller {
    sender: SendRequest<Bytes>,
    shut: Option<oneshot::Sender<()>>,
}

impl Caller {
    async fn connect(front: &Front, window: u32) -> Self {
        let stream = TcpStream::connect(front.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (sender, mut connection) = builder.handshake(stream).await.unwrap();
        let (shut, mut asked) = oneshot::channel();
        tokio::spawn(async move {
            let asked = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending => Pin::new(&mut asked).poll(cx).map(|asked| asked.is_ok()),
            });
            if asked.await {
                connection.set_initial_window_size(0).unwrap();
            }
            let _ = connection.await;
        });
        let sender = sender.ready().await.unwrap();
        Self {
            sender,
            shut: Some(shut),
        }
    }

    /// From now on, nothing more may come.
    fn shut(&mut self) {
        self.shut.take().unwrap().send(()).unwrap();
    }

    /// Sends the head of a request, and waits for that of its answer.
    async fn ask(
        &mut self,
        method: &str,
        target: &str,
        token: &str,
    ) -> (http::Response<h2::RecvStream>, h2::SendStream<Bytes>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://gate.test{target}"))
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let (answer, body) = self.sender.send_request(request, method == "GET").unwrap();
        (within(PATIENCE, answer).await.unwrap(), body)
    }
}

#[tokio::test]
async fn a_caller_without_a_window_loses_its_place_too() {
    for path in ["flood", "event", "error"] {
        let policy = Policy::new().redact_errors().limits(
            Limits::new()
                .idle_timeout(SHORT)
                .unread_timeout(SHORT)
                .concurrent(ONE),
        );
        let scene = served(policy).await;
        scene.is_good().await;
        let mut caller = Caller::connect(&scene.front, 0).await;
        let token = scene.token_of("box-1");
        let target = format!("/proxy/svc/{path}");
        let (_answer, _body) = caller.ask("GET", &target, &token).await;
        let next = scene.front.get("/proxy/svc/a", &token);
        let limit = Instant::now() + SOON;
        let mut status = next.send().await.status;
        while status != 200 && Instant::now() < limit {
            tokio::time::sleep(SHORT).await;
            status = scene.front.get("/proxy/svc/a", &token).send().await.status;
        }
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_caller_that_closes_its_window_loses_its_place_too() {
    for shuts in [false, true] {
        let policy = Policy::new().limits(Limits::new().idle_timeout(SHORT).concurrent(ONE));
        let scene = served(policy).await;
        let mut caller = Caller::connect(&scene.front, 1 << 16).await;
        let (answer, _body) = caller
            .ask("GET", "/proxy/svc/event", &scene.token_of("box-1"))
            .await;
        let mut answer = answer.into_body();
        let event = within(PATIENCE, answer.data()).await.unwrap().unwrap();
        assert_eq!(event, "event");
        if shuts {
            caller.shut();
        }
        scene.stack.upstream.until_deserted(SOON).await;
        scene.is_good().await;
    }
}

/// It takes 640 KB each second, and never stops.
#[tokio::test]
async fn a_caller_that_reads_slowly_but_steadily_is_not_cut_off() {
    let scene = served(Policy::new().limits(Limits::new().idle_timeout(2 * SHORT))).await;
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .get("/proxy/svc/flood", &scene.token_of("box-1"));
    wire.send(request.bytes()).await;
    let mut answer = wire.head().await;
    let start = Instant::now();
    while start.elapsed() < 16 * SHORT {
        tokio::time::sleep(SHORT / 12).await;
        assert!(wire.read_body(&mut answer).await);
    }
    // What is on its way still comes; all of it does.
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.body.len(), answer.complete), (64 << 20, true));
}

#[tokio::test]
async fn an_upload_beside_an_answer_that_nobody_reads_ends_with_its_token() {
    for window in [1 << 16, 0] {
        let scene = served(Policy::new()).await;
        let mut caller = Caller::connect(&scene.front, window).await;
        let token = scene.token_of("box-1");
        let (answer, mut body) = caller.ask("POST", "/proxy/svc/event", &token).await;
        assert_eq!(answer.status(), 200);
        body.send_data(Bytes::from_static(b"before"), false)
            .unwrap();
        scene.stack.upstream.until_sent(b"before").await;
        scene.revocations.revoke_sandbox("box-1").unwrap();
        within(SOON + SOON, async {
            tokio::select! {
                () = scene.stack.upstream.until_deserted(SOON) => {}
                () = async {
                    while body.send_data(Bytes::from_static(b"after"), false).is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    std::future::pending().await
                } => {}
            }
        })
        .await;
        assert!(!scene.stack.upstream.last().complete);
        scene.is_good().await;
    }
}

/// Floods are not read, so that the caller's connection takes nothing more.
#[tokio::test]
async fn what_is_not_read_ends_with_its_token_and_with_the_proxy() {
    for shutdown in [false, true] {
        let scene = served(Policy::new()).await;
        let mut wire = scene.front.connect().await;
        let token = scene.token_of("box-1");
        let request = scene.front.get("/proxy/svc/flood", &token);
        wire.send(request.bytes()).await;
        let answer = wire.head().await;
        assert_eq!(answer.status, 200);
        // Until the buffers are full.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if shutdown {
            assert_eq!(scene.handle.shutdown(Duration::ZERO).await, 1);
        } else {
            scene.revocations.revoke_sandbox("box-1").unwrap();
        }
        scene.stack.upstream.until_deserted(SOON).await;
    }
}

/// Over HTTP/2 without TLS, requests to one host share the attempt to connect.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_request_does_not_fail_with_another_that_was_to_connect() {
    for leaves in [false, true] {
        let (socket, address) = nowhere();
        socket.listen(0).unwrap();
        // Once the queue of those to be accepted is full, further ones are left without an answer.
        let _first = within(PATIENCE, TcpStream::connect(address)).await.unwrap();
        let _waiting: Vec<_> = (0..3)
            .map(|_| tokio::spawn(TcpStream::connect(address)))
            .collect();
        let scene = setup()
            .await
            .layer(move |stack, layer| {
                let service = |timeout| {
                    let target = Target::dangerous_plaintext(&format!("http://{address}")).unwrap();
                    let policy = Policy::new().limits(Limits::new().connect_timeout(timeout));
                    let target = target.http2_prior_knowledge();
                    Api::bearer(target, stack.key.clone()).replace_policy(policy)
                };
                let layer = layer.service("short", service(2 * SHORT)).unwrap();
                layer.service("long", service(PATIENCE)).unwrap()
            })
            .start()
            .await;
        let [mut short, mut long] = [scene.front.connect().await, scene.front.connect().await];
        for (name, wire) in [("short", &mut short), ("long", &mut long)] {
            let request = scene
                .front
                .get(&format!("/proxy/{name}/a"), &scene.token_of(name));
            wire.send(request.bytes()).await;
            // The first begins to connect before the second comes.
            tokio::time::sleep(SHORT / 2).await;
        }
        if leaves {
            drop(short);
        } else {
            assert_refused(&short.answer().await, 504, "PROXY_TARGET_TIMEOUT");
        }
        let waits = tokio::time::timeout(2 * SHORT, long.answer()).await;
        assert!(
            waits.is_err(),
            "leaves: {leaves}: {}",
            waits.unwrap().text()
        );
    }
}
