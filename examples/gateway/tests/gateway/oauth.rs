//! OAuth 2.0 from the file. How tokens are kept and renewed is tested with the library.

use std::fs;

use http::Response;
use sallygate::Body;
use sallygate_test_support::{Authority, Secure, Slot};
use serde_json::json;

use super::{
    TOKEN,
    assertion::SigningKey,
    endpoint::{JWT_BEARER, bearer, client, endpoint, form},
};
use crate::process::Site;

#[tokio::test]
async fn oauth_asks_with_a_secret_a_refresh_token_or_an_assertion() {
    let site = Site::new().await;
    let tokens = [site.issued(), site.issued(), site.issued()];
    let secret = site.oracle.secret("client secret");
    let (old, new) = (
        site.oracle.secret("refresh token"),
        site.oracle.secret("refresh token"),
    );
    let key = SigningKey::new(&site.oracle);
    let refresh_file = site.write("refresh.token", &format!("{old}\n"));
    site.write("client.secret", &secret);
    site.write("signing.pem", &key.pem);
    let answers = {
        let (tokens, old, new) = (tokens.clone(), old.clone(), new.clone());
        move |form: &dyn Fn(&str) -> String| match &*form("grant_type") {
            "client_credentials" => {
                let asked = (form("scope"), form("audience"));
                let right = asked == ("read write".into(), "https://api.example.com".into());
                right.then(|| bearer(&tokens[0]))
            }
            "refresh_token" if form("refresh_token") == old => {
                let mut answer = bearer(&tokens[1]);
                answer["refresh_token"] = new.clone().into();
                Some(answer)
            }
            JWT_BEARER => {
                let claims = key.open(&form("assertion"))?;
                let about = json!({"iss": "gateway", "sub": "user", "aud": "https://login"});
                let right = ["iss", "sub", "aud"]
                    .iter()
                    .all(|name| claims[name] == about[name]);
                right.then(|| bearer(&tokens[2]))
            }
            _ => None,
        }
    };
    let endpoint = endpoint(client("gateway", &secret), move |request| {
        let form = form(request);
        answers(&|name| form.get(name).cloned().unwrap_or_default())
    })
    .await;
    let service = |name: &str, more: &str| {
        let credential = format!(
            "{{ oauth = {{ token_url = \"http://{}/token\", allow_plaintext = true, client_id = \"gateway\", \
             client_secret = {{ file = \"client.secret\" }}, {more} }} }}",
            endpoint.addr
        );
        site.service(name, "\"bearer\"", &credential)
    };
    let services = [
        service(
            "own",
            "scope = \"read write\", parameters = { audience = \"https://api.example.com\" }",
        ),
        service(
            "user",
            "grant = \"refresh_token\", refresh_token = { file = \"refresh.token\" }",
        ),
        service(
            "signed",
            "grant = \"jwt_bearer\", private_key = { file = \"signing.pem\" }, issuer = \"gateway\", \
             subject = \"user\", audience = \"https://login\"",
        ),
    ];
    let gateway = site.start(&site.file(&services.concat())).await;
    let token = site.token(TOKEN).await;
    for (name, issued) in ["own", "user", "signed"].into_iter().zip(&tokens) {
        for _ in 0..2 {
            let answer = gateway.get(&format!("/proxy/{name}/a"), &token).await;
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{name}");
            assert!(
                site.upstream
                    .last()
                    .head
                    .contains(&Slot::Bearer.show(issued)),
                "{name}"
            );
        }
    }
    assert_eq!(endpoint.requests().len(), 3);
    assert_eq!(
        fs::read_to_string(&refresh_file).unwrap(),
        format!("{new}\n")
    );
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_kept_is_told_of() {
    let site = Site::new().await;
    let (issued, secret) = (site.issued(), site.oracle.secret("client secret"));
    let new = site.oracle.secret("refresh token");
    let endpoint = endpoint(client("gateway", &secret), move |_| {
        let mut answer = bearer(&issued);
        answer["refresh_token"] = new.clone().into();
        Some(answer)
    })
    .await;
    let credential = format!(
        "{{ oauth = {{ token_url = \"http://{}\", allow_plaintext = true, grant = \"refresh_token\", client_id = \
         \"gateway\", client_secret = {{ env = \"CLIENT_SECRET\" }}, refresh_token = {{ env = \"REFRESH_TOKEN\" }} }} }}",
        endpoint.addr
    );
    let mut command = site.command(&site.file(&site.service("up", "\"bearer\"", &credential)));
    command
        .env("CLIENT_SECRET", &secret)
        .env("REFRESH_TOKEN", site.oracle.secret("refresh token"));
    let gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
    let said = "services.up.credential.oauth.refresh_token: there is a new one, which is not kept (it came from the \
                environment)";
    gateway.until_said(said).await;
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_a_503_and_said_without_being_asked() {
    let site = Site::new().await;
    let secret = site.oracle.secret("client secret");
    let endpoint = endpoint(client("gateway", &secret), |_| None).await;
    site.write("client.secret", &secret);
    let credential = format!(
        "{{ oauth = {{ token_url = \"http://{}\", allow_plaintext = true, client_id = \"gateway\", \
         client_secret = {{ file = \"client.secret\" }} }} }}",
        endpoint.addr
    );
    let services = site.up() + &site.service("bad", "\"bearer\"", &credential);
    let mut command = site.command(&site.file(&services));
    command.env_remove("RUST_LOG");
    let gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/bad/a", &token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "PROXY_CREDENTIAL_UNAVAILABLE")
    );
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
    let log = gateway.stop().await;
    assert!(
        log.contains("no new key error=refused: invalid_grant"),
        "{log}"
    );
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[tokio::test]
async fn a_private_authority_vouches_for_a_token_endpoint_where_the_file_says_so() {
    let authority = Authority::new();
    let site = Site::new().await;
    let (issued, secret) = (site.issued(), site.oracle.secret("client secret"));
    site.write("ca.pem", &authority.pem);
    site.write("client.secret", &secret);
    let endpoint = Secure::new(authority.server("127.0.0.1", &["h2"]), move |_| {
        Response::new(Body::from(bearer(&issued).to_string()))
    })
    .await;
    endpoint.accept(client("gateway", &secret));
    let service = |name: &str, more: &str| {
        let credential = format!(
            "{{ oauth = {{ token_url = \"https://{}\", client_id = \"gateway\", \
             client_secret = {{ file = \"client.secret\" }}{more} }} }}",
            endpoint.addr
        );
        site.service(name, "\"bearer\"", &credential)
    };
    let services = service("trusting", ", ca_file = \"ca.pem\"") + &service("strict", "");
    let gateway = site.start(&site.file(&services)).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/trusting/a", &token).await.status, 200);
    let answer = gateway.get("/proxy/strict/a", &token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "PROXY_CREDENTIAL_UNAVAILABLE")
    );
    assert_eq!(endpoint.requests.lock().unwrap().len(), 1);
}
