use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sallygate::credential::{GoogleServiceAccount, SourceError};
use sallygate_test_support::Oracle;
use serde_json::{Value, json};

use super::{
    endpoint::{Mood, json as say_json},
    grants::{Flow, Grants, refused},
    keys::Key,
};

#[tokio::test]
async fn a_user_is_acted_for_only_when_named() {
    let grants = Grants::new().await;
    let subject = async |account: GoogleServiceAccount| {
        let credential = grants.seen(account.access_token(["scope-a", "scope-b"]));
        assert_eq!(grants.get(&credential).await.status, 200);
        let jwt = &grants.endpoint.last().form()["assertion"];
        grants.ledger.secrets().key.open(jwt).unwrap().claims["sub"].clone()
    };
    assert_eq!(subject(grants.google()).await, Value::Null);
    let account = grants.google().subject("user@example.test");
    grants.stack.oracle.saw_debug(&account);
    assert_eq!(subject(account).await, "user@example.test");
}

#[tokio::test]
async fn an_id_token_must_say_when_it_ends() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::GoogleId);
    let now = grants.stack.clock.seconds();
    let jwt = |claims: Value| {
        let signature = grants.stack.oracle.secret("id token signature");
        format!(
            "e30.{}.{signature}",
            URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    };
    for id_token in [
        jwt(json!({ "aud": "a" })),
        jwt(json!({ "exp": now - 1 })),
        jwt(json!({ "exp": -1 })),
        jwt(json!({ "exp": u64::MAX })),
        jwt(json!({ "exp": "soon" })),
        jwt(json!([])),
        grants.stack.oracle.secret("id token without dots"),
        "a.!.c".into(),
        "..".into(),
        String::new(),
    ] {
        let body = json!({ "id_token": id_token });
        grants.endpoint.say(move || say_json(200, &body));
        refused(&grants.get(&credential).await);
        let error = grants.failure(&credential).await;
        assert_eq!(error, SourceError::Malformed, "{id_token}");
        grants.stack.clock.advance(1);
    }
    // An access token in the place of the id token is for something else.
    let token = grants
        .stack
        .oracle
        .secret("access token in place of an id token");
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
    grants.endpoint.say(move || say_json(200, &body));
    refused(&grants.get(&credential).await);
    grants.stack.clock.advance(1);
    assert_eq!(grants.stack.upstream.requests().len(), 0);
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[test]
fn a_key_file_that_is_none_is_not_taken() {
    let oracle = Oracle::new();
    let pem = Key::rsa(&oracle).pem();
    let file = || {
        json!({
            "type": "service_account",
            "private_key": pem,
            "client_email": "a@example.test",
        })
    };
    let with = |name: &str, value: Value| {
        let mut file = file();
        file[name] = value;
        GoogleServiceAccount::from_json(file.to_string())
    };
    assert!(GoogleServiceAccount::from_json(file().to_string()).is_ok());
    assert!(with("token_uri", json!("https://private.example.test/token")).is_ok());
    let wrong = "credential: not the key file of a Google service account";
    for (account, problem) in [
        (with("type", json!("authorized_user")), wrong),
        (with("private_key", json!(7)), wrong),
        (with("client_email", json!(null)), wrong),
        (GoogleServiceAccount::from_json(""), wrong),
        (GoogleServiceAccount::from_json([0xff]), wrong),
        (
            with("private_key", json!("none")),
            "credential: not a private key in PEM",
        ),
        (
            with("private_key", json!(Key::p256(&oracle).pem())),
            "credential: not an RSA key",
        ),
        (
            with("token_uri", json!("http://oauth2.googleapis.com/token")),
            "target: not https",
        ),
    ] {
        let error = account.unwrap_err();
        oracle.saw_debug(&error);
        assert_eq!(error.to_string(), problem);
    }
}
