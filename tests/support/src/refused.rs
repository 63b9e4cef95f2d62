use std::fmt::Display;

use crate::Answer;

/// Asserts that the proxy refused a request with this status and code, and that the whole response is as a refusal must be.
///
/// The body is JSON of three members and has arrived whole. No cache may keep it. A challenge is with 401 alone, `Allow`
/// with 405 alone, and `Retry-After` with what may pass: 429 and 503.
#[track_caller]
pub fn assert_refused(response: &Answer, status: u16, code: &str) {
    assert_case_refused(response, status, code, "");
}

/// The same for one case of many: `case` is what the failure says.
#[track_caller]
pub fn assert_case_refused(response: &Answer, status: u16, code: &str, case: impl Display) {
    let text = String::from_utf8_lossy(&response.body);
    assert_eq!(
        (response.status, response.code_if_any().as_str()),
        (status, code),
        "{case}: {text}"
    );
    assert!(response.complete, "{case}: {text}");

    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "error", "requestId"], "{case}: {text}");
    assert!(!response.member("error").is_empty(), "{case}: {text}");
    let id = response.member("requestId");
    let is_id = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    assert!(is_id, "{case}: {text}");

    let fields = &response.fields;
    let there = |name| response.header(name).is_some();
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/json"), "{case}: {fields:?}");
    let caching = response.header("cache-control");
    assert_eq!(caching, Some("no-store"), "{case}: {fields:?}");
    let challenged = !response.values("www-authenticate").is_empty();
    assert_eq!(challenged, status == 401, "{case}: {fields:?}");
    assert_eq!(there("allow"), status == 405, "{case}: {fields:?}");
    let may_pass = matches!(status, 429 | 503);
    assert_eq!(there("retry-after"), may_pass, "{case}: {fields:?}");
    assert!(response.trailers.is_empty(), "{case}: {fields:?}");
}
