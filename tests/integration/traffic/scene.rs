use std::time::Duration;

use sallygate::Target;
use sallygate_test_support::{Answer, PATIENCE, Scene, Setup, Stack, Wire, within};
use tokio::runtime::Handle;

use super::{
    faulty::{Fault, Faulty, Peer, fault},
    outcomes,
};

/// Short enough for a test, long enough for a busy machine to be quicker.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Between the pieces of what comes slowly.
pub(super) const PACE: Duration = Duration::from_millis(200);

/// Begins a proxy before an upstream that fails.
pub(super) async fn before(fault: Fault) -> Setup<Faulty> {
    let stack = Stack::new().await;
    let faulty = Faulty::new(&stack.secret_key, fault).await;
    let target = format!("http://{}", faulty.addr);
    stack
        .scene()
        .before(faulty, Target::dangerous_plaintext(&target).unwrap())
}

/// The same with nothing else that is unusual.
pub(super) async fn failing<F>(act: impl Fn(Peer) -> F + Send + Sync + 'static) -> Scene<Faulty>
where
    F: Future<Output = Option<Peer>> + Send + 'static,
{
    before(fault(act)).await.start().await
}

/// An upstream that gives each request for `/fault` these bytes, and then ends the connection if it is told to.
pub(super) async fn responding(response: impl Into<Vec<u8>>, then_close: bool) -> Scene<Faulty> {
    let response = response.into();
    failing(move |mut peer| {
        let response = response.clone();
        async move {
            peer.write(response).await;
            (!then_close).then_some(peer)
        }
    })
    .await
}

/// What is asked of every proxy before an upstream that fails.
pub(super) trait Play {
    /// A request for the fault, on a connection that has served another; then a good one on the same connection if it
    /// stayed, and one on a new connection. The outcome is compared with the page of outcomes.
    async fn play(self, name: &'static str) -> Answer;

    /// A request on a new connection passes.
    async fn stays_good(&self, name: &str);
}

impl Play for Scene<Faulty> {
    async fn play(self, name: &'static str) -> Answer {
        let before = Baseline::of(&self).await;
        let mut wire = self.front.connect().await;
        wire.send(self.front.get("/proxy/svc/first", &self.token).bytes())
            .await;
        assert_eq!(wire.answer().await.text(), "good", "{name}");
        let used = self.upstream.seen.connections();
        wire.send(self.front.get("/proxy/svc/fault", &self.token).bytes())
            .await;
        let answer = wire.answer().await;
        let again = self.front.get("/proxy/svc/again", &self.token).bytes();
        let stays = is_served(&mut wire, &again, "good").await;
        self.stays_good(name).await;
        let kept = self.upstream.seen.connections() == used;
        drop(wire);
        outcomes::report(name, &told(&answer), &self.reasons(), stays, Some(kept));
        before.is_back(&self).await;
        self.upstream.show(&self.stack.oracle);
        answer
    }

    async fn stays_good(&self, name: &str) {
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
    pub(super) async fn of(scene: &Scene<Faulty>) -> Self {
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
    pub(super) async fn is_back(&self, scene: &Scene<Faulty>) {
        scene.upstream.seen.until_open(1, PATIENCE).await;
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
