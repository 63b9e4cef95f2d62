//! Requests that go on although they have ended: revoked, expired, given up or shut down.

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
use sallygate_test_support::{Answer, Authority, PATIENCE, Recorded, Server, Wire, within};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::leases::Scene;

/// Long enough for everything that should happen at once.
const SOON: Duration = Duration::from_secs(4);

/// Pieces of a body, until nobody wants them.
async fn upload(wire: &mut Wire) {
    while wire.send_all("1\r\na\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn post(scene: &Scene, path: &str, token: &str) -> (Wire, Answer) {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("POST", path).token(token);
    let request = request.header("transfer-encoding", "chunked");
    wire.send(request.bytes()).await;
    wire.send("1\r\na\r\n").await;
    let answer = wire.head().await;
    (wire, answer)
}

#[tokio::test]
async fn an_upload_that_outlives_its_answer_ends_with_its_token() {
    let scene = Scene::new(Policy::new()).await;
    let token = scene.token("box-1");
    let (mut wire, mut answer) = post(&scene, "/proxy/svc/done", &token).await;
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), ("done", true));
    wire.send("6\r\nbefore\r\n").await;
    scene.until_sent(b"before").await;
    scene.revocations.revoke_sandbox("box-1").unwrap();
    tokio::select! {
        () = scene.stack.upstream.until_deserted(SOON) => {}
        () = upload(&mut wire) => scene.stack.upstream.until_deserted(SOON).await,
    }
    scene.is_good().await;
}

#[tokio::test]
async fn a_clock_that_is_put_back_does_not_undo_a_revocation() {
    for back in [0, 120] {
        let scene = Scene::new(Policy::new()).await;
        let token = scene.token("box-1");
        let (mut wire, mut answer) = post(&scene, "/proxy/svc/event", &token).await;
        assert!(wire.read_body(&mut answer).await);
        scene.stack.clock.advance(0_u64.wrapping_sub(back));
        scene.revocations.revoke_sandbox("box-1").unwrap();
        assert!(!within(SOON, async { wire.read_body(&mut answer).await }).await);
        assert!(!answer.complete);
        scene.is_good().await;
    }
}

#[tokio::test]
async fn nothing_comes_of_a_body_that_was_broken_off() {
    let scene = Scene::new(Policy::new()).await;
    let token = scene.token("box-1");
    let service = scene.layer().into_service();
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
    let scene = Scene::new(Policy::new()).await;
    let token = scene.token("box-1");
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/silence", &token).bytes())
        .await;
    scene.stack.upstream.until(|all| all.len() == 1).await;
    assert_eq!(scene.handle.shutdown(Duration::ZERO).await, 1);
    let answer = within(SOON, wire.answer()).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "PROXY_STATE_UNAVAILABLE")
    );
}

/// Head and body, but for the id and what goes with its length.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let fields = answer.fields.iter().filter(|(name, _)| name != "date");
    (answer.status, fields.cloned().collect(), answer.constant())
}

