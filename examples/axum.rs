//! An axum application with the proxy as a layer. Makes one call through it, and exits.

use std::error::Error;

use axum::{Router, routing::get};
use http::{HeaderMap, Request, header::AUTHORIZATION};
use http_body_util::BodyExt;
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tokio::net::TcpListener;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api = serve(Router::new().route("/v1/who", get(who))).await?;

    let secret = "only the host knows this: 32 bytes or more";
    let key = Credential::new("sk-live-4f9c2d7be1a84c06b3d5")?;
    let target = Target::dangerous_plaintext(&format!("http://{api}/v1"))?;
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
        .service("myapi", Api::bearer(target, key))?;
    let app = Router::new()
        .route("/", get(|| async { "the host application" }))
        .layer(proxy);
    let host = serve(app).await?;

    let token = Issuer::hs256(secret)?.issue("my-sandbox").sign()?;
    for path in ["/", "/proxy/myapi/who"] {
        let request = Request::get(format!("http://{host}{path}"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())?;
        let response = Client::new().oneshot(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        println!("GET {path}: {status} {}", String::from_utf8_lossy(&text));
        assert!(status.is_success());
    }
    Ok(())
}

/// Stands for the API.
async fn who(headers: HeaderMap) -> Result<&'static str, http::StatusCode> {
    match headers.get(AUTHORIZATION) {
        Some(key) if key == "Bearer sk-live-4f9c2d7be1a84c06b3d5" => Ok("you have the real key"),
        _ => Err(http::StatusCode::FORBIDDEN),
    }
}

async fn serve(app: Router) -> Result<std::net::SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
