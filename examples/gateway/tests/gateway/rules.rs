//! What a service's table says of what passes. What each rule does is tested with the library; here, that the file reaches it.

use sallygate_test_support::Reply;

use super::{TOKEN, refusals::refused};
use crate::process::Site;

/// The service `up`, and `ruled`: the same with these rules.
fn both(site: &Site, rules: &str) -> String {
    let ruled = site.up().replace("[services.up]", "[services.ruled]");
    site.file(&(site.up() + &ruled + rules))
}

#[tokio::test]
async fn encoded_slashes_pass_where_the_file_lets_them() {
    let site = Site::new().await;
    let gateway = site
        .start(&both(&site, "allow_encoded_slashes = true\n"))
        .await;
    let token = site.token(TOKEN).await;
    let refusal = gateway.get("/proxy/up/a%2fb", &token).await;
    assert_eq!(
        (refusal.status, refusal.code().as_str()),
        (400, "PROXY_PATH_INVALID")
    );
    let passed = gateway.get("/proxy/ruled/a%2fb", &token).await;
    assert_eq!((passed.status, passed.text()), (200, "hello"));
    assert_eq!(site.upstream.last().line(), "GET /v1/a%2fb HTTP/1.1");
    assert_eq!(site.upstream.requests().len(), 1);
}

#[tokio::test]
async fn headers_pass_that_the_file_names() {
    let site = Site::answering(|_| {
        Reply::response(
            "200 OK\r\nset-cookie: a=b\r\naccess-control-max-age: 5",
            "hello",
        )
    })
    .await;
    let rules = "pass_request_headers = [\"origin\", \"Referer\"]\n\
                 pass_response_headers = [\"set-cookie\"]\n";
    let gateway = site.start(&both(&site, rules)).await;
    let token = site.token(TOKEN).await;
    for (path, request, response) in [
        ("/proxy/up/a", [None, None], None),
        (
            "/proxy/ruled/a",
            [Some("https://a.test"), Some("https://a.test/b")],
            Some("a=b"),
        ),
    ] {
        let asked = gateway
            .authorized("GET", path, &token)
            .header("origin", "https://a.test")
            .header("referer", "https://a.test/b")
            .header("cookie", "c=d");
        let answer = gateway.begin(asked).await;
        assert_eq!(answer.status(), 200, "{path}");
        let field = |name| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(field("set-cookie"), response, "{path}");
        assert_eq!(field("access-control-max-age"), None, "{path}");
        let received = site.upstream.last();
        let names = ["origin", "referer"];
        let got = names.map(|name| received.values(name).first().copied());
        assert_eq!(got, request, "{path}");
        assert!(!received.has("cookie"), "{path}");
    }
}

#[tokio::test]
async fn what_the_file_takes_out_does_not_pass() {
    let site = Site::new().await;
    let rules = "take_out = [{ header = \"x-account\" }, { query = \"account\" }]\n";
    // A header that is taken out for one service is taken out for all of a gateway.
    let plain = site.start(&site.file(&site.up())).await;
    let ruled = site.start(&site.file(&(site.up() + rules))).await;
    let token = site.token(TOKEN).await;
    for (gateway, line, account) in [
        (&plain, "GET /v1/a?account=b&c=d HTTP/1.1", true),
        (&ruled, "GET /v1/a?c=d HTTP/1.1", false),
    ] {
        let asked = gateway
            .authorized("GET", "/proxy/up/a?account=b&c=d", &token)
            .header("x-account", "b")
            .header("x-other", "b");
        assert_eq!(gateway.send(asked).await.status, 200, "{line}");
        let received = site.upstream.last();
        assert_eq!(received.line(), line);
        assert_eq!(received.has("x-account"), account, "{line}");
        assert!(received.has("x-other"), "{line}");
    }
}

#[tokio::test]
async fn errors_are_searched_for_the_key_where_the_file_says_so() {
    let site = Site::answering(|request| {
        let slot = request.values("authorization")[0].to_owned();
        Reply::response("400 Bad Request", format!("no good: {slot}."))
    })
    .await;
    let ruled = site.up().replace("[services.up]", "[services.ruled]");
    let file = site.file(&(ruled + "redact_errors = true\n"));
    let gateway = site.start(&file).await;
    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/ruled/a", &token).await;
    assert_eq!(answer.status, 400);
    let text = answer.text();
    assert!(
        text.starts_with("no good: Bearer ") && text.ends_with('.'),
        "{text}"
    );
    assert!(!text.contains(&site.key));
}

#[tokio::test]
async fn a_password_is_asked_for_in_the_realm_of_the_file() {
    let site = Site::new().await;
    let plain = site.start(&site.file(&site.up())).await;
    let ruled = site
        .start(&both(&site, "basic_challenge = \"my gate\"\n"))
        .await;
    for (gateway, asked) in [(&plain, false), (&ruled, true)] {
        let refusal = gateway.begin(gateway.request("GET", "/proxy/up/a")).await;
        assert_eq!(refusal.status(), 401);
        let challenges = refusal.headers().get_all("www-authenticate");
        let basic =
            |value: &http::HeaderValue| value.to_str().unwrap().contains("Basic realm=\"my gate\"");
        assert_eq!(challenges.iter().any(basic), asked);
    }
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused_by_key() {
    let site = Site::new().await;
    let good = site.file(&site.up());
    let names = "expected a list such as [\"x-request-source\"]";
    for (new, said) in [
        (
            "allow_encoded_slashes = 1",
            ".allow_encoded_slashes: expected true or false".to_owned(),
        ),
        (
            "redact_errors = \"yes\"",
            ".redact_errors: expected true or false".into(),
        ),
        (
            "pass_request_headers = [\"a b\"]",
            format!(".pass_request_headers: {names}"),
        ),
        (
            "pass_request_headers = \"origin\"",
            format!(".pass_request_headers: {names}"),
        ),
        (
            "pass_response_headers = [\"connection\"]",
            ": expected a usable service (header: ".into(),
        ),
        (
            "basic_challenge = \"a\\\"b\"",
            ": expected a usable service (header: ".into(),
        ),
    ] {
        let new = format!("{new}\ninject = \"bearer\"");
        let said = format!("services.up{said}");
        refused(&site, &good, "inject = \"bearer\"", &new, &said).await;
    }
    site.start(&good).await;
}
