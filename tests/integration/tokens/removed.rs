use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, header::AUTHORIZATION};
use sallygate::{Api, Claims, Place, Policy, ProxyLayer, Verifier, async_trait, token::TokenError};
use sallygate_test_support::{Slot, Stack, assert_refused};

#[tokio::test]
async fn a_token_within_a_token_does_not_survive_its_removal() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let (half, rest) = token.split_at(token.len() / 2);
    let encoded = token.replace('.', "%2e");
    for path in [
        format!("/a/{half}{token}{rest}/b"),
        format!("/a/{token}{encoded}/b"),
        format!("/a/{encoded}-{token}/b?x=1"),
    ] {
        let answer = front.get(&format!("/proxy/svc{path}"), &token).send().await;
        assert_refused(&answer, 400, "PROXY_PATH_INVALID");
    }
    let requests = stack.upstream.requests();
    let lines = requests
        .iter()
        .map(|request| request.line().replace("%2e", "."));
    let showing = lines.filter(|line| line.contains(&token)).count();
    assert_eq!(showing, 0, "of {} requests", requests.len());
    let answer = front.get("/proxy/svc/a/b", &token).send().await;
    assert_eq!(answer.status, 200);
}

/// Tokens of the host's own, from a table of one.
struct Opaque(&'static str);

#[async_trait]
impl Verifier for Opaque {
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError> {
        if token != self.0 {
            return Err(TokenError::Unknown);
        }
        let expires_at = now + std::time::Duration::from_secs(60);
        Claims::new("box", expires_at)
            .map(Arc::new)
            .map_err(|_| TokenError::Claim)
    }
}

#[tokio::test]
async fn a_token_with_slashes_is_removed_from_the_path_too() {
    const TOKEN: &str = "q0S/8fB+7tLkz/Yw2mXc==";
    let stack = Stack::new().await;
    let layer = ProxyLayer::new("/proxy", Opaque(TOKEN))
        .unwrap()
        .service("svc", stack.svc())
        .unwrap();
    let front = stack.serve(layer.into_service()).await;
    let answer = front.get("/proxy/svc/a", TOKEN).send().await;
    assert_eq!(answer.status, 200);
    let answer = front
        .get(&format!("/proxy/svc/a/{TOKEN}/b"), TOKEN)
        .send()
        .await;
    assert_refused(&answer, 400, "PROXY_PATH_INVALID");
    for request in stack.upstream.requests() {
        assert!(!request.line().contains(TOKEN), "{}", request.line());
    }
}

#[tokio::test]
async fn a_header_let_through_shows_no_token_in_basic_or_percent_encoding_either() {
    let stack = Stack::new().await;
    let policy = Policy::new().pass_request_headers([
        AUTHORIZATION,
        HeaderName::from_static("cookie"),
        HeaderName::from_static("referer"),
    ]);
    let config = Api::query(stack.target(), "key", stack.key.clone())
        .unwrap()
        .accept(Place::basic("").unwrap())
        .replace_policy(policy);
    stack
        .upstream
        .accept(Slot::Query("key").show(&stack.secret_key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    let encoded = token.replace('.', "%2E");
    let basic = format!("Basic {}", STANDARD.encode(format!("git:{token}")));
    let request = front
        .request("GET", "/proxy/svc/a")
        .header("authorization", &basic)
        .header("cookie", format!("t={encoded}"))
        .header("referer", format!("https://app.test/?t={encoded}"))
        .header("x-kept", "1");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.authorized && sent.has("x-kept"));
    let names = ["authorization", "cookie", "referer"];
    let showing: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(showing.is_empty(), "{showing:?}");
}

/// Counts what it is asked, and never has an answer.
#[derive(Clone, Default)]
struct Down(Arc<AtomicUsize>);

#[async_trait]
impl Verifier for Down {
    async fn verify(&self, _: &str, _: SystemTime) -> Result<Arc<Claims>, TokenError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(TokenError::unavailable("the store is down"))
    }
}

#[tokio::test]
async fn a_token_in_another_services_place_does_not_tell_which_services_exist() {
    let stack = Stack::new().await;
    let asked = Down::default();
    let layer = stack.layer();
    layer.handle().set_verifier(asked.clone());
    let front = stack.serve(layer.into_service()).await;
    let mut seen = Vec::new();
    for service in ["svc", "nothing"] {
        let before = asked.0.load(Ordering::SeqCst);
        let request = front
            .request("GET", &format!("/proxy/{service}/a"))
            .header("x-other-key", "garbage");
        let answer = request.send().await;
        let asked = asked.0.load(Ordering::SeqCst) - before;
        seen.push((answer.status, answer.code(), asked));
    }
    assert_eq!(seen[0], seen[1], "one exists, the other does not");
    assert!(stack.upstream.requests().is_empty());
}

#[tokio::test]
async fn the_callers_token_is_hidden_in_debug_of_what_the_service_is_told() {
    let stack = Stack::new().await;
    let oracle = stack.oracle.clone();
    let key = stack.key.clone();
    let config = Api::from_fn(stack.target(), move |request, ctx| {
        oracle.saw_debug(&ctx.taken_headers());
        oracle.saw_debug(&request);
        Ok(request.into())
    })
    .inject(sallygate::Injection::bearer(key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(stack.oracle.leaks(), [""; 0]);
}
