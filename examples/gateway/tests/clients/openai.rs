use std::{net::SocketAddr, process::Command};

use sallygate_test_support::{
    Slot, client,
    matrix::{APIS, Matrix},
    program,
};
use serde_json::{Value, json};

use super::{
    api::{Api, Call, Reply},
    stage::{Stage, UNREACHABLE, python, raised},
};
use crate::process::Site;

fn table(name: &str, api: SocketAddr) -> String {
    format!(
        "[services.{name}]\npreset = \"openai\"\ntarget = \"http://{api}\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\norganization = \"org-1\"\n"
    )
}

const REFUSAL: &str = r#"{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

fn answer(call: &Call) -> Reply {
    match call.line.split('?').next().unwrap() {
        "POST /v1/chat/completions" => {
            let ask = call.json();
            if ask["model"] == "no-such-model" {
                return error(
                    404,
                    "The model `no-such-model` does not exist",
                    "model_not_found",
                );
            }
            if ask["stream"] == true {
                let chunk = |text: &str, finish: Value| {
                    let choice =
                        json!({"index": 0, "delta": {"content": text}, "finish_reason": finish});
                    let chunk = completion("chat.completion.chunk", &choice);
                    format!("data: {chunk}\n\n")
                };
                let (first, last) = (chunk("hel", Value::Null), chunk("lo", "stop".into()));
                return Reply::Events(vec![first, last, "data: [DONE]\n\n".into()]);
            }
            let message = json!({"role": "assistant", "content": "hello"});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            Reply::Json(200, completion("chat.completion", &choice))
        }
        "POST /v1/responses" => {
            let text = json!({"type": "output_text", "text": "hello", "annotations": []});
            let message = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                                 "content": [text]});
            Reply::Json(
                200,
                json!({"id": "resp_1", "object": "response", "created_at": 0, "status": "completed",
                       "model": "gpt-test", "output": [message]}),
            )
        }
        "GET /v1/models" => {
            let model = |id| json!({"id": id, "object": "model", "created": 0, "owned_by": "us"});
            let models = json!({"object": "list", "data": [model("gpt-test"), model("gpt-other")]});
            Reply::Json(200, models)
        }
        "GET /v1/files" => {
            let second = call.line.contains("after=file-1");
            let file = file(if second { "file-2" } else { "file-1" });
            Reply::Json(
                200,
                json!({"object": "list", "data": [file], "has_more": !second}),
            )
        }
        "POST /v1/files" => Reply::Json(200, file("file-new")),
        line => error(404, line, "unknown_url"),
    }
}

fn error(status: u16, message: &str, code: &str) -> Reply {
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
    Reply::Json(status, json!({ "error": error }))
}

fn completion(object: &str, choice: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": object, "created": 0, "model": "gpt-test", "choices": [choice]})
}

fn file(id: &str) -> Value {
    json!({"id": id, "object": "file", "bytes": 6, "created_at": 0, "filename": "note.txt",
           "purpose": "user_data", "status": "processed"})
}

/// `prefix` is of the names of the exceptions.
async fn works(name: &'static str, prefix: &str, make: impl FnOnce(&Stage) -> Command) {
    let site = Site::new().await;
    let api = Api::start(&site, Slot::Bearer, (401, REFUSAL), answer).await;
    let stage = Stage::up(site, table, api.server.addr).await;
    let mut script = make(&stage);
    script
        .env("OPENAI_ORG_ID", "org-7")
        .env("ACKNOWLEDGE", api.acknowledge_url());
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(&APIS, name, facts["version"].as_str().unwrap());

    assert_eq!(
        (&facts["plain"], &facts["response"]),
        (&json!("hello"), &json!("hello"))
    );
    let call = api.call("POST /v1/chat/completions");
    assert_eq!(call.json()["messages"][0]["content"], "Say hello");
    // Whose the call is, the operator says.
    assert_eq!(call.header("openai-organization"), "org-1");
    matrix.report("plain call");

    assert_eq!(facts["stream"], json!(["hel", "lo"]));
    matrix.report("streaming");

    assert_eq!(facts["upload"], "file-new");
    let call = api.call("POST /v1/files");
    assert!(
        call.header("content-type")
            .starts_with("multipart/form-data; boundary=")
    );
    assert!(call.text().contains("\r\n\r\na note\r\n"));
    matrix.report("upload");

    assert_eq!(facts["models"], json!(["gpt-test", "gpt-other"]));
    assert_eq!(facts["pages"], json!(["file-1", "file-2"]));
    matrix.report("pages");

    let class = |name| format!("{prefix}{name}");
    raised(
        &facts["error"],
        &class("NotFoundError"),
        404,
        "The model `no-such-model` does not exist",
    );
    assert_eq!(facts["error"]["code"], "model_not_found");
    matrix.report("error of the API");
    raised(&facts["refused"], &class("AuthenticationError"), 401, "");
    matrix.report("refused token");
    raised(
        &facts["down"],
        &class("InternalServerError"),
        502,
        UNREACHABLE,
    );
    matrix.report("API unreachable");

    // Two of files, and nothing of the two that were to fail.
    assert_eq!(api.calls().len(), 8);
}

#[tokio::test]
async fn the_openai_sdk_for_python_works() {
    let Some(python) = python() else { return };
    works("openai (Python)", "openai.", |stage| {
        stage.python(&python, "with_openai.py", "OPENAI_BASE_URL")
    })
    .await;
}

#[tokio::test]
async fn the_openai_sdk_for_node_works() {
    let Some(sdk) = client("node_modules/openai") else {
        return;
    };
    let Some(node) = program("node") else { return };
    works("openai (Node)", "", |stage| {
        stage.node(&node, &sdk, "with_openai.mjs", "OPENAI_BASE_URL")
    })
    .await;
}
