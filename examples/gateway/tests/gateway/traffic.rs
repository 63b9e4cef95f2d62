//! Ways in and out that the file opens: hosts, pages in browsers, HTTP/2 to the upstream, WebSockets.

use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sallygate::Body;
use sallygate_test_support::{
    Answer, Slot,
    websocket::{Server, ask, exchange, field, handshake_at, http2},
};
use tokio::net::TcpListener;

use super::{TOKEN, refusals::refused};
use crate::process::{Gateway, Site};

async fn at_host(gateway: &Gateway, host: &str, path: &str, token: &str) -> Answer {
    let request = gateway.authorized("GET", path, token);
    gateway.send(request.header("host", host)).await
}

#[tokio::test]
async fn hosts_of_the_file_lead_to_their_services_whatever_the_path() {
    let site = Site::new().await;
    let top = "host_suffix = \"gate.example.com\"\nhosts = { \"api.example.com\" = \"up\" }\n";
    let gateway = site.start(&format!("{top}{}", site.file(&site.up()))).await;
    let token = site.token(TOKEN).await;
    for (host, path, status, line) in [
        (
            "up.gate.example.com",
            "/items",
            200,
            "GET /v1/items HTTP/1.1",
        ),
        (
            "API.example.com:8080",
            "/proxy/up/items",
            200,
            "GET /v1/proxy/up/items HTTP/1.1",
        ),
        (
            "gate.example.com",
            "/proxy/up/items",
            200,
            "GET /v1/items HTTP/1.1",
        ),
        ("other.gate.example.com", "/items", 404, ""),
        ("example.com", "/items", 404, ""),
    ] {
        let before = site.upstream.requests().len();
        let answer = at_host(&gateway, host, path, &token).await;
        assert_eq!(answer.status, status, "{host}");
        if line.is_empty() {
            assert_eq!(site.upstream.requests().len(), before, "{host}");
        } else {
            assert_eq!(site.upstream.last().line(), line, "{host}");
        }
    }
}

#[tokio::test]
async fn pages_of_the_origins_in_the_file_may_call() {
    let site = Site::new().await;
    let token = site.token(TOKEN).await;
    let own = "https://app.example.com";
    let both = [
        ("[\"https://app.example.com\"]", own, None),
        ("[\"*\"]", "*", Some("*")),
    ];
    for (origins, to_own, to_other) in both {
        let top = format!("cors = {{ origins = {origins} }}\n");
        let gateway = site.start(&format!("{top}{}", site.file(&site.up()))).await;
        for (origin, expected) in [(own, Some(to_own)), ("https://evil.test", to_other)] {
            let preflight = gateway
                .request("OPTIONS", "/proxy/up/a")
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization");
            let answer = gateway.send(preflight).await;
            assert_eq!(answer.header("access-control-allow-origin"), expected);
            assert_eq!(answer.status, if expected.is_some() { 204 } else { 401 });
            let request = gateway
                .authorized("GET", "/proxy/up/a", &token)
                .header("origin", origin);
            let answer = gateway.send(request).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), expected);
        }
    }
    let gateway = site.start(&site.file(&site.up())).await;
    let request = gateway
        .authorized("GET", "/proxy/up/a", &token)
        .header("origin", own);
    let answer = gateway.send(request).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, None)
    );
}

#[tokio::test]
async fn a_plaintext_target_is_spoken_to_in_http_2_where_the_file_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let site = Site::new().await;
    let key = site.key.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let key = key.clone();
            let service = service_fn(move |request: http::Request<_>| {
                assert_eq!(request.version(), Version::HTTP_2);
                let authorization = &request.headers()["authorization"];
                assert_eq!(authorization, &format!("Bearer {key}"));
                let _: &hyper::body::Incoming = request.body();
                async { Ok::<_, hyper::Error>(http::Response::new(Body::from("over h2"))) }
            });
            // It takes nothing but HTTP/2.
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let up = site
        .up()
        .replace(&site.upstream.addr.to_string(), &addr.to_string());
    let token = site.token(TOKEN).await;
    let gateway = site.start(&site.file(&format!("{up}http2 = true\n"))).await;
    let answer = gateway.get("/proxy/up/a", &token).await;
    assert_eq!((answer.status, answer.text()), (200, "over h2"));
    let gateway = site.start(&site.file(&up)).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 502);
}

