use sallygate::{Credential, credential::SourceError};
use serde_json::{Value, json};

use super::{
    endpoint::{Mood, json as say_json},
    scene::{Flow, Scene, refused},
};

#[tokio::test]
async fn a_token_is_asked_for_with_no_more_rights_than_were_named() {
    let scene = Scene::new().await;
    let wish = async |credential: Credential| {
        assert_eq!(scene.get(&credential).await.status, 200);
        serde_json::from_str::<Value>(&scene.endpoint.last().body).unwrap()
    };
    assert_eq!(wish(scene.seen(scene.github_app())).await, json!({}));
    let app = scene
        .github_app()
        .repositories(["hello-world", "other \"one\""])
        .permission("contents", "read")
        .permission("issues", "write");
    assert_eq!(
        wish(scene.seen(app)).await,
        json!({
            "repositories": ["hello-world", "other \"one\""],
            "permissions": { "contents": "read", "issues": "write" },
        })
    );
}

#[tokio::test]
async fn what_github_refuses_is_told_by_its_status() {
    let scene = Scene::new().await;
    let credential = scene.credential(Flow::GitHubApp);
    let secret = scene.stack.oracle.secret("what GitHub says");
    for (status, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (422, "Unprocessable Entity"),
    ] {
        let body = json!({ "message": secret, "status": status.to_string() });
        scene.endpoint.say(move || say_json(status, &body));
        refused(&scene.get(&credential).await);
        let error = scene.failure(&credential).await;
        assert_eq!(error, SourceError::Refused(reason));
        scene.stack.clock.advance(1);
    }
    scene.endpoint.mood(Mood::Issue);
    assert_eq!(scene.get(&credential).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_over_or_has_no_end_is_not_used() {
    let scene = Scene::new().await;
    let credential = scene.credential(Flow::GitHubApp);
    let token = scene.stack.oracle.secret("token without an end");
    for expires_at in [
        json!("2016-07-11T22:14:10Z"),
        json!("soon"),
        json!(4_000_000_000_u64),
        json!(null),
    ] {
        let body = json!({ "token": token, "expires_at": expires_at });
        scene.endpoint.say(move || say_json(201, &body));
        refused(&scene.get(&credential).await);
        let error = scene.failure(&credential).await;
        assert_eq!(error, SourceError::Malformed, "{expires_at}");
        scene.stack.clock.advance(1);
    }
    assert_eq!(scene.stack.upstream.requests().len(), 0);
    scene.endpoint.mood(Mood::Issue);
    assert_eq!(scene.get(&credential).await.status, 200);
}
