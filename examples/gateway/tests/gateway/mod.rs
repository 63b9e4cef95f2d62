//! The gateway, run as its users run it: a process, a file, and clients that know nothing of it.

mod assertion;
mod check;
mod clients;
mod command_line;
mod endpoint;
mod env;
mod health;
mod held_back;
mod limits;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(not(feature = "sigv4"))]
mod no_s3;
mod oauth;
mod places;
mod presets;
mod refusals;
mod reload;
mod revoked;
mod rules;
#[cfg(feature = "sigv4")]
mod s3;
mod service_refusals;
mod source_refusals;
mod sources;
mod stopping;
mod traffic;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use sallygate::Body;
use sallygate_test_support::{Authority, Secure, Slot};

use self::held_back::begun;
use crate::process::{Site, client};

const TOKEN: &[&str] = &["--sandbox", "box-1"];

#[tokio::test]
async fn a_token_from_the_command_line_opens_the_address_in_the_first_line() {
    let site = Site::new().await;
    let gateway = site.start(&site.file(&site.up())).await;
    assert!(gateway.url.starts_with("http://127.0.0.1:"));

    let options = ["--sandbox", "box-1", "--session", "run-1"];
    let token = site
        .token(&[&options[..], &["--expires-in", "2m"]].concat())
        .await;
    let answer = gateway.get("/proxy/up/items?q=1", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let received = site.upstream.last();
    assert_eq!(received.line(), "GET /v1/items?q=1 HTTP/1.1");
    assert_eq!(received.values("host"), [site.upstream.addr.to_string()]);

    let payload = token.split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        (&claims["sandboxId"], &claims["sessionId"]),
        (&"box-1".into(), &"run-1".into())
    );
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 120);

    let answer = gateway
        .send(gateway.request("GET", "/proxy/up/items"))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "PROXY_TOKEN_MISSING")
    );
    let answer = gateway.get("/elsewhere", &token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "PROXY_NOT_FOUND")
    );
    assert_eq!(site.upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_file_to_start_from_starts() {
    let site = Site::new().await;
    let file = include_str!("../../gateway.toml");
    assert!(file.contains("127.0.0.1:8787"));
    let file = file.replace("\"127.0.0.1:8787\"", "\"127.0.0.1:0\"");
    let mut command = site.command(&file);
    command.env("ANTHROPIC_API_KEY", &site.key);
    let gateway = site.start_command(command).await;
    let token = site.token(TOKEN).await;
    let answer = gateway
        .get("/proxy/anthropic/v1/organizations", &token)
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.get("/proxy/none/a", &token).await.status, 404);
}

#[tokio::test]
async fn issuer_and_audience_of_the_file_are_in_its_tokens_and_demanded_of_all() {
    let site = Site::new().await;
    let parties = "issuer = \"https://host.example\"\naudience = \"proxy\"\n";
    let file = site.file(&format!("{parties}{}", site.up()));
    let gateway = site.start(&file).await;
    let plain = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/up/a", &plain).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "PROXY_TOKEN_INVALID")
    );
    let good = site.token_for(&file, TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &good).await.status, 200);
}

#[tokio::test]
async fn why_a_request_is_refused_is_said_on_request_and_in_one_line() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    let forged = format!("{token}x");
    for level in [None, Some("off"), Some("info")] {
        let mut command = site.command(&site.file(&site.up()));
        match level {
            None => command.env_remove("RUST_LOG"),
            Some(level) => command.env("RUST_LOG", level),
        };
        let gateway = site.start_command(command).await;
        let url = gateway.url.clone();
        let path = "/proxy/up/private-path?q=private-query";
        assert_eq!(gateway.get(path, &token).await.status, 200);
        let answer = gateway.get(path, &forged).await;
        assert_eq!(answer.status, 401);
        let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        let id = body["requestId"].as_str().unwrap();

        let log = gateway.stop().await;
        if level != Some("info") {
            assert_eq!(log, "", "{level:?}");
            continue;
        }
        assert_eq!(log.lines().count(), 1, "{log}");
        for said in [
            r#"code="PROXY_TOKEN_INVALID""#,
            "status=401",
            "reason=token: bad signature",
            &format!("request_id={id}"),
            r#"service="up""#,
        ] {
            assert!(log.contains(said), "{said}\n{log}");
        }
        for unsaid in ["private-", "Bearer", &url] {
            assert!(!log.contains(unsaid), "{unsaid}\n{log}");
        }
    }
}

#[tokio::test]
async fn a_termination_signal_lets_a_streamed_answer_finish() {
    let (site, finish) = held_back::site().await;
    let mut gateway = site.start(&site.file(&site.up())).await;
    let token = site.token(TOKEN).await;
    let answer = begun(&gateway, &token).await;

    gateway.signal("TERM");
    gateway.until_closed().await;
    assert!(gateway.is_running());
    finish.send(()).unwrap();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "last");
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_gateway_stops_at_once() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    for signal in ["TERM", "INT"] {
        let file = format!("drain = \"1h\"\n{}", site.file(&site.up()));
        let mut gateway = site.start(&file).await;
        let client = client();
        let request = gateway.authorized("GET", "/proxy/up/a", &token);
        let answer = client
            .request(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.collect().await.unwrap().to_bytes(), "hello");
        // The client keeps its connection, and so does the gateway until now.
        gateway.signal(signal);
        assert_eq!(gateway.exit().await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_private_authority_vouches_for_the_hosts_of_its_own_service_alone() {
    let authority = Authority::new();
    let answer = |_: &_| http::Response::new(Body::from("secure"));
    let trusted = Secure::new(authority.server("127.0.0.1", &["h2"]), answer).await;
    let stranger = Secure::new(authority.server("127.0.0.1", &["h2"]), answer).await;
    let site = Site::new().await;
    site.write("ca.pem", &authority.pem);
    trusted.accept(Slot::Bearer.show(&site.key));
    let service = |name, addr, more| {
        format!(
            "[services.{name}]\ntarget = \"https://{addr}\"\ninject = \"bearer\"\n\
             credential = {{ env = \"MY_API_KEY\" }}\n{more}"
        )
    };
    let services = service("trusted", trusted.addr, "ca_file = \"ca.pem\"\n")
        + &service("stranger", stranger.addr, "");
    let gateway = site.start(&site.file(&services)).await;
    let token = site.token(TOKEN).await;
    let answer = gateway.get("/proxy/trusted/a", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "secure"));
    assert_eq!(trusted.last().version, http::Version::HTTP_2);

    let answer = gateway.get("/proxy/stranger/a", &token).await;
    assert_eq!(answer.status, 502);
    let constant = r#"{"error":"The upstream could not be reached: stranger","code":"PROXY_TARGET_ERROR","requestId":"ID"}"#;
    assert_eq!(answer.constant(), constant);
    assert!(stranger.requests.lock().unwrap().is_empty());
    let received = trusted.last().head;
    site.oracle
        .saw_request("trusted", received.as_bytes(), &trusted.accepted());
}
