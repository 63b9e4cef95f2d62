use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use sallygate::{
    Api, Credential, async_trait,
    credential::{Secret, Source, SourceError},
};
use sallygate_test_support::{Answer, Front, Reply, Slot, Stack, assert_refused};
use tokio::sync::Semaphore;

use super::{
    endpoint::Mood,
    grants::{FLOWS, Flow, Grants},
};

async fn front(grants: &Grants, credential: &Credential) -> Front {
    let service = grants.layer(credential).into_service();
    grants.stack.serve(service).await
}

/// A body that comes in pieces, without a length.
async fn post(grants: &Grants, front: &Front, pieces: &[&str]) -> Answer {
    let request = front
        .request("POST", "/proxy/svc/a")
        .token(&grants.stack.token())
        .header("transfer-encoding", "chunked");
    let mut wire = front.connect().await;
    wire.send(request.bytes()).await;
    for piece in pieces {
        wire.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
    }
    wire.send("0\r\n\r\n").await;
    wire.answer().await
}

#[tokio::test]
async fn a_refused_key_is_renewed_and_the_request_repeated_once() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        let front = front(&grants, &credential).await;
        let token = grants.stack.token();
        assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);

        grants.ledger.revoke();
        let answer = front.get("/proxy/svc/a?b=c", &token).send().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{flow:?}");
        assert_eq!(grants.received(), [1, 1, 2], "{flow:?}");
        let requests = grants.stack.upstream.requests();
        assert_eq!(requests[1].line(), "GET /v1/a?b=c HTTP/1.1");
        assert_eq!(requests[2].line(), requests[1].line());

        grants.stack.clock.advance(10);
        grants.ledger.revoke();
        let answer = post(&grants, &front, &["first ", "second"]).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{flow:?}");
        assert_eq!(grants.received(), [1, 1, 2, 2, 3], "{flow:?}");
        let requests = grants.stack.upstream.requests();
        assert_eq!(requests[3].body, b"first second");
        assert_eq!(requests[4].body, b"first second");
        assert!(requests[4].complete);
        assert_eq!(grants.endpoint.calls().len(), 3, "{flow:?}");
    }
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_not_repeated_and_the_next_request_has_the_new_key() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::ClientCredentials);
    let front = front(&grants, &credential).await;
    let piece = "x".repeat(32 * 1024);
    let answer = post(&grants, &front, &[&piece, &piece]).await;
    assert_eq!(answer.status, 200);
    grants.ledger.revoke();
    let answer = post(&grants, &front, &[&piece, &piece, "y"]).await;
    assert_eq!((answer.status, answer.text()), (401, "revoked"));
    assert_eq!(answer.header("x-upstream"), Some("yes"));
    assert_eq!(grants.received(), [1, 1]);
    assert_eq!(grants.stack.upstream.last().body.len(), 64 * 1024 + 1);

    let answer = post(&grants, &front, &[&piece, &piece, "y"]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(grants.received(), [1, 1, 2]);
    grants.stack.clock.advance(10);
    grants.ledger.revoke();
    // The most that is kept.
    let answer = post(&grants, &front, &[&piece, &piece]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(grants.received(), [1, 1, 2, 2, 3]);
}

#[tokio::test]
async fn a_second_401_is_the_callers_and_keys_are_renewed_at_most_every_ten_seconds() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::GitHubApp);
    let front = front(&grants, &credential).await;
    let token = grants.stack.token();
    let get = async || front.get("/proxy/svc/a", &token).send().await;
    assert_eq!(get().await.status, 200);

    // The upstream takes none of the endpoint's tokens, old or new.
    grants.ledger.refuse_all(true);
    let answer = get().await;
    assert_eq!((answer.status, answer.text()), (401, "revoked"));
    assert_eq!(grants.received(), [1, 1, 2]);
    for _ in 0..5 {
        let answer = get().await;
        assert_eq!((answer.status, answer.text()), (401, "revoked"));
    }
    grants.stack.clock.advance(9);
    assert_eq!(get().await.status, 401);
    assert_eq!(grants.received(), [1, 1, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!(grants.endpoint.calls().len(), 2);

    grants.stack.clock.advance(1);
    grants.ledger.refuse_all(false);
    grants.ledger.revoke();
    let answer = get().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(grants.received()[9..], [2, 3]);
    assert_eq!(grants.endpoint.calls().len(), 3);
}

#[tokio::test]
async fn when_there_is_no_new_key_the_401_is_the_callers() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::GoogleAccess);
    let front = front(&grants, &credential).await;
    let token = grants.stack.token();
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    grants.ledger.revoke();
    grants.endpoint.mood(Mood::Down);
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (401, "revoked"));
    assert_eq!(grants.received(), [1, 1]);

    grants.endpoint.mood(Mood::Issue);
    grants.stack.clock.advance(10);
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(grants.received(), [1, 1, 1, 2]);
}

/// Gives another key each time. For the second one it waits to be let.
#[derive(Clone)]
struct Waits {
    keys: [String; 2],
    asked: Arc<AtomicUsize>,
    began: Arc<Semaphore>,
    let_go: Arc<Semaphore>,
}

#[async_trait]
impl Source for Waits {
    async fn fetch(&self, _: SystemTime) -> Result<Secret, SourceError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if asked > 0 {
            self.began.add_permits(1);
            self.let_go.acquire().await.unwrap().forget();
        }
        Ok(Secret::new(self.keys[asked.min(1)].clone()))
    }
}

#[tokio::test]
async fn a_request_that_is_revoked_while_its_key_is_renewed_is_not_repeated() {
    for revoked in [true, false] {
        let refused = Arc::new(std::sync::Mutex::new(String::new()));
        let stack = Stack::answering({
            let refused = refused.clone();
            move |request| match request.head.contains(&*refused.lock().unwrap()) {
                true => Reply::response("401 Unauthorized", "revoked"),
                false => Reply::ok("hello"),
            }
        })
        .await;
        let keys = [0, 1].map(|_| stack.oracle.secret("key of a source"));
        for key in &keys {
            stack.upstream.accept(Slot::Bearer.show(key));
        }
        refused.lock().unwrap().clone_from(&keys[0]);
        let source = Waits {
            keys,
            asked: Arc::default(),
            began: Arc::new(Semaphore::new(0)),
            let_go: Arc::new(Semaphore::new(0)),
        };
        let key = Credential::from_source(source.clone());
        let target = stack.target();
        let scene = stack
            .scene()
            .api(|_| Api::bearer(target, key))
            .start()
            .await;
        let token = scene.token_of("box-1");
        let mut wire = scene.front.connect().await;
        wire.send(scene.front.get("/proxy/svc/a", &token).bytes())
            .await;
        source.began.acquire().await.unwrap().forget();
        if revoked {
            scene.revocations.revoke_sandbox("box-1").unwrap();
            assert_refused(&wire.answer().await, 401, "PROXY_TOKEN_INVALID");
            source.let_go.add_permits(1);
            scene.is_good().await;
            let lines = scene.stack.upstream.requests().len();
            assert_eq!(
                lines, 2,
                "one before the revocation, one of another sandbox"
            );
        } else {
            source.let_go.add_permits(1);
            assert_eq!(wire.answer().await.text(), "hello");
            assert_eq!(scene.stack.upstream.requests().len(), 2);
        }
    }
}
