//! A place among the requests under way is given back once, however its request ends.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt;
use sallygate::{
    Api, Body, Credential, Limits, Outcome, Policy, ProxyLayer, Target, TransformError,
};
use sallygate_test_support::{PATIENCE, Reply, SOON, Stack, Upstream, assert_case_refused, within};
use tokio::time::Instant;
use tower::ServiceExt;

use super::scene::served;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SHORT: Duration = Duration::from_millis(300);

/// Whether this request is answered with 200 before long.
pub(crate) async fn is_free(stack: &Stack, front: &sallygate_test_support::Front) -> bool {
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

#[tokio::test]
async fn a_place_is_freed_once_however_its_request_ends() {
    let one = NonZeroUsize::MIN;
    let scene = served(Policy::new().limits(Limits::new().concurrent(one))).await;
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
        let token = scene.token_of(end);
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
            .get("/proxy/svc/a", &scene.token_of("box-2"))
            .send()
            .await;
        assert_case_refused(&busy, 503, "PROXY_STATE_UNAVAILABLE", end);
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
        .get("/proxy/svc/event", &scene.token_of("box-1"))
        .bytes();
    wire.send(request).await;
    assert_eq!(wire.head().await.status, 200);
    let busy = scene
        .front
        .get("/proxy/svc/a", &scene.token_of("box-2"))
        .send()
        .await;
    assert_eq!(busy.status, 503);
}

#[tokio::test]
async fn a_place_is_given_back_however_a_request_ends() {
    let hang = Arc::new(AtomicBool::new(false));
    let stack = Stack::answering({
        let hang = hang.clone();
        move |_| match hang.load(Ordering::SeqCst) {
            true => Reply::Silence,
            false => Reply::ok("hello"),
        }
    })
    .await;
    let one = NonZeroUsize::MIN;
    let policy = Policy::new()
        .refuse_paths(["/refused".parse().unwrap()])
        .limits(
            Limits::new()
                .concurrent(NonZeroUsize::new(2).unwrap())
                .body_bytes(10),
        );
    let key = stack.key.clone();
    let svc = Api::from_fn(stack.target(), move |mut request, ctx| {
        match ctx.path() {
            "/panic" => panic!("in the embedder's code"),
            "/error" => return Err(TransformError::forbidden()),
            "/answer" => return Ok(Outcome::Respond(http::Response::new(Body::from("own")))),
            "/away" => *request.uri_mut() = "http://elsewhere.test/".parse()?,
            _ => {}
        }
        Ok(request.into())
    })
    .inject(sallygate::Injection::bearer(key));
    let layer = stack
        .layer_with("svc", svc.replace_policy(policy))
        .limits(Limits::new().concurrent_per_sandbox(one));
    let front = stack.serve(layer.into_service()).await;
    let issue = |sandbox: &str| stack.watched(stack.issuer.issue(sandbox).sign().unwrap());
    let (token, another) = (issue("box-1"), issue("box-2"));
    for _ in 0..3 {
        for (path, status) in [
            ("/panic", 500),
            ("/error", 403),
            ("/answer", 200),
            ("/away", 502),
            ("/refused", 403),
            ("/a/../b", 400),
            ("/a", 200),
        ] {
            let at = format!("/proxy/svc{path}");
            assert_eq!(front.get(&at, &token).send().await.status, status, "{path}");
        }
        let long = front.request("POST", "/proxy/svc/a").token(&token);
        assert_eq!(long.body("x".repeat(11)).send().await.status, 413);
        let upgrade = front
            .get("/proxy/svc/a", &token)
            .header("upgrade", "websocket");
        assert_eq!(upgrade.send().await.status, 400);
    }

    hang.store(true, Ordering::SeqCst);
    let before = stack.upstream.requests().len();
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
    stack
        .upstream
        .until(|requests| requests.len() == before + 1)
        .await;
    hang.store(false, Ordering::SeqCst);
    // Under another token the sandbox is the same one; another sandbox is not kept waiting.
    let busy = front.get("/proxy/svc/a", &issue("box-1")).send().await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("1")));
    assert_eq!(front.get("/proxy/svc/a", &another).send().await.status, 200);
    drop(wire);
    let again = async {
        while front.get("/proxy/svc/a", &token).send().await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, again).await;
}

#[tokio::test]
async fn a_change_at_run_time_frees_no_place_and_a_service_widens_no_limit_of_the_proxy() {
    let scene = served(Policy::new().limits(Limits::new().concurrent(ONE))).await;
    let mut wire = scene.front.connect().await;
    let begins = scene.front.get("/proxy/svc/event", &scene.token);
    wire.send(begins.bytes()).await;
    assert_eq!(wire.head().await.status, 200);
    let limits = Limits::new().concurrent(ONE).body_bytes(100);
    let change = scene.handle.update(|change| {
        change.set_limits(Limits::new().body_bytes(3));
        change.set_service("svc", scene.stack.svc().limits(limits))
    });
    change.unwrap();
    let next = scene.front.get("/proxy/svc/a", &scene.stack.token());
    assert_eq!(next.send().await.status, 503);
    drop(wire);
    assert!(is_free(&scene.stack, &scene.front).await);
    for (body, status) in [("four", 413), ("one", 200)] {
        let request = scene.front.request("POST", "/proxy/svc/a");
        let answer = request.token(&scene.stack.token()).body(body).send().await;
        assert_eq!(answer.status, status, "{body}");
    }
}

/// An outbound service may be a proxy itself. Each of the two keeps its own permits, and ends what it may end.
#[tokio::test]
async fn a_proxy_behind_a_proxy_keeps_its_places_and_hears_of_its_revocations() {
    let inner = Arc::new(std::sync::Mutex::new(None));
    let kept = inner.clone();
    let policy = Policy::new().limits(Limits::new().concurrent(ONE));
    let scene = super::scene::setup()
        .await
        .policy(policy)
        .layer(move |_, layer| {
            *kept.lock().unwrap() = Some(layer.clone());
            layer
        })
        .start()
        .await;
    let inner = inner.lock().unwrap().take().unwrap().into_service();
    let target = Target::dangerous_plaintext("http://inner.test/proxy/svc").unwrap();
    let key = scene.stack.issuer.issue("box-inner").sign().unwrap();
    let api = Api::bearer(target, Credential::new(key).unwrap());
    let outer = ProxyLayer::new("/outer", scene.stack.verifier()).unwrap();
    let outer = outer.service("inner", api).unwrap().client(inner);
    let front = scene.stack.serve(outer.into_service()).await;

    let mut wire = front.connect().await;
    wire.send(front.get("/outer/inner/event", &scene.token).bytes())
        .await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    assert!(wire.read_body(&mut answer).await);
    let next = scene.front.get("/proxy/svc/a", &scene.token);
    assert_eq!(next.send().await.status, 503, "its place is taken");
    scene.revocations.revoke_sandbox("box-inner").unwrap();
    scene.stack.upstream.until_deserted(SOON).await;
    assert!(is_free(&scene.stack, &scene.front).await);
}
