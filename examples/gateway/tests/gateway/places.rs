//! Where the key goes, where the token is looked for, and what passes.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::request::Builder;
use sallygate_test_support::Slot;

use super::TOKEN;
use crate::process::{Gateway, Site};

type Ask = fn(&Gateway, &str, &str) -> Builder;

#[tokio::test]
async fn each_form_of_inject_swaps_the_token_for_the_key_in_its_place() {
    let site = Site::new().await;
    let key = &site.key;
    let header = |value: String| format!("\r\n{value}\r\n");
    let forms: [(&str, &str, String, Ask); 8] = [
        (
            "bearer",
            "\"bearer\"",
            Slot::Bearer.show(key),
            |gateway, path, token| {
                gateway
                    .request("GET", path)
                    .header("authorization", format!("bearer {token}"))
            },
        ),
        (
            "header",
            "{ header = \"X-Api-Key\" }",
            Slot::Header("x-api-key").show(key),
            |gateway, path, token| gateway.request("GET", path).header("x-api-key", token),
        ),
        (
            "prefixed",
            "{ header = \"Authorization\", prefix = \"Token \" }",
            header(format!("authorization: Token {key}")),
            |gateway, path, token| {
                gateway
                    .request("GET", path)
                    .header("authorization", format!("token {token}"))
            },
        ),
        (
            "basic",
            "{ basic = \"user\" }",
            Slot::Basic("user").show(key),
            |gateway, path, token| {
                let pair = STANDARD.encode(format!("anyone:{token}"));
                gateway
                    .request("GET", path)
                    .header("authorization", format!("Basic {pair}"))
            },
        ),
        (
            "basic-user",
            "\"basic_user\"",
            header(format!(
                "authorization: Basic {}",
                STANDARD.encode(format!("{key}:"))
            )),
            |gateway, path, token| {
                let pair = STANDARD.encode(format!("{token}:"));
                gateway
                    .request("GET", path)
                    .header("authorization", format!("Basic {pair}"))
            },
        ),
        (
            "query",
            "{ query = \"key\" }",
            Slot::Query("key").show(key),
            |gateway, path, token| gateway.request("GET", &format!("{path}?key={token}")),
        ),
        (
            "path",
            "{ path = \"/bot{key}\" }",
            format!("GET /v1/bot{}/a HTTP/1.1\r\n", key.replace('/', "%2F")),
            |gateway, path, token| {
                gateway.request("GET", &path.replace("/bot", &format!("/bot{token}")))
            },
        ),
        (
            "cookie",
            "{ cookie = \"session\" }",
            header(format!("cookie: session={key}")),
            |gateway, path, token| {
                gateway
                    .request("GET", path)
                    .header("cookie", format!("session={token}"))
            },
        ),
    ];
    let mut services = String::new();
    for (name, inject, slot, _) in &forms {
        services += &site.service(name, inject, "{ env = \"MY_API_KEY\" }");
        site.upstream.accept(slot.clone());
    }
    let gateway = site.start(&site.file(&services)).await;
    let token = site.token(TOKEN).await;
    for (number, (name, _, slot, ask)) in forms.into_iter().enumerate() {
        let below = if name == "path" { "bot/a" } else { "a" };
        let path = format!("/proxy/{name}/{below}");
        assert_eq!(
            gateway.send(ask(&gateway, &path, &token)).await.status,
            200,
            "{name}"
        );
        assert!(site.upstream.last().head.contains(&slot), "{name}");

        assert_eq!(gateway.get(&path, &token).await.status, 200, "{name}");
        assert!(site.upstream.last().head.contains(&slot), "{name}");

        let answer = gateway.send(gateway.request("GET", &path)).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(site.upstream.requests().len(), 2 * (number + 1), "{name}");
    }
}

