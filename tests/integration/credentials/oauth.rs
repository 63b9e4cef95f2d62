use std::sync::{Arc, Mutex};

use sallygate::{
    Credential,
    credential::{Assertion, OAuth2, SigningKey, SourceError},
};
use serde_json::json;

use super::{
    endpoint::{Mood, json as say_json},
    grants::{Flow, Grants, refused},
    keys::Key,
    ledger::CLIENT,
};

/// Lets the endpoint take anything, and asks it once.
async fn ask(grants: &Grants, oauth: OAuth2) -> super::endpoint::Call {
    let token = grants.stack.oracle.secret("token for anybody");
    grants.ledger.know(token.clone());
    grants.endpoint.say(move || {
        say_json(
            200,
            json!({ "access_token": token, "token_type": "BEARER" }),
        )
    });
    let credential = grants.seen(oauth);
    assert_eq!(grants.get(&credential).await.status, 200);
    // No end was given: it is good until it is refused.
    grants.stack.clock.advance(100 * 24 * 3600);
    let calls = grants.endpoint.calls().len();
    assert_eq!(grants.get(&credential).await.status, 200);
    assert_eq!(grants.endpoint.calls().len(), calls);
    grants.endpoint.last()
}

#[tokio::test]
async fn a_client_authenticates_in_the_way_it_was_told_to() {
    let grants = Grants::new().await;
    let secret = grants.ledger.secrets().client_secret.clone();
    let call = ask(&grants, grants.client_credentials().secret_in_body()).await;
    let form = call.form();
    assert_eq!(call.header("authorization"), None);
    assert_eq!(form["client_id"], CLIENT);
    assert_eq!(form["client_secret"], secret);
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form.len(), 3);

    let endpoint = grants.endpoint.target("/token");
    let public = OAuth2::refresh_token(endpoint, CLIENT, grants.ledger.refresh_token());
    let call = ask(&grants, public).await;
    let form = call.form();
    assert_eq!(call.header("authorization"), None);
    assert_eq!(form["client_id"], CLIENT);
    assert_eq!(form["refresh_token"], grants.ledger.refresh_token());
    assert_eq!(form.len(), 3);

    let endpoint = grants.endpoint.target("/token");
    let both = OAuth2::jwt_bearer(endpoint, grants.assertion())
        .client_id(CLIENT)
        .client_secret(&*secret);
    let call = ask(&grants, both).await;
    let basic = call.header("authorization").unwrap();
    assert!(basic.starts_with("Basic "));
    assert_eq!(call.form().len(), 2);
    grants.stack.oracle.watch_token(&call.form()["assertion"]);
}

