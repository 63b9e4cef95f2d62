use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use sallygate::{Api, service::Place};
use sallygate_test_support::{Answer, Stack, assert_refused};

fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| name != "date");
    (answer.status, fields, answer.constant())
}

/// Whatever a caller without a token sends, a service that exists and one that does not answer alike.
#[tokio::test]
async fn without_a_token_services_cannot_be_told_from_nothing() {
    let stack = Stack::new().await;
    let git = Api::basic(stack.target(), "x", stack.key.clone())
        .unwrap()
        .policy(|policy| policy.basic_challenge("git").methods([http::Method::GET]));
    let query = Api::query(stack.target(), "key", stack.key.clone()).unwrap();
    let header = Api::header(
        stack.target(),
        HeaderName::from_static("x-api-key"),
        stack.key.clone(),
    )
    .accept(Place::query("token").unwrap());
    let layer = stack
        .layer()
        .service("git", git)
        .unwrap()
        .service("q", query)
        .unwrap()
        .service("h", header)
        .unwrap();
    let front = stack.serve(layer.into_service()).await;
    let foreign = Stack::new().await.token();
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{foreign}")));
    let bearer = format!("Bearer {foreign}");
    let attempts: [(&str, &[(&str, &str)]); 14] = [
        ("", &[]),
        ("", &[("cookie", &foreign)]),
        ("", &[("authorization", "Digest a=b")]),
        ("", &[("authorization", "Bearer")]),
        ("", &[("authorization", "Bearer garbage")]),
        ("", &[("authorization", &bearer)]),
        ("", &[("authorization", &basic)]),
        ("", &[("x-api-key", &foreign)]),
        ("", &[("x-other-key", &foreign)]),
        ("", &[("x-api-key", "garbage"), ("authorization", &bearer)]),
        ("?key=garbage", &[]),
        ("?token=garbage", &[]),
        ("?nothing=garbage", &[]),
        ("?key=", &[("x-api-key", &foreign)]),
    ];
    let mut kinds = std::collections::HashSet::new();
    for (query, headers) in attempts {
        let ask = async |service: &str, method: &str| {
            let target = format!("/proxy/{service}/a{query}");
            let request = front.request(method, &target);
            let request = headers.iter().fold(request, |request, (name, value)| {
                request.header(name, value)
            });
            seen(&request.send().await)
        };
        for method in ["GET", "POST"] {
            let nothing = ask("nothing", method).await;
            assert_eq!(nothing.0, 401);
            kinds.insert(nothing.2.clone());
            for service in ["svc", "other", "git", "q", "h"] {
                assert_eq!(
                    ask(service, method).await,
                    nothing,
                    "{method} {service} {query} {headers:?}"
                );
            }
            let challenges: Vec<_> = nothing
                .1
                .iter()
                .filter(|(name, _)| name == "www-authenticate")
                .collect();
            assert_eq!(challenges.len(), 2, "{challenges:?}");
            assert_eq!(challenges[0].1, "Bearer");
            assert_eq!(challenges[1].1, r#"Basic realm="git", charset="UTF-8""#);
        }
    }
    assert_eq!(kinds.len(), 2, "missing and invalid: {kinds:?}");
    assert!(stack.upstream.requests().is_empty() && stack.other.requests().is_empty());

    let token = stack.token();
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
    assert_eq!(
        front.get("/proxy/nothing/a", &token).send().await.status,
        404
    );
}

/// No rejection names another service than the one asked for, nor lists any.
#[tokio::test]
async fn a_missing_service_is_not_answered_with_those_that_exist() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let answer = front.get("/proxy/nothing/a", &stack.token()).send().await;
    assert_refused(&answer, 404, "PROXY_SERVICE_NOT_FOUND");
    assert!(!answer.text().contains("svc") && !answer.text().contains("other"));
    assert_eq!(
        front
            .get("/proxy/other/a", &stack.token())
            .send()
            .await
            .text(),
        "other"
    );
}
