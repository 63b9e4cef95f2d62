use std::net::SocketAddr;

use sallygate_test_support::{
    Slot,
    matrix::{APIS, Matrix},
};
use serde_json::json;

use super::{
    api::{Api, Call, Reply},
    stage::{Stage, UNREACHABLE, python, raised},
};
use crate::process::Site;

fn table(name: &str, api: SocketAddr) -> String {
    format!(
        "[services.{name}]\npreset = \"slack\"\ntarget = \"http://{api}/api\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\n"
    )
}

// Slack says so with a 200.
const REFUSAL: &str = r#"{"ok":false,"error":"invalid_auth"}"#;

fn answer(call: &Call) -> Reply {
    let body = match call.parts.uri.path() {
        "/api/auth.test" => json!({"ok": true, "user": "bot", "team": "T1"}),
        "/api/chat.postMessage" => match &call.json()["channel"] {
            channel if channel == "C404" => json!({"ok": false, "error": "channel_not_found"}),
            channel => json!({"ok": true, "channel": channel, "ts": "1.5"}),
        },
        "/api/conversations.list" => {
            let second = call.text().contains("cursor=page2") || call.line.contains("cursor=page2");
            let (name, next) = if second {
                ("random", "")
            } else {
                ("general", "page2")
            };
            json!({"ok": true, "channels": [{"id": "C1", "name": name}],
                   "response_metadata": {"next_cursor": next}})
        }
        _ => json!({"ok": false, "error": "unknown_method"}),
    };
    Reply::Json(200, body)
}

#[tokio::test]
async fn the_slack_sdk_for_python_works() {
    let Some(python) = python() else { return };
    let site = Site::new().await;
    let api = Api::start(&site, Slot::Bearer, (200, REFUSAL), answer).await;
    let stage = Stage::up(site, table, api.server.addr).await;
    let mut script = stage.python(&python, "with_slack.py", "SLACK_API_URL");
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(
        &APIS,
        "slack_sdk (Python)",
        facts["version"].as_str().unwrap(),
    );

    assert_eq!(
        (&facts["identity"], &facts["plain"]),
        (&json!("bot"), &json!("1.5"))
    );
    let call = api.call("POST /api/chat.postMessage");
    assert_eq!(
        call.json(),
        json!({"channel": "C1", "text": "hello & good day"})
    );
    matrix.report("plain call");

    assert_eq!(facts["pages"], json!(["general", "random"]));
    matrix.report("pages");

    let class = "slack_sdk.SlackApiError";
    raised(&facts["error"], class, 200, "");
    assert_eq!(facts["error"]["code"], "channel_not_found");
    matrix.report("error of the API");
    raised(&facts["refused"], class, 401, "");
    matrix.report("refused token");
    raised(&facts["down"], class, 502, UNREACHABLE);
    matrix.report("API unreachable");

    // Two of the list, and nothing of the two that were to fail.
    assert_eq!(api.calls().len(), 5);
}
