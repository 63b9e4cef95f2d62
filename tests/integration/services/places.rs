use http::{HeaderName, header::AUTHORIZATION};
use sallygate::{Api, Credential, Place, Policy};
use sallygate_test_support::{Answer, Front, Recorded, Reply, Slot, Stack};

use super::basic;

/// A service `api` with a key in some place; its target has the base path `/v1`.
pub(super) struct Gate {
    pub(super) stack: Stack,
    pub(super) front: Front,
    pub(super) token: String,
}

impl Gate {
    async fn at(place: Place, slot: &str) -> Self {
        Self::with(slot, |stack| {
            Api::new(
                stack.target(),
                sallygate::Injection::new(place, stack.key.clone()),
            )
        })
        .await
    }

    pub(super) async fn with(slot: &str, service: impl FnOnce(&Stack) -> Api) -> Self {
        let stack = Stack::new().await;
        if !slot.is_empty() {
            stack.upstream.accept(in_path(slot, &stack.secret_key));
        }
        let layer = stack.layer_with("api", service(&stack));
        let front = stack.serve(layer.into_service()).await;
        Self {
            token: stack.token(),
            stack,
            front,
        }
    }

    /// Asks, with `TOKEN` for the token.
    async fn ask(&self, path: &str, fields: &[(&str, String)]) -> Answer {
        let target = format!("/proxy/api{path}").replace("TOKEN", &self.token);
        let request = self.front.request("GET", &target);
        let fields = fields.iter();
        let request = fields.fold(request, |request, (name, value)| {
            request.header(name, value.replace("TOKEN", &self.token))
        });
        request.send().await
    }

    /// What arrived of a request that passes, the key once in its slot.
    pub(super) async fn passes(&self, path: &str, fields: &[(&str, String)]) -> Recorded {
        let answer = self.ask(path, fields).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "hello"),
            "{path} {fields:?}"
        );
        let arrived = self.stack.upstream.last();
        assert!(arrived.authorized, "{}", arrived.head);
        arrived
    }

    pub(super) async fn refuses(&self, path: &str, fields: &[(&str, String)]) -> (u16, String) {
        let before = self.stack.upstream.requests().len();
        let answer = self.ask(path, fields).await;
        assert_eq!(self.stack.upstream.requests().len(), before);
        (answer.status, answer.code())
    }
}

/// `KEY` as it stands in a path, `COOKED` as it is.
fn in_path(slot: &str, key: &str) -> String {
    slot.replace("KEY", &key.replace('/', "%2F"))
        .replace("COOKED", key)
}

pub(super) fn field(name: &'static str, value: &str) -> (&'static str, String) {
    (name, value.to_owned())
}

pub(super) fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

pub(super) fn invalid() -> (u16, String) {
    (401, "PROXY_TOKEN_INVALID".to_owned())
}

#[tokio::test]
async fn behind_a_prefix() {
    let place = Place::prefixed(header("x-auth"), "Token ").unwrap();
    let gate = Gate::at(place, "\r\nx-auth: Token COOKED\r\n").await;
    for value in ["Token TOKEN", "tOKEN TOKEN"] {
        let arrived = gate.passes("/a", &[field("x-auth", value)]).await;
        assert_eq!(arrived.line(), "GET /v1/a HTTP/1.1");
        assert_eq!(arrived.values("x-auth").len(), 1);
    }
    // Where a prefix is, only what has it is a token; and there may be one in the usual place.
    let bearer = field("authorization", "Bearer TOKEN");
    for other in ["theirs", "Bearer theirs", "Token"] {
        let arrived = gate
            .passes("/a", &[field("x-auth", other), bearer.clone()])
            .await;
        assert!(!arrived.head.contains("theirs"));
        assert!(!arrived.has("authorization"));
    }
    for alias in ["x_auth", "x.auth", "X_Auth"] {
        let fields = [field("x-auth", "Token TOKEN"), (alias, "theirs".into())];
        let arrived = gate.passes("/a", &fields).await;
        assert!(!arrived.head.contains("theirs"), "{}", arrived.head);
    }

    let bad = gate.refuses("/a", &[field("x-auth", "Token TOKENx")]).await;
    assert_eq!(bad, invalid());
    let hidden = [field("x-auth", "Token garbage"), bearer.clone()];
    assert_eq!(gate.refuses("/a", &hidden).await, invalid());
    let twice = [
        field("x-auth", "Token TOKEN"),
        field("x-auth", "Token TOKEN"),
    ];
    assert_eq!(gate.refuses("/a", &twice).await.0, 400);
    let missing = gate.refuses("/a", &[field("x-auth", "TOKEN")]).await;
    assert_eq!(missing, (401, "PROXY_TOKEN_MISSING".into()));
}

