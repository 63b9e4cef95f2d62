//! What the SDK of an API can read of the proxy's own errors.

use http::Request;
use sallygate::{
    Api, Body, Context, Limits, Outcome, Policy, ServiceConfig, Target, TransformError,
    async_trait, door::Rejection, service::ErrorBody,
};
use sallygate_test_support::{Answer, Stack};
use serde_json::{Value, json};

use super::{known, origin};

fn dead() -> Target {
    Target::dangerous_plaintext("http://127.0.0.1:1").unwrap()
}

/// A rejection that each API words: how it came about, its status, code and sentence.
const CASES: [(&str, u16, &str, &str); 4] = [
    (
        "unreachable",
        502,
        "PROXY_TARGET_ERROR",
        "The upstream could not be reached",
    ),
    ("forbidden", 403, "PROXY_FORBIDDEN", "This is not allowed"),
    (
        "method",
        405,
        "PROXY_METHOD_NOT_ALLOWED",
        "This method is not allowed",
    ),
    (
        "large",
        413,
        "PROXY_BODY_TOO_LARGE",
        "The request body is too large",
    ),
];

async fn provoke(stack: &Stack, name: &str, case: &str) -> Answer {
    let service = known(name, stack.key.clone()).with_target(origin(stack));
    let (service, method, path, body) = match case {
        "unreachable" => (service.with_target(dead()), "GET", "/v1", ""),
        "forbidden" => {
            let none = Policy::new().paths(["/none".parse().unwrap()]);
            (service.replace_policy(none), "GET", "/v1", "")
        }
        "method" => (
            service.policy(|policy| policy.methods([])),
            "GET",
            "/v1",
            "",
        ),
        _ => (
            service.policy(|policy| policy.limits(Limits::new().body_bytes(4))),
            "POST",
            "/v1",
            "12345",
        ),
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("/proxy/api{path}"))
        .header("host", "gate.test")
        .header("authorization", format!("Bearer {}", stack.token()))
        .header("content-length", body.len())
        .body(Body::from(body))
        .unwrap();
    let proxy = stack.layer_with("api", service).into_service();
    stack.call(proxy, request).await
}

/// The words of one API for a case: what its SDK reads.
fn words(api: &str, (case, status, code, sentence): (&str, u16, &str, &str), id: &str) -> Value {
    let kind = |kinds: [&'static str; 4]| match case {
        "unreachable" => kinds[0],
        "forbidden" => kinds[1],
        "method" => kinds[2],
        _ => kinds[3],
    };
    match api {
        "anthropic" => {
            let kind = kind([
                "api_error",
                "permission_error",
                "invalid_request_error",
                "request_too_large",
            ]);
            json!({
                "type": "error",
                "error": {"type": kind, "message": sentence, "code": code},
                "request_id": id,
            })
        }
        "gemini" => {
            let kind = kind([
                "UNAVAILABLE",
                "PERMISSION_DENIED",
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
            ]);
            json!({"error": {
                "code": status,
                "message": sentence,
                "status": kind,
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "sallygate"},
                    {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": id},
                ],
            }})
        }
        "openai" => {
            let client = "invalid_request_error";
            let kind = kind(["server_error", "permission_error", client, client]);
            json!({"error": {"message": sentence, "type": kind, "param": null, "code": code, "request_id": id}})
        }
        "slack" => {
            let client = "invalid_arguments";
            let kind = kind(["service_unavailable", "access_denied", client, client]);
            json!({
                "ok": false,
                "error": kind,
                "response_metadata": {"messages": [format!("[ERROR] {sentence}")]},
                "code": code,
                "request_id": id,
            })
        }
        "stripe" => {
            let client = "invalid_request_error";
            let kind = kind(["api_error", client, client, client]);
            json!({"error": {"type": kind, "message": sentence, "code": code, "request_id": id}})
        }
        api => panic!("how does {api} say it?"),
    }
}

#[tokio::test]
async fn a_verified_caller_reads_errors_in_the_words_of_the_api() {
    let stack = Stack::new().await;
    for api in Api::known_names() {
        for case in CASES {
            let (name, status, code, sentence) = case;
            let answer = provoke(&stack, api, name).await;
            assert_eq!(answer.status, status, "{api} {name}: {}", answer.text());
            let rejection = answer.extensions.get::<Rejection>().unwrap();
            let id = rejection.request_id().to_string();
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            if api == "github" {
                assert_eq!(
                    answer.header("content-type"),
                    Some("text/plain; charset=utf-8")
                );
                assert_eq!(
                    answer.text(),
                    format!("{sentence} ({code}, request {id})\n")
                );
                continue;
            }
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body, words(api, case, &id), "{api} {name}");
        }
    }
    assert!(stack.upstream.requests().is_empty());
}

