//! A page in headless Chromium.

use std::{fs, sync::Arc};

use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sallygate::Body;
use sallygate_test_support::{
    Reply, Server, Upstream,
    matrix::{Matrix, OF_THE_SYSTEM, SOCKETS},
    program, within,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    sockets::{SocketServer, judge},
    stage::{PROGRAM, Stage, python, scripts},
};
use crate::process::Site;

/// An origin with one page, which is told where to call, and reports.
struct Origin {
    server: Server,
    told: watch::Sender<Value>,
    report: watch::Receiver<Value>,
}

impl Origin {
    async fn new() -> Self {
        let told = watch::Sender::new(Value::Null);
        let (reported, report) = watch::channel(Value::Null);
        let (telling, reported) = (told.clone(), Arc::new(reported));
        let server = Server::answering(None, move |request| {
            let (told, reported) = (telling.borrow().clone(), reported.clone());
            async move { respond(request, told, &reported).await }
        })
        .await;
        Self {
            server,
            told,
            report,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }
}

async fn respond(
    request: Request<Incoming>,
    told: Value,
    reported: &watch::Sender<Value>,
) -> Response<Body> {
    let page = || fs::read(scripts().join("in_browser.html")).unwrap();
    let (kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => ("text/html", page()),
        (&Method::GET, "/told") => ("application/json", told.to_string().into_bytes()),
        (&Method::POST, "/report") => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            reported.send_replace(serde_json::from_slice(&body).unwrap());
            ("text/plain", Vec::new())
        }
        (&Method::GET, "/until-reported") => {
            let mut report = reported.subscribe();
            let _ = report.wait_for(|report| !report.is_null()).await;
            ("text/plain", Vec::new())
        }
        _ => ("text/plain", Vec::new()),
    };
    let response = Response::builder().header(CONTENT_TYPE, kind);
    response.body(body.into()).unwrap()
}

/// Shows the page to a browser, and gives what it reports.
async fn visit(stage: &Stage, origin: &Origin) -> Value {
    let profile = stage
        .site
        .folder
        .join(format!("profile-{}", origin.server.addr.port()));
    let mut chromium = stage.client("chromium".as_ref());
    chromium
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(origin.url());
    let mut report = origin.report.clone();
    let reported = async {
        let report = report.wait_for(|report| !report.is_null());
        within(PROGRAM, report).await.unwrap().clone()
    };
    let (output, report) = tokio::join!(stage.run(&mut chromium), reported);
    assert!(output.status.success(), "{}", super::stage::said(&output));
    stage
        .site
        .oracle
        .saw("the page's report", report.to_string());
    report
}

#[tokio::test]
async fn a_page_in_chromium_works_where_its_origin_is_allowed() {
    let Some(python) = python() else { return };
    if program("chromium").is_none() {
        return;
    }
    let upstream = Upstream::scripted(|request| match request.line() {
        "POST /v1/items HTTP/1.1" => Reply::response("201 Created\nx-request-id: r-1", "made"),
        line => Reply::response("404 Not Found", line),
    })
    .await;
    let site = Site::upon(upstream);
    let mut server = SocketServer::start(&site, &python).await;
    let (own, other) = (Origin::new().await, Origin::new().await);
    let file = format!(
        "cors = {{ origins = [\"{}\"] }}\n{}",
        own.url(),
        site.file(&format!(
            "{}{}accept = {{ subprotocol = \"token.\" }}\n",
            site.up(),
            site.service("chat", "\"bearer\"", "{ env = \"MY_API_KEY\" }")
                .replace(
                    &format!("{}/v1", site.upstream.addr),
                    &server.addr.to_string()
                )
        ))
    );
    let stage = Stage::with(site, &file).await;
    let told = json!({
        "base": stage.variable("CHAT_BASE_URL"),
        "api": stage.variable("UP_BASE_URL"),
        "key": stage.token,
        "badKey": stage.bad_token(),
    });
    for origin in [&own, &other] {
        origin.told.send_replace(told.clone());
    }

    let facts = visit(&stage, &own).await;
    let matrix = Matrix::of(&SOCKETS, "Chromium", OF_THE_SYSTEM);
    let sockets = &facts["sockets"];
    judge(&matrix, sockets);
    matrix.report("token among the subprotocols");
    let closes = server.closes(2).await;
    assert_eq!(closes, [json!([4001, "as asked"]), json!([4002, "enough"])]);
    matrix.report("close codes");
    assert_eq!(
        facts["fetched"],
        json!({"status": 201, "text": "made", "id": "r-1"})
    );
    matrix.report("fetch from an allowed origin");
    // Of a refusal, a page of an allowed origin learns the reason.
    assert_eq!(facts["refused"]["status"], 401, "{facts}");
    let text = facts["refused"]["text"].as_str().unwrap();
    assert!(text.contains("PROXY_TOKEN_INVALID"), "{facts}");
    assert_eq!(sockets["refused"], true, "{facts}");
    matrix.report("refused token");
    assert_eq!(stage.site.upstream.requests().len(), 1);

    let facts = visit(&stage, &other).await;
    let failed = json!({"error": "TypeError"});
    assert_eq!((&facts["fetched"], &facts["refused"]), (&failed, &failed));
    matrix.report("fetch from another origin is refused");
    // It did not get past the preflight.
    assert_eq!(stage.site.upstream.requests().len(), 1);
}
