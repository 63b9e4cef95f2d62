use sallygate::Api;
use sallygate_test_support::Slot;

use super::{BEARER, Called, basic};

#[tokio::test]
async fn the_key_stands_in_authorization_wherever_the_token_was() {
    let api = Called::new(Slot::Bearer, Api::stripe).await;
    api.takes_the_token_in("/v1/charges", &[BEARER]).await;
    let good = basic(&format!("{}:", api.token));
    api.passes("GET", "/v1/charges?limit=3", &[("authorization", &good)])
        .await;
    let with_password = basic(&format!("{}:x", api.token));
    api.passes("GET", "/v1/charges", &[("authorization", &with_password)])
        .await;
    for pair in [
        format!("{}x:", api.token),
        format!("x:{}", api.token),
        format!(":{}", api.token),
        api.token.clone(),
    ] {
        let bad = basic(&pair);
        let answer = api
            .refuses("GET", "/v1/charges", &[("authorization", &bad)])
            .await;
        assert_eq!(answer.status, 401);
    }
}

#[tokio::test]
async fn only_its_own_paths_and_methods_pass() {
    let api = Called::new(Slot::Bearer, Api::stripe).await;
    for path in [
        "/v1/ephemeral_keys",
        "/v1/ephemeral_keys/ephkey_1",
        "/v1/Ephemeral_Keys",
        "/v1/apps/secrets/find",
        "/v2/iam/api_keys",
        "/v3/charges",
        "/oauth/token",
    ] {
        let answer = api.refuses("POST", path, &[BEARER]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        api.refuses("PUT", "/v1/charges", &[BEARER]).await.status,
        405
    );
    for (method, path) in [
        ("POST", "/v1/payment_intents"),
        ("DELETE", "/v1/customers/cus_1"),
        ("GET", "/v2/core/events?limit=1"),
    ] {
        api.passes(method, path, &[BEARER]).await;
    }
}

#[tokio::test]
async fn what_its_clients_send_passes() {
    let api = Called::new(Slot::Bearer, Api::stripe).await;
    let fields = [
        BEARER,
        ("stripe-version", "2025-01-01.acacia"),
        ("stripe-account", "acct_1"),
        ("idempotency-key", "order-7"),
        ("x-stripe-client-user-agent", "{}"),
    ];
    api.passes("POST", "/v1/charges", &fields).await;
    let arrived = api.stack.upstream.last();
    for (name, value) in &fields[1..] {
        assert_eq!(arrived.values(name), [*value]);
    }
}
