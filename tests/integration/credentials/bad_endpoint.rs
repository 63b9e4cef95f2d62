use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use sallygate::{
    Body, Client, Credential, Target,
    credential::{OAuth2, SourceError},
};
use sallygate_test_support::{Authority, Secure};
use serde_json::{Value, json};

use super::{
    endpoint::{Endpoint, Mood, json as say_json, say},
    grants::{FLOWS, Flow, Grants, refused},
};

type Say = Arc<dyn Fn() -> Response<Body> + Send + Sync>;

/// What no endpoint should say, to whatever it is asked, and what the operator reads.
fn answers(grants: &Grants) -> Vec<(&'static str, SourceError, Say)> {
    let secret = grants.stack.oracle.secret("what a bad endpoint says");
    let page = format!("<html><h1>Log in</h1>{secret}</html>");
    let said = move |status: u16, body: Value| -> Say {
        let body = body.to_string();
        Arc::new(move || say_json(status, body.clone()))
    };
    let refused = SourceError::Refused;
    let malformed = SourceError::Malformed;
    vec![
        ("HTML", malformed, {
            let page = page.clone();
            Arc::new(move || say(200, "text/html", page.clone()))
        }),
        ("500", refused("Internal Server Error"), {
            let page = page.clone();
            Arc::new(move || say(500, "text/html", page.clone()))
        }),
        ("429", refused("Too Many Requests"), said(429, json!({}))),
        ("299", malformed, said(299, json!({ "ok": true }))),
        (
            "599",
            refused("for a reason of its own"),
            said(599, json!({})),
        ),
        (
            "nothing",
            malformed,
            Arc::new(|| say(200, "application/json", "")),
        ),
        ("null", malformed, said(200, json!(null))),
        ("a list", malformed, said(200, json!([1, 2]))),
        (
            "a known code",
            refused("invalid_client"),
            said(
                401,
                json!({ "error": "invalid_client", "error_description": secret }),
            ),
        ),
        (
            "an unknown code",
            refused("Bad Request"),
            said(400, json!({ "error": secret })),
        ),
        ("a huge body", malformed, {
            Arc::new(|| {
                let chunk = Bytes::from(vec![b' '; 1 << 20]);
                let chunks = (0..64).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
                let chunks = futures_util::stream::iter(chunks);
                say(200, "application/json", Body::from_stream(chunks))
            })
        }),
        ("a body that breaks off", SourceError::Unreachable, {
            Arc::new(|| {
                let chunks = [Ok("{"), Err(std::io::Error::other("broken"))];
                let chunks = futures_util::stream::iter(chunks);
                say(200, "application/json", Body::from_stream(chunks))
            })
        }),
    ]
}

