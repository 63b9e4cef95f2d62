//! APIs by name. What each of them does is tested with the library; here, that the file reaches it.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::request::Builder;
use sallygate_test_support::Slot;

use super::TOKEN;
use crate::process::{Gateway, Site};

impl Site {
    fn preset(&self, name: &str, base: &str, more: &str) -> String {
        format!(
            "[services.{name}]\npreset = \"{name}\"\ntarget = \"http://{}{base}\"\nallow_plaintext = true\n\
             credential = {{ env = \"MY_API_KEY\" }}\n{more}",
            self.upstream.addr
        )
    }
}

fn get(gateway: &Gateway, path: &str) -> Builder {
    gateway.request("GET", path)
}

#[tokio::test]
async fn each_preset_takes_the_token_where_the_clients_put_the_key_and_puts_the_key_where_the_api_wants_it()
 {
    let site = Site::new().await;
    let web = format!("web = \"http://{}/git\"\n", site.upstream.addr);
    let account = "organization = \"org-1\"\nproject = \"proj_1\"\n";
    let presets = [
        ("anthropic", "", ""),
        ("gemini", "", ""),
        ("github", "/api/v3", &*web),
        ("openai", "", account),
        ("slack", "/api", ""),
        ("stripe", "", ""),
    ];
    let names = presets.map(|(name, ..)| name);
    assert!(
        sallygate::Api::known_names().eq(names),
        "a row for each known API"
    );
    let services = presets.map(|(name, base, more)| site.preset(name, base, more));
    let bearer = Slot::Bearer;
    let git = Slot::Basic("x-access-token");
    let anthropic = Slot::Header("x-api-key");
    let gemini = Slot::Header("x-goog-api-key");
    for slot in [git, anthropic, gemini] {
        site.upstream.accept(slot.show(&site.key));
    }
    let gateway = site.start(&site.file(&services.concat())).await;
    let token = site.token(TOKEN).await;
    let gate = &gateway;
    let authorization = |path: &str, value: String| get(gate, path).header("authorization", value);
    let basic = |user: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    for (request, slot, line) in [
        (
            get(gate, "/proxy/anthropic/v1/models").header("x-api-key", &token),
            anthropic,
            "GET /v1/models HTTP/1.1",
        ),
        (
            get(
                gate,
                &format!("/proxy/gemini/v1beta/models?key={token}&pageSize=1"),
            ),
            gemini,
            "GET /v1beta/models?pageSize=1 HTTP/1.1",
        ),
        (
            authorization("/proxy/github/user", format!("token {token}")),
            bearer,
            "GET /api/v3/user HTTP/1.1",
        ),
        (
            authorization(
                "/proxy/github/acme/site/info/refs?service=git-upload-pack",
                basic("git", &token),
            ),
            git,
            "GET /git/acme/site/info/refs?service=git-upload-pack HTTP/1.1",
        ),
        (
            authorization("/proxy/openai/v1/models", format!("Bearer {token}"))
                .header("openai-organization", "org-of-another")
                .header("openai-project", "proj-of-another"),
            bearer,
            "GET /v1/models HTTP/1.1",
        ),
        (
            get(gate, &format!("/proxy/slack/users.list?token={token}")),
            bearer,
            "GET /api/users.list HTTP/1.1",
        ),
        (
            authorization("/proxy/stripe/v1/customers", basic(&token, "")),
            bearer,
            "GET /v1/customers HTTP/1.1",
        ),
    ] {
        let answer = gate.send(request).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{line}");
        let received = site.upstream.last();
        assert_eq!(received.line(), line);
        assert!(received.head.contains(&slot.show(&site.key)), "{line}");
        if received.has("openai-project") {
            assert_eq!(received.values("openai-organization"), ["org-1"]);
            assert_eq!(received.values("openai-project"), ["proj_1"]);
        }
    }
    let projects = site
        .upstream
        .requests()
        .into_iter()
        .filter(|request| request.has("openai-project"));
    assert_eq!(projects.count(), 1);
}

#[tokio::test]
async fn rules_of_a_preset_hold_and_the_file_narrows_them() {
    let site = Site::new().await;
    let narrower = site
        .preset(
            "openai",
            "",
            "methods = [\"GET\"]\npaths = [\"/v1/a\", \"/v2/**\", \"/v1/organization/**\"]\n",
        )
        .replace("[services.openai]", "[services.narrower]");
    let services = site.preset("openai", "", "") + &narrower;
    let gateway = site.start(&site.file(&services)).await;
    let token = site.token(TOKEN).await;
    let ask = async |method: &str, path: &str| {
        let request = gateway.authorized(method, path, &token);
        gateway.send(request).await.status
    };
    for (method, path, status) in [
        ("POST", "/proxy/openai/v1/a", 200),
        ("GET", "/proxy/openai/v2/a", 403),
        ("GET", "/proxy/openai/v1/organization/a", 403),
        ("GET", "/proxy/openai/v1/b", 200),
        ("POST", "/proxy/narrower/v1/a", 405),
        ("GET", "/proxy/narrower/v1/a", 200),
        ("GET", "/proxy/narrower/v1/b", 403),
        ("GET", "/proxy/narrower/v2/a", 403),
        ("GET", "/proxy/narrower/v1/organization/a", 403),
    ] {
        assert_eq!(ask(method, path).await, status, "{method} {path}");
    }
    assert_eq!(site.upstream.requests().len(), 3);
}
