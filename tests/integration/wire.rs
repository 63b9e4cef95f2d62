use sallygate_test_support::{PATIENCE, Recorded, Stack, within};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    wire_latin1: String,
    truncated: bool,
    length: usize,
    layer: String,
}

/// What reaches the upstream.
enum Sent {
    Nothing,
    /// One request with this line.
    One(&'static str),
    /// At most the beginning of one.
    NothingWhole,
}

use Sent::{Nothing, NothingWhole, One};

const OPEN: bool = false;
const CLOSED: bool = true;

/// For each case: the answers, whether the connection ends with the last, and what is sent.
const EXPECTED: [(&str, &[u16], bool, Sent); 43] = [
    ("H1-001", &[200], OPEN, One("GET /v1 HTTP/1.1")),
    ("H1-003", &[200], CLOSED, One("POST /v1 HTTP/1.1")),
    ("H1-005", &[400], CLOSED, Nothing),
    ("H1-007", &[400], CLOSED, Nothing),
    ("H1-009", &[400], CLOSED, Nothing),
    ("H1-011", &[400], CLOSED, Nothing),
    ("H1-013", &[400], CLOSED, Nothing),
    ("H1-015", &[400], CLOSED, Nothing),
    ("H1-017", &[400], CLOSED, Nothing),
    ("H1-019", &[400], CLOSED, Nothing),
    ("H1-021", &[400], CLOSED, Nothing),
    ("H1-023", &[413], CLOSED, Nothing),
    ("H1-025", &[400], CLOSED, NothingWhole),
    ("H1-027", &[400], CLOSED, NothingWhole),
    ("H1-029", &[400], CLOSED, NothingWhole),
    ("H1-031", &[400], CLOSED, NothingWhole),
    ("H1-033", &[400], CLOSED, NothingWhole),
    ("H1-035", &[401], OPEN, Nothing),
    ("H1-037", &[400], CLOSED, Nothing),
    ("H1-039", &[400], CLOSED, Nothing),
    ("H1-041", &[400], CLOSED, Nothing),
    ("H1-043", &[400], CLOSED, Nothing),
    ("H1-045", &[400], CLOSED, Nothing),
    ("H1-047", &[400], CLOSED, Nothing),
    ("H1-049", &[400], CLOSED, Nothing),
    ("H1-051", &[404], OPEN, Nothing),
    ("H1-053", &[400], CLOSED, Nothing),
    ("H1-055", &[405], OPEN, Nothing),
    ("H1-057", &[400], OPEN, Nothing),
    ("H1-059", &[400], CLOSED, Nothing),
    ("H1-061", &[400], OPEN, Nothing),
    ("H1-063", &[400], CLOSED, Nothing),
    ("H1-065", &[400], OPEN, Nothing),
    ("H1-067", &[400], CLOSED, Nothing),
    ("H1-069", &[400], CLOSED, Nothing),
    ("H1-071", &[400], CLOSED, Nothing),
    ("H1-073", &[405], OPEN, Nothing),
    ("H1-075", &[405], OPEN, Nothing),
    ("H1-077", &[200, 404], OPEN, One("GET /v1/1 HTTP/1.1")),
    ("H1-079", &[200], OPEN, One("GET /v1 HTTP/1.1")),
    ("H1-081", &[431], CLOSED, Nothing),
    ("H1-083", &[431], OPEN, Nothing),
    ("H1-085", &[414], CLOSED, Nothing),
];

fn cases() -> Vec<Case> {
    include_str!("../cases/http1_wire_cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl Case {
    fn bytes(&self, token: &str) -> Vec<u8> {
        let mut text = self.wire_latin1.replace("${TOKEN}", token);
        if self.truncated {
            // The header or the path that the published case abbreviates, in its full length.
            let start = text.trim_end_matches('.').to_owned();
            let end = if start.contains("HTTP/1.1") {
                "\r\n\r\n".to_owned()
            } else {
                format!(" HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {token}\r\n\r\n")
            };
            text = format!("{start}{}{end}", "a".repeat(self.length - start.len()));
        }
        text.chars()
            .map(|latin1| u8::try_from(latin1).unwrap())
            .collect()
    }
}

fn framing(request: &Recorded) -> usize {
    request.values("content-length").len() + request.values("transfer-encoding").len()
}

#[tokio::test]
async fn every_wire_case_has_its_outcome() {
    let cases = cases();
    assert_eq!(cases.len(), EXPECTED.len());
    assert_eq!(
        cases.iter().filter(|case| case.layer == "crate").count(),
        25
    );
    for (case, (id, statuses, closed, sent)) in cases.iter().zip(&EXPECTED) {
        let what = format!("{} {}", case.id, case.name);
        assert_eq!(case.id, *id);
        let stack = Stack::new().await;
        let front = stack.front().await;
        let token = stack.token();
        let mut wire = front.connect().await;
        wire.send(case.bytes(&token)).await;
        for status in *statuses {
            let answer = wire.answer().await;
            assert_eq!(answer.status, *status, "{what}");
            assert!(answer.complete, "{what}");
        }
        if *closed {
            assert_eq!(wire.rest().await, b"", "{what}");
        }
        if matches!(sent, NothingWhole) {
            stack
                .upstream
                .until_deserted(std::time::Duration::from_secs(5))
                .await;
        }
        let requests = stack.upstream.requests();
        match sent {
            Nothing => assert!(requests.is_empty(), "{what}"),
            NothingWhole => {
                assert!(
                    requests.len() < 2 && !requests.iter().any(|request| request.complete),
                    "{what}"
                );
            }
            One(line) => {
                assert_eq!(requests.len(), 1, "{what}");
                assert_eq!(requests[0].line(), *line, "{what}");
                assert!(framing(&requests[0]) < 2 && requests[0].complete, "{what}");
                assert_eq!(
                    requests[0].values("host"),
                    [stack.upstream.addr.to_string()],
                    "{what}"
                );
                assert!(!requests[0].has("expect"), "{what}");
            }
        }
        assert!(stack.other.requests().is_empty(), "{what}");
        let clean = front.get("/proxy/svc/after", &token);
        let after = if *closed {
            clean.send().await
        } else {
            wire.send(clean.bytes()).await;
            wire.answer().await
        };
        assert_eq!((after.status, after.text()), (200, "hello"), "{what}");
        assert_eq!(
            stack.upstream.last().line(),
            "GET /v1/after HTTP/1.1",
            "{what}"
        );
    }
}

#[tokio::test]
async fn requests_with_their_fault_mended_pass() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let head = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (wire, body) in [
        (
            format!("{}1\r\nZ\r\n0\r\n\r\n", head("POST /proxy/svc/", chunked)),
            "Z",
        ),
        (
            format!(
                "{}1;a=b\r\nZ\r\n0\r\n\r\n",
                head("POST /proxy/svc/", chunked)
            ),
            "Z",
        ),
        (
            format!(
                "{}0\r\n\r\n",
                head("POST /proxy/svc/", "Transfer-Encoding: Chunked\r\n")
            ),
            "",
        ),
        (
            format!("{}abc", head("POST /proxy/svc/", "Content-Length: 3\r\n")),
            "abc",
        ),
        (
            format!("{}abc", head("POST /proxy/svc/", "Content-Length: 003\r\n")),
            "abc",
        ),
        (head("GET /proxy/svc/", "").replace("\r\n", "\n"), ""),
        (head("GET http://evil.test/proxy/svc/", ""), ""),
        (head("GET http://a.test/proxy/svc/", ""), ""),
        (
            head("GET /proxy/svc/", "").replace("a.test", "a.test:99"),
            "",
        ),
        (
            head("GET /proxy/svc/", "").replace("a.test", "[::1]:99"),
            "",
        ),
        (head("GET /proxy/svc/", &"X: 1\r\n".repeat(98)), ""),
        (
            head("GET /proxy/svc/", &format!("X: {}\r\n", "a".repeat(60_000))),
            "",
        ),
        (
            head(&format!("GET /proxy/svc/?{}", "a".repeat(16_000)), ""),
            "",
        ),
    ] {
        let before = stack.upstream.requests().len();
        let mut caller = front.connect().await;
        caller.send(&wire).await;
        let shown = &wire[..wire.len().min(60)];
        assert_eq!(caller.answer().await.status, 200, "{shown}");
        assert!(!caller.is_closed().await, "{shown}");
        let requests = stack.upstream.requests().split_off(before);
        assert_eq!(requests.len(), 1, "{shown}");
        assert_eq!(String::from_utf8_lossy(&requests[0].body), body, "{shown}");
        assert!(requests[0].complete && requests[0].authorized, "{shown}");
        assert!(framing(&requests[0]) < 2, "{shown}");
        assert_eq!(
            requests[0].values("host"),
            [stack.upstream.addr.to_string()],
            "{shown}"
        );
        assert!(
            !requests[0].head.replace("\r\n", "").contains('\n'),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_authorized_one_by_one_and_answered_in_order() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let good = |path: &str| front.get(path, &token).bytes();
    let bad = front.request("GET", "/proxy/svc/2").bytes();
    let mut wire = front.connect().await;
    wire.send(
        [
            good("/proxy/svc/1"),
            bad,
            good("/proxy/other/3"),
            good("/proxy/svc/4"),
        ]
        .concat(),
    )
    .await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = wire.answer().await;
        answers.push((answer.status, answer.text().to_owned()));
    }
    assert_eq!(answers[0], (200, "hello".into()));
    assert_eq!(answers[1].0, 401);
    assert_eq!(answers[2], (200, "other".into()));
    assert_eq!(answers[3], (200, "hello".into()));
    let lines: Vec<_> = stack
        .upstream
        .requests()
        .iter()
        .map(|request| request.line().to_owned())
        .collect();
    assert_eq!(lines, ["GET /v1/1 HTTP/1.1", "GET /v1/4 HTTP/1.1"]);
}

#[tokio::test]
async fn the_servers_100_continue_comes_and_expect_goes_no_further() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let request = front
        .request("PUT", "/proxy/svc/a")
        .token(&token)
        .header("expect", "100-continue")
        .body("abc");
    let bytes = request.bytes();
    let mut wire = front.connect().await;
    wire.send(&bytes[..bytes.len() - 3]).await;
    // Nothing but the 100 can come before the body is sent.
    let first = within(PATIENCE, wire.raw_head()).await;
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    wire.send("abc").await;
    assert_eq!(wire.answer().await.status, 200);
    let request = stack.upstream.last();
    assert_eq!(
        (request.body.as_slice(), request.has("expect")),
        (&b"abc"[..], false)
    );
}
