//! Known services and what a service may demand of its answers: ways past what is refused, and upstreams that do not end.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sallygate::{Api, Body, Limits, Outcome, Policy, Target, TransformError};
use sallygate_test_support::{Reply, Slot, Stack, Upstream, within};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream whose errors begin and do not end.
async fn unending_error() -> Stack {
    let upstream = Upstream::with(|mut conn| async move {
        while conn.read_request().await.is_some() {
            conn.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\nwrong key")
                .await;
            conn.closed().await;
        }
    });
    Stack::upon(upstream.await).await
}

#[tokio::test]
async fn an_error_that_is_read_for_keys_and_never_ends_is_given_up() {
    let stack = unending_error().await;
    let policy = Policy::new()
        .redact_errors()
        .limits(Limits::new().idle_timeout(Duration::from_millis(200)));
    let svc = stack.svc().replace_policy(policy);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let answer = front.get("/proxy/svc/a", &stack.token()).send().await;
    assert!(matches!(answer.status, 502 | 504), "{}", answer.status);
    assert!(!answer.text().contains("wrong key"));
    let answer = front.get("/proxy/other/a", &stack.token()).send().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_error_that_is_read_for_keys_and_never_ends_does_not_outlive_a_shutdown() {
    let stack = unending_error().await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let layer = stack.layer_with("svc", svc);
    let front = stack.serve(layer.clone().into_service()).await;
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &stack.token()).bytes())
        .await;
    stack.upstream.until(|requests| requests.len() == 1).await;
    assert_eq!(layer.handle().shutdown(Duration::from_millis(200)).await, 1);
    let head = within(PATIENCE, wire.raw_head()).await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 50"), "{head}");
}

#[tokio::test]
async fn an_error_that_is_left_out_is_not_announced() {
    let stack = Stack::answering(|_| {
        Reply::response(
            "403 Forbidden\ncontent-encoding: gzip\ncontent-type: text/plain\nx-kept: yes",
            b"\x1f\x8b\x08 and more",
        )
    })
    .await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let mut wire = front.connect().await;
    let request = front.get("/proxy/svc/a", &token).bytes();
    for _ in 0..2 {
        wire.send(&request).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.body.len()), (403, 0));
        assert_eq!(answer.header("x-kept"), Some("yes"));
        assert!(answer.complete);
        assert_eq!(answer.header("content-encoding"), None, "of nothing");
    }
    let stream = TokioIo::new(TcpStream::connect(front.addr).await.unwrap());
    let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}/proxy/svc/a", front.addr))
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 403);
    let body = within(PATIENCE, answer.into_body().collect()).await;
    assert_eq!(body.expect("in keeping with its length").to_bytes(), "");
}

