//! Where keys come from, each once from the file to the API. How they are kept and renewed is tested with the library.

use std::{fs, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sallygate_test_support::{PATIENCE, Slot, within};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    TOKEN,
    assertion::SigningKey,
    endpoint::{JWT_BEARER, bearer, endpoint, form},
};
use crate::process::{Gateway, Site};

/// Calls until the answer has this status.
async fn until(gateway: &Gateway, token: &str, status: u16) {
    within(PATIENCE, async {
        while gateway.get("/proxy/up/a", token).await.status != status {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_file_is_followed_and_without_a_good_one_there_is_no_key() {
    let site = Site::new().await;
    let file = site.write("up.key", &format!("{}\n", site.key));
    let service = site.service("up", "\"bearer\"", "{ file = \"up.key\" }");
    let mut command = site.command(&site.file(&service));
    command.env_remove("RUST_LOG");
    let gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
    assert!(
        site.upstream
            .last()
            .head
            .contains(&Slot::Bearer.show(&site.key))
    );

    let put = |text: &str| {
        let new = site.write("up.key.new", text);
        fs::rename(new, &file).unwrap();
    };
    let new = site.issued();
    put(&new);
    within(PATIENCE, async {
        while !site.upstream.last().head.contains(&Slot::Bearer.show(&new)) {
            sleep(Duration::from_millis(50)).await;
            assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
        }
    })
    .await;

    put(&format!("{}\nand more\n", site.oracle.secret("broken key")));
    until(&gateway, &token, 503).await;
    gateway.until_said("no new key error=malformed").await;
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!(answer.code(), "PROXY_CREDENTIAL_UNAVAILABLE");

    put(&new);
    until(&gateway, &token, 200).await;
    fs::remove_file(&file).unwrap();
    until(&gateway, &token, 503).await;
    gateway.until_said("no new key error=missing").await;
    put(&new);
    until(&gateway, &token, 200).await;
}

#[tokio::test]
async fn a_github_app_gets_an_installation_token() {
    let site = Site::new().await;
    let issued = site.issued();
    let key = SigningKey::new(&site.oracle);
    site.write("app.pem", &key.pem);
    let line = "POST /api/v3/app/installations/42/access_tokens HTTP/1.1\r\n";
    let endpoint = endpoint(line, move |request| {
        let jwt = request.values("authorization")[0]
            .strip_prefix("Bearer ")?
            .to_owned();
        let wish: Value = serde_json::from_slice(&request.body).ok()?;
        let right = key.open(&jwt)?["iss"] == "Iv23li"
            && wish == json!({"repositories": ["site"], "permissions": {"contents": "read"}});
        right.then(|| json!({"token": issued, "expires_at": "2099-01-01T00:00:00Z"}))
    })
    .await;
    let credential = format!(
        "{{ github_app = {{ app_id = \"Iv23li\", installation_id = 42, private_key = {{ file = \"app.pem\" }}, \
         repositories = [\"site\"], permissions = {{ contents = \"read\" }}, api = \"http://{}/api/v3\", \
         allow_plaintext = true }} }}",
        endpoint.addr
    );
    let gateway = site
        .start(&site.file(&site.service("up", "\"bearer\"", &credential)))
        .await;
    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn a_google_service_account_gets_access_tokens_and_id_tokens() {
    let site = Site::new().await;
    let access = site.issued();
    let payload = URL_SAFE_NO_PAD.encode(r#"{"exp":4070908800}"#);
    let id = format!(
        "e30.{payload}.{}",
        site.oracle.secret("signature").replace(['+', '/'], "_")
    );
    site.upstream.accept(Slot::Bearer.show(&id));
    let key = SigningKey::new(&site.oracle);
    let account = json!({
        "type": "service_account", "client_email": "gate@example.com", "private_key": key.pem,
        "private_key_id": "7", "token_uri": "https://oauth2.googleapis.com/token",
    });
    site.write("account.json", &account.to_string());
    let endpoint = endpoint("POST /token HTTP/1.1\r\n", move |request| {
        let form = form(request);
        let claims = key.open(form.get("assertion")?)?;
        if form["grant_type"] != JWT_BEARER || claims["iss"] != "gate@example.com" {
            return None;
        }
        match (claims["scope"].as_str(), claims["target_audience"].as_str()) {
            (Some("scope-a scope-b"), None) => Some(bearer(&access)),
            (None, Some("https://run.example.com")) => Some(json!({"id_token": id})),
            _ => None,
        }
    })
    .await;
    let service = |name: &str, which: &str| {
        let credential = format!(
            "{{ google = {{ key = {{ file = \"account.json\" }}, {which}, token_url = \"http://{}/token\", \
             allow_plaintext = true }} }}",
            endpoint.addr
        );
        site.service(name, "\"bearer\"", &credential)
    };
    let services = service("access", "scopes = [\"scope-a\", \"scope-b\"]")
        + &service("id", "audience = \"https://run.example.com\"");
    let gateway = site.start(&site.file(&services)).await;
    let token = site.token(TOKEN).await;
    for name in ["access", "id"] {
        let answer = gateway.get(&format!("/proxy/{name}/a"), &token).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{name}");
    }
    assert_eq!(endpoint.requests().len(), 2);
}

#[tokio::test]
async fn each_sandbox_uses_a_key_of_its_own() {
    let site = Site::new().await;
    let (first, second, rest) = (site.issued(), site.issued(), site.issued());
    site.write("second.key", &second);
    site.write("rest.key", &rest);
    let keys = "box-1 = { env = \"FIRST_KEY\" }, \"box 2\" = { file = \"second.key\" }";
    let strict = format!("{{ by_sandbox = {{ {keys} }} }}");
    let open = format!("{{ by_sandbox = {{ {keys} }}, default = {{ file = \"rest.key\" }} }}");
    let services =
        site.service("up", "\"bearer\"", &strict) + &site.service("open", "\"bearer\"", &open);
    let mut command = site.command(&site.file(&services));
    command.env("FIRST_KEY", &first);
    let gateway = site.start_command(command).await;
    for (sandbox, own) in [("box-1", &first), ("box 2", &second), ("box-1", &first)] {
        let token = site.token(&["--sandbox", sandbox]).await;
        for service in ["up", "open"] {
            let answer = gateway.get(&format!("/proxy/{service}/a"), &token).await;
            assert_eq!(answer.status, 200, "{sandbox}");
            let received = site.upstream.last();
            assert!(
                received.head.contains(&Slot::Bearer.show(own)),
                "{sandbox} {service}"
            );
        }
    }
    let other = site.token(&["--sandbox", "box-3"]).await;
    let answer = gateway.get("/proxy/up/a", &other).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "PROXY_CREDENTIAL_UNAVAILABLE")
    );
    assert_eq!(gateway.get("/proxy/open/a", &other).await.status, 200);
    assert!(
        site.upstream
            .last()
            .head
            .contains(&Slot::Bearer.show(&rest))
    );
    assert_eq!(site.upstream.requests().len(), 7);
}