/// The service `ws`, whose token pages in browsers put among the subprotocols.
pub(crate) fn sockets(site: &Site, server: &Server) -> String {
    site.service("ws", "\"bearer\"", "{ env = \"MY_API_KEY\" }")
        .replace(&site.upstream.addr.to_string(), &server.addr.to_string())
        + "accept = { subprotocol = \"token.\" }\n"
}

#[tokio::test]
async fn a_websocket_passes_over_http_1_and_over_http_2() {
    let site = Site::new().await;
    let mut server = Server::switching("").await;
    let gateway = site.start(&site.file(&sockets(&site, &server))).await;
    let token = site.token(TOKEN).await;
    let addr = gateway.address().parse().unwrap();
    let list = format!("chat, token.{token}");
    let fields = format!("Sec-WebSocket-Protocol: {list}\r\n");
    let (answer, mut caller) = ask(addr, &handshake_at("/proxy/ws/chat", &fields)).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (head, mut upstream) = server.next().await;
    let slot = Slot::Bearer.show(&site.key);
    assert_eq!(field(&head, "sec-websocket-protocol"), "chat");
    assert!(head.contains(&slot), "{head}");
    site.oracle.saw_request("ws", head.as_bytes(), &[slot]);
    exchange(&mut caller, &mut upstream).await;

    let mut sender = http2::connect(addr).await;
    let fields = [("sec-websocket-protocol", &*list)];
    let (answer, _stream) = http2::ask(&mut sender, "/proxy/ws/chat", &fields).await;
    assert_eq!(answer.status(), 200);
    let (_, mut upstream) = server.next().await;
    tokio::io::AsyncWriteExt::write_all(&mut upstream, b"\x81\x05world")
        .await
        .unwrap();
    let frame = answer.into_body().data().await.unwrap().unwrap();
    assert_eq!(frame, &b"\x81\x05world"[..]);
}

#[tokio::test]
async fn a_credential_among_the_subprotocols_is_written_in_the_file() {
    let site = Site::new().await;
    let mut server = Server::switching("").await;
    let key = site.oracle.listable_secret();
    site.write("list.key", &key);
    let service = sockets(&site, &server)
        .replace("\"bearer\"", "{ subprotocol = \"key.\" }")
        .replace("env = \"MY_API_KEY\"", "file = \"list.key\"")
        .replace("[services.ws]", "[services.listed]");
    let gateway = site.start(&site.file(&service)).await;
    let token = site.token(TOKEN).await;
    let fields = format!("Sec-WebSocket-Protocol: chat, token.{token}\r\n");
    let request = handshake_at("/proxy/listed/chat", &fields);
    let (answer, _caller) = ask(gateway.address().parse().unwrap(), &request).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (head, _) = server.next().await;
    assert_eq!(
        field(&head, "sec-websocket-protocol"),
        format!("chat, key.{key}")
    );
}

