//! Clients that know nothing of the gateway but a base URL and a key, which is the token.

use std::process::{Command, Output};

use rcgen::generate_simple_self_signed;
use sallygate_test_support::{Reply, Slot, client, program};

use super::TOKEN;
use crate::process::{Site, output};

const BODY: &str = r#"{"n": 1}"#;

/// Lets a client call the API with a token, which works, and with a broken one, which does not. The client prints the
/// body and the status.
async fn works(make: impl Fn() -> Command) {
    let site = Site::answering(|_| Reply::response("201 Created", "made")).await;
    let gateway = site.start(&site.file(&site.up())).await;
    let token = site.token(TOKEN).await;
    let call = async |token: &str| -> Output {
        let mut command = make();
        let url = format!("{}/proxy/up/v2/items?q=a%20b&r=%2F", gateway.url);
        command
            .env("URL", url)
            .env("TOKEN", token)
            .env("BODY", BODY);
        let output = output(command).await;
        site.oracle
            .saw("output of the client", output.stdout.clone());
        site.oracle
            .saw("complaints of the client", output.stderr.clone());
        output
    };
    let good = call(&token).await;
    assert_eq!(
        String::from_utf8_lossy(&good.stdout),
        "made 201",
        "{good:?}"
    );
    let received = site.upstream.last();
    assert_eq!(received.line(), "POST /v1/v2/items?q=a%20b&r=%2F HTTP/1.1");
    assert!(received.head.contains(&Slot::Bearer.show(&site.key)));
    assert_eq!(received.values("content-type"), ["application/json"]);
    assert_eq!(received.body, BODY.as_bytes());

    let bad = call(&format!("{token}x")).await;
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(said.ends_with(" 401"), "{bad:?}");
    assert!(said.contains("PROXY_TOKEN_INVALID"), "{bad:?}");
    assert_eq!(site.upstream.requests().len(), 1);
}

fn curl(version: &str) -> impl Fn() -> Command {
    let script = format!(
        "curl --silent --show-error --noproxy '*' {version} --write-out ' %{{http_code}}' \\
         --header \"Authorization: Bearer $TOKEN\" --header 'Content-Type: application/json' \\
         --data \"$BODY\" \"$URL\""
    );
    move || {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&script);
        command
    }
}

#[tokio::test]
async fn curl_works() {
    if program("curl").is_some() {
        works(curl("--http1.1")).await;
    }
}

#[tokio::test]
async fn curl_works_over_cleartext_http_2() {
    if program("curl").is_some() {
        works(curl("--http2-prior-knowledge")).await;
    }
}

#[tokio::test]
async fn python_requests_works() {
    const SCRIPT: &str = "
import os, requests
headers = {'Authorization': 'Bearer ' + os.environ['TOKEN'], 'Content-Type': 'application/json'}
answer = requests.post(os.environ['URL'], headers=headers, data=os.environ['BODY'])
print(answer.text, answer.status_code, end='')";
    let has_requests = |python: &str| {
        let output = Command::new(python)
            .args(["-c", "import requests"])
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let python = if has_requests("python3") {
        "python3".into()
    } else {
        match client("venv/bin/python") {
            Some(python) => python,
            None => return,
        }
    };
    works(|| {
        let mut command = Command::new(&python);
        command.args(["-c", SCRIPT]).env("NO_PROXY", "*");
        command
    })
    .await;
}

#[tokio::test]
async fn node_fetch_works() {
    const SCRIPT: &str = "
const { URL: url, TOKEN, BODY } = process.env;
const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
const answer = await fetch(url, { method: 'POST', headers, body: BODY });
process.stdout.write(`${await answer.text()} ${answer.status}`);";
    if program("node").is_some() {
        works(|| {
            let mut command = Command::new("node");
            command.args(["--input-type=module", "-e", SCRIPT]);
            command
        })
        .await;
    }
}

#[tokio::test]
async fn a_listener_with_a_certificate_speaks_https_and_http_2() {
    if program("curl").is_none() {
        return;
    }
    let site = Site::new().await;
    let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = site.write("cert.pem", &made.cert.pem());
    site.write("key.pem", &made.signing_key.serialize_pem());
    let tls = "tls = { cert = \"cert.pem\", key = \"key.pem\" }\n";
    let gateway = site.start(&format!("{tls}{}", site.file(&site.up()))).await;
    assert!(gateway.url.starts_with("https://127.0.0.1:"));
    let token = site.token(TOKEN).await;
    let curl = async |options: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--write-out", " %{http_code} %{http_version}"])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(options)
            .arg(format!("{}/proxy/up/a", gateway.url));
        let output = output(command).await;
        site.oracle.saw("output of curl", output.stdout.clone());
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let trust = ["--cacert", certificate.to_str().unwrap()];
    let over = async |version| curl(&[&trust[..], &[version]].concat()).await;
    assert_eq!(over("--http2").await, (true, "hello 200 2".into()));
    assert_eq!(over("--http1.1").await, (true, "hello 200 1.1".into()));
    assert_eq!(curl(&[]).await, (false, " 000 0".into()));
    assert_eq!(site.upstream.requests().len(), 2);
}