#[tokio::test]
async fn scopes_and_parameters_are_sent_as_they_were_given() {
    let grants = Grants::new().await;
    let oauth = grants
        .client_credentials()
        .scope("read write:all")
        .parameter("audience", "https://api.example.test/?a=b&c=d+e")
        .parameter("résumé", "100 %");
    let call = ask(&grants, oauth).await;
    let form = call.form();
    assert_eq!(call.line, "POST /token");
    assert_eq!(
        call.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(call.header("accept"), Some("application/json"));
    assert!(call.header("user-agent").unwrap().starts_with("sallygate/"));
    assert_eq!(form["scope"], "read write:all");
    assert_eq!(form["audience"], "https://api.example.test/?a=b&c=d+e");
    assert_eq!(form["résumé"], "100 %");
    assert_eq!(form.len(), 4);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_used_and_handed_out_before_its_first_use() {
    let grants = Grants::new().await;
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let first = grants.ledger.refresh_token();
    let credential = grants.seen(grants.refresh_token().on_rotation({
        let kept = kept.clone();
        move |token| kept.lock().unwrap().push(token.to_owned())
    }));
    for count in 1..=3 {
        assert_eq!(grants.get(&credential).await.status, 200);
        let kept = kept.lock().unwrap();
        assert_eq!(kept.len(), count);
        assert_eq!(*kept.last().unwrap(), grants.ledger.refresh_token());
        grants.stack.clock.advance(3600);
    }
    assert_ne!(kept.lock().unwrap()[0], first);
    assert_eq!(grants.received(), [1, 2, 3]);

    // A restart, with what the host had kept.
    let again = grants.credential(Flow::RefreshToken);
    assert_eq!(grants.get(&again).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_that_comes_with_a_useless_answer_is_kept() {
    let grants = Grants::new().await;
    let new = grants.stack.oracle.secret("refresh token beside no token");
    let credential = grants.credential(Flow::RefreshToken);
    let answer = json!({ "access_token": "", "token_type": "mac", "refresh_token": new });
    grants.endpoint.say(move || say_json(200, &answer));
    refused(&grants.get(&credential).await);
    grants.stack.clock.advance(1);
    refused(&grants.get(&credential).await);
    let sent: Vec<_> = grants
        .endpoint
        .calls()
        .iter()
        .map(super::endpoint::Call::form)
        .collect();
    assert_eq!(sent[0]["refresh_token"], grants.ledger.refresh_token());
    assert_eq!(sent[1]["refresh_token"], new);
}

#[tokio::test]
async fn a_callback_that_panics_costs_one_request() {
    let grants = Grants::new().await;
    let credential = grants.seen(grants.refresh_token().on_rotation({
        let first = Mutex::new(true);
        move |_| {
            if std::mem::take(&mut *first.lock().unwrap()) {
                panic!("in the host's code");
            }
        }
    }));
    refused(&grants.get(&credential).await);
    grants.stack.clock.advance(1);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[tokio::test]
async fn a_no_with_a_status_of_200_is_a_no() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::RefreshToken);
    for (code, reason) in [
        ("invalid_grant", "invalid_grant"),
        ("bad_refresh_token", "for a reason of its own"),
    ] {
        grants
            .endpoint
            .say(move || say_json(200, json!({ "error": code })));
        refused(&grants.get(&credential).await);
        let error = grants.failure(&credential).await;
        assert_eq!(error, SourceError::Refused(reason));
        grants.stack.clock.advance(1);
    }
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[tokio::test]
async fn an_assertion_says_what_it_was_told_to_and_is_signed_by_the_key() {
    let grants = Grants::new().await;
    for key in [
        Key::rsa(&grants.stack.oracle),
        Key::p256(&grants.stack.oracle),
    ] {
        let signing = SigningKey::from_pem(key.pem()).unwrap().key_id("k-1");
        let assertion = Assertion::new(signing, "me", "user")
            .audience("https://issuer.test")
            .claim("tenant", "t-1")
            .claim("exp", "never")
            .claim("jti", "always the same");
        grants.stack.oracle.saw_debug(&assertion);
        let endpoint = grants.endpoint.target("/token");
        let call = ask(&grants, OAuth2::jwt_bearer(endpoint, assertion)).await;
        let jwt = &call.form()["assertion"];
        grants.stack.oracle.watch_token(jwt);
        let opened = key.open(jwt).unwrap();
        assert_eq!(opened.header["alg"], key.algorithm);
        assert_eq!(opened.header["kid"], "k-1");
        let claims = opened.claims;
        for (name, value) in [
            ("iss", "me"),
            ("sub", "user"),
            ("aud", "https://issuer.test"),
            ("tenant", "t-1"),
        ] {
            assert_eq!(claims[name], value);
        }
        assert!(claims["exp"].is_u64());
        assert_ne!(claims["jti"], "always the same");
        assert_eq!(claims.as_object().unwrap().len(), 7);

        let other = Key::rsa(&grants.stack.oracle);
        assert!(other.open(jwt).is_err(), "any signature would do");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_endpoint_and_told_to_the_operator_alone() {
    let grants = Grants::new().await;
    let wrong = grants.stack.oracle.secret("wrong client secret");
    let endpoint = grants.endpoint.target("/token");
    let credential: Credential = grants.seen(OAuth2::client_credentials(endpoint, CLIENT, wrong));
    refused(&grants.get(&credential).await);
    let error = grants.failure(&credential).await;
    assert_eq!(error, SourceError::Refused("invalid_request"));
    assert_eq!(grants.ledger.take_complaints(), ["the secret is wrong"]);
}
