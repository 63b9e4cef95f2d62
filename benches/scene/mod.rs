//! A proxy with its API in memory: what is measured is the proxy alone.

use std::convert::Infallible;

use futures_util::{
    FutureExt,
    future::{Ready, ready},
};
use http::{HeaderValue, Request, Response, header};
use sallygate::{Api, Body, Credential, Issuer, JwtVerifier, ProxyLayer, Target, proxy::Proxy};
use tower::{Layer, Service as _, service_fn};

pub(crate) type Answer = fn(Request<Body>) -> Ready<Result<Response<Body>, Infallible>>;
type Endpoint = tower::util::ServiceFn<Answer>;

pub(crate) struct Scene {
    proxy: Proxy<Endpoint, Endpoint>,
    token: String,
}

const SECRET: &str = "only the host knows this: 32 bytes or more";

impl Scene {
    /// `cached_tokens`: zero verifies every request anew.
    pub(crate) fn new(cached_tokens: usize) -> Self {
        let key = Credential::new("sk-real-0123456789abcdef0123456789abcdef").unwrap();
        let target = Target::new("https://api.example.com/v1").unwrap();
        let verifier = JwtVerifier::hs256(SECRET)
            .unwrap()
            .cached_tokens(cached_tokens);
        let proxy = ProxyLayer::new("/proxy", verifier)
            .unwrap()
            .service("up", Api::bearer(target, key))
            .unwrap()
            .client(service_fn(api as Answer))
            .layer(service_fn(app as Answer));
        let token = Issuer::hs256(SECRET)
            .unwrap()
            .issue("sandbox-0123456789")
            .sign()
            .unwrap();
        let mut scene = Self { proxy, token };
        assert_eq!(scene.call(scene.forwarded()).status(), 200);
        assert_eq!(scene.call(scene.refused()).status(), 401);
        assert_eq!(scene.call(scene.outside()).status(), 404);
        scene
    }

    /// What a small GET of a common client looks like.
    pub(crate) fn forwarded(&self) -> Request<Body> {
        request("/proxy/up/messages?limit=20", &self.token)
    }

    pub(crate) fn refused(&self) -> Request<Body> {
        let mut token = self.token.clone();
        let last = if token.ends_with('A') { "E" } else { "A" };
        token.replace_range(token.len() - 1.., last);
        request("/proxy/up/messages?limit=20", &token)
    }

    pub(crate) fn outside(&self) -> Request<Body> {
        request("/index.html", &self.token)
    }

    pub(crate) fn call(
        &mut self,
        request: Request<Body>,
    ) -> Response<impl http_body::Body + use<>> {
        self.proxy
            .call(request)
            .now_or_never()
            .expect("nothing to wait for")
            .unwrap()
    }
}

fn request(path: &str, token: &str) -> Request<Body> {
    Request::get(path)
        .header(header::HOST, "gate.example.com")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip, deflate, br")
        .header(header::USER_AGENT, "example-sdk/1.2.3 (linux; x86_64)")
        .header(header::CONNECTION, "keep-alive")
        .body(Body::empty())
        .unwrap()
}

fn api(_: Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
    let mut response = Response::new(Body::from(r#"{"type":"message"}"#));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("18"));
    headers.insert(
        header::DATE,
        HeaderValue::from_static("Sun, 22 Nov 2026 00:00:00 GMT"),
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    ready(Ok(response))
}

fn app(_: Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    ready(Ok(response))
}
