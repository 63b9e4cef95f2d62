use http::header::AUTHORIZATION;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sallygate::{Api, Body, Client, Credential, Place, Target};
use sallygate_test_support::{Authority, Reply, Secure, Slot, Stack};

#[tokio::test]
async fn a_key_that_only_partly_needs_escapes_is_redacted() {
    let mut shown = Vec::new();
    const KEYS: [&str; 2] = ["AKz+/9f=0aQ+/e21==Zx8", "p@ss/w0rd+~key$1;2,3"];
    for key in KEYS {
        let stack = Stack::answering(move |_| {
            let all = percent_encode(key.as_bytes(), NON_ALPHANUMERIC).to_string();
            // Python's `quote` leaves the slash, JavaScript's `encodeURI` the reserved characters but `+` is often mended.
            let quoted = all.replace("%2F", "/");
            let plus = key.replace('+', "%2b");
            let json = key.replace('/', "\\/");
            Reply::response(
                &format!(
                    "302 Found\nlocation: /v1/b?key={quoted}\nx-plus: {plus}\nx-twice: {}\nx-json: \"{json}\"",
                    all.replace('%', "%25"),
                ),
                "body",
            )
        })
        .await;
        stack.upstream.accept(Slot::Bearer.show(key));
        let config = Api::bearer(stack.target(), Credential::new(key).unwrap());
        let front = stack
            .serve(stack.layer_with("svc", config).into_service())
            .await;
        let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
        assert_eq!(answer.status, 302);
        for name in ["location", "x-plus", "x-twice", "x-json"] {
            if answer.header(name) != Some("[redacted]") {
                shown.push((name, key));
            }
        }
    }
    assert!(shown.is_empty(), "{shown:?}");
}

#[tokio::test]
async fn a_header_whose_name_shows_the_credential_is_removed() {
    const KEY: &str = "7d0f3c6be1a94c25b8f2d3770e6a91c4";
    let stack =
        Stack::answering(|_| Reply::response(&format!("200 OK\nx-{KEY}: 1\nx-kept: 1"), "body"))
            .await;
    stack.upstream.accept(Slot::Bearer.show(KEY));
    let config = Api::bearer(stack.target(), Credential::new(KEY).unwrap());
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.header("x-kept"), Some("1"));
    assert!(!answer.fields.iter().any(|(name, _)| name.contains(KEY)));
}

#[tokio::test]
async fn a_trailer_does_not_stand_in_for_an_injected_header() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("transfer-encoding", "chunked")
        .header("te", "trailers")
        .header("trailer", "x-other-key, x_other_key, x-sum");
    let mut bytes = request.bytes();
    bytes.splice(..3, *b"PUT");
    bytes.extend_from_slice(
        b"1\r\nZ\r\n0\r\nx-other-key: evil\r\nx_other_key: evil\r\nx-sum: 1\r\n\r\n",
    );
    let mut wire = front.connect().await;
    wire.send(bytes).await;
    assert_eq!(wire.answer().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.complete);
    assert_eq!(sent.trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_key_in_a_query_stands_alone_against_other_spellings_of_its_name() {
    let stack = Stack::new().await;
    let config = Api::query(stack.target(), "key", stack.key.clone()).unwrap();
    stack
        .upstream
        .accept(Slot::Query("key").show(&stack.secret_key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    for query in ["key=evil", "k%65y=evil", "KEY=evil", "x=1;key=evil"] {
        let answer = front
            .get(&format!("/proxy/svc/a?{query}"), &token)
            .send()
            .await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{query}");
    }
    let requests = stack.upstream.requests();
    let mut past: Vec<_> = requests.iter().map(|request| request.line()).collect();
    past.retain(|line| line.contains("evil"));
    let shown: Vec<_> = past
        .iter()
        .map(|line| {
            line.replace(
                &percent_encode(stack.secret_key.as_bytes(), NON_ALPHANUMERIC).to_string(),
                "…",
            )
        })
        .collect();
    assert!(past.is_empty(), "{shown:?}");
}

/// The path of a request over HTTP/2 is logged by nobody, the key in it least of all.
#[tokio::test]
async fn a_key_in_a_query_over_http2_is_in_no_log_and_in_no_answer() {
    let stack = Stack::new().await;
    let authority = Authority::new();
    let key = stack.secret_key.clone();
    let upstream = Secure::new(authority.server("127.0.0.1", &["h2"]), move |received| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-key", key.parse().unwrap());
        let body = http_body_util::StreamBody::new(futures_util::stream::iter([
            Ok::<_, std::convert::Infallible>(http_body::Frame::data("body".into())),
            Ok(http_body::Frame::trailers(trailers)),
        ]));
        http::Response::builder()
            .header("x-uri", received.uri.to_string())
            .header("location", received.uri.to_string())
            .body(Body::new(body))
            .unwrap()
    })
    .await;
    upstream.accept(Slot::Query("key").show(&stack.secret_key));
    let target = Target::new(&format!("https://127.0.0.1:{}/v1", upstream.addr.port())).unwrap();
    let client = Client::new().add_root_certificates(&authority.pem).unwrap();
    let config = Api::query(target, "key", stack.key.clone()).unwrap();
    let layer = stack.layer_with("q", config).client(client);
    let front = stack.serve(layer.into_service()).await;
    let answer = front
        .get("/proxy/q/a?b=c", &stack.token())
        .header("te", "trailers")
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (200, "body"));
    assert_eq!(upstream.last().version, http::Version::HTTP_2);
    assert_eq!(answer.header("x-uri"), Some("[redacted]"));
    assert_eq!(answer.header("location"), Some("[redacted]"));
    assert_eq!(stack.oracle.leaks(), [""; 0]);
    stack.saw_secure("q", &upstream);
}

#[tokio::test]
async fn setting_a_key_in_the_query_replaces_what_the_caller_put_there() {
    let stack = Stack::new().await;
    let key = stack.key.clone();
    let place = Place::query("key").unwrap();
    let config = Api::from_fn(stack.target(), |request, _| Ok(request.into()))
        .inject(sallygate::Injection::new(place, key));
    stack
        .upstream
        .accept(Slot::Query("key").show(&stack.secret_key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front
        .get("/proxy/svc/a?key=evil&b=c", &stack.token())
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let line = stack.upstream.last().line().to_owned();
    assert!(
        line.starts_with("GET /v1/a?b=c&key="),
        "an evil key is first"
    );
}

#[tokio::test]
async fn a_key_with_a_scheme_of_its_own_takes_a_bearer_token() {
    let stack = Stack::new().await;
    let key = stack.oracle.secret("key with a scheme");
    let credential = Credential::new(format!("Token {key}")).unwrap();
    stack
        .upstream
        .accept(format!("\r\nauthorization: Token {key}\r\n"));
    let config = Api::header(stack.target(), AUTHORIZATION, credential);
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
    assert!(stack.upstream.last().authorized);
}