/// Before the token is verified, the answer depends on the caller's own headers and on nothing that it asks for.
#[tokio::test]
async fn an_unverified_caller_reads_the_same_of_every_api_and_of_none() {
    let stack = Stack::new().await;
    let layer = Api::known_names().fold(stack.layer(), |layer, name| {
        let service = known(name, stack.key.clone()).with_target(origin(&stack));
        layer.service(name, service).unwrap()
    });
    let front = stack.serve(layer.into_service()).await;
    let seen = |answer: &Answer| {
        let mut fields = answer.fields.clone();
        fields.retain(|(name, _)| name != "date");
        let text = answer.text().to_owned();
        // Ids are 32 hexadecimal digits, wherever they stand.
        let mut plain = String::new();
        for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
            let digits = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
            plain.push_str(if digits.len() == 32 { "ID" } else { word });
        }
        (answer.status, fields, plain)
    };
    let basic = super::basic("garbage:");
    let attempts: [&[(&str, &str)]; 7] = [
        &[],
        &[("authorization", "Bearer garbage")],
        &[("authorization", "token garbage")],
        &[("authorization", &basic)],
        &[
            ("x-api-key", "garbage"),
            ("anthropic-version", "2023-06-01"),
        ],
        &[
            ("x-goog-api-key", "garbage"),
            ("x-goog-api-client", "genai"),
        ],
        &[
            ("authorization", "Bearer garbage"),
            ("x-stainless-lang", "js"),
        ],
    ];
    for attempt in attempts {
        for query in ["", "?key=garbage", "?token=garbage"] {
            let ask = async |service: &str| {
                let target = format!("/proxy/{service}/v1{query}");
                let request = front.request("GET", &target);
                let fields = attempt.iter();
                let request = fields.fold(request, |request, (name, value)| {
                    request.header(name, value)
                });
                seen(&request.send().await)
            };
            let nothing = ask("nothing").await;
            assert_eq!(nothing.0, 401);
            for name in Api::known_names() {
                assert_eq!(ask(name).await, nothing, "{name} {attempt:?} {query}");
            }
        }
    }
    let bare = front.request("GET", "/proxy/stripe/v1").send().await;
    let body = r#"{"error":"A token is required","code":"PROXY_TOKEN_MISSING","requestId":"ID"}"#;
    assert_eq!(bare.constant(), body);
    assert!(stack.upstream.requests().is_empty());

    let answer = front.get("/proxy/stripe/v1/charges", &stack.token());
    assert_eq!(answer.send().await.status, 200);
}

/// A service whose words for an error fail, or are nothing.
struct Wordless(Target, fn());

#[async_trait]
impl ServiceConfig for Wordless {
    fn target(&self) -> &Target {
        &self.0
    }

    fn validate<'r>(&self, request: &'r http::request::Parts) -> Option<std::borrow::Cow<'r, str>> {
        sallygate::extract::bearer(request)
    }

    async fn transform(&self, _: Request<Body>, _: &Context) -> Result<Outcome, TransformError> {
        Err(TransformError::forbidden())
    }

    fn error(&self, _: &Rejection) -> Option<ErrorBody> {
        (self.1)();
        None
    }
}

#[tokio::test]
async fn a_service_that_panics_over_its_words_leaves_the_plain_ones() {
    let stack = Stack::new().await;
    let plain = r#"{"error":"This is not allowed","code":"PROXY_FORBIDDEN","requestId":"ID"}"#;
    for words in [(|| panic!("no words")) as fn(), || ()] {
        let wordless = Wordless(origin(&stack), words);
        let front = stack
            .serve(stack.layer_with("api", wordless).into_service())
            .await;
        let token = stack.token();
        let answer = front.get("/proxy/api/a", &token).send().await;
        assert_eq!((answer.status, answer.constant().as_str()), (403, plain));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let answer = front.get("/proxy/other/a", &token).send().await;
        assert_eq!((answer.status, answer.text()), (200, "other"));
    }
}
