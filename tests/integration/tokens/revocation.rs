//! Tokens that are taken back, or expire, while something goes on.

use std::time::Duration;

use sallygate::{Api, Limits, Policy, Revocations};
use sallygate_test_support::{
    Answer, PATIENCE, Scene, Stack, Upstream, Wire, assert_refused,
    websocket::{self, POLICY_VIOLATION, Server, exchange, handshake},
};

const MINUTES: Duration = Duration::from_secs(15 * 60);

/// A caller whose answer goes on for as long as it sends.
struct Stream {
    wire: Wire,
    answer: Answer,
}

/// A proxy before an upstream of events, whose service has this policy.
async fn served(policy: Policy) -> Scene {
    let stack = Stack::upon(events().await).await;
    stack.scene().policy(policy).start().await
}

fn token_of(scene: &Scene, sandbox: &str, session: &str, id: &str) -> String {
    let draft = scene
        .stack
        .issuer
        .issue(sandbox)
        .session_id(session)
        .token_id(id);
    scene.stack.watched(draft.sign().unwrap())
}

async fn open(scene: &Scene, token: &str) -> Stream {
    let mut wire = scene.front.connect().await;
    let request = scene
        .front
        .request("POST", "/proxy/svc/events")
        .token(token);
    let request = request.header("transfer-encoding", "chunked");
    wire.send(request.bytes()).await;
    wire.send("1\r\na\r\n").await;
    let mut stream = Stream {
        answer: wire.head().await,
        wire,
    };
    assert_eq!(stream.answer.status, 200);
    stream.answer.body.clear();
    stream.reads_on().await;
    stream
}

impl Stream {
    async fn reads_on(&mut self) {
        while self.answer.text() != "event" {
            assert!(self.wire.read_body(&mut self.answer).await);
        }
    }

    async fn goes_on(&mut self) {
        self.answer.body.clear();
        self.wire.send("1\r\na\r\n").await;
        self.reads_on().await;
    }

    async fn breaks_off(mut self) {
        self.answer.body.clear();
        while self.wire.read_body(&mut self.answer).await {}
        assert!(!self.answer.complete);
        assert_eq!(self.answer.text(), "");
    }
}

/// An upstream that answers every piece of a body with an event, and `/silence` with nothing.
async fn events() -> Upstream {
    Upstream::with(|mut conn| async move {
        while let Some(request) = conn.read_head().await {
            if conn.head(request).starts_with("GET ") {
                if conn.head(request).starts_with("GET /v1/silence ") {
                    return conn.closed().await;
                }
                conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                    .await;
                continue;
            }
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            while let Some(Some(_)) = conn.read_body().await {
                conn.write(b"5\r\nevent\r\n").await;
            }
            return;
        }
    })
    .await
}

#[tokio::test]
async fn what_is_revoked_is_refused_like_any_bad_token_and_nothing_else_is() {
    let scene = served(Policy::new()).await;
    let tokens = [
        token_of(&scene, "box-1", "run-1", "id-1"),
        token_of(&scene, "box-1", "run-2", "id-2"),
        token_of(&scene, "box-2", "run-1", "id-3"),
        token_of(&scene, "box-2", "run-1", "id-4"),
        token_of(&scene, "box-3", "run-3", "id-1 and more"),
    ];
    let codes = async || {
        let mut codes = Vec::new();
        for token in &tokens {
            let answer = scene.front.get("/proxy/svc/a", token).send().await;
            codes.push(answer.status);
        }
        codes
    };
    assert_eq!(codes().await, [200, 200, 200, 200, 200]);
    scene.revocations.revoke_session("box-1", "run-1").unwrap();
    assert_eq!(codes().await, [401, 200, 200, 200, 200]);
    scene.revocations.revoke_token("id-3").unwrap();
    assert_eq!(codes().await, [401, 200, 401, 200, 200]);
    scene.revocations.revoke_sandbox("box-2").unwrap();
    assert_eq!(codes().await, [401, 200, 401, 401, 200]);
    // One that is issued now is no better, and what is known stays known.
    let new = token_of(&scene, "box-2", "run-9", "id-9");
    let refused = scene.front.get("/proxy/svc/a", &new).send().await;
    assert_refused(&refused, 401, "PROXY_TOKEN_INVALID");
    let expired = scene
        .stack
        .watched(scene.stack.issuer.issue("box-3").sign().unwrap());
    scene.stack.clock.advance(MINUTES.as_secs());
    let expired = scene.front.get("/proxy/svc/a", &expired).send().await;
    let said = |answer: &Answer| {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (body["error"].clone(), body["code"].clone())
    };
    assert_eq!(said(&refused), said(&expired));
    assert_eq!(
        refused.values("www-authenticate"),
        expired.values("www-authenticate")
    );
}

