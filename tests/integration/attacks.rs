//! What attackers tried: each of these once looked like a way in.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sallygate::{
    Body, Client, Context, Credential, Outcome, Policy, ProxyLayer, Service, ServiceConfig, Target,
    TransformError, async_trait,
    proxy::Limits,
    service::Place,
    token::{Claims, TokenError, Verifier},
};

use crate::support::{Answer, Authority, Reply, Secure, Slot, Stack, Upstream};

/// What the caller gets when the upstream's head has these lines.
async fn answered(stack: &Stack) -> Answer {
    let front = stack.front().await;
    front.get("/proxy/svc/a", &stack.token()).send().await
}

async fn with_head(head: &'static str) -> (Stack, Answer) {
    let stack = Stack::answering(move |_| Reply::response(head, "body")).await;
    let answer = answered(&stack).await;
    (stack, answer)
}

#[tokio::test]
async fn a_token_within_a_token_does_not_survive_its_removal() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let token = stack.token();
    let (half, rest) = token.split_at(token.len() / 2);
    let encoded = token.replace('.', "%2e");
    for path in [
        format!("/a/{half}{token}{rest}/b"),
        format!("/a/{token}{encoded}/b"),
        format!("/a/{encoded}-{token}/b?x=1"),
    ] {
        let answer = front.get(&format!("/proxy/svc{path}"), &token).send().await;
        assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    }
    let requests = stack.upstream.requests();
    let lines = requests
        .iter()
        .map(|request| request.line().replace("%2e", "."));
    let showing = lines.filter(|line| line.contains(&token)).count();
    assert_eq!(showing, 0, "of {} requests", requests.len());
    let answer = front.get("/proxy/svc/a/b", &token).send().await;
    assert_eq!(answer.status, 200);
}

