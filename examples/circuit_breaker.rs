//! A circuit breaker on the outbound side, as a tower layer of a few lines: after three failures in a row an API is left
//! alone for a while, and callers are told at once to come back. Shows it open and close again, and exits.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::get};
use http::{Request, Response, StatusCode, header::AUTHORIZATION, uri::Authority};
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceExt, load_shed::error::Overloaded};

const FAILURES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// Around any outbound service. Its clones share what they know.
#[derive(Clone)]
struct Breaker<C> {
    client: C,
    origins: Arc<Mutex<HashMap<Authority, Health>>>,
}

#[derive(Default)]
struct Health {
    failures: u32,
    open_until: Option<Instant>,
}

impl<C> tower::Service<Request<Body>> for Breaker<C>
where
    C: tower::Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The proxy's requests have one; there are as many as the services have targets.
        let Some(origin) = request.uri().authority().cloned() else {
            return Box::pin(async { Err("no origin".into()) });
        };
        if self.health(&origin, |health| health.open_until > Some(Instant::now())) {
            // The proxy knows this error, and answers 503 with Retry-After.
            return Box::pin(async { Err(Overloaded::new().into()) });
        }
        let answer = self.client.call(request);
        let origins = self.origins.clone();
        Box::pin(async move {
            let answer = answer.await;
            let failed = !matches!(&answer, Ok(answer) if !answer.status().is_server_error());
            let mut origins = origins.lock().unwrap_or_else(PoisonError::into_inner);
            let health = origins.entry(origin).or_default();
            health.failures = if failed { health.failures + 1 } else { 0 };
            if health.failures >= FAILURES {
                health.open_until = Some(Instant::now() + PAUSE);
            }
            answer
        })
    }
}

impl<C> Breaker<C> {
    fn health<T>(&self, origin: &Authority, look: impl FnOnce(&Health) -> T) -> T {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        look(origins.entry(origin.clone()).or_default())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let well = Arc::new(AtomicBool::new(false));
    let api = Router::new()
        .route("/", get(answer))
        .with_state(well.clone());
    let api = serve(api).await?;

    let secret = "only the host knows this: 32 bytes or more";
    let key = Credential::new("sk-live-4f9c2d7be1a84c06b3d5")?;
    let target = Target::dangerous_plaintext(&format!("http://{api}"))?;
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(secret)?)?
        .service("api", Api::bearer(target, key))?
        .client(Breaker {
            client: Client::new(),
            origins: Arc::default(),
        });
    let host = serve(Router::new().layer(proxy)).await?;
    let token = Issuer::hs256(secret)?.issue("my-sandbox").sign()?;
    let call = async || -> Result<StatusCode, BoxError> {
        let request = Request::get(format!("http://{host}/proxy/api"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())?;
        Ok(Client::new().oneshot(request).await?.status())
    };

    for _ in 0..FAILURES {
        assert_eq!(call().await?, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let open = call().await?;
    println!("after {FAILURES} failures: {open}");
    assert_eq!(open, StatusCode::SERVICE_UNAVAILABLE);

    well.store(true, Ordering::SeqCst);
    tokio::time::sleep(PAUSE).await;
    let closed = call().await?;
    println!("after a pause: {closed}");
    assert_eq!(closed, StatusCode::OK);
    Ok(())
}

/// Stands for an API that is ill at first.
async fn answer(State(well): State<Arc<AtomicBool>>) -> StatusCode {
    if well.load(Ordering::SeqCst) {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

async fn serve(app: Router) -> Result<SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