#[tokio::test]
async fn an_endpoint_that_gives_no_token_costs_a_503_and_the_next_request_is_unharmed() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        for (what, error, say) in answers(&grants) {
            let credential = grants.credential(flow);
            grants.endpoint.mood(Mood::Say(say));
            refused(&grants.get(&credential).await);
            assert_eq!(grants.failure(&credential).await, error, "{what}, {flow:?}");
            grants.endpoint.mood(Mood::Issue);
            grants.stack.clock.advance(1);
            assert_eq!(
                grants.get(&credential).await.status,
                200,
                "{what}, {flow:?}"
            );
        }
        let mut received = grants.received();
        received.dedup();
        assert_eq!(
            received.len(),
            answers(&grants).len(),
            "no other request passed"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        let soon = Duration::from_millis(200);
        let endpoint = grants.endpoint.target("/token");
        let credential = match flow {
            Flow::ClientCredentials => grants.seen(grants.client_credentials().timeout(soon)),
            Flow::GitHubApp => grants.seen(grants.github_app().timeout(soon)),
            Flow::GoogleAccess => {
                let account = grants.google().timeout(soon);
                grants.seen(account.access_token(["scope-a", "scope-b"]))
            }
            Flow::GoogleId => {
                let account = grants.google().timeout(soon);
                grants.seen(account.id_token("https://audience.test"))
            }
            Flow::JwtBearer => {
                grants.seen(OAuth2::jwt_bearer(endpoint, grants.assertion()).timeout(soon))
            }
            Flow::RefreshToken => grants.seen(grants.refresh_token().timeout(soon)),
        };
        grants.endpoint.mood(Mood::Hold);
        refused(&grants.get(&credential).await);
        assert_eq!(grants.failure(&credential).await, SourceError::Timeout);
        assert_eq!(grants.endpoint.calls().len(), 1, "{flow:?}");

        // A head, and then nothing.
        grants.endpoint.say(|| {
            let silence = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            say(200, "application/json", Body::from_stream(silence))
        });
        grants.stack.clock.advance(1);
        refused(&grants.get(&credential).await);
        assert_eq!(grants.failure(&credential).await, SourceError::Timeout);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Endpoint::start(|_| say_json(200, json!({}))).await;
    for flow in FLOWS {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        for (status, reason) in [
            (301, "Moved Permanently"),
            (302, "Found"),
            (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
        ] {
            let location = format!("http://{}/token", elsewhere.addr);
            grants.endpoint.say(move || {
                let mut answer = say(status, "text/plain", "over there");
                let location = location.parse().unwrap();
                answer.headers_mut().insert("location", location);
                answer
            });
            refused(&grants.get(&credential).await);
            assert_eq!(
                grants.failure(&credential).await,
                SourceError::Refused(reason)
            );
            grants.stack.clock.advance(1);
        }
        grants.endpoint.mood(Mood::Issue);
        assert_eq!(grants.get(&credential).await.status, 200, "{flow:?}");
    }
    assert_eq!(elsewhere.calls().len(), 0);
}

/// Token answers with one thing wrong.
#[tokio::test]
async fn a_token_that_is_none_is_not_used() {
    let grants = Grants::new().await;
    let token = grants.stack.oracle.secret("token in a bad answer");
    let answer =
        |token: &str| json!({ "access_token": token, "token_type": "Bearer", "expires_in": 60 });
    let with = |name: &str, value: Value| {
        let mut answer = answer(&token);
        answer[name] = value;
        answer.to_string()
    };
    let without = |name: &str| {
        let mut answer = answer(&token);
        answer.as_object_mut().unwrap().remove(name);
        answer.to_string()
    };
    let bad = [
        with("token_type", json!("mac")),
        with("token_type", json!("Bearer ")),
        with("token_type", json!(null)),
        without("token_type"),
        without("access_token"),
        with("access_token", json!("")),
        with("access_token", json!([token])),
        with("access_token", json!(format!("{token}\n"))),
        with("access_token", json!(format!("{token}\r\nx-evil: 1"))),
        with("access_token", json!(format!(" {token}"))),
        with("access_token", json!(format!("{token}é"))),
        with("access_token", json!(format!("{token}\0"))),
        with("expires_in", json!(-1)),
        with("expires_in", json!(0)),
        with("expires_in", json!(1e300)),
        with("expires_in", json!(u64::MAX)),
        with("expires_in", json!("tomorrow")),
        // Which of the two would it be?
        format!(r#"{{"access_token":"a","access_token":"{token}","token_type":"Bearer"}}"#),
        format!("{} {}", answer(&token), answer(&token)),
    ];
    let credential = grants.credential(Flow::ClientCredentials);
    for body in bad {
        let said = body.clone();
        grants.endpoint.say(move || say_json(200, said.clone()));
        refused(&grants.get(&credential).await);
        let error = grants.failure(&credential).await;
        assert_eq!(error, SourceError::Malformed, "{body}");
        grants.stack.clock.advance(1);
    }
    assert_eq!(grants.stack.upstream.requests().len(), 0);
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[tokio::test]
async fn an_endpoint_is_believed_only_with_a_certificate_that_verifies() {
    let grants = Grants::new().await;
    let authority = Authority::new();
    let token = grants.stack.oracle.secret("token over TLS");
    let body = json!({ "access_token": token, "token_type": "bearer" }).to_string();
    let secure = Secure::new(authority.server("127.0.0.1", &["h2"]), move |_| {
        say_json(200, &body)
    })
    .await;
    secure.accept("\r\ncontent-type: application/x-www-form-urlencoded\r\n".into());
    let oauth = || {
        let url = format!("https://127.0.0.1:{}/token", secure.addr.port());
        let secret = &*grants.ledger.secrets().client_secret;
        OAuth2::client_credentials(Target::new(&url).unwrap(), "id", secret)
    };
    let strict = Credential::from_source(oauth());
    refused(&grants.get(&strict).await);
    assert_eq!(grants.failure(&strict).await, SourceError::Unreachable);
    assert!(secure.requests.lock().unwrap().is_empty());

    let client = Client::new().add_root_certificates(&authority.pem).unwrap();
    let trusting = Credential::from_source(oauth().client(client));
    // The upstream does not know the token; it was sent there all the same.
    assert_eq!(grants.get(&trusting).await.status, 403);
    let sent = grants.stack.upstream.last();
    assert_eq!(sent.values("authorization"), [format!("Bearer {token}")]);
    grants.ledger.know(token);
    assert_eq!(secure.last().version, http::Version::HTTP_2);
}
