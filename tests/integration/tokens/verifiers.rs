use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use sallygate::{
    Issuer, JwtVerifier, async_trait,
    door::{Reason, Rejection},
    token::{Claims, TokenError, Verifier},
};
use sallygate_test_support::{Stack, assert_refused};

/// A host's own tokens, in its own table, which takes a moment to ask.
struct Sessions {
    known: HashMap<String, Arc<Claims>>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Verifier for Sessions {
    async fn verify(&self, token: &str, _: SystemTime) -> Result<Arc<Claims>, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        match token {
            "the-store-is-down" => Err(TokenError::unavailable("the store is down")),
            _ => self.known.get(token).cloned().ok_or(TokenError::Unknown),
        }
    }
}

#[tokio::test]
async fn a_hosts_own_opaque_tokens_open_the_door() {
    let stack = Stack::new().await;
    let (token, short) = (stack.oracle.secret("token"), stack.oracle.secret("token"));
    let good_for = |seconds| stack.clock.now() + Duration::from_secs(seconds);
    let claims = |seconds| Arc::new(Claims::new("box", good_for(seconds)).unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let known = HashMap::from([(token.clone(), claims(900)), (short.clone(), claims(10))]);
    let layer = stack.layer();
    layer.handle().set_verifier(Sessions {
        known,
        asked: asked.clone(),
    });
    let front = stack.serve(layer.into_service()).await;

    for _ in 0..2 {
        assert_eq!(
            front.get("/proxy/svc/a", &token).send().await.text(),
            "hello"
        );
    }
    let answer = front.get("/proxy/svc/a", "nobody-knows-me").send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    let answer = front.get("/proxy/svc/a", "the-store-is-down").send().await;
    assert_refused(&answer, 503, "PROXY_STATE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(asked.load(Ordering::SeqCst), 4);

    // A verifier may be lax about time; the proxy is not.
    assert_eq!(front.get("/proxy/svc/a", &short).send().await.status, 200);
    stack.clock.advance(10);
    let answer = front.get("/proxy/svc/a", &short).send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    assert_eq!(stack.upstream.requests().len(), 4);
}

/// Takes what the caller sends for the sandbox's id, where the store responds.
struct Trusting(String);

#[async_trait]
impl Verifier for Trusting {
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError> {
        if token == "down" {
            let cause = format!("{} did not respond", self.0);
            return Err(TokenError::unavailable(cause));
        }
        let sandbox = token.replace("none", "");
        Ok(Claims::new(sandbox, now + Duration::from_secs(60))?.into())
    }
}

#[tokio::test]
async fn why_a_verifier_is_unavailable_is_for_the_operator_alone() {
    let stack = Stack::new().await;
    let secret = stack.oracle.secret("address of the store");
    let layer = stack.layer();
    layer.handle().set_verifier(Trusting(secret.clone()));
    let proxy = layer.into_service();
    let ask = async |token: &str| {
        let request = http::Request::get("/proxy/svc/a")
            .header("host", "gate.test")
            .header("authorization", format!("Bearer {token}"));
        let request = request.body(sallygate::Body::empty()).unwrap();
        stack.call(proxy.clone(), request).await
    };
    let answer = ask("down").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "PROXY_STATE_UNAVAILABLE")
    );
    let rejection = answer.extensions.get::<Rejection>().unwrap();
    let Reason::Token(error) = rejection.reason() else {
        panic!("{rejection:?}")
    };
    stack.oracle.saw_debug(error);
    stack.oracle.saw_display(error);
    stack.oracle.saw_debug(rejection);
    let cause = error.cause().unwrap().to_string();
    assert_eq!(cause, format!("{secret} did not respond"));
    assert_eq!(*error, TokenError::unavailable("anything"));

    // Claims that cannot be made are no claims, and those that can are.
    let answer = ask("none").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "PROXY_TOKEN_INVALID")
    );
    assert!(stack.upstream.requests().is_empty());
    assert_eq!(ask("box-1").await.status, 200);
}

#[tokio::test]
async fn a_remembered_token_expires_to_the_second() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let draft = stack
        .issuer
        .issue("box")
        .expires_in(Duration::from_secs(60));
    let token = stack.watched(draft.sign().unwrap());
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    stack.clock.advance(59);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    stack.clock.advance(1);
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(stack.upstream.requests().len(), 2);
    assert_eq!(
        front
            .get("/proxy/svc/a", &stack.token())
            .send()
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn without_a_cache_the_outcome_is_the_same() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    layer
        .handle()
        .set_verifier(stack.verifier().cached_tokens(0));
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    for _ in 0..3 {
        assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    }
    stack.clock.advance(15 * 60);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 401);
}

#[tokio::test]
async fn a_change_of_the_signing_secret_takes_remembered_tokens_with_it() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let old = stack.token();
    assert_eq!(front.get("/proxy/svc/a", &old).send().await.status, 200);

    let secret = stack.oracle.secret("next signing secret");
    handle.set_verifier(JwtVerifier::hs256(&secret).unwrap());
    let answer = front.get("/proxy/svc/a", &old).send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    let new = stack.watched(Issuer::hs256(&secret).unwrap().issue("box").sign().unwrap());
    assert_eq!(front.get("/proxy/svc/a", &new).send().await.status, 200);

    // The same secret again: what is good is good, what was forgotten is verified anew.
    handle.set_verifier(stack.verifier());
    assert_eq!(front.get("/proxy/svc/a", &old).send().await.status, 200);
    assert_eq!(front.get("/proxy/svc/a", &new).send().await.status, 401);
    assert_eq!(stack.upstream.requests().len(), 3);
}

#[tokio::test]
async fn tokens_of_the_secret_before_live_on_beside_the_new_one() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let old = stack.token();
    let secret = stack.oracle.secret("next signing secret");
    let foreign = stack.oracle.secret("foreign signing secret");
    let sign = |secret: &str| {
        let issuer = Issuer::hs256(secret).unwrap().clock({
            let now = stack.clock.now();
            move || now
        });
        stack.watched(issuer.issue("box").sign().unwrap())
    };
    let (new, foreign) = (sign(&secret), sign(&foreign));

    let verifier = JwtVerifier::hs256(&secret).unwrap();
    handle.set_verifier(verifier.previous(&stack.jwt_secret).unwrap());
    assert_eq!(front.get("/proxy/svc/a", &old).send().await.status, 200);
    assert_eq!(front.get("/proxy/svc/a", &new).send().await.status, 200);
    let answer = front.get("/proxy/svc/a", &foreign).send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(stack.upstream.requests().len(), 2);
}
