//! Pages in browsers.

use sallygate::door::Cors;
use sallygate_test_support::{Answer, Front, Reply, Stack, assert_case_refused};

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

async fn served(cors: Option<Cors>) -> (Stack, Front) {
    let stack = Stack::answering(|_| {
        Reply::response(
            "200 OK\naccess-control-allow-origin: *\naccess-control-allow-credentials: true\n\
             access-control-expose-headers: x-secret\nvary: Accept-Encoding",
            "hello",
        )
    })
    .await;
    let layer = match cors {
        Some(cors) => stack.layer().cors(cors),
        None => stack.layer(),
    };
    let front = stack.serve(layer.into_service()).await;
    (stack, front)
}

fn own() -> Option<Cors> {
    Some(Cors::new().allow_origin(APP).unwrap())
}

async fn preflight(front: &Front, target: &str, origin: &str) -> Answer {
    front
        .request("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, x-api-key")
        .send()
        .await
}

fn cors_fields(answer: &Answer) -> Vec<(&str, &str)> {
    let fields = answer.fields.iter();
    let ours = fields.filter(|(name, _)| name.starts_with("access-control-"));
    let mut ours: Vec<_> = ours
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    ours.sort_unstable();
    ours
}

fn vary(answer: &Answer) -> String {
    answer.values("vary").join(", ").to_ascii_lowercase()
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered_without_a_token() {
    let (stack, front) = served(own()).await;
    // The same for services that exist and for those that do not.
    for target in ["/proxy/svc/a", "/proxy/none/a"] {
        let answer = preflight(&front, target, APP).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(
            cors_fields(&answer),
            [
                ("access-control-allow-headers", "authorization, x-api-key"),
                (
                    "access-control-allow-methods",
                    "GET, HEAD, POST, PUT, PATCH, DELETE"
                ),
                ("access-control-allow-origin", APP),
                ("access-control-max-age", "600"),
            ]
        );
        for name in [
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
        ] {
            assert!(vary(&answer).contains(name), "{name}");
        }
    }
    assert!(stack.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_preflight_of_another_origin_is_a_request_without_a_token() {
    for cors in [own(), None] {
        let (stack, front) = served(cors).await;
        for origin in [
            EVIL,
            "null",
            "https://app.example.com.evil.example",
            "HTTPS://APP.EXAMPLE.COM",
        ] {
            let answer = preflight(&front, "/proxy/svc/a", origin).await;
            assert_case_refused(&answer, 401, "PROXY_TOKEN_MISSING", origin);
            assert_eq!(cors_fields(&answer), []);
        }
        assert!(stack.upstream.requests().is_empty());
    }
}

/// Without what a browser adds, it is an API's own method.
#[tokio::test]
async fn options_that_are_no_preflight_need_a_token() {
    let (stack, front) = served(own()).await;
    let plain = front
        .request("OPTIONS", "/proxy/svc/a")
        .header("origin", APP);
    let answer = plain.send().await;
    assert_eq!(answer.status, 401);
    let plain = front
        .request("OPTIONS", "/proxy/svc/a")
        .token(&stack.token());
    let answer = plain.header("origin", APP).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.last().line(), "OPTIONS /v1/a HTTP/1.1");
}

#[tokio::test]
async fn answers_and_refusals_can_be_read_by_the_page_that_asked() {
    let (stack, front) = served(own()).await;
    let token = stack.token();
    for (token, target, status) in [
        (token.as_str(), "/proxy/svc/a", 200),
        ("x", "/proxy/svc/a", 401),
        (&token, "/proxy/none/a", 404),
        (&token, "/proxy/svc/a/../b", 400),
    ] {
        let answer = front.get(target, token).header("origin", APP).send().await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(
            cors_fields(&answer),
            [
                ("access-control-allow-origin", APP),
                ("access-control-expose-headers", "*"),
            ],
            "{target}"
        );
        assert!(vary(&answer).contains("origin"), "{target}");

        for request in [
            front.get(target, token).header("origin", EVIL),
            front.get(target, token),
        ] {
            let answer = request.send().await;
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(cors_fields(&answer), [], "{target}");
        }
    }
    let answer = front.get("/proxy/svc/a", &token).header("origin", APP);
    let answer = answer.send().await;
    assert!(
        vary(&answer).contains("accept-encoding"),
        "{}",
        vary(&answer)
    );
    assert!(!stack.upstream.last().has("origin"));
}

#[tokio::test]
async fn any_origin_may_be_allowed_and_never_with_cookies() {
    let any = Cors::new().allow_any_origin();
    let (stack, front) = served(Some(any)).await;
    let answer = preflight(&front, "/proxy/svc/a", EVIL).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let answer = front.get("/proxy/svc/a", &stack.token());
    let answer = answer.header("origin", EVIL).send().await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(
        cors_fields(&front.get("/proxy/svc/a", &stack.token()).send().await),
        []
    );
}
