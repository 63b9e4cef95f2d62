//! Several keys of one API: each request begins with the next of them, and one that is answered with 429 is sent again
//! with another, by tower's `retry` on the outbound side. Makes a call whose first key is used up, and exits.

use std::{
    borrow::Cow,
    future::{Ready, ready},
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::get};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION, request::Parts,
};
use http_body_util::BodyExt;
use sallygate::{
    Body, Client, ConfigError, Context, Credential, Injection, Issuer, JwtVerifier, Outcome,
    ProxyLayer, ServiceConfig, Target, TransformError, async_trait, extract,
};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, retry};

/// Goes with the request to the outbound side: what else it may be sent with.
#[derive(Clone)]
struct OtherKeys(Vec<HeaderValue>);

/// A service whose keys take turns. All of them are the request's own: a response that shows one is redacted.
struct Pooled {
    target: Target,
    keys: Vec<Injection>,
    turn: AtomicUsize,
}

#[async_trait]
impl ServiceConfig for Pooled {
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
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.keys.len().max(1);
        let (later, first) = self.keys.split_at(turn);
        let mut keys = first.iter().chain(later);
        if let Some(key) = keys.next() {
            key.put(&mut request, ctx)?;
        }
        let others = keys.map(|key| key.value(ctx)).collect::<Result<_, _>>()?;
        request.extensions_mut().insert(OtherKeys(others));
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        &self.keys
    }
}

/// Sends a request that was refused for its key's sake again, with the next key.
#[derive(Clone)]
struct NextKey;

impl<B> retry::Policy<Request<Body>, Response<B>, BoxError> for NextKey {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        next: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Ready<()>> {
        let used_up =
            matches!(result, Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS);
        let keys = next
            .extensions_mut()
            .get_mut::<OtherKeys>()
            .filter(|_| used_up)?;
        let key = keys.0.pop()?;
        next.headers_mut().insert(AUTHORIZATION, key);
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.headers_mut() = request.headers().clone();
        *clone.extensions_mut() = request.extensions().clone();
        Some(clone)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let api = serve(Router::new().route("/model", get(answer))).await?;
    let keys = ["sk-live-used-up-0123456789", "sk-live-fresh-0123456789"];
    let keys = keys.map(|key| Ok(Injection::bearer(Credential::new(key)?)));
    let keys = keys.into_iter().collect::<Result<_, ConfigError>>()?;

    let secret = "only the host knows this: 32 bytes or more";
    let target = Target::dangerous_plaintext(&format!("http://{api}"))?;
    let outbound = ServiceBuilder::new()
        .layer(retry::RetryLayer::new(NextKey))
        .service(Client::new());
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
        .service(
            "api",
            Pooled {
                target,
                keys,
                turn: AtomicUsize::new(0),
            },
        )?
        .client(outbound);
    let host = serve(Router::new().layer(proxy)).await?;

    let token = Issuer::hs256(secret)?.issue("my-sandbox").sign()?;
    let request = Request::get(format!("http://{host}/proxy/api/model"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())?;
    let response = Client::new().oneshot(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    println!("{status} {}", String::from_utf8_lossy(&text));
    assert_eq!(
        (status, &text[..]),
        (StatusCode::OK, &b"said by the fresh key"[..])
    );
    Ok(())
}

/// Stands for an API that counts how often each key is used.
async fn answer(headers: HeaderMap) -> Result<&'static str, StatusCode> {
    match headers.get(AUTHORIZATION) {
        Some(key) if key == "Bearer sk-live-fresh-0123456789" => Ok("said by the fresh key"),
        _ => Err(StatusCode::TOO_MANY_REQUESTS),
    }
}

async fn serve(app: Router) -> Result<SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
