//! Tower layers on the outbound side: at most 64 requests at once, each within 2 seconds, repeated once if the API says
//! 503 and the body can be sent again. Makes a call that needs all of it, and exits.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, retry::Policy};

/// Repeats a request once, if it can be repeated.
#[derive(Clone)]
struct Once {
    left: u32,
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Once {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Ready<()>> {
        let busy =
            matches!(result, Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        self.left = self.left.checked_sub(1).filter(|_| busy)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.headers_mut() = request.headers().clone();
        Some(clone)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let api = serve(
        Router::new()
            .route("/job", post(flaky))
            .with_state(calls.clone()),
    )
    .await?;

    let secret = "only the host knows this: 32 bytes or more";
    let key = Credential::new("sk-live-4f9c2d7be1a84c06b3d5")?;
    let outbound = ServiceBuilder::new()
        .concurrency_limit(64)
        .retry(Once { left: 1 })
        .timeout(Duration::from_secs(2))
        .service(Client::new());
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
        .service(
            "jobs",
            Api::bearer(Target::dangerous_plaintext(&format!("http://{api}"))?, key),
        )?
        .client(outbound);
    let host = serve(Router::new().layer(proxy)).await?;

    let token = Issuer::hs256(secret)?.issue("my-sandbox").sign()?;
    let request = Request::post(format!("http://{host}/proxy/jobs/job"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())?;
    let response = Client::new().oneshot(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    println!(
        "{status} {}, after {} calls",
        String::from_utf8_lossy(&text),
        calls.load(Ordering::SeqCst)
    );
    assert_eq!((status, calls.load(Ordering::SeqCst)), (StatusCode::OK, 2));
    Ok(())
}

/// Stands for an API that is busy at first.
async fn flaky(State(calls): State<Arc<AtomicU32>>) -> Result<&'static str, StatusCode> {
    if calls.fetch_add(1, Ordering::SeqCst) == 0 {
        Err(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        Ok("done")
    }
}

async fn serve(app: Router) -> Result<std::net::SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