#[tokio::test]
async fn behind_a_scheme_of_its_own() {
    let place = Place::prefixed(AUTHORIZATION, "token ").unwrap();
    let gate = Gate::at(place, "\r\nauthorization: token COOKED\r\n").await;
    for value in ["token TOKEN", "Bearer TOKEN"] {
        let arrived = gate.passes("/a", &[field("authorization", value)]).await;
        assert_eq!(arrived.values("authorization").len(), 1);
    }
    let bad = [field("authorization", "token TOKENx")];
    assert_eq!(gate.refuses("/a", &bad).await, invalid());
}

#[tokio::test]
async fn as_either_half_of_basic() {
    let gate = Gate::with("", |stack| {
        let slot = Slot::Basic("ada").show(&stack.secret_key);
        stack.upstream.accept(slot);
        Api::basic(stack.target(), "ada", stack.key.clone()).unwrap()
    })
    .await;
    for user in ["ada", "someone", ""] {
        let value = basic(&format!("{user}:{}", gate.token));
        gate.passes("/a", &[("authorization", value)]).await;
    }
    for pair in [
        format!("{}:", gate.token),
        format!("ada:{}x", gate.token),
        format!("ada:{}:", gate.token),
    ] {
        let fields = [("authorization", basic(&pair))];
        assert_eq!(gate.refuses("/a", &fields).await.0, 401);
    }

    let gate = Gate::with("", |stack| {
        let pair = basic(&format!("{}:", stack.secret_key));
        stack
            .upstream
            .accept(format!("\r\nauthorization: {pair}\r\n"));
        Api::new(
            stack.target(),
            sallygate::Injection::new(Place::basic_user(), stack.key.clone()),
        )
    })
    .await;
    for password in ["", "x", "a:b"] {
        let value = basic(&format!("{}:{password}", gate.token));
        gate.passes("/a", &[("authorization", value)]).await;
    }
    gate.passes("/a", &[field("authorization", "Bearer TOKEN")])
        .await;
    let value = basic(&format!("x:{}", gate.token));
    let refused = gate.refuses("/a", &[("authorization", value)]).await;
    assert_eq!(refused, invalid());
}

#[tokio::test]
async fn in_the_query() {
    let gate = Gate::at(Place::query("api key").unwrap(), "").await;
    let key = Slot::Query("api%20key").show(&gate.stack.secret_key);
    gate.stack.upstream.accept(format!("{key} HTTP/1.1\r\n"));
    for query in [
        "?api%20key=TOKEN&b=2",
        "?b=2&api%20key=TOKEN",
        "?api%20key=TOKEN&b=2&api%20key=theirs",
        "?api%20key=TOKEN&b=2&API%20Key=theirs",
        "?api%20key=TOKEN&b=2&a=1;api%20key=theirs",
        "?b=2&%61pi%20key=TOKEN",
    ] {
        let arrived = gate.passes(&format!("/a{query}"), &[]).await;
        assert_eq!(arrived.line(), format!("GET /v1/a?b=2&{key} HTTP/1.1"));
    }
    // A parameter left over from another client does not hide a token in the usual place.
    let bearer = [field("authorization", "Bearer TOKEN")];
    let arrived = gate.passes("/a?api%20key=theirs", &bearer).await;
    assert_eq!(arrived.line(), format!("GET /v1/a?{key} HTTP/1.1"));
    assert_eq!(gate.refuses("/a?api%20key=TOKENx", &[]).await, invalid());
}

#[tokio::test]
async fn in_a_cookie() {
    let gate = Gate::with("\r\ncookie: lang=de; session=COOKED\r\n", |stack| {
        let place = Place::cookie("session").unwrap();
        let cookies = Policy::new().pass_request_headers([http::header::COOKIE]);
        Api::new(
            stack.target(),
            sallygate::Injection::new(place, stack.key.clone()),
        )
        .replace_policy(cookies)
    })
    .await;
    let bearer = field("authorization", "Bearer TOKEN");
    for cookies in ["lang=de; session=theirs", "session=theirs; lang=de"] {
        let fields = [field("cookie", cookies), bearer.clone()];
        let answer = gate.ask("/a", &fields).await;
        // The place comes first: what stands there is taken for the token.
        assert_eq!(answer.status, 401, "{cookies}");
    }
    let arrived = gate
        .passes("/a", &[field("cookie", "lang=de"), bearer.clone()])
        .await;
    assert_eq!(arrived.values("cookie").len(), 1);
    let several = [
        field("cookie", "Session=theirs; lang=de; session = theirs"),
        bearer.clone(),
    ];
    let arrived = gate.passes("/a", &several).await;
    assert!(!arrived.head.contains("theirs"), "{}", arrived.head);

    // With the token in it, the whole header is the caller's identity, and goes.
    let gate = Gate::at(
        Place::cookie("session").unwrap(),
        "\r\ncookie: session=COOKED\r\n",
    )
    .await;
    for cookies in ["session=TOKEN", "a=b; session=TOKEN; c=d"] {
        let arrived = gate.passes("/a", &[field("cookie", cookies)]).await;
        assert_eq!(arrived.values("cookie").len(), 1);
    }
    let split = [field("cookie", "a=b"), field("cookie", "session=TOKEN")];
    gate.passes("/a", &split).await;
    let bad = gate
        .refuses("/a", &[field("cookie", "session=TOKENx")])
        .await;
    assert_eq!(bad, invalid());
}

