//! `health` in the file.

use http_body_util::BodyExt;

use super::{TOKEN, refusals::refused};
use crate::process::Site;

#[tokio::test]
async fn health_checks_need_no_token_and_reach_no_service() {
    let site = Site::new().await;
    let hosts = "health = \"/healthz\"\nhosts = { \"api.test\" = \"up\" }\n";
    let gateway = site
        .start(&(hosts.to_owned() + &site.file(&site.up())))
        .await;
    for request in [
        gateway.request("GET", "/healthz"),
        gateway.request("GET", "/healthz?verbose"),
        gateway
            .request("GET", "/healthz")
            .header("host", "api.test"),
        gateway
            .request("GET", "/healthz")
            .header("authorization", "Basic Og=="),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
    let head = gateway.begin(gateway.request("HEAD", "/healthz")).await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "2");
    assert_eq!(head.headers()["cache-control"], "no-store");
    assert_eq!(head.into_body().collect().await.unwrap().to_bytes(), "");
    assert!(site.upstream.requests().is_empty());

    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/up/healthz", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(site.upstream.last().line(), "GET /v1/healthz HTTP/1.1");
}

#[tokio::test]
async fn what_is_no_health_check_is_refused_as_all_outside_the_mount() {
    let site = Site::new().await;
    let with = site
        .start(&format!("health = \"/healthz\"\n{}", site.file(&site.up())))
        .await;
    let without = site.start(&site.file(&site.up())).await;
    let elsewhere = with.send(with.request("GET", "/elsewhere")).await;
    let elsewhere = (elsewhere.status, elsewhere.code());
    for (gateway, method, path) in [
        (&with, "POST", "/healthz"),
        (&with, "GET", "/healthz/"),
        (&with, "GET", "/healthz/a"),
        (&with, "GET", "/Healthz"),
        (&without, "GET", "/healthz"),
    ] {
        let answer = gateway.send(gateway.request(method, path)).await;
        assert_eq!((answer.status, answer.code()), elsewhere, "{method} {path}");
    }
    let checked = with.send(with.request("GET", "/healthz")).await;
    assert_eq!(checked.status, 200);
}

#[tokio::test]
async fn a_path_that_hides_a_service_or_cannot_be_asked_for_is_refused() {
    let site = Site::new().await;
    let good = format!("health = \"/healthz\"\n{}", site.file(&site.up()));
    for path in [
        "/proxy",
        "/proxy/",
        "/proxy/up",
        "healthz",
        "/",
        "//healthz",
        "/a/../healthz",
        "/healthz?a",
        "/health%7a",
        "",
    ] {
        let said = "health: expected a plain path such as \"/healthz\", which is not the mount or below it";
        refused(&site, &good, "/healthz", path, said).await;
    }
    let gate = format!("mount = \"/\"\n{good}");
    refused(
        &site,
        &gate,
        "[token]",
        "[token]",
        "health: expected a plain path",
    )
    .await;
    // It only begins like the mount.
    let beside = site.start(&good.replace("/healthz", "/proxy-health")).await;
    let answer = beside.send(beside.request("GET", "/proxy-health")).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}
