//! What a known API refuses stays refused, whatever one setting of it is changed.

use http::{HeaderName, Method, Request};
use sallygate::{Api, Body, Credential, Injection, Limits, Place, Policy};

use super::{known, origin, places::header};
use sallygate_test_support::{Slot, Stack};

/// Of one API: requests that are refused, and one like them that passes. The key may stand in any of its places.
struct Row {
    name: &'static str,
    slot: Slot,
    refused: &'static [&'static str],
    passes: &'static str,
    /// No method of the API's.
    method: &'static str,
}

const TABLE: [Row; 6] = [
    Row {
        name: "anthropic",
        slot: Slot::Header("x-api-key"),
        refused: &["/v1/organizations/api_keys", "/v1/oauth/token"],
        passes: "/v1/messages",
        method: "PUT",
    },
    Row {
        name: "gemini",
        slot: Slot::Header("x-goog-api-key"),
        refused: &["/v1alpha/auth_tokens", "/v1/authTokens"],
        passes: "/v1/models",
        method: "OPTIONS",
    },
    Row {
        name: "github",
        slot: Slot::Bearer,
        refused: &["/user/keys", "/repos/a/b/keys/1", "/app/installations"],
        passes: "/user/repos",
        method: "OPTIONS",
    },
    Row {
        name: "openai",
        slot: Slot::Bearer,
        refused: &["/v1/organization/keys", "/v1/realtime/sessions"],
        passes: "/v1/models",
        method: "PATCH",
    },
    Row {
        name: "slack",
        slot: Slot::Bearer,
        refused: &["/oauth.access", "/rtm.connect", "/a/b"],
        passes: "/auth.test",
        method: "DELETE",
    },
    Row {
        name: "stripe",
        slot: Slot::Bearer,
        refused: &["/v1/ephemeral_keys", "/v2/iam/keys"],
        passes: "/v1/charges",
        method: "PUT",
    },
];

