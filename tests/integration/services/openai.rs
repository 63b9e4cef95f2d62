use http::{HeaderName, HeaderValue};
use sallygate::{Api, Credential};
use sallygate_test_support::Slot;

use super::{BEARER, Called};

#[tokio::test]
async fn the_key_stands_in_authorization() {
    let api = Called::new(Slot::Bearer, Api::openai).await;
    api.takes_the_token_in("/v1/models", &[BEARER]).await;
    let arrived = api
        .passes("GET", "/v1/files?limit=1&after=file-1", &[BEARER])
        .await;
    assert!(
        arrived.starts_with("GET /v1/files?limit=1&after=file-1 HTTP/1.1\r\n"),
        "{arrived}"
    );
}

#[tokio::test]
async fn only_its_own_paths_and_methods_pass() {
    let api = Called::new(Slot::Bearer, Api::openai).await;
    for path in [
        "/v1/organization/admin_api_keys",
        "/v1/organization/projects/p/api_keys/",
        "/v1/ORGANIZATION/users",
        "/v1/%2570rojects/p/roles",
        "/v1/projects/p/roles",
        "/v1/realtime/client_secrets",
        "/v1/realtime/client_secrets/",
        "/v1/realtime//client_secrets",
        "/v1/realtime/sessions",
        "/v1/realtime/transcription_sessions",
        "/v1/realtime/translations/client_secrets",
        "/v1/chatkit/sessions",
        "/v1/chatkit/sessions/s/cancel",
        "/models",
        "/dashboard/billing/usage",
    ] {
        let answer = api.refuses("POST", path, &[BEARER]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        api.refuses("PATCH", "/v1/models", &[BEARER]).await.status,
        405
    );
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/realtime/calls"),
        ("GET", "/v1/chatkit/threads"),
        ("DELETE", "/v1/files/file-1"),
    ] {
        api.passes(method, path, &[BEARER]).await;
    }
}

const OURS: [(&str, &str); 2] = [
    ("openai-organization", "org-ours"),
    ("openai-project", "proj_ours"),
];

fn with_an_account(key: Credential) -> Api {
    OURS.iter()
        .fold(Api::openai(key), |service, (name, value)| {
            service.set_header(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
}

#[tokio::test]
async fn the_caller_does_not_choose_the_account() {
    let asked = [
        BEARER,
        ("openai-organization", "org-theirs"),
        ("OpenAI_Organization", "org-theirs"),
        ("OpenAI-Project", "proj_theirs"),
        ("openai-beta", "assistants=v2"),
    ];
    let api = Called::new(Slot::Bearer, Api::openai).await;
    let arrived = api.passes("POST", "/v1/responses", &asked).await;
    assert!(!arrived.contains("theirs"), "{arrived}");
    assert!(
        arrived.contains("\r\nopenai-beta: assistants=v2\r\n"),
        "{arrived}"
    );

    let api = Called::new(Slot::Bearer, with_an_account).await;
    let arrived = api.passes("POST", "/v1/responses", &asked).await;
    assert!(!arrived.contains("theirs"), "{arrived}");
    let arrived = api.stack.upstream.last();
    for (name, value) in OURS {
        assert_eq!(arrived.values(name), [value]);
    }
    assert!(!arrived.has("openai_organization"));
}
