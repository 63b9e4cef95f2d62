//! `[limits]`, and what a service's table says of how much, how long and how many.

use std::net::TcpListener;

use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use sallygate::Body;
use sallygate_test_support::{Answer, PATIENCE, Reply, Upstream, within};

use super::{TOKEN, held_back, refusals::refused};
use crate::process::{Gateway, Site, client};

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
    let answer = Answer::of(&sallygate_test_support::Oracle::new(), answer).await;
    (answer.status, answer.code_if_any())
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
        let limit = format!("response_bytes = {bytes}\n");
        for file in [
            site.bounded("", &limit),
            site.bounded(&format!("[limits]\n{limit}"), ""),
        ] {
            let gateway = site.start(&file).await;
            let answer = gateway.get("/proxy/up/a", &token).await;
            assert_eq!(answer.status, status, "{file}");
        }
    }
}

#[tokio::test]
async fn paths_are_as_long_as_the_file_says() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    for (top, longest) in [
        ("", 16 << 10),
        ("[limits]\nuri_bytes = 1000\n", 1000),
        ("[limits]\nuri_bytes = 60000\n", 60_000),
    ] {
        let gateway = site.start(&site.bounded(top, "")).await;
        let path = |length: usize| {
            let begin = "/proxy/up/";
            begin.to_owned() + &"a".repeat(length - begin.len())
        };
        let answer = gateway.get(&path(longest), &token).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{top}");
        let answer = gateway.get(&path(longest + 1), &token).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (414, "PROXY_URI_TOO_LONG"),
            "{top}"
        );
        assert_eq!(
            site.upstream.last().line().len(),
            "GET /v1/ HTTP/1.1".len() + longest - "/proxy/up/".len()
        );
    }
    let good = site.bounded("", "header_fields = 50\n");
    let said = "services.up.uri_bytes: expected no such key, only";
    refused(&site, &good, "header_fields", "uri_bytes", said).await;
}

/// A request with so many header fields besides those it needs, each with so long a value.
fn with_fields(
    request: http::request::Builder,
    many: usize,
    long: usize,
) -> http::request::Builder {
    let value = "a".repeat(long);
    (0..many).fold(request, |request, number| {
        request.header(format!("x-{number}"), &value)
    })
}

#[tokio::test]
async fn headers_are_as_many_and_as_large_as_the_file_says() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    for (top, more, passes, refused) in [
        ("", "header_fields = 50\n", (40, 100), (60, 1)),
        ("", "header_bytes = 8000\n", (40, 100), (1, 8000)),
        ("[limits]\nheader_fields = 50\n", "", (40, 100), (60, 1)),
        ("[limits]\nheader_bytes = 8000\n", "", (40, 100), (1, 8000)),
        // What holds for all is no less for one of them.
        (
            "[limits]\nheader_fields = 50\n",
            "header_fields = 90\n",
            (40, 100),
            (60, 1),
        ),
        (
            "[limits]\nheader_fields = 1000\nheader_bytes = 262144\n",
            "",
            (900, 200),
            (900, 300),
        ),
    ] {
        let gateway = site.start(&site.bounded(top, more)).await;
        let ask = async |(many, long)| {
            let request = gateway.authorized("GET", "/proxy/up/a", &token);
            gateway.send(with_fields(request, many, long)).await
        };
        let answer = ask(passes).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "hello"),
            "{top}{more}"
        );
        let last = format!("x-{}", passes.0 - 1);
        assert_eq!(site.upstream.last().values(&last), ["a".repeat(passes.1)]);
        let received = site.upstream.requests().len();
        let answer = ask(refused).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (431, "PROXY_HEADERS_TOO_LARGE"),
            "{top}{more}"
        );
        assert_eq!(site.upstream.requests().len(), received, "{top}{more}");
    }
}

#[tokio::test]
async fn headers_of_responses_are_as_many_and_as_large_as_the_file_says() {
    // Two fields, beside content-length: of 2, 5 and 32 bytes each.
    let site =
        Site::answering(|_| Reply::response("200 OK\r\nx-0: 00001\r\nx-1: 00001", "hello")).await;
    let token = site.token(TOKEN).await;
    for (key, enough) in [
        ("response_header_fields", 3),
        // content-length: 5 is 14 and 1 and 32.
        ("response_header_bytes", 2 * (3 + 5 + 32) + 14 + 1 + 32),
    ] {
        for (limit, status) in [(enough, 200), (enough - 1, 502)] {
            let limit = format!("{key} = {limit}\n");
            for file in [
                site.bounded("", &limit),
                site.bounded(&format!("[limits]\n{limit}"), ""),
            ] {
                let gateway = site.start(&file).await;
                let answer = gateway.get("/proxy/up/a", &token).await;
                assert_eq!(answer.status, status, "{file}");
            }
        }
    }
}

