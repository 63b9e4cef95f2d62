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
        "[services.{name}]\npreset = \"stripe\"\ntarget = \"http://{api}\"\nallow_plaintext = true\n\
         credential = {{ env = \"MY_API_KEY\" }}\n"
    )
}

const REFUSAL: &str =
    r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key provided"}}"#;

fn answer(call: &Call) -> Reply {
    match call.line.split('?').next().unwrap() {
        "POST /v1/customers" if call.text().contains("email=nonsense") => {
            let error = json!({"type": "invalid_request_error", "code": "email_invalid", "param": "email",
                               "message": "Invalid email address: nonsense"});
            Reply::Json(400, json!({ "error": error }))
        }
        "POST /v1/customers" => match call.header("idempotency-key") {
            "order-7" => Reply::Json(200, customer("cus_7")),
            _ => Reply::Json(200, customer("cus_new")),
        },
        "GET /v1/customers" => {
            let second = call.line.contains("starting_after=cus_1");
            let data = customer(if second { "cus_2" } else { "cus_1" });
            let url = "/v1/customers";
            let page = json!({"object": "list", "url": url, "has_more": !second, "data": [data]});
            Reply::Json(200, page)
        }
        line => Reply::Json(
            404,
            json!({"error": {"type": "invalid_request_error", "message": line}}),
        ),
    }
}

fn customer(id: &str) -> Value {
    json!({"id": id, "object": "customer", "email": "ada@example.com"})
}

#[tokio::test]
async fn the_stripe_sdk_for_python_works() {
    let Some(python) = python() else { return };
    let site = Site::new().await;
    let api = Api::start(&site, Slot::Bearer, (401, REFUSAL), answer).await;
    let stage = Stage::up(site, table, api.server.addr).await;
    let mut script = stage.python(&python, "with_stripe.py", "STRIPE_API_BASE");
    let facts = stage.facts(&mut script).await;
    let matrix = Matrix::of(&APIS, "stripe (Python)", facts["version"].as_str().unwrap());

    assert_eq!(facts["plain"], "cus_new");
    let call = api.call("POST /v1/customers");
    assert_eq!(
        call.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        call.text(),
        "email=ada%40example.com&metadata[plan]=gold+%26+more"
    );
    assert!(!call.header("stripe-version").is_empty());
    matrix.report("plain call");

    assert_eq!(facts["twice"], json!(["cus_7", "cus_7"]));
    let keys = api.calls().into_iter();
    let keys = keys.filter(|call| call.header("idempotency-key") == "order-7");
    assert_eq!(keys.count(), 2);
    matrix.report("repeat with one idempotency key");

    assert_eq!(facts["pages"], json!(["cus_1", "cus_2"]));
    matrix.report("pages");

    raised(
        &facts["error"],
        "stripe.InvalidRequestError",
        400,
        "Invalid email address: nonsense",
    );
    assert_eq!(facts["error"]["param"], "email");
    matrix.report("error of the API");
    raised(&facts["refused"], "stripe.AuthenticationError", 401, "");
    matrix.report("refused token");
    raised(&facts["down"], "stripe.APIError", 502, UNREACHABLE);
    matrix.report("API unreachable");

    // Two of the list, and nothing of the two that were to fail.
    assert_eq!(api.calls().len(), 6);
}
