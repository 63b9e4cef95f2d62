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
        "[services.{name}]\npreset = \"gemini\"\ntarget = \"http://{api}\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\n"
    )
}

const REFUSAL: &str =
    r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#;

fn answer(call: &Call) -> Reply {
    match call.line.as_str() {
        "POST /v1/models/gemini-test:generateContent" => {
            if call.json()["contents"][0]["parts"][0]["text"] == "nonsense" {
                return error(400, "contents: nonsense", "INVALID_ARGUMENT");
            }
            Reply::Json(200, part("hello", "STOP"))
        }
        "POST /v1/models/gemini-test:streamGenerateContent?alt=sse" => {
            let event = |part: Value| format!("data: {part}\r\n\r\n");
            Reply::Events(vec![event(part("hel", "")), event(part("lo", "STOP"))])
        }
        line if line.starts_with("GET /v1/models?") => {
            let (name, next) = match line.contains("pageToken=second") {
                false => ("models/gemini-1", "second"),
                true => ("models/gemini-2", ""),
            };
            Reply::Json(
                200,
                json!({"models": [{"name": name}], "nextPageToken": next}),
            )
        }
        line => error(404, line, "NOT_FOUND"),
    }
}

fn part(text: &str, finish: &str) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}});
    if !finish.is_empty() {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate]})
}

fn error(code: u16, message: &str, status: &str) -> Reply {
    Reply::Json(
        code,
        json!({"error": {"code": code, "message": message, "status": status}}),
    )
}

#[tokio::test]
async fn the_google_genai_sdk_for_python_works() {
    let Some(python) = python() else { return };
    let site = Site::new().await;
    let slot = Slot::Header("x-goog-api-key");
    let api = Api::start(&site, slot, (400, REFUSAL), answer).await;
    let stage = Stage::up(site, table, api.server.addr).await;
    let mut script = stage.python(&python, "with_genai.py", "GOOGLE_GEMINI_BASE_URL");
    script.env("ACKNOWLEDGE", api.acknowledge_url());
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(
        &APIS,
        "google-genai (Python)",
        facts["version"].as_str().unwrap(),
    );

    assert_eq!(facts["plain"], "hello");
    let call = api.call("POST /v1/models/gemini-test:generateContent");
    assert_eq!(call.json()["contents"][0]["parts"][0]["text"], "Say hello");
    matrix.report("plain call");

    assert_eq!(facts["stream"], json!(["hel", "lo"]));
    matrix.report("streaming");

    assert_eq!(
        facts["pages"],
        json!(["models/gemini-1", "models/gemini-2"])
    );
    matrix.report("pages");

    raised(
        &facts["error"],
        "google.ClientError",
        400,
        "contents: nonsense",
    );
    assert_eq!(facts["error"]["message"], "contents: nonsense");
    matrix.report("error of the API");
    raised(&facts["refused"], "google.ClientError", 401, "");
    matrix.report("refused token");
    raised(&facts["down"], "google.ServerError", 502, UNREACHABLE);
    matrix.report("API unreachable");

    // Two of models, and nothing of the two that were to fail.
    assert_eq!(api.calls().len(), 5);
}