#[tokio::test]
async fn in_the_path() {
    let gate = Gate::at(Place::path("/bot{key}").unwrap(), " /v1/botKEY").await;
    let key = gate.stack.secret_key.replace('/', "%2F");
    for (asked, there) in [
        ("/botTOKEN/getMe", "/getMe"),
        ("/botTOKEN/getMe?a=1", "/getMe?a=1"),
        ("/botTOKEN/a/b//c", "/a/b//c"),
        ("/botTOKEN", ""),
        ("/botTOKEN/", "/"),
    ] {
        let arrived = gate.passes(asked, &[]).await;
        assert_eq!(arrived.line(), format!("GET /v1/bot{key}{there} HTTP/1.1"));
    }
    let bearer = [field("authorization", "Bearer TOKEN")];
    let arrived = gate.passes("/bot/getMe", &bearer).await;
    assert_eq!(arrived.line(), format!("GET /v1/bot{key}/getMe HTTP/1.1"));
    assert!(!arrived.has("authorization"));
    for path in ["/bots/getMe", "/getMe", "/", "/Bot/getMe"] {
        let refused = gate.refuses(path, &bearer).await;
        let expected = match path {
            // What stands behind it is taken for the token.
            "/bots/getMe" => invalid(),
            _ => (400, "PROXY_TRANSFORM_ERROR".to_owned()),
        };
        assert_eq!(refused, expected, "{path}");
    }
    for path in ["/botTOKENx/getMe", "/bottheirs/getMe"] {
        assert_eq!(gate.refuses(path, &bearer).await, invalid(), "{path}");
    }
    let nowhere = gate.refuses("/bot/getMe", &[]).await;
    assert_eq!(nowhere, (401, "PROXY_TOKEN_MISSING".into()));
    // It stands where the token is expected and where nothing is: both go.
    let arrived = gate.passes("/botTOKEN/a?x=TOKEN", &[]).await;
    assert_eq!(arrived.line(), format!("GET /v1/bot{key}/a HTTP/1.1"));
}

#[tokio::test]
async fn as_a_segment_of_the_path() {
    let gate = Gate::at(Place::path("/v3/{key}").unwrap(), " /v1/v3/KEY").await;
    let key = gate.stack.secret_key.replace('/', "%2F");
    for (asked, there) in [
        ("/v3/TOKEN/items/7", "/items/7"),
        ("/v3/TOKEN", ""),
        ("/v3/TOKEN?a=1", "?a=1"),
    ] {
        let arrived = gate.passes(asked, &[]).await;
        assert_eq!(arrived.line(), format!("GET /v1/v3/{key}{there} HTTP/1.1"));
    }
    assert_eq!(gate.refuses("/v3/TOKENx/items", &[]).await, invalid());
    assert_eq!(gate.refuses("/TOKEN/v3/items", &[]).await.0, 401);
}

/// A policy judges the path as it is without the key, and so cannot be passed with a token in it.
#[tokio::test]
async fn a_policy_sees_the_path_without_the_key() {
    let gate = Gate::with(" /v1/botKEY/getMe ", |stack| {
        let place = Place::path("/bot{key}").unwrap();
        let policy = Policy::new().paths(["/bot/getMe".parse().unwrap()]);
        Api::new(
            stack.target(),
            sallygate::Injection::new(place, stack.key.clone()),
        )
        .replace_policy(policy)
    })
    .await;
    gate.passes("/botTOKEN/getMe", &[]).await;
    for path in ["/botTOKEN/getUpdates", "/botTOKEN", "/botTOKEN/getMe/"] {
        let refused = gate.refuses(path, &[]).await;
        assert_eq!(refused, (403, "PROXY_FORBIDDEN".into()), "{path}");
    }
}

#[tokio::test]
async fn an_error_that_repeats_the_url_does_not_show_the_key_in_it() {
    let stack = Stack::answering(|request| {
        let path = request.line().split(' ').nth(1).unwrap();
        Reply::response("404 Not Found", format!("Cannot GET {path}"))
    })
    .await;
    let place = Place::path("/bot{key}").unwrap();
    // Without a character that a path would escape.
    let plain = stack.secret_key.replace(['/', '+'], "x");
    stack.upstream.accept(format!("/v1/bot{plain}/getMe"));
    let key = Credential::new(plain).unwrap();
    let service = Api::new(stack.target(), sallygate::Injection::new(place, key));
    let front = stack
        .serve(stack.layer_with("bot", service).into_service())
        .await;
    let token = stack.token();
    let answer = front
        .get(&format!("/proxy/bot/bot{token}/getMe"), "unused")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.text()),
        (404, "Cannot GET /v1/bot[redacted]/getMe")
    );
}
