use sallygate::{Api, Policy};
use serde::Deserialize;

use super::frames::{Frames, Told};
use sallygate_test_support::{Front, Reply, Stack};

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    trailers: Option<Vec<(String, String)>>,
    layer: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Answered by the upstream.
    Served,
    /// Refused with 400 and this code.
    Refused(&'static str),
    /// Not of the proxy: the application around it says 404.
    Foreign,
    /// The server resets the stream, and the connection stays.
    Reset,
    /// The server ends the connection.
    GoneAway,
}

use Outcome::{Foreign, GoneAway, Refused, Reset, Served};

const EXPECTED: [(&str, Outcome); 25] = [
    ("H2-001", Served),
    ("H2-003", Reset),
    ("H2-005", Foreign),
    ("H2-007", Reset),
    ("H2-009", Refused("PROXY_PATH_INVALID")),
    ("H2-011", Refused("PROXY_PATH_INVALID")),
    ("H2-013", Reset),
    ("H2-015", Refused("PROXY_HEADERS_INVALID")),
    ("H2-017", Reset),
    ("H2-019", Reset),
    ("H2-021", GoneAway),
    ("H2-023", Refused("PROXY_HEADERS_INVALID")),
    ("H2-025", Reset),
    ("H2-027", GoneAway),
    ("H2-029", GoneAway),
    ("H2-031", GoneAway),
    ("H2-033", GoneAway),
    ("H2-035", Served),
    ("H2-037", Reset),
    ("H2-039", Reset),
    ("H2-041", Reset),
    ("H2-043", Reset),
    ("H2-045", Reset),
    ("H2-047", Served),
    ("H2-049", Served),
];

fn cases() -> Vec<Case> {
    include_str!("../../cases/http2_cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl Case {
    /// As published, below the service and with a token where it can be.
    fn fields(&self, token: &str) -> Vec<(String, String)> {
        let below = |path: &str| match path {
            "" | "*" => path.to_owned(),
            path if path.starts_with("//") => path.to_owned(),
            path => format!("/proxy/svc{path}"),
        };
        let field = |(name, value): &(String, String)| match name.as_str() {
            ":path" => (name.clone(), below(value)),
            _ => (name.clone(), value.clone()),
        };
        let bearer = ("authorization".into(), format!("Bearer {token}"));
        self.headers.iter().map(field).chain([bearer]).collect()
    }
}

/// The proxy around an application, and by itself; cookies pass.
async fn fronts(stack: &Stack) -> (Front, Front) {
    let policy = Policy::new().pass_request_headers([http::header::COOKIE]);
    let config: Api = stack.svc().replace_policy(policy);
    let layer = stack.layer_with("svc", config);
    let alone = stack.serve(layer.clone().into_service()).await;
    let application = axum::Router::new().layer(layer);
    (alone, stack.serve(application).await)
}

fn clean(token: &str) -> Vec<(String, String)> {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/proxy/svc/after"),
        ("authorization", &format!("Bearer {token}")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

#[tokio::test]
async fn every_http2_case_has_its_outcome() {
    let cases = cases();
    assert_eq!(cases.len(), EXPECTED.len());
    for (case, (id, expected)) in cases.iter().zip(&EXPECTED) {
        let what = format!("{} {}", case.id, case.name);
        assert_eq!(case.id, *id);
        let by_server = matches!(expected, Reset | GoneAway);
        assert_eq!(case.layer == "server", by_server, "{what}");

        let stack = Stack::answering(|_| Reply::ok("hello")).await;
        let token = stack.token();
        let (alone, application) = fronts(&stack).await;
        let front = match expected {
            Foreign => &application,
            _ => &alone,
        };
        let mut frames = Frames::connect(front).await;
        let body = case.body.as_deref().map(str::as_bytes);
        let told = frames
            .ask(&case.fields(&token), body, case.trailers.as_deref())
            .await;
        let outcome = match &told {
            Told::Answer(200, body) if body == b"hello" => Served,
            Told::Answer(404, body) if body.is_empty() => Foreign,
            Told::Answer(400, body) => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                match body["code"].as_str().unwrap() {
                    "PROXY_PATH_INVALID" => Refused("PROXY_PATH_INVALID"),
                    "PROXY_HEADERS_INVALID" => Refused("PROXY_HEADERS_INVALID"),
                    other => panic!("{what}: {other}"),
                }
            }
            Told::Reset(_) => Reset,
            Told::GoneAway(_) => GoneAway,
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(outcome, *expected, "{what}: {told:?}");
        let served = usize::from(outcome == Served);
        let complete = |requests: &[sallygate_test_support::Recorded]| {
            requests.iter().filter(|request| request.complete).count()
        };
        assert_eq!(complete(&stack.upstream.requests()), served, "{what}");
        if case.id != "H2-043" {
            assert_eq!(stack.upstream.requests().len(), served, "{what}");
        }
        if served == 1 {
            check_sent(case, &stack, &token);
        }

        if outcome == GoneAway {
            frames = Frames::connect(front).await;
        }
        let after = frames.ask(&clean(&token), None, None).await;
        assert_eq!(after, Told::Answer(200, b"hello".to_vec()), "{what}");
        assert_eq!(stack.upstream.last().line(), "GET /v1/after HTTP/1.1");
    }
}

fn check_sent(case: &Case, stack: &Stack, token: &str) {
    let sent = stack.upstream.last();
    let what = &case.id;
    assert!(sent.authorized && sent.complete, "{what}");
    let host = stack.upstream.addr.to_string();
    assert_eq!(sent.values("host"), [host], "{what}");
    assert!(!sent.head.contains(token), "{what}");
    match case.id.as_str() {
        "H2-035" => assert_eq!(sent.values("x").concat().trim(), "a"),
        "H2-047" => {
            assert_eq!(sent.body, b"abc");
            assert_eq!(sent.trailers, []);
        }
        "H2-049" => assert_eq!(sent.values("cookie"), ["a=1; b=2"]),
        _ => assert_eq!(sent.line(), "GET /v1 HTTP/1.1"),
    }
}

/// The counterparts of those that are refused, each with its fault mended.
#[tokio::test]
async fn http2_requests_with_their_fault_mended_pass() {
    let stack = Stack::new().await;
    let token = stack.token();
    let front = stack.front().await;
    let mut frames = Frames::connect(&front).await;
    let with = |name: &str, value: &str| {
        let mut fields = clean(&token);
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => value.clone_into(&mut field.1),
            None => fields.push((name.into(), value.into())),
        }
        fields
    };
    for (fields, body) in [
        (with(":path", "/proxy/svc/%C3%A9"), None),
        (with("host", "a.test"), None),
        (with(":authority", "a.test:8080"), None),
        (with(":scheme", "https"), None),
        (with("x-up", "1"), None),
        (with("te", "trailers"), None),
        (with("content-length", "3"), Some(&b"abc"[..])),
    ] {
        let told = frames.ask(&fields, body, None).await;
        assert_eq!(told, Told::Answer(200, b"hello".to_vec()), "{fields:?}");
    }
    assert_eq!(stack.upstream.requests().len(), 7);
}