#[tokio::test]
async fn several_places_get_the_one_key_or_keys_of_their_own() {
    let site = Site::new().await;
    // Of no use to anyone, so that it may be seen in more than one place.
    site.write("shared.key", "shared-0123456789\n");
    site.write("app.key", "application-0123456789\n");
    let inject = r#"[
        { header = "x-api-key" },
        { query = "app", credential = { file = "app.key" } },
        { header = "x-again", prefix = "Key " },
    ]"#;
    let service = site.service("up", inject, "{ file = \"shared.key\" }");
    let own = r#"[{ cookie = "a", credential = { file = "app.key" } }]"#;
    let own = site.service("own", own, "").replace("credential = \n", "");
    site.upstream
        .accept("\r\nx-api-key: shared-0123456789\r\n".into());
    site.upstream
        .accept("\r\ncookie: a=application-0123456789\r\n".into());
    let gateway = site.start(&site.file(&format!("{service}{own}"))).await;
    let token = site.token(TOKEN).await;

    let request = gateway.request("GET", "/proxy/up/a?app=mine&b=c");
    let request = request
        .header("x-api-key", &token)
        .header("x-again", "mine");
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let received = site.upstream.last();
    assert_eq!(
        received.line(),
        "GET /v1/a?b=c&app=application-0123456789 HTTP/1.1"
    );
    assert_eq!(received.values("x-api-key"), ["shared-0123456789"]);
    assert_eq!(received.values("x-again"), ["Key shared-0123456789"]);

    assert_eq!(gateway.get("/proxy/own/a", &token).await.status, 200);
    assert_eq!(
        site.upstream.last().values("cookie"),
        ["a=application-0123456789"]
    );
}

#[tokio::test]
async fn the_token_is_looked_for_where_the_file_says_besides() {
    let site = Site::new().await;
    let accept = |places: &str| format!("{}accept = {places}\n", site.up());
    let one = accept("{ query = \"token\" }");
    let several = accept("[{ header = \"x-a\" }, \"basic_user\"]")
        .replace("[services.up]", "[services.more]");
    let gateway = site.start(&site.file(&format!("{one}{several}"))).await;
    let token = site.token(TOKEN).await;
    let pair = STANDARD.encode(format!("{token}:"));
    for (request, line) in [
        (
            gateway.request("GET", &format!("/proxy/up/a?token={token}&b=c")),
            "GET /v1/a?b=c HTTP/1.1",
        ),
        (
            gateway
                .request("GET", "/proxy/more/a")
                .header("x-a", &token),
            "GET /v1/a HTTP/1.1",
        ),
        (
            gateway
                .request("GET", "/proxy/more/b")
                .header("authorization", format!("Basic {pair}")),
            "GET /v1/b HTTP/1.1",
        ),
    ] {
        assert_eq!(gateway.send(request).await.status, 200, "{line}");
        assert_eq!(site.upstream.last().line(), line);
    }
    let elsewhere = gateway.request("GET", "/proxy/up/a").header("x-a", &token);
    assert_eq!(gateway.send(elsewhere).await.status, 401);
    assert_eq!(site.upstream.requests().len(), 3);
}

#[tokio::test]
async fn methods_and_paths_pass_as_the_file_says() {
    let site = Site::new().await;
    let rules = "methods = [\"GET\"]\npaths = [\"/items/**\"]\nrefuse_paths = [\"/items/keys\"]\n";
    let gateway = site
        .start(&site.file(&format!("{}{rules}", site.up())))
        .await;
    let token = site.token(TOKEN).await;
    let ask = async |method: &str, path: &str| {
        let request = gateway.authorized(method, path, &token);
        gateway.send(request).await.status
    };
    assert_eq!(ask("GET", "/proxy/up/items/a").await, 200);
    assert_eq!(ask("POST", "/proxy/up/items/a").await, 405);
    assert_eq!(ask("GET", "/proxy/up/others").await, 403);
    assert_eq!(ask("GET", "/proxy/up/items/KEYS").await, 403);
    assert_eq!(site.upstream.requests().len(), 1);
}
