//! HTTP/2 without TLS, to upstreams that are said to speak it.

use std::{
    future::poll_fn,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest, server::SendResponse};
use http::{HeaderMap, Request, Response};
use sallygate::{Api, Client, Limits, Policy, ProxyLayer, Target};
use sallygate_test_support::{PATIENCE, SOON, Scene, Stack, assert_refused, within};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use crate::streaming::scene::setup;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SHORT: Duration = Duration::from_millis(300);

/// A server of HTTP/2 and nothing else, stream by stream.
struct Upstream {
    addr: SocketAddr,
    streams: Arc<AtomicUsize>,
    /// How many connections there are.
    open: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

type Taken = (Request<RecvStream>, SendResponse<Bytes>);

impl Upstream {
    /// It takes so many streams at a time on each connection.
    async fn new<F>(most: u32, answer: impl Fn(Taken) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, open) = watch::channel(0);
        let streams = Arc::new(AtomicUsize::new(0));
        let (tell, answer, count) = (Arc::new(tell), Arc::new(answer), streams.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                tell.send_modify(|open| *open += 1);
                let (answer, tell, count) = (answer.clone(), tell.clone(), count.clone());
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    builder.max_concurrent_streams(most);
                    if let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await {
                        while let Some(Ok(taken)) = connection.accept().await {
                            count.fetch_add(1, Ordering::SeqCst);
                            tokio::spawn(answer(taken));
                        }
                    }
                    tell.send_modify(|open| *open -= 1);
                });
            }
        };
        Self {
            addr,
            streams,
            open,
            task: tokio::spawn(accept),
        }
    }

    fn target(&self) -> Target {
        let target = Target::dangerous_plaintext(&format!("http://{}", self.addr)).unwrap();
        target.http2_prior_knowledge()
    }

    /// A proxy with this as its service `h2`.
    async fn scene(
        &self,
        policy: Policy,
        change: impl FnOnce(&Stack, ProxyLayer) -> ProxyLayer + 'static,
    ) -> Scene {
        let target = self.target();
        let add = move |stack: &Stack, layer: ProxyLayer| {
            let service = Api::bearer(target, stack.key.clone()).replace_policy(policy);
            change(stack, layer.service("h2", service).unwrap())
        };
        setup().await.layer(add).start().await
    }

    async fn until_open(&self, connections: usize) {
        let mut open = self.open.clone();
        let so_many = open.wait_for(|open| *open == connections);
        within(PATIENCE, so_many).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hello((_, mut answer): Taken) {
    if let Ok(mut body) = answer.send_response(Response::new(()), false) {
        let _ = body.send_data(Bytes::from_static(b"hello"), true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_to_a_fresh_upstream_are_all_answered() {
    let upstream = Upstream::new(100, |taken| async move {
        tokio::time::sleep(SHORT).await;
        hello(taken).await;
    });
    let upstream = upstream.await;
    let scene = Arc::new(upstream.scene(Policy::new(), |_, layer| layer).await);
    let token = scene.token_of("box-1");
    let get = move || {
        let (scene, token) = (scene.clone(), token.clone());
        async move {
            let answer = scene.front.get("/proxy/h2/a", &token).send().await;
            (answer.status, answer.text().to_owned())
        }
    };
    let all: Vec<_> = (0..200).map(|_| tokio::spawn(get())).collect();
    for one in all {
        let answer = within(PATIENCE, one).await.unwrap();
        assert_eq!(answer, (200, "hello".into()));
    }
    assert_eq!(upstream.streams.load(Ordering::SeqCst), 200);
    // One for each hundred; what else was begun meanwhile is closed.
    upstream.until_open(2).await;
    assert_eq!(get().await, (200, "hello".into()));
    assert_eq!(*upstream.open.borrow(), 2);
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_it_is_idle() {
    let upstream = Upstream::new(100, hello).await;
    let client = Client::new().idle_timeout(SHORT);
    let scene = upstream.scene(Policy::new(), move |_, layer| layer.client(client));
    let scene = scene.await;
    let token = scene.token_of("box-1");
    for _ in 0..2 {
        for _ in 0..5 {
            let answer = scene.front.get("/proxy/h2/a", &token).send().await;
            assert_eq!((answer.status, answer.text()), (200, "hello"));
            assert_eq!(*upstream.open.borrow(), 1);
        }
        upstream.until_open(0).await;
    }
}

#[tokio::test]
async fn many_requests_to_a_server_of_http1_are_all_refused() {
    let scene = setup().await.layer(move |stack, layer| {
        let service = Api::bearer(stack.target().http2_prior_knowledge(), stack.key.clone());
        layer.service("h2", service).unwrap()
    });
    let scene = Arc::new(scene.start().await);
    let token = scene.token_of("box-1");
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (scene, token) = (scene.clone(), token.clone());
            tokio::spawn(async move { scene.front.get("/proxy/h2/a", &token).send().await })
        })
        .collect();
    for one in all {
        let answer = within(PATIENCE, one).await.unwrap();
        assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    }
    scene.is_good().await;
}

/// It would have to begin in HTTP/1.1.
#[tokio::test]
async fn a_websocket_to_an_upstream_of_http2_alone_is_refused_at_once() {
    let upstream = Upstream::new(100, hello).await;
    let scene = upstream.scene(Policy::new(), |_, layer| layer).await;
    let token = scene.token_of("box-1");
    let request = scene.front.get("/proxy/h2/a", &token);
    let request = request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = within(SOON, request.send()).await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    let answer = scene.front.get("/proxy/h2/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}

/// The upstream takes fewer streams than the pool gives it. Until there is one for it, a request waits in the client,
/// body and all.
#[tokio::test]
async fn an_upload_that_was_given_up_before_it_began_has_no_place() {
    for leaves in [true, false] {
        let upstream = Upstream::new(1, |(request, mut answer): Taken| async move {
            let mut body = answer.send_response(Response::new(()), false).unwrap();
            let ends = request.uri().path() != "/endless";
            body.send_data(Bytes::from_static(b"hello"), ends).unwrap();
            let _ = poll_fn(|cx| body.poll_reset(cx)).await;
        });
        let upstream = upstream.await;
        let target = upstream.target();
        let scene = upstream.scene(Policy::new(), |stack, layer| {
            let policy = Policy::new().limits(Limits::new().response_timeout(SHORT));
            let hasty = Api::bearer(target, stack.key.clone()).replace_policy(policy);
            let limits = Limits::new().concurrent_per_sandbox(ONE);
            layer.service("hasty", hasty).unwrap().limits(limits)
        });
        let scene = scene.await;
        let mut other = scene.front.connect().await;
        let endless = scene
            .front
            .get("/proxy/h2/endless", &scene.token_of("other"));
        other.send(endless.bytes()).await;
        assert_eq!(other.head().await.status, 200);

        let token = scene.token_of("box-1");
        let begin = async || {
            let mut wire = scene.front.connect().await;
            let request = scene.front.request("POST", "/proxy/hasty/a").token(&token);
            let request = request.header("transfer-encoding", "chunked");
            wire.send(request.bytes()).await;
            wire.send("4\r\nsome\r\n").await;
            wire
        };
        let status = async || scene.front.get("/proxy/svc/a", &token).send().await.status;
        let mut wire = begin().await;
        if leaves {
            // Whichever comes first has the place: the upload, or the request that looks for it.
            within(PATIENCE, async {
                while status().await != 429 {
                    wire = begin().await;
                }
            })
            .await;
        } else {
            assert_eq!(wire.answer().await.status, 504);
        }
        drop(wire);
        within(PATIENCE, async { while status().await != 200 {} }).await;
    }
}

/// A caller of gRPC: both ways are open until the status comes.
async fn caller(scene: &Scene) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(scene.front.addr).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    within(PATIENCE, sender.ready()).await.unwrap()
}

fn grpc(token: &str) -> Request<()> {
    Request::post("http://gate.test/proxy/h2/a")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

fn status(status: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers
}

/// To the end: what came, and the status; an error if it was broken off.
async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut read = Vec::new();
    while let Some(data) = within(PATIENCE, body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        read.extend_from_slice(&data);
    }
    Ok((read, within(PATIENCE, body.trailers()).await?))
}

#[tokio::test]
async fn a_status_that_comes_early_reaches_a_caller_that_is_still_sending() {
    for resets in [false, true] {
        let upstream = Upstream::new(100, move |(request, mut answer): Taken| async move {
            let mut upload = request.into_body();
            upload.data().await.unwrap().unwrap();
            let mut body = answer.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"part"), false).unwrap();
            body.send_trailers(status("8")).unwrap();
            if resets {
                // Once the status is out.
                tokio::time::sleep(SHORT / 10).await;
                answer.send_reset(h2::Reason::NO_ERROR);
            }
        });
        let upstream = upstream.await;
        let scene = upstream.scene(Policy::new(), |_, layer| layer).await;
        let mut sender = caller(&scene).await;
        for _ in 0..10 {
            let request = grpc(&scene.token_of("box-1"));
            let (answer, mut upload) = sender.send_request(request, false).unwrap();
            let sending = tokio::spawn(async move {
                loop {
                    upload.reserve_capacity(100);
                    let capacity = poll_fn(|cx| upload.poll_capacity(cx)).await;
                    let piece = Bytes::from_static(&[b'a'; 100]);
                    if !matches!(capacity, Some(Ok(_))) || upload.send_data(piece, false).is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
            let answer = within(PATIENCE, answer).await.unwrap();
            let (body, trailers) = read(&mut answer.into_body()).await.unwrap();
            assert_eq!(
                (body.as_slice(), trailers),
                (&b"part"[..], Some(status("8")))
            );
            // The caller is told that nobody reads on.
            within(PATIENCE, sending).await.unwrap();
        }
    }
}

/// Within the grace, the status still comes; after it, the stream is broken off rather than ended.
#[tokio::test]
async fn a_status_that_comes_after_its_token_has_expired_comes_within_the_grace() {
    for (late, comes) in [(0, true), (4, true), (5, false)] {
        let go = Arc::new(Semaphore::new(0));
        let wait = go.clone();
        let upstream = Upstream::new(100, move |(_, mut answer): Taken| {
            let wait = wait.clone();
            async move {
                let mut body = answer.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"part"), false).unwrap();
                wait.acquire().await.unwrap().forget();
                let _ = body.send_trailers(status("0"));
            }
        });
        let upstream = upstream.await;
        let scene = upstream.scene(Policy::new(), |_, layer| layer).await;
        let mut sender = caller(&scene).await;
        let request = grpc(&scene.token_of("box-1"));
        let (answer, mut upload) = sender.send_request(request, false).unwrap();
        let answer = within(PATIENCE, answer).await.unwrap();
        upload.send_data(Bytes::from_static(b"all"), true).unwrap();
        let mut body = answer.into_body();
        assert_eq!(
            within(PATIENCE, body.data()).await.unwrap().unwrap(),
            "part"
        );
        scene.stack.clock.advance(15 * 60 + late);
        go.add_permits(1);
        match read(&mut body).await {
            Ok((_, trailers)) => assert_eq!((comes, trailers), (true, Some(status("0")))),
            Err(error) => assert!(!comes && error.is_reset(), "{late}: {error}"),
        }
    }
}