/// Tokens of the host's own, from a table of one.
struct Opaque(&'static str);

#[async_trait]
impl Verifier for Opaque {
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError> {
        if token != self.0 {
            return Err(TokenError::Unknown);
        }
        let expires_at = now + std::time::Duration::from_secs(60);
        Claims::new("box", expires_at)
            .map(Arc::new)
            .map_err(|_| TokenError::Claim)
    }
}

#[tokio::test]
async fn a_token_with_slashes_is_removed_from_the_path_too() {
    const TOKEN: &str = "q0S/8fB+7tLkz/Yw2mXc==";
    let stack = Stack::new().await;
    let layer = ProxyLayer::new("/proxy", Opaque(TOKEN))
        .unwrap()
        .service("svc", stack.svc())
        .unwrap();
    let front = stack.serve(layer.into_service()).await;
    let answer = front.get("/proxy/svc/a", TOKEN).send().await;
    assert_eq!(answer.status, 200);
    let answer = front
        .get(&format!("/proxy/svc/a/{TOKEN}/b"), TOKEN)
        .send()
        .await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    for request in stack.upstream.requests() {
        assert!(!request.line().contains(TOKEN), "{}", request.line());
    }
}

#[tokio::test]
async fn a_header_let_through_shows_no_token_in_basic_or_percent_encoding_either() {
    let stack = Stack::new().await;
    let policy = Policy::new()
        .pass_request_headers([
            AUTHORIZATION,
            HeaderName::from_static("cookie"),
            HeaderName::from_static("referer"),
        ])
        .unwrap();
    let config = Service::query(stack.target(), "key", stack.key.clone())
        .unwrap()
        .accept(Place::basic("").unwrap())
        .policy(policy);
    stack
        .upstream
        .accept(Slot::Query("key").show(&stack.secret_key));
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    let encoded = token.replace('.', "%2E");
    let basic = format!("Basic {}", STANDARD.encode(format!("git:{token}")));
    let request = front
        .request("GET", "/proxy/svc/a")
        .header("authorization", &basic)
        .header("cookie", format!("t={encoded}"))
        .header("referer", format!("https://app.test/?t={encoded}"))
        .header("x-kept", "1");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.authorized && sent.has("x-kept"));
    let names = ["authorization", "cookie", "referer"];
    let showing: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(showing.is_empty(), "{showing:?}");
}

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
        let config = Service::bearer(stack.target(), Credential::new(key).unwrap());
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
    let config = Service::bearer(stack.target(), Credential::new(KEY).unwrap());
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
async fn caches_that_listen_to_other_headers_keep_nothing_either() {
    let (_stack, answer) = with_head(
        "200 OK\ncache-control: public, max-age=60\ncdn-cache-control: max-age=600\nsurrogate-control: max-age=600, content=\"ESI/1.0\"\ncloudflare-cdn-cache-control: max-age=600\nvercel-cdn-cache-control: max-age=600\nedge-control: cache-maxage=60m\nx-litespeed-location: /etc/passwd\nx-sendfile-temporary: /etc/passwd\nx-kept: 1",
    )
    .await;
    assert_eq!(answer.header("cache-control"), Some("private, max-age=60"));
    assert_eq!(answer.header("x-kept"), Some("1"));
    let names = [
        "cdn-cache-control",
        "surrogate-control",
        "cloudflare-cdn-cache-control",
        "vercel-cdn-cache-control",
        "edge-control",
        "x-litespeed-location",
        "x-sendfile-temporary",
    ];
    let left: Vec<_> = names
        .iter()
        .filter(|name| answer.header(name).is_some())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn active_content_is_sandboxed_however_it_is_declared() {
    let mut free = Vec::new();
    for head in [
        "200 OK\ncontent-type: text/plain\ncontent-type: text/html",
        "200 OK\ncontent-type: application/xml",
        "200 OK\ncontent-type: text/xml; charset=utf-8",
        "200 OK\ncontent-type: application/rss+xml",
        "200 OK\ncontent-type: Text/HTML\t;charset=utf-8",
    ] {
        let (_stack, answer) = with_head(head).await;
        assert_eq!(answer.status, 200);
        if answer.header("content-security-policy") != Some("sandbox") {
            free.push(head);
        }
    }
    assert!(free.is_empty(), "{free:?}");
}

#[tokio::test]
async fn references_do_not_climb_to_the_host_application() {
    let mut passed = Vec::new();
    for reference in [
        "/v1/%2e%2e/%2E./admin",
        "/v1/.%2e/.%2e/admin",
        "%2e%2e/%2e%2e/%2e%2e/admin",
        "/v1/.\t./.\t./admin",
        "http:/admin",
        "http:admin",
        "HTTPS:/admin",
        "/v1/../../admin/a://b",
        "../../../admin/a://b",
    ] {
        let head = format!("302 Found\nlocation: {reference}\ncontent-location: {reference}");
        let stack = Stack::answering(move |_| Reply::response(&head, "body")).await;
        let answer = answered(&stack).await;
        assert_eq!(answer.status, 302);
        if answer.header("location").is_some() || answer.header("content-location").is_some() {
            passed.push(reference);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn links_do_not_climb_to_the_host_application() {
    let mut passed = Vec::new();
    for reference in [
        "/v1/../../../admin",
        "../../../admin",
        "/v1/%2e%2e/%2e%2e/admin",
        "/v1/../../admin/a://b",
    ] {
        let head = format!("200 OK\nlink: <{reference}>; rel=next");
        let stack = Stack::answering(move |_| Reply::response(&head, "body")).await;
        let answer = answered(&stack).await;
        assert_eq!(answer.status, 200);
        let link = answer.header("link").unwrap_or_default().to_owned();
        if link.contains("admin") {
            passed.push(link);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn the_body_of_a_get_without_a_length_is_not_lost() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/_search", &stack.token())
        .header("transfer-encoding", "chunked");
    let mut wire = front.connect().await;
    wire.send([request.bytes(), b"3\r\nabc\r\n0\r\n\r\n".to_vec()].concat())
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(stack.upstream.last().body, b"abc");
}

/// Counts what it is asked, and never has an answer.
#[derive(Clone, Default)]
struct Down(Arc<AtomicUsize>);

#[async_trait]
impl Verifier for Down {
    async fn verify(&self, _: &str, _: SystemTime) -> Result<Arc<Claims>, TokenError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(TokenError::Unavailable)
    }
}

#[tokio::test]
async fn a_token_in_another_services_place_does_not_tell_which_services_exist() {
    let stack = Stack::new().await;
    let asked = Down::default();
    let layer = stack.layer();
    layer.handle().set_verifier(asked.clone());
    let front = stack.serve(layer.into_service()).await;
    let mut seen = Vec::new();
    for service in ["svc", "nothing"] {
        let before = asked.0.load(Ordering::SeqCst);
        let request = front
            .request("GET", &format!("/proxy/{service}/a"))
            .header("x-other-key", "garbage");
        let answer = request.send().await;
        let asked = asked.0.load(Ordering::SeqCst) - before;
        seen.push((answer.status, answer.code(), asked));
    }
    assert_eq!(seen[0], seen[1], "one exists, the other does not");
    assert!(stack.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_connection_with_an_ambiguous_answer_is_not_used_again() {
    let mut used_again = Vec::new();
    for head in [
        "200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
    ] {
        let upstream = Upstream::scripted(move |request| {
            if request.line().contains("/bad") {
                Reply::Bytes(format!("HTTP/1.1 {head}").into_bytes())
            } else {
                Reply::ok("good")
            }
        })
        .await;
        let stack = Stack::upon(upstream).await;
        let front = stack.front().await;
        let token = stack.token();
        assert_eq!(
            front.get("/proxy/svc/good", &token).send().await.status,
            200
        );
        let before = stack.upstream.connections();
        assert_eq!(front.get("/proxy/svc/bad", &token).send().await.status, 502);
        let answer = front.get("/proxy/svc/good", &token).send().await;
        assert_eq!((answer.status, answer.text()), (200, "good"));
        if stack.upstream.connections() == before {
            used_again.push(head);
        }
    }
    assert!(used_again.is_empty(), "{used_again:?}");
}

#[tokio::test]
async fn surplus_bytes_behind_an_answer_are_nobodys_answer() {
    let upstream = Upstream::scripted(|request| {
        if request.line().contains("/first") {
            let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst{poison}");
            Reply::Bytes(answer.into_bytes())
        } else {
            Reply::ok("second")
        }
    })
    .await;
    let stack = Stack::upon(upstream).await;
    let front = stack.front().await;
    for _ in 0..20 {
        let answer = front.get("/proxy/svc/first", &stack.token()).send().await;
        assert_eq!(answer.text(), "first");
        let answer = front.get("/proxy/svc/second", &stack.token()).send().await;
        assert_eq!((answer.status, answer.text()), (200, "second"));
    }
}

#[tokio::test]
async fn early_hints_of_the_upstream_go_no_further() {
    let stack = Stack::answering(|request| {
        let key = request.values("authorization")[0].to_owned();
        let hints = format!("HTTP/1.1 103 Early Hints\r\nx-key: {key}\r\n\r\n").repeat(50);
        Reply::Bytes(format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").into_bytes())
    })
    .await;
    let front = stack.front().await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    let head = wire.raw_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[tokio::test]
async fn challenges_for_a_connection_are_removed_from_a_list_too() {
    let mut passed = Vec::new();
    for head in [
        "401 Unauthorized\nwww-authenticate: Basic realm=\"a\", NTLM",
        "401 Unauthorized\nwww-authenticate: Negotiate,Basic realm=\"a\"",
        "401 Unauthorized\nwww-authenticate: NTLM\tTlRMTVNTUAAC",
    ] {
        let (_stack, answer) = with_head(head).await;
        assert_eq!(answer.status, 401);
        let left = answer
            .values("www-authenticate")
            .join(" ")
            .to_ascii_lowercase();
        if left.contains("ntlm") || left.contains("negotiate") {
            passed.push(left);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn a_key_in_a_query_stands_alone_against_other_spellings_of_its_name() {
    let stack = Stack::new().await;
    let config = Service::query(stack.target(), "key", stack.key.clone()).unwrap();
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
        assert!(matches!(answer.status, 200 | 400), "{query}");
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

#[tokio::test]
async fn lengths_of_answers_without_a_body_leave_the_connection_in_step() {
    for head in [
        "204 No Content\r\ncontent-length: 50",
        "204 No Content\r\ntransfer-encoding: chunked",
        "304 Not Modified\r\ncontent-length: 50",
        "304 Not Modified\r\ncontent-length: abc",
        "304 Not Modified\r\ncontent-length: 5, 6",
        "200 OK\r\ncontent-length: 0, 0",
        "205 Reset Content\r\ncontent-length: 0",
    ] {
        let upstream = Upstream::scripted(move |request| {
            if request.line().contains("/odd") {
                Reply::Bytes(format!("HTTP/1.1 {head}\r\n\r\n").into_bytes())
            } else {
                Reply::ok("even")
            }
        })
        .await;
        let stack = Stack::upon(upstream).await;
        let front = stack.front().await;
        let token = stack.token();
        let mut wire = front.connect().await;
        wire.send(front.get("/proxy/svc/odd", &token).bytes()).await;
        let answer = wire.answer().await;
        if answer.status == 204 {
            assert_eq!(answer.header("content-length"), None, "{head}");
        }
        if let Some(length) = answer.header("content-length") {
            assert!(length.parse::<u64>().is_ok(), "{head}: {length}");
        }
        wire.send(front.get("/proxy/svc/even", &token).bytes())
            .await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "even"), "{head}");
    }
}

#[tokio::test]
async fn other_spellings_of_a_header_are_no_way_round_cgi() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let request = front
        .get("/proxy/svc/a", &stack.token())
        .header("x.api.key", "k")
        .header("x!other!key", "k")
        .header("x.forwarded.for", "1.2.3.4")
        .header("x-kept", "1");
    assert_eq!(request.send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.has("x-kept"));
    let names = ["x.api.key", "x!other!key", "x.forwarded.for"];
    let left: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_identity_aware_front_servers_add_stays_here() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let names = [
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-amzn-oidc-accesstoken",
        "x-amzn-oidc-data",
        "x-ms-token-aad-access-token",
        "x-ms-client-principal",
        "x-auth-request-access-token",
        "x-azure-clientip",
        "fly-client-ip",
        "client-ip",
        "x-remote-user",
        "remote-user",
        "client-cert",
        "x-envoy-original-path",
    ];
    let request = front.get("/proxy/svc/a", &stack.token());
    let request = names
        .iter()
        .fold(request, |request, name| request.header(name, "x"));
    assert_eq!(request.header("x-kept", "1").send().await.status, 200);
    let sent = stack.upstream.last();
    assert!(sent.has("x-kept"));
    let left: Vec<_> = names.iter().filter(|name| sent.has(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_callers_token_is_hidden_in_debug_of_what_the_service_is_told() {
    let stack = Stack::new().await;
    let oracle = stack.oracle.clone();
    let key = stack.key.clone();
    let config = Service::from_fn(stack.target(), move |mut request, ctx| {
        oracle.saw_debug(&ctx.taken_headers());
        oracle.saw_debug(&request);
        request
            .headers_mut()
            .insert(AUTHORIZATION, key.bearer(ctx)?);
        Ok(request.into())
    });
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(stack.oracle.leaks(), [""; 0]);
}

#[tokio::test]
async fn more_headers_than_a_map_can_hold_cost_one_request() {
    let stack = Stack::new().await;
    let limits = Limits::new()
        .header_fields(usize::MAX)
        .header_bytes(usize::MAX);
    let service = stack.layer().limits(limits).unwrap().into_service();
    let token = stack.token();
    for (values, statuses) in [(20_000, &[200][..]), (30_000, &[431, 500][..])] {
        let mut request = http::Request::builder()
            .uri("/proxy/svc/a")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        for _ in 0..values {
            let value = HeaderValue::from_static("1");
            request.headers_mut().append("x-many", value);
        }
        let answer = stack.call(service.clone(), request).await;
        assert!(statuses.contains(&answer.status), "{values}");
    }
    let front = stack.front().await;
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 200);
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
    let config = Service::query(target, "key", stack.key.clone()).unwrap();
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
    let config = Service::from_fn(stack.target(), move |mut request, ctx| {
        key.set_query(ctx, request.uri_mut(), "key")?;
        Ok(request.into())
    });
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
    let config = Service::header(stack.target(), AUTHORIZATION, credential).unwrap();
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
    assert!(stack.upstream.last().authorized);
}

/// A service whose policy cannot be had once it is broken.
struct Breakable {
    service: Service,
    broken: Arc<AtomicUsize>,
}

#[async_trait]
impl ServiceConfig for Breakable {
    fn target(&self) -> &Target {
        self.service.target()
    }

    fn validate<'r>(&self, request: &'r http::request::Parts) -> Option<Cow<'r, str>> {
        self.service.validate(request)
    }

    async fn transform(
        &self,
        request: http::Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        self.service.transform(request, ctx).await
    }

    fn policy(&self) -> &Policy {
        assert_eq!(self.broken.load(Ordering::SeqCst), 0, "broken");
        ServiceConfig::policy(&self.service)
    }
}

#[tokio::test]
async fn a_policy_that_panics_costs_one_request_and_not_the_connection() {
    let stack = Stack::new().await;
    let broken = Arc::<AtomicUsize>::default();
    let config = Breakable {
        service: stack.svc(),
        broken: broken.clone(),
    };
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let bytes = front.get("/proxy/svc/a", &stack.token()).bytes();
    let mut wire = front.connect().await;
    wire.send(&bytes).await;
    assert_eq!(wire.answer().await.status, 200);
    broken.store(1, Ordering::SeqCst);
    wire.send(&bytes).await;
    let answer = wire.answer().await;
    assert!(matches!(answer.status, 200 | 500), "{}", answer.status);
    broken.store(0, Ordering::SeqCst);
    wire.send(&bytes).await;
    assert_eq!(wire.answer().await.status, 200);
}
