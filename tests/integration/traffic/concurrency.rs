//! How many requests may be under way, and when a place is free again.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sallygate::{Limits, Policy};
use sallygate_test_support::{Answer, PATIENCE, Scene, Setup, Wire, assert_case_refused, within};
use tokio::sync::Semaphore;

use super::{
    faulty::{Faulty, Peer, fault},
    outcomes,
    scene::{Play, SHORT, before, is_served, told},
};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// A scene in which answers begin, and end once they are let.
struct Full {
    scene: Scene<Faulty>,
    let_go: Arc<Semaphore>,
}

impl Full {
    async fn new(terms: impl FnOnce(Setup<Faulty>) -> Setup<Faulty>) -> Self {
        let let_go = Arc::new(Semaphore::new(0));
        let wait = let_go.clone();
        let act = move |mut peer: Peer| {
            let wait = wait.clone();
            async move {
                peer.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
                    .await;
                tokio::select! {
                    permit = wait.acquire() => permit.unwrap().forget(),
                    () = peer.closed() => return None,
                }
                peer.write("world").await;
                Some(peer)
            }
        };
        let scene = terms(before(fault(act)).await).start().await;
        Self { scene, let_go }
    }

    /// A request whose answer has begun.
    async fn begin(&self, token: &str) -> (Wire, Answer) {
        let mut wire = self.scene.front.connect().await;
        wire.send(self.scene.front.get("/proxy/svc/fault", token).bytes())
            .await;
        let mut answer = wire.head().await;
        assert_eq!(answer.status, 200);
        assert!(wire.read_body(&mut answer).await);
        (wire, answer)
    }

    async fn get(&self, token: &str) -> Answer {
        let request = self.scene.front.get("/proxy/svc/good", token);
        // Boxed, like others here: what the futures of many requests hold is too much for a stack.
        Box::pin(request.send()).await
    }

    /// Waits until there is a place again.
    async fn until_free(&self, token: &str) {
        within(PATIENCE, async {
            while self.get(token).await.status != 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Each request keeps its place until its body ends; one that is broken off gives it back as well.
async fn places_are_taken_and_given_back(
    terms: impl FnOnce(Setup<Faulty>) -> Setup<Faulty>,
    name: &'static str,
    refused: (u16, &str),
) {
    let full = Full::new(terms).await;
    let token = &full.scene.token;
    let (mut first, mut answer) = Box::pin(full.begin(token)).await;
    let (second, _) = Box::pin(full.begin(token)).await;

    let mut wire = full.scene.front.connect().await;
    let good = full.scene.front.get("/proxy/svc/good", token).bytes();
    wire.send(&good).await;
    let refusal = wire.answer().await;
    assert_case_refused(&refusal, refused.0, refused.1, name);
    assert_eq!(refusal.header("retry-after"), Some("1"));

    let other = full.scene.stack.token();
    let status = if refused.0 == 429 { 200 } else { 503 };
    assert_eq!(full.get(&other).await.status, status, "another sandbox");

    // One is answered to its end, on the same connection on which the next is refused or served.
    full.let_go.add_permits(1);
    while first.read_body(&mut answer).await {}
    assert_eq!((answer.text(), answer.complete), ("helloworld", true));
    Box::pin(full.until_free(token)).await;
    let stays = Box::pin(is_served(&mut wire, &good, "good")).await;
    let told = told(&refusal);
    let _ = full.scene.reasons();
    assert_eq!(full.get(token).await.status, 200);

    // The place is free again, and taken once more.
    let (third, _) = Box::pin(full.begin(token)).await;
    assert_eq!(full.get(token).await.status, refused.0);
    let reason = full.scene.reasons();
    outcomes::report(name, &told, &reason, stays, None);

    // Those who leave give their places back.
    drop(second);
    Box::pin(full.until_free(token)).await;
    let (fourth, _) = Box::pin(full.begin(token)).await;
    assert_eq!(full.get(token).await.status, refused.0);
    drop((third, fourth));
    Box::pin(full.until_free(token)).await;
    let both = (
        Box::pin(full.begin(token)).await,
        Box::pin(full.begin(token)).await,
    );
    assert_eq!(full.get(token).await.status, refused.0);
    drop(both);
    Box::pin(full.until_free(token)).await;
    full.scene.upstream.show(&full.scene.stack.oracle);
}

#[tokio::test]
async fn a_sandbox_has_so_many_places() {
    let terms = |setup: Setup<Faulty>| setup.limits(Limits::new().concurrent_per_sandbox(TWO));
    let name = "the sandbox has too many requests under way";
    let refused = (429, "PROXY_RATE_LIMITED");
    Box::pin(places_are_taken_and_given_back(terms, name, refused)).await;
}

#[tokio::test]
async fn a_service_has_so_many_places() {
    let terms =
        |setup: Setup<Faulty>| setup.policy(Policy::new().limits(Limits::new().concurrent(TWO)));
    let name = "the service has too many requests under way";
    let refused = (503, "PROXY_STATE_UNAVAILABLE");
    Box::pin(places_are_taken_and_given_back(terms, name, refused)).await;
}

#[tokio::test]
async fn a_sandbox_has_so_many_places_at_a_service() {
    let limits = Limits::new().concurrent_per_sandbox(TWO);
    let terms = |setup: Setup<Faulty>| setup.policy(Policy::new().limits(limits));
    let name = "the sandbox has too many requests under way at a service";
    let refused = (429, "PROXY_RATE_LIMITED");
    Box::pin(places_are_taken_and_given_back(terms, name, refused)).await;
}

#[tokio::test]
async fn a_proxy_has_so_many_places() {
    let terms = |setup: Setup<Faulty>| setup.limits(Limits::new().concurrent(TWO));
    let name = "the proxy has too many requests under way";
    let refused = (503, "PROXY_STATE_UNAVAILABLE");
    Box::pin(places_are_taken_and_given_back(terms, name, refused)).await;
}

/// A place that faults took away for good would be missed by the thirtieth.
#[tokio::test]
async fn no_fault_keeps_a_place() {
    let kind = Arc::<AtomicUsize>::default();
    let act = fault({
        let kind = kind.clone();
        move |mut peer: Peer| {
            let kind = kind.load(Ordering::SeqCst);
            async move {
                match kind {
                    0 => {}
                    1 => peer.write("nonsense\r\n\r\n").await,
                    _ => {
                        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
                            .await
                    }
                }
                None
            }
        }
    });
    let scene = before(act)
        .await
        .policy(Policy::new().limits(Limits::new().concurrent(TWO).idle_timeout(SHORT)))
        .limits(Limits::new().concurrent_per_sandbox(TWO))
        .start()
        .await;
    for number in 0..30 {
        kind.store(number % 3, Ordering::SeqCst);
        let answer = scene
            .front
            .get("/proxy/svc/fault", &scene.token)
            .send()
            .await;
        let expected = if number % 3 == 2 { 200 } else { 502 };
        assert_eq!(
            (answer.status, answer.complete),
            (expected, expected != 200)
        );
    }
    scene.stays_good("after thirty faults").await;
    let limited = scene.reasons();
    assert!(!limited.contains("too many"), "{limited}");
}
