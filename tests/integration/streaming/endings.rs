//! Requests that go on although they have ended: expired, given up or shut down.

use std::{
    convert::Infallible,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use sallygate::{
    Api, Body, Claims, Client, Limits, Policy, Target, Verifier, async_trait, token::TokenError,
};
use sallygate_test_support::{
    Authority, PATIENCE, SOON, Scene, Server, Wire, assert_refused, within,
};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::scene::{post, served, setup, upload};

#[tokio::test]
async fn an_upload_that_outlives_its_answer_ends_with_its_token() {
    let scene = served(Policy::new()).await;
    let token = scene.token_of("box-1");
    let (mut wire, mut answer) = post(&scene, "/proxy/svc/done", &token).await;
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), ("done", true));
    wire.send("6\r\nbefore\r\n").await;
    scene.stack.upstream.until_sent(b"before").await;
    scene.revocations.revoke_sandbox("box-1").unwrap();
    tokio::select! {
        () = scene.stack.upstream.until_deserted(SOON) => {}
        () = upload(&mut wire) => scene.stack.upstream.until_deserted(SOON).await,
    }
    scene.is_good().await;
}

#[tokio::test]
async fn nothing_comes_of_a_body_that_was_broken_off() {
    let scene = served(Policy::new()).await;
    let token = scene.token_of("box-1");
    let service = scene
        .stack
        .layer()
        .revocations(&scene.revocations)
        .into_service();
    let request = http::Request::builder()
        .uri("/proxy/svc/flood")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let mut answer = service.oneshot(request).await.unwrap().into_body();
    let first = within(PATIENCE, answer.frame()).await.unwrap().unwrap();
    assert!(first.data_ref().is_some_and(|data| !data.is_empty()));
    scene.revocations.revoke_sandbox("box-1").unwrap();
    let broken_off = within(PATIENCE, answer.frame()).await.unwrap();
    assert_eq!(broken_off.unwrap_err().to_string(), "broken off");
    let next = tokio::time::timeout(Duration::from_secs(1), answer.frame()).await;
    let is_data = matches!(&next, Ok(Some(Ok(_))));
    assert!(!is_data);
}

#[tokio::test]
async fn a_request_without_an_answer_ends_with_the_proxy() {
    let scene = served(Policy::new()).await;
    let token = scene.token_of("box-1");
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/silence", &token).bytes())
        .await;
    scene.stack.upstream.until(|all| all.len() == 1).await;
    assert_eq!(scene.handle.shutdown(Duration::ZERO).await, 1);
    let answer = within(SOON, wire.answer()).await;
    assert_refused(&answer, 503, "PROXY_STATE_UNAVAILABLE");
}

/// Claims without an end.
struct Endless;

#[async_trait]
impl Verifier for Endless {
    async fn verify(&self, _: &str, _: SystemTime) -> Result<Arc<Claims>, TokenError> {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs());
        Ok(Arc::new(Claims::new("box-1", end)?))
    }
}

#[tokio::test]
async fn the_longest_durations_there_are_mean_no_end_and_the_shortest_an_early_one() {
    const MAX: Duration = Duration::MAX;
    let longest = Policy::new().limits(
        Limits::new()
            .connect_timeout(MAX)
            .response_timeout(MAX)
            .idle_timeout(MAX)
            .expiry_grace(MAX),
    );
    let scene = setup()
        .await
        .policy(longest)
        .layer(move |_, layer| {
            layer.handle().set_verifier(Endless);
            let limits = Limits::new().idle_timeout(MAX);
            layer.limits(limits)
        })
        .start()
        .await;
    let forever = scene.revocations.clone().max_lifetime(MAX);
    let layer = scene
        .stack
        .layer()
        .revocations(&scene.revocations)
        .revocations(&forever);
    layer.handle().set_verifier(Endless);
    let front = scene.stack.serve(layer.into_service()).await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/event", "x").bytes()).await;
    let mut answer = wire.head().await;
    assert!(wire.read_body(&mut answer).await);
    forever.revoke_sandbox("box-1").unwrap();
    assert!(!wire.read_body(&mut answer).await && !answer.complete);

    let shortest = Policy::new().limits(
        Limits::new()
            .idle_timeout(Duration::ZERO)
            .expiry_grace(Duration::ZERO)
            .concurrent(NonZeroUsize::MIN),
    );
    let scene = served(shortest).await;
    let token = scene.token_of("box-1");
    let mut wire = scene.front.connect().await;
    let request = scene.front.get("/proxy/svc/event", &token);
    wire.send(request.bytes()).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.complete), (200, false));
    scene.stack.upstream.until_deserted(SOON).await;
    scene.is_good().await;
}

