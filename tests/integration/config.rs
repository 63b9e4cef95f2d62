use std::fmt::{Debug, Display};

use http::HeaderName;
use sallygate::{
    Api, Client, ConfigError, Credential, Injection, Issuer, JwtVerifier, Policy, ProxyLayer,
    Target,
    service::{PathPattern, Place, ServiceName},
    token::Claims,
};
use sallygate_test_support::{Oracle, Stack};

/// A refusal is of this kind, says this and nothing secret.
#[track_caller]
fn assert_refused<T>(oracle: &Oracle, outcome: Result<T, ConfigError>, expected: &str) {
    let Err(error) = outcome else {
        panic!("accepted, instead of: {expected}")
    };
    shows_nothing(oracle, &error);
    assert_eq!(error.to_string(), expected);
}

fn shows_nothing(oracle: &Oracle, error: &(impl Debug + Display)) {
    oracle.saw_debug(error);
    oracle.saw_display(error);
}

#[test]
fn secrets_that_are_no_good() {
    let oracle = Oracle::new();
    let secret = oracle.secret("signing secret");
    let short = "token secret: shorter than 32 bytes";
    assert_refused(&oracle, JwtVerifier::hs256(&secret[..31]), short);
    assert_refused(&oracle, Issuer::hs256(&secret[..31]), short);
    assert_refused(&oracle, JwtVerifier::hs256(""), short);
    assert!(JwtVerifier::hs256(&secret[..32]).is_ok() && Issuer::hs256(&secret[..32]).is_ok());
}

#[test]
fn credentials_that_are_no_header_values() {
    let oracle = Oracle::new();
    let key = oracle.secret("credential");
    let good = Credential::new(&key).unwrap();
    oracle.saw_debug(&good);
    for (bad, problem) in [
        (String::new(), "credential: empty"),
        (
            format!("{key}\n"),
            "credential: holds something else than printable ASCII",
        ),
        (
            format!("{key}\r\nx: y"),
            "credential: holds something else than printable ASCII",
        ),
        (
            format!("{key}\0"),
            "credential: holds something else than printable ASCII",
        ),
        (
            format!("{key}\u{e9}"),
            "credential: holds something else than printable ASCII",
        ),
        (format!("{key} "), "credential: begins or ends with a space"),
        (format!(" {key}"), "credential: begins or ends with a space"),
    ] {
        assert_refused(&oracle, Credential::new(bad.clone()), problem);
        assert_refused(&oracle, good.rotate(bad), problem);
    }
    assert!(Credential::new(format!("{key} {key}")).is_ok());
}

#[test]
fn targets_that_are_no_plain_origins() {
    let oracle = Oracle::new();
    let key = oracle.secret("credential").replace(['/', '+'], "-");
    oracle.watch("credential in a URL", &key);
    for (url, problem) in [
        ("http://api.example.com".to_owned(), "target: not https"),
        ("ftp://api.example.com".into(), "target: not https"),
        ("api.example.com".into(), "target: not https"),
        ("/v1".into(), "target: not https"),
        ("https://".into(), "target: not a URL"),
        (
            format!("https://u:{key}@api.example.com"),
            "target: holds user information",
        ),
        (
            format!("https://api.example.com?key={key}"),
            "target: has a query or a fragment",
        ),
        (
            format!("https://api.example.com/#{key}"),
            "target: has a query or a fragment",
        ),
        (
            "https://api.example.com:0".into(),
            "target: not a host, or not a port",
        ),
        (
            "https://api.example.com:99999".into(),
            "target: not a host, or not a port",
        ),
        ("https://:443".into(), "target: not a host, or not a port"),
        (
            "https://api.example.com/a/../b".into(),
            "target: its path could be read in two ways",
        ),
        (
            "https://api.example.com//a".into(),
            "target: its path could be read in two ways",
        ),
        (
            "https://api.example.com/a%2fb".into(),
            "target: its path could be read in two ways",
        ),
        (
            "https://api.example.com/a%zz".into(),
            "target: its path could be read in two ways",
        ),
    ] {
        assert_refused(&oracle, Target::new(&url), problem);
    }
    assert_refused(
        &oracle,
        Target::dangerous_plaintext("https://api.example.com"),
        "target: not http",
    );
    for url in [
        "https://api.example.com",
        "https://api.example.com:8443/v1/",
        "https://[::1]:1/a%20b",
    ] {
        oracle.saw_debug(&Target::new(url).unwrap());
    }
    assert!(Target::dangerous_plaintext("http://127.0.0.1:8080").is_ok());
}

