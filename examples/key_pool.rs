//! Several keys of one API: each request begins with the next of them, and one that is answered with 429 is sent again
//! with another, by tower's `retry` on the outbound side. Makes a call whose first key is used up, and exits.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::get};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use sallygate::{
    Api, Body, Client, Credential, Issuer, JwtVerifier, Place, Policy, ProxyLayer, Target,
};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, retry};

/// Goes with the request to the outbound side: what else it may be sent with.
#[derive(Clone)]
struct OtherKeys(Vec<HeaderValue>);

/// A service whose keys take turns. All of them are the request's own: an answer that shows one is redacted.
fn pooled(target: Target, keys: Vec<Credential>) -> Api {
    let turn = AtomicUsize::new(0);
    let all = keys.clone();
    let service = Api::from_fn(target, move |mut request, ctx| {
        let mut values = keys
            .iter()
            .map(|key| key.bearer(ctx))
            .collect::<Result<Vec<_>, _>>()?;
        let turn = turn.fetch_add(1, Ordering::Relaxed) % values.len().max(1);
        values.rotate_left(turn);
        let mut values = values.into_iter();
        if let Some(value) = values.next() {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request.extensions_mut().insert(OtherKeys(values.collect()));
        Ok(request.into())
    });
    let service = service.with_policy(Policy::new().injects(Place::bearer()));
    all.into_iter().fold(service, Api::uses)
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
    let keys = keys
        .map(Credential::new)
        .into_iter()
        .collect::<Result<_, _>>()?;

    let secret = "only the host knows this: 32 bytes or more";
    let target = Target::dangerous_plaintext(&format!("http://{api}"))?;
    let outbound = ServiceBuilder::new()
        .layer(retry::RetryLayer::new(NextKey))
        .service(Client::new());
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
        .service("api", pooled(target, keys))?
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