#[tokio::test]
async fn a_stream_is_broken_off_when_its_token_is_revoked_and_others_go_on() {
    for revoke in [
        |list: &Revocations| list.revoke_sandbox("box-1"),
        |list: &Revocations| list.revoke_session("box-1", "run-1"),
        |list: &Revocations| list.revoke_token("id-1"),
    ] {
        let scene = served(Policy::new()).await;
        let concerned = open(&scene, &token_of(&scene, "box-1", "run-1", "id-1")).await;
        let mut other = open(&scene, &token_of(&scene, "box-2", "run-1", "id-2")).await;
        revoke(&scene.revocations).unwrap();
        concerned.breaks_off().await;
        other.goes_on().await;
        // Nobody listens to what the upstream would say.
        drop(other);
        scene.stack.upstream.until_deserted(PATIENCE).await;
    }
}

#[tokio::test]
async fn a_request_without_an_answer_yet_is_given_up_when_its_token_is_revoked() {
    let scene = served(Policy::new()).await;
    let token = token_of(&scene, "box-1", "run-1", "id-1");
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/silence", &token).bytes())
        .await;
    scene.stack.upstream.until(|all| all.len() == 1).await;
    scene.revocations.revoke_session("box-1", "run-1").unwrap();
    let answer = wire.answer().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    scene.stack.upstream.until_deserted(PATIENCE).await;
    let other = token_of(&scene, "box-1", "run-2", "id-1");
    wire.send(scene.front.get("/proxy/svc/a", &other).bytes())
        .await;
    assert_eq!(wire.answer().await.text(), "hello");
}

#[tokio::test]
async fn a_socket_is_closed_when_its_token_is_revoked_and_others_stay_open() {
    let mut server = Server::switching("").await;
    let stack = Stack::new().await;
    let clock = stack.clock.clone();
    let revocations = Revocations::new().clock(move || clock.now());
    let service = Api::bearer(server.target(), stack.key.clone());
    let layer = stack.layer_with("ws", service).revocations(&revocations);
    let front = stack.serve(layer.into_service()).await;
    let mut sockets = Vec::new();
    for sandbox in ["box-1", "box-2"] {
        let token = stack.watched(stack.issuer.issue(sandbox).sign().unwrap());
        let (answer, caller) = websocket::ask(front.addr, &handshake(&token, "")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        sockets.push((caller, server.next().await.1));
    }
    let (mut other_caller, mut other_upstream) = sockets.pop().unwrap();
    let (mut caller, mut upstream) = sockets.pop().unwrap();
    exchange(&mut caller, &mut upstream).await;
    revocations.revoke_sandbox("box-1").unwrap();
    assert_eq!(websocket::rest(&mut caller).await, POLICY_VIOLATION.0);
    assert_eq!(websocket::rest(&mut upstream).await, POLICY_VIOLATION.1);
    exchange(&mut other_caller, &mut other_upstream).await;
}

#[tokio::test]
async fn a_token_that_could_outlive_its_revocation_is_refused() {
    let stack = Stack::new().await;
    let clock = stack.clock.clone();
    let revocations = Revocations::new()
        .max_lifetime(MINUTES)
        .clock(move || clock.now());
    let front = stack
        .serve(stack.layer().revocations(&revocations).into_service())
        .await;
    for (lifetime, status) in [(MINUTES, 200), (4 * MINUTES, 401)] {
        let token = stack
            .issuer
            .issue("box-1")
            .expires_in(lifetime)
            .sign()
            .unwrap();
        let answer = front
            .get("/proxy/svc/a", &stack.watched(token))
            .send()
            .await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(stack.upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_ends_soon_after_its_token_has_expired() {
    let scene = served(Policy::new()).await;
    let token = token_of(&scene, "box-1", "run-1", "id-1");
    scene.stack.clock.advance(MINUTES.as_secs() - 1);
    let mut stream = open(&scene, &token).await;
    scene.stack.clock.advance(1);
    let refused = scene.front.get("/proxy/svc/a", &token).send().await;
    assert_refused(&refused, 401, "PROXY_TOKEN_INVALID");
    // What is on its way may come to its end.
    scene.stack.clock.advance(4);
    stream.goes_on().await;
    scene.stack.clock.advance(1);
    stream.breaks_off().await;
    scene.stack.upstream.until_deserted(PATIENCE).await;
}

#[tokio::test]
async fn a_policy_lets_answers_outlive_their_token_but_not_their_revocation() {
    let scene = served(Policy::new().limits(Limits::new().expiry_grace(MINUTES))).await;
    let token = token_of(&scene, "box-1", "run-1", "id-1");
    let mut stream = open(&scene, &token).await;
    scene.stack.clock.advance(2 * MINUTES.as_secs() - 1);
    stream.goes_on().await;
    scene.revocations.revoke_token("id-1").unwrap();
    stream.breaks_off().await;
}
