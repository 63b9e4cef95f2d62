mod caller;
mod embedder;
mod shape;
mod unknown;
mod upstream;

use http::Request;
use sallygate::{
    Body,
    door::{Code, Rejection},
};
use sallygate_test_support::{Answer, Stack};

/// A request as a server hands it to the proxy.
fn request(method: &str, target: &str, token: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "gate.test")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// One row of the status table.
struct Row {
    status: u16,
    code: Code,
    error: &'static str,
    /// Header fields beside those that every rejection has.
    also: &'static [(&'static str, &'static str)],
}

const FINAL: (&str, &str) = ("x-should-retry", "false");

impl Row {
    const fn new(
        status: u16,
        code: Code,
        error: &'static str,
        also: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            status,
            code,
            error,
            also,
        }
    }
}

/// Asserts that an answer is this row, to the byte, and gives the reason.
#[track_caller]
fn assert_row(answer: &Answer, row: &Row) -> Rejection {
    let rejection = answer.extensions.get::<Rejection>().cloned();
    let Some(rejection) = rejection else {
        panic!("no rejection: {answer:?}")
    };
    let id = answer.member("requestId");
    assert_eq!(answer.status, row.status, "{}", answer.text());
    let body = format!(
        r#"{{"error":"{}","code":"{}","requestId":"{id}"}}"#,
        row.error,
        row.code.as_str()
    );
    assert_eq!(answer.text(), body);
    assert!(
        id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
    let always = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    let mut fields: Vec<_> = always
        .iter()
        .chain(row.also)
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let mut given = answer.fields.clone();
    fields.sort();
    given.sort();
    assert_eq!(given, fields);
    assert!(answer.complete && answer.trailers.is_empty());
    assert_eq!(rejection.status().as_u16(), row.status);
    assert_eq!(rejection.code(), row.code);
    assert_eq!(rejection.request_id().to_string(), id);
    rejection
}

/// Asserts that the stack still serves, and that nothing but this reached the upstream.
async fn assert_serves(stack: &Stack) {
    let before = stack.upstream.requests().len();
    let answer = stack
        .call(
            stack.layer().into_service(),
            request("GET", "/proxy/svc/after", &stack.token()),
        )
        .await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.requests().len(), before + 1);
}

macro_rules! rejects {
    ($stack:expr, $layer:expr, $request:expr, $row:expr, $reason:pat) => {
        let answer = $stack.call($layer.into_service(), $request).await;
        let rejection = assert_row(&answer, &$row);
        assert!(matches!(rejection.reason(), $reason), "{rejection:?}");
        assert!($stack.upstream.requests().is_empty());
    };
}
use rejects;
