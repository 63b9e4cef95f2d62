use std::net::SocketAddr;

use sallygate_test_support::{
    Slot,
    matrix::{APIS, Matrix},
};
use serde_json::{Value, json};

use super::{
    api::{Api, Call, Reply},
    stage::{Stage, UNREACHABLE, python, raised},
};
use crate::process::Site;

fn table(name: &str, api: SocketAddr) -> String {
    format!(
        "[services.{name}]\npreset = \"anthropic\"\ntarget = \"http://{api}\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\n"
    )
}

const REFUSAL: &str =
    r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#;

fn answer(call: &Call) -> Reply {
    match call.line.split('?').next().unwrap() {
        "POST /v1/messages/count_tokens" => Reply::Json(200, json!({"input_tokens": 7})),
        "POST /v1/messages" => {
            let ask = call.json();
            if ask["max_tokens"].as_u64() > Some(4096) {
                let error =
                    json!({"type": "invalid_request_error", "message": "max_tokens: too many"});
                let body = json!({"type": "error", "error": error, "request_id": "req_upstream"});
                return Reply::Json(400, body);
            }
            if ask["stream"] == true {
                return Reply::Events(events());
            }
            let content = json!([{"type": "text", "text": "hello"}]);
            Reply::Json(200, message(&content))
        }
        "GET /v1/models" => {
            let second = call.line.contains("after_id=claude-1");
            let id = if second { "claude-2" } else { "claude-1" };
            let model = json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"});
            let page = json!({"data": [model], "first_id": id, "last_id": id, "has_more": !second});
            Reply::Json(200, page)
        }
        "POST /v1/files" => Reply::Json(
            200,
            json!({"id": "file_1", "type": "file", "filename": "note.txt", "mime_type": "text/plain",
                   "size_bytes": 6, "created_at": "2026-01-01T00:00:00Z"}),
        ),
        _ => Reply::Json(
            404,
            json!({"type": "error", "error": {"type": "not_found_error", "message": call.line}}),
        ),
    }
}

fn message(content: &Value) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test", "content": content,
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 7, "output_tokens": 2}
    })
}

fn events() -> Vec<String> {
    let event = |mut event: Value, kind: &str| {
        event["type"] = kind.into();
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let delta = |text: &str| {
        let delta = json!({"type": "text_delta", "text": text});
        event(json!({"index": 0, "delta": delta}), "content_block_delta")
    };
    let block = json!({"type": "text", "text": ""});
    let start = event(json!({"message": message(&json!([]))}), "message_start")
        + &event(
            json!({"index": 0, "content_block": block}),
            "content_block_start",
        );
    let stop = json!({"stop_reason": "end_turn", "stop_sequence": null});
    vec![
        start + &delta("hel"),
        event(json!({}), "ping"),
        delta("lo"),
        event(json!({"index": 0}), "content_block_stop"),
        event(
            json!({"delta": stop, "usage": {"output_tokens": 2}}),
            "message_delta",
        ),
        event(json!({}), "message_stop"),
    ]
}

#[tokio::test]
async fn the_anthropic_sdk_for_python_works() {
    let Some(python) = python() else { return };
    let site = Site::new().await;
    let slot = Slot::Header("x-api-key");
    let api = Api::start(&site, slot, (401, REFUSAL), answer).await;
    let stage = Stage::up(site, table, api.server.addr).await;
    let mut script = stage.python(&python, "with_anthropic.py", "ANTHROPIC_BASE_URL");
    script.env("ACKNOWLEDGE", api.acknowledge_url());
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(
        &APIS,
        "anthropic (Python)",
        facts["version"].as_str().unwrap(),
    );

    assert_eq!(
        (&facts["plain"], &facts["tokens"]),
        (&json!("hello"), &json!(7))
    );
    let call = api.call("POST /v1/messages");
    assert_eq!(call.json()["messages"][0]["content"], "Say hello");
    assert!(!call.header("anthropic-version").is_empty());
    matrix.report("plain call");

    assert_eq!(
        facts["stream"],
        json!({"texts": ["hel", "lo"], "message": "hello"})
    );
    matrix.report("streaming");

    assert_eq!(facts["upload"], "file_1");
    let call = api.call("POST /v1/files");
    assert!(
        call.header("content-type")
            .starts_with("multipart/form-data; boundary=")
    );
    assert!(call.text().contains("\r\n\r\na note\r\n"));
    matrix.report("upload");

    assert_eq!(facts["pages"], json!(["claude-1", "claude-2"]));
    matrix.report("pages");

    let error = &facts["error"];
    let text = "max_tokens: too many";
    raised(error, "anthropic.BadRequestError", 400, text);
    assert_eq!(error["request_id"], "req_upstream");
    matrix.report("error of the API");

    let class = "anthropic.AuthenticationError";
    raised(&facts["refused"], class, 401, "");
    matrix.report("refused token");

    let class = "anthropic.InternalServerError";
    raised(&facts["down"], class, 502, UNREACHABLE);
    matrix.report("API unreachable");

    // Two of models, and nothing of the two that were to fail.
    assert_eq!(api.calls().len(), 7);
}