type Setting = (&'static str, fn(Policy) -> Policy);

/// Every setting, as wide as it goes. (What is allowed has to be asked for by these very words.)
const SETTINGS: [Setting; 10] = [
    ("allow_encoded_slashes", Policy::allow_encoded_slashes),
    ("basic_challenge", |policy| policy.basic_challenge("realm")),
    ("limits", |policy| {
        policy.limits(Limits::new().body_bytes(1 << 20))
    }),
    ("methods", |policy| {
        policy.methods([
            Method::DELETE,
            Method::GET,
            Method::OPTIONS,
            Method::PATCH,
            Method::POST,
            Method::PUT,
        ])
    }),
    ("pass_request_headers", |policy| {
        policy.pass_request_headers([HeaderName::from_static("cookie")])
    }),
    ("pass_response_headers", |policy| {
        policy.pass_response_headers([HeaderName::from_static("set-cookie")])
    }),
    ("paths", |policy| policy.paths(["/**".parse().unwrap()])),
    ("redact_errors", Policy::redact_errors),
    ("refuse_paths", |policy| {
        policy.refuse_paths(["/never".parse().unwrap()])
    }),
    ("take_out", |policy| {
        policy.take_out([Place::header(header("x-account"))])
    }),
];

async fn ask(stack: &Stack, api: Api, method: &str, path: &str) -> u16 {
    let proxy = stack.layer_with("api", api.with_target(origin(stack)));
    let request = Request::builder()
        .method(method)
        .uri(format!("/proxy/api{path}"))
        .header("host", "gate.test")
        .header("authorization", format!("Bearer {}", stack.token()))
        .body(Body::empty())
        .unwrap();
    stack.call(proxy.into_service(), request).await.status
}

/// Refuses what the row says, and nothing else.
async fn holds(stack: &Stack, row: &Row, what: &str, make: &dyn Fn() -> Api) {
    let name = row.name;
    let before = stack.upstream.requests().len();
    for path in row.refused {
        assert_eq!(
            ask(stack, make(), "POST", path).await,
            403,
            "{name} {what} {path}"
        );
        // An encoded slash is refused as one, or for what it says: 400 or 403, by the setting.
        let encoded = format!("{}%2F", path);
        let status = if lets_slashes_through(name, what) {
            403
        } else {
            400
        };
        assert_eq!(
            ask(stack, make(), "POST", &encoded).await,
            status,
            "{name} {what} {encoded}"
        );
    }
    let status = ask(stack, make(), row.method, row.passes).await;
    assert_eq!(status, 405, "{name} {what} {}", row.method);
    assert_eq!(
        stack.upstream.requests().len(),
        before,
        "{name} {what}: nothing is sent"
    );
    let status = ask(stack, make(), "POST", row.passes).await;
    assert_eq!(status, 200, "{name} {what} {}", row.passes);
    assert_eq!(stack.upstream.requests().len(), before + 1, "{name} {what}");
}

fn lets_slashes_through(name: &str, what: &str) -> bool {
    name == "github" || what == "allow_encoded_slashes"
}

#[tokio::test]
async fn what_a_known_api_refuses_stays_refused_whatever_is_adjusted() {
    let stack = Stack::new().await;
    let names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(names, Api::known_names().collect::<Vec<_>>());
    for row in &TABLE {
        stack.upstream.accept(row.slot.show(&stack.secret_key));
        let api = || known(row.name, stack.key.clone());
        holds(&stack, row, "as it is", &api).await;
        for (what, adjust) in SETTINGS {
            holds(&stack, row, what, &|| api().policy(adjust)).await;
        }
        let all = |policy| SETTINGS.iter().fold(policy, |policy, (_, set)| set(policy));
        holds(&stack, row, "allow_encoded_slashes", &|| api().policy(all)).await;

        let place = Place::header(header("x-account"));
        let another = Credential::new("another-0123456789").unwrap();
        let more = || Injection::new(place.clone(), another.clone());
        let limits = Limits::new().body_bytes(1 << 20);
        holds(&stack, row, "accept", &|| api().accept(place.clone())).await;
        holds(&stack, row, "inject", &|| api().inject(more())).await;
        holds(&stack, row, "limits", &|| api().limits(limits)).await;
        holds(&stack, row, "route", &|| {
            api().route(["/never".parse().unwrap()], origin(&stack), more())
        })
        .await;
        holds(&stack, row, "set_header", &|| {
            api().set_header(header("x-account"), "1".parse().unwrap())
        })
        .await;
    }
}

/// A policy that is shared by services, say, and not made of the one that is given.
#[tokio::test]
async fn what_a_known_api_refuses_stays_refused_by_a_closure_that_gives_another_policy() {
    let stack = Stack::new().await;
    for row in &TABLE {
        stack.upstream.accept(row.slot.show(&stack.secret_key));
        let api = || known(row.name, stack.key.clone()).policy(|_| Policy::new());
        for path in row.refused {
            let status = ask(&stack, api(), "POST", path).await;
            assert_eq!(status, 403, "{} {path}", row.name);
        }
        let status = ask(&stack, api(), row.method, row.passes).await;
        assert_eq!(status, 405, "{} {}", row.name, row.method);
        let status = ask(&stack, api(), "POST", row.passes).await;
        assert_eq!(status, 200, "{} {}", row.name, row.passes);
    }
}

#[tokio::test]
async fn a_policy_that_is_replaced_is_gone_with_all_that_it_refused() {
    let stack = Stack::new().await;
    for row in &TABLE {
        stack.upstream.accept(row.slot.show(&stack.secret_key));
        let api = || known(row.name, stack.key.clone()).replace_policy(Policy::new());
        for path in row.refused {
            let status = ask(&stack, api(), "POST", path).await;
            assert_eq!(status, 200, "{} {path}", row.name);
        }
        let status = ask(&stack, api(), row.method, row.passes).await;
        assert_eq!(status, 200, "{} {}", row.name, row.method);
    }
}

#[tokio::test]
async fn methods_and_paths_that_are_given_again_narrow() {
    let stack = Stack::new().await;
    let api = || {
        stack.svc().policy(|policy| {
            policy
                .methods([Method::GET, Method::POST])
                .paths(["/a/**".parse().unwrap(), "/b".parse().unwrap()])
                .methods([Method::POST, Method::PUT])
                .paths(["/a/b".parse().unwrap(), "/c".parse().unwrap()])
        })
    };
    let front = stack.layer_with("svc", api()).into_service();
    let front = stack.serve(front).await;
    let token = stack.token();
    for (method, path, status) in [
        ("POST", "/a/b", 200),
        ("GET", "/a/b", 405),
        ("PUT", "/a/b", 405),
        ("POST", "/a/c", 403),
        ("POST", "/b", 403),
        ("POST", "/c", 403),
    ] {
        let request = front.request(method, &format!("/proxy/svc{path}"));
        let answer = request.token(&token).send().await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_eq!(stack.upstream.requests().len(), 1);
}
