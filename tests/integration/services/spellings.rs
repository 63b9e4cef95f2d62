//! What a known service refuses, in every spelling.

use sallygate::{Api, Policy, Target};
use sallygate_test_support::{Slot, Stack};

/// What becomes of a spelling of a refused path: there is no such service, the path is invalid, or it is not allowed.
fn expected(service: &str, target: &str) -> u16 {
    let path = target.to_lowercase();
    let dots = path.contains("/../") || path.contains("/./") || path.contains("/..");
    // An encoded slash is data to the API of GitHub alone.
    let slashes = service != "github" && (path.contains("%2f") || path.contains("%5c"));
    if !path.starts_with(&format!("/proxy/{service}/")) {
        404
    } else if dots || slashes {
        400
    } else {
        403
    }
}

#[tokio::test]
async fn what_a_known_service_refuses_is_refused_in_every_spelling() {
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let target =
        || Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr)).unwrap();
    let layer = Api::known_names().fold(stack.empty_layer(), |layer, name| {
        let service = match name {
            "github" => Api::github_at(target(), target(), key()),
            name => Api::known(name, key()).unwrap().with_target(target()),
        };
        layer.service(name, service).unwrap()
    });
    for name in ["x-api-key", "x-goog-api-key"] {
        let slot = Slot::Header(name).show(&stack.secret_key);
        stack.upstream.accept(slot);
    }
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let rows = [
        (
            "anthropic",
            "/v1/messages",
            &["/v1/organizations/api_keys", "/v1/oauth/token"][..],
        ),
        (
            "openai",
            "/v1/responses",
            &[
                "/v1/organization/admin_api_keys",
                "/v1/realtime/client_secrets",
                "/v1/chatkit/sessions/x/cancel",
            ],
        ),
        ("gemini", "/v1beta/models", &["/v1alpha/auth_tokens"]),
        (
            "stripe",
            "/v1/charges",
            &["/v1/ephemeral_keys", "/v2/iam/api_keys"],
        ),
        (
            "slack",
            "/chat.postMessage",
            &["/auth.revoke", "/oauth.v2.access"],
        ),
        (
            "github",
            "/repos/a/b/issues",
            &[
                "/user/keys",
                "/repos/a/b/keys",
                "/repos/a/b/actions/runners/registration-token",
                "/app/installations/1/access_tokens",
            ],
        ),
    ];
    let mut names: Vec<_> = rows.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, Api::known_names().collect::<Vec<_>>());
    for (service, good, paths) in rows {
        let before = stack.upstream.requests().len();
        front
            .get(&format!("/proxy/{service}{good}"), &token)
            .send()
            .await;
        assert_eq!(stack.upstream.requests().len(), before + 1, "{service}");
        for path in paths {
            let (parent, last) = path.rsplit_once('/').unwrap();
            let (first, rest) = last.split_at(1);
            let byte = first.as_bytes()[0];
            let encoded = path.replace('/', "%2F").replacen("%2F", "/", 1);
            for spelling in [
                (*path).to_owned(),
                format!("{path}/"),
                format!("{path}//"),
                format!("{path};x"),
                format!("{path};x=%2Fy"),
                format!("{path}?x"),
                path.to_uppercase(),
                path.replace('/', "//").replacen("//", "/", 1),
                format!("{parent}/%{byte:02x}{rest}"),
                format!("{parent}/%25{byte:02x}{rest}"),
                format!("{parent};v=1/{last}"),
                format!("{parent}%2F{last}"),
                format!("{parent}%2f{last};x=%2Fy"),
                format!("{parent}%5C{last}"),
                format!("{parent}%252F{last}"),
                format!("{parent}/./{last}"),
                format!("{parent}/x/../{last}"),
                format!("/x/..{path}"),
                format!("{encoded};x"),
            ] {
                for method in ["GET", "POST"] {
                    let at = format!("/proxy/{service}{spelling}");
                    let request = front.request(method, &at).token(&token);
                    let answer = request.body("").send().await;
                    assert_eq!(answer.status, expected(service, &at), "{method} {at}");
                    let line = stack.upstream.last().line().to_owned();
                    assert!(!line.contains(last), "{method} {at} was sent");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refused_path_is_not_hidden_by_parameters_with_slashes() {
    let stack = Stack::new().await;
    let policy = Policy::new()
        .allow_encoded_slashes()
        .refuse_paths(["/keys/new".parse().unwrap()]);
    let svc = stack.svc().replace_policy(policy);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let good = front.get("/proxy/svc/keys%2Fold;a=%2Fz", &token);
    assert_eq!(good.send().await.status, 200);
    for path in [
        "/keys/new",
        "/keys%2Fnew",
        "/keys%2Fnew;a",
        "/keys%2Fnew;a=%2Fz",
        "/keys/new;a=%2Fz",
        "/keys;a=%2Fz/new",
        "/keys%3Ba=%2Fz%2Fnew",
    ] {
        let answer = front.get(&format!("/proxy/svc{path}"), &token).send().await;
        // Read as it stands, the last one is another path.
        let expected = if path.contains("%3B") { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{path}");
    }
}
