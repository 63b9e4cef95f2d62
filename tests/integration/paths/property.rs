use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use proptest::{prelude::*, test_runner::TestRunner};
use sallygate::{Api, Body, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tower::{ServiceExt, service_fn};

/// Bytes that are apt to be taken for something else, between any others.
fn after_the_mount() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 31] = [
        "/svc",
        "/svc/",
        "svc",
        "/",
        "//",
        "\\",
        "..",
        ".",
        ";",
        "?",
        "#",
        "@",
        ":",
        "%2f",
        "%2F",
        "%5c",
        "%2e",
        "%252e",
        "%00",
        "%0d%0a",
        "%",
        "evil.test",
        "http://evil.test",
        "//evil.test",
        "user:password@",
        "[::1]",
        ":443",
        "a",
        "=",
        "&",
        "%c0%ae",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
        1 => proptest::collection::vec(0x21..0x7f_u8, 1..8),
    ];
    let rest = proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat());
    prop_oneof![
        4 => rest.clone().prop_map(|rest| [b"/svc/", &rest[..]].concat()),
        1 => rest.clone().prop_map(|rest| [b"/svc", &rest[..]].concat()),
        1 => rest,
    ]
}

fn origin_of_the_request() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        &[
            "",
            "",
            "",
            "http://evil.test",
            "https://evil.test:444",
            "http://u:p@evil.test",
        ][..],
    )
}

#[test]
fn for_any_bytes_after_the_mount_the_origin_is_the_targets_or_nothing_is_sent() {
    const SECRET: [u8; 32] = [7; 32];
    let sent: Arc<Mutex<Vec<Uri>>> = Arc::default();
    let client = {
        let sent = sent.clone();
        service_fn(move |request: Request<Body>| {
            sent.lock().unwrap().push(request.uri().clone());
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        })
    };
    let target = Target::new("https://api.example.com:8443/v1").unwrap();
    let service = Api::bearer(target, Credential::new("a-key-of-the-test").unwrap());
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(SECRET).unwrap())
        .unwrap()
        .service("svc", service)
        .unwrap()
        .client(client)
        .into_service();
    let token = Issuer::hs256(SECRET).unwrap().issue("box").sign().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (forwarded, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));

    let mut runner = TestRunner::new(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(
        &(origin_of_the_request(), after_the_mount()),
        |(origin, after)| {
            let target = [origin.as_bytes(), b"/proxy", &after[..]].concat();
            // What is no URI at all, the server in front refuses.
            let Ok(uri) = Uri::from_maybe_shared(Bytes::from(target)) else {
                return Ok(());
            };
            let asked = uri.clone();
            let request = Request::get(uri)
                .header("host", "gate.test")
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap();
            sent.lock().unwrap().clear();
            let status = runtime
                .block_on(proxy.clone().oneshot(request))
                .unwrap()
                .status();
            let sent = sent.lock().unwrap();
            match &sent[..] {
                [] => {
                    // The service is there. What else the path could name is there for nobody.
                    let named = asked.path().starts_with("/proxy/svc/");
                    let not_found = status == StatusCode::NOT_FOUND && !named;
                    let invalid = status == StatusCode::BAD_REQUEST;
                    prop_assert!(invalid || not_found, "{}", status);
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                [uri] => {
                    prop_assert_eq!(uri.scheme_str(), Some("https"));
                    prop_assert_eq!(uri.authority().unwrap().as_str(), "api.example.com:8443");
                    let below = asked.path().strip_prefix("/proxy/svc").unwrap();
                    let below = if below == "/" { "" } else { below };
                    prop_assert_eq!(uri.path(), format!("/v1{below}"));
                    prop_assert_eq!(uri.query(), asked.query());
                    prop_assert_eq!(status, StatusCode::OK);
                    forwarded.fetch_add(1, Ordering::Relaxed);
                }
                more => prop_assert!(false, "sent {} times", more.len()),
            }
            Ok(())
        },
    );
    outcome.unwrap();
    let (forwarded, refused) = (forwarded.into_inner(), refused.into_inner());
    assert!(
        forwarded > 200 && refused > 200,
        "{forwarded} forwarded, {refused} refused"
    );
}
