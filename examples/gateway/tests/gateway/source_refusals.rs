//! As `refusals`, for what a service's table says of where its key comes from.

use super::refusals::refused;
use crate::process::Site;

#[tokio::test]
async fn sources_are_refused_by_key() {
    let site = Site::new().await;
    let key = site.key.as_str();
    site.write("not.pem", key);
    let source = |source: &str| site.service("up", "\"bearer\"", source);
    let oauth = |more: &str| {
        format!(
            "{{ oauth = {{ token_url = \"https://127.0.0.1:1\", client_id = \"a\", client_secret = {{ env = \"MY_API_KEY\" }}{more} }} }}"
        )
    };
    let jwt = |more: &str| oauth(&format!(", grant = \"jwt_bearer\"{more}"));
    let app = |more: &str| {
        format!(
            "{{ github_app = {{ app_id = \"a\", installation_id = 1, private_key = {{ env = \"MY_API_KEY\" }}{more} }} }}"
        )
    };
    let google =
        |more: &str| format!("{{ google = {{ key = {{ env = \"MY_API_KEY\" }}{more} }} }}");
    let pem = "private_key: expected a private key in PEM (credential: not a private key in PEM)";
    let signed = ", issuer = \"a\", subject = \"b\", private_key = { env = \"MY_API_KEY\" }";
    let good = site.file(&site.up());
    for (bad, said) in [
        ("{}".into(), ": expected { env = \"NAME\" },"),
        (
            "{ env = \"A\", oauth = {} }".into(),
            ": expected { env = \"NAME\" },",
        ),
        (
            format!("{{ oauth = \"{key}\" }}"),
            ".oauth: expected { token_url = \"URL\",",
        ),
        (
            format!("{{ github_app = \"{key}\" }}"),
            ".github_app: expected { app_id = \"ID\",",
        ),
        (
            format!("{{ google = \"{key}\" }}"),
            ".google: expected { key = {…}, scopes",
        ),
        (
            "{ oauth = {} }".into(),
            ".oauth.client_id: expected the client's id",
        ),
        (
            oauth("").replace("client_secret", "secret"),
            ".oauth.secret: expected no such key, only token_url,",
        ),
        (
            oauth("").replace("{ env = \"MY_API_KEY\" }", &format!("\"{key}\"")),
            ".oauth.client_secret: expected { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        (
            oauth("").replace("MY_API_KEY", "NOT_SET"),
            ".oauth.client_secret.env: expected an environment variable",
        ),
        (
            oauth("").replace("https://", "http://"),
            ".oauth.token_url: expected https://HOST[:PORT][/PATH] (or http://",
        ),
        (
            oauth("").replace("token_url = \"https://127.0.0.1:1\", ", ""),
            ".oauth.token_url: expected https://HOST",
        ),
        (
            oauth(", allow_plaintext = true"),
            ".oauth.allow_plaintext: expected true only with an http:// token_url",
        ),
        (
            oauth(&format!(", grant = \"{key}\"")),
            ".oauth.grant: expected \"client_credentials\",",
        ),
        (
            oauth(", grant = \"refresh_token\""),
            ".oauth.refresh_token: expected { env = \"NAME\" }",
        ),
        (
            oauth(", refresh_token = { env = \"A\" }"),
            ".oauth.refresh_token: expected no such key",
        ),
        (
            oauth(", parameters = { a = 1 }"),
            ".oauth.parameters: expected { NAME = \"VALUE\" }",
        ),
        (
            oauth(", secret_in_body = 1"),
            ".oauth.secret_in_body: expected true or false",
        ),
        (
            oauth(", ca_file = \"not.pem\""),
            ".oauth.ca_file: expected certificates in PEM",
        ),
        (jwt(""), ".oauth.private_key: expected { env = \"NAME\" }"),
        (
            jwt(&signed.replace("issuer", "issuers")),
            ".oauth.issuers: expected no such key",
        ),
        (
            jwt(&signed.replace("issuer = \"a\", ", "")),
            ".oauth.issuer: expected who asks",
        ),
        (jwt(signed), &format!(".oauth.{pem}")),
        (
            app("").replace("app_id = \"a\", ", ""),
            ".github_app.app_id: expected the app's client id",
        ),
        (
            app("").replace("= 1,", "= \"1\","),
            ".github_app.installation_id: expected a number",
        ),
        (
            app("").replace("= 1,", "= -1,"),
            ".github_app.installation_id: expected a number",
        ),
        (
            app(", repositories = []"),
            ".github_app.repositories: expected names,",
        ),
        (
            app(", permissions = { a = 1 }"),
            ".github_app.permissions: expected { contents = \"read\" }",
        ),
        (
            app(", api = \"http://a\""),
            ".github_app.api: expected https://HOST[:PORT][/PATH] (or",
        ),
        (
            app(", organization = \"a\""),
            ".github_app.organization: expected no such key, only app_id,",
        ),
        (
            app(""),
            ".github_app.private_key: expected a private RSA key in PEM (credential:",
        ),
        (
            google(""),
            ".google.scopes: expected [\"SCOPE\"], or audience",
        ),
        (
            google(", scopes = [\"a\"], audience = \"b\""),
            ".google.scopes: expected [\"SCOPE\"], or audience",
        ),
        (
            google(", scopes = [\"a\"], scope = \"b\""),
            ".google.scope: expected no such key, only key,",
        ),
        (
            google(", audience = \"a\""),
            ".google.key: expected the key file of a service account (credential:",
        ),
        (
            format!("{{ by_sandbox = \"{key}\" }}"),
            ".by_sandbox: expected a table of sandboxes,",
        ),
        (
            format!("{{ by_sandbox = {{ a = \"{key}\" }} }}"),
            ".by_sandbox.a: expected a table",
        ),
        (
            "{ by_sandbox = { a = { by_sandbox = {} } } }".into(),
            ".by_sandbox.a.by_sandbox: expected no such key",
        ),
        (
            "{ by_sandbox = { a = { env = \"NOT_SET\" } } }".into(),
            ".by_sandbox.a.env: expected an environment",
        ),
        (
            "{ by_sandbox = {}, default = { file = \"none.key\" } }".into(),
            ".default.file: expected a file that can be",
        ),
        (
            "{ by_sandbox = {}, env = \"A\" }".into(),
            ".env: expected no such key, only default",
        ),
        (
            "{ default = { env = \"A\" } }".into(),
            ".default: expected no such key, only env,",
        ),
    ] {
        let said = format!("services.up.credential{said}");
        refused(&site, &good, &site.up(), &source(&bad), &said).await;
    }
    for good in [
        oauth(", scope = \"a\", parameters = { b = \"c\" }, secret_in_body = true"),
        "{ by_sandbox = {} }".into(),
    ] {
        site.start(&site.file(&source(&good))).await;
    }
}