#[tokio::test]
async fn headers_over_http_2_are_as_large_as_the_file_says() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    let client = || {
        Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http::<Body>()
    };
    for (top, status) in [("", 431), ("[limits]\nheader_bytes = 262144\n", 200)] {
        let gateway = site.start(&site.bounded(top, "")).await;
        for (long, status) in [(10, 200), (3000, status)] {
            let request = gateway.authorized("GET", "/proxy/up/a", &token);
            let request = with_fields(request, 50, long).body(Body::empty()).unwrap();
            let answer = client().request(request).await.unwrap();
            assert_eq!(answer.status(), status, "{top}{long}");
            if status == 200 {
                assert_eq!(site.upstream.last().values("x-49"), ["a".repeat(long)]);
            }
        }
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

/// It is begun and left: the upstream's connection is free soon, and not after ten minutes.
#[tokio::test]
async fn answers_that_are_not_read_are_given_up_after_the_time_of_the_file() {
    for (top, more) in [
        ("[limits]\nunread_timeout = \"1s\"\n", ""),
        ("", "unread_timeout = \"1s\"\n"),
    ] {
        let flood = Upstream::with(|mut conn| async move {
            conn.read_request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n")
                .await;
            for _ in 0..1024 {
                conn.write(&[b'a'; 1 << 16]).await;
            }
        });
        let site = Site::upon(flood.await);
        let token = site.token(TOKEN).await;
        let gateway = site.start(&site.bounded(top, more)).await;
        let answer = gateway
            .begin(gateway.authorized("GET", "/proxy/up/a", &token))
            .await;
        assert_eq!(answer.status(), 200, "{top}{more}");
        site.upstream.until_deserted(PATIENCE).await;
        let read = answer.into_body().collect().await;
        assert!(read.is_err(), "{top}{more}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up_after_the_time_of_the_file() {
    let site = slow(false).await;
    let token = site.token(TOKEN).await;
    let limit = "response_timeout = \"1s\"\n";
    for file in [
        site.bounded("", limit),
        site.bounded(&format!("[limits]\n{limit}"), ""),
    ] {
        let gateway = site.start(&file).await;
        let answer = gateway.get("/proxy/up/a", &token).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (504, "PROXY_TARGET_TIMEOUT")
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_given_up_after_the_time_of_the_file() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    // It takes connections, and says nothing of TLS.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    let mute = |name: &str, more: &str| {
        format!(
            "[services.{name}]\ntarget = \"https://{address}\"\ninject = \"bearer\"\n\
             credential = {{ env = \"MY_API_KEY\" }}\n{more}"
        )
    };
    let timeout = "connect_timeout = \"1s\"\n";
    let services = [timeout, &mute("brief", timeout), &mute("usual", "")];
    let gateway = site.start(&site.bounded("", &services.concat())).await;
    let answer = tokio::select! {
        brief = gateway.get("/proxy/brief/a", &token) => brief,
        usual = gateway.get("/proxy/usual/a", &token) => panic!("sooner: {}", usual.status),
    };
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "PROXY_TARGET_TIMEOUT")
    );
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}

#[tokio::test]
async fn an_answer_outlives_its_token_for_the_time_of_the_file() {
    let (site, finish) = held_back::site().await;
    let service = |name: &str| {
        site.up()
            .replace("services.up", &format!("services.{name}"))
    };
    let services = [
        (service("brief"), "expiry_grace = \"1s\"\n"),
        (service("usual"), ""),
        (service("long"), "expiry_grace = \"1h\"\n"),
    ];
    let services = services.map(|(service, more)| service + more).concat();
    let gateway = site.start(&site.file(&services)).await;
    let options = [TOKEN, &["--expires-in", "5s"]].concat();
    let token = site.token_for(&site.file(&services), &options).await;
    let [brief, usual, long] = ["brief", "usual", "long"].map(|name| {
        let request = gateway.authorized("GET", &format!("/proxy/{name}/a"), &token);
        gateway.begin(request)
    });
    let (brief, usual, long) = tokio::join!(brief, usual, long);
    for answer in [&brief, &usual, &long] {
        assert_eq!(answer.status(), 200);
    }
    let (brief, mut usual) = (brief.collect(), std::pin::pin!(usual.collect()));
    tokio::select! {
        brief = within(PATIENCE, brief) => assert!(brief.is_err()),
        usual = &mut usual => panic!("sooner than the brief one: {usual:?}"),
    }
    assert!(within(PATIENCE, usual).await.is_err());
    finish.send(()).unwrap();
    let long = within(PATIENCE, long.collect()).await.unwrap();
    assert_eq!(long.to_bytes(), "firstlast");
    assert_eq!(gateway.get("/proxy/long/a", &token).await.status, 401);
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_the_file_says() {
    let site = slow(true).await;
    let token = site.token(TOKEN).await;
    let per_sandbox = (429, "PROXY_RATE_LIMITED");
    let in_all = (503, "PROXY_STATE_UNAVAILABLE");
    for (top, more, refusal) in [
        ("[limits]\nconcurrent_per_sandbox = 1\n", "", per_sandbox),
        ("[limits]\nconcurrent = 1\n", "", in_all),
        ("", "concurrent_per_sandbox = 1\n", per_sandbox),
        ("", "concurrent = 1\n", in_all),
    ] {
        let gateway = site.start(&site.bounded(top, more)).await;
        let ask = || gateway.begin(gateway.authorized("GET", "/proxy/up/a", &token));
        let first = ask().await;
        assert_eq!(first.status(), 200, "{top}{more}");
        let (status, code) = refusal;
        let second = ask().await;
        assert_eq!(second.status(), status, "{top}{more}");
        let second = Answer::of(&site.oracle, second).await;
        assert_eq!(second.code(), code, "{top}{more}");
        drop(first);
        within(PATIENCE, async { while ask().await.status() != 200 {} }).await;
    }
}
