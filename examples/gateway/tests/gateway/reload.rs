//! SIGHUP: the file is read again.

use http_body_util::BodyExt;
use sallygate::Body;
use sallygate_test_support::{Authority, Secure, Slot, Upstream};

use super::{
    TOKEN,
    held_back::{self, begun},
};
use crate::process::{Gateway, Site};

async fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    gateway.get(path, token).await.status
}

/// Writes the file, and lets the gateway read it. `said` is how that ended.
async fn reread(site: &Site, gateway: &Gateway, file: &str, said: &str) {
    site.write("gateway.toml", file);
    gateway.signal("HUP");
    gateway.until_said(said).await;
}

#[tokio::test]
async fn services_come_change_and_go_without_a_request_lost() {
    let (site, finish) = held_back::site().await;
    let other = Upstream::scripted(|_| sallygate_test_support::Reply::ok("moved")).await;
    other.accept(Slot::Bearer.show(&site.key));
    let gateway = site.start(&site.file(&site.up())).await;
    let token = site.token(TOKEN).await;
    let slow = begun(&gateway, &token).await;
    assert_eq!(status(&gateway, "/proxy/new/a", &token).await, 404);

    let moved = site
        .up()
        .replace(&site.upstream.addr.to_string(), &other.addr.to_string());
    let new = moved.replace("services.up", "services.new");
    let file = site.file(&format!("{moved}{new}"));
    reread(&site, &gateway, &file, "gateway.toml: read again").await;
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "moved"));
    assert_eq!(status(&gateway, "/proxy/new/a", &token).await, 200);
    // What was under way goes on with what it began with.
    finish.send(()).unwrap();
    assert_eq!(slow.collect().await.unwrap().to_bytes(), "last");

    let file = site.file(&new);
    site.write("gateway.toml", &file);
    gateway.signal("HUP");
    gateway
        .until_said_times("gateway.toml: read again", 2)
        .await;
    assert_eq!(status(&gateway, "/proxy/up/a", &token).await, 404);
    assert_eq!(status(&gateway, "/proxy/new/a", &token).await, 200);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_said() {
    let site = Site::new().await;
    let gateway = site.start(&site.file(&site.up())).await;
    let token = site.token(TOKEN).await;
    let new = site.up().replace("services.up", "services.new");
    let kept = "; everything stays as it was";
    for (services, said) in [
        (
            format!("{new}[services.bad]\ninject = 1\n"),
            "services.bad.target: expected https://HOST",
        ),
        (
            format!(
                "{new}{}",
                site.service("bad", "\"bearer\"", "{ env = \"NOT_SET\" }")
            ),
            "services.bad.credential.env: expected an environment variable with text (NOT_SET is not set)",
        ),
        (
            format!("{new}ca_file = \"none.pem\"\n"),
            "services.new.ca_file: expected none without an https:// target",
        ),
        ("[[[".into(), "line 5: expected TOML"),
    ] {
        reread(&site, &gateway, &site.file(&services), said).await;
        gateway.until_said(kept).await;
        assert_eq!(status(&gateway, "/proxy/up/a", &token).await, 200, "{said}");
        assert_eq!(
            status(&gateway, "/proxy/new/a", &token).await,
            404,
            "{said}"
        );
    }
    let short = site
        .file(&new)
        .replace("{ env = \"PROXY_JWT_SECRET\" }", "{ file = \"short.key\" }");
    site.write("short.key", &site.jwt_secret[..31]);
    reread(
        &site,
        &gateway,
        &short,
        "token.secret: expected at least 32 bytes",
    )
    .await;
    assert_eq!(status(&gateway, "/proxy/up/a", &token).await, 200);

    reread(&site, &gateway, &site.file(&new), "read again").await;
    assert_eq!(status(&gateway, "/proxy/new/a", &token).await, 200);
}

#[tokio::test]
async fn the_key_of_the_tokens_is_changed() {
    let site = Site::new().await;
    let secret = "secret = { env = \"PROXY_JWT_SECRET\" }";
    let other = site.oracle.secret("next signing secret");
    site.write("next.key", &other);
    let before = site.file(&site.up());
    let gateway = site.start(&before).await;
    let old = site.token(TOKEN).await;
    assert_eq!(status(&gateway, "/proxy/up/a", &old).await, 200);

    let after = before.replace(secret, "secret = { file = \"next.key\" }");
    reread(&site, &gateway, &after, "read again").await;
    let new = site.token_for(&after, TOKEN).await;
    assert_eq!(status(&gateway, "/proxy/up/a", &new).await, 200);
    assert_eq!(status(&gateway, "/proxy/up/a", &old).await, 401);
}

#[tokio::test]
async fn certificates_of_upstreams_are_read_again() {
    let authority = Authority::new();
    let answer = |_: &_| http::Response::new(Body::from("secure"));
    let upstream = Secure::new(authority.server("127.0.0.1", &["h2"]), answer).await;
    let site = Site::new().await;
    upstream.accept(Slot::Bearer.show(&site.key));
    site.write("ca.pem", &Authority::new().pem);
    let file = site.file(&format!(
        "[services.up]\ntarget = \"https://{}\"\ninject = \"bearer\"\n\
         credential = {{ env = \"MY_API_KEY\" }}\nca_file = \"ca.pem\"\n",
        upstream.addr
    ));
    let gateway = site.start(&file).await;
    let token = site.token(TOKEN).await;
    assert_eq!(status(&gateway, "/proxy/up/a", &token).await, 502);
    site.write("ca.pem", &authority.pem);
    reread(&site, &gateway, &file, "read again").await;
    // In each of its threads.
    for _ in 0..8 {
        assert_eq!(status(&gateway, "/proxy/up/a", &token).await, 200);
    }
}
