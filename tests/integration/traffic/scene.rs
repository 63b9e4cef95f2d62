use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use sallygate::{Api, Body, Client, Limits, Policy, ProxyLayer, Target, door::Rejection};
use sallygate_test_support::{Answer, Front, PATIENCE, Stack, Wire, within};
use tokio::runtime::Handle;
use tower::ServiceExt;

use super::{
    faulty::{Fault, Faulty, Peer, fault},
    outcomes,
};

/// How soon an upstream must know that nobody waits any more.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Short enough for a test, long enough for a busy machine to be quicker.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Between the pieces of what comes slowly.
pub(super) const PACE: Duration = Duration::from_millis(200);

/// A proxy before an upstream that fails, and what was noted on the way.
pub(super) struct Scene {
    pub(super) faulty: Faulty,
    pub(super) front: Front,
    pub(super) stack: Stack,
    pub(super) token: String,
    reasons: Arc<Mutex<Vec<String>>>,
}

/// What differs from the usual.
pub(super) struct Terms {
    pub(super) client: Client,
    pub(super) policy: Policy,
    pub(super) limits: Limits,
    pub(super) target: Option<Target>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            client: Client::new().connect_timeout(SHORT),
            policy: Policy::new(),
            limits: Limits::new(),
            target: None,
        }
    }
}

impl Scene {
    pub(super) async fn new<F>(act: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Peer>> + Send + 'static,
    {
        Self::with(Terms::default(), fault(act)).await
    }

    /// An upstream that gives each request for `/fault` these bytes, and then ends the connection if it is told to.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>, then_close: bool) -> Self {
        let answer = answer.into();
        Self::new(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.write(answer).await;
                (!then_close).then_some(peer)
            }
        })
        .await
    }

    pub(super) async fn with(terms: Terms, fault: Fault) -> Self {
        let stack = Stack::new().await;
        let faulty = Faulty::new(&stack.secret_key, fault).await;
        let target = format!("http://{}", faulty.addr);
        let target = terms
            .target
            .unwrap_or_else(|| Target::dangerous_plaintext(&target).unwrap());
        let service = Api::bearer(target, stack.key.clone()).replace_policy(terms.policy);
        let layer = stack
            .layer_with("svc", service)
            .limits(terms.limits)
            .client(terms.client);
        Self::of(stack, faulty, layer).await
    }

    async fn of(stack: Stack, faulty: Faulty, layer: ProxyLayer) -> Self {
        let reasons: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = reasons.clone();
        let service = ServiceExt::<Request<Incoming>>::map_response(
            layer.into_service(),
            move |response: Response<Body>| {
                if let Some(rejection) = response.extensions().get::<Rejection>() {
                    note.lock().unwrap().push(rejection.reason().to_string());
                }
                response
            },
        );
        Self {
            front: stack.serve(service).await,
            token: stack.token(),
            faulty,
            stack,
            reasons,
        }
    }

    /// Why the proxy has refused requests so far; forgotten once they are read.
    pub(super) fn reasons(&self) -> String {
        std::mem::take(&mut *self.reasons.lock().unwrap()).join(", ")
    }

    /// A request for the fault, on a connection that has served another; then a good one on the same connection if it
    /// stayed, and one on a new connection. The outcome is compared with the page of outcomes.
    pub(super) async fn play(self, name: &'static str) -> Answer {
        let before = Baseline::of(&self).await;
        let mut wire = self.front.connect().await;
        wire.send(self.front.get("/proxy/svc/first", &self.token).bytes())
            .await;
        assert_eq!(wire.answer().await.text(), "good", "{name}");
        let used = self.faulty.seen.connections();
        wire.send(self.front.get("/proxy/svc/fault", &self.token).bytes())
            .await;
        let answer = wire.answer().await;
        let again = self.front.get("/proxy/svc/again", &self.token).bytes();
        let stays = is_served(&mut wire, &again, "good").await;
        self.stays_good(name).await;
        let kept = self.faulty.seen.connections() == used;
        drop(wire);
        outcomes::report(name, &told(&answer), &self.reasons(), stays, Some(kept));
        before.is_back(&self).await;
        self.faulty.show(&self.stack.oracle);
        answer
    }

    /// A request on a new connection passes.
    pub(super) async fn stays_good(&self, name: &str) {
        let request = self.front.get("/proxy/svc/good", &self.token);
        let answer = request.send().await;
        assert_eq!((answer.status, answer.text()), (200, "good"), "{name}");
    }
}

/// Sends one more request on a connection: whether the connection was still there. If so, this is the answer.
pub(super) async fn is_served(wire: &mut Wire, request: &[u8], expected: &str) -> bool {
    wire.send(request).await;
    let head = within(PATIENCE, wire.raw_head()).await;
    if head.is_empty() {
        return false;
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = ("content-length".into(), expected.len().to_string());
    let mut answer = Answer {
        fields: vec![length],
        ..Answer::default()
    };
    while wire.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), (expected, true));
    true
}

/// What an answer is in the words of the page.
pub(super) fn told(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().map(|code| format!(" `{code}`"));
    let end = if answer.complete { "" } else { ", cut off" };
    format!("{}{}{end}", answer.status, code.unwrap_or_default())
}

/// What there is once a good request is over: one connection to the upstream, and the tasks that wait on it.
pub(super) struct Baseline {
    tasks: usize,
}

impl Baseline {
    pub(super) async fn of(scene: &Scene) -> Self {
        scene.stays_good("at first").await;
        // The connection of the caller ends a little later than its answer.
        let mut tasks = alive();
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = alive();
            if now == tasks {
                return Self { tasks };
            }
            tasks = now;
        }
    }

    /// Waits until there is no more than there was.
    pub(super) async fn is_back(&self, scene: &Scene) {
        scene.faulty.seen.until_open(1, PATIENCE).await;
        within(PATIENCE, async {
            while alive() > self.tasks {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
