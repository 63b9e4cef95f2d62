use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::HeaderName;
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use sallygate::{Api, Body, Client, Credential, Issuer, JwtVerifier, ProxyLayer, Target};
use tower::{BoxError, ServiceExt};

use crate::{
    Answer, Front, Oracle, PATIENCE, Recorded, Reply, Secure, Setup, Slot, Upstream, oracle::random,
};

/// A whole installation: two upstreams with a credential each, an issuer, a verifier and a clock. Every secret in it is
/// fresh, and looked for everywhere when it is dropped.
///
/// Its services are `svc`, a bearer key for `upstream` below `/v1`, and `other`, an `x-other-key` for `other`.
pub struct Stack {
    /// Looks for every secret of the stack.
    pub oracle: Arc<Oracle>,
    /// The upstream of `svc`.
    pub upstream: Upstream,
    /// The upstream of `other`.
    pub other: Upstream,
    /// The key of `svc`.
    pub key: Credential,
    /// What is in `key`.
    pub secret_key: String,
    /// The key of `other`.
    pub other_key: Credential,
    /// What tokens are signed with.
    pub jwt_secret: String,
    /// The time of the proxy and of the issuer.
    pub clock: TestClock,
    /// Issues tokens that the proxy takes.
    pub issuer: Issuer,
}

impl Stack {
    /// Every request is answered with 200 and `hello`.
    pub async fn new() -> Self {
        Self::answering(|_| Reply::ok("hello")).await
    }

    /// The upstream of `svc` answers with this script.
    pub async fn answering(script: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::upon(Upstream::scripted(script).await).await
    }

    /// The upstream of `svc` is this one.
    pub async fn upon(upstream: Upstream) -> Self {
        let oracle = Oracle::new();
        let other = Upstream::scripted(|_| Reply::ok("other")).await;
        let secret_key = oracle.secret("credential");
        let other_secret = oracle.secret("credential of the other service");
        let jwt_secret = oracle.secret("signing secret");
        upstream.accept(Slot::Bearer.show(&secret_key));
        other.accept(Slot::Header("x-other-key").show(&other_secret));
        let clock = TestClock::new();
        let issuer = Issuer::hs256(&jwt_secret).unwrap().clock({
            let clock = clock.clone();
            move || clock.now()
        });
        Self {
            key: Credential::new(&secret_key).unwrap(),
            other_key: Credential::new(other_secret).unwrap(),
            oracle,
            upstream,
            other,
            secret_key,
            jwt_secret,
            clock,
            issuer,
        }
    }

    /// Where `svc` leads to.
    pub fn target(&self) -> Target {
        Target::dangerous_plaintext(&format!("http://{}/v1", self.upstream.addr)).unwrap()
    }

    /// Takes the tokens of `issuer`.
    pub fn verifier(&self) -> JwtVerifier {
        JwtVerifier::hs256(&self.jwt_secret).unwrap()
    }

    /// `svc` as it usually is.
    pub fn svc(&self) -> Api {
        Api::bearer(self.target(), self.key.clone())
    }

    /// The proxy at `/proxy` with both services.
    pub fn layer(&self) -> ProxyLayer {
        self.layer_with("svc", self.svc())
    }

    /// The proxy at `/proxy` with this service, and `other`.
    pub fn layer_with(&self, name: &str, config: impl sallygate::ServiceConfig) -> ProxyLayer {
        let target = Target::dangerous_plaintext(&format!("http://{}", self.other.addr)).unwrap();
        let header = HeaderName::from_static("x-other-key");
        let other = Api::header(target, header, self.other_key.clone());
        self.empty_layer()
            .service(name, config)
            .unwrap()
            .service("other", other)
            .unwrap()
    }

    /// The proxy at `/proxy` without services.
    pub fn empty_layer(&self) -> ProxyLayer {
        let clock = self.clock.clone();
        ProxyLayer::new("/proxy", self.verifier())
            .unwrap()
            .clock(move || clock.now())
            .client(Client::new().connect_timeout(PATIENCE))
    }

    /// Begins a scene: the proxy, served, with whatever is to be different about it.
    pub fn scene(self) -> Setup {
        Setup::new(self)
    }

    /// Serves the usual proxy over TCP.
    pub async fn front(&self) -> Front {
        self.serve(self.layer().into_service()).await
    }

    /// Serves any application over TCP.
    pub async fn serve<S, B>(&self, service: S) -> Front
    where
        S: tower::Service<http::Request<Incoming>, Response = http::Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + std::fmt::Debug + Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Front::serve(self.oracle.clone(), service).await
    }

    /// Sends one request in process, and keeps what came back beside the answer.
    pub async fn call<S, B>(&self, service: S, request: http::Request<Body>) -> Answer
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<B>>,
        S::Error: std::fmt::Debug,
        B: HttpBody<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let response = service.oneshot(request).await.unwrap();
        Answer::of(&self.oracle, response).await
    }

    /// A token for a sandbox of its own.
    pub fn token(&self) -> String {
        self.watched(self.issuer.issue(sandbox()).sign().unwrap())
    }

    /// Looks for this token too.
    pub fn watched(&self, token: String) -> String {
        self.oracle.watch_token(&token);
        token
    }

    /// Signs exactly these bytes with the secret of this stack.
    pub fn sign(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
        let key = jsonwebtoken::EncodingKey::from_secret(self.jwt_secret.as_bytes());
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// Another upstream of this stack's: what it received is searched too.
    pub fn saw_secure(&self, name: &str, upstream: &Secure) {
        for request in upstream.requests.lock().unwrap().iter() {
            let rest = format!("{:?}", request.trailers);
            let raw = [request.head.as_bytes(), &request.body, rest.as_bytes()].concat();
            self.oracle.saw_request(name, &raw, &upstream.accepted());
        }
    }

    /// Another upstream of this stack's: what it received is searched too.
    pub fn saw_upstream(&self, name: &str, upstream: &Upstream) {
        for request in upstream.requests() {
            self.oracle
                .saw_request(name, &request.raw, &upstream.accepted());
            self.oracle.saw_request(name, &request.body, &[]);
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.saw_upstream("svc", &self.upstream);
        self.saw_upstream("other", &self.other);
        self.oracle.saw_debug(&self.key);
        self.oracle.saw_debug(&self.issuer);
        self.oracle.saw_debug(&self.verifier());
        self.oracle.saw_debug(&self.layer());
        let leaks = self.oracle.leaks();
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
    }
}

fn sandbox() -> String {
    let bytes: [u8; 8] = random();
    format!("box-{:016x}", u64::from_be_bytes(bytes))
}

/// A clock that moves when it is told to.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(Arc::new(AtomicU64::new(now.as_secs())))
    }

    /// The time of this clock.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds())
    }

    /// The same, in seconds since 1970.
    pub fn seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it forward.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}