/// A service `h2` before an upstream of HTTP/2, which tells how each upload comes to its end. It answers then, but to
/// `/error`: that has an answer at once, of which nothing comes.
async fn before_http2() -> (Scene, Server, mpsc::UnboundedReceiver<&'static str>) {
    let authority = Authority::new();
    let (tell, told) = mpsc::unbounded_channel();
    let tls = Some(authority.server("127.0.0.1", &["h2"]));
    let upstream = Server::answering(tls, move |request| {
        let tell = tell.clone();
        async move {
            let at_once = request.uri().path() == "/error";
            let mut body = request.into_body();
            let read = async move {
                while let Some(frame) = body.frame().await {
                    let Ok(frame) = frame else {
                        let _ = tell.send("broken off");
                        return;
                    };
                    if frame.data_ref().is_some_and(|data| !data.is_empty()) {
                        let _ = tell.send("more");
                    }
                }
                let _ = tell.send("complete");
            };
            if at_once {
                tokio::spawn(read);
                let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
                http::Response::builder().status(400).body(body).unwrap()
            } else {
                read.await;
                http::Response::new(Body::from("all of it"))
            }
        }
    })
    .await;
    let target = Target::new(&format!("https://{}", upstream.addr)).unwrap();
    let scene = setup()
        .await
        .layer(move |stack, layer| {
            let policy = Policy::new().redact_errors();
            let service = Api::bearer(target, stack.key.clone()).replace_policy(policy);
            let client = Client::new().add_root_certificates(&authority.pem).unwrap();
            layer.service("h2", service).unwrap().client(client)
        })
        .start()
        .await;
    (scene, upstream, told)
}

async fn begin_upload(scene: &Scene, path: &str) -> Wire {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("POST", &format!("/proxy/h2/{path}"));
    let request = request.token(&scene.token_of("box-1"));
    let request = request.header("transfer-encoding", "chunked");
    wire.send(request.bytes()).await;
    wire.send("1\r\na\r\n").await;
    wire
}

#[tokio::test]
async fn an_upstream_of_http2_sees_that_an_upload_was_not_completed() {
    let (scene, _upstream, mut told) = before_http2().await;
    let mut good = begin_upload(&scene, "a").await;
    assert_eq!(within(PATIENCE, told.recv()).await, Some("more"));
    good.send("0\r\n\r\n").await;
    assert_eq!(good.answer().await.text(), "all of it");
    assert_eq!(told.recv().await, Some("complete"));

    let mut wire = begin_upload(&scene, "a").await;
    assert_eq!(within(PATIENCE, told.recv()).await, Some("more"));
    scene.revocations.revoke_sandbox("box-1").unwrap();
    assert_eq!(wire.answer().await.status, 401);
    wire.send("5\r\nafter\r\n0\r\n\r\n").await;
    assert_eq!(within(SOON, told.recv()).await, Some("broken off"));
}

/// The upstream has begun to answer, with an error that is read before it is passed on.
#[tokio::test]
async fn an_upload_to_an_upstream_that_answers_early_is_not_completed_either() {
    let (scene, _upstream, mut told) = before_http2().await;
    let mut wire = begin_upload(&scene, "error").await;
    assert_eq!(within(PATIENCE, told.recv()).await, Some("more"));
    // The head of the answer is here, too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    scene.revocations.revoke_sandbox("box-1").unwrap();
    assert_eq!(wire.answer().await.status, 401);
    tokio::time::sleep(Duration::from_millis(200)).await;
    wire.send("5\r\nafter\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    wire.send("0\r\n\r\n").await;
    assert_eq!(within(SOON, told.recv()).await, Some("broken off"));
}
