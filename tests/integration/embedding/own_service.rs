use std::{borrow::Cow, slice};

use http::{HeaderName, Request, Response, request::Parts};
use sallygate::{
    Body, Context, Injection, Outcome, ServiceConfig, Target, TransformError, async_trait, extract,
};
use sallygate_test_support::{Slot, Stack, assert_refused};

/// An API at two origins, whose requests are signed over their body.
struct Signed {
    targets: [Target; 2],
    key: Injection,
}

#[async_trait]
impl ServiceConfig for Signed {
    fn target(&self) -> &Target {
        &self.targets[0]
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        assert!(request.uri.path().starts_with('/') && !request.uri.path().starts_with("/proxy"));
        extract::query(request, "signature").or_else(|| extract::bearer(request))
    }

    async fn transform(
        &self,
        request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        assert!(request.headers().get("authorization").is_none());
        assert!(
            ctx.taken_headers()
                .get("cookie")
                .is_some_and(|cookie| cookie == "a=b")
        );
        let (mut parts, body) = request.into_parts();
        if parts.uri.path() == "/v1/keys" {
            return Ok(Response::builder()
                .status(410)
                .body(Body::from("not here"))
                .unwrap()
                .into());
        }
        let body = body.read(8).await?;
        tokio::task::yield_now().await;
        let length = body
            .iter()
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            .to_string();
        parts.headers.insert("x-sum", length.parse()?);
        if parts.uri.path() == "/v1/second" {
            let authority = parts.headers.remove("x-second").unwrap();
            parts.uri = format!("http://{}/second", authority.to_str()?).parse()?;
        }
        let mut request = Request::from_parts(parts, Body::from(body));
        self.key.put(&mut request, ctx)?;
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        slice::from_ref(&self.key)
    }
}

#[tokio::test]
async fn a_service_written_by_hand_reads_signs_answers_and_chooses_its_target() {
    let stack = Stack::new().await;
    let shown = Slot::Header("x-api-key").show(&stack.secret_key);
    stack.upstream.accept(shown.clone());
    stack.other.accept(shown);
    let second = stack.other.addr.to_string();
    let config = Signed {
        targets: [
            stack.target(),
            Target::dangerous_plaintext(&format!("http://{second}")).unwrap(),
        ],
        key: Injection::header(HeaderName::from_static("x-api-key"), stack.key.clone()),
    };
    let front = stack
        .serve(stack.layer_with("svc", config).into_service())
        .await;
    let token = stack.token();
    let post = |path: &str, body: &str| {
        front
            .request("POST", &format!("/proxy/svc{path}"))
            .header("cookie", "a=b")
            .token(&token)
            .body(body)
    };

    assert_eq!(post("/a", "ab").send().await.text(), "hello");
    let sent = stack.upstream.last();
    assert_eq!(
        (sent.line(), sent.body.as_slice()),
        ("POST /v1/a HTTP/1.1", &b"ab"[..])
    );
    assert_eq!(
        (sent.values("x-sum"), sent.values("content-length")),
        (vec!["195"], vec!["2"])
    );

    let request = front
        .request("POST", &format!("/proxy/svc/a?signature={token}&b=c"))
        .header("cookie", "a=b");
    assert_eq!(request.body("").send().await.status, 200);
    assert_eq!(stack.upstream.last().line(), "POST /v1/a?b=c HTTP/1.1");

    let answer = post("/keys", "").send().await;
    assert_eq!((answer.status, answer.text()), (410, "not here"));
    let answer = post("/a", "over eight").send().await;
    assert_refused(&answer, 413, "PROXY_BODY_TOO_LARGE");
    assert_eq!(stack.upstream.requests().len(), 2);

    assert_eq!(
        post("/second", "ab")
            .header("x-second", &second)
            .send()
            .await
            .text(),
        "other"
    );
    assert_eq!(stack.other.last().line(), "POST /second HTTP/1.1");
    let answer = post("/second", "ab")
        .header("x-second", "127.0.0.1:1")
        .send()
        .await;
    assert_refused(&answer, 502, "PROXY_TARGET_ERROR");
    assert_eq!(
        front
            .request("POST", "/proxy/svc/a")
            .header("cookie", "a=b")
            .send()
            .await
            .status,
        401
    );
}
