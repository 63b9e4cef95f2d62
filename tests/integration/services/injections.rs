//! Where a key goes is said once, by the service, and everything else follows from it.

use std::borrow::Cow;

use http::{Request, header::AUTHORIZATION, request::Parts};
use sallygate::{
    Api, Body, Context, Injection, Outcome, Place, ServiceConfig, Target, TransformError,
    async_trait, extract,
};

use super::places::header;
use sallygate_test_support::{Answer, Slot, Stack};

/// Puts in one key, whatever it has said.
struct Says {
    target: Target,
    said: Vec<Injection>,
    done: Done,
}

enum Done {
    Put(Injection),
    Value(Injection),
}

#[async_trait]
impl ServiceConfig for Says {
    fn target(&self) -> &Target {
        &self.target
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        extract::bearer(request)
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        match &self.done {
            Done::Put(injection) => injection.put(&mut request, ctx)?,
            Done::Value(injection) => {
                let value = injection.value(ctx)?;
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        &self.said
    }
}

async fn ask(stack: &Stack, said: Vec<Injection>, done: Done, path: &str) -> Answer {
    let target = stack.target();
    let service = Says { target, said, done };
    let layer = stack.layer_with("svc", service);
    let front = stack.serve(layer.into_service()).await;
    let request = front.get(&format!("/proxy/svc{path}"), &stack.token());
    request.header("x_app", "theirs").send().await
}

#[tokio::test]
async fn what_is_put_in_is_what_the_service_says_or_nothing_is_sent() {
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let bearer = || Injection::bearer(key());
    let other_place = || Injection::header(header("x-api-key"), key());
    let other_key = || Injection::bearer(stack.other_key.clone());
    for said in [
        vec![],
        vec![other_place()],
        vec![other_key()],
        vec![other_place(), other_key()],
    ] {
        for done in [Done::Put(bearer()), Done::Value(bearer())] {
            let answer = ask(&stack, said.clone(), done, "/a").await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (502, "PROXY_TRANSFORM_ERROR")
            );
        }
    }
    assert!(stack.upstream.requests().is_empty());

    for done in [Done::Put(bearer()), Done::Value(bearer())] {
        let answer = ask(&stack, vec![other_key(), bearer()], done, "/a").await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert!(stack.upstream.last().authorized);
    }
}

#[tokio::test]
async fn what_the_caller_puts_in_a_keys_place_is_taken_out_whatever_transform_does() {
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let query = || Injection::new(Place::query("key").unwrap(), key());
    let in_header = || Injection::header(header("x-app"), key());
    let bearer = || Injection::bearer(key());
    let asked = "/a?KEY=theirs&b=c";
    for (said, line, passes) in [
        (vec![bearer()], "GET /v1/a?KEY=theirs&b=c HTTP/1.1", true),
        (
            vec![bearer(), query(), in_header()],
            "GET /v1/a?b=c HTTP/1.1",
            false,
        ),
    ] {
        // The other two it says and does not put in.
        let answer = ask(&stack, said, Done::Put(bearer()), asked).await;
        assert_eq!(answer.status, 200);
        let received = stack.upstream.last();
        assert_eq!((received.line(), received.has("x_app")), (line, passes));
    }
}

/// As above, for places that share their header with what is the caller's own.
#[tokio::test]
async fn what_the_caller_puts_among_cookies_and_subprotocols_is_taken_out_whatever_transform_does()
{
    let stack = Stack::new().await;
    let key = || stack.key.clone();
    let mut wrong = Vec::new();
    for (name, list, place) in [
        ("cookie", "a=b; session=theirs", Place::cookie("session")),
        (
            "sec-websocket-protocol",
            "v1, key.theirs",
            Place::subprotocol("key."),
        ),
    ] {
        let elsewhere = Injection::bearer(key());
        let service = Api::from_fn(stack.target(), |request, _| Ok(request.into()))
            .inject(Injection::new(place.unwrap(), key()))
            .route(["/route".parse().unwrap()], stack.target(), elsewhere)
            .policy(|policy| policy.pass_request_headers([header("cookie")]));
        let layer = stack.layer_with("svc", service);
        let front = stack.serve(layer.into_service()).await;
        let request = front.get("/proxy/svc/route", &stack.token());
        let answer = request.header(name, list).send().await;
        assert_eq!(answer.status, 200);
        let received = stack.upstream.last();
        let kept = received.values(name).join(", ");
        if kept.contains("theirs") {
            wrong.push(format!("{name}: {kept}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn only_a_whole_header_has_a_value() {
    let stack = Stack::new().await;
    let query = || Injection::new(Place::query("key").unwrap(), stack.key.clone());
    let answer = ask(&stack, vec![query()], Done::Value(query()), "/a").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "PROXY_TRANSFORM_ERROR")
    );
    assert!(stack.upstream.requests().is_empty());
    let slot = Slot::Query("key").show(&stack.secret_key);
    stack.upstream.accept(slot);
    let answer = ask(&stack, vec![query()], Done::Put(query()), "/a").await;
    assert_eq!(answer.status, 200);
    assert!(stack.upstream.last().authorized);
}

#[tokio::test]
async fn a_policy_takes_out_headers_and_parameters_where_no_key_goes() {
    let stack = Stack::new().await;
    let account = || {
        [
            Place::header(header("x-account")),
            Place::query("account").unwrap(),
        ]
    };
    for (places, line, passes) in [
        (vec![], "GET /v1/a?Account=1&b=c HTTP/1.1", true),
        (account().to_vec(), "GET /v1/a?b=c HTTP/1.1", false),
    ] {
        let service = stack.svc().policy(|policy| policy.take_out(places));
        let front = stack.layer_with("svc", service).into_service();
        let front = stack.serve(front).await;
        let request = front.get("/proxy/svc/a?Account=1&b=c", &stack.token());
        let answer = request.header("x_account", "1").send().await;
        assert_eq!(answer.status, 200);
        let received = stack.upstream.last();
        assert_eq!((received.line(), received.has("x_account")), (line, passes));
    }

    let place = Place::path("/bot{key}").unwrap();
    let service = stack.svc().policy(|policy| policy.take_out([place]));
    let problem = stack.empty_layer().service("svc", service).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "service svc: its policy takes out a part of the path"
    );
}
