use sallygate_test_support::{Stack, assert_case_refused};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    request_target: String,
}

enum Expected {
    /// Forwarded with this request target.
    Sent(&'static str),
    /// Refused with this status and code, nothing sent.
    Refused(u16, &'static str),
}

use Expected::{Refused, Sent};

const INVALID: Expected = Refused(400, "PROXY_PATH_INVALID");
const UNKNOWN: Expected = Refused(404, "PROXY_SERVICE_NOT_FOUND");

const EXPECTED: [(&str, Expected); 28] = [
    ("P-001", Sent("/v1/get?x=1")),
    ("P-003", INVALID),
    ("P-005", INVALID),
    ("P-007", INVALID),
    ("P-009", INVALID),
    ("P-011", INVALID),
    ("P-013", INVALID),
    ("P-015", Sent("/v1/a;jsessionid=1/b")),
    ("P-017", INVALID),
    ("P-019", INVALID),
    ("P-021", UNKNOWN),
    ("P-023", UNKNOWN),
    ("P-025", INVALID),
    ("P-027", INVALID),
    ("P-029", INVALID),
    ("P-031", INVALID),
    ("P-033", INVALID),
    ("P-035", Sent("/v1/a%3fb=1")),
    ("P-037", Sent("/v1/~user")),
    ("P-039", Sent("/v1/[::1]/")),
    ("P-041", Sent("/v1/aaaa…")),
    ("P-043", Sent("/v1")),
    ("P-045", Sent("/v1?a=1")),
    ("P-047", Sent("/v1/a?x=1;y=2")),
    ("P-049", Sent("/v1/a?%6bey=1")),
    ("P-051", UNKNOWN),
    ("P-053", UNKNOWN),
    ("P-055", UNKNOWN),
];

fn cases() -> Vec<Case> {
    include_str!("../../cases/path_cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The published cases abbreviate what is very long.
fn written_out(target: &str) -> String {
    match target.split_once("...(len ") {
        Some((start, length)) => {
            let length = length.trim_end_matches(')').parse().unwrap();
            format!("{start:a<length$}")
        }
        None => target.to_owned(),
    }
}

#[tokio::test]
async fn every_path_case_has_its_outcome_on_the_wire() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let cases = cases();
    assert_eq!(cases.len(), EXPECTED.len());
    for (case, (id, expected)) in cases.iter().zip(&EXPECTED) {
        let what = format!("{} {}", case.id, case.name);
        assert_eq!(case.id, *id);
        let target = written_out(&case.request_target);
        let before = stack.upstream.requests().len();
        let answer = front.get(&target, &token).send().await;
        let sent = stack.upstream.requests().split_off(before);
        match expected {
            Sent(line) => {
                let line = line.replace("aaaa…", &"a".repeat(9000));
                assert_eq!((answer.status, answer.text()), (200, "hello"), "{what}");
                assert_eq!(sent.len(), 1, "{what}");
                assert_eq!(sent[0].line(), format!("GET {line} HTTP/1.1"), "{what}");
                assert_eq!(
                    sent[0].values("host"),
                    [stack.upstream.addr.to_string()],
                    "{what}"
                );
            }
            Refused(status, code) => {
                assert_case_refused(&answer, *status, code, &what);
                assert!(sent.is_empty(), "{what}");
            }
        }
    }
    assert_eq!(
        front.get("/proxy/svc/after", &token).send().await.status,
        200
    );
    assert!(stack.other.requests().is_empty());
}
