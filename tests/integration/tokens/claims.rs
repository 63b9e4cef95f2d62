use std::time::Duration;

use sallygate::{Api, ConfigError, Injection, Outcome, TransformError};
use sallygate_test_support::{Stack, assert_refused};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Tenant {
    tenant: u32,
    regions: Vec<String>,
}

#[tokio::test]
async fn claims_of_the_embedders_own_reach_the_service_typed() {
    let stack = Stack::new().await;
    let key = stack.key.clone();
    let config = Api::from_fn(stack.target(), move |mut request, ctx| {
        let tenant = ctx
            .claims()
            .get::<Tenant>()
            .ok_or_else(TransformError::forbidden)?;
        let who = format!(
            "{} {} {} {}",
            tenant.tenant,
            tenant.regions.join("+"),
            ctx.claims().sandbox_id(),
            ctx.claims().session_id().unwrap_or("-"),
        );
        request.headers_mut().insert("x-who", who.try_into()?);
        Ok(Outcome::Forward(request))
    })
    .inject(Injection::bearer(key));
    let layer = stack.layer_with("svc", config);
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let own = Tenant {
        tenant: 42,
        regions: vec!["eu".into(), "us".into()],
    };
    let with = stack.watched(
        stack
            .issuer
            .issue("box-1")
            .session_id("run-7")
            .claims(&own)
            .sign()
            .unwrap(),
    );
    let without = stack.watched(stack.issuer.issue("box-2").sign().unwrap());

    // A verifier that was not told to read them hands on what it knows.
    let answer = front.get("/proxy/svc/a", &with).send().await;
    assert_refused(&answer, 403, "PROXY_FORBIDDEN");

    handle.set_verifier(stack.verifier().claims::<Tenant>());
    for _ in 0..2 {
        assert_eq!(front.get("/proxy/svc/a", &with).send().await.status, 200);
        assert_eq!(
            stack.upstream.last().values("x-who"),
            ["42 eu+us box-1 run-7"]
        );
    }
    let answer = front.get("/proxy/svc/a", &without).send().await;
    assert_refused(&answer, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn lifetimes_are_bounded_and_clocks_may_differ_by_five_seconds() {
    let stack = Stack::new().await;
    let layer = stack.layer();
    let handle = layer.handle();
    let front = stack.serve(layer.into_service()).await;
    let status = async |lifetime: u64| {
        let draft = stack
            .issuer
            .issue("box")
            .expires_in(Duration::from_secs(lifetime));
        let token = stack.watched(draft.sign().unwrap());
        front.get("/proxy/svc/a", &token).send().await.status
    };
    const DAY: u64 = 24 * 60 * 60;
    assert_eq!((status(DAY).await, status(DAY + 1).await), (200, 401));
    handle.set_verifier(stack.verifier().max_lifetime(Duration::from_secs(60)));
    assert_eq!((status(60).await, status(61).await), (200, 401));

    let now = stack.clock.seconds();
    for (iat, nbf, expected) in [(5, 5, 200), (6, 0, 401), (0, 6, 401), (0, 0, 200)] {
        let payload = format!(
            r#"{{"sandboxId":"box","iat":{},"nbf":{},"exp":{}}}"#,
            now + iat,
            now + nbf,
            now + 50
        );
        let token = stack.watched(stack.sign(r#"{"alg":"HS256"}"#, payload));
        let answer = front.get("/proxy/svc/a", &token).send().await;
        assert_eq!(answer.status, expected, "iat + {iat}, nbf + {nbf}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_say_lives_for_fifteen_minutes() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    stack.clock.advance(15 * 60 - 1);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    stack.clock.advance(1);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 401);
}

#[tokio::test]
async fn an_issuer_makes_no_token_that_its_verifier_would_refuse() {
    let stack = Stack::new().await;
    let issue = |sandbox: &str| stack.issuer.issue(sandbox);
    let refused = |draft: sallygate::token::Draft<'_>| {
        stack.oracle.saw_debug(&draft);
        matches!(draft.sign(), Err(ConfigError::Claims(_)))
    };
    assert!(refused(issue("")));
    assert!(refused(issue("box\n")));
    assert!(refused(issue(&"x".repeat(257))));
    assert!(refused(issue("box").session_id("")));
    assert!(refused(issue("box").expires_in(Duration::from_millis(999))));
    assert!(refused(issue("box").claims(&"no object")));
    for reserved in [
        "sandboxId",
        "sessionId",
        "iat",
        "exp",
        "nbf",
        "iss",
        "aud",
        "sub",
        "grants",
    ] {
        let own = serde_json::json!({ reserved: 1 });
        assert!(refused(issue("box").claims(&own)), "{reserved}");
    }
    let own = serde_json::json!({ "scope": "a" });
    let token = stack.watched(issue(&"x".repeat(256)).claims(&own).sign().unwrap());
    assert_eq!(
        stack
            .front()
            .await
            .get("/proxy/svc/a", &token)
            .send()
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn ids_that_no_header_or_log_should_bear_are_refused() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let now = stack.clock.seconds();
    for (sandbox, expected) in [
        (r#""box""#, 200),
        (r#""b\u00f6x""#, 200),
        (r#""""#, 401),
        (r#""a\nb""#, 401),
        (r#""a\u0000b""#, 401),
        (r#""a\u009bb""#, 401),
        ("1", 401),
        ("null", 401),
        (r#"["box"]"#, 401),
    ] {
        let payload = format!(
            r#"{{"sandboxId":{sandbox},"iat":{now},"exp":{}}}"#,
            now + 60
        );
        let token = stack.watched(stack.sign(r#"{"alg":"HS256"}"#, payload));
        assert_eq!(
            front.get("/proxy/svc/a", &token).send().await.status,
            expected,
            "{sandbox}"
        );
    }
}
