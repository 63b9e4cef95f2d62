use std::borrow::Cow;

use http::{Method, Request, Response, request::Parts};
use sallygate::{
    Api, Body, Context, Injection, Outcome, ServiceConfig, Target, TransformError, async_trait,
    door::{Code, Reason},
    extract,
};
use sallygate_test_support::{Slot, Stack};

use super::{FINAL, Row, assert_row, assert_serves, request};

const INTERNAL: Row = Row::new(500, Code::Internal, "Internal error", &[]);
const TARGET: Row = Row::new(
    502,
    Code::TargetError,
    "The upstream could not be reached: svc",
    &[],
);
const ANY: (&str, &str) = ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const METHOD: Row = Row::new(
    405,
    Code::MethodNotAllowed,
    "This method is not allowed",
    &[FINAL, ANY],
);
const LATER: (&str, &str) = ("retry-after", "1");

/// Panics where it is told to.
struct Fragile {
    target: Target,
    in_validate: bool,
}

#[async_trait]
impl ServiceConfig for Fragile {
    fn target(&self) -> &Target {
        &self.target
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        assert!(!self.in_validate, "validate fails");
        extract::bearer(request)
    }

    async fn transform(&self, _: Request<Body>, _: &Context) -> Result<Outcome, TransformError> {
        tokio::task::yield_now().await;
        panic!("transform fails");
    }
}

