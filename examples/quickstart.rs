//! `cargo run --example quickstart`: the whole idea on one screen.
//!
//! An API on loopback that answers only to the real key; an axum app with the proxy around it; a token for a sandbox;
//! and the sandbox's calls: what it sent, what the API received, what came back. Exits with 1 if anything is not as
//! promised.

use std::{
    error::Error,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, extract::State, routing::get};
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use http_body_util::BodyExt;
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tower::ServiceExt;

const REAL_KEY: &str = "sk-live-4f9c2d7be1a84c06b3d5";
const TOKEN_SECRET: &str = "only the host knows this: 32 bytes or more";

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let api = Upstream::start().await?;

    // What a host application writes.
    let key = Credential::new(REAL_KEY)?;
    let target = Target::dangerous_plaintext(&format!("http://{}/v1", api.address))?;
    let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256(TOKEN_SECRET)?)?
        .service("myapi", Api::bearer(target, key))?;
    let app = Router::new()
        .route("/", get(|| async { "the host application" }))
        .layer(proxy);
    let host = serve(app).await?;

    let issuer = Issuer::hs256(TOKEN_SECRET)?;
    let token = issuer
        .issue("my-sandbox")
        .expires_in(Duration::from_secs(900))
        .sign()?;
    let an_hour_ago = || SystemTime::now() - Duration::from_secs(3600);
    let expired = issuer
        .clone()
        .clock(an_hour_ago)
        .issue("my-sandbox")
        .sign()?;

    println!("The API answers only to  {REAL_KEY}");
    println!(
        "The sandbox holds only   {}…{}\n",
        &token[..12],
        &token[token.len() - 8..]
    );

    let sandbox = Sandbox {
        host,
        api,
        faults: Vec::new(),
    };
    sandbox.play(&token, &expired).await
}

/// Code that nobody trusts: it knows the proxy's address and a token.
struct Sandbox {
    host: std::net::SocketAddr,
    api: Upstream,
    faults: Vec<&'static str>,
}

impl Sandbox {
    async fn play(mut self, token: &str, expired: &str) -> Result<ExitCode, Failure> {
        let (status, body) = self
            .call("A call that works", "/proxy/myapi/hello?name=box", token)
            .await?;
        self.expect(
            status == StatusCode::OK && body == "hello, box",
            "the call works",
        );
        self.expect(
            self.api.saw().await == Some(format!("GET /v1/hello?name=box Bearer {REAL_KEY}")),
            "the API gets the real key",
        );
        self.expect(!body.contains(REAL_KEY), "the sandbox never sees it");

        self.stream(token).await?;

        for (title, path, token, status) in [
            (
                "An expired token",
                "/proxy/myapi/hello",
                expired,
                StatusCode::UNAUTHORIZED,
            ),
            (
                "A service that does not exist",
                "/proxy/other/hello",
                token,
                StatusCode::NOT_FOUND,
            ),
            (
                "An attempt to send the key elsewhere",
                "/proxy/myapi//evil.example/hello",
                token,
                StatusCode::BAD_REQUEST,
            ),
        ] {
            let (given, body) = self.call(title, path, token).await?;
            self.expect(
                given == status && body.contains("\"code\":\"PROXY_"),
                "it is refused",
            );
            self.expect(self.api.saw().await.is_none(), "nothing was sent");
        }

        if self.faults.is_empty() {
            println!("Everything is as promised.");
            return Ok(ExitCode::SUCCESS);
        }
        println!("BROKEN: {}", self.faults.join("; "));
        Ok(ExitCode::FAILURE)
    }

    async fn call(
        &self,
        title: &str,
        path: &str,
        token: &str,
    ) -> Result<(StatusCode, String), Failure> {
        let response = self.send(title, path, token).await?;
        let status = response.status();
        let body = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
        self.api.show().await;
        println!("   came back      {status}  {body}\n");
        Ok((status, body))
    }

    /// The API sends an event only after the one before has arrived here.
    async fn stream(&mut self, token: &str) -> Result<(), Failure> {
        let response = self
            .send(
                "A streamed answer, event by event",
                "/proxy/myapi/events",
                token,
            )
            .await?;
        self.api.show().await;
        let mut events = response.into_body().into_data_stream();
        for number in 1..=3 {
            self.api.next_event.send(number).await?;
            let event = timeout(Duration::from_secs(5), events.next())
                .await?
                .ok_or("the stream ended early")??;
            println!(
                "   came back      {}",
                String::from_utf8_lossy(&event).trim()
            );
        }
        println!();
        Ok(())
    }

    async fn send(&self, title: &str, path: &str, token: &str) -> Result<Response<Body>, Failure> {
        println!("── {title}");
        println!(
            "   sandbox sent   GET {path}  Authorization: Bearer {}…",
            &token[..12]
        );
        self.api.forget().await;
        let request = Request::get(format!("http://{}{path}", self.host))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())?;
        Client::new().oneshot(request).await
    }

    fn expect(&mut self, kept: bool, promise: &'static str) {
        if !kept {
            self.faults.push(promise);
        }
    }
}

/// An API that answers only to the real key, and notes what it receives.
#[derive(Clone)]
struct Upstream {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Option<String>>>,
    next_event: mpsc::Sender<u32>,
    events: Arc<Mutex<Option<mpsc::Receiver<u32>>>>,
}

impl Upstream {
    async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (next_event, events) = mpsc::channel(1);
        let api = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
            next_event,
            events: Arc::new(Mutex::new(Some(events))),
        };
        let app = Router::new().fallback(Self::answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(api)
    }

    async fn answer(State(api): State<Self>, uri: Uri, headers: HeaderMap) -> Response<Body> {
        let key = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("no key");
        *api.seen.lock().await = Some(format!("GET {uri} {key}"));
        if key != format!("Bearer {REAL_KEY}") {
            let mut refused = Response::new(Body::from("wrong key"));
            *refused.status_mut() = StatusCode::FORBIDDEN;
            return refused;
        }
        if uri.path() != "/v1/events" {
            return Response::new(Body::from("hello, box"));
        }
        let events = api.events.lock().await.take();
        Response::new(Body::from_stream(futures_util::stream::unfold(
            events,
            |events| async {
                let mut events = events?;
                let number = events.recv().await?;
                Some((
                    Ok::<_, Failure>(format!("data: event {number}\n\n")),
                    Some(events),
                ))
            },
        )))
    }

    async fn saw(&self) -> Option<String> {
        self.seen.lock().await.clone()
    }

    async fn forget(&self) {
        *self.seen.lock().await = None;
    }

    async fn show(&self) {
        println!(
            "   API received   {}",
            self.saw().await.as_deref().unwrap_or("nothing")
        );
    }
}

async fn serve(app: Router) -> Result<std::net::SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
