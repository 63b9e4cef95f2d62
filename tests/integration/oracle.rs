use std::io::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use flate2::{Compression, write::GzEncoder};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sallygate_test_support::{Oracle, Slot, Stack};

/// What `plant` does with a secret must be found, and only that.
fn finds(plant: impl FnOnce(&Oracle, &str)) {
    let oracle = Oracle::new();
    let (secret, bystander) = (oracle.secret("planted"), oracle.secret("bystander"));
    plant(&oracle, &secret);
    let leaks = oracle.leaks();
    assert!(
        leaks.iter().any(|leak| leak.starts_with("planted, ")),
        "{leaks:?}"
    );
    assert!(
        leaks
            .iter()
            .all(|leak| !leak.contains(&secret) && !leak.contains("bystander")),
        "{leaks:?}"
    );
    drop(bystander);
    // The drop would panic, as it should.
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(oracle)));
    assert!(dropped.is_err());
}

#[test]
fn every_form_of_a_planted_secret_is_found() {
    let around = |text: String| format!("some text before {text} and after");
    finds(|oracle, secret| oracle.saw("x", around(secret.into())));
    finds(|oracle, secret| oracle.saw("x", around(secret.to_uppercase())));
    finds(|oracle, secret| oracle.saw("x", around(secret[17..29].into())));
    finds(|oracle, secret| oracle.saw("x", around(secret.chars().rev().collect())));
    finds(|oracle, secret| {
        oracle.saw(
            "x",
            around(secret.bytes().map(|b| format!("{b:02X}")).collect()),
        )
    });
    finds(|oracle, secret| {
        oracle.saw(
            "x",
            around(percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string()),
        );
    });
    for before in ["", "a", "ab", "user:"] {
        finds(|oracle, secret| {
            oracle.saw("x", around(STANDARD.encode(format!("{before}{secret}!"))))
        });
        finds(|oracle, secret| {
            oracle.saw(
                "x",
                around(URL_SAFE_NO_PAD.encode(format!("{before}{secret}"))),
            )
        });
    }
    finds(|oracle, secret| {
        let mut gzip = GzEncoder::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Compression::best());
        gzip.write_all(around(secret.into()).as_bytes()).unwrap();
        oracle.saw("x", gzip.finish().unwrap());
    });
}

#[test]
fn json_escapes_do_not_hide_a_secret() {
    let oracle = Oracle::new();
    oracle.watch("planted", "a\"b\\c/d\"e\\f/g\"h\\i/j");
    oracle.saw("x", r#"{"message":"no a\"b\\c\/d\"e\\f\/g\"h\\i\/j here"}"#);
    assert!(!oracle.leaks().is_empty());
    std::mem::forget(oracle);
}

#[test]
fn a_secret_in_the_log_in_debug_or_in_a_panic_is_found() {
    finds(|_, secret| tracing::trace!(header = secret, "sent"));
    finds(|oracle, secret| oracle.saw_debug(&Some(secret)));
    finds(|oracle, secret| oracle.saw_display(&secret));
    finds(|_, secret| {
        let _ = std::panic::catch_unwind(|| panic!("cannot use {secret}"));
    });
}

#[test]
fn a_credential_may_stand_in_its_slot_once_and_nowhere_else() {
    let oracle = Oracle::new();
    let secret = oracle.secret("planted");
    for slot in [
        Slot::Bearer,
        Slot::Header("x-key"),
        Slot::Basic("u"),
        Slot::Query("key"),
    ] {
        let shown = slot.show(&secret);
        oracle.saw_request(
            "x",
            format!("GET / HTTP/1.1{shown}\r\n\r\n").as_bytes(),
            &[shown],
        );
    }
    assert_eq!(oracle.leaks(), [""; 0]);

    let shown = Slot::Bearer.show(&secret);
    oracle.saw_request("x", format!("{shown}{shown}").as_bytes(), &[shown]);
    assert!(!oracle.leaks().is_empty());
    std::mem::forget(oracle);
    finds(|oracle, secret| oracle.saw_request("y", Slot::Bearer.show(secret).as_bytes(), &[]));
}

#[test]
fn tokens_share_their_header_and_nothing_else() {
    let oracle = Oracle::new();
    oracle.watch_token(
        "eyJhbGciOiJIUzI1NiJ9.eyJzYW5kYm94SWQiOiJib3gifQ.c2lnbmF0dXJlIG9mIHRoZSBmaXJzdA",
    );
    oracle.saw("x", "eyJhbGciOiJIUzI1NiJ9");
    assert_eq!(oracle.leaks(), [""; 0]);
    oracle.saw("x", "c2lnbmF0dXJlIG9mIHRoZSBmaXJzdA");
    assert!(!oracle.leaks().is_empty());
    std::mem::forget(oracle);
}

#[tokio::test]
async fn an_answer_that_shows_the_token_fails_the_test() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(stack.upstream.last().line(), "GET /v1/a HTTP/1.1");
    assert_eq!(stack.oracle.leaks(), [""; 0]);

    stack.oracle.saw("x", format!("your token was {token}"));
    drop(front);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stack)));
    assert!(dropped.is_err());
}