#[tokio::test]
async fn what_makes_no_sense_of_them_is_refused_by_key() {
    let site = Site::new().await;
    let good = site.file(&site.up());
    let top = "threads = 2\n";
    let table = "allow_plaintext = true\n";
    let bytes = "expected a number of bytes";
    let header_bytes = "expected a number of bytes, from 1 to 262144";
    let header_fields = "expected a number of header fields, from 1 to 1000";
    let time = "expected a time such as \"90s\", \"15m\" or \"24h\"";
    let count = "expected a number of requests, at least 1";
    let origins = "expected origins as browsers write them";
    for (at, new, said) in [
        (top, "drain = \"30\"", format!("drain: {time}")),
        (top, "drain = 30", format!("drain: {time}")),
        (
            top,
            "host_suffix = \"a b\"",
            "host_suffix: expected a host name (".into(),
        ),
        (
            top,
            "hosts = { \"a b\" = \"up\" }",
            "hosts.a b: expected a host name, and the name of a service (".into(),
        ),
        (
            top,
            "hosts = { \"a.example.com\" = \"down\" }",
            "hosts.a.example.com: expected { \"HOST\" = \"SERVICE\" }, a service of this file".into(),
        ),
        (
            top,
            "hosts = [\"a\"]",
            "hosts: expected { \"HOST\" = \"SERVICE\" }".into(),
        ),
        (
            top,
            "cors = true",
            "cors: expected { origins = […] }".into(),
        ),
        (
            top,
            "cors = { origin = [\"*\"] }",
            "cors.origin: expected no such key, only origins".into(),
        ),
        (top, "cors = {}", format!("cors.origins: {origins}")),
        (
            top,
            "cors = { origins = [] }",
            format!("cors.origins: {origins}"),
        ),
        (
            top,
            "cors = { origins = [\"https://a.example.com/\"] }",
            format!("cors.origins: {origins}"),
        ),
        (
            top,
            "limits = 1",
            "limits: expected a table [limits]".into(),
        ),
        (
            top,
            "limits = { body = 1 }",
            "limits.body: expected no such key, only body_bytes,".into(),
        ),
        (
            top,
            "limits = { body_bytes = \"1M\" }",
            format!("limits.body_bytes: {bytes}"),
        ),
        (
            top,
            "limits = { idle_timeout = \"0s\" }",
            format!("limits.idle_timeout: {time}"),
        ),
        (
            top,
            "limits = { concurrent_per_sandbox = 0 }",
            format!("limits.concurrent_per_sandbox: {count}"),
        ),
        (
            top,
            "limits = { header_bytes = 262145 }",
            format!("limits.header_bytes: {header_bytes}"),
        ),
        (
            top,
            "limits = { header_fields = 0 }",
            format!("limits.header_fields: {header_fields}"),
        ),
        (
            table,
            "header_bytes = 0",
            format!("services.up.header_bytes: {header_bytes}"),
        ),
        (
            table,
            "header_fields = 1001",
            format!("services.up.header_fields: {header_fields}"),
        ),
        (
            table,
            "header_fields = \"many\"",
            format!("services.up.header_fields: {header_fields}"),
        ),
        (
            table,
            "connect_timeout = 10",
            format!("services.up.connect_timeout: {time}"),
        ),
        (
            table,
            "expiry_grace = \"0s\"",
            format!("services.up.expiry_grace: {time}"),
        ),
        (
            table,
            "body_bytes = -1",
            format!("services.up.body_bytes: {bytes}"),
        ),
        (
            table,
            "response_bytes = 1.5",
            format!("services.up.response_bytes: {bytes}"),
        ),
        (
            table,
            "response_timeout = \"10 m\"",
            format!("services.up.response_timeout: {time}"),
        ),
        (
            table,
            "idle_timeout = \"m\"",
            format!("services.up.idle_timeout: {time}"),
        ),
        (
            table,
            "unread_timeout = 60",
            format!("services.up.unread_timeout: {time}"),
        ),
        (
            table,
            "concurrent = 0",
            format!("services.up.concurrent: {count}"),
        ),
        (
            table,
            "http2 = 1",
            "services.up.http2: expected true or false".into(),
        ),
        (
            table,
            "accept = { subprotocol = \"a b\" }",
            "services.up.accept: expected a place for a key (place: not the beginning of a subprotocol"
                .into(),
        ),
    ] {
        refused(&site, &good, at, &format!("{at}{new}\n"), &said).await;
    }
    let said = "services.up.http2: expected true only with allow_plaintext";
    let secure = site.up().replace("http://", "https://");
    let secure = site.file(&secure.replace(table, "http2 = true\n"));
    refused(&site, &secure, "threads", "threads", said).await;
    site.start(&good).await;
}
