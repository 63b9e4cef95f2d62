//! Answers of a broken or hostile upstream.

use sallygate::{Body, Client, Limits, Policy};
use sallygate_test_support::{Scene, assert_case_refused, assert_refused};
use serde::Deserialize;

use super::{
    caller::{Caller, request},
    faulty::{Faulty, Peer, fault, settle},
    scene::{Play, SHORT, before, failing, is_served, responding},
};

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    response_latin1: String,
}

/// What the caller gets: the status, and the body if it comes to its end.
type Expected = (u16, Option<&'static str>);

const REFUSED: Expected = (502, None);

/// For each case: what the caller gets, and whether the connection to the upstream may be used again.
const EXPECTED: [(&str, Expected, bool); 15] = [
    ("U-001", (200, Some("ok")), true),
    ("U-003", (200, Some("ok")), true),
    ("U-007", REFUSED, false),
    ("U-011", REFUSED, false),
    ("U-013", REFUSED, false),
    ("U-015", REFUSED, false),
    ("U-017", (999, Some("ok")), true),
    ("U-019", (204, Some("")), false),
    ("U-021", (200, Some("ok")), true),
    ("U-023", REFUSED, false),
    ("U-025", REFUSED, false),
    ("U-027", REFUSED, false),
    ("U-031", (200, None), false),
    ("U-033", (504, None), false),
    ("U-035", (200, Some("ok")), true),
];

fn cases() -> Vec<Case> {
    include_str!("../../cases/bad_upstream_responses.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The bytes, and what happens to the connection after them.
fn bytes(case: &Case) -> (Vec<u8>, &'static str) {
    let mut text = case.response_latin1.clone();
    if let Some(start) = text.strip_suffix("...") {
        // The published case abbreviates the header.
        text = format!(
            "{start}{}\r\ncontent-length: 2\r\n\r\nok",
            "a".repeat(1 << 20)
        );
    }
    let mut then = "";
    for end in ["<CLOSE>", "<HANG>", "<RST>"] {
        if let Some(start) = text.strip_suffix(end) {
            (text, then) = (start.to_owned(), end);
        }
    }
    let bytes = text.chars().map(|latin1| u8::try_from(latin1).unwrap());
    (bytes.collect(), then)
}

async fn scene_of(case: &Case) -> Scene<Faulty> {
    let (bytes, then) = bytes(case);
    let answering = fault(move |mut peer| {
        let bytes = bytes.clone();
        async move {
            peer.write(bytes).await;
            match then {
                "<CLOSE>" => return None,
                "<HANG>" => peer.closed().await,
                "<RST>" => {
                    settle().await;
                    peer.reset();
                    return None;
                }
                _ => {}
            }
            Some(peer)
        }
    });
    before(answering)
        .await
        .client(Client::new().response_timeout(SHORT))
        .start()
        .await
}

#[tokio::test]
async fn every_bad_answer_has_its_outcome_and_hurts_nobody_else() {
    let cases = cases();
    assert_eq!(cases.len(), EXPECTED.len());
    for (case, (id, (status, body), kept)) in cases.iter().zip(&EXPECTED) {
        let what = format!("{} {}", case.id, case.name);
        assert_eq!(case.id, *id);
        let scene = scene_of(case).await;
        let mut wire = scene.front.connect().await;
        wire.send(scene.front.get("/proxy/svc/fault", &scene.token).bytes())
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, *status, "{what}");
        match (status, body) {
            (502, _) => assert_eq!(answer.code(), "PROXY_TARGET_ERROR", "{what}"),
            (504, _) => assert_eq!(answer.code(), "PROXY_TARGET_TIMEOUT", "{what}"),
            (_, None) => assert!(!answer.complete, "{what}"),
            (_, Some(body)) => {
                assert_eq!((answer.text(), answer.complete), (*body, true), "{what}");
            }
        }
        assert!(!answer.fields.iter().any(|(name, _)| name == "set-cookie"));
        assert!(!answer.trailers.iter().any(|(name, _)| name == "set-cookie"));
        let again = scene.front.get("/proxy/svc/again", &scene.token).bytes();
        let stays = is_served(&mut wire, &again, "good").await;
        assert_eq!(stays, answer.complete, "{what}");
        scene.stays_good(&what).await;
        let other = scene.front.get("/proxy/other/a", &scene.token).send().await;
        assert_eq!(other.text(), "other", "{what}");
        let connections = scene.upstream.seen.connections();
        assert_eq!(connections == 1, *kept, "{what}: {connections} connections");
        scene.upstream.show(&scene.stack.oracle);
    }
}

/// HTTP/1 sends only those trailers that were announced, and HTTP/2 all.
#[tokio::test]
async fn trailers_pass_but_those_that_frame_authenticate_or_set_cookies() {
    let cases = cases();
    let case = cases.iter().find(|case| case.id == "U-035").unwrap();
    let scene = scene_of(case).await;
    let mut caller = Caller::connect(&scene.front).await;
    let asked = request("GET", "/proxy/svc/fault", &scene.token);
    let answer = caller.call(&scene.stack.oracle, asked, Body::empty()).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(answer.trailers, [("x-t".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn answers_that_could_be_read_in_two_ways_or_not_at_all() {
    let ok = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    for (name, answer) in [
        ("no HTTP", "220 mail.test ESMTP\r\n\r\n".to_owned()),
        (
            "10,000 header fields",
            ok(&("x: 1\r\n".repeat(10_000) + "content-length: 2\r\n"), "ok"),
        ),
        (
            "a header of 1 MiB",
            ok(
                &format!("x: {}\r\ncontent-length: 2\r\n", "a".repeat(1 << 20)),
                "ok",
            ),
        ),
        (
            "two lengths",
            ok("content-length: 2\r\ncontent-length: 3\r\n", "ok"),
        ),
        (
            "a length and chunks",
            ok(
                "content-length: 2\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
        ),
    ] {
        let scene = responding(answer, false).await;
        let answer = scene.play(name).await;
        assert_case_refused(&answer, 502, "PROXY_TARGET_ERROR", name);
    }
}

/// A caller, and every layer before it, has to hold all of a head.
#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_one_at_the_limit_passes() {
    // A field counts as its name, its value and 32 more; `content-length: 2` as 47.
    let padded = |size: usize| format!("x: {}\r\n", "a".repeat(size - 47 - 33));
    let fields = |count: usize| "x: 1\r\n".repeat(count - 1);
    let few = Limits::new().response_header_fields(10);
    let small = Limits::new().response_header_bytes(1000);
    let none = Limits::new();
    for (proxy, own, head, passes) in [
        (none, none, padded(64 << 10), true),
        (none, none, padded((64 << 10) + 1), false),
        (small, none, padded(1000), true),
        (small, none, padded(1001), false),
        (none, small, padded(1001), false),
        // The smaller of the two holds.
        (small, few.response_header_bytes(2000), padded(1001), false),
        (few, none, fields(10), true),
        (few, none, fields(11), false),
        (none, few, fields(11), false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\nok");
        let act = move |mut peer: Peer| {
            let answer = answer.clone();
            async move {
                peer.write(answer).await;
                Some(peer)
            }
        };
        let scene = before(fault(act))
            .await
            .policy(Policy::new().limits(own))
            .limits(proxy)
            .start()
            .await;
        let request = scene.front.get("/proxy/svc/fault", &scene.token);
        let response = request.send().await;
        if passes {
            assert_eq!((response.status, response.text()), (200, "ok"));
            assert!(!response.values("x").is_empty());
        } else {
            assert_refused(&response, 502, "PROXY_TARGET_ERROR");
            assert!(response.values("x").is_empty());
            assert_eq!(scene.reasons(), "upstream: too large");
        }
        scene.stays_good("the next response").await;
    }
}

/// What comes after an answer is nobody's: the next request must not be given it.
#[tokio::test]
async fn bytes_after_an_answer_are_no_answer_to_the_next_request() {
    let planted = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nplanted";
    let scene = responding(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello{planted}"),
        false,
    );
    let fault = "more than the length that was announced";
    let answer = scene.await.play(fault).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));

    for status in ["204 No Content", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 44\r\n\r\n{planted}");
        let scene = responding(answer, false).await;
        let answer = match status {
            "204 No Content" => scene.play("a body where there is none").await,
            _ => {
                let request = scene.front.get("/proxy/svc/fault", &scene.token);
                let answer = request.send().await;
                scene.stays_good(status).await;
                assert_eq!(scene.upstream.seen.connections(), 2);
                answer
            }
        };
        assert_eq!((answer.body.len(), answer.complete), (0, true), "{status}");
    }
}

#[tokio::test]
async fn what_only_looks_odd_passes() {
    let scene = failing(async |mut peer| {
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" {
            peer.write([*byte]).await;
            tokio::task::yield_now().await;
        }
        Some(peer)
    });
    let answer = scene.await.play("an answer byte by byte").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));

    let scene = failing(async |mut peer| {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .await;
        peer.half_close().await;
        None
    });
    let fault = "the upstream ends its direction after its answer";
    let answer = scene.await.play(fault).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}
