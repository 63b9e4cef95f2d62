//! What is left of a request when its body has ended: places, tasks, and connections with more on them.

use std::{borrow::Cow, num::NonZeroUsize, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use sallygate::{
    Api, Body, Context, Injection, Limits, Outcome, Policy, ServiceConfig, Target, TransformError,
    async_trait,
};
use sallygate_test_support::{PATIENCE, Reply, Stack, Upstream, Wire, within};
use tokio::{runtime, time::Instant};
use tower::ServiceExt;

use super::leases::Scene;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SHORT: Duration = Duration::from_millis(300);

/// Long enough for everything that should happen at once.
const SOON: Duration = Duration::from_secs(4);

const TTL: u64 = 15 * 60;

/// Whether this request is answered with 200 before long.
async fn is_free(stack: &Stack, front: &sallygate_test_support::Front) -> bool {
    let limit = Instant::now() + SOON;
    let mut status = 0;
    while status != 200 && Instant::now() < limit {
        tokio::time::sleep(SHORT / 10).await;
        let next = front.get("/proxy/svc/good", &stack.token());
        status = next.send().await.status;
    }
    status == 200
}

/// A caller that asks for one thing after the other is never told that it asks for two at a time.
#[tokio::test]
async fn a_place_is_free_once_the_body_has_ended() {
    let pieces = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let pieces = format!("{pieces}3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    let stack = Stack::answering(move |_| Reply::Bytes(pieces.clone().into())).await;
    let limits = Limits::new().concurrent_per_sandbox(ONE);
    let service = stack.layer().limits(limits).into_service();
    let token = stack.token();
    for number in 0..5 {
        let request = Request::get("/proxy/svc/a");
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "request {number}");
        let body = within(PATIENCE, answer.into_body().collect()).await;
        assert_eq!(body.unwrap().to_bytes(), "onetwo");
    }
}

/// An upstream that reads nothing of an upload, and says nothing.
#[tokio::test]
async fn an_upload_that_is_not_read_loses_its_place() {
    let upstream = Upstream::with(|mut conn| async move {
        let Some(request) = conn.read_head().await else {
            return;
        };
        if conn.head(request).contains("/good ") {
            let good = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood";
            return conn.write(good).await;
        }
        std::future::pending().await
    });
    let stack = Stack::upon(upstream.await).await;
    let policy = Policy::new().limits(Limits::new().unread_timeout(SHORT).concurrent(ONE));
    let layer = stack.layer_with("svc", stack.svc().replace_policy(policy));
    let front = stack.serve(layer.into_service()).await;
    assert!(is_free(&stack, &front).await);
    let mut wire = front.connect().await;
    let request = front.request("PUT", "/proxy/svc/a").token(&stack.token());
    let request = request.header("content-length", (64 << 20).to_string());
    wire.send(request.bytes()).await;
    let block = vec![b'a'; 1 << 20];
    let sending = async {
        for _ in 0..64 {
            wire.send(&block).await;
        }
        wire.answer().await
    };
    let is_free = async {
        stack.upstream.until(|all| all.len() == 2).await;
        is_free(&stack, &front).await
    };
    tokio::select! {
        answer = sending => assert!(answer.status >= 500, "{}", answer.status),
        is_free = is_free => assert!(is_free),
    }
}

async fn upload(scene: &Scene, length: usize, expect: bool) -> Wire {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("PUT", "/proxy/svc/a");
    let request = request.token(&scene.token("box-1"));
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
        let scene = Scene::new(policy).await;
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
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "PROXY_TOKEN_INVALID")
        );
        wire.send(vec![b'r'; 1000 - "begin".len() - INNER.len()])
            .await;
        let next = scene.front.get("/proxy/svc/next", &scene.token("box-2"));
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
        let scene = Scene::new(Policy::new()).await;
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
        let scene = Scene::new(Policy::new()).await;
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

/// A service that panics, at once or later.
struct Panics(Api);

#[async_trait]
impl ServiceConfig for Panics {
    fn target(&self) -> &Target {
        self.0.target()
    }

    fn validate<'r>(&self, parts: &'r Parts) -> Option<Cow<'r, str>> {
        self.0.validate(parts)
    }

    fn policy(&self) -> &Policy {
        ServiceConfig::policy(&self.0)
    }

    fn injections(&self) -> &[Injection] {
        self.0.injections()
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        context: &Context,
    ) -> Result<Outcome, TransformError> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/good") {
            return self.0.transform(request, context).await;
        }
        // From here on, the body is lent.
        let first = request.body_mut().frame().await.unwrap().unwrap();
        assert!(!path.ends_with("/now"), "in transform");
        let first = Ok::<_, std::io::Error>(first.into_data().unwrap());
        let panics = move |body: Option<Body>| {
            let rest = stream::poll_fn(move |_| -> Poll<Option<std::io::Result<Bytes>>> {
                panic!("in a body, {}", body.is_some())
            });
            Body::from_stream(stream::iter([first]).chain(rest))
        };
        if path.ends_with("/answer") {
            return Ok(Outcome::Respond(Response::new(panics(None))));
        }
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, panics(Some(body)));
        self.0.transform(request, context).await
    }
}

#[tokio::test]
async fn a_panic_costs_one_request_and_nothing_of_it_is_left() {
    for (path, status) in [("now", "500"), ("body", "502"), ("answer", "")] {
        let stack = Stack::new().await;
        let service = stack
            .svc()
            .policy(|policy| policy.limits(Limits::new().concurrent(ONE)));
        let layer = stack.layer_with("svc", Panics(service));
        let handle = layer.handle();
        let front = stack.serve(layer.into_service()).await;
        let mut wire = front.connect().await;
        let request = front.request("POST", &format!("/proxy/svc/{path}"));
        let request = request.token(&stack.token());
        let request = request.header("transfer-encoding", "chunked");
        wire.send(request.bytes()).await;
        wire.send("3\r\none\r\n3\r\ntwo\r\n").await;
        let head = within(PATIENCE, wire.raw_head()).await;
        assert_eq!(head.split(' ').nth(1).unwrap_or_default(), status);
        assert!(is_free(&stack, &front).await, "{path}");
        assert_eq!(handle.shutdown(PATIENCE).await, 0, "{path}");
        for request in stack.upstream.requests() {
            assert_eq!(request.complete, request.line().contains("/good"));
        }
    }
}

/// Streams both ways, all of whose bodies are lent.
async fn streams(scene: &Scene, number: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..number {
        let mut wire = scene.front.connect().await;
        let request = scene.front.request("POST", "/proxy/svc/event");
        let request = request.token(&scene.token("box-1"));
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
    let scene = Scene::new(Policy::new()).await;
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
            let scene = Scene::new(Policy::new()).await;
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
    let scene =
        Scene::new(Policy::new().limits(Limits::new().unread_timeout(Duration::ZERO))).await;
    let mut wire = scene.front.connect().await;
    let request = scene.front.get("/proxy/svc/event", &scene.token("box-1"));
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
