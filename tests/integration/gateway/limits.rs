//! `[limits]`, and what a service's table says of how much, how long and how many.

use std::time::Duration;

use sallygate::Body;

use super::{
    TOKEN,
    process::{Gateway, Site, client},
};
use crate::support::{Answer, Upstream, within};

impl Site {
    /// The service `up` with these keys, besides those of the file.
    fn bounded(&self, top: &str, more: &str) -> String {
        self.file(&format!("{top}{}{more}", self.up()))
    }
}

async fn post(gateway: &Gateway, token: &str, length: usize) -> (u16, String) {
    let request = gateway
        .authorized("POST", "/proxy/up/a", token)
        .body(Body::from(vec![b'x'; length]))
        .unwrap();
    let answer = client().request(request).await.unwrap();
    let answer = Answer::of(&crate::support::Oracle::new(), answer).await;
    (answer.status, answer.code_if_any())
}

impl Answer {
    /// Of an answer that may be the upstream's.
    fn code_if_any(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn bodies_are_as_long_as_the_file_says() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    for (top, more) in [
        ("[limits]\nbody_bytes = 1000\n", ""),
        ("", "body_bytes = 1000\n"),
        ("[limits]\nbody_bytes = 1000\n", "body_bytes = 2000\n"),
    ] {
        let gateway = site.start(&site.bounded(top, more)).await;
        assert_eq!(post(&gateway, &token, 1000).await.0, 200, "{top}{more}");
        let refused = (413, "PROXY_BODY_TOO_LARGE".to_owned());
        assert_eq!(post(&gateway, &token, 1001).await, refused, "{top}{more}");
    }
    // `hello` is five.
    for (bytes, status) in [(5, 200), (4, 502)] {
        let file = site.bounded("", &format!("response_bytes = {bytes}\n"));
        let gateway = site.start(&file).await;
        let answer = gateway.get("/proxy/up/a", &token).await;
        assert_eq!(answer.status, status, "{bytes}");
    }
}

/// Takes requests and answers with the beginning of what does not end, or with nothing at all.
async fn slow(begins: bool) -> Site {
    Site::upon(
        Upstream::with(move |mut conn| async move {
            conn.read_request().await;
            if begins {
                conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
                    .await;
            }
            conn.closed().await;
        })
        .await,
    )
}

#[tokio::test]
async fn bodies_that_stand_still_are_given_up_after_the_time_of_the_file() {
    let site = slow(true).await;
    let token = site.token(TOKEN).await;
    for (top, more) in [
        ("[limits]\nidle_timeout = \"1s\"\n", ""),
        (
            "[limits]\nidle_timeout = \"1h\"\n",
            "idle_timeout = \"1s\"\n",
        ),
    ] {
        let gateway = site.start(&site.bounded(top, more)).await;
        let answer = gateway.get("/proxy/up/a", &token).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "hello"),
            "{top}{more}"
        );
        assert!(!answer.complete, "{top}{more}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up_after_the_time_of_the_file() {
    let site = slow(false).await;
    let token = site.token(TOKEN).await;
    let gateway = site
        .start(&site.bounded("", "response_timeout = \"1s\"\n"))
        .await;
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "PROXY_TARGET_TIMEOUT")
    );
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_the_file_says() {
    let site = slow(true).await;
    let token = site.token(TOKEN).await;
    for (top, more, status, code) in [
        (
            "[limits]\nconcurrent_per_sandbox = 1\n",
            "",
            429,
            "PROXY_RATE_LIMITED",
        ),
        ("", "concurrent = 1\n", 503, "PROXY_STATE_UNAVAILABLE"),
    ] {
        let gateway = site.start(&site.bounded(top, more)).await;
        let ask = || gateway.begin(gateway.authorized("GET", "/proxy/up/a", &token));
        let first = ask().await;
        assert_eq!(first.status(), 200, "{top}{more}");
        let answer = gateway.get("/proxy/up/a", &token).await;
        assert_eq!((answer.status, &*answer.code()), (status, code));
        drop(first);
        within(Duration::from_secs(20), async {
            while ask().await.status() != 200 {}
        })
        .await;
    }
}