#[tokio::test]
async fn a_panic_of_the_embedders_costs_one_request() {
    let stack = Stack::new().await;
    let token = stack.token();
    for in_validate in [true, false] {
        let fragile = Fragile {
            target: stack.target(),
            in_validate,
        };
        let layer = stack.layer().service("fragile", fragile).unwrap();
        let answer = stack
            .call(
                layer.clone().into_service(),
                request("GET", "/proxy/fragile/a", &token),
            )
            .await;
        assert!(matches!(
            assert_row(&answer, &INTERNAL).reason(),
            Reason::Panic
        ));

        // On the same connection, the next request is served.
        let front = stack.serve(layer.into_service()).await;
        let mut wire = front.connect().await;
        for (target, expected) in [
            ("/proxy/fragile/a", 500),
            ("/proxy/svc/a", 200),
            ("/proxy/fragile/a", 500),
            ("/proxy/other/a", 200),
        ] {
            wire.send(front.get(target, &token).bytes()).await;
            assert_eq!(wire.answer().await.status, expected, "{target}");
        }
    }
    assert_eq!(stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_transform_that_fails_chooses_its_status_and_its_cause_stays_here() {
    let stack = Stack::new().await;
    let token = stack.token();
    let transform = |status: u16, error, also| Row::new(status, Code::TransformError, error, also);
    let sentence = "The request could not be prepared";
    let rows: [(fn() -> TransformError, Row); 6] = [
        (
            || TransformError::new("a cause"),
            transform(502, sentence, &[FINAL]),
        ),
        (
            || "x".parse::<u8>().unwrap_err().into(),
            transform(502, sentence, &[FINAL]),
        ),
        (
            TransformError::bad_request,
            transform(400, sentence, &[FINAL]),
        ),
        (
            TransformError::forbidden,
            Row::new(403, Code::Forbidden, "This is not allowed", &[FINAL]),
        ),
        (
            TransformError::body_too_large,
            Row::new(
                413,
                Code::BodyTooLarge,
                "The request body is too large",
                &[FINAL],
            ),
        ),
        (
            TransformError::unavailable,
            Row::new(
                503,
                Code::CredentialUnavailable,
                "The credential is not available",
                &[LATER],
            ),
        ),
    ];
    for (failure, row) in rows {
        let secret = stack.secret_key.clone();
        let config = Api::from_fn(stack.target(), move |_, _| {
            Err(failure().because(format!("{secret} was refused")))
        });
        let service = stack.layer_with("svc", config).into_service();
        let answer = stack
            .call(service, request("GET", "/proxy/svc/a", &token))
            .await;
        let rejection = assert_row(&answer, &row);
        let Reason::Transform(error) = rejection.reason() else {
            panic!("{rejection:?}")
        };
        stack.oracle.saw_debug(error);
        // Layers outside may ask for it.
        assert!(error.cause().unwrap().to_string().ends_with(" was refused"));
    }
    assert!(stack.upstream.requests().is_empty());
    assert_serves(&stack).await;
}

#[tokio::test]
async fn a_transform_may_answer_by_itself() {
    let stack = Stack::new().await;
    let config = Api::from_fn(stack.target(), |request, ctx| {
        let body = format!(
            "{} {} of {}",
            request.method(),
            request.uri().path(),
            ctx.service()
        );
        Ok(Response::builder()
            .status(418)
            .header("x-own", "1")
            .body(Body::from(body))
            .unwrap()
            .into())
    });
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let answer = front.get("/proxy/svc/a?b", &stack.token()).send().await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("x-own")),
        (418, "GET /v1/a of svc", Some("1"))
    );
    assert_eq!(front.get("/proxy/svc/a?b", "x").send().await.status, 401);
    assert!(stack.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_transform_that_leaves_its_targets_sends_nothing() {
    let stack = Stack::new().await;
    let token = stack.token();
    let own = stack.upstream.addr;
    let elsewhere = stack.other.addr;
    let through = |uri: String| {
        let key = stack.key.clone();
        let config = Api::from_fn(stack.target(), move |mut request, _| {
            *request.uri_mut() = uri.parse()?;
            Ok(request.into())
        })
        .inject(Injection::bearer(key));
        stack.layer_with("svc", config).into_service()
    };
    for uri in [
        format!("http://{elsewhere}/v1/a"),
        format!("https://{own}/v1/a"),
        format!("http://u:p@{own}/v1/a"),
        format!("http://127.0.0.2:{}/v1/a", own.port()),
        "http://127.0.0.1/v1/a".into(),
        "/v1/a".into(),
        format!("ftp://{own}/v1/a"),
    ] {
        let answer = stack
            .call(through(uri.clone()), request("GET", "/proxy/svc/a", &token))
            .await;
        assert!(
            matches!(assert_row(&answer, &TARGET).reason(), Reason::Origin),
            "{uri}"
        );
    }
    assert!(stack.upstream.requests().is_empty() && stack.other.requests().is_empty());
    // Within the target everything is the service's own affair.
    let answer = stack
        .call(
            through(format!("http://{own}/elsewhere?x")),
            request("GET", "/proxy/svc/a", &token),
        )
        .await;
    assert_eq!(
        (answer.status, stack.upstream.last().line()),
        (200, "GET /elsewhere?x HTTP/1.1")
    );
}

/// Frames the message, and says twice what can be said once.
struct Hostile {
    target: Target,
    injection: Injection,
}

#[async_trait]
impl ServiceConfig for Hostile {
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
        let headers = request.headers_mut();
        for (name, value) in [
            ("host", "evil.test"),
            ("content-length", "999"),
            ("transfer-encoding", "gzip"),
            ("connection", "close, authorization"),
            ("keep-alive", "1"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("via", "1.1 nobody"),
            ("authorization", "Bearer of-the-service"),
        ] {
            headers.append(name, value.parse()?);
        }
        headers.append("authorization", self.injection.value(ctx)?);
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        std::slice::from_ref(&self.injection)
    }
}

#[tokio::test]
async fn a_hostile_transform_frames_nothing_and_duplicates_nothing() {
    let stack = Stack::new().await;
    let token = stack.token();
    let injection = Injection::bearer(stack.key.clone());
    let config = Hostile {
        target: stack.target(),
        injection,
    };
    let service = stack.layer_with("svc", config).into_service();
    let mut post = request("POST", "/proxy/svc/a", &token);
    *post.body_mut() = Body::from("abc");
    let answer = stack.call(service, post).await;
    assert_eq!(answer.status, 200);
    let sent = stack.upstream.last();
    let shown = Slot::Bearer.show(&stack.secret_key);
    assert!(
        sent.head.contains(&shown),
        "{}",
        sent.head.replace(&stack.secret_key, "KEY")
    );
    let names: Vec<_> = sent
        .fields()
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        names.iter().filter(|name| *name == "authorization").count(),
        1
    );
    assert_eq!(sent.values("host"), [stack.upstream.addr.to_string()]);
    assert_eq!(sent.values("content-length"), ["3"]);
    assert_eq!((sent.body.as_slice(), sent.complete), (&b"abc"[..], true));
    for name in [
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
    ] {
        assert!(!sent.has(name), "{name}");
    }
    assert_eq!(sent.values("via").len(), 1);
    assert!(sent.values("via")[0].starts_with("1.1 sallygate-"));
}

#[tokio::test]
async fn a_transform_cannot_make_a_tunnel_or_a_mirror() {
    let stack = Stack::new().await;
    for method in [Method::CONNECT, Method::TRACE] {
        let config = Api::from_fn(stack.target(), move |mut request, _| {
            *request.method_mut() = method.clone();
            Ok(request.into())
        });
        let service = stack.layer_with("svc", config).into_service();
        let answer = stack
            .call(service, request("GET", "/proxy/svc/a", &stack.token()))
            .await;
        assert!(matches!(
            assert_row(&answer, &METHOD).reason(),
            Reason::Method
        ));
    }
    assert!(stack.upstream.requests().is_empty());
    assert_serves(&stack).await;
}