#[tokio::test]
async fn an_error_that_shows_the_key_in_any_form_is_redacted_or_left_out() {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let stack = Stack::answering(|request| {
        let key = request.values("authorization")[0]
            .trim_start_matches("Bearer ")
            .to_owned();
        let hex: String = key.bytes().map(|byte| format!("{byte:02X}")).collect();
        let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let body = match request.line() {
            line if line.contains("raw") => format!("<key>{key}</key> and {key}{key}"),
            line if line.contains("base64") => STANDARD.encode(format!("user:{key}")),
            line if line.contains("hex") => hex,
            line if line.contains("percent") => percent,
            line if line.contains("case") => key.to_uppercase(),
            line if line.contains("half") => format!("{key}{}", STANDARD.encode(&key)),
            line if line.contains("long") => format!("{}{key}", "x".repeat(80 << 10)),
            _ => "nothing".into(),
        };
        Reply::response("401 Unauthorized", body)
    })
    .await;
    let svc = stack.svc().policy(|policy| policy.redact_errors());
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    for (form, status, body) in [
        ("raw", 401, "<key>[redacted]</key> and [redacted][redacted]"),
        ("base64", 401, ""),
        ("hex", 401, ""),
        ("percent", 401, ""),
        ("case", 401, ""),
        ("half", 401, ""),
        ("other", 401, "nothing"),
    ] {
        let answer = front
            .get(&format!("/proxy/svc/{form}"), &token)
            .send()
            .await;
        assert_eq!((answer.status, answer.text()), (status, body), "{form}");
        assert!(answer.complete);
    }
    let answer = front.get("/proxy/svc/long", &token).send().await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn what_a_known_service_refuses_is_refused_in_every_spelling() {
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let target =
        || Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr)).unwrap();
    let layer = Api::known_names().fold(stack.empty_layer(), |layer, name| {
        let service = match name {
            "github" => Api::github_at(target(), target(), key()),
            name => Api::known(name, key()).unwrap().with_target(target()),
        };
        layer.service(name, service).unwrap()
    });
    for name in ["x-api-key", "x-goog-api-key"] {
        let slot = Slot::Header(name).show(&stack.secret_key);
        stack.upstream.accept(slot);
    }
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let rows = [
        (
            "anthropic",
            "/v1/messages",
            &["/v1/organizations/api_keys", "/v1/oauth/token"][..],
        ),
        (
            "openai",
            "/v1/responses",
            &[
                "/v1/organization/admin_api_keys",
                "/v1/realtime/client_secrets",
                "/v1/chatkit/sessions/x/cancel",
            ],
        ),
        ("gemini", "/v1beta/models", &["/v1alpha/auth_tokens"]),
        (
            "stripe",
            "/v1/charges",
            &["/v1/ephemeral_keys", "/v2/iam/api_keys"],
        ),
        (
            "slack",
            "/chat.postMessage",
            &["/auth.revoke", "/oauth.v2.access"],
        ),
        (
            "github",
            "/repos/a/b/issues",
            &[
                "/user/keys",
                "/repos/a/b/keys",
                "/repos/a/b/actions/runners/registration-token",
                "/app/installations/1/access_tokens",
            ],
        ),
    ];
    let mut names: Vec<_> = rows.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, Api::known_names().collect::<Vec<_>>());
    for (service, good, paths) in rows {
        let before = stack.upstream.requests().len();
        front
            .get(&format!("/proxy/{service}{good}"), &token)
            .send()
            .await;
        assert_eq!(stack.upstream.requests().len(), before + 1, "{service}");
        for path in paths {
            let (parent, last) = path.rsplit_once('/').unwrap();
            let (first, rest) = last.split_at(1);
            let byte = first.as_bytes()[0];
            let encoded = path.replace('/', "%2F").replacen("%2F", "/", 1);
            for spelling in [
                (*path).to_owned(),
                format!("{path}/"),
                format!("{path}//"),
                format!("{path};x"),
                format!("{path};x=%2Fy"),
                format!("{path}?x"),
                path.to_uppercase(),
                path.replace('/', "//").replacen("//", "/", 1),
                format!("{parent}/%{byte:02x}{rest}"),
                format!("{parent}/%25{byte:02x}{rest}"),
                format!("{parent};v=1/{last}"),
                format!("{parent}%2F{last}"),
                format!("{parent}%2f{last};x=%2Fy"),
                format!("{parent}%5C{last}"),
                format!("{parent}%252F{last}"),
                format!("{parent}/./{last}"),
                format!("{parent}/x/../{last}"),
                format!("/x/..{path}"),
                format!("{encoded};x"),
            ] {
                for method in ["GET", "POST"] {
                    let at = format!("/proxy/{service}{spelling}");
                    let request = front.request(method, &at).token(&token);
                    let answer = request.body("").send().await;
                    let status = answer.status;
                    assert!(matches!(status, 400 | 403..=405), "{status}: {method} {at}");
                    let line = stack.upstream.last().line().to_owned();
                    assert!(!line.contains(last), "{method} {at} was sent");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refused_path_is_not_hidden_by_parameters_with_slashes() {
    let stack = Stack::new().await;
    let policy = Policy::new()
        .allow_encoded_slashes()
        .refuse_paths(["/keys/new".parse().unwrap()]);
    let svc = stack.svc().replace_policy(policy);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let good = front.get("/proxy/svc/keys%2Fold;a=%2Fz", &token);
    assert_eq!(good.send().await.status, 200);
    for path in [
        "/keys/new",
        "/keys%2Fnew",
        "/keys%2Fnew;a",
        "/keys%2Fnew;a=%2Fz",
        "/keys/new;a=%2Fz",
        "/keys;a=%2Fz/new",
        "/keys%3Ba=%2Fz%2Fnew",
    ] {
        let answer = front.get(&format!("/proxy/svc{path}"), &token).send().await;
        // Read as it stands, the last one is another path.
        let expected = if path.contains("%3B") { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[tokio::test]
async fn a_place_is_given_back_however_a_request_ends() {
    let hang = Arc::new(AtomicBool::new(false));
    let stack = Stack::answering({
        let hang = hang.clone();
        move |_| match hang.load(Ordering::SeqCst) {
            true => Reply::Silence,
            false => Reply::ok("hello"),
        }
    })
    .await;
    let one = NonZeroUsize::MIN;
    let policy = Policy::new()
        .refuse_paths(["/refused".parse().unwrap()])
        .limits(
            Limits::new()
                .concurrent(NonZeroUsize::new(2).unwrap())
                .body_bytes(10),
        );
    let key = stack.key.clone();
    let svc = Api::from_fn(stack.target(), move |mut request, ctx| {
        match ctx.path() {
            "/panic" => panic!("in the embedder's code"),
            "/error" => return Err(TransformError::forbidden()),
            "/answer" => return Ok(Outcome::Respond(http::Response::new(Body::from("own")))),
            "/away" => *request.uri_mut() = "http://elsewhere.test/".parse()?,
            _ => {}
        }
        Ok(request.into())
    })
    .inject(sallygate::Injection::bearer(key));
    let layer = stack
        .layer_with("svc", svc.replace_policy(policy))
        .limits(Limits::new().concurrent_per_sandbox(one));
    let front = stack.serve(layer.into_service()).await;
    let issue = |sandbox: &str| stack.watched(stack.issuer.issue(sandbox).sign().unwrap());
    let (token, another) = (issue("box-1"), issue("box-2"));
    for _ in 0..3 {
        for (path, status) in [
            ("/panic", 500),
            ("/error", 403),
            ("/answer", 200),
            ("/away", 502),
            ("/refused", 403),
            ("/a/../b", 400),
            ("/a", 200),
        ] {
            let at = format!("/proxy/svc{path}");
            assert_eq!(front.get(&at, &token).send().await.status, status, "{path}");
        }
        let long = front.request("POST", "/proxy/svc/a").token(&token);
        assert_eq!(long.body("x".repeat(11)).send().await.status, 413);
        let upgrade = front
            .get("/proxy/svc/a", &token)
            .header("upgrade", "websocket");
        assert_eq!(upgrade.send().await.status, 400);
    }

    hang.store(true, Ordering::SeqCst);
    let before = stack.upstream.requests().len();
    let mut wire = front.connect().await;
    wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
    stack
        .upstream
        .until(|requests| requests.len() == before + 1)
        .await;
    hang.store(false, Ordering::SeqCst);
    // Under another token the sandbox is the same one; another sandbox is not kept waiting.
    let busy = front.get("/proxy/svc/a", &issue("box-1")).send().await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("1")));
    assert_eq!(front.get("/proxy/svc/a", &another).send().await.status, 200);
    drop(wire);
    let again = async {
        while front.get("/proxy/svc/a", &token).send().await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, again).await;
}
