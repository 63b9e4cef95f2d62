//! The proxy as a service of its own on a bare hyper server: no router, no application. Makes one call, and exits.

use std::{convert::Infallible, error::Error, net::SocketAddr};

use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tokio::net::TcpListener;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api = serve(service_fn(|request: Request<Incoming>| async move {
        let key = request
            .headers()
            .get("x-api-key")
            .map_or(&b"none"[..], |key| key.as_bytes());
        Ok::<_, Infallible>(Response::new(Body::from([b"your key is ", key].concat())))
    }))
    .await?;

    let secret = "only the host knows this: 32 bytes or more";
    let key = Credential::new("sk-live-4f9c2d7be1a84c06b3d5")?;
    let target = Target::dangerous_plaintext(&format!("http://{api}"))?;
    let proxy = ProxyLayer::new("/", JwtVerifier::hs256(secret)?)?
        .service("myapi", Api::header(target, "x-api-key".parse()?, key))?
        .into_service();
    let host = serve(TowerToHyperService::new(proxy)).await?;

    let token = Issuer::hs256(secret)?.issue("my-sandbox").sign()?;
    let request = Request::get(format!("http://{host}/myapi/who"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())?;
    let response = Client::new().oneshot(request).await?;
    let text = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&text));
    assert_eq!(text, "your key is sk-live-4f9c2d7be1a84c06b3d5");
    Ok(())
}

async fn serve<S>(service: S) -> Result<SocketAddr, std::io::Error>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let mut server = http1::Builder::new();
            // Without a timer hyper waits forever for a request head.
            server.timer(TokioTimer::new());
            let connection = server.serve_connection(TokioIo::new(connection), service.clone());
            // For WebSockets.
            tokio::spawn(connection.with_upgrades());
        }
    });
    Ok(address)
}
