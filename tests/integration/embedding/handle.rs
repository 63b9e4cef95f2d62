use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::Request;
use sallygate::{Api, Body, ConfigError};
use sallygate_test_support::{Answer, Reply, Slot, Stack};

#[tokio::test]
async fn services_come_change_and_go_while_it_runs() {
    let stack = Stack::new().await;
    let layer = stack.empty_layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let status = async || front.get("/proxy/svc/a", &token).send().await.status;

    assert_eq!(status().await, 404);
    assert_eq!(front.get("/proxy/svc/a", "x").send().await.status, 401);
    handle.set_service("svc", stack.svc()).unwrap();
    assert_eq!(status().await, 200);
    let closed = stack
        .svc()
        .policy(|policy| policy.paths(["/b".parse().unwrap()]));
    handle.set_service("svc", closed).unwrap();
    assert_eq!(status().await, 403);
    assert_eq!(front.get("/proxy/svc/b", &token).send().await.status, 200);
    assert!(handle.remove_service("svc"));
    assert!(!handle.remove_service("svc"));
    assert_eq!(status().await, 404);
    assert!(matches!(
        handle.set_service("../svc", stack.svc()),
        Err(ConfigError::ServiceName(_))
    ));
    assert_eq!(stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_removed_service_finishes_what_it_began() {
    let stack = Stack::upon(
        sallygate_test_support::Upstream::with(|mut conn| async move {
            conn.read_head().await;
            while conn.read_body().await.flatten().is_some() {}
            conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
                .await;
        })
        .await,
    )
    .await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let request = front
        .request("POST", "/proxy/svc/a")
        .token(&token)
        .body("abcdef")
        .bytes();
    let mut wire = front.connect().await;
    wire.send(&request[..request.len() - 3]).await;
    stack
        .upstream
        .until(|requests| requests.iter().any(|request| request.body == b"abc"))
        .await;
    assert!(handle.remove_service("svc"));
    wire.send("def").await;
    assert_eq!(wire.answer().await.text(), "done");
    assert!(stack.upstream.last().authorized);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_is_the_only_one_from_the_moment_rotation_returns() {
    const CALLERS: usize = 16;
    const CALLS: usize = 40;

    let (old, new) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let second: Arc<std::sync::OnceLock<String>> = Arc::default();
    let known = second.clone();
    let stack = Stack::answering(move |request| {
        let is_new = known
            .get()
            .is_some_and(|slot| request.head.contains(slot.as_str()));
        Reply::ok(if is_new { "new" } else { "old" })
    })
    .await;
    let next = stack.oracle.secret("next credential");
    let slot = Slot::Bearer.show(&next);
    stack.upstream.accept(slot.clone());
    second.set(slot).unwrap();
    let service = stack.layer().into_service();
    let token = stack.token();
    let rotated = Arc::new(AtomicBool::new(false));
    let started = Arc::new(tokio::sync::Semaphore::new(0));

    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (service, oracle, token) = (service.clone(), stack.oracle.clone(), token.clone());
            let (rotated, started) = (rotated.clone(), started.clone());
            let (old, new) = (old.clone(), new.clone());
            tokio::spawn(async move {
                for _ in 0..CALLS {
                    let certain = rotated.load(Ordering::SeqCst);
                    let request = Request::get("/proxy/svc/a")
                        .header("host", "gate.test")
                        .header("authorization", format!("Bearer {token}"))
                        .body(Body::empty())
                        .unwrap();
                    let response = tower::ServiceExt::oneshot(service.clone(), request)
                        .await
                        .unwrap();
                    let answer = Answer::of(&oracle, response).await;
                    assert_eq!(answer.status, 200);
                    match answer.text() {
                        "old" => {
                            assert!(!certain, "the old key after rotation");
                            old.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => {
                            new.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    started.add_permits(1);
                }
            })
        })
        .collect();
    // In the middle of it.
    drop(
        started
            .acquire_many((CALLERS * CALLS / 4) as u32)
            .await
            .unwrap(),
    );
    stack.key.rotate(&next).unwrap();
    rotated.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let (old, new) = (old.load(Ordering::SeqCst), new.load(Ordering::SeqCst));
    assert_eq!(old + new, CALLERS * CALLS);
    assert!(
        old >= CALLERS * CALLS / 4 && new > 0,
        "{old} old, {new} new"
    );
    assert!(
        stack
            .upstream
            .requests()
            .iter()
            .all(|request| request.authorized)
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_used_leaves_the_old_one() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let broken = format!("{}\n", stack.oracle.secret("broken credential"));
    let error = stack.key.rotate(broken).unwrap_err();
    assert!(matches!(error, ConfigError::Credential(_)));
    stack.oracle.saw_debug(&error);
    stack.oracle.saw_display(&error);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    assert!(stack.upstream.last().authorized);
}

#[tokio::test]
async fn a_new_service_of_another_place_guards_that_place_at_once() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let ask = async || {
        let request = front
            .get("/proxy/svc/a", &token)
            .header("x-new-key", "mine");
        assert_eq!(request.send().await.status, 200);
        stack.upstream.last().has("x-new-key")
    };
    assert!(ask().await);
    let header = http::HeaderName::from_static("x-new-key");
    handle
        .set_service(
            "new",
            Api::header(stack.target(), header, stack.key.clone()),
        )
        .unwrap();
    assert!(!ask().await);
    assert!(handle.remove_service("new"));
    assert!(ask().await);
}
