//! Keys from sources: callers that come and go, upstreams that refuse, and hosts that shut down.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use http::Request;
use sallygate::{
    Api, Body, Credential, ProxyLayer, Target, async_trait,
    credential::{Secret, Source, SourceError},
};
use sallygate_test_support::{PATIENCE, Reply, Slot, Stack, within};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Gives these keys, one after the other, each once it is let.
struct Keys {
    keys: Mutex<Vec<String>>,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Source for Keys {
    async fn fetch(&self, _: SystemTime) -> Result<Secret, SourceError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let key = self.keys.lock().unwrap().pop();
        key.map(Secret::new).ok_or(SourceError::Other)
    }
}

/// As many keys as that, all of which the upstream knows.
fn keys(stack: &Stack, number: usize) -> (Credential, Arc<AtomicUsize>, Arc<Semaphore>) {
    let keys: Vec<_> = (0..number)
        .map(|_| stack.oracle.secret("key of a source"))
        .collect();
    for key in &keys {
        stack.upstream.accept(Slot::Bearer.show(key));
    }
    let (asked, gate) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
    let source = Keys {
        keys: Mutex::new(keys),
        asked: asked.clone(),
        gate: gate.clone(),
    };
    (Credential::from_source(source), asked, gate)
}

#[tokio::test]
async fn callers_that_give_up_waiting_do_not_start_the_fetch_anew() {
    let stack = Stack::new().await;
    let (key, asked, gate) = keys(&stack, 1);
    let svc = Api::bearer(stack.target(), key);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let token = stack.token();
    let begun = async {
        while asked.load(Ordering::SeqCst) == 0 {
            let mut wire = front.connect().await;
            wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(PATIENCE, begun).await;
    for _ in 0..50 {
        let mut wire = front.connect().await;
        wire.send(front.get("/proxy/svc/a", &token).bytes()).await;
        let other = front.get("/proxy/other/a", &token).send().await;
        assert_eq!(other.status, 200, "another service does not wait");
    }
    gate.add_permits(1);
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_crowd_that_provokes_refusals_neither_hammers_the_source_nor_is_repeated_without_end() {
    let stack = Stack::answering(|_| Reply::response("401 Unauthorized", "no")).await;
    let (key, asked, gate) = keys(&stack, 40);
    gate.add_permits(40);
    let svc = Api::bearer(stack.target(), key);
    let front = stack
        .serve(stack.layer_with("svc", svc).into_service())
        .await;
    let (token, another) = (stack.token(), stack.token());
    for round in 1..=3 {
        let before = stack.upstream.requests().len();
        let calls = (0..40).map(|at| {
            let token = if at % 2 == 0 { &token } else { &another };
            front.request("POST", "/proxy/svc/a").token(token).body("x")
        });
        let answers = futures_util::future::join_all(calls.map(|call| call.send())).await;
        assert!(answers.iter().all(|answer| answer.status == 401));
        let sent = stack.upstream.requests().len() - before;
        assert!((40..=80).contains(&sent), "{sent}");
        // The first one, and one for each ten seconds.
        assert_eq!(asked.load(Ordering::SeqCst), 1 + round);
        stack.clock.advance(10);
    }
}

/// A runtime that is shut down takes tasks, and drops them where they are given to it.
#[test]
fn a_runtime_that_is_gone_does_not_hang_who_asks_for_a_key() {
    let (sender, answered) = mpsc::channel();
    thread::spawn(move || {
        let (asked, gate) = (Arc::default(), Arc::new(Semaphore::new(1)));
        let key = Credential::from_source(Keys {
            keys: Mutex::default(),
            asked,
            gate,
        });
        let secret = [7; 32];
        let verifier = sallygate::JwtVerifier::hs256(secret).unwrap();
        let token = sallygate::Issuer::hs256(secret).unwrap();
        let token = token.issue("box").sign().unwrap();
        let target = Target::new("https://unreachable.test").unwrap();
        let service = ProxyLayer::new("/", verifier)
            .unwrap()
            .service("svc", Api::bearer(target, key))
            .unwrap()
            .into_service();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_timeout(PATIENCE);
        let _entered = handle.enter();
        for _ in 0..2 {
            let request = Request::get("/svc/a")
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap();
            let answer = poll_here(service.clone().oneshot(request));
            sender.send(answer.unwrap().status().as_u16()).unwrap();
        }
    });
    for _ in 0..2 {
        let status = answered.recv_timeout(PATIENCE);
        assert_eq!(status, Ok(503), "it hangs");
    }
}

/// Polls where it stands, with no runtime's help.
fn poll_here<F: Future>(future: F) -> F::Output {
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::yield_now();
    }
}
