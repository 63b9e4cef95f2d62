use std::sync::Arc;

use http::Request;
use sallygate::{
    Api, Body, Credential, ProxyLayer,
    credential::{
        Assertion, GitHubApp, GoogleServiceAccount, OAuth2, SigningKey, Source, SourceError,
    },
    door::{Reason, Rejection},
};
use sallygate_test_support::{Answer, PATIENCE, Reply, Stack, assert_refused, within};
use serde_json::json;

use super::{
    endpoint::Endpoint,
    ledger::{CLIENT, Ledger},
};

/// The ways to come by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    ClientCredentials,
    GitHubApp,
    GoogleAccess,
    GoogleId,
    JwtBearer,
    RefreshToken,
}

pub(super) const FLOWS: [Flow; 6] = [
    Flow::ClientCredentials,
    Flow::GitHubApp,
    Flow::GoogleAccess,
    Flow::GoogleId,
    Flow::JwtBearer,
    Flow::RefreshToken,
];

/// A stack whose upstream takes what the endpoint issued and nothing else: 401 for what was revoked, 403 for the rest.
pub(super) struct Grants {
    pub(super) stack: Arc<Stack>,
    pub(super) endpoint: Endpoint,
    pub(super) ledger: Arc<Ledger>,
}

impl Grants {
    pub(super) async fn new() -> Self {
        let ledger = Ledger::new();
        let stack = Stack::answering({
            let ledger = ledger.clone();
            move |request| match ledger.refuses(request) {
                true => Reply::response("401 Unauthorized\nx-upstream: yes", "revoked"),
                false => Reply::ok("hello"),
            }
        });
        let stack = Arc::new(stack.await);
        ledger.prepare(&stack);
        let endpoint = Endpoint::start({
            let (ledger, oracle) = (ledger.clone(), stack.oracle.clone());
            let clock = stack.clock.clone();
            move |call| ledger.answer(call, &oracle, clock.now())
        })
        .await;
        Self {
            stack,
            endpoint,
            ledger,
        }
    }

    /// As an embedder would write it.
    pub(super) fn credential(&self, flow: Flow) -> Credential {
        match flow {
            Flow::ClientCredentials => self.seen(self.client_credentials()),
            Flow::GitHubApp => self.seen(self.github_app()),
            Flow::GoogleAccess => self.seen(self.google().access_token(["scope-a", "scope-b"])),
            Flow::GoogleId => self.seen(self.google().id_token("https://audience.test")),
            Flow::JwtBearer => self.seen(OAuth2::jwt_bearer(
                self.endpoint.target("/token"),
                self.assertion(),
            )),
            Flow::RefreshToken => self.seen(self.refresh_token()),
        }
    }

    pub(super) fn client_credentials(&self) -> OAuth2 {
        let secrets = self.ledger.secrets();
        OAuth2::client_credentials(
            self.endpoint.target("/token"),
            CLIENT,
            &*secrets.client_secret,
        )
    }

    pub(super) fn refresh_token(&self) -> OAuth2 {
        let secrets = self.ledger.secrets();
        let refresh_token = self.ledger.refresh_token();
        OAuth2::refresh_token(self.endpoint.target("/token"), CLIENT, refresh_token)
            .client_secret(&*secrets.client_secret)
    }

    pub(super) fn assertion(&self) -> Assertion {
        let key = SigningKey::from_pem(self.ledger.secrets().key.pem()).unwrap();
        self.stack.oracle.saw_debug(&key);
        Assertion::new(key, CLIENT, "user@example.test")
    }

    pub(super) fn github_app(&self) -> GitHubApp {
        let pem = self.ledger.secrets().key.pkcs1_pem();
        GitHubApp::new(CLIENT, 77, pem)
            .unwrap()
            .api(self.endpoint.target("/api/v3"))
    }

    pub(super) fn google(&self) -> GoogleServiceAccount {
        let file = json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "key-7",
            "private_key": self.ledger.secrets().key.pem(),
            "client_email": CLIENT,
            "client_id": "123",
            "token_uri": "https://oauth2.example.test/token",
            "universe_domain": "googleapis.com",
        });
        GoogleServiceAccount::from_json(file.to_string())
            .unwrap()
            .endpoint(self.endpoint.target("/google"))
    }

    /// A credential from this source, which must show nothing.
    pub(super) fn seen(&self, source: impl Source + std::fmt::Debug) -> Credential {
        self.stack.oracle.saw_debug(&source);
        let credential = Credential::from_source(source);
        self.stack.oracle.saw_debug(&credential);
        credential
    }

    pub(super) fn layer(&self, credential: &Credential) -> ProxyLayer {
        self.stack.layer_with("svc", self.service(credential))
    }

    pub(super) fn service(&self, credential: &Credential) -> Api {
        Api::bearer(self.stack.target(), credential.clone())
    }

    /// One request through the whole proxy, to the upstream and back.
    pub(super) async fn get(&self, credential: &Credential) -> Answer {
        let front = self
            .stack
            .serve(self.layer(credential).into_service())
            .await;
        front.get("/proxy/svc/a", &self.stack.token()).send().await
    }

    /// Many requests at once, in process up to the proxy.
    pub(super) async fn get_at_once(&self, credential: &Credential, count: usize) -> Vec<u16> {
        let service = self.layer(credential).into_service();
        let token = self.stack.token();
        let answers = (0..count).map(|_| {
            let (stack, service) = (self.stack.clone(), service.clone());
            let request = request(&token);
            tokio::spawn(async move { stack.call(service, request).await.status })
        });
        futures_util::future::try_join_all(answers).await.unwrap()
    }

    /// Why a request got 503: what the operator sees.
    pub(super) async fn failure(&self, credential: &Credential) -> SourceError {
        let service = self.layer(credential).into_service();
        let answer = self.stack.call(service, request(&self.stack.token())).await;
        refused(&answer);
        let rejection = answer.extensions.get::<Rejection>().unwrap();
        match rejection.reason() {
            Reason::Credential(error) => *error,
            reason => panic!("{reason}"),
        }
    }

    /// What came in the place of the key, request by request, by the numbers of the tokens.
    pub(super) fn received(&self) -> Vec<usize> {
        let requests = self.stack.upstream.requests();
        let number = |request| self.ledger.number(request).expect("an unknown token");
        requests.iter().map(number).collect()
    }

    /// Asks until the upstream is shown this token.
    pub(super) async fn until_received(&self, credential: &Credential, number: usize) {
        within(PATIENCE, async {
            loop {
                assert_eq!(self.get(credential).await.status, 200);
                if self.received().last() == Some(&number) {
                    return;
                }
            }
        })
        .await;
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.ledger.take_complaints(), [""; 0]);
        }
    }
}

fn request(token: &str) -> Request<Body> {
    Request::get("/proxy/svc/a")
        .header("host", "gate.test")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

/// The answer is the one that there is without a key.
pub(super) fn refused(answer: &Answer) {
    assert_refused(answer, 503, "PROXY_CREDENTIAL_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(
        answer.constant(),
        r#"{"error":"The credential is not available","code":"PROXY_CREDENTIAL_UNAVAILABLE","requestId":"ID"}"#
    );
}
