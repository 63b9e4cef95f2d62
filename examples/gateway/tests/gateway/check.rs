//! `sallygate-gateway FILE check`.

use std::{net::TcpListener, process::Output};

use super::TOKEN;
use crate::process::{Site, output};

async fn check(site: &Site, file: &str) -> Output {
    let mut command = site.command(file);
    command.arg("check");
    let output = output(command).await;
    site.oracle.saw("output of check", output.stdout.clone());
    site.oracle.saw("refusal of check", output.stderr.clone());
    output
}

#[tokio::test]
async fn what_would_be_served_is_said_without_a_secret() {
    let site = Site::new().await;
    site.write("my.key", &site.key);
    let target = |url: &str| format!("target = \"{url}\"\n");
    let bearer = "inject = \"bearer\"\n";
    let env = "{ env = \"MY_API_KEY\" }";
    let file = "{ file = \"my.key\" }";
    let services = [
        format!("[services.anthropic]\npreset = \"anthropic\"\ncredential = {env}\n"),
        format!(
            "[services.github]\npreset = \"github\"\ncredential = {file}\n{}\
             web = \"https://git.example.com\"\n",
            target("https://api.git.example.com/v3")
        ),
        format!(
            "[services.many]\n{}inject = [{{ query = \"a\", credential = {file} }}, \"bearer\"]\n\
             credential = {env}\n",
            target("https://api.example.com:8443/v1")
        ),
        format!(
            "[services.own]\n{}{bearer}idle_timeout = \"1m\"\nresponse_header_fields = 50\n\
             [services.own.credential.by_sandbox]\nbox-1 = {env}\nbox-2 = {env}\n\
             [services.own.credential]\ndefault = {file}\n",
            target("https://api.example.com")
        ),
        format!(
            "[services.tokens]\n{}{bearer}[services.tokens.credential.oauth]\n\
             token_url = \"https://login.example.com/token\"\nclient_id = \"gateway\"\n\
             client_secret = {env}\n",
            target("https://api.example.com/v2")
        ),
    ];
    let top = "mount = \"/gate\"\nhealth = \"/healthz\"\nhosts = { \"api.test\" = \"own\" }\n";
    let limits = "[limits]\nbody_bytes = 1000\nconnect_timeout = \"90s\"\n";
    let file = site.file(&(limits.to_owned() + &services.concat()));
    let checked = check(&site, &(top.to_owned() + &file)).await;
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(checked.stderr.is_empty(), "{checked:?}");
    let said = String::from_utf8(checked.stdout).unwrap();
    let path = site.folder.join("gateway.toml").display().to_string();
    assert_eq!(
        said,
        format!(
            "{path}: good\n\
             listen: http://127.0.0.1:0\n\
             mount: /gate\n\
             health: /healthz\n\
             hosts.api.test: own\n\
             limits: body_bytes = 1000, connect_timeout = 90s\n\
             services.anthropic: anthropic; key from env\n\
             services.github: github at https://api.git.example.com and https://git.example.com; key from file\n\
             services.many: https://api.example.com:8443; key from env, file\n\
             services.own: https://api.example.com; key from by_sandbox (env, file); \
             limits: idle_timeout = 60s, response_header_fields = 50\n\
             services.tokens: https://api.example.com; key from oauth\n"
        )
    );
}

#[tokio::test]
async fn what_would_keep_it_from_starting_is_refused() {
    let site = Site::new().await;
    let good = site.file(&site.up());
    let unset = good.replace("MY_API_KEY", "NOT_SET");
    for (file, said) in [
        (
            good.replace("[token]", "[tokens]"),
            "tokens: expected no such key",
        ),
        (
            good.replace("inject = \"bearer\"\n", ""),
            "services.up.inject: expected",
        ),
        (
            unset,
            "services.up.credential.env: expected an environment variable with text (NOT_SET is not set)",
        ),
        (
            format!("tls = {{ cert = \"none.pem\", key = \"none.pem\" }}\n{good}"),
            "tls.cert: expected a file that can be read",
        ),
        (
            good.replace("[token]\n", "[token]\nrevoked = \"none.txt\"\n"),
            "token.revoked: expected a file that can be read",
        ),
        (
            good.replace("http://", "https://")
                .replace("allow_plaintext = true", "ca_file = \"none.pem\""),
            "services.up.ca_file: expected a file that can be read",
        ),
    ] {
        let checked = check(&site, &file).await;
        assert_eq!(checked.status.code(), Some(2), "{checked:?}");
        assert!(checked.stdout.is_empty(), "{checked:?}");
        let stderr = String::from_utf8(checked.stderr).unwrap();
        let path = site.folder.join("gateway.toml").display().to_string();
        assert!(stderr.starts_with(&format!("{path}: {said}")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert_eq!(check(&site, &good).await.status.code(), Some(0));
}

/// Neither the address nor an upstream is needed: a file can be checked beside the gateway that runs with it.
#[tokio::test]
async fn nothing_is_connected_to() {
    let site = Site::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let good = site.file(&site.up());
    let file = good.replace("127.0.0.1:0", &address);
    assert_eq!(check(&site, &file).await.status.code(), Some(0));
    assert_eq!(site.upstream.connections(), 0);

    let gateway = site.start(&good).await;
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
    assert_eq!(site.upstream.connections(), 1);
}
