use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sallygate_test_support::{Recorded, Reply, Slot, Upstream};
use serde_json::{Value, json};

use crate::process::Site;

/// A token endpoint: to requests with `slot` in them, it gives the token that `issue` makes.
pub(super) async fn endpoint(
    slot: impl Into<String>,
    issue: impl Fn(&Recorded) -> Option<Value> + Send + Sync + 'static,
) -> Upstream {
    let endpoint = Upstream::scripted(move |request| {
        let head = match issue(request) {
            Some(token) => return Reply::response(OK, token.to_string()),
            None => "400 Bad Request\ncontent-type: application/json",
        };
        Reply::response(head, r#"{"error":"invalid_grant"}"#)
    })
    .await;
    endpoint.accept(slot.into());
    endpoint
}

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const OK: &str = "200 OK\ncontent-type: application/json";

/// How a client shows its id and secret (RFC 6749 §2.3.1).
pub(super) fn client(id: &str, secret: &str) -> String {
    let secret = utf8_percent_encode(secret, NON_ALPHANUMERIC);
    let pair = STANDARD.encode(format!("{id}:{secret}"));
    format!("\r\nauthorization: Basic {pair}\r\n")
}

pub(super) fn form(request: &Recorded) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(&request.body).unwrap();
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

pub(super) fn bearer(token: &str) -> Value {
    json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})
}

impl Site {
    /// A token that the API takes as it takes the key.
    pub(super) fn issued(&self) -> String {
        let token = self.oracle.secret("issued token");
        self.upstream.accept(Slot::Bearer.show(&token));
        token
    }
}