#[tokio::test]
async fn a_revoked_token_is_answered_like_any_other_bad_one() {
    let scene = Scene::new(Policy::new()).await;
    let token = scene.token("box-1");
    // Verified once, and known from then on.
    let good = scene.front.get("/proxy/svc/a", &token).send().await;
    assert_eq!(good.status, 200);
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/silence", &token).bytes())
        .await;
    scene.stack.upstream.until(|all| all.len() == 2).await;
    scene.revocations.revoke_sandbox("box-1").unwrap();
    let under_way = told(&wire.answer().await);
    let bad = scene.front.get("/proxy/svc/a", "x.y.z").send().await;
    assert_eq!(
        (bad.status, bad.code().as_str()),
        (401, "PROXY_TOKEN_INVALID")
    );
    assert_eq!(under_way, told(&bad));
    for service in ["svc", "other", "nothing"] {
        let path = format!("/proxy/{service}/a");
        let answer = scene.front.get(&path, &token).send().await;
        assert_eq!(told(&answer), told(&bad), "{service}");
    }
    assert_eq!(scene.stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn the_id_of_a_token_is_a_string_or_the_token_is_none() {
    let scene = Scene::new(Policy::new()).await;
    let now = scene.stack.clock.seconds();
    let long = "i".repeat(257);
    for (jti, status) in [
        (String::new(), 200),
        (r#","jti":"é/\"\u0061 ""#.into(), 200),
        (format!(r#","jti":"{}""#, &long[1..]), 200),
        (format!(r#","jti":"{long}""#), 401),
        (r#","jti":"""#.into(), 401),
        (r#","jti":"a\u0000""#.into(), 401),
        (r#","jti":7"#.into(), 401),
        (r#","jti":["a"]"#.into(), 401),
        (r#","jti":"a","jti":"b""#.into(), 401),
    ] {
        let exp = now + 60;
        let claims = format!(r#"{{"sandboxId":"box-1","iat":{now},"exp":{exp}{jti}}}"#);
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        let token = scene.stack.watched(scene.stack.sign(header, claims));
        let answer = scene.front.get("/proxy/svc/a", &token).send().await;
        assert_eq!(answer.status, status, "{jti}");
        if jti.contains("u0061") {
            scene.revocations.revoke_token("é/\"a ").unwrap();
            let answer = scene.front.get("/proxy/svc/a", &token).send().await;
            assert_eq!(answer.status, 401, "{jti}");
        }
    }
    for id in ["", "a\u{0}", "\u{85}", &long] {
        assert!(scene.revocations.revoke_token(id).is_err());
        assert!(scene.revocations.revoke_sandbox(id).is_err());
        assert!(scene.revocations.revoke_session("box-1", id).is_err());
    }
}

#[tokio::test]
async fn a_place_is_freed_once_however_its_request_ends() {
    let one = NonZeroUsize::MIN;
    let scene = Scene::new(Policy::new().limits(Limits::new().concurrent(one))).await;
    for end in [
        "revoked, no answer",
        "revoked",
        "expired",
        "left, no answer",
        "left",
    ] {
        let path = if end.ends_with("no answer") {
            "silence"
        } else {
            "event"
        };
        let token = scene.token(end);
        let mut wire = scene.front.connect().await;
        let before = scene.stack.upstream.requests().len();
        if end == "expired" {
            scene.stack.clock.advance(15 * 60 - 1);
        }
        wire.send(
            scene
                .front
                .get(&format!("/proxy/svc/{path}"), &token)
                .bytes(),
        )
        .await;
        scene.stack.upstream.until(|all| all.len() > before).await;
        let busy = scene
            .front
            .get("/proxy/svc/a", &scene.token("box-2"))
            .send()
            .await;
        assert_eq!(
            (busy.status, busy.code().as_str()),
            (503, "PROXY_STATE_UNAVAILABLE"),
            "{end}"
        );
        match end.split(',').next().unwrap() {
            "revoked" => scene.revocations.revoke_sandbox(end).unwrap(),
            "expired" => scene.stack.clock.advance(1 + 5),
            _ => drop(wire),
        }
        scene
            .stack
            .upstream
            .until_deserted(Duration::from_secs(10))
            .await;
    }
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .get("/proxy/svc/event", &scene.token("box-1"))
        .bytes();
    wire.send(request).await;
    assert_eq!(wire.head().await.status, 200);
    let busy = scene
        .front
        .get("/proxy/svc/a", &scene.token("box-2"))
        .send()
        .await;
    assert_eq!(busy.status, 503);
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
    let scene = Scene::with(longest, |_, layer| {
        layer.handle().set_verifier(Endless);
        let limits = Limits::new().idle_timeout(MAX);
        layer.limits(limits)
    })
    .await;
    let forever = scene.revocations.clone().max_lifetime(MAX);
    let layer = scene.layer().revocations(&forever);
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
    let scene = Scene::new(shortest).await;
    let token = scene.token("box-1");
    let mut wire = scene.front.connect().await;
    let request = scene.front.get("/proxy/svc/event", &token);
    wire.send(request.bytes()).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.complete), (200, false));
    scene.stack.upstream.until_deserted(SOON).await;
    scene.is_good().await;
}

#[tokio::test]
async fn thousands_of_revocations_end_what_they_name_and_nothing_else() {
    const STREAMS: usize = 200;
    let scene = Scene::new(Policy::new()).await;
    let mut wires = Vec::new();
    for number in 0..STREAMS {
        let token = scene.token(&format!("box-{number}"));
        wires.push(post(&scene, "/proxy/svc/event", &token).await);
    }
    for number in 0..2000 {
        scene
            .revocations
            .revoke_token(&format!("id-{number}"))
            .unwrap();
        scene
            .revocations
            .revoke_session(&format!("box-{}", number % STREAMS), "run")
            .unwrap();
    }
    for (wire, _) in &mut wires {
        wire.send("1\r\nb\r\n").await;
    }
    let alive = |all: &[Recorded]| all.iter().filter(|one| one.body == b"ab").count();
    scene
        .stack
        .upstream
        .until(|all| alive(all) == STREAMS)
        .await;
    for number in 0..STREAMS {
        scene
            .revocations
            .revoke_sandbox(&format!("box-{number}"))
            .unwrap();
    }
    scene.stack.upstream.until_deserted(SOON).await;
    for (wire, answer) in &mut wires {
        while wire.read_body(answer).await {}
        assert!(!answer.complete);
    }
    scene.is_good().await;
}

/// Requests and revocations at once: whatever stage a request is in, nothing goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_any_moment_ends_the_request() {
    let scene = Arc::new(Scene::new(Policy::new()).await);
    let mut running = Vec::new();
    for number in 0..200_u64 {
        let sandbox = format!("box-{number}");
        let token = scene.token(&sandbox);
        let revocations = scene.revocations.clone();
        let scene = scene.clone();
        running.push(tokio::spawn(async move {
            let mut wire = scene.front.connect().await;
            let request = scene
                .front
                .request("POST", "/proxy/svc/event")
                .token(&token);
            let request = request.header("transfer-encoding", "chunked");
            wire.send(request.bytes()).await;
            tokio::time::sleep(Duration::from_micros(number * 37 % 3000)).await;
            revocations.revoke_sandbox(&sandbox).unwrap();
            wire.send("1\r\na\r\n").await;
            let head = wire.raw_head().await;
            (head, wire.rest().await)
        }));
    }
    let mut refused = 0;
    for one in running {
        let (head, body) = within(PATIENCE, one).await.unwrap();
        if head.starts_with("HTTP/1.1 401 ") {
            refused += 1;
        } else {
            // An answer may be broken off before its head is out.
            assert!(
                head.starts_with("HTTP/1.1 200 ") || head.is_empty(),
                "{head}"
            );
            assert!(!body.ends_with(b"0\r\n\r\n"));
        }
    }
    assert!(refused > 0);
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
    let scene = Scene::with(Policy::new(), |stack, layer| {
        let policy = Policy::new().redact_errors();
        let service = Api::bearer(target, stack.key.clone()).replace_policy(policy);
        let client = Client::new().add_root_certificates(&authority.pem).unwrap();
        layer.service("h2", service).unwrap().client(client)
    })
    .await;
    (scene, upstream, told)
}

async fn begin_upload(scene: &Scene, path: &str) -> Wire {
    let mut wire = scene.front.connect().await;
    let request = scene.front.request("POST", &format!("/proxy/h2/{path}"));
    let request = request.token(&scene.token("box-1"));
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

/// Otherwise one of them could revoke for a shorter time than tokens live.
#[tokio::test]
async fn clones_of_revocations_have_their_settings_in_common() {
    let scene = Scene::new(Policy::new()).await;
    let token = scene.token("box-1");
    let status = async || scene.front.get("/proxy/svc/a", &token).send().await.status;
    assert_eq!(status().await, 200);
    let clone = scene.revocations.clone();
    let clone = clone.max_lifetime(Duration::from_secs(60));
    // It would outlive what a revocation is good for.
    assert_eq!(status().await, 401);
    let clone = clone.max_lifetime(Duration::from_secs(15 * 60));
    assert_eq!(status().await, 200);
    clone.revoke_sandbox("box-1").unwrap();
    scene.stack.clock.advance(121);
    assert_eq!(status().await, 401);
    scene.is_good().await;
}