#[tokio::test]
async fn mounts_names_and_doubles() {
    let stack = Stack::new().await;
    let oracle = &stack.oracle;
    let plain = "mount: holds something else than letters, digits, '-', '.', '_', '~' and slashes";
    let dots = "mount: has an empty or a dot segment";
    for (mount, problem) in [
        ("/proxy?x", plain),
        ("/proxy#x", plain),
        ("/pro%78y", plain),
        ("/pro xy", plain),
        ("/a/../b", dots),
        ("/a/./b", dots),
        ("/a//b", dots),
    ] {
        assert_refused(oracle, ProxyLayer::new(mount, stack.verifier()), problem);
    }
    let named = |name: &str| stack.empty_layer().service(name, stack.svc());
    assert_refused(
        oracle,
        named(""),
        "service name: does not begin with a letter or digit",
    );
    assert_refused(
        oracle,
        named("../up"),
        "service name: does not begin with a letter or digit",
    );
    assert_refused(
        oracle,
        named("a/b"),
        "service name: holds something else than letters, digits, '.', '_', '-'",
    );
    assert_refused(
        oracle,
        named("a%2f"),
        "service name: holds something else than letters, digits, '.', '_', '-'",
    );
    assert_refused(
        oracle,
        named(&"a".repeat(129)),
        "service name: longer than 128 bytes",
    );
    assert_refused(
        oracle,
        stack.layer().service("svc", stack.svc()),
        "service svc: there is one of that name already",
    );
    assert!(
        named(&"a".repeat(128)).is_ok() && "grpc.health.v1.Health".parse::<ServiceName>().is_ok()
    );

    let origin = |origin: &str| stack.layer().public_origin(origin);
    assert_refused(
        oracle,
        origin("gate.test"),
        "public origin: not http:// or https:// and a host",
    );
    assert_refused(
        oracle,
        origin("ftp://gate.test"),
        "public origin: not http:// or https:// and a host",
    );
    assert_refused(
        oracle,
        origin("https://gate.test/x"),
        "public origin: has more than scheme, host and port",
    );
    assert_refused(
        oracle,
        origin("https://u@gate.test"),
        "public origin: has more than scheme, host and port",
    );
    assert!(origin("https://gate.test:8443/").is_ok());
}

#[tokio::test]
async fn places_headers_patterns_and_realms() {
    let stack = Stack::new().await;
    let oracle = &stack.oracle;
    let at = |place| Api::new(stack.target(), Injection::new(place, stack.key.clone()));
    let prefixed = |name| Place::prefixed(name, "Token ").unwrap();
    let fine = at(Place::header(HeaderName::from_static("x-api-key")));
    assert!(stack.empty_layer().service("svc", fine).is_ok());
    let framing = "service svc: a key goes into a header that frames the message";
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "trailer",
    ] {
        let name = HeaderName::from_static(name);
        for place in [Place::header(name.clone()), prefixed(name.clone())] {
            let added = stack.empty_layer().service("svc", at(place));
            assert_refused(oracle, added, framing);
        }
        let passed = "header: belongs to the connection and cannot be let through";
        for policy in [
            Policy::new().pass_request_headers([name.clone()]),
            Policy::new().pass_response_headers([name]),
        ] {
            let service = stack.svc().replace_policy(policy);
            assert_refused(oracle, stack.empty_layer().service("svc", service), passed);
        }
    }
    assert_refused(
        oracle,
        Place::query(""),
        "place: a query parameter has no name",
    );
    let user = "place: a user name holds a colon or a control character";
    assert_refused(oracle, Place::basic("a:b"), user);
    assert_refused(oracle, Place::basic("a\n"), user);
    oracle.saw_debug(&at(Place::basic("a b").unwrap()));

    let realm = "header: a realm holds a quote, a backslash or something unprintable";
    for bad in ["a\"b", "a\\b", "a\nb", "\u{e9}"] {
        let service = stack.svc().policy(|policy| policy.basic_challenge(bad));
        assert_refused(oracle, stack.empty_layer().service("svc", service), realm);
    }
    let service = stack.svc().policy(|policy| {
        let passed = [HeaderName::from_static("x-kept")];
        policy
            .basic_challenge("a realm")
            .pass_request_headers(passed)
    });
    assert!(stack.empty_layer().service("svc", service).is_ok());
    assert!("/a/*/**".parse::<PathPattern>().is_ok());
    assert_refused(
        oracle,
        "a".parse::<PathPattern>(),
        "path pattern: does not begin with a slash",
    );
    assert_refused(
        oracle,
        "/a*".parse::<PathPattern>(),
        "path pattern: '*' is only part of a segment",
    );
}

#[test]
fn certificates_that_cannot_be_used() {
    let oracle = Oracle::new();
    let inside = oracle.secret("what is in the file");
    let add = |pem: &str| Client::new().add_root_certificates(pem);
    assert_refused(
        &oracle,
        add(""),
        "certificate: no certificate in the PEM text",
    );
    assert_refused(
        &oracle,
        add(&inside),
        "certificate: no certificate in the PEM text",
    );
    let key = format!("-----BEGIN PRIVATE KEY-----\n{inside}\n-----END PRIVATE KEY-----\n");
    assert_refused(
        &oracle,
        add(&key),
        "certificate: no certificate in the PEM text",
    );
    let broken = format!("-----BEGIN CERTIFICATE-----\n{inside}!\n-----END CERTIFICATE-----\n");
    assert_refused(&oracle, add(&broken), "certificate: not PEM");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_refused(&oracle, add(empty), "certificate: not usable as a root");
    oracle.saw_debug(&add(&sallygate_test_support::Authority::new().pem).unwrap());
}

#[test]
fn claims_that_no_token_could_bear() {
    let oracle = Oracle::new();
    let id = oracle.secret("an id");
    let now = std::time::SystemTime::now();
    let sandbox = "claims: the sandbox id is not 1 to 256 printable bytes";
    assert_refused(&oracle, Claims::new("", now), sandbox);
    assert_refused(&oracle, Claims::new(format!("{id}\n"), now), sandbox);
    let claims = Claims::new(&id, now).unwrap();
    oracle.saw_debug(&claims);
    assert_refused(
        &oracle,
        claims.clone().with_session_id(""),
        "claims: the session id is not 1 to 256 printable bytes",
    );
    let named = claims.with_session_id("run-7").unwrap();
    let token = "claims: the token id is not 1 to 256 printable bytes";
    assert_refused(&oracle, named.clone().with_token_id("a\n"), token);
    let named = named.with_token_id("id-1").unwrap();
    assert_eq!(
        (named.session_id(), named.token_id()),
        (Some("run-7"), Some("id-1"))
    );
}
