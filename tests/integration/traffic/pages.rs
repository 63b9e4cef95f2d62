//! Pages of other origins, and tokens in cookies.

use sallygate::{Place, door::Cors};
use sallygate_test_support::{Answer, Front, Reply, Stack, assert_case_refused};

async fn cookie_call(front: &Front, method: &str, token: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = front
        .request(method, "/proxy/svc/a")
        .header("cookie", format!("a=b; gate={token}"));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.body("x").send().await
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_a_token_in_a_cookie() {
    let stack = Stack::new().await;
    let svc = stack.svc().accept(Place::cookie("gate").unwrap());
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let mut expected = 0;
    for (method, fields) in [
        (
            "POST",
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://gate.test"),
            ][..],
        ),
        ("POST", &[("sec-fetch-site", "none")]),
        ("POST", &[("origin", "https://gate.test")]),
        ("POST", &[]),
        ("GET", &[("sec-fetch-site", "cross-site")]),
    ] {
        let answer = cookie_call(&front, method, &token, fields).await;
        assert_eq!(answer.status, 200, "{method} {fields:?}");
        expected += 1;
        assert_eq!(stack.upstream.requests().len(), expected);
        assert!(!stack.upstream.last().has("cookie"));
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        for fields in [
            &[("sec-fetch-site", "cross-site")][..],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://gate.test"),
            ],
            &[("sec-fetch-site", "SAME-ORIGIN")],
            &[("sec-fetch-site", "")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "https://gate.test.evil.test")],
            &[("origin", "https://evil.test/gate.test")],
            &[("origin", "https://gate.test:444")],
            &[("origin", "https://gate.test.")],
            &[
                ("origin", "https://evil.test"),
                ("origin", "https://gate.test"),
            ],
            &[
                ("origin", "https://evil.test"),
                ("x-forwarded-host", "evil.test"),
            ],
            // A token of the page's own beside it changes nothing.
            &[("origin", "https://evil.test"), ("cookie", "gate=x")],
        ] {
            let answer = cookie_call(&front, method, &token, fields).await;
            assert_case_refused(
                &answer,
                403,
                "PROXY_FORBIDDEN",
                format_args!("{method} {fields:?}"),
            );
        }
    }
    assert_eq!(stack.upstream.requests().len(), expected);
}

#[tokio::test]
async fn answers_are_opened_to_the_allowed_page_alone_and_no_cache_takes_one_for_another() {
    let stack = Stack::answering(|_| {
        Reply::response(
            "200 OK\naccess-control-allow-origin: https://evil.test\n\
             access-control-allow-credentials: true\nvary: accept\ncache-control: max-age=600",
            "hello",
        )
    })
    .await;
    let cors = Cors::new().allow_origin("https://app.test").unwrap();
    let front = stack.serve(stack.layer().cors(cors).into_service()).await;
    let token = stack.token();
    let good = front
        .get("/proxy/svc/a", &token)
        .header("origin", "https://app.test")
        .send()
        .await;
    assert_eq!(good.status, 200);
    assert_eq!(
        good.header("access-control-allow-origin"),
        Some("https://app.test")
    );
    assert_eq!(good.header("access-control-allow-credentials"), None);
    for origins in [
        &[][..],
        &["null"],
        &["https://evil.test"],
        &["https://app.test.evil.test"],
        &["https://app.test:443"],
        &["http://app.test"],
        &["HTTPS://APP.TEST"],
        &["https://app.test", "https://evil.test"],
        &["https://evil.test", "https://app.test"],
        &["https://app.test https://evil.test"],
    ] {
        let mut request = front.get("/proxy/svc/a", &token);
        for origin in origins {
            request = request.header("origin", origin);
        }
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{origins:?}");
        let opened = answer
            .fields
            .iter()
            .find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(opened, None, "{origins:?}");
        // A browser that kept this one must ask again for the page that may read it, and the other way round.
        let vary = answer.values("vary").join(",").to_ascii_lowercase();
        assert!(vary.contains("origin"), "{origins:?}: vary is {vary:?}");
        assert!(vary.contains("accept"), "{origins:?}");
    }
    let preflight = front
        .request("OPTIONS", "/proxy/svc/a")
        .header("origin", "https://evil.test")
        .header("access-control-request-method", "POST")
        .send()
        .await;
    assert_eq!(preflight.status, 401);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}
