use sallygate::{Credential, credential::SourceError};
use serde_json::{Value, json};

use super::{
    endpoint::{Mood, json as say_json},
    grants::{Flow, Grants, refused},
};

#[tokio::test]
async fn a_token_is_asked_for_with_no_more_rights_than_were_named() {
    let grants = Grants::new().await;
    let wish = async |credential: Credential| {
        assert_eq!(grants.get(&credential).await.status, 200);
        serde_json::from_str::<Value>(&grants.endpoint.last().body).unwrap()
    };
    assert_eq!(wish(grants.seen(grants.github_app())).await, json!({}));
    let app = grants
        .github_app()
        .repositories(["hello-world", "other \"one\""])
        .permission("contents", "read")
        .permission("issues", "write");
    assert_eq!(
        wish(grants.seen(app)).await,
        json!({
            "repositories": ["hello-world", "other \"one\""],
            "permissions": { "contents": "read", "issues": "write" },
        })
    );
}

#[tokio::test]
async fn what_github_refuses_is_told_by_its_status() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::GitHubApp);
    let secret = grants.stack.oracle.secret("what GitHub says");
    for (status, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (422, "Unprocessable Entity"),
    ] {
        let body = json!({ "message": secret, "status": status.to_string() });
        grants.endpoint.say(move || say_json(status, &body));
        refused(&grants.get(&credential).await);
        let error = grants.failure(&credential).await;
        assert_eq!(error, SourceError::Refused(reason));
        grants.stack.clock.advance(1);
    }
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_over_or_has_no_end_is_not_used() {
    let grants = Grants::new().await;
    let credential = grants.credential(Flow::GitHubApp);
    let token = grants.stack.oracle.secret("token without an end");
    for expires_at in [
        json!("2016-07-11T22:14:10Z"),
        json!("soon"),
        json!(4_000_000_000_u64),
        json!(null),
    ] {
        let body = json!({ "token": token, "expires_at": expires_at });
        grants.endpoint.say(move || say_json(201, &body));
        refused(&grants.get(&credential).await);
        let error = grants.failure(&credential).await;
        assert_eq!(error, SourceError::Malformed, "{expires_at}");
        grants.stack.clock.advance(1);
    }
    assert_eq!(grants.stack.upstream.requests().len(), 0);
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(grants.get(&credential).await.status, 200);
}
